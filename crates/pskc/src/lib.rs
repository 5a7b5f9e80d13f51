//! Enrolment files: RFC 6030 containers (PSKC) in and out, and CSV lists of tokens. Bytes in, values out: it
//! opens nothing, asks nobody, and has no clock and no randomness of its own.
//!
//! [`read`] takes a PSKC document apart, [`write()`] makes one, [`csv::read`] takes a list of tokens apart. All
//! of them speak of a [`TokenRow`], so an importer has one sort of thing to import. A faulty package or row is
//! a [`Fault`] with its number, its serial and one sentence; a document that cannot be read at all is an error.
//!
//! # What is read
//!
//! HOTP and TOTP keys of version 1.0, in plain, or encrypted with AES-128-CBC under a pre-shared key or a
//! passphrase (PBKDF2), each encrypted value under a MAC (HMAC with SHA-1, SHA-256 or SHA-512). The MAC is
//! checked first, in constant time; nothing is decrypted that does not carry one.
//!
//! # What is not
//!
//! Triple DES, AES key wrap, longer AES keys, RSA and other public keys, XML signatures, challenge-response and
//! other algorithms: each is refused by name. So are DTDs, entities other than the five that XML knows by
//! itself, and encodings other than UTF-8; no address in a document is ever followed. Elements that this crate
//! does not know are skipped, except in a key's policy, where they make the key unusable (RFC 6030 §5).
//!
//! # Memory
//!
//! One package at a time is held as a tree; what stays is the result, some hundred bytes for each package or
//! row: a hundred thousand take tens of megabytes beside the document itself. Secrets are wiped when they are
//! dropped; the caller's bytes and the inner buffers of the XML and CSV parsers are not.

#![forbid(unsafe_code)]

mod cipher;
pub mod csv;
mod document;
mod package;
mod policy;
mod problem;
mod secret_text;
mod token;
mod unlock;
mod write;
mod xml;

pub use document::{Document, read};
pub use package::KeyPackage;
pub use policy::{KeyUsage, Validity};
pub use problem::{Fault, Problem, PskcError};
pub use token::{Algorithm, TokenRow, TokenType, checked_serial};
pub use unlock::{ITERATIONS_MAX, Unlock};
pub use write::{Protection, write};

/// Longest file in bytes, of either format: a million packages of half a KiB, which is more than any batch of
/// tokens that was ever shipped.
pub const FILE_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Most packages or rows in one file, as many as one import takes.
pub const TOKENS_MAX: usize = 1_000_000;
