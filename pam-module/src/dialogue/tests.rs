//! The dialogue with a scripted verifier and a scripted user.

use pamsm::PamError;
use wire::login::Reply;

use super::*;
use crate::conversation::{ConversationFailed, RawAnswer};
use crate::verifier::{Failure, Unavailable};

/// Gives its replies in order; keeps the answers it got.
struct ScriptedVerifier {
    replies: Vec<Result<Reply, Failure>>,
    answered: Vec<Vec<String>>,
}

impl Verifier for ScriptedVerifier {
    fn begin(&mut self, _: &Login) -> Result<Reply, Failure> {
        self.replies.remove(0)
    }

    fn answer(
        &mut self,
        _: &Login,
        state: String,
        answers: Vec<Zeroizing<String>>,
    ) -> Result<Reply, Failure> {
        assert_eq!(state, "sealed");
        self.answered.push(answers.iter().map(|answer| (**answer).clone()).collect());
        self.replies.remove(0)
    }
}

/// Answers every question alike; keeps what was shown, one list per call.
struct ScriptedUser {
    answer: Result<Option<&'static [u8]>, ConversationFailed>,
    authtok: Option<&'static [u8]>,
    user: &'static str,
    seen: Vec<Vec<(Style, String)>>,
}

impl Conversation for ScriptedUser {
    fn converse(&mut self, messages: &[Message]) -> Result<Vec<Option<RawAnswer>>, ConversationFailed> {
        self.seen.push(messages.iter().map(|message| (message.style, (*message.text).clone())).collect());
        let answer = self.answer?;
        let reply = |message: &Message| match message.style {
            Style::HiddenQuestion | Style::ShownQuestion => {
                answer.map(|bytes| Zeroizing::new(bytes.to_vec()))
            }
            Style::Error | Style::Info => None,
        };
        Ok(messages.iter().map(reply).collect())
    }

    fn user(&self) -> Option<Vec<u8>> {
        Some(self.user.as_bytes().to_vec())
    }

    fn authtok(&self) -> Option<RawAnswer> {
        self.authtok.map(|bytes| Zeroizing::new(bytes.to_vec()))
    }
}

fn user() -> ScriptedUser {
    ScriptedUser { answer: Ok(Some(b"123456")), authtok: None, user: "alice", seen: Vec::new() }
}

fn reply(show: &[&str], next: Next) -> Result<Reply, Failure> {
    Ok(Reply {
        api_version: 1,
        request_id: String::new(),
        user: "alice".to_owned(),
        service: "sshd".to_owned(),
        host: None,
        show: show.iter().map(|text| (*text).to_owned()).collect(),
        next,
    })
}

fn question(text: &str) -> Question {
    Question { text: text.to_owned(), echo: false, empty_allowed: false }
}

fn asks(questions: Vec<Question>) -> Next {
    Next::Ask { state: "sealed".to_owned(), questions }
}

fn done(verdict: Verdict) -> Next {
    Next::Done { verdict, reference: "ABCD-EFGH".to_owned(), person: None }
}

/// Runs a dialogue; returns its ending and the answers that were sent.
fn check(
    arguments: &Arguments,
    user: &mut ScriptedUser,
    replies: Vec<Result<Reply, Failure>>,
) -> (Ending, Vec<Vec<String>>) {
    let login = Login {
        user: "alice".to_owned(),
        service: "sshd".to_owned(),
        rhost: None,
        ruser: None,
        tty: None,
        columns: None,
        session: None,
    };
    let mut verifier = ScriptedVerifier { replies, answered: Vec::new() };
    let ending = run(&login, arguments, user, &mut verifier);
    (ending, verifier.answered)
}

fn one_step(verdict: Verdict) -> Vec<Result<Reply, Failure>> {
    vec![reply(&[], asks(vec![question(PLAIN_QUESTION)])), reply(&[], done(verdict))]
}

#[test]
fn each_verdict_has_its_ending() {
    for (verdict, code) in [
        (Verdict::Allow, PamError::SUCCESS),
        (Verdict::NotRequired, PamError::IGNORE),
        (Verdict::Deny, PamError::AUTH_ERR),
        (Verdict::Unknown, PamError::AUTH_ERR),
        (Verdict::Unavailable, PamError::AUTHINFO_UNAVAIL),
    ] {
        let (ending, answered) = check(&Arguments::default(), &mut user(), one_step(verdict));
        assert_eq!(ending.code(), code, "{verdict:?}");
        assert_eq!(answered, [["123456"]]);
    }
}

#[test]
fn texts_and_questions_go_into_one_call_and_without_escapes() {
    let mut user = user();
    let shown = Question { echo: true, ..question("And\x07? ") };
    let step = reply(&["\n██\x1b[2J", "scan"], asks(vec![question(PLAIN_QUESTION), shown]));
    check(&Arguments::default(), &mut user, vec![step, reply(&["Welcome."], done(Verdict::Allow))]);
    let expected = [
        vec![
            (Style::Info, "\n██[2J".to_owned()),
            (Style::Info, "scan".to_owned()),
            (Style::HiddenQuestion, PLAIN_QUESTION.to_owned()),
            (Style::ShownQuestion, "And? ".to_owned()),
        ],
        vec![(Style::Info, "Welcome.".to_owned())],
    ];
    assert_eq!(user.seen, expected);
}

