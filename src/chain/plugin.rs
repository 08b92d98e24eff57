//! What a plugin is.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::driver::{Below, Top};
use super::{Block, Query, Response, Router};
use crate::wire::Rcode;

/// A plugin as it stands in a block's chain: shared by all workers, immutable but for what it guards itself.
///
/// Both hooks run inside a worker's batch, on the way of every query: they must not block, wait or lock what another thread may hold
/// long. What takes time goes into the future of [`Step::Later`].
pub trait Plugin: Send + Sync {
    /// Called on the way down, in the order of the chain. A plugin that lets the query pass says [`Step::Next`]; one that
    /// answers writes into `response`, which is empty, and says [`Step::Respond`].
    fn on_query(&self, cx: &Cx<'_>, query: &mut Query, response: &mut Response) -> Step {
        let _ = (cx, query, response);
        Step::Next
    }

    /// Called on the way up for each plugin that was passed, last first, if [`Self::sees_responses`]. `response` may be an answer
    /// ([`super::State::Written`]), a failure that the server will write once everybody has seen it, or a drop.
    fn on_response(&self, cx: &Cx<'_>, query: &mut Query, response: &mut Response) {
        let _ = (cx, query, response);
    }

    /// Called for queries that will come to [`Self::on_query`] soon, or to a plugin before this one: asks for the memory that will be looked at
    /// ([`crate::net::ahead`]), and does nothing else. A look-up among many names waits for memory longer than for all the rest, and
    /// so waits while other queries are answered. It runs outside every guard: it must not panic.
    fn look_ahead(&self, query: &Query, ahead: Ahead) {
        let _ = (query, ahead);
    }

    /// Whether [`Self::look_ahead`] does anything; asked once, when the chain is built. Only the first such plugin of a chain is asked.
    fn looks_ahead(&self) -> bool {
        false
    }

    /// Whether [`Self::on_query`] does anything; asked once, when the chain is built. Where it does not, the chain passes by.
    fn sees_queries(&self) -> bool {
        true
    }

    /// Whether [`Self::on_response`] does anything; asked once, when the chain is built.
    fn sees_responses(&self) -> bool {
        false
    }
}

/// How far ahead a query is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// Two queries: time to ask for the place in a table.
    Two,
    /// One: what was asked for before is there, and says where the rest is.
    One,
}

/// What a plugin says on the way down.
pub enum Step {
    /// Not mine: ask the next plugin.
    Next,
    /// The answer stands in the response.
    Respond,
    /// Nothing was written; the server answers with this code (SERVFAIL, REFUSED, FORMERR, NOTIMP; any other means no answer), and the
    /// failure's text is for `errors`.
    Fail(Rcode, Option<Failure>),
    /// No answer will be sent at all.
    Drop,
    /// The query waits for something: the worker moves it into a task and goes on with the next one.
    Later(Later),
}

/// The future of a [`Step::Later`]; it runs on the worker that took the query, so it need not be [`Send`]. It owns what it needs: the
/// query itself waits beside it.
pub type Later = Pin<Box<dyn Future<Output = Late>>>;

/// What a [`Later`] comes to.
pub enum Late {
    /// Ask the next plugin.
    Next,
    /// This is the answer.
    Respond(Response),
    /// As [`Step::Fail`].
    Fail(Rcode, Option<Failure>),
    /// As [`Step::Drop`].
    Drop,
}

/// Why no answer was written, in the words that `errors` logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(pub Cow<'static, str>);

impl Failure {
    /// A failure with that text.
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where in which chain a hook is running.
#[derive(Clone, Copy)]
pub struct Cx<'a> {
    /// The routing table of the listener that the query came to.
    pub router: &'a Arc<Router>,
    /// The block whose chain is running.
    pub block: &'a Arc<Block>,
    /// The place of the running plugin in the block's chain.
    pub index: usize,
}

impl Cx<'_> {
    /// A way to ask the plugins below the running one.
    pub fn below(&self) -> Below {
        Below { router: Arc::clone(self.router), block: Arc::clone(self.block), from: self.index + 1 }
    }

    /// Whether no plugin stands below the running one.
    pub fn is_last(&self) -> bool {
        self.index + 1 >= self.block.chain.len()
    }

    /// A way to ask the whole listener again, as for the target of an alias.
    pub fn top(&self) -> Top {
        Top { router: Arc::clone(self.router) }
    }
}
