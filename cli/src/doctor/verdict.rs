//! One sentence for each service: what will happen at a login.

use super::demand::Demand;
use super::modules::{self, Ending, Part};
use super::sshd::{Settings, Way};
use super::stack::{Entry, Stack};
use super::sudo::{Asks, Listing};
use super::walk::Walk;

/// A way in, or not in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// What is asked, in order.
    pub words: Vec<String>,
    /// Why nobody is let in at its end; absent where he is.
    pub refusal: Option<String>,
    /// Whether our module is asked on it.
    pub asks_ours: bool,
    /// Whether a code is demanded that is not asked for here.
    misses_code: bool,
}

impl Passage {
    /// The way through a PAM stack of a user who answers everything right.
    pub fn through(stack: &Stack, walks: &[Walk], demand: &Demand) -> Self {
        let fitting = walks.iter().filter(|walk| fits(walk, demand));
        let refused = matches!(demand, Demand::Refused(_) | Demand::Undecided(_));
        let best = fitting.max_by_key(|walk| {
            let order =
                if refused { (walk.ours.is_some(), walk.is_in) } else { (walk.is_in, walk.ours.is_some()) };
            (order, std::cmp::Reverse(walk.asked.len()))
        });
        let Some(walk) = best else {
            let refusal = Some("its PAM stack lets nobody in".to_owned());
            return Self { words: Vec::new(), refusal, asks_ours: false, misses_code: false };
        };
        let mut words: Vec<String> = Vec::new();
        for (index, _) in &walk.asked {
            let asked = stack.entries.get(*index).and_then(|entry| asked(entry, demand));
            words.extend(asked.filter(|word| words.last() != Some(word)));
        }
        let refusal = match demand {
            _ if walk.is_in => None,
            Demand::Refused(why) | Demand::Undecided(why) if walk.ours.is_some() => Some(why.clone()),
            _ => Some("its PAM stack lets nobody in".to_owned()),
        };
        let misses_code = demand.is_code() == Some(true) && walk.ours.is_none() && walk.is_in;
        Self { words, refusal, asks_ours: walk.ours.is_some(), misses_code }
    }

    /// The sentence.
    pub fn sentence(&self) -> String {
        let asked = self.words.join(", then ");
        match (&self.refusal, asked.is_empty()) {
            (Some(why), true) => format!("is refused: {why}"),
            (Some(why), false) => format!("{asked}, then a refusal: {why}"),
            (None, true) => "nothing is asked".to_owned(),
            (None, false) if self.misses_code => format!("{asked}; no code is asked"),
            (None, false) => asked,
        }
    }

    /// The same at the end of one of sshd's ways.
    fn by_ssh(&self, way: &Way, settings: &Settings, demand: &Demand, is_root: bool) -> Self {
        let words = way.words(&self.words);
        let demanded = demand.is_code() == Some(true);
        let root = settings.refuses_root(way).filter(|_| is_root);
        let refusal = if let Some(setting) = root {
            Some(format!("PermitRootLogin is {setting}"))
        } else if way.asks_pam() {
            self.refusal.clone()
        } else {
            let blind = way.uses_password_method() && self.asks_ours && demanded;
            blind.then(|| "the `password` method cannot ask for a code".to_owned())
        };
        let misses_code = demanded && refusal.is_none() && !(way.asks_pam() && self.asks_ours);
        Self { words, refusal, asks_ours: way.asks_pam() && self.asks_ours, misses_code }
    }
}

/// Whether a walk is that of somebody who is not root and answers right, with this demand.
fn fits(walk: &Walk, demand: &Demand) -> bool {
    let ours = match demand {
        Demand::Code(_) | Demand::Open(_) => Ending::Accepted,
        Demand::Nothing => Ending::NotDemanded,
        Demand::Refused(_) => Ending::Refused,
        Demand::Undecided(_) => Ending::Unavailable,
    };
    let plain = |ending: Ending| !matches!(ending, Ending::Wrong | Ending::IsRoot);
    walk.asked.iter().all(|(_, ending)| plain(*ending)) && walk.ours.is_none_or(|ending| ending == ours)
}

fn asked(entry: &Entry, demand: &Demand) -> Option<String> {
    let rule = entry.rule()?;
    match modules::part(rule) {
        Part::Ours => match demand {
            Demand::Code(words) | Demand::Open(words) => Some(words.clone()),
            Demand::Nothing | Demand::Refused(_) | Demand::Undecided(_) => None,
        },
        Part::Factor(word) => Some(word.to_owned()),
        Part::Unknown => Some(format!("whatever {} asks", rule.module_name())),
        Part::Permit | Part::Deny | Part::RootOk | Part::Condition | Part::Silent => None,
    }
}

/// The sentence for sshd, over all its ways in.
pub fn ssh(passage: &Passage, settings: &Settings, demand: &Demand, is_root: bool) -> (String, Option<bool>) {
    let ways = settings.ways();
    let passages: Vec<Passage> =
        ways.iter().map(|way| passage.by_ssh(way, settings, demand, is_root)).collect();
    let mut sentences: Vec<String> = passages.iter().map(Passage::sentence).collect();
    sentences.dedup();
    let sentence = if sentences.is_empty() {
        "is refused: sshd offers no method that is switched on".to_owned()
    } else {
        sentences.join("; or ")
    };
    (sentence, Some(passages.iter().any(|passage| passage.asks_ours)))
}

/// The sentence for sudo; `place` is where a rule says that nothing is asked.
pub fn sudo(
    passage: &Passage,
    listing: &Listing,
    place: Option<String>,
    is_root: bool,
) -> (String, Option<bool>) {
    let place = place.map(|place| format!(" in {place}")).unwrap_or_default();
    let reason = listing.reason();
    let (sentence, reaches_pam) = match listing.asks() {
        _ if is_root => ("nothing is asked: root".to_owned(), false),
        Asks::NotAllowed => ("may not use sudo".to_owned(), false),
        Asks::Nothing => (format!("nothing is asked: {reason}{place}"), false),
        Asks::NothingForSome => {
            (format!("{}; nothing for some commands: {reason}{place}", passage.sentence()), true)
        }
        Asks::Pam => (passage.sentence(), true),
    };
    (sentence, Some(reaches_pam && passage.asks_ours))
}
