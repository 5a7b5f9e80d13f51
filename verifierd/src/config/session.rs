//! What records sessions: a program of the host, and what becomes of a session without it.

use std::path::Path;

use serde::{Deserialize, Serialize};
use wire::session::{RECORDER_WORD_BYTES_MAX, RECORDER_WORDS_MAX, RECORDERS, RecorderFailure};

/// What the file says of the recording of sessions, for all or at some hosts; `None` where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionOverrides {
    /// The program and its arguments; empty where nothing is to record.
    pub recorder: Option<Vec<String>>,
    /// What becomes of a session whose recorder does not start.
    pub recorder_failure: Option<RecorderFailure>,
}

/// As written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSession {
    #[serde(skip_serializing_if = "Option::is_none")]
    recorder: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recorder_failure: Option<RecorderFailure>,
}

impl RawSession {
    pub(super) fn says_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// * `table`: as the file calls it.
    pub(super) fn check(self, table: &str, faults: &mut Vec<String>) -> SessionOverrides {
        let Self { recorder, recorder_failure } = self;
        if let Some(command) = &recorder
            && !is_command(command)
        {
            faults.push(format!(
                "{table}.recorder = {command:?}: a program in {RECORDERS} is needed, then its arguments: at most \
                 {RECORDER_WORDS_MAX} words of {RECORDER_WORD_BYTES_MAX} bytes, without control characters; or [] for none"
            ));
        }
        SessionOverrides { recorder, recorder_failure }
    }
}

/// Whether it is a command that a host would run, or none at all.
fn is_command(command: &[String]) -> bool {
    let Some(program) = command.first() else { return true };
    let path = Path::new(program);
    let is_word = |word: &String| word.len() <= RECORDER_WORD_BYTES_MAX && !word.contains(char::is_control);
    let name = path.file_name().and_then(|name| name.to_str()).filter(|name| !name.is_empty());
    command.len() <= RECORDER_WORDS_MAX
        && command.iter().all(is_word)
        && name.is_some_and(|name| *program == format!("{RECORDERS}/{name}"))
}

impl From<SessionOverrides> for RawSession {
    fn from(session: SessionOverrides) -> Self {
        let SessionOverrides { recorder, recorder_failure } = session;
        Self { recorder, recorder_failure }
    }
}

#[cfg(test)]
mod tests {
    use wire::session::RecorderFailure;

    use crate::config::Config;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(&format!("version = 1\n{text}")).map_err(|faults| faults.to_string())
    }

    // covers: R10
    #[test]
    fn a_recorder_is_a_program_of_its_folder_and_is_written_as_it_was() {
        let config = parse(
            "[session]\nrecorder = [\"/etc/postern/recorders/tlog\", \"-v\"]\n\
             [group.web.session]\nrecorder_failure = \"continue\"\n[host.web1.session]\nrecorder = []",
        )
        .unwrap();
        let written = ["/etc/postern/recorders/tlog", "-v"].map(str::to_owned);
        assert_eq!(config.session.recorder.as_deref(), Some(&written[..]));
        assert_eq!(config.session.recorder_failure, None);
        let again = Config::parse(&config.to_text()).unwrap();
        assert_eq!(
            (&again.session, &again.groups, &again.hosts),
            (&config.session, &config.groups, &config.hosts)
        );
        let of_group = config.groups.values().next().unwrap();
        assert_eq!(of_group.session.recorder_failure, Some(RecorderFailure::Continue));
    }

    // covers: R10
    #[test]
    fn what_is_no_program_of_the_folder_is_refused() {
        let long = format!("/etc/postern/recorders/{}", "x".repeat(255));
        for program in [
            "",
            "tlog",
            "/bin/sh",
            "/etc/postern/recorders",
            "/etc/postern/recorders/",
            "/etc/postern/recorders/..",
            "/etc/postern/recorders/../../../bin/sh",
            "/etc/postern/recorders//tlog",
            "/etc/postern/recorders/a/b",
            "/etc/postern/recorders/a\\nb",
            &long,
        ] {
            let refused = parse(&format!("[host.web1.session]\nrecorder = [\"{program}\"]")).unwrap_err();
            assert!(refused.contains("host.web1.session.recorder"), "{program:?}: {refused}");
        }
        let words = ["\"/etc/postern/recorders/a\""; 17].join(", ");
        assert!(parse(&format!("[session]\nrecorder = [{words}]")).is_err());
        assert!(parse("[session]\nrecorder_failure = \"ignore\"").is_err());
        assert!(parse("[session]\nrecoder = []").is_err());
    }
}
