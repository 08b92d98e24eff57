//! The upstreams of the run, in threads of this process: one that is well, and one that behaves as it is told.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use waypost_load::message::{self, HEADER_LEN};
use waypost_load::udp;

use super::known;
use super::plan::Random;

/// The one that is well.
pub const WELL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53)), 53);
/// The one that flaps.
pub const FLAPPY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 54)), 53);

/// How an upstream behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Manner {
    /// It answers.
    Well,
    /// Its port is closed.
    Down,
    /// It never answers.
    Silent,
    /// It answers late, by up to four seconds: some when nobody waits any more.
    Slow,
    /// It fails: SERVFAIL, now and then REFUSED.
    Failing,
    /// It answers with bytes that are no response.
    Garbage,
    /// Before the answer come forged ones: of another ID, another question, another port.
    Forged,
    /// It says that the answer is to be had over TCP, and over TCP cuts every other one.
    Cutting,
}

const MANNERS: [Manner; 8] = [
    Manner::Well,
    Manner::Down,
    Manner::Silent,
    Manner::Slow,
    Manner::Failing,
    Manner::Garbage,
    Manner::Forged,
    Manner::Cutting,
];
const SLOWEST_MS: usize = 4000;
/// Replies that wait for their time, at most; newer ones are dropped.
const LATE_MAX: usize = 100_000;
/// Seconds that the answers of the flapping upstream are good for: they go stale within the run.
const FLAPPY_TTL: u32 = 2;
const TTL: u32 = 60;
const RECEIVE_BUFFER: usize = 4 << 20;
/// How often it looks whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a connection may be quiet.
const TCP_WAIT: Duration = Duration::from_secs(1);

/// How the upstream that flaps is to behave, and what it has seen.
pub struct Flappy {
    manner: AtomicU8,
    asked: AtomicU64,
    is_over: AtomicBool,
}

impl Default for Flappy {
    fn default() -> Self {
        Self { manner: AtomicU8::new(Manner::Well as u8), asked: 0.into(), is_over: false.into() }
    }
}

impl Flappy {
    /// From now on it behaves so.
    pub fn behave(&self, manner: Manner) {
        self.manner.store(manner as u8, Ordering::Relaxed);
    }

    /// Queries it has got so far by UDP.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Ends both.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn manner(&self) -> Manner {
        MANNERS[usize::from(self.manner.load(Ordering::Relaxed)) % MANNERS.len()]
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Serves the one that is well until the end. A query that came by TCP is forwarded by TCP.
    ///
    /// # Errors
    /// A sentence, when its address cannot be had.
    pub fn serve_well(&self) -> Result<(), String> {
        let (socket, listener) = open(WELL)?;
        thread::scope(|scope| {
            scope.spawn(|| {
                while !self.is_over() {
                    match listener.accept() {
                        // What goes wrong with a connection ends it.
                        Ok((stream, _)) => {
                            _ = scope.spawn(move || serve_connection(stream, || !self.is_over(), TTL))
                        }
                        Err(_) => thread::sleep(LOOK_EVERY),
                    }
                }
            });
            let mut buffer = [0; 4096];
            while !self.is_over() {
                let Ok((len, peer)) = socket.recv_from(&mut buffer) else { continue };
                let len = answer(&mut buffer, len, TTL);
                // A client that is gone is no reason to stop.
                let _ = socket.send_to(&buffer[..len], peer);
            }
        });
        Ok(())
    }

    /// Serves the one that flaps until the end.
    ///
    /// # Errors
    /// A sentence, when its address cannot be had, at first or again.
    pub fn serve_flappy(&self) -> Result<(), String> {
        while !self.is_over() {
            if self.manner() == Manner::Down {
                thread::sleep(LOOK_EVERY);
                continue;
            }
            let (socket, listener) = open(FLAPPY)?;
            thread::scope(|scope| {
                scope.spawn(|| self.serve_tcp(&listener));
                self.serve_udp(&socket)
            })?;
        }
        Ok(())
    }

    /// Until it is down or all is over.
    fn is_up(&self) -> bool {
        !self.is_over() && self.manner() != Manner::Down
    }

