//! The configuration: from the text of a Corefile (or of the same in TOML) to a tree whose every word knows its place.
//!
//! ```text
//! file ─▶ lexer ─▶ parser ─▶ Config { blocks: [ServerBlock { keys, directives: [Directive] }] } ─▶ plugins' own types
//!  text    words    imports,         one tree for both syntaxes                              args (this room's readers)
//!                   variables
//! ```
//!
//! This room knows what a configuration *says*; what a directive *means* is the business of its plugin. A plugin gets
//! its directives and turns them into a type of its own in which an invalid configuration cannot exist:
//!
//! ```
//! use waypost::config::{Diagnostic, Directive, Problems};
//! use std::time::Duration;
//!
//! struct HostsConfig {
//!     file: String,
//!     ttl_seconds: u16,
//!     reload: Duration,
//! }
//!
//! const OPTIONS: &[&str] = &["ttl", "reload"];
//!
//! /// `hosts [FILE] { ttl SECONDS; reload DURATION }`
//! fn configure(directive: &Directive) -> Result<HostsConfig, Vec<Diagnostic>> {
//!     let mut problems = Problems::default(); // gathers every error rather than stopping at the first
//!     let file = problems.keep(directive.optional_arg()).flatten();
//!     let mut config = HostsConfig {
//!         file: file.map_or("/etc/hosts", |word| word.as_str()).to_owned(),
//!         ttl_seconds: 3600,
//!         reload: Duration::from_secs(5),
//!     };
//!     for option in directive.options() {
//!         match option.name.as_str() {
//!             "ttl" => {
//!                 let ttl = option.one_arg().and_then(|word| {
//!                     word.integer(1..=65535).map_err(|error| error.reworded("ttl provided is invalid").located())
//!                 });
//!                 config.ttl_seconds = problems.keep(ttl).unwrap_or_default();
//!             }
//!             "reload" => {
//!                 let reload = option.one_arg().and_then(|word| word.duration());
//!                 config.reload = problems.keep(reload).unwrap_or_default();
//!             }
//!             _ => problems.push(option.unknown_property(OPTIONS)),
//!         }
//!     }
//!     problems.finish(config)
//! }
//! ```
//!
//! Reading a file, which tells all its errors at once:
//!
//! ```
//! use waypost::config::{self, Filesystem, Input, Vocabulary, process_environment};
//!
//! let vocabulary = Vocabulary { known: &["whoami", "log"], missing: &["nomad"] };
//! let input = Input {
//!     name: "Corefile",
//!     text: b". {\n    whoam\n    cache 30\n}\n",
//!     loader: &Filesystem,
//!     environment: &process_environment,
//!     vocabulary: Some(vocabulary),
//! };
//! let refused = config::parse(&input).unwrap_err();
//! assert_eq!(refused.errors.len(), 2);
//! let first = refused.to_string();
//! assert!(first.starts_with("Corefile:2 - Error during parsing: Unknown directive 'whoam'\n  --> Corefile:2:5\n"));
//! assert!(first.contains("did you mean 'whoami'?"));
//! ```
//!
//! Everything read is bounded: a file ([`FILE_SIZE_MAX`]) and all of them, words, imports, their depth, the depth of blocks,
//! what a variable may grow to, errors told.
//!
//! The words of an error's first line are CoreDNS's, as people and tools match on them:
//! [`Diagnostic::error`] prints `FILE:LINE - Error during parsing: MESSAGE`, [`Diagnostic::bare`] the message alone
//! (most value readers of [`args`](Word) give this form), and whoever calls the plugin puts `plugin/NAME: ` before it
//! with [`Diagnostic::in_plugin`].

mod address;
mod args;
mod context;
mod diagnostic;
mod env;
mod fingerprint;
mod go;
mod imports;
mod lexer;
mod lint;
mod parser;
pub mod pattern;
mod read;
mod source;
mod stream;
mod structure;
#[cfg(test)]
pub(crate) mod testing;
mod toml;
mod tree;
mod write;

pub use self::toml::parse_toml;
pub use address::{
    Address, Cidr, Claim, DNS_PORT, Scheme, ZoneAndPort, addresses, duplicate_claims, fully_qualified,
    is_domain_name, normal_name,
};
pub use args::origins;
pub use context::{Input, Vocabulary};
pub use diagnostic::{
    Diagnostic, JsonDiagnostic, Problems, Refused, Result, Severity, Wording, did_you_mean, sort_by_place,
};
pub use env::{Environment, process_environment};
pub use go::{GoDuration, atoi, quote, split_host_port};
pub use imports::{Filesystem, Loader, system_error};
pub use parser::parse_corefile;
pub use read::{FILE_SIZE_MAX, is_read_once, read_bounded};
pub use source::{FileId, SourceMap, Span};
pub use tree::{Config, Directive, ServerBlock, Word};
pub use write::{to_corefile, to_toml};

/// Reads a configuration: TOML if the name ends in `.toml`, else a Corefile.
///
/// # Errors
/// All its errors, with the texts to show them.
pub fn parse(input: &Input<'_>) -> std::result::Result<Config, Refused> {
    if input.name.ends_with(".toml") { parse_toml(input) } else { parse_corefile(input) }
}
