//! How many connections one socket serves at once, and how many of them one account may have.
//!
//! Each socket has seats of its own, so that a crowd at one of them keeps nobody from another.

use std::collections::HashMap;

/// Connections served at once on each socket. sshd alone keeps to 100 unauthenticated ones (MaxStartups); a
/// busy machine's sudo adds some; beyond this, callers wait in the listen queue. `verifierd.service` allows
/// descriptors for all three sockets.
pub const CONNECTIONS_MAX: usize = 1_024;

/// Connections of one account at once, but for root's. A person's commands make one at a time; eight leave
/// room for a script that runs some beside each other, and it takes 128 accounts to fill a socket.
pub const CONNECTIONS_PER_ACCOUNT_MAX: usize = 8;

/// The seats of one socket that are taken.
#[derive(Debug, Default)]
pub struct Seats {
    by_uid: HashMap<u32, usize>,
    taken: usize,
}

impl Seats {
    /// Whether nobody else can sit down.
    pub fn is_full(&self) -> bool {
        self.taken >= CONNECTIONS_MAX
    }

    /// Takes a seat for a caller; `false` when he has as many as he may have.
    pub fn take(&mut self, uid: u32) -> bool {
        let own = self.by_uid.entry(uid).or_default();
        if self.taken >= CONNECTIONS_MAX || (uid != 0 && *own >= CONNECTIONS_PER_ACCOUNT_MAX) {
            return false;
        }
        *own += 1;
        self.taken += 1;
        true
    }

    /// Gives a seat back.
    pub fn leave(&mut self, uid: u32) {
        self.taken = self.taken.saturating_sub(1);
        if let Some(own) = self.by_uid.get_mut(&uid) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                self.by_uid.remove(&uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: I05
    #[test]
    fn one_account_has_eight_seats_and_another_has_its_own() {
        let mut seats = Seats::default();
        assert_eq!((0..10).filter(|_| seats.take(1000)).count(), CONNECTIONS_PER_ACCOUNT_MAX);
        assert!(seats.take(1001));
        seats.leave(1000);
        assert!(seats.take(1000) && !seats.take(1000));
    }

    #[test]
    fn root_may_have_them_all_and_no_more() {
        let mut seats = Seats::default();
        assert_eq!((0..2 * CONNECTIONS_MAX).filter(|_| seats.take(0)).count(), CONNECTIONS_MAX);
        assert!(seats.is_full() && !seats.take(1000));
        seats.leave(0);
        assert!(!seats.is_full() && seats.take(1000));
    }

    #[test]
    fn nothing_is_kept_of_who_is_gone() {
        let mut seats = Seats::default();
        for uid in 1..=500 {
            assert!(seats.take(uid));
            seats.leave(uid);
        }
        assert_eq!((seats.by_uid.len(), seats.taken), (0, 0));
    }
}
