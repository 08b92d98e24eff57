//! What the load bench is made of. Each module is one noun; the programs in `bin/` are thin.
//!
//! ```text
//!   bin/run        scenario ── server, dnsperf ── process ── netns, cpu
//!   bin/flood      flood ── names, message, outcome, histogram ── udp
//!   bin/bare       message ── udp
//!   bin/upstream   message ── udp
//! ```
//!
//! All unsafe code is in `udp` (batches of datagrams), `tcp` (whence a connection comes), `process` (pinning a child, reading its CPU clock, reaping)
//! and `netns` (namespaces).

pub mod args;
pub mod bench;
pub mod dnsperf;
pub mod flood;
pub mod histogram;
pub mod machine;
pub mod message;
pub mod names;
pub mod netns;
pub mod outcome;
pub mod process;
pub mod report;
pub mod scenario;
pub mod server;
pub mod table;
pub mod tcp;
pub mod udp;
