//! The loop over a chain: down from plugin to plugin until one answers, then up through those that look at responses.
//!
//! Invariant: this is the one place that knows the order.

use std::sync::Arc;

use super::{Block, Cx, Failure, Late, Later, Query, Response, Router, Step, clock};
use crate::wire::{Name, Rcode};

/// How deep queries may ask queries of their own (CNAME targets, autopath …) before the answer is SERVFAIL.
pub const DEPTH_MAX: u8 = 8;

/// A query that waits for a [`Later`].
pub struct Waiting {
    from: usize,
    at: usize,
    later: Later,
}

/// Runs the chain of `block` from place `from` on. `None`: the response is complete and everybody has seen it. Otherwise the query waits, and
/// [`resume`] goes on.
pub fn run(
    router: &Arc<Router>,
    block: &Arc<Block>,
    from: usize,
    query: &mut Query,
    response: &mut Response,
) -> Option<Waiting> {
    descend(router, block, from, from, query, response).map(|(at, later)| Waiting { from, at, later })
}

/// Waits for what [`run`] left open, and for whatever comes after it, until the response is complete.
pub async fn resume(
    router: &Arc<Router>,
    block: Arc<Block>,
    waiting: Waiting,
    query: &mut Query,
    response: &mut Response,
) {
    let Waiting { from, mut at, mut later } = waiting;
    loop {
        let name = block.chain[at].name;
        match in_time(&block, query, later).await {
            Late::Next => match descend(router, &block, from, at + 1, query, response) {
                Some((next_at, next)) => {
                    (at, later) = (next_at, next);
                    continue;
                }
                None => return,
            },
            Late::Respond(mut answer) => {
                std::mem::swap(response, &mut answer);
                response.set_by(name, at);
            }
            Late::Fail(rcode, failure) => {
                response.fail(rcode, failure);
                response.set_by(name, at);
            }
            Late::Drop => response.drop_silently(),
        }
        return ascend(router, &block, from, at, query, response);
    }
}

/// Waits for `later`, but no longer than the block has patience with `query`. Dropped, it takes back what it has under way.
async fn in_time(block: &Block, query: &Query, later: Later) -> Late {
    let Some(patience) = block.patience else { return later.await };
    let left = patience.saturating_sub(clock::now().since(query.now));
    let late = tokio::time::timeout(left, later).await;
    late.unwrap_or_else(|_| Late::Fail(Rcode::SERVFAIL, Some(Failure::new("context deadline exceeded"))))
}

/// Goes down from place `at`; on an answer goes up to place `from`. Returns what to wait for, if a plugin said so.
fn descend(
    router: &Arc<Router>,
    block: &Arc<Block>,
    from: usize,
    mut at: usize,
    query: &mut Query,
    response: &mut Response,
) -> Option<(usize, Later)> {
    loop {
        // Behind the last place there is nothing to look for.
        at = block.downward.get(at).map_or(at, |next| usize::from(*next));
        let Some(link) = block.chain.get(at) else {
            let last = block.chain.last().map_or("", |link| link.name);
            response
                .fail(Rcode::SERVFAIL, Some(Failure::new(format!("plugin/{last}: no next plugin found"))));
            break;
        };
        match link.plugin.on_query(&Cx { router, block, index: at }, query, response) {
            Step::Next => {
                at += 1;
                continue;
            }
            Step::Respond => response.set_by(link.name, at),
            Step::Fail(rcode, failure) => {
                response.fail(rcode, failure);
                response.set_by(link.name, at);
            }
            Step::Drop => response.drop_silently(),
            Step::Later(later) => return Some((at, later)),
        }
        break;
    }
    ascend(router, block, from, at, query, response);
    None
}

fn ascend(
    router: &Arc<Router>,
    block: &Arc<Block>,
    from: usize,
    at: usize,
    query: &mut Query,
    response: &mut Response,
) {
    for &place in block.upward.iter().rev() {
        let index = usize::from(place);
        if index < from {
            break;
        }
        if index < at {
            block.chain[index].plugin.on_response(&Cx { router, block, index }, query, response);
        }
    }
}

/// A way to ask the plugins below a place in a chain: for refreshes, verification, search paths.
#[derive(Clone)]
pub struct Below {
    pub(super) router: Arc<Router>,
    pub(super) block: Arc<Block>,
    pub(super) from: usize,
}

impl Below {
    /// Asks, and returns the query with what came of it.
    pub async fn ask(self, mut query: Query) -> (Query, Response) {
        let mut response = Response::default();
        let Self { router, block, from } = self;
        if let Some(waiting) = run(&router, &block, from, &mut query, &mut response) {
            resume(&router, block, waiting, &mut query, &mut response).await;
        }
        (query, response)
    }
}

/// A way to ask the whole listener again: routing, views and all. The question counts as a request of its own, as CoreDNS logs and counts it.
#[derive(Clone)]
pub struct Top {
    pub(super) router: Arc<Router>,
}

/// How deep a query of our own is.
#[derive(Clone, Copy)]
pub(super) struct Depth(u8);

impl Top {
    /// Asks for `name` on behalf of `query`; SERVFAIL once [`DEPTH_MAX`] is reached.
    pub async fn ask(self, query: &Query, name: &Name, qtype: crate::wire::Rtype) -> (Query, Response) {
        let depth = query.extensions.get::<Depth>().map_or(0, |d| d.0) + 1;
        let mut own = query.asking(name, qtype);
        own.extensions.insert(Depth(depth));
        let mut response = Response::default();
        if depth > DEPTH_MAX {
            response.fail(Rcode::SERVFAIL, None);
            return (own, response);
        }
        let router = self.router;
        match Router::route(&router, &mut own) {
            Some(block) => {
                if let Some(waiting) = run(&router, &block, 0, &mut own, &mut response) {
                    // Boxed: a query may ask a query, so the future would contain itself.
                    Box::pin(resume(&router, block, waiting, &mut own, &mut response)).await;
                }
            }
            None => response.fail(Rcode::REFUSED, None),
        }
        (own, response)
    }
}
