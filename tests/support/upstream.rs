//! An upstream that does what a test tells it to, right or wrong.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use hickory_proto::op::Message;

use super::{PATIENCE, client, message, next_port};

/// A query as it reached the upstream.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) query: Message,
    pub(crate) over_tcp: bool,
    /// From where it came.
    pub(crate) client: SocketAddr,
}

/// What an upstream does with a query.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// Sends this message, or several, whatever they say.
    Send(Vec<Vec<u8>>),
    /// Nothing.
    Silence,
    /// Waits until the test opens the gate.
    AtTheGate(Box<Self>),
    /// Over TCP: writes these bytes without a length in front.
    Write(Vec<u8>),
    /// The same, and closes the connection.
    Cut(Vec<u8>),
}

/// An upstream on a port of its own, UDP and TCP; gone when dropped.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    act: Box<dyn Fn(&Asked) -> Deed + Send + Sync>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    asked: Vec<Asked>,
    is_open: bool,
    is_stopped: bool,
    connections: Vec<TcpStream>,
}

impl Deed {
    /// Sends `message`.
    pub(crate) fn answer(message: &Message) -> Self {
        Self::Send(vec![message::wire(message)])
    }

    /// What a well-behaved upstream does.
    pub(crate) fn usual(asked: &Asked) -> Self {
        Self::answer(&message::usual_response(&asked.query))
    }

    /// The same once the test opens the gate.
    pub(crate) fn at_the_gate(self) -> Self {
        Self::AtTheGate(Box::new(self))
    }
}

impl Upstream {
    /// An upstream that does `act` with each query.
    pub(crate) fn start(act: impl Fn(&Asked) -> Deed + Send + Sync + 'static) -> Self {
        // Another process may take the port in between; then it is not ours to use.
        let (udp, tcp) = std::iter::repeat_with(next_port)
            .find_map(|port| bind((Ipv4Addr::LOCALHOST, port).into()))
            .expect("ports are without end");
        Self::serve(udp, tcp, Box::new(act))
    }

    /// The same at an address that [`Upstream::nowhere`] gave.
    pub(crate) fn start_at(
        address: SocketAddr,
        act: impl Fn(&Asked) -> Deed + Send + Sync + 'static,
    ) -> Self {
        let (udp, tcp) = bind(address).expect("nobody else has the address");
        Self::serve(udp, tcp, Box::new(act))
    }

    /// An upstream that answers as it should.
    pub(crate) fn usual() -> Self {
        Self::start(Deed::usual)
    }

    /// An address where nobody is.
    pub(crate) fn nowhere() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, next_port()).into()
    }

    fn serve(udp: UdpSocket, tcp: TcpListener, act: Box<dyn Fn(&Asked) -> Deed + Send + Sync>) -> Self {
        let address = tcp.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared { act, state: Mutex::default(), changed: Condvar::new() });
        let (for_udp, for_tcp) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            std::thread::spawn(move || for_udp.serve_udp(udp)),
            std::thread::spawn(move || for_tcp.serve_tcp(&tcp)),
        ];
        Self { address, shared, threads }
    }

    /// The queries that came so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.lock().asked.clone()
    }

    /// Waits until `n` queries have come in all and returns them.
    pub(crate) fn wait_for(&self, n: usize) -> Vec<Asked> {
        let state = self.shared.lock();
        let (state, _) = self
            .shared
            .changed
            .wait_timeout_while(state, PATIENCE, |state| state.asked.len() < n)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(state.asked.len() >= n, "only {} of {n} queries came", state.asked.len());
        state.asked.clone()
    }

    /// Lets those at the gate go on, and all that come later.
    pub(crate) fn open_gate(&self) {
        self.shared.lock().is_open = true;
        self.shared.changed.notify_all();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let connections = {
            let mut state = self.shared.lock();
            state.is_stopped = true;
            std::mem::take(&mut state.connections)
        };
        self.shared.changed.notify_all();
        for connection in connections {
            let _ = connection.shutdown(Shutdown::Both);
        }
        // Wake the threads that wait for input.
        let _ = TcpStream::connect(self.address);
        if let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) {
            let _ = socket.send_to(&[], self.address);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn bind(address: SocketAddr) -> Option<(UdpSocket, TcpListener)> {
    UdpSocket::bind(address).ok().zip(TcpListener::bind(address).ok())
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve_udp(self: Arc<Self>, socket: UdpSocket) {
        let socket = Arc::new(socket);
        let mut bytes = vec![0; 65_535];
        loop {
            // A client's port that is closed shows as an error of the next call.
            let Ok((len, client)) = socket.recv_from(&mut bytes) else { continue };
            if self.lock().is_stopped {
                return;
            }
            let deed = self.take_up(&bytes[..len], false, client);
            let socket = Arc::clone(&socket);
            self.carry_out(deed, move |deed| {
                if let Deed::Send(messages) = deed {
                    for message in messages {
                        let _ = socket.send_to(&message, client);
                    }
                }
            });
        }
    }

    fn serve_tcp(self: Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.lock().is_stopped {
                return;
            }
            let Ok(stream) = stream else { continue };
            let Ok(copy) = stream.try_clone() else { continue };
            self.lock().connections.push(copy);
            let shared = Arc::clone(&self);
            std::thread::spawn(move || shared.serve_connection(stream));
        }
    }

    fn serve_connection(self: Arc<Self>, mut stream: TcpStream) {
        let Ok(client) = stream.peer_addr() else { return };
        loop {
            let mut len = [0; 2];
            if stream.read_exact(&mut len).is_err() {
                return;
            }
            let mut bytes = vec![0; usize::from(u16::from_be_bytes(len))];
            if stream.read_exact(&mut bytes).is_err() {
                return;
            }
            let deed = self.take_up(&bytes, true, client);
            let Ok(mut stream) = stream.try_clone() else { return };
            self.carry_out(deed, move |deed| match deed {
                Deed::Send(messages) => {
                    for message in messages {
                        let _ = stream.write_all(&client::framed(&message));
                    }
                }
                Deed::Write(bytes) => {
                    let _ = stream.write_all(&bytes);
                }
                Deed::Cut(bytes) => {
                    let _ = stream.write_all(&bytes);
                    let _ = stream.shutdown(Shutdown::Both);
                }
                Deed::Silence | Deed::AtTheGate(_) => {}
            });
        }
    }

    /// Notes a query and says what is done with it.
    fn take_up(&self, wire: &[u8], over_tcp: bool, client: SocketAddr) -> Deed {
        let query = message::read(wire);
        let asked = Asked { query, over_tcp, client };
        let deed = (self.act)(&asked);
        self.lock().asked.push(asked);
        self.changed.notify_all();
        deed
    }

    /// Calls `act` with the deed, at once or when the gate is open.
    fn carry_out(self: &Arc<Self>, deed: Deed, act: impl FnOnce(Deed) + Send + 'static) {
        let Deed::AtTheGate(deed) = deed else { return act(deed) };
        let shared = Arc::clone(self);
        std::thread::spawn(move || {
            let state = shared.lock();
            let state = shared
                .changed
                .wait_while(state, |state| !state.is_open && !state.is_stopped)
                .unwrap_or_else(PoisonError::into_inner);
            if !state.is_stopped {
                drop(state);
                act(*deed);
            }
        });
    }
}
