//! Flags, files, output, signals and exit codes, as CoreDNS has them.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, TcpListener, UdpSocket};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use hickory_proto::rr::RecordType;

use crate::support::client::{Tcp, Udp, ask, ask_tcp, framed};
use crate::support::message::{ResponseCode, addresses, query, read, wire};
use crate::support::netns::{self, Namespace};
use crate::support::{Deed, Ended, PATIENCE, Server, Upstream, eventually, next_port, program};

/// A block that knows one name.
const ONE_NAME: &str = ". {\n hosts absent {\n 192.0.2.7 one.test\n }\n}\n";

fn knows_one_name(server: &Server) -> bool {
    let answer = ask(server.address(), &query("one.test.", RecordType::A));
    addresses(&answer) == ["192.0.2.7".parse::<std::net::IpAddr>().unwrap()]
}

fn run(arguments: &[&str]) -> Ended {
    let setup = Server::without_corefile().without_port_flag();
    arguments.iter().fold(setup, |setup, argument| setup.argument(argument)).run()
}

#[test]
fn the_banner_names_each_zone_with_its_port_then_version_and_platform() {
    let server = Server::start("b.test a.test _x.test {\n}\n10.0.0.0/8:{$PORT} .:{$PORT} {\n}\n");
    server.wait_for_line("linux/");
    let port = server.port;
    let lines = server.stdout.all();
    let want = [
        format!(".:{port}"),
        r#"Warning: Domain "_x.test." does not follow RFC1035 preferred syntax"#.to_owned(),
        format!("_x.test.:{port}"),
        format!("a.test.:{port}"),
        format!("b.test.:{port}"),
        format!("10.in-addr.arpa.:{port}"),
    ];
    for line in &want {
        assert!(lines.contains(line), "{line:?} is not among {lines:#?}");
    }
    let [.., version, platform] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(version, concat!("waypost-", env!("CARGO_PKG_VERSION")));
    assert!(platform.starts_with("linux/"), "{platform}");
}

#[test]
fn quiet_drops_the_banner() {
    let ended = Server::with(". {\n}\n").argument("-quiet").start().stop();
    assert_eq!(ended.stdout, "[INFO] SIGTERM: Shutting down servers then terminating");
    assert_eq!((ended.code(), ended.stderr.as_str()), (0, ""));
}

#[test]
fn the_configuration_is_named_in_each_of_gos_spellings() {
    for arguments in
        [&["-conf", "other"][..], &["--conf", "other"], &["-conf=other"], &["run", "--conf=other"]]
    {
        let setup = Server::with("wrong.test {\n}\n").file("other", ONE_NAME);
        let server = arguments.iter().fold(setup, |setup, argument| setup.argument(argument)).start();
        assert!(knows_one_name(&server), "{arguments:?}");
    }
}

#[test]
fn the_port_of_zones_that_name_none_has_two_flags_and_the_last_one_wins() {
    let wrong = next_port().to_string();
    for flags in [["-dns.port", "-p"], ["-p", "-dns.port"]] {
        let port = next_port();
        let server = Server::with(ONE_NAME)
            .without_port_flag()
            .port(port)
            .argument(flags[0])
            .argument(&wrong)
            .argument(&format!("-{}={port}", flags[1]))
            .start();
        assert!(knows_one_name(&server), "{flags:?}");
    }
}

#[test]
fn a_port_in_a_key_is_not_changed_by_the_flag() {
    let other = next_port();
    let corefile = format!("a.test:{other} b.test {{\n}}\n");
    let server = Server::start(&corefile);
    server.wait_for_line("linux/");
    let lines = server.stdout.all();
    assert!(lines.contains(&format!("a.test.:{other}")), "{lines:?}");
    assert!(lines.contains(&format!("b.test.:{}", server.port)), "{lines:?}");
}

