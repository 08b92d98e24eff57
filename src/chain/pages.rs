//! Pages over HTTP that a plugin asks for: where, which path, who answers, and who stands before them.

use std::sync::Arc;

use crate::config::{Diagnostic, Span, Word, split_host_port};
use crate::control::http::{Guard, Handler};

/// A page that a plugin wants served as long as its configuration is. Pages of one address share a listener, whichever blocks and plugins
/// they come from; the same path of the same plugin is one page, and the first handler counts.
pub struct Page {
    /// The plugin.
    pub plugin: &'static str,
    /// The directive that wants it, for errors.
    pub span: Span,
    /// Where to listen.
    pub address: PageAddress,
    /// The path, such as `/metrics`; one that ends in a slash stands for all below it.
    pub path: &'static str,
    /// Who answers there.
    pub handler: Handler,
    /// Who stands before all pages of the address: over TLS, for instance. `None`: nobody.
    pub guard: Option<Arc<dyn Guard>>,
    /// Whether it is gone as soon as the process is told to end (`ready`), while others go on until DNS has ended.
    pub ends_at_once: bool,
}

/// An address to listen on as written: `:8080`, `localhost:9153`, `[::1]:8181`. The host may be a name, which is looked up when the
/// configuration is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageAddress {
    /// The host; empty for all addresses of the machine.
    pub host: String,
    /// The port as written; empty for any.
    pub port: String,
}

impl PageAddress {
    /// Splits `word` as Go's `net.SplitHostPort` does.
    ///
    /// # Errors
    /// Go's text, such as `address x: missing port in address`, without a place in its first line.
    pub fn parse(word: &Word) -> Result<Self, Diagnostic> {
        Self::split(word.as_str()).map_err(|why| {
            word.bare_error(why).help("an address is HOST:PORT or, for all addresses of this machine, :PORT")
        })
    }

    /// As [`Self::parse`], for a default that a plugin writes itself.
    ///
    /// # Errors
    /// Go's text.
    pub fn split(text: &str) -> Result<Self, String> {
        let (host, port) = split_host_port(text)?;
        Ok(Self { host: host.to_owned(), port: port.to_owned() })
    }

    /// All addresses of the machine, or one, and a port: for defaults.
    pub fn new(host: &str, port: u16) -> Self {
        Self { host: host.to_owned(), port: port.to_string() }
    }
}
