//! Files that come, change, go and turn into something else.

use super::super::at_start::AtStart;
use super::super::tests::TestDir;
use super::*;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::symlink;

fn hosts_file(path: impl Into<PathBuf>) -> HostsFile {
    HostsFile::new(path.into(), None, true, 2)
}

/// What `name` is answered with.
fn answer(file: &HostsFile, name: &str) -> Option<IpAddr> {
    let name: Name = name.parse().unwrap();
    let table = file.table();
    let found = table.addresses(name.as_bytes(), name.hash_with(crate::wire::NameHasher::process()));
    found.v4.as_chunks::<4>().0.first().map(|octets| Ipv4Addr::from(*octets).into())
}

fn ip(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

#[track_caller]
fn is_kept(look: Look, trouble: Trouble, news: bool) {
    assert_eq!(look, Look::Kept { trouble, news });
}

#[test]
fn a_file_is_read_when_it_has_changed() {
    let dir = TestDir::new();
    let path = dir.write("hosts", "10.0.0.1 a");
    let file = hosts_file(&path);
    assert_eq!(file.refresh(false), Look::Loaded);
    assert_eq!(file.refresh(false), Look::Same);
    assert_eq!(file.refresh(true), Look::Loaded);
    // Another length.
    dir.write("hosts", "10.0.0.20 a");
    assert_eq!(file.refresh(false), Look::Loaded);
    assert_eq!(answer(&file, "a"), ip("10.0.0.20"));
    // The same length and age, but another file.
    let old = std::fs::metadata(&path).unwrap().modified().unwrap();
    let other = dir.write("other", "10.0.0.30 a");
    File::options().write(true).open(&other).unwrap().set_modified(old).unwrap();
    std::fs::rename(&other, &path).unwrap();
    assert_eq!(file.refresh(false), Look::Loaded);
    assert_eq!(answer(&file, "a"), ip("10.0.0.30"));
    // The same length and file, but another age.
    dir.write("hosts", "10.0.0.40 a");
    let later = old + std::time::Duration::from_secs(60);
    File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
    assert_eq!(file.refresh(false), Look::Loaded);
    assert_eq!(answer(&file, "a"), ip("10.0.0.40"));
}

#[test]
fn the_metrics_say_what_was_read() {
    let dir = TestDir::new();
    let path = dir.write("hosts", "10.0.0.1 a b\n::1 a *.c");
    let file = hosts_file(&path);
    file.refresh(false);
    let entries = metrics::HOSTS_ENTRIES.with([&path.to_string_lossy()]);
    // Five one way, three the other... and two of the configuration.
    assert_eq!(entries.get(), 4.0 + 3.0 + 2.0);
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_millis(1_500);
    File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
    file.refresh(false);
    assert_eq!(file.fingerprint_read().unwrap().modified, (1, 500_000_000));
    assert_eq!(file.fingerprint_read(), Fingerprint::at(&path));
}

#[test]
fn what_was_read_is_kept_whatever_becomes_of_the_file() {
    let dir = TestDir::new();
    let path = dir.write("hosts", "10.0.0.1 a");
    let file = hosts_file(&path);
    assert_eq!(file.refresh(false), Look::Loaded);
    std::fs::remove_file(&path).unwrap();
    is_kept(file.refresh(false), Trouble::Missing, true);
    is_kept(file.refresh(true), Trouble::Missing, false);
    std::fs::create_dir(&path).unwrap();
    is_kept(file.refresh(false), Trouble::Directory, true);
    is_kept(file.refresh(false), Trouble::Directory, false);
    std::fs::remove_dir(&path).unwrap();
    symlink("/dev/zero", &path).unwrap();
    is_kept(file.refresh(false), Trouble::Special, true);
    std::fs::remove_file(&path).unwrap();
    symlink(&path, &path).unwrap();
    assert!(matches!(file.refresh(false), Look::Kept { trouble: Trouble::Unreadable(..), news: true }));
    assert_eq!(answer(&file, "a"), ip("10.0.0.1"));
    std::fs::remove_file(&path).unwrap();
    dir.write("hosts", "10.0.0.2 a");
    assert_eq!(file.refresh(false), Look::Loaded);
    assert_eq!(answer(&file, "a"), ip("10.0.0.2"));
    std::fs::remove_file(&path).unwrap();
    is_kept(file.refresh(false), Trouble::Missing, true);
    // An empty file says something: that there is nothing.
    dir.write("hosts", "");
    assert_eq!(file.refresh(false), Look::Loaded);
    assert_eq!(answer(&file, "a"), None);
}

#[test]
fn a_pipe_is_not_waited_for() {
    let dir = TestDir::new();
    let path = dir.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    is_kept(hosts_file(&path).refresh(false), Trouble::Special, true);
    assert_eq!(hosts_file("/dev/null").refresh(false), Look::Loaded);
    is_kept(hosts_file("/dev/zero").refresh(false), Trouble::Special, true);
}

#[test]
fn a_swapped_link_is_another_file() {
    let dir = TestDir::new();
    for (version, address) in [("v1", "10.0.0.1"), ("v2", "10.0.0.2")] {
        std::fs::create_dir(dir.path(version)).unwrap();
        dir.write(&format!("{version}/hosts"), format!("{address} a"));
    }
    // As the kubelet lays out a ConfigMap: hosts -> ..data/hosts, ..data -> v1, which is swapped by a rename.
    symlink("v1", dir.path("..data")).unwrap();
    symlink("..data/hosts", dir.path("hosts")).unwrap();
    let file = hosts_file(dir.path("hosts"));
    assert_eq!(file.refresh(false), Look::Loaded);
    symlink("v2", dir.path("..data_tmp")).unwrap();
    std::fs::rename(dir.path("..data_tmp"), dir.path("..data")).unwrap();
    assert_eq!(file.refresh(false), Look::Loaded);
    assert_eq!(answer(&file, "a"), ip("10.0.0.2"));
}

/// Does something to the file when half of it was read.
struct Midway<'a, F: FnMut()>(&'a [u8], &'a [u8], F);

impl<F: FnMut()> Read for Midway<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() && !self.1.is_empty() {
            (self.2)();
            self.0 = std::mem::take(&mut self.1);
        }
        self.0.read(buffer)
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_not_served() {
    let dir = TestDir::new();
    let path = dir.write("hosts", "10.0.0.1 a\n10.0.0.1 b\n");
    let file = hosts_file(&path);
    let read = |midway: &mut dyn FnMut()| {
        let open = File::open(&path).unwrap();
        let before = Fingerprint::of(&open.metadata().unwrap());
        let reader = Midway(b"10.0.0.1 a\n", b"10.0.0.1 b\n", midway);
        steady::load_steady(&open, before, || file.load(reader, before.len))
    };
    assert_eq!(read(&mut || {}).ok().unwrap().table.records(), 4);
    let append = || File::options().append(true).open(&path).unwrap();
    let changing = |midway: &mut dyn FnMut()| assert_eq!(read(midway).err(), Some(Trouble::Changing));
    changing(&mut || io::Write::write_all(&mut append(), b"10.0.0.2 c\n").unwrap());
    changing(&mut || append().set_len(3).unwrap());
    changing(&mut || append().set_modified(std::time::UNIX_EPOCH).unwrap());
    // Replaced: losing its name is a change of the old one too. The next look finds the new one.
    let replace = || {
        dir.write("new", "10.0.0.3 a\n");
        std::fs::rename(dir.path("new"), &path).unwrap();
    };
    changing(&mut || replace());
    assert_eq!(file.refresh(false), Look::Loaded);
    assert_eq!(answer(&file, "a"), ip("10.0.0.3"));
}

#[test]
fn whoever_asks_sees_one_state_or_the_other() {
    let dir = TestDir::new();
    // Each state gives all names one address; the states differ in length as well.
    let state = |n: u32| -> String { (0..200 + n).map(|i| format!("10.0.0.{n} name{i}\n")).collect() };
    let path = dir.write("hosts", state(0));
    let file = hosts_file(&path);
    file.refresh(false);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in (0..60).chain([0]) {
                dir.write("new", state(n));
                std::fs::rename(dir.path("new"), &path).unwrap();
                file.refresh(true);
            }
            done.store(true, std::sync::atomic::Ordering::Release);
        });
        while !done.load(std::sync::atomic::Ordering::Acquire) {
            let table = file.table();
            let hash = crate::wire::NameHasher::process();
            let states: std::collections::HashSet<_> = (0..200)
                .map(|i| -> Name { format!("name{i}").parse().unwrap() })
                .map(|name| table.addresses(name.as_bytes(), name.hash_with(hash)).v4.to_vec())
                .collect();
            assert!(states.len() == 1 && !states.contains(&vec![]), "{states:?}");
        }
    });
    assert_eq!(answer(&file, "name199"), ip("10.0.0.0"));
}

#[test]
fn small_files_are_opened_once_for_all_blocks_of_a_start() {
    let dir = TestDir::new();
    let path = dir.write("hosts", "10.0.0.1 a");
    let at_start = AtStart::default();
    let contents = at_start.contents(&path).unwrap();
    assert!(Arc::ptr_eq(&contents, &at_start.contents(&path).unwrap()));
    let file = hosts_file(&path);
    file.take_up(&contents);
    assert_eq!(answer(&file, "a"), ip("10.0.0.1"));
    assert_eq!(file.refresh(false), Look::Same, "it is known as read");
    dir.write("hosts", "10.0.0.20 a");
    let changed = at_start.contents(&path).unwrap();
    assert_eq!(changed.text, b"10.0.0.20 a");
    at_start.forget();
    assert!(!Arc::ptr_eq(&changed, &at_start.contents(&path).unwrap()));
    dir.write("large", vec![b'#'; (64 << 10) + 1]);
    for odd in
        [dir.path("none"), dir.path("large"), dir.path("."), "/dev/null".into(), "/proc/self/status".into()]
    {
        assert!(at_start.contents(&odd).is_none(), "{odd:?}");
    }
}
