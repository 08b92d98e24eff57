//! Clients that send exactly the bytes they are told to.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use hickory_proto::op::Message;
use socket2::{Domain, Socket, Type};

use super::{PATIENCE, message};

/// A UDP client of one server.
pub(crate) struct Udp(UdpSocket);

impl Udp {
    pub(crate) fn connect(server: SocketAddr) -> Self {
        let any: SocketAddr = if server.is_ipv4() {
            (Ipv4Addr::UNSPECIFIED, 0).into()
        } else {
            (Ipv6Addr::UNSPECIFIED, 0).into()
        };
        let socket = UdpSocket::bind(any).expect("a client's socket");
        socket.connect(server).expect("a client's socket can be connected");
        Self(socket)
    }

    pub(crate) fn send(&self, wire: &[u8]) {
        self.0.send(wire).expect("a query can be sent");
    }

    /// The next datagram of the server.
    pub(crate) fn receive(&self) -> Vec<u8> {
        self.receive_within(PATIENCE).expect("the server answers")
    }

    pub(crate) fn receive_within(&self, limit: Duration) -> Option<Vec<u8>> {
        self.0.set_read_timeout(Some(limit)).expect("a limit above zero");
        let mut bytes = vec![0; 65_535];
        match self.0.recv(&mut bytes) {
            Ok(len) => {
                bytes.truncate(len);
                Some(bytes)
            }
            Err(error) if is_timeout(&error) => None,
            Err(error) => panic!("receiving an answer: {error}"),
        }
    }

    /// Sends a query and waits for its answer.
    pub(crate) fn ask(&self, query: &Message) -> Message {
        self.send(&message::wire(query));
        let answer = message::read(&self.receive());
        assert_eq!(answer.metadata.id, query.metadata.id, "the answer to another query");
        answer
    }

    pub(crate) fn local_port(&self) -> u16 {
        self.0.local_addr().expect("a bound socket has an address").port()
    }
}

/// A TCP client of one server.
pub(crate) struct Tcp(TcpStream);

impl Tcp {
    pub(crate) fn connect(server: SocketAddr) -> Self {
        Self::over(TcpStream::connect_timeout(&server, PATIENCE).expect("the server takes a connection"))
    }

    /// From an address of this machine's own.
    pub(crate) fn connect_from(client: Ipv4Addr, server: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, None).expect("a client's socket");
        socket.bind(&SocketAddr::from((client, 0)).into()).expect("127.0.0.0/8 is this machine");
        socket.connect_timeout(&server.into(), PATIENCE).expect("the server takes a connection");
        Self::over(socket.into())
    }

    /// With space for no more than some `bytes` that have come and were not received.
    pub(crate) fn connect_narrow(server: SocketAddr, bytes: usize) -> Self {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, None).expect("a client's socket");
        socket.set_recv_buffer_size(bytes).expect("a size that is allowed");
        socket.connect_timeout(&server.into(), PATIENCE).expect("the server takes a connection");
        Self::over(socket.into())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit above zero");
        stream.set_write_timeout(Some(PATIENCE)).expect("a limit above zero");
        stream.set_nodelay(true).expect("an open connection");
        Self(stream)
    }

    /// Writes these bytes and nothing else.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("the server takes what is written");
    }

    /// Sends a message with its length.
    pub(crate) fn send(&mut self, wire: &[u8]) {
        self.write(&framed(wire));
    }

    /// The same to a server that may have closed the connection; says whether it was sent.
    pub(crate) fn try_send(&mut self, wire: &[u8]) -> bool {
        self.0.write_all(&framed(wire)).is_ok()
    }

    /// The next message of the server.
    pub(crate) fn receive(&mut self) -> Vec<u8> {
        self.try_receive().expect("the server answers before it closes the connection")
    }

    /// The next message of the server, or `None` if it closed the connection instead.
    pub(crate) fn try_receive(&mut self) -> Option<Vec<u8>> {
        let mut len = [0; 2];
        match self.0.read_exact(&mut len) {
            Ok(()) => {}
            Err(error) if is_timeout(&error) => {
                panic!("the server neither answers nor closes the connection")
            }
            Err(_) => return None,
        }
        let mut bytes = vec![0; usize::from(u16::from_be_bytes(len))];
        self.0.read_exact(&mut bytes).expect("a message is sent to its end");
        Some(bytes)
    }

    /// Sends a query and waits for its answer.
    pub(crate) fn ask(&mut self, query: &Message) -> Message {
        self.send(&message::wire(query));
        let answer = message::read(&self.receive());
        assert_eq!(answer.metadata.id, query.metadata.id, "the answer to another query");
        answer
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&self) {
        self.0.shutdown(Shutdown::Write).expect("an open connection");
    }

    /// The connection itself.
    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.0
    }
}

/// `wire` with its length in front (RFC 1035 4.2.2).
pub(crate) fn framed(wire: &[u8]) -> Vec<u8> {
    let len = u16::try_from(wire.len()).expect("a message has at most 65,535 bytes");
    [&len.to_be_bytes()[..], wire].concat()
}

/// Sends a query over UDP from a port of its own and waits for the answer.
pub(crate) fn ask(server: SocketAddr, query: &Message) -> Message {
    Udp::connect(server).ask(query)
}

/// Sends a query over a TCP connection of its own and waits for the answer.
pub(crate) fn ask_tcp(server: SocketAddr, query: &Message) -> Message {
    Tcp::connect(server).ask(query)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
