//! A Debian of its own that systemd has booted: this machine's files, to which nothing is written, in namespaces and control groups of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::daemon::Daemon;
use super::{TestDir, eventually, released, say, tools};

/// How the name of the package ends.
pub(crate) const PACKAGE: &str = concat!("/waypost_", env!("CARGO_PKG_VERSION"), "-1_amd64.deb");

/// What names of control groups begin with; the process ID follows.
const PREFIX: &str = "waypost-test-";

/// Where control groups that systemd uses may be mounted: those of version 2 alone, or beside those of version 1.
const GROUPS: [&str; 3] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"];

/// What a shell does before systemd boots, in a mount namespace of its own: `$1` is a folder, `$2` the name of control groups, and what follows where
/// these are mounted. Nothing of the machine's own services is started, and policies for who builds images are not in force.
const BUILD: &str = r#"
cd "$1" && name=$2 && shift 2
mount -t tmpfs -o mode=755 tmpfs "$PWD"
cd "$PWD"
mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
rm -rf root/etc/systemd/system root/var/log/journal
rm -f root/usr/sbin/policy-rc.d root/var/lib/man-db/auto-update root/etc/resolv.conf
mkdir -p root/etc/systemd/system root/etc/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\n' > root/etc/systemd/journald.conf.d/test.conf
printf '[Unit]\nRequires=basic.target dbus.socket\nAfter=basic.target dbus.socket\n' > root/etc/systemd/system/test.target
: > root/etc/machine-id
echo machine > root/etc/hostname
printf '127.0.0.1 localhost\n192.168.10.50 near.test\n' > root/etc/hosts
echo nameserver 192.0.2.53 > root/etc/resolv.conf
for group; do
    mkdir -p "$group/$name"
    echo $$ > "$group/$name/cgroup.procs"
done
# What it notes there of machines is nobody's business.
mount -t tmpfs tmpfs /run
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
exec systemd-nspawn --quiet --directory="$PWD/root" --register=no --keep-unit --private-network --console=pipe --link-journal=no \
    --resolv-conf=off --timezone=off --boot systemd.unit=test.target >&2
"#;

/// A machine that runs until it is dropped.
pub(crate) struct Machine {
    dir: TestDir,
    groups: Groups,
    daemon: Daemon,
    /// Its first process, as this machine counts.
    first: String,
}

/// Control groups of one name, removed when dropped.
struct Groups(String);

impl Machine {
    /// Boots one; `None`, having said so loudly, if that cannot be done here.
    pub(crate) fn boot(test: &str) -> Option<Self> {
        match Self::try_boot() {
            Ok(machine) => Some(machine),
            Err(why) => {
                say(&format!("SKIPPED: {test}: no systemd can be booted here: {}", why.trim()));
                None
            }
        }
    }

    /// Boots one with the released package installed.
    pub(crate) fn with_package(test: &str) -> Option<Self> {
        let package = released(test, PACKAGE)?;
        let machine = Self::boot(test)?;
        machine.copy(&package, "/waypost.deb");
        machine.run("dpkg --install /waypost.deb");
        Some(machine)
    }

    fn try_boot() -> Result<Self, String> {
        if tools::shell("id -u").trim() != "0" {
            return Err("only root can".to_owned());
        }
        let found = tools::shell("command -v systemd-nspawn || true; command -v dpkg || true");
        if found.lines().count() < 2 {
            return Err("systemd-nspawn (Debian's systemd-container) or dpkg is not installed".to_owned());
        }
        let (dir, groups) = (TestDir::new(), Groups::new());
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-euc", BUILD, "sh"]);
        command.arg(dir.path()).arg(&groups.0).args(Groups::places());
        let daemon = Daemon::launch("TERM", &command)?;
        let mut machine = Self { dir, groups, daemon, first: String::new() };
        eventually("systemd has booted, or cannot", || machine.has_booted() || machine.daemon.has_ended());
        if machine.daemon.has_ended() { Err(machine.daemon.text()) } else { Ok(machine) }
    }

    fn has_booted(&mut self) -> bool {
        let pid = self.daemon.pid();
        // It is the one child of what has started it.
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        self.first = children.trim().to_owned();
        !self.first.is_empty() && self.try_run("systemctl is-active --quiet test.target").0
    }

