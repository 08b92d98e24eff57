//! The query that is sent to ourselves.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

use super::Loop;
use crate::log;
use crate::upstream::Random;
use crate::wire::{Class, Flags, Name, Rtype, header};

/// How long it is tried to get an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one answer is waited for.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// The time between a failure and the next attempt.
const PAUSE: Duration = Duration::from_secs(1);

/// So many attempts in a row that were sent back and not answered are a loop too: the query is held by a server that sends no second one
/// like it while the first is on its way. (CoreDNS does not notice these.)
const RETURNS: u32 = 2;

/// Asks `target` for `name` until there is an answer, but not for long; then `plugin` looks for nothing any more. In a loop there is
/// no answer, and the query comes back before the time is over.
pub(super) async fn run(plugin: Arc<Loop>, target: SocketAddr, name: Name) {
    // That nobody answers is no loop: the upstream may be away.
    if let Ok(Some(returned_by)) = timeout(PATIENCE, look(&plugin, target, &name)).await {
        log::fatal(&plugin.complaint(returned_by));
    }
    plugin.end();
}

/// Asks until there is an answer, or a loop that stands still; returns who sends the query back there.
async fn look(plugin: &Loop, target: SocketAddr, name: &Name) -> Option<SocketAddr> {
    let mut returns = 0;
    plugin.begin();
    loop {
        if matches!(timeout(READ_TIMEOUT, exchange(target, name)).await, Ok(Ok(()))) {
            return None;
        }
        sleep(PAUSE).await;
        let returned_by = plugin.begin();
        returns = if returned_by.is_some() { returns + 1 } else { 0 };
        if returns == RETURNS {
            return returned_by;
        }
    }
}

/// Sends the query and waits for its response, whatever that says.
async fn exchange(target: SocketAddr, name: &Name) -> io::Result<()> {
    let any: IpAddr =
        if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(target).await?;
    let id = Random::kernel().next_u16();
    socket.send(&query(id, name)).await?;
    let mut response = [0; 512];
    loop {
        let len = socket.recv(&mut response).await?;
        let response = &response[..len];
        if header::id(response) == id && Flags::of(response).has(Flags::QR) {
            return Ok(());
        }
    }
}

/// A query for HINFO with RD set.
fn query(id: u16, name: &Name) -> Vec<u8> {
    let mut wire = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    header::set_id(&mut wire, id);
    wire.extend_from_slice(name.as_bytes());
    wire.extend_from_slice(&Rtype::HINFO.0.to_be_bytes());
    wire.extend_from_slice(&Class::IN.0.to_be_bytes());
    wire
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use super::*;

    fn plugin() -> Arc<Loop> {
        let zone = Name::root();
        Arc::new(Loop {
            name: super::super::random_name(&zone, &mut Random::fixed(1)),
            zone,
            address: String::new(),
            arrivals: AtomicU32::new(2),
            returned_by: Mutex::default(),
            is_on: AtomicBool::new(true),
        })
    }

    #[tokio::test]
    async fn it_asks_until_there_is_an_answer() {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let plugin = plugin();
        let name = plugin.name.clone().unwrap();
        let run = run(Arc::clone(&plugin), server.local_addr().unwrap(), name.clone());
        let answer = async {
            let mut wire = [0; 512];
            let (len, client) = server.recv_from(&mut wire).await.unwrap();
            let wire = &mut wire[..len];
            assert_eq!(wire, query(header::id(wire), &name));
            assert_eq!(plugin.arrivals.load(Ordering::Relaxed), 0, "it counts from here");
            // What is no response, and what answers something else, is passed over.
            server.send_to(wire, client).await.unwrap();
            wire[2] |= 0x80;
            wire[0] ^= 1;
            server.send_to(wire, client).await.unwrap();
            server.send_to(b"", client).await.unwrap();
            assert!(plugin.is_on.load(Ordering::Relaxed));
            wire[0] ^= 1;
            server.send_to(wire, client).await.unwrap();
        };
        tokio::join!(run, answer);
        assert!(!plugin.is_on.load(Ordering::Relaxed));
    }

    #[tokio::test(start_paused = true)]
    async fn a_query_that_is_sent_back_and_held_is_a_loop() {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (target, plugin) = (server.local_addr().unwrap(), plugin());
        let name = plugin.name.clone().unwrap();
        let peer: SocketAddr = "192.0.2.1:53".parse().unwrap();
        // Once, then not, then twice in a row.
        let hold = async {
            for is_returned in [true, false, true, true] {
                server.recv(&mut [0; 512]).await.unwrap();
                *plugin.returned_by() = is_returned.then_some(peer);
            }
            std::future::pending::<()>().await;
        };
        let found = tokio::select! {
            found = look(&plugin, target, &name) => found,
            () = hold => None,
        };
        assert_eq!(found, Some(peer));
    }

    #[tokio::test(start_paused = true)]
    #[allow(clippy::disallowed_methods, reason = "a test says how long something may take")]
    async fn it_gives_up_when_nobody_answers() {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let plugin = plugin();
        let start = tokio::time::Instant::now();
        run(Arc::clone(&plugin), server.local_addr().unwrap(), plugin.name.clone().unwrap()).await;
        assert_eq!(start.elapsed().as_secs(), 30);
        assert!(!plugin.is_on.load(Ordering::Relaxed));
    }
}
