//! All that an agent has, in an attacker's hands: every byte of its memory and of its disk.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use data_encoding::{BASE32_NOPAD, BASE64, HEXLOWER};
use rustix::process::Pid;
use serde_json::json;
use system_tests::agent::{Agent, enrol, fleet_section, verifier};
use system_tests::authenticator::{Authenticator, enrol as read_enrolment};
use system_tests::flows::{activated, associated};
use system_tests::fob::Fob;
use system_tests::login_socket::{exchange, random_id};
use system_tests::machine::Machine;
use system_tests::postern;
use system_tests::verifier::{Verifier, config, log_text};
use wire::login::{BEGIN_PATH, CONTINUE_PATH, Next, Reply, Verdict};
use wire::verify::VERIFY_PATH;

/// Where the verifier is.
const VERIFIER: &str = "127.0.0.1";

/// A counter that a token reaches in years.
const FAR_AHEAD: u64 = 50_000;

/// Something that must not be found, and what it is.
struct Canary {
    what: String,
    bytes: Vec<u8>,
}

impl Canary {
    fn text(what: &str, text: &str) -> Self {
        Self { what: what.to_owned(), bytes: text.as_bytes().to_vec() }
    }

    /// A secret in every form that a program might hold it in.
    fn secret(what: &str, bytes: &[u8]) -> Vec<Self> {
        let forms = [BASE32_NOPAD.encode(bytes), HEXLOWER.encode(bytes), BASE64.encode(bytes)]
            .map(String::into_bytes);
        let forms = forms.into_iter().chain([bytes.to_vec()]);
        forms.map(|bytes| Self { what: what.to_owned(), bytes }).collect()
    }
}

/// A dialogue at an agent's socket.
struct Dialogue<'a> {
    agent: &'a Agent,
    user: &'a str,
}

impl Dialogue<'_> {
    fn begin(&self) -> Reply {
        self.post(
            BEGIN_PATH,
            &json!({"api_version": 1, "request_id": random_id().expect("an id"), "user": self.user,
                    "service": "sshd", "rhost": "192.0.2.1", "tty": "/dev/pts/0"}),
        )
    }

    fn answer(&self, reply: &Reply, answer: &str) -> Verdict {
        let Next::Ask { state, .. } = &reply.next else { panic!("decided instead of asking: {reply:?}") };
        let reply = self.post(
            CONTINUE_PATH,
            &json!({"api_version": 1, "request_id": random_id().expect("an id"), "state": state,
                    "answers": [answer]}),
        );
        system_tests::login_socket::verdict(&reply)
    }

    fn post(&self, path: &str, body: &serde_json::Value) -> Reply {
        let answer = exchange(self.agent.socket(), path, body.to_string().as_bytes()).expect("an answer");
        serde_json::from_slice(&answer).expect("a reply")
    }
}

/// Every byte of a process's memory that is there: in its tables of pages, or swapped out.
fn memory(id: Pid) -> Vec<u8> {
    /// What the kernel calls a page on every machine that the tests know.
    const PAGE_BYTES: u64 = 4_096;
    /// A page is in memory, or swapped out (Documentation/admin-guide/mm/pagemap.rst).
    const IS_THERE: u64 = 0b11 << 62;
    let folder = Path::new("/proc").join(id.as_raw_nonzero().to_string());
    let maps = fs::read_to_string(folder.join("maps")).expect("its map");
    let [memory, pages] = ["mem", "pagemap"].map(|name| fs::File::open(folder.join(name)).expect(name));
    let mut bytes = Vec::new();
    for line in maps.lines() {
        let Some((start, end)) = line.split(' ').next().and_then(|range| range.split_once('-')) else {
            continue;
        };
        let [start, end] = [start, end].map(|number| u64::from_str_radix(number, 16).expect("an address"));
        let mut page = [0; PAGE_BYTES as usize];
        for at in (start..end).step_by(PAGE_BYTES as usize) {
            let mut entry = [0; 8];
            let is_known = pages.read_exact_at(&mut entry, at / PAGE_BYTES * 8).is_ok();
            if is_known
                && u64::from_ne_bytes(entry) & IS_THERE != 0
                && memory.read_exact_at(&mut page, at).is_ok()
            {
                bytes.extend_from_slice(&page);
            }
        }
    }
    bytes
}

fn files(folder: &Path) -> Vec<u8> {
    let entries = fs::read_dir(folder).expect("a folder");
    entries.flat_map(|entry| fs::read(entry.expect("a file").path()).expect("a file")).collect()
}

#[track_caller]
fn expect_none(where_: &str, bytes: &[u8], canaries: &[Canary]) {
    let found: Vec<String> = canaries
        .iter()
        .flat_map(|canary| memchr::memmem::find_iter(bytes, &canary.bytes).map(move |at| (canary, at)))
        .map(|(canary, at)| {
            let around = &bytes[at.saturating_sub(60)..(at + 100).min(bytes.len())];
            format!("{} ({:?})", canary.what, String::from_utf8_lossy(around))
        })
        .collect();
    assert!(found.is_empty(), "{where_} holds {}", found.join("\n"));
}