    fn serve_udp(&self, socket: &UdpSocket) -> Result<(), String> {
        let stranger =
            UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 54), 0)).map_err(|error| error.to_string())?;
        let mut random = Random::new(54);
        let mut buffer = [0; 4096];
        let mut waiting: VecDeque<Late> = VecDeque::new();
        while self.is_up() {
            let now = Instant::now();
            while waiting.front().is_some_and(|late| late.due <= now) {
                if let Some(late) = waiting.pop_front() {
                    let _ = socket.send_to(&late.bytes, late.peer);
                }
            }
            let Ok((len, peer)) = socket.recv_from(&mut buffer) else { continue };
            self.asked.fetch_add(1, Ordering::Relaxed);
            let query = buffer[..len].to_vec();
            let len = answer(&mut buffer, len, FLAPPY_TTL);
            let reply = &mut buffer[..len];
            match self.manner() {
                Manner::Well => {}
                Manner::Down | Manner::Silent => continue,
                Manner::Slow => {
                    let due = now + Duration::from_millis(random.below(SLOWEST_MS) as u64);
                    let at = waiting.partition_point(|late| late.due <= due);
                    if waiting.len() < LATE_MAX {
                        waiting.insert(at, Late { due, peer, bytes: reply.to_vec() });
                    }
                    continue;
                }
                Manner::Failing => fail(reply, if random.below(4) == 0 { 5 } else { 2 }),
                Manner::Garbage => {
                    let _ = socket.send_to(&garbage(&query, reply, &mut random), peer);
                    continue;
                }
                Manner::Forged => forge(socket, &stranger, reply, peer, &mut random),
                Manner::Cutting => reply[2] |= 0x02,
            }
            let _ = socket.send_to(reply, peer);
        }
        Ok(())
    }

    fn serve_tcp(&self, listener: &TcpListener) {
        let mut turn = 0_u32;
        while self.is_up() {
            let Ok((mut stream, _)) = listener.accept() else {
                thread::sleep(LOOK_EVERY);
                continue;
            };
            turn += 1;
            // One at a time: it serves only the few that were told to come. What goes wrong with a connection ends it.
            let _ = match self.manner() {
                Manner::Cutting if turn.is_multiple_of(2) => stream.write_all(&[0, 100, 0, 0, 0x80]),
                _ => {
                    serve_connection(stream, || self.is_up() && self.manner() == Manner::Cutting, FLAPPY_TTL)
                }
            };
        }
    }
}

/// Answers what comes on `stream` while it is to, and something comes each second.
fn serve_connection(mut stream: TcpStream, goes_on: impl Fn() -> bool, ttl: u32) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TCP_WAIT))?;
    stream.set_write_timeout(Some(TCP_WAIT))?;
    let mut buffer = [0; 4096];
    while goes_on() {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let len = usize::from(u16::from_be_bytes(length)).min(2048);
        stream.read_exact(&mut buffer[..len])?;
        let len = answer(&mut buffer, len, ttl);
        stream.write_all(&[&(len as u16).to_be_bytes()[..], &buffer[..len]].concat())?;
    }
    Ok(())
}

/// A reply that waits.
struct Late {
    due: Instant,
    peer: SocketAddr,
    bytes: Vec<u8>,
}

/// Its socket, which waits for a little while, and its listener, which does not wait.
fn open(address: SocketAddr) -> Result<(UdpSocket, TcpListener), String> {
    let failed = |error: io::Error| format!("{address}: {error}");
    let socket = UdpSocket::bind(address).map_err(failed)?;
    udp::set_receive_buffer(&socket, RECEIVE_BUFFER).map_err(failed)?;
    socket.set_read_timeout(Some(LOOK_EVERY)).map_err(failed)?;
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok((socket, listener))
}

/// Turns the query in `buffer` into the right response and gives its length.
fn answer(buffer: &mut [u8], len: usize, ttl: u32) -> usize {
    let name = message::question_end(&buffer[..len]).map_or(&[][..], |end| &buffer[HEADER_LEN..end - 4]);
    let address = known::address_of(name);
    message::respond(buffer, len, &message::answer(ttl, address))
}

/// Makes a response say `rcode`; its answer stays, and is nobody's.
fn fail(reply: &mut [u8], rcode: u8) {
    if reply.len() >= HEADER_LEN {
        reply[3] = 0x80 | rcode;
    }
}

fn garbage(query: &[u8], reply: &[u8], random: &mut Random) -> Vec<u8> {
    let len = random.below(600);
    match random.below(5) {
        0 => random.bytes(len),
        // Of the right ID and question, and rubbish behind.
        1 => [query, &random.bytes(len)].concat(),
        2 => reply[..random.below(reply.len().max(1))].to_vec(),
        3 => Vec::new(),
        // Counts that lie.
        _ => {
            let mut bytes = reply.to_vec();
            if bytes.len() >= HEADER_LEN {
                bytes[6..8].copy_from_slice(&[0xff, 0xff]);
                bytes[10..12].copy_from_slice(&[0xff, 0xff]);
            }
            bytes
        }
    }
}

/// Sends what an attacker would: `reply` with an address of theirs, but not quite as asked.
fn forge(socket: &UdpSocket, stranger: &UdpSocket, reply: &[u8], peer: SocketAddr, random: &mut Random) {
    let Some(end) = message::question_end(reply).filter(|end| end + 16 <= reply.len()) else { return };
    let mut forged = reply.to_vec();
    forged[end + 12..end + 16].copy_from_slice(&known::FORGED);
    // From another port of the same address, with all else right.
    let _ = stranger.send_to(&forged, peer);
    let mut of_another_id = forged.clone();
    of_another_id[1] ^= 1 + random.below(255) as u8;
    let _ = socket.send_to(&of_another_id, peer);
    let mut of_another_name = forged.clone();
    of_another_name[HEADER_LEN + 1] ^= 1;
    let _ = socket.send_to(&of_another_name, peer);
    let mut of_another_type = forged;
    of_another_type[end - 3] = 28;
    let _ = socket.send_to(&of_another_type, peer);
}
