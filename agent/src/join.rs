//! Makes this host one of a fleet: with a join secret, at a verifier that the secret names.
//!
//! The secret goes to nobody whose certificates do not lead to the authority that it names by its hash. The key is made
//! here and never leaves the machine.

use std::time::Duration;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use hyper::StatusCode;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::time::Instant;
use wire::API_VERSION;
use wire::error::ErrorBody;
use wire::fleet::{JOIN_PATH, JOIN_SECRET_BYTES, Join, Joined};
use zeroize::{Zeroize as _, Zeroizing};

use crate::VERSION;
use crate::config::VerifierAddress;
use crate::connection::{self, Answer, Fault, chain};
use crate::identity::{Identity, IdentityError, NewKey, fingerprint};
use crate::{secret_body, tls};

/// How long one verifier may take. Somebody waits at a terminal.
const JOIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a join secret that only the verifier knows.
const OWN_BYTES: usize = 16;

/// Room for a join: secret, signing request, version and the names of the fields.
const JOIN_BYTES: usize = 8 * 1_024;

/// What an administrator got from `postern host enrol`.
pub struct JoinSecret {
    own: Zeroizing<[u8; OWN_BYTES]>,
    /// SHA-256 of the authority's certificate.
    authority: [u8; 32],
}

/// Not a join secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is not a join secret: 77 letters and digits are needed, as `postern host enrol NAME` prints them"
)]
pub struct JoinSecretError;

/// Why the host did not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// No verifier answered.
    #[error("no verifier answered:\n{0}")]
    Unreachable(String),
    /// The verifier refused.
    #[error("{verifier} refused: {message}")]
    Refused {
        /// Which.
        verifier: String,
        /// Its words.
        message: String,
    },
    /// What came is not an answer, or not for this host.
    #[error("{verifier}: {what}")]
    Answer {
        /// Which verifier.
        verifier: String,
        /// What is wrong.
        what: &'static str,
    },
    /// The certificate that came cannot be used.
    #[error("{verifier} sent a certificate that cannot be used")]
    Certificate {
        /// Which verifier.
        verifier: String,
        /// Why.
        source: IdentityError,
    },
    /// No key could be made.
    #[error("cannot make a key")]
    Key(#[from] rcgen::Error),
    /// No TLS.
    #[error("cannot speak TLS")]
    Tls(#[from] rustls::Error),
}

impl JoinSecret {
    /// Reads it as it was printed: hyphens, blanks, line ends and small letters are of no meaning.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(text: &str) -> Result<Self, JoinSecretError> {
        let is_letter = |character: &char| *character != '-' && !character.is_whitespace();
        let letters: String = text.chars().filter(is_letter).collect();
        let letters = Zeroizing::new(Zeroizing::new(letters).to_ascii_uppercase());
        let decoded = BASE32_NOPAD.decode(letters.as_bytes()).map_err(|_| JoinSecretError)?;
        let bytes: Zeroizing<[u8; JOIN_SECRET_BYTES]> =
            Zeroizing::new(decoded.as_slice().try_into().map_err(|_| JoinSecretError)?);
        Zeroizing::new(decoded).zeroize();
        let mut secret = Self { own: Zeroizing::default(), authority: [0; 32] };
        secret.own.copy_from_slice(&bytes[..OWN_BYTES]);
        secret.authority.copy_from_slice(&bytes[OWN_BYTES..]);
        Ok(secret)
    }
}

/// Joins at the first verifier that answers. Nothing is kept yet.
///
/// # Errors
/// See [`JoinError`].
pub async fn join(
    secret: &JoinSecret,
    verifiers: &[VerifierAddress],
) -> Result<(Identity, Joined), JoinError> {
    let key = NewKey::generate()?;
    let mut join = Join {
        api_version: API_VERSION,
        secret: HEXLOWER.encode(&*secret.own),
        signing_request: key.signing_request()?,
        agent_version: VERSION.into(),
    };
    let body = secret_body::of(&join, JOIN_BYTES);
    join.secret.zeroize();
    let tls = tls::for_join(secret.authority)?;
    let mut faults = Vec::new();
    for address in verifiers {
        let deadline = Instant::now() + JOIN_TIMEOUT;
        let asked = async {
            let (mut sender, driver) = connection::open(address, tls.clone(), deadline).await?;
            // Ends with the sender.
            tokio::spawn(driver);
            let asked = connection::ask(&mut sender, address, JOIN_PATH, body.clone(), None);
            tokio::time::timeout_at(deadline, asked).await.unwrap_or(Err(Fault::TimedOut))
        };
        match asked.await {
            Ok(answer) => return take_over(&answer, key, secret, address.to_string()),
            Err(fault) => faults.push(format!("  {address}: {}", chain(&fault))),
        }
    }
    Err(JoinError::Unreachable(faults.join("\n")))
}

/// Those verifiers that are, by its own word, the one that answered: several names of one verifier.
pub fn same_verifier<'a>(joined: &Joined, verifiers: &'a [VerifierAddress]) -> Vec<&'a VerifierAddress> {
    let own: Vec<VerifierAddress> = joined.found_at.iter().filter_map(|text| text.parse().ok()).collect();
    verifiers.iter().filter(|verifier| own.contains(verifier)).collect()
}

