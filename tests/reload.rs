//! Configurations and hosts files that change while they are served.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Seek, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;

use crate::support::client::{Tcp, Udp, ask};
use crate::support::message::{ResponseCode, addresses, edns_query, query, read, wire};
use crate::support::{Deed, Server, TestDir, Upstream, eventually, next_port};

/// A configuration in which name.test has the address 192.0.2.`last`; `more` stands beside it.
fn corefile(last: u8, more: &str) -> String {
    format!(". {{\n hosts absent {{\n 192.0.2.{last} name.test\n }}\n {more}\n}}\n")
}

/// The last byte of the address that name.test has.
fn last_byte(answer: &Message) -> Option<u8> {
    match addresses(answer)[..] {
        [IpAddr::V4(ip)] => Some(ip.octets()[3]),
        _ => None,
    }
}

fn look_up(server: SocketAddr) -> Option<u8> {
    last_byte(&ask(server, &query("name.test.", RecordType::A)))
}

/// Waits until name.test has the address 192.0.2.`last`.
fn serves(server: &Server, last: u8) {
    eventually("the new state is served", || look_up(server.address()) == Some(last));
}

mod by_signal {
    use super::*;

    #[test]
    fn a_changed_configuration_is_served() {
        let server = Server::start(&corefile(1, ""));
        assert_eq!(look_up(server.address()), Some(1));
        for last in 2..5 {
            server.dir.write("Corefile", corefile(last, ""));
            server.reload();
            assert_eq!(look_up(server.address()), Some(last));
        }
    }

    /// Sends the signal, waits for the error with `part`, and looks whether the first configuration is still served.
    fn keeps_the_old_one(server: &Server, part: &str) {
        server.signal("USR1");
        server.wait_for_line("[INFO] Reloading");
        let line = server.wait_for_line("[ERROR] Restart failed: ");
        let text = server.stdout.text();
        assert!(line.contains(part) || text.contains(part), "no word of {part:?} in {text}");
        assert_eq!(look_up(server.address()), Some(1));
    }

    #[test]
    fn a_broken_configuration_leaves_the_old_one_in_service() {
        let server = Server::start(&corefile(1, ""));
        server.dir.write("Corefile", ". {\n nosuch\n}\n");
        keeps_the_old_one(&server, "Corefile:2 - Error during parsing: Unknown directive 'nosuch'");
        server.dir.write("Corefile", corefile(9, "forward . tls://192.0.2.1"));
        keeps_the_old_one(&server, "tls");
        server.dir.write("Corefile", ". {\n hosts {\n");
        keeps_the_old_one(&server, "Corefile");
        server.dir.write("Corefile", corefile(2, ""));
        server.reload();
        assert_eq!(look_up(server.address()), Some(2), "once it is good again it is served");
    }

    #[test]
    fn a_configuration_that_is_not_there_leaves_the_old_one_in_service() {
        let server = Server::start(&corefile(1, ""));
        server.dir.remove("Corefile");
        keeps_the_old_one(&server, "no such file or directory");
    }

    #[test]
    fn an_address_that_cannot_be_had_leaves_the_old_one_in_service() {
        let server = Server::start(&corefile(1, ""));
        let other = Server::start(&corefile(8, ""));
        let taken = other.port;
        server.dir.write("Corefile", corefile(9, "").replacen(". {", &format!(". .:{taken} {{"), 1));
        keeps_the_old_one(&server, "address already in use");
        server.dir.write("Corefile", corefile(9, "bind 192.0.2.1"));
        keeps_the_old_one(&server, "cannot assign requested address");
        assert_eq!(look_up(other.address()), Some(8));
    }

    #[test]
    fn listeners_come_and_go_with_the_configuration() {
        let server = Server::start(&corefile(1, ""));
        let both = |port: u16| corefile(2, "").replacen(". {", &format!(". .:{port} {{"), 1);
        let (first, second) = (next_port(), next_port());
        let at = |port: u16| SocketAddr::new(server.address().ip(), port);
        for (port, gone) in [(first, None), (second, Some(first))] {
            server.dir.write("Corefile", both(port));
            server.reload();
            assert_eq!(look_up(at(port)), Some(2));
            assert_eq!(look_up(server.address()), Some(2));
            if let Some(gone) = gone {
                // Its sockets are closed by the workers, each in its own time.
                eventually("the port is free again", || {
                    std::net::UdpSocket::bind(at(gone)).is_ok()
                        && std::net::TcpListener::bind(at(gone)).is_ok()
                });
            }
        }
    }

