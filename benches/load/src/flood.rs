//! The load generator: many client sockets driven by one thread, each reply checked against its query.
//!
//! A [`Stream`] is one class of queries with its own names, sockets and pace; several run side by side, so that
//! the latency of one can be measured beside the flood of another. [`Pace::Window`] is closed-loop: each socket
//! keeps so many queries unanswered, which finds a server's capacity without losing queries. [`Pace::Rate`] is
//! open-loop: queries leave when they are due, whether or not the server keeps up.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

use crate::histogram::Histogram;
use crate::message::{self, HEADER_LEN};
use crate::names::{Names, QUESTION_MAX};
pub use crate::outcome::{Expect, FAILURES_TOLD_MAX, Failure, Outcome};
use crate::udp::{self, BATCH, Batch, Readiness, Wait};

/// One load, bounded in time and in queries.
pub struct Plan {
    /// Where the queries go.
    pub target: SocketAddr,
    /// What is asked, side by side.
    pub streams: Vec<Stream>,
    /// How long queries are sent. What is unanswered then is still waited for, up to `timeout`.
    pub duration: Duration,
    /// How many queries are sent, at most, over all streams.
    pub queries_max: u64,
    /// When an unanswered query counts as lost. (Noticed up to 20 ms later.)
    pub timeout: Duration,
    /// Whether equal-length queries of one socket leave as one UDP GSO send; else by `sendmmsg`.
    pub gso: bool,
    /// Whether to poll without ever sleeping, which spares the server the wake-ups. Only for a core of one's own.
    pub spin: bool,
}

/// One class of queries.
pub struct Stream {
    /// What it is called in the report.
    pub label: String,
    /// What is asked.
    pub names: Names,
    /// How many client sockets ask it, each with a port of its own.
    pub sockets: usize,
    /// When queries leave.
    pub pace: Pace,
    /// How a good answer looks.
    pub expect: Expect,
    /// Whether an answer's time is its arrival at the socket, by the kernel's stamp, and not when we came to read
    /// it: for the latencies of a stream beside a load that keeps this core busy.
    pub stamped: bool,
}

/// When queries leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As soon as fewer than this many queries of the socket are unanswered (1 to 32768).
    Window(usize),
    /// So many a second over all sockets of the stream.
    Rate(u64),
}

/// Runs `plan` to its end on this thread.
///
/// # Errors
/// Of making the sockets or of waiting on them; what happens to single datagrams is counted instead.
pub fn run(plan: Plan) -> io::Result<Vec<Outcome>> {
    let mut crowds = Vec::with_capacity(plan.streams.len());
    let timeout = nanos(plan.timeout);
    for stream in plan.streams {
        crowds.push(Crowd::new(stream, plan.target, timeout, plan.gso)?);
    }
    let stamped = crowds.iter().any(|crowd| crowd.stamped);
    let batch = Batch::new(REPLY_BYTES_MAX, false);
    let readiness = if plan.spin { None } else { Some(watch_all(&crowds)?) };
    Run {
        clock: Clock::start(),
        batch: if stamped { batch.with_stamps() } else { batch },
        crowds,
        readiness,
        duration: nanos(plan.duration),
        queries_left: plan.queries_max,
        timeout,
    }
    .finish()
}

/// Largest reply that is read whole; more than a query without EDNS may be answered with.
const REPLY_BYTES_MAX: usize = 2048;
/// How often timeouts are looked for, and the longest sleep.
const EXPIRE_EVERY: u64 = 20_000_000;
/// The longest sleep of a rate-paced load: bounds how unevenly queries leave.
const RATE_SLEEP: u64 = 200_000;
/// Receive buffer asked for, so that the generator's own sockets lose nothing.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Nanoseconds since the start, and the same for the kernel's stamps.
struct Clock {
    start: Instant,
    /// The system's time at the start.
    start_system: u64,
}

impl Clock {
    fn start() -> Self {
        let system = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), start_system: nanos(system) }
    }

    fn now(&self) -> u64 {
        nanos(self.start.elapsed())
    }

    fn of_stamp(&self, system: u64) -> u64 {
        system.saturating_sub(self.start_system)
    }
}

