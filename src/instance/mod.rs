//! From a configuration to something that serves, and from one to the next without losing a query.
//!
//! ```text
//!  Source ─ load ─▶ Config ─ build ─▶ Plan ─ start ─▶ Running ─ reload ─▶ Running …
//!  file, stdin       tree     blocks, plugins,         workers,
//!                             listeners wanted         background tasks
//! ```
//!
//! Invariant: a plan is whole or there is none; what serves changes only when the next plan is whole and its sockets are open.
//! The one room that sees both the server and the plugins.

mod banner;
mod build;
mod listening;
mod load;
mod pages;
mod running;

pub use banner::platform;
pub use build::Plan;
pub use load::{LoadError, STDIN, Source};
pub use running::{Ended, Running, StartError, plan};
