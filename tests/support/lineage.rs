//! A server and the processes that succeed it.

use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;

use super::server::{Server, program};
use super::{PATIENCE, TestDir, eventually};

/// A server that is upgraded; all its processes print to one place. The last is killed when dropped.
pub(crate) struct Lineage {
    first: Server,
    current: u32,
}

impl Lineage {
    pub(crate) fn of(first: Server) -> Self {
        let current = first.pid();
        Self { first, current }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.first.address()
    }

    pub(crate) fn dir(&self) -> &Arc<TestDir> {
        &self.first.dir
    }

    /// The process that serves now.
    pub(crate) fn pid(&self) -> u32 {
        self.current
    }

    /// Has it succeeded by a new process, whose ID is returned.
    pub(crate) fn upgrade(&mut self) -> u32 {
        let upgrade = self.begin_upgrade();
        self.end_upgrade(upgrade)
    }

    /// The same where it may fail: the exit code of the command, and what it printed.
    pub(crate) fn try_upgrade(&mut self) -> (i32, String) {
        let upgrade = self.begin_upgrade();
        self.outcome(upgrade)
    }

    /// Starts the command and does not wait for it.
    pub(crate) fn begin_upgrade(&self) -> Child {
        let mut command = Command::new(program());
        command.args(["upgrade", "-pid", &self.current.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the program can be started")
    }

    /// Waits for the end of a command that succeeds.
    pub(crate) fn end_upgrade(&mut self, upgrade: Child) -> u32 {
        let old = self.current;
        let (code, text) = self.outcome(upgrade);
        assert_eq!(code, 0, "{text}");
        assert_eq!(text, format!("process {} serves in place of {old}\n", self.current));
        self.current
    }

    /// Waits for the end of the command: its exit code, and what it printed.
    pub(crate) fn outcome(&mut self, upgrade: Child) -> (i32, String) {
        let output = upgrade.wait_with_output().expect("the command ends");
        let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("it prints text");
        if let Some(new) = text.strip_prefix("process ").and_then(|rest| rest.split(' ').next()) {
            self.current = new.parse().unwrap_or(self.current);
        }
        (output.status.code().expect("it ends by itself"), text)
    }

    /// Sends a signal to the process that serves now.
    pub(crate) fn signal(&self, name: &str) {
        send(name, self.current);
    }

    pub(crate) fn wait_for_line(&self, part: &str) -> String {
        self.first.wait_for_line(part)
    }

    /// Waits for the end of the first process.
    pub(crate) fn wait_for_first(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the first process ends", || {
            status = self.first.ended();
            status.is_some()
        });
        status.expect("it was waited for")
    }

    /// Waits until no process has the output any more.
    pub(crate) fn wait_for_end(&self) {
        assert!(self.first.stdout.wait_for_end(PATIENCE), "somebody still has the output");
    }

    /// Ends it, and waits until all its processes have ended; returns what they printed.
    pub(crate) fn stop(self) -> String {
        self.signal("TERM");
        self.wait_for_end();
        self.first.stdout.text()
    }
}

impl Drop for Lineage {
    fn drop(&mut self) {
        if self.current != self.first.pid() && !self.first.stdout.has_ended() {
            send("KILL", self.current);
        }
    }
}

fn send(name: &str, pid: u32) {
    // It may have ended meanwhile.
    let _ = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).stderr(Stdio::null()).status();
}
