//! A service's stack of one type, with everything that its files include, as PAM would run it.
//!
//! Reads files; judges nothing but whether they can be read. Source: pam.conf(5), libpam/pam_handlers.c.

use super::finding::{Code, Finding, Place};
use super::line::{self, Kind, Rule, Words};
use super::machine::{Machine, Unread};
use super::text::Text;

/// Where PAM looks for a service, in this order.
const FOLDERS: [&str; 2] = ["/etc/pam.d", "/usr/lib/pam.d"];

/// Deepest inclusion: `PAM_SUBSTACK_MAX_LEVEL` of Linux-PAM.
const DEPTH_MAX: usize = 16;

/// Most lines of one stack; a real one has ten.
const ENTRIES_MAX: usize = 500;

/// The modules of one type in the order in which they run.
pub struct Stack {
    /// In order.
    pub entries: Vec<Entry>,
    /// What cannot be read as its author meant it.
    pub faults: Vec<Finding>,
    /// The files that it was made of, each once.
    pub files: Vec<String>,
    /// Whether PAM can start the service at all.
    pub can_start: bool,
    /// Whether a file that PAM can read is closed to us, so that more stands here than is known.
    pub has_gaps: bool,
}

/// One step of a stack.
pub struct Entry {
    /// The file that it stands in.
    pub place: Place,
    /// How many substacks deep.
    pub level: usize,
    /// What happens there.
    pub step: Step,
}

/// What happens at a step.
pub enum Step {
    /// A module is asked.
    Module(Rule),
    /// A substack begins.
    Substack,
    /// PAM refuses, because it could not read what stands there.
    Refusal,
}

impl Entry {
    /// The module, where there is one.
    pub fn rule(&self) -> Option<&Rule> {
        match &self.step {
            Step::Module(rule) => Some(rule),
            Step::Substack | Step::Refusal => None,
        }
    }

    /// Whether this is our line.
    pub fn is_ours(&self) -> bool {
        self.rule().is_some_and(Rule::is_ours)
    }
}

/// The file of a service; absent where there is none.
pub fn service_file(machine: &Machine, service: &str) -> Option<String> {
    FOLDERS.iter().map(|folder| format!("{folder}/{service}")).find(|path| machine.has(path))
}

/// The stack of a service. Where its file has no line of the type, or is missing, that of `other`.
pub fn load(machine: &Machine, service: &str, kind: Kind) -> Stack {
    let stack = load_file(machine, service, kind);
    let says_something = !stack.entries.is_empty() || stack.has_gaps;
    if says_something || !stack.can_start || service == "other" {
        return stack;
    }
    let other = load_file(machine, "other", kind);
    Stack {
        faults: [stack.faults, other.faults].concat(),
        files: [stack.files, other.files].concat(),
        ..other
    }
}

fn load_file(machine: &Machine, service: &str, kind: Kind) -> Stack {
    let stack = Stack {
        entries: Vec::new(),
        faults: Vec::new(),
        files: Vec::new(),
        can_start: true,
        has_gaps: false,
    };
    let mut loader = Loader { machine, kind, trail: Vec::new(), stack };
    if let Some(path) = service_file(machine, service) {
        loader.file(&path, None, 0, false);
    }
    loader.stack
}

struct Loader<'a> {
    machine: &'a Machine,
    kind: Kind,
    /// The files that are being read, outermost first.
    trail: Vec<String>,
    stack: Stack,
}

