//! The share of the processor that a thread gets where it has to share.
#![allow(unsafe_code, reason = "a system call that std does not have, argued where it stands")]

/// How much lower, in steps of `nice(2)`.
const STEPS: i32 = 10;

/// Gives the calling thread less of a processor than the threads beside it get, where they want the same one. It never fails: a thread
/// may always ask for less.
pub fn step_back() {
    // SAFETY: the call takes numbers alone. 0 stands for the caller, which on Linux is the calling thread and no other.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, STEPS) };
}
