//! Which clients a server believes: the policies that Go's programs have, over rustls's verification.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};

use super::san;

/// What is asked of clients, under Go's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClientAuth {
    /// Nothing.
    NoClientCert,
    /// A certificate, if they have one; it is not verified.
    RequestClientCert,
    /// Any certificate; it is not verified.
    RequireAnyClientCert,
    /// A certificate that an authority vouches for, if they have one.
    VerifyClientCertIfGiven,
    /// A certificate that an authority vouches for.
    RequireAndVerifyClientCert,
}

impl ClientAuth {
    /// The names, the usual ones first.
    pub const NAMES: &[&str] = &[
        "NoClientCert",
        "RequireAndVerifyClientCert",
        "VerifyClientCertIfGiven",
        "RequireAnyClientCert",
        "RequestClientCert",
    ];

    /// The policy of this name; none at all is [`Self::NoClientCert`], and `RequireClientCert` an older name of `RequireAnyClientCert`.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "" | "NoClientCert" => Self::NoClientCert,
            "RequestClientCert" => Self::RequestClientCert,
            "RequireAnyClientCert" | "RequireClientCert" => Self::RequireAnyClientCert,
            "VerifyClientCertIfGiven" => Self::VerifyClientCertIfGiven,
            "RequireAndVerifyClientCert" => Self::RequireAndVerifyClientCert,
            _ => return None,
        })
    }

    /// Whether certificates are verified.
    pub fn verifies(self) -> bool {
        self >= Self::VerifyClientCertIfGiven
    }
}

/// Who may vouch for clients.
#[derive(Clone, Debug)]
pub struct Authorities {
    roots: Arc<RootCertStore>,
    /// As they came, since one of them may be the client's own.
    certificates: Vec<CertificateDer<'static>>,
}

/// Why there are no [`Authorities`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorityError {
    /// There is no certificate in PEM.
    None,
    /// A certificate is none.
    Bad(String),
}

impl fmt::Display for AuthorityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no certificate in PEM"),
            Self::Bad(why) => write!(f, "a certificate in it cannot be used: {why}"),
        }
    }
}

impl std::error::Error for AuthorityError {}

impl Authorities {
    /// Reads certificates in PEM.
    ///
    /// # Errors
    /// See [`AuthorityError`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, AuthorityError> {
        let bad = |error: &dyn fmt::Display| AuthorityError::Bad(error.to_string());
        let certificates: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|e| bad(&e))?;
        if certificates.is_empty() {
            return Err(AuthorityError::None);
        }
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots.add(certificate.clone()).map_err(|e| bad(&e))?;
        }
        Ok(Self { roots: Arc::new(roots), certificates })
    }
}

/// Verifies the certificates of clients.
#[derive(Debug)]
pub struct Clients {
    mandatory: bool,
    /// `None`: anybody's certificate will do.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// Certificates that are believed as they are, whoever made them.
    pinned: Vec<CertificateDer<'static>>,
    /// Names of which a certificate has to have one; `None`: any.
    allowed: Option<Vec<String>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Clients {
    /// The clients that `auth` lets in, verified by `authorities` if it verifies any, with one of the `allowed` names; `None` if no certificate is
    /// asked for.
    ///
    /// # Errors
    /// [`AuthorityError::None`] if there is nobody to verify by.
    pub fn new(
        auth: ClientAuth,
        authorities: Option<&Authorities>,
        allowed: Option<Vec<String>>,
    ) -> Result<Option<Arc<Self>>, AuthorityError> {
        if auth == ClientAuth::NoClientCert {
            return Ok(None);
        }
        let provider = Arc::new(ring::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let (mut verifier, mut pinned) = (None, Vec::new());
        if auth.verifies() {
            let authorities = authorities.ok_or(AuthorityError::None)?;
            let builder =
                WebPkiClientVerifier::builder_with_provider(Arc::clone(&authorities.roots), provider);
            verifier = Some(builder.build().map_err(|error| AuthorityError::Bad(error.to_string()))?);
            pinned.clone_from(&authorities.certificates);
        }
        let mandatory = allowed.is_some()
            || matches!(auth, ClientAuth::RequireAnyClientCert | ClientAuth::RequireAndVerifyClientCert);
        Ok(Some(Arc::new(Self { mandatory, verifier, pinned, allowed, algorithms })))
    }

    /// The client's own certificate may stand among the authorities, as people do who have no authority. Most such certificates call themselves one,
    /// which is the last thing that is looked at here before who made it; that they have not expired was looked at before.
    fn is_pinned(&self, certificate: &CertificateDer<'_>, error: &Error) -> bool {
        let Error::InvalidCertificate(CertificateError::Other(OtherError(why))) = error else { return false };
        let calls_itself_authority = matches!(why.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity));
        calls_itself_authority && self.pinned.iter().any(|pinned| pinned == certificate)
    }
}

/// Why a client with a good certificate is refused.
#[derive(Debug)]
struct NotAllowed;

impl fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("could not find allowed SANs in client cert")
    }
}

impl std::error::Error for NotAllowed {}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.as_ref().map_or(&[], |verifier| verifier.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match &self.verifier {
            Some(verifier) => match verifier.verify_client_cert(end_entity, intermediates, now) {
                Err(error) if !self.is_pinned(end_entity, &error) => return Err(error),
                _ => {}
            },
            None => drop(ParsedCertificate::try_from(end_entity)?),
        }
        if let Some(allowed) = &self.allowed {
            let names = san::names(end_entity);
            if !names.iter().any(|name| allowed.contains(name)) {
                return Err(CertificateError::Other(OtherError(Arc::new(NotAllowed))).into());
            }
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
