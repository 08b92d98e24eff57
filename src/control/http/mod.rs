//! Pages over HTTP/1.1 for probes, scrapers and people: what `health`, `ready`, `prometheus` and `pprof` show.
//!
//! ```text
//!  Listeners (listeners.rs)   one for each address; apply exchanges what is served, sockets stay
//!    └─ accept, at most CONNECTIONS_MAX at a time (connection.rs, with its limits in time: patient.rs)
//!         └─ Guard, if there is one (guard.rs): TLS (secure.rs), who may ask
//!              └─ Route: path ─▶ Handler ─▶ Reply
//! ```
//!
//! Everything is bounded: connections, the size of a request's head, and how long a client may take to send or to read. Requests have
//! no bodies here, and GET and HEAD are the only methods.

mod connection;
mod fetch;
mod guard;
mod listeners;
mod patient;
#[cfg(feature = "tls")]
mod secure;
#[cfg(test)]
mod tests;
mod watched;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub use connection::{CONNECTIONS_MAX, HEAD_BYTES_MAX, PATIENCE};
pub use fetch::{Fetched, get};
pub use guard::{Admission, Admitting, Guard, Served, Stream, Taking};
pub use listeners::{Listeners, OpenError, Opened};
#[cfg(feature = "tls")]
pub use secure::secure;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The path, as it came: `/metrics`.
    pub path: String,
    /// What stands behind the question mark; empty without one.
    pub query: String,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status code, 200 to 599.
    pub status: u16,
    /// Header fields besides those about the length and the date.
    pub headers: Vec<(&'static str, String)>,
    /// The body; HEAD leaves it out.
    pub body: Vec<u8>,
}

impl Reply {
    /// A reply with this body.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("content-type", content_type.to_owned())], body: body.into() }
    }

    /// A reply in plain text.
    pub fn text(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    /// The same with one more header field.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The reply to a path that nobody serves, in the words of Go's server.
    pub fn not_found() -> Self {
        Self::text(404, "404 page not found\n").header("x-content-type-options", "nosniff")
    }
}

/// A reply that is being made.
pub type Replying = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// Answers requests. It runs on the control plane and must not block there for long. What is not there at once is dropped when the client
/// goes away, or closes its side.
pub type Handler = Arc<dyn Fn(Request) -> Replying + Send + Sync>;

/// A handler that has its reply at once.
pub fn at_once(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Handler {
    Arc::new(move |request| Box::pin(std::future::ready(reply(&request))))
}

/// A path and who answers there.
#[derive(Clone)]
pub struct Route {
    /// The path, such as `/metrics`. One that ends in a slash stands for all below it that has no route of its own.
    pub path: &'static str,
    /// Who answers.
    pub handler: Handler,
    /// Whether it is gone as soon as the process is told to end, while others go on until DNS itself has ended.
    pub ends_at_once: bool,
}

impl Route {
    fn takes(&self, path: &str) -> bool {
        if self.path.ends_with('/') { path.starts_with(self.path) } else { path == self.path }
    }
}

/// The route for `path`: the longest.
fn find<'a>(routes: &'a [Route], path: &str) -> Option<&'a Route> {
    routes.iter().filter(|route| route.takes(path)).max_by_key(|route| route.path.len())
}
