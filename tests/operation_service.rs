//! What a service manager and the server say to each other: sockets that are open before it starts, and how it is.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self, UnixDatagram};
use std::process::{Command, Stdio};

use hickory_proto::rr::RecordType;
use socket2::{Domain, Socket, Type};

use crate::support::client::{ask, ask_tcp};
use crate::support::message::{addresses, query};
use crate::support::{Lineage, Lines, PATIENCE, Server, TestDir, program};

/// A block that knows one name.
const ONE_NAME: &str = ". {\n hosts absent {\n 192.0.2.7 one.test\n }\n}\n";

fn knows_one_name(address: SocketAddr) -> bool {
    let want = ["192.0.2.7".parse::<std::net::IpAddr>().unwrap()];
    [ask, ask_tcp].iter().all(|ask| addresses(&ask(address, &query("one.test.", RecordType::A))) == want)
}

/// A service manager's ear.
struct Manager {
    socket: UnixDatagram,
    heard: VecDeque<String>,
}

impl Manager {
    fn over(socket: UnixDatagram) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, heard: VecDeque::new() }
    }

    /// The next assignment, such as `READY=1`; those of one message come one after the other. The watchdog's are passed over.
    fn hear(&mut self) -> String {
        loop {
            match self.heard.pop_front() {
                Some(said) if said != "WATCHDOG=1" => return said,
                Some(_) => {}
                None => self.listen(),
            }
        }
    }

    fn listen(&mut self) {
        let mut bytes = [0; 4096];
        let len = self.socket.recv(&mut bytes).expect("the server says something");
        self.heard.extend(String::from_utf8_lossy(&bytes[..len]).lines().map(str::to_owned));
    }

    /// Waits for this assignment, whatever comes before.
    fn wait_for(&mut self, said: &str) {
        while self.heard.pop_front().is_none_or(|heard| heard != said) {
            if self.heard.is_empty() {
                self.listen();
            }
        }
    }
}

#[test]
fn the_manager_is_told_how_things_are() {
    let dir = std::sync::Arc::new(TestDir::new());
    let mut manager = Manager::over(UnixDatagram::bind(dir.join("notify")).unwrap());
    let setup = Server::with(ONE_NAME).dir(&dir).environment("NOTIFY_SOCKET", &dir.join("notify"));
    let mut server = Lineage::of(setup.start());
    assert_eq!([manager.hear(), manager.hear()], ["READY=1", "STATUS=Serving on 1 listener"]);

    server.signal("USR1");
    assert_eq!(manager.hear(), "RELOADING=1");
    let time = manager.hear();
    let time: u64 = time.strip_prefix("MONOTONIC_USEC=").expect(&time).parse().unwrap();
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    assert!(time > 0 && time as f64 / 1e6 <= uptime + 1.0, "{time} at {uptime}");
    assert_eq!(manager.hear(), "STATUS=Reloading");
    assert_eq!([manager.hear(), manager.hear()], ["READY=1", "STATUS=Serving on 1 listener"]);

    dir.write("Corefile", ". {\n no-such-directive\n}\n");
    server.signal("USR1");
    manager.wait_for("READY=1");
    let status = manager.hear();
    assert!(
        status.contains("the last reload failed: ") && status.contains("no-such-directive"),
        "it serves, and says what is wrong: {status}"
    );
    dir.write("Corefile", ONE_NAME);

    let new = server.upgrade();
    assert_eq!(manager.hear(), format!("MAINPID={new}"));
    assert_eq!([manager.hear(), manager.hear()], ["READY=1", "STATUS=Serving on 1 listener"]);
    server.signal("TERM");
    assert_eq!(manager.hear(), "STOPPING=1");
    server.wait_for_end();
}

#[test]
fn the_watchdog_is_kept_quiet_from_process_to_process() {
    let name = format!("waypost-test-notify-{}", std::process::id());
    let address = net::SocketAddr::from_abstract_name(&name).unwrap();
    let mut manager = Manager::over(UnixDatagram::bind_addr(&address).unwrap());
    let setup = Server::with(ONE_NAME)
        .environment("NOTIFY_SOCKET", &format!("@{name}"))
        .environment("WATCHDOG_USEC", "20000");
    let mut server = Lineage::of(setup.start());
    for _ in 0..3 {
        manager.wait_for("WATCHDOG=1");
    }
    let new = server.upgrade();
    manager.wait_for(&format!("MAINPID={new}"));
    manager.wait_for("READY=1");
    for _ in 0..3 {
        manager.wait_for("WATCHDOG=1");
    }
    server.stop();
}