/// Logs people in by every way there is; what must be gone afterwards.
fn log_in_by_all_ways(agent: &Agent, fob: &mut Fob, phone: &Authenticator) -> Vec<Canary> {
    let mut canaries = Canary::secret(
        "the secret of a phone",
        &BASE32_NOPAD.decode(phone.secret().as_bytes()).expect("base 32"),
    );
    canaries.extend(Canary::secret(
        "the secret of a token",
        &HEXLOWER.decode(fob.secret_hex().as_bytes()).expect("hex"),
    ));
    // A dialogue that is accepted, and one that is refused.
    let dialogue = Dialogue { agent, user: "user0" };
    for is_right in [true, false, true] {
        // A code of long after: no text of ours is like it.
        let code = if is_right { fob.press() } else { fob.value(FAR_AHEAD) };
        let verdict = dialogue.answer(&dialogue.begin(), &code);
        assert_eq!(verdict == Verdict::Allow, is_right);
        canaries.push(Canary::text("a code of a dialogue", &code));
    }
    // Verdicts without a dialogue.
    for _ in 0..3 {
        let code = fob.press();
        let body = json!({"request_id": random_id().expect("an id"), "user": "user0", "service": "vpn",
                          "rhost": "192.0.2.1", "code": code});
        exchange(agent.socket(), VERIFY_PATH, body.to_string().as_bytes()).expect("a verdict");
        canaries.push(Canary::text("a code without a dialogue", &code));
    }
    canaries
}

// covers: E23, E24
#[test]
fn an_agents_memory_and_disk_hold_no_code_no_token_and_no_key_of_another_host() {
    let machine = Machine::new();
    let daemon = Verifier::start_with(&config(&fleet_section(&[VERIFIER])));
    machine.add_bare_users("user", 2);
    let mut agent = Agent::beside("web1");
    let join_secret = enrol("web1", &[]);
    agent.join(&[verifier(VERIFIER)], &join_secret);
    let other = Agent::beside("web2");
    other.join(&[verifier(VERIFIER)], &enrol("web2", &[]));
    agent.launch_ready();
    let mut fob = Fob::with_button("4200000001").shaped(otp_core::Algorithm::Sha1, 8);
    associated(&mut fob, "user0");
    let phone = activated(&daemon, "user1");

    let mut canaries = log_in_by_all_ways(&agent, &mut fob, &phone);
    let own = "the join secret";
    canaries.push(Canary::text(own, &join_secret));
    canaries.push(Canary::text(own, &join_secret.replace('-', "")[..24]));
    canaries.push(Canary::text(
        "the verifier's master key",
        fs::read_to_string("/etc/postern/master.key").expect("the key").trim(),
    ));
    let pem = fs::read_to_string(other.state().join("identity.pem")).expect("the other's key");
    let key: String = pem.lines().skip(1).take_while(|line| !line.starts_with('-')).collect();
    canaries.extend(Canary::secret("another host's key", &BASE64.decode(key.as_bytes()).expect("base 64")));

    expect_none("the agent's disk", &files(agent.state()), &canaries);
    expect_none("the agent's log", agent.log().as_bytes(), &canaries);
    expect_none("the verifier's log", log_text().as_bytes(), &canaries);
    let logged = machine.logged().join("\n");
    expect_none("the system log", logged.as_bytes(), &canaries);
    let bytes = memory(agent.id());
    // It is the memory of a program that has logged user0 in: what is not secret is there.
    assert!(memchr::memmem::find(&bytes, VERIFIER.as_bytes()).is_some());
    expect_none("the agent's memory", &bytes, &canaries);
    let own_key = fs::read_to_string(agent.state().join("identity.pem")).expect("the own key");
    assert_ne!(own_key, pem);
    assert_eq!(postern::audit().iter().filter(|record| record.reason == "accepted").count(), 5);
}

// covers: E23
#[test]
fn a_secret_that_an_enrolment_showed_at_a_host_is_nowhere_in_its_agents_memory() {
    let machine = Machine::new();
    let at_hosts = "[enrolment]\nat_hosts = true\n";
    let daemon = Verifier::start_with(&config(&format!("{at_hosts}{}", fleet_section(&[VERIFIER]))));
    machine.add_bare_users("user", 1);
    let mut agent = Agent::beside("web1");
    agent.join(&[verifier(VERIFIER)], &enrol("web1", &[]));
    agent.launch_ready();
    postern::otp_on("user0");
    let dialogue = Dialogue { agent: &agent, user: "user0" };
    let shown = dialogue.begin();
    let phone = read_enrolment(&shown.show.join("\n"));
    let secret = phone.secret();
    let mut canaries =
        Canary::secret("the secret", &BASE32_NOPAD.decode(secret.as_bytes()).expect("base 32"));
    let groups: Vec<&str> = secret.as_bytes().chunks(4).map(|it| str::from_utf8(it).expect("text")).collect();
    canaries.push(Canary::text("the secret as it is shown", &groups.join(" ")));
    let text = shown.show.join("\n");
    assert!(text.contains(secret) && text.contains(&groups.join(" ")), "{text}");
    expect_none("the agent's memory, at once", &memory(agent.id()), &canaries);
    assert_eq!(dialogue.answer(&shown, &phone.code(daemon.now())), Verdict::Allow);
    expect_none("the agent's memory", &memory(agent.id()), &canaries);
}
