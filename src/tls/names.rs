//! The names that Go's programs have for versions of TLS, cipher suites and curves, and which of them are here.

use rustls::SupportedCipherSuite;
use rustls::crypto::{SupportedKxGroup, ring};

/// A version of TLS. Those before 1.2 are not spoken here (RFC 8996).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// RFC 2246, not spoken.
    Tls10,
    /// RFC 4346, not spoken.
    Tls11,
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

impl Version {
    /// The version that Go's programs call `name`.
    pub fn named(name: &str) -> Option<Self> {
        VERSIONS.iter().find(|(known, _)| *known == name).map(|(_, version)| *version)
    }

    /// Whether it is spoken here.
    pub fn is_spoken(self) -> bool {
        self >= Self::Tls12
    }
}

/// What a name of Go's stands for.
#[derive(Clone, Copy, Debug)]
pub enum Known<T> {
    /// It is here.
    Here(T),
    /// Go has it, and this program has not.
    Elsewhere,
}

/// The cipher suite that Go calls `name`; `None` if Go has none of that name, or takes it to be insecure.
pub fn suite(name: &str) -> Option<Known<SupportedCipherSuite>> {
    if let Some((_, suite)) = SUITES.iter().find(|(known, _)| *known == name) {
        return Some(Known::Here(*suite));
    }
    SUITES_ELSEWHERE.contains(&name).then_some(Known::Elsewhere)
}

/// The curve that Go calls `name`.
pub fn curve(name: &str) -> Option<Known<&'static dyn SupportedKxGroup>> {
    if let Some((_, group)) = CURVES.iter().find(|(known, _)| *known == name) {
        return Some(Known::Here(*group));
    }
    (name == "CurveP521").then_some(Known::Elsewhere)
}

/// The names of the cipher suites that are here, those of TLS 1.3 first.
pub fn suites() -> impl Iterator<Item = &'static str> {
    SUITES.iter().map(|(name, _)| *name)
}

/// The names of the curves that are here.
pub fn curves() -> impl Iterator<Item = &'static str> {
    CURVES.iter().map(|(name, _)| *name)
}

const VERSIONS: &[(&str, Version)] = &[
    ("TLS10", Version::Tls10),
    ("TLS11", Version::Tls11),
    ("TLS12", Version::Tls12),
    ("TLS13", Version::Tls13),
];

static SUITES: &[(&str, SupportedCipherSuite)] = {
    use ring::cipher_suite as suite;
    &[
        ("TLS_AES_128_GCM_SHA256", suite::TLS13_AES_128_GCM_SHA256),
        ("TLS_AES_256_GCM_SHA384", suite::TLS13_AES_256_GCM_SHA384),
        ("TLS_CHACHA20_POLY1305_SHA256", suite::TLS13_CHACHA20_POLY1305_SHA256),
        ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
        ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
        ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
        ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
        (
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        ),
    ]
};

/// Those with CBC, which rustls leaves out: what checks their padding has been an oracle more than once.
const SUITES_ELSEWHERE: &[&str] = &[
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
];

static CURVES: &[(&str, &'static dyn SupportedKxGroup)] = &[
    ("X25519", ring::kx_group::X25519),
    ("CurveP256", ring::kx_group::SECP256R1),
    ("CurveP384", ring::kx_group::SECP384R1),
];
