//! The dialogue of one login: shows what the verifier says, asks what it asks, takes over its verdict.
//!
//! Knows no secret, no policy and no libpam. What it is sure of itself: the number of steps is limited, what
//! cannot be an answer is not sent, and the user at the end is the one that was asked about.

use wire::login::{Identity, Next, Question, STEPS_MAX, Verdict};
use zeroize::{Zeroize, Zeroizing};

use crate::arguments::{Arguments, FirstPass};
use crate::conversation::{Conversation, Message, Style, parse_answer};
use crate::ending::{Ending, Refusal};
use crate::fault::fault_point;
use crate::login::Login;
use crate::text;
use crate::verifier::Verifier;

/// The verifier's plain question for a one-time password, the one that `prompt=` replaces. Its other
/// questions say something that a fixed text would hide.
const PLAIN_QUESTION: &str = "One-time password: ";

/// Runs the dialogue to its end.
pub(crate) fn run(
    login: &Login,
    arguments: &Arguments,
    conversation: &mut dyn Conversation,
    verifier: &mut dyn Verifier,
) -> Ending {
    fault_point!("dialogue::run");
    let mut first_pass = arguments.first_pass;
    let mut outcome = verifier.begin(login);
    for step in 0..=STEPS_MAX {
        let mut reply = match outcome {
            Ok(reply) => reply,
            Err(failure) => return Ending::Refused(failure.into()),
        };
        let (state, questions) = match reply.next {
            Next::Ask { .. } if step == STEPS_MAX => break,
            Next::Ask { state, questions } => (state, questions),
            Next::Done { verdict, reference, person } => {
                let end = End { show: reply.show, verdict, reference, person };
                return finish(login, arguments, conversation, end);
            }
        };
        let step = Step { show: &reply.show, questions: &questions, first_pass };
        let answers = ask(&step, arguments, conversation);
        reply.show.zeroize(); // enrolment shows a secret
        first_pass = FirstPass::Unused;
        outcome = match answers {
            Ok(answers) => verifier.answer(login, state, answers),
            Err(refusal) => return Ending::Refused(refusal),
        };
    }
    Ending::Refused(Refusal::TooManySteps)
}

/// One step to show and ask.
struct Step<'a> {
    show: &'a [String],
    questions: &'a [Question],
    first_pass: FirstPass,
}

/// The last reply.
struct End {
    show: Vec<String>,
    verdict: Verdict,
    reference: String,
    person: Option<Identity>,
}

/// The answers to a step: PAM_AUTHTOK where that is configured, else whatever the user types.
fn ask(
    step: &Step<'_>,
    arguments: &Arguments,
    conversation: &mut dyn Conversation,
) -> Result<Vec<Zeroizing<String>>, Refusal> {
    fault_point!("dialogue::ask");
    let known = match (step.first_pass, step.questions) {
        (FirstPass::Unused, _) => None,
        (FirstPass::Tried | FirstPass::Demanded, [question]) if !question.echo => {
            Some(parse_answer(question, conversation.authtok()))
        }
        (FirstPass::Tried | FirstPass::Demanded, _) => Some(Err(Refusal::FirstPassMissing)),
    };
    match (known, step.first_pass) {
        (Some(Ok(answer)), _) => {
            // Nothing is decided by whether this is seen: the answer is known.
            let _seen = conversation.converse(&infos(step.show, Style::Info));
            Ok(vec![answer])
        }
        (Some(Err(Refusal::DeniedBySshd)), _) => Err(Refusal::DeniedBySshd),
        (Some(Err(_)), FirstPass::Demanded) => Err(Refusal::FirstPassMissing),
        (Some(Err(_)) | None, _) => ask_user(step, arguments, conversation),
    }
}

/// Shows the texts and asks the questions in one call, so that a program which delays texts up to the next
/// question shows them in time.
fn ask_user(
    step: &Step<'_>,
    arguments: &Arguments,
    conversation: &mut dyn Conversation,
) -> Result<Vec<Zeroizing<String>>, Refusal> {
    fault_point!("dialogue::ask_user");
    let mut messages = infos(step.show, Style::Info);
    let shown = messages.len();
    messages.extend(step.questions.iter().map(|question| Message {
        style: if question.echo { Style::ShownQuestion } else { Style::HiddenQuestion },
        text: match &arguments.prompt {
            Some(prompt) if question.text == PLAIN_QUESTION => Zeroizing::new(prompt.clone()),
            _ => text::for_screen(&question.text),
        },
    }));
    let replies = conversation.converse(&messages).map_err(|_| Refusal::ConversationFailed)?;
    let mut answers = replies.into_iter().skip(shown);
    step.questions.iter().map(|question| parse_answer(question, answers.next().flatten())).collect()
}

fn infos(show: &[String], style: Style) -> Vec<Message> {
    show.iter().map(|text| Message { style, text: text::for_screen(text) }).collect()
}

/// Shows the verifier's last words and turns its verdict into an ending.
fn finish(login: &Login, arguments: &Arguments, conversation: &mut dyn Conversation, end: End) -> Ending {
    fault_point!("dialogue::finish");
    let style = match end.verdict {
        Verdict::Allow | Verdict::NotRequired => Style::Info,
        Verdict::Deny | Verdict::Unavailable | Verdict::Unknown => Style::Error,
    };
    if !arguments.quiet && !end.show.is_empty() {
        // The verdict stands whether or not its text is seen.
        let _seen = conversation.converse(&infos(&end.show, style));
    }
    let (reference, person) = (end.reference, end.person);
    // Asked last: the application's own functions ran until just above.
    let same_user = conversation.user().as_deref() == Some(login.user.as_bytes());
    match end.verdict {
        Verdict::Allow | Verdict::NotRequired if !same_user => Ending::Refused(Refusal::UserChanged),
        Verdict::Allow => Ending::Allowed { reference, person },
        Verdict::NotRequired => Ending::NotRequired { reference },
        Verdict::Deny | Verdict::Unknown => Ending::Refused(Refusal::Denied { reference }),
        Verdict::Unavailable => Ending::Refused(Refusal::Undecided { reference }),
    }
}

#[cfg(test)]
mod tests;
