//! What the process counts, and how Prometheus reads it: CoreDNS's series under CoreDNS's names.
//!
//! ```text
//!  names::DNS_REQUESTS ──with(labels)──► Counter ──inc()──► the worker's own cell   (cells.rs)
//!  a family (family.rs), one static           └──────────► a shared cell, for threads that are no workers
//!  a name in names.rs
//!                          render() ◄── all families, cells summed, sorted (registry.rs, text.rs, process.rs)
//! ```
//!
//! The registry is the process's: it outlives reloads, so counters go on, and two instances that use the same labels
//! share a series. A handle is asked for once, while a plugin is built, and kept; asking takes a lock, counting never
//! does.
//!
//! **Invariant: no label's value comes from the network.** Servers, zones, views, upstreams and files are named by the
//! configuration; record types, rcodes and protocols are mapped to fixed sets before they become labels (an unknown type
//! is `other`). Should that ever fail, a family stops at [`SERIES_PER_FAMILY_MAX`] series and counts the rest in one whose
//! labels all say `overflow`.
//!
//! This room imports nothing else of the crate.

mod cells;
mod family;
pub mod names;
mod process;
mod registry;
mod text;

pub use cells::{Here, WORKERS_MAX, Worker, enter_worker};
pub use family::{
    Counter, CounterFamily, Describe, Gauge, GaugeFamily, Histogram, HistogramFamily, Kind, OwnCounter,
    OwnHistogram, SERIES_PER_FAMILY_MAX, Unit,
};
pub use registry::{ScrapeHook, before_scrape, render};
pub use text::CONTENT_TYPE;
