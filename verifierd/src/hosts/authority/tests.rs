use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rcgen::CertificateSigningRequestParams;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::UnixTime as TlsTime;
use rustls::server::danger::ClientCertVerifier;
use std::sync::Arc;

use super::*;
use crate::config::CertificateFiles;
use crate::hosts::HostCertificate;
use crate::hosts::handshake::HostVerifier;
use crate::keys::MasterKey;

const NOW: u64 = 1_800_000_000;

fn sealer() -> Sealer {
    Sealer::new(&MasterKey::generate().unwrap(), "fleet authority")
}

fn host() -> HostId {
    HostId::from_random([7; 16])
}

fn at(now: u64) -> TlsTime {
    TlsTime::since_unix_epoch(Duration::from_secs(now))
}

// covers: F02
#[test]
fn a_hosts_certificate_is_believed_for_a_week_and_by_nobody_elses_authority() {
    let (authority, _) = Authority::create(&sealer(), NOW).unwrap();
    let (other, _) = Authority::create(&sealer(), NOW).unwrap();
    let key = KeyPair::generate().unwrap();
    let issued = authority.certify_host(host(), &key, NOW).unwrap();
    assert_eq!((issued.not_after, issued.renew_at), (NOW + HOST_SECONDS, NOW + HOST_SECONDS / 2));
    let read = HostCertificate::read(&issued.certificate).unwrap();
    assert_eq!((read.host, read.not_after), (host(), issued.not_after));
    let believes = |authority: &Authority, now| {
        let verifier = HostVerifier::new(authority, Arc::new(default_provider())).unwrap();
        verifier.verify_client_cert(&issued.certificate, &[], at(now)).is_ok()
    };
    assert!(believes(&authority, NOW) && believes(&authority, NOW + HOST_SECONDS));
    assert!(!believes(&authority, NOW + HOST_SECONDS + 1));
    assert!(!believes(&authority, NOW - BEFORE_SECONDS - 1));
    // The same name, another key.
    assert!(!believes(&other, NOW));
    let again = authority.certify_host(host(), &key, NOW).unwrap();
    assert_ne!(again.certificate, issued.certificate, "serial numbers are drawn");
}

