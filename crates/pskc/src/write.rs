//! PSKC documents out.
//!
//! Writes what `read` reads: version 1.0, the elements in the order of RFC 6030's schema. Where the document is
//! protected, the secrets are encrypted and carry MACs; counters and the rest are in plain, as in the examples
//! of the RFC. Chance is an argument.

use data_encoding::BASE64;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use zeroize::Zeroizing;

use crate::cipher::{self, KEY_BYTES, Key};
use crate::package::{HOTP, KeyPackage, TOTP};
use crate::policy::{Validity, print_date};
use crate::token::{Algorithm, TokenRow, TokenType};
use crate::unlock::{AES_128_CBC, HMAC_SHA1, ITERATIONS_MAX, PBKDF2};
use crate::xml::PSKC;

/// How a document keeps its secrets.
#[derive(Clone, Copy)]
pub enum Protection<'a> {
    /// Not at all: whoever has the file has the secrets.
    None,
    /// With AES-128-CBC under a key that both sides have already.
    PreSharedKey {
        /// The key.
        key: &'a [u8; 16],
        /// What both sides call it; it stands in the document.
        name: &'a str,
    },
    /// With AES-128-CBC under a key that PBKDF2 makes of a passphrase.
    Passphrase {
        /// The passphrase.
        passphrase: &'a str,
        /// What both sides call it; it stands in the document.
        name: &'a str,
        /// Iterations of PBKDF2, brought into `1..=ITERATIONS_MAX`.
        iterations: u32,
    },
}

/// Length of the MAC key: the output of SHA-1 (RFC 2104 §3).
const MAC_KEY_BYTES: usize = 20;

const SALT_BYTES: usize = 16;

/// A PSKC document (RFC 6030) with these packages, in their order.
///
/// * `random`: fills what it is given with random bytes, for salt, MAC key and initialisation vectors.
///
/// Characters that XML cannot carry become U+FFFD.
pub fn write(
    packages: &[KeyPackage],
    protection: &Protection<'_>,
    random: &mut dyn FnMut(&mut [u8]),
) -> Zeroizing<Vec<u8>> {
    // A vector that grows leaves copies of plain secrets behind; a package takes less than this.
    let mut out =
        Out { xml: Writer::new_with_indent(Vec::with_capacity(1536 * (packages.len() + 2)), b' ', 2) };
    out.event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
    let namespaces = [
        ("Version", "1.0"),
        ("xmlns:pskc", PSKC),
        ("xmlns:ds", "http://www.w3.org/2000/09/xmldsig#"),
        ("xmlns:xenc", "http://www.w3.org/2001/04/xmlenc#"),
        ("xmlns:xenc11", "http://www.w3.org/2009/xmlenc11#"),
        ("xmlns:pkcs5", "http://www.rsasecurity.com/rsalabs/pkcs/schemas/pkcs-5v2-0#"),
    ];
    out.open("pskc:KeyContainer", &namespaces);
    let mut sealer = out.protection(protection, random);
    for package in packages {
        out.package(package, sealer.as_mut());
    }
    out.close("pskc:KeyContainer");
    Zeroizing::new(out.xml.into_inner())
}

/// What encrypts the secrets of one document.
struct Sealer<'a> {
    key: Key,
    mac_key: Zeroizing<[u8; MAC_KEY_BYTES]>,
    random: Random<'a>,
}

type Random<'a> = &'a mut dyn FnMut(&mut [u8]);

struct Out {
    xml: Writer<Vec<u8>>,
}

impl Out {
    /// Writes `EncryptionKey` and `MACMethod`, if there are to be any.
    fn protection<'a>(&mut self, protection: &Protection<'_>, random: Random<'a>) -> Option<Sealer<'a>> {
        let key = match *protection {
            Protection::None => return None,
            Protection::PreSharedKey { key, name } => {
                self.open("pskc:EncryptionKey", &[]);
                self.leaf("ds:KeyName", name);
                Key::new(*key)
            }
            Protection::Passphrase { passphrase, name, iterations } => {
                let iterations = iterations.clamp(1, ITERATIONS_MAX);
                let mut salt = [0; SALT_BYTES];
                random(&mut salt);
                self.open("pskc:EncryptionKey", &[]);
                self.derived_key(name, &salt, iterations);
                cipher::derive(Algorithm::Sha1, passphrase, &salt, iterations)
            }
        };
        self.close("pskc:EncryptionKey");
        let mut mac_key = Zeroizing::new([0; MAC_KEY_BYTES]);
        random(&mut *mac_key);
        self.open("pskc:MACMethod", &[("Algorithm", HMAC_SHA1)]);
        self.encrypted("pskc:MACKey", &cipher::encrypt(&key, iv(random), &*mac_key));
        self.close("pskc:MACMethod");
        Some(Sealer { key, mac_key, random })
    }

    fn derived_key(&mut self, name: &str, salt: &[u8], iterations: u32) {
        self.open("xenc11:DerivedKey", &[]);
        self.open("xenc11:KeyDerivationMethod", &[("Algorithm", PBKDF2)]);
        self.open("pkcs5:PBKDF2-params", &[]);
        self.open("Salt", &[]);
        self.leaf("Specified", &BASE64.encode(salt));
        self.close("Salt");
        self.leaf("IterationCount", &iterations.to_string());
        self.leaf("KeyLength", &KEY_BYTES.to_string());
        self.event(Event::Empty(BytesStart::new("PRF")));
        self.close("pkcs5:PBKDF2-params");
        self.close("xenc11:KeyDerivationMethod");
        self.leaf("xenc11:MasterKeyName", name);
        self.close("xenc11:DerivedKey");
    }

