//! Signals to other processes.
#![allow(unsafe_code, reason = "a system call that std does not have, argued where it stands")]

use std::io;

/// Sends SIGUSR2 to the process `id`, which is above 0.
///
/// # Errors
/// The kernel's: there is no such process, or it is somebody else's. Invalid input for 0 and what is no process ID.
pub fn ask_for_upgrade(id: u32) -> io::Result<()> {
    send(id, libc::SIGUSR2)
}

/// Ends the process `id`, which is above 0, at once.
///
/// # Errors
/// As [`ask_for_upgrade`].
pub fn end(id: u32) -> io::Result<()> {
    send(id, libc::SIGKILL)
}

fn send(id: u32, signal: libc::c_int) -> io::Result<()> {
    let id = libc::pid_t::try_from(id).ok().filter(|id| *id > 0).ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: the call takes numbers alone, and `id` names one process, never a group.
    if unsafe { libc::kill(id, signal) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
