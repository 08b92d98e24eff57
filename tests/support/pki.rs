//! Certificates for tests: authorities, and what they vouch for.

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};

/// A certificate with its key, in PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Who vouches for others.
pub(crate) struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A certificate of a server at the loopback; `name` tells it from others.
    pub(crate) fn server(&self, name: &str) -> Pair {
        let mut params = params(name, "localhost");
        params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        self.sign(&params)
    }

    /// A certificate of a client that has this name of its own.
    pub(crate) fn client(&self, name: &str) -> Pair {
        self.sign(&params(name, name))
    }

    fn sign(&self, params: &CertificateParams) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

/// A certificate that calls itself an authority and is its own, as people make them in one step.
pub(crate) fn self_made(name: &str) -> Pair {
    let mut params = params(name, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    Pair { certificate: certificate.pem(), key: key.serialize_pem() }
}

fn params(name: &str, dns: &str) -> CertificateParams {
    let mut params = CertificateParams::new([dns.to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
