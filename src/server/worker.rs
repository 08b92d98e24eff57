//! Workers, one thread a core, and the server that tells them what to listen on.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as std_mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

use super::late::WorkerShared;
use super::listener::{ListenerSpec, ListenerState, Scheme};
use super::{tcp, udp};
use crate::net::socket;

/// How often a worker looks for new input while it has work: after so many tasks. The runtime's default of 61 would keep answers of
/// upstreams waiting behind thousands of queries.
const EVENT_INTERVAL: u32 = 7;

/// A listener's identity: what it speaks and where, as configured.
type Key = (Scheme, SocketAddr);

/// Why a listener cannot be opened.
#[derive(Debug)]
pub struct BindError {
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// The address as configured.
    pub address: SocketAddr,
    /// The kernel's error.
    pub source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, address, source } = self;
        let call = if *protocol == "udp" { "ListenPacket" } else { "Listen" };
        let shown =
            if address.ip().is_unspecified() { format!(":{}", address.port()) } else { address.to_string() };
        let text = match source.kind() {
            io::ErrorKind::AddrInUse => "address already in use".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            io::ErrorKind::AddrNotAvailable => "cannot assign requested address".to_owned(),
            _ => source.to_string(),
        };
        write!(f, "{call}: listen {protocol} {shown}: bind: {text}")
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The workers, and what they listen on.
pub struct Server {
    workers: Vec<Worker>,
    listeners: HashMap<Key, Arc<ListenerState>>,
}

struct Worker {
    commands: mpsc::UnboundedSender<Command>,
    thread: JoinHandle<()>,
}

enum Command {
    Add(Arc<ListenerState>, Key, Option<UdpSocket>, TcpListener),
    Remove(Key),
    /// Take no new queries; say so when those that wait are answered.
    Stop(std_mpsc::Sender<()>),
}

/// The sockets of a new listener, one pair a worker.
type Sockets = Vec<(Option<UdpSocket>, TcpListener)>;

impl Server {
    /// Starts `workers` threads that serve nothing yet.
    ///
    /// # Errors
    /// The kernel's, if it has no threads or descriptors left.
    pub fn start(workers: usize) -> io::Result<Self> {
        let workers = workers.max(1);
        let workers = (0..workers).map(|index| Worker::start(index, workers)).collect::<io::Result<_>>()?;
        Ok(Self { workers, listeners: HashMap::new() })
    }

    /// Serves exactly `specs` from now on: opens what is new, exchanges the routing table of what stays (its sockets are kept, so no query
    /// is lost), closes what is no longer wanted.
    ///
    /// # Errors
    /// [`BindError`] if one of the new sockets cannot be opened; nothing has changed then.
    pub fn apply(&mut self, specs: &[ListenerSpec]) -> Result<(), BindError> {
        let new = || specs.iter().filter(|spec| !self.listeners.contains_key(&(spec.scheme, spec.address)));
        // All of them before the first is opened: a wildcard's sockets would stand in the way of those of one address.
        for spec in new().filter(|spec| !self.overlaps(spec.address)) {
            probe(spec)?;
        }
        let mut opened = Vec::new();
        for spec in new() {
            opened.push((spec, (spec.scheme, spec.address), open(spec, self.workers.len())?));
        }
        for spec in specs {
            if let Some(state) = self.listeners.get(&(spec.scheme, spec.address)) {
                state.router.store(Arc::clone(&spec.router));
                state.limits.store(Arc::new(spec.limits));
            }
        }
        let unwanted: Vec<Key> = self
            .listeners
            .keys()
            .filter(|key| !specs.iter().any(|spec| (spec.scheme, spec.address) == **key))
            .copied()
            .collect();
        for key in unwanted {
            if let Some(state) = self.listeners.remove(&key) {
                state.closed.store(true, Ordering::Relaxed);
            }
            self.command(|| Command::Remove(key));
        }
        for (spec, key, sockets) in opened {
            let state = Arc::new(ListenerState {
                address: sockets.first().and_then(|s| s.1.local_addr().ok()).unwrap_or(spec.address),
                router: ArcSwap::new(Arc::clone(&spec.router)),
                limits: ArcSwap::new(Arc::new(spec.limits)),
                closed: AtomicBool::new(false),
            });
            self.listeners.insert(key, Arc::clone(&state));
            for (worker, (udp, tcp)) in self.workers.iter().zip(sockets) {
                // A worker that is gone has panicked outside every guard; the others go on.
                let _ = worker.commands.send(Command::Add(Arc::clone(&state), key, udp, tcp));
            }
        }
        Ok(())
    }

    /// Whether a listener of ours already has the port of `address` on some of its addresses. Only we and the programs of our user that
    /// share ports can open it then, and a probe could not tell the two apart.
    fn overlaps(&self, address: SocketAddr) -> bool {
        self.listeners.keys().any(|(_, ours)| {
            ours.port() == address.port()
                && (ours.ip() == address.ip() || ours.ip().is_unspecified() || address.ip().is_unspecified())
        })
    }

    fn command(&self, command: impl Fn() -> Command) {
        for worker in &self.workers {
            let _ = worker.commands.send(command());
        }
    }

