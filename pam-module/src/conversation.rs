//! What the dialogue needs of the program that asked for the login, and what an answer may look like.
//!
//! Pure; [`crate::transaction`] has the real one.

use wire::login::{ANSWER_BYTES_MAX, Question};
use zeroize::Zeroizing;

use crate::ending::Refusal;

/// The program at the other end of libpam: sshd, sudo, su, login.
pub(crate) trait Conversation {
    /// Shows and asks everything at once; one entry per message, `None` where no answer came.
    ///
    /// # Errors
    /// When the program could not converse.
    fn converse(&mut self, messages: &[Message]) -> Result<Vec<Option<RawAnswer>>, ConversationFailed>;

    /// PAM_USER at this moment.
    fn user(&self) -> Option<Vec<u8>>;

    /// PAM_AUTHTOK at this moment.
    fn authtok(&self) -> Option<RawAnswer>;
}

/// An answer as it came, wiped when dropped.
pub(crate) type RawAnswer = Zeroizing<Vec<u8>>;

/// One message, already fit for a terminal.
pub(crate) struct Message {
    /// How it is presented.
    pub style: Style,
    /// What it says; wiped when dropped, because enrolment shows a secret.
    pub text: Zeroizing<String>,
}

/// How a message is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Asks without echo.
    HiddenQuestion,
    /// Asks with echo.
    ShownQuestion,
    /// Tells about a refusal.
    Error,
    /// Tells.
    Info,
}

/// The conversation function failed, or there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConversationFailed;

/// The byte that sshd's replacement for the answers of denied users starts with; it goes on as
/// `\n\r\x7fINCORRECT`, over again up to the length typed (OpenSSH, auth-pam.c, `fake_password`). No keyboard
/// puts it into a line.
const SSHD_JUNK_START: u8 = 0x08;

/// Checks what came for `question`.
///
/// # Errors
/// The refusal that ends the dialogue; nothing is sent to the verifier then.
pub(crate) fn parse_answer(
    question: &Question,
    answer: Option<RawAnswer>,
) -> Result<Zeroizing<String>, Refusal> {
    let bytes = answer.ok_or(Refusal::AnswerMissing)?;
    if bytes.first() == Some(&SSHD_JUNK_START) {
        return Err(Refusal::DeniedBySshd);
    }
    if bytes.is_empty() && !question.empty_allowed {
        return Err(Refusal::Cancelled);
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| Refusal::AnswerMalformed)?;
    if text.len() > ANSWER_BYTES_MAX || text.contains(char::is_control) {
        return Err(Refusal::AnswerMalformed);
    }
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: Option<&[u8]>, empty_allowed: bool) -> Result<String, Refusal> {
        let question = Question { text: "q".to_owned(), echo: false, empty_allowed };
        let answer = bytes.map(|bytes| Zeroizing::new(bytes.to_vec()));
        parse_answer(&question, answer).map(|answer| (*answer).clone())
    }

    #[test]
    fn an_answer_is_text_of_at_most_128_bytes() {
        let longest = "x".repeat(128);
        for text in ["123456", " 12 34 ", "grün", longest.as_str()] {
            assert_eq!(check(Some(text.as_bytes()), false), Ok(text.to_owned()));
        }
    }

    #[test]
    fn an_empty_answer_cancels_unless_it_is_allowed() {
        assert_eq!(check(Some(b""), false), Err(Refusal::Cancelled));
        assert_eq!(check(Some(b""), true), Ok(String::new()));
        assert_eq!(check(None, true), Err(Refusal::AnswerMissing));
    }

    #[test]
    fn sshds_junk_is_known_by_its_first_byte() {
        let junk = b"\x08\n\r\x7fINCORRECT\x08\n\r\x7fINCORRECT";
        for length in 1..junk.len() {
            assert_eq!(check(Some(&junk[..length]), false), Err(Refusal::DeniedBySshd));
        }
    }

    #[test]
    fn what_cannot_be_an_answer_is_malformed() {
        let too_long = [b'1'; 129];
        let answers: [&[u8]; 6] =
            [b"12\n3", b"\x1b[A", b"123\x7f", b"\xff\xfe", "1\u{85}2".as_bytes(), &too_long];
        for answer in answers {
            assert_eq!(check(Some(answer), false), Err(Refusal::AnswerMalformed));
        }
    }
}
