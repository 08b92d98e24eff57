//! Upstreams that do as a test says, on 127.0.0.1.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_local};

use crate::wire::{Class, Flags, Name, Rtype, compose, header, record};

/// A scripted upstream; it ends when it is dropped.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    log: Rc<Log>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Log {
    received: RefCell<Vec<(SocketAddr, Vec<u8>)>>,
    changed: Notify,
}

impl Log {
    fn push(&self, from: SocketAddr, message: Vec<u8>) {
        self.received.borrow_mut().push((from, message));
        self.changed.notify_waiters();
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Scripted {
    /// Over UDP: `script` gets each query and says which messages to send back.
    pub(crate) async fn udp(script: impl Fn(&[u8]) -> Vec<Vec<u8>> + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        Self::udp_on(socket, script)
    }

    /// As [`Self::udp`], on a socket that is there.
    pub(crate) fn udp_on(socket: UdpSocket, script: impl Fn(&[u8]) -> Vec<Vec<u8>> + 'static) -> Self {
        let address = socket.local_addr().expect("it is bound");
        let log = Rc::new(Log::default());
        let own = Rc::clone(&log);
        let task = spawn_local(async move {
            let mut buffer = vec![0; 65_535];
            while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
                own.push(from, buffer[..len].to_vec());
                for reply in script(&buffer[..len]) {
                    // Nobody may be there any more; that is part of some scripts.
                    let _ = socket.send_to(&reply, from).await;
                }
            }
        });
        Self { address, log, tasks: vec![task] }
    }

    /// Over TCP: `script` gets each connection with its number, counted from 0.
    pub(crate) async fn tcp<F: Future<Output = ()> + 'static>(
        script: impl Fn(Peer, usize) -> F + 'static,
    ) -> Self {
        Self::tcp_at("127.0.0.1:0".parse().expect("an address"), script).await
    }

    /// As [`Self::tcp`], at an address that is free.
    pub(crate) async fn tcp_at<F: Future<Output = ()> + 'static>(
        address: SocketAddr,
        script: impl Fn(Peer, usize) -> F + 'static,
    ) -> Self {
        Self::tcp_on(TcpListener::bind(address).await.expect("a free port"), script)
    }

    fn tcp_on<F: Future<Output = ()> + 'static>(
        listener: TcpListener,
        script: impl Fn(Peer, usize) -> F + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("it is bound");
        let log = Rc::new(Log::default());
        let own = Rc::clone(&log);
        let task = spawn_local(async move {
            let mut connections = tokio::task::JoinSet::new();
            for number in 0.. {
                let Ok((stream, from)) = listener.accept().await else { return };
                connections.spawn_local(script(Peer { stream, from, log: Rc::clone(&own) }, number));
            }
        });
        Self { address, log, tasks: vec![task] }
    }

    /// Both at one address: over UDP `udp` answers, over TCP [`answer`].
    pub(crate) async fn both(udp: impl Fn(&[u8]) -> Vec<Vec<u8>> + 'static) -> Self {
        let (socket, listener) = loop {
            // The port that UDP got may be another test's over TCP.
            let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
            if let Ok(listener) = TcpListener::bind(socket.local_addr().expect("it is bound")).await {
                break (socket, listener);
            }
        };
        let mut this = Self::udp_on(socket, udp);
        let mut tcp = Self::tcp_on(listener, |mut peer, _| async move {
            while let Some(query) = peer.read().await {
                peer.write(&answer(&query)).await;
            }
        });
        this.tasks.append(&mut tcp.tasks);
        this
    }

    /// Queries that came, and from where.
    pub(crate) fn received(&self) -> Vec<(SocketAddr, Vec<u8>)> {
        self.log.received.borrow().clone()
    }

    /// Waits until `n` queries have come in all.
    pub(crate) async fn wait_for(&self, n: usize) {
        loop {
            let changed = self.log.changed.notified();
            if self.log.received.borrow().len() >= n {
                return;
            }
            changed.await;
        }
    }
}

/// The other end of a connection, as a script sees it.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    from: SocketAddr,
    log: Rc<Log>,
}

impl Peer {
    /// The next query; `None` once the connection is closed.
    pub(crate) async fn read(&mut self) -> Option<Vec<u8>> {
        let len = self.stream.read_u16().await.ok()?;
        let mut message = vec![0; usize::from(len)];
        self.stream.read_exact(&mut message).await.ok()?;
        self.log.push(self.from, message.clone());
        Some(message)
    }

    /// Sends a message.
    pub(crate) async fn write(&mut self, message: &[u8]) {
        self.write_raw(&framed(message)).await;
    }

    /// Sends bytes.
    pub(crate) async fn write_raw(&mut self, bytes: &[u8]) {
        // The other end may be gone; that is part of some scripts.
        let _ = self.stream.write_all(bytes).await;
    }
}

/// A message behind its length.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    super::frames::push(&mut bytes, message);
    bytes
}

/// A query for the addresses of `name`.
pub(crate) fn query(id: u16, name: &str) -> Vec<u8> {
    let mut wire = vec![0; 12];
    header::set_id(&mut wire, id);
    Flags(Flags::RD).write(&mut wire);
    header::set_count(&mut wire, 0, 1);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.extend_from_slice(&[0, 0, 1, 0, 1]);
    wire
}

/// The answer to `query`: the address 192.0.2.1.
pub(crate) fn answer(query: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    let end = record::questions_end(query).expect("a test's query is well-formed");
    compose::start(&mut wire, query, end, compose::reply_flags(Flags::of(query)).with(Flags::RA, true));
    compose::record(&mut wire, compose::QUESTION, Rtype::A, Class::IN, 60, &[192, 0, 2, 1]);
    header::set_count(&mut wire, 1, 1);
    wire
}

/// The name that `message` asks for.
pub(crate) fn name_of(message: &[u8]) -> String {
    Name::parse_plain(message, 12).expect("a test's message is well-formed").0.to_string()
}
