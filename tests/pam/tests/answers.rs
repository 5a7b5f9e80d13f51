//! Conversations that go wrong, at the level of C, and answers that are none.

use pam_harness::application::{Message, Outcome, Reaction, Style, Transaction, typed};
use pam_harness::code::{AUTH_ERR, CONV_ERR, SUCCESS};
use pam_harness::site::Site;
use pam_harness::stub::{Stub, ask, done, ok, reply};

/// A login whose conversation reacts like this; how many answers reached the verifier.
fn check(reaction: &Reaction) -> (Outcome, usize) {
    let site = Site::new("");
    let stub = Stub::usual(&site.socket());
    let outcome = Transaction::default().run(site.folder(), &mut |_, _| reaction.clone());
    (outcome, stub.requests().len() - 1)
}

fn one(answer: &[u8]) -> Reaction {
    Reaction::Reply(vec![Some(answer.to_vec())])
}

// covers: E08
#[test]
fn sshds_junk_is_refused_without_asking_the_verifier() {
    let junk = b"\x08\n\r\x7fINCORRECT".repeat(3);
    for length in [1, 2, 6, 13, 14, 39] {
        let (outcome, sent) = check(&one(&junk[..length]));
        assert_eq!((outcome.code, sent), (AUTH_ERR, 0));
        let expected = "denied user=alice rhost=- reason=sshd-denied-this-user reference=-";
        assert_eq!(outcome.log, [format!("pam_postern(postern:auth): {expected}")]);
    }
}

// covers: E09, E10
#[test]
fn an_empty_or_missing_answer_cancels_and_sends_nothing() {
    for (reaction, reason) in [
        (one(b""), "cancelled"),
        (one(b"\0" as &[u8]), "cancelled"),
        (Reaction::Reply(vec![None]), "answer-missing"),
        (Reaction::Reply(Vec::new()), "answer-missing"),
        (Reaction::NoArray, "answer-missing"),
    ] {
        let (outcome, sent) = check(&reaction);
        assert_eq!((outcome.code, sent), (AUTH_ERR, 0), "{reaction:?}");
        assert!(outcome.log.concat().contains(&format!("reason={reason} ")), "{:?}", outcome.log);
    }
}

// covers: E09
#[test]
fn what_cannot_be_an_answer_sends_nothing_and_is_not_logged() {
    let (long, huge) = (vec![b'7'; 129], vec![b'7'; 1024 * 1024]);
    let answers: [&[u8]; 6] = [b"77\n7", b"\x1b[A", b"\xff77", "7\u{85}7".as_bytes(), &long, &huge];
    for answer in answers {
        let (outcome, sent) = check(&one(answer));
        assert_eq!((outcome.code, sent), (AUTH_ERR, 0));
        let log = outcome.log.concat();
        assert!(log.contains("reason=answer-malformed") && !log.contains("77"), "{log}");
    }
}

// covers: E09
#[test]
fn an_answer_ends_at_its_first_nul() {
    let (outcome, sent) = check(&one(b"123456\0 and more"));
    assert_eq!((outcome.code, sent), (SUCCESS, 1));
}

// covers: E09, E10
#[test]
fn a_conversation_that_fails_is_a_conversation_error() {
    for reaction in
        [Reaction::Fail(CONV_ERR), Reaction::Fail(5), Reaction::Fail(30), Reaction::FailDangling(CONV_ERR)]
    {
        let (outcome, sent) = check(&reaction);
        assert_eq!((outcome.code, sent), (CONV_ERR, 0), "{reaction:?}");
        assert!(outcome.log.concat().contains("reason=conversation-failed"));
    }
}

// covers: E09
#[test]
fn answers_to_texts_are_taken_and_thrown_away() {
    let site = Site::new("");
    let stub = Stub::answering(&site.socket(), |request| {
        let begins = request.path == wire::login::BEGIN_PATH;
        let next = if begins { ask("? ", false) } else { done("allow") };
        ok(&reply(request, &["one", "two"], next))
    });
    let outcome = Transaction::default().run(site.folder(), &mut |_, messages| {
        Reaction::Reply(messages.iter().map(|_| Some(b"123456".to_vec())).collect())
    });
    assert_eq!(outcome.code, SUCCESS);
    assert_eq!(stub.requests()[1].body["answers"], serde_json::json!(["123456"]));
}

#[test]
fn texts_reach_the_terminal_in_one_call_with_the_question_and_without_escapes() {
    let site = Site::new("");
    let _stub = Stub::answering(&site.socket(), |request| {
        let begins = request.path == wire::login::BEGIN_PATH;
        let next = if begins { ask("Code\x07: ", false) } else { done("deny") };
        ok(&reply(request, if begins { &["\n█▀\x1b[31m\n", "scan"] } else { &["Access denied."] }, next))
    });
    let outcome = Transaction::default().typing(site.folder(), b"1");
    let message = |style, text: &str| Message { style, text: text.as_bytes().to_vec() };
    let first = vec![
        message(Style::Info, "\n█▀[31m\n"),
        message(Style::Info, "scan"),
        message(Style::Hidden, "Code: "),
    ];
    assert_eq!(outcome.seen, [first, vec![message(Style::Error, "Access denied.")]]);
}

#[test]
fn an_empty_answer_is_sent_where_it_is_allowed() {
    let site = Site::new("");
    let stub = Stub::answering(&site.socket(), |request| {
        let begins = request.path == wire::login::BEGIN_PATH;
        ok(&reply(request, &[], if begins { ask("Enter? ", true) } else { done("allow") }))
    });
    assert_eq!(Transaction::default().typing(site.folder(), b"").code, SUCCESS);
    assert_eq!(stub.requests()[1].body["answers"], serde_json::json!([""]));
}

#[test]
fn a_text_that_the_terminal_did_not_take_changes_no_verdict() {
    let site = Site::new("");
    let _stub = Stub::answering(&site.socket(), |request| ok(&reply(request, &["Welcome."], done("allow"))));
    for reaction in [Reaction::NoArray, Reaction::Fail(CONV_ERR)] {
        let outcome = Transaction::default().run(site.folder(), &mut |_, _| reaction.clone());
        assert_eq!(outcome.code, SUCCESS);
    }
    let outcome = Transaction::default().run(site.folder(), &mut |_, messages| typed(messages, b""));
    assert_eq!(outcome.seen.len(), 1);
}
