//! The image in Docker, as people run it: what it says of itself, and how it is asked on each kind of network.

use std::process::Command;

use crate::support::docker::{Docker, IMAGE};
use crate::support::netns::{Namespace, cable};
use crate::support::{Server, TestDir, eventually, tools};

/// Knows name.test, and asks `resolver` for the rest.
fn corefile(resolver: &str) -> String {
    format!(
        ". {{\n hosts {{\n 192.0.2.7 name.test\n fallthrough\n }}\n forward . {resolver}\n log\n errors\n}}\n"
    )
}

/// Knows name.test and nobody to ask.
const ALONE: &str = ". {\n hosts {\n 192.0.2.7 name.test\n }\n log\n errors\n}\n";

/// A directory with `Corefile` in it, and the option that mounts it where the image looks for its configuration.
fn mounted(corefile: &str) -> (TestDir, String) {
    let dir = TestDir::new();
    dir.write("Corefile", corefile);
    let option = format!("--volume {}:/Corefile:ro", dir.join("Corefile"));
    (dir, option)
}

/// Asks from `room` over UDP and over TCP, and returns both answers, which must be equal.
fn dig(room: &Namespace, arguments: &str) -> String {
    let [udp, tcp] = TRANSPORTS.map(|transport| dig_over(transport, room, arguments));
    assert_eq!(udp, tcp, "{arguments}");
    udp
}

/// Dig's options for UDP and for TCP.
const TRANSPORTS: [&str; 2] = ["+notcp", "+tcp"];

/// Asks from `room` over one transport. Dig takes no answer from another address than it asked.
fn dig_over(transport: &str, room: &Namespace, arguments: &str) -> String {
    let text = room.run(&format!("dig +time=10 +tries=1 +short {transport} {arguments}"));
    assert!(!text.contains("unexpected source"), "{arguments}: {text}");
    text
}

fn has_no_complaint(logs: &str) {
    assert!(!logs.contains("[ERROR]") && !logs.contains("[WARNING]"), "{logs}");
}

