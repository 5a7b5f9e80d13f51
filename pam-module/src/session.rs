//! Says that a session begins and that it ends, and has it recorded where that is asked for.
//!
//! One name for both, which libpam keeps in between: sshd, sudo, su and login open and close a session in one process.
//! The login that led to it is known by the reference that `authenticate` put into the PAM environment, the one thing
//! that crosses from sshd's process for passwords to the one that opens the session.
//!
//! A session is refused in two cases: its recorder does not start, and policy says `refuse`; or nobody says what is to
//! record it, and the line in `/etc/pam.d` says `recorder_unknown=refuse`. Nothing else here decides anything.

use std::time::Duration;

use pamsm::LogLvl;
use serde::Deserialize;
use wire::session::{
    CLOSE_PATH, CloseSession, OPEN_PATH, OpenSession, Recorder, RecorderFailure, Recording, TEXT_BYTES_MAX,
};

use crate::arguments::Arguments;
use crate::conversation::{Conversation, Message, Style};
use crate::fault::fault_point;
use crate::login::{self, Login, PamItems};
use crate::person::Known;
use crate::recorder::{self, Event, Fault, Kept};
use crate::text;
use crate::transaction::Transaction;
use crate::verifier::{self, Clock, Failure, SocketPath};

/// The whole wait for one report. Whoever logs in sees his shell as much later as nobody answers; a verifier that does
/// takes milliseconds.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// What a user reads whose session is refused.
const NOT_RECORDED: &str =
    "This session has to be recorded, and its recorder did not start. Please ask your administrator.";

/// How a session began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// All that is asked for was done.
    Settled,
    /// Nobody says what is to record it.
    Unheard,
    /// It is to be recorded, and is not.
    Unrecorded,
}

/// The part of an answer, a refusal's too, that says what is to record the session.
#[derive(Default, Deserialize)]
struct Answered {
    #[serde(default)]
    recording: Recording,
}

/// Whether a session may begin of which nobody says what is to record it. Read from the words alone, so that a line that
/// is wrong elsewhere keeps what it says here.
pub(crate) fn may_go_unheard(words: &[String]) -> bool {
    !words.iter().any(|word| word == "recorder_unknown=refuse")
}

/// Tells that a session begins, and has its recording begin.
pub(crate) fn open(transaction: &mut Transaction, words: &[String], clock: &dyn Clock) -> Opened {
    fault_point!("session::open");
    let items = transaction.session_items();
    let person = transaction.person();
    // Modules of the session that came before may have put something else there.
    match &person {
        Some(known) => transaction.set_person(known),
        None => transaction.forget_person(),
    }
    let Some(socket) = socket(transaction, words, &items) else { return Opened::Unheard };
    // A stack that names the module twice opens one session.
    let earlier = transaction.session();
    let is_first = earlier.is_none();
    let name = match earlier.map_or_else(verifier::new_id, Ok) {
        Ok(name) => name,
        Err(failure) => {
            complain(transaction, "session-not-opened", &items, Err(failure));
            return Opened::Unheard;
        }
    };
    let login = transaction.login_reference();
    let recording = match description(&items, name.clone(), login) {
        Some(said) if transaction.keep_session(&name) => {
            let heard = verifier::report(&socket, OPEN_PATH, &said, REPORT_TIMEOUT, clock);
            complain(transaction, "session-not-opened", &items, heard.told);
            serde_json::from_slice::<Answered>(&heard.body).unwrap_or_default().recording
        }
        Some(_) | None => {
            let failure = Failure::Protocol("session-not-describable");
            complain(transaction, "session-not-opened", &items, Err(failure));
            Recording::Unknown
        }
    };
    if let Some(known) = &person {
        note_person(transaction, &items, &name, known);
    }
    match recording {
        Recording::Unknown => Opened::Unheard,
        Recording::Off => Opened::Settled,
        Recording::By(_) if !is_first => Opened::Settled,
        Recording::By(recorder) => {
            let facts = facts(&items, &name, person.as_ref());
            match recorder::run(&recorder, Event::Open, &facts, clock) {
                Ok(()) => {
                    transaction.keep_recorder(Some(&Kept::Running(recorder)));
                    Opened::Settled
                }
                Err(fault) => without_recorder(transaction, &recorder, &items, &fault, words, clock),
            }
        }
    }
}

