//! How long the directory may keep one request waiting, however often that asks it.

use std::cell::OnceCell;
use std::time::Duration;

use tokio::time::Instant;

/// Longest time for all that one request asks of the directory. A login has ten seconds, its host's agent gives a verifier
/// half of them where there are two, and its password may have waited for a second before.
pub const WORK_TIME_MAX: Duration = Duration::from_millis(1_500);

tokio::task_local! {
    /// When the time is over; known from the first question on.
    static OVER: OnceCell<Instant>;
}

/// Does the work of one request: whatever it asks of the directory, at once or in turn, shares one time. Within another of
/// these it is a part of that one.
pub async fn as_one_request<T>(work: impl Future<Output = T>) -> T {
    match OVER.try_with(|_| ()) {
        Ok(()) => work.await,
        Err(_) => OVER.scope(OnceCell::new(), work).await,
    }
}

/// Does a part of a request's work in a task of its own.
///
/// * `until`: when the request's time is over.
pub(in crate::people) async fn within<T>(until: Instant, work: impl Future<Output = T>) -> T {
    OVER.scope(OnceCell::from(until), work).await
}

/// When an answer comes too late that is asked for now.
pub(in crate::people) fn until() -> Instant {
    let begin = || Instant::now() + WORK_TIME_MAX;
    OVER.try_with(|over| *over.get_or_init(begin)).unwrap_or_else(|_| begin())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_questions_of_a_request_end_at_one_moment_and_others_at_their_own() {
        let second = Duration::from_secs(1);
        let (first, second_one, inner) = as_one_request(async {
            let first = until();
            tokio::time::advance(second).await;
            (first, until(), as_one_request(async { until() }).await)
        })
        .await;
        assert_eq!((second_one, inner), (first, first));
        assert_eq!(until(), Instant::now() + WORK_TIME_MAX);
        assert_eq!(first + second, Instant::now() + WORK_TIME_MAX);
    }
}
