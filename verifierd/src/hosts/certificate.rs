//! What a host's certificate says, and what must be so before anybody believes it.
//!
//! Whether it is signed by our authority, and good at this moment, TLS checks before; whether its host is one of
//! ours, [`super::Hosts`] says.

use std::fmt;

use data_encoding::HEXLOWER;
use rcgen::{CertificateSigningRequestParams, PKCS_ECDSA_P256_SHA256, PublicKey, PublicKeyData};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use serde::{Deserialize, Serialize};
use wire::fleet::{HOST_URN_PREFIX, SIGNING_REQUEST_BYTES_MAX};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};

use super::HostId;
use crate::clock::UnixTime;

/// SHA-256 of a public key (SubjectPublicKeyInfo in DER): which of its keys a host shows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of a key.
    pub fn of(key: &[u8]) -> Self {
        Self(sha256(key))
    }
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

impl From<KeyHash> for String {
    fn from(hash: KeyHash) -> Self {
        HEXLOWER.encode(&hash.0)
    }
}

impl TryFrom<String> for KeyHash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok();
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or("64 lower-case hexadecimal digits are needed")
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0[..8]))
    }
}

/// Why a certificate is no host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// It cannot be read, or says something twice.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// It has no name, several, or one that we do not give.
    #[error("the certificate's one name is not {HOST_URN_PREFIX} and an id")]
    NotAHostsName,
    /// It may sign others.
    #[error("the certificate is an authority's")]
    IsAuthority,
    /// It is not for TLS clients, or for others too.
    #[error("the certificate is not for TLS clients alone")]
    NotForClients,
}

/// What a host's certificate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostCertificate {
    /// Whose it is.
    pub host: HostId,
    /// Its key.
    pub key: KeyHash,
    /// Its last second.
    pub not_after: UnixTime,
}

impl HostCertificate {
    /// Reads a certificate.
    ///
    /// # Errors
    /// See [`CertificateFault`]: whatever has another form than what we issue.
    pub fn read(certificate: &CertificateDer<'_>) -> Result<Self, CertificateFault> {
        let (rest, parsed) =
            x509_parser::parse_x509_certificate(certificate).map_err(|_| CertificateFault::Unreadable)?;
        let is_whole = |extension: &ParsedExtension<'_>| {
            !matches!(extension, ParsedExtension::ParseError { .. } | ParsedExtension::Unparsed)
        };
        if !rest.is_empty()
            || !parsed.iter_extensions().all(|extension| is_whole(extension.parsed_extension()))
        {
            return Err(CertificateFault::Unreadable);
        }
        check_use(&parsed)?;
        let host = host_of(&parsed)?;
        let key = KeyHash::of(parsed.public_key().raw);
        let not_after = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
        Ok(Self { host, key, not_after })
    }
}

/// The one name, a URI of ours. DNS names, a second name, a common name alone: all of them are nobody's.
fn host_of(certificate: &X509Certificate<'_>) -> Result<HostId, CertificateFault> {
    let names = certificate.subject_alternative_name().map_err(|_| CertificateFault::Unreadable)?;
    match names.map(|names| names.value.general_names.as_slice()) {
        Some([GeneralName::URI(name)]) => {
            name.strip_prefix(HOST_URN_PREFIX).and_then(HostId::parse).ok_or(CertificateFault::NotAHostsName)
        }
        _ => Err(CertificateFault::NotAHostsName),
    }
}

fn check_use(certificate: &X509Certificate<'_>) -> Result<(), CertificateFault> {
    let basic = certificate.basic_constraints().map_err(|_| CertificateFault::Unreadable)?;
    if basic.is_some_and(|basic| basic.value.ca) {
        return Err(CertificateFault::IsAuthority);
    }
    let uses = certificate.extended_key_usage().map_err(|_| CertificateFault::Unreadable)?;
    let uses = uses.ok_or(CertificateFault::NotForClients)?.value;
    let others = uses.any
        || uses.server_auth
        || uses.code_signing
        || uses.email_protection
        || uses.time_stamping
        || uses.ocsp_signing
        || !uses.other.is_empty();
    if uses.client_auth && !others { Ok(()) } else { Err(CertificateFault::NotForClients) }
}

/// Not a signing request that we answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a signing request (PKCS #10, DER) of an ECDSA key on P-256, signed with it, is needed")]
pub struct SigningRequestFault;

/// The key of a signing request, whose owner has signed with it. Nothing else of the request is taken over.
///
/// # Errors
/// [`SigningRequestFault`] for anything else.
pub fn requested_key(request: &[u8]) -> Result<PublicKey, SigningRequestFault> {
    /// An uncompressed point (SEC 1 §2.3.3): a byte 4 and two coordinates.
    const POINT_BYTES: usize = 65;
    if request.len() > SIGNING_REQUEST_BYTES_MAX {
        return Err(SigningRequestFault);
    }
    let request = CertificateSigningRequestDer::from(request);
    let key =
        CertificateSigningRequestParams::from_der(&request).map_err(|_| SigningRequestFault)?.public_key;
    let is_p256 = key.der_bytes().len() == POINT_BYTES && key.der_bytes()[0] == 4;
    if PublicKeyData::algorithm(&key) == &PKCS_ECDSA_P256_SHA256 && is_p256 {
        Ok(key)
    } else {
        Err(SigningRequestFault)
    }
}

#[cfg(test)]
mod tests;
