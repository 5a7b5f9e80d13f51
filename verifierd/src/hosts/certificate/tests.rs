use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SanType,
};

use super::*;

const ID: &str = "01234567-89ab-4def-8123-456789abcdef";

/// A host's certificate, with these names besides what else `change` says.
fn read(names: &[SanType], change: impl FnOnce(&mut CertificateParams)) -> Result<HostId, CertificateFault> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names.to_vec();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut params);
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    HostCertificate::read(certificate.der()).map(|read| read.host)
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn ours() -> SanType {
    uri(&format!("{HOST_URN_PREFIX}{ID}"))
}

// covers: F02
#[test]
fn a_certificate_names_one_host_in_one_form_and_nothing_else() {
    assert_eq!(read(&[ours()], |_| {}).unwrap().to_string(), ID);
    let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
    let wrong = [
        vec![],
        vec![ours(), ours()],
        vec![ours(), dns("web1")],
        vec![dns("web1")],
        vec![dns("*.example.org")],
        vec![dns("xn--web1-.example.org")],
        vec![uri(ID)],
        vec![uri(&format!("urn:postern:host:{}", ID.to_uppercase()))],
        vec![uri(&format!("URN:postern:host:{ID}"))],
        vec![uri(&format!("{HOST_URN_PREFIX}{ID}."))],
        vec![uri(&format!("{HOST_URN_PREFIX}{ID}\0"))],
        vec![uri(&format!("{HOST_URN_PREFIX}*"))],
        vec![uri(&format!("{HOST_URN_PREFIX}{ID}?x"))],
        vec![SanType::Rfc822Name(format!("{HOST_URN_PREFIX}{ID}").as_str().try_into().unwrap())],
        vec![SanType::IpAddress([192, 0, 2, 1].into())],
    ];
    for names in wrong {
        assert_eq!(read(&names, |_| {}), Err(CertificateFault::NotAHostsName), "{names:?}");
    }
}

// covers: F02
#[test]
fn a_certificate_is_for_tls_clients_alone_and_signs_nobody() {
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, CodeSigning, ServerAuth};
    for uses in
        [vec![], vec![ServerAuth], vec![ClientAuth, ServerAuth], vec![Any], vec![ClientAuth, CodeSigning]]
    {
        let of = uses.clone();
        let fault = read(&[ours()], |params| params.extended_key_usages = of);
        assert_eq!(fault, Err(CertificateFault::NotForClients), "{uses:?}");
    }
    let authority = |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    assert_eq!(read(&[ours()], authority), Err(CertificateFault::IsAuthority));
}

// covers: F02
#[test]
fn what_cannot_be_read_to_its_end_is_no_certificate() {
    let with = |oid: &[u64], content: &[u8]| {
        let extension = CustomExtension::from_oid_content(oid, content.to_vec());
        read(&[ours()], |params| params.custom_extensions = vec![extension])
    };
    // Names twice, basic constraints that are not, and a use that is not.
    let names = [&[0x30, 0x37, 0x86, 0x35][..], format!("{HOST_URN_PREFIX}{ID}").as_bytes()].concat();
    assert_eq!(with(&[2, 5, 29, 17], &names), Err(CertificateFault::Unreadable));
    assert_eq!(with(&[2, 5, 29, 19], &[0x02, 0x01]), Err(CertificateFault::Unreadable));
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::default().self_signed(&key).unwrap();
    let longer = CertificateDer::from([certificate.der().as_ref(), &[0]].concat());
    assert_eq!(HostCertificate::read(&longer), Err(CertificateFault::Unreadable));
    for cut in [0, 1, 20, certificate.der().len() - 1] {
        let shorter = CertificateDer::from(certificate.der()[..cut].to_vec());
        assert_eq!(HostCertificate::read(&shorter), Err(CertificateFault::Unreadable), "cut at {cut}");
    }
}

// covers: F02, F03
#[test]
fn only_the_key_of_a_signing_request_is_taken_over_and_it_is_a_p256_key_that_signed() {
    let request = |key: &KeyPair, names: &[SanType]| {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.to_vec();
        params.serialize_request(key).unwrap().der().to_vec()
    };
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    for names in [vec![], vec![ours(), ours()]] {
        let taken = requested_key(&request(&key, &names)).unwrap();
        assert_eq!(taken.der_bytes(), key.der_bytes());
    }
    for algorithm in [&PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
        let other = KeyPair::generate_for(algorithm).unwrap();
        assert_eq!(requested_key(&request(&other, &[])).unwrap_err(), SigningRequestFault);
    }
    let right = request(&key, &[]);
    let mut forged = right.clone();
    *forged.last_mut().unwrap() ^= 1;
    let long = vec![0; SIGNING_REQUEST_BYTES_MAX + 1];
    for wrong in [&forged[..], &right[..right.len() - 1], &[], &[0x30], &long] {
        assert_eq!(requested_key(wrong).unwrap_err(), SigningRequestFault);
    }
}

#[test]
fn a_hash_of_a_key_reads_back_and_shows_its_first_digits() {
    let hash = KeyHash::of(b"key");
    assert_eq!(KeyHash::try_from(String::from(hash)), Ok(hash));
    assert_eq!(format!("{hash:?}"), String::from(hash)[..16]);
    for text in ["", "00", &"0A".repeat(32), &"0".repeat(63)] {
        assert!(KeyHash::try_from(text.to_owned()).is_err(), "{text}");
    }
}
