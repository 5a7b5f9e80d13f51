//! A security key made of software, and the browser in front of it: what they answer to our questions. Sources: WebAuthn
//! Level 3, sections 5.8.1 (client data), 6.1 (authenticator data), 6.5.4 and 8.7 (attestation "none"); RFC 9053 section
//! 7.1.1 (the public key).

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::keys::random_bytes;

/// User present, user verified.
const VERIFIED: u8 = 0x05;
/// Present alone.
pub const PRESENT: u8 = 0x01;
/// What follows is a new credential.
const NEW: u8 = 0x40;

/// A key with one credential.
pub struct Authenticator {
    pair: EcdsaKeyPair,
    id: [u8; 16],
    /// How often it has signed; one that does not count stays at 0.
    pub counter: u32,
    /// What it says of its user.
    pub flags: u8,
    /// Where its browser says that the page is from.
    pub origin: String,
}

impl Authenticator {
    pub fn new(origin: &str) -> Self {
        Self {
            pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(),
            id: random_bytes().unwrap(),
            counter: 0,
            flags: VERIFIED,
            origin: origin.into(),
        }
    }

    /// A copy, as a thief would make one.
    pub fn counting_from(mut self, counter: u32) -> Self {
        self.counter = counter;
        self
    }

    /// Answers a question for a new credential.
    pub fn make(&self, question: &Value) -> String {
        let options = &question["publicKey"];
        let mut data = self.data(options["rp"]["id"].as_str().unwrap(), self.flags | NEW);
        data.extend([0; 16]);
        data.extend(16_u16.to_be_bytes());
        data.extend(self.id);
        let public = self.pair.public_key().as_ref();
        data.extend([0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20]);
        data.extend(&public[1..33]);
        data.extend([0x22, 0x58, 0x20]);
        data.extend(&public[33..65]);
        let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".to_vec();
        object.push(u8::try_from(data.len()).unwrap());
        object.extend(data);
        let response = json!({
            "attestationObject": BASE64URL_NOPAD.encode(&object),
            "clientDataJSON": BASE64URL_NOPAD.encode(&self.client("webauthn.create", options)),
        });
        self.answer(&response)
    }

    /// Signs what is asked.
    pub fn sign(&mut self, question: &Value) -> String {
        if self.counter > 0 {
            self.counter += 1;
        }
        let options = &question["publicKey"];
        let data = self.data(options["rpId"].as_str().unwrap(), self.flags);
        let client = self.client("webauthn.get", options);
        let signed = [data.as_slice(), digest(&SHA256, &client).as_ref()].concat();
        let signature = self.pair.sign(&SystemRandom::new(), &signed).unwrap();
        let response = json!({
            "authenticatorData": BASE64URL_NOPAD.encode(&data),
            "clientDataJSON": BASE64URL_NOPAD.encode(&client),
            "signature": BASE64URL_NOPAD.encode(signature.as_ref()),
            "userHandle": null,
        });
        self.answer(&response)
    }

    fn data(&self, name: &str, flags: u8) -> Vec<u8> {
        let mut data = digest(&SHA256, name.as_bytes()).as_ref().to_vec();
        data.push(flags);
        data.extend(self.counter.to_be_bytes());
        data
    }

    fn client(&self, kind: &str, options: &Value) -> Vec<u8> {
        let client = json!({
            "type": kind, "challenge": options["challenge"], "origin": self.origin, "crossOrigin": false
        });
        client.to_string().into_bytes()
    }

    fn answer(&self, response: &Value) -> String {
        let id = BASE64URL_NOPAD.encode(&self.id);
        json!({ "id": id, "rawId": id, "type": "public-key", "response": response }).to_string()
    }
}
