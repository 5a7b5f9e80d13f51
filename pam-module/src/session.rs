//! Says that a session begins and that it ends. Nothing depends on whether anybody hears it.
//!
//! One name for both, which libpam keeps in between: sshd, sudo, su and login open and close a session in one process.
//! The login that led to it is known by the reference that `authenticate` put into the PAM environment, the one thing
//! that crosses from sshd's process for passwords to the one that opens the session.

use std::time::Duration;

use pamsm::LogLvl;
use wire::session::{CLOSE_PATH, CloseSession, OPEN_PATH, OpenSession, TEXT_BYTES_MAX};

use crate::arguments::Arguments;
use crate::fault::fault_point;
use crate::login::{self, Login, PamItems};
use crate::text;
use crate::transaction::Transaction;
use crate::verifier::{self, Clock, Failure, SocketPath};

/// The whole wait for one report. Whoever logs in sees his shell as much later as nobody answers; a verifier that does
/// takes milliseconds.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// Tells that a session begins.
pub(crate) fn open(transaction: &Transaction, words: &[String], clock: &dyn Clock) {
    fault_point!("session::open");
    let items = transaction.session_items();
    let Some(socket) = socket(transaction, words, &items) else { return };
    // A stack that names the module twice opens one session.
    let told = match transaction.session().map_or_else(verifier::new_id, Ok) {
        Ok(session) => {
            let login = transaction.login_reference();
            match description(&items, session.clone(), login) {
                Some(said) if transaction.keep_session(&session) => {
                    verifier::report(&socket, OPEN_PATH, &said, REPORT_TIMEOUT, clock)
                }
                Some(_) | None => Err(Failure::Protocol("session-not-describable")),
            }
        }
        Err(failure) => Err(failure),
    };
    complain(transaction, "session-not-opened", &items, told);
}

/// Tells that the session ends which [`open`] told of.
pub(crate) fn close(transaction: &Transaction, words: &[String], clock: &dyn Clock) {
    fault_point!("session::close");
    let Some(session) = transaction.session() else { return };
    let items = transaction.session_items();
    let Some(socket) = socket(transaction, words, &items) else { return };
    let said = CloseSession { api_version: wire::API_VERSION, session, is_lost: false, ago_seconds: 0 };
    let told = verifier::report(&socket, CLOSE_PATH, &said, REPORT_TIMEOUT, clock);
    transaction.forget_session();
    complain(transaction, "session-not-closed", &items, told);
}

/// Where the line in `/etc/pam.d` says that somebody listens; none where it says nothing that makes sense.
fn socket(transaction: &Transaction, words: &[String], items: &PamItems) -> Option<SocketPath> {
    match Arguments::parse(words) {
        Ok(arguments) => Some(arguments.socket),
        Err(error) => {
            let detail = format!("{}:expected:{}", error.word, error.expected);
            tell(transaction, "session-not-told", "arguments-wrong", items, Some(&detail));
            None
        }
    }
}

/// What is said of a session; none where there is no user.
fn description(items: &PamItems, session: String, login: Option<Vec<u8>>) -> Option<OpenSession> {
    let Login { user, service, rhost, tty, ruser, .. } = Login::describe(items).ok()?;
    Some(OpenSession {
        api_version: wire::API_VERSION,
        session,
        user,
        service,
        rhost,
        tty,
        ruser,
        login: login.map(|login| text::for_field(&login, TEXT_BYTES_MAX)),
        boot: login::boot(),
        leader: login::this_process(),
        ago_seconds: 0,
    })
}

fn complain(transaction: &Transaction, event: &str, items: &PamItems, told: Result<(), Failure>) {
    if let Err(failure) = told {
        tell(transaction, event, failure.reason(), items, failure.detail().as_deref());
    }
}

fn tell(transaction: &Transaction, event: &str, reason: &str, items: &PamItems, detail: Option<&str>) {
    let rhost = items.rhost().unwrap_or_default();
    let (user, rhost) = (text::for_log(&items.user), text::for_log(rhost.as_bytes()));
    let mut line = format!("{event} user={user} rhost={rhost} reason={reason}");
    if let Some(detail) = detail {
        line.push_str(" detail=");
        line.push_str(&text::for_log(detail.as_bytes()));
    }
    transaction.log(LogLvl::WARNING, &line);
}
