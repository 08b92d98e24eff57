//! Tests of a batch whose answers find no room, and of `shed`, which counts what becomes of them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arc_swap::ArcSwap;
use socket2::SockRef;

use super::*;
use crate::chain::testing::{Answering, address, block, query_wire, router};
use crate::chain::{Block, Late, Step};
use crate::metrics::names::SHED_DROPPED;
use crate::server::listener::{ListenerSpec, Scheme, Serving};
use crate::wire::{Flags, Rtype};

/// A batch at a socket of its own, and a client of it.
struct Bench {
    socket: Rc<tokio::io::unix::AsyncFd<UdpSocket>>,
    batch: Batch,
    client: UdpSocket,
}

impl Bench {
    fn new(block: &Arc<Block>, sheds: bool) -> Self {
        let socket = socket::udp_listener((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        // The kernel makes it as small as it allows.
        SockRef::from(&socket).set_send_buffer_size(1).unwrap();
        let address = socket.local_addr().unwrap();
        let spec = ListenerSpec { sheds, ..ListenerSpec::new(Scheme::Dns, address, router(block)) };
        let state = Arc::new(ListenerState {
            address,
            serving: ArcSwap::from_pointee(Serving::of(&spec)),
            closed: AtomicBool::new(false),
        });
        let socket = Rc::new(socket::watch_for_reading(socket).unwrap());
        let replies = Rc::new(Replies::new(Rc::clone(&socket), Arc::clone(&state)));
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        client.connect(address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { socket, batch: Batch::new(state, Rc::new(WorkerShared::new(1)), replies), client }
    }

    /// Sends so many queries and lets the batch take them.
    fn ask(&mut self, count: usize) {
        for _ in 0..count {
            self.client.send(&query_wire("a.example.", Rtype::A, None)).unwrap();
        }
        // On the loopback they are there when they are sent.
        let received = self.batch.receive.recv(self.socket.get_ref().as_fd()).unwrap();
        assert_eq!(received, count);
        self.batch.answer(self.socket.get_ref(), received);
    }

    /// The response code of the next answer.
    fn answer(&self) -> Rcode {
        let mut bytes = [0; 512];
        let len = self.client.recv(&mut bytes).unwrap();
        Flags::of(&bytes[..len]).rcode()
    }

    /// Fills the send buffer with a datagram that is never finished, until [`Self::make_room`] finishes it.
    fn fill(&self) {
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let socket = SockRef::from(self.socket.get_ref());
        socket.send_to_with_flags(&[0; 4000], &to.into(), libc::MSG_MORE).unwrap();
        assert!(!socket::has_room(self.socket.get_ref().as_fd()));
    }

    fn make_room(&self) {
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        self.socket.get_ref().send_to(&[], to).unwrap();
        assert!(socket::has_room(self.socket.get_ref().as_fd()));
    }
}

/// What was dropped for want of room so far: queries and answers.
fn dropped() -> [u64; 2] {
    ["query", "response"].map(|reason| SHED_DROPPED.with(["dns://:53", reason]).get())
}

fn in_runtime(work: impl AsyncFnOnce()) {
    let options = tokio::runtime::LocalOptions::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(options).unwrap();
    runtime.block_on(work());
}

/// One test, as all of it counts the same series.
#[test]
fn what_shed_drops_is_counted() {
    in_runtime(async || {
        let before = dropped();
        let since = || {
            let [queries, responses] = dropped();
            [queries - before[0], responses - before[1]]
        };
        let mut bench = Bench::new(&block(vec![("whoami", address(60))]), true);
        bench.ask(3);
        assert_eq!([0; 3].map(|_| bench.answer()), [Rcode::NOERROR; 3]);

        // While there is no room queries are dropped unread; then they are answered again.
        bench.fill();
        bench.batch.is_full = true;
        bench.ask(5);
        bench.ask(2);
        assert_eq!(since(), [7, 0]);
        bench.make_room();
        bench.ask(1);
        assert_eq!((bench.answer(), since()), (Rcode::NOERROR, [7, 0]));

        // A late answer that the kernel does not take.
        let nowhere = Peer::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        bench.batch.replies.push(false, vec![0; 12], nowhere, None);
        bench.batch.replies.flush();
        assert_eq!(since(), [7, 1]);

        // A query that nothing is left to wait with.
        let waits =
            || Answering(|_: &mut Query, _: &mut Response| Step::Later(Box::pin(async { Late::Drop })));
        let mut bench = Bench::new(&block(vec![("waits", Arc::new(waits()))]), true);
        let places: Vec<_> = std::iter::from_fn(|| bench.batch.shared.place()).collect();
        bench.ask(2);
        assert_eq!(since(), [9, 1]);
        drop(places);

        // Without shed it is refused, what finds no room is tried, and nothing is counted.
        let mut bench = Bench::new(&block(vec![("waits", Arc::new(waits()))]), false);
        let places: Vec<_> = std::iter::from_fn(|| bench.batch.shared.place()).collect();
        bench.batch.is_full = true;
        bench.ask(1);
        assert_eq!((bench.answer(), since()), (Rcode::REFUSED, [9, 1]));
        drop(places);
    });
}
