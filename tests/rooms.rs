//! The rooms of Linux that DNS has to find its way through: namespaces, cables, bridges, gateways, and glibc's resolver in them. Each test makes
//! the machines it needs as network namespaces; the machine it runs on stays as it is.

use crate::support::netns::{self, Namespace, cable};
use crate::support::{Server, say};

/// The Corefile that people have, unedited.
const SEED: &str = include_str!("../Corefile.example");

/// A resolver that knows far.test, and what `more` adds.
fn resolver(room: &Namespace, more: &str) -> Server {
    let corefile = format!(
        ".:53 {{\n hosts absent {{\n 198.51.100.7 far.test\n 2001:db8::7 far.test\n {more}\n }}\n log\n}}\n"
    );
    Server::with(&corefile).inside(room).start()
}

/// The seed, unedited, in a room whose hosts file has the name near.test.
fn seed(room: &Namespace, resolver: &str) -> Server {
    room.etc("hosts", "127.0.0.1 localhost\n192.168.10.50 near.test near\nfd00::50 near.test\n");
    room.etc("resolv.conf", &format!("nameserver {resolver}\n"));
    Server::with(SEED).inside(room).without_port_flag().start()
}

/// Asks with dig, which takes answers from the address it asked only, and says if others come.
fn dig(room: &Namespace, arguments: &str) -> String {
    let text = room.run(&format!("dig +time=10 +tries=1 +short {arguments}"));
    assert!(!text.contains("unexpected source"), "{arguments}: {text}");
    text
}

#[test]
fn the_seed_is_asked_by_everything_people_have() {
    if !netns::are_possible("the_seed_is_asked_by_everything_people_have") {
        return;
    }
    let (here, there) = (Namespace::new("here"), Namespace::new("there"));
    cable(&here, "veth0", &there, "veth0");
    for (room, v4, v6) in [(&here, "192.168.10.1", "fd00::1"), (&there, "192.168.10.2", "fd00::2")] {
        room.ip(&format!("addr add {v4}/24 dev veth0"));
        room.ip(&format!("addr add {v6}/64 dev veth0 nodad"));
    }
    let upstream = resolver(&there, "");
    let server = seed(&here, "192.168.10.2");
    there.etc("resolv.conf", "nameserver 192.168.10.1\n");
    for at in ["192.168.10.1", "fd00::1"] {
        for tcp in [false, true] {
            let pick = |udp_flag, tcp_flag| if tcp { tcp_flag } else { udp_flag };
            for (name, address) in [("near.test", "192.168.10.50"), ("far.test", "198.51.100.7")] {
                let questions = [
                    format!("dig +short {} @{at} {name} A", pick("+notcp", "+tcp")),
                    format!("nslookup {} -type=A {name}. {at}", pick("-novc", "-vc")),
                    format!("host {} -t A {name}. {at}", pick("-U", "-T")),
                    format!("kdig +short {} @{at} {name} A", pick("+notcp", "+tcp")),
                    format!("drill {} {name} @{at} A", pick("-u", "-t")),
                ];
                for question in questions {
                    let text = there.run(&question);
                    assert!(text.contains(address), "{question}\n{text}");
                }
            }
            let name = dig(&there, &format!("{} @{at} -x 192.168.10.50", pick("+notcp", "+tcp")));
            assert_eq!(name, "near.test.\nnear.\n");
        }
    }
    assert!(there.run("getent hosts near.test").contains("fd00::50"));
    assert!(there.run("getent ahosts far.test").contains("198.51.100.7"));
    // The cache has kept most of it from the upstream.
    let ended = upstream.stop();
    let asked = ended.stdout.lines().filter(|line| line.contains("\"A IN far.test.")).count();
    assert!((1..=4).contains(&asked), "{ended:#?}");
    let ended = server.stop();
    assert_eq!(ended.code(), 0);
    assert!(ended.stdout.contains("[INFO] 192.168.10.2:") && ended.stdout.contains("[INFO] [fd00::2]:"));
    assert!(!ended.stdout.contains("[ERROR]"), "{}", ended.stdout);
}

