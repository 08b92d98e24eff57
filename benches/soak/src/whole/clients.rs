//! The clients over TCP and of the health page whose answers are counted. Those over UDP are `waypost_load::flood`.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use waypost_load::bench::SERVER;
use waypost_load::flood::{FAILURES_TOLD_MAX, Failure};
use waypost_load::histogram::Histogram;
use waypost_load::message;
use waypost_load::names;

use super::known;
use super::subject;

/// Queries of one burst, written together.
const BURST: u16 = 5;
/// Bursts of one connection; then it is closed and another one opened.
const BURSTS: u32 = 20;
/// How long an answer may take.
pub const PATIENCE: Duration = Duration::from_secs(6);
/// Before queries are asked again on another connection.
const AGAIN_AFTER: Duration = Duration::from_millis(5);
/// Between two looks at the health page.
const PROBE_EVERY: Duration = Duration::from_millis(50);

/// What became of one client's queries.
#[derive(Default)]
pub struct Counts {
    /// Queries asked.
    pub asked: u64,
    /// Not answered in time, not even on another connection.
    pub lost: u64,
    /// Answered wrongly.
    pub wrong: u64,
    /// Asked again, since the connection was closed before the answer came (RFC 7766 6.2.4).
    pub again: u64,
    /// From writing a query to reading its answer.
    pub latency: Histogram,
    /// Those that were lost or wrong.
    pub failures: Vec<Failure>,
}

impl Counts {
    fn fail(&mut self, sent_at: Duration, rcode: Option<u8>) {
        if self.failures.len() < FAILURES_TOLD_MAX {
            self.failures.push(Failure { sent_at, rcode });
        }
    }

    /// Adds those of another client.
    pub fn add(&mut self, other: Self) {
        self.asked += other.asked;
        self.lost += other.lost;
        self.wrong += other.wrong;
        self.again += other.again;
        self.latency.add(&other.latency);
        let room = FAILURES_TOLD_MAX - self.failures.len();
        self.failures.extend(other.failures.into_iter().take(room));
    }
}

/// Asks hosts and cached names over TCP, `rate` a second, from `start` for `whole`; `number` tells the client apart.
///
/// # Errors
/// A sentence, when a name cannot be written.
pub fn over_tcp(number: u32, rate: u64, start: Instant, whole: Duration) -> Result<Counts, String> {
    let mut counts = Counts::default();
    let mut stream: Option<TcpStream> = None;
    let every = Duration::from_secs(1) * u32::from(BURST) / rate.max(1) as u32;
    let mut bursts = 0;
    while start.elapsed() < whole {
        let due = every * bursts;
        thread::sleep(due.saturating_sub(start.elapsed()));
        let first = number * 131 + bursts * u32::from(BURST);
        let queries = (0..BURST).map(|id| query(id, first + u32::from(id))).collect::<Result<Vec<_>, _>>()?;
        bursts += 1;
        let sent_at = start.elapsed();
        let mut answered = [false; BURST as usize];
        let deadline = Instant::now() + PATIENCE;
        while answered.contains(&false) && Instant::now() < deadline {
            let done = exchange(&mut stream, &queries, &mut answered, deadline, |query, response| {
                counts.latency.record((start.elapsed() - sent_at).as_nanos() as u64);
                if !known::is_right(query, response) {
                    counts.wrong += 1;
                    counts.fail(sent_at, Some(response[3] & 0x0f));
                }
            });
            if done.is_err() {
                stream = None;
                // A server that is away for a moment is asked again a little later.
                thread::sleep(AGAIN_AFTER);
                counts.again += answered.iter().filter(|done| !**done).count() as u64;
            }
        }
        counts.asked += u64::from(BURST);
        for _ in answered.iter().filter(|done| !**done) {
            counts.lost += 1;
            counts.fail(sent_at, None);
        }
        if bursts.is_multiple_of(BURSTS) {
            stream = None;
        }
    }
    Ok(counts)
}

/// Asks those of `queries` that are not answered on `stream`, or on a new one, until all are.
fn exchange(
    stream: &mut Option<TcpStream>,
    queries: &[Vec<u8>],
    answered: &mut [bool],
    deadline: Instant,
    mut take: impl FnMut(&[u8], &[u8]),
) -> io::Result<()> {
    let left = || deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let stream = match stream {
        Some(stream) => stream,
        none => none.insert(TcpStream::connect_timeout(&SERVER, left())?),
    };
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(left()))?;
    let mut framed = Vec::new();
    for (query, _) in queries.iter().zip(&*answered).filter(|(_, done)| !**done) {
        framed.extend_from_slice(&(query.len() as u16).to_be_bytes());
        framed.extend_from_slice(query);
    }
    stream.write_all(&framed)?;
    while answered.contains(&false) {
        stream.set_read_timeout(Some(left()))?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut response = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut response)?;
        let id = usize::from(u16::from_be_bytes([
            *response.first().ok_or(io::ErrorKind::InvalidData)?,
            *response.get(1).ok_or(io::ErrorKind::InvalidData)?,
        ]));
        let query = queries.get(id).ok_or(io::ErrorKind::InvalidData)?;
        if message::check_reply(query, &response).is_err() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        answered[id] = true;
        take(query, &response);
    }
    Ok(())
}

fn query(id: u16, number: u32) -> Result<Vec<u8>, String> {
    if number.is_multiple_of(2) {
        known::query(id, &names::numbered(known::HOSTS, number % known::HOSTS_COUNT, known::HOSTS_COUNT))
    } else {
        known::query(id, &names::numbered(known::CACHED, number % known::CACHED_COUNT, known::CACHED_COUNT))
    }
}

/// Asks the health page from `start` for `whole`: anything but 200 is wrong.
pub fn of_health(start: Instant, whole: Duration) -> Counts {
    let mut counts = Counts::default();
    while start.elapsed() < whole {
        let sent_at = start.elapsed();
        counts.asked += 1;
        match subject::page(subject::HEALTH, "GET", "/health") {
            Ok((200, _)) => {}
            Ok((status, _)) => {
                eprintln!("{:7.1} s  the health page says {status}", sent_at.as_secs_f64());
                counts.wrong += 1;
                counts.fail(sent_at, None);
            }
            Err(error) => {
                eprintln!("{:7.1} s  no health page: {error}", sent_at.as_secs_f64());
                counts.lost += 1;
                counts.fail(sent_at, None);
            }
        }
        counts.latency.record((start.elapsed() - sent_at).as_nanos() as u64);
        thread::sleep(PROBE_EVERY);
    }
    counts
}
