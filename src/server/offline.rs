//! Answering without sockets: the way of a query from bytes to bytes, minus the kernel.

use std::net::SocketAddr;
use std::sync::Arc;

use super::serve::{Served, serve, serve_late};
use crate::chain::{Query, Response, Router, Transport, clock};

/// Answers messages one at a time by the routing table of a listener, as its workers would: for benches, fuzzing and scripts.
pub struct Offline {
    router: Arc<Router>,
    query: Query,
    response: Response,
    /// How the messages come.
    pub transport: Transport,
    /// Who sends them.
    pub peer: SocketAddr,
    /// Where they arrive.
    pub local: SocketAddr,
}

/// What became of a message given to [`Offline::answer`].
#[derive(Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// It is answered with these bytes.
    Bytes(&'a [u8]),
    /// It is met with silence.
    Silence,
    /// The answer needs something that takes time; [`Offline::answer_later`] would wait for it.
    Later,
}

impl Offline {
    /// An answerer by `router`; messages come by UDP from and to addresses of the loopback until that is changed.
    pub fn new(router: Arc<Router>) -> Self {
        Self {
            router,
            query: Query::default(),
            response: Response::default(),
            transport: Transport::Udp,
            peer: SocketAddr::from(([127, 0, 0, 1], 40_000)),
            local: SocketAddr::from(([127, 0, 0, 1], 53)),
        }
    }

    /// Answers `wire` if that can be done at once.
    pub fn answer(&mut self, wire: &[u8]) -> Answer<'_> {
        match self.serve(wire) {
            Served::Answer => Answer::Bytes(self.response.wire()),
            Served::Silence => Answer::Silence,
            Served::Waiting(..) => Answer::Later,
        }
    }

    /// Answers `wire`, waiting for what takes time; `None` is silence. Must run in a tokio `LocalRuntime`.
    pub async fn answer_later(&mut self, wire: &[u8]) -> Option<&[u8]> {
        let answered = match self.serve(wire) {
            Served::Answer => true,
            Served::Silence => false,
            Served::Waiting(block, waiting) => {
                let router = Arc::clone(&self.router);
                serve_late(router, block, waiting, &mut self.query, &mut self.response).await
            }
        };
        answered.then(|| self.response.wire())
    }

    fn serve(&mut self, wire: &[u8]) -> Served {
        self.query.transport = self.transport;
        self.query.peer = self.peer;
        self.query.local = self.local;
        self.query.now = clock::now();
        self.response.clear();
        serve(&self.router, wire, &mut self.query, &mut self.response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::testing::{Answering, address, block, query_wire, router};
    use crate::chain::{Late, Step};
    use crate::wire::{Flags, HEADER_LEN, Rcode, Rtype, header};

    /// The response code, the counts and whether there is more than a header, in answer to `wire`.
    fn check(offline: &mut Offline, wire: &[u8], want: Option<(Rcode, [u16; 4])>) {
        let got = match offline.answer(wire) {
            Answer::Bytes(bytes) => {
                assert_eq!(header::id(bytes), header::id(wire));
                assert!(Flags::of(bytes).has(Flags::QR));
                Some((Flags::of(bytes).rcode(), header::counts(bytes)))
            }
            Answer::Silence => None,
            Answer::Later => panic!("{wire:?} was to be answered at once"),
        };
        assert_eq!(got, want, "{wire:?}");
    }

    fn served() -> Offline {
        Offline::new(router(&block(vec![("whoami", address(60))])))
    }

    fn with(wire: &[u8], at: usize, byte: u8) -> Vec<u8> {
        let mut wire = wire.to_vec();
        wire[at] = byte;
        wire
    }

    #[test]
    fn what_is_no_query_is_met_before_any_plugin() {
        let query = query_wire("a.example.", Rtype::A, None);
        let edns = query_wire("a.example.", Rtype::A, Some((1232, true)));
        let version_at = edns.len() - 5;
        let mut offline = served();
        check(&mut offline, &query, Some((Rcode::NOERROR, [1, 1, 0, 0])));
        check(&mut offline, &edns, Some((Rcode::NOERROR, [1, 1, 0, 1])));
        check(&mut offline, &query[..HEADER_LEN - 1], None);
        check(&mut offline, &with(&query, 2, 0x80), None);
        check(&mut offline, &with(&query, 2, 5 << 3), Some((Rcode::NOTIMP, [0; 4])));
        check(&mut offline, &with(&query, 5, 2), Some((Rcode::FORMERR, [0; 4])));
        check(&mut offline, &query[..query.len() - 1], Some((Rcode::FORMERR, [0; 4])));
        check(&mut offline, &with(&edns, version_at, 1), Some((Rcode(0), [1, 0, 0, 1])));
        // Class CH where nobody serves it.
        check(&mut offline, &with(&query, query.len() - 1, 3), Some((Rcode::REFUSED, [1, 0, 0, 0])));
    }

    #[test]
    fn a_panic_costs_its_query_and_is_counted() {
        let count = || crate::metrics::names::PANICS.with([]).get();
        let before = count();
        let panics =
            block(vec![("panics", Arc::new(Answering(|_: &mut Query, _: &mut Response| panic!("at once"))))]);
        let query = query_wire("a.example.", Rtype::A, None);
        super::super::install_panic_hook();
        let mut offline = Offline::new(router(&panics));
        check(&mut offline, &query, Some((Rcode::SERVFAIL, [1, 0, 0, 0])));
        let later = block(vec![(
            "panics",
            Arc::new(Answering(|_: &mut Query, _: &mut Response| {
                Step::Later(Box::pin(async { panic!("later") }))
            })),
        )]);
        let mut offline = Offline::new(router(&later));
        let runtime = tokio::runtime::Builder::new_current_thread().build_local(Default::default()).unwrap();
        let answer = runtime.block_on(offline.answer_later(&query)).map(|bytes| Flags::of(bytes).rcode());
        assert_eq!(answer, Some(Rcode::SERVFAIL));
        assert!(count() >= before + 2);
    }

    #[test]
    fn an_answer_that_comes_later_is_finished_like_any_other() {
        let later = block(vec![
            (
                "waits",
                Arc::new(Answering(|_: &mut Query, _: &mut Response| {
                    Step::Later(Box::pin(async {
                        tokio::task::yield_now().await;
                        Late::Next
                    }))
                })),
            ),
            ("whoami", address(60)),
        ]);
        let mut offline = Offline::new(router(&later));
        let query = query_wire("a.example.", Rtype::A, Some((1232, false)));
        assert_eq!(offline.answer(&query), Answer::Later);
        let runtime = tokio::runtime::Builder::new_current_thread().build_local(Default::default()).unwrap();
        let counts = runtime.block_on(offline.answer_later(&query)).map(header::counts);
        assert_eq!(counts, Some([1, 1, 0, 1]));
    }
}