#[test]
fn without_a_corefile_each_query_is_answered_with_who_asked() {
    let server = Server::without_corefile().start();
    let answer = ask(server.address(), &query("anything.test.", RecordType::A));
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    let who: Vec<_> = answer.additionals.iter().filter_map(|r| r.data.ip_addr()).collect();
    assert_eq!(who, [server.address().ip()], "{answer}");
    server.wait_for_line("\"A IN anything.test. udp");
}

#[test]
fn the_file_corefile_of_the_working_directory_is_the_default() {
    assert!(knows_one_name(&Server::start(ONE_NAME)));
}

#[test]
fn the_configuration_can_come_from_standard_input() {
    let server = Server::without_corefile().argument("-conf").argument("stdin").stdin(ONE_NAME).start();
    assert!(knows_one_name(&server));
    // What was read once is not there a second time.
    server.reload();
    assert!(knows_one_name(&server));
}

#[test]
fn a_configuration_that_is_not_there_is_an_error() {
    let ended = run(&["-conf", "nosuch"]);
    assert_eq!(ended.code(), 1, "{ended:#?}");
    assert!(
        ended.stderr.contains("loading Caddyfile via flag: open nosuch: no such file or directory"),
        "{ended:#?}"
    );
    assert_eq!(ended.stdout, "");
}

#[test]
fn a_configuration_that_is_no_file_is_an_error() {
    let ended = Server::without_corefile().argument("-conf").argument("/").run();
    assert_eq!(
        (ended.code(), ended.stderr.as_str()),
        (1, "loading Caddyfile via flag: read /: is a directory")
    );
    let ended = run(&["-conf", "/dev/zero"]);
    let want = "loading Caddyfile via flag: open /dev/zero: neither a file nor a pipe";
    assert_eq!((ended.code(), ended.stderr.as_str()), (1, want));
    let pipe = Pipe::new();
    let ended = Server::with(&format!(". {{\n forward . {}\n}}\n", pipe.path())).run();
    assert_eq!(ended.code(), 1, "{ended:#?}");
    let want = format!("plugin/forward: the file \"{}\" cannot be read: it is a pipe", pipe.path());
    assert!(ended.stderr.contains(&want), "{ended:#?}");
    let ended = Server::with(". {\n import /dev/zero\n}\n").run();
    let want = "Could not import /dev/zero: open /dev/zero: neither a file nor a pipe";
    assert!(ended.stderr.contains(want), "{ended:#?}");
}

/// A named pipe in a directory of its own.
struct Pipe(crate::support::TestDir);

impl Pipe {
    fn new() -> Self {
        let dir = crate::support::TestDir::new();
        let made = std::process::Command::new("mkfifo").arg(dir.join("pipe")).status();
        assert!(made.is_ok_and(|status| status.success()));
        Self(dir)
    }

    fn path(&self) -> String {
        self.0.join("pipe")
    }

    /// Its writing end, as soon as somebody reads.
    fn open(&self) -> std::fs::File {
        let mut end = None;
        let mut options = std::fs::OpenOptions::new();
        options.write(true).custom_flags(libc::O_NONBLOCK);
        eventually("somebody reads the pipe", || {
            end = options.open(self.path()).ok();
            end.is_some()
        });
        end.unwrap()
    }
}

#[test]
fn the_configuration_can_come_from_a_pipe_and_is_kept() {
    let pipe = Pipe::new();
    let server = Server::without_corefile().argument("-conf").argument(&pipe.path()).launch();
    let mut end = pipe.open();
    // In pieces.
    end.write_all(&ONE_NAME.as_bytes()[..10]).unwrap();
    end.write_all(&ONE_NAME.as_bytes()[10..]).unwrap();
    drop(end);
    server.wait_for_line("linux/");
    assert!(knows_one_name(&server));
    server.reload();
    assert!(knows_one_name(&server));
    let server = Server::without_corefile().argument("-conf").argument("/dev/stdin").stdin(ONE_NAME).start();
    server.reload();
    assert!(knows_one_name(&server));
}

