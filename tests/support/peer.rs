//! A name server that others wrote: hickory-server, with a zone in memory.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hickory_proto::rr::{Name, Record};
use hickory_server::Server;
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use tokio::sync::oneshot;

use super::{PATIENCE, next_port};

/// A primary for one zone, over UDP and TCP; gone when dropped.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Peer {
    /// Serves `records`, the zone's SOA among them, as the zone `origin`.
    pub(crate) fn start(origin: &str, records: Vec<Record>) -> Self {
        let origin = Name::from_ascii(origin).expect("a name of a test is one");
        let mut zone: InMemoryZoneHandler =
            InMemoryZoneHandler::empty(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny);
        for record in records {
            let text = record.to_string();
            assert!(zone.upsert_mut(record, 1), "the zone takes {text}");
        }
        let mut catalog = Catalog::new();
        catalog.upsert(origin.into(), vec![Arc::new(zone)]);
        let (udp, tcp) = std::iter::repeat_with(next_port)
            .find_map(|port| bind((Ipv4Addr::LOCALHOST, port).into()))
            .expect("ports are without end");
        let address = tcp.local_addr().expect("a bound socket has an address");
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || serve(catalog, udp, tcp, stopped));
        Self { address, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn bind(address: SocketAddr) -> Option<(UdpSocket, TcpListener)> {
    UdpSocket::bind(address).ok().zip(TcpListener::bind(address).ok())
}

fn serve(catalog: Catalog, udp: UdpSocket, tcp: TcpListener, stopped: oneshot::Receiver<()>) {
    /// Answers of one connection that may wait to be written.
    const ANSWERS: usize = 32;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut server = Server::new(catalog);
        udp.set_nonblocking(true).expect("an open socket");
        tcp.set_nonblocking(true).expect("an open socket");
        server.register_socket(tokio::net::UdpSocket::from_std(udp).expect("an open socket"));
        let listener = tokio::net::TcpListener::from_std(tcp).expect("an open socket");
        server.register_listener(listener, PATIENCE, ANSWERS);
        // The sender is dropped when the peer is.
        let _ = stopped.await;
    });
    runtime.shutdown_timeout(Duration::ZERO);
}
