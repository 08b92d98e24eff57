//! UDP: receive a batch, answer all of it, send in one call.

mod replies;

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;

use self::replies::Replies;
use super::late::{Held, WorkerShared};
use super::listener::{ListenerState, ShedCounts};
use super::proxy::datagrams::Proxied;
use super::serve::{self, Served, serve_late};
use crate::chain::{Ahead, Block, Mono, Query, Response, Router, Transport, clock};
use crate::net::socket;
use crate::net::{BATCH, Datagram, LocalAddr, Peer, RecvBatch, SendBatch};
use crate::wire::Rcode;

/// Bytes of the largest query that is read whole. Of a longer one the end is lost: FORMERR, unless it is nothing but bytes behind the message.
const QUERY_BYTES_MAX: usize = 4096;

/// Queries taken up before the first of them is answered, so that plugins can look ahead ([`Ahead`]), and that one.
const IN_HAND: usize = 3;

/// Space a response buffer keeps from query to query; larger answers give theirs back.
const RESPONSE_BYTES_KEPT: usize = 4096;

/// Serves `socket` until the task is aborted.
pub(super) async fn run(
    socket: UdpSocket,
    state: Arc<ListenerState>,
    shared: Rc<WorkerShared>,
) -> io::Result<()> {
    let socket = Rc::new(socket::watch_for_reading(socket)?);
    let replies = Rc::new(Replies::new(Rc::clone(&socket), Arc::clone(&state)));
    tokio::task::spawn_local(Replies::send_when_pushed(Rc::downgrade(&replies)));
    let mut batch = Batch::new(state, shared, replies);
    loop {
        let mut ready = socket.readable().await?;
        let mut received = 0;
        let result = ready.try_io(|socket| {
            received = batch.receive.recv(socket.get_ref().as_fd())?;
            // A batch that is not full has emptied the queue, and what came since raises a new event: said to be over now, the next
            // look at the socket is for that event, not another call that finds nothing.
            if received < batch.receive.capacity() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        drop(ready);
        if received > 0 {
            batch.answer(socket.get_ref(), received);
        }
        if result.is_ok() {
            // Full speed: let the other tasks of the worker have their turn between batches. The same where an error was queued on the
            // socket (from ICMP): it is fetched by now, and the next call receives.
            tokio::task::yield_now().await;
        }
    }
}

/// What one socket's loop keeps from batch to batch.
struct Batch {
    receive: RecvBatch,
    send: SendBatch,
    /// The next queries to answer, by their place in the batch modulo their number.
    queries: [Query; IN_HAND],
    responses: Box<[Response]>,
    /// Which of the batch have an answer to send.
    outgoing: Vec<u8>,
    /// What PROXY headers say, if any are looked for.
    proxied: Option<Proxied>,
    /// True if the last answers found no room.
    is_full: bool,
    state: Arc<ListenerState>,
    shared: Rc<WorkerShared>,
    replies: Rc<Replies>,
}

impl Batch {
    fn new(state: Arc<ListenerState>, shared: Rc<WorkerShared>, replies: Rc<Replies>) -> Self {
        Self {
            receive: RecvBatch::new(BATCH, QUERY_BYTES_MAX, state.is_wildcard()),
            send: SendBatch::new(state.address.is_ipv6(), true),
            queries: Default::default(),
            responses: (0..BATCH).map(|_| Response::default()).collect(),
            outgoing: Vec::with_capacity(BATCH),
            proxied: None,
            is_full: false,
            state,
            shared,
            replies,
        }
    }

    /// Answers the `received` datagrams of the last batch.
    fn answer(&mut self, socket: &UdpSocket, received: usize) {
        let serving = self.state.serving.load();
        let (router, shed) = (&serving.router, serving.shed.as_ref());
        let now = clock::now();
        self.outgoing.clear();
        if self.is_full {
            self.is_full = !socket::has_room(socket.as_fd());
            if let (true, Some(shed)) = (self.is_full, shed) {
                return shed.queries.add(received as u64);
            }
        }
        Proxied::follow(&mut self.proxied, serving.proxies.as_ref());
        let mut blocks: [Option<&Arc<Block>>; IN_HAND] = [None; IN_HAND];
        for i in 0..received + IN_HAND - 1 {
            if i < received {
                blocks[i % IN_HAND] = self.take_up(router, i, now);
            }
            if let (Some(next), Some(block)) = (i.checked_sub(1), blocks[(i + IN_HAND - 1) % IN_HAND]) {
                block.look_ahead(&self.queries[next % IN_HAND], Ahead::One);
            }
            if let Some(this) = i.checked_sub(IN_HAND - 1)
                && let Some(block) = blocks[this % IN_HAND].take()
            {
                self.run(router, block, this, shed);
            }
        }
        self.send(socket, shed);
        self.shared.after_work(now.0);
    }

    /// Takes up query `i` of the batch; returns the block that will answer it, if it is not answered already.
    fn take_up<'a>(&mut self, router: &'a Arc<Router>, i: usize, now: Mono) -> Option<&'a Arc<Block>> {
        let (query, response) = (&mut self.queries[i % IN_HAND], &mut self.responses[i]);
        response.clear();
        query.transport = Transport::Udp;
        query.now = now;
        let mut wire = self.receive.payload(i);
        query.peer = self.receive.peer(i).address();
        if let Some(proxied) = &mut self.proxied {
            let unwrapped = proxied.unwrap(wire, query.peer, now)?;
            (wire, query.peer) = (unwrapped.wire, unwrapped.client);
        }
        query.local = match self.receive.local(i) {
            Some(local) => (local.ip, self.state.address.port()).into(),
            None => self.state.address,
        };
        match serve::take_up(router, wire, query, response) {
            Ok(block) => {
                block.look_ahead(query, Ahead::Two);
                Some(block)
            }
            Err(served) => {
                if matches!(served, Served::Answer) {
                    self.outgoing.push(i as u8);
                }
                None
            }
        }
    }

    /// Answers query `i` of the batch, or leaves it to a task.
    fn run(&mut self, router: &Arc<Router>, block: &Arc<Block>, i: usize, shed: Option<&ShedCounts>) {
        let (query, response) = (&mut self.queries[i % IN_HAND], &mut self.responses[i]);
        match serve::run(router, block, query, response) {
            Served::Answer => self.outgoing.push(i as u8),
            Served::Silence => {}
            Served::Waiting(block, waiting) => {
                let Some(place) = self.shared.place() else {
                    if let Some(shed) = shed {
                        return shed.queries.inc();
                    }
                    refuse(query, response);
                    self.outgoing.push(i as u8);
                    return;
                };
                let mut held = self.shared.hold(query, response);
                let router = Arc::clone(router);
                let (peer, from) = (*self.receive.peer(i), self.receive.local(i));
                let (replies, shared) = (Rc::clone(&self.replies), Rc::clone(&self.shared));
                self.shared.tasks.spawn(async move {
                    let Held { query, response } = &mut *held;
                    if serve_late(router, block, waiting, query, response).await {
                        replies.push(query.edns().is_some(), std::mem::take(response.wire_vec()), peer, from);
                    }
                    shared.let_go(held);
                    drop(place);
                    shared.after_work(clock::now().0);
                });
            }
        }
    }

    fn send(&mut self, socket: &UdpSocket, shed: Option<&ShedCounts>) {
        let Self { send, outgoing, responses, receive, is_full, .. } = self;
        let datagram = |place: usize| {
            let i = usize::from(outgoing[place]);
            Datagram { payload: responses[i].wire(), to: Some(receive.peer(i)), from: receive.local(i) }
        };
        let mut too_large = Vec::new();
        send.send_each(socket.as_fd(), outgoing.len(), datagram, |failure| {
            if is_too_large(&failure.error) {
                return too_large.push(failure.index);
            }
            *is_full |= is_out_of_room(&failure.error);
            if let Some(shed) = shed {
                shed.responses.inc();
            }
        });
        for place in too_large {
            let i = usize::from(self.outgoing[place]);
            let datagram = self.receive.payload(i);
            let message = |proxied: &Proxied| proxied.message(datagram, self.receive.peer(i).address());
            let had_opt = has_opt(self.proxied.as_ref().map_or(datagram, message));
            let wire = std::mem::take(self.responses[i].wire_vec());
            self.replies.push_shrunk(had_opt, wire, *self.receive.peer(i), self.receive.local(i));
        }
        for &i in &self.outgoing {
            let wire = self.responses[usize::from(i)].wire_vec();
            if wire.capacity() > RESPONSE_BYTES_KEPT {
                *wire = Vec::new();
            }
        }
    }
}

/// Over a bound the newest query is refused at once.
fn refuse(query: &Query, response: &mut Response) {
    response.fail(Rcode::REFUSED, None);
    super::finish::finish(query, response);
}

/// True if the path to the peer takes no datagram of that size.
fn is_too_large(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EMSGSIZE)
}

/// True if the send buffer was full, and stayed so.
fn is_out_of_room(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOBUFS))
}

/// Whether the query `wire` has an OPT record, for the rare case in which that is asked again.
fn has_opt(wire: &[u8]) -> bool {
    let mut query = Query::default();
    query.take_up(wire).is_ok() && query.edns().is_some()
}

/// An answer that is sent later than its batch.
struct Reply {
    had_opt: bool,
    wire: Vec<u8>,
    peer: Peer,
    from: Option<LocalAddr>,
}

#[cfg(test)]
mod tests;
