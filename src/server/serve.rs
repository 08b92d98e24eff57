//! From the bytes of a message to its answer, the same for every way it may have come.

use std::sync::Arc;

use super::{finish, guard};
use crate::chain::driver::{self, Waiting};
use crate::chain::{Block, Query, Response, Router};
use crate::wire::query::Rejection;
use crate::wire::{Rcode, compose, edns, header};

/// What became of a message.
pub(super) enum Served {
    /// The answer stands in the response, finished.
    Answer,
    /// It is met with silence.
    Silence,
    /// The query waits.
    Waiting(Arc<Block>, Waiting),
}

/// Answers the message `wire`, about whose sender `query` already knows. `response` must be empty.
pub(super) fn serve(router: &Arc<Router>, wire: &[u8], query: &mut Query, response: &mut Response) -> Served {
    match take_up(router, wire, query, response) {
        Ok(block) => run(router, block, query, response),
        Err(served) => served,
    }
}

/// The first half of [`serve`]: reads the message and finds the block that will answer it, unless it is answered already.
pub(super) fn take_up<'a>(
    router: &'a Arc<Router>,
    wire: &[u8],
    query: &mut Query,
    response: &mut Response,
) -> Result<&'a Arc<Block>, Served> {
    if let Err(rejection) = query.take_up(wire) {
        return Err(match rejection {
            Rejection::Silence => Served::Silence,
            Rejection::Rcode(rcode) => {
                compose::bare_header(response.wire_vec(), wire, rcode == Rcode::NOTIMP, rcode);
                Served::Answer
            }
        });
    }
    if let Some(client) = query.edns()
        && client.version != 0
    {
        bad_version(query, response);
        return Err(Served::Answer);
    }
    router.find(query).ok_or_else(|| {
        response.fail(Rcode::REFUSED, None);
        finished_dropped(router, query, response)
    })
}

/// The second half of [`serve`].
pub(super) fn run(
    router: &Arc<Router>,
    block: &Arc<Block>,
    query: &mut Query,
    response: &mut Response,
) -> Served {
    let ran = if router.debug {
        Some(driver::run(router, block, 0, query, response))
    } else {
        guard::guarded(router.server, router.stacktrace, || driver::run(router, block, 0, query, response))
    };
    match ran {
        Some(None) => finished(query, response),
        Some(Some(waiting)) => Served::Waiting(Arc::clone(block), waiting),
        None => {
            response.fail(Rcode::SERVFAIL, None);
            finished_dropped(router, query, response)
        }
    }
}

/// Waits for the answer of a query that [`serve`] left waiting; returns whether there is one to send.
pub(super) async fn serve_late(
    router: Arc<Router>,
    block: Arc<Block>,
    waiting: Waiting,
    query: &mut Query,
    response: &mut Response,
) -> bool {
    let work = driver::resume(&router, block, waiting, query, response);
    if router.debug {
        work.await;
    } else if guard::guarded_future(router.server, router.stacktrace, work).await.is_none() {
        response.fail(Rcode::SERVFAIL, None);
        return matches!(finished_dropped(&router, query, response), Served::Answer);
    }
    finish::finish(query, response)
}

/// As [`finished`], for a query that came to no chain or whose chain broke.
fn finished_dropped(router: &Router, query: &Query, response: &mut Response) -> Served {
    let rcode = response.rcode().unwrap_or_default();
    let served = finished(query, response);
    if let Some(dropped) = &router.dropped {
        dropped.count_dropped(query, rcode, response.wire().len());
    }
    served
}

fn finished(query: &Query, response: &mut Response) -> Served {
    if finish::finish(query, response) { Served::Answer } else { Served::Silence }
}

/// BADVERS with an OPT record of version 0 (RFC 6891 6.1.3).
fn bad_version(query: &Query, response: &mut Response) {
    let flags = compose::reply_flags(query.flags()).with_rcode(Rcode::BADVERS);
    let wire = response.wire_vec();
    compose::start(wire, query.wire(), query.question_end(), flags);
    edns::append(wire, 0, (Rcode::BADVERS.0 >> 4) as u8, false, &[]);
    header::set_count(wire, 3, 1);
}
