//! What a key may be used for, and when (RFC 6030 §5).
//!
//! What is understood is carried; the importer decides with its own clock. A condition that nobody here can
//! keep makes the package faulty, because a key must not be used where its policy is not understood.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::problem::Problem;
use crate::token::shown;
use crate::xml::{Element, Namespace};

/// From when and until when, both in seconds since the Unix epoch; absent where there is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validity {
    /// `StartDate`.
    pub start: Option<i64>,
    /// `ExpiryDate`.
    pub expiry: Option<i64>,
}

/// What a key is for (RFC 6030 §5 and §12.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the registry's")]
pub enum KeyUsage {
    Otp,
    Cr,
    Encrypt,
    Integrity,
    Verify,
    Unlock,
    Decrypt,
    KeyWrap,
    Unwrap,
    Derive,
    Generate,
}

/// All of them with their names in a document.
const KEY_USAGES: [(KeyUsage, &str); 11] = [
    (KeyUsage::Otp, "OTP"),
    (KeyUsage::Cr, "CR"),
    (KeyUsage::Encrypt, "Encrypt"),
    (KeyUsage::Integrity, "Integrity"),
    (KeyUsage::Verify, "Verify"),
    (KeyUsage::Unlock, "Unlock"),
    (KeyUsage::Decrypt, "Decrypt"),
    (KeyUsage::KeyWrap, "KeyWrap"),
    (KeyUsage::Unwrap, "Unwrap"),
    (KeyUsage::Derive, "Derive"),
    (KeyUsage::Generate, "Generate"),
];

impl KeyUsage {
    /// Its name in a document.
    pub fn name(self) -> &'static str {
        KEY_USAGES.iter().find(|(usage, _)| *usage == self).map_or("", |(_, name)| name)
    }
}

impl Validity {
    /// Reads `StartDate` and `ExpiryDate` of an element.
    pub(crate) fn of(element: &Element) -> Result<Self, Problem> {
        let date = |name| element.child(name)?.map(parse_date).transpose();
        Ok(Self { start: date("StartDate")?, expiry: date("ExpiryDate")? })
    }

    /// What is wrong with the moment `now`, in seconds since the Unix epoch.
    pub(crate) fn obstacle_at(&self, now: i64) -> Option<Problem> {
        let before = self
            .start
            .filter(|start| now < *start)
            .map(|start| Problem::NotYetValid { date: print_date(start) });
        let after = self
            .expiry
            .filter(|expiry| now >= *expiry)
            .map(|expiry| Problem::Expired { date: print_date(expiry) });
        before.or(after)
    }
}

/// Reads a key's `Policy`: when it is valid, and what for; an empty list means for anything.
///
/// # Errors
/// `Policy` for any condition that cannot be kept here: an unknown one, a PIN that the verifier would have to
/// check, and a number of transactions.
pub(crate) fn read(policy: &Element) -> Result<(Validity, Vec<KeyUsage>), Problem> {
    let mut usages = Vec::new();
    for child in policy.children() {
        match (child.namespace, child.name.as_str()) {
            (Namespace::Pskc, "StartDate" | "ExpiryDate") => {}
            (Namespace::Pskc, "KeyUsage") => usages.push(usage_by_name(child.text())?),
            (Namespace::Pskc, "PINPolicy") => check_pin_policy(child)?,
            (_, name) => return Err(Problem::Policy { condition: shown(name) }),
        }
    }
    Ok((Validity::of(policy)?, usages))
}

/// A date as a document holds it. Fractions of a second are cut off, since they were when it was read.
pub(crate) fn print_date(seconds: i64) -> String {
    let date = OffsetDateTime::from_unix_timestamp(seconds).ok();
    date.and_then(|date| date.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{seconds} s after 1970"))
}

/// An `xs:dateTime`; one without a zone is in UTC.
fn parse_date(element: &Element) -> Result<i64, Problem> {
    let text = element.text();
    let parse = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
    let date = parse(text).or_else(|| parse(&format!("{text}Z")));
    date.map(OffsetDateTime::unix_timestamp).ok_or_else(|| Problem::Date { element: element.name.clone() })
}

fn usage_by_name(name: &str) -> Result<KeyUsage, Problem> {
    let found = KEY_USAGES.iter().find(|(_, known)| *known == name);
    let unknown = || Problem::Policy { condition: format!("the KeyUsage {}", shown(name)) };
    found.map(|(usage, _)| *usage).ok_or_else(unknown)
}

/// A PIN that the device checks is its own affair; any other would be ours.
fn check_pin_policy(pin: &Element) -> Result<(), Problem> {
    const KNOWN: [&str; 6] =
        ["PINKeyId", "PINUsageMode", "MaxFailedAttempts", "MinLength", "MaxLength", "PINEncoding"];
    let unknown = pin.attribute_names().find(|name| !KNOWN.contains(name));
    let unknown = unknown.or_else(|| pin.children().first().map(|child| child.name.as_str()));
    if let Some(name) = unknown {
        return Err(Problem::Policy { condition: format!("the PINPolicy {}", shown(name)) });
    }
    match pin.attribute("PINUsageMode") {
        Some("Local") => Ok(()),
        mode => {
            let condition = format!("a PIN of mode {}", shown(mode.unwrap_or("unknown")));
            Err(Problem::Policy { condition })
        }
    }
}
