//! Files that change: noticed within a tenth of a second, by one watcher for the whole process.
//!
//! A subscriber keeps polling at its own interval (`reload 30s`); that is the promise. This is what makes it faster, where
//! the kernel tells: edits in place, replacement by rename, a ConfigMap's swap of symbolic links, deletion and return, and
//! the same for each link and the last directory on the way (trail.rs). It does not tell about network file systems
//! changed elsewhere, or about a directory renamed further up.
//!
//! ```text
//!  inotify ──notify's thread──► is it about a name on a way? ──► bounded queue ──► thread "file-watch": wait until it is quiet, follow the
//!                                                                                  paths anew, watch what is new on their ways, then tell
//!                                                                                  the subscribers
//! ```
//!
//! The kernel tells of every name in a watched directory, such as `/etc` or one full of logs. What is done there to others costs a look at a
//! table (interest.rs): nothing is queued, no file is touched, and the thread sleeps on.
//!
//! Where the kernel's limits on watches are reached, or a directory may not be read, the thread looks at the files once a
//! second instead, and says so once.

mod interest;
mod trail;

#[cfg(test)]
mod tests;

use arc_swap::ArcSwap;
use interest::Interest;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::{HashMap, HashSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use trail::Trail;

/// Watches `path`, which need not exist. What happens to it from now on is told to the returned handle, so subscribe
/// first and read the file then. A directory changes with each of its entries. Relative paths begin at the working
/// directory of this moment.
///
/// Follows the path and waits for the kernel, so not for a worker.
///
/// # Errors
/// If `path` is empty, or relative and there is no working directory. Not if it cannot be watched: it is polled then.
pub fn subscribe(path: &Path) -> io::Result<FileChanges> {
    PROCESS_WIDE.subscribe(path)
}

/// Tells when a file has, or may have, changed.
#[derive(Debug)]
pub struct FileChanges {
    changes: watch::Receiver<()>,
    // Behind `changes`, so that it is dropped when that is gone.
    _leave: Leave,
}

impl FileChanges {
    /// Waits until the file has changed since the last call returned, or since [`subscribe`]. Several changes are told
    /// as one, after the last: when it was quiet for 20 ms. A file that is being written is told when it is closed, or after
    /// a second all the same, so whoever reads it must look at its size and times before and after. Now and then a change is told
    /// that leaves the contents the same. Nothing is lost if the future is dropped.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // The process's watcher never ends; only one of a test does.
            std::future::pending().await
        }
    }
}

/// Ends the watch of a path when nobody is interested in it any more.
#[derive(Debug)]
struct Leave(Queue);

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.push(Message::Look);
    }
}

/// What the thread is told.
#[derive(Debug)]
enum Message {
    /// The kernel reports something about a path.
    Event { path: PathBuf, being_written: bool },
    /// Look at all files: events may be missing, or the subscribers have changed.
    Look,
}

/// The bounded way to the thread. What does not fit turns into a look at all files.
#[derive(Clone, Debug)]
struct Queue {
    sender: SyncSender<Message>,
    overflowed: Arc<AtomicBool>,
    interest: Arc<ArcSwap<Interest>>,
}

impl Queue {
    fn push(&self, message: Message) {
        if let Err(TrySendError::Full(_)) = self.sender.try_send(message) {
            // The thread has messages before it, and asks for this after having taken them.
            self.overflowed.store(true, Ordering::Relaxed);
        }
    }

    fn push_event(&self, event: notify::Result<notify::Event>) {
        let event = match event {
            Ok(event) if !event.need_rescan() => event,
            Ok(_) | Err(_) => return self.push(Message::Look),
        };
        // That somebody opens or reads a file, ourselves included, is reported too.
        if !matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write)) {
            let being_written = matches!(event.kind, EventKind::Modify(ModifyKind::Data(_)));
            let interest = self.interest.load();
            for path in event.paths {
                if interest.covers(&path) {
                    self.push(Message::Event { path, being_written });
                }
            }
        }
    }
}

/// One watcher, its thread and its subscribers.
struct Hub {
    state: Mutex<State>,
    queue: Queue,
}

