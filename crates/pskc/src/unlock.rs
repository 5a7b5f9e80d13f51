//! The keys of a document (RFC 6030 §6): which one it asks for, and opening values with it.
//!
//! Order matters here: a value's MAC is checked before anything of it is decrypted.

use std::cell::Cell;

use data_encoding::BASE64;
use zeroize::Zeroizing;

use crate::cipher::{self, KEY_BYTES, Key};
use crate::problem::{Problem, PskcError};
use crate::token::{Algorithm, shown};
use crate::xml::Element;

/// What the importer has to open a document with.
#[derive(Clone, Copy)]
pub enum Unlock<'a> {
    /// Nothing: the document must be plain.
    None,
    /// The pre-shared key of AES-128, agreed on with whoever made the document.
    PreSharedKey(&'a [u8; 16]),
    /// A passphrase; the document says how it becomes a key.
    Passphrase(&'a str),
}

/// Most iterations of PBKDF2: with ten million a passphrase takes some seconds to become a key. A document that
/// asks for more keeps the importer busy for nothing; the usual advice for SHA-1 is between one and two million.
pub const ITERATIONS_MAX: u32 = 10_000_000;

/// Longest salt in bytes: usual are 8 to 32.
const SALT_BYTES_MAX: usize = 1024;

/// Longest encrypted value in bytes, with its initialisation vector: a secret of 128 bytes takes 160.
const ENCRYPTED_BYTES_MAX: usize = 1024;

/// Shortest key of a MAC in bytes: 128 bits, as the key of the encryption (RFC 6030 §6.1.1).
const MAC_KEY_BYTES_MIN: usize = 16;

pub(crate) const AES_128_CBC: &str = "http://www.w3.org/2001/04/xmlenc#aes128-cbc";
pub(crate) const PBKDF2: &str = "http://www.rsasecurity.com/rsalabs/pkcs/schemas/pkcs-5v2-0#pbkdf2";
pub(crate) const HMAC_SHA1: &str = "http://www.w3.org/2000/09/xmldsig#hmac-sha1";

/// PBKDF2 as XML Encryption 1.1 names it.
const PBKDF2_OF_XMLENC11: &str = "http://www.w3.org/2009/xmlenc11#pbkdf2";

/// What stands before `#hmac-sha1` and its kin: XML Signature, RFC 6931, and RSA's schema.
const HMAC_NAMESPACES: [&str; 3] = [
    "http://www.w3.org/2000/09/xmldsig",
    "http://www.w3.org/2001/04/xmldsig-more",
    "http://www.rsasecurity.com/rsalabs/pkcs/schemas/pkcs-5v2-0",
];

/// The keys of one document, as far as it has told them.
#[derive(Default)]
pub(crate) struct Lock {
    key: Option<Key>,
    mac: Option<MacKey>,
    /// A MAC has held, so the keys are right.
    is_proved: Cell<bool>,
}

struct MacKey {
    hash: Algorithm,
    key: Zeroizing<Vec<u8>>,
}

/// Why a value cannot be opened: the package's fault, or the document's.
#[derive(Debug)]
pub(crate) enum OpenError {
    Package(Problem),
    Document(PskcError),
}

impl From<Problem> for OpenError {
    fn from(problem: Problem) -> Self {
        Self::Package(problem)
    }
}

impl Lock {
    /// Takes in `EncryptionKey`.
    pub(crate) fn take_key(&mut self, element: &Element, unlock: Unlock<'_>) -> Result<(), PskcError> {
        if self.key.is_some() {
            return Err(unusable("EncryptionKey", "it stands there twice"));
        }
        let twice = |problem: Problem| unusable("EncryptionKey", &problem.to_string());
        if let Some(derived) = element.child("DerivedKey").map_err(twice)? {
            self.key = Some(derive(derived, unlock).map_err(|problem| match problem {
                OpenError::Package(problem) => twice(problem),
                OpenError::Document(error) => error,
            })?);
            return Ok(());
        }
        let name = match (element.child("KeyName").map_err(twice)?, element.children().first()) {
            (Some(name), _) => called(name.text()),
            // RFC 6030 §6.1 demands a name; some producers leave it out.
            (None, None) => called(""),
            (None, Some(other)) => {
                let method = format!("a key that is told by {}", shown(&other.name));
                return Err(PskcError::Protection { method });
            }
        };
        self.key = match unlock {
            Unlock::PreSharedKey(key) => Some(Key::new(*key)),
            Unlock::None | Unlock::Passphrase(_) => return Err(PskcError::KeyNeeded { name }),
        };
        Ok(())
    }

    /// Takes in `MACMethod`, which follows `EncryptionKey`.
    pub(crate) fn take_mac(&mut self, element: &Element) -> Result<(), PskcError> {
        let unusable = |problem: &str| unusable("MACMethod", problem);
        if self.mac.is_some() {
            return Err(unusable("it stands there twice"));
        }
        let key = self.key.as_ref().ok_or_else(|| unusable("there is no EncryptionKey before it"))?;
        let mac_key = element.child("MACKey").map_err(|problem| unusable(&problem.to_string()))?;
        let mac_key =
            mac_key.ok_or_else(|| unusable("it holds no MACKey, which RFC 6030 section 6.1.1 demands"))?;
        let cipher_value = cipher_value(mac_key, "MACKey").map_err(|problem| match problem {
            Problem::Cipher { method, .. } => PskcError::Protection { method },
            problem => unusable(&problem.to_string()),
        })?;
        let uri = element.attribute("Algorithm").unwrap_or_default();
        let hash = hmac_by_uri(uri)
            .ok_or_else(|| PskcError::Protection { method: format!("the MAC `{}`", shown(uri)) })?;
        let wrong = |problem: &str| PskcError::WrongKey { problem: problem.to_owned() };
        let key = cipher::decrypt(key, &cipher_value).ok_or_else(|| wrong("the MAC key cannot be opened"))?;
        if key.len() < MAC_KEY_BYTES_MIN {
            return Err(wrong("the MAC key has fewer than 16 bytes"));
        }
        self.mac = Some(MacKey { hash, key });
        Ok(())
    }

    /// Whether the document is encrypted.
    pub(crate) fn is_set(&self) -> bool {
        self.key.is_some()
    }

    /// Opens the `EncryptedValue` of `element`, after its `ValueMAC`.
    pub(crate) fn open(
        &self,
        element: &Element,
        encrypted: &Element,
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let name = || element.name.clone();
        let key = self.key.as_ref().ok_or_else(|| Problem::KeyUnknown { element: name() })?;
        let bytes = cipher_value(encrypted, &element.name)?;
        let missing = || Problem::MacMissing { element: name() };
        let mac = self.mac.as_ref().ok_or_else(missing)?;
        let value_mac = element.child("ValueMAC")?.ok_or_else(missing)?;
        let found = base64(value_mac.text()).unwrap_or_default();
        if !cipher::mac_holds(mac.hash, &mac.key, &bytes, &found) {
            return Err(self.mac_does_not_hold(name()));
        }
        self.is_proved.set(true);
        let problem = "its padding has no sense";
        Ok(cipher::decrypt(key, &bytes).ok_or_else(|| Problem::Value { element: name(), problem })?)
    }

    /// Before any MAC has held, the key may be wrong, and every package would say the same.
    fn mac_does_not_hold(&self, element: String) -> OpenError {
        if self.is_proved.get() {
            OpenError::Package(Problem::MacWrong { element })
        } else {
            let problem = format!("the MAC of the first {element} does not hold");
            OpenError::Document(PskcError::WrongKey { problem })
        }
    }
}

/// Base64 with any space in it (XML Schema `base64Binary`).
pub(crate) fn base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut packed = Zeroizing::new(Vec::with_capacity(text.len()));
    packed.extend(text.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    let mut out = Zeroizing::new(vec![0; BASE64.decode_len(packed.len()).ok()?]);
    let len = BASE64.decode_mut(&packed, &mut out).ok()?;
    out.truncate(len);
    Some(out)
}

/// Makes the key of a `DerivedKey`.
fn derive(derived: &Element, unlock: Unlock<'_>) -> Result<Key, OpenError> {
    let name = called(derived.child("MasterKeyName")?.map_or("", Element::text));
    let passphrase = match unlock {
        Unlock::Passphrase(passphrase) => passphrase,
        Unlock::None | Unlock::PreSharedKey(_) => {
            return Err(OpenError::Document(PskcError::PassphraseNeeded { name }));
        }
    };
    let refuse = |problem: &str| OpenError::Document(unusable("KeyDerivationMethod", problem));
    let method = derived.child("KeyDerivationMethod")?.ok_or_else(|| refuse("it is missing"))?;
    let uri = method.attribute("Algorithm").unwrap_or_default();
    if uri != PBKDF2 && uri != PBKDF2_OF_XMLENC11 {
        let method = format!("the key derivation `{}`", shown(uri));
        return Err(OpenError::Document(PskcError::Protection { method }));
    }
    let parameters = method.child("PBKDF2-params")?.ok_or_else(|| refuse("it holds no PBKDF2-params"))?;
    let salt = parameters.descendant(&["Salt", "Specified"])?.and_then(|salt| base64(salt.text()));
    let salt = salt.filter(|salt| (1..=SALT_BYTES_MAX).contains(&salt.len()));
    let salt =
        salt.ok_or_else(|| refuse("its Salt is missing, not base64, empty or longer than 1024 bytes"))?;
    let number =
        |name| Ok::<_, Problem>(parameters.child(name)?.and_then(|element| element.text().parse().ok()));
    let iterations = number("IterationCount")?.filter(|count| (1..=ITERATIONS_MAX).contains(count));
    let iterations =
        iterations.ok_or_else(|| refuse("its IterationCount is not a number from 1 to 10000000"))?;
    let length = parameters.child("KeyLength")?.map_or("16", Element::text);
    if length != KEY_BYTES.to_string() {
        return Err(refuse("its KeyLength is not 16, the length of a key of AES-128"));
    }
    let prf = match parameters.child("PRF")? {
        Some(prf) => prf.attribute("Algorithm").unwrap_or_else(|| prf.text()),
        None => "",
    };
    // HMAC-SHA-1 is the default (RFC 8018, appendix A.2).
    let prf = if prf.is_empty() { Some(Algorithm::Sha1) } else { hmac_by_uri(prf) };
    let prf = prf.ok_or_else(|| refuse("its PRF is not HMAC with SHA-1, SHA-256 or SHA-512"))?;
    Ok(cipher::derive(prf, passphrase, &salt, iterations))
}

/// What a document calls its key.
fn called(name: &str) -> String {
    if name.is_empty() { String::from("without a name") } else { format!("named `{}`", shown(name)) }
}

/// What an `EncryptedDataType` holds, still encrypted.
fn cipher_value(encrypted: &Element, element: &str) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let element = || element.to_owned();
    let method = encrypted.child("EncryptionMethod")?.and_then(|method| method.attribute("Algorithm"));
    match method {
        Some(AES_128_CBC) => {}
        other => return Err(Problem::Cipher { element: element(), method: cipher_name(other) }),
    }
    let value = encrypted.descendant(&["CipherData", "CipherValue"])?;
    let bytes = value.and_then(|value| base64(value.text()));
    let bytes = bytes.filter(|bytes| bytes.len() <= ENCRYPTED_BYTES_MAX);
    let problem = "its CipherValue is missing, not base64 or longer than 1024 bytes";
    bytes.ok_or_else(|| Problem::Value { element: element(), problem })
}

