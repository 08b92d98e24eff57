//! A worker's TCP connections to one upstream: pooled and pipelined (RFC 7766 6.2).

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::net::{TcpSocket, TcpStream};
use tokio::task::AbortHandle;

use super::frames::{self, Inbox};
use super::inflight::{Arrival, InFlight, Route};
use super::reply::{self, Verdict};
use super::shared::{Shared, UpstreamConfig};
use super::slab::Slab;
use super::udp::{Ids, draw_id};
use super::{Act, ErrorKind, ExchangeError, Transport};
use crate::wire::{HEADER_LEN, header};

/// Up to so many connections, a busy one is rather joined by another than shared: many servers answer one query after the other.
const UNSHARED_MAX: usize = 8;

/// Connections of one worker to one upstream at most.
const CONNECTIONS_MAX: usize = 32;

/// Queries in flight on one connection at most.
const PIPELINE_MAX: usize = 128;

/// A connection with more bytes than this to be written takes no more queries.
const UNSENT_MAX: usize = 256 << 10;

/// Messages that answer nothing, after which a connection is closed.
const FOREIGN_MAX: u32 = 16;

/// Reads in one go; then others get their turn.
const READS_MAX: usize = 16;

#[derive(Default)]
pub(super) struct TcpConnections {
    connections: Slab<Connection>,
    /// Those with queries to be written at the end of this turn.
    unsent: Vec<u32>,
    /// The upstream was seen to close connections with queries unanswered: it is not asked two at once where that can be avoided.
    is_serial: bool,
    next_serial: u64,
}

/// Names one connection for ever, while places in the slab are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnectionId {
    key: u32,
    serial: u64,
}

struct Connection {
    serial: u64,
    /// `None` while dialling.
    stream: Option<Rc<TcpStream>>,
    address: Option<SocketAddr>,
    ids: Ids,
    unsent: Vec<u8>,
    inbox: Inbox,
    opened: Instant,
    used: Instant,
    replied: Option<Instant>,
    foreign: u32,
    takes_more: bool,
    /// The task that reads it, if it sleeps.
    waker: Option<Waker>,
    task: Option<AbortHandle>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.iter().for_each(AbortHandle::abort);
    }
}

impl Connection {
    fn has_room(&self) -> bool {
        self.takes_more && self.ids.len() < PIPELINE_MAX && self.unsent.len() < UNSENT_MAX
    }

    /// Writes what can be written without waiting.
    fn write(&mut self) -> io::Result<()> {
        let Some(stream) = &self.stream else { return Ok(()) };
        let mut written = 0;
        let result = loop {
            if written == self.unsent.len() {
                break Ok(());
            }
            match stream.try_write(&self.unsent[written..]) {
                Ok(n) => written += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.unsent.drain(..written);
        result
    }
}

/// What a connection that ends leaves behind.
pub(super) struct Ending {
    kind: ErrorKind,
    act: Act,
}

impl Ending {
    pub(super) fn of(error: &io::Error, act: Act) -> Self {
        Self { kind: ErrorKind::of(error), act }
    }

    pub(super) const CLOSED: Self = Self { kind: ErrorKind::Closed { mid_message: false }, act: Act::Read };

    /// True if it may only mean that the upstream tidied up.
    const fn is_close(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Closed { mid_message: false } | ErrorKind::System(libc::ECONNRESET | libc::EPIPE)
        )
    }
}

impl TcpConnections {
    pub(super) fn is_idle(&self) -> bool {
        self.connections.len() == 0
    }

    /// The address of ours that connection `key` has, once it has one.
    pub(super) fn address(&self, key: u32) -> Option<SocketAddr> {
        self.connections.get(key).and_then(|connection| connection.address)
    }

    /// Hands an exchange to a connection; with `fresh` to none that was used before. `spawn` starts the task of a new one. Returns whether the
    /// connection is still being dialled.
    pub(super) fn submit(
        &mut self,
        in_flight: &mut InFlight,
        exchange: u32,
        shared: &Shared,
        (now, fresh): (Instant, bool),
        spawn: impl FnOnce(ConnectionId) -> AbortHandle,
    ) -> Result<bool, ExchangeError> {
        self.retire(shared, now);
        let key = match self.choose(fresh) {
            Some(key) => {
                shared.tcp_hits.inc();
                key
            }
            None if self.connections.len() < CONNECTIONS_MAX => {
                shared.tcp_misses.inc();
                self.open(now, spawn)
            }
            None => return Err(shared.error(ErrorKind::Overloaded, Act::Write, Transport::Tcp, None)),
        };
        let Some(connection) = self.connections.get_mut(key) else { return Ok(false) };
        let Some(asked) = in_flight.exchange_mut(exchange) else { return Ok(false) };
        let id = draw_id(&connection.ids);
        connection.ids.insert(id, exchange);
        connection.used = now;
        header::set_id(&mut asked.query, id);
        asked.route = Route::Connection { connection: key, id };
        asked.sent = now;
        if connection.unsent.is_empty() {
            self.unsent.push(key);
        }
        frames::push(&mut connection.unsent, &asked.query);
        Ok(connection.stream.is_none())
    }

