//! Whose code is raced for next: all users in turn, each code once.

use crate::authenticator::Authenticator;

/// All users, and which step each raced for last.
#[derive(Debug)]
pub struct Rota {
    authenticators: Vec<Authenticator>,
    raced: Vec<Option<u64>>,
    next: usize,
}

/// A user and a code that was not raced for.
#[derive(Clone, Debug)]
pub struct Entrant {
    /// Whose code.
    pub user: String,
    /// The step it belongs to.
    pub step: u64,
    /// The code.
    pub code: String,
}

impl Rota {
    /// Nobody has raced yet.
    pub fn new(authenticators: Vec<Authenticator>) -> Self {
        Self { raced: vec![None; authenticators.len()], authenticators, next: 0 }
    }

    /// The next user with his code of `step`; `None` when all of them raced for theirs.
    ///
    /// The user whose turn it is raced longest ago, so when he has no code, nobody has.
    pub fn next(&mut self, step: u64) -> Option<Entrant> {
        loop {
            let turn = self.next;
            if self.raced[turn].is_some_and(|raced| raced >= step) {
                return None;
            }
            self.raced[turn] = Some(step);
            self.next = (turn + 1) % self.authenticators.len();
            let authenticator = &self.authenticators[turn];
            if let Some(code) = authenticator.code(step) {
                return Some(Entrant { user: authenticator.user().to_owned(), step, code });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use otp_core::SharedSecret;

    use super::*;

    #[test]
    fn every_user_races_once_in_a_time_step() {
        let users = ["alice", "bob", "carol"];
        let authenticators = users.map(|user| {
            Authenticator::new(user, &SharedSecret::from_bytes(&user.as_bytes().repeat(8)).unwrap())
        });
        let mut rota = Rota::new(authenticators.into());
        for step in [100, 101] {
            let raced: Vec<_> = std::iter::from_fn(|| rota.next(step)).map(|entrant| entrant.user).collect();
            assert_eq!(raced, users, "step {step}");
        }
        assert!(rota.next(100).is_none(), "a clock that went back gives no code a second time");
    }
}