#[test]
fn red_and_blue_are_joined_by_a_cable() {
    if !netns::are_possible("red_and_blue_are_joined_by_a_cable") {
        return;
    }
    let (red, blue) = (Namespace::new("red"), Namespace::new("blue"));
    cable(&red, "veth-red", &blue, "veth-blue");
    red.ip("addr add 192.168.10.1/24 dev veth-red");
    blue.ip("addr add 192.168.10.2/24 dev veth-blue");
    let _upstream = resolver(&blue, "");
    let server = seed(&red, "192.168.10.2");
    assert_eq!(dig(&blue, "@192.168.10.1 near.test"), "192.168.10.50\n");
    assert_eq!(dig(&blue, "+tcp @192.168.10.1 far.test"), "198.51.100.7\n");
    server.wait_for_line("[INFO] 192.168.10.2:");
    // The cable is pulled and put back: nobody has to be told.
    blue.ip("link set veth-blue down");
    assert_eq!(dig(&red, "@127.0.0.1 near.test"), "192.168.10.50\n");
    blue.ip("link set veth-blue up");
    assert_eq!(dig(&blue, "@192.168.10.1 near.test"), "192.168.10.50\n");
}

/// The bridge v-net-0 in `host`, at 192.168.10.5, with the rooms red (.1) and blue (.2) at its ports.
fn bridge(host: &Namespace) -> [Namespace; 2] {
    host.ip("link add v-net-0 type bridge");
    host.ip("addr add 192.168.10.5/24 dev v-net-0");
    host.ip("link set v-net-0 up");
    [("red", 1), ("blue", 2)].map(|(name, last)| {
        let room = Namespace::new(name);
        let (inner, outer) = (format!("veth-{name}"), format!("veth-{name}-br"));
        cable(&room, &inner, host, &outer);
        host.ip(&format!("link set {outer} master v-net-0"));
        room.ip(&format!("addr add 192.168.10.{last}/24 dev {inner}"));
        room.ip("route add default via 192.168.10.5");
        room
    })
}

#[test]
fn the_host_serves_red_and_blue_at_its_bridge() {
    if !netns::are_possible("the_host_serves_red_and_blue_at_its_bridge") {
        return;
    }
    let host = Namespace::new("host");
    let [red, blue] = bridge(&host);
    // What the host does not know it asks of blue's own resolver.
    let _upstream = resolver(&blue, "");
    let server = seed(&host, "192.168.10.2");
    for (room, address) in [(&red, "192.168.10.1"), (&blue, "192.168.10.2")] {
        room.etc("resolv.conf", "nameserver 192.168.10.5\n");
        for protocol in ["+notcp", "+tcp"] {
            assert_eq!(dig(room, &format!("{protocol} near.test")), "192.168.10.50\n");
            assert_eq!(dig(room, &format!("{protocol} far.test")), "198.51.100.7\n");
        }
        assert!(room.run("getent ahosts near.test").contains("192.168.10.50"));
        server.wait_for_line(&format!("[INFO] {address}:"));
    }
}

/// Two machines with a gateway between them: behind it the bridge with red and blue, before it `outside` at 203.0.113.2, which knows no way back.
struct Gateway {
    host: Namespace,
    red: Namespace,
    _blue: Namespace,
    outside: Namespace,
}

impl Gateway {
    fn new() -> Self {
        let host = Namespace::new("gateway");
        let [red, blue] = bridge(&host);
        let outside = Namespace::new("outside");
        cable(&host, "eth0", &outside, "eth0");
        host.ip("addr add 203.0.113.1/24 dev eth0");
        outside.ip("addr add 203.0.113.2/24 dev eth0");
        host.forward_packets();
        Self { host, red, _blue: blue, outside }
    }