#[test]
fn a_refusal_is_shown_as_an_error_unless_quiet() {
    let replies = || vec![reply(&["Access denied."], done(Verdict::Deny))];
    let mut loud = user();
    check(&Arguments::default(), &mut loud, replies());
    assert_eq!(loud.seen, [[(Style::Error, "Access denied.".to_owned())]]);
    let mut quiet = user();
    check(&Arguments { quiet: true, ..Arguments::default() }, &mut quiet, replies());
    assert!(quiet.seen.is_empty());
}

#[test]
fn the_prompt_argument_replaces_the_plain_question_only() {
    let arguments = Arguments { prompt: Some("Code: ".to_owned()), ..Arguments::default() };
    let mut user = user();
    let step = reply(&[], asks(vec![question(PLAIN_QUESTION), question("Serial number: ")]));
    check(&arguments, &mut user, vec![step, reply(&[], done(Verdict::Deny))]);
    let texts: Vec<_> = user.seen[0].iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["Code: ", "Serial number: "]);
}

#[test]
fn what_is_no_answer_is_not_sent() {
    let answers: [(Result<Option<&'static [u8]>, _>, Refusal); 5] = [
        (Ok(Some(b"")), Refusal::Cancelled),
        (Ok(Some(b"\x08\n\r\x7fIN")), Refusal::DeniedBySshd),
        (Ok(Some(b"1\n2")), Refusal::AnswerMalformed),
        (Ok(None), Refusal::AnswerMissing),
        (Err(ConversationFailed), Refusal::ConversationFailed),
    ];
    for (answer, refusal) in answers {
        let mut user = ScriptedUser { answer, ..user() };
        let (ending, answered) = check(&Arguments::default(), &mut user, one_step(Verdict::Allow));
        assert_eq!(ending, Ending::Refused(refusal));
        assert!(answered.is_empty());
    }
}

#[test]
fn another_user_at_the_end_is_refused() {
    for verdict in [Verdict::Allow, Verdict::NotRequired] {
        let mut user = ScriptedUser { user: "root", ..user() };
        let (ending, _) = check(&Arguments::default(), &mut user, one_step(verdict));
        assert_eq!(ending, Ending::Refused(Refusal::UserChanged));
    }
}

#[test]
fn a_dialogue_has_at_most_eight_steps() {
    let steps =
        |count| -> Vec<_> { (0..count).map(|_| reply(&[], asks(vec![question("More? ")]))).collect() };
    let mut longest = steps(STEPS_MAX);
    longest.push(reply(&[], done(Verdict::Allow)));
    let (ending, answered) = check(&Arguments::default(), &mut user(), longest);
    assert_eq!((ending.code(), answered.len()), (PamError::SUCCESS, STEPS_MAX));
    let (ending, answered) = check(&Arguments::default(), &mut user(), steps(20));
    assert_eq!((ending, answered.len()), (Ending::Refused(Refusal::TooManySteps), STEPS_MAX));
}

#[test]
fn a_failure_in_any_step_ends_the_dialogue() {
    let lost = || Err(Failure::Unavailable(Unavailable::Closed));
    let first = check(&Arguments::default(), &mut user(), vec![lost()]).0;
    let second =
        check(&Arguments::default(), &mut user(), vec![reply(&[], asks(vec![question("? ")])), lost()]).0;
    assert_eq!(first.code(), PamError::AUTHINFO_UNAVAIL);
    assert_eq!(second.code(), PamError::AUTHINFO_UNAVAIL);
}

#[test]
fn authtok_answers_the_first_question_only_where_configured() {
    let with = |first_pass, authtok| {
        let arguments = Arguments { first_pass, ..Arguments::default() };
        let mut user = ScriptedUser { authtok, ..user() };
        let (ending, answered) = check(&arguments, &mut user, one_step(Verdict::Allow));
        (ending.code(), answered.concat().concat(), user.seen.len())
    };
    assert_eq!(with(FirstPass::Unused, Some(b"654321")), (PamError::SUCCESS, "123456".to_owned(), 1));
    assert_eq!(with(FirstPass::Tried, None), (PamError::SUCCESS, "123456".to_owned(), 1));
    assert_eq!(with(FirstPass::Tried, Some(b"65\n4")), (PamError::SUCCESS, "123456".to_owned(), 1));
    assert_eq!(with(FirstPass::Demanded, None), (PamError::AUTH_ERR, String::new(), 0));
    assert_eq!(with(FirstPass::Demanded, Some(b"")), (PamError::AUTH_ERR, String::new(), 0));
    let (code, sent, _) = with(FirstPass::Tried, Some(b"654321"));
    assert_eq!((code, sent.as_str()), (PamError::SUCCESS, "654321"));
    assert_eq!(with(FirstPass::Demanded, Some(b"\x08\n")), (PamError::AUTH_ERR, String::new(), 0));
}

#[test]
fn authtok_does_not_answer_a_second_step() {
    let arguments = Arguments { first_pass: FirstPass::Demanded, ..Arguments::default() };
    let mut user = ScriptedUser { authtok: Some(b"654321"), ..user() };
    let mut replies = vec![reply(&[], asks(vec![question(PLAIN_QUESTION)]))];
    replies.extend(one_step(Verdict::Allow));
    let (_, answered) = check(&arguments, &mut user, replies);
    assert_eq!(answered, [["654321"], ["123456"]]);
}
