//! Real files in directories of their own; each step waits for the watcher's word, and a minute only to fail.

use super::*;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::AtomicUsize;

/// A directory that goes with its test. Its path has no links.
pub(super) struct TestDir(PathBuf);

impl TestDir {
    pub(super) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("waypost-watch-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = fs::canonicalize(std::env::temp_dir()).unwrap().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self, below: &str) -> PathBuf {
        self.0.join(below)
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Between two looks.
const SHORT: Duration = Duration::from_millis(5);

/// One watcher, with the kernel's help or without.
struct Fixture {
    dir: TestDir,
    hub: Arc<Hub>,
}

impl Fixture {
    /// Runs `test` once with the kernel's events and once polling.
    async fn each(test: impl AsyncFn(&Self)) {
        for with_kernel in [true, false] {
            let fixture = Self { dir: TestDir::new(), hub: Hub::start(with_kernel, SHORT) };
            test(&fixture).await;
            assert_eq!(fixture.hub.lock().polling, !with_kernel, "each directory is watched, or none");
        }
    }

    fn subscribe(&self, path: &str) -> FileChanges {
        self.hub.subscribe(&self.dir.path(path)).unwrap()
    }
}

async fn told(changes: &mut FileChanges) {
    tokio::time::timeout(Duration::from_secs(60), changes.changed()).await.expect("a change is told")
}

/// Waits for word after `act` until the file reads `expected`: several steps may be told as one or as many.
async fn told_of(changes: &mut FileChanges, path: &Path, expected: Option<&str>) {
    loop {
        told(changes).await;
        if fs::read_to_string(path).ok().as_deref() == expected {
            return;
        }
    }
}

#[tokio::test]
async fn edits_replacements_deletion_and_return() {
    Fixture::each(async |fixture| {
        let path = fixture.dir.path("hosts");
        fs::write(&path, "one").unwrap();
        let mut changes = fixture.subscribe("hosts");

        fs::write(&path, "two!").unwrap();
        told_of(&mut changes, &path, Some("two!")).await;

        fs::write(fixture.dir.path("new"), "three").unwrap();
        fs::rename(fixture.dir.path("new"), &path).unwrap();
        told_of(&mut changes, &path, Some("three")).await;

        fs::remove_file(&path).unwrap();
        told_of(&mut changes, &path, None).await;

        fs::write(&path, "four").unwrap();
        told_of(&mut changes, &path, Some("four")).await;
    })
    .await;
}

#[tokio::test]
async fn an_edit_that_keeps_size_and_times_is_told_where_the_kernel_tells() {
    let fixture = Fixture { dir: TestDir::new(), hub: Hub::start(true, SHORT) };
    let path = fixture.dir.path("hosts");
    fs::write(&path, "one").unwrap();
    let mut changes = fixture.subscribe("hosts");
    fs::write(&path, "two").unwrap();
    told_of(&mut changes, &path, Some("two")).await;
}

#[tokio::test]
async fn a_config_map_swaps_its_links() {
    Fixture::each(async |fixture| {
        let dir = &fixture.dir;
        let path = dir.path("Corefile");
        fs::create_dir(dir.path("..1")).unwrap();
        fs::write(dir.path("..1/Corefile"), "first").unwrap();
        symlink("..1", dir.path("..data")).unwrap();
        symlink("..data/Corefile", &path).unwrap();
        let mut changes = fixture.subscribe("Corefile");

        // As kubelet does, several times: each swap must leave the new directory watched.
        for (old, new) in [("..1", "..2"), ("..2", "..3"), ("..3", "..4")] {
            fs::create_dir(dir.path(new)).unwrap();
            fs::write(dir.path(new).join("Corefile"), new).unwrap();
            symlink(new, dir.path("..data_tmp")).unwrap();
            fs::rename(dir.path("..data_tmp"), dir.path("..data")).unwrap();
            fs::remove_dir_all(dir.path(old)).unwrap();
            told_of(&mut changes, &path, Some(new)).await;
        }

        fs::write(dir.path("..4/Corefile"), "edited in place").unwrap();
        told_of(&mut changes, &path, Some("edited in place")).await;
    })
    .await;
}

#[tokio::test]
async fn directories_may_come_go_and_come_again() {
    Fixture::each(async |fixture| {
        let dir = &fixture.dir;
        let path = dir.path("a/b/file");
        let mut changes = fixture.subscribe("a/b/file");
        for text in ["first", "second"] {
            fs::create_dir_all(dir.path("a/b")).unwrap();
            fs::write(&path, text).unwrap();
            told_of(&mut changes, &path, Some(text)).await;
            fs::remove_dir_all(dir.path("a")).unwrap();
            told_of(&mut changes, &path, None).await;
        }
        fs::create_dir_all(dir.path("other")).unwrap();
        fs::write(dir.path("other/file"), "moved").unwrap();
        fs::create_dir_all(dir.path("a/b")).unwrap();
        fs::write(&path, "third").unwrap();
        told_of(&mut changes, &path, Some("third")).await;
        fs::rename(dir.path("a/b"), dir.path("a/old")).unwrap();
        fs::rename(dir.path("other"), dir.path("a/b")).unwrap();
        told_of(&mut changes, &path, Some("moved")).await;
        fs::write(&path, "and edited").unwrap();
        told_of(&mut changes, &path, Some("and edited")).await;
    })
    .await;
}

#[tokio::test]
async fn a_directory_changes_with_its_entries() {
    Fixture::each(async |fixture| {
        let mut changes = fixture.subscribe("");
        fs::write(fixture.dir.path("db.example.org"), "zone").unwrap();
        told(&mut changes).await;
        fs::remove_file(fixture.dir.path("db.example.org")).unwrap();
        told(&mut changes).await;
    })
    .await;
}

#[tokio::test]
async fn all_subscribers_are_told_and_the_last_ends_the_watch() {
    Fixture::each(async |fixture| {
        fs::write(fixture.dir.path("a"), "").unwrap();
        fs::create_dir(fixture.dir.path("sub")).unwrap();
        let (mut one, mut two, sub) =
            (fixture.subscribe("a"), fixture.subscribe("a"), fixture.subscribe("sub/b"));
        fs::write(fixture.dir.path("a"), "1").unwrap();
        told(&mut one).await;
        told(&mut two).await;

        drop((one, sub));
        fs::write(fixture.dir.path("a"), "22").unwrap();
        told(&mut two).await;
        let state = fixture.hub.lock();
        assert_eq!(state.subscribed.keys().collect::<Vec<_>>(), [&fixture.dir.path("a")]);
        let directories = if state.polling { vec![] } else { vec![fixture.dir.path("")] };
        assert_eq!(state.watched.iter().cloned().collect::<Vec<_>>(), directories);
    })
    .await;
}

#[tokio::test]
async fn lost_events_are_made_up_for_by_a_look() {
    let fixture = Fixture { dir: TestDir::new(), hub: Hub::start(true, SHORT) };
    fs::write(fixture.dir.path("a"), "").unwrap();
    let mut changes = fixture.subscribe("a");
    // As if the kernel had dropped what comes now.
    let directory = fixture.dir.path("");
    fixture.hub.lock().watcher.as_mut().unwrap().unwatch(&directory).unwrap();
    fs::write(fixture.dir.path("a"), "changed").unwrap();
    fixture
        .hub
        .queue
        .push_event(Ok(notify::Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan)));
    told(&mut changes).await;
}

#[test]
fn only_what_a_subscriber_depends_on_matters() {
    let fixture = Fixture { dir: TestDir::new(), hub: Hub::start(true, SHORT) };
    let _changes = fixture.subscribe("hosts");
    let matters = |path: &str| {
        let event = Message::Event { path: fixture.dir.path(path), being_written: false };
        fixture.hub.lock().note(event, &mut Happened::default())
    };
    assert!(matters("hosts"));
    assert!(matters(""), "the watched directory itself");
    assert!(!matters("hosts.tmp") && !matters("sub/hosts"));
}

#[test]
fn what_is_done_to_other_names_of_the_directory_is_not_even_queued() {
    let fixture = Fixture { dir: TestDir::new(), hub: Hub::start(true, SHORT) };
    fs::create_dir(fixture.dir.path("sub")).unwrap();
    let (_changes, _more) = (fixture.subscribe("hosts"), fixture.subscribe("sub"));
    let (sender, receiver) = sync_channel(8);
    let interest = Arc::clone(&fixture.hub.lock().interest);
    let queue = Queue { sender, overflowed: Arc::default(), interest };
    let written = |path: &str| {
        let kind = EventKind::Modify(ModifyKind::Data(notify::event::DataChange::Any));
        queue.push_event(Ok(notify::Event::new(kind).add_path(fixture.dir.path(path))));
        receiver.try_iter().count()
    };
    for path in ["access.log", "hosts.new", "other/hosts", "sub/entry/below"] {
        assert_eq!(written(path), 0, "{path}");
    }
    for path in ["hosts", "", "sub", "sub/entry"] {
        assert_eq!(written(path), 1, "{path}");
    }
    assert!(!queue.overflowed.load(Ordering::Relaxed));
}

#[test]
fn a_full_queue_becomes_a_look_at_all_files() {
    let (sender, receiver) = sync_channel(1);
    let queue = Queue { sender, overflowed: Arc::default(), interest: Arc::default() };
    queue.push(Message::Look);
    assert!(!queue.overflowed.load(Ordering::Relaxed));
    queue.push(Message::Look);
    assert!(queue.overflowed.load(Ordering::Relaxed));
    assert_eq!(receiver.try_iter().count(), 1);
}

#[test]
fn relative_paths_begin_at_the_working_directory_and_empty_ones_are_refused() {
    let hub = Hub::start(true, SHORT);
    let _changes = hub.subscribe(Path::new("Cargo.toml")).unwrap();
    let expected = std::env::current_dir().unwrap().join("Cargo.toml");
    assert!(hub.lock().subscribed.contains_key(&expected));
    assert!(hub.subscribe(Path::new("")).is_err());
}
