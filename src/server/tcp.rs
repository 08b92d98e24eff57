//! TCP: framed messages, pipelined, answered as they are ready (RFC 7766 6.2.1.1, 7).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::late::{Held, Owed, WorkerShared};
use super::listener::ListenerState;
use super::proxy::stream::read_header;
use super::serve::{Served, serve, serve_late};
use crate::chain::{ProxyTreatment, Query, Response, Transport, clock};

/// Connections of one listener on one worker; the newest is closed at once when there are more.
const CONNECTIONS_MAX: usize = 4096;

/// Connections of one client address on one listener and worker.
const CONNECTIONS_PER_CLIENT_MAX: usize = 256;

/// Queries of one connection that may wait at once; while they do, nothing more is read from it.
const WAITING_PER_CONNECTION_MAX: usize = 128;

/// Bytes read from a connection at once.
const READ_BYTES: usize = 4096;

/// Bytes of answers that are gathered before they are written.
const WRITE_BYTES: usize = 16 * 1024;

/// How long a client has to close a connection that we have ended before the end of the process waits for it no more.
const CLOSE_AWAITED: std::time::Duration = std::time::Duration::from_secs(1);

/// How long to wait before accepting again when the process has no descriptor left.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// An answer that was waited for; none if the query is met with silence. The end waits until it is written.
type Late = (Option<Vec<u8>>, Owed);

/// The open connections of one listener on one worker, through all its sockets there.
#[derive(Default)]
pub(super) struct Connections {
    total: Cell<usize>,
    by_client: RefCell<HashMap<IpAddr, usize>>,
}

/// A counted connection; given back on drop.
struct Counted {
    connections: Rc<Connections>,
    /// `None` until it is known who it is.
    client: Option<IpAddr>,
}

impl Connections {
    /// Counts a connection, if there may be one more.
    fn count(self: &Rc<Self>) -> Option<Counted> {
        let total = self.total.get();
        (total < CONNECTIONS_MAX).then(|| {
            self.total.set(total + 1);
            Counted { connections: Rc::clone(self), client: None }
        })
    }
}

impl Counted {
    /// Counts the connection as one of `client`; false if it has too many.
    fn is_of(&mut self, client: IpAddr) -> bool {
        let mut by_client = self.connections.by_client.borrow_mut();
        let of_client = by_client.entry(client).or_default();
        if *of_client >= CONNECTIONS_PER_CLIENT_MAX {
            return false;
        }
        *of_client += 1;
        self.client = Some(client);
        true
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.connections.total.set(self.connections.total.get() - 1);
        let Some(client) = self.client else { return };
        let mut by_client = self.connections.by_client.borrow_mut();
        if let Some(n) = by_client.get_mut(&client) {
            *n -= 1;
            if *n == 0 {
                by_client.remove(&client);
            }
        }
    }
}

/// Accepts connections on `listener` until the task is aborted; connections that are open then end with what they have asked.
pub(super) async fn run(
    listener: std::net::TcpListener,
    state: Arc<ListenerState>,
    connections: Rc<Connections>,
    shared: Rc<WorkerShared>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                let treatment = treatment(&state, peer.ip());
                let Some(mut counted) = connections.count() else { continue };
                // Whose headers are believed brings connections of many clients.
                if treatment != ProxyTreatment::Use && !counted.is_of(peer.ip()) {
                    continue;
                }
                let (state, shared) = (Arc::clone(&state), Rc::clone(&shared));
                let open = shared.connection();
                tokio::task::spawn_local(async move {
                    // What ends a connection early concerns nobody else.
                    let _ = Connection::new(stream, peer, counted, state, shared)?.run(treatment).await;
                    drop(open);
                    io::Result::Ok(())
                });
            }
            Err(error) if is_out_of_resources(&error) => tokio::time::sleep(ACCEPT_PAUSE).await,
            Err(_) => {}
        }
    }
}

