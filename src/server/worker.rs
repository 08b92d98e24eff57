//! Workers, one thread a core, and the server that tells them what to listen on.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as std_mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};

use super::late::WorkerShared;
use super::listener::{ListenerSpec, ListenerState, Scheme, Serving};
use super::sockets::{self, BindError, Sockets};
use super::tcp::{self, Connections};
use super::udp;
use crate::chain::SocketCount;
use crate::net::inherited;

/// How often a worker looks for new input while it has work: after so many tasks. The runtime's default of 61 would keep answers of
/// upstreams waiting behind thousands of queries.
const EVENT_INTERVAL: u32 = 7;

/// A listener's identity: what it speaks and where, as configured.
type Key = (Scheme, SocketAddr);

impl ListenerSpec {
    fn key(&self) -> Key {
        (self.scheme, self.address)
    }
}

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
    /// How many it was to have of each kind, at most so far.
    wanted: usize,
    /// How many of each kind each worker has.
    of_workers: Vec<usize>,
}

/// Sockets that [`Server::apply`] has opened for a listener, and the parts of workers.
struct Opened<'a> {
    spec: &'a ListenerSpec,
    wanted: usize,
    sockets: Sockets,
    shares: Vec<(usize, Sockets)>,
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
        let (started, all_started) = std_mpsc::channel();
        let workers = (0..workers)
            .map(|index| Worker::start(index, workers, started.clone()))
            .collect::<io::Result<Vec<_>>>()?;
        drop(started);
        // One that cannot work would have sockets that nobody reads.
        all_started.iter().collect::<io::Result<()>>()?;
        Ok(Self { workers, listeners: HashMap::new() })
    }

    /// Serves exactly `specs` from now on: opens what is new, exchanges the routing table of what stays (its sockets are kept, so no query
    /// is lost), closes what is no longer wanted. Sockets are added to a listener that stays and is to have more; one that is to have
    /// fewer keeps them, as queries would be lost with them.
    ///
    /// # Errors
    /// [`BindError`] if one of the new sockets cannot be opened; nothing has changed then.
    pub fn apply(&mut self, specs: &[ListenerSpec]) -> Result<(), BindError> {
        let is_new = |spec: &&ListenerSpec| !self.listeners.contains_key(&spec.key());
        // All of them before the first is opened: a wildcard's sockets would stand in the way of those of one address.
        let is_ours = |spec: &ListenerSpec| self.overlaps(spec.address) || inherited::overlap(spec.address);
        for spec in specs.iter().filter(is_new).filter(|spec| !is_ours(spec)) {
            sockets::probe(spec)?;
        }
        let mut loads: Vec<usize> = (0..self.workers.len())
            .map(|worker| self.listeners.values().map(|listener| listener.of_workers[worker]).sum())
            .collect();
        let mut opened = Vec::new();
        for spec in specs {
            opened.push(self.open(spec, &mut loads)?);
        }
        let unwanted: Vec<Key> = self
            .listeners
            .keys()
            .filter(|key| !specs.iter().any(|spec| spec.key() == **key))
            .copied()
            .collect();
        for key in unwanted {
            if let Some(Listener { state, .. }) = self.listeners.remove(&key) {
                state.closed.store(true, Ordering::Relaxed);
            }
            self.command(|| Command::Remove(key));
        }
        for opened in opened {
            self.enter(opened);
        }
        Ok(())
    }

    /// Opens the sockets that `spec` is to have and has not yet. Those workers get them that have the fewest of the listener and, among those,
    /// of all (`loads`, which goes up); no more workers than there are to be sockets.
    fn open<'a>(&self, spec: &'a ListenerSpec, loads: &mut [usize]) -> Result<Opened<'a>, BindError> {
        let workers = self.workers.len();
        let wanted = match spec.sockets {
            SocketCount::OfWorkers => workers,
            SocketCount::Exactly(count) => usize::from(count.max(1)),
        };
        let present = self.listeners.get(&spec.key());
        let sockets = match present {
            Some(Listener { state, wanted: before, .. }) => {
                Sockets::more(spec, state.address, wanted.saturating_sub(*before))?
            }
            None => Sockets::open(spec, wanted)?,
        };
        let mut takers: Vec<usize> = (0..workers).collect();
        takers.sort_by_key(|&worker| {
            (present.map_or(0, |listener| listener.of_workers[worker]), loads[worker])
        });
        takers.truncate(if present.is_some() { sockets.tcp.len() } else { wanted });
        let shares: Vec<(usize, Sockets)> =
            takers.iter().copied().zip(sockets.share_out(spec, takers.len())?).collect();
        for (worker, share) in &shares {
            loads[*worker] += share.tcp.len();
        }
        Ok(Opened { spec, wanted, sockets, shares })
    }

    /// Serves a listener by what was opened for it.
    fn enter(&mut self, Opened { spec, wanted, sockets, shares }: Opened<'_>) {
        let serving = Serving::of(spec);
        let listener = match self.listeners.entry(spec.key()) {
            Entry::Occupied(present) => {
                let listener = present.into_mut();
                listener.state.serving.store(Arc::new(serving));
                listener.wanted = listener.wanted.max(wanted);
                listener.sockets.extend(sockets);
                listener
            }
            Entry::Vacant(free) => {
                let state = Arc::new(ListenerState {
                    address: sockets.address().unwrap_or(spec.address),
                    serving: ArcSwap::from_pointee(serving),
                    closed: AtomicBool::new(false),
                });
                free.insert(Listener { state, sockets, wanted, of_workers: vec![0; self.workers.len()] })
            }
        };
        for (worker, share) in shares {
            listener.of_workers[worker] += share.tcp.len();
            // A worker that is gone has panicked outside every guard; the others go on.
            let command = Command::Add(Arc::clone(&listener.state), spec.key(), share);
            let _ = self.workers[worker].commands.send(command);
        }
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
        // Without a thread to wait on: where one may not be made, what is under way is waited for all the same. A dropped sender means
        // that its worker is through, too.
        let deadline = Instant::now() + limit;
        let left = || deadline.saturating_duration_since(Instant::now());
        let clean = (0..count).all(|_| all_done.recv_timeout(left()).is_ok());
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
    /// Whether the thread can work is told through `started`, once.
    fn start(index: usize, workers: usize, started: std_mpsc::Sender<io::Result<()>>) -> io::Result<Self> {
        let (commands, receiver) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .event_interval(EVENT_INTERVAL)
                .build_local(tokio::runtime::LocalOptions::default());
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(started.send(Err(error))),
            };
            let _ = started.send(Ok(()));
            drop(started);
            let _metrics = crate::metrics::enter_worker(index);
            runtime.block_on(work(receiver, workers));
        })?;
        Ok(Self { commands, thread })
    }
}