impl Loader<'_> {
    /// Reads a file and what it includes. `narrow`: it was included for one type alone, so that the other types'
    /// lines in it say nothing. Returns whether it could be read.
    fn file(&mut self, path: &str, from: Option<&Place>, level: usize, narrow: bool) -> bool {
        let shown = from.cloned().unwrap_or_else(|| Place::file(path));
        if let Some(fault) = self.circle(path) {
            self.stack.faults.push(fault.at(shown));
            return false;
        }
        let text = match self.machine.read(path) {
            Ok(text) => text,
            Err(why) => {
                self.stack.faults.push(unreadable(path, &why).at(shown));
                let is_gap = matches!(why, Unread::Closed(_));
                self.stack.has_gaps |= is_gap;
                return is_gap;
            }
        };
        if !self.stack.files.iter().any(|known| known == path) {
            self.stack.files.push(path.to_owned());
            self.stack.faults.extend(line::has_crlf(&text).map(|number| crlf(path, number)));
        }
        self.trail.push(path.to_owned());
        for line in line::parse(&text) {
            self.line(&Place::line(path, line.number), line.words, level, narrow);
        }
        self.trail.pop();
        true
    }

    fn line(&mut self, place: &Place, words: Words, level: usize, narrow: bool) {
        match words {
            Words::IncludeAll(name) => {
                let readable = self.file(&full(self.machine, &name), Some(place), level, narrow);
                // PAM reads no further: no program can use the service for anything.
                self.stack.can_start &= readable || narrow;
                if !readable && narrow {
                    self.push(place, level, Step::Refusal);
                }
            }
            Words::Include(kind, name) if kind == self.kind => {
                if !self.file(&full(self.machine, &name), Some(place), level, true) {
                    self.push(place, level, Step::Refusal);
                }
            }
            Words::Substack(kind, name) if kind == self.kind => {
                self.push(place, level, Step::Substack);
                if !self.file(&full(self.machine, &name), Some(place), level + 1, true) {
                    self.push(place, level, Step::Refusal);
                }
            }
            Words::Rule(kind, rule) if kind == self.kind => self.push(place, level, Step::Module(rule)),
            Words::Malformed(kind, why) if kind.is_none_or(|kind| kind == self.kind) => {
                self.stack.faults.push(malformed(&why).at(place.clone()));
                // A line without a readable type counts as one of auth.
                if kind.is_some() || self.kind == Kind::Auth {
                    self.push(place, level, Step::Refusal);
                }
            }
            Words::Include(..) | Words::Substack(..) | Words::Rule(..) | Words::Malformed(..) => {}
        }
    }

    fn push(&mut self, place: &Place, level: usize, step: Step) {
        if self.stack.entries.len() < ENTRIES_MAX {
            self.stack.entries.push(Entry { place: place.clone(), level, step });
        }
    }

    fn circle(&self, path: &str) -> Option<Finding> {
        let way = || [&self.trail[..], &[path.to_owned()]].concat().join(" -> ");
        let message = if self.trail.iter().any(|open| open == path) {
            format!("PAM files include each other in a circle: {}", way())
        } else if self.trail.len() > DEPTH_MAX {
            format!("PAM files include each other more than {DEPTH_MAX} deep: {}", way())
        } else {
            return None;
        };
        let remedy = "take one of these inclusions out; until then PAM refuses every login that meets it";
        Some(Finding::new(Code::IncludeLoop, message, remedy))
    }
}

/// An included file's path: PAM looks where it looks for services.
fn full(machine: &Machine, name: &str) -> String {
    if name.starts_with('/') {
        return name.to_owned();
    }
    service_file(machine, name).unwrap_or_else(|| format!("{}/{name}", FOLDERS[0]))
}

fn unreadable(path: &str, why: &Unread) -> Finding {
    match why {
        Unread::Missing => Finding::new(
            Code::IncludeMissing,
            format!("{path} is included and is not there; PAM refuses every login that meets this line"),
            "the name of a file in /etc/pam.d, or no such line",
        ),
        Unread::Unusual => Finding::new(
            Code::FileUnusual,
            format!("{path} is no ordinary file, or larger than 1 MiB"),
            "a text file of some lines",
        ),
        Unread::Closed(why) => super::not_checked(&format!("{path}: {why}")),
    }
}

fn crlf(path: &str, number: u32) -> Finding {
    Finding::new(
        Code::LineEndsCrlf,
        "lines end with a carriage return, which PAM takes as part of a module's name or argument",
        Text::from(r"line feeds alone: sed -i 's/\r$//' ").and(path.to_owned()),
    )
    .at(Place::line(path, number))
}

fn malformed(why: &str) -> Finding {
    Finding::new(
        Code::LineMalformed,
        format!("PAM cannot read this line and takes it for a refusal: {why}"),
        "type, control, module, arguments, as in `auth requisite pam_postern.so`",
    )
}
