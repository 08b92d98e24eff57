//! What the tests are made of: a server that is a process, upstreams that do what they are told, clients, and rooms for them.

pub(crate) mod client;
pub(crate) mod daemon;
mod dir;
pub(crate) mod docker;
pub(crate) mod http;
mod lineage;
mod lines;
pub(crate) mod machine;
pub(crate) mod message;
pub(crate) mod netns;
mod peer;
#[cfg(feature = "tls")]
pub(crate) mod pki;
mod ports;
pub(crate) mod prometheus;
mod release;
mod server;
pub(crate) mod tools;
mod upstream;

use std::io::Write;
use std::time::{Duration, Instant};

pub(crate) use dir::TestDir;
pub(crate) use lineage::Lineage;
pub(crate) use lines::Lines;
pub(crate) use peer::Peer;
pub(crate) use ports::{has_ipv6, next_port};
pub(crate) use release::released;
pub(crate) use server::{Ended, Server, Stdout, program};
pub(crate) use upstream::{Asked, Deed, Upstream};

/// How long to wait for what will come: long enough for a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `holds` does: for what nobody tells of. Each look waits for an answer of somebody, so the loop does not run idle.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::yield_now();
    }
}

/// Prints a line that is seen even if the test passes.
pub(crate) fn say(line: &str) {
    // The macros' output is kept back by the test harness.
    let _ = writeln!(std::io::stderr(), "{line}");
}
