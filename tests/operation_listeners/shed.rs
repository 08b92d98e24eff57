//! A listener whose answers cannot leave.

use hickory_proto::rr::RecordType;

use crate::support::client::ask_tcp;
use crate::support::message::{ResponseCode, addresses, query, wire};
use crate::support::netns::{self, Namespace, cable};
use crate::support::{Server, eventually};

/// Queries that the client sends: more than the send buffer holds answers for.
const QUERIES: usize = 40_000;

#[test]
fn what_cannot_be_sent_is_dropped_and_service_goes_on() {
    if !netns::are_possible("what_cannot_be_sent_is_dropped_and_service_goes_on") {
        return;
    }
    let (here, there) = (Namespace::new("here"), Namespace::new("there"));
    cable(&here, "veth0", &there, "veth0");
    here.ip("addr add 192.168.10.1/24 dev veth0");
    there.ip("addr add 192.168.10.2/24 dev veth0");
    // A client whose address is not told on the cable: the answers to it wait in the send buffer until it is.
    there.ip("addr add 192.168.10.77/32 dev lo");
    there.run("sysctl -q -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2");
    there.ip("route add 192.168.10.1/32 dev veth0 src 192.168.10.77");
    let waits = "net.ipv4.neigh.veth0";
    here.run(&format!(
        "sysctl -q -w {waits}.unres_qlen_bytes=100000000 {waits}.mcast_solicit=100000 {waits}.retrans_time_ms=1000"
    ));
    // As long an answer as a client without EDNS takes.
    let many: String = (1..=25).map(|i| format!("192.0.2.{i} one.test\n")).collect();
    let corefile = ".:53 {\n shed\n prometheus\n hosts many\n}\n";
    let server = Server::with(corefile).file("many", many).inside(&here).start();
    let bytes: String =
        wire(&query("one.test.", RecordType::A)).iter().map(|byte| format!("\\x{byte:02x}")).collect();
    let mut flood = there.command("bash");
    let script = "exec 3>/dev/udp/192.168.10.1/53; for ((i = 0; i < $1; i++)); do printf \"$0\" >&3; done";
    let sent = flood.args(["-c", script, &bytes, &QUERIES.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "the client can send");
    eventually("what is lost is counted", || {
        let [queries, answers] = dropped(&here);
        queries > 0 && answers > 0
    });
    // TCP from elsewhere is served all the while.
    assert!(here.run("dig +tcp +short @127.0.0.1 one.test").contains("192.0.2.1"));
    // Once the client can be found all is as before.
    there.run("sysctl -q -w net.ipv4.conf.all.arp_ignore=0");
    eventually("the client gets its answers", || {
        let asked = there.try_run("dig +time=1 +tries=1 +short @192.168.10.1 one.test");
        asked.is_ok_and(|text| text.contains("192.0.2.1"))
    });
    drop(server);
}

/// Queries and answers that were dropped so far, as metrics have them.
fn dropped(room: &Namespace) -> [u64; 2] {
    let mut command = room.command("bash");
    let script = "exec 3<>/dev/tcp/127.0.0.1/9153; printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3; cat <&3";
    let page = command.args(["-c", script]).output().expect("bash is there").stdout;
    let page = String::from_utf8_lossy(&page).into_owned();
    ["query", "response"].map(|reason| {
        let series = format!("coredns_shed_dropped_total{{server=\"dns://:53\",reason=\"{reason}\"}} ");
        let line = page.lines().find_map(|line| line.strip_prefix(&series));
        line.and_then(|count| count.parse().ok()).unwrap_or_default()
    })
}

#[test]
fn it_stands_in_blocks_of_plain_dns_only() {
    let run = |corefile: &str| {
        let ended = Server::with(corefile).without_port_flag().argument("check").argument("Corefile").run();
        ended.stdout + &ended.stderr
    };
    let text = run("dns://.:1053 tls://a:1853 {\n whoami\n shed\n}\n");
    let want = "plugin/shed: Corefile:3 - Error during parsing: only plain DNS server blocks are supported; \
                \"tls://a.:1853\" uses transport \"tls\"";
    assert!(text.contains(want), "{text}");
    assert!(
        run(".:1053 {\n shed\n shed\n}\n").contains("this plugin can only be used once per Server Block")
    );
    // It is in the chain: a block with nothing else serves its zone, and fails.
    let server = Server::start(". {\n shed\n errors\n}\n");
    let answer = ask_tcp(server.address(), &query("one.test.", RecordType::A));
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    assert!(addresses(&answer).is_empty());
}