#[test]
fn a_pipe_that_nobody_writes_to_is_an_error_after_a_while() {
    let pipe = Pipe::new();
    let ended = run(&["-conf", &pipe.path()]);
    let want = format!("loading Caddyfile via flag: open {}: a pipe that nobody writes to", pipe.path());
    assert_eq!((ended.code(), ended.stderr), (1, want));
}

#[test]
fn signals_are_heard_while_the_configuration_is_still_to_come() {
    for signal in ["TERM", "INT", "QUIT"] {
        let pipe = Pipe::new();
        let server = Server::without_corefile().argument("-conf").argument(&pipe.path()).launch();
        let _end = pipe.open();
        server.signal("USR1");
        server.signal(signal);
        assert_eq!(server.wait().code(), 0, "{signal}");
    }
}

#[test]
fn the_process_id_stands_in_the_pidfile_while_the_server_runs() {
    let server = Server::with(". {\n}\n").argument("-pidfile").argument("pid").start();
    // It is written by the time a signal is heard.
    server.reload();
    let path = server.dir.join("pid");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", server.pid()));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    let dir = std::sync::Arc::clone(&server.dir);
    assert_eq!(server.stop().code(), 0);
    assert!(!Path::new(&dir.join("pid")).exists());
}

#[test]
fn a_pidfile_that_cannot_be_written_is_said_and_no_more() {
    let server = Server::with(ONE_NAME).argument("-pidfile=nosuch/pid").start();
    server.wait_for_line("[ERROR] Could not write pidfile");
    assert!(knows_one_name(&server));
}

#[test]
fn flags_and_words_that_do_not_exist_are_told_apart_by_exit_code() {
    let unknown = run(&["-nosuch"]);
    assert_eq!(unknown.code(), 2);
    assert!(unknown.stderr.contains("flag provided but not defined: -nosuch"), "{unknown:#?}");
    let valueless = run(&["-conf"]);
    assert_eq!(valueless.code(), 2);
    assert!(valueless.stderr.contains("flag needs an argument: -conf"), "{valueless:#?}");
    let words = run(&["a", "b"]);
    assert_eq!(words.code(), 1);
    assert!(words.stderr.contains("extra command line arguments: [a b]"), "{words:#?}");
}

#[test]
fn help_version_and_plugins_are_printed_and_that_is_all() {
    for flag in ["-h", "--help", "-help", "help"] {
        let help = run(&[flag]);
        assert_eq!(help.code(), 0, "{flag}");
        for word in ["Usage", "-conf", "-p ", "-pidfile", "-quiet", "-plugins", "-version", "check"] {
            assert!(help.stdout.contains(word), "{flag} says nothing of {word}: {help:#?}");
        }
    }
    let version = run(&["-version"]);
    assert_eq!(version.code(), 0);
    assert!(
        version.stdout.starts_with(concat!("waypost-", env!("CARGO_PKG_VERSION"), "\nlinux/")),
        "{version:#?}"
    );
    let plugins = run(&["-plugins"]);
    assert_eq!(plugins.code(), 0);
    let names: Vec<&str> = plugins.stdout.split('\n').collect();
    let Some((&"", names)) = names.split_last() else { panic!("no empty line at the end: {plugins:#?}") };
    // As in CoreDNS's list, where the others are called `dns.NAME`, `on` stands at the end.
    let [names @ .., "on"] = names else { panic!("{names:?}") };
    assert!(names.is_sorted() && names.contains(&"hosts"), "{names:?}");
}

#[test]
fn commands_of_our_own_have_words() {
    let plugins = run(&["plugins"]);
    assert_eq!((plugins.code(), plugins.stdout.contains("hosts")), (0, true), "{plugins:#?}");
    let manual = run(&["explain", "hosts"]);
    assert_eq!((manual.code(), manual.stdout.starts_with("# hosts\n")), (0, true), "{manual:#?}");
    for (name, why) in
        [("kubernetes", "does not have the plugin 'kubernetes' yet"), ("nosuch", "no plugin 'nosuch'")]
    {
        let unknown = run(&["explain", name]);
        assert_eq!((unknown.code(), unknown.stderr.contains(why)), (1, true), "{unknown:#?}");
    }
    let version = run(&["version"]);
    assert_eq!(version.stdout, run(&["-version"]).stdout);
}

