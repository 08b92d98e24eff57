//! The kernel: sockets in batches, and the only place with system calls of our own.
//!
//! A leaf room. [`RecvBatch`] and [`SendBatch`] carry up to [`BATCH`] datagrams a system call; [`socket`] opens sockets
//! with the options a DNS server needs, [`host`] knows the machine's name. The rooms above hold buffers, names and time; this one holds none of them.

pub mod ahead;
pub mod clock;
pub mod host;
pub mod inherited;
pub mod kill;
mod mmsg;
mod peer;
pub mod priority;
pub mod rights;
pub mod sampler;
pub mod socket;

pub use mmsg::{BATCH, Datagram, RecvBatch, SendBatch, SendFailure};
pub use peer::{LocalAddr, Peer};
