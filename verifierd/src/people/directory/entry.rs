//! From an entry of the directory to a person. An entry that is not in order is nobody, with a line in the log.

use std::collections::{BTreeMap, HashMap};

use aws_lc_rs::digest::{SHA256, digest};
use ldap3::ResultEntry;
use ldap3::asn1::StructureTag;
use wire::admin::Role;

use super::names::{Names, uuid};
use crate::accounts::UserName;
use crate::config::{DirectoryAttributes, DirectoryConfig};
use crate::people::clerk::{ACCOUNTS_MAX, LOGIN_CHARACTERS_MAX, NAME_CHARACTERS_MAX};
use crate::people::{EmailAddress, Person, PersonOrigin};

/// Most values of one attribute that are looked at: groups of somebody who is in very many.
const VALUES_MAX: usize = 1_024;

/// What tells that a password is another one: of those that an entry shows, the first. OpenLDAP's password policy
/// (draft-behera-ldap-password-policy §5.3.2), Active Directory, FreeIPA.
const PASSWORD_CHANGED: [&str; 3] = ["pwdChangedTime", "pwdLastSet", "krbLastPwdChange"];

/// Without any: whatever changes the entry (RFC 4512 §3.4.2).
const CHANGED: &str = "modifyTimestamp";

/// Not with one of these: what writes them at each sign-in, OpenLDAP's `lastbind`, changes [`CHANGED`] by it.
const SIGNED_IN: [&str; 2] = ["authTimestamp", "pwdLastSuccess"];

/// What is asked for to know whether somebody is still who he was.
pub(super) fn asked_of_version() -> impl Iterator<Item = &'static str> {
    PASSWORD_CHANGED.into_iter().chain(SIGNED_IN).chain([CHANGED])
}

/// An entry as the directory sent it.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its distinguished name.
    pub(super) dn: String,
    /// By the name of the attribute in lower case.
    values: HashMap<String, Vec<Vec<u8>>>,
}

/// Why an entry is nobody.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EntryFault {
    #[error("its attribute {attribute:?} is not one login name of letters, digits and . _ -")]
    Login { attribute: String },
    #[error("its attribute {attribute:?} is not one UUID")]
    Id { attribute: String },
}

impl Entry {
    /// Reads `SearchResultEntry` of RFC 4511 §4.5.2; `None` for anything else. The library's own reader panics there.
    pub(super) fn read(sent: ResultEntry) -> Option<Self> {
        let mut parts = sent.0.match_id(4)?.expect_constructed()?.into_iter();
        let dn = String::from_utf8(parts.next()?.expect_primitive()?).ok().filter(|dn| !dn.is_empty())?;
        let attributes = parts.next()?.expect_constructed()?;
        let mut values: HashMap<_, Vec<_>> = HashMap::new();
        for tag in attributes {
            // One that is sent in parts is one: a second value must not take the place of the first.
            let (name, more) = attribute(tag)?;
            values.entry(name).or_default().extend(more);
        }
        Some(Self { dn, values })
    }

    fn all(&self, attribute: &str) -> &[Vec<u8>] {
        self.values.get(&attribute.to_ascii_lowercase()).map_or(&[], Vec::as_slice)
    }

    fn one(&self, attribute: &str) -> Option<&[u8]> {
        match self.all(attribute) {
            [one] => Some(one),
            _ => None,
        }
    }

    fn texts(&self, attribute: &str) -> impl Iterator<Item = &str> {
        self.all(attribute).iter().filter_map(|value| str::from_utf8(value).ok())
    }
}

fn attribute(tag: StructureTag) -> Option<(String, Vec<Vec<u8>>)> {
    let mut parts = tag.expect_constructed()?.into_iter();
    let name = String::from_utf8(parts.next()?.expect_primitive()?).ok()?;
    let values = parts.next()?.expect_constructed()?.into_iter().take(VALUES_MAX);
    let values = values.map(StructureTag::expect_primitive).collect::<Option<_>>()?;
    Some((name.to_ascii_lowercase(), values))
}