// covers: F02
#[test]
fn nothing_of_a_signing_request_but_its_key_is_in_the_certificate() {
    let (authority, _) = Authority::create(&sealer(), NOW).unwrap();
    let mut params = CertificateParams::new(["evil.example.org".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let request = params.serialize_request(&KeyPair::generate().unwrap()).unwrap();
    let key = CertificateSigningRequestParams::from_der(request.der()).unwrap().public_key;
    let issued = authority.certify_host(host(), &key, NOW).unwrap();
    assert_eq!(HostCertificate::read(&issued.certificate).unwrap().host, host());
}

// covers: F15
#[test]
fn the_verifiers_certificate_has_its_names_and_the_authority_behind_it() {
    let (authority, _) = Authority::create(&sealer(), NOW).unwrap();
    let names =
        ["otp1.example.org", "192.0.2.5", "2001:db8::5"].map(|name| ServerName::try_from(name).unwrap());
    let own = authority.certify_verifier(&names, NOW).unwrap();
    assert_eq!((own.chain.len(), &own.chain[1]), (2, authority.certificate()));
    assert_eq!(own.renew_at, NOW + VERIFIER_SECONDS / 2);
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone()).unwrap();
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
    let verifier = verifier.build().unwrap();
    let believes = |name: &str, now| {
        let name = ServerName::try_from(name).unwrap();
        verifier.verify_server_cert(&own.chain[0], &own.chain[1..], &name, &[], at(now)).is_ok()
    };
    for name in ["otp1.example.org", "OTP1.example.org", "192.0.2.5", "2001:db8::5"] {
        assert!(believes(name, NOW), "{name}");
    }
    for name in ["otp2.example.org", "example.org", "192.0.2.6", "2001:db8::6"] {
        assert!(!believes(name, NOW), "{name}");
    }
    assert!(!believes("otp1.example.org", NOW + VERIFIER_SECONDS + 1));
    // What hosts show does not make a verifier, nor the other way round.
    let issued = authority.certify_host(host(), &KeyPair::generate().unwrap(), NOW).unwrap();
    assert!(verifier.verify_server_cert(&issued.certificate, &[], &names[0], &[], at(NOW)).is_err());
    let hosts = HostVerifier::new(&authority, Arc::new(default_provider())).unwrap();
    assert!(hosts.verify_client_cert(&own.chain[0], &[], at(NOW)).is_err());
}

// covers: E24
#[test]
fn the_key_leaves_memory_only_sealed_and_opens_only_beside_its_own_certificate() {
    let sealer = sealer();
    let (authority, record) = Authority::create(&sealer, NOW).unwrap();
    let plain = authority.issuer.key().0.serialized_der();
    assert!(!record.sealed_key.windows(32).any(|part| plain.windows(32).any(|secret| secret == part)));
    let again = Authority::open(&record, &sealer).unwrap();
    assert_eq!((again.fingerprint(), again.ends()), (authority.fingerprint(), NOW + AUTHORITY_SECONDS));
    let issued = again.certify_host(host(), &KeyPair::generate().unwrap(), NOW).unwrap();
    let verifier = HostVerifier::new(&authority, Arc::new(default_provider())).unwrap();
    verifier.verify_client_cert(&issued.certificate, &[], at(NOW)).unwrap();
    let (_, stranger) = Authority::create(&sealer, NOW).unwrap();
    let moved = AuthorityRecord::new(stranger.certificate, record.sealed_key.clone());
    assert!(matches!(Authority::open(&moved, &sealer), Err(AuthorityError::Sealed(_))));
    assert!(matches!(Authority::open(&record, &self::sealer()), Err(AuthorityError::Sealed(_))));
    let told = format!("{authority:?}");
    assert!(!told.contains("key"), "{told}");
}

#[test]
fn what_it_signs_ends_with_it() {
    let (authority, _) = Authority::create(&sealer(), NOW).unwrap();
    let key = KeyPair::generate().unwrap();
    let late = NOW + AUTHORITY_SECONDS - 10;
    assert_eq!(authority.certify_host(host(), &key, late).unwrap().not_after, NOW + AUTHORITY_SECONDS);
    for outside in [NOW + AUTHORITY_SECONDS + 1, NOW - BEFORE_SECONDS - 1] {
        let fault = authority.certify_host(host(), &key, outside).unwrap_err();
        assert!(fault.to_string().contains("the clock stands outside"), "{fault}");
    }
}

/// A folder of ours with an authority's files.
struct Site {
    folder: tempfile::TempDir,
    files: CertificateFiles,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let [certificate_file, private_key_file] = ["ca.pem", "ca.key"].map(|name| folder.path().join(name));
        Self { folder, files: CertificateFiles { certificate_file, private_key_file } }
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn check(&self, expected: &str) {
        let error = Authority::of_site(&self.files).expect_err(expected);
        let told = format!("{:#}", anyhow::Error::from(error));
        assert!(told.contains(expected), "{told:?} does not say {expected:?}");
    }
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

#[test]
fn a_sites_authority_signs_and_is_the_root_of_what_it_signs() {
    let site = Site::new();
    let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let root = Issuer::new(authority_params(), root_key);
    let intermediate = authority_params().signed_by(&key, &root).unwrap();
    site.write("ca.pem", &intermediate.pem(), 0o644);
    site.write("ca.key", &key.serialize_pem(), 0o600);
    let authority = Authority::of_site(&site.files).unwrap();
    assert_eq!(authority.certificate(), intermediate.der());
    let issued = authority.certify_host(host(), &KeyPair::generate().unwrap(), NOW).unwrap();
    let verifier = HostVerifier::new(&authority, Arc::new(default_provider())).unwrap();
    verifier.verify_client_cert(&issued.certificate, &[], at(NOW)).unwrap();
}

// covers: E25
#[test]
fn files_of_an_authority_that_cannot_be_used_are_named_with_what_would_be_right() {
    let site = Site::new();
    let key = KeyPair::generate().unwrap();
    let good = authority_params().self_signed(&key).unwrap().pem();
    site.check("cannot use [fleet] ca_certificate_file: no file");
    site.write("ca.pem", "", 0o644);
    site.check("ca.pem holds no certificate in PEM form");
    site.write("ca.pem", &(good.clone() + &good), 0o644);
    site.check("ca.pem holds 2 certificates: only that of the authority");
    site.write("ca.pem", &CertificateParams::default().self_signed(&key).unwrap().pem(), 0o644);
    site.check("ca.pem is not the certificate of an authority: its basic constraints");
    let mut params = authority_params();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    site.write("ca.pem", &params.self_signed(&key).unwrap().pem(), 0o644);
    site.check("its key usage does not include keyCertSign");
    site.write("ca.pem", &good, 0o644);
    site.check("cannot use [fleet] ca_private_key_file: no file");
    site.write("ca.key", &key.serialize_pem(), 0o640);
    site.check("ca.key has mode 0640");
    site.write("ca.key", &good, 0o600);
    site.check("ca.key holds no private key in PEM form");
    site.write("ca.key", &KeyPair::generate().unwrap().serialize_pem(), 0o600);
    site.check("is not the key of");
    site.write("ca.key", &key.serialize_pem(), 0o600);
    Authority::of_site(&site.files).unwrap();
}
