//! Who waits for what: exchanges in flight, and the queries that wait for them. Equal queries share one exchange (RFC 5452 5: else each
//! more of them would give a forger another chance).

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::deadlines::{Timed, Timer, Wheel};
use super::slab::{NONE, Slab};
use super::{ExchangeError, Transport};
use crate::wire::{HEADER_LEN, header, patch};

/// Queries that wait on one worker for one upstream, at most: those of two seconds at 30,000 a second.
pub(super) const WAITERS_MAX: usize = 65_536;

/// Buffers kept for the next queries.
const SPARE_BUFFERS_MAX: usize = 128;

/// A kept buffer is of at most so many bytes.
const SPARE_BUFFER_LEN_MAX: usize = 1_024;

/// What came of a query.
pub(super) type Outcome = Result<Reply, ExchangeError>;

/// A reply as it came, but with the ID and the spelling of the question that its query had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The message; its question and the lengths of its records were checked.
    pub wire: Vec<u8>,
    /// The time from the query to the reply.
    pub took: Duration,
}

/// A reply as it came.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) wire: Vec<u8>,
    pub(super) received: Instant,
}

/// One query on its way, and who waits for it.
#[derive(Debug)]
pub(super) struct Exchange {
    /// The query as sent, with our ID.
    pub(super) query: Vec<u8>,
    /// The offset behind its question.
    pub(super) question_end: usize,
    pub(super) transport: Transport,
    /// Where it was sent, once it was.
    pub(super) route: Route,
    /// When it was last sent.
    pub(super) sent: Instant,
    /// It was sent more than once, so that its reply tells nothing of the round trip.
    pub(super) was_resent: bool,
    /// It was sent on a pooled connection that had been closed, and is on its second way.
    pub(super) is_retry: bool,
    /// The key under which equal queries find it; none if another of the same hash was there first, and if it is sent for one query alone.
    shared: Option<u64>,
    first_waiter: u32,
}

/// The socket or connection an exchange goes over, and its ID there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    None,
    Socket { socket: u32, id: u16 },
    Connection { connection: u32, id: u16 },
}

#[derive(Debug)]
struct Waiter {
    /// The exchange, or [`NONE`] once the outcome is here.
    exchange: u32,
    prev: u32,
    next: u32,
    timer: Timer,
    since: Instant,
    latest: Instant,
    /// The ID of its query.
    id: u16,
    /// Header and question of its query, if spelled otherwise than the exchange's.
    spelling: Option<Box<[u8]>>,
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

impl Timed for Waiter {
    fn timer(&mut self) -> &mut Timer {
        &mut self.timer
    }
}

/// How a query came in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// It is the first of its kind: the exchange must be sent.
    Leads { waiter: u32, exchange: u32 },
    /// It waits for an exchange that is under way.
    Follows { waiter: u32, exchange: u32 },
}

/// The exchanges of one worker with one upstream. Pure: knows no socket and no clock.
#[derive(Debug)]
pub(super) struct InFlight {
    exchanges: Slab<Exchange>,
    waiters: Slab<Waiter>,
    wheel: Wheel,
    shared: HashMap<u64, u32, foldhash::fast::RandomState>,
    hasher: foldhash::fast::RandomState,
    spare: Vec<Vec<u8>>,
}

