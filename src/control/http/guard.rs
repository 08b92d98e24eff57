//! What stands before the pages of a listener: how its connections are taken up, and which requests get through.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::{Reply, Route};

/// What requests are read from and replies written to.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection that is being taken up; `None` if its client did not get through.
pub type Taking = Pin<Box<dyn Future<Output = Option<Box<dyn Stream>>> + Send>>;

/// A request that is being looked at.
pub type Admitting = Pin<Box<dyn Future<Output = Admission> + Send>>;

/// What a guard says to a request.
#[derive(Default)]
pub struct Admission {
    /// Header fields that the reply gets besides its own, whoever makes it; names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The reply if the request does not get through.
    pub refusal: Option<Reply>,
}

/// Stands before the pages of a listener. Its futures run on the control plane and must not block there.
pub trait Guard: Send + Sync {
    /// What it was made of, such as a file: two of one name are one guard.
    fn name(&self) -> &str;

    /// Whether connections are encrypted.
    fn is_secure(&self) -> bool;

    /// Makes of a connection what requests come on. Who calls it bounds the time, and drops what is not done by then.
    fn take(self: Arc<Self>, stream: TcpStream) -> Taking;

    /// Looks at a request with this field `Authorization`.
    fn admit(self: Arc<Self>, authorization: Option<Vec<u8>>) -> Admitting;
}

/// What is served on a listener.
#[derive(Clone, Default)]
pub struct Served {
    /// The pages.
    pub routes: Vec<Route>,
    /// Who stands before them; `None`: nobody, over plain HTTP.
    pub guard: Option<Arc<dyn Guard>>,
}

impl From<Vec<Route>> for Served {
    fn from(routes: Vec<Route>) -> Self {
        Self { routes, guard: None }
    }
}
