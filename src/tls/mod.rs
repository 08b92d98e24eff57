//! TLS: what a server shows of itself, which clients it believes, and the names that configurations have for versions, ciphers and curves.
//!
//! ```text
//!  PEM ─▶ Identity (identity.rs)      a certificate and its key
//!  PEM ─▶ Clients  (clients.rs)       who may come, by certificate (names in it: san.rs)
//!  names (names.rs) ─▶ Offer ─┐
//!                             ▼
//!                  Offer::server ─▶ rustls::ServerConfig
//! ```
//!
//! A leaf room over rustls with the arithmetic of ring. It reads no files and knows no sockets. Nothing is resumed: each connection shows its
//! certificates anew, so that what was changed counts from the next one on.

mod clients;
mod identity;
pub mod names;
pub mod san;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::{ServerConfig, SupportedCipherSuite, SupportedProtocolVersion, version};

pub use clients::{Authorities, AuthorityError, ClientAuth, Clients};
pub use identity::{Identity, IdentityError};

/// What is agreed on with a client: versions of TLS, cipher suites, curves.
#[derive(Clone, Debug)]
pub struct Offer {
    suites: Vec<SupportedCipherSuite>,
    groups: Vec<&'static dyn SupportedKxGroup>,
    versions: Vec<&'static SupportedProtocolVersion>,
    /// Whether our order of cipher suites counts rather than the client's.
    pub prefers_own_order: bool,
}

impl Default for Offer {
    /// TLS 1.2 and 1.3 with all that rustls has, in our order.
    fn default() -> Self {
        let provider = ring::default_provider();
        Self {
            suites: provider.cipher_suites,
            groups: provider.kx_groups,
            versions: vec![&version::TLS13, &version::TLS12],
            prefers_own_order: true,
        }
    }
}

/// Why an [`Offer`] is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferError {
    /// No version of TLS that is here lies between the smallest and the largest.
    NoVersion,
    /// No cipher suite of the list belongs to a version that is offered.
    NoSuite,
}

impl fmt::Display for OfferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoVersion => "no version of TLS is left: there are TLS12 and TLS13",
            Self::NoSuite => "no cipher suite of the list can be used with these versions of TLS",
        })
    }
}

impl std::error::Error for OfferError {}

impl Offer {
    /// The same for versions from `min` to `max`.
    ///
    /// # Errors
    /// [`OfferError::NoVersion`].
    pub fn versions(mut self, min: names::Version, max: names::Version) -> Result<Self, OfferError> {
        let within = |v: &&SupportedProtocolVersion| match v.version {
            rustls::ProtocolVersion::TLSv1_2 => min <= names::Version::Tls12 && names::Version::Tls12 <= max,
            _ => min <= names::Version::Tls13 && names::Version::Tls13 <= max,
        };
        self.versions.retain(within);
        if self.versions.is_empty() { Err(OfferError::NoVersion) } else { Ok(self) }
    }

    /// The same with these cipher suites for TLS 1.2, in this order; those of TLS 1.3 are always offered, as Go has it.
    ///
    /// # Errors
    /// [`OfferError::NoSuite`] if none is left for any of the versions.
    pub fn suites(mut self, listed: &[SupportedCipherSuite]) -> Result<Self, OfferError> {
        self.suites.retain(|suite| suite.tls13().is_some());
        self.suites.extend(listed.iter().filter(|suite| suite.tls13().is_none()));
        let usable = |v: &&SupportedProtocolVersion| self.suites.iter().any(|s| *s.version() == **v);
        self.versions.retain(usable);
        if self.versions.is_empty() { Err(OfferError::NoSuite) } else { Ok(self) }
    }

    /// The same with these curves, in this order; at least one.
    pub fn groups(mut self, listed: &[&'static dyn SupportedKxGroup]) -> Self {
        if !listed.is_empty() {
            self.groups = listed.to_vec();
        }
        self
    }

    /// What a server of `identity` needs to take up connections of `clients`, speaking `protocols` (RFC 7301, the best first).
    ///
    /// # Errors
    /// rustls's, if the parts do not go together.
    pub fn server(
        &self,
        identity: &Identity,
        clients: Option<Arc<Clients>>,
        protocols: &[&str],
    ) -> Result<Arc<ServerConfig>, rustls::Error> {
        let provider = CryptoProvider {
            cipher_suites: self.suites.clone(),
            kx_groups: self.groups.clone(),
            ..ring::default_provider()
        };
        let builder =
            ServerConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&self.versions)?;
        let builder = match clients {
            Some(clients) => builder.with_client_cert_verifier(clients),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified())));
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        config.ignore_client_order = self.prefers_own_order;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}
