//! A configuration that may change: looked at now and then, and at once when the kernel tells of one of its files.
//!
//! What a configuration is stays with the caller, who gives a way to look at it and carries out the reloads:
//!
//! ```text
//!  interval ──┐
//!             ├─► look: digest and files ──► another digest ──Changed──► the owner reloads, says how it went
//!  FileChanges ┘        └─ refused: a warning                     └─ failed: an error, and on with the old one
//! ```
//!
//! Who writes a file may pause for so long that the part before passes for all of it. So what took the place of a watched configuration is
//! watched for a while ([`watch_on`]) even if it does not ask for it: the line that does may be in the part that is missing.

use std::fmt::Write;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::file_watch;
use crate::metrics::Gauge;
use crate::metrics::names::RELOAD_VERSION_INFO;

/// So many files of a configuration are watched at most; a change of others is seen at the next look.
pub const FILES_WATCHED_MAX: usize = 256;

/// The time between two looks that have to show the same.
const SETTLING: Duration = Duration::from_millis(30);

/// Looks at a configuration that shows something else each time, at most; then the last one counts.
const LOOKS_MAX: u32 = 20;

/// What took the place of a watched configuration is watched for so long at least.
const WATCH_ON_MIN: Duration = Duration::from_secs(10);

/// And for so long at most, however rarely it was to be looked at before.
const WATCH_ON_MAX: Duration = Duration::from_secs(60);

/// What a look at the configuration shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The SHA-512 of what it says.
    pub digest: [u8; 64],
    /// The files it was read from.
    pub files: Vec<PathBuf>,
}

/// Why a look shows nothing.
#[derive(Debug)]
pub enum Unseen {
    /// The file cannot be read: perhaps it is just being replaced.
    Unreadable(io::Error),
    /// It is no configuration, in these words.
    Refused(String),
}

/// The configuration has changed: the owner is to reload it and to say how that went.
#[derive(Debug)]
pub struct Changed {
    outcome: oneshot::Sender<Result<(), String>>,
}

impl Changed {
    /// Says how the reload went. After a success the watch that sent this has ended.
    pub fn done(self, outcome: Result<(), String>) {
        // Nobody hears it if the watch was ended meanwhile.
        let _ = self.outcome.send(outcome);
    }
}

/// Logs the digest of `running`, the configuration that is served, and watches it until it has been replaced. Looks every `interval` and
/// when one of its files changes. `look` may block. A digest is reported once, in `changed`, whatever comes of it.
///
/// Run it for the life of an instance, and drop it with it.
pub async fn watch<L>(interval: Duration, running: Seen, look: L, changed: mpsc::Sender<Changed>)
where
    L: Fn() -> Result<Seen, Unseen> + Send + Sync + 'static,
{
    let digest = hex(&running.digest);
    tracing::info!(target: "plugin/reload", "Running configuration SHA512 = {digest}");
    let _shown = Shown::new(&digest);
    follow(interval, None, running, look, changed).await;
}

/// Watches `running`, which does not ask for it but took the place of a configuration that was looked at every `interval`: for one interval
/// more, from 10 seconds to a minute, and as long as the file says something that is not served. Otherwise as [`watch`], in silence.
pub async fn watch_on<L>(interval: Duration, running: Seen, look: L, changed: mpsc::Sender<Changed>)
where
    L: Fn() -> Result<Seen, Unseen> + Send + Sync + 'static,
{
    let limit = interval.clamp(WATCH_ON_MIN, WATCH_ON_MAX);
    follow(interval.min(limit), Some(limit), running, look, changed).await;
}

