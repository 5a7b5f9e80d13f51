//! The machine's own accounts and groups, as its name service knows them.

use std::collections::BTreeSet;
use std::ffi::CString;

use nix::unistd::{Gid, Group, User, getgrouplist};

use super::UserName;
use crate::config::UnixGroup;
use crate::policy::Memberships;

/// Whether the machine has an account of exactly this name. A name service that folds case or strips
/// domains answers with another name, which is not this one.
///
/// May ask the network; blocks. A name service that fails counts as no.
pub fn account_exists(name: &UserName) -> bool {
    match User::from_name(name.as_str()) {
        Ok(found) => found.is_some_and(|found| found.name == name.as_str()),
        Err(error) => {
            tracing::warn!(user = %name, %error, "the name service failed");
            false
        }
    }
}

/// Whether a user is in each of some Unix groups. They are compared by number, and so are a group's members: a group of
/// another name with the same number is the same, one of the same name with another number is not.
///
/// A name service that fails is not the only one that cannot tell: one that does not know the user, or does not know
/// the group, may have lost the half of what it knew (glibc leaves a source out that it cannot reach, and says
/// nothing). So all these are answers that nobody can rest on.
///
/// May ask the network; blocks.
pub fn memberships(user: &UserName, groups: &BTreeSet<UnixGroup>) -> Memberships {
    let numbers = numbers_of(user);
    let is_member = |group: &UnixGroup| {
        let numbers = numbers.as_ref().map_err(Clone::clone)?;
        Ok(numbers.contains(&number_of(group)?))
    };
    groups.iter().map(|group| (group.clone(), is_member(group))).collect()
}

/// The numbers of all groups that a user is in.
fn numbers_of(user: &UserName) -> Result<BTreeSet<u32>, String> {
    let failed = |error: nix::Error| format!("the name service failed for the user: {error}");
    let account = User::from_name(user.as_str()).map_err(failed)?;
    let account = account.filter(|account| account.name == user.as_str());
    let account = account.ok_or("the name service knows no such user")?;
    let name = CString::new(user.as_str()).map_err(|error| error.to_string())?;
    let numbers = getgrouplist(&name, account.gid).map_err(failed)?;
    Ok(numbers.into_iter().map(Gid::as_raw).collect())
}

/// The number of a group that there is.
pub fn number_of(group: &UnixGroup) -> Result<u32, String> {
    let found = match group {
        UnixGroup::Id(id) => Group::from_gid(Gid::from_raw(*id)),
        UnixGroup::Name(name) => {
            Group::from_name(name).map(|found| found.filter(|found| found.name == *name))
        }
    };
    let found =
        found.map_err(|error| format!("the name service failed for the Unix group {group}: {error}"))?;
    found
        .map(|found| found.gid.as_raw())
        .ok_or_else(|| format!("the name service knows no Unix group {group}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: B05
    #[test]
    fn only_an_account_of_this_very_name_exists() {
        let exists = |name: &str| account_exists(&UserName::new(name).unwrap());
        assert!(exists("root"));
        assert!(!exists("Root"));
        assert!(!exists("no-such-account-here"));
    }

    // covers: I14
    #[test]
    fn groups_are_compared_by_number_and_what_is_not_there_is_not_known() {
        let root = UserName::new("root").unwrap();
        let named = |name: &str| UnixGroup::Name(name.into());
        let groups =
            [UnixGroup::Id(0), UnixGroup::Id(1), named("root"), named("Root"), named("no-such-group-here")];
        let told = memberships(&root, &BTreeSet::from(groups.clone()));
        assert_eq!(
            (&told[&groups[0]], &told[&groups[1]], &told[&groups[2]]),
            (&Ok(true), &Ok(false), &Ok(true))
        );
        assert!(told[&groups[3]].is_err() && told[&groups[4]].is_err());
        let nobody = UserName::new("no-such-account-here").unwrap();
        assert!(memberships(&nobody, &BTreeSet::from([UnixGroup::Id(0)]))[&UnixGroup::Id(0)].is_err());
    }
}