    #[test]
    fn a_connection_to_a_listener_that_is_gone_does_not_keep_the_old_configuration_alive() {
        let server = Server::start(&corefile(1, ""));
        let asked = query("name.test.", RecordType::A);
        let mut connection = Tcp::connect(server.address());
        assert_eq!(last_byte(&connection.ask(&asked)), Some(1));
        let elsewhere = next_port();
        server.dir.write("Corefile", corefile(2, "").replacen(". {", &format!(".:{elsewhere} {{"), 1));
        server.reload();
        // What was asked before the server could say so is answered still; then it closes.
        assert_eq!(last_byte(&connection.ask(&asked)), Some(1));
        assert_eq!(connection.try_receive(), None);
    }

    /// A named pipe that nobody writes stands for a host name that nobody answers for.
    #[test]
    fn the_end_does_not_wait_for_a_configuration_that_takes_long_to_read() {
        for (signal, code) in [("TERM", 0), ("INT", 0), ("QUIT", 0)] {
            let server = Server::start(&corefile(1, ""));
            let made = std::process::Command::new("mkfifo").arg(server.dir.join("slow")).status();
            assert!(made.is_ok_and(|status| status.success()));
            server.dir.write("Corefile", corefile(2, "import slow"));
            server.signal("USR1");
            server.wait_for_line("[INFO] Reloading");
            assert_eq!(look_up(server.address()), Some(1));
            server.signal(signal);
            assert_eq!(server.wait().code(), code, "{signal}");
        }
    }

    #[test]
    fn an_emptied_configuration_leaves_the_old_one_in_service() {
        let server = Server::start(&corefile(1, ""));
        server.dir.write("Corefile", "");
        keeps_the_old_one(&server, "has no server block any more");
    }

    #[test]
    fn a_query_that_waits_is_answered_by_the_configuration_it_came_to() {
        let upstream = Upstream::start(|asked| Deed::usual(asked).at_the_gate());
        let old = format!(". {{\n forward . {} {{\n read_timeout 15s\n }}\n}}\n", upstream.address);
        let server = Server::start(&old);
        let udp = Udp::connect(server.address());
        let mut tcp = Tcp::connect(server.address());
        let asked = query("waits.test.", RecordType::A);
        udp.send(&wire(&asked));
        tcp.send(&wire(&asked));
        upstream.wait_for(2);
        server.dir.write("Corefile", corefile(2, ""));
        server.reload();
        serves(&server, 2);
        upstream.open_gate();
        for answer in [udp.receive(), tcp.receive()] {
            let answer = read(&answer);
            assert_eq!((answer.metadata.id, last_byte(&answer)), (asked.metadata.id, Some(1)));
        }
        // The connection goes on with the new one.
        assert_eq!(last_byte(&tcp.ask(&query("name.test.", RecordType::A))), Some(2));
    }

    #[test]
    fn queries_that_come_during_reloads_are_all_answered() {
        let server = Server::start(&corefile(0, ""));
        let address = server.address();
        let done = AtomicBool::new(false);
        let (server, done) = (&server, &done);
        std::thread::scope(|scope| {
            let udp = (0..2).map(|_| {
                scope.spawn(move || {
                    let client = Udp::connect(address);
                    let mut answered = 0_u32;
                    // A lost query shows as an answer that does not come.
                    while !done.load(Ordering::Relaxed) {
                        assert!(last_byte(&client.ask(&query("name.test.", RecordType::A))).is_some());
                        answered += 1;
                    }
                    answered
                })
            });
            let udp: Vec<_> = udp.collect();
            let tcp = scope.spawn(move || {
                let mut answered = 0_u32;
                while !done.load(Ordering::Relaxed) {
                    let mut client = Tcp::connect(address);
                    for _ in 0..10 {
                        assert!(last_byte(&client.ask(&query("name.test.", RecordType::A))).is_some());
                        answered += 1;
                    }
                }
                answered
            });
            for last in 1..=30 {
                server.dir.replace("Corefile", corefile(last, ""));
                server.reload();
            }
            done.store(true, Ordering::Relaxed);
            for client in udp.into_iter().chain([tcp]) {
                assert!(client.join().unwrap() > 30);
            }
        });
        assert_eq!(look_up(address), Some(30));
    }
}

