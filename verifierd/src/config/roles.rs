//! Which account has which role.
//!
//! A file names accounts; a caller is known by the uid that the kernel tells. The one becomes the other when
//! the file is read for use, so that a request costs no question to a name service. Whoever is not found
//! is a user: nothing here can give more than the file says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wire::admin::Role;

use crate::accounts::UserName;

/// Which account has which role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    by_name: BTreeMap<String, Role>,
    by_uid: BTreeMap<u32, Role>,
    absent: Vec<String>,
}

impl Roles {
    /// What was said of accounts that could not be found. Their roles are nobody's: a colleague who left, or a
    /// name service that fails, keeps no daemon from starting and no login from being decided.
    pub fn absent(&self) -> &[String] {
        &self.absent
    }

    /// The role of a caller. Root's does not depend on the file.
    pub fn of(&self, uid: u32) -> Role {
        match uid {
            0 => Role::Super,
            uid => self.by_uid.get(&uid).copied().unwrap_or(Role::User),
        }
    }

    /// Finds the uid of every account.
    ///
    /// * `uid_of`: the account's uid, `None` when there is no such account, or why nobody knows.
    pub(super) fn resolve(
        &self,
        uid_of: impl Fn(&str) -> Result<Option<u32>, String>,
        faults: &mut Vec<String>,
    ) -> Self {
        let mut names = BTreeMap::new();
        let (mut by_uid, mut absent) = (BTreeMap::new(), Vec::new());
        for (name, role) in &self.by_name {
            let key = role.word();
            match uid_of(name) {
                Ok(Some(0)) => faults
                    .push(format!("roles.{key} = {name:?}: uid 0 is root, who may do everything anyway")),
                Ok(Some(uid)) => match names.insert(uid, name) {
                    None => {
                        by_uid.insert(uid, *role);
                    }
                    Some(other) => faults.push(format!(
                        "roles.{key} = {name:?}: has uid {uid}, as {other:?} has; one account has one role"
                    )),
                },
                Ok(None) => absent.push(format!("roles.{key} = {name:?}: no such account on this machine")),
                Err(error) => {
                    absent.push(format!("roles.{key} = {name:?}: the name service failed: {error}"))
                }
            }
        }
        Self { by_name: self.by_name.clone(), by_uid, absent }
    }
}

/// Asks the machine's name service. An answer with another name (folded case, a domain stripped) is about
/// somebody else.
pub(super) fn uid_of(name: &str) -> Result<Option<u32>, String> {
    let found = nix::unistd::User::from_name(name).map_err(|error| error.to_string())?;
    Ok(found.filter(|found| found.name == name).map(|found| found.uid.as_raw()))
}

/// The roles as written. A key that is none of these is an error: there are no other roles.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRoles {
    admin: Vec<String>,
    offline_admin: Vec<String>,
    helpdesk: Vec<String>,
    auditor: Vec<String>,
}

impl RawRoles {
    pub(super) fn check(self, faults: &mut Vec<String>) -> Roles {
        let lists = [
            (Role::Admin, self.admin),
            (Role::OfflineAdmin, self.offline_admin),
            (Role::Helpdesk, self.helpdesk),
            (Role::Auditor, self.auditor),
        ];
        let mut by_name: BTreeMap<String, Role> = BTreeMap::new();
        for (role, names) in lists {
            let key = role.word();
            for name in names {
                if let Err(error) = UserName::new(&name) {
                    faults.push(format!("roles.{key} = {name:?}: {error}"));
                } else if name == "root" {
                    faults.push(format!("roles.{key} = \"root\": root may do everything anyway"));
                } else if let Some(other) = by_name.get(&name) {
                    let other = other.word();
                    faults.push(format!(
                        "roles.{key} = {name:?}: is in roles.{other} already; one account has one role"
                    ));
                } else {
                    by_name.insert(name, role);
                }
            }
        }
        Roles { by_name, ..Roles::default() }
    }
}

