//! The arguments of the module's line in `/etc/pam.d`. An unknown or malformed one is an error: a typing
//! mistake there must not be a login with other rules than its author meant.
//!
//! Pure; reads nothing but the words it is given.

use std::time::Duration;

use crate::verifier::SocketPath;

/// What the line says, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// `socket=/abs/path`: where the verifier (or the agent) answers.
    pub socket: SocketPath,
    /// `timeout=5s`: longest wait for the reply to one request.
    pub timeout: Duration,
    /// `[prompt=text]`: shown instead of the verifier's plain question for a one-time password.
    pub prompt: Option<String>,
    /// `try_first_pass`, `use_first_pass`.
    pub first_pass: FirstPass,
    /// `fail=open|closed`: what an unavailable verifier means.
    pub on_unavailable: OnUnavailable,
    /// `debug`: log also how the login was described and how long the verifier took.
    pub debug: bool,
    /// `quiet`: show only questions and what belongs to them, not the text that comes with the result.
    pub quiet: bool,
}

/// Whether PAM_AUTHTOK, which an earlier module of the stack set, answers the first question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstPass {
    /// Never; the value is not even read.
    Unused,
    /// If it is there and could be an answer; else the user is asked.
    Tried,
    /// Always; where it is missing or could not be an answer, the login is refused.
    Demanded,
}

/// What happens to a login when nothing can be decided about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnUnavailable {
    /// It is refused.
    Refuse,
    /// The module steps aside and the rest of the stack decides.
    StepAside,
}

/// An argument that is unknown or whose value is not one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArgumentError {
    /// The word as it stands in the file.
    pub word: String,
    /// What would be right.
    pub expected: &'static str,
}

/// The shortest and longest `timeout`, in seconds. The longest is the whole wait that a login has.
const TIMEOUT_SECONDS: std::ops::RangeInclusive<u64> = 1..=20;

/// The wait for one reply where the line says nothing: a durable commit takes milliseconds, a fail-over to
/// another verifier seconds.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// Longest `prompt` in bytes: two lines of a terminal.
const PROMPT_BYTES_MAX: usize = 160;

impl Arguments {
    /// Reads the words of the line.
    ///
    /// # Errors
    /// The first word that is unknown, malformed or given twice.
    pub(crate) fn parse(words: &[String]) -> Result<Self, ArgumentError> {
        let mut parsed = Self::default();
        for (index, word) in words.iter().enumerate() {
            let name = word.split('=').next().unwrap_or_default();
            let before = words.iter().take(index);
            let outcome =
                if before.map(|earlier| earlier.split('=').next()).any(|earlier| earlier == Some(name)) {
                    Err("an argument that was not given before")
                } else {
                    parsed.take(word)
                };
            outcome.map_err(|expected| ArgumentError { word: word.clone(), expected })?;
        }
        Ok(parsed)
    }

    /// Takes one word; the error says what would be right.
    fn take(&mut self, word: &str) -> Result<(), &'static str> {
        match word.split_once('=') {
            Some(("socket", path)) => self.socket = SocketPath::parse(path)?,
            Some(("timeout", text)) => self.timeout = parse_timeout(text)?,
            Some(("prompt", text)) => self.prompt = Some(parse_prompt(text)?),
            Some(("fail", "open")) => self.on_unavailable = OnUnavailable::StepAside,
            Some(("fail", "closed")) => self.on_unavailable = OnUnavailable::Refuse,
            Some(("fail", _)) => return Err("fail=open or fail=closed"),
            // Read by `session::may_go_unheard`.
            Some(("recorder_unknown", "refuse" | "continue")) => {}
            Some(("recorder_unknown", _)) => {
                return Err("recorder_unknown=refuse or recorder_unknown=continue");
            }
            None if word == "debug" => self.debug = true,
            None if word == "quiet" => self.quiet = true,
            None if word == "try_first_pass" => self.first_pass_is(FirstPass::Tried)?,
            None if word == "use_first_pass" => self.first_pass_is(FirstPass::Demanded)?,
            _ => {
                return Err(
                    "socket=, timeout=, prompt=, fail=, recorder_unknown=, try_first_pass, use_first_pass, debug or quiet",
                );
            }
        }
        Ok(())
    }

    fn first_pass_is(&mut self, first_pass: FirstPass) -> Result<(), &'static str> {
        if self.first_pass != FirstPass::Unused {
            return Err("either try_first_pass or use_first_pass");
        }
        self.first_pass = first_pass;
        Ok(())
    }
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            socket: SocketPath::default(),
            timeout: TIMEOUT_DEFAULT,
            prompt: None,
            first_pass: FirstPass::Unused,
            on_unavailable: OnUnavailable::Refuse,
            debug: false,
            quiet: false,
        }
    }
}

