use rcgen::{CertificateParams, KeyPair, SanType};

use super::names::{Known, Version};
use super::*;

/// A certificate that vouches for itself, and its key, in PEM.
fn self_signed() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["dns.test".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[test]
fn names_are_those_of_go() {
    assert_eq!(Version::named("TLS12"), Some(Version::Tls12));
    assert_eq!(Version::named("TLS1.2"), None);
    assert!(!Version::Tls11.is_spoken() && Version::Tls12.is_spoken());
    for name in names::suites() {
        let Some(Known::Here(suite)) = names::suite(name) else { panic!("{name}") };
        // Those of TLS 1.3 have a longer name in rustls.
        let rustls = format!("{:?}", suite.suite()).replace("TLS13_", "TLS_");
        assert_eq!(rustls, name);
    }
    assert!(matches!(names::suite("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"), Some(Known::Elsewhere)));
    // Go does not count it among those that may be configured.
    assert!(names::suite("TLS_RSA_WITH_AES_128_GCM_SHA256").is_none());
    for (name, group) in [("X25519", "X25519"), ("CurveP256", "secp256r1"), ("CurveP384", "secp384r1")] {
        let Some(Known::Here(curve)) = names::curve(name) else { panic!("{name}") };
        assert_eq!(format!("{:?}", curve.name()), group);
    }
    assert!(matches!(names::curve("CurveP521"), Some(Known::Elsewhere)));
    assert!(names::curve("P256").is_none());
}

#[test]
fn an_offer_has_versions_and_suites_that_go_together() {
    let suite = |name: &&str| match names::suite(name) {
        Some(Known::Here(suite)) => suite,
        other => panic!("{other:?}"),
    };
    let check = |min, max, listed: &[&str], want: Result<(usize, usize), OfferError>| {
        let listed: Vec<_> = listed.iter().map(suite).collect();
        let offer = Offer::default()
            .versions(min, max)
            .and_then(|offer| if listed.is_empty() { Ok(offer) } else { offer.suites(&listed) });
        assert_eq!(offer.map(|offer| (offer.versions.len(), offer.suites.len())), want);
    };
    use Version::{Tls10, Tls11, Tls12, Tls13};
    let new = "TLS_AES_128_GCM_SHA256";
    let old = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
    check(Tls12, Tls13, &[], Ok((2, 9)));
    check(Tls10, Tls12, &[], Ok((1, 9)));
    check(Tls10, Tls11, &[], Err(OfferError::NoVersion));
    check(Tls13, Tls12, &[], Err(OfferError::NoVersion));
    check(Tls12, Tls13, &[old], Ok((2, 4)));
    // Without one for TLS 1.2, it is not spoken.
    check(Tls12, Tls13, &[new], Ok((1, 3)));
    check(Tls12, Tls12, &[new], Err(OfferError::NoSuite));
}

#[test]
fn a_certificate_and_a_key_are_an_identity_if_they_belong_together() {
    let (certificate, key) = self_signed();
    let (_, other) = self_signed();
    let check = |certificate: &str, key: &str, want: Option<IdentityError>| {
        let got = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).err();
        assert_eq!(got, want);
    };
    check(&certificate, &key, None);
    check(&format!("{key}{certificate}"), &format!("{certificate}{key}"), None);
    check(&certificate, &other, Some(IdentityError::Mismatch));
    check("", &key, Some(IdentityError::NoCertificate));
    check(&key, &key, Some(IdentityError::NoCertificate));
    check(&certificate, "", Some(IdentityError::NoKey));
    check(&certificate, &certificate, Some(IdentityError::NoKey));
    let garbled =
        key.lines().map(|l| if l.starts_with('-') { l } else { "AAAA" }).collect::<Vec<_>>().join("\n");
    check(&certificate, &garbled, Some(IdentityError::BadKey));
    let garbled = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(
        Identity::from_pem(garbled.as_bytes(), key.as_bytes()),
        Err(IdentityError::BadCertificate(_))
    ));
}

#[test]
fn names_in_a_certificate_are_read() {
    let mut params = CertificateParams::new(["a.test".to_owned(), "*.b.test".to_owned()]).unwrap();
    params.subject_alt_names.extend([
        SanType::Rfc822Name("me@a.test".try_into().unwrap()),
        SanType::URI("spiffe://a.test/b".try_into().unwrap()),
        SanType::IpAddress("192.0.2.1".parse().unwrap()),
        SanType::IpAddress("2001:db8::1".parse().unwrap()),
    ]);
    let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let want = ["a.test", "*.b.test", "me@a.test", "spiffe://a.test/b", "192.0.2.1", "2001:db8::1"];
    assert_eq!(san::names(made.der()), want);
    let without = CertificateParams::default().self_signed(&KeyPair::generate().unwrap()).unwrap();
    assert!(san::names(without.der()).is_empty());
    for length in 0..made.der().len() {
        assert!(san::names(&made.der()[..length]).is_empty(), "{length}");
    }
}

#[test]
fn policies_need_who_they_verify_by() {
    let (certificate, _) = self_signed();
    let authorities = Authorities::from_pem(certificate.as_bytes()).unwrap();
    assert_eq!(Authorities::from_pem(b"").unwrap_err(), AuthorityError::None);
    for name in ClientAuth::NAMES {
        let auth = ClientAuth::named(name).unwrap();
        assert_eq!(format!("{auth:?}"), *name);
        let with = Clients::new(auth, Some(&authorities), None).unwrap();
        assert_eq!(with.is_none(), auth == ClientAuth::NoClientCert);
        assert_eq!(Clients::new(auth, None, None).is_err(), auth.verifies(), "{name}");
    }
    assert_eq!(ClientAuth::named("RequireClientCert"), Some(ClientAuth::RequireAnyClientCert));
    assert_eq!(ClientAuth::named("requireAnyClientCert"), None);
}