impl Hub {
    /// Without `with_kernel`, files are looked at every `poll_interval`.
    fn start(with_kernel: bool, poll_interval: Duration) -> Arc<Self> {
        let (sender, receiver) = sync_channel(QUEUE_MESSAGES_MAX);
        let mut state = State::default();
        let queue = Queue { sender, overflowed: Arc::default(), interest: Arc::clone(&state.interest) };
        if with_kernel {
            let for_kernel = queue.clone();
            match notify::recommended_watcher(move |event| for_kernel.push_event(event)) {
                Ok(watcher) => state.watcher = Some(watcher),
                Err(error) => state.say_polling(&error),
            }
        }
        let hub = Arc::new(Self { state: Mutex::new(state), queue });
        let (weak, overflowed) = (Arc::downgrade(&hub), Arc::clone(&hub.queue.overflowed));
        let thread = std::thread::Builder::new().name("file-watch".into());
        if let Err(error) = thread.spawn(move || run(&weak, &receiver, &overflowed, poll_interval)) {
            tracing::warn!("Files are not watched for changes: {error}");
        }
        hub
    }

    fn subscribe(&self, path: &Path) -> io::Result<FileChanges> {
        let path = std::path::absolute(path)?;
        let mut state = self.lock();
        let was_polling = state.polling;
        if !state.subscribed.contains_key(&path) {
            state.subscribed.insert(path.clone(), Subscribed::default());
            state.follow(&HashSet::from([path.clone()]));
        }
        let changes = state.subscribed.entry(path).or_default().changes.subscribe();
        if state.polling && !was_polling {
            // The thread may be waiting for events without an end.
            self.queue.push(Message::Look);
        }
        Ok(FileChanges { changes, _leave: Leave(self.queue.clone()) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread: collects what happened, and acts on it when it is quiet.
fn run(hub: &Weak<Hub>, receiver: &Receiver<Message>, overflowed: &AtomicBool, poll_interval: Duration) {
    loop {
        let Some(polling) = hub.upgrade().map(|hub| hub.lock().polling) else { return };
        let first = if polling {
            receiver.recv_timeout(poll_interval)
        } else {
            receiver.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        let mut happened = Happened::default();
        match first {
            Ok(message) => {
                let Some(hub) = hub.upgrade() else { return };
                hub.gather(message, receiver, &mut happened);
            }
            Err(RecvTimeoutError::Timeout) => happened.look = true,
            Err(RecvTimeoutError::Disconnected) => return,
        }
        happened.look |= overflowed.swap(false, Ordering::Relaxed);
        let Some(hub) = hub.upgrade() else { return };
        hub.lock().tell(&happened);
    }
}

impl Hub {
    /// Takes messages until it is quiet: an editor's or kubelet's several steps should be told as one.
    fn gather(&self, first: Message, receiver: &Receiver<Message>, happened: &mut Happened) {
        if !self.lock().note(first, happened) {
            return;
        }
        let began = Instant::now();
        let mut last = began;
        loop {
            // Who writes a file may pause; that it is closed is an event of its own.
            let until = if happened.being_written {
                began + WRITING_MAX
            } else {
                (last + QUIET).min(began + GATHER_MAX)
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let Ok(message) = receiver.recv_timeout(left) else { return };
            // Those about files that nobody asked for must not hold up the others.
            if self.lock().note(message, happened) {
                last = Instant::now();
            }
        }
    }
}

/// What came since it was last told.
#[derive(Default)]
struct Happened {
    /// Names that something was done to.
    names: HashSet<PathBuf>,
    /// Watched directories whose watch may be lost, since something was done to the directory itself.
    directories: HashSet<PathBuf>,
    look: bool,
    /// The last event said so.
    being_written: bool,
}

#[derive(Default)]
struct State {
    /// `None` where the kernel gives none, or it broke: everything is polled.
    watcher: Option<RecommendedWatcher>,
    subscribed: HashMap<PathBuf, Subscribed>,
    /// The directories that the kernel watches for us.
    watched: HashSet<PathBuf>,
    /// What events have to be about to be heard of: always at least what [`Self::note`] would take.
    interest: Arc<ArcSwap<Interest>>,
    /// Some directory that should be watched is not.
    polling: bool,
    polling_was_said: bool,
}

#[derive(Default)]
struct Subscribed {
    changes: watch::Sender<()>,
    trail: Trail,
}

impl State {
    /// Takes a message in, and says whether it matters to any subscriber.
    fn note(&self, message: Message, happened: &mut Happened) -> bool {
        let Message::Event { path, being_written } = message else {
            happened.look = true;
            return true;
        };
        let lost: Vec<_> =
            self.watched.iter().filter(|directory| directory.starts_with(&path)).cloned().collect();
        if lost.is_empty() && !self.subscribed.values().any(|subscribed| subscribed.trail.depends_on(&path)) {
            return false;
        }
        happened.directories.extend(lost);
        happened.names.insert(path);
        happened.being_written = being_written;
        true
    }

    /// Follows what was touched, then tells its subscribers, so that they find the files watched again.
    fn tell(&mut self, happened: &Happened) {
        self.subscribed.retain(|_, subscribed| subscribed.changes.receiver_count() > 0);
        for directory in &happened.directories {
            if let (true, Some(watcher)) = (self.watched.remove(directory), &mut self.watcher) {
                // An error means that the watch is gone already.
                let _ = guarded(|| watcher.unwatch(directory));
            }
        }
        let is_touched = |trail: &Trail| {
            !trail.directories.is_disjoint(&happened.directories)
                || happened.names.iter().any(|name| trail.depends_on(name))
        };
        let (mut changed, mut follow) = (HashSet::new(), HashSet::new());
        for (path, subscribed) in &self.subscribed {
            if is_touched(&subscribed.trail) {
                changed.insert(path.clone());
            }
            if happened.look || changed.contains(path) {
                follow.insert(path.clone());
            }
        }
        changed.extend(self.follow(&follow));
        for path in changed {
            if let Some(subscribed) = self.subscribed.get(&path) {
                subscribed.changes.send_replace(());
            }
        }
    }

    /// Follows `paths` and has the kernel watch what their trails need now. Returns those whose file is another than when
    /// they were last followed.
    fn follow(&mut self, paths: &HashSet<PathBuf>) -> HashSet<PathBuf> {
        let mut changed = HashSet::new();
        // A trail may change until all of it is watched, so it is followed again until there is nothing new to watch.
        for _ in 0..FOLLOW_ROUNDS_MAX {
            for path in paths {
                let Some(subscribed) = self.subscribed.get_mut(path) else { continue };
                let before = std::mem::replace(&mut subscribed.trail, Trail::follow(path));
                if before.fingerprint != subscribed.trail.fingerprint {
                    changed.insert(path.clone());
                }
            }
            // What happened to a name of interest before it was one was not heard of.
            let has_new_interest = self.publish_interest();
            if !self.watch_directories() && !has_new_interest {
                break;
            }
        }
        changed
    }

    /// Says what events have to be about, for all trails. Says whether that is something else than before.
    fn publish_interest(&self) -> bool {
        let interest = Interest::of(self.subscribed.values().map(|subscribed| &subscribed.trail));
        if **self.interest.load() == interest {
            return false;
        }
        self.interest.store(Arc::new(interest));
        true
    }

    /// Has the kernel watch the directories of all trails and no others. Says whether there is a new one, or one vanished.
    fn watch_directories(&mut self) -> bool {
        let needed: HashSet<_> = self
            .subscribed
            .values()
            .flat_map(|subscribed| subscribed.trail.directories.iter().cloned())
            .collect();
        let Some(watcher) = &mut self.watcher else {
            self.polling = !needed.is_empty();
            return false;
        };
        let (mut failure, mut some_new) = (None, false);
        self.polling = false;
        for directory in self.watched.extract_if(|directory| !needed.contains(directory)) {
            // An error means that the watch is gone already.
            let _ = guarded(|| watcher.unwatch(&directory));
        }
        for directory in needed {
            if self.watched.contains(&directory) {
                continue;
            }
            match guarded(|| watcher.watch(&directory, RecursiveMode::NonRecursive)) {
                Ok(()) => {
                    self.watched.insert(directory);
                    some_new = true;
                }
                Err(error) => {
                    self.polling = true;
                    match error.kind {
                        notify::ErrorKind::PathNotFound => some_new = true,
                        _ => failure = Some(error),
                    }
                }
            }
        }
        if let Some(error) = failure {
            self.say_polling(&error);
        }
        some_new
    }

    fn say_polling(&mut self, why: &notify::Error) {
        if !std::mem::replace(&mut self.polling_was_said, true) {
            tracing::warn!("Files are looked at every {POLL_INTERVAL:?} since they cannot be watched: {why}");
        }
    }
}

/// Calls the watcher, which panics where it could not start its thread.
fn guarded(call: impl FnOnce() -> notify::Result<()>) -> notify::Result<()> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err(notify::Error::generic("the watcher's thread is gone")))
}

static PROCESS_WIDE: LazyLock<Arc<Hub>> = LazyLock::new(|| Hub::start(true, POLL_INTERVAL));

/// Without an event for so long, what was done is complete.
const QUIET: Duration = Duration::from_millis(20);
/// So long events are gathered at most; with [`QUIET`] and the time to act this keeps to 100 ms.
const GATHER_MAX: Duration = Duration::from_millis(60);
/// So long, if the last event says that a file is being written and not yet closed.
const WRITING_MAX: Duration = Duration::from_secs(1);
const POLL_INTERVAL: Duration = Duration::from_secs(1);
const QUEUE_MESSAGES_MAX: usize = 1024;
const FOLLOW_ROUNDS_MAX: usize = 8;
