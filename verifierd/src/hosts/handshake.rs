//! What TLS asks about a client's certificate.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};

use super::authority::Authority;
use super::certificate::HostCertificate;

/// Accepts clients without a certificate, who may do nothing but join, and clients whose certificate our authority
/// signed for a host. Whether the host is one of ours at this moment is asked at each request.
#[derive(Debug)]
pub struct HostVerifier(Arc<dyn ClientCertVerifier>);

impl HostVerifier {
    /// Certificates of this authority.
    ///
    /// # Errors
    /// When the authority's certificate cannot be a root.
    pub fn new(authority: &Authority, provider: Arc<CryptoProvider>) -> Result<Self, VerifierBuilderError> {
        let mut roots = RootCertStore::empty();
        // One that cannot be added is missed right below.
        let _ = roots.add(authority.certificate().clone());
        let inner = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        Ok(Self(inner.allow_unauthenticated().build()?))
    }
}

impl ClientCertVerifier for HostVerifier {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.0.verify_client_cert(end_entity, intermediates, now)?;
        HostCertificate::read(end_entity).map_err(|fault| {
            Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(fault))))
        })?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
