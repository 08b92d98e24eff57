//! waypost: a DNS server that reads CoreDNS's Corefile.
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