struct Run {
    clock: Clock,
    batch: Batch,
    crowds: Vec<Crowd>,
    readiness: Option<Readiness>,
    duration: u64,
    queries_left: u64,
    timeout: u64,
}

impl Run {
    fn finish(mut self) -> io::Result<Vec<Outcome>> {
        let mut expire_at = EXPIRE_EVERY;
        let mut sending = true;
        let rated = self.crowds.iter().any(|crowd| matches!(crowd.pace, Pace::Rate(_)));
        for crowd in &mut self.crowds {
            if let Pace::Window(window) = crowd.pace {
                for client in 0..crowd.clients.len() {
                    crowd.send(client, window, self.clock.now(), &mut self.queries_left);
                }
            }
        }
        loop {
            let now = self.clock.now();
            if sending && (now >= self.duration || self.queries_left == 0) {
                sending = false;
                self.crowds.iter_mut().for_each(|crowd| crowd.end_of_sending(now));
            }
            if now >= expire_at {
                expire_at = now + EXPIRE_EVERY;
                for crowd in &mut self.crowds {
                    crowd.expire(now.saturating_sub(self.timeout), sending, now, &mut self.queries_left);
                }
            }
            if sending {
                for crowd in &mut self.crowds {
                    crowd.send_due(now, &mut self.queries_left);
                }
            } else if self.crowds.iter().all(|crowd| crowd.outstanding == 0) {
                return Ok(self.crowds.into_iter().map(|crowd| crowd.outcome).collect());
            }
            self.receive(sending, if rated { RATE_SLEEP } else { EXPIRE_EVERY })?;
        }
    }

    /// One round over the sockets that have something, or that may have.
    fn receive(&mut self, sending: bool, sleep: u64) -> io::Result<()> {
        let Self { clock, batch, crowds, readiness, queries_left, .. } = self;
        let Some(readiness) = readiness else {
            for crowd in crowds {
                for client in 0..crowd.clients.len() {
                    if crowd.clients[client].outstanding > 0 {
                        crowd.receive(client, batch, clock, sending, queries_left);
                    }
                }
            }
            return Ok(());
        };
        for token in readiness.wait(sleep)? {
            let crowd = &mut crowds[(token >> 32) as usize];
            crowd.receive((token & 0xffff_ffff) as usize, batch, clock, sending, queries_left);
        }
        Ok(())
    }
}

fn watch_all(crowds: &[Crowd]) -> io::Result<Readiness> {
    let readiness = Readiness::new()?;
    for (number, crowd) in crowds.iter().enumerate() {
        for (index, client) in crowd.clients.iter().enumerate() {
            readiness.watch(&client.socket, (number as u64) << 32 | index as u64)?;
        }
    }
    Ok(readiness)
}

/// The clients of one stream, at work.
struct Crowd {
    clients: Vec<Client>,
    names: Names,
    pace: Pace,
    expect: Expect,
    stamped: bool,
    gso: bool,
    outstanding: usize,
    /// Whose turn it is to send, under [`Pace::Rate`].
    turn: usize,
    outcome: Outcome,
}

impl Crowd {
    fn new(stream: Stream, target: SocketAddr, timeout: u64, gso: bool) -> io::Result<Self> {
        let sockets = stream.sockets.max(1);
        let slots = match stream.pace {
            Pace::Window(window) => window,
            // What can be unanswered at once at this rate, with a tenth of a second to notice and to spare.
            Pace::Rate(rate) => {
                let at_once = u128::from(rate) * u128::from(timeout + 5 * EXPIRE_EVERY) / 1_000_000_000;
                at_once as usize / sockets + BATCH
            }
        };
        let clients = (0..sockets).map(|_| Client::new(target, slots)).collect::<io::Result<Vec<_>>>()?;
        if stream.stamped {
            clients.iter().try_for_each(|client| udp::stamp_arrivals(&client.socket))?;
        }
        let outcome = Outcome {
            label: stream.label,
            sent: 0,
            answered: 0,
            wrong: 0,
            lost: 0,
            strays: 0,
            rcodes: [0; 16],
            answered_per_second: 0.0,
            latency: Histogram::default(),
            gso,
            socket_errors: 0,
            failures: Vec::new(),
        };
        let Stream { names, pace, expect, stamped, .. } = stream;
        Ok(Self { clients, names, pace, expect, stamped, gso, outstanding: 0, turn: 0, outcome })
    }