#[test]
fn addresses_and_interfaces_can_be_picked() {
    for picked in ["127.0.0.1 127.0.0.3", "lo {\n except 127.0.0.2\n }"] {
        let server = Server::start(&format!(". {{\n bind {picked}\n whoami\n}}\n"));
        server.wait_for_line(&format!(".:{} on 127.0.0.1", server.port));
        let answer = ask(server.address(), &query("who.test.", RecordType::A));
        assert_eq!(answer.metadata.response_code, ResponseCode::NoError, "{picked}");
        let elsewhere = std::net::SocketAddr::from(([127, 0, 0, 2], server.port));
        assert!(std::net::TcpStream::connect(elsewhere).is_err(), "{picked}");
    }
}

#[test]
fn two_blocks_may_have_one_port_at_two_addresses() {
    let server = Server::start(
        ". {\n bind 127.0.0.1\n hosts absent {\n 192.0.2.7 one.test\n }\n}\n\
         . {\n bind 127.0.0.2\n hosts absent {\n 192.0.2.8 one.test\n }\n}\n",
    );
    for (address, last) in [([127, 0, 0, 1], 7), ([127, 0, 0, 2], 8)] {
        for asker in [ask, ask_tcp] {
            let answer = asker((address, server.port).into(), &query("one.test.", RecordType::A));
            assert_eq!(addresses(&answer), [std::net::IpAddr::from([192, 0, 2, last])]);
        }
    }
}

#[test]
fn a_port_that_another_waypost_has_is_refused() {
    let first = Server::start(ONE_NAME);
    let second = Server::with(". {\n}\n").port(first.port).run();
    assert_eq!(second.code(), 1, "{second:#?}");
    let port = first.port;
    assert!(
        second.stderr.contains(&format!("Listen: listen tcp :{port}: bind: address already in use")),
        "{second:#?}"
    );
    assert!(
        second.stderr.contains(&format!("sport = :{port}")),
        "says how to find out who it is: {second:#?}"
    );
    assert!(knows_one_name(&first));
}

#[test]
fn a_port_that_another_program_has_is_refused_whichever_protocol_it_speaks() {
    let port = next_port();
    let tcp = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).unwrap();
    let ended = Server::with(". {\n}\n").port(port).run();
    assert_eq!(ended.code(), 1);
    assert!(
        ended.stderr.contains(&format!("listen tcp :{port}: bind: address already in use")),
        "{ended:#?}"
    );
    drop(tcp);
    let port = next_port();
    let _udp = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)).unwrap();
    let ended = Server::with(". {\n}\n").port(port).run();
    assert_eq!(ended.code(), 1);
    assert!(
        ended.stderr.contains(&format!("ListenPacket: listen udp :{port}: bind: address already in use")),
        "{ended:#?}"
    );
}

#[test]
fn an_address_that_is_not_of_this_machine_is_refused() {
    let ended = Server::with(". {\n bind 192.0.2.1\n}\n").port(5353).run();
    assert_eq!(ended.code(), 1);
    let want = "Listen: listen tcp 192.0.2.1:5353: bind: cannot assign requested address";
    assert!(ended.stderr.contains(want), "{ended:#?}");
    assert!(ended.stderr.contains("ip address"), "says how to see which are: {ended:#?}");
}

/// A copy of the program that every user may run, as the place where it was built may be private.
fn for_everybody(server: &crate::support::TestDir) -> String {
    let copy = server.join("waypost");
    std::fs::copy(program(), &copy).unwrap();
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).unwrap();
    copy
}