#[test]
fn a_watchdog_on_another_process_is_none_of_ours() {
    let dir = std::sync::Arc::new(TestDir::new());
    let mut manager = Manager::over(UnixDatagram::bind(dir.join("notify")).unwrap());
    let server = Server::with(ONE_NAME)
        .dir(&dir)
        .environment("NOTIFY_SOCKET", &dir.join("notify"))
        .environment("WATCHDOG_USEC", "2000")
        .environment("WATCHDOG_PID", "1")
        .start();
    manager.wait_for("READY=1");
    assert!(knows_one_name(server.address()));
    server.signal("TERM");
    let mut said = Vec::new();
    while said.last().is_none_or(|last: &String| last != "STOPPING=1") {
        if manager.heard.is_empty() {
            manager.listen();
        }
        said.extend(manager.heard.pop_front());
    }
    assert!(!said.iter().any(|said| said.starts_with("WATCHDOG")), "{said:?}");
}

/// A server that gets two sockets as systemd passes them: from descriptor 3 on, and told so.
struct Activated {
    child: std::process::Child,
    lines: Lines,
}

impl Activated {
    fn start(dir: &TestDir, corefile: &str, one: impl Into<OwnedFd>, other: impl Into<OwnedFd>) -> Self {
        dir.write("Corefile", corefile);
        // A shell puts them in their places, as its process is the one that becomes the server.
        let script = "exec 3<&0 4<&2 0</dev/null 2>&1; \
                      LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=one:other exec \"$0\" \"$@\"";
        let mut child = Command::new("sh")
            .args(["-c", script, &program()])
            .current_dir(dir.path())
            .stdin(Stdio::from(one.into()))
            .stderr(Stdio::from(other.into()))
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh is there");
        let lines = Lines::gather(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn wait_for_line(&self, part: &str) {
        let came = self.lines.wait_for_within(part, PATIENCE);
        assert!(came.is_some(), "no line with {part:?} came: {}", self.lines.text());
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two sockets on one port, of which no second server could open another: they do not share it.
fn pair() -> (UdpSocket, TcpListener, u16) {
    loop {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = tcp.local_addr().unwrap().port();
        if let Ok(udp) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) {
            return (udp, tcp, port);
        }
    }
}

#[test]
fn sockets_that_are_open_already_are_served() {
    let dir = TestDir::new();
    let (udp, tcp, port) = pair();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    // Asked before anybody serves: what waits in a socket is answered.
    let early = crate::support::client::Udp::connect(address);
    early.send(&crate::support::message::wire(&query("one.test.", RecordType::A)));
    let corefile = format!(".:{port} {{\n bind 127.0.0.1\n hosts absent {{\n 192.0.2.7 one.test\n }}\n}}\n");
    let server = Activated::start(&dir, &corefile, udp, tcp);
    assert_eq!(addresses(&crate::support::message::read(&early.receive())).len(), 1);
    server.wait_for_line("linux/");
    for _ in 0..20 {
        assert!(knows_one_name(address), "every worker answers");
    }
    assert!(!server.lines.text().contains("the service manager"), "{}", server.lines.text());
    // They are this server's until it ends, also from process to process.
    let upgrade =
        Command::new(program()).args(["upgrade", "-pid", &server.child.id().to_string()]).output().unwrap();
    assert!(upgrade.status.success(), "{upgrade:?} {}", server.lines.text());
    let new = String::from_utf8(upgrade.stdout).unwrap();
    let new = new.split(' ').nth(1).unwrap().to_owned();
    assert!(knows_one_name(address));
    assert!(Command::new("kill").arg(new).status().unwrap().success());
    assert!(server.lines.wait_for_end(PATIENCE));
}

#[test]
fn sockets_that_nobody_serves_are_told() {
    let dir = TestDir::new();
    let (udp, tcp, port) = pair();
    let stream = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    drop(tcp);
    let elsewhere = crate::support::next_port();
    let corefile = format!(".:{elsewhere} {{\n bind 127.0.0.1\n}}\n");
    let server = Activated::start(&dir, &corefile, udp, stream);
    server.wait_for_line(
        "[WARNING] the service manager's socket 'other' is not used: it has no address of the Internet",
    );
    server.wait_for_line(&format!(
        "[WARNING] the service manager has opened udp 127.0.0.1:{port}, where no server"
    ));
    server.wait_for_line("linux/");
    assert!(UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok(), "it is closed");
}

#[test]
fn sockets_of_another_process_are_not_taken() {
    // Inherited by mistake: the numbers are ours, and mean something else here.
    let server =
        Server::with(ONE_NAME).environment("LISTEN_PID", "1").environment("LISTEN_FDS", "4096").start();
    assert!(knows_one_name(server.address()));
    assert_eq!(server.stop().code(), 0);
}

#[test]
fn the_unit_leaves_little_exposed() {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/systemd/waypost.service");
    let rating =
        Command::new("systemd-analyze").args(["security", "--offline=true", "--threshold=15", unit]).output();
    match rating {
        Ok(rating) => {
            let table = String::from_utf8_lossy(&rating.stdout);
            assert!(
                rating.status.success(),
                "more than 1.5: {table}{}",
                String::from_utf8_lossy(&rating.stderr)
            );
        }
        Err(_) => crate::support::say("SKIPPED the_unit_leaves_little_exposed: there is no systemd-analyze"),
    }
}
