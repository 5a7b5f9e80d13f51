//! What can be wrong with a file, one clear line each.
//!
//! No text repeats a secret: what might be one, because columns are swapped, is not shown. Names out of a file stand
//! here as they are, control characters included: whoever prints a text makes it safe for where it goes.

/// A package or row that cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The number of the package, from 1, or the line of the row.
    pub row: u64,
    /// Its serial, where it is right and it is certain that it is no secret; empty otherwise.
    pub serial: String,
    /// What is wrong and what would be right.
    pub reason: Problem,
}

/// Why one package or row cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// There is no serial, and nothing that could stand for it.
    #[error("the serial is missing")]
    SerialMissing,
    /// Control or invisible characters.
    #[error("the serial holds control or invisible characters")]
    SerialControl,
    /// It begins as a formula does.
    #[error("the serial begins with =, +, - or @, which a spreadsheet takes for a formula")]
    SerialFormula,
    /// More than 64 characters.
    #[error("the serial is longer than 64 characters")]
    SerialLong,
    /// As many digits or letters as a secret has.
    #[error("the serial number looks like a secret: are the columns swapped?")]
    SerialSecret,
    /// Another package or row has it.
    #[error("the serial stands in {first} already")]
    SerialTwice {
        /// `package 3` or `line 3`.
        first: String,
    },
    /// No secret at all.
    #[error("the secret is missing")]
    SecretMissing,
    /// A secret of no bytes.
    #[error("the secret is empty")]
    SecretEmpty,
    /// Fewer than 16 bytes.
    #[error("the secret is too short: {bytes} of the 16 bytes that RFC 4226 demands")]
    SecretShort {
        /// How many there are.
        bytes: usize,
    },
    /// More than 128 bytes.
    #[error("the secret is too long; at most 128 bytes are used")]
    SecretLong,
    /// Not base64, hexadecimal or base32.
    #[error("the secret is not {encoding}")]
    SecretEncoding {
        /// In what it was to be written.
        encoding: &'static str,
    },
    /// Neither `hotp` nor `totp`.
    #[error("the type is {found}; known are totp and hotp")]
    Type {
        /// What stands there.
        found: String,
    },
    /// A hash that HMAC is not used with.
    #[error("the hash is {found}; known are SHA1, SHA256 and SHA512")]
    Hash {
        /// What stands there.
        found: String,
    },
    /// Not 6, 7 or 8.
    #[error("the number of digits is {found}; it can be 6, 7 or 8")]
    Digits {
        /// What stands there.
        found: String,
    },
    /// Not 1 to 86,400.
    #[error("the time step is {found}; it can be 1 to 86400 seconds")]
    TimeInterval {
        /// What stands there.
        found: String,
    },
    /// Above 2^63 - 1, or no number.
    #[error("the counter is {found}; it can be 0 to 9223372036854775807")]
    Counter {
        /// What stands there.
        found: String,
    },
    /// Beyond 32 bits, or no number.
    #[error("the drift is {found}; it is a number of time steps")]
    TimeDrift {
        /// What stands there.
        found: String,
    },
    /// A T0 other than the Unix epoch.
    #[error("its Time is {found}; only tokens that count from the Unix epoch, Time 0, are supported")]
    InitialTime {
        /// What stands there.
        found: String,
    },
    /// A row with too few cells.
    #[error("the row is too short: {found} of at least {wanted} cells")]
    RowShort {
        /// How many there are.
        found: usize,
        /// How many are needed.
        wanted: usize,
    },
    /// A row with too many cells.
    #[error("the row is too long: {found} cells for {wanted} columns")]
    RowLong {
        /// How many there are.
        found: usize,
        /// How many columns there are.
        wanted: usize,
    },
    /// A row whose bytes are no text.
    #[error("the row is not UTF-8")]
    RowEncoding,
    /// A package without a key.
    #[error("the package holds no Key")]
    KeyMissing,
    /// An element that may stand there once stands there twice.
    #[error("there is more than one {element}")]
    Twice {
        /// Its name.
        element: String,
    },
    /// A key without an algorithm.
    #[error("the key names no algorithm")]
    AlgorithmMissing,
    /// Neither HOTP nor TOTP.
    #[error(
        "the key is for the algorithm {uri}; supported are urn:ietf:params:xml:ns:keyprov:pskc:hotp and :totp"
    )]
    Algorithm {
        /// Its URI.
        uri: String,
    },
    /// It answers a challenge.
    #[error("the key answers challenges (ChallengeFormat), which no HOTP or TOTP token does")]
    Challenge,
    /// Its codes are not decimal digits.
    #[error("its codes are {encoding}; only DECIMAL is supported")]
    ResponseEncoding {
        /// What stands there.
        encoding: String,
    },
    /// Its codes end in a check digit.
    #[error("its codes end in a check digit (CheckDigits), which is not supported")]
    ResponseCheckDigits,
    /// A value that is neither plain nor encrypted, or both.
    #[error("{element} must hold either PlainValue or EncryptedValue")]
    ValueShape {
        /// Which element.
        element: String,
    },
    /// A key was given, but the value stands there for everybody to read.
    #[error(
        "its secret is not encrypted although a key was given; read the file without a key if that is right"
    )]
    NotEncrypted,
    /// Encrypted, without the element that says with what.
    #[error("{element} is encrypted, but the container has no EncryptionKey before it")]
    KeyUnknown {
        /// Which element.
        element: String,
    },
    /// Encrypted in another way.
    #[error("{element} is encrypted with {method}; only AES-128-CBC is supported")]
    Cipher {
        /// Which element.
        element: String,
        /// The URI of the method.
        method: String,
    },
    /// Encrypted, without anything that protects it against changes.
    #[error("{element} is encrypted but has no MAC (ValueMAC and MACMethod); it may have been changed")]
    MacMissing {
        /// Which element.
        element: String,
    },
    /// Changed, or under another key.
    #[error("the MAC of {element} does not hold: it was changed, or another key encrypted it")]
    MacWrong {
        /// Which element.
        element: String,
    },
    /// What was encrypted has no sense in spite of its MAC.
    #[error("{element} is not well-formed: {problem}")]
    Value {
        /// Which element.
        element: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// No date.
    #[error("{element} is not a date such as 2026-01-31T00:00:00Z")]
    Date {
        /// Which element.
        element: String,
    },
    /// A condition on the key's use that nobody here can keep (RFC 6030 §5).
    #[error(
        "its policy has {condition}, which cannot be kept, so the key must not be used (RFC 6030 section 5)"
    )]
    Policy {
        /// Which condition.
        condition: String,
    },
    /// Its time has not come.
    #[error("it is not valid before {date}")]
    NotYetValid {
        /// When it will.
        date: String,
    },
    /// Its time is over.
    #[error("it is valid until {date} only")]
    Expired {
        /// When it was.
        date: String,
    },
    /// Its key is for something else.
    #[error("its key may be used for {usages} only, not for OTP")]
    KeyUsage {
        /// For what.
        usages: String,
    },
}

