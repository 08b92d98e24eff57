//! What a service manager and this process tell each other, as systemd has it (`sd_notify(3)`, `sd_listen_fds(3)`): through the environment, and by datagrams to a socket.

use std::env;
use std::ffi::OsStr;
use std::fmt::Write;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::net::{clock, rights};

/// Sockets that a service manager may hand over; more are a mistake.
const SOCKETS_MAX: usize = 4096;

/// Tells the service manager how things are; tells nobody if there is none.
pub struct Notifier {
    manager: Option<(UnixDatagram, SocketAddr)>,
}

impl Notifier {
    /// To the manager that the environment names (NOTIFY_SOCKET).
    pub fn from_environment() -> Self {
        let manager = env::var_os("NOTIFY_SOCKET").and_then(|name| {
            let address = address(&name)?;
            let socket = UnixDatagram::unbound().and_then(|socket| {
                // A manager that hangs holds nothing up.
                socket.set_nonblocking(true)?;
                Ok(socket)
            });
            Some((socket.ok()?, address))
        });
        Self { manager }
    }

    /// This process serves: after the start, and after each reload.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", in_one_line(status)));
    }

    /// A reload begins.
    pub fn reloading(&self) {
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=Reloading", clock::awake() / 1000));
    }

    /// The end begins.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=Shutting down");
    }

    /// How things are, in words.
    pub fn status(&self, status: &str) {
        self.tell(&format!("STATUS={}", in_one_line(status)));
    }

    /// The process `id` is the service from now on.
    pub fn main_process(&self, id: u32) {
        self.tell(&format!("MAINPID={id}"));
    }

    fn tell(&self, text: &str) {
        if let Some((socket, address)) = &self.manager
            && let Err(error) = socket.send_to_addr(text.as_bytes(), address)
        {
            tracing::debug!("telling the service manager {text:?}: {error}");
        }
    }

    /// Tells the manager twice in each `interval` of its watchdog that all is well, as long as `is_well`, which may take as long.
    pub async fn keep_watchdog<F>(&self, interval: Duration, is_well: impl Fn() -> F)
    where
        F: Future<Output = bool>,
    {
        let half = interval / 2;
        let mut ticks = tokio::time::interval(half);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match tokio::time::timeout(half, is_well()).await {
                Ok(true) => self.tell("WATCHDOG=1"),
                Ok(false) => tracing::error!("a worker is gone; the watchdog is told no more"),
                Err(_) => tracing::error!("a worker does not answer; the watchdog is not told"),
            }
        }
    }
}

/// The socket called `name`: a path, or `@` and a name of the kernel's own.
fn address(name: &OsStr) -> Option<SocketAddr> {
    match name.as_bytes() {
        [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name).ok(),
        [b'/', ..] => SocketAddr::from_pathname(name).ok(),
        _ => None,
    }
}

/// `text` without what would end the line that it is told in.
fn in_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for (i, part) in text.lines().map(str::trim).filter(|part| !part.is_empty()).enumerate() {
        let _ = write!(line, "{}{part}", if i > 0 { "; " } else { "" });
    }
    line
}

/// The interval of the manager's watchdog on this process, if it has one (WATCHDOG_USEC, WATCHDOG_PID).
pub fn watchdog_interval() -> Option<Duration> {
    let number = |name| env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let is_ours =
        env::var_os("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(std::process::id().into());
    number("WATCHDOG_USEC").filter(|us| is_ours && *us > 1).map(Duration::from_micros)
}

/// The sockets that the manager has opened for this process (LISTEN_FDS, LISTEN_PID), each with its name (LISTEN_FDNAMES), which may be empty. To be called before anything else is
/// opened.
pub fn take_sockets() -> Vec<(String, OwnedFd)> {
    let number = |name| env::var(name).ok().and_then(|value| value.parse::<usize>().ok());
    if number("LISTEN_PID") != usize::try_from(std::process::id()).ok() {
        return Vec::new();
    }
    let sockets = rights::take_from_start(number("LISTEN_FDS").unwrap_or(0).min(SOCKETS_MAX));
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let names = names.split(':').map(str::to_owned).chain(std::iter::repeat(String::new()));
    names.zip(sockets).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_have_paths_or_names_of_the_kernels() {
        let path = address(OsStr::new("/run/notify")).unwrap();
        assert_eq!(path.as_pathname().unwrap().to_str(), Some("/run/notify"));
        assert_eq!(address(OsStr::new("@a/b")).unwrap().as_abstract_name(), Some(&b"a/b"[..]));
        assert!(address(OsStr::new("vsock:2:1234")).is_none());
        assert!(address(OsStr::new("")).is_none());
    }

    #[test]
    fn the_watchdog_hears_nothing_while_workers_hang() {
        let name = format!("waypost-test-watchdog-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let notifier = Notifier { manager: Some((UnixDatagram::unbound().unwrap(), address)) };
        let (asked, mut asks) = tokio::sync::mpsc::unbounded_channel();
        let count = std::cell::Cell::new(0);
        let is_well = || {
            let n = count.replace(count.get() + 1);
            asked.send(n).unwrap();
            async move {
                match n % 3 {
                    0 => true,
                    1 => false,
                    _ => std::future::pending().await,
                }
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let six_asked = async { while asks.recv().await.is_some_and(|n| n < 6) {} };
            tokio::select! {
                () = notifier.keep_watchdog(Duration::from_millis(10), is_well) => {}
                () = six_asked => {}
            }
        });
        // Whether the last one, which is well, was told before it was noticed here is all the same.
        manager.set_nonblocking(true).unwrap();
        let mut said = [0; 64];
        let told: Vec<_> = std::iter::from_fn(|| manager.recv(&mut said).ok()).collect();
        assert!((2..=3).contains(&told.len()), "{told:?}");
    }

    #[test]
    fn a_status_is_one_line() {
        assert_eq!(in_one_line("one\n  two\n\nREADY=1\n"), "one; two; READY=1");
    }
}
