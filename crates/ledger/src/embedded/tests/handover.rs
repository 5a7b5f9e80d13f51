//! The hand-over between threads, in as many interleavings as chance finds: the queue is the very file that the
//! engine uses, on top of locks that a scheduler of the test's drives.

mod sync {
    pub(super) use std::sync::PoisonError;

    pub(super) use shuttle::sync::{Condvar, Mutex, MutexGuard};
}

#[expect(clippy::duplicate_mod, reason = "the same file on top of the model's locks")]
#[path = "../queue.rs"]
mod queue;

use std::collections::VecDeque;

use shuttle::sync::Arc;
use shuttle::sync::mpsc::{Sender, channel};
use shuttle::thread;

use self::queue::{Queue, Refused};

/// Interleavings that are tried of each scenario.
const SCHEDULES: usize = 2_000;

const SUBMITTERS: usize = 3;
const EACH: usize = 3;
const WAITING_MAX: usize = 4;

/// What a submitter hands in: who it is, the number among its own, and where the answer goes.
struct Request {
    submitter: usize,
    number: usize,
    tell: Sender<Answer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Committed,
    Refused,
}

// covers: G01
#[test]
fn every_request_is_answered_once_and_in_order_and_a_sleeping_writer_wakes() {
    shuttle::check_random(
        || {
            let queue = Arc::new(Queue::new());
            let submitters: Vec<_> = (0..SUBMITTERS)
                .map(|submitter| {
                    let queue = Arc::clone(&queue);
                    // Each waits for every answer: a wake that is lost stops the model, which is reported.
                    thread::spawn(move || {
                        (0..EACH).map(|number| submit(&queue, submitter, number)).for_each(|answer| {
                            assert_eq!(answer, Some(Answer::Committed));
                        });
                    })
                })
                .collect();
            let mut committed = Vec::new();
            let mut taken = VecDeque::new();
            while committed.len() < SUBMITTERS * EACH {
                queue.take(&mut taken, 2, None);
                answer_all(&mut taken, Answer::Committed, &mut committed);
            }
            submitters.into_iter().for_each(|submitter| submitter.join().expect("no submitter panics"));
            check_order(&committed);
            assert!(queue.close().is_empty());
        },
        SCHEDULES,
    );
}

// covers: G01
#[test]
fn what_comes_while_the_writer_ends_is_committed_or_refused_and_never_lost() {
    shuttle::check_random(
        || {
            let queue = Arc::new(Queue::new());
            let submitters: Vec<_> = (0..SUBMITTERS)
                .map(|submitter| {
                    let queue = Arc::clone(&queue);
                    thread::spawn(move || {
                        (0..EACH)
                            .filter(|number| submit(&queue, submitter, *number) == Some(Answer::Committed))
                            .count()
                    })
                })
                .collect();
            let mut committed = Vec::new();
            let mut taken = VecDeque::new();
            queue.take(&mut taken, 2, None);
            answer_all(&mut taken, Answer::Committed, &mut committed);
            answer_all(&mut queue.close(), Answer::Refused, &mut Vec::new());
            let told: usize =
                submitters.into_iter().map(|one| one.join().expect("no submitter panics")).sum();
            assert_eq!(told, committed.len(), "as many were told so as were committed");
            check_order(&committed);
        },
        SCHEDULES,
    );
}

// covers: G01
#[test]
fn no_more_wait_than_may_and_those_that_wait_are_not_lost() {
    shuttle::check_random(
        || {
            let queue = Arc::new(Queue::new());
            let submitters: Vec<_> = (0..SUBMITTERS)
                .map(|submitter| {
                    let queue = Arc::clone(&queue);
                    thread::spawn(move || {
                        // Nobody waits for an answer, so the queue fills.
                        let (tell, _told) = channel();
                        let push = |number| {
                            let request = Request { submitter, number, tell: tell.clone() };
                            queue.push(request, WAITING_MAX)
                        };
                        (0..EACH).map(push).filter(Result::is_ok).count()
                    })
                })
                .collect();
            let (mut taken, mut seen) = (VecDeque::new(), Vec::new());
            queue.take(&mut taken, SUBMITTERS * EACH, None);
            assert!(taken.len() <= WAITING_MAX);
            answer_all(&mut taken, Answer::Committed, &mut seen);
            let accepted: usize =
                submitters.into_iter().map(|one| one.join().expect("no submitter panics")).sum();
            let mut left = queue.close();
            assert!(left.len() <= WAITING_MAX);
            answer_all(&mut left, Answer::Refused, &mut seen);
            assert_eq!(seen.len(), accepted);
            check_order(&seen);
        },
        SCHEDULES,
    );
}

/// Hands a request in and waits for its answer; none where nobody gives one.
fn submit(queue: &Queue<Request>, submitter: usize, number: usize) -> Option<Answer> {
    let (tell, told) = channel();
    match queue.push(Request { submitter, number, tell }, WAITING_MAX) {
        Ok(()) => {}
        Err(Refused::Closed(_)) => return Some(Answer::Refused),
        Err(Refused::Full(_)) => panic!("each submitter has one in flight, and there is room for all"),
    }
    let answer = told.recv().ok();
    assert!(answer.is_some(), "the request was dropped");
    assert!(told.recv().is_err(), "it was answered twice");
    answer
}

fn answer_all(taken: &mut VecDeque<Request>, answer: Answer, seen: &mut Vec<(usize, usize)>) {
    for Request { submitter, number, tell } in taken.drain(..) {
        seen.push((submitter, number));
        // Whoever does not wait any longer does not want to know.
        let _ = tell.send(answer);
    }
}

/// What one submitter handed in came out in that order, and no more than once.
fn check_order(seen: &[(usize, usize)]) {
    for submitter in 0..SUBMITTERS {
        let own: Vec<_> = seen.iter().filter(|(by, _)| *by == submitter).map(|(_, number)| number).collect();
        assert!(own.is_sorted_by(|one, next| one < next), "{own:?}");
    }
}
