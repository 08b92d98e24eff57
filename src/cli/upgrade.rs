//! `waypost upgrade`: has a running server start its program anew and hand over to it, and says how that went.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::control::upgrade::OutcomeListener;
use crate::net::kill;

/// How long to wait for the outcome: longer than the server waits for its successor.
const OUTCOME_LIMIT: Duration = Duration::from_secs(75);

/// How often to look whether the server is still there.
const LOOKS: Duration = Duration::from_millis(200);

/// SIGUSR2 in the mask of signals that a process has handlers for, as `/proc/PID/status` shows it.
const SIGUSR2_BIT: u64 = 1 << (libc::SIGUSR2 - 1);

/// Which server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The process with this ID.
    Process(u32),
    /// The process whose ID stands in this file, which the server has written (`-pidfile`).
    PidFile(PathBuf),
}

/// Upgrades the server and says how it went.
#[allow(clippy::print_stdout, clippy::print_stderr, reason = "this is what talks to the terminal")]
pub(super) fn upgrade(target: &Target) -> ExitCode {
    let outcome = find(target).and_then(|server| Ok((server, ask(server)?)));
    match outcome {
        Ok((server, successor)) => {
            println!("process {successor} serves in place of {server}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("the server was not upgraded: {}", why.trim_end());
            ExitCode::FAILURE
        }
    }
}

fn find(target: &Target) -> Result<u32, String> {
    match target {
        Target::Process(id) => Ok(*id),
        Target::PidFile(path) => read(path),
    }
}

fn read(path: &Path) -> Result<u32, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    text.trim().parse().map_err(|_| format!("{} has no process ID in it", path.display()))
}

fn ask(server: u32) -> Result<u32, String> {
    if !takes_signal(server)? {
        return Err(format!(
            "process {server} has no use for SIGUSR2, which would end it: it is no waypost, or not yet started"
        ));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("starting a runtime: {error}"))?;
    runtime.block_on(async {
        let listener = OutcomeListener::of(server).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => format!("process {server} is just being upgraded by another command"),
            _ => format!("listening for the outcome: {error}"),
        })?;
        kill::ask_for_upgrade(server)
            .map_err(|error| format!("sending SIGUSR2 to process {server}: {error}"))?;
        let outcome = tokio::time::timeout(OUTCOME_LIMIT, async {
            tokio::select! {
                outcome = listener.hear() => outcome,
                () = gone(server) => Err(format!("process {server} has ended without a word")),
            }
        });
        outcome.await.unwrap_or_else(|_| {
            Err(format!("process {server} says nothing after {} s; see its log", OUTCOME_LIMIT.as_secs()))
        })
    })
}

/// Whether the process `id` has a handler for SIGUSR2.
fn takes_signal(id: u32) -> Result<bool, String> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))
        .map_err(|error| format!("there is no process {id} ({error})"))?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    Ok(mask
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & SIGUSR2_BIT != 0))
}

/// Waits for the end of the process `id`, and one look more, as its last word may still be on its way.
async fn gone(id: u32) {
    let path = format!("/proc/{id}/status");
    // One that nobody has waited for yet is still listed.
    while fs::read_to_string(&path).is_ok_and(|status| !status.contains("\nState:\tZ")) {
        tokio::time::sleep(LOOKS).await;
    }
    tokio::time::sleep(LOOKS).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_would_be_ended_is_not_signalled() {
        let mut other = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let why = ask(other.id()).unwrap_err();
        assert!(other.try_wait().unwrap().is_none(), "it lives");
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(why.contains("no use for SIGUSR2"), "{why}");
        assert!(ask(u32::MAX).unwrap_err().contains("no process"));
    }

    #[test]
    fn a_file_without_an_id_is_told() {
        assert!(read(Path::new("/dev/null")).unwrap_err().contains("no process ID"));
        assert!(read(Path::new("/nosuch")).unwrap_err().contains("/nosuch"));
    }
}
