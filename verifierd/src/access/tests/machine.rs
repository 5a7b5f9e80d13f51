//! Everything that can happen to requests, in any order, against a model that is a few lines long.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::stand::{CONFIG, Stand, wrong};
use crate::access::{Asked, Canceller, Ending, How, RequestId, RequestRecord, Standing};
use crate::accounts::UserName;
use crate::clock::Clock;
use crate::trial::NOON;

/// Something that happens.
#[derive(Clone, Copy, Debug)]
enum Event {
    Ask { automatic: bool },
    Approve,
    Deny,
    Cancel,
    Use,
    UseOld,
    Resend,
    Wrong,
    Wait { minutes: u64 },
    StepBack { minutes: u64 },
    Sweep,
    Restart,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        3 => any::<bool>().prop_map(|automatic| Event::Ask { automatic }),
        3 => Just(Event::Approve),
        1 => Just(Event::Deny),
        1 => Just(Event::Cancel),
        3 => Just(Event::Use),
        2 => Just(Event::UseOld),
        1 => Just(Event::Resend),
        1 => Just(Event::Wrong),
        3 => (1_u64..40).prop_map(|minutes| Event::Wait { minutes }),
        1 => (1_u64..20).prop_map(|minutes| Event::StepBack { minutes }),
        1 => Just(Event::Sweep),
        1 => Just(Event::Restart),
    ];
    proptest::collection::vec(event, 1..60)
}

/// What has to hold, told apart from how it is done.
#[derive(Default)]
struct Model {
    /// The newest request.
    last: Option<RequestRecord>,
    /// When its present stage is over, by the clock that never goes back.
    over_at: Duration,
    wrong_tries: u32,
    /// Passwords that were seen, and when they were issued, by the same clock.
    passwords: Vec<String>,
    issued_at: Option<Duration>,
    /// Whether the wall clock was set back, and then there was a start: what waited may be over sooner, and never later.
    was_set_back: bool,
    may_be_over: bool,
    may_have_anew: bool,
    used: BTreeSet<String>,
}

struct Run {
    stand: Option<Stand>,
    model: Model,
}

impl Run {
    fn stand(&self) -> &Stand {
        self.stand.as_ref().expect("it runs")
    }

    fn now(&self) -> Duration {
        self.stand().trial.clock.elapsed()
    }

    /// How the last request stands, by the model alone.
    fn standing(&self) -> Option<Standing> {
        let last = self.model.last.as_ref()?;
        let shown = || self.stand().requests().find(last.id).map(|record| record.standing());
        if self.model.may_be_over && shown() == Some(Standing::Ended(Ending::Expired)) {
            return shown();
        }
        Some(match last.standing() {
            Standing::Issued if self.model.wrong_tries >= 5 => Standing::Ended(Ending::Void),
            Standing::Pending | Standing::Issued if self.now() >= self.model.over_at => {
                Standing::Ended(Ending::Expired)
            }
            standing => standing,
        })
    }

    fn note_issue(&mut self, id: RequestId) {
        let password = self.stand().password(id).to_string();
        assert!(!self.model.passwords.contains(&password), "each issue has its own");
        self.model.passwords.push(password);
        (self.model.issued_at, self.model.wrong_tries) = (Some(self.now()), 0);
        (self.model.may_be_over, self.model.may_have_anew) = (false, false);
        self.model.over_at = self.now() + Duration::from_secs(1_800);
    }

    fn take_over(&mut self, id: RequestId) {
        self.model.last = self.stand().requests().find(id);
    }

    async fn ask(&mut self, automatic: bool) {
        let how = if automatic { How::Automatic } else { How::Approval };
        let too_soon = self.model.issued_at.is_some_and(|at| self.now() < at + Duration::from_secs(3_600));
        let standing = self.standing();
        match self.stand().ask("alice", how).await {
            Asked::Sent { .. } => {
                assert!(standing.is_none_or(|standing| matches!(standing, Standing::Ended(_))));
                assert!(!too_soon || self.model.may_have_anew);
                self.model.may_be_over = false;
                let known = self.model.last.as_ref().map(|last| last.id);
                let all = self.stand().requests().seen(|_| true);
                let is_new = |record: &&RequestRecord| {
                    Some(record.id) != known && !matches!(record.standing(), Standing::Ended(_))
                };
                let new = all.iter().find(is_new).expect("it was taken").clone();
                self.model.over_at = self.now() + Duration::from_secs(1_800);
                if automatic {
                    self.note_issue(new.id);
                }
                self.model.last = Some(new);
            }
            Asked::OpenAlready { .. } => assert_eq!(standing, Some(Standing::Pending)),
            Asked::TooSoon { .. } => assert!(too_soon),
            Asked::Busy { .. } => panic!("nobody else asks"),
        }
    }

