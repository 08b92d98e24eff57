//! What the process says: one stream of lines on standard output, in CoreDNS's format.
//!
//! ```text
//!  a worker, per query            everything else
//!  with_line(|line| …)            tracing::info!(target: "plugin/hosts", "…")   plain("…")
//!        │                                  │ events.rs: level and target → prefix
//!        ▼                                  ▼
//!  the thread's buffer (buffer.rs) ◄────────┘ handed over at once
//!        │ hand_over(): every 2 ms or 16 KiB, when the worker says so
//!        ▼
//!  the writer (writer.rs): one for the process, standard output, never waits for its reader;
//!        └─ what the reader does not take is kept up to [`LOG_BACKLOG_BYTES_MAX`], then dropped and counted
//! ```
//!
//! No timestamps: journald, the container runtime and syslog put their own. Lines of one thread stay in order; a line
//! is never torn or mixed with another's. `line.rs` holds the ways numbers and addresses are spelled in a query's line.
//!
//! This room imports nothing else of the crate.

mod buffer;
mod events;
mod line;
mod writer;

pub use buffer::{
    HAND_OVER_AGE_NS_MAX, HAND_OVER_BYTES, discard, fatal, flush, hand_over, hand_over_due_ns, plain, take,
    wants_hand_over, with_line,
};
pub use events::{set_debug, start, start_kept};
pub use line::{push_decimal, push_ip, push_ip_bracketed, push_seconds, push_socket_addr};
pub use writer::{LOG_BACKLOG_BYTES_MAX, dropped_lines_total};
