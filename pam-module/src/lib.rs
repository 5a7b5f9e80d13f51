//! `pam_postern.so`: asks for a one-time password on behalf of sshd, sudo, su and login.
//!
//! It shows what the verifier tells it to show and asks what it tells it to ask. It knows no secret, does no
//! OTP maths and makes no policy; it starts no thread, prints nothing, reads no environment variable and
//! leaves nothing open in the program that loaded it. A panic stays inside and refuses the login.
//!
//! A login passes the files in this order: `arguments`, `transaction` (libpam), `login` (who, from where),
//! `dialogue` with `conversation` (the user) and `verifier` (the service), `ending` (the PAM code). What follows a login
//! is `session`, with `person` (who was let in) and `recorder` (the one program that it starts, where it is told to).

#![deny(missing_docs, unsafe_code)]
// A panic in here would cost the host program its login.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects
    )
)]

mod arguments;
mod conversation;
mod dialogue;
mod ending;
mod fault;
mod login;
mod person;
mod raw;
mod recorder;
mod root_path;
mod session;
mod text;
mod transaction;
mod verifier;

use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::time::Instant;

use pamsm::{LogLvl, Pam, PamError, PamFlags, PamServiceModule, pam_module};

use arguments::Arguments;
use ending::{Ending, Refusal};
use fault::fault_point;
use login::{Login, PamItems};
use person::Known;
use session::Opened;
use transaction::Transaction;
use verifier::{Clock, SocketVerifier};

struct Postern;

/// The answer of the entry points that never decide about a login. PAM_SUCCESS, because libpam takes anything
/// else there as a refusal of what `authenticate` has allowed; it grants nothing by itself.
const NO_OBJECTION: PamError = PamError::SUCCESS;

/// The answer to a session that has to be recorded and is not. Not PAM_SESSION_ERR, which sudo takes for a trifle and goes
/// on (plugins/sudoers/auth/pam.c).
const NOT_RECORDED: PamError = PamError::PERM_DENIED;

/// The answer to a change of password, which is never ours.
const NOT_OURS: PamError = PamError::IGNORE;

/// The answer of an entry point that panicked, where it decides.
const PANICKED: PamError = PamError::SYSTEM_ERR;

/// Memory that must be free before a login begins: several times what the largest reply takes. Rust ends the
/// process when an allocation fails, and the process is somebody else's.
const MEMORY_BYTES_MIN: usize = 1024 * 1024;

impl PamServiceModule for Postern {
    fn authenticate(pam: Pam, _: PamFlags, words: Vec<String>) -> PamError {
        guarded(pam, PANICKED, |transaction| authenticate(transaction, &words))
    }

    fn acct_mgmt(pam: Pam, _: PamFlags, _: Vec<String>) -> PamError {
        guarded(pam, PANICKED, |transaction| account(transaction))
    }

    fn setcred(pam: Pam, _: PamFlags, _: Vec<String>) -> PamError {
        guarded(pam, PANICKED, |transaction| {
            transaction.take_over_login();
            NO_OBJECTION
        })
    }

    fn open_session(pam: Pam, _: PamFlags, words: Vec<String>) -> PamError {
        // Where nobody may be unrecorded, not even a fault of ours lets in.
        let unheard = if session::may_go_unheard(&words) { NO_OBJECTION } else { NOT_RECORDED };
        guarded(pam, unheard, |transaction| open_session(transaction, &words, unheard))
    }

    fn close_session(pam: Pam, _: PamFlags, words: Vec<String>) -> PamError {
        guarded(pam, NO_OBJECTION, |transaction| close_session(transaction, &words))
    }

    fn chauthtok(pam: Pam, _: PamFlags, _: Vec<String>) -> PamError {
        guarded(pam, PANICKED, |_| NOT_OURS)
    }
}

pam_module!(Postern);

/// Runs an entry point; a panic in it is told to the log alone, and answered by `panicked`: a refusal, but for those
/// that never refuse.
///
/// Unwinding into libpam would end the host program, and sshd counts that against the client's address. The
/// hook is our own library's: the module has its own copy of the standard library.
fn guarded(pam: Pam, panicked: PamError, entry: impl FnOnce(&mut Transaction) -> PamError) -> PamError {
    static SILENCED: Once = Once::new();
    let mut transaction = Transaction::new(pam);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        SILENCED.call_once(|| std::panic::set_hook(Box::new(|_| {})));
        fault_point!("guarded");
        entry(&mut transaction)
    }));
    outcome.unwrap_or_else(|_| {
        transaction.log_fixed(c"failed user=- rhost=- reason=panic reference=-");
        panicked
    })
}