    /// Has the gateway translate addresses, by iptables or else by nft; says loudly if it can by neither.
    fn translates(&self, test: &str, iptables: &[&str], nft: &[&str]) -> bool {
        let by = |lines: &[&str]| -> Result<(), String> {
            lines.iter().try_for_each(|line| self.host.try_run(line).map(|_| ()))
        };
        match by(iptables).or_else(|why| by(nft).map_err(|also| format!("{why}{also}"))) {
            Ok(()) => true,
            Err(why) => {
                say(&format!("SKIPPED: {test}: no addresses can be translated here: {}", why.trim()));
                false
            }
        }
    }
}

#[test]
fn red_reaches_a_server_beyond_a_gateway_that_masquerades() {
    const TEST: &str = "red_reaches_a_server_beyond_a_gateway_that_masquerades";
    if !netns::are_possible(TEST) {
        return;
    }
    let rooms = Gateway::new();
    let masquerade = ["iptables -t nat -A POSTROUTING -s 192.168.10.0/24 -o eth0 -j MASQUERADE"];
    let nft = [
        "nft add table ip nat",
        "nft add chain ip nat post { type nat hook postrouting priority 100 ; }",
        "nft add rule ip nat post ip saddr 192.168.10.0/24 oifname eth0 masquerade",
    ];
    if !rooms.translates(TEST, &masquerade, &nft) {
        return;
    }
    let server = resolver(&rooms.outside, "");
    for protocol in ["+notcp", "+tcp"] {
        assert_eq!(dig(&rooms.red, &format!("{protocol} @203.0.113.2 far.test")), "198.51.100.7\n");
        // It sees the gateway, not who is behind it.
        server.wait_for_line("[INFO] 203.0.113.1:");
    }
    rooms.red.etc("resolv.conf", "nameserver 203.0.113.2\n");
    assert!(rooms.red.run("getent ahosts far.test").contains("198.51.100.7"));
    // A server behind the gateway that itself asks beyond it.
    let _inner = seed(&rooms.red, "203.0.113.2");
    assert_eq!(dig(&rooms.host, "@192.168.10.1 far.test"), "198.51.100.7\n");
}

#[test]
fn a_server_inside_is_reached_from_outside_by_destination_translation() {
    const TEST: &str = "a_server_inside_is_reached_from_outside_by_destination_translation";
    if !netns::are_possible(TEST) {
        return;
    }
    let rooms = Gateway::new();
    let dnat = [
        "iptables -t nat -A PREROUTING -i eth0 -p udp --dport 53 -j DNAT --to-destination 192.168.10.1:53",
        "iptables -t nat -A PREROUTING -i eth0 -p tcp --dport 53 -j DNAT --to-destination 192.168.10.1:53",
    ];
    let nft = [
        "nft add table ip nat",
        "nft add chain ip nat pre { type nat hook prerouting priority -100 ; }",
        "nft add rule ip nat pre iifname eth0 udp dport 53 dnat to 192.168.10.1:53",
        "nft add rule ip nat pre iifname eth0 tcp dport 53 dnat to 192.168.10.1:53",
    ];
    if !rooms.translates(TEST, &dnat, &nft) {
        return;
    }
    let server = resolver(&rooms.red, "");
    for protocol in ["+notcp", "+tcp"] {
        assert_eq!(dig(&rooms.outside, &format!("{protocol} @203.0.113.1 far.test")), "198.51.100.7\n");
        server.wait_for_line("[INFO] 203.0.113.2:");
    }
}

