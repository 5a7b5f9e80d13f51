//! What redeemed passwords let in, and until when.

use offline_password::{Purpose, Redemption, Services};
use serde::{Deserialize, Serialize};

use super::moment::{End, Moment};
use crate::clock::UnixTime;

/// Grants that hold at once: no more passwords can be made for a host than this beyond those that are known to be used.
pub const GRANTS_MAX: usize = 128;

/// A login on this host.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// The Unix account, as PAM has it.
    pub user: &'a str,
    /// The PAM service.
    pub service: &'a str,
    /// Whether that service only moves files.
    pub is_file_transfer: bool,
}

/// Which logins a grant is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reach {
    One(String),
    All,
    FileTransfers,
}

/// One grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Grant {
    /// Of which password.
    #[serde(default)]
    counter: u64,
    user: Option<String>,
    reach: Reach,
    end: End,
}

/// All that hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants(Vec<Grant>);

impl Grants {
    /// Adds what a password gave. One that gives no access adds nothing. Of too many, those that end first are forgotten.
    pub fn add(&mut self, redemption: &Redemption, now: UnixTime, moment: &Moment) {
        self.forget_over(now, moment);
        let reach = match &redemption.grant.purpose {
            Purpose::Access(Services::One(service)) => Reach::One(service.clone()),
            Purpose::Access(Services::All) => Reach::All,
            Purpose::Access(Services::FileTransfers) => Reach::FileTransfers,
            Purpose::LockoutReset => return,
        };
        if self.0.len() >= GRANTS_MAX {
            self.0.sort_by_key(|grant| std::cmp::Reverse(grant.end.wall));
            self.0.truncate(GRANTS_MAX - 1);
        }
        let end = End::new(now, redemption.until, moment);
        let (counter, user) = (redemption.grant.counter, redemption.grant.user.clone());
        self.0.push(Grant { counter, user, reach, end });
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Ends what some passwords gave.
    pub fn end(&mut self, counters: &[u64]) {
        self.0.retain(|grant| !counters.contains(&grant.counter));
    }

    /// Forgets what is over.
    pub fn forget_over(&mut self, now: UnixTime, moment: &Moment) {
        self.0.retain(|grant| grant.end.is_ahead(now, moment));
    }

    /// Until when a login needs nothing more; `None` where it does.
    pub fn until(&self, login: &Login<'_>, now: UnixTime, moment: &Moment) -> Option<UnixTime> {
        let holds = |grant: &&Grant| grant.is_for(login) && grant.end.is_ahead(now, moment);
        self.0.iter().filter(holds).map(|grant| grant.end.wall).max()
    }

    /// When the last of them ends.
    pub fn latest_end(&self, now: UnixTime, moment: &Moment) -> Option<UnixTime> {
        self.0.iter().filter(|grant| grant.end.is_ahead(now, moment)).map(|grant| grant.end.wall).max()
    }
}

impl Grant {
    fn is_for(&self, login: &Login<'_>) -> bool {
        let is_user = self.user.as_deref().is_none_or(|user| user == login.user);
        is_user
            && match &self.reach {
                Reach::One(service) => service == login.service,
                Reach::All => true,
                Reach::FileTransfers => login.is_file_transfer,
            }
    }
}

#[cfg(test)]
mod tests {
    use offline_password::{Deadline, Duration, Grant as Said, Term};

    use super::super::moment::moment;
    use super::*;

    fn redeemed(user: Option<&str>, purpose: Purpose, until: u64) -> Redemption {
        let term = Term::Preset { duration: Duration::Hours1, before: Deadline::new(900).unwrap() };
        let grant = Said { purpose, user: user.map(Into::into), term, counter: 1 };
        Redemption { grant, until }
    }

    // covers: N2, N7, N13
    #[test]
    fn a_grant_is_for_what_the_password_said_and_for_its_time() {
        let (start, ssh) =
            (moment(1_000, "a", 0), Login { user: "alice", service: "sshd", is_file_transfer: false });
        let until = |user: Option<&str>, purpose, login: &Login<'_>| {
            let mut grants = Grants::default();
            grants.add(&redeemed(user, purpose, 4_600), 1_000, &start);
            grants.until(login, 1_001, &moment(1_001, "a", 1))
        };
        let one = || Purpose::Access(Services::One("sshd".into()));
        assert_eq!(until(None, one(), &ssh), Some(4_600));
        assert_eq!(until(Some("alice"), one(), &ssh), Some(4_600));
        assert_eq!(until(Some("bob"), one(), &ssh), None);
        assert_eq!(until(Some("Alice"), one(), &ssh), None);
        assert_eq!(until(None, one(), &Login { service: "sudo", ..ssh }), None);
        assert_eq!(
            until(None, Purpose::Access(Services::All), &Login { service: "sudo", ..ssh }),
            Some(4_600)
        );
        let files = || Purpose::Access(Services::FileTransfers);
        assert_eq!(until(None, files(), &ssh), None);
        assert_eq!(until(None, files(), &Login { is_file_transfer: true, ..ssh }), Some(4_600));
        assert_eq!(until(None, Purpose::LockoutReset, &ssh), None);
    }

    // covers: D04, D06
    #[test]
    fn a_grant_ends_and_the_longest_of_several_is_told() {
        let ssh = Login { user: "alice", service: "sshd", is_file_transfer: false };
        let mut grants = Grants::default();
        let start = moment(1_000, "a", 0);
        for until in [4_600, 1_900, 8_200] {
            grants.add(&redeemed(None, Purpose::Access(Services::All), until), 1_000, &start);
        }
        let at = |wall, boot, elapsed| grants.until(&ssh, wall, &moment(wall, boot, elapsed));
        assert_eq!(
            (at(1_000, "a", 0), at(8_199, "a", 7_199), at(8_199, "b", 0)),
            (Some(8_200), Some(8_200), Some(8_200))
        );
        assert_eq!((at(8_200, "a", 7_199), at(1_000, "a", 7_200)), (None, None));
        for _ in 0..GRANTS_MAX + 9 {
            grants.add(&redeemed(None, Purpose::Access(Services::All), 9_999), 1_000, &start);
        }
        assert_eq!(grants.0.len(), GRANTS_MAX);
        grants.add(
            &redeemed(None, Purpose::Access(Services::All), 19_999),
            9_999,
            &moment(9_999, "a", 9_000),
        );
        assert_eq!(grants.0.len(), 1, "what is over is forgotten");
    }
}
