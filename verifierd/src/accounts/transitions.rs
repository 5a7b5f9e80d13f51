//! The life of a token: one table of what may follow what.
//!
//! | | available | assigned | associated | disabled | lost |
//! | --- | --- | --- | --- | --- | --- |
//! | assign | assigned | | | | |
//! | associate | associated | associated | | | |
//! | disassociate | | available | available | disabled | lost |
//! | disable | disabled | disabled | disabled | | |
//! | lose | | lost | lost | lost | |
//! | enable | | | | as before | as before |
//!
//! What is empty is refused. What is disabled or lost stays so when it is taken from its user: the next one to
//! hold it has to be told that it works again. "As before" is associated where a code had proved that its user holds it,
//! assigned where none had, available where it has no user.

use wire::admin::TokenState::{self, Assigned, Associated, Available, Disabled, Lost};

/// What can happen to a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// It is given to a user.
    Assign,
    /// A code proves that a user holds it.
    Associate,
    /// It is taken from its user.
    Disassociate,
    /// It stops working.
    Disable,
    /// Its user does not have it any more.
    Lose,
    /// It works again.
    Enable,
}

/// What a token was before it was disabled or lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before {
    /// Whether it has a user.
    pub owned: bool,
    /// Whether a code had proved that he holds it.
    pub proved: bool,
}

/// The state that follows; `None` where the transition is not allowed.
pub fn next(state: TokenState, transition: Transition, before: Before) -> Option<TokenState> {
    match (transition, state) {
        (Transition::Assign, Available) => Some(Assigned),
        (Transition::Associate, Available | Assigned) => Some(Associated),
        (Transition::Disassociate, Assigned | Associated) => before.owned.then_some(Available),
        (Transition::Disassociate, Disabled | Lost) => before.owned.then_some(state),
        (Transition::Disable, Available | Assigned | Associated) => Some(Disabled),
        (Transition::Lose, Assigned | Associated | Disabled) => before.owned.then_some(Lost),
        (Transition::Enable, Disabled | Lost) => Some(match before {
            Before { owned: false, .. } => Available,
            Before { proved: false, .. } => Assigned,
            Before { proved: true, .. } => Associated,
        }),
        (Transition::Assign, Assigned | Associated | Disabled | Lost)
        | (Transition::Associate, Associated | Disabled | Lost)
        | (Transition::Disassociate, Available)
        | (Transition::Disable, Disabled | Lost)
        | (Transition::Lose, Available | Lost)
        | (Transition::Enable, Available | Assigned | Associated) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [TokenState; 5] = [Available, Assigned, Associated, Disabled, Lost];
    const PROVED: Before = Before { owned: true, proved: true };

    fn check(transition: Transition, before: Before, expected: [Option<TokenState>; 5]) {
        assert_eq!(STATES.map(|state| next(state, transition, before)), expected, "{transition:?}");
    }

    // covers: A3
    #[test]
    fn every_state_allows_just_what_the_table_says() {
        let free = Some(Available);
        check(Transition::Assign, PROVED, [Some(Assigned), None, None, None, None]);
        check(Transition::Associate, PROVED, [Some(Associated), Some(Associated), None, None, None]);
        check(Transition::Disassociate, PROVED, [None, free, free, Some(Disabled), Some(Lost)]);
        check(Transition::Disable, PROVED, [Some(Disabled), Some(Disabled), Some(Disabled), None, None]);
        check(Transition::Lose, PROVED, [None, Some(Lost), Some(Lost), Some(Lost), None]);
    }

    // covers: A3
    #[test]
    fn enabling_gives_back_what_was_proved_and_no_more() {
        let enabled = |owned, proved| next(Disabled, Transition::Enable, Before { owned, proved });
        assert_eq!(enabled(true, true), Some(Associated));
        assert_eq!(enabled(true, false), Some(Assigned));
        assert_eq!(enabled(false, false), Some(Available));
        assert_eq!(next(Disabled, Transition::Lose, Before { owned: false, proved: false }), None);
    }
}
