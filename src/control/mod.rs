//! What is not a query: a small runtime of its own for reloads, HTTP pages, watches and health checks, the process's
//! signals, files that change, and the order in which everything ends.
//!
//! ```text
//!  signals.rs ──Signal──► instance (reload, stop) ──► shutdown.rs: steps in order, each with its time
//!  file_watch/ ──FileChanges──► steady/ ──► plugins' background tasks, on runtime.rs
//!        └─► config_watch.rs ──Changed──► instance (reload)
//!  upgrade/: one process hands over to the next    service.rs: what the service manager is told, and what it gives
//!  http/ ◄── probes and scrapers: the pages that plugins show
//! ```
//!
//! Nothing here is on a query's way. May use `wire`, `net`, `metrics` and `log`.

pub mod config_watch;
pub mod file_watch;
pub mod http;
pub mod runtime;
pub mod service;
pub mod shutdown;
pub mod signals;
pub mod steady;
pub mod upgrade;
