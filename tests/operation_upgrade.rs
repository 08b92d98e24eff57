//! A server that is replaced while it serves: nothing that was asked is lost, and what cannot take over does not.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hickory_proto::rr::RecordType;

use crate::support::client::{Tcp, Udp, ask, ask_tcp};
use crate::support::message::{addresses, query, read, wire};
use crate::support::{Deed, Lineage, Server, TestDir, Upstream, eventually, next_port, program, tools};

/// A block that knows one name.
const ONE_NAME: &str = ". {\n hosts absent {\n 192.0.2.7 one.test\n }\n}\n";

fn knows_one_name(address: SocketAddr) -> bool {
    let want = ["192.0.2.7".parse::<std::net::IpAddr>().unwrap()];
    [ask, ask_tcp].iter().all(|ask| addresses(&ask(address, &query("one.test.", RecordType::A))) == want)
}

/// Runs `script` with `arguments`. Programs are written by a process of their own: what a thread of ours has open for writing, a process that
/// another thread starts would have for a moment too, and the kernel starts no program that somebody writes.
fn sh(script: &str, arguments: &[&str]) {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).args(arguments);
    let (is_done, text) = tools::run(command);
    assert!(is_done, "{text}");
}

/// Puts a script in the place of the program that a server was started from.
fn replace_program(dir: &TestDir, lines: &str) {
    let (new, place) = (dir.join("waypost.new"), dir.join("waypost"));
    let script = r##"printf '#!/bin/sh\n%s\n' "$1" >"$2" && chmod 755 "$2" && mv -f "$2" "$3""##;
    sh(script, &[lines, &new, &place]);
}

/// A server of a copy of the program, which may be replaced.
fn of_a_copy(corefile: &str) -> Lineage {
    let setup = Server::with(corefile);
    let copy = setup.path("waypost");
    sh(r#"cp "$1" "$2""#, &[&program(), &copy]);
    Lineage::of(setup.program(&copy).start())
}

/// Clients that ask `address` over UDP and TCP until they are told to stop, each one query at a time, which has to be answered.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<std::thread::JoinHandle<()>>,
    answered: Arc<AtomicUsize>,
}

