//! A worker's UDP sockets to one upstream: a few at a time, each on a port the kernel drew, each for many queries.
//!
//! Each turn of the worker takes one of the sockets at random and sends all its queries with one call, so their replies come back together
//! too. A forger has to guess ID and port (RFC 5452 4.5): sockets are retired after some hundred queries, and by age.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::task::Waker;
use std::time::Instant;

use tokio::io::unix::AsyncFd;
use tokio::task::AbortHandle;

use super::inflight::{Arrival, InFlight, Route};
use super::reply::{self, Verdict};
use super::rtt::RoundTrip;
use super::shared::Shared;
use super::slab::Slab;
use super::{Act, ErrorKind, ExchangeError, Transport, worker};
use crate::net::{BATCH, Datagram, SendBatch, socket};
use crate::wire::header;

/// Sockets that new queries are spread over.
const ACTIVE_MAX: usize = 4;

/// Sockets of one worker to one upstream at most, those included that only wait for their last replies.
const SOCKETS_MAX: usize = 32;

/// Queries in flight on one socket at most: 1 in 64 of all IDs.
const IN_FLIGHT_PER_SOCKET_MAX: usize = 1_024;

/// A socket is retired after so many queries, and up to as many more, drawn at random.
const QUERIES_PER_SOCKET: u32 = 512;

pub(super) struct UdpSockets {
    sockets: Slab<Socket>,
    /// Those that take new queries.
    active: Vec<u32>,
    /// The socket of this turn.
    turn: Option<u32>,
    /// What this turn sends over it.
    queue: Vec<u32>,
    /// What is sent once more, over the socket it went by before.
    again: Vec<u32>,
    sender: Option<SendBatch>,
}

struct Socket {
    fd: Rc<AsyncFd<UdpSocket>>,
    address: SocketAddr,
    /// The exchanges in flight, by ID.
    ids: Ids,
    opened: Instant,
    used: Instant,
    /// Queries until it is retired.
    left: u32,
    /// The task that reads it; there at once, but for the moment in which it is spawned.
    reader: Option<AbortHandle>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.reader.iter().for_each(AbortHandle::abort);
    }
}

/// Exchanges by ID.
pub(super) type Ids = HashMap<u16, u32, BuildHasherDefault<Spread>>;

