//! The directory of persons.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::{Host, Url};
use wire::admin::Role;

/// Where persons are looked up besides our own records. Connections are always encrypted, and the server's certificate is
/// always checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryConfig {
    /// `ldaps://` is encrypted from the first byte on, `ldap://` after StartTLS, without which nothing is asked.
    pub url: String,
    /// Who we are to the directory, and the file with the password; nobody in particular, where there is none.
    pub login: Option<(String, PathBuf)>,
    /// The authorities that the server's certificate may be of, in PEM form; the machine's own where there is none.
    pub trust_file: Option<PathBuf>,
    /// Below which entry persons are.
    pub base: String,
    /// Which entries are persons who are let in.
    pub filter: String,
    /// Where what is known of a person stands.
    pub attributes: DirectoryAttributes,
    /// The role of whoever is in a group, by the group's distinguished name.
    pub roles: BTreeMap<String, Role>,
}

/// Names of attributes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DirectoryAttributes {
    /// What a person signs in with.
    pub login: String,
    /// Where mails go.
    pub email: String,
    /// What people call him.
    pub name: String,
    /// What names an entry for ever: a UUID.
    pub id: String,
    /// The Unix accounts that he may use; may have several values.
    pub account: String,
    /// The distinguished names of his groups.
    pub group: String,
}

impl Default for DirectoryAttributes {
    /// Those of RFC 2798 and RFC 4530, as OpenLDAP and 389 Directory Server have them.
    fn default() -> Self {
        let [login, email, name, id, account, group] =
            ["uid", "mail", "cn", "entryUUID", "uid", "memberOf"].map(str::to_owned);
        Self { login, email, name, id, account, group }
    }
}

impl DirectoryAttributes {
    /// All of them, each with the key that names it.
    pub fn all(&self) -> [(&'static str, &str); 6] {
        [
            ("login", &self.login),
            ("email", &self.email),
            ("name", &self.name),
            ("id", &self.id),
            ("account", &self.account),
            ("group", &self.group),
        ]
    }
}

/// The section as written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDirectory {
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    bind_dn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bind_password_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trust_file: Option<PathBuf>,
    base: String,
    #[serde(default = "every_person")]
    filter: String,
    #[serde(default)]
    attributes: DirectoryAttributes,
    #[serde(default)]
    roles: BTreeMap<String, Role>,
}

fn every_person() -> String {
    "(objectClass=person)".into()
}

impl From<&DirectoryConfig> for RawDirectory {
    fn from(directory: &DirectoryConfig) -> Self {
        let DirectoryConfig { url, login, trust_file, base, filter, attributes, roles } = directory.clone();
        let (bind_dn, bind_password_file) = login.unzip();
        Self { url, bind_dn, bind_password_file, trust_file, base, filter, attributes, roles }
    }
}

impl RawDirectory {
    /// All that is wrong goes into `faults`; the section is `None` then.
    pub(super) fn check(self, faults: &mut Vec<String>) -> Option<DirectoryConfig> {
        let before = faults.len();
        let Self { url, bind_dn, bind_password_file, trust_file, base, filter, attributes, roles } = self;
        let paths = [("bind_password_file", &bind_password_file), ("trust_file", &trust_file)];
        for (name, path) in paths.into_iter().filter_map(|(name, path)| Some((name, path.as_ref()?))) {
            if !path.is_absolute() {
                faults.push(format!("directory.{name} = {path:?}: an absolute path is needed"));
            }
        }
        if !is_server(&url) {
            faults.push(format!(
                "directory.url = {url:?}: a scheme, a name and maybe a port is needed, such as \
                 \"ldaps://ldap.example.org\", or \"ldap://ldap.example.org\" for StartTLS"
            ));
        }
        if base.is_empty() {
            faults.push(
                "directory.base: a distinguished name is needed, such as \"ou=people,dc=example,dc=org\""
                    .into(),
            );
        }
        if ldap3::parse_filter(&filter).is_err() || !filter.starts_with('(') {
            faults.push(format!(
                "directory.filter = {filter:?}: a filter in parentheses is needed, such as \"(objectClass=person)\""
            ));
        }
        for (key, name) in attributes.all() {
            let is_name = name.starts_with(|letter: char| letter.is_ascii_alphabetic())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            if !is_name {
                faults.push(format!(
                    "directory.attributes.{key} = {name:?}: the name of an attribute is needed, such as \"uid\""
                ));
            }
        }
        let login = match (bind_dn, bind_password_file) {
            (Some(name), Some(file)) if !name.is_empty() => Some((name, file)),
            (None, None) => None,
            _ => {
                faults.push(
                    "directory.bind_dn and directory.bind_password_file: one of them alone is of no use"
                        .into(),
                );
                None
            }
        };
        let config = DirectoryConfig { url, login, trust_file, base, filter, attributes, roles };
        (faults.len() == before).then_some(config)
    }
}