#[test]
fn the_image_takes_the_place_of_coredns() {
    let Some(docker) = Docker::get("the_image_takes_the_place_of_coredns") else { return };
    let image: serde_json::Value =
        serde_json::from_str(&docker.run(&format!("image inspect {IMAGE}"))).expect("Docker prints JSON");
    let config = &image[0]["Config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["WorkingDir"], "/");
    assert_eq!(config["Entrypoint"][0], "/waypost");
    assert!(config["ExposedPorts"]["53/udp"].is_object() && config["ExposedPorts"]["53/tcp"].is_object());
    assert_eq!(config["Healthcheck"]["Test"], serde_json::json!(["CMD", "/waypost", "health", "dns://"]));
    assert_eq!(config["Labels"]["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));
    assert!(image[0]["Size"].as_u64().is_some_and(|bytes| bytes <= 17 << 20), "{}", image[0]["Size"]);
    for entrypoint in ["/waypost", "/coredns"] {
        let said = docker.run(&format!("run --rm --network none --entrypoint {entrypoint} {IMAGE} -version"));
        assert!(said.starts_with(concat!("waypost-", env!("CARGO_PKG_VERSION"), "\n")), "{said}");
    }
    // Without a configuration it answers who asked.
    let container = docker.serve("", "");
    let said = docker.host().run(&format!("dig +time=10 +tries=1 @{} who.test", container.address()));
    assert!(said.contains("status: NOERROR") && said.contains("172.17.0.1"), "{said}");
}

#[test]
fn on_the_default_bridge_answers_find_their_way_back() {
    let Some(docker) = Docker::get("on_the_default_bridge_answers_find_their_way_back") else { return };
    // Somebody outside asks the host's published port, and is whom the container asks, through the host's NAT both times.
    let outside = Namespace::new("outside");
    cable(&outside, "eth0", docker.host(), "uplink");
    outside.ip("addr add 192.168.30.2/24 dev eth0");
    docker.host().ip("addr add 192.168.30.1/24 dev uplink");
    let resolver = Server::with(".:53 {\n hosts absent {\n 198.51.100.7 far.test\n }\n log\n}\n")
        .inside(&outside)
        .start();
    let (_dir, volume) = mounted(&corefile("192.168.30.2"));
    let publish = "--publish 10053:53/udp --publish 10053:53/tcp";
    let container = docker.serve(&format!("{volume} {publish}"), "");
    let at = container.address();
    assert!(at.starts_with("172.17."), "{at}");
    for (room, address) in [
        (docker.host(), format!("@{at}")),
        (docker.host(), "@127.0.0.1 -p 10053".to_owned()),
        (docker.host(), "@192.168.30.1 -p 10053".to_owned()),
        (&outside, "@192.168.30.1 -p 10053".to_owned()),
    ] {
        assert_eq!(dig(room, &format!("{address} name.test")), "192.0.2.7\n", "{address}");
        assert_eq!(dig(room, &format!("{address} far.test")), "198.51.100.7\n", "{address}");
    }
    // Who asks the published port is seen as who it is, and the container as its host.
    container.wait_for("[INFO] 192.168.30.2:");
    has_no_complaint(&container.logs());
    resolver.wait_for_line("[INFO] 192.168.30.1:");
}

#[test]
fn other_containers_ask_it_through_dockers_own_resolver() {
    let Some(docker) = Docker::get("other_containers_ask_it_through_dockers_own_resolver") else { return };
    let (_dir, volume) = mounted(ALONE);
    docker.run("network create people");
    let server = docker.serve(&format!("{volume} --network people --name names"), "");
    let at = server.address();
    // What the C library's resolver would ask: Docker's, at 127.0.0.11, which knows containers and asks ours for the rest.
    let (_dir, volume) = mounted(". {\n forward . /etc/resolv.conf\n log\n errors\n}\n");
    let client = docker.serve(&format!("{volume} --network people --dns {at}"), "");
    let asked = format!("@{}", client.address());
    assert_eq!(dig(docker.host(), &format!("{asked} name.test")), "192.0.2.7\n");
    assert_eq!(dig(docker.host(), &format!("{asked} names")), format!("{at}\n"));
    has_no_complaint(&client.logs());
    // And a client of somebody else's.
    let dir = TestDir::new();
    let archive = dir.join("busybox.tar");
    tools::shell(&format!("tar -cf {archive} -C \"$(dirname \"$(command -v busybox)\")\" busybox"));
    docker.run(&format!("import {archive} busybox"));
    let nslookup =
        |options: &str| docker.run(&format!("run --rm {options} busybox /busybox nslookup name.test"));
    let said = nslookup(&format!("--network people --dns {at}"));
    assert!(said.contains("127.0.0.11") && said.contains("192.0.2.7"), "{said}");
    server.wait_for("\"A IN name.test.");
    // On the default bridge a container is told to ask the server itself.
    let (_dir, volume) = mounted(ALONE);
    let server = docker.serve(&volume, "");
    let said = nslookup(&format!("--dns {}", server.address()));
    assert!(said.contains(&server.address()) && said.contains("192.0.2.7"), "{said}");
    has_no_complaint(&server.logs());
}

#[test]
fn it_binds_port_53_with_one_right_and_nothing_to_write_to() {
    let Some(docker) = Docker::get("it_binds_port_53_with_one_right_and_nothing_to_write_to") else { return };
    let (_dir, volume) = mounted(ALONE);
    let hardened = format!("{volume} --read-only --cap-drop ALL --cap-add NET_BIND_SERVICE");
    let check = |options: &str, at: Option<&str>| {
        let container = docker.serve(&format!("{hardened} {options}"), "");
        let address = at.map_or_else(|| container.address(), str::to_owned);
        assert_eq!(dig(docker.host(), &format!("@{address} name.test")), "192.0.2.7\n", "{options}");
        assert_eq!(container.status("Uid"), "65532\t65532\t65532\t65532");
        has_no_complaint(&container.logs());
        container.status("CapEff")
    };
    // On the host's network, where ports below 1024 are for those who may: the one right is that of bit 10.
    assert_eq!(check("--network host", Some("127.0.0.1")), "0000000000000400");
    assert_eq!(check("", None), "0000000000000400");
    // Nothing can be gained, and on a network of its own nothing need be: Docker lets everybody bind all ports there.
    assert_eq!(check("--security-opt no-new-privileges", None), "0000000000000000");
}

#[test]
fn without_a_network_it_serves_its_loopback() {
    let Some(docker) = Docker::get("without_a_network_it_serves_its_loopback") else { return };
    let (_dir, volume) = mounted(ALONE);
    let container = docker.serve(&format!("{volume} --network none"), "");
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/proc/{}/ns/net", container.pid()));
    command.args("dig +time=10 +tries=1 +short @127.0.0.1 name.test".split(' '));
    assert_eq!(tools::run(command), (true, "192.0.2.7\n".to_owned()));
    has_no_complaint(&container.logs());
}

/// A ConfigMap as kubelet mounts it: what is read is a link through a link that is exchanged.
fn publish(dir: &TestDir, version: &str, corefile: &str) {
    std::fs::create_dir(dir.path().join(version)).expect("a new version");
    dir.write(&format!("{version}/Corefile"), corefile);
    std::os::unix::fs::symlink(version, dir.path().join("..new")).expect("a link");
    std::fs::rename(dir.path().join("..new"), dir.path().join("..data")).expect("a link can be exchanged");
}

#[test]
fn a_mounted_configuration_is_swapped_and_the_end_is_in_time() {
    let Some(docker) = Docker::get("a_mounted_configuration_is_swapped_and_the_end_is_in_time") else {
        return;
    };
    let dir = TestDir::new();
    let version =
        |last: u8| format!(". {{\n hosts {{\n 192.0.2.{last} name.test\n }}\n reload 2s\n errors\n}}\n");
    publish(&dir, "..1", &version(1));
    std::os::unix::fs::symlink("..data/Corefile", dir.path().join("Corefile")).expect("a link");
    let options = format!(
        "--volume {}:/etc/coredns:ro --entrypoint /coredns --health-interval 1s",
        dir.path().display()
    );
    let container = docker.serve(&options, "-conf /etc/coredns/Corefile");
    let question = format!("@{} name.test", container.address());
    let ask = || dig(docker.host(), &question);
    assert_eq!(ask(), "192.0.2.1\n");
    eventually("the container is healthy", || container.inspect("{{.State.Health.Status}}") == "healthy");
    publish(&dir, "..2", &version(2));
    // It may be swapped between one transport and the other.
    eventually("what was swapped in is served", || {
        TRANSPORTS.iter().all(|transport| dig_over(transport, docker.host(), &question) == "192.0.2.2\n")
    });
    container.wait_for("[INFO] Reloading complete");
    // The signal for it works too, and a broken one is logged and not served.
    publish(&dir, "..3", ". {\n nonsense\n}\n");
    container.signal("USR1");
    container.wait_for("nonsense");
    assert_eq!(ask(), "192.0.2.2\n");
    container.stop(30);
    // Had it been killed, this would be 137.
    assert_eq!(container.inspect("{{.State.ExitCode}}"), "0");
}