/// Knows which attribute says what.
#[derive(Debug)]
pub(super) struct Reader {
    attributes: DirectoryAttributes,
    /// By the group's distinguished name, folded.
    roles: BTreeMap<String, Role>,
}

impl Reader {
    pub(super) fn new(config: &DirectoryConfig) -> Self {
        let roles = config.roles.iter().map(|(group, role)| (folded(group), *role)).collect();
        Self { attributes: config.attributes.clone(), roles }
    }

    /// The person of an entry.
    pub(super) fn person(&self, entry: &Entry, names: &Names) -> Result<Person, EntryFault> {
        let attributes = &self.attributes;
        let is_login = |login: &&str| login.len() <= LOGIN_CHARACTERS_MAX && UserName::new(login).is_ok();
        // The values of an attribute have no order: of two nobody knows which is meant, and approvers are named by it.
        let login =
            entry.one(&attributes.login).and_then(|value| str::from_utf8(value).ok()).filter(is_login);
        let login = login.ok_or_else(|| EntryFault::Login { attribute: attributes.login.clone() })?;
        let id = entry.one(&attributes.id).and_then(uuid);
        let id = id.ok_or_else(|| EntryFault::Id { attribute: attributes.id.clone() })?;
        let name = entry.texts(&attributes.name).map(shown).filter(|name| !name.is_empty()).min();
        let addresses = entry.texts(&attributes.email).filter_map(|text| EmailAddress::parse(text).ok());
        let accounts = entry.texts(&attributes.account).filter_map(|name| UserName::new(name).ok());
        let roles = entry.texts(&attributes.group).filter_map(|group| self.roles.get(&folded(group)));
        let role = roles.copied().max().unwrap_or(Role::User);
        Ok(Person {
            id: names.id(id),
            login: login.to_owned(),
            email: addresses.min_by_key(EmailAddress::folded),
            name: name.unwrap_or_else(|| login.to_owned()),
            origin: PersonOrigin::Directory,
            accounts: accounts.take(ACCOUNTS_MAX).collect(),
            role,
            version: version(entry, role),
        })
    }
}

/// Another number after another password and with another role.
fn version(entry: &Entry, role: Role) -> u64 {
    let has = |name: &&str| !entry.all(name).is_empty();
    let otherwise = (!SIGNED_IN.iter().any(has)).then_some(CHANGED);
    let name = PASSWORD_CHANGED.into_iter().find(has).or(otherwise).unwrap_or_default();
    let value = entry.all(name).first().map_or(&[][..], Vec::as_slice);
    let digest = digest(&SHA256, &[&[role as u8], name.as_bytes(), b"=", value].concat());
    let first = digest.as_ref().first_chunk().expect("a digest has 32 bytes");
    u64::from_be_bytes(*first)
}

/// A name without what cannot be shown, and not too long.
fn shown(name: &str) -> String {
    let visible = name.trim().chars().filter(|letter| !wire::printable::is_risky(*letter));
    visible.take(NAME_CHARACTERS_MAX).collect()
}

