//! The clients that people ask DNS servers with, as Debian packages them.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

/// The programs the tests run and the packages that have them.
const PACKAGES: &[(&str, &str)] = &[
    ("dig", "bind9-dnsutils"),
    ("nslookup", "bind9-dnsutils"),
    ("host", "bind9-host"),
    ("kdig", "knot-dnsutils"),
    ("drill", "ldnsutils"),
    ("getent", "libc-bin"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("nft", "nftables"),
    ("sysctl", "procps"),
    ("setpriv", "util-linux"),
    ("nsenter", "util-linux"),
    ("docker", "docker.io"),
    ("busybox", "busybox-static"),
    ("lintian", "lintian"),
    ("taskset", "util-linux"),
    ("prometheus", "prometheus"),
    ("promtool", "prometheus"),
    ("systemd-nspawn", "systemd-container"),
];

/// Runs a program to its end and returns what it printed, both streams; says so if it is not installed.
pub(crate) fn run(mut command: Command) -> (bool, String) {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = match command.stdin(Stdio::null()).output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => panic!("{}", missing(&program)),
        Err(error) => panic!("{program}: {error}"),
    };
    let Output { status, stdout, stderr } = output;
    let text = String::from_utf8_lossy(&stdout) + String::from_utf8_lossy(&stderr);
    (status.success(), text.into_owned())
}

/// Runs commands of the shell, each of which must succeed, and returns what they printed.
pub(crate) fn shell(commands: &str) -> String {
    let mut command = Command::new("sh");
    command.args(["-euc", commands]);
    let (success, text) = run(command);
    assert!(success, "{commands}\n{text}");
    text
}

/// What to do about a program that is not installed.
pub(super) fn missing(program: &str) -> String {
    let package = PACKAGES.iter().find(|(name, _)| *name == program).map_or(program, |(_, package)| package);
    format!("the test needs {program}: apt-get install {package}")
}

/// Words of a command line, separated by blanks.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace()
}

fn succeeds(mut command: Command, arguments: &str) -> String {
    command.args(words(arguments));
    let shown = format!("{command:?}");
    let (success, text) = run(command);
    assert!(success, "{shown}\n{text}");
    text
}

/// `dig @server …`.
pub(crate) fn dig(server: SocketAddr, arguments: &str) -> String {
    let at = format!("@{} -p {} +time=10 +tries=1 {arguments}", server.ip(), server.port());
    succeeds(Command::new("dig"), &at)
}

/// `kdig @server …`.
pub(crate) fn kdig(server: SocketAddr, arguments: &str) -> String {
    let at = format!("@{} -p {} +time=10 +retry=0 {arguments}", server.ip(), server.port());
    succeeds(Command::new("kdig"), &at)
}

/// `drill … @server …`.
pub(crate) fn drill(server: SocketAddr, arguments: &str) -> String {
    // Its options come before the name.
    let at = format!("-p {} {arguments} @{}", server.port(), server.ip());
    succeeds(Command::new("drill"), &at)
}

/// `nslookup … server`.
pub(crate) fn nslookup(server: SocketAddr, arguments: &str) -> String {
    let at = format!("-port={} -timeout=10 {arguments} {}", server.port(), server.ip());
    succeeds(Command::new("nslookup"), &at)
}

/// `host … server`.
pub(crate) fn host(server: SocketAddr, arguments: &str) -> String {
    let at = format!("-p {} -W 10 {arguments} {}", server.port(), server.ip());
    succeeds(Command::new("host"), &at)
}