    fn package(&mut self, package: &KeyPackage, sealer: Option<&mut Sealer<'_>>) {
        let token = &package.token;
        let uri = match token.token_type {
            TokenType::Hotp => HOTP[0],
            TokenType::Totp => TOTP[0],
        };
        self.open("pskc:KeyPackage", &[]);
        self.open("pskc:DeviceInfo", &[]);
        self.leaf_if("pskc:Manufacturer", package.manufacturer.as_deref());
        self.leaf("pskc:SerialNo", &token.serial);
        self.leaf_if("pskc:Model", package.model.as_deref());
        self.validity(&package.device_validity);
        self.close("pskc:DeviceInfo");
        self.open("pskc:Key", &[("Id", &package.key_id), ("Algorithm", uri)]);
        self.leaf_if("pskc:Issuer", package.issuer.as_deref());
        self.parameters(token);
        self.open("pskc:Data", &[]);
        self.open("pskc:Secret", &[]);
        match sealer {
            None => self.leaf("pskc:PlainValue", &Zeroizing::new(BASE64.encode(&token.secret))),
            Some(sealer) => {
                let sealed = cipher::encrypt(&sealer.key, iv(sealer.random), &token.secret);
                self.encrypted("pskc:EncryptedValue", &sealed);
                let mac = cipher::mac(Algorithm::Sha1, &*sealer.mac_key, &sealed);
                self.leaf("pskc:ValueMAC", &BASE64.encode(&mac));
            }
        }
        self.close("pskc:Secret");
        self.moving_factor(token);
        self.close("pskc:Data");
        self.policy(package);
        self.close("pskc:Key");
        self.close("pskc:KeyPackage");
    }

    fn parameters(&mut self, token: &TokenRow) {
        self.open("pskc:AlgorithmParameters", &[]);
        match token.algorithm {
            // The default of both profiles.
            Algorithm::Sha1 => {}
            Algorithm::Sha256 => self.leaf("pskc:Suite", "HMAC-SHA256"),
            Algorithm::Sha512 => self.leaf("pskc:Suite", "HMAC-SHA512"),
        }
        let digits = token.digits.to_string();
        let format = BytesStart::new("pskc:ResponseFormat")
            .with_attributes([("Encoding", "DECIMAL"), ("Length", digits.as_str())]);
        self.event(Event::Empty(format));
        self.close("pskc:AlgorithmParameters");
    }

    fn moving_factor(&mut self, token: &TokenRow) {
        let is_totp = token.token_type == TokenType::Totp;
        self.plain_value("pskc:Counter", token.counter.map(|counter| counter.to_string()));
        self.plain_value("pskc:Time", is_totp.then(|| String::from("0")));
        self.plain_value("pskc:TimeInterval", token.time_interval.map(|interval| interval.to_string()));
        self.plain_value("pskc:TimeDrift", token.time_drift.map(|drift| drift.to_string()));
    }

    fn policy(&mut self, package: &KeyPackage) {
        if package.key_validity == Validity::default() && package.key_usages.is_empty() {
            return;
        }
        self.open("pskc:Policy", &[]);
        self.validity(&package.key_validity);
        for usage in &package.key_usages {
            self.leaf("pskc:KeyUsage", usage.name());
        }
        self.close("pskc:Policy");
    }

    fn validity(&mut self, validity: &Validity) {
        self.leaf_if("pskc:StartDate", validity.start.map(print_date).as_deref());
        self.leaf_if("pskc:ExpiryDate", validity.expiry.map(print_date).as_deref());
    }

    fn encrypted(&mut self, name: &str, sealed: &[u8]) {
        self.open(name, &[]);
        let method = BytesStart::new("xenc:EncryptionMethod").with_attributes([("Algorithm", AES_128_CBC)]);
        self.event(Event::Empty(method));
        self.open("xenc:CipherData", &[]);
        self.leaf("xenc:CipherValue", &BASE64.encode(sealed));
        self.close("xenc:CipherData");
        self.close(name);
    }

    fn plain_value(&mut self, name: &str, value: Option<String>) {
        if let Some(value) = value {
            self.open(name, &[]);
            self.leaf("pskc:PlainValue", &value);
            self.close(name);
        }
    }

    fn leaf_if(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.leaf(name, text);
        }
    }

    fn leaf(&mut self, name: &str, text: &str) {
        self.open(name, &[]);
        self.event(Event::Text(BytesText::new(&legal(text))));
        self.close(name);
    }

    fn open(&mut self, name: &str, attributes: &[(&str, &str)]) {
        let mut start = BytesStart::new(name);
        for (key, value) in attributes {
            start.push_attribute((*key, legal(value).as_str()));
        }
        self.event(Event::Start(start));
    }

    fn close(&mut self, name: &str) {
        self.event(Event::End(BytesEnd::new(name)));
    }

    fn event(&mut self, event: Event<'_>) {
        self.xml.write_event(event).expect("a vector takes every byte");
    }
}

fn iv(random: Random<'_>) -> [u8; KEY_BYTES] {
    let mut iv = [0; KEY_BYTES];
    random(&mut iv);
    iv
}

/// A text that XML can carry, which knows few control characters (XML 1.0 §2.2).
fn legal(text: &str) -> Zeroizing<String> {
    let is_illegal =
        |c: char| (c.is_control() && c != '\t' && c != '\n') || matches!(c, '\u{fffe}' | '\u{ffff}');
    Zeroizing::new(text.replace(is_illegal, "\u{fffd}"))
}