fn parse_timeout(text: &str) -> Result<Duration, &'static str> {
    const EXPECTED: &str = "timeout=1s up to timeout=20s";
    let digits = text.strip_suffix('s').ok_or(EXPECTED)?;
    if digits.is_empty() || digits.len() > 2 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(EXPECTED);
    }
    let seconds: u64 = digits.parse().map_err(|_| EXPECTED)?;
    TIMEOUT_SECONDS.contains(&seconds).then_some(Duration::from_secs(seconds)).ok_or(EXPECTED)
}

fn parse_prompt(text: &str) -> Result<String, &'static str> {
    let fits = !text.is_empty() && text.len() <= PROMPT_BYTES_MAX && !text.contains(char::is_control);
    fits.then(|| text.to_owned()).ok_or("[prompt=text], at most 160 bytes, without control characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &[&str]) -> Result<Arguments, ArgumentError> {
        Arguments::parse(&line.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn an_empty_line_refuses_when_the_verifier_is_unavailable() {
        let arguments = check(&[]).unwrap();
        assert_eq!(arguments, Arguments::default());
        assert_eq!(arguments.on_unavailable, OnUnavailable::Refuse);
        assert_eq!(arguments.socket.as_str(), wire::LOGIN_SOCKET);
    }

    #[test]
    fn every_argument_is_taken() {
        let line =
            ["socket=/run/x/y.sock", "timeout=20s", "prompt=Code, please: ", "fail=open", "debug", "quiet"];
        let arguments = check(&line).unwrap();
        let expected = Arguments {
            socket: SocketPath::parse("/run/x/y.sock").unwrap(),
            timeout: Duration::from_secs(20),
            prompt: Some("Code, please: ".to_owned()),
            first_pass: FirstPass::Unused,
            on_unavailable: OnUnavailable::StepAside,
            debug: true,
            quiet: true,
        };
        assert_eq!(arguments, expected);
        assert_eq!(check(&["try_first_pass"]).unwrap().first_pass, FirstPass::Tried);
        assert_eq!(check(&["use_first_pass"]).unwrap().first_pass, FirstPass::Demanded);
        assert_eq!(check(&["recorder_unknown=refuse"]), Ok(Arguments::default()));
        assert_eq!(check(&["fail=closed"]).unwrap().on_unavailable, OnUnavailable::Refuse);
    }

    #[test]
    fn every_unknown_malformed_or_repeated_argument_is_refused() {
        let lines: [&[&str]; 34] = [
            &["recorder_unknown"],
            &["recorder_unknown=ignore"],
            &[""],
            &["nullok"],
            &["Debug"],
            &["debug=1"],
            &["quiet="],
            &["fail"],
            &["fail=OPEN"],
            &["fail="],
            &["fail=open", "fail=closed"],
            &["debug", "debug"],
            &["timeout"],
            &["timeout=5"],
            &["timeout=0s"],
            &["timeout=21s"],
            &["timeout=5m"],
            &["timeout=+5s"],
            &["timeout=5.0s"],
            &["timeout=005s"],
            &["timeout=s"],
            &["timeout=-1s"],
            &["socket=run/x"],
            &["socket="],
            &["socket=/"],
            &["socket=/run/../x"],
            &["socket=/run/./x"],
            &["socket=/run//x"],
            &["socket=/run/x/"],
            &["socket=@abstract"],
            &["socket=/run/x", "socket=/run/y"],
            &["prompt="],
            &["prompt=a\x1b[0m"],
            &["try_first_pass", "use_first_pass"],
        ];
        for line in lines {
            assert!(check(line).is_err(), "{line:?} was taken");
        }
        assert!(check(&[&format!("prompt={}", "x".repeat(161))]).is_err());
        assert!(check(&[&format!("socket=/{}", "x".repeat(107))]).is_err());
    }
}
