//! The program as its users run it: a process with arguments, files, signals and output.

use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_proto::rr::RecordType;

use super::netns::Namespace;
use super::{Lines, PATIENCE, TestDir, message, next_port, tools};

/// The program under test: the one built with the tests, or another build that WAYPOST_BINARY names.
pub(crate) fn program() -> String {
    std::env::var("WAYPOST_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_waypost").to_owned())
}

/// How often a server is started anew because its port was taken meanwhile.
const ATTEMPTS: usize = 5;

/// How long to wait for an answer of a server that says nothing of its start before asking again.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// A server that is to be started, in a directory of its own with `Corefile` in it.
pub(crate) struct Setup {
    corefile: Option<String>,
    dir: Arc<TestDir>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    namespace: Option<Namespace>,
    port: Option<u16>,
    stdin: Option<String>,
    stdout: Stdout,
    program: String,
    prefix: Vec<String>,
    says_port: bool,
}

/// Where a server prints to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stdout {
    /// [`Server::stdout`].
    Lines,
    /// A pipe that nobody reads, in [`Server::unread`].
    Unread,
    /// A disk that is full.
    Full,
    /// There is none.
    Closed,
}

/// A process that serves; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) dir: Arc<TestDir>,
    pub(crate) port: u16,
    pub(crate) stdout: Lines,
    pub(crate) stderr: Lines,
    /// Its output, if nobody reads it.
    pub(crate) unread: Option<ChildStdout>,
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Server {
    /// Serves `corefile`, whose blocks name no port: they get one that is free.
    pub(crate) fn start(corefile: &str) -> Self {
        Self::with(corefile).start()
    }

    /// A server of `corefile` of which more is to be said. A port that is to be written in it is `{$PORT}`.
    pub(crate) fn with(corefile: &str) -> Setup {
        Setup { corefile: Some(corefile.to_owned()), ..Self::without_corefile() }
    }

    /// A server without a Corefile.
    pub(crate) fn without_corefile() -> Setup {
        Setup {
            corefile: None,
            dir: Arc::new(TestDir::new()),
            arguments: Vec::new(),
            environment: Vec::new(),
            namespace: None,
            port: None,
            stdin: None,
            stdout: Stdout::Lines,
            program: program(),
            prefix: Vec::new(),
            says_port: true,
        }
    }

    /// Where it is reached over IPv4.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address_at(Ipv4Addr::LOCALHOST.into())
    }

    /// Where it is reached over IPv6.
    pub(crate) fn address_v6(&self) -> SocketAddr {
        self.address_at(Ipv6Addr::LOCALHOST.into())
    }

    pub(crate) fn address_at(&self, ip: IpAddr) -> SocketAddr {
        SocketAddr::new(ip, self.port)
    }

    /// Waits for the next line of output that contains `part`.
    pub(crate) fn wait_for_line(&self, part: &str) -> String {
        self.stdout
            .wait_for_within(part, PATIENCE)
            .unwrap_or_else(|| panic!("no line with {part:?} came{}", self.output()))
    }

    /// Sends the signal `name`, as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &command]).status().expect("sh is there");
        assert!(status.success(), "{command}: {status}");
    }

    /// Reads the configuration anew and waits until that is done.
    pub(crate) fn reload(&self) {
        self.signal("USR1");
        self.wait_for_line("[INFO] Reloading complete");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How the process has ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours can be waited for")
    }

    /// Waits for the end of the process.
    pub(crate) fn wait(mut self) -> Ended {
        assert!(
            self.stdout.wait_for_end(PATIENCE) && self.stderr.wait_for_end(PATIENCE),
            "the server does not end{}",
            self.output()
        );
        let status = self.child.wait().expect("a child of ours can be waited for");
        Ended { status, stdout: self.stdout.text(), stderr: self.stderr.text() }
    }

    /// Ends the server with the signal TERM and returns what it printed.
    pub(crate) fn stop(self) -> Ended {
        self.signal("TERM");
        self.wait()
    }

    fn output(&self) -> String {
        format!("\n--- stdout\n{}\n--- stderr\n{}\n---", self.stdout.text(), self.stderr.text())
    }

    /// Asks until an answer comes.
    fn wait_for_answer(&self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let query = message::wire(&message::query("start.test.", RecordType::A));
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a client's socket");
        socket.connect(self.address()).expect("a client's socket can be connected");
        socket.set_read_timeout(Some(ASK_AGAIN)).expect("a limit above zero");
        while Instant::now() < deadline && !self.stderr.has_ended() {
            // Refused as long as the server has no socket: then the kernel answers both calls at once.
            if socket.send(&query).is_ok() && socket.recv(&mut [0; 512]).is_ok() {
                return true;
            }
            std::thread::yield_now();
        }
        false
    }
}

