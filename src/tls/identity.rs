//! What a server shows of itself: a certificate with those that vouch for it, and the key.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// A certificate chain with the key of its first certificate; they belong together.
#[derive(Clone, Debug)]
pub struct Identity(Arc<CertifiedKey>);

/// Why a certificate and a key are no [`Identity`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// There is no certificate in PEM.
    NoCertificate,
    /// What stands there as a certificate is none.
    BadCertificate(String),
    /// There is no private key in PEM, or one that is encrypted.
    NoKey,
    /// What stands there as a key is none, or of a kind that is not here.
    BadKey,
    /// The key is not that of the certificate.
    Mismatch,
}

/// In Go's words where it has some.
impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => f.write_str("tls: failed to find any PEM data in certificate input"),
            Self::BadCertificate(why) => write!(f, "tls: malformed certificate: {why}"),
            Self::NoKey => f.write_str("tls: failed to find any PEM data in key input"),
            Self::BadKey => f.write_str(
                "tls: failed to parse private key: it is not RSA of 2048 to 8192 bits, ECDSA on P-256 or P-384, or Ed25519",
            ),
            Self::Mismatch => f.write_str("tls: private key does not match public key"),
        }
    }
}

impl std::error::Error for IdentityError {}

impl Identity {
    /// Reads both in PEM: certificates, the server's own first, and a key in the form of PKCS #8, PKCS #1 or SEC 1.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let bad = |error: &dyn fmt::Display| IdentityError::BadCertificate(error.to_string());
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(certificates).collect::<Result<_, _>>().map_err(|e| bad(&e))?;
        if chain.is_empty() {
            return Err(IdentityError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| IdentityError::NoKey)?;
        let key = ring::sign::any_supported_type(&key).map_err(|_| IdentityError::BadKey)?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
                Ok(Self(Arc::new(certified)))
            }
            Err(rustls::Error::InconsistentKeys(_)) => Err(IdentityError::Mismatch),
            Err(error) => Err(bad(&error)),
        }
    }

    pub(super) fn certified(&self) -> CertifiedKey {
        CertifiedKey::clone(&self.0)
    }
}