    /// Runs commands of the shell in it; says whether all succeeded, and what they printed.
    pub(crate) fn try_run(&self, commands: &str) -> (bool, String) {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first, "--all", "--root", "--wd"]);
        command.args([
            "env",
            "-i",
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL=C",
            "SYSTEMD_PAGER=",
            "DEBIAN_FRONTEND=noninteractive",
        ]);
        command.args(["sh", "-euc", commands]);
        tools::run(command)
    }

    /// Runs commands of the shell in it, each of which must succeed, and returns what they printed.
    pub(crate) fn run(&self, commands: &str) -> String {
        let (success, text) = self.try_run(commands);
        assert!(success, "{commands}\n{text}\n{}", self.journal());
        text.trim_end().to_owned()
    }

    /// One of its files, as a path of this machine.
    fn path(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{file}", self.first))
    }

    /// Writes a file of it, and the folders above.
    pub(crate) fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        let folder = path.parent().expect("a file is in a folder");
        fs::create_dir_all(folder).and_then(|()| fs::write(&path, text)).expect("its files can be written");
    }

    /// Copies a file of this machine into it.
    pub(crate) fn copy(&self, from: &Path, to: &str) {
        fs::copy(from, self.path(to)).expect("its files can be written");
    }

    /// A property of the service, as systemd has it.
    pub(crate) fn show(&self, property: &str) -> String {
        self.run(&format!("systemctl show --property {property} --value waypost"))
    }

    /// A line of what the kernel says of the service's main process.
    pub(crate) fn status(&self, field: &str) -> String {
        let status = self.run(&format!("cat /proc/{}/status", self.show("MainPID")));
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(":\t"));
        line.unwrap_or_else(|| panic!("{field} is not in\n{status}")).to_owned()
    }

    /// What the service and systemd have said of it.
    pub(crate) fn journal(&self) -> String {
        self.try_run(
            "journalctl --sync; journalctl --no-pager --quiet --output short-precise --unit waypost.service",
        )
        .1
    }

    /// Asks the service over UDP and over TCP, and returns both answers, which must be equal.
    pub(crate) fn dig(&self, arguments: &str) -> String {
        let [udp, tcp] = ["+notcp", "+tcp"]
            .map(|transport| self.run(&format!("dig +time=10 +tries=1 +short {transport} {arguments}")));
        assert_eq!(udp, tcp, "{arguments}");
        udp
    }
}

impl Drop for Machine {
    #[allow(clippy::print_stderr, reason = "shown with the failure of the test")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("\n--- machine {}\n{}---", self.dir.path().display(), self.journal());
        }
        // Its end is the end of all that it has started and mounted, and of what has started it.
        let _ = Command::new("kill").args(["-KILL", &self.first]).status();
        self.daemon.end("TERM");
        self.groups.remove();
    }
}

impl Groups {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        if n == 0 {
            Self::remove_leftovers();
        }
        Self(format!("{PREFIX}{}-{n}", std::process::id()))
    }

    fn places() -> impl Iterator<Item = &'static str> {
        GROUPS.into_iter().filter(|place| Path::new(place).join("cgroup.procs").exists())
    }

    /// Removes them. The kernel may take a moment to see that the processes in them are gone.
    fn remove(&self) {
        for place in Self::places() {
            let group = Path::new(place).join(&self.0);
            let is_gone = (0..10_000).any(|_| {
                remove_group(&group);
                std::thread::yield_now();
                !group.exists()
            });
            if !is_gone {
                say(&format!("{} could not be removed", group.display()));
            }
        }
    }

    /// Removes what runs that were killed have left.
    fn remove_leftovers() {
        for entry in Self::places().filter_map(|place| fs::read_dir(place).ok()).flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
            if pid.is_some_and(|pid| !PathBuf::from(format!("/proc/{pid}")).exists()) {
                remove_group(&entry.path());
            }
        }
    }
}

/// Removes a control group and those in it: folders that have files of the kernel's, but can be removed without them.
fn remove_group(group: &Path) {
    let inner = fs::read_dir(group).into_iter().flatten().flatten();
    for entry in inner.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_group(&entry.path());
    }
    let _ = fs::remove_dir(group);
}