/// What becomes of a session whose recorder did not start.
fn without_recorder(
    transaction: &mut Transaction,
    recorder: &Recorder,
    items: &PamItems,
    fault: &Fault,
    words: &[String],
    clock: &dyn Clock,
) -> Opened {
    fault_point!("session::without_recorder");
    transaction.keep_recorder(Some(&Kept::Failed));
    let event = match recorder.on_failure {
        RecorderFailure::Refuse => "session-refused",
        RecorderFailure::Continue => "session-not-recorded",
    };
    tell(transaction, event, fault.reason(), items, fault.detail().as_deref());
    match recorder.on_failure {
        RecorderFailure::Continue => Opened::Settled,
        RecorderFailure::Refuse => {
            // Its program need not end what did not begin.
            close(transaction, words, clock);
            // Nothing depends on whether it is seen.
            let text = text::for_screen(NOT_RECORDED);
            let _seen = transaction.converse(&[Message { style: Style::Error, text }]);
            Opened::Unrecorded
        }
    }
}

/// Has the recording end and tells that the session does which [`open`] told of.
pub(crate) fn close(transaction: &Transaction, words: &[String], clock: &dyn Clock) {
    fault_point!("session::close");
    let Some(session) = transaction.session() else { return };
    let items = transaction.session_items();
    let kept = transaction.recorder();
    if let Some(Kept::Running(recorder)) = &kept {
        let facts = facts(&items, &session, transaction.person().as_ref());
        if let Err(fault) = recorder::run(recorder, Event::Close, &facts, clock) {
            tell(transaction, "recorder-not-ended", fault.reason(), &items, fault.detail().as_deref());
        }
    }
    transaction.keep_recorder(None);
    let Some(socket) = socket(transaction, words, &items) else { return };
    let said = CloseSession {
        api_version: wire::API_VERSION,
        session,
        is_lost: false,
        ago_seconds: 0,
        is_unrecorded: kept == Some(Kept::Failed),
    };
    let heard = verifier::report(&socket, CLOSE_PATH, &said, REPORT_TIMEOUT, clock);
    transaction.forget_session();
    complain(transaction, "session-not-closed", &items, heard.told);
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

/// What a recorder is told of a session.
fn facts(items: &PamItems, session: &str, person: Option<&Known>) -> Vec<(&'static str, String)> {
    let field = |bytes: Option<&[u8]>| bytes.map(|bytes| text::for_field(bytes, TEXT_BYTES_MAX));
    let known = [
        ("POSTERN_SESSION", Some(session.to_owned())),
        ("POSTERN_USER", field(Some(&items.user))),
        ("POSTERN_SERVICE", field(items.service.as_deref())),
        ("POSTERN_TTY", field(items.tty.as_deref())),
        ("POSTERN_RHOST", items.rhost()),
        ("POSTERN_RUSER", field(items.ruser.as_deref())),
        ("POSTERN_LEADER", login::this_process().map(|leader| leader.pid.to_string())),
    ];
    let of_person = person.into_iter().flat_map(Known::variables);
    let of_person = of_person.map(|(name, value)| (name, value.to_owned()));
    known.into_iter().filter_map(|(name, value)| Some((name, value?))).chain(of_person).collect()
}

/// The line in the log that says who is behind the account.
fn note_person(transaction: &Transaction, items: &PamItems, session: &str, known: &Known) {
    let rhost = items.rhost().unwrap_or_default();
    let word = |text: Option<&String>| text::for_log(text.map_or(&[], |text| text.as_bytes()));
    let line = format!(
        "session-opened user={} rhost={} person={} email={} session={session} reference={}",
        text::for_log(&items.user),
        text::for_log(rhost.as_bytes()),
        word(Some(&known.login)),
        word(known.email.as_ref()),
        word(known.reference.as_ref()),
    );
    transaction.log(LogLvl::INFO, &line);
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
