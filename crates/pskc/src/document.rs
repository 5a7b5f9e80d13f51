//! A PSKC document as a whole: its keys first, then its packages, one after the other.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::package::{self, KeyPackage};
use crate::problem::{Fault, Problem, PskcError};
use crate::token::shown;
use crate::unlock::{Lock, OpenError, Unlock};
use crate::xml::{Container, Element, Namespace};
use crate::{FILE_BYTES_MAX, TOKENS_MAX};

/// What a PSKC document holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Its packages in order, each with the token in it or with what is wrong.
    pub packages: Vec<Result<KeyPackage, Fault>>,
    /// Whether it told a key to encrypt with.
    pub is_encrypted: bool,
}

/// Reads a PSKC document (RFC 6030).
///
/// # Errors
/// What concerns the document as a whole: no usable XML, no PSKC, protected in a way that is not known, or by
/// another key than the given one. Whatever concerns one package is a [`Fault`] of that package; a serial that
/// stands there twice is the fault of the later one.
pub fn read(bytes: &[u8], unlock: &Unlock<'_>) -> Result<Document, PskcError> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(PskcError::TooLarge);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| PskcError::Encoding { at: error.valid_up_to() })?;
    let mut container = Container::open(text)?;
    check_version(container.root())?;
    let mut lock = Lock::default();
    let mut packages = Packages::default();
    while let Some(child) = container.next_child()? {
        match (child.namespace, child.name.as_str()) {
            (Namespace::Foreign, _) | (_, "Extensions") => {}
            (_, "Signature") => return Err(PskcError::Signed),
            (_, "EncryptionKey" | "MACMethod") if !packages.read.is_empty() => {
                let problem = format!("{} stands behind a KeyPackage", child.name);
                return Err(PskcError::NotPskc { problem });
            }
            (_, "EncryptionKey") => lock.take_key(&child, *unlock)?,
            (_, "MACMethod") => lock.take_mac(&child)?,
            (_, "KeyPackage") => packages.take(&child, &lock, *unlock)?,
            (_, other) => {
                let problem = format!("it holds `{}`, which is no part of one", shown(other));
                return Err(PskcError::NotPskc { problem });
            }
        }
    }
    match packages.read {
        none if none.is_empty() => Err(PskcError::Empty),
        read => Ok(Document { packages: read, is_encrypted: lock.is_set() }),
    }
}

fn check_version(root: &Element) -> Result<(), PskcError> {
    match root.attribute("Version") {
        Some("1.0") => Ok(()),
        other => Err(PskcError::Version { found: shown(other.unwrap_or("none")) }),
    }
}

#[derive(Default)]
struct Packages {
    read: Vec<Result<KeyPackage, Fault>>,
    /// In which package each serial stands.
    serials: HashMap<String, u64>,
}

impl Packages {
    fn take(&mut self, element: &Element, lock: &Lock, unlock: Unlock<'_>) -> Result<(), PskcError> {
        if self.read.len() == TOKENS_MAX {
            return Err(PskcError::TooMany);
        }
        let row = self.read.len() as u64 + 1;
        let is_secrecy_wanted = !matches!(unlock, Unlock::None);
        let read = match package::read(row, element, lock, is_secrecy_wanted) {
            Ok(package) => self.unless_twice(package),
            Err(OpenError::Package(problem)) => Err(problem),
            Err(OpenError::Document(error)) => return Err(error),
        };
        let fault = |reason| Fault { row, serial: package::serial_of(element).unwrap_or_default(), reason };
        self.read.push(read.map_err(fault));
        Ok(())
    }

    fn unless_twice(&mut self, package: KeyPackage) -> Result<KeyPackage, Problem> {
        match self.serials.entry(package.token.serial.clone()) {
            Entry::Occupied(first) => Err(Problem::SerialTwice { first: format!("package {}", first.get()) }),
            Entry::Vacant(place) => {
                place.insert(package.token.row);
                Ok(package)
            }
        }
    }
}
