//! Listeners and workers: bytes in, bytes out.
//!
//! ```text
//!  control plane                      one thread per core
//!  ┌────────┐   Add, Remove, Stop   ┌─────────────────────────────────────────────┐
//!  │ Server │ ────────────────────▶ │ Worker: single-threaded runtime             │
//!  └────────┘                       │   udp: recvmmsg → serve × 64 → sendmmsg     │
//!                                   │   tcp: frames → serve → frames, pipelined   │
//!                                   │   tasks: queries that wait for something    │
//!                                   └─────────────────────────────────────────────┘
//! ```
//!
//! Each worker has sockets of its own for each listener (SO_REUSEPORT; one, or as `multisocket` says), so the kernel spreads clients over them and workers share
//! nothing but read-only routing tables. The server knows the chain, not the plugins.

mod finish;
mod guard;
mod late;
mod listener;
mod offline;
mod proxy;
mod serve;
mod sockets;
mod tasks;
mod tcp;
mod udp;
mod worker;

pub use guard::install as install_panic_hook;
pub use listener::{ListenerSpec, Scheme, TcpLimits};
pub use offline::{Answer, Offline};
pub use proxy::header as proxy_header;
pub use sockets::BindError;
pub use worker::{Pulse, Server};