    /// Sends what a rate makes due by `now`, spread over the clients.
    fn send_due(&mut self, now: u64, queries_left: &mut u64) {
        let Pace::Rate(rate) = self.pace else { return };
        let due = (u128::from(now) * u128::from(rate) / 1_000_000_000) as u64;
        let mut due = due.saturating_sub(self.outcome.sent) as usize;
        let each = due.div_ceil(self.clients.len()).min(BATCH);
        for _ in 0..self.clients.len() {
            if due == 0 || *queries_left == 0 {
                break;
            }
            let turn = self.turn;
            self.turn = (self.turn + 1) % self.clients.len();
            let sent = self.send(turn, each.min(due), now, queries_left);
            due -= sent.min(due);
        }
    }

    /// Sends up to `wanted` queries from one client and says how many left.
    fn send(&mut self, client: usize, wanted: usize, now: u64, queries_left: &mut u64) -> usize {
        let wanted = wanted.min(usize::try_from(*queries_left).unwrap_or(usize::MAX));
        let client = &mut self.clients[client];
        let mut sent = 0;
        while sent < wanted {
            let (left, error) = client.send_chunk(&mut self.names, wanted - sent, now, &mut self.gso);
            self.outcome.socket_errors += u64::from(error);
            sent += left;
            if left == 0 || error {
                break;
            }
        }
        self.outcome.gso &= self.gso;
        self.outcome.sent += sent as u64;
        self.outstanding += sent;
        *queries_left -= sent as u64;
        sent
    }

    /// Reads what one client has, and lets it ask again.
    fn receive(
        &mut self,
        index: usize,
        batch: &mut Batch,
        clock: &Clock,
        sending: bool,
        queries_left: &mut u64,
    ) {
        let client = &mut self.clients[index];
        let received = match batch.receive(&client.socket, Wait::Never) {
            Ok(received) => received,
            Err(error) => {
                self.outcome.socket_errors += u64::from(error.kind() != io::ErrorKind::WouldBlock);
                return;
            }
        };
        let now = clock.now();
        let mut freed = 0;
        for number in 0..received {
            match client.take(batch.datagram(number), self.expect) {
                None => self.outcome.strays += 1,
                Some((sent_at, reply, is_good)) => {
                    freed += 1;
                    self.outcome.answered += 1;
                    self.outcome.rcodes[usize::from(reply.rcode)] += 1;
                    let arrived = batch.arrival(number).map_or(now, |stamp| clock.of_stamp(stamp));
                    self.outcome.latency.record(arrived.saturating_sub(sent_at));
                    if !is_good {
                        self.outcome.wrong += 1;
                        self.outcome.fail(sent_at, Some(reply.rcode));
                    }
                }
            }
        }
        self.outstanding -= freed;
        if sending && freed > 0 && matches!(self.pace, Pace::Window(_)) {
            self.send(index, freed, now, queries_left);
        }
    }

    /// Gives up queries sent at or before `limit`.
    fn expire(&mut self, limit: u64, sending: bool, now: u64, queries_left: &mut u64) {
        for index in 0..self.clients.len() {
            let lost = self.clients[index].expire(limit, |sent_at| self.outcome.fail(sent_at, None));
            self.outcome.lost += lost as u64;
            self.outstanding -= lost;
            let free = self.clients[index].free.len();
            if let Pace::Window(_) = self.pace
                && sending
                && free > 0
            {
                self.send(index, free, now, queries_left);
            }
        }
    }

    fn end_of_sending(&mut self, now: u64) {
        self.outcome.answered_per_second = self.outcome.answered as f64 / (now as f64 / 1e9);
    }
}