/// `pam_sm_authenticate`: one dialogue, one line in the log, one code.
fn authenticate(transaction: &mut Transaction, words: &[String]) -> PamError {
    fault_point!("authenticate");
    if !memory_suffices() {
        transaction.log_fixed(c"failed user=- rhost=- reason=memory-short reference=-");
        return PamError::SYSTEM_ERR;
    }
    let mut items = PamItems::default();
    let ending = match Arguments::parse(words) {
        Ok(arguments) => decide(transaction, &arguments, &mut items).under(arguments.on_unavailable),
        Err(error) => Ending::Refused(Refusal::ArgumentsWrong {
            detail: format!("{}:expected:{}", error.word, error.expected),
        }),
    };
    let (level, line) = ending.log_line(&items.user, items.rhost().as_deref());
    transaction.log(level, &line);
    ending.code()
}

/// The login from its description to its ending. Fills `items` for the log.
fn decide(transaction: &mut Transaction, arguments: &Arguments, items: &mut PamItems) -> Ending {
    fault_point!("decide");
    if let Err(refusal) = transaction.remember_verified(None) {
        return Ending::Refused(refusal);
    }
    transaction.forget_login_reference();
    transaction.forget_person();
    *items = match transaction.items() {
        Ok(items) => items,
        Err(refusal) => return Ending::Refused(refusal),
    };
    let Ok(login) = Login::describe(items) else {
        return Ending::Refused(Refusal::UserMalformed);
    };
    if arguments.debug {
        transaction.log(LogLvl::DEBUG, &format!("debug asking {} about {login}", arguments.socket.as_str()));
    }
    let mut verifier = SocketVerifier::new(&arguments.socket, arguments.timeout, MonotonicClock);
    let ending = dialogue::run(&login, arguments, transaction, &mut verifier);
    if arguments.debug {
        transaction.log(LogLvl::DEBUG, &format!("debug waited {} ms", verifier.waited().as_millis()));
    }
    if let Ending::Allowed { reference, .. } | Ending::NotRequired { reference } = &ending {
        transaction.set_login_reference(reference);
    }
    let Ending::Allowed { reference, person } = &ending else { return ending };
    if let Some(known) = person.as_ref().and_then(|person| Known::new(person, reference)) {
        transaction.set_person(&known);
    }
    match transaction.remember_verified(Some(&login.user)) {
        Ok(()) => ending,
        Err(refusal) => Ending::Refused(refusal),
    }
}

/// `pam_sm_acct_mgmt`: objects only if another module exchanged the user since we allowed one.
fn account(transaction: &Transaction) -> PamError {
    fault_point!("account");
    if transaction.user_changed_since() {
        transaction.log_fixed(c"denied user=- rhost=- reason=user-changed reference=-");
        return PamError::PERM_DENIED;
    }
    NO_OBJECTION
}

/// `pam_sm_open_session`: something is told, and whatever comes of it is no objection, unless the session is to be recorded
/// and cannot be.
fn open_session(transaction: &mut Transaction, words: &[String], unheard: PamError) -> PamError {
    fault_point!("open_session");
    if !memory_suffices() {
        transaction.log_fixed(c"session-not-told user=- rhost=- reason=memory-short");
        return unheard;
    }
    match session::open(transaction, words, &MonotonicClock) {
        Opened::Settled => NO_OBJECTION,
        Opened::Unheard => unheard,
        Opened::Unrecorded => NOT_RECORDED,
    }
}

/// `pam_sm_close_session`: something is told, and whatever comes of it is no objection.
fn close_session(transaction: &Transaction, words: &[String]) -> PamError {
    fault_point!("close_session");
    if memory_suffices() {
        session::close(transaction, words, &MonotonicClock);
    } else {
        transaction.log_fixed(c"session-not-told user=- rhost=- reason=memory-short");
    }
    NO_OBJECTION
}

/// Whether the memory that a login may need can be had.
fn memory_suffices() -> bool {
    let mut probe = Vec::<u8>::new();
    let reserved = probe.try_reserve_exact(MEMORY_BYTES_MIN).is_ok();
    black_box(&probe); // or the compiler drops the allocation and assumes that it worked
    reserved
}

/// The one clock of the module.
struct MonotonicClock;

impl Clock for MonotonicClock {
    #[expect(clippy::disallowed_methods, reason = "the PAM entry point is where time comes from")]
    fn now(&self) -> Instant {
        Instant::now()
    }
}
