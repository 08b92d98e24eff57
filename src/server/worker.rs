//! Workers, one thread a core, and the server that tells them what to listen on.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as std_mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};

use super::late::WorkerShared;
use super::listener::{ListenerSpec, ListenerState, Scheme};
use super::sockets::{self, BindError, Sockets};
use super::{tcp, udp};
use crate::net::inherited;

/// How often a worker looks for new input while it has work: after so many tasks. The runtime's default of 61 would keep answers of
/// upstreams waiting behind thousands of queries.
const EVENT_INTERVAL: u32 = 7;

/// A listener's identity: what it speaks and where, as configured.
type Key = (Scheme, SocketAddr);

/// The workers, and what they listen on.
pub struct Server {
    workers: Vec<Worker>,
    listeners: HashMap<Key, Listener>,
}

/// A listener that is served.
struct Listener {
    state: Arc<ListenerState>,
    /// Its sockets, of which the workers have copies.
    sockets: Sockets,
}

struct Worker {
    commands: mpsc::UnboundedSender<Command>,
    thread: JoinHandle<()>,
}

enum Command {
    Add(Arc<ListenerState>, Key, Sockets),
    Remove(Key),
    /// Say that commands are carried out.
    Beat(oneshot::Sender<()>),
    /// Take nothing new, as another process does; say so when no connection is open and no query waits any more.
    Retire(oneshot::Sender<()>),
    /// Take no new queries; say so when those that wait are answered.
    Stop(std_mpsc::Sender<()>),
}

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
        let is_ours = |spec: &ListenerSpec| self.overlaps(spec.address) || inherited::overlap(spec.address);
        for spec in new().filter(|spec| !is_ours(spec)) {
            sockets::probe(spec)?;
        }
        let mut opened = Vec::new();
        for spec in new() {
            let sockets = Sockets::open(spec, self.workers.len())?;
            let shares = sockets.share_out(spec, self.workers.len())?;
            opened.push((spec, (spec.scheme, spec.address), sockets, shares));
        }
        for spec in specs {
            if let Some(Listener { state, .. }) = self.listeners.get(&(spec.scheme, spec.address)) {
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
            if let Some(Listener { state, .. }) = self.listeners.remove(&key) {
                state.closed.store(true, Ordering::Relaxed);
            }
            self.command(|| Command::Remove(key));
        }
        for (spec, key, sockets, shares) in opened {
            let state = Arc::new(ListenerState {
                address: sockets.address().unwrap_or(spec.address),
                router: ArcSwap::new(Arc::clone(&spec.router)),
                limits: ArcSwap::new(Arc::new(spec.limits)),
                closed: AtomicBool::new(false),
            });
            for (worker, share) in self.workers.iter().zip(shares) {
                // A worker that is gone has panicked outside every guard; the others go on.
                let _ = worker.commands.send(Command::Add(Arc::clone(&state), key, share));
            }
            self.listeners.insert(key, Listener { state, sockets });
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

    /// How many listeners there are.
    pub fn listeners(&self) -> usize {
        self.listeners.len()
    }

    /// Each listening socket with what it is for, in words that a successor's [`Self::apply`] knows it by.
    pub fn sockets(&self) -> Vec<(String, BorrowedFd<'_>)> {
        let mut sockets = Vec::new();
        for (&(scheme, address), listener) in &self.listeners {
            sockets.extend(listener.sockets.with_purposes(scheme, address));
        }
        sockets
    }

    /// What tells whether the workers are well.
    pub fn pulse(&self) -> Pulse {
        Pulse(self.workers.iter().map(|worker| worker.commands.downgrade()).collect())
    }

    /// Leaves all that is new to the process that has the sockets too. The connections that are open are served on; what this returns is done
    /// when they have ended and no query waits any more.
    pub fn retire(&mut self) -> impl Future<Output = ()> + Send + use<> {
        // What the successor closes one day is not to stay open without anybody who reads it.
        self.listeners.values_mut().for_each(|listener| listener.sockets = Sockets::default());
        let mut retired = Vec::with_capacity(self.workers.len());
        for worker in &self.workers {
            let (done, is_done) = oneshot::channel();
            let _ = worker.commands.send(Command::Retire(done));
            retired.push(is_done);
        }
        async move {
            for is_done in retired {
                // An error says that the worker is gone.
                let _ = is_done.await;
            }
        }
    }

    /// Lets the connections that are open end behind what they have asked by then.
    pub fn close(&mut self) {
        for (_, listener) in self.listeners.drain() {
            listener.state.closed.store(true, Ordering::Relaxed);
        }
    }

    /// Takes no new queries, waits until those that wait are answered but no longer than `limit`, and ends the workers. Returns true if
    /// nothing was left unanswered.
    pub fn stop(mut self, limit: Duration) -> bool {
        self.close();
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

/// Tells whether the workers are well, for whoever watches over the process.
#[derive(Clone)]
pub struct Pulse(Vec<mpsc::WeakUnboundedSender<Command>>);

impl Pulse {
    /// True once every worker has carried out a command that was given now: all that was said before is done then, and none hangs. It
    /// waits as long as that takes; false if a worker is gone.
    pub async fn beat(&self) -> bool {
        let beats: Vec<_> = self
            .0
            .iter()
            .map(|commands| {
                let (beat, felt) = oneshot::channel();
                // What cannot be sent is dropped, which is felt too.
                let _ = commands.upgrade().map(|commands| commands.send(Command::Beat(beat)));
                felt
            })
            .collect();
        for felt in beats {
            if felt.await.is_err() {
                return false;
            }
        }
        true
    }
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
            Command::Add(state, key, Sockets { udp, tcp }) => {
                let mut tasks = Vec::new();
                for socket in udp {
                    tasks.push(tokio::task::spawn_local(udp::run(
                        socket,
                        Arc::clone(&state),
                        Rc::clone(&shared),
                    )));
                }
                for socket in tcp {
                    tasks.push(tokio::task::spawn_local(tcp::run(
                        socket,
                        Arc::clone(&state),
                        Rc::clone(&shared),
                    )));
                }
                serving.insert(key, tasks);
            }
            Command::Remove(key) => {
                for task in serving.remove(&key).into_iter().flatten() {
                    task.abort();
                }
            }
            Command::Beat(felt) => {
                let _ = felt.send(());
            }
            Command::Retire(done) => {
                for task in serving.drain().flat_map(|(_, tasks)| tasks) {
                    task.abort();
                }
                let shared = Rc::clone(&shared);
                tokio::task::spawn_local(async move {
                    shared.until_unused().await;
                    let _ = done.send(());
                });
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
    use crate::net::socket;
    use crate::server::TcpLimits;
    use std::net::UdpSocket;

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
