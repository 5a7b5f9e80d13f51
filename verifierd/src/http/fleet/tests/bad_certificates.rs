//! Certificates that a real authority signed, or one of the same name, and that let nobody in (F02).

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rcgen::{
    BasicConstraints, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose,
    PKCS_RSA_SHA256, SanType,
};
use time::OffsetDateTime;
use wire::fleet::HOST_URN_PREFIX;

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use serde_json::Value;

use super::stand::{FLEET, Stand, check_refused, private};
use crate::trial::NOON;

/// A fleet under an authority whose key the test has.
struct Site {
    stand: Stand,
    issuer: Issuer<'static, KeyPair>,
    _folder: tempfile::TempDir,
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Example fleet");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn day(offset: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(i64::try_from(NOON).unwrap() + offset * 86_400).unwrap()
}

/// As we make them.
fn leaf_params(id: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = (day(-1), day(6));
    params.subject_alt_names = vec![uri(&format!("{HOST_URN_PREFIX}{id}"))];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

impl Site {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = authority_params().self_signed(&key).unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            path
        };
        let config = format!(
            "{FLEET}\nca_certificate_file = {:?}\nca_private_key_file = {:?}\n",
            write("ca.pem", &certificate.pem()),
            write("ca.key", &key.serialize_pem())
        );
        let stand = Stand::with_config(&config).await;
        Self { stand, issuer: Issuer::new(authority_params(), key), _folder: folder }
    }

    /// What a report with such a certificate is answered with; an error where the handshake failed.
    async fn report(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: &KeyPair,
    ) -> Result<(StatusCode, Value), String> {
        let tls = self.stand.tls(Some((chain, private(key))));
        self.stand.connect(tls, "localhost").await?.report().await
    }

    async fn check_shut(&self, what: &str, chain: Vec<CertificateDer<'static>>, key: &KeyPair) {
        let before = self.stand.tally.read().without_key;
        let told = self.report(chain, key).await;
        assert!(told.is_err(), "{what}: {told:?}");
        assert_eq!(self.stand.tally.read().without_key, before + 1, "{what}");
    }
}

// covers: F02
#[tokio::test]
async fn certificates_of_any_other_form_end_the_handshake() {
    let site = Site::new().await;
    let web1 = site.stand.join("web1").await;
    assert_eq!(site.report(web1.chain.clone(), &web1.key).await.unwrap().0, StatusCode::OK);
    let with = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = leaf_params(&web1.id);
        change(&mut params);
        params.signed_by(&web1.key, &site.issuer).unwrap().der().clone()
    };
    // The very key of the host, signed by the right authority: only what the certificate says is wrong.
    let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
    let named = |names: Vec<SanType>| with(&|params| params.subject_alt_names = names.clone());
    let ours = || uri(&format!("{HOST_URN_PREFIX}{}", web1.id));
    let bad = [
        ("expired", with(&|params| params.not_after = day(0) - Duration::from_secs(60))),
        ("not yet valid", with(&|params| params.not_before = day(1))),
        ("common name only", named(vec![])),
        ("two names", named(vec![ours(), uri("urn:postern:host:2")])),
        ("a DNS name beside it", named(vec![ours(), dns("web1")])),
        ("a DNS name", named(vec![dns("web1")])),
        ("wildcard", named(vec![dns("*.example.org")])),
        ("masked label", named(vec![dns("xn--web1-cua.example.org")])),
        ("upper case", named(vec![uri(&format!("{HOST_URN_PREFIX}{}", web1.id.to_uppercase()))])),
        ("trailing dot", named(vec![uri(&format!("{HOST_URN_PREFIX}{}.", web1.id))])),
        ("NUL", named(vec![uri(&format!("{HOST_URN_PREFIX}{}\0", web1.id))])),
        (
            "server use only",
            with(&|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
        ),
        ("no use", with(&|params| params.extended_key_usages = vec![])),
        ("authority", with(&|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
    ];
    for (what, certificate) in bad {
        site.check_shut(what, vec![certificate], &web1.key).await;
    }
    assert_eq!(site.report(web1.chain.clone(), &web1.key).await.unwrap().0, StatusCode::OK);
}

// covers: F02
#[tokio::test]
async fn certificates_of_other_authorities_and_long_chains_end_the_handshake() {
    let site = Site::new().await;
    let web1 = site.stand.join("web1").await;
    let same_name = Issuer::new(authority_params(), KeyPair::generate().unwrap());
    let forged = leaf_params(&web1.id).signed_by(&web1.key, &same_name).unwrap();
    site.check_shut("another authority of the same name", vec![forged.der().clone()], &web1.key).await;
    let own = leaf_params(&web1.id).self_signed(&web1.key).unwrap();
    site.check_shut("signed by itself", vec![own.der().clone()], &web1.key).await;
    // Ten authorities below ours.
    let mut params = authority_params();
    params.distinguished_name.push(DnType::OrganizationName, "0");
    let key = KeyPair::generate().unwrap();
    let mut chain = vec![params.signed_by(&key, &site.issuer).unwrap().der().clone()];
    let mut issuer = Issuer::new(params, key);
    for depth in 1..10 {
        let mut params = authority_params();
        params.distinguished_name.push(DnType::OrganizationName, depth.to_string());
        let key = KeyPair::generate().unwrap();
        chain.insert(0, params.signed_by(&key, &issuer).unwrap().der().clone());
        issuer = Issuer::new(params, key);
    }
    chain.insert(0, leaf_params(&web1.id).signed_by(&web1.key, &issuer).unwrap().der().clone());
    assert_eq!(chain.len(), 11);
    site.check_shut("a chain of ten", chain, &web1.key).await;
    // Another's certificate without his key.
    let thief = KeyPair::generate().unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = provider.key_provider.load_private_key(private(&thief)).unwrap();
    let stolen = Arc::new(rustls::sign::CertifiedKey::new(web1.chain.clone(), key));
    let mut tls = site.stand.tls(None);
    tls.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(stolen));
    let told = match site.stand.connect(tls, "localhost").await {
        Ok(mut agent) => agent.report().await,
        Err(error) => Err(error),
    };
    assert!(told.is_err(), "{told:?}");
}

// covers: F02, F03
#[tokio::test]
async fn a_certificate_of_the_right_form_with_another_key_than_the_hosts_is_refused() {
    let site = Site::new().await;
    let web1 = site.stand.join("web1").await;
    // The site signed it itself, behind our back; short keys are no different.
    for key in [KeyPair::generate().unwrap(), KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap()] {
        let certificate = leaf_params(&web1.id).signed_by(&key, &site.issuer).unwrap();
        let told = site.report(vec![certificate.der().clone()], &key).await;
        check_refused(told, "not the host's present certificate");
    }
    assert_eq!(site.report(web1.chain.clone(), &web1.key).await.unwrap().0, StatusCode::OK);
}
