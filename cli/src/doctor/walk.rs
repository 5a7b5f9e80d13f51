//! Every way through a stack: which module ends how, what that does to the stack, and whether the user is in.
//!
//! Pure. Source: `_pam_dispatch_aux` of Linux-PAM (libpam/pam_dispatch.c).

use super::arguments;
use super::line::{Action, Rule};
use super::modules::{self, Ending, Part};
use super::stack::{Entry, Stack, Step};

/// Most ways that are looked at. A stack of a dozen known modules has some hundred.
const WALKS_MAX: usize = 50_000;

/// One way through a stack.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    /// Whether the user is in at its end.
    pub is_in: bool,
    /// The modules that were asked, by their index, with how they ended.
    pub asked: Vec<(usize, Ending)>,
    /// How our module ended, the last time that it was asked; absent when it was not.
    pub ours: Option<Ending>,
    /// What is known about the first factor so far.
    pub factor: Factor,
    /// What was known when our module was asked first; absent when it was not.
    pub factor_before_ours: Option<Factor>,
    /// The index of the step that passed over our line.
    pub skipped_by: Option<usize>,
    /// The index of a step that jumps past the end.
    pub jumped_too_far: Option<usize>,
    state: State,
}

/// What is known about the first factor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Factor {
    /// None was asked for.
    #[default]
    None,
    /// All that were asked for were wrong.
    Wrong,
    /// One was right.
    Right,
}

/// PAM's own state.
#[derive(Clone, Debug, Default)]
struct State {
    at: usize,
    impression: Impression,
    /// At the start of each substack that is open, outermost first.
    saved: Vec<Impression>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Impression {
    #[default]
    Undecided,
    /// A yes, with whether its result was `success`.
    Positive(bool),
    Negative,
}

/// All ways through a stack, and whether there are more than are looked at.
pub fn walks(stack: &Stack) -> (Vec<Walk>, bool) {
    let mut open = vec![Walk::default()];
    let mut ended = Vec::new();
    while let Some(mut walk) = open.pop() {
        if ended.len() + open.len() >= WALKS_MAX {
            return (ended, true);
        }
        let Some(entry) = stack.entries.get(walk.state.at) else {
            walk.is_in = walk.state.impression == Impression::Positive(true) && stack.can_start;
            ended.push(walk);
            continue;
        };
        walk.open_substacks(entry.level);
        match &entry.step {
            Step::Substack => {
                walk.state.at += 1;
                open.push(walk);
            }
            Step::Refusal => {
                walk.take(&stack.entries, Action::Bad, "perm_denied");
                open.push(walk);
            }
            Step::Module(rule) => {
                let part = modules::part(rule);
                for (result, ending) in modules::endings(part, fails_open(rule, part)) {
                    let mut next = walk.clone();
                    next.note(part, *ending);
                    next.take(&stack.entries, rule.control.action(result), result);
                    open.push(next);
                }
            }
        }
    }
    (ended, false)
}

fn fails_open(rule: &Rule, part: Part) -> bool {
    part == Part::Ours && arguments::parse(&rule.arguments).is_ok_and(|arguments| arguments.fails_open)
}

impl Walk {
    fn open_substacks(&mut self, level: usize) {
        self.state.saved.truncate(level);
        while self.state.saved.len() < level {
            self.state.saved.push(self.state.impression);
        }
    }

    fn note(&mut self, part: Part, ending: Ending) {
        self.asked.push((self.state.at, ending));
        match ending {
            Ending::Right => self.factor = Factor::Right,
            Ending::Wrong if self.factor == Factor::None => self.factor = Factor::Wrong,
            _ => {}
        }
        if part == Part::Ours {
            self.ours = Some(ending);
            self.factor_before_ours = self.factor_before_ours.or(Some(self.factor));
        }
    }

    fn take(&mut self, entries: &[Entry], action: Action, result: &str) {
        let here = self.state.at;
        let impression = self.state.impression;
        let next = match action {
            Action::Ignore => here + 1,
            Action::Ok | Action::Done => {
                if matches!(impression, Impression::Undecided | Impression::Positive(true)) {
                    self.state.impression = Impression::Positive(result == "success");
                }
                let ends = action == Action::Done && matches!(self.state.impression, Impression::Positive(_));
                if ends { behind_level(entries, here) } else { here + 1 }
            }
            Action::Bad | Action::Die => {
                self.state.impression = Impression::Negative;
                if action == Action::Die { behind_level(entries, here) } else { here + 1 }
            }
            Action::Reset => {
                self.state.impression = self.state.saved.last().copied().unwrap_or_default();
                here + 1
            }
            Action::Jump(count) => {
                let (next, left) = jump(entries, here, count);
                if left > 0 {
                    self.state.impression = Impression::Negative;
                    self.jumped_too_far = Some(here);
                }
                next
            }
        };
        if entries.iter().take(next).skip(here + 1).any(Entry::is_ours) {
            self.skipped_by = self.skipped_by.or(Some(here));
        }
        self.state.at = next;
    }
}

/// The first step behind the (sub)stack in which a decision was made.
fn behind_level(entries: &[Entry], here: usize) -> usize {
    let level = entries.get(here).map_or(0, |entry| entry.level);
    let rest = entries.iter().skip(here + 1);
    here + 1 + rest.take_while(|entry| entry.level >= level).count()
}

/// Skips `count` modules, a substack counting as one; returns where that ends and how many were not there.
fn jump(entries: &[Entry], here: usize, count: u32) -> (usize, u32) {
    let level = |index: usize| entries.get(index).map(|entry| entry.level);
    let Some(own) = level(here) else { return (here + 1, count) };
    let mut last = here;
    let mut left = count;
    while left > 0 && level(last + 1).is_some_and(|next| next >= own) {
        last += 1;
        while level(last + 1).is_some_and(|next| next > own) {
            last += 1;
        }
        left -= 1;
    }
    (last + 1, left)
}
