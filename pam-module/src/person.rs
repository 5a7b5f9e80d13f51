//! Who was let in, as the session's programs are told it: three variables of the PAM environment.
//!
//! Pure. What is not one short printable line gets nowhere; a verifier sends nothing else, and the environment may be
//! anybody's.

use serde::{Deserialize, Serialize};
use wire::login::{IDENTITY_BYTES_MAX, Identity};
use wire::printable::is_risky;
use wire::session::{EMAIL_VARIABLE, PERSON_VARIABLE, REFERENCE_VARIABLE};

/// The variables, in the order of [`Known::from_environment`].
pub(crate) const VARIABLES: [&str; 3] = [PERSON_VARIABLE, EMAIL_VARIABLE, REFERENCE_VARIABLE];

/// A person whose names may be shown, and the login that let him in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    /// His login name.
    pub login: String,
    /// His e-mail address.
    pub email: Option<String>,
    /// The login's reference.
    pub reference: Option<String>,
}

impl Known {
    /// None where his login name cannot be shown; without what else cannot.
    pub(crate) fn new(person: &Identity, reference: &str) -> Option<Self> {
        let line = |text: &str| is_line(text).then(|| text.to_owned());
        Some(Self {
            login: line(&person.login)?,
            email: person.email.as_deref().and_then(line),
            reference: line(reference),
        })
    }

    /// From the values of [`VARIABLES`].
    pub(crate) fn from_environment(
        login: Option<Vec<u8>>,
        email: Option<Vec<u8>>,
        reference: Option<Vec<u8>>,
    ) -> Option<Self> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).ok();
        let person = Identity { login: text(login?)?, email: email.and_then(text) };
        Self::new(&person, &reference.and_then(text).unwrap_or_default())
    }

    /// As libpam keeps it.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What libpam kept.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Names and values for an environment.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let values = [Some(&self.login), self.email.as_ref(), self.reference.as_ref()];
        VARIABLES.into_iter().zip(values).filter_map(|(name, value)| Some((name, value?.as_str())))
    }
}

/// Whether it is one line of moderate length that shows itself and nothing else.
fn is_line(text: &str) -> bool {
    (1..=IDENTITY_BYTES_MAX).contains(&text.len()) && !text.contains(is_risky)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(login: &str, email: Option<&str>, reference: &str) -> Option<Vec<(&'static str, String)>> {
        let person = Identity { login: login.to_owned(), email: email.map(str::to_owned) };
        let known = Known::new(&person, reference)?;
        assert_eq!(Known::from_bytes(&known.to_bytes()).as_ref(), Some(&known));
        Some(known.variables().map(|(name, value)| (name, value.to_owned())).collect())
    }

    // covers: R10, E26
    #[test]
    fn a_person_is_shown_by_three_variables_of_one_line_each() {
        let shown = check("alice", Some("alice@example.org"), "7QK2-9ZB4").unwrap();
        let expected = [
            ("POSTERN_PERSON", "alice"),
            ("POSTERN_PERSON_EMAIL", "alice@example.org"),
            ("POSTERN_REFERENCE", "7QK2-9ZB4"),
        ];
        assert_eq!(shown, expected.map(|(name, value)| (name, value.to_owned())));
        assert_eq!(check("jürgen", None, "").unwrap(), [("POSTERN_PERSON", "jürgen".to_owned())]);
    }

    // covers: R10, E26
    #[test]
    fn what_is_not_one_printable_line_gets_nowhere() {
        for login in ["", "a\nLD_PRELOAD=x", "a\0b", "\x1b[2J", "a\u{202e}b", &"x".repeat(256)] {
            assert_eq!(check(login, None, "7QK2-9ZB4"), None, "{login:?}");
            let shown = check("alice", Some(login), login).unwrap();
            assert_eq!(shown, [("POSTERN_PERSON", "alice".to_owned())], "{login:?}");
        }
        let bytes = |text: &[u8]| Some(text.to_vec());
        assert_eq!(Known::from_environment(bytes(b"a\xff"), None, None), None);
        assert_eq!(Known::from_environment(None, bytes(b"x@y"), None), None);
        assert_eq!(Known::from_bytes(b""), None);
    }
}
