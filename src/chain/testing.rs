//! Neighbours for tests of one plugin: one that answers, one that fails, one that must not be reached.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::{Block, BlockBuilder, Cx, Failure, Plugin, Query, Response, Router, Step, driver};
use crate::wire::{Class, Edns, Name, Rcode, Rtype, Section, edns, header};

/// A query message: RD set, optionally with an OPT record of this size and DO bit.
pub fn query_wire(name: &str, qtype: Rtype, opt: Option<(u16, bool)>) -> Vec<u8> {
    let mut wire = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    // The case of `name` is kept in the wire form.
    for label in name.trim_end_matches('.').split('.').filter(|l| !l.is_empty()) {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire.extend_from_slice(&qtype.0.to_be_bytes());
    wire.extend_from_slice(&Class::IN.0.to_be_bytes());
    if let Some((size, dnssec_ok)) = opt {
        header::set_count(&mut wire, 3, 1);
        edns::append(&mut wire, size, 0, dnssec_ok, &[]);
    }
    wire
}

/// A query over UDP from 127.0.0.1.
pub fn query(name: &str, qtype: Rtype) -> Query {
    query_of(&query_wire(name, qtype, None))
}

/// The query `wire` over UDP from 127.0.0.1.
pub fn query_of(wire: &[u8]) -> Query {
    let mut query = Query::default();
    query.take_up(wire).expect("a test's query is acceptable");
    query.peer = (Ipv4Addr::LOCALHOST, 40_212).into();
    query.local = (Ipv4Addr::LOCALHOST, 53).into();
    query.now = super::clock::now();
    query
}

/// A neighbour that must not be reached.
pub struct Unreachable;

impl Plugin for Unreachable {
    fn on_query(&self, _: &Cx<'_>, query: &mut Query, _: &mut Response) -> Step {
        panic!("{} reached the neighbour that must not be reached", query.name());
    }
}

/// A neighbour that answers through a function.
pub struct Answering<F>(pub F);

impl<F: Fn(&mut Query, &mut Response) -> Step + Send + Sync> Plugin for Answering<F> {
    fn on_query(&self, _: &Cx<'_>, query: &mut Query, response: &mut Response) -> Step {
        (self.0)(query, response)
    }
}

/// A neighbour that answers every query with one address record of this TTL.
pub fn address(ttl: u32) -> Arc<dyn Plugin> {
    Arc::new(Answering(move |query: &mut Query, response: &mut Response| {
        response.start(query, false, Rcode::NOERROR);
        response.push(Section::Answer, None, Rtype::A, Class::IN, ttl, &[192, 0, 2, 1]);
        Step::Respond
    }))
}

/// A neighbour that fails with this code and text.
pub fn failing(rcode: Rcode, text: &'static str) -> Arc<dyn Plugin> {
    Arc::new(Answering(move |_: &mut Query, _: &mut Response| Step::Fail(rcode, Some(Failure::new(text)))))
}

/// A chain of these plugins, named by their place.
pub fn block(plugins: Vec<(&'static str, Arc<dyn Plugin>)>) -> Arc<Block> {
    let mut builder = BlockBuilder::default();
    for (name, plugin) in plugins {
        builder.push(name, plugin);
    }
    Arc::new(builder.build())
}

/// A router whose root zone is served by `block`.
pub fn router(block: &Arc<Block>) -> Arc<Router> {
    let mut router = Router::new("dns://:53");
    router.add(&Name::root(), block, "", None);
    Arc::new(router)
}

/// Asks the chain; everything has to be answered at once.
pub fn ask(block: &Arc<Block>, query: &mut Query) -> Response {
    let mut response = Response::default();
    let router = router(block);
    query.server = router.server;
    query.zone = ".";
    let waiting = driver::run(&router, block, 0, query, &mut response);
    assert!(waiting.is_none(), "{} was to be answered at once", query.name());
    response
}

/// Asks the chain and waits; call it in a tokio `LocalRuntime` or `LocalSet`.
pub async fn ask_later(block: &Arc<Block>, query: &mut Query) -> Response {
    let mut response = Response::default();
    let router = router(block);
    query.server = router.server;
    query.zone = ".";
    if let Some(waiting) = driver::run(&router, block, 0, query, &mut response) {
        driver::resume(router, Arc::clone(block), waiting, query, &mut response).await;
    }
    response
}

/// The EDNS facts of a query that has them, for assertions.
pub fn edns_of(query: &Query) -> Edns {
    query.edns().cloned().expect("the query has an OPT record")
}