/// A distinguished name as it is compared: without regard to case and to blanks around its commas and equal signs.
fn folded(dn: &str) -> String {
    let part = |part: &str| part.split('=').map(str::trim).collect::<Vec<_>>().join("=");
    dn.split(',').map(part).collect::<Vec<_>>().join(",").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::MasterKey;

    fn entry(values: &[(&str, &[&str])]) -> Entry {
        let bytes = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        let values = values.iter().map(|(name, texts)| (name.to_ascii_lowercase(), bytes(texts))).collect();
        Entry { dn: "uid=x".into(), values }
    }

    fn reader() -> Reader {
        let attributes = DirectoryAttributes { account: "account".into(), ..DirectoryAttributes::default() };
        let roles = [
            ("cn=Admins,ou=groups,dc=example", Role::Admin),
            ("cn=help, ou=groups, dc=example", Role::Helpdesk),
        ];
        let roles = roles.into_iter().map(|(group, role)| (folded(group), role)).collect();
        Reader { attributes, roles }
    }

    const ID: (&str, &[&str]) = ("entryUUID", &["597ae2f6-16a6-1027-98f4-d28b5365dc14"]);

    #[test]
    fn an_entry_is_a_person_with_the_most_that_his_groups_give() {
        let names = Names::new(&MasterKey::generate().unwrap());
        let groups: &[&str] =
            &["cn=help,ou=groups,dc=example", "CN=ADMINS, OU=groups,dc=example", "cn=other"];
        let values: &[(&str, &[&str])] = &[
            ("uid", &["carol"]),
            ("account", &["carol", "deploy", "not an account"]),
            ("mail", &["c\u{e4}rol@example.org", "Carol@example.org", "second@example.org"]),
            ("cn", &["Carol\u{202e} Danvers"]),
            ("memberof", groups),
            ID,
        ];
        let person = reader().person(&entry(values), &names).unwrap();
        assert_eq!(
            (person.login.as_str(), person.name.as_str(), person.role),
            ("carol", "Carol Danvers", Role::Admin)
        );
        assert_eq!(person.email.unwrap().as_str(), "Carol@example.org");
        assert_eq!(person.accounts.iter().map(UserName::as_str).collect::<Vec<_>>(), ["carol", "deploy"]);
        let plain = reader().person(&entry(&[("uid", &["carol"]), ID]), &names).unwrap();
        assert_eq!((plain.role, plain.email, plain.name.as_str()), (Role::User, None, "carol"));
        assert_eq!(plain.id, person.id);
    }

    // covers: I07
    #[test]
    fn another_password_or_role_is_another_version_and_nothing_else_is_where_the_directory_tells() {
        let names = Names::new(&MasterKey::generate().unwrap());
        let version = |more: &[(&str, &[&str])]| {
            let values = [&[("uid", &["carol"][..]), ID][..], more].concat();
            reader().person(&entry(&values), &names).unwrap().version()
        };
        let modified = |at: &'static str| ("modifyTimestamp", at);
        let of = |values: &[(&str, &str)]| {
            let values: Vec<_> =
                values.iter().map(|(name, value)| (*name, std::slice::from_ref(value))).collect();
            version(&values)
        };
        let (monday, tuesday) = (modified("20261123120000Z"), modified("20261124120000Z"));
        assert_eq!(of(&[monday]), of(&[monday]));
        assert_ne!(of(&[monday]), of(&[tuesday]), "nothing else tells of another password");
        assert_ne!(of(&[monday]), of(&[]));
        for signed_in in SIGNED_IN {
            assert_eq!(of(&[monday, (signed_in, "1")]), of(&[tuesday, (signed_in, "2")]), "{signed_in}");
        }
        for told in ["pwdChangedTime", "pwdLastSet", "krbLastPwdChange"] {
            assert_eq!(of(&[monday, (told, "1")]), of(&[tuesday, (told, "1")]), "{told}");
            assert_ne!(of(&[monday, (told, "1")]), of(&[monday, (told, "2")]), "{told}");
        }
        assert_ne!(of(&[monday]), of(&[monday, ("memberof", "cn=help,ou=groups,dc=example")]));
    }

    #[test]
    fn an_entry_without_login_or_id_is_nobody() {
        let names = Names::new(&MasterKey::generate().unwrap());
        let fault = |values: &[(&str, &[&str])]| reader().person(&entry(values), &names).unwrap_err();
        assert_eq!(fault(&[ID]), EntryFault::Login { attribute: "uid".into() });
        assert_eq!(
            fault(&[("uid", &["J\u{f6}rg Muller"]), ID]),
            EntryFault::Login { attribute: "uid".into() }
        );
        let two: &[&str] = &["carol", "deploy"];
        assert_eq!(fault(&[("uid", two), ID]), EntryFault::Login { attribute: "uid".into() });
        let id = EntryFault::Id { attribute: "entryUUID".into() };
        assert_eq!(fault(&[("uid", &["carol"])]), id);
        assert_eq!(fault(&[("uid", &["carol"]), ("entryUUID", &["1", "2"])]), id);
    }
}
