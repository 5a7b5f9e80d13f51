//! What the directory answered a moment ago, nobody included: a login asks for one person several times, and whoever tries
//! many names does not ask for one twice.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Found, Question};

/// How long an answer counts. Whoever is disabled in the directory is somebody for so much longer, but for his password,
/// which is always asked for anew.
pub(super) const AGE_MAX: Duration = Duration::from_secs(60);

/// Answers that are kept: each login name of a large site once in a minute. Each takes about 1 KiB.
const ANSWERS_MAX: usize = 4_096;

/// Answers and when they were asked for, by a clock that nobody sets.
#[derive(Default)]
pub(super) struct Cache {
    /// Held for one look or one answer.
    answers: Mutex<HashMap<Question, (Duration, Found)>>,
}

impl Cache {
    pub(super) fn get(&self, question: &Question, now: Duration) -> Option<Found> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let (asked, found) = answers.get(question)?;
        is_fresh(*asked, now).then(|| found.clone())
    }

    pub(super) fn put(&self, question: Question, found: Found, asked: Duration) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= ANSWERS_MAX && !answers.contains_key(&question) {
            answers.retain(|_, (other, _)| is_fresh(*other, asked));
            if answers.len() >= ANSWERS_MAX {
                // All are fresh: this one is asked for again the next time.
                return;
            }
        }
        answers.insert(question, (asked, found));
    }
}

fn is_fresh(asked: Duration, now: Duration) -> bool {
    now.saturating_sub(asked) < AGE_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_for_a_minute_and_there_are_so_many() {
        let cache = Cache::default();
        let question = |number: usize| Question::Login(format!("u{number}"));
        let second = Duration::from_secs;
        for number in 0..=ANSWERS_MAX {
            cache.put(question(number), Found::from([]), second(10));
        }
        let is_known = |number, now| cache.get(&question(number), second(now)).is_some();
        assert!(is_known(0, 69) && !is_known(0, 70) && !is_known(ANSWERS_MAX, 10));
        cache.put(question(ANSWERS_MAX), Found::from([]), second(70));
        assert!(is_known(ANSWERS_MAX, 71));
        assert_eq!(cache.answers.lock().unwrap().len(), 1);
    }
}
