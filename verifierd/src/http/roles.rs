//! Who is calling, and what he may do: one table of verbs and roles.
//!
//! Whatever the table does not grant is refused. A route cannot be registered without its verb (see
//! `admin::Routes`), so nothing is left to be forgotten.

use std::sync::Arc;

use wire::admin::Role;

use crate::accounts::UserName;
use crate::people::{Person, PersonId};

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// The uid of the process at the other end, as the kernel says.
    Account(u32),
    /// A person who has shown who he is.
    Person(Arc<Person>),
}

/// What tells callers apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerId {
    /// A uid.
    Account(u32),
    /// A person's id.
    Person(PersonId),
}

/// Who is calling, and in which role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub who: Who,
    /// A person's login name, or the account of a uid; `uid 1234` where there is none, which is no account name.
    pub name: String,
    /// What the configuration gives to the uid, or his record to the person; with a key, no more than the key may.
    pub role: Role,
    /// The key with which a program asks for him.
    pub key: Option<ShownKey>,
}

/// A key, as far as it matters to what is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownKey {
    /// What it is called.
    pub name: String,
    /// Whether its person made it himself.
    pub is_his_own: bool,
}

impl From<&Arc<Person>> for Caller {
    fn from(person: &Arc<Person>) -> Self {
        Self {
            who: Who::Person(Arc::clone(person)),
            name: person.login.clone(),
            role: person.role,
            key: None,
        }
    }
}

impl Caller {
    /// His name and role, as audit records have them.
    pub fn signature(&self) -> String {
        let by = self.key.as_ref().map(|key| format!(" by key {}", key.name)).unwrap_or_default();
        let name = match self.who {
            Who::Account(_) => self.name.clone(),
            Who::Person(_) => format!("person {}", self.name),
        };
        match self.role {
            Role::Super => format!("{name}{by}"),
            role => format!("{name} ({}){by}", role.word()),
        }
    }

    /// The account that is his own, if he has one. A person's is that of his login name, where he may use it: the one
    /// whose codes he signs in with.
    pub fn account(&self) -> Option<UserName> {
        let account = UserName::new(&self.name).ok()?;
        match &self.who {
            Who::Account(_) => Some(account),
            Who::Person(person) => person.accounts.contains(&account).then_some(account),
        }
    }

    /// Tells him from others.
    pub fn id(&self) -> CallerId {
        match &self.who {
            Who::Account(uid) => CallerId::Account(*uid),
            Who::Person(person) => CallerId::Person(person.id),
        }
    }
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Who he is.
    SelfShow,
    /// All users.
    UserList,
    /// One user.
    UserShow,
    /// Turn the demand on or off.
    UserSetOtp,
    /// Clear counts of wrong codes.
    UserUnlock,
    /// How many recovery codes are left.
    RecoveryStatus,
    /// New recovery codes.
    RecoveryRegenerate,
    /// All tokens.
    TokenList,
    /// One token.
    TokenShow,
    /// A new token.
    TokenAdd,
    /// Many new tokens.
    TokenImport,
    /// Give a token to a user.
    TokenAssign,
    /// The same, proved by a code.
    TokenAssociate,
    /// Find counter or drift again.
    TokenResync,
    /// Check a code.
    TokenTest,
    /// Take a token from its user.
    TokenDisassociate,
    /// Stop a token.
    TokenDisable,
    /// Mark it as lost.
    TokenLost,
    /// Let it work again.
    TokenEnable,
    /// Remove one that never worked.
    TokenRemove,
    /// Who has to wait.
    BanList,
    /// End somebody's wait.
    BanLift,
    /// Requests for passwords.
    RequestList,
    /// One of them.
    RequestShow,
    /// Issue its password.
    RequestApprove,
    /// Refuse it.
    RequestDeny,
    /// Take it back.
    RequestCancel,
    /// Who is in.
    SessionList,
    /// That a session of one's own was begun by somebody else.
    SessionReport,
    /// All hosts.
    HostList,
    /// One host.
    HostShow,
    /// Let a host join.
    HostEnrol,
    /// Refuse a host for ever.
    HostRevoke,
    /// Give a host another name.
    HostRename,
    /// Put a host into a group.
    HostGroup,
    /// All persons.
    PersonList,
    /// One person.
    PersonShow,
    /// A new person.
    PersonAdd,
    /// Address, name, role, let in or not.
    PersonSet,
    /// Which accounts he may use.
    PersonShare,
    /// Another password.
    PersonPassword,
    /// Remove a person.
    PersonRemove,
    /// Remove a person's security keys.
    PersonKeysRemove,
    /// All keys.
    KeyList,
    /// A new key.
    KeyAdd,
    /// End a key.
    KeyRevoke,
    /// Passwords that hosts check alone.
    OfflineList,
    /// Make one.
    OfflineIssue,
    /// Have one open nothing.
    OfflineRevoke,
    /// How the password for every host stands.
    UniversalShow,
    /// Turn it on or off, or release it: the word of one of two.
    UniversalStep,
    /// What holds where.
    PolicyShow,
    /// What a login would meet.
    PolicyTry,
    /// How far the roll-out is.
    RolloutStatus,
    /// Explain a decision.
    Explain,
    /// Read the audit trail.
    AuditShow,
    /// Check the whole chain.
    AuditVerify,
    /// How the daemon is.
    Status,
    /// What it counts.
    Metrics,
    /// Accept that the store lost something.
    StoreSettle,
}

