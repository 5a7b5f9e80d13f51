//! Judges a run from what clients saw and what the audit trail says.

use std::collections::BTreeMap;

use wire::admin::AuditRecord;
use wire::login::Verdict;

/// One answer that a client got.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Whose login.
    pub user: String,
    /// Which one-time password.
    pub code: String,
    /// What the daemon said.
    pub verdict: Verdict,
    /// Under which reference.
    pub reference: String,
}

/// Every answer that clients got in a run, across restarts.
#[derive(Default)]
pub struct History {
    answers: Vec<Answer>,
}

impl History {
    /// Adds one answer.
    pub fn push(&mut self, answer: Answer) {
        self.answers.push(answer);
    }

    /// How many logins were accepted.
    pub fn accepted(&self) -> usize {
        self.accepts().count()
    }

    /// # Panics
    /// When a one-time password was accepted twice, or an accept is not in the audit trail.
    pub fn judge(&self, audit: &[AuditRecord]) {
        let mut times: BTreeMap<(&str, &str), u32> = BTreeMap::new();
        for answer in self.accepts() {
            *times.entry((&answer.user, &answer.code)).or_default() += 1;
        }
        let twice: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "accepted more than once: {twice:?}");

        let recorded = |answer: &Answer| {
            audit.iter().any(|record| {
                record.reference == answer.reference
                    && record.verdict.as_deref() == Some("allow")
                    && record.user.as_deref() == Some(answer.user.as_str())
            })
        };
        let lost: Vec<_> = self.accepts().filter(|answer| !recorded(answer)).collect();
        assert!(lost.is_empty(), "accepted, but not in the audit trail: {lost:?}");
    }

    fn accepts(&self) -> impl Iterator<Item = &Answer> {
        self.answers.iter().filter(|answer| answer.verdict == Verdict::Allow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accepts: &[(&str, &str)], recorded: &[&str]) {
        let mut history = History::default();
        for (code, reference) in accepts {
            history.push(Answer {
                user: "alice".into(),
                code: (*code).into(),
                verdict: Verdict::Allow,
                reference: (*reference).into(),
            });
        }
        let record = |reference: &&str| -> AuditRecord {
            let text = format!(
                r#"{{"sequence":1,"at":"","reference":"{reference}","event":"login","verdict":"allow","reason":"accepted","user":"alice"}}"#
            );
            serde_json::from_str(&text).expect("a record")
        };
        history.judge(&recorded.iter().map(record).collect::<Vec<_>>());
    }

    #[test]
    fn accepts_that_differ_and_are_recorded_pass() {
        check(&[("111111", "A"), ("222222", "B")], &["A", "B", "C"]);
    }

    #[test]
    #[should_panic(expected = "more than once")]
    fn a_password_accepted_twice_is_found() {
        check(&[("111111", "A"), ("111111", "B")], &["A", "B"]);
    }

    #[test]
    #[should_panic(expected = "not in the audit trail")]
    fn an_accept_without_a_record_is_found() {
        check(&[("111111", "A")], &["B"]);
    }
}