mod by_itself {
    use super::*;

    /// What is seen earlier than this was not seen by looking from time to time: `reload` looks no more often than every 2 seconds, and every
    /// 15 to 45 if nothing else is said.
    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn a_change_is_served_as_soon_as_the_kernel_tells_of_it() {
        let server = Server::start(&corefile(1, "reload"));
        let line = server.wait_for_line("[INFO] plugin/reload: Running configuration SHA512 = ");
        let hash = line.rsplit(' ').next().unwrap();
        assert!(hash.len() == 128 && hash.bytes().all(|b| b.is_ascii_hexdigit()), "{line}");
        let begun = Instant::now();
        server.dir.write("Corefile", corefile(2, "reload"));
        serves(&server, 2);
        let next = server.wait_for_line("[INFO] plugin/reload: Running configuration SHA512 = ");
        assert_ne!(next, line);
        server.dir.replace("Corefile", corefile(3, "reload"));
        serves(&server, 3);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    }

    #[test]
    fn a_broken_change_is_said_and_the_old_configuration_is_served_on() {
        let server = Server::start(&corefile(1, "reload"));
        server.wait_for_line("SHA512");
        server.dir.replace("Corefile", corefile(9, "reload\nforward . tls://192.0.2.1"));
        server.wait_for_line("[ERROR] plugin/reload: Corefile changed but reload failed: ");
        assert_eq!(look_up(server.address()), Some(1));
        // One that is no Corefile at all.
        server.dir.replace("Corefile", ". {\n hosts {\n");
        server.wait_for_line("[WARNING] plugin/reload: Corefile parse failed: ");
        assert_eq!(look_up(server.address()), Some(1));
        server.dir.replace("Corefile", corefile(2, "reload"));
        serves(&server, 2);
    }

    #[test]
    fn a_configuration_that_vanishes_and_comes_back_is_served_then() {
        let server = Server::start(&corefile(1, "reload"));
        server.wait_for_line("SHA512");
        server.dir.remove("Corefile");
        assert_eq!(look_up(server.address()), Some(1));
        server.dir.write("Corefile", corefile(2, "reload"));
        serves(&server, 2);
    }

    #[test]
    fn the_rest_of_a_file_whose_writer_paused_between_two_blocks_is_served() {
        let rest = |last: u8| {
            format!("test:{{$PORT}} {{\n hosts absent {{\n 192.0.2.{last} name.test\n }}\n reload\n}}\n")
        };
        let server = Server::start(&corefile(1, "reload"));
        server.wait_for_line("SHA512");
        // In place, through one descriptor: it is not said when the writer is done.
        let mut file = File::create(server.dir.join("Corefile")).unwrap();
        file.write_all(corefile(2, "").as_bytes()).unwrap();
        // Whole for all that can be known, but for the other half, which has the line that asks for a watch.
        serves(&server, 2);
        file.write_all(rest(3).as_bytes()).unwrap();
        serves(&server, 3);
        server.dir.replace("Corefile", corefile(4, ""));
        serves(&server, 4);
    }

    #[test]
    fn imported_files_count() {
        let server = Server::with(". {\n import parts/*.conf\n reload\n}\n");
        std::fs::create_dir(server.path("parts")).unwrap();
        let part = |last: u8| format!("hosts absent {{\n 192.0.2.{last} name.test\n}}\n");
        let server = server.file("parts/one.conf", part(1)).start();
        server.wait_for_line("SHA512");
        assert_eq!(look_up(server.address()), Some(1));
        server.dir.replace("parts/one.conf", part(2));
        serves(&server, 2);
    }

    /// As Kubernetes mounts a ConfigMap: links to a folder that is exchanged as a whole.
    #[test]
    fn a_mounted_config_map_that_is_exchanged_is_served() {
        let setup = Server::with("").argument("-conf").argument("mounted/Corefile");
        let at = |name: &str| setup.path(name);
        for last in [1, 2] {
            std::fs::create_dir_all(at(&format!("mounted/..{last}"))).unwrap();
            std::fs::write(at(&format!("mounted/..{last}/Corefile")), corefile(last, "reload")).unwrap();
        }
        symlink("..1", at("mounted/..data")).unwrap();
        symlink("..data/Corefile", at("mounted/Corefile")).unwrap();
        let (new, data) = (at("mounted/..data_tmp"), at("mounted/..data"));
        let server = setup.start();
        server.wait_for_line("SHA512");
        assert_eq!(look_up(server.address()), Some(1));
        let begun = Instant::now();
        symlink("..2", &new).unwrap();
        std::fs::rename(&new, &data).unwrap();
        serves(&server, 2);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    }

