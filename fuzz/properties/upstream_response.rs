//! What holds of any bytes that an upstream, or somebody in its place, may send.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

use waypost::chain::Response;
use waypost::upstream::{ErrorKind, Transport, Upstream, UpstreamConfig};
use waypost::wire::edns::Options;
use waypost::wire::{Class, Flags, Rcode, Rtype, compose, header, record, size};

const PATIENCE: Duration = Duration::from_secs(5);

/// `a.example. IN A`, with RD.
const QUERY: &[u8] = b"\xAB\xCD\x01\0\0\x01\0\0\0\0\0\0\x01a\x07example\0\0\x01\0\x01";

/// The bits of the first byte: over TCP; the ID put right, so that it is not ignored for that; the question too; over TCP, behind
/// the right length. The rest comes first from the upstream, then the right reply: one of the two is taken, unless the first looks like
/// the reply and is broken, or is too short to be a message and came by a stream.
pub(super) fn hold(bytes: &[u8]) {
    let Some((&how, forged)) = bytes.split_first() else { return };
    answer(forged);
    EXCHANGES.with(|exchanges| exchanges.hold(how, forged));
}

/// What a plugin makes of the bytes, should they be taken for the reply.
fn answer(forged: &[u8]) {
    let mut response = Response::default();
    if response.set_wire(forged).is_err() {
        return;
    }
    let mut end = record::questions_end(response.wire()).expect("it was read");
    for record in record::records(response.wire()) {
        let record = record.expect("it was read");
        end = record.end;
        assert!(record.rtype != Rtype::OPT || record.section != waypost::wire::Section::Additional);
    }
    assert_eq!(end, response.wire().len(), "nothing stands behind the records");
    if let Some(options) = response.options() {
        let read: usize = Options(options).map(|(_, value)| 4 + value.len()).sum();
        assert_eq!(read, options.len(), "clients get whole options");
    }
    size::uncompressed(response.wire()).expect("it was read");
}

thread_local! {
    static EXCHANGES: Exchanges = Exchanges::start();
}

/// An upstream that does as it is told, and those who ask it.
struct Exchanges {
    runtime: LocalRuntime,
    script: Rc<Script>,
    upstream: Arc<Upstream>,
}

#[derive(Default)]
struct Script {
    how: Cell<u8>,
    forged: RefCell<Vec<u8>>,
}

impl Exchanges {
    fn start() -> Self {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .expect("a runtime");
        let script = Rc::new(Script::default());
        let own = Rc::clone(&script);
        let upstream = runtime.block_on(async move {
            let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = tcp.local_addr().expect("it is bound");
            let udp = UdpSocket::bind(address).await.expect("the same port");
            tokio::task::spawn_local(over_udp(udp, Rc::clone(&own)));
            tokio::task::spawn_local(over_tcp(tcp, own));
            Upstream::new(UpstreamConfig::new("fuzz", address))
        });
        Self { runtime, script, upstream }
    }

    fn hold(&self, how: u8, forged: &[u8]) {
        self.script.how.set(how);
        self.script.forged.borrow_mut().clear();
        self.script.forged.borrow_mut().extend_from_slice(&forged[..forged.len().min(4096)]);
        let transport = if how & 1 == 0 { Transport::Udp } else { Transport::Tcp };
        match self.runtime.block_on(async { self.upstream.exchange(QUERY, transport, PATIENCE).await }) {
            Ok(reply) => {
                let [questions, ..] = header::counts(&reply.wire);
                assert_eq!((&reply.wire[..2], questions), (&QUERY[..2], 1));
                assert!(Flags::of(&reply.wire).has(Flags::QR));
                let question = &reply.wire[header::HEADER_LEN..QUERY.len()];
                assert!(question.eq_ignore_ascii_case(&QUERY[header::HEADER_LEN..]));
            }
            Err(error) => match error.kind {
                ErrorKind::MalformedReply => {}
                // The rest of what seemed a message never came, or what came was no message.
                ErrorKind::Closed { .. } | ErrorKind::ShortMessage => assert_eq!(transport, Transport::Tcp),
                kind => panic!("{kind:?}: {error}"),
            },
        }
    }
}

impl Script {
    /// The forged reply to `query`.
    fn forged(&self, query: &[u8]) -> Vec<u8> {
        let mut forged = self.forged.borrow().clone();
        let how = self.how.get();
        if how & 2 != 0 {
            header::set_id(&mut forged, header::id(query));
        }
        if how & 4 != 0 && forged.len() >= query.len() {
            forged[header::HEADER_LEN..query.len()].copy_from_slice(&query[header::HEADER_LEN..]);
            header::set_count(&mut forged, 0, 1);
            Flags::of(&forged).with(Flags::QR, true).write(&mut forged);
        }
        forged
    }
}

async fn over_udp(socket: UdpSocket, script: Rc<Script>) {
    let mut query = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut query).await {
        let query = &query[..length];
        for message in [script.forged(query), genuine(query)] {
            socket.send_to(&message, from).await.expect("loopback takes it");
        }
    }
}

async fn over_tcp(listener: TcpListener, script: Rc<Script>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::task::spawn_local(one_connection(stream, Rc::clone(&script)));
    }
}

/// Answers one query and closes the connection, as there is no telling where the next message would begin.
async fn one_connection(mut stream: TcpStream, script: Rc<Script>) {
    let Ok(length) = stream.read_u16().await else { return };
    let mut query = vec![0; usize::from(length)];
    if stream.read_exact(&mut query).await.is_err() {
        return;
    }
    let forged = script.forged(&query);
    let mut bytes = if script.how.get() & 8 != 0 { framed(&forged) } else { forged };
    bytes.extend(framed(&genuine(&query)));
    // Who asked may be content with the first half and be gone.
    let _ = stream.write_all(&bytes).await;
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

/// The right reply: the address 192.0.2.1.
fn genuine(query: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    let flags = compose::reply_flags(Flags::of(query)).with_rcode(Rcode::NOERROR);
    compose::start(&mut wire, query, record::questions_end(query).expect("our own query"), flags);
    compose::record(&mut wire, compose::QUESTION, Rtype::A, Class::IN, 60, &[192, 0, 2, 1]);
    header::set_count(&mut wire, 1, 1);
    wire
}