/// How PROXY headers of `peer` are treated; where nothing is said of them, none are looked for.
fn treatment(state: &ListenerState, peer: IpAddr) -> ProxyTreatment {
    let serving = state.serving.load();
    serving.proxies.as_ref().map_or(ProxyTreatment::Skip, |policy| policy.treatment(peer))
}

fn is_out_of_resources(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS))
}

struct Connection {
    stream: TcpStream,
    /// Who asks: the peer, or the client that it speaks for.
    peer: SocketAddr,
    local: SocketAddr,
    counted: Counted,
    state: Arc<ListenerState>,
    shared: Rc<WorkerShared>,
    /// What was read and not yet answered.
    input: Vec<u8>,
    /// Answers with their length bytes, not yet written.
    output: Vec<u8>,
    query: Query,
    response: Response,
    waiting: usize,
    /// For the answers in `output`.
    owed: Vec<Owed>,
    queries: u32,
}

impl Connection {
    fn new(
        stream: TcpStream,
        peer: SocketAddr,
        counted: Counted,
        state: Arc<ListenerState>,
        shared: Rc<WorkerShared>,
    ) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        Ok(Self {
            local: SocketAddr::new(local.ip().to_canonical(), local.port()),
            stream,
            peer,
            counted,
            state,
            shared,
            input: Vec::with_capacity(READ_BYTES),
            output: Vec::new(),
            query: Query::default(),
            response: Response::default(),
            waiting: 0,
            owed: Vec::new(),
            queries: 0,
        })
    }

    async fn run(&mut self, treatment: ProxyTreatment) -> io::Result<()> {
        // Bounded by WAITING_PER_CONNECTION_MAX: nothing is read while so many queries wait.
        let (late, mut answers) = mpsc::unbounded_channel::<Late>();
        let limits = self.state.serving.load().limits;
        let mut deadline = Instant::now() + limits.read_timeout;
        if treatment != ProxyTreatment::Skip {
            timeout_at(deadline, self.read_proxy_header(treatment)).await??;
        }
        let (mut ended, mut has_said_all) = (false, false);
        loop {
            let owed = self.shared.owe();
            loop {
                let allowed = limits.queries_max.map_or(u32::MAX, |max| max.saturating_sub(self.queries));
                let answered = self.answer_frames(allowed, &late)?;
                self.write_out(limits.write_timeout).await?;
                if answered == 0 {
                    break;
                }
                self.queries = self.queries.saturating_add(answered);
                deadline = Instant::now() + limits.idle_timeout;
                ended |= limits.queries_max.is_some_and(|max| self.queries >= max);
                if ended {
                    self.input.clear();
                }
            }
            ended |= self.queries > 0 && self.state.closed.load(Ordering::Relaxed);
            if ended && self.waiting == 0 {
                return self.close(has_said_all, limits.write_timeout, owed).await;
            }
            drop(owed);
            let may_read = !ended && self.waiting < WAITING_PER_CONNECTION_MAX;
            tokio::select! {
                answer = answers.recv(), if self.waiting > 0 => {
                    self.take_answer(answer);
                    while let Ok(answer) = answers.try_recv() {
                        self.take_answer(Some(answer));
                    }
                    deadline = Instant::now() + limits.idle_timeout;
                }
                read = self.stream.read_buf(&mut self.input), if may_read => {
                    // A client that has said all may still wait for answers.
                    has_said_all = read? == 0;
                    ended |= has_said_all;
                }
                () = sleep_until(deadline), if self.waiting == 0 => return Ok(()),
            }
        }
    }

    /// Takes a PROXY header off the beginning, and takes the client from it if it is believed.
    async fn read_proxy_header(&mut self, treatment: ProxyTreatment) -> io::Result<()> {
        if let Some(addresses) = read_header(&mut self.stream, &mut self.input, treatment).await? {
            self.peer = addresses.source;
            self.local = addresses.destination;
        }
        if treatment == ProxyTreatment::Use && !self.counted.is_of(self.peer.ip()) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        Ok(())
    }

    /// Answers the complete messages that were read, at most `allowed` of them; returns how many that were.
    fn answer_frames(&mut self, allowed: u32, late: &mpsc::UnboundedSender<Late>) -> io::Result<u32> {
        let mut at = 0;
        let mut answered = 0;
        let now = clock::now();
        let router = Arc::clone(&self.state.serving.load().router);
        while let Some(&[high, low]) = self.input.get(at..at + 2) {
            let len = usize::from(u16::from_be_bytes([high, low]));
            let Some(message) = self.input.get(at + 2..at + 2 + len) else { break };
            let has_room = self.waiting < WAITING_PER_CONNECTION_MAX && self.output.len() < WRITE_BYTES;
            if answered >= allowed || !has_room {
                break;
            }
            at += 2 + len;
            answered += 1;
            self.query.transport = Transport::Tcp;
            self.query.now = now;
            self.query.peer = self.peer;
            self.query.local = self.local;
            self.response.clear();
            match serve(&router, message, &mut self.query, &mut self.response) {
                Served::Answer => frame(self.response.wire(), &mut self.output),
                Served::Silence if len < crate::wire::HEADER_LEN => {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                Served::Silence => {}
                Served::Waiting(block, waiting) => {
                    let Some(place) = self.shared.place() else {
                        self.response.fail(crate::wire::Rcode::REFUSED, None);
                        super::finish::finish(&self.query, &mut self.response);
                        frame(self.response.wire(), &mut self.output);
                        continue;
                    };
                    self.waiting += 1;
                    let mut held = self.shared.hold(&mut self.query, &mut self.response);
                    let (router, late, shared) = (Arc::clone(&router), late.clone(), Rc::clone(&self.shared));
                    self.shared.tasks.spawn(async move {
                        let Held { query, response } = &mut *held;
                        let answered = serve_late(router, block, waiting, query, response).await;
                        let answer = answered.then(|| std::mem::take(response.wire_vec()));
                        // The connection may be gone; then so is the need for an answer.
                        let _ = late.send((answer, shared.owe()));
                        shared.let_go(held);
                        drop(place);
                        shared.after_work(clock::now().0);
                    });
                }
            }
        }
        self.input.drain(..at);
        if answered > 0 {
            self.shared.after_work(now.0);
        }
        self.input.reserve(READ_BYTES.saturating_sub(self.input.len()).max(512));
        Ok(answered)
    }

    fn take_answer(&mut self, answer: Option<Late>) {
        self.waiting -= 1;
        if let Some((Some(wire), owed)) = answer {
            frame(&wire, &mut self.output);
            self.owed.push(owed);
        }
    }

    async fn write_out(&mut self, limit: std::time::Duration) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        timeout(limit, self.stream.write_all(&self.output)).await??;
        self.output.clear();
        self.output.shrink_to(WRITE_BYTES);
        self.owed.clear();
        Ok(())
    }

    /// Says that nothing more will come, and waits at most for `limit` until the client has closed its side, if it has not.
    ///
    /// What it sends meanwhile is read and dropped: closed with bytes that nobody has read, the connection would be reset, and what the
    /// client has not yet received would be lost (RFC 1122 4.2.2.13). The end of the process waits for that not as long as we do here.
    async fn close(&mut self, has_said_all: bool, limit: std::time::Duration, owed: Owed) -> io::Result<()> {
        self.stream.shutdown().await?;
        if has_said_all {
            return Ok(());
        }
        let begun = Instant::now();
        self.input = Vec::with_capacity(READ_BYTES);
        for (until, owed) in [(begun + CLOSE_AWAITED.min(limit), Some(owed)), (begun + limit, None)] {
            while let Ok(read) = timeout_at(until, self.stream.read_buf(&mut self.input)).await {
                if read? == 0 {
                    return Ok(());
                }
                self.input.clear();
            }
            drop(owed);
        }
        Ok(())
    }
}

/// Appends `message` with its length (RFC 1035 4.2.2).
fn frame(message: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(message.len() as u16).to_be_bytes());
    out.extend_from_slice(message);
}