/// One client socket and its queries in flight.
struct Client {
    socket: UdpSocket,
    slots: Vec<Slot>,
    /// Slots without a query in flight, the last freed on top.
    free: Vec<u16>,
    /// The queries, [`QUERY_STRIDE`] bytes a slot.
    queries: Vec<u8>,
    outstanding: usize,
}

/// A query in flight. Its low ID bits are the slot's number, the others change with each use, so that a late
/// reply does not pass for the answer to the slot's next query.
#[derive(Clone, Copy)]
struct Slot {
    sent_at: u64,
    id: u16,
    len: u16,
    busy: bool,
}

const QUERY_STRIDE: usize = HEADER_LEN + QUESTION_MAX;
/// Queries one socket can have in flight; half the ID space, so that IDs can still change.
const SLOTS_MAX: usize = 1 << 15;

impl Client {
    fn new(target: SocketAddr, slots: usize) -> io::Result<Self> {
        let any: SocketAddr = match target {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(target)?;
        socket.set_nonblocking(true)?;
        udp::set_receive_buffer(&socket, RECEIVE_BUFFER)?;
        let slots = slots.clamp(1, SLOTS_MAX);
        let slot = |id| Slot { sent_at: 0, id, len: 0, busy: false };
        Ok(Self {
            socket,
            slots: (0..slots as u16).map(slot).collect(),
            free: (0..slots as u16).rev().collect(),
            queries: vec![0; slots * QUERY_STRIDE],
            outstanding: 0,
        })
    }

    /// Sends up to a batch of queries: how many left, and whether the socket refused one.
    fn send_chunk(&mut self, names: &mut Names, wanted: usize, now: u64, gso: &mut bool) -> (usize, bool) {
        let id_step = self.slots.len().next_power_of_two() as u16;
        let mut chosen = [0_u16; BATCH];
        let wanted = wanted.min(BATCH).min(self.free.len());
        for choice in &mut chosen[..wanted] {
            let Some(number) = self.free.pop() else { break };
            let slot = &mut self.slots[usize::from(number)];
            slot.id = slot.id.wrapping_add(id_step);
            let query = &mut self.queries[usize::from(number) * QUERY_STRIDE..][..QUERY_STRIDE];
            query[..HEADER_LEN].copy_from_slice(&message::query_header(slot.id));
            slot.len = (HEADER_LEN + names.write_next(&mut query[HEADER_LEN..])) as u16;
            slot.sent_at = now;
            *choice = number;
        }
        let chosen = &chosen[..wanted];
        let (sent, error) = self.transmit(chosen, gso);
        for &number in &chosen[..sent] {
            self.slots[usize::from(number)].busy = true;
        }
        self.free.extend(chosen[sent..].iter().rev());
        self.outstanding += sent;
        (sent, error)
    }

    /// Hands the queries of `chosen` slots to the kernel, runs of one length as one GSO send.
    fn transmit(&self, chosen: &[u16], gso: &mut bool) -> (usize, bool) {
        if let &[number] = chosen {
            return match self.socket.send(self.query(number)) {
                Ok(_) => (1, false),
                Err(error) => (0, error.kind() != io::ErrorKind::WouldBlock),
            };
        }
        let mut slices = [IoSlice::new(&[]); BATCH];
        for (slice, &number) in slices.iter_mut().zip(chosen) {
            *slice = IoSlice::new(self.query(number));
        }
        let slices = &slices[..chosen.len()];
        let mut sent = 0;
        while *gso && sent < slices.len() {
            let len = slices[sent].len();
            let run = slices[sent..].iter().take(udp::gso_segments_max(len)).take_while(|s| s.len() == len);
            let run = run.count();
            match udp::send_gso(&self.socket, &slices[sent..sent + run]) {
                Ok(()) => sent += run,
                Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ECONNREFUSED)) => {
                    return (sent, error.kind() != io::ErrorKind::WouldBlock);
                }
                // The kernel or the device has no UDP GSO: from here on one datagram at a time.
                Err(_) => *gso = false,
            }
        }
        match udp::send_each(&self.socket, &slices[sent..]) {
            Ok(()) => (slices.len(), false),
            Err((more, error)) => (sent + more, error.kind() != io::ErrorKind::WouldBlock),
        }
    }

    fn query(&self, number: u16) -> &[u8] {
        let start = usize::from(number) * QUERY_STRIDE;
        &self.queries[start..start + usize::from(self.slots[usize::from(number)].len)]
    }

    /// Frees the slot that `response` answers: when its query was sent, what the response says, and whether it is
    /// the one that is expected.
    fn take(&mut self, response: &[u8], expect: Expect) -> Option<(u64, message::Reply, bool)> {
        let id = u16::from_be_bytes([*response.first()?, *response.get(1)?]);
        let number = usize::from(id) & (self.slots.len().next_power_of_two() - 1);
        let slot = *self.slots.get(number)?;
        if !slot.busy || slot.id != id {
            return None;
        }
        let query = self.query(number as u16);
        let reply = message::check_reply(query, response).ok()?;
        let is_good = expect.is_met(query, response, reply);
        self.release(number);
        Some((slot.sent_at, reply, is_good))
    }

    fn release(&mut self, number: usize) {
        self.slots[number].busy = false;
        self.free.push(number as u16);
        self.outstanding -= 1;
    }

    /// Frees the slots of queries sent at or before `limit`, telling each one's time, and says how many they were.
    fn expire(&mut self, limit: u64, mut tell: impl FnMut(u64)) -> usize {
        if self.outstanding == 0 {
            return 0;
        }
        let mut lost = 0;
        for number in 0..self.slots.len() {
            let slot = &self.slots[number];
            if slot.busy && slot.sent_at <= limit {
                tell(slot.sent_at);
                self.release(number);
                lost += 1;
            }
        }
        lost
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::TYPE_A;

    /// A server on this thread's loopback that answers `answer_one_in` of the queries, until it is told to stop.
    fn serve(answer_one_in: usize) -> (SocketAddr, std::thread::JoinHandle<()>) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        udp::set_receive_buffer(&socket, RECEIVE_BUFFER).unwrap();
        let address = socket.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 512];
            for number in 0.. {
                let (len, peer) = socket.recv_from(&mut buffer).unwrap();
                if len < HEADER_LEN {
                    return;
                }
                buffer[2] |= 0x80;
                buffer[7] = 1;
                buffer[len..len + 16].copy_from_slice(&message::fixed_answer(60));
                if number % answer_one_in == 0 {
                    socket.send_to(&buffer[..len + 16], peer).unwrap();
                }
            }
        });
        (address, thread)
    }

    fn flood(target: SocketAddr, pace: Pace, spin: bool, timeout_ms: u64) -> Outcome {
        let stream = Stream {
            label: "hosts".into(),
            names: Names::from_pattern("host{}.example.", 100, TYPE_A).unwrap(),
            sockets: 4,
            pace,
            expect: Expect::Answer,
            stamped: !spin,
        };
        let outcome = run(Plan {
            target,
            streams: vec![stream],
            duration: Duration::from_secs(20),
            queries_max: 2000,
            timeout: Duration::from_millis(timeout_ms),
            gso: true,
            spin,
        })
        .unwrap()
        .remove(0);
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().send_to(&[0], target).unwrap();
        outcome
    }

    #[test]
    fn every_query_of_a_window_is_answered_and_counted() {
        let (target, server) = serve(1);
        let outcome = flood(target, Pace::Window(8), false, 10_000);
        server.join().unwrap();
        assert_eq!((outcome.sent, outcome.answered, outcome.wrong, outcome.lost), (2000, 2000, 0, 0));
        assert_eq!((outcome.rcodes[0], outcome.strays), (2000, 0));
        assert!((1_000..60_000_000_000).contains(&outcome.latency.max()), "{}", outcome.latency.max());
    }

    #[test]
    fn a_rate_ends_at_its_count_and_what_is_not_answered_is_lost() {
        let (target, server) = serve(2);
        let outcome = flood(target, Pace::Rate(5000), true, 2000);
        server.join().unwrap();
        assert_eq!((outcome.sent, outcome.answered, outcome.lost), (2000, 1000, 1000));
    }
}
