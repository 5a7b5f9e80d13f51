//! The authority that signs the certificates of hosts and of this verifier: Postern's own, or one of the site's.
//!
//! It decides nothing: whoever asks it for a host's certificate has made sure that the host may have one.
//!
//! Certificates are of X.509 version 3 (RFC 5280), their keys ECDSA on P-256.

use std::fmt;

use aws_lc_rs::digest::SHA256_OUTPUT_LEN;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber,
    SignatureAlgorithm, SigningKey,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use time::OffsetDateTime;
use wire::fleet::HOST_URN_PREFIX;
use zeroize::Zeroize;

use super::HostId;
use super::certificate::sha256;
use super::record::AuthorityRecord;
use crate::clock::UnixTime;
use crate::keys::{KeyError, SealError, Sealer, random_bytes};

mod site;

pub use site::SiteAuthorityError;

const DAY: u64 = 86_400;

/// Seconds for which a host's certificate is good: a host that is off over a long week-end still renews, and what was
/// stolen is of no use a week later even if nobody noticed.
pub const HOST_SECONDS: u64 = 7 * DAY;

/// Seconds for which the verifier's own certificate is good. Its key never leaves memory, so a restart ends it as well.
pub const VERIFIER_SECONDS: u64 = 30 * DAY;

/// Seconds for which Postern's own authority is good. All hosts join again under the next one.
const AUTHORITY_SECONDS: u64 = 3_650 * DAY;

/// How far in the past certificates begin, in seconds: hosts whose clocks are an hour behind still accept them.
const BEFORE_SECONDS: u64 = 3_600;

/// The last second that a certificate can name as its end (RFC 5280 §4.1.2.5.2): that of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// Why there is no authority, or no certificate of it.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// The kernel gave no random bytes.
    #[error(transparent)]
    Random(#[from] KeyError),
    /// The store's authority was sealed under another master key.
    #[error("the fleet's authority in the store does not open under this master key")]
    Sealed(#[from] SealError),
    /// The site's files are of no use.
    #[error(transparent)]
    Site(#[from] SiteAuthorityError),
    /// It signs nothing any more, or nothing yet.
    #[error("the fleet's authority is good from {from} to {until}: the clock stands outside")]
    OutOfTime {
        /// Its first second, RFC 3339.
        from: String,
        /// Its last second, RFC 3339.
        until: String,
    },
}

/// The authority's private key. Wiped when it is dropped.
struct AuthorityKey(KeyPair);

impl Drop for AuthorityKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl PublicKeyData for AuthorityKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        PublicKeyData::algorithm(&self.0)
    }
}

impl SigningKey for AuthorityKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign(message)
    }
}

/// First and last second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Validity {
    from: UnixTime,
    until: UnixTime,
}

/// Signs certificates.
pub struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, AuthorityKey>,
    validity: Validity,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("validity", &self.validity).finish_non_exhaustive()
    }
}

/// A host's certificate on its way.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// Its last second.
    pub not_after: UnixTime,
    /// Half of its life is over then.
    pub renew_at: UnixTime,
}

/// The verifier's own certificate, and its key.
#[derive(Debug)]
pub struct VerifierCertificate {
    /// Its own, then the authority's: an agent that joins knows the second by its hash.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
    /// From when on it is to be exchanged.
    pub renew_at: UnixTime,
}

impl Authority {
    /// Makes Postern's own authority, and what the store keeps of it.
    ///
    /// # Errors
    /// See [`AuthorityError`].
    pub fn create(sealer: &Sealer, now: UnixTime) -> Result<(Self, AuthorityRecord), AuthorityError> {
        let key = AuthorityKey(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?);
        let validity = Validity {
            from: now.saturating_sub(BEFORE_SECONDS),
            until: now.saturating_add(AUTHORITY_SECONDS),
        };
        let mut params = params(validity, "Postern fleet")?;
        // It signs hosts and verifiers, and no further authority.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let certificate: CertificateDer<'static> = params.self_signed(&key)?.into();
        let sealed = sealer.seal(key.0.serialized_der(), &sha256(&certificate))?;
        let record = AuthorityRecord::new(certificate.to_vec(), sealed);
        Ok((Self::new(certificate, key, validity)?, record))
    }

