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

    /// A one-time password is a token's time step: in a long run two steps of one token show the same digits by
    /// chance, so the digits alone decide nothing.
    ///
    /// # Panics
    /// When a one-time password was accepted twice, by what clients saw or by what the trail holds, or when an
    /// accept is not in the trail.
    pub fn judge(&self, audit: &[AuditRecord]) {
        let allowed = || audit.iter().filter(|record| record.verdict.as_deref() == Some("allow"));
        let twice = twice(allowed().map(password));
        assert!(twice.is_empty(), "accepted more than once, says the trail: {twice:?}");

        let by_reference: BTreeMap<&str, &AuditRecord> =
            allowed().map(|record| (record.reference.as_str(), record)).collect();
        let recorded = |answer: &&Answer| {
            let record = by_reference.get(answer.reference.as_str());
            record.copied().filter(|record| record.user.as_deref() == Some(answer.user.as_str()))
        };
        let lost: Vec<_> = self.accepts().filter(|answer| recorded(answer).is_none()).collect();
        assert!(lost.is_empty(), "accepted, but not in the audit trail: {lost:?}");
        let twice = self::twice(self.accepts().filter_map(|answer| recorded(&answer)).map(password));
        assert!(twice.is_empty(), "accepted more than once, say the clients: {twice:?}");
    }

    /// Of a token with a button, each counter accepted is above the one before it in the trail.
    ///
    /// # Panics
    /// When one is not, or when an accept of a token with a button does not tell its counter.
    pub fn judge_counters(&self, audit: &[AuditRecord]) {
        let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
        for record in audit.iter().filter(|record| record.verdict.as_deref() == Some("allow")) {
            let Some((token, counter)) = record.token.as_deref().zip(counter(record)) else { continue };
            let before = newest.insert(token, counter);
            assert!(
                before.is_none_or(|before| before < counter),
                "{token}: counter {counter} was accepted after {before:?}"
            );
        }
        let told = newest.values().len();
        assert!(told > 0 || self.accepted() == 0, "no accept tells its counter");
    }

    fn accepts(&self) -> impl Iterator<Item = &Answer> {
        self.answers.iter().filter(|answer| answer.verdict == Verdict::Allow)
    }
}

/// The counter of an accepted code, where the token has a button: `counter 17`.
fn counter(record: &AuditRecord) -> Option<u64> {
    let words = record.detail.as_deref()?.split_once("counter ")?.1;
    words.split(|it: char| !it.is_ascii_digit()).next()?.parse().ok()
}

/// The user, the token and the step or counter (`detail`) of an accepted login: what may be accepted once.
fn password(record: &AuditRecord) -> [&str; 3] {
    [&record.user, &record.token, &record.detail].map(|field| field.as_deref().unwrap_or_default())
}

/// What occurs more than once.
fn twice<T: Ord>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut times = BTreeMap::new();
    all.for_each(|one| *times.entry(one).or_insert(0_u32) += 1);
    times.into_iter().filter(|(_, times)| *times > 1).map(|(one, _)| one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// * `accepts`: references that clients got with an accept.
    /// * `recorded`: references and steps of the accepts in the trail.
    fn check(accepts: &[&str], recorded: &[(&str, u64)]) {
        let mut history = History::default();
        for reference in accepts {
            history.push(Answer {
                user: "alice".into(),
                code: "111111".into(),
                verdict: Verdict::Allow,
                reference: (*reference).into(),
            });
        }
        let record = |(reference, step): &(&str, u64)| AuditRecord {
            reference: (*reference).into(),
            verdict: Some("allow".into()),
            user: Some("alice".into()),
            detail: Some(format!("step {step}")),
            ..AuditRecord::default()
        };
        history.judge(&recorded.iter().map(record).collect::<Vec<_>>());
    }

    #[test]
    fn accepts_of_different_steps_that_are_recorded_pass() {
        check(&["A", "B"], &[("A", 1), ("B", 2), ("C", 3)]);
    }

    #[test]
    #[should_panic(expected = "more than once, says the trail")]
    fn a_password_accepted_twice_is_found_in_the_trail() {
        check(&["A"], &[("A", 1), ("B", 1)]);
    }

    #[test]
    #[should_panic(expected = "more than once, say the clients")]
    fn a_password_accepted_twice_under_one_reference_is_found() {
        check(&["A", "A"], &[("A", 1)]);
    }

    /// * `counters`: as accepted, in the order of the trail.
    fn check_counters(counters: &[u64]) {
        let record = |counter: &u64| AuditRecord {
            verdict: Some("allow".into()),
            token: Some("2600000000001".into()),
            detail: Some(format!("counter {counter}")),
            ..AuditRecord::default()
        };
        History::default().judge_counters(&counters.iter().map(record).collect::<Vec<_>>());
    }

    #[test]
    fn counters_that_rise_pass() {
        check_counters(&[0, 1, 11]);
    }

    #[test]
    #[should_panic(expected = "counter 3 was accepted after Some(7)")]
    fn a_counter_that_falls_is_found() {
        check_counters(&[1, 7, 3]);
    }

    #[test]
    #[should_panic(expected = "not in the audit trail")]
    fn an_accept_without_a_record_is_found() {
        check(&["A"], &[("B", 1)]);
    }
}
