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
use hyper::header::{ALLOW, AUTHORIZATION, CONNECTION, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::{Method, StatusCode};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::patient::{Patient, RuntimeTimer};
use super::watched::Watched;
use super::{Admission, Guard, Reply, Request, Served, Stream, find};
use crate::control::shutdown::Stop;

/// Connections that a listener has at a time; over it, the one whose client has asked nothing for longest gives way. So whoever keeps
/// connections open cannot keep a probe out, whose failure ends the process in a cluster.
pub const CONNECTIONS_MAX: usize = 64;

/// The largest head of a request, bytes; over it the answer is 431.
pub const HEAD_BYTES_MAX: usize = 16 << 10;

/// Header fields of a request; over it the answer is 431.
const HEADERS_MAX: usize = 64;

/// How long a client may take to send a request, to send the next one on the same connection, and to read a response: CoreDNS's limits.
/// A handshake of TLS has as long.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How often a listener that is full says so.
const FULL_AGAIN: Duration = Duration::from_secs(60);

/// How long nothing is taken after the kernel had no descriptor for a connection.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// What is served on a listener; a reload exchanges it.
pub(super) type Shown = ArcSwap<Served>;

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
pub(super) async fn accept(socket: Arc<Socket>, shown: Arc<Shown>, stop: Stop) {
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
        let task = tokio::spawn(take(stream, Arc::clone(&shown), stop.clone(), asked.clone()));
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

/// Where the requests of a connection come from.
struct Origin {
    /// Who took it up.
    guard: Option<Arc<dyn Guard>>,
    /// The connection, if its client's going can be seen on it: over TLS, who goes says so in what looks like one more request.
    watched: Option<Arc<TcpStream>>,
    asked: Asked,
}

/// Takes up a connection as the listener's guard has it, and answers its requests.
async fn take(stream: TcpStream, shown: Arc<Shown>, stop: Stop, asked: Asked) {
    let guard = shown.load().guard.clone();
    let (stream, watched): (Box<dyn Stream>, _) = match &guard {
        None => {
            let stream = Arc::new(stream);
            (Box::new(Watched(Arc::clone(&stream))), Some(stream))
        }
        Some(guard) => match tokio::time::timeout(PATIENCE, Arc::clone(guard).take(stream)).await {
            Ok(Some(stream)) => (stream, None),
            // Why a client did not get through its guard has told.
            _ => return,
        },
    };
    serve(stream, shown, Arc::new(Origin { guard, watched, asked }), stop).await;
}

/// Answers the requests on `stream`.
async fn serve(stream: Box<dyn Stream>, shown: Arc<Shown>, origin: Arc<Origin>, mut stop: Stop) {
    let service = hyper::service::service_fn(move |request| {
        origin.asked.again();
        let (shown, origin) = (Arc::clone(&shown), Arc::clone(&origin));
        async move { Ok::<_, Infallible>(answer(&shown.load_full(), &origin, request).await) }
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
async fn gone(watched: Option<&TcpStream>) {
    if let Some(stream) = watched
        && !matches!(stream.peek(&mut [0]).await, Ok(1..))
    {
        return;
    }
    // It has sent more, behind which its going could not be seen.
    std::future::pending().await
}

async fn answer(
    served: &Served,
    origin: &Origin,
    request: hyper::Request<Incoming>,
) -> hyper::Response<Whole> {
    let (head, body) = request.into_parts();
    let taken_by = origin.guard.as_ref();
    // A reload has brought another guard: what that one would not have taken up goes no further.
    let is_of_another = match (taken_by, &served.guard) {
        (Some(old), Some(new)) => !Arc::ptr_eq(old, new),
        (old, new) => old.is_some() || new.is_some(),
    };
    let is_secure = |guard: Option<&Arc<dyn Guard>>| guard.is_some_and(|guard| guard.is_secure());
    let mut response = if is_secure(served.guard.as_ref()) && !is_secure(taken_by) {
        response_of(Reply::text(400, PLAIN_TO_TLS))
    } else {
        let admission = match &served.guard {
            None => Admission::default(),
            Some(guard) => {
                let authorization = head.headers.get(AUTHORIZATION).map(|value| value.as_bytes().to_vec());
                Arc::clone(guard).admit(authorization).await
            }
        };
        let mut response = match admission.refusal {
            Some(reply) => response_of(reply),
            None => page(served, origin, &head).await,
        };
        for (name, value) in admission.headers {
            // What a page says of itself goes first, as with the handlers of Go.
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().entry(name).or_insert(value);
            }
        }
        response
    };
    if is_of_another || !body.is_end_stream() {
        // Nobody reads a body, so what comes next on the connection could not be told from it.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// What the page that `head` asks for says.
async fn page(
    served: &Served,
    origin: &Origin,
    head: &hyper::http::request::Parts,
) -> hyper::Response<Whole> {
    let handler = find(&served.routes, head.uri.path()).map(|route| Arc::clone(&route.handler));
    match handler {
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
                () = gone(origin.watched.as_deref()) => Reply::text(400, "the client has closed its side\n"),
            };
            response_of(reply)
        }
    }
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

/// In Go's words.
pub(super) const PLAIN_TO_TLS: &str = "Client sent an HTTP request to an HTTPS server.\n";

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