#[test]
fn an_answer_leaves_from_the_address_that_was_asked() {
    if !netns::are_possible("an_answer_leaves_from_the_address_that_was_asked") {
        return;
    }
    let (here, there) = (Namespace::new("here"), Namespace::new("there"));
    cable(&here, "veth0", &there, "veth0");
    // Several of one network, one of another network, one that is on no cable at all.
    let v4 = ["192.168.10.1", "192.168.10.11", "192.168.10.12", "172.16.0.1", "10.9.9.9"];
    let v6 = ["fd00::1", "fd00::11", "fd00:1::1", "fd00:9::9"];
    for (i, ip) in v4.iter().enumerate() {
        let on = if i < 4 { "24 dev veth0" } else { "32 dev lo" };
        here.ip(&format!("addr add {ip}/{on}"));
    }
    for (i, ip) in v6.iter().enumerate() {
        let on = if i < 3 { "64 dev veth0 nodad" } else { "128 dev lo" };
        here.ip(&format!("addr add {ip}/{on}"));
    }
    there.ip("addr add 192.168.10.2/24 dev veth0");
    there.ip("addr add fd00::2/64 dev veth0 nodad");
    there.ip("route add default via 192.168.10.1");
    there.ip("-6 route add default via fd00::1");
    let _upstream = resolver(&there, "");
    let server = seed(&here, "192.168.10.2");
    for address in v4.iter().chain(&v6) {
        // At once, and later than its batch; both over TCP, where it cannot be otherwise.
        for name in ["near.test A", "far.test AAAA", "unknown.test A"] {
            for protocol in ["+notcp", "+tcp"] {
                let text = there.run(&format!("dig +time=10 +tries=1 {protocol} @{address} {name}"));
                assert!(text.contains("status: ") && !text.contains("unexpected source"), "{text}");
                assert!(text.contains(&format!("SERVER: {address}#53")), "{text}");
            }
        }
    }
    // With addresses given, each has a socket of its own, and others are not served.
    drop(server);
    let bound = SEED.replace("    errors", "    errors\n    bind 192.168.10.11 fd00::11");
    let server = Server::with(&bound).inside(&here).without_port_flag().start();
    server.wait_for_line(".:53 on 192.168.10.11");
    for address in ["192.168.10.11", "fd00::11"] {
        assert_eq!(dig(&there, &format!("@{address} near.test A")), "192.168.10.50\n");
    }
    let refused =
        there.try_run("dig +time=1 +tries=1 @192.168.10.12 near.test").expect_err("nobody is there");
    assert!(refused.contains("connection refused"), "{refused}");
}

#[test]
fn an_answer_that_the_way_does_not_take_whole_is_truncated_and_comes_by_tcp() {
    if !netns::are_possible("an_answer_that_the_way_does_not_take_whole_is_truncated_and_comes_by_tcp") {
        return;
    }
    let (here, there) = (Namespace::new("here"), Namespace::new("there"));
    cable(&here, "veth0", &there, "veth0");
    for (room, last) in [(&here, 1), (&there, 2)] {
        room.ip("link set veth0 mtu 1400");
        room.ip(&format!("addr add 192.168.10.{last}/24 dev veth0"));
        room.ip(&format!("addr add fd00::{last}/64 dev veth0 nodad"));
    }
    let many: String = (0..150).map(|i| format!("10.0.0.{i} many.test\n ")).collect();
    let _server = resolver(&here, &many);
    for at in ["192.168.10.1", "fd00::1"] {
        let cut = there.run(&format!("dig +time=10 +tries=1 +bufsize=4096 +ignore @{at} many.test A"));
        assert!(cut.contains("flags: qr aa tc rd") && cut.contains("ANSWER: 0"), "{cut}");
        assert!(cut.contains("EDNS: version: 0"), "{cut}");
        let whole = dig(&there, &format!("+bufsize=4096 @{at} many.test A"));
        assert_eq!(whole.lines().filter(|line| line.starts_with("10.0.0.")).count(), 150, "{whole}");
    }
}

