//! waypost: a DNS server that reads CoreDNS's Corefile.
//!
//! ```text
//!  socket ─▶ server ─▶ chain: router, block, plugins down and up ─▶ server ─▶ socket
//!            (worker)                                               (the same batch, or later)
//! ```
//!
//! Imports go down only; each row may use the rows below it, never its neighbours:
//!
//! ```text
//! main → cli → instance
//! server            plugins/*
//! chain
//! zone   upstream   config        control
//! memory
//! wire   net   tls   metrics   log
//! ```
//!
//! ARCHITECTURE.md in the repository says why, and which test holds each rule.

// Tests and benches fail by panicking; the server does not.
#![warn(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

pub mod chain;
pub mod cli;
pub mod config;
#[allow(
    clippy::disallowed_methods,
    reason = "time passes between what the kernel tells and what is done about it"
)]
pub mod control;
pub mod instance;
pub mod log;
pub mod memory;
pub mod metrics;
pub mod net;
pub mod plugins;
#[allow(clippy::disallowed_methods, reason = "connections have deadlines")]
pub mod server;
#[cfg(feature = "tls")]
pub mod tls;
#[allow(clippy::disallowed_methods, reason = "exchanges have deadlines, and IDs are drawn at random")]
pub mod upstream;
pub mod wire;
pub mod zone;

/// The compiler and the commit of this build, as the last line of the banner has them.
pub const VERSION_DETAIL: &str = concat!("rust", env!("WAYPOST_RUST"), ", ", env!("WAYPOST_REVISION"));