#[test]
fn without_the_right_to_bind_port_53_the_error_says_how_to_get_it() {
    if !netns::are_possible("without_the_right_to_bind_port_53_the_error_says_how_to_get_it") {
        return;
    }
    // In a namespace of its own: where this runs, everybody may be allowed to use low ports.
    let room = Namespace::new("norights");
    let dir = std::sync::Arc::new(crate::support::TestDir::new());
    let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    let setup = || Server::with(ONE_NAME).dir(&dir).inside(&room).program(&for_everybody(&dir));
    let ended = setup().run_by(&format!("{nobody} --")).run();
    assert_eq!(ended.code(), 1, "{ended:#?}");
    assert!(ended.stderr.contains("Listen: listen tcp :53: bind: permission denied"), "{ended:#?}");
    for way in
        ["root", "setcap cap_net_bind_service=+ep", "AmbientCapabilities=CAP_NET_BIND_SERVICE", "-p 1053"]
    {
        assert!(ended.stderr.contains(way), "no word of {way}: {ended:#?}");
    }
    // With that one right and no other it serves.
    let one_right = "--inh-caps=-all,+net_bind_service --ambient-caps=-all,+net_bind_service";
    let server = setup().run_by(&format!("{nobody} {one_right} --")).start();
    let answer = room.run("dig +short @127.0.0.1 one.test");
    assert_eq!(answer.trim(), "192.0.2.7");
    assert_eq!(server.stop().code(), 0);
}

#[test]
fn term_answers_who_waits_and_ends_with_0() {
    let upstream = Upstream::start(|asked| Deed::usual(asked).at_the_gate());
    let server = Server::start(&format!(". {{\n forward . {}\n}}\n", upstream.address));
    let (udp, mut tcp) = (Udp::connect(server.address()), Tcp::connect(server.address()));
    let waiting = query("late.test.", RecordType::A);
    udp.send(&wire(&waiting));
    tcp.send(&wire(&waiting));
    upstream.wait_for(2);
    server.signal("TERM");
    server.wait_for_line("[INFO] SIGTERM: Shutting down servers then terminating");
    upstream.open_gate();
    for answer in [udp.receive(), tcp.receive()] {
        let answer = read(&answer);
        assert_eq!(answer.metadata.id, waiting.metadata.id);
        assert_eq!(addresses(&answer).len(), 1);
    }
    assert_eq!(server.wait().code(), 0);
}

/// A TCP socket's state that takes new connections.
const LISTEN: u64 = 10;

/// The TCP sockets with this local port: their state, and the bytes they have sent that were not received.
fn sockets(port: u16) -> Vec<(u64, u64)> {
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let rows = tables.iter().flat_map(|table| table.lines().skip(1));
    rows.filter_map(|row| {
        let mut fields = row.split_whitespace().skip(1);
        let is_ours = hex(fields.next()?.rsplit(':').next()?)? == u64::from(port);
        let state = hex(fields.nth(1)?)?;
        let unsent = hex(fields.next()?.split(':').next()?)?;
        is_ours.then_some((state, unsent))
    })
    .collect()
}

#[test]
fn term_waits_until_a_client_that_reads_late_has_its_answers_whole() {
    // Each answer has some 56 KB, and those to the queries that are read at once are more than the kernel keeps for us.
    let many: String = (0..3_500).map(|i: u32| format!("10.0.{}.{} many.test\n", i / 250, i % 250)).collect();
    let server = Server::with(". {\n hosts hosts\n}\n").file("hosts", many).start();
    let asked = query("many.test.", RecordType::A);
    let size = ask_tcp(server.address(), &asked).answers.len();
    assert!(size > 3_000, "{size}");
    let mut tcp = Tcp::connect_narrow(server.address(), 64 << 10);
    // More than are answered: what nobody has read when a connection is closed makes the kernel reset it.
    tcp.write(&framed(&wire(&asked)).repeat(300));
    // None is read while the server fills what the kernel takes.
    eventually("much is still to be received", || {
        sockets(server.port).iter().any(|(_, unsent)| *unsent > 1 << 20)
    });
    server.signal("TERM");
    server.wait_for_line("[INFO] SIGTERM: Shutting down servers then terminating");
    eventually("the end has begun", || sockets(server.port).iter().all(|(state, _)| *state != LISTEN));
    let mut bytes = Vec::new();
    tcp.stream().read_to_end(&mut bytes).expect("the connection is ended, not broken off");
    let mut answers = 0;
    let mut rest = &bytes[..];
    while let [high, low, message @ ..] = rest {
        let (message, next) = message.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        assert_eq!(read(message).answers.len(), size);
        (answers, rest) = (answers + 1, next);
    }
    assert!(rest.is_empty() && (100..300).contains(&answers), "{answers}");
    drop(tcp);
    assert_eq!(server.wait().code(), 0);
}