/// How far a role reaches with a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Not at all.
    Nothing,
    /// His own user and tokens.
    Own,
    /// Everybody's.
    All,
}

use Right::{All, Nothing, Own};

/// Verbs and what each role may do with them.
#[rustfmt::skip]
const TABLE: [(Verb, [Right; 6]); 60] = [
    //                           user     auditor  helpdesk offline_ admin    super
    (Verb::SelfShow,            [Own,     Own,     Own,     Own,     Own,     Own]),
    (Verb::UserList,            [Nothing, All,     All,     All,     All,     All]),
    (Verb::UserShow,            [Nothing, All,     All,     All,     All,     All]),
    (Verb::UserSetOtp,          [Nothing, Nothing, Nothing, Nothing, All,     All]),
    (Verb::UserUnlock,          [Nothing, Nothing, All,     All,     All,     All]),
    (Verb::RecoveryStatus,      [Own,     All,     All,     All,     All,     All]),
    (Verb::RecoveryRegenerate,  [Own,     Own,     Own,     Own,     All,     All]),
    (Verb::TokenList,           [Nothing, All,     All,     All,     All,     All]),
    (Verb::TokenShow,           [Own,     All,     All,     All,     All,     All]),
    (Verb::TokenAdd,            [Nothing, Nothing, Nothing, Nothing, All,     All]),
    (Verb::TokenImport,         [Nothing, Nothing, Nothing, Nothing, All,     All]),
    (Verb::TokenAssign,         [Nothing, Nothing, Nothing, Nothing, All,     All]),
    (Verb::TokenAssociate,      [Nothing, Nothing, All,     All,     All,     All]),
    (Verb::TokenResync,         [Own,     Own,     All,     All,     All,     All]),
    (Verb::TokenTest,           [Own,     Own,     All,     All,     All,     All]),
    (Verb::TokenDisassociate,   [Own,     Own,     Own,     Own,     All,     All]),
    (Verb::TokenDisable,        [Nothing, Nothing, Nothing, Nothing, All,     All]),
    (Verb::TokenLost,           [Own,     Own,     All,     All,     All,     All]),
    (Verb::TokenRemove,         [Nothing, Nothing, Nothing, Nothing, All,     All]),
    (Verb::TokenEnable,         [Nothing, Nothing, Nothing, Nothing, All,     All]),
    (Verb::BanList,             [Nothing, All,     All,     All,     All,     All]),
    (Verb::BanLift,             [Nothing, Nothing, All,     All,     All,     All]),
    // Who decides is said by the configuration, host by host, and is no matter of roles: his own are those he decides.
    (Verb::RequestList,         [Own,     All,     All,     All,     All,     All]),
    (Verb::RequestShow,         [Own,     All,     All,     All,     All,     All]),
    (Verb::RequestApprove,      [Own,     Own,     Own,     Own,     Own,     Own]),
    (Verb::RequestDeny,         [Own,     Own,     Own,     Own,     Own,     Own]),
    (Verb::RequestCancel,       [Own,     Own,     Own,     Own,     All,     All]),
    (Verb::SessionList,         [Own,     All,     All,     All,     All,     All]),
    (Verb::SessionReport,       [Own,     Own,     Own,     Own,     Own,     Own]),
    (Verb::HostList,            [Nothing, All,     All,     All,     All,     All]),
    (Verb::HostShow,            [Nothing, All,     All,     All,     All,     All]),
    (Verb::HostEnrol,           [Nothing, Nothing, Nothing, Nothing, All,     All]),
    (Verb::HostRevoke,          [Nothing, Nothing, Nothing, Nothing, All,     All]),
    (Verb::HostRename,          [Nothing, Nothing, Nothing, Nothing, All,     All]),
    (Verb::HostGroup,           [Nothing, Nothing, Nothing, Nothing, All,     All]),
    (Verb::PersonList,          [Nothing, All,     All,     All,     All,     All]),
    (Verb::PersonShow,          [Nothing, All,     All,     All,     All,     All]),
    (Verb::PersonAdd,           [Nothing, Nothing, Nothing, Nothing, All,     All]),
    (Verb::PersonSet,           [Nothing, Nothing, Nothing, Nothing, All,     All]),
    (Verb::PersonShare,         [Nothing, Nothing, Nothing, Nothing, All,     All]),
    (Verb::PersonPassword,      [Nothing, Nothing, Nothing, Nothing, All,     All]),
    (Verb::PersonRemove,        [Nothing, Nothing, Nothing, Nothing, All,     All]),
    (Verb::PersonKeysRemove,    [Nothing, Nothing, Nothing, Nothing, All,     All]),
    (Verb::KeyList,             [Own,     All,     All,     All,     All,     All]),
    (Verb::KeyAdd,              [Own,     Own,     Own,     Own,     All,     All]),
    (Verb::KeyRevoke,           [Own,     Own,     All,     All,     All,     All]),
    (Verb::OfflineList,         [Nothing, All,     Nothing, All,     All,     All]),
    (Verb::OfflineIssue,        [Nothing, Nothing, Nothing, All,     All,     All]),
    (Verb::OfflineRevoke,       [Nothing, Nothing, Nothing, All,     All,     All]),
    (Verb::UniversalShow,       [Nothing, Nothing, Nothing, Nothing, All,     All]),
    (Verb::UniversalStep,       [Nothing, Nothing, Nothing, Nothing, All,     All]),
    (Verb::PolicyShow,          [Nothing, All,     All,     All,     All,     All]),
    (Verb::PolicyTry,           [Nothing, All,     All,     All,     All,     All]),
    (Verb::RolloutStatus,       [Nothing, All,     All,     All,     All,     All]),
    (Verb::Explain,             [Nothing, All,     All,     All,     All,     All]),
    (Verb::AuditShow,           [Nothing, All,     Nothing, Nothing, All,     All]),
    (Verb::AuditVerify,         [Nothing, All,     Nothing, Nothing, All,     All]),
    (Verb::Status,              [Nothing, All,     All,     All,     All,     All]),
    (Verb::Metrics,             [Nothing, All,     All,     All,     All,     All]),
    (Verb::StoreSettle,         [Nothing, Nothing, Nothing, Nothing, Nothing, All]),
];

