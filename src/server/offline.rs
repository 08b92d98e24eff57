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