#[test]
fn glibc_completes_names_from_the_search_list() {
    if !netns::are_possible("glibc_completes_names_from_the_search_list") {
        return;
    }
    let room = Namespace::new("search");
    // For a machine with none but its loopback address glibc looks nothing up.
    room.ip("addr add 192.168.10.1/24 dev lo");
    let names = "192.168.10.61 db.corp.test\n192.168.10.62 db.lab.test\n192.168.10.63 web.eu.lab.test\n192.168.10.64 a.b.c.test";
    let server = resolver(&room, names);
    room.etc("nsswitch.conf", "hosts: files dns\n");
    room.etc("hosts", "127.0.0.1 localhost\n192.168.10.99 filed.corp.test filed\n");
    room.etc("resolv.conf", "nameserver 127.0.0.1\nsearch corp.test lab.test\noptions ndots:2\n");
    let lookup = |name: &str| {
        let text = room.run(&format!("getent ahostsv4 {name}"));
        text.split_whitespace().next().unwrap_or_default().to_owned()
    };
    // The first suffix that fits; the second; a name with less than two dots is completed first; one with two is not.
    assert_eq!(lookup("db"), "192.168.10.61");
    assert_eq!(lookup("web.eu"), "192.168.10.63");
    assert_eq!(lookup("db.lab.test"), "192.168.10.62");
    assert_eq!(lookup("a.b.c.test"), "192.168.10.64");
    // A name of the file is not asked for.
    assert_eq!(lookup("filed"), "192.168.10.99");
    assert!(room.run("getent hosts 192.168.10.61").contains("db.corp.test"));
    let ended = server.stop();
    let asked = |name: &str| ended.stdout.contains(&format!("\"A IN {name} udp"));
    for name in ["db.corp.test.", "web.eu.corp.test.", "web.eu.lab.test.", "db.lab.test.", "a.b.c.test."] {
        assert!(asked(name), "{name} was not asked for: {}", ended.stdout);
    }
    for name in ["db.lab.test.corp.test.", "a.b.c.test.corp.test.", "filed.corp.test.", "db."] {
        assert!(!asked(name), "{name} was asked for: {}", ended.stdout);
    }
}

#[test]
fn nsswitch_decides_whether_the_file_or_the_server_comes_first() {
    if !netns::are_possible("nsswitch_decides_whether_the_file_or_the_server_comes_first") {
        return;
    }
    let room = Namespace::new("nsswitch");
    let _server = resolver(&room, "192.168.10.61 both.test");
    room.etc("hosts", "127.0.0.1 localhost\n192.168.10.99 both.test\n");
    room.etc("resolv.conf", "nameserver 127.0.0.1\n");
    for (order, want) in [("files dns", "192.168.10.99"), ("dns files", "192.168.10.61")] {
        room.etc("nsswitch.conf", &format!("hosts: {order}\n"));
        assert!(room.run("getent hosts both.test").starts_with(want), "{order}");
    }
    room.etc("nsswitch.conf", "hosts: files\n");
    assert!(room.try_run("getent hosts far.test").is_err(), "files alone do not know it");
}

#[test]
fn a_resolv_conf_that_names_the_server_itself_is_said_and_makes_no_storm() {
    if !netns::are_possible("a_resolv_conf_that_names_the_server_itself_is_said_and_makes_no_storm") {
        return;
    }
    let room = Namespace::new("itself");
    room.ip("addr add 192.168.10.1/24 dev lo");
    let line = 1 + SEED.lines().take_while(|line| !line.contains("forward .")).count();
    for itself in ["127.0.0.1", "192.168.10.1", "::1"] {
        let server = seed(&room, itself);
        let said = server.wait_for_line("[WARNING] plugin/forward: ");
        assert!(said.contains("waypost itself") && said.ends_with(&format!("(Corefile:{line})")), "{said}");
        assert_eq!(dig(&room, "@127.0.0.1 near.test"), "192.168.10.50\n");
        let text = room.run("dig +time=10 +tries=1 @127.0.0.1 far.test");
        assert!(text.contains("status: SERVFAIL"), "{text}");
        let ended = server.stop();
        assert_eq!(ended.stdout.matches("\"A IN far.test. udp").count(), 1, "{}", ended.stdout);
    }
    // Where there is another, that one is asked.
    let other = Namespace::new("other");
    cable(&room, "veth0", &other, "veth0");
    room.ip("addr add 192.168.20.1/24 dev veth0");
    other.ip("addr add 192.168.20.2/24 dev veth0");
    let _upstream = resolver(&other, "");
    let server = seed(&room, "127.0.0.1\nnameserver 192.168.20.2");
    server.wait_for_line("waypost itself");
    assert_eq!(dig(&room, "@127.0.0.1 far.test"), "198.51.100.7\n");
}
