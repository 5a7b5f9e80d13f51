//! What the writer says, line by line, and what follows from it for the history.

use system_tests::history::History;

use crate::{accepted, refused};

/// Something that the writer was told by the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A claim is durable.
    Accepted {
        /// Which token.
        token: u8,
        /// To which value.
        to: u64,
    },
    /// A counted wrong code is durable.
    Refused {
        /// Which token.
        token: u8,
        /// Which of its refusals.
        nth: u64,
    },
}

impl Told {
    /// One line, as the writer says it in one call.
    pub fn line(self) -> String {
        match self {
            Self::Accepted { token, to } => format!("accepted {token} {to}\n"),
            Self::Refused { token, nth } => format!("refused {token} {nth}\n"),
        }
    }

    fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (verb, token, number) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        match verb {
            "accepted" => Some(Self::Accepted { token, to: number }),
            "refused" => Some(Self::Refused { token, nth: number }),
            _ => None,
        }
    }
}

/// The history of a run by what its writer had said.
///
/// # Panics
/// When it said something else.
pub fn history(said: &[u8]) -> History {
    let mut history = History::default();
    for line in String::from_utf8_lossy(said).lines() {
        match Told::read(line).unwrap_or_else(|| panic!("the writer said {line:?}")) {
            Told::Accepted { token, to } => history.push(accepted(token, to, 0)),
            Told::Refused { token, nth } => history.push(refused(token, nth)),
        }
    }
    history
}
