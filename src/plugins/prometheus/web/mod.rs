//! What stands before the page: TLS, users and limits as a web configuration of Prometheus's exporter-toolkit has them.
//!
//! ```text
//!  texts.rs   the files, and whether they still say the same
//!  file.rs    YAML ─▶ WebConfig, each mistake with its place (section.rs: the part about TLS)
//!  users.rs   who may ask: passwords, and those that were right before
//!  rate.rs    how often
//! ```
//!
//! The files are looked at for each connection and each request, so that a certificate or a user that is exchanged counts from the next one
//! on. While what stands there cannot be used, what was read before stays.

mod file;
mod rate;
mod section;
#[cfg(test)]
mod tests;
mod texts;
mod users;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use self::file::{Mistake, WebConfig};
use self::rate::Bucket;
use self::texts::Texts;
use self::users::{Answer, Passwords};
use crate::chain::{Mono, clock};
use crate::config::{Diagnostic, Word};
use crate::control::http::{Admission, Admitting, Guard, PATIENCE, Reply, Stream, Taking, secure};

/// How often a line tells of handshakes that failed: one for each would let clients fill the log.
const FAILURES_AGAIN: Duration = Duration::from_secs(10);

/// A web configuration at work.
pub(super) struct Web {
    /// As the Corefile has it.
    name: String,
    path: PathBuf,
    is_secure: bool,
    current: ArcSwap<WebConfig>,
    /// What the files said when they were last looked at.
    seen: Mutex<Texts>,
    /// Files are looked at by one at a time: a file system that hangs holds one thread.
    looking: Arc<Semaphore>,
    passwords: Passwords,
    bucket: Mutex<Bucket>,
    failures: Mutex<Failures>,
}

/// Handshakes that failed since a line told of some.
#[derive(Default)]
struct Failures {
    count: u64,
    told: Option<Mono>,
}

/// Reads the web configuration that `word` names, from the folder in which the process runs as CoreDNS does, and what is warned of in it.
///
/// # Errors
/// All its mistakes, each with its place in the file and that of the word.
pub(super) fn open(word: &Word) -> Result<(Arc<Web>, Vec<Diagnostic>), Vec<Diagnostic>> {
    let (name, path) = (word.as_str().to_owned(), PathBuf::from(word.as_str()));
    let shown = |mistake: &Mistake| {
        let error = word.error(mistake.in_file(&name).to_string());
        match &mistake.help {
            Some(help) => error.help(help.clone()),
            None => error,
        }
    };
    let mut texts = Texts::default();
    let config =
        file::load(&path, &mut texts).map_err(|mistakes| mistakes.iter().map(shown).collect::<Vec<_>>())?;
    let warnings = config.warnings.iter().map(shown).collect();
    let web = Web {
        path,
        is_secure: config.tls.is_some(),
        current: ArcSwap::from_pointee(config),
        seen: Mutex::new(texts),
        looking: Arc::new(Semaphore::new(1)),
        passwords: Passwords::default(),
        bucket: Mutex::default(),
        failures: Mutex::default(),
        name,
    };
    Ok((Arc::new(web), warnings))
}

impl Web {
    /// What the files say now or, if that cannot be used, what they said last.
    async fn current(self: &Arc<Self>) -> Arc<WebConfig> {
        let looking = tokio::time::timeout(PATIENCE, Arc::clone(&self.looking).acquire_owned());
        if let Ok(Ok(turn)) = looking.await {
            let web = Arc::clone(self);
            let looked = tokio::task::spawn_blocking(move || {
                web.look();
                drop(turn);
            });
            if let Err(error) = looked.await {
                tracing::error!(target: "plugin/prometheus", "{}: {error}", self.name);
            }
        }
        self.current.load_full()
    }

    /// Reads the files again if they have changed.
    fn look(&self) {
        let mut seen = held(&self.seen);
        if seen.are_current() {
            return;
        }
        let mut texts = Texts::default();
        let loaded = file::load(&self.path, &mut texts);
        *seen = texts;
        match loaded {
            Ok(config) if config.tls.is_some() != self.is_secure => {
                let what = if self.is_secure { "ends" } else { "begins" };
                let name = &self.name;
                tracing::error!(
                    target: "plugin/prometheus",
                    "{name}: TLS {what} with a reload only; until then what was read before counts"
                );
            }
            Ok(config) => self.current.store(Arc::new(config)),
            Err(mistakes) => {
                for mistake in mistakes {
                    let what = mistake.in_file(&self.name);
                    tracing::error!(target: "plugin/prometheus", "{what}; what was read before counts");
                }
            }
        }
    }

    fn tell_failure(&self, client: &str, error: &io::Error) {
        // Who connects and leaves, as probes do that look for the port alone, has not failed.
        if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) {
            return;
        }
        let now = clock::now();
        let mut failures = held(&self.failures);
        failures.count += 1;
        if failures.told.is_none_or(|told| now.since(told) >= FAILURES_AGAIN) {
            let more = match failures.count {
                1 => String::new(),
                count => format!(" ({count} since the last such line)"),
            };
            tracing::warn!(target: "plugin/prometheus", "TLS handshake error from {client}: {error}{more}");
            *failures = Failures { count: 0, told: Some(now) };
        }
    }
}

impl Guard for Web {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_secure(&self) -> bool {
        self.is_secure
    }

    fn take(self: Arc<Self>, stream: TcpStream) -> Taking {
        Box::pin(async move {
            let client = stream.peer_addr().map_or_else(|_| "a client".to_owned(), |a| a.to_string());
            let Some(tls) = self.current().await.tls.clone() else {
                return Some(Box::new(stream) as Box<dyn Stream>);
            };
            secure(stream, tls).await.map_err(|error| self.tell_failure(&client, &error)).ok()
        })
    }

    fn admit(self: Arc<Self>, authorization: Option<Vec<u8>>) -> Admitting {
        Box::pin(async move {
            let config = self.current().await;
            let refusal = |reply| Admission { headers: Vec::new(), refusal: Some(reply) };
            if let Some(rate) = config.rate
                && !held(&self.bucket).take(rate, clock::now())
            {
                return refusal(refused(429, "Too Many Requests"));
            }
            let mut admission = Admission { headers: config.headers.clone(), refusal: None };
            if !config.users.is_empty() {
                admission.refusal = match self.passwords.check(&config.users, authorization.as_deref()).await
                {
                    Answer::Right => None,
                    Answer::Wrong => Some(refused(401, "Unauthorized").header("www-authenticate", "Basic")),
                    Answer::Busy => Some(refused(503, "Service Unavailable")),
                };
            }
            admission
        })
    }
}

/// A reply as Go's `http.Error` makes it.
fn refused(status: u16, what: &str) -> Reply {
    Reply::text(status, format!("{what}\n")).header("x-content-type-options", "nosniff")
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
