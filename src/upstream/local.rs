//! One worker's side of one upstream: its exchanges in flight, its sockets, its connections. Nothing here is shared between threads.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::UdpSocket;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::inflight::{InFlight, Joined, Outcome, Reply, Route};
use super::rtt::RoundTrip;
use super::shared::Shared;
use super::tcp::{self, ConnectionId, Ending, TcpConnections};
use super::udp::{Read, UdpSockets};
use super::{Act, ErrorKind, ExchangeError, Transport, clock, deadlines, worker};
use crate::wire::{HEADER_LEN, Name, header};

/// How long a connection may take to be dialled, whatever the timeout has adapted to: nobody waits longer.
const DIAL_MAX: Duration = Duration::from_secs(10);

pub(super) struct Local {
    shared: Arc<Shared>,
    state: RefCell<State>,
    /// The worker's flusher knows of it.
    will_flush: Cell<bool>,
    /// The worker's clock knows of it.
    is_watched: Cell<bool>,
}

struct State {
    in_flight: InFlight,
    udp: UdpSockets,
    tcp: TcpConnections,
    trip: RoundTrip,
}

/// The future of an exchange. Dropping it ends the wait; others that share the exchange go on waiting.
#[must_use = "an exchange that nobody waits for is taken back"]
pub struct Exchanging(Stage);

enum Stage {
    Failed(ExchangeError),
    Waiting { local: Rc<Local>, waiter: u32 },
    Over,
}

impl Future for Exchanging {
    type Output = Result<Reply, ExchangeError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match std::mem::replace(&mut self.0, Stage::Over) {
            Stage::Failed(error) => Err(error),
            Stage::Waiting { local, waiter } => match local.poll(waiter, cx) {
                Poll::Ready(outcome) => outcome,
                Poll::Pending => {
                    self.0 = Stage::Waiting { local, waiter };
                    return Poll::Pending;
                }
            },
            // As a fused future: whoever polls on waits for ever.
            Stage::Over => return Poll::Pending,
        };
        Poll::Ready(outcome)
    }
}

impl Drop for Exchanging {
    fn drop(&mut self) {
        if let Stage::Waiting { local, waiter } = &self.0 {
            local.cancel(*waiter);
        }
    }
}