/// IDs are random already; they only have to reach the bits that the table looks at.
#[derive(Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u16(u16::from(byte)));
    }
    fn write_u16(&mut self, id: u16) {
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// Draws an ID that is not in use.
pub(super) fn draw_id(ids: &Ids) -> u16 {
    worker::with_random(|random| {
        loop {
            let id = random.next_u16();
            if !ids.contains_key(&id) {
                return id;
            }
        }
    })
}

/// What reading a socket came to.
pub(super) enum Read {
    /// All that was there was read.
    Drained,
    /// There may be more.
    More,
    /// The socket is no longer ours.
    Gone,
}

impl UdpSockets {
    pub(super) const fn new() -> Self {
        Self {
            sockets: Slab::new(),
            active: Vec::new(),
            turn: None,
            queue: Vec::new(),
            again: Vec::new(),
            sender: None,
        }
    }

    pub(super) const fn is_idle(&self) -> bool {
        self.sockets.len() == 0
    }

    /// The address of ours that socket `key` has.
    pub(super) fn address(&self, key: u32) -> Option<SocketAddr> {
        self.sockets.get(key).map(|socket| socket.address)
    }

    /// Puts an exchange into this turn's queue. `spawn` starts the reader of a new socket. Returns whether the queue is full and must be
    /// flushed at once.
    pub(super) fn submit(
        &mut self,
        in_flight: &mut InFlight,
        exchange: u32,
        shared: &Shared,
        now: Instant,
        spawn: impl FnOnce(u32, Rc<AsyncFd<UdpSocket>>) -> AbortHandle,
    ) -> Result<bool, ExchangeError> {
        let key = match self.turn.filter(|&key| self.has_room(key)) {
            Some(key) => {
                shared.udp_hits.inc();
                key
            }
            None => self.choose(shared, now, spawn)?,
        };
        let Some(socket) = self.sockets.get_mut(key) else { return Ok(false) };
        let Some(exchange_mut) = in_flight.exchange_mut(exchange) else { return Ok(false) };
        let id = draw_id(&socket.ids);
        socket.ids.insert(id, exchange);
        socket.used = now;
        socket.left = socket.left.saturating_sub(1);
        header::set_id(&mut exchange_mut.query, id);
        exchange_mut.route = Route::Socket { socket: key, id };
        self.turn = Some(key);
        self.queue.push(exchange);
        Ok(self.queue.len() >= BATCH)
    }

    /// Sends an exchange once more at the end of this turn. False if it is to be sent then anyway, or cannot be.
    pub(super) fn submit_again(&mut self, exchange: u32) -> bool {
        if self.queue.contains(&exchange) || self.again.contains(&exchange) || self.again.len() >= BATCH {
            return false;
        }
        self.again.push(exchange);
        true
    }

    fn has_room(&self, key: u32) -> bool {
        self.sockets.get(key).is_some_and(|socket| socket.ids.len() < IN_FLIGHT_PER_SOCKET_MAX)
    }

    /// Chooses the socket of a turn: a new one while there are few, else one at random.
    fn choose(
        &mut self,
        shared: &Shared,
        now: Instant,
        spawn: impl FnOnce(u32, Rc<AsyncFd<UdpSocket>>) -> AbortHandle,
    ) -> Result<u32, ExchangeError> {
        self.retire(shared, now);
        let wanted = match shared.config.max_idle_conns {
            0 => ACTIVE_MAX,
            max => max.min(ACTIVE_MAX),
        };
        let any_has_room = self.active.iter().any(|&key| self.has_room(key));
        if (self.active.len() < wanted || !any_has_room) && self.sockets.len() < SOCKETS_MAX {
            match self.open(shared, now, spawn) {
                Ok(key) => {
                    shared.udp_misses.inc();
                    return Ok(key);
                }
                // Without a further socket the ones there are go on.
                Err(error) if !any_has_room => return Err(error),
                Err(_) => {}
            }
        }
        let first = match self.active.len() {
            0 => 0,
            n => worker::with_random(|random| random.below(n as u32)) as usize,
        };
        let (before, from) = self.active.split_at(first);
        // With all of them full and no more to be had, those that were retired must help out.
        let retired = self.sockets.iter().map(|(key, _)| key);
        match from.iter().chain(before).copied().chain(retired).find(|&key| self.has_room(key)) {
            Some(key) => {
                shared.udp_hits.inc();
                Ok(key)
            }
            None => Err(shared.error(ErrorKind::Overloaded, Act::Write, Transport::Udp, None)),
        }
    }

    fn open(
        &mut self,
        shared: &Shared,
        now: Instant,
        spawn: impl FnOnce(u32, Rc<AsyncFd<UdpSocket>>) -> AbortHandle,
    ) -> Result<u32, ExchangeError> {
        let opened = socket::udp_connected(shared.config.address, shared.config.source_address)
            .and_then(|socket| Ok((socket.local_addr()?, socket)))
            .and_then(|(address, socket)| Ok((address, socket::watch_for_reading(socket)?)));
        let (address, fd) = opened.map_err(|error| {
            let local = shared.config.source_address.map(|ip| SocketAddr::new(ip, 0));
            shared.error(ErrorKind::of(&error), Act::Dial, Transport::Udp, local)
        })?;
        let fd = Rc::new(fd);
        let left = QUERIES_PER_SOCKET + worker::with_random(|random| random.below(QUERIES_PER_SOCKET));
        let key = self.sockets.insert(Socket {
            fd: Rc::clone(&fd),
            address,
            ids: Ids::default(),
            opened: now,
            used: now,
            left,
            reader: None,
        });
        let reader = spawn(key, fd);
        if let Some(socket) = self.sockets.get_mut(key) {
            socket.reader = Some(reader);
        }
        self.active.push(key);
        Ok(key)
    }

    /// Sends what the turn gathered: one call a socket, mostly one in all. `failed` is told of what the kernel did not take.
    pub(super) fn flush(&mut self, in_flight: &InFlight, mut failed: impl FnMut(u32, SocketAddr, io::Error)) {
        self.turn = None;
        let mut queue = std::mem::take(&mut self.queue);
        queue.append(&mut self.again);
        let sender = self.sender.get_or_insert_with(|| SendBatch::new(false, true));
        for run in queue.chunk_by(|&a, &b| socket_of(in_flight, a) == socket_of(in_flight, b)) {
            let Some(socket) = socket_of(in_flight, run[0]).and_then(|key| self.sockets.get(key)) else {
                continue;
            };
            let exchanges = run.iter().filter_map(|&key| in_flight.exchange(key));
            let datagrams: Vec<Datagram<'_>> =
                exchanges.map(|e| Datagram { payload: &e.query, to: None, from: None }).collect();
            sender.send(socket.fd.get_ref().as_fd(), &datagrams, |failure| {
                failed(run[failure.index], socket.address, failure.error);
            });
        }
        queue.clear();
        self.queue = queue;
    }

    /// An exchange is over: its ID is free again, and it need not be sent any more.
    pub(super) fn release(&mut self, exchange: u32, socket: u32, id: u16) {
        // A number in these lists may not outlive its exchange: the next one would be sent twice.
        self.queue.retain(|&queued| queued != exchange);
        self.again.retain(|&queued| queued != exchange);
        let Some(entry) = self.sockets.get_mut(socket) else { return };
        entry.ids.remove(&id);
        if entry.ids.is_empty() && !self.active.contains(&socket) {
            self.sockets.remove(socket);
        }
    }

    /// Takes sockets out of use that are too old, too long idle or too much used; each is closed once its last query is over.
    pub(super) fn retire(&mut self, shared: &Shared, now: Instant) {
        let Self { sockets, active, turn, .. } = self;
        let is_crowded = sockets.len() >= SOCKETS_MAX;
        active.retain(|&key| {
            let Some(socket) = sockets.get(key) else { return false };
            let idle = now.saturating_duration_since(socket.used);
            let age = now.saturating_duration_since(socket.opened);
            let is_idle = socket.ids.is_empty();
            let is_stale = is_idle && idle > shared.config.expire;
            let is_old = !shared.config.max_age.is_zero() && age > shared.config.max_age;
            // Where no other can be opened instead, a worn one must go on.
            let is_worn = socket.left == 0 && !is_crowded;
            let keep = *turn == Some(key) || !(is_stale || is_old || is_worn);
            if !keep && is_idle {
                sockets.remove(key);
            }
            keep
        });
    }

    /// Reads what came to socket `key` and completes the exchanges it answers.
    pub(super) fn receive(
        &mut self,
        key: u32,
        fd: &Rc<AsyncFd<UdpSocket>>,
        in_flight: &mut InFlight,
        shared: &Shared,
        trip: &mut RoundTrip,
        wakers: &mut Vec<Waker>,
    ) -> Read {
        if !self.sockets.get(key).is_some_and(|socket| Rc::ptr_eq(&socket.fd, fd)) {
            return Read::Gone;
        }
        worker::with_receive_batch(|batch| match batch.recv(fd.get_ref().as_fd()) {
            Ok(n) => {
                let now = Instant::now();
                for i in 0..n {
                    let arrived = Arrived { payload: batch.payload(i), is_cut: batch.is_cut(i), now };
                    self.take_in(key, &arrived, in_flight, shared, trip, wakers);
                }
                if n == batch.capacity() { Read::More } else { Read::Drained }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Read::Drained,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Read::More,
            Err(error) => {
                self.fail_sent(key, &error, in_flight, shared, wakers);
                Read::More
            }
        })
    }

    fn take_in(
        &mut self,
        key: u32,
        arrived: &Arrived<'_>,
        in_flight: &mut InFlight,
        shared: &Shared,
        trip: &mut RoundTrip,
        wakers: &mut Vec<Waker>,
    ) {
        let &Arrived { payload, is_cut, now } = arrived;
        let id = header::id(payload);
        let found = self.sockets.get(key).and_then(|socket| {
            let exchange = *socket.ids.get(&id)?;
            Some((exchange, in_flight.exchange(exchange)?, socket.address))
        });
        let Some((exchange, asked, address)) = found else {
            shared.count_ignored();
            return;
        };
        let verdict = reply::judge(payload, &asked.query, asked.question_end, is_cut, true);
        let outcome = match verdict {
            Verdict::Foreign => {
                shared.count_ignored();
                return;
            }
            Verdict::Malformed => {
                Err(shared.error(ErrorKind::MalformedReply, Act::Read, Transport::Udp, Some(address)))
            }
            verdict => {
                if !asked.was_resent {
                    trip.observe(now.saturating_duration_since(asked.sent));
                }
                let wire = reply::copy(payload, &asked.query, asked.question_end, &verdict);
                Ok(Arrival { wire, received: now })
            }
        };
        in_flight.complete(exchange, outcome, wakers);
        self.release(exchange, key, id);
    }

    /// The kernel reports an error on socket `key`, mostly that nobody listens at the upstream's port: what was sent is lost.
    pub(super) fn fail_sent(
        &mut self,
        key: u32,
        error: &io::Error,
        in_flight: &mut InFlight,
        shared: &Shared,
        wakers: &mut Vec<Waker>,
    ) {
        let Some(socket) = self.sockets.get(key) else { return };
        let error = shared.error(ErrorKind::of(error), Act::Read, Transport::Udp, Some(socket.address));
        let sent: Vec<(u16, u32)> =
            socket.ids.iter().map(|(&id, &e)| (id, e)).filter(|(_, e)| !self.queue.contains(e)).collect();
        for (id, exchange) in sent {
            in_flight.complete(exchange, Err(error.clone()), wakers);
            self.release(exchange, key, id);
        }
    }

    /// The reader of socket `key` has ended: with the socket, or with its runtime.
    pub(super) fn forget(
        &mut self,
        key: u32,
        fd: &Rc<AsyncFd<UdpSocket>>,
        in_flight: &mut InFlight,
        shared: &Shared,
        wakers: &mut Vec<Waker>,
    ) {
        if !self.sockets.get(key).is_some_and(|socket| Rc::ptr_eq(&socket.fd, fd)) {
            return;
        }
        self.active.retain(|&active| active != key);
        self.turn.take_if(|turn| *turn == key);
        let Some(socket) = self.sockets.remove(key) else { return };
        let kind = ErrorKind::Closed { mid_message: false };
        let error = shared.error(kind, Act::Read, Transport::Udp, Some(socket.address));
        for &exchange in socket.ids.values() {
            self.queue.retain(|&queued| queued != exchange);
            self.again.retain(|&queued| queued != exchange);
            in_flight.complete(exchange, Err(error.clone()), wakers);
        }
    }

    /// Sockets there are, and how many of them take new queries.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.sockets.len(), self.active.len())
    }
}

/// A datagram as it came.
struct Arrived<'a> {
    payload: &'a [u8],
    is_cut: bool,
    now: Instant,
}

fn socket_of(in_flight: &InFlight, exchange: u32) -> Option<u32> {
    match in_flight.exchange(exchange)?.route {
        Route::Socket { socket, .. } => Some(socket),
        _ => None,
    }
}