    #[test]
    fn a_comment_at_the_end_of_a_line_changes_nothing() {
        let server = Server::start(&corefile(1, "reload 2s 0s"));
        server.wait_for_line("SHA512");
        server.dir.replace("Corefile", corefile(1, "reload 2s 0s # often"));
        server.dir.replace("Corefile", corefile(1, "reload 2s 0s # very often"));
        server.dir.replace("Corefile", corefile(2, "reload 2s 0s"));
        serves(&server, 2);
        server.wait_for_line("SHA512");
        let reloads = server.stdout.all().iter().filter(|line| *line == "[INFO] Reloading").count();
        assert_eq!(reloads, 1, "{}", server.stdout.text());
    }

    #[test]
    fn a_signal_does_not_end_it() {
        let server = Server::start(&corefile(1, "reload"));
        server.reload();
        server.dir.replace("Corefile", corefile(2, "reload"));
        serves(&server, 2);
    }
}

mod hosts_file {
    use super::*;

    /// A server of the file `hosts`, which it looks at every minute; in it name.test is 192.0.2.1.
    fn hosts_server() -> Server {
        let server = Server::with(". {\n hosts hosts {\n reload 1m\n }\n}\n").file("hosts", hosts(1)).start();
        assert_eq!(look_up(server.address()), Some(1));
        server
    }

    fn hosts(last: u8) -> String {
        format!("192.0.2.{last} name.test\n")
    }