impl Local {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let state = State {
            in_flight: InFlight::new(clock::now()),
            udp: UdpSockets::new(),
            tcp: TcpConnections::default(),
            trip: RoundTrip::default(),
        };
        Self {
            shared,
            state: RefCell::new(state),
            will_flush: Cell::new(false),
            is_watched: Cell::new(false),
        }
    }

    pub(super) fn start(
        self: &Rc<Self>,
        query: &[u8],
        (transport, alone): (Transport, bool),
        now: Instant,
        patience: Duration,
    ) -> Exchanging {
        match self.join(query, (transport, alone), now, patience) {
            Ok((waiter, is_full)) => {
                if is_full {
                    self.flush();
                }
                Exchanging(Stage::Waiting { local: Rc::clone(self), waiter })
            }
            Err(error) => Exchanging(Stage::Failed(error)),
        }
    }

    /// Returns the waiter, and whether as much is gathered as one call can send.
    fn join(
        self: &Rc<Self>,
        query: &[u8],
        (transport, alone): (Transport, bool),
        now: Instant,
        patience: Duration,
    ) -> Result<(u32, bool), ExchangeError> {
        let fail = |kind| self.shared.error(kind, Act::Write, transport, None);
        let question_end = question_end(query).ok_or_else(|| fail(ErrorKind::InvalidQuery))?;
        let latest = now + patience;
        let deadline = latest.min(now + self.shared.config.read_timeout);
        let state = &mut *self.state.borrow_mut();
        if state.in_flight.is_full() {
            return Err(fail(ErrorKind::Overloaded));
        }
        let limits = (deadline, latest);
        let joined = match state.in_flight.join(query, question_end, transport, alone, now, limits) {
            Joined::Follows { waiter, exchange } => {
                self.ask_again(state, exchange, now);
                (waiter, false)
            }
            Joined::Leads { waiter, exchange } => match self.send(state, exchange, now, false) {
                Ok(is_full) => (waiter, is_full),
                Err(error) => {
                    state.in_flight.cancel(waiter);
                    return Err(error);
                }
            },
        };
        if !self.is_watched.replace(true) {
            worker::watch(self);
        }
        worker::wake_clock_by(deadline + deadlines::TICK);
        Ok(joined)
    }

    /// Hands an exchange to a socket or connection. Returns whether as much is gathered as one call can send.
    fn send(
        self: &Rc<Self>,
        state: &mut State,
        exchange: u32,
        now: Instant,
        fresh: bool,
    ) -> Result<bool, ExchangeError> {
        let State { in_flight, udp, tcp, .. } = state;
        let Some(transport) = in_flight.exchange(exchange).map(|e| e.transport) else { return Ok(false) };
        let mut is_full = false;
        match transport {
            Transport::Udp => {
                is_full = udp.submit(in_flight, exchange, &self.shared, now, |key, fd| {
                    let reader = read_replies(Rc::downgrade(self), key, fd);
                    tokio::task::spawn_local(reader).abort_handle()
                })?;
            }
            Transport::Tcp => {
                let is_dialling = tcp.submit(in_flight, exchange, &self.shared, (now, fresh), |id| {
                    let task = serve(Rc::downgrade(self), Arc::clone(&self.shared), id);
                    tokio::task::spawn_local(task).abort_handle()
                })?;
                if is_dialling {
                    in_flight.extend(exchange, now, self.shared.dial_timeout().min(DIAL_MAX));
                }
            }
        }
        self.flush_soon();
        Ok(is_full)
    }

    /// Another query waits for an exchange: if it is under way for longer than usual, its datagram may be lost, and is sent once more.
    fn ask_again(self: &Rc<Self>, state: &mut State, exchange: u32, now: Instant) {
        let State { in_flight, udp, trip, .. } = state;
        let Some(asked) = in_flight.exchange_mut(exchange) else { return };
        let is_late = now.saturating_duration_since(asked.sent) >= trip.patience();
        if matches!(asked.route, Route::Socket { .. }) && is_late && udp.submit_again(exchange) {
            asked.sent = now;
            asked.was_resent = true;
            self.flush_soon();
        }
    }

    fn flush_soon(self: &Rc<Self>) {
        if !self.will_flush.replace(true) {
            worker::will_flush(Rc::clone(self));
        }
    }

    /// Sends what this turn gathered.
    pub(super) fn flush(self: &Rc<Self>) {
        self.will_flush.set(false);
        worker::waking(|wakers| {
            let state = &mut *self.state.borrow_mut();
            let mut failed = Vec::new();
            state
                .udp
                .flush(&state.in_flight, |exchange, address, error| failed.push((exchange, address, error)));
            for (exchange, address, error) in failed {
                let Some(route) = state.in_flight.exchange(exchange).map(|e| e.route) else { continue };
                let kind = ErrorKind::of(&error);
                let text = self.shared.error(kind, Act::Write, Transport::Udp, Some(address));
                state.in_flight.complete(exchange, Err(text), wakers);
                self.release(state, exchange, route);
                if let (ErrorKind::Refused, Route::Socket { socket, .. }) = (kind, route) {
                    // The kernel spoke of what was sent before.
                    let State { udp, in_flight, .. } = state;
                    udp.fail_sent(socket, &error, in_flight, &self.shared, wakers);
                }
            }
            for (id, ending) in state.tcp.flush() {
                self.end_connection(state, id, &ending, wakers);
            }
        });
    }

    fn poll(&self, waiter: u32, cx: &mut Context<'_>) -> Poll<Outcome> {
        self.state.borrow_mut().in_flight.poll(waiter, cx)
    }

    fn cancel(&self, waiter: u32) {
        let state = &mut *self.state.borrow_mut();
        if let Some((exchange, route)) = state.in_flight.cancel(waiter) {
            self.release(state, exchange, route);
        }
    }

    fn release(&self, state: &mut State, exchange: u32, route: Route) {
        match route {
            Route::Socket { socket, id } => state.udp.release(exchange, socket, id),
            Route::Connection { connection, id } => state.tcp.release(connection, id, &self.shared),
            Route::None => {}
        }
    }

    /// Ends waits that have lasted long enough, closes what was idle for too long. Returns when to look again, `None` if there is nothing to
    /// look after.
    pub(super) fn tick(&self, now: Instant) -> Option<Instant> {
        worker::waking(|wakers| {
            let state = &mut *self.state.borrow_mut();
            let mut due = Vec::new();
            state.in_flight.sweep(now, &mut due);
            for waiter in due {
                self.time_out(state, waiter, wakers);
            }
            state.udp.retire(&self.shared, now);
            state.tcp.retire(&self.shared, now);
            let next = state.in_flight.next_due();
            if next.is_none() && state.udp.is_idle() && state.tcp.is_idle() {
                self.is_watched.set(false);
                return None;
            }
            Some(next.unwrap_or(now + HOUR))
        })
    }

    fn time_out(&self, state: &mut State, waiter: u32, wakers: &mut Vec<Waker>) {
        let Some((asked, _)) = state.in_flight.waits_for(waiter) else { return };
        let (route, sent, transport) = (asked.route, asked.sent, asked.transport);
        let (local, act) = match route {
            Route::Socket { socket, .. } => (state.udp.address(socket), Act::Read),
            Route::Connection { connection, .. } => match state.tcp.address(connection) {
                None => (None, Act::Dial),
                local => (local, Act::Read),
            },
            Route::None => (None, Act::Dial),
        };
        if let Route::Connection { connection, .. } = route {
            state.tcp.suspect(connection, sent);
        }
        let error = self.shared.error(ErrorKind::Timeout, act, transport, local);
        if let Some((exchange, route)) = state.in_flight.fail_waiter(waiter, error, wakers) {
            self.release(state, exchange, route);
        }
    }

    /// A connection is over; what it owes goes to fresh ones where that is due.
    fn end_connection(
        self: &Rc<Self>,
        state: &mut State,
        id: ConnectionId,
        ending: &Ending,
        wakers: &mut Vec<Waker>,
    ) {
        let again = {
            let State { tcp, in_flight, .. } = state;
            tcp.end(id, ending, in_flight, &self.shared, wakers)
        };
        let now = clock::now();
        for exchange in again {
            if let Err(error) = self.send(state, exchange, now, true) {
                state.in_flight.complete(exchange, Err(error), wakers);
            }
        }
    }

    /// Sockets, sockets that take new queries, connections.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let state = self.state.borrow();
        let (sockets, active) = state.udp.counts();
        (sockets, active, state.tcp.count())
    }

    /// Exchanges in flight and queries that wait for them.
    #[cfg(test)]
    pub(super) fn in_flight(&self) -> (usize, usize) {
        self.state.borrow().in_flight.counts()
    }
}

