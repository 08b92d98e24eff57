//! The process's signals as events.

use std::io;
use tokio::signal::unix::{self, SignalKind};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: stop in order, finish what is in flight, exit 0.
    Terminate,
    /// The first SIGINT: run what must run at the end, then exit without waiting for what is in flight.
    Interrupt,
    /// A further SIGINT: exit with status 2 at once.
    ForceQuit,
    /// SIGQUIT: exit 0 at once.
    Quit,
    /// SIGUSR1: reload the configuration.
    Reload,
    /// SIGUSR2: start the program anew, and hand over to it.
    Upgrade,
}

/// Catches the process's signals. From [`Signals::listen`] on they do not end the process any more, so the owner must go on
/// asking for the next one, also while it shuts down.
#[derive(Debug)]
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    quit: unix::Signal,
    reload: unix::Signal,
    upgrade: unix::Signal,
    interrupted: bool,
    /// What was put off, each once.
    put_off: Vec<Signal>,
}

impl Signals {
    /// Starts catching. SIGHUP is caught to be ignored, and so is SIGXFSZ: standard output in a file that may not grow costs lines, as a full
    /// disk does.
    ///
    /// # Errors
    /// If a handler cannot be installed.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its I/O driver on.
    pub fn listen() -> io::Result<Self> {
        // Once it has a handler a signal keeps it for good, and nobody needs to hear of it.
        drop(unix::signal(SignalKind::hangup())?);
        drop(unix::signal(SignalKind::from_raw(libc::SIGXFSZ))?);
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            quit: unix::signal(SignalKind::quit())?,
            reload: unix::signal(SignalKind::user_defined1())?,
            upgrade: unix::signal(SignalKind::user_defined2())?,
            interrupted: false,
            put_off: Vec::new(),
        })
    }

    /// Makes `signal` come again, for who cannot do what it asks for now: after those that are more urgent.
    pub fn put_off(&mut self, signal: Signal) {
        if !self.put_off.contains(&signal) {
            self.put_off.push(signal);
        }
    }

    /// Waits for the next signal; the most urgent first where several came. The same one sent again before it was seen
    /// counts once. Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            biased;
            Some(()) = self.quit.recv() => Signal::Quit,
            Some(()) = self.interrupt.recv() => {
                let again = std::mem::replace(&mut self.interrupted, true);
                if again { Signal::ForceQuit } else { Signal::Interrupt }
            }
            Some(()) = self.terminate.recv() => Signal::Terminate,
            signal = std::future::ready(self.put_off.pop()), if !self.put_off.is_empty() => {
                signal.unwrap_or(Signal::Reload)
            }
            Some(()) = self.reload.recv() => Signal::Reload,
            Some(()) = self.upgrade.recv() => Signal::Upgrade,
            // Signal streams do not end.
            else => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    async fn send(name: &str) {
        let command = format!("kill -{name} {}", std::process::id());
        assert!(std::process::Command::new("sh").args(["-c", &command]).status().unwrap().success());
    }

    /// One test for all: signals are the whole process's, and only the listeners made before one is sent get it.
    #[tokio::test]
    async fn signals_become_events() {
        let mut signals = Signals::listen().unwrap();
        let mut next = async |sent: &str| {
            send(sent).await;
            tokio::time::timeout(Duration::from_secs(60), signals.next()).await.unwrap()
        };
        assert_eq!(next("USR1").await, Signal::Reload);
        assert_eq!(next("TERM").await, Signal::Terminate);
        // Ignored ones do not end the process, and the next event is what comes after them.
        send("HUP").await;
        send("XFSZ").await;
        assert_eq!(next("USR1").await, Signal::Reload);
        assert_eq!(next("USR2").await, Signal::Upgrade);
        signals.put_off(Signal::Reload);
        signals.put_off(Signal::Reload);
        assert_eq!(signals.next().await, Signal::Reload);
        let mut next = async |sent: &str| {
            send(sent).await;
            tokio::time::timeout(Duration::from_secs(60), signals.next()).await.unwrap()
        };
        assert_eq!(next("INT").await, Signal::Interrupt);
        assert_eq!(next("INT").await, Signal::ForceQuit);
        assert_eq!(next("QUIT").await, Signal::Quit);
    }
}
