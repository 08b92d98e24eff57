//! A program that runs beside the tests, and does not outlive them.

use std::process::{Command, Stdio};
use std::sync::mpsc;

use super::{Lines, PATIENCE};

/// A process that is told to end when this one ends, however that comes.
pub(crate) struct Daemon {
    pid: u32,
    /// What it says as errors; ends when it does.
    said: Lines,
}

impl Daemon {
    /// Starts it; should this process die, it gets the signal `death`. The command keeps its process ID if it is one that starts another program in its place.
    pub(crate) fn launch(death: &str, command: &Command) -> Result<Self, String> {
        let mut tied = Command::new("setpriv");
        tied.args(["--pdeathsig", death]).arg(command.get_program()).args(command.get_args());
        tied.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let (sender, receiver) = mpsc::channel();
        // From a thread that lives as long as it does, since the signal for the death of a parent is sent for that thread.
        std::thread::spawn(move || match tied.spawn() {
            Ok(mut child) => {
                let said = child.stderr.take().map_or_else(Lines::none, Lines::gather);
                let _ = sender.send(Ok(Self { pid: child.id(), said }));
                let _ = child.wait();
            }
            Err(error) => {
                let _ = sender.send(Err(error.to_string()));
            }
        });
        receiver.recv().unwrap_or_else(|_| Err("its thread has died".to_owned()))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// What it has said.
    pub(crate) fn text(&self) -> String {
        self.said.text()
    }

    /// True if it and all that it has started are gone.
    pub(crate) fn has_ended(&self) -> bool {
        self.said.has_ended()
    }

    /// Sends it the signal `name` and waits for its end.
    pub(crate) fn end(&self, name: &str) {
        let _ = Command::new("kill").arg(format!("-{name}")).arg(self.pid.to_string()).status();
        let _ = self.said.wait_for_end(PATIENCE);
    }
}