    async fn decide(&mut self, event: Event) {
        let (Some(last), standing) = (self.model.last.clone(), self.standing()) else { return };
        let stand = self.stand();
        let (done, possible) = match event {
            Event::Approve => (stand.approve("carol", &last).await.is_ok(), vec![Standing::Pending]),
            Event::Deny => (stand.deny("dave", last.id).await.is_ok(), vec![Standing::Pending]),
            _ => {
                let cancelled = stand.requests().cancel(last.id, Canceller::Holder).await;
                (cancelled.is_ok(), vec![Standing::Pending, Standing::Issued])
            }
        };
        assert_eq!(
            done,
            standing.is_some_and(|standing| possible.contains(&standing)),
            "{event:?} {standing:?}"
        );
        if done && matches!(event, Event::Approve) {
            self.note_issue(last.id);
        }
        if done {
            self.take_over(last.id);
        }
    }

    /// Types a password: it opens exactly where it is the newest, was not used, and its time is not over.
    async fn type_in(&mut self, password: String) {
        let is_newest = self.model.passwords.last() == Some(&password);
        let is_good = is_newest && self.standing() == Some(Standing::Issued);
        // A wait of the throttle is no answer: it is over in a moment.
        self.stand().trial.advance(Duration::from_secs(1));
        let is_good = is_good && self.standing() == Some(Standing::Issued);
        let reason = self.stand().type_in("alice", &password).await;
        if reason == "throttled" {
            return;
        }
        assert_eq!(reason == "issued_password", is_good, "{reason}");
        if is_good {
            assert!(self.model.used.insert(password), "no password is accepted twice");
            let id = self.model.last.as_ref().unwrap().id;
            self.take_over(id);
        } else if reason == "wrong_code" && self.standing() == Some(Standing::Issued) {
            // One that was forgotten an hour after its end is a wrong try at the one that waits.
            self.model.wrong_tries += 1;
        }
    }

    async fn happen(&mut self, event: Event) {
        match event {
            Event::Ask { automatic } => self.ask(automatic).await,
            Event::Approve | Event::Deny | Event::Cancel => self.decide(event).await,
            Event::Use => {
                if let Some(password) = self.model.passwords.last().cloned() {
                    self.type_in(password).await;
                }
            }
            Event::UseOld => {
                if let Some(password) = self.model.passwords.first().cloned() {
                    self.type_in(password).await;
                }
            }
            Event::Wrong => {
                let waits = self.standing() == Some(Standing::Issued);
                let reason = self.stand().type_in("alice", &wrong(7)).await;
                self.model.wrong_tries += u32::from(waits && reason == "wrong_code");
            }
            Event::Resend => {
                let user = UserName::new("alice").unwrap();
                self.stand().requests().resend(None, &user).await.unwrap();
            }
            Event::Wait { minutes } => self.stand().trial.advance(Duration::from_secs(60 * minutes)),
            Event::StepBack { minutes } => {
                let clock = &self.stand().trial.clock;
                // Before the first start of its fleet's authority a daemon does not start.
                clock.set_wall((clock.now() - 60 * minutes).max(NOON));
                self.model.was_set_back = true;
            }
            Event::Sweep => drop(self.stand().requests().sweep(100).await),
            Event::Restart => {
                let stand = self.stand.take().expect("it runs");
                stand.requests().note_time().await;
                self.model.may_be_over |= self.model.was_set_back;
                self.model.may_have_anew |= self.model.was_set_back;
                self.stand = Some(stand.restart_with(CONFIG).await);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    // covers: C06, C16, R8, A06
    #[test]
    fn whatever_happens_each_password_is_accepted_at_most_once_and_only_in_its_time(events in events()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut run = Run { stand: Some(Stand::new().await), model: Model::default() };
            for event in events {
                run.happen(event).await;
            }
            let accepted = run.stand().accepted();
            assert_eq!(accepted, run.model.used.len());
        });
    }
}
