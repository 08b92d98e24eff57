//! When a file is looked at: at the start, at an interval, and when the kernel tells of a change.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{debug, error};

use super::{Fingerprint, Trouble};
use crate::control::file_watch::{self, FileChanges};

/// Shortest time between two looks; a shorter interval counts as this.
pub const INTERVAL_MIN: Duration = Duration::from_millis(50);

/// Time a file must have been left alone before it is read after a look, so that a writer can finish.
pub const QUIET: Duration = Duration::from_millis(20);

/// How often that is waited for before it is read all the same.
const QUIET_WAITS_MAX: u32 = 50;

/// A file that somebody keeps fresh.
pub trait Follower: Send + Sync + 'static {
    /// Where the file is.
    fn path(&self) -> &Path;

    /// In which state it was read last.
    fn fingerprint_read(&self) -> Option<Fingerprint>;

    /// Looks at the file and reads it if it has changed, or in any case if `forced`, and says what there is to say; in the state `settled`
    /// alone, if that is given. Takes as long as reading takes: it is called on threads that may wait.
    ///
    /// # Errors
    /// Why it was not read.
    fn look(&self, forced: bool, settled: Option<Fingerprint>) -> Result<(), Trouble>;
}

/// Reads the file for the first time, again if somebody is writing it. Whatever comes of it, the start goes on.
#[allow(clippy::disallowed_methods, reason = "the start waits; nothing is served yet")]
pub fn first_look(file: &impl Follower) {
    for _ in 0..QUIET_WAITS_MAX {
        if file.look(false, None) != Err(Trouble::Changing) {
            return;
        }
        std::thread::sleep(QUIET);
    }
}

/// Reads the file whenever it changes: looks every `interval`, and whenever the kernel says so.
pub async fn keep_fresh(file: Arc<impl Follower>, interval: Duration) {
    let watched = Arc::clone(&file);
    // Follows the path and waits for the kernel. What happened before this is seen at the first look.
    let changes = off_thread(move || file_watch::subscribe(watched.path())).await.and_then(|changes| {
        changes.inspect_err(|error| debug!("Only looked at every {interval:?}: {error}")).ok()
    });
    keep_fresh_by(file, interval, changes).await;
}

/// As [`keep_fresh`], told of changes by `changes` alone.
pub async fn keep_fresh_by(file: Arc<impl Follower>, interval: Duration, mut changes: Option<FileChanges>) {
    let interval = interval.max(INTERVAL_MIN);
    let mut told = false;
    loop {
        // What the kernel told of is read even if it looks the same: within one tick of its clock a file can change twice.
        let settled = settle(&file).await;
        let is_changing = look(&file, told, settled).await == Some(Err(Trouble::Changing));
        let is_owed = told && is_changing;
        told = tokio::select! {
            () = changed_or_never(&mut changes) => true,
            () = sleep(if is_changing { INTERVAL_MIN } else { interval }) => is_owed,
        };
    }
}

/// Waits until the kernel tells of a change; without a watch that is never.
pub async fn changed_or_never(changes: &mut Option<FileChanges>) {
    match changes {
        Some(changes) => changes.changed().await,
        None => std::future::pending().await,
    }
}

/// Waits until the file is left alone, if it has changed, and returns in which state it was left; `None` if there is none, or it never is.
async fn settle<F: Follower>(file: &Arc<F>) -> Option<Fingerprint> {
    let look = |file: &Arc<F>| {
        let file = Arc::clone(file);
        off_thread(move || {
            let now = Fingerprint::at(file.path());
            (now, now != file.fingerprint_read())
        })
    };
    let (mut last, has_changed) = look(file).await?;
    if !has_changed {
        return last;
    }
    for _ in 0..QUIET_WAITS_MAX {
        sleep(QUIET).await;
        let (now, _) = look(file).await?;
        if now == last {
            return now;
        }
        last = now;
    }
    None
}

async fn look(
    file: &Arc<impl Follower>,
    forced: bool,
    settled: Option<Fingerprint>,
) -> Option<Result<(), Trouble>> {
    let file = Arc::clone(file);
    off_thread(move || file.look(forced, settled)).await
}

/// Runs what waits for a disk on a thread that may wait.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let done = spawn_blocking(work).await;
    done.inspect_err(|panic| error!("Reading a file failed: {panic}")).ok()
}