    #[test]
    fn a_change_is_served_as_soon_as_the_kernel_tells_of_it() {
        let server = hosts_server();
        let begun = Instant::now();
        server.dir.write("hosts", hosts(2));
        serves(&server, 2);
        server.dir.replace("hosts", hosts(3));
        serves(&server, 3);
        // The same size and, to the clock of the file system, maybe the same time.
        server.dir.write("hosts", hosts(4));
        server.dir.write("hosts", hosts(5));
        serves(&server, 5);
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_file_that_vanishes_is_served_on_and_read_when_it_is_back() {
        let server = hosts_server();
        server.dir.remove("hosts");
        let line = server.wait_for_line("[WARNING] plugin/hosts: ");
        assert!(line.contains("what it said before is served on"), "{line}");
        assert_eq!(look_up(server.address()), Some(1));
        server.dir.write("hosts", hosts(2));
        serves(&server, 2);
    }

    #[test]
    fn a_file_that_comes_later_is_served_then() {
        let server = Server::with(". {\n hosts hosts\n}\n").start();
        let said = server.stdout.all();
        assert!(said.contains(&"[WARNING] plugin/hosts: File does not exist: hosts".to_owned()), "{said:?}");
        let answer = ask(server.address(), &query("name.test.", RecordType::A));
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
        server.dir.write("hosts", hosts(1));
        serves(&server, 1);
    }

    #[test]
    fn a_file_is_not_read_while_somebody_writes_it() {
        let server = hosts_server();
        // A change is seen to be told of by the kernel.
        server.dir.write("hosts", hosts(2));
        serves(&server, 2);
        // So long, or until it is closed, a file that is being written is left alone.
        let limit = Duration::from_millis(900);
        let begun = Instant::now();
        let mut file = File::create(server.dir.join("hosts")).unwrap();
        while begun.elapsed() < limit / 2 {
            // What is there so far is no state that anybody meant.
            file.write_all(hosts(9).as_bytes()).unwrap();
            file.write_all(b"192.0.2.8 name").unwrap();
            let found = look_up(server.address());
            assert!(found == Some(2) || begun.elapsed() > limit, "{found:?}");
            file.write_all(b".test\n").unwrap();
        }
        file.set_len(0).unwrap();
        file.rewind().unwrap();
        file.write_all(hosts(7).as_bytes()).unwrap();
        drop(file);
        serves(&server, 7);
    }

    #[test]
    fn a_file_that_turns_into_a_folder_or_garbage_hurts_nobody() {
        let server = hosts_server();
        server.dir.remove("hosts");
        std::fs::create_dir(server.dir.join("hosts")).unwrap();
        server.wait_for_line("[WARNING] plugin/hosts: ");
        assert_eq!(look_up(server.address()), Some(1));
        std::fs::remove_dir(server.dir.join("hosts")).unwrap();
        let long = "x".repeat(70_000);
        let garbage =
            format!("\0\0\0\n999.1.1.1 name.test\n1.2.3 name.test\n192.0.2.9\n192.0.2.8 {long}\n\u{feff}\n");
        server.dir.replace("hosts", format!("{garbage}{}", hosts(2)));
        serves(&server, 2);
        server.wait_for_line("longer than 65535 bytes");
    }

    #[test]
    fn a_folder_in_place_of_the_file_is_no_reason_not_to_start() {
        let dir = std::sync::Arc::new(TestDir::new());
        std::fs::create_dir(dir.join("hosts")).unwrap();
        let corefile = ". {\n hosts hosts\n}\n";
        let server = Server::with(corefile).dir(&dir).start();
        server.wait_for_line("[WARNING] plugin/hosts: Hosts file \"hosts\" is a directory");
        let answer = ask(server.address(), &query("name.test.", RecordType::A));
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
        std::fs::remove_dir(dir.join("hosts")).unwrap();
        dir.replace("hosts", hosts(1));
        serves(&server, 1);
    }

    /// As Kubernetes mounts a ConfigMap, and as editors keep a link.
    #[test]
    fn a_link_that_leads_elsewhere_is_followed() {
        let setup = Server::with(". {\n hosts hosts {\n reload 1m\n }\n}\n")
            .file("first", hosts(1))
            .file("second", hosts(2));
        symlink("first", setup.path("hosts")).unwrap();
        let server = setup.start();
        assert_eq!(look_up(server.address()), Some(1));
        symlink("second", server.dir.join("new")).unwrap();
        std::fs::rename(server.dir.join("new"), server.dir.join("hosts")).unwrap();
        serves(&server, 2);
        server.dir.write("second", hosts(3));
        serves(&server, 3);
    }

    #[test]
    fn of_a_file_that_is_replaced_again_and_again_each_state_is_served_whole() {
        // 20 addresses of one name, far from each other, which tell the state by their network.
        let state = |n: u8| -> String {
            (0..4_000)
                .map(|i| match i % 200 {
                    0 => format!("10.{n}.0.{} name.test\n", i / 200),
                    _ => format!("192.0.2.1 filler{i}.test\n"),
                })
                .collect()
        };
        let server =
            Server::with(". {\n hosts hosts {\n reload 50ms\n }\n}\n").file("hosts", state(100)).start();
        let look = || -> u8 {
            let answer = ask(server.address(), &edns_query("name.test.", RecordType::A, 4096));
            let networks: Vec<u8> = addresses(&answer)
                .into_iter()
                .map(|ip| match ip {
                    IpAddr::V4(ip) => ip.octets()[1],
                    IpAddr::V6(_) => u8::MAX,
                })
                .collect();
            assert!(networks.len() == 20 && networks.iter().all(|n| *n == networks[0]), "{networks:?}");
            networks[0]
        };
        for n in 101..=140 {
            if n % 2 == 0 {
                server.dir.replace("hosts", state(n));
            } else {
                // In place; all states are of one length.
                let mut file = File::options().write(true).open(server.dir.join("hosts")).unwrap();
                file.write_all(state(n).as_bytes()).unwrap();
            }
            (0..20).for_each(|_| _ = look());
        }
        eventually("the last state is served", || look() == 140);
    }

    #[test]
    fn a_million_lines_are_read_and_exchanged_whole() {
        let mut text = String::with_capacity(40 << 20);
        for i in 0..1_000_000_u32 {
            let [_, a, b, c] = i.to_be_bytes();
            writeln!(text, "10.{a}.{b}.{c} host{i}.test").unwrap();
        }
        let server = Server::with(". {\n hosts hosts\n}\n").file("hosts", &text).start();
        for (name, address) in [("host0.test.", [10, 0, 0, 0]), ("host999999.test.", [10, 15, 66, 63])] {
            let answer = ask(server.address(), &query(name, RecordType::A));
            assert_eq!(addresses(&answer), [IpAddr::from(address)]);
        }
        text.truncate(text.len() / 2);
        text += "\n192.0.2.2 name.test\n";
        server.dir.replace("hosts", &text);
        serves(&server, 2);
        let answer = ask(server.address(), &query("host999999.test.", RecordType::A));
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    }
}
