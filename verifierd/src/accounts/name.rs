//! The one place where a user name becomes an identity.
//!
//! A name is taken byte for byte or not at all: no folding of case, no Unicode forms, no domains stripped.
//! Two spellings are therefore never two accounts of one person by accident: what is not exactly an
//! account's own name is unknown.

use std::fmt;

use wire::login::USER_BYTES_MAX;

/// A well-formed Unix account name: 1 to 255 bytes of ASCII letters, digits, `.`, `_`, `-`, and `$` at the
/// end; it starts with a letter or `_` and is not a number. What useradd(8) accepts, and upper case.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(String);

/// Not a well-formed account name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an account name: letters, digits, '.', '_' and '-' are allowed, starting with a letter or '_'")]
pub struct UserNameError;

impl UserName {
    /// Takes a name as PAM or an administrator gives it.
    ///
    /// # Errors
    /// [`UserNameError`] for anything that is not exactly an account name.
    pub fn new(name: &str) -> Result<Self, UserNameError> {
        let body = name.strip_suffix('$').unwrap_or(name);
        let starts_well = body.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let fits = name.len() <= USER_BYTES_MAX && starts_well && body.chars().all(inside);
        fits.then(|| Self(name.to_owned())).ok_or(UserNameError)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // covers: B05, E06
    #[test]
    fn only_an_exact_account_name_is_a_name() {
        for name in ["alice", "_apt", "a", "web-1", "j.doe", "host$", "Alice"] {
            assert_eq!(UserName::new(name).unwrap().as_str(), name);
        }
        let others = [
            "",
            " alice",
            "alice ",
            "alice@corp",
            "CORP\\alice",
            "alice\u{200b}",
            "jos\u{e9}",
            "jose\u{301}",
            "\u{430}lice",
            "1000",
            "0",
            "-oProxyCommand=x",
            "../../../etc/shadow",
            "a:b",
            "%n%s",
            "a\nb",
            "a\0b",
            "\u{1b}]0;x\u{7}",
            "$",
            "a$b",
            ".a",
        ];
        for name in others {
            assert_eq!(UserName::new(name), Err(UserNameError), "{name:?}");
        }
        assert!(UserName::new(&"a".repeat(255)).is_ok());
        assert!(UserName::new(&"a".repeat(256)).is_err());
        assert!(UserName::new(&"a".repeat(33_000)).is_err());
    }

    // covers: B05
    #[test]
    fn names_that_differ_in_case_are_not_the_same() {
        assert_ne!(UserName::new("alice"), UserName::new("Alice"));
    }
}
