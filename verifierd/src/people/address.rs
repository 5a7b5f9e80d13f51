//! E-mail addresses, in the plain form that every mail program reads alike.
//!
//! RFC 5321 permits more: quoted local parts, address literals, comments, and with RFC 6531 any letter. What software
//! reads in two ways is refused here, so that nobody gets what was meant for somebody else: `%` and `!` once were routes,
//! `|` and `/` once were programs and files, and letters of other scripts look like ours.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

/// An address: ASCII only, `local@domain`. Compared without regard to the case of ASCII letters, and to nothing else:
/// `a+x@example.org` is not `a@example.org`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress(String);

/// Not an address that is taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "not an e-mail address such as alice@example.org: ASCII letters, digits and . _ + - = ' & ~ # are taken, no quotes, up to \
     {LOCAL_BYTES_MAX} before the @"
)]
pub struct EmailAddressError;

/// Longest address, in bytes. Source: RFC 5321 §4.5.3.1.3, a path of 256 with its angle brackets.
pub const ADDRESS_BYTES_MAX: usize = 254;

/// Longest local part, in bytes. Source: RFC 5321 §4.5.3.1.1.
const LOCAL_BYTES_MAX: usize = 64;

/// Longest part between the dots of a domain, in bytes. Source: RFC 1035 §2.3.4.
const LABEL_BYTES_MAX: usize = 63;

impl EmailAddress {
    /// Reads an address as it was typed or as a directory has it; nothing is trimmed or mended.
    ///
    /// # Errors
    /// [`EmailAddressError`] for anything that is not exactly an address.
    pub fn parse(text: &str) -> Result<Self, EmailAddressError> {
        let (local, domain) = text.split_once('@').ok_or(EmailAddressError)?;
        let fits = text.len() <= ADDRESS_BYTES_MAX && local.len() <= LOCAL_BYTES_MAX;
        // A program that is given the address as an argument must not take it for an option.
        let is_local = local.split('.').all(is_atom) && !local.starts_with('-');
        let is_right = fits && is_local && domain.split('.').all(is_label);
        is_right.then(|| Self(text.to_owned())).ok_or(EmailAddressError)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What equal addresses share: all in lower case.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

fn is_atom(part: &str) -> bool {
    let is_taken = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+' | b'-' | b'=' | b'\'' | b'&' | b'~' | b'#')
    };
    !part.is_empty() && part.bytes().all(is_taken)
}

fn is_label(part: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&part.len())
        && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !part.starts_with('-')
        && !part.ends_with('-')
}

impl PartialEq for EmailAddress {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for EmailAddress {}

impl Hash for EmailAddress {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded().hash(state);
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = EmailAddressError;

    fn try_from(text: String) -> Result<Self, EmailAddressError> {
        Self::parse(&text)
    }
}

impl From<EmailAddress> for String {
    fn from(address: EmailAddress) -> Self {
        address.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: C09, C11
    #[test]
    fn only_what_every_mail_program_reads_alike_is_an_address() {
        let long_local = format!("{}@example.org", "a".repeat(64));
        for right in
            ["a@b", "alice@example.org", "o'brien+x@sub.example.org", "A.b-c_d@1.example", &long_local]
        {
            assert_eq!(EmailAddress::parse(right).unwrap().as_str(), right);
        }
        let long_label = format!("a@{}.org", "b".repeat(64));
        let long_whole = format!("a@{}", vec!["b".repeat(60); 5].join("."));
        let too_long_local = format!("a{long_local}");
        for wrong in [
            "",
            "alice",
            "@example.org",
            "alice@",
            "a@b@c",
            "alice@example.org.",
            "alice@.org",
            "a..b@c",
            ".a@c",
            "a.@c",
            "m\u{131}ke@example.org",
            "mike@ex\u{430}mple.org",
            "\"a\\\"b\"@c",
            "\"a b\"@c",
            "a b@c",
            "a@b c",
            " a@b",
            "a@b ",
            "a@b\r\nBcc: x@y",
            "a@b\n.\r\nMAIL FROM:<x>",
            "a\0@b",
            "a@[192.0.2.1]",
            "<a@b>",
            "a@b,c@d",
            "a@b;c@d",
            "a%b@c",
            "x!a@c",
            "|program@c",
            "/etc/passwd@c",
            "a(b)@c",
            "-oQ@c",
            "a@-b",
            "a@b-",
            "a@b_c",
            "alice@example.org\u{200b}",
            &long_label,
            &long_whole,
            &too_long_local,
        ] {
            assert_eq!(EmailAddress::parse(wrong), Err(EmailAddressError), "{wrong:?}");
        }
    }

    // covers: C05, C11
    #[test]
    fn case_is_one_and_an_alias_is_another() {
        let address = |text: &str| EmailAddress::parse(text).unwrap();
        assert_eq!(address("MIKE@Example.ORG"), address("mike@example.org"));
        assert_ne!(address("mike+x@example.org"), address("mike@example.org"));
        assert_ne!(address("m.ike@example.org"), address("mike@example.org"));
    }
}
