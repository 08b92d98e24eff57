//! The program as a whole: real processes, real sockets, the clients people use.
//!
//! All tests are one binary, so that it is linked once, and run side by side: each has a directory, ports, and where it needs them network
//! namespaces of its own. A test waits for what it wants to see, never for time to pass.

#![allow(clippy::disallowed_methods, reason = "tests say how long something may take")]

mod answers;
mod corefile;
mod cpu_quota;
mod docker;
mod forwarding;
mod fuzz_replay;
mod logging;
mod manuals;
mod operation_answers;
mod operation_dashboards;
mod operation_listeners;
mod operation_pages;
mod operation_pprof;
mod operation_process;
mod operation_rules;
mod operation_service;
#[cfg(feature = "tls")]
mod operation_tls;
mod operation_upgrade;
mod packages;
mod reload;
mod rooms;
mod scripts;
mod service;
mod startup;
mod support;
mod tidy;
mod wire;
mod zones;