fn take_over(
    answer: &Answer,
    key: NewKey,
    secret: &JoinSecret,
    verifier: String,
) -> Result<(Identity, Joined), JoinError> {
    if answer.status != StatusCode::OK {
        let error = serde_json::from_slice::<ErrorBody>(&answer.body);
        let message = error.map_or_else(|_| answer.status.to_string(), |body| body.error.message);
        return Err(JoinError::Refused { verifier, message });
    }
    let Ok(joined) = serde_json::from_slice::<Joined>(&answer.body) else {
        return Err(JoinError::Answer { verifier, what: "what came is not an answer to a join" });
    };
    let is_ours = CertificateDer::from_pem_slice(joined.certificate.authority.as_bytes())
        .is_ok_and(|authority| fingerprint(&authority) == secret.authority);
    if !is_ours {
        let what = "the authority that came is not the one that the join secret names";
        return Err(JoinError::Answer { verifier, what });
    }
    let identity = match key.certified(&joined.certificate) {
        Ok(identity) => identity,
        Err(source) => return Err(JoinError::Certificate { verifier, source }),
    };
    if identity.host != joined.host {
        return Err(JoinError::Answer { verifier, what: "the certificate that came is for another host" });
    }
    Ok((identity, joined))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::identity::tests::{Authority, HOST};
    use crate::verifiers::tests::{Act, Fake};

    /// Joins at a verifier that answers so, and says why that failed.
    async fn refused(authority: &Authority, status: u16, answer: Value) -> String {
        let fake = Fake::start(authority, move |path, asked| {
            assert_eq!((path, &asked["secret"]), (JOIN_PATH, &json!("00".repeat(OWN_BYTES))));
            Act::Answer(status, answer.clone())
        })
        .await;
        let error = join(&secret_of(authority), &[fake.verifier()]).await.expect_err("must be refused");
        chain(&error)
    }

    // covers: F15
    #[tokio::test]
    async fn what_a_verifier_answers_to_a_join_is_taken_over_only_if_it_fits() {
        let (ours, theirs) = (Authority::generate(), Authority::generate());
        let error = json!({"error": {"code": "not_allowed", "message": "that secret is no good"}});
        let cases = [
            (403, error, "refused: that secret is no good"),
            (200, json!({}), "what came is not an answer to a join"),
            (200, theirs.joined(), "the authority that came is not the one that the join secret names"),
            (200, ours.joined(), "the certificate that came is for another key"),
        ];
        for (status, answer, expected) in cases {
            let told = refused(&ours, status, answer).await;
            assert!(told.contains(expected), "{told:?} does not say {expected:?}");
        }
        let nobody = join(&secret_of(&ours), &["https://localhost:1".parse().unwrap()]).await;
        let told = nobody.expect_err("nobody is there").to_string();
        assert!(told.contains("https://localhost:1: no connection to"), "{told}");
    }

    #[test]
    fn several_names_of_one_verifier_are_told_from_several_verifiers() {
        let found_at = json!(["https://otp1.example.org:7443", "https://192.0.2.5:7443"]);
        let mut answer = Authority::generate().joined();
        answer["found_at"] = found_at;
        let joined: Joined = serde_json::from_value(answer).unwrap();
        let verifiers = ["https://OTP1.example.org", "https://otp2.example.org", "https://192.0.2.5"];
        let verifiers = verifiers.map(|text| text.parse::<VerifierAddress>().unwrap());
        assert_eq!(same_verifier(&joined, &verifiers), [&verifiers[0], &verifiers[2]]);
        let older = Joined { found_at: Vec::new(), ..joined };
        assert!(same_verifier(&older, &verifiers).is_empty());
    }

    fn secret_of(authority: &Authority) -> JoinSecret {
        JoinSecret { own: Zeroizing::default(), authority: fingerprint(&authority.certificate()) }
    }

    impl Authority {
        /// The answer to a join of some other host's.
        fn joined(&self) -> Value {
            let key = NewKey::generate().unwrap();
            let certificate = self.sign_host(&key, &[crate::identity::tests::urn(HOST)]);
            json!({"api_version": 1, "host": HOST, "name": "web1", "certificate": certificate})
        }
    }

    #[test]
    fn a_secret_is_read_however_it_is_written() {
        let bytes: Vec<u8> = (0..48).collect();
        let letters = BASE32_NOPAD.encode(&bytes);
        let pieces: Vec<&str> = letters.as_bytes().chunks(8).map(|it| str::from_utf8(it).unwrap()).collect();
        let forms = [
            letters.clone(),
            pieces.join("-"),
            format!("  {}\n", pieces.join(" - ")),
            pieces.join("\r\n").to_lowercase(),
        ];
        for form in forms {
            let secret = JoinSecret::parse(&form).unwrap();
            assert_eq!((&secret.own[..], &secret.authority[..]), (&bytes[..16], &bytes[16..]));
        }
        let longer = BASE32_NOPAD.encode(&[0; 49]);
        for wrong in ["", "A", &letters[1..], &longer, &letters.replacen('A', "1", 1), "\u{e9}"] {
            assert!(JoinSecret::parse(wrong).is_err(), "{wrong}");
        }
    }
}