impl Load {
    fn on(address: SocketAddr) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let clients = (0..6)
            .map(|client| {
                let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
                std::thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let query = query("one.test.", RecordType::A);
                        // A new socket each time comes to another worker, and a new connection to whoever accepts them now.
                        if client < 4 {
                            let udp = Udp::connect(address);
                            (0..20).for_each(|_| assert_eq!(addresses(&udp.ask(&query)).len(), 1));
                        } else {
                            let mut tcp = Tcp::connect(address);
                            (0..20).for_each(|_| assert_eq!(addresses(&tcp.ask(&query)).len(), 1));
                        }
                        answered.fetch_add(20, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        Self { stop, clients, answered }
    }

    /// Waits for so many more answers.
    fn wait_for(&self, count: usize) {
        let want = self.answered.load(Ordering::Relaxed) + count;
        eventually("answers under load", || {
            assert!(!self.clients.iter().any(std::thread::JoinHandle::is_finished), "a query was lost");
            self.answered.load(Ordering::Relaxed) >= want
        });
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().for_each(|client| client.join().expect("every query was answered"));
    }
}

#[test]
fn queries_that_come_during_upgrades_are_all_answered() {
    let mut server = Lineage::of(Server::with(ONE_NAME).argument("-pidfile").argument("pid").start());
    let load = Load::on(server.address());
    for _ in 0..5 {
        load.wait_for(200);
        let old = server.pid();
        let new = server.upgrade();
        assert_ne!(old, new);
        // By its file, which the new one has written by then or does in a moment.
        eventually("the pidfile names the new process", || {
            std::fs::read_to_string(server.dir().join("pid")).is_ok_and(|text| text == format!("{new}\n"))
        });
        server.wait_for_line("[INFO] Upgrade finished");
    }
    load.wait_for(200);
    load.end();
    assert!(knows_one_name(server.address()));
    let dir = Arc::clone(server.dir());
    let output = server.stop();
    assert!(!output.contains("[ERROR]"), "{output}");
    assert!(!std::path::Path::new(&dir.join("pid")).exists());
}

#[test]
fn what_has_come_to_the_old_process_is_finished_by_it() {
    let upstream = Upstream::start(|asked| {
        let deed = Deed::usual(asked);
        if asked.query.queries[0].name.to_string().starts_with("late") { deed.at_the_gate() } else { deed }
    });
    let mut server = Lineage::of(Server::start(&format!(". {{\n forward . {}\n}}\n", upstream.address)));
    let (udp, mut tcp, mut quiet) =
        (Udp::connect(server.address()), Tcp::connect(server.address()), Tcp::connect(server.address()));
    let waiting = query("late.test.", RecordType::A);
    udp.send(&wire(&waiting));
    tcp.send(&wire(&waiting));
    // Accepted for sure, by the old process.
    assert_eq!(addresses(&quiet.ask(&query("soon.test.", RecordType::A))).len(), 1);
    upstream.wait_for(2);
    let (old, new) = (server.pid(), server.upgrade());
    server.wait_for_line("[INFO] Upgrade finished");
    let status = std::fs::read_to_string(format!("/proc/{new}/status")).unwrap();
    assert!(!status.contains(&format!("\nPPid:\t{old}\n")), "it is the child of who watches over services");
    assert_eq!(addresses(&ask(server.address(), &query("new.test.", RecordType::A))).len(), 1);
    upstream.open_gate();
    for answer in [udp.receive(), tcp.receive()] {
        let answer = read(&answer);
        assert_eq!((answer.metadata.id, addresses(&answer).len()), (waiting.metadata.id, 1));
    }
    assert_eq!(addresses(&quiet.ask(&query("more.test.", RecordType::A))).len(), 1, "it is open still");
    drop((tcp, quiet));
    assert_eq!(server.wait_for_first().code(), Some(0), "without connections nothing keeps it");
    server.stop();
}

#[test]
fn a_successor_that_cannot_serve_leaves_the_old_one_in_service() {
    let mut server = of_a_copy(ONE_NAME);
    let dir = Arc::clone(server.dir());
    let good = std::fs::read(dir.join("Corefile")).unwrap();
    let refused = |server: &mut Lineage, why: &str| {
        let (code, text) = server.try_upgrade();
        assert_eq!(code, 1, "{text}");
        assert!(text.contains("the server was not upgraded: ") && text.contains(why), "{text}");
        server.wait_for_line("[ERROR] SIGUSR2: upgrading: ");
        assert!(knows_one_name(server.address()));
    };
    dir.write("Corefile", ". {\n no-such-directive\n}\n");
    refused(&mut server, "Corefile:2 - Error during parsing: Unknown directive 'no-such-directive'");
    let elsewhere = next_port();
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, elsewhere)).unwrap();
    dir.write("Corefile", format!("{ONE_NAME}b.test:{elsewhere} {{\n bind 127.0.0.1\n}}\n"));
    refused(&mut server, "address already in use");
    drop(taken);
    dir.write("Corefile", good);
    replace_program(&dir, "exit 3");
    refused(&mut server, "the new process ended: exit status: 3");
    replace_program(&dir, "kill -SEGV $$");
    refused(&mut server, "signal: 11");
    replace_program(&dir, "exec 0</dev/null; exec sleep 1000");
    refused(&mut server, "the new process ");
    sh(r#"echo "no program" >"$1""#, &[&dir.join("waypost")]);
    refused(&mut server, "starting ");
    dir.remove("waypost");
    refused(&mut server, "No such file or directory");
    // And once it can, it does: what stands in the program's place is what is started.
    replace_program(&dir, &format!("echo started anew; exec {} \"$@\"", program()));
    server.upgrade();
    server.wait_for_line("started anew");
    assert!(knows_one_name(server.address()));
    server.stop();
}

/// The process that is to take over from a server of a copy, once there is one.
fn successor_of(server: &Lineage) -> u32 {
    let program = std::path::PathBuf::from(server.dir().join("waypost"));
    let mut found = None;
    eventually("there is a successor", || {
        let ids = std::fs::read_dir("/proc").unwrap().flatten();
        found = ids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(|id| {
            let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
            std::fs::read_link(format!("/proc/{id}/exe")).is_ok_and(|exe| exe == program)
                && environment.split(|&byte| byte == 0).any(|line| line == b"WAYPOST_UPGRADE=take over")
        });
        found.is_some()
    });
    found.expect("it was found")
}

#[test]
fn a_successor_that_hangs_does_not_stay() {
    let mut server = of_a_copy(ONE_NAME);
    let dir = Arc::clone(server.dir());
    // Where nobody ever writes, so that reading it never begins.
    dir.remove("Corefile");
    assert!(Command::new("mkfifo").arg(dir.join("Corefile")).status().unwrap().success());
    let upgrade = server.begin_upgrade();
    let successor = successor_of(&server);
    sh(r#"kill -KILL "$1""#, &[&successor.to_string()]);
    let (code, text) = server.outcome(upgrade);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("the new process ended before it served"), "{text}");
    assert!(knows_one_name(server.address()));
    // It ends with who has started it, in whichever way that ends.
    for signal in ["TERM", "KILL"] {
        let mut server = of_a_copy(ONE_NAME);
        let dir = Arc::clone(server.dir());
        dir.remove("Corefile");
        assert!(Command::new("mkfifo").arg(dir.join("Corefile")).status().unwrap().success());
        let upgrade = server.begin_upgrade();
        successor_of(&server);
        server.signal(signal);
        assert_eq!(server.outcome(upgrade).0, 1);
        // Both have the pipe.
        server.wait_for_end();
    }
}

#[test]
fn one_upgrade_at_a_time() {
    let mut server = of_a_copy(ONE_NAME);
    let dir = Arc::clone(server.dir());
    let gate = dir.join("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    replace_program(&dir, &format!("echo waits; read line <gate; exec {} \"$@\"", program()));
    let first = server.begin_upgrade();
    server.wait_for_line("waits");
    let (code, text) = server.try_upgrade();
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("just being upgraded by another command"), "{text}");
    server.signal("USR2");
    server.wait_for_line("[WARNING] SIGUSR2: an upgrade is under way already");
    // Asked of the old one, done by the new one.
    server.signal("USR1");
    assert!(knows_one_name(server.address()));
    std::fs::write(gate, "go\n").unwrap();
    server.end_upgrade(first);
    server.wait_for_line("[INFO] Reloading complete");
    assert!(knows_one_name(server.address()));
    server.stop();
}

