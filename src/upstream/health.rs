//! Is an upstream alive? Asked only after an exchange with it failed, and then again and again until it answers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};

use super::shared::Shared;
use super::{Transport, worker};
use crate::net::socket;
use crate::wire::{Class, Flags, HEADER_LEN, Name, Rtype, header};

/// How to probe an upstream.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The name whose NS records are asked for.
    pub domain: Name,
    /// Whether recursion is desired.
    pub recursion: bool,
    /// Over which transport.
    pub transport: Transport,
    /// The pause between probes.
    pub interval: Duration,
}

impl Default for Probe {
    /// CoreDNS's: `NS` of the root, recursion desired, UDP, twice a second.
    fn default() -> Self {
        Self {
            domain: Name::root(),
            recursion: true,
            transport: Transport::Udp,
            interval: Duration::from_millis(500),
        }
    }
}

/// The health of one upstream, shared by all workers.
#[derive(Debug)]
pub struct Health {
    /// Probes that failed since the last that did not.
    fails: AtomicU32,
    is_probing: AtomicBool,
}

impl Health {
    pub(super) const fn new() -> Self {
        Self { fails: AtomicU32::new(0), is_probing: AtomicBool::new(false) }
    }

    /// Probes that failed since the last that did not.
    pub fn fails(&self) -> u32 {
        self.fails.load(Ordering::Relaxed)
    }

    /// True if more than `max_fails` probes failed in a row; with `max_fails` 0 an upstream is never down.
    pub fn is_down(&self, max_fails: u32) -> bool {
        max_fails != 0 && self.fails() > max_fails
    }
}

/// Takes note that a probe is over, also when its runtime ends.
struct Probing(Arc<Shared>);

impl Drop for Probing {
    fn drop(&mut self) {
        self.0.health.is_probing.store(false, Ordering::Release);
    }
}

pub(super) fn start_probing(shared: &Arc<Shared>) {
    let health = &shared.health;
    if health.is_probing.load(Ordering::Relaxed) || health.is_probing.swap(true, Ordering::Acquire) {
        return;
    }
    let probing = Probing(Arc::clone(shared));
    tokio::task::spawn_local(async move {
        let shared = &probing.0;
        let pause = shared.config.probe.interval.max(INTERVAL_MIN);
        while !shared.is_closed() {
            let result = tokio::time::timeout(TIMEOUT, ask(shared)).await;
            if matches!(result, Ok(Ok(()))) {
                shared.health.fails.store(0, Ordering::Relaxed);
                return;
            }
            shared.probe_failures.inc();
            // Saturating: after four billion probes it is still down.
            let more = |fails: u32| Some(fails.saturating_add(1));
            let _ = shared.health.fails.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
            tokio::time::sleep(pause).await;
        }
    });
}

/// Asks once; any message with our ID is a sign of life.
async fn ask(shared: &Shared) -> io::Result<()> {
    let config = &shared.config;
    let id = worker::with_random(super::Random::next_u16);
    let query = compose(&config.probe, id);
    let is_ours = |message: &[u8]| message.len() >= HEADER_LEN && header::id(message) == id;
    match config.probe.transport {
        Transport::Udp => {
            let socket = socket::udp_connected(config.address, config.source_address)?;
            let socket = UdpSocket::from_std(socket)?;
            socket.send(&query).await?;
            let mut buffer = [0; HEADER_LEN];
            loop {
                // The rest of the message is cut off: its header says enough.
                let len = socket.recv(&mut buffer).await?;
                if is_ours(&buffer[..len]) {
                    return Ok(());
                }
            }
        }
        Transport::Tcp => {
            let socket = match config.address {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            if let Some(source) = config.source_address {
                socket.bind(SocketAddr::new(source, 0))?;
            }
            let mut stream = socket.connect(config.address).await?;
            let mut framed = (query.len() as u16).to_be_bytes().to_vec();
            framed.extend_from_slice(&query);
            stream.write_all(&framed).await?;
            let mut buffer = [0; 2 + HEADER_LEN];
            stream.read_exact(&mut buffer).await?;
            if is_ours(&buffer[2..]) { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
        }
    }
}

fn compose(probe: &Probe, id: u16) -> Vec<u8> {
    let mut wire = vec![0; HEADER_LEN];
    header::set_id(&mut wire, id);
    Flags(0).with(Flags::RD, probe.recursion).write(&mut wire);
    header::set_count(&mut wire, 0, 1);
    wire.extend_from_slice(probe.domain.as_bytes());
    wire.extend_from_slice(&Rtype::NS.0.to_be_bytes());
    wire.extend_from_slice(&Class::IN.0.to_be_bytes());
    wire
}

/// How long a probe may take.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Probes are at least so far apart, also where the configuration says zero: a refused probe fails at once, and its successor would
/// follow without end.
const INTERVAL_MIN: Duration = Duration::from_millis(10);
