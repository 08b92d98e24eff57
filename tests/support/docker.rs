//! Docker with the image of the program, in a network namespace of its own: the machine's networks and its own Docker, if it has one, are
//! not touched.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::daemon::Daemon;
use super::netns::{self, Namespace};
use super::{TestDir, eventually, released, say, tools};

/// What the image is called.
pub(crate) const IMAGE: &str = concat!("waypost:", env!("CARGO_PKG_VERSION"));

/// The engine, shared by the tests that run at the same time; stopped when the last of them lets go.
pub(crate) struct Docker {
    dir: TestDir,
    namespace: Namespace,
    daemon: Daemon,
}

/// A container that runs until it is dropped.
pub(crate) struct Container {
    docker: Arc<Docker>,
    id: String,
}

impl Docker {
    /// The engine with the image loaded; `None`, having said so loudly, if there can be none here.
    pub(crate) fn get(test: &str) -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Docker>> = Mutex::new(Weak::new());
        let image = released(test, "image.tar")?;
        // A test that failed while it held the lock has left nothing half done.
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(docker) = shared.upgrade() {
            return Some(docker);
        }
        if !netns::are_possible(test) {
            return None;
        }
        let docker = match Self::start() {
            Ok(docker) => Arc::new(docker),
            Err(why) => {
                say(&format!("SKIPPED: {test}: no Docker can run here: {why}"));
                return None;
            }
        };
        docker.run(&format!("load --input {}", image.display()));
        *shared = Arc::downgrade(&docker);
        Some(docker)
    }

    fn start() -> Result<Self, String> {
        let (dir, namespace) = (TestDir::new(), Namespace::new("docker"));
        // By `nsenter`, as `ip netns exec` would hide the machine's control groups.
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", namespace.name())).arg("dockerd");
        for (flag, file) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
            command.args([flag, &dir.join(file)]);
        }
        command.args(["--host", &format!("unix://{}", dir.join("socket"))]);
        let docker = Self { daemon: Daemon::launch("TERM", &command)?, dir, namespace };
        let mut serves = false;
        eventually("the daemon of Docker answers or ends", || {
            serves = docker.command("version").status().is_ok_and(|status| status.success());
            serves || docker.daemon.has_ended()
        });
        if serves { Ok(docker) } else { Err(docker.daemon.text()) }
    }

    /// The namespace that is the host of the containers.
    pub(crate) fn host(&self) -> &Namespace {
        &self.namespace
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("docker");
        command.args(["--host", &format!("unix://{}", self.dir.join("socket"))]);
        command.args(line.split_whitespace()).env("DOCKER_CONFIG", self.dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Runs `docker` with the words of `line`, which must succeed, and returns what it printed.
    pub(crate) fn run(&self, line: &str) -> String {
        let mut command = self.command(line);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let (success, text) = tools::run(command);
        assert!(success, "docker {line}\n{text}");
        text.trim_end().to_owned()
    }

    /// Starts a container by `docker run` with the words of `line`.
    pub(crate) fn container(self: &Arc<Self>, line: &str) -> Container {
        Container { docker: Arc::clone(self), id: self.run(&format!("run --detach {line}")) }
    }

    /// Starts a container of the image and waits until it serves; `options` are Docker's, `arguments` the program's.
    pub(crate) fn serve(self: &Arc<Self>, options: &str, arguments: &str) -> Container {
        let container = self.container(&format!("{options} {IMAGE} {arguments}"));
        container.wait_for(concat!("waypost-", env!("CARGO_PKG_VERSION")));
        container
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let (_, ids) = tools::run({
            let mut command = self.command("ps --all --quiet");
            command.stdout(Stdio::piped());
            command
        });
        for id in ids.split_whitespace() {
            let _ = self.command(&format!("rm --force --volumes {id}")).status();
        }
        // Without its end what it leaves mounted could not be removed.
        self.daemon.end("TERM");
        // It leaves the namespace of the host's network mounted.
        let _ =
            Command::new("umount").arg(self.dir.join("exec/netns/default")).stderr(Stdio::null()).status();
    }
}

impl Container {
    /// Asks Docker about it, in the form of Go's templates.
    pub(crate) fn inspect(&self, template: &str) -> String {
        self.docker.run(&format!("inspect --format {template} {}", self.id))
    }

    /// Its address on the network that it is on.
    pub(crate) fn address(&self) -> String {
        self.inspect("{{range.NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
    }

    /// The ID of its process on this machine.
    pub(crate) fn pid(&self) -> String {
        self.inspect("{{.State.Pid}}")
    }

    /// A line of what the kernel says of its process.
    pub(crate) fn status(&self, field: &str) -> String {
        let status = fs::read_to_string(Path::new("/proc").join(self.pid()).join("status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(":\t"));
        line.unwrap_or_else(|| panic!("{field} is not in\n{status}")).to_owned()
    }

    /// What it has printed.
    pub(crate) fn logs(&self) -> String {
        self.docker.run(&format!("logs {}", self.id))
    }

    /// Waits until it has printed `part`.
    pub(crate) fn wait_for(&self, part: &str) {
        eventually(&format!("the container says {part:?}"), || {
            let logs = self.logs();
            assert!(
                logs.contains(part) || self.inspect("{{.State.Running}}") == "true",
                "the container has ended\n{logs}"
            );
            logs.contains(part)
        });
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        self.docker.run(&format!("kill --signal {name} {}", self.id));
    }

    /// `docker stop`, with `seconds` before it is killed.
    pub(crate) fn stop(&self, seconds: u32) {
        self.docker.run(&format!("stop --time {seconds} {}", self.id));
    }
}

impl Drop for Container {
    #[allow(clippy::print_stderr, reason = "shown with the failure of the test")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut command = self.docker.command(&format!("logs {}", self.id));
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            eprintln!("\n--- container {}\n{}---", self.id, tools::run(command).1);
        }
        let _ = self.docker.command(&format!("rm --force {}", self.id)).status();
    }
}