/// What a worker does for one listener.
#[derive(Default)]
struct Serves {
    /// One for each socket.
    tasks: Vec<tokio::task::JoinHandle<io::Result<()>>>,
    connections: Rc<Connections>,
}

/// The life of a worker: carries out commands; everything else happens in tasks.
async fn work(mut commands: mpsc::UnboundedReceiver<Command>, workers: usize) {
    let shared = Rc::new(WorkerShared::new(workers));
    let lines = tokio::task::spawn_local(Rc::clone(&shared).hand_over_lines());
    let mut serving: HashMap<Key, Serves> = HashMap::new();
    while let Some(command) = commands.recv().await {
        match command {
            Command::Add(state, key, Sockets { udp, tcp }) => {
                let Serves { tasks, connections } = serving.entry(key).or_default();
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
                        Rc::clone(connections),
                        Rc::clone(&shared),
                    )));
                }
            }
            Command::Remove(key) => {
                for task in serving.remove(&key).into_iter().flat_map(|serves| serves.tasks) {
                    task.abort();
                }
            }
            Command::Beat(felt) => {
                let _ = felt.send(());
            }
            Command::Retire(done) => {
                for task in serving.drain().flat_map(|(_, serves)| serves.tasks) {
                    task.abort();
                }
                let shared = Rc::clone(&shared);
                tokio::task::spawn_local(async move {
                    shared.until_unused().await;
                    let _ = done.send(());
                });
            }
            Command::Stop(done) => {
                for task in serving.drain().flat_map(|(_, serves)| serves.tasks) {
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
    use std::net::UdpSocket;

    fn spec(ip: &str, port: u16) -> ListenerSpec {
        let address = SocketAddr::new(ip.parse().unwrap(), port);
        ListenerSpec::new(Scheme::Dns, address, Arc::new(Router::new(intern("dns://test"))))
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

    #[test]
    fn a_listener_has_as_many_sockets_as_it_is_to_have_and_they_are_spread_over_the_workers() {
        let mut server = Server::start(3).unwrap();
        let (first, second) = (spec("127.0.0.1", 0), spec("127.0.0.2", 0));
        let with = |spec: &ListenerSpec, sockets| ListenerSpec { sockets, ..spec.clone() };
        let mut check = |a, b, want: [&[usize]; 2]| {
            let specs = [with(&first, a), with(&second, b)];
            server.apply(&specs).unwrap();
            let of = |spec: &ListenerSpec| server.listeners[&spec.key()].of_workers.clone();
            assert_eq!([&of(&first)[..], &of(&second)[..]], want);
        };
        check(SocketCount::Exactly(1), SocketCount::Exactly(1), [&[1, 0, 0], &[0, 1, 0]]);
        // What stays gets more, and loses none.
        check(SocketCount::OfWorkers, SocketCount::Exactly(2), [&[1, 1, 1], &[1, 1, 0]]);
        check(SocketCount::Exactly(7), SocketCount::Exactly(1), [&[2, 2, 3], &[1, 1, 0]]);
        assert!(server.stop(Duration::from_secs(60)));
    }
}