impl InFlight {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            exchanges: Slab::new(),
            waiters: Slab::new(),
            wheel: Wheel::new(now),
            shared: HashMap::default(),
            hasher: foldhash::fast::RandomState::default(),
            spare: Vec::new(),
        }
    }

    /// True if no more queries may wait.
    pub(super) const fn is_full(&self) -> bool {
        self.waiters.len() >= WAITERS_MAX
    }

    /// Adds a query, whose question ends at `question_end`, that waits until `deadline`. `latest` is when it would have to give up in any case.
    /// One that is `alone` shares with none.
    pub(super) fn join(
        &mut self,
        query: &[u8],
        question_end: usize,
        transport: Transport,
        alone: bool,
        now: Instant,
        (deadline, latest): (Instant, Instant),
    ) -> Joined {
        let hash = self.hash(query, question_end, transport);
        let found = if alone { None } else { self.shared.get(&hash).copied() };
        let can_be_found = found.is_none() && !alone;
        let equal = found.filter(|&key| {
            self.exchanges.get(key).is_some_and(|e| {
                e.transport == transport
                    && e.question_end == question_end
                    && same_query(&e.query, query, question_end)
            })
        });
        let exchange = equal.unwrap_or_else(|| {
            let mut copy = self.spare.pop().unwrap_or_default();
            copy.extend_from_slice(query);
            let exchange = Exchange {
                query: copy,
                question_end,
                transport,
                route: Route::None,
                sent: now,
                was_resent: false,
                is_retry: false,
                shared: can_be_found.then_some(hash),
                first_waiter: NONE,
            };
            let key = self.exchanges.insert(exchange);
            if can_be_found {
                self.shared.insert(hash, key);
            }
            key
        });
        let spelling = equal.and_then(|key| self.exchanges.get(key)).and_then(|e| {
            let own = &query[..question_end];
            (own[HEADER_LEN..] != e.query[HEADER_LEN..question_end]).then(|| own.into())
        });
        let next = self.exchanges.get(exchange).map_or(NONE, |e| e.first_waiter);
        let waiter = self.waiters.insert(Waiter {
            exchange,
            prev: NONE,
            next,
            timer: Timer::new(),
            since: now,
            latest,
            id: header::id(query),
            spelling,
            outcome: None,
            waker: None,
        });
        if let Some(next) = self.waiters.get_mut(next) {
            next.prev = waiter;
        }
        if let Some(e) = self.exchanges.get_mut(exchange) {
            e.first_waiter = waiter;
        }
        self.wheel.set(&mut self.waiters, waiter, deadline);
        if equal.is_some() {
            Joined::Follows { waiter, exchange }
        } else {
            Joined::Leads { waiter, exchange }
        }
    }

    /// The key of equal queries: all bytes but the ID, the name in lower case.
    fn hash(&self, query: &[u8], question_end: usize, transport: Transport) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        let mut question = [0u8; QUESTION_LEN_MAX];
        let question = &mut question[..question_end - HEADER_LEN];
        question.copy_from_slice(&query[HEADER_LEN..question_end]);
        let name_end = question.len() - 4;
        question[..name_end].make_ascii_lowercase();
        hasher.write(question);
        hasher.write(&query[2..HEADER_LEN]);
        hasher.write(&query[question_end..]);
        hasher.write_u8(transport as u8);
        hasher.finish()
    }

    pub(super) fn exchange(&self, key: u32) -> Option<&Exchange> {
        self.exchanges.get(key)
    }

    pub(super) fn exchange_mut(&mut self, key: u32) -> Option<&mut Exchange> {
        self.exchanges.get_mut(key)
    }

    /// Ends an exchange: each waiter gets `outcome` in its own words, and its waker goes to `wakers`.
    pub(super) fn complete(
        &mut self,
        key: u32,
        outcome: Result<Arrival, ExchangeError>,
        wakers: &mut Vec<Waker>,
    ) {
        let Some(exchange) = self.remove_exchange(key) else { return };
        let mut outcome = Some(outcome);
        let mut waiter = exchange.first_waiter;
        while let Some(next) = self.waiters.get(waiter).map(|w| w.next) {
            let own = if next == NONE { outcome.take() } else { outcome.clone() };
            if let Some(own) = own {
                self.settle(waiter, own, wakers);
            }
            waiter = next;
        }
    }

    fn settle(&mut self, waiter: u32, outcome: Result<Arrival, ExchangeError>, wakers: &mut Vec<Waker>) {
        self.wheel.unset(&mut self.waiters, waiter);
        let Some(waiter) = self.waiters.get_mut(waiter) else { return };
        waiter.exchange = NONE;
        waiter.outcome = Some(outcome.map(|Arrival { mut wire, received }| {
            header::set_id(&mut wire, waiter.id);
            if let Some(spelling) = &waiter.spelling {
                patch::copy_question_case(&mut wire, spelling, spelling.len());
            }
            Reply { wire, took: received.saturating_duration_since(waiter.since) }
        }));
        wakers.extend(waiter.waker.take());
    }

    /// Ends the wait of one query with `error`. Returns the exchange if nobody waits for it any more; it is then gone.
    pub(super) fn fail_waiter(
        &mut self,
        waiter: u32,
        error: ExchangeError,
        wakers: &mut Vec<Waker>,
    ) -> Option<(u32, Route)> {
        let gone = self.unlink(waiter);
        self.settle(waiter, Err(error), wakers);
        gone
    }

    /// A query waits no more. Returns the exchange if it was the last to wait for it; it is then gone.
    pub(super) fn cancel(&mut self, waiter: u32) -> Option<(u32, Route)> {
        let gone = self.unlink(waiter);
        self.wheel.unset(&mut self.waiters, waiter);
        self.waiters.remove(waiter);
        gone
    }

    fn unlink(&mut self, waiter: u32) -> Option<(u32, Route)> {
        let w = self.waiters.get_mut(waiter)?;
        let key = std::mem::replace(&mut w.exchange, NONE);
        if key == NONE {
            // Its outcome is here; it stands in no list.
            return None;
        }
        let (prev, next) = (w.prev, w.next);
        if let Some(next) = self.waiters.get_mut(next) {
            next.prev = prev;
        }
        if let Some(prev) = self.waiters.get_mut(prev) {
            prev.next = next;
            return None;
        }
        let exchange = self.exchanges.get_mut(key)?;
        exchange.first_waiter = next;
        if next != NONE {
            return None;
        }
        self.remove_exchange(key).map(|exchange| (key, exchange.route))
    }

    fn remove_exchange(&mut self, key: u32) -> Option<Exchange> {
        let mut exchange = self.exchanges.remove(key)?;
        if let Some(hash) = exchange.shared {
            self.shared.remove(&hash);
            if self.shared.is_empty() && self.shared.capacity() > SHRINK_ABOVE {
                self.shared.shrink_to_fit();
            }
        }
        let mut buffer = std::mem::take(&mut exchange.query);
        if self.spare.len() < SPARE_BUFFERS_MAX && buffer.capacity() <= SPARE_BUFFER_LEN_MAX {
            buffer.clear();
            self.spare.push(buffer);
        }
        Some(exchange)
    }

    /// The exchange that `waiter` waits for, and what it would have to give up at in any case.
    pub(super) fn waits_for(&self, waiter: u32) -> Option<(&Exchange, Instant)> {
        let waiter = self.waiters.get(waiter)?;
        Some((self.exchanges.get(waiter.exchange)?, waiter.latest))
    }

    /// The waiters of an exchange get `patience` more from `now`, but never beyond what their queries have.
    pub(super) fn extend(&mut self, key: u32, now: Instant, patience: Duration) {
        let mut waiter = self.exchanges.get(key).map_or(NONE, |e| e.first_waiter);
        while let Some((next, latest)) = self.waiters.get(waiter).map(|w| (w.next, w.latest)) {
            self.wheel.unset(&mut self.waiters, waiter);
            self.wheel.set(&mut self.waiters, waiter, latest.min(now + patience));
            waiter = next;
        }
    }

    /// Appends the waiters whose deadlines have passed to `due`; each must be failed by the caller.
    pub(super) fn sweep(&mut self, now: Instant, due: &mut Vec<u32>) {
        self.wheel.sweep(&mut self.waiters, now, due);
    }

    /// Exchanges, and queries that wait for them.
    #[cfg(test)]
    pub(super) const fn counts(&self) -> (usize, usize) {
        (self.exchanges.len(), self.waiters.len())
    }

    /// When [`Self::sweep`] is next needed.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.wheel.next_due()
    }

    /// Takes the outcome of `waiter`, which is then gone, or leaves a waker for it.
    pub(super) fn poll(&mut self, key: u32, cx: &mut Context<'_>) -> Poll<Outcome> {
        let Some(waiter) = self.waiters.get_mut(key) else { return Poll::Pending };
        if let Some(outcome) = waiter.outcome.take() {
            self.waiters.remove(key);
            return Poll::Ready(outcome);
        }
        match &mut waiter.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            waker => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

/// An empty table of more places than this gives its memory back.
const SHRINK_ABOVE: usize = 4_096;

/// Bytes of a question at most: a name, type and class.
const QUESTION_LEN_MAX: usize = crate::wire::name::NAME_LEN_MAX + 4;

/// True if two queries, whose questions end at the same offset, differ in nothing but ID and spelling.
fn same_query(a: &[u8], b: &[u8], question_end: usize) -> bool {
    let name_end = question_end - 4;
    a.len() == b.len()
        && a[2..HEADER_LEN] == b[2..HEADER_LEN]
        && a[HEADER_LEN..name_end].eq_ignore_ascii_case(&b[HEADER_LEN..name_end])
        && a[name_end..] == b[name_end..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{Act, ErrorKind};

    struct Bench {
        in_flight: InFlight,
        now: Instant,
        wakers: Vec<Waker>,
    }

    fn query(id: u16, name: &str, qtype: u8, rest: &[u8]) -> Vec<u8> {
        let mut wire = id.to_be_bytes().to_vec();
        wire.extend_from_slice(b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00");
        name.split('.').for_each(|label| {
            wire.push(label.len() as u8);
            wire.extend_from_slice(label.as_bytes());
        });
        wire.extend_from_slice(&[0, 0, qtype, 0, 1]);
        wire.extend_from_slice(rest);
        wire
    }

    impl Bench {
        fn new() -> Self {
            let now = Instant::now();
            Self { in_flight: InFlight::new(now), now, wakers: Vec::new() }
        }

        fn join(&mut self, query: &[u8], transport: Transport) -> (u32, u32, bool) {
            let end = crate::wire::record::questions_end(query).unwrap();
            let deadline = self.now + Duration::from_secs(2);
            match self.in_flight.join(query, end, transport, false, self.now, (deadline, deadline)) {
                Joined::Leads { waiter, exchange } => (waiter, exchange, true),
                Joined::Follows { waiter, exchange } => (waiter, exchange, false),
            }
        }

        fn poll(&mut self, waiter: u32) -> Poll<Outcome> {
            self.in_flight.poll(waiter, &mut Context::from_waker(Waker::noop()))
        }

        fn reply(&mut self, exchange: u32) {
            let mut wire = self.in_flight.exchange(exchange).unwrap().query.clone();
            wire[2] |= 0x80;
            let arrival = Arrival { wire, received: self.now };
            self.in_flight.complete(exchange, Ok(arrival), &mut self.wakers);
        }

        fn error() -> ExchangeError {
            ExchangeError {
                kind: ErrorKind::Timeout,
                act: Act::Read,
                transport: Transport::Udp,
                local: None,
                upstream: "192.0.2.1:53".parse().unwrap(),
            }
        }
    }

    #[test]
    fn equal_queries_share_an_exchange_and_each_gets_its_own_words() {
        let mut bench = Bench::new();
        let first = query(1, "www.example.org", 1, b"");
        let second = query(2, "WWW.example.ORG", 1, b"");
        let (a, exchange, leads) = bench.join(&first, Transport::Udp);
        let (b, same, follows) = bench.join(&second, Transport::Udp);
        assert!((leads, follows, exchange) == (true, false, same));
        assert!(bench.poll(a).is_pending() && bench.poll(b).is_pending());
        bench.reply(exchange);
        assert_eq!(bench.wakers.len(), 2);
        for (waiter, query) in [(a, first), (b, second)] {
            let Poll::Ready(Ok(reply)) = bench.poll(waiter) else { panic!("no reply") };
            assert_eq!((&reply.wire[..2], &reply.wire[12..]), (&query[..2], &query[12..]));
        }
        assert_eq!((bench.in_flight.waiters.len(), bench.in_flight.exchanges.len()), (0, 0));
        assert!(bench.in_flight.shared.is_empty());
    }

    #[test]
    fn what_differs_in_anything_else_does_not_share() {
        let mut bench = Bench::new();
        let first = query(1, "www.example.org", 1, b"");
        let mut checking_disabled = first.clone();
        checking_disabled[3] |= 0x10;
        bench.join(&first, Transport::Udp);
        for other in [
            query(2, "www.example.org", 28, b""),
            query(2, "xww.example.org", 1, b""),
            query(2, "www.example.org", 1, b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"),
            checking_disabled,
        ] {
            assert!(bench.join(&other, Transport::Udp).2, "{other:?}");
        }
        assert!(bench.join(&first, Transport::Tcp).2);
        assert!(!bench.join(&first, Transport::Tcp).2);
    }

    #[test]
    fn an_exchange_ends_with_its_last_waiter() {
        let mut bench = Bench::new();
        let query = query(1, "a.b", 1, b"");
        let keys: Vec<(u32, u32, bool)> = (0..4).map(|_| bench.join(&query, Transport::Udp)).collect();
        let exchange = keys[0].1;
        assert_eq!(bench.in_flight.cancel(keys[1].0), None);
        assert_eq!(bench.in_flight.fail_waiter(keys[3].0, Bench::error(), &mut bench.wakers), None);
        assert_eq!(bench.in_flight.cancel(keys[0].0), None);
        assert_eq!(bench.poll(keys[3].0), Poll::Ready(Err(Bench::error())));
        assert_eq!(bench.in_flight.cancel(keys[2].0), Some((exchange, Route::None)));
        assert_eq!((bench.in_flight.waiters.len(), bench.in_flight.exchanges.len()), (0, 0));
        assert!(bench.join(&query, Transport::Udp).2, "a new one leads again");
    }

    #[test]
    fn deadlines_are_each_waiters_own() {
        let mut bench = Bench::new();
        let (a, exchange, _) = bench.join(&query(1, "a.b", 1, b""), Transport::Tcp);
        bench.now += Duration::from_secs(1);
        let (b, ..) = bench.join(&query(1, "a.b", 1, b""), Transport::Tcp);
        let mut due = Vec::new();
        bench.in_flight.sweep(bench.now + Duration::from_millis(1_010), &mut due);
        assert_eq!(due, [a]);
        bench.in_flight.fail_waiter(a, Bench::error(), &mut bench.wakers);
        bench.in_flight.extend(exchange, bench.now, Duration::from_secs(60));
        bench.in_flight.sweep(bench.now + Duration::from_millis(2_020), &mut due);
        assert_eq!(due, [a, b], "an extension ends where the query does");
    }
}
