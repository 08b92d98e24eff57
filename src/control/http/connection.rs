//! Connections of one listener: taken up to a number, answered, and ended when a client is too slow.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{ALLOW, CONNECTION, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::{Method, StatusCode};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::patient::{Patient, RuntimeTimer};
use super::{Reply, Request, Route, find};
use crate::control::shutdown::Stop;

/// Connections that a listener has at a time; over it, the one whose client has asked nothing for longest gives way. So whoever keeps
/// connections open cannot keep a probe out, whose failure ends the process in a cluster.
pub const CONNECTIONS_MAX: usize = 64;

/// The largest head of a request, bytes; over it the answer is 431.
pub const HEAD_BYTES_MAX: usize = 16 << 10;

/// Header fields of a request; over it the answer is 431.
const HEADERS_MAX: usize = 64;

/// How long a client may take to send a request, to send the next one on the same connection, and to read a response: CoreDNS's limits.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How often a listener that is full says so.
const FULL_AGAIN: Duration = Duration::from_secs(60);

/// How long nothing is taken after the kernel had no descriptor for a connection.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// What is served on a listener; a reload exchanges it.
pub(super) type Routes = ArcSwap<Vec<Route>>;

/// A listening socket that can be closed at once, whoever waits for its connections.
pub(super) struct Socket(Mutex<Option<TcpListener>>);

impl Socket {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self(Mutex::new(Some(listener)))
    }

    /// The listener, until it is closed.
    pub(super) fn get(&self) -> MutexGuard<'_, Option<TcpListener>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the listener: connections are refused from here on.
    pub(super) fn close(&self) {
        self.get().take();
    }

    /// The next connection; none ever once the listener is closed.
    async fn accept(&self) -> io::Result<TcpStream> {
        let accepted = poll_fn(|cx| match &*self.get() {
            Some(listener) => listener.poll_accept(cx),
            None => Poll::Pending,
        });
        accepted.await.map(|(stream, _)| stream)
    }
}

/// Takes connections of `socket` until the task is aborted.
pub(super) async fn accept(socket: Arc<Socket>, routes: Arc<Routes>, stop: Stop) {
    let mut places: Vec<Place> = Vec::with_capacity(CONNECTIONS_MAX);
    let mut displaced = Displaced::default();
    let begun = Instant::now();
    loop {
        let Ok(stream) = socket.accept().await else {
            tokio::time::sleep(AFTER_FAILURE).await;
            continue;
        };
        places.retain(|place| !place.task.is_finished());
        if places.len() >= CONNECTIONS_MAX {
            let longest = places.iter().enumerate().min_by_key(|(_, place)| place.asked.get());
            if let Some(at) = longest.map(|(at, _)| at) {
                places.remove(at).task.abort();
                displaced.one_more(&stream);
            }
            // However many connections wait to be taken, those that were get their turn before the next.
            tokio::task::yield_now().await;
        }
        let asked = Asked::now(begun);
        let task = tokio::spawn(serve(stream, Arc::clone(&routes), stop.clone(), asked.clone()));
        places.push(Place { asked, task: task.abort_handle() });
    }
}

/// A connection that is open.
struct Place {
    asked: Asked,
    task: AbortHandle,
}

/// When a client has last asked something, or connected: nanoseconds since its listener was opened.
#[derive(Clone)]
struct Asked {
    since: Instant,
    last: Arc<AtomicU64>,
}

impl Asked {
    fn now(since: Instant) -> Self {
        let asked = Self { since, last: Arc::default() };
        asked.again();
        asked
    }

    fn again(&self) {
        let passed = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.last.store(passed, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }
}

/// Connections that had to give way since a line said so.
#[derive(Default)]
struct Displaced {
    count: u64,
    said: Option<Instant>,
}

impl Displaced {
    /// One more, for `stream`.
    fn one_more(&mut self, stream: &TcpStream) {
        self.count += 1;
        let now = Instant::now();
        if self.said.is_none_or(|said| now.duration_since(said) >= FULL_AGAIN) {
            let address = stream.local_addr().map_or_else(|_| "HTTP".to_owned(), |a| a.to_string());
            let count = std::mem::take(&mut self.count);
            tracing::warn!(
                "{address} has {CONNECTIONS_MAX} HTTP connections, its most; closed for new ones: {count}"
            );
            self.said = Some(now);
        }
    }
}

async fn serve(stream: TcpStream, routes: Arc<Routes>, mut stop: Stop, asked: Asked) {
    let stream = Arc::new(stream);
    let watched = Arc::clone(&stream);
    let service = hyper::service::service_fn(move |request| {
        asked.again();
        let (routes, stream) = (Arc::clone(&routes), Arc::clone(&watched));
        async move { Ok::<_, Infallible>(answer(&routes, &stream, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(RuntimeTimer)
        .header_read_timeout(PATIENCE)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .half_close(true)
        .serve_connection(Patient::new(stream, PATIENCE), service);
    tokio::pin!(connection);
    tokio::select! {
        // What goes wrong with a connection is its client's affair.
        _ = connection.as_mut() => return,
        () = stop.stopped() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// Waits until the client has closed the connection, or its side of it.
async fn gone(stream: &TcpStream) {
    if let Ok(1..) = stream.peek(&mut [0]).await {
        // It has sent more, behind which its going could not be seen.
        std::future::pending().await
    }
}

async fn answer(
    routes: &Routes,
    stream: &TcpStream,
    request: hyper::Request<Incoming>,
) -> hyper::Response<Whole> {
    let (head, body) = request.into_parts();
    let handler = find(&routes.load(), head.uri.path()).map(|route| Arc::clone(&route.handler));
    let mut response = match handler {
        None => response_of(Reply::not_found()),
        Some(_) if head.method != Method::GET && head.method != Method::HEAD => {
            let mut response = response_of(Reply::text(405, "Method Not Allowed\n"));
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        }
        Some(handler) => {
            let path = head.uri.path().to_owned();
            let query = head.uri.query().unwrap_or_default().to_owned();
            // A client may have sent many requests at once: the others' turn comes between any two of them.
            tokio::task::yield_now().await;
            let reply = tokio::select! {
                biased;
                reply = handler(Request { path, query }) => reply,
                // Nobody waits for what is being made.
                () = gone(stream) => Reply::text(400, "the client has closed its side\n"),
            };
            response_of(reply)
        }
    };
    if !body.is_end_stream() {
        // Nobody reads it, so what comes next on the connection could not be told from it.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn response_of(reply: Reply) -> hyper::Response<Whole> {
    let mut response =
        hyper::Response::new(Whole(Some(reply.body.into()).filter(|body: &Bytes| !body.is_empty())));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in reply.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// A body in one piece.
struct Whole(Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|body| Ok(Frame::data(body))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, Bytes::len) as u64)
    }
}
