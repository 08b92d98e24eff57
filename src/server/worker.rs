//! Workers, one thread a core, and the server that tells them what to listen on.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
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
        let workers = (0..workers.max(1)).map(Worker::start).collect::<io::Result<_>>()?;
        Ok(Self { workers, listeners: HashMap::new() })
    }

    /// Serves exactly `specs` from now on: opens what is new, exchanges the routing table of what stays (its sockets are kept, so no query
    /// is lost), closes what is no longer wanted.
    ///
    /// # Errors
    /// [`BindError`] if one of the new sockets cannot be opened; nothing has changed then.
    pub fn apply(&mut self, specs: &[ListenerSpec]) -> Result<(), BindError> {
        let mut opened = Vec::new();
        for spec in specs {
            let key = (spec.scheme, spec.address);
            if !self.listeners.contains_key(&key) {
                opened.push((spec, key, open(spec, self.workers.len())?));
            }
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
            self.listeners.remove(&key);
            self.command(|| Command::Remove(key));
        }
        for (spec, key, sockets) in opened {
            let state = Arc::new(ListenerState {
                address: sockets.first().and_then(|s| s.1.local_addr().ok()).unwrap_or(spec.address),
                router: ArcSwap::new(Arc::clone(&spec.router)),
                limits: ArcSwap::new(Arc::new(spec.limits)),
            });
            self.listeners.insert(key, Arc::clone(&state));
            for (worker, (udp, tcp)) in self.workers.iter().zip(sockets) {
                // A worker that is gone has panicked outside every guard; the others go on.
                let _ = worker.commands.send(Command::Add(Arc::clone(&state), key, udp, tcp));
            }
        }
        Ok(())
    }

    fn command(&self, command: impl Fn() -> Command) {
        for worker in &self.workers {
            let _ = worker.commands.send(command());
        }
    }

    /// Takes no new queries, waits until those that wait are answered but no longer than `limit`, and ends the workers. Returns true if
    /// nothing was left unanswered.
    pub fn stop(self, limit: Duration) -> bool {
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

/// Opens the sockets of a listener for each worker, after making sure that nobody else has the port.
fn open(spec: &ListenerSpec, workers: usize) -> Result<Sockets, BindError> {
    let mut address = spec.address;
    if address.ip().is_unspecified() && address.is_ipv6() && !socket::has_ipv6() {
        address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
    }
    let failed = |protocol| move |source| BindError { protocol, address: spec.address, source };
    socket::probe(address, false).map_err(failed("tcp"))?;
    if spec.scheme.has_udp() {
        socket::probe(address, true).map_err(failed("udp"))?;
    }
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
    fn start(index: usize) -> io::Result<Self> {
        let (commands, receiver) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .event_interval(EVENT_INTERVAL)
                .build_local(tokio::runtime::LocalOptions::default());
            match runtime {
                Ok(runtime) => {
                    let _metrics = crate::metrics::enter_worker(index);
                    runtime.block_on(work(receiver));
                }
                Err(error) => tracing::error!("worker {index} cannot start: {error}"),
            }
        })?;
        Ok(Self { commands, thread })
    }
}

/// The life of a worker: carries out commands; everything else happens in tasks.
async fn work(mut commands: mpsc::UnboundedReceiver<Command>) {
    let shared = Rc::new(WorkerShared::default());
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
