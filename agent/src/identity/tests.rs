//! Authorities and hosts, also for the tests of other modules.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use rcgen::{
    BasicConstraints, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
};

use super::*;

/// The id of hosts in tests.
pub const HOST: &str = "01234567-89ab-4cde-8f01-23456789abcd";

/// An authority that signs whatever a test needs.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// A new one.
    pub fn generate() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Postern");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        Self { issuer: CertifiedIssuer::self_signed(params, key).unwrap() }
    }

    /// Its certificate.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// A host's certificate with these names, for a key of its own.
    pub fn sign_host(&self, key: &NewKey, names: &[SanType]) -> Certificate {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.to_vec();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let signed = params.signed_by(&key.pair, &self.issuer).unwrap();
        Certificate {
            chain: signed.pem(),
            authority: self.issuer.pem(),
            not_after: String::new(),
            renew_at: String::new(),
        }
    }

    /// A host of tests.
    pub fn host(&self) -> Identity {
        let key = NewKey::generate().unwrap();
        let certificate = self.sign_host(&key, &[urn(HOST)]);
        key.certified(&certificate).unwrap()
    }

    /// The certificate of a host for what its signing request asks.
    ///
    /// * `request`: base 64 of its DER form.
    pub fn sign_request(&self, request: &str, host: &str) -> Certificate {
        let der = BASE64.decode(request.as_bytes()).unwrap();
        let request = rcgen::CertificateSigningRequestParams::from_der(&der.into()).unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![urn(host)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let signed = params.signed_by(&request.public_key, &self.issuer).unwrap();
        Certificate {
            chain: signed.pem(),
            authority: self.issuer.pem(),
            not_after: String::new(),
            renew_at: String::new(),
        }
    }

    /// A verifier's certificate and key, for a name.
    pub fn verifier(
        &self,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut params);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        (vec![signed.der().clone(), self.certificate()], key.serialize_der().try_into().unwrap())
    }
}

/// The name of a host in its certificate.
pub fn urn(host: &str) -> SanType {
    SanType::URI(format!("{HOST_URN_PREFIX}{host}").try_into().unwrap())
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    folder
}

#[test]
fn what_is_kept_is_read_again() {
    let folder = folder();
    let state = folder.path().join("state");
    let kept = Authority::generate().host();
    kept.keep(&state).unwrap();
    let read = Identity::load(&state).unwrap();
    assert_eq!((&read.host[..], &read.chain, &read.authority), (HOST, &kept.chain, &kept.authority));
    assert_eq!(read.expose_key(), kept.expose_key());
    assert_eq!((read.not_before, read.not_after), (kept.not_before, kept.not_after));
    assert!(read.not_before < read.renew_at() && read.renew_at() < read.not_after);
    assert_eq!(fs::metadata(state.join(FILE)).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&state).unwrap().mode() & 0o777, 0o700);
    assert!(!state.join(FILE_BESIDE).exists());
}

#[test]
fn a_crash_while_writing_leaves_the_one_before() {
    let folder = folder();
    let authority = Authority::generate();
    let (first, second) = (authority.host(), authority.host());
    first.keep(folder.path()).unwrap();
    // As far as the next one came: any part of it, beside.
    for written in [0, 100, second.text().len()] {
        fs::write(folder.path().join(FILE_BESIDE), &second.text()[..written]).unwrap();
        assert_eq!(Identity::load(folder.path()).unwrap().chain, first.chain);
    }
    second.keep(folder.path()).unwrap();
    assert_eq!(Identity::load(folder.path()).unwrap().chain, second.chain);
}

// covers: E25
#[test]
fn a_file_that_is_not_ours_alone_is_refused() {
    let folder = folder();
    let path = folder.path().join(FILE);
    let check = |expected: &str| {
        let error = anyhow::Error::from(Identity::load(folder.path()).unwrap_err());
        assert!(format!("{error:#}").contains(expected), "{error:#} does not say {expected:?}");
    };
    check("has not joined a fleet");
    Authority::generate().host().keep(folder.path()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    check("take away 0040");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    check("take away 0022");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::hard_link(&path, folder.path().join("second")).unwrap();
    check("second name");
    fs::rename(folder.path().join("second"), folder.path().join("elsewhere")).unwrap();
    fs::remove_file(&path).unwrap();
    symlink(folder.path().join("elsewhere"), &path).unwrap();
    check("symbolic link");
}

#[test]
fn a_certificate_that_is_not_for_this_key_and_one_host_is_not_taken_over() {
    let authority = Authority::generate();
    let dns = SanType::DnsName("web1".try_into().unwrap());
    let names: [&[SanType]; 6] = [
        &[],
        std::slice::from_ref(&dns),
        &[urn(HOST), urn(HOST)],
        &[urn(HOST), dns.clone()],
        &[urn("web1")],
        &[urn(&HOST.to_uppercase())],
    ];
    for names in names {
        let key = NewKey::generate().unwrap();
        let certificate = authority.sign_host(&key, names);
        assert!(key.certified(&certificate).is_err(), "{names:?}");
    }
    let (key, other) = (NewKey::generate().unwrap(), NewKey::generate().unwrap());
    let certificate = authority.sign_host(&other, &[urn(HOST)]);
    let error = key.certified(&certificate).unwrap_err().to_string();
    assert!(error.starts_with("the certificate that came is for another key"), "{error}");
}
