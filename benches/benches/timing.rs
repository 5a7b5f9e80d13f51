//! Does the time of a refusal tell anything? Welch's t-test over many refusals of two sorts (CHECKS A20).
//!
//! Not a criterion bench: it draws a sort at random for each sample, drops the slowest tenth (interrupts), and
//! compares the means. |t| below 4.5 is the bound that is usual for leakage tests (dudect, Reparaz et al. 2017).
//! Exits with 1 above it. On a noisy machine run it again before believing a failure: noise spreads evenly over
//! both sorts, a leak does not go away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::StartState;
use ledger::memory::MemoryLedger;
use otp_core::matching::{TotpWindow, match_totp};
use otp_core::{Algorithm, Digits, OtpKey, OtpValue, SharedSecret};
use verifierd::accounts::{Actor, TokenState, UserName};
use verifierd::clock::ManualClock;
use verifierd::config::Config;
use verifierd::keys::{MasterKey, random_bytes};
use verifierd::service::{Foundations, Service};
use wire::admin::EnrolWith;
use wire::login::{Begin, Continue, Next};

const T_MAX: f64 = 4.5;
const MATCHES: usize = 1_000_000;
const USERS: usize = 5_000;
const ROUNDS: usize = 1;
const NOW: u64 = 1_800_000_015;

fn main() {
    // `cargo bench` and `cargo test --benches` pass flags of their own; none of them matters here.
    let digits = compare_digits();
    let users = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
        .block_on(compare_users());
    println!("timing/wrong first digit against wrong last digit    {digits}");
    println!("timing/wrong code of a known against an unknown user {users}");
    if digits.t.abs() > T_MAX || users.t.abs() > T_MAX {
        eprintln!("above {T_MAX}: refusals of these sorts can be told apart by their time");
        std::process::exit(1);
    }
}

/// Codes that differ from the right one in their first or in their last digit.
fn compare_digits() -> Difference {
    let secret = SharedSecret::from_bytes(b"12345678901234567890").expect("20 bytes");
    let key = OtpKey::new(&secret, Algorithm::Sha1, Digits::SIX);
    let step = NOW / 30;
    let right = key.value(step).expose().to_string();
    let change = |position: usize| {
        let mut code = right.clone().into_bytes();
        code[position] = b'0' + (code[position] - b'0' + 5) % 10;
        OtpValue::from_typed(str::from_utf8(&code).expect("digits"), Digits::SIX).expect("six digits")
    };
    let codes = [change(0), change(5)];
    let window =
        TotpWindow { current_step: step, drift_window: 1, time_drift: 0, last_accepted: Some(step - 9) };
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let mut samples = [Vec::with_capacity(MATCHES), Vec::with_capacity(MATCHES)];
    for _ in 0..MATCHES {
        let sort = chance.coin();
        let code = std::hint::black_box(&codes[sort]);
        let begun = now();
        std::hint::black_box(match_totp(&key, code, &window));
        samples[sort].push(nanoseconds(begun.elapsed()));
    }
    welch(samples)
}

/// Wrong codes for users that exist and for names that do not, through the whole dialogue.
async fn compare_users() -> Difference {
    let (ledger, clock) = (Arc::new(MemoryLedger::new()), Arc::new(ManualClock::at(NOW)));
    let foundations = Foundations {
        config: Config::parse("version = 1").expect("a configuration"),
        config_path: "/nonexistent".into(),
        master: MasterKey::generate().expect("random bytes"),
        clock: clock.clone(),
        host: "bench".into(),
    };
    let service = Service::on_ledger(foundations, ledger, StartState::Clean).await.expect("a service");
    for user in 0..USERS {
        let name = UserName::new(&format!("known{user}")).expect("a name");
        let user = service
            .dialogue
            .steward
            .set_otp(name, true, EnrolWith::App, Actor::administrator("bench"))
            .await
            .expect("enrolled");
        let token = user.tokens.first().expect("a token");
        let code = token.key.value(NOW / 30).expose().to_string();
        timed_login(&service, user.name.as_str(), None, &code).await;
        assert_eq!(token.state(), TokenState::Associated, "or the prompt would show a QR code");
    }
    let mut chance = Chance(0x2545_f491_4f6c_dd1d);
    let mut samples = [Vec::new(), Vec::new()];
    for sample in 0..2 * USERS * ROUNDS {
        let sort = chance.coin();
        let name = format!("{}{}", ["known", "other"][sort], sample % USERS);
        let source = format!("10.{}.{}.{}", sample >> 16 & 255, sample >> 8 & 255, sample & 255);
        let wrong = format!("{:06}", sample * 7 % 1_000_000);
        samples[sort].push(timed_login(&service, &name, Some(source), &wrong).await);
        // Out of the way of every throttle, so that each code is looked at.
        clock.advance(Duration::from_secs(60));
        clock.set_wall(NOW);
    }
    welch(samples)
}

/// A login with one code; the time that the code's answer took.
async fn timed_login(service: &Service, user: &str, rhost: Option<String>, code: &str) -> f64 {
    let request_id = || {
        let bytes: [u8; 16] = random_bytes().expect("random bytes");
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let begin = Begin {
        api_version: wire::API_VERSION,
        request_id: request_id(),
        user: user.into(),
        service: "sshd".into(),
        rhost,
        ruser: None,
        tty: None,
        columns: None,
        session: None,
        offline_grant_until: None,
    };
    let reply = service.dialogue.begin(begin, None).await.expect("a reply");
    let Next::Ask { state, .. } = reply.next else { panic!("a code is asked for") };
    let request = Continue {
        api_version: wire::API_VERSION,
        request_id: request_id(),
        state,
        answers: vec![code.into()],
    };
    let begun = now();
    let reply = service.dialogue.proceed(request, None).await;
    let took = nanoseconds(begun.elapsed());
    std::hint::black_box(reply.expect("a reply"));
    took
}

#[expect(clippy::disallowed_methods, reason = "measuring time is what this program does")]
fn now() -> Instant {
    Instant::now()
}

fn nanoseconds(took: Duration) -> f64 {
    took.as_secs_f64() * 1e9
}

/// How far two samples are apart.
struct Difference {
    t: f64,
    nanoseconds: f64,
    mean: f64,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "t = {:+.2} ({:+.1} ns of {:.0} ns)", self.t, self.nanoseconds, self.mean)
    }
}

/// Welch's t of two samples, each without its slowest tenth.
fn welch(samples: [Vec<f64>; 2]) -> Difference {
    let [one, other] = samples.map(|mut sample| {
        sample.sort_by(f64::total_cmp);
        sample.truncate(sample.len() * 9 / 10);
        let count = sample.len() as f64;
        let mean = sample.iter().sum::<f64>() / count;
        let variance = sample.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    });
    let nanoseconds = one.0 - other.0;
    Difference { t: nanoseconds / (one.1 + other.1).sqrt(), nanoseconds, mean: one.0 }
}

/// xorshift64: which sort comes next need only be unrelated to the machine's state.
struct Chance(u64);

impl Chance {
    fn coin(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::from(self.0 >> 40 & 1 == 1)
    }
}
