//! One process hands over to the next without losing a query.
//!
//! ```text
//!  the old process                                     the new one, its grandchild
//!  Successor::start ── Welcome, Sockets…, Text…, Over ──► Predecessor::receive: plan, adopt, serve
//!      serves on    ◄───── Started, Ready or Failed ────  both serve, each datagram is read once
//!  Successor::take_over ──────── TakeOver ──────────────► writes the pidfile, answers signals
//!      takes nothing new, ends when all is answered       serves on
//! ```
//!
//! The sockets themselves go over, so nothing that has come to one of them is lost, whoever reads it. The channel is the child's standard input,
//! which `posix_spawn` connects without a fork of this process, and which nothing else is read from: what came from standard input once
//! goes over the channel as text. Whoever of the two ends early is noticed by the other, as the channel ends.
//!
//! The child starts the program once more and ends, so that the new process is a child of who watches over services: systemd waits for the end of a main
//! process, and lets it finish what it has to, only if it is the parent of it.

mod outcome;
mod packet;
mod predecessor;
mod successor;

pub use outcome::{Listener as OutcomeListener, tell as tell_outcome};
pub use predecessor::Predecessor;
pub use successor::{Program, Successor};

/// Says to a process that its standard input may be a channel to its predecessor.
const VARIABLE: &str = "WAYPOST_UPGRADE";

/// What it says to the child, which is to start the program once more and to end.
const PASS_ON: &str = "pass on";

/// What it says to the process that takes over.
const TAKE_OVER: &str = "take over";
