//! When the file is looked at: at the start, at the interval of `reload`, and when the kernel tells of a change.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{debug, error};

use super::file::{Fingerprint, HostsFile, Look, Trouble};
use crate::control::file_watch::{self, FileChanges};

/// Shortest time between two looks; a shorter `reload` counts as this.
const INTERVAL_MIN: Duration = Duration::from_millis(50);

/// Time a file must have been left alone before it is read after a look, so that a writer can finish.
const QUIET: Duration = Duration::from_millis(20);

/// How often that is waited for before it is read all the same.
const QUIET_WAITS_MAX: u32 = 50;

/// Reads the file for the first time, again if somebody is writing it. Whatever comes of it, the start goes on.
#[allow(clippy::disallowed_methods, reason = "the start waits; nothing is served yet")]
pub(super) fn first_read(file: &HostsFile) {
    for _ in 0..QUIET_WAITS_MAX {
        if !matches!(file.refresh(false), Look::Kept { trouble: Trouble::Changing, .. }) {
            return;
        }
        std::thread::sleep(QUIET);
    }
}

/// Reads the file whenever it changes: looks every `interval`, and whenever the kernel says so.
pub(super) async fn keep_fresh(file: Arc<HostsFile>, interval: Duration) {
    let watched = Arc::clone(&file);
    // Follows the path and waits for the kernel. What happened before this is seen at the first look.
    let changes = off_thread(move || file_watch::subscribe(watched.path())).await.and_then(|changes| {
        changes
            .inspect_err(|error| debug!(target: "plugin/hosts", "Only looked at every {interval:?}: {error}"))
            .ok()
    });
    keep_fresh_by(file, interval, changes).await;
}

async fn keep_fresh_by(file: Arc<HostsFile>, interval: Duration, mut changes: Option<FileChanges>) {
    let interval = interval.max(INTERVAL_MIN);
    let mut told = false;
    loop {
        // What the kernel told of is read even if it looks the same: within one tick of its clock a file can change twice.
        let settled = settle(&file).await;
        let look = refresh(&file, told, settled).await;
        let is_changing = matches!(look, Some(Look::Kept { trouble: Trouble::Changing, .. }));
        let is_owed = told && is_changing;
        told = tokio::select! {
            () = changed(&mut changes) => true,
            () = sleep(if is_changing { INTERVAL_MIN } else { interval }) => is_owed,
        };
    }
}

/// Waits until the kernel tells of a change; without a watch that is never.
async fn changed(changes: &mut Option<FileChanges>) {
    match changes {
        Some(changes) => changes.changed().await,
        None => std::future::pending().await,
    }
}

/// Waits until the file is left alone, if it has changed, and returns in which state it was left; `None` if there is none, or it never is.
async fn settle(file: &Arc<HostsFile>) -> Option<Fingerprint> {
    let look = |file: &Arc<HostsFile>| {
        let file = Arc::clone(file);
        off_thread(move || {
            let now = file.fingerprint();
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

async fn refresh(file: &Arc<HostsFile>, forced: bool, settled: Option<Fingerprint>) -> Option<Look> {
    let file = Arc::clone(file);
    off_thread(move || file.refresh_settled(forced, settled)).await
}

/// Runs what waits for a disk on a thread that may wait.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let done = spawn_blocking(work).await;
    done.inspect_err(|panic| error!(target: "plugin/hosts", "Reading the hosts file failed: {panic}")).ok()
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test says how long a change may take")]
#[path = "reload_tests.rs"]
mod tests;
