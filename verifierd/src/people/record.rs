//! What is kept of the persons of our own records: JSON with a format number, by the person's id.

use ledger::Change;
use serde::{Deserialize, Serialize};
use wire::admin::Role;

use super::keys::KeysRecordError;
use super::{EmailAddress, PersonId};
use crate::accounts::{UserName, kind};
use crate::clock::UnixTime;

/// The newest format.
const FORMAT: u32 = 1;

/// A person of our own records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonRecord {
    /// For ever.
    pub id: PersonId,
    /// What he signs in with: unique, whatever the case of its letters.
    pub login: UserName,
    /// Where mails go: unique too.
    pub email: EmailAddress,
    /// What people call him.
    pub name: String,
    /// Unix accounts that he may use.
    pub accounts: Vec<UserName>,
    /// What he may do.
    pub role: Role,
    /// Whether he is let in at all.
    pub enabled: bool,
    /// His password, hashed; none as long as none was set.
    pub password: Option<String>,
    /// Rises with whatever ends his sign-ins: another password, another role, a time of not being let in.
    pub version: u64,
    /// When he was added.
    pub created: UnixTime,
}

/// A record of a person that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum PersonRecordError {
    /// Not the expected JSON.
    #[error("a record of a person is damaged")]
    Damaged(#[from] serde_json::Error),
    /// Made by a newer version.
    #[error("a record of a person has format {found}; this version reads up to {FORMAT}")]
    Newer {
        /// The format it names.
        found: u32,
    },
    /// That of his security keys is not in order.
    #[error(transparent)]
    Keys(#[from] KeysRecordError),
    /// The record of another person has its login name or address.
    #[error("the record of person {id} has the login name or the address of another one")]
    Twice {
        /// Which.
        id: PersonId,
    },
}

/// The record as written.
#[derive(Serialize, Deserialize)]
struct Kept {
    format: u32,
    id: PersonId,
    login: String,
    email: EmailAddress,
    name: String,
    accounts: Vec<String>,
    role: Role,
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    version: u64,
    created: UnixTime,
}

impl PersonRecord {
    /// Reads a record.
    ///
    /// # Errors
    /// See [`PersonRecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, PersonRecordError> {
        let Kept { format, id, login, email, name, accounts, role, enabled, password, version, created } =
            serde_json::from_slice(bytes)?;
        if !(1..=FORMAT).contains(&format) {
            return Err(PersonRecordError::Newer { found: format });
        }
        let account =
            |name: &str| UserName::new(name).map_err(<serde_json::Error as serde::de::Error>::custom);
        let login = account(&login)?;
        let accounts = accounts.iter().map(|name| account(name)).collect::<Result<_, _>>()?;
        Ok(Self { id, login, email, name, accounts, role, enabled, password, version, created })
    }

    /// Writes the record.
    pub fn put(&self) -> Change {
        let record = self.clone();
        let kept = Kept {
            format: FORMAT,
            id: record.id,
            login: record.login.to_string(),
            email: record.email,
            name: record.name,
            accounts: record.accounts.iter().map(ToString::to_string).collect(),
            role: record.role,
            enabled: record.enabled,
            password: record.password,
            version: record.version,
            created: record.created,
        };
        let value = serde_json::to_vec(&kept).expect("records hold only numbers, texts and lists");
        Change::Put { kind: kind::PERSON, key: self.key(), value }
    }

    /// Takes the record away.
    pub fn remove(&self) -> Change {
        Change::Delete { kind: kind::PERSON, key: self.key() }
    }

    fn key(&self) -> Vec<u8> {
        self.id.0.to_be_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let record = PersonRecord {
            id: PersonId(7),
            login: UserName::new("carol").unwrap(),
            email: EmailAddress::parse("Carol@example.org").unwrap(),
            name: "Carol \u{1f511} Danvers".into(),
            accounts: vec![UserName::new("deploy").unwrap()],
            role: Role::Admin,
            enabled: true,
            password: Some("$argon2id$".into()),
            version: 3,
            created: 1_800_000_000,
        };
        let Change::Put { value, .. } = record.put() else { panic!("not written") };
        assert_eq!(PersonRecord::decode(&value).unwrap(), record);
        let newer = String::from_utf8(value).unwrap().replace("\"format\":1", "\"format\":2");
        let error = PersonRecord::decode(newer.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("has format 2; this version reads up to 1"), "{error}");
        for (from, to) in
            [("\"carol\"", "\"ca rol\""), ("Carol@example.org", "carol"), ("\"admin\"", "\"king\"")]
        {
            let broken = newer.replace("\"format\":2", "\"format\":1").replace(from, to);
            assert!(
                matches!(PersonRecord::decode(broken.as_bytes()), Err(PersonRecordError::Damaged(_))),
                "{to}"
            );
        }
    }
}
