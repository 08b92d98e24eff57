//! A network namespace of our own: loopback alone, no netfilter tables, gone with the last process in it.

#![allow(unsafe_code, reason = "unshare has no safe form in std")]

use std::process::Command;

/// Moves this process, and what it starts from now on, into a fresh network namespace and brings its loopback up.
/// To be called before any thread is started.
///
/// # Errors
/// A sentence saying what is missing (root, or iproute2).
pub fn enter_fresh() -> Result<(), String> {
    // SAFETY: takes no pointer; the process has one thread, as asked above.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        let error = std::io::Error::last_os_error();
        return Err(format!("no network namespace could be made ({error}): run this as root"));
    }
    let status = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`ip link set lo up` ended with {status}")),
        Err(error) => Err(format!("`ip` (iproute2) did not run: {error}")),
    }
}