    /// Opens the one that the store holds.
    ///
    /// # Errors
    /// See [`AuthorityError`].
    pub fn open(record: &AuthorityRecord, sealer: &Sealer) -> Result<Self, AuthorityError> {
        let certificate = CertificateDer::from(record.certificate.clone());
        let key = sealer.open(&record.sealed_key, &sha256(&certificate))?;
        let key = PrivatePkcs8KeyDer::from(key.as_slice());
        let key = AuthorityKey(KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256)?);
        let validity = validity_of(&certificate)?;
        Self::new(certificate, key, validity)
    }

    fn new(
        certificate: CertificateDer<'static>,
        key: AuthorityKey,
        validity: Validity,
    ) -> Result<Self, AuthorityError> {
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self { certificate, issuer, validity })
    }

    /// Its certificate: the root of everything that it signs, whoever has signed itself.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// SHA-256 of its certificate (DER), by which agents that join know it.
    pub fn fingerprint(&self) -> [u8; SHA256_OUTPUT_LEN] {
        sha256(&self.certificate)
    }

    /// Its last second.
    pub fn ends(&self) -> UnixTime {
        self.validity.until
    }

    /// Signs a host's key.
    ///
    /// # Errors
    /// See [`AuthorityError`].
    pub fn certify_host(
        &self,
        host: HostId,
        key: &impl PublicKeyData,
        now: UnixTime,
    ) -> Result<Issued, AuthorityError> {
        let validity = self.validity_for(HOST_SECONDS, now)?;
        let mut params = params(validity, &format!("host {host}"))?;
        params.subject_alt_names = vec![SanType::URI(format!("{HOST_URN_PREFIX}{host}").try_into()?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(key, &self.issuer)?.into();
        let not_after = validity.until;
        Ok(Issued { certificate, not_after, renew_at: half_of(now, not_after) })
    }

    /// Signs a new key of the verifier's.
    ///
    /// # Errors
    /// See [`AuthorityError`].
    pub fn certify_verifier(
        &self,
        names: &[ServerName<'static>],
        now: UnixTime,
    ) -> Result<VerifierCertificate, AuthorityError> {
        let validity = self.validity_for(VERIFIER_SECONDS, now)?;
        let mut key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params(validity, "Postern verifier")?;
        params.subject_alt_names = names.iter().map(alternative_name).collect::<Result<_, _>>()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let own = params.signed_by(&key, &self.issuer)?.into();
        let private = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        key.zeroize();
        let chain = vec![own, self.certificate.clone()];
        Ok(VerifierCertificate { chain, key: private, renew_at: half_of(now, validity.until) })
    }

    /// From now on for so long, and never longer than the authority itself.
    fn validity_for(&self, seconds: u64, now: UnixTime) -> Result<Validity, AuthorityError> {
        let Validity { from, until } = self.validity;
        if !(from..=until).contains(&now) {
            let [from, until] = [from, until].map(crate::audit::rfc3339);
            return Err(AuthorityError::OutOfTime { from, until });
        }
        Ok(Validity {
            from: now.saturating_sub(BEFORE_SECONDS).max(from),
            until: now.saturating_add(seconds).min(until),
        })
    }
}

/// What all certificates have: a random serial number, a name for people, and how long they are good.
fn params(validity: Validity, name: &str) -> Result<CertificateParams, AuthorityError> {
    /// A serial number is positive, so its first bit is 0 (RFC 5280 §4.1.2.2); 127 random ones are left.
    const POSITIVE: u8 = 0x7f;
    let mut serial: [u8; 16] = random_bytes()?;
    serial[0] &= POSITIVE;
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = (date(validity.from), date(validity.until));
    Ok(params)
}

fn alternative_name(name: &ServerName<'static>) -> Result<SanType, rcgen::Error> {
    match name {
        ServerName::IpAddress(address) => Ok(SanType::IpAddress((*address).into())),
        name => Ok(SanType::DnsName(name.to_str().as_ref().try_into()?)),
    }
}

fn date(at: UnixTime) -> OffsetDateTime {
    let seconds = i64::try_from(at.min(LAST_SECOND)).unwrap_or(0);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn half_of(now: UnixTime, until: UnixTime) -> UnixTime {
    now.saturating_add(until.saturating_sub(now) / 2)
}

fn validity_of(certificate: &CertificateDer<'_>) -> Result<Validity, rcgen::Error> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|_| rcgen::Error::CouldNotParseCertificate)?;
    let seconds = |at: i64| u64::try_from(at).unwrap_or(0);
    let validity = parsed.validity();
    Ok(Validity {
        from: seconds(validity.not_before.timestamp()),
        until: seconds(validity.not_after.timestamp()),
    })
}

#[cfg(test)]
mod tests;