/// A cipher by the name that people know it under.
fn cipher_name(uri: Option<&str>) -> String {
    let Some(uri) = uri else { return String::from("an unnamed method") };
    let known = match uri.rsplit('#').next().unwrap_or_default() {
        "tripledes-cbc" | "kw-tripledes" => "Triple DES",
        "aes192-cbc" | "aes256-cbc" => "AES with a longer key",
        "kw-aes128" | "kw-aes192" | "kw-aes256" => "AES key wrap",
        "rsa_1_5" | "rsa-1_5" | "rsa-oaep-mgf1p" | "rsa-oaep" => "RSA",
        _ => "another method",
    };
    format!("{known} ({})", shown(uri))
}

fn hmac_by_uri(uri: &str) -> Option<Algorithm> {
    let (namespace, name) = uri.rsplit_once('#')?;
    if !HMAC_NAMESPACES.contains(&namespace) {
        return None;
    }
    match name.to_ascii_lowercase().as_str() {
        "hmac-sha1" => Some(Algorithm::Sha1),
        "hmac-sha256" => Some(Algorithm::Sha256),
        "hmac-sha512" => Some(Algorithm::Sha512),
        _ => None,
    }
}

fn unusable(element: &'static str, problem: &str) -> PskcError {
    PskcError::Parameter { element, problem: problem.to_owned() }
}