#[test]
fn the_end_comes_during_an_upgrade_too() {
    let mut server = of_a_copy(ONE_NAME);
    let dir = Arc::clone(server.dir());
    replace_program(&dir, "echo waits as $$; exec sleep 1000");
    let upgrade = server.begin_upgrade();
    let line = server.wait_for_line("waits as ");
    let successor: u32 = line.rsplit(' ').next().unwrap().parse().unwrap();
    server.signal("TERM");
    let (code, text) = server.outcome(upgrade);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("told to end"), "{text}");
    assert_eq!(server.wait_for_first().code(), Some(0));
    assert!(!std::path::Path::new(&format!("/proc/{successor}")).exists(), "it was ended and waited for");
}

#[test]
fn a_successor_whose_predecessor_is_killed_does_not_serve_on_behind_its_back() {
    let mut server = of_a_copy(ONE_NAME);
    let dir = Arc::clone(server.dir());
    let gate = dir.join("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    replace_program(&dir, &format!("echo waits; read line <gate; exec {} \"$@\"", program()));
    let upgrade = server.begin_upgrade();
    server.wait_for_line("waits");
    server.signal("KILL");
    let (code, text) = server.outcome(upgrade);
    assert_eq!(code, 1, "{text}");
    std::fs::write(gate, "go\n").unwrap();
    // Both have the pipe: it ends with the later of them.
    server.wait_for_end();
    assert!(TcpStream::connect(server.address()).is_err());
}

