//! What a host is called: by us for ever, by administrators for now.

use std::fmt;

use serde::{Deserialize, Serialize};
use wire::fleet::HOST_NAME_BYTES_MAX;

/// Names a host for ever: 122 random bits, shown as a UUID (RFC 9562, version 4). Never used again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HostId(u128);

impl HostId {
    /// The id of 16 random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        const VERSION: u128 = 0xf << 76;
        const VARIANT: u128 = 0b11 << 62;
        Self(u128::from_be_bytes(bytes) & !VERSION & !VARIANT | 0x4 << 76 | 0b10 << 62)
    }

    /// Reads the one form that [`fmt::Display`] writes: 36 characters, lower case.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text.split('-').collect();
        let id = Self(u128::from_str_radix(&digits, 16).ok()?);
        (id.to_string() == text).then_some(id)
    }

    /// As bytes, for records and for hashing.
    pub fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The id that [`Self::bytes`] gave.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:032x}", self.0);
        let [a, b, c, d, e] = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
        write!(f, "{a}-{b}-{c}-{d}-{e}")
    }
}

impl fmt::Debug for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not a name for a host or a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a name of a host or a group: lower-case letters, digits and '-' are allowed, in parts of at most 63 that '.' \
     separates, at most {HOST_NAME_BYTES_MAX} in all"
)]
pub struct NameError;

/// Declares a name with the form of a DNS name (RFC 1123 §2.1), lower case.
macro_rules! dns_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// Takes a name as it is, or not at all.
            ///
            /// # Errors
            /// [`NameError`].
            pub fn new(name: &str) -> Result<Self, NameError> {
                is_dns_name(name).then(|| Self(name.to_owned())).ok_or(NameError)
            }

            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(name: String) -> Result<Self, NameError> {
                Self::new(&name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    };
}

dns_name! {
    /// What administrators call a host. It may change; a name that one host had goes to no other.
    HostName
}

dns_name! {
    /// What administrators call a number of hosts that share policy.
    GroupName
}

/// Whether this is a DNS name (RFC 1123 §2.1) in lower case.
pub fn is_dns_name(name: &str) -> bool {
    const LABEL_BYTES_MAX: usize = 63;
    let is_label = |label: &str| {
        let inside = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(inside)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= HOST_NAME_BYTES_MAX && name.split('.').all(is_label)
}

/// A host at the moment of a request, as its certificate and our records say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostIdentity {
    /// Which.
    pub id: HostId,
    /// Its present name.
    pub name: HostName,
    /// Its present group.
    pub group: Option<GroupName>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_form() {
        let id = HostId::from_random([0xff; 16]);
        assert_eq!(id.to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(HostId::parse(&id.to_string()), Some(id));
        assert_eq!(HostId::from_bytes(id.bytes()), id);
        let zero = HostId::from_random([0; 16]);
        assert_eq!(zero.to_string(), "00000000-0000-4000-8000-000000000000");
        let others = [
            "",
            "ffffffffffff4fffbfffffffffffffff",
            "FFFFFFFF-FFFF-4FFF-BFFF-FFFFFFFFFFFF",
            "ffffffff-ffff-4fff-bfff-fffffffffff",
            "+fffffff-ffff-4fff-bfff-ffffffffffff",
            "{ffffffff-ffff-4fff-bfff-ffffffffffff}",
        ];
        for other in others {
            assert_eq!(HostId::parse(other), None, "{other}");
        }
    }

    // covers: F02
    #[test]
    fn a_host_is_called_what_dns_could_call_it_in_lower_case() {
        let long_label = "a".repeat(63);
        let longest = format!("{0}.{0}.{0}.{1}", long_label, "a".repeat(61));
        for name in ["web1", "db-2.example.org", "1and1", &long_label, &longest] {
            assert_eq!(HostName::new(name).unwrap().as_str(), name);
        }
        let too_long = [format!("{long_label}a"), format!("{longest}a")];
        let wrong =
            ["", ".", "web1.", ".web1", "a..b", "-web", "web-", "Web1", "w\u{e9}b", "w b", "*", "a\0", "a_b"];
        for name in wrong.into_iter().chain(too_long.iter().map(String::as_str)) {
            assert_eq!(GroupName::new(name), Err(NameError), "{name:?}");
        }
    }
}