/// Whether a URL names a server and nothing else.
fn is_server(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let is_right = matches!(url.scheme(), "ldap" | "ldaps")
        && url.username().is_empty()
        && url.password().is_none()
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none();
    // An IPv6 address stands in brackets, which no certificate has.
    is_right && matches!(url.host(), Some(Host::Domain(name)) if !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(lines: &str) -> Result<DirectoryConfig, String> {
        let config = Config::parse(&format!("version = 1\n[directory]\n{lines}"));
        Ok(config.map_err(|faults| faults.to_string())?.directory.unwrap())
    }

    #[test]
    fn what_is_left_out_is_as_openldap_has_it() {
        let least = parse("url = \"ldaps://ldap.example.org\"\nbase = \"dc=example\"").unwrap();
        assert_eq!((least.filter.as_str(), least.login), ("(objectClass=person)", None));
        assert_eq!(least.attributes.id, "entryUUID");
        let full = "url = \"ldap://192.0.2.7:3389\"\nbase = \"dc=example\"\nbind_dn = \"cn=postern\"\n\
                    bind_password_file = \"/etc/postern/directory.password\"\nfilter = \"(&(a=b)(c=d))\"\n\
                    attributes = { login = \"sAMAccountName\", id = \"objectGUID\" }\n\
                    [directory.roles]\n\"cn=admins,dc=example\" = \"admin\"\n";
        let full = parse(full).unwrap();
        assert_eq!(
            (full.attributes.login.as_str(), full.attributes.email.as_str()),
            ("sAMAccountName", "mail")
        );
        assert_eq!(full.roles["cn=admins,dc=example"], Role::Admin);
        let written = toml::to_string(&RawDirectory::from(&full)).unwrap();
        let mut faults = Vec::new();
        let again = toml::from_str::<RawDirectory>(&written).unwrap().check(&mut faults);
        assert_eq!((again, faults), (Some(full), Vec::new()));
    }

    #[test]
    fn each_fault_is_named_with_what_would_be_right() {
        for (lines, words) in [
            ("url = \"http://x\"\nbase = \"dc=x\"", "directory.url"),
            ("url = \"ldaps://\"\nbase = \"dc=x\"", "directory.url"),
            ("url = \"ldaps://u:p@x\"\nbase = \"dc=x\"", "directory.url"),
            ("url = \"ldaps://x/dc=x\"\nbase = \"dc=x\"", "directory.url"),
            ("url = \"ldaps://[::1]\"\nbase = \"dc=x\"", "directory.url"),
            ("url = \"ldapi:///run/slapd\"\nbase = \"dc=x\"", "directory.url"),
            ("url = \"ldaps://x\"\nbase = \"\"", "directory.base"),
            ("url = \"ldaps://x\"\nbase = \"dc=x\"\nfilter = \"(a=b\"", "directory.filter"),
            ("url = \"ldaps://x\"\nbase = \"dc=x\"\nfilter = \"a=b\"", "directory.filter"),
            ("url = \"ldaps://x\"\nbase = \"dc=x\"\nattributes.login = \"uid)(x=\"", "attributes.login"),
            ("url = \"ldaps://x\"\nbase = \"dc=x\"\nbind_dn = \"cn=x\"", "of no use"),
            ("url = \"ldaps://x\"\nbase = \"dc=x\"\ntrust_file = \"x\"", "an absolute path"),
        ] {
            let faults = parse(lines).unwrap_err();
            assert!(faults.contains(words), "{lines}: {faults}");
        }
    }
}