#[test]
fn the_new_configuration_may_listen_elsewhere() {
    let (dropped, new) = (next_port(), next_port());
    let block = |port| format!("one.test:{port} {{\n hosts absent {{\n 192.0.2.7 one.test\n }}\n}}\n");
    let mut server = Lineage::of(Server::start(&format!("{ONE_NAME}{}", block(dropped))));
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    assert!(knows_one_name(at(dropped)));
    server.dir().write("Corefile", format!("{ONE_NAME}{}", block(new)));
    server.upgrade();
    assert!(knows_one_name(at(new)) && knows_one_name(server.address()));
    assert!(server.wait_for_first().success());
    assert!(TcpStream::connect(at(dropped)).is_err(), "nobody holds what is served no more");
    server.stop();
}

#[test]
fn another_number_of_workers_loses_nothing() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        crate::support::say("SKIPPED another_number_of_workers_loses_nothing: there is but one core");
        return;
    }
    let mut server = Lineage::of(Server::start(ONE_NAME));
    let load = Load::on(server.address());
    for cpus in ["0", "0,1", "0", "0,1"] {
        load.wait_for(100);
        // Of the first thread alone, which is the one that starts the successor.
        let mut change = Command::new("taskset");
        change.args(["-cp", cpus, &server.pid().to_string()]);
        let (is_changed, text) = tools::run(change);
        assert!(is_changed, "{text}");
        let new = server.upgrade();
        let tasks = std::fs::read_dir(format!("/proc/{new}/task")).unwrap().flatten();
        let names = tasks.map(|task| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default());
        assert_eq!(names.filter(|name| name.starts_with("worker-")).count(), cpus.len().div_ceil(2));
        server.wait_for_line("[INFO] Upgrade finished");
    }
    load.wait_for(100);
    load.end();
    server.stop();
}

#[test]
fn what_a_successor_inherits_is_sockets_and_nothing_else() {
    // Nothing that watches files: whether a watch has begun by the time of a count is chance.
    let mut server = Lineage::of(Server::start(". {\n whoami\n}\n"));
    let of = |pid: u32| {
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // Behind the name in brackets, which may contain anything, the 17th word is the nice value (proc(5)).
        let nice = stat.rsplit(") ").next().unwrap().split(' ').nth(16).unwrap().to_owned();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        (descriptors, nice, line("SigBlk:"), line("SigIgn:"), line("SigCgt:"))
    };
    let (_, nice, blocked, ignored, caught) = of(server.pid());
    // All its workers are there when it has taken over, which a server that was just started does not wait for. The channel to its
    // predecessor may be open yet, for a moment.
    let first = server.upgrade();
    let (descriptors, ..) = of(first);
    for _ in 0..4 {
        let new = server.upgrade();
        let input = std::fs::read_link(format!("/proc/{new}/fd/0")).unwrap();
        assert_eq!(input, std::path::Path::new("/dev/null"));
    }
    eventually("nothing gathers from process to process", || of(server.pid()).0 <= descriptors);
    let last = of(server.pid());
    assert_eq!((last.1, last.2, last.3, last.4), (nice, blocked, ignored, caught));
    server.stop();
}

#[test]
fn a_configuration_from_standard_input_goes_along() {
    let setup = Server::without_corefile().argument("-conf").argument("stdin");
    // More than one message of the channel holds.
    let long = format!("{ONE_NAME}{}", "# a comment of some length\n".repeat(4000));
    let mut server = Lineage::of(setup.stdin(&long).start());
    for _ in 0..2 {
        server.upgrade();
        assert!(knows_one_name(server.address()));
    }
    server.stop();
}

#[test]
fn a_process_that_is_no_server_is_left_alone() {
    let ended = Server::without_corefile()
        .without_port_flag()
        .argument("upgrade")
        .argument("-pid")
        .argument(&std::process::id().to_string())
        .run();
    assert_eq!(ended.code(), 1, "{ended:#?}");
    assert!(ended.stderr.contains("has no use for SIGUSR2"), "{ended:#?}");
    let ended = Server::without_corefile().without_port_flag().argument("upgrade").run();
    assert_eq!(ended.code(), 2, "{ended:#?}");
    let ended =
        Server::without_corefile().without_port_flag().argument("upgrade").argument("-pidfile=nosuch").run();
    assert_eq!(ended.code(), 1, "{ended:#?}");
    assert!(ended.stderr.contains("nosuch: No such file or directory"), "{ended:#?}");
}