    /// An idle connection, the one that was idle longest; or one that is busy, if there are enough.
    fn choose(&self, fresh: bool) -> Option<u32> {
        let open =
            || self.connections.iter().filter(|(_, c)| c.has_room() && !(fresh && c.replied.is_some()));
        let idle = open().filter(|(_, c)| c.ids.is_empty()).min_by_key(|(_, c)| c.used);
        let unshared = if self.is_serial || fresh { CONNECTIONS_MAX } else { UNSHARED_MAX };
        let any = || open().min_by_key(|(_, c)| c.ids.len()).filter(|_| self.connections.len() >= unshared);
        idle.or_else(any).map(|(key, _)| key)
    }

    fn open(&mut self, now: Instant, spawn: impl FnOnce(ConnectionId) -> AbortHandle) -> u32 {
        self.next_serial += 1;
        let serial = self.next_serial;
        let key = self.connections.insert(Connection {
            serial,
            stream: None,
            address: None,
            ids: Ids::default(),
            unsent: Vec::new(),
            inbox: Inbox::default(),
            opened: now,
            used: now,
            replied: None,
            foreign: 0,
            takes_more: true,
            waker: None,
            task: None,
        });
        let task = spawn(ConnectionId { key, serial });
        if let Some(connection) = self.connections.get_mut(key) {
            connection.task = Some(task);
        }
        key
    }

    fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.get_mut(id.key).filter(|connection| connection.serial == id.serial)
    }

    /// A connection is there: its exchanges now wait for their replies. False if it is no longer wanted.
    pub(super) fn dialled(
        &mut self,
        id: ConnectionId,
        stream: Rc<TcpStream>,
        in_flight: &mut InFlight,
        (now, read_timeout): (Instant, Duration),
    ) -> bool {
        let Some(connection) = self.get_mut(id) else { return false };
        connection.address = stream.local_addr().ok();
        connection.stream = Some(stream);
        connection.used = now;
        for &exchange in connection.ids.values() {
            if let Some(exchange) = in_flight.exchange_mut(exchange) {
                exchange.sent = now;
            }
            in_flight.extend(exchange, now, read_timeout);
        }
        true
    }

    /// Writes what the turn gathered. Returns the connections that failed at it.
    pub(super) fn flush(&mut self) -> Vec<(ConnectionId, Ending)> {
        let mut failed = Vec::new();
        for key in self.unsent.drain(..) {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            match connection.write() {
                Ok(()) if connection.unsent.is_empty() || connection.stream.is_none() => {}
                // The task waits until there is room again.
                Ok(()) => connection.waker.take().into_iter().for_each(Waker::wake),
                Err(error) => {
                    let id = ConnectionId { key, serial: connection.serial };
                    failed.push((id, Ending::of(&error, Act::Write)));
                }
            }
        }
        failed
    }