impl Drop for Server {
    #[allow(clippy::print_stderr, reason = "shown with the failure of the test")]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.output());
        }
    }
}

impl Setup {
    /// A file beside the Corefile.
    pub(crate) fn file(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        self.dir.write(name, text);
        self
    }

    /// The path of a file beside the Corefile.
    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.join(name)
    }

    pub(crate) fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// In a network namespace of its own, on port 53 there.
    pub(crate) fn inside(mut self, namespace: &Namespace) -> Self {
        self.namespace = Some(namespace.clone());
        self.port(53)
    }

    /// On this port and no other.
    pub(crate) fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// In this directory instead of a new one.
    pub(crate) fn dir(mut self, dir: &Arc<TestDir>) -> Self {
        self.dir = Arc::clone(dir);
        self
    }

    /// What it reads on standard input.
    pub(crate) fn stdin(mut self, text: &str) -> Self {
        self.stdin = Some(text.to_owned());
        self
    }

    /// Where its output goes.
    pub(crate) fn stdout(mut self, stdout: Stdout) -> Self {
        self.stdout = stdout;
        self
    }

    /// This copy of the program.
    pub(crate) fn program(mut self, path: &str) -> Self {
        self.program = path.to_owned();
        self
    }

    /// Run by another program: the words of `line` come before the program's name.
    pub(crate) fn run_by(mut self, line: &str) -> Self {
        self.prefix = line.split_whitespace().map(str::to_owned).collect();
        self
    }

    /// Without the flag that names the port.
    pub(crate) fn without_port_flag(mut self) -> Self {
        self.says_port = false;
        self
    }

    /// Starts the server and waits until it has opened its sockets.
    pub(crate) fn start(self) -> Server {
        for attempt in 1.. {
            let server = self.launch();
            let serves = if self.stdout == Stdout::Lines && !self.arguments.iter().any(|a| a == "-quiet") {
                // Printed when all sockets are open.
                let version = concat!("waypost-", env!("CARGO_PKG_VERSION"));
                server.stdout.has_within(version, PATIENCE)
            } else {
                server.wait_for_answer()
            };
            if serves {
                return server;
            }
            let is_taken = self.port.is_none() && server.stderr.text().contains("address already in use");
            assert!(is_taken && attempt < ATTEMPTS, "the server does not start{}", server.output());
        }
        unreachable!("the loop ends with a server or a panic")
    }

    /// Runs the program, which is expected to end by itself.
    pub(crate) fn run(self) -> Ended {
        self.launch().wait()
    }

    /// Starts the program and does not wait for anything.
    pub(crate) fn launch(&self) -> Server {
        let port = self.port.unwrap_or_else(next_port);
        if let Some(corefile) = &self.corefile {
            self.dir.write("Corefile", corefile);
        }
        let mut words = self.prefix.clone();
        if self.stdout == Stdout::Closed {
            words.extend(["sh", "-c", "exec \"$0\" \"$@\" >&-"].map(str::to_owned));
        }
        words.push(self.program.clone());
        // Words come before flags, as `check FILE`.
        words.extend(self.arguments.iter().cloned());
        if self.says_port {
            words.extend(["-p".to_owned(), port.to_string()]);
        }
        let mut command = match &self.namespace {
            Some(namespace) => namespace.command(&words[0]),
            None => Command::new(&words[0]),
        };
        command.args(&words[1..]).current_dir(self.dir.path());
        command.env("PORT", port.to_string()).envs(self.environment.iter().map(|(k, v)| (k, v)));
        command.stdin(if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stderr(Stdio::piped()).stdout(match self.stdout {
            Stdout::Lines | Stdout::Unread => Stdio::piped(),
            Stdout::Closed => Stdio::null(),
            Stdout::Full => std::fs::File::create("/dev/full").expect("Linux has a full disk").into(),
        });
        let mut child = command.spawn().unwrap_or_else(|error| match error.kind() {
            ErrorKind::NotFound => panic!("{}", tools::missing(&words[0])),
            _ => panic!("{}: {error}", words[0]),
        });
        if let (Some(mut pipe), Some(text)) = (child.stdin.take(), &self.stdin) {
            // A program that ends without reading closes the pipe.
            let _ = pipe.write_all(text.as_bytes());
        }
        let mut unread = child.stdout.take();
        let stdout = match unread.take_if(|_| self.stdout == Stdout::Lines) {
            Some(stream) => Lines::gather(stream),
            None => Lines::none(),
        };
        let stderr = child.stderr.take().map_or_else(Lines::none, Lines::gather);
        Server { child, dir: Arc::clone(&self.dir), port, stdout, stderr, unread }
    }
}

impl Ended {
    /// The exit code; fails if a signal ended the process.
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("ended by a signal: {self:#?}"))
    }
}
