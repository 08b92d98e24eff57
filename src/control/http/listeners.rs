//! The listeners of a process, and how one configuration's give way to the next one's without refusing a connection.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::connection::{self, Shown, Socket};
use super::{Reply, Served, at_once};
use crate::control::shutdown::{Stopper, stop_channel};
use crate::net::inherited::{self, Form};
use crate::net::socket;

/// Why a listener cannot be opened.
#[derive(Debug)]
pub struct OpenError {
    /// Where.
    pub address: SocketAddr,
    /// The kernel's error.
    pub source: io::Error,
}

/// In Go's words: `listen tcp :8080: bind: address already in use`.
impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, source } = self;
        f.write_str("listen tcp ")?;
        if address.ip().is_unspecified() {
            write!(f, ":{}", address.port())?;
        } else {
            write!(f, "{address}")?;
        }
        match source.kind() {
            io::ErrorKind::AddrInUse => f.write_str(": bind: address already in use"),
            io::ErrorKind::PermissionDenied => f.write_str(": bind: permission denied"),
            io::ErrorKind::AddrNotAvailable => f.write_str(": bind: cannot assign requested address"),
            _ => write!(f, ": {source}"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The listeners that are open, by the address as configured (port 0: the kernel has chosen one).
pub struct Listeners {
    control: Handle,
    open: BTreeMap<SocketAddr, Listener>,
}

struct Listener {
    socket: Arc<Socket>,
    /// The same once more, for a successor.
    spare: Option<OwnedFd>,
    shown: Arc<Shown>,
    accepting: AbortHandle,
    stopper: Stopper,
}

/// Sockets that the next configuration needs besides those that are open; nothing is served on them yet.
#[must_use = "the sockets close again"]
#[derive(Default)]
pub struct Opened(BTreeMap<SocketAddr, std::net::TcpListener>);

impl Listeners {
    /// None yet; connections will be served on `control`.
    pub fn new(control: Handle) -> Self {
        Self { control, open: BTreeMap::new() }
    }

    /// Each listening socket with what it is for, as a successor is given them.
    pub fn sockets(&self) -> Vec<(String, BorrowedFd<'_>)> {
        self.open
            .iter()
            .filter_map(|(address, listener)| Some((purpose(*address), listener.spare.as_ref()?.as_fd())))
            .collect()
    }

    /// Opens what `addresses` want and is not open yet, or takes it from those that were open before this process began. Nothing that is
    /// served changes.
    ///
    /// # Errors
    /// [`OpenError`] of the first address that cannot be opened: somebody else has it, it is not of this machine, or its port needs a right.
    pub fn open(&self, addresses: impl IntoIterator<Item = SocketAddr>) -> Result<Opened, OpenError> {
        let mut wanted: Vec<SocketAddr> = addresses.into_iter().collect();
        wanted.sort_unstable();
        wanted.dedup();
        let failed = |address| move |source| OpenError { address, source };
        let mut opened = Opened::default();
        let is_new = |address: &SocketAddr| !self.open.contains_key(address);
        for &address in wanted.iter().filter(|a| is_new(a)) {
            let inherited = inherited::take(&purpose(address), Form::Connections, socket::bindable(address));
            opened.0.extend(inherited.into_iter().next().map(|socket| (address, socket.into())));
        }
        let missing: Vec<SocketAddr> =
            wanted.into_iter().filter(|a| is_new(a) && !opened.0.contains_key(a)).collect();
        // All of them before the first is opened: a wildcard's socket would stand in the way of that of one address.
        for &address in missing.iter().filter(|address| !self.overlaps(**address)) {
            socket::probe(socket::bindable(address), false).map_err(failed(address))?;
        }
        for address in missing {
            let socket = socket::tcp_listener(socket::bindable(address)).map_err(failed(address))?;
            opened.0.insert(address, socket);
        }
        Ok(opened)
    }

    /// Whether a socket of ours has the port of `address` already, so that a probe could not tell us from others.
    fn overlaps(&self, address: SocketAddr) -> bool {
        let overlaps = |ours: &SocketAddr| {
            ours.port() == address.port()
                && (ours.ip() == address.ip() || ours.ip().is_unspecified() || address.ip().is_unspecified())
        };
        self.open.keys().any(overlaps) || inherited::overlap(address)
    }

    /// Serves exactly `wanted` from now on: on sockets that stay, the next request is answered by the new routes and the next connection taken up
    /// by the new guard; those in `opened` begin to be served; what is not wanted any more is closed once its requests are answered.
    pub fn serve<S: Into<Served>>(
        &mut self,
        wanted: impl IntoIterator<Item = (SocketAddr, S)>,
        mut opened: Opened,
    ) {
        let mut left = std::mem::take(&mut self.open);
        for (address, served) in wanted {
            let served = served.into();
            if let Some(listener) = left.remove(&address) {
                listener.shown.store(Arc::new(served));
                self.open.insert(address, listener);
            } else if let Some(socket) = opened.0.remove(&address) {
                match self.start(socket, served) {
                    Ok(listener) => drop(self.open.insert(address, listener)),
                    Err(error) => tracing::error!("{}", OpenError { address, source: error }),
                }
            }
        }
    }

    fn start(&self, socket: std::net::TcpListener, served: Served) -> io::Result<Listener> {
        let _runtime = self.control.enter();
        socket.set_nonblocking(true)?;
        let spare = Some(socket.try_clone()?.into());
        let socket = Arc::new(Socket::new(TcpListener::from_std(socket)?));
        let shown = Arc::new(ArcSwap::from_pointee(served));
        let (stopper, stop) = stop_channel();
        let accepting = self
            .control
            .spawn(connection::accept(Arc::clone(&socket), Arc::clone(&shown), stop))
            .abort_handle();
        Ok(Listener { socket, spare, shown, accepting, stopper })
    }

    /// The process was told to end: closes listeners whose routes all end at once; on the others those routes answer 503 from now on.
    pub fn begin_end(&mut self) {
        let ending = at_once(|_| Reply::text(503, "Shutting down"));
        self.open.retain(|_, listener| {
            let mut served = Served::clone(&listener.shown.load());
            let stays = served.routes.iter().any(|route| !route.ends_at_once);
            for route in served.routes.iter_mut().filter(|route| route.ends_at_once) {
                route.handler = Arc::clone(&ending);
            }
            listener.shown.store(Arc::new(served));
            stays
        });
    }

    /// Leaves new connections to the process that has the sockets too; requests that came before are still answered.
    pub fn retire(&mut self) {
        self.open.clear();
    }

    /// Closes all listeners and waits, `limit` at most, until requests that came before are answered.
    pub async fn close(&mut self, limit: Duration) {
        let mut listeners = std::mem::take(&mut self.open);
        let until = tokio::time::Instant::now() + limit;
        for listener in listeners.values_mut() {
            listener.close();
        }
        for listener in listeners.values() {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            listener.stopper.stop_and_wait(left).await;
        }
    }
}

impl Listener {
    fn close(&mut self) {
        self.spare = None;
        self.socket.close();
        self.accepting.abort();
        self.stopper.stop();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}

/// What the socket of a listener is for, in the words that a predecessor and its successor have in common.
fn purpose(address: SocketAddr) -> String {
    format!("http://{address} {}", Form::Connections)
}