/// Why a document cannot be read at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PskcError {
    /// Larger than [`crate::FILE_BYTES_MAX`].
    #[error("the file is larger than 512 MiB")]
    TooLarge,
    /// More than [`crate::TOKENS_MAX`].
    #[error("the file holds more than 1000000 tokens")]
    TooMany,
    /// Another encoding.
    #[error("the document is not UTF-8 from byte {at} on; convert it first")]
    Encoding {
        /// The first byte that is wrong.
        at: usize,
    },
    /// XML that is broken or outside our bounds.
    #[error("the document is not usable XML at byte {at}: {problem}")]
    Xml {
        /// Where.
        at: u64,
        /// What is wrong.
        problem: String,
    },
    /// A DTD.
    #[error(
        "the document has a DTD (<!DOCTYPE), which PSKC never needs; remove it if the file can be trusted"
    )]
    Dtd,
    /// XML, but not PSKC.
    #[error("the document is not a PSKC container: {problem}")]
    NotPskc {
        /// What is there instead.
        problem: String,
    },
    /// A version that is not known.
    #[error("the container has version {found}; only 1.0 is known")]
    Version {
        /// What stands there.
        found: String,
    },
    /// A signature.
    #[error(
        "the container is signed, and signatures are not checked here: check it with `pskctool --verify`, take \
         the Signature element out, and read the rest"
    )]
    Signed,
    /// No packages.
    #[error("the container holds no KeyPackage")]
    Empty,
    /// Encrypted for a key that was not given.
    #[error("the document is encrypted with a pre-shared key, {name}; give that key")]
    KeyNeeded {
        /// What the document calls it, in words.
        name: String,
    },
    /// Encrypted under a passphrase that was not given.
    #[error("the document is encrypted with a passphrase, {name}; give that passphrase")]
    PassphraseNeeded {
        /// What the document calls it.
        name: String,
    },
    /// Encrypted in a way that we do not undo.
    #[error(
        "the document is protected with {method}; supported are AES-128-CBC under a pre-shared key or a passphrase (PBKDF2)"
    )]
    Protection {
        /// In which way.
        method: String,
    },
    /// Parameters of the encryption that are missing or outside the bounds.
    #[error("{element} is not usable: {problem}")]
    Parameter {
        /// Which element.
        element: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// Nothing fits.
    #[error("the key or passphrase is wrong, or the document was changed: {problem}")]
    WrongKey {
        /// What does not hold.
        problem: String,
    },
}