/// Looks and reports until `running` has been replaced, or nothing but `running` was seen for `limit`.
async fn follow<L>(
    interval: Duration,
    limit: Option<Duration>,
    running: Seen,
    look: L,
    changed: mpsc::Sender<Changed>,
) where
    L: Fn() -> Result<Seen, Unseen> + Send + Sync + 'static,
{
    let look = Arc::new(look);
    let served = running.digest;
    let mut latest = running;
    let mut files = Files::watch(&latest.files);
    let mut ticks = tokio::time::interval_at(Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut end = limit.map(|limit| Instant::now() + limit);
    loop {
        let mut is_last = false;
        tokio::select! {
            _ = ticks.tick() => {}
            () = files.changed() => {}
            () = at(end) => is_last = true,
        }
        let seen = settled(&look, &latest.digest).await;
        if seen.as_ref().is_none_or(|seen| seen.digest != served) {
            end = limit.map(|limit| Instant::now() + limit);
        } else if is_last {
            return;
        }
        let Some(seen) = seen else { continue };
        if seen.files != latest.files {
            files = Files::watch(&seen.files);
        }
        let is_new = seen.digest != latest.digest;
        latest = seen;
        if is_new {
            match report(&changed).await {
                Some(Err(why)) => {
                    tracing::error!(target: "plugin/reload", "Corefile changed but reload failed: {why}");
                }
                // Replaced, or nobody is there to reload any more.
                Some(Ok(())) | None => return,
            }
        }
    }
}

/// Waits until `time`; without one that is never.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// What a look shows. Something new counts once two looks in a row show the same: a file that is just being written may be whole up to
/// some block, and it would be served without the rest.
async fn settled<L>(look: &Arc<L>, known: &[u8; 64]) -> Option<Seen>
where
    L: Fn() -> Result<Seen, Unseen> + Send + Sync + 'static,
{
    let mut seen = look_aside(look).await?;
    for _ in 0..LOOKS_MAX {
        if seen.digest == *known {
            break;
        }
        tokio::time::sleep(SETTLING).await;
        let again = look_aside(look).await?;
        let is_settled = again == seen;
        seen = again;
        if is_settled {
            break;
        }
    }
    Some(seen)
}

/// Looks on a thread that may block; what stands in the way is logged.
async fn look_aside<L>(look: &Arc<L>) -> Option<Seen>
where
    L: Fn() -> Result<Seen, Unseen> + Send + Sync + 'static,
{
    let look = Arc::clone(look);
    match tokio::task::spawn_blocking(move || look()).await {
        Ok(Ok(seen)) => Some(seen),
        Ok(Err(Unseen::Unreadable(_))) => None,
        Ok(Err(Unseen::Refused(why))) => {
            tracing::warn!(target: "plugin/reload", "Corefile parse failed: {why}");
            None
        }
        Err(panicked) => {
            tracing::error!(target: "plugin/reload", "Corefile parse failed: {panicked}");
            None
        }
    }
}

/// Has the owner reload; `None` if there is none.
async fn report(changed: &mpsc::Sender<Changed>) -> Option<Result<(), String>> {
    let (outcome, told) = oneshot::channel();
    changed.send(Changed { outcome }).await.ok()?;
    told.await.ok()
}

/// Watches on some files, which tell together.
struct Files {
    /// One task a file; they end with this.
    _tasks: JoinSet<()>,
    told: Arc<Notify>,
}

impl Files {
    fn watch(paths: &[PathBuf]) -> Self {
        let told = Arc::new(Notify::new());
        // A change since these files were read, but before they are watched, is seen by a look right behind.
        told.notify_one();
        let mut tasks = JoinSet::new();
        for path in paths.iter().take(FILES_WATCHED_MAX) {
            // What cannot be watched is looked at every interval all the same.
            let Ok(mut changes) = file_watch::subscribe(path) else { continue };
            let told = Arc::clone(&told);
            tasks.spawn(async move {
                loop {
                    changes.changed().await;
                    told.notify_one();
                }
            });
        }
        Self { _tasks: tasks, told }
    }

    fn changed(&self) -> impl Future<Output = ()> + '_ {
        self.told.notified()
    }
}

/// The series that shows which configuration is served; gone when this is.
struct Shown {
    _gauge: Gauge,
}

impl Shown {
    fn new(digest: &str) -> Self {
        let gauge = RELOAD_VERSION_INFO.scoped(["sha512", digest]);
        gauge.set(1.0);
        Self { _gauge: gauge }
    }
}

fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const NEVER: Duration = Duration::from_secs(100_000);
    const OFTEN: Duration = Duration::from_millis(5);

    /// What the file says: its length is its digest; `!` is no configuration.
    fn read(path: &Path) -> Result<Seen, Unseen> {
        let text = fs::read(path).map_err(Unseen::Unreadable)?;
        if text.contains(&b'!') {
            return Err(Unseen::Refused("a surprise".to_owned()));
        }
        Ok(Seen { digest: [text.len() as u8; 64], files: vec![path.to_owned()] })
    }

    struct TestFile(PathBuf);

    impl TestFile {
        fn new() -> Self {
            static COUNT: AtomicUsize = AtomicUsize::new(0);
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("waypost-config-{}-{number}", std::process::id());
            let file = Self(std::env::temp_dir().join(name));
            file.write("first");
            file
        }

        /// Replaces the file, so that no look sees half of it.
        fn write(&self, text: &str) {
            let new = self.0.with_extension("new");
            fs::write(&new, text).unwrap();
            fs::rename(&new, &self.0).unwrap();
        }

        /// Watches the file; each look is told in the second channel.
        fn watch(&self, interval: Duration) -> (mpsc::Receiver<Changed>, mpsc::UnboundedReceiver<()>) {
            self.watch_for(interval, None, read(&self.0).unwrap())
        }

        /// The same while `running` is served, and until nothing else was seen for `limit`.
        fn watch_for(
            &self,
            interval: Duration,
            limit: Option<Duration>,
            running: Seen,
        ) -> (mpsc::Receiver<Changed>, mpsc::UnboundedReceiver<()>) {
            let (changed, changes) = mpsc::channel(1);
            let (looked, looks) = mpsc::unbounded_channel();
            let path = self.0.clone();
            let look = move || {
                let seen = read(&path);
                let _ = looked.send(());
                seen
            };
            match limit {
                None => drop(tokio::spawn(watch(interval, running, look, changed))),
                limit => drop(tokio::spawn(follow(interval, limit, running, look, changed))),
            }
            (changes, looks)
        }
    }

    impl Drop for TestFile {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    async fn soon<T>(future: impl Future<Output = Option<T>>) -> Option<T> {
        tokio::time::timeout(Duration::from_secs(60), future).await.expect("within a minute")
    }

    #[tokio::test]
    async fn a_change_is_told_at_once_and_a_success_ends_the_watch() {
        let file = TestFile::new();
        let (mut changes, _looks) = file.watch(NEVER);
        file.write("another one");
        soon(changes.recv()).await.unwrap().done(Ok(()));
        assert!(soon(changes.recv()).await.is_none(), "the watch has ended");
    }

    #[tokio::test]
    async fn a_bad_configuration_is_tried_once() {
        let file = TestFile::new();
        let (mut changes, mut looks) = file.watch(OFTEN);
        file.write("another one");
        soon(changes.recv()).await.unwrap().done(Err("no".to_owned()));
        for _ in 0..5 {
            soon(looks.recv()).await;
        }
        assert!(changes.try_recv().is_err(), "it is the same bad one");
        file.write("first");
        let back = soon(changes.recv()).await.unwrap();
        back.done(Err("even the old one is new".to_owned()));
        file.write("a third");
        soon(changes.recv()).await.unwrap().done(Ok(()));
        assert!(soon(changes.recv()).await.is_none());
    }

    #[tokio::test]
    async fn what_is_no_configuration_is_passed_over() {
        let file = TestFile::new();
        let (mut changes, mut looks) = file.watch(OFTEN);
        file.write("!");
        for _ in 0..3 {
            soon(looks.recv()).await;
        }
        fs::remove_file(&file.0).unwrap();
        for _ in 0..3 {
            soon(looks.recv()).await;
        }
        assert!(changes.try_recv().is_err());
        file.write("good again");
        assert!(soon(changes.recv()).await.is_some());
    }

    #[tokio::test]
    async fn what_took_the_place_of_a_watched_configuration_is_looked_at_once_more_and_then_left() {
        let file = TestFile::new();
        let (mut changes, mut looks) =
            file.watch_for(NEVER, Some(Duration::from_millis(50)), read(&file.0).unwrap());
        soon(looks.recv()).await.expect("a look right at the start");
        soon(looks.recv()).await.expect("a last look");
        assert!(soon(changes.recv()).await.is_none(), "nothing happened, and the watch has ended");
    }

    #[tokio::test]
    async fn it_is_not_left_while_the_file_says_what_is_not_served() {
        let file = TestFile::new();
        let running = read(&file.0).unwrap();
        file.write("!");
        let (mut changes, mut looks) = file.watch_for(NEVER, Some(Duration::from_millis(1)), running);
        for _ in 0..3 {
            soon(looks.recv()).await.expect("it is looked at on and on");
        }
        file.write("the rest has come");
        soon(changes.recv()).await.unwrap().done(Err("no".to_owned()));
        file.write("once more");
        soon(changes.recv()).await.unwrap().done(Ok(()));
        assert!(soon(changes.recv()).await.is_none());
    }

    #[tokio::test]
    async fn without_an_owner_the_watch_ends() {
        let file = TestFile::new();
        let (changed, changes) = mpsc::channel(1);
        drop(changes);
        let path = file.0.clone();
        let running = Seen { digest: [0; 64], files: Vec::new() };
        let watching = tokio::spawn(watch(OFTEN, running, move || read(&path), changed));
        soon(async { watching.await.ok() }).await.expect("it ends without a panic");
    }

    #[test]
    fn the_served_configuration_is_shown_as_long_as_it_is() {
        let digest = hex(&[0xA5; 64]);
        let line = format!("coredns_reload_version_info{{hash=\"sha512\",value=\"{digest}\"}} 1\n");
        let shown = Shown::new(&digest);
        assert!(crate::metrics::render().contains(&line));
        drop(shown);
        assert!(!crate::metrics::render().contains(&line));
        assert_eq!(hex(&[0, 0x0F, 0xFF]), "000fff");
    }
}