#[test]
fn int_and_quit_end_the_server_at_once_with_0() {
    let upstream = Upstream::start(|_| Deed::Silence);
    for (signal, line) in [("INT", "[INFO] SIGINT: Shutting down"), ("QUIT", "")] {
        let server = Server::start(&format!(". {{\n forward . {}\n}}\n", upstream.address));
        let client = Udp::connect(server.address());
        let before = upstream.asked().len();
        client.send(&wire(&query("late.test.", RecordType::A)));
        upstream.wait_for(before + 1);
        server.signal(signal);
        let ended = server.wait();
        assert_eq!(ended.code(), 0, "{signal}");
        assert!(ended.stdout.ends_with(line), "{signal}: {ended:#?}");
    }
}

#[test]
fn hup_does_not_end_the_server() {
    let server = Server::start(ONE_NAME);
    server.signal("HUP");
    // What comes after it is carried out.
    server.reload();
    assert!(knows_one_name(&server));
}

#[test]
fn with_too_few_descriptors_it_serves_or_says_so_and_ends() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // From what the first thread does not live on to what all of them do.
    let mut ends = [0, 0];
    for descriptors in (8..=24 + 8 * cores).step_by(2 * cores) {
        let limit = format!("prlimit --nofile={descriptors}");
        let server = Server::with(ONE_NAME).run_by(&limit).launch();
        if server.stdout.has_within(concat!("waypost-", env!("CARGO_PKG_VERSION")), PATIENCE) {
            assert!(knows_one_name(&server), "{limit}");
            ends[0] += 1;
        } else {
            let ended = server.wait();
            assert_eq!(ended.code(), 1, "{limit}: {ended:?}");
            assert!(ended.stderr.contains("Too many open files"), "{limit}: {ended:?}");
            ends[1] += 1;
        }
    }
    assert!(ends[0] > 0 && ends[1] > 0, "{ends:?}");
}

#[test]
fn usr1_reads_the_configuration_again_and_says_so() {
    let server = Server::start(ONE_NAME);
    server.wait_for_line("linux/");
    server.dir.write("Corefile", ". {\n}\n");
    server.signal("USR1");
    server.wait_for_line("[INFO] Reloading complete");
    let lines = server.stdout.all();
    let after_banner = lines.iter().position(|line| line.starts_with("linux/")).unwrap() + 1;
    assert_eq!(
        lines[after_banner..],
        ["[INFO] SIGUSR1: Reloading", "[INFO] Reloading", "[INFO] Reloading complete"]
    );
    let answer = ask(server.address(), &query("one.test.", RecordType::A));
    assert_eq!(answer.metadata.response_code, ResponseCode::Refused);
}

#[test]
fn a_killed_server_can_be_started_again_at_once() {
    let first = Server::start(ONE_NAME);
    let port = first.port;
    // Connections it had when it died do not keep the port.
    ask_tcp(first.address(), &query("one.test.", RecordType::A));
    first.signal("KILL");
    drop(first);
    assert!(knows_one_name(&Server::with(ONE_NAME).port(port).start()));
}
