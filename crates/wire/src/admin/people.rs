//! Persons: the humans behind accounts, as administrators see them.

use serde::{Deserialize, Serialize};

use super::Role;

/// Where a person is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PersonOrigin {
    /// Postern's own records.
    Internal,
    /// The directory.
    Directory,
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Person {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// Always `person`.
    pub kind: String,
    /// Names him for ever: 26 characters of Crockford's base 32.
    pub id: String,
    /// What he signs in with.
    pub login: String,
    /// Where mails go.
    pub email: Option<String>,
    /// What people call him.
    pub name: String,
    /// Where he is known from.
    pub origin: PersonOrigin,
    /// Unix accounts that he may use.
    pub accounts: Vec<String>,
    /// What he may do.
    pub role: Role,
    /// Whether he is let in.
    pub enabled: bool,
    /// Whether he has a password; nobody knows of those that a directory keeps.
    pub has_password: Option<bool>,
    /// Whether too many wrong ones in a row have disabled it; another one, or being let in anew, ends that.
    #[serde(default)]
    pub is_password_disabled: bool,
    /// How many security keys he has for the pages.
    #[serde(default)]
    pub security_keys: usize,
    /// When he was added, RFC 3339 in UTC; nobody knows of those of a directory.
    pub created: Option<String>,
}

/// All persons of Postern's own records, by login name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PersonList {
    /// [`crate::API_VERSION`].
    pub api_version: u16,
    /// Always `person_list`.
    pub kind: String,
    /// The persons.
    pub items: Vec<Person>,
}

/// Somebody new.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(example = json!({"login": "carol", "email": "carol@example.org", "role": "helpdesk"})))]
#[serde(deny_unknown_fields)]
pub struct NewPerson {
    /// What he signs in with.
    pub login: String,
    /// Where mails go.
    pub email: String,
    /// What people call him; absent: his login name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What he may do; absent: what a user may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Accounts that he may use; absent: the one of his login name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounts: Option<Vec<String>>,
    /// His password; absent: he does not sign in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// What is to be another of a person; what is absent stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(example = json!({"enabled": false})))]
#[serde(deny_unknown_fields)]
pub struct SetPerson {
    /// Where mails go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// What people call him.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What he may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Whether he is let in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// Another password for a person.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SetPassword {
    /// 12 to 256 characters.
    pub password: String,
}

/// An account that a person is to use, or to use no longer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(example = json!({"account": "deploy"})))]
#[serde(deny_unknown_fields)]
pub struct ShareAccount {
    /// The Unix account.
    pub account: String,
}