impl From<&Roles> for RawRoles {
    fn from(roles: &Roles) -> Self {
        let with = |wanted: Role| {
            roles.by_name.iter().filter(|(_, role)| **role == wanted).map(|(name, _)| name.clone()).collect()
        };
        Self {
            admin: with(Role::Admin),
            offline_admin: with(Role::OfflineAdmin),
            helpdesk: with(Role::Helpdesk),
            auditor: with(Role::Auditor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// ann is 501, anna the same uid, dora 502, toor is root; nobody else exists, and the name service
    /// fails for `flaky`.
    fn uid_of(name: &str) -> Result<Option<u32>, String> {
        match name {
            "ann" | "anna" => Ok(Some(501)),
            "dora" => Ok(Some(502)),
            "toor" => Ok(Some(0)),
            "flaky" => Err("timed out".into()),
            _ => Ok(None),
        }
    }

    fn load(roles: &str) -> Result<Config, String> {
        let text = format!("version = 1\n[roles]\n{roles}\n");
        let parsed = Config::parse(&text).map_err(|faults| faults.to_string())?;
        parsed.on_this_machine(uid_of).map_err(|faults| faults.to_string())
    }

    fn check(roles: &str, expected: &str) {
        let faults = load(roles).expect_err(roles);
        assert!(faults.contains(expected), "{faults:?} does not say {expected:?}");
    }

    // covers: I05
    #[test]
    fn a_caller_has_the_role_of_his_uid_and_else_none() {
        let roles = load("admin = [\"ann\"]\nhelpdesk = [\"dora\"]\nauditor = []").unwrap().roles;
        assert_eq!(
            [0, 501, 502, 503].map(|uid| roles.of(uid)),
            [Role::Super, Role::Admin, Role::Helpdesk, Role::User]
        );
        let none = load("").unwrap().roles;
        assert_eq!([0, 501, u32::MAX].map(|uid| none.of(uid)), [Role::Super, Role::User, Role::User]);
    }

    // covers: I05
    #[test]
    fn without_the_machine_nobody_has_a_role() {
        let parsed = Config::parse("version = 1\n[roles]\nadmin = [\"ann\"]").unwrap();
        assert_eq!(parsed.roles.of(501), Role::User);
    }

    // covers: I05
    #[test]
    fn odd_roles_and_names_are_faults() {
        check("Helpdesk = [\"dora\"]", "unknown field `Helpdesk`");
        check("super = [\"dora\"]", "unknown field `super`");
        check("user = [\"dora\"]", "unknown field `user`");
        check("admin = \"ann\"", "admin");
        check("admin = [\"root\"]", "roles.admin = \"root\": root may do everything anyway");
        check("admin = [\" root\"]", "roles.admin = \" root\": not an account name");
        check("admin = [\"root\\u0000\"]", "not an account name");
        check("admin = [\"0\"]", "not an account name");
        check("admin = [\"\"]", "not an account name");
        check("auditor = [\"toor\"]", "roles.auditor = \"toor\": uid 0 is root");
        check("admin = [\"ann\"]\nauditor = [\"ann\"]", "roles.auditor = \"ann\": is in roles.admin already");
        check("admin = [\"ann\", \"ann\"]", "is in roles.admin already");
        check("admin = [\"ann\"]\nauditor = [\"anna\"]", "has uid 501, as \"ann\" has");
    }

    // covers: I05
    #[test]
    fn all_faults_of_the_roles_are_told_at_once() {
        let faults = load("admin = [\"toor\"]\nauditor = [\"ann\", \"anna\"]").unwrap_err();
        assert_eq!(faults.lines().count(), 2);
    }

    // covers: I05
    #[test]
    fn a_role_of_an_account_that_is_not_found_is_nobodys() {
        let config = load("admin = [\"nobody-here\", \"flaky\"]\nhelpdesk = [\"Dora\", \"dora\"]").unwrap();
        let absent = config.roles.absent().join("\n");
        for said in [
            "roles.admin = \"nobody-here\": no such account",
            "roles.admin = \"flaky\": the name service failed: timed out",
            "roles.helpdesk = \"Dora\": no such account",
        ] {
            assert!(absent.contains(said), "{absent:?} does not say {said:?}");
        }
        assert_eq!((config.roles.of(501), config.roles.of(502)), (Role::User, Role::Helpdesk));
    }

    #[test]
    fn the_machine_knows_root_by_this_very_name() {
        assert_eq!(super::uid_of("root"), Ok(Some(0)));
        assert_eq!(super::uid_of("no-such-account-here"), Ok(None));
    }
}