/// What a role may do with a verb; nothing, where the table does not say.
pub fn right(verb: Verb, role: Role) -> Right {
    let column = Role::ALL.into_iter().position(|known| known == role);
    let found = TABLE.iter().find(|(known, _)| *known == verb).zip(column);
    found.map_or(Nothing, |((_, rights), column)| rights[column])
}

/// Every verb, for tests that walk them.
#[cfg(test)]
pub(super) fn verbs() -> impl Iterator<Item = Verb> {
    TABLE.iter().map(|(verb, _)| *verb)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the documentation promises, role by role, without a look at the table above.
    fn promised(role: Role, verb: Verb) -> Right {
        use Verb::*;
        // Whoever the configuration names decides, whatever his role.
        if matches!(verb, SelfShow | RequestApprove | RequestDeny | SessionReport) {
            return Own;
        }
        match role {
            Role::Super => All,
            Role::Admin => {
                if verb == StoreSettle {
                    Nothing
                } else {
                    All
                }
            }
            // Universal passwords are for those who may do more.
            Role::OfflineAdmin if matches!(verb, OfflineList | OfflineIssue | OfflineRevoke) => All,
            Role::Helpdesk | Role::OfflineAdmin => match verb {
                UserList | UserShow | TokenList | TokenShow | HostList | HostShow => All,
                TokenAssociate | TokenResync | TokenTest | TokenLost => All,
                UserUnlock | BanList | BanLift | SessionList => All,
                PersonList | PersonShow | PolicyShow | PolicyTry | RolloutStatus => All,
                RequestList | RequestShow => All,
                KeyList | KeyRevoke => All,
                RequestCancel | KeyAdd => Own,
                RecoveryStatus | Explain | Status | Metrics => All,
                RecoveryRegenerate | TokenDisassociate => Own,
                _ => Nothing,
            },
            Role::Auditor => match verb {
                UserList | UserShow | TokenList | TokenShow | HostList | HostShow => All,
                PersonList | PersonShow | PolicyShow | PolicyTry | RolloutStatus | BanList | SessionList => {
                    All
                }
                RequestList | RequestShow => All,
                KeyList | OfflineList => All,
                RequestCancel | KeyAdd | KeyRevoke => Own,
                RecoveryStatus | Explain | AuditShow | AuditVerify | Status | Metrics => All,
                RecoveryRegenerate | TokenResync | TokenTest | TokenLost | TokenDisassociate => Own,
                _ => Nothing,
            },
            Role::User => match verb {
                RecoveryStatus | RecoveryRegenerate | SessionList => Own,
                RequestList | RequestShow | RequestCancel | KeyList | KeyAdd | KeyRevoke => Own,
                TokenShow | TokenResync | TokenTest | TokenLost | TokenDisassociate => Own,
                _ => Nothing,
            },
        }
    }

    // covers: I05, I06
    #[test]
    fn every_role_may_do_with_every_verb_what_is_promised() {
        for role in Role::ALL {
            for verb in verbs() {
                assert_eq!(right(verb, role), promised(role, verb), "{role:?} {verb:?}");
            }
        }
    }

    // covers: I05
    #[test]
    fn every_verb_stands_in_the_table_once() {
        for verb in verbs() {
            assert_eq!(verbs().filter(|other| *other == verb).count(), 1, "{verb:?}");
        }
    }

    // covers: I05
    #[test]
    fn a_signature_says_who_and_in_which_role() {
        let signature = |uid, name: &str, role| {
            Caller { who: Who::Account(uid), name: name.into(), role, key: None }.signature()
        };
        assert_eq!(signature(0, "root", Role::Super), "root");
        assert_eq!(signature(502, "dora", Role::Helpdesk), "dora (helpdesk)");
        let person = crate::people::Person::from(&crate::people::PersonRecord {
            id: PersonId(7),
            login: UserName::new("carol").unwrap(),
            email: crate::people::EmailAddress::parse("carol@example.org").unwrap(),
            name: "Carol".into(),
            accounts: Vec::new(),
            role: Role::Admin,
            enabled: true,
            password: None,
            version: 0,
            created: 0,
        });
        let key = Some(ShownKey { name: "nightly report".into(), is_his_own: true });
        let by_key = Caller { role: Role::Auditor, key, ..Caller::from(&Arc::new(person)) };
        assert_eq!(by_key.signature(), "person carol (auditor) by key nightly report");
        assert_eq!(Caller { role: Role::Super, ..by_key }.signature(), "person carol by key nightly report");
        let nameless = Caller { who: Who::Account(9), name: "uid 9".into(), role: Role::User, key: None };
        assert_eq!(nameless.account(), None);
    }
}