    /// Reads and writes what can be, in the connection's task. Ready if the connection has ended.
    pub(super) fn drive(
        &mut self,
        id: ConnectionId,
        in_flight: &mut InFlight,
        shared: &Shared,
        wakers: &mut Vec<Waker>,
        cx: &mut Context<'_>,
    ) -> Poll<Ending> {
        for reads in 0.. {
            let Some(connection) = self.get_mut(id) else { return Poll::Ready(Ending::CLOSED) };
            let Some(stream) = connection.stream.clone() else { return Poll::Ready(Ending::CLOSED) };
            if reads == READS_MAX {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match stream.poll_read_ready(cx) {
                Poll::Pending => break,
                Poll::Ready(Err(error)) => return Poll::Ready(Ending::of(&error, Act::Read)),
                Poll::Ready(Ok(())) => {}
            }
            match stream.try_read_buf(connection.inbox.room()) {
                Ok(0) => {
                    let mid_message = connection.inbox.is_mid_message();
                    return Poll::Ready(Ending { kind: ErrorKind::Closed { mid_message }, act: Act::Read });
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Poll::Ready(Ending::of(&error, Act::Read)),
            }
            let now = Instant::now();
            let mut inbox = std::mem::take(&mut connection.inbox);
            while let Some(message) = inbox.next() {
                if message.len() < HEADER_LEN {
                    return Poll::Ready(Ending { kind: ErrorKind::ShortMessage, act: Act::Read });
                }
                if !self.take_in(id, message, now, in_flight, shared, wakers) {
                    return Poll::Ready(Ending::CLOSED);
                }
            }
            if let Some(connection) = self.get_mut(id) {
                connection.inbox = inbox;
            }
        }
        let Some(connection) = self.get_mut(id) else { return Poll::Ready(Ending::CLOSED) };
        while !connection.unsent.is_empty() {
            match connection.stream.as_ref().map(|stream| stream.poll_write_ready(cx)) {
                Some(Poll::Ready(Ok(()))) => {}
                Some(Poll::Ready(Err(error))) => return Poll::Ready(Ending::of(&error, Act::Write)),
                Some(Poll::Pending) | None => break,
            }
            if let Err(error) = connection.write() {
                return Poll::Ready(Ending::of(&error, Act::Write));
            }
        }
        connection.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Completes the exchange that `message` answers. False if the connection is not worth keeping.
    fn take_in(
        &mut self,
        id: ConnectionId,
        message: &[u8],
        now: Instant,
        in_flight: &mut InFlight,
        shared: &Shared,
        wakers: &mut Vec<Waker>,
    ) -> bool {
        let Some(connection) = self.get_mut(id) else { return false };
        let query_id = header::id(message);
        let found = connection.ids.get(&query_id).and_then(|&key| Some((key, in_flight.exchange(key)?)));
        let verdict = found.map(|(exchange, asked)| {
            (exchange, asked, reply::judge(message, &asked.query, asked.question_end, false, false))
        });
        let (exchange, outcome) = match verdict {
            None | Some((_, _, Verdict::Foreign)) => {
                shared.count_ignored();
                connection.foreign += 1;
                return connection.foreign < FOREIGN_MAX;
            }
            Some((exchange, _, Verdict::Malformed)) => {
                let error =
                    shared.error(ErrorKind::MalformedReply, Act::Read, Transport::Tcp, connection.address);
                (exchange, Err(error))
            }
            Some((exchange, asked, verdict)) => {
                let wire = reply::copy(message, &asked.query, asked.question_end, &verdict);
                (exchange, Ok(Arrival { wire, received: now }))
            }
        };
        connection.replied = Some(now);
        connection.used = now;
        in_flight.complete(exchange, outcome, wakers);
        self.release(id.key, query_id, shared);
        true
    }

    /// An exchange is over: its ID is free again.
    pub(super) fn release(&mut self, key: u32, id: u16, shared: &Shared) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.ids.remove(&id);
        if !connection.ids.is_empty() {
            return;
        }
        let takes_more = connection.takes_more;
        let max = shared.config.max_idle_conns;
        let is_idle = |c: &Connection| c.ids.is_empty() && c.stream.is_some();
        let is_surplus = || max > 0 && self.connections.iter().filter(|(_, c)| is_idle(c)).count() > max;
        if !takes_more || is_surplus() {
            self.connections.remove(key);
        }
    }

    /// An exchange on connection `key`, sent at `sent`, was given up: if nothing came since, nothing will, and the connection takes no more.
    pub(super) fn suspect(&mut self, key: u32, sent: Instant) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.stream.is_some() && connection.replied.is_none_or(|replied| replied < sent) {
            connection.takes_more = false;
        }
    }

    /// A connection has ended. Its exchanges end with it, but for those that came to a pooled one which the upstream had closed: they are
    /// returned, to be sent once more.
    pub(super) fn end(
        &mut self,
        id: ConnectionId,
        ending: &Ending,
        in_flight: &mut InFlight,
        shared: &Shared,
        wakers: &mut Vec<Waker>,
    ) -> Vec<u32> {
        if self.get_mut(id).is_none() {
            return Vec::new();
        }
        let Some(connection) = self.connections.remove(id.key) else { return Vec::new() };
        let local = if ending.act == Act::Dial {
            shared.config.source_address.map(|ip| SocketAddr::new(ip, 0))
        } else {
            connection.address
        };
        let error = shared.error(ending.kind, ending.act, Transport::Tcp, local);
        let mut again = Vec::new();
        for &key in connection.ids.values() {
            let Some(exchange) = in_flight.exchange_mut(key) else { continue };
            if !ending.is_close() || exchange.is_retry || connection.replied.is_none() {
                in_flight.complete(key, Err(error.clone()), wakers);
                continue;
            }
            // It was asked before the last reply came, and was passed over.
            self.is_serial |= connection.replied.is_some_and(|replied| exchange.sent < replied);
            exchange.is_retry = true;
            exchange.route = Route::None;
            again.push(key);
        }
        again
    }

    /// Closes connections that are idle for too long; those that are too old take no more queries.
    pub(super) fn retire(&mut self, shared: &Shared, now: Instant) {
        let UpstreamConfig { expire, max_age, .. } = shared.config;
        let mut over = Vec::new();
        for (key, connection) in self.connections.iter_mut() {
            let age = now.saturating_duration_since(connection.opened);
            if !max_age.is_zero() && age > max_age {
                connection.takes_more = false;
            }
            let idle = now.saturating_duration_since(connection.used);
            let is_idle = connection.ids.is_empty() && connection.stream.is_some();
            if is_idle && (idle > expire || !connection.takes_more) {
                over.push(key);
            }
        }
        over.into_iter().for_each(|key| drop(self.connections.remove(key)));
    }

    /// Connections there are.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.connections.len()
    }
}

/// Opens a connection.
pub(super) async fn dial(config: &UpstreamConfig) -> io::Result<TcpStream> {
    let socket = match config.address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(source) = config.source_address {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let stream = socket.connect(config.address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