/// Longer than any pause between two looks.
const HOUR: Duration = Duration::from_secs(3_600);

/// The offset behind the question of a message that has exactly one.
fn question_end(query: &[u8]) -> Option<usize> {
    if query.len() < HEADER_LEN || query.len() > usize::from(u16::MAX) || header::counts(query)[0] != 1 {
        return None;
    }
    let (_, name_end) = Name::parse_plain(query, HEADER_LEN).ok()?;
    Some(name_end + 4).filter(|&end| end <= query.len())
}

/// Tells the worker's side of the upstream that a socket's reader has ended.
struct Reader {
    local: Weak<Local>,
    key: u32,
    fd: Rc<AsyncFd<UdpSocket>>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        let Some(local) = self.local.upgrade() else { return };
        worker::waking(|wakers| {
            let State { udp, in_flight, .. } = &mut *local.state.borrow_mut();
            udp.forget(self.key, &self.fd, in_flight, &local.shared, wakers);
        });
    }
}

/// The task of a socket: reads replies as they come.
async fn read_replies(local: Weak<Local>, key: u32, fd: Rc<AsyncFd<UdpSocket>>) {
    let reader = Reader { local, key, fd };
    loop {
        let Ok(mut ready) = reader.fd.ready(Interest::READABLE | Interest::ERROR).await else { return };
        let Some(local) = reader.local.upgrade() else { return };
        let read = worker::waking(|wakers| {
            let State { udp, in_flight, trip, .. } = &mut *local.state.borrow_mut();
            udp.receive(key, &reader.fd, in_flight, &local.shared, trip, wakers)
        });
        match read {
            // A batch that was not full emptied the socket; what came since, the kernel will report.
            Read::Drained => ready.clear_ready(),
            Read::More => {}
            Read::Gone => return,
        }
    }
}

/// Tells the worker's side of the upstream how a connection's task ended, also if its runtime did.
struct Served {
    local: Weak<Local>,
    id: ConnectionId,
    ending: Ending,
}

impl Drop for Served {
    fn drop(&mut self) {
        let Some(local) = self.local.upgrade() else { return };
        worker::waking(|wakers| {
            local.end_connection(&mut local.state.borrow_mut(), self.id, &self.ending, wakers);
        });
    }
}

/// The task of a connection: dials it, then reads and writes until it ends.
async fn serve(local: Weak<Local>, shared: Arc<Shared>, id: ConnectionId) {
    let mut served = Served { local, id, ending: Ending::CLOSED };
    let begun = clock::now();
    let timeout = shared.dial_timeout().min(DIAL_MAX);
    let dialled = tokio::time::timeout(timeout, tcp::dial(&shared.config)).await;
    let now = clock::now();
    shared.observe_dial(now - begun);
    let stream = match dialled.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) {
        Ok(stream) => Rc::new(stream),
        Err(error) => {
            served.ending = Ending::of(&error, Act::Dial);
            return;
        }
    };
    let is_wanted = served.local.upgrade().is_some_and(|local| {
        let State { tcp, in_flight, .. } = &mut *local.state.borrow_mut();
        tcp.dialled(id, stream, in_flight, (now, shared.config.read_timeout))
    });
    if is_wanted {
        served.ending = poll_fn(|cx| drive(&served.local, id, cx)).await;
    }
}

fn drive(local: &Weak<Local>, id: ConnectionId, cx: &mut Context<'_>) -> Poll<Ending> {
    let Some(local) = local.upgrade() else { return Poll::Ready(Ending::CLOSED) };
    worker::waking(|wakers| {
        let State { tcp, in_flight, .. } = &mut *local.state.borrow_mut();
        tcp.drive(id, in_flight, &local.shared, wakers, cx)
    })
}
