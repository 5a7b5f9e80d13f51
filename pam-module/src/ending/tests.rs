//! The table of endings and codes, and the form of the log line.

use rustix::io::Errno;

use super::*;

fn reference() -> String {
    "ABCD-EFGH".to_owned()
}

fn unavailabilities() -> Vec<Refusal> {
    let mut all = vec![Refusal::Undecided { reference: reference() }];
    let causes = [
        Unavailable::SocketMissing,
        Unavailable::Refused,
        Unavailable::Busy,
        Unavailable::TimedOut,
        Unavailable::Closed,
        Unavailable::SaidSo,
    ];
    all.extend(causes.map(|cause| Refusal::NoDecision(Failure::Unavailable(cause))));
    all
}

fn other_refusals() -> Vec<(Refusal, PamError)> {
    let local = Failure::Local { doing: "connect", errno: Errno::MFILE };
    let path = Failure::UntrustedPath { component: "/tmp".to_owned(), problem: "others may write to it" };
    vec![
        (Refusal::Denied { reference: reference() }, PamError::AUTH_ERR),
        (Refusal::TooManySteps, PamError::AUTH_ERR),
        (Refusal::DeniedBySshd, PamError::AUTH_ERR),
        (Refusal::Cancelled, PamError::AUTH_ERR),
        (Refusal::AnswerMissing, PamError::AUTH_ERR),
        (Refusal::AnswerMalformed, PamError::AUTH_ERR),
        (Refusal::FirstPassMissing, PamError::AUTH_ERR),
        (Refusal::UserChanged, PamError::AUTH_ERR),
        (Refusal::UserMalformed, PamError::USER_UNKNOWN),
        (Refusal::ConversationFailed, PamError::CONV_ERR),
        (Refusal::PamFailed, PamError::SYSTEM_ERR),
        (Refusal::ArgumentsWrong { detail: "x".to_owned() }, PamError::SERVICE_ERR),
        (Refusal::NoDecision(local), PamError::SYSTEM_ERR),
        (Refusal::NoDecision(path), PamError::SYSTEM_ERR),
        (Refusal::NoDecision(Failure::UntrustedPeer { uid: 1000 }), PamError::SYSTEM_ERR),
        (Refusal::NoDecision(Failure::Unavailable(Unavailable::Cut)), PamError::AUTHINFO_UNAVAIL),
        (Refusal::NoDecision(Failure::Protocol("x")), PamError::SYSTEM_ERR),
        (Refusal::NoDecision(Failure::Rejected { status: 403 }), PamError::SERVICE_ERR),
        (Refusal::NoDecision(Failure::Rejected { status: 409 }), PamError::SERVICE_ERR),
    ]
}

#[test]
fn only_an_allow_is_success_and_only_a_not_required_is_ignored() {
    for mode in [OnUnavailable::Refuse, OnUnavailable::StepAside] {
        assert_eq!(
            Ending::Allowed { reference: reference(), person: None }.under(mode).code(),
            PamError::SUCCESS
        );
        assert_eq!(Ending::NotRequired { reference: reference() }.under(mode).code(), PamError::IGNORE);
        for (refusal, code) in other_refusals() {
            assert_eq!(Ending::Refused(refusal.clone()).under(mode).code(), code, "{refusal:?}");
        }
    }
}

// covers: E01
#[test]
fn an_answer_that_is_not_understood_is_ignored_under_no_setting() {
    for (refusal, code) in other_refusals() {
        let ending = Ending::Refused(refusal.clone()).under(OnUnavailable::StepAside);
        assert_eq!((&ending, ending.code()), (&Ending::Refused(refusal), code));
    }
}

#[test]
fn an_unavailable_verifier_is_ignored_under_fail_open_alone_and_logged_each_time() {
    for refusal in unavailabilities() {
        let ending = Ending::Refused(refusal.clone());
        assert_eq!(ending.clone().under(OnUnavailable::Refuse).code(), PamError::AUTHINFO_UNAVAIL);
        let opened = ending.under(OnUnavailable::StepAside);
        assert_eq!(opened.code(), PamError::IGNORE);
        assert!(opened.log_line(b"alice", None).1.starts_with("fail-open user=alice"));
    }
}

#[test]
fn the_log_line_has_a_fixed_form() {
    let denied = Ending::Refused(Refusal::Denied { reference: reference() });
    assert_eq!(
        denied.log_line(b"alice", Some("192.0.2.1")).1,
        "denied user=alice rhost=192.0.2.1 reason=verdict reference=ABCD-EFGH"
    );
    let hostile = denied.log_line(b"root\nallowed user=root", Some("a b")).1;
    assert_eq!(
        hostile,
        "denied user=root\\x0aallowed\\x20user\\x3droot rhost=a\\x20b reason=verdict reference=ABCD-EFGH"
    );
    let failed = Ending::Refused(Refusal::NoDecision(Failure::UntrustedPeer { uid: 1000 }));
    assert_eq!(
        failed.log_line(b"alice", None).1,
        "failed user=alice rhost=- reason=untrusted-peer reference=- detail=uid:1000"
    );
}
