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
//! upstream          config        control
//! wire   net   metrics   log
//! ```
//!
//! ARCHITECTURE.md in the repository says why, and which test holds each rule.

pub mod chain;
pub mod cli;
pub mod config;
pub mod control;
pub mod instance;
pub mod log;
pub mod metrics;
pub mod net;
pub mod plugins;
pub mod server;
pub mod upstream;
pub mod wire;

/// The compiler and the commit of this build, as the last line of the banner has them.
pub const VERSION_DETAIL: &str = concat!("rust", env!("WAYPOST_RUST"), ", ", env!("WAYPOST_REVISION"));
