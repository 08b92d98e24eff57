//! A network namespace of our own: loopback alone, no netfilter tables, gone with the last process in it. And a
//! whole machine of our own, as far as the network, processes and mounts go.

#![allow(unsafe_code, reason = "unshare has no safe form in std")]

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus};

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
    run("ip", &["link", "set", "lo", "up"])
}

/// Runs this program again, with the same arguments and the environment's `marker` set to `value`, as the first process of
/// namespaces of its own (network, PIDs, mounts), and waits for its end. Whatever is started there ends with it, and
/// it ends with this process. To be called before any thread is started.
///
/// # Errors
/// A sentence saying what is missing.
pub fn run_inside(marker: &str, value: &Path) -> Result<ExitStatus, String> {
    let refused = |error| format!("no namespaces could be made ({error}): run this as root");
    // SAFETY: takes no pointer; the process has one thread, as asked above. It stays where it is: only its children
    // are in the new namespace.
    if unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0 {
        return Err(refused(std::io::Error::last_os_error()));
    }
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(own);
    command.args(std::env::args_os().skip(1)).env(marker, value);
    // SAFETY: between fork and exec two system calls are made, and nothing is allocated.
    unsafe {
        command.pre_exec(|| {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0
                && libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS) == 0
            {
                Ok(())
            } else {
                Err(std::io::Error::last_os_error())
            }
        });
    }
    command.status().map_err(refused)
}

/// Makes the namespaces of [`run_inside`] fit to live in: loopback up, `/proc` of its own processes, and mounts that
/// nobody outside sees.
///
/// # Errors
/// A sentence.
pub fn settle_inside() -> Result<(), String> {
    run("ip", &["link", "set", "lo", "up"])?;
    run("mount", &["--make-rprivate", "/"])?;
    run("mount", &["-t", "proc", "proc", "/proc"])
}

/// Mounts an empty file system of `kib` KiB in memory at `path`, a directory.
///
/// # Errors
/// A sentence.
pub fn mount_small(path: &Path, kib: u32) -> Result<(), String> {
    run("mount", &["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs", &path.display().to_string()])
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    match Command::new(program).args(args).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{program} {}` ended with {status}", args.join(" "))),
        Err(error) => Err(format!("`{program}` did not run: {error}")),
    }
}