    /// Takes no new queries, waits until those that wait are answered but no longer than `limit`, and ends the workers. Returns true if
    /// nothing was left unanswered.
    pub fn stop(self, limit: Duration) -> bool {
        for state in self.listeners.values() {
            state.closed.store(true, Ordering::Relaxed);
        }
        let (done, all_done) = std_mpsc::channel();
        self.command(|| Command::Stop(done.clone()));
        drop(done);
        let count = self.workers.len();
        // A dropped sender means that its worker is through, too.
        let (finished, waiting) = std_mpsc::channel();
        std::thread::spawn(move || {
            let answered = (0..count).filter(|_| all_done.recv().is_ok()).count();
            let _ = finished.send(answered == count);
        });
        let clean = waiting.recv_timeout(limit).unwrap_or(false);
        if clean {
            for worker in self.workers {
                drop(worker.commands);
                let _ = worker.thread.join();
            }
        }
        clean
    }
}

/// Where a listener is bound: all addresses of both families are those of IPv4 on a machine without IPv6.
fn bound_address(spec: &ListenerSpec) -> SocketAddr {
    let address = spec.address;
    if address.ip().is_unspecified() && address.is_ipv6() && !socket::has_ipv6() {
        return SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
    }
    address
}

/// Makes sure that nobody else has the port of a listener, for each protocol that it speaks.
fn probe(spec: &ListenerSpec) -> Result<(), BindError> {
    let address = bound_address(spec);
    let failed = |protocol| move |source| BindError { protocol, address: spec.address, source };
    socket::probe(address, false).map_err(failed("tcp"))?;
    if spec.scheme.has_udp() {
        socket::probe(address, true).map_err(failed("udp"))?;
    }
    Ok(())
}

/// Opens the sockets of a listener for each worker.
fn open(spec: &ListenerSpec, workers: usize) -> Result<Sockets, BindError> {
    let mut address = bound_address(spec);
    let failed = |protocol| move |source| BindError { protocol, address: spec.address, source };
    let mut sockets = Vec::with_capacity(workers);
    for _ in 0..workers {
        let tcp = socket::tcp_listener(address).map_err(failed("tcp"))?;
        if address.port() == 0 {
            // The kernel has chosen; all other sockets of the listener go there too.
            address = tcp.local_addr().map_err(failed("tcp"))?;
        }
        let udp = spec
            .scheme
            .has_udp()
            .then(|| socket::udp_listener(address).map_err(failed("udp")))
            .transpose()?;
        sockets.push((udp, tcp));
    }
    Ok(sockets)
}

impl Worker {
    fn start(index: usize, workers: usize) -> io::Result<Self> {
        let (commands, receiver) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .event_interval(EVENT_INTERVAL)
                .build_local(tokio::runtime::LocalOptions::default());
            match runtime {
                Ok(runtime) => {
                    let _metrics = crate::metrics::enter_worker(index);
                    runtime.block_on(work(receiver, workers));
                }
                Err(error) => tracing::error!("worker {index} cannot start: {error}"),
            }
        })?;
        Ok(Self { commands, thread })
    }
}

/// The life of a worker: carries out commands; everything else happens in tasks.
async fn work(mut commands: mpsc::UnboundedReceiver<Command>, workers: usize) {
    let shared = Rc::new(WorkerShared::new(workers));
    let lines = tokio::task::spawn_local(Rc::clone(&shared).hand_over_lines());
    let mut serving: HashMap<Key, Vec<tokio::task::JoinHandle<io::Result<()>>>> = HashMap::new();
    while let Some(command) = commands.recv().await {
        match command {
            Command::Add(state, key, udp, tcp) => {
                let mut tasks = Vec::new();
                if let Some(socket) = udp {
                    tasks.push(tokio::task::spawn_local(udp::run(
                        socket,
                        Arc::clone(&state),
                        Rc::clone(&shared),
                    )));
                }
                tasks.push(tokio::task::spawn_local(tcp::run(tcp, state, Rc::clone(&shared))));
                serving.insert(key, tasks);
            }
            Command::Remove(key) => {
                for task in serving.remove(&key).into_iter().flatten() {
                    task.abort();
                }
            }
            Command::Stop(done) => {
                for task in serving.drain().flat_map(|(_, tasks)| tasks) {
                    task.abort();
                }
                shared.until_idle().await;
                // The answers of the last queries leave with the tasks that are ready now.
                tokio::task::yield_now().await;
                crate::log::hand_over();
                let _ = done.send(());
            }
        }
    }
    lines.abort();
    crate::log::hand_over();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{Router, intern};
    use crate::server::TcpLimits;

    fn spec(ip: &str, port: u16) -> ListenerSpec {
        ListenerSpec {
            scheme: Scheme::Dns,
            address: SocketAddr::new(ip.parse().unwrap(), port),
            router: Arc::new(Router::new(intern("dns://test"))),
            limits: TcpLimits::default(),
        }
    }

    /// A port that nobody has on any address.
    fn free_port() -> u16 {
        let everywhere = if socket::has_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
        UdpSocket::bind(everywhere).unwrap().local_addr().unwrap().port()
    }

    #[test]
    fn one_address_and_all_addresses_share_a_port_with_each_other_and_nobody_else() {
        let port = free_port();
        let (one, all) = (spec("127.0.0.1", port), spec("::", port));
        let mut server = Server::start(1).unwrap();
        for specs in [vec![&one, &all], vec![&all], vec![&one], vec![&all, &one]] {
            let specs: Vec<_> = specs.into_iter().cloned().collect();
            server.apply(&specs).unwrap_or_else(|error| panic!("{error}"));
        }
        let mut second = Server::start(1).unwrap();
        let error = second.apply(&[spec("127.0.0.1", port)]).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
        assert!(second.stop(Duration::from_secs(60)) && server.stop(Duration::from_secs(60)));
    }
}
