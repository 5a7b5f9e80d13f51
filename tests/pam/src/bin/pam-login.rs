//! One process that logs in as told and says what came of it: for what concerns the whole process.
//!
//! `pam-login FOLDER once|session|signals|closed-stdio OUT|threads COUNT LOOPS|memory BYTES|no-descriptors|stack BYTES`

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;

use pam_harness::application::{Item, Outcome, Phases, Transaction, typed};
use pam_harness::process::{Picture, address_space_kib, picture, resident_kib};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // Rust programs ignore SIGPIPE; the programs that load PAM modules mostly do not.
    // SAFETY: no handler is installed.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    match words[..] {
        [folder, "once"] => print!("{}", report(&login(folder))),
        [folder, "session"] => print!("{}", report(&login_up_to(Phases::Session, folder))),
        [folder, "signals"] => {
            interrupt_often();
            print!("{}", report(&login(folder)));
        }
        [folder, "closed-stdio", out] => closed_stdio(folder, out),
        [folder, "threads", count, loops] => threads(folder, number(count), number(loops)),
        [folder, "memory", bytes] => {
            let before = || limit(libc::RLIMIT_AS, address_space_kib() * 1024 + number(bytes) as u64);
            let outcome =
                Transaction::default().run_after(Path::new(folder), &mut |_, m| typed(m, b"123456"), before);
            print!("{}", report(&outcome));
        }
        [folder, "no-descriptors"] => {
            let before = || limit(libc::RLIMIT_NOFILE, 3);
            let outcome =
                Transaction::default().run_after(Path::new(folder), &mut |_, m| typed(m, b"123456"), before);
            print!("{}", report(&outcome));
        }
        [folder, "stack", bytes] => {
            let folder = folder.to_owned();
            let small = thread::Builder::new().stack_size(number(bytes));
            let outcome = small.spawn(move || login(&folder)).expect("a thread starts").join();
            print!("{}", report(&outcome.expect("the thread ends well")));
        }
        _ => panic!("unknown words {words:?}"),
    }
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}

/// A login on a terminal that there may be, so that the module looks at it.
fn login(folder: &str) -> Outcome {
    login_up_to(Phases::Account, folder)
}

fn login_up_to(phases: Phases, folder: &str) -> Outcome {
    let items = vec![(Item::Tty, b"/dev/tty".as_slice())];
    let transaction = Transaction { items, phases, ..Transaction::default() };
    transaction.typing(Path::new(folder), b"123456")
}

fn report(outcome: &Outcome) -> String {
    let log: String = outcome.log.iter().map(|line| format!("log {line}\n")).collect();
    format!("code {}\n{log}", outcome.code)
}

fn closed_stdio(folder: &str, out: &str) {
    for descriptor in 0..=2 {
        // SAFETY: nothing in this process uses them from here on.
        unsafe { libc::close(descriptor) };
    }
    let before = picture();
    let outcome = login(folder);
    let same = before == picture();
    fs::write(PathBuf::from(out), format!("{}same {same}\n", report(&outcome)))
        .expect("the report is written");
}

/// Logs in `loops` times on each of `count` threads that run at once, twice: what grows in the second half
/// grows for ever.
fn threads(folder: &str, count: usize, loops: usize) {
    let round = || {
        let start = Barrier::new(count);
        thread::scope(|scope| {
            for _ in 0..count {
                scope.spawn(|| {
                    start.wait();
                    for _ in 0..loops {
                        let outcome = login(folder);
                        assert_eq!(outcome.code, 0, "{:?}", outcome.log);
                    }
                });
            }
        });
    };
    // The C library takes a signal of its own when the first thread starts.
    thread::scope(|scope| {
        scope.spawn(|| {});
    });
    let before = settled_picture();
    round();
    let (middle, resident_middle) = (settled_picture(), resident_kib());
    round();
    let (after, resident_after) = (settled_picture(), resident_kib());
    assert_eq!(before, middle);
    assert_eq!(before, after);
    println!("code 0\ngrown {}", resident_after.saturating_sub(resident_middle));
}

/// The picture when the threads that were joined have left the kernel's list, too.
fn settled_picture() -> Picture {
    const TRIES_MAX: u32 = 100_000;
    for _ in 0..TRIES_MAX {
        let picture = picture();
        if picture.threads == 1 {
            return picture;
        }
        thread::yield_now();
    }
    picture()
}

/// Raises SIGALRM each millisecond, with a handler that does not restart system calls.
fn interrupt_often() {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: all-zero bytes are a sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
    // SAFETY: the handler does nothing, which is safe at any point.
    unsafe { libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut()) };
    let millisecond = libc::timeval { tv_sec: 0, tv_usec: 1000 };
    let timer = libc::itimerval { it_interval: millisecond, it_value: millisecond };
    // SAFETY: the new value outlives the call; the old one is not asked for.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
}

/// Lets the process have no more than `most` of a resource.
fn limit(resource: libc::__rlimit_resource_t, most: u64) {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: the limit outlives the call.
    let code = unsafe { libc::setrlimit(resource, &raw const limit) };
    assert_eq!(code, 0, "setrlimit");
}
