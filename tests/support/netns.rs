//! Network namespaces, each a machine of its own as far as the network goes.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{say, tools};

/// What names of namespaces begin with; the process ID follows.
const PREFIX: &str = "waypost-";

/// A network namespace made by `ip netns`; removed, with what stands in it, when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Namespace(Arc<Named>);

struct Named(String);

/// True if namespaces can be made here, with cables between them; else says loudly which test does not run.
pub(crate) fn are_possible(test: &str) -> bool {
    match Namespace::make("probe").and_then(|ns| ns.try_ip("link add probe0 type veth peer name probe1")) {
        Ok(_) => true,
        Err(why) => {
            say(&format!("SKIPPED: {test}: no network namespaces can be made here: {}", why.trim()));
            false
        }
    }
}

impl Namespace {
    /// A new namespace with its loopback up; `what` is a part of its name.
    pub(crate) fn new(what: &str) -> Self {
        Self::make(what).unwrap_or_else(|why| panic!("making a namespace: {why}"))
    }

    fn make(what: &str) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        if n == 0 {
            remove_leftovers();
        }
        let name = format!("{PREFIX}{}-{n}-{what}", std::process::id());
        ip(&format!("netns add {name}"))?;
        let namespace = Self(Arc::new(Named(name)));
        namespace.try_ip("link set lo up")?;
        Ok(namespace)
    }

    pub(crate) fn name(&self) -> &str {
        &self.0.0
    }

    /// Runs `ip` with the words of `line` in the namespace.
    pub(crate) fn ip(&self, line: &str) {
        self.try_ip(line).unwrap_or_else(|why| panic!("ip {line}: {why}"));
    }

    fn try_ip(&self, line: &str) -> Result<(), String> {
        ip(&format!("-n {} {line}", self.name()))
    }

    /// A command that runs in the namespace, with the namespace's files of /etc.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.name(), program]);
        command
    }

    /// Runs a program that must succeed in the namespace and returns what it printed.
    pub(crate) fn run(&self, line: &str) -> String {
        self.try_run(line).unwrap_or_else(|text| panic!("{line}: {text}"))
    }

    /// The same of a program that may fail: then what it printed is the error.
    pub(crate) fn try_run(&self, line: &str) -> Result<String, String> {
        let mut words = line.split_whitespace();
        let mut command = self.command(words.next().expect("a program"));
        command.args(words);
        let (success, text) = tools::run(command);
        // It is `ip` that does not find it.
        if let Some((program, _)) =
            text.strip_prefix("exec of \"").and_then(|rest| rest.split_once("\" failed: No such file"))
        {
            return Err(tools::missing(program));
        }
        if success { Ok(text) } else { Err(text) }
    }

    /// What programs in the namespace find as /etc/`file`.
    pub(crate) fn etc(&self, file: &str, text: &str) {
        let dir = etc_dir(self.name());
        // Another test may remove the folder above just when it is empty.
        let made = (0..100).any(|_| fs::create_dir_all(&dir).is_ok());
        assert!(made && fs::write(dir.join(file), text).is_ok(), "{} can be written to", dir.display());
    }

    /// Lets packets through from one interface to another.
    pub(crate) fn forward_packets(&self) {
        self.run("sysctl -q -w net.ipv4.ip_forward=1");
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// A cable from interface `at_a` of `a` to interface `at_b` of `b`, both ends up.
pub(crate) fn cable(a: &Namespace, at_a: &str, b: &Namespace, at_b: &str) {
    a.ip(&format!("link add {at_a} type veth peer name {at_b} netns {}", b.name()));
    a.ip(&format!("link set {at_a} up"));
    b.ip(&format!("link set {at_b} up"));
}

fn ip(line: &str) -> Result<(), String> {
    let mut command = Command::new("ip");
    command.args(line.split_whitespace());
    let (success, text) = tools::run(command);
    if success { Ok(()) } else { Err(text) }
}

fn etc_dir(name: &str) -> PathBuf {
    PathBuf::from("/etc/netns").join(name)
}

fn remove(name: &str) {
    let _ = ip(&format!("netns del {name}"));
    let _ = fs::remove_dir_all(etc_dir(name));
    // Goes only if it is empty.
    let _ = fs::remove_dir("/etc/netns");
}

/// Removes what runs that were killed have left.
fn remove_leftovers() {
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !PathBuf::from(format!("/proc/{pid}")).exists()) {
            remove(&name);
        }
    }
}
