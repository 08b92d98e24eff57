//! The package and its service where systemd has booted: installed beside systemd-resolved, started, reloaded, upgraded, watched over, ended, removed.

use std::fs;
use std::path::Path;

use crate::support::machine::{Machine, PACKAGE};
use crate::support::{eventually, released, say};

/// Knows one name.
const ONE_NAME: &str = ".:53 {\n hosts /etc/hosts {\n 192.0.2.7 one.test\n }\n errors\n}\n";

/// Its Corefile.
const COREFILE: &str = "/etc/waypost/Corefile";

/// Where `./test` puts packages that are installed nowhere but here.
const PACKAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/debian");

/// Installs systemd-resolved, whose stub then has port 53 of 127.0.0.53 and 127.0.0.54, and of `extra`; false, having said so loudly, if it
/// is not there.
fn install_resolved(test: &str, machine: &Machine, extra: &str) -> bool {
    machine.write(
        "/etc/systemd/resolved.conf.d/test.conf",
        &format!("[Resolve]\nDNSStubListenerExtra={extra}\n"),
    );
    if machine.try_run("test -x /lib/systemd/systemd-resolved").0 {
        machine.run("ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf");
        machine.run("systemctl start systemd-resolved");
        return true;
    }
    let packages = fs::read_dir(PACKAGES).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_resolved = |path: &Path| path.to_string_lossy().contains("/systemd-resolved_");
    let Some(package) = packages.into_iter().find(|path| is_resolved(path)) else {
        say(&format!("SKIPPED: {test}: there is no systemd-resolved in {PACKAGES}: ./test downloads it"));
        return false;
    };
    machine.copy(&package, "/resolved.deb");
    machine.run("dpkg --install /resolved.deb && systemctl start systemd-resolved");
    true
}

fn has_no_complaint(journal: &str) {
    // Threads of a process that has ended already may be found and killed for a moment yet; they have other names.
    for word in
        ["[ERROR]", "[WARNING]", "(waypost) with signal SIGKILL", "timed out", "not our child", "failed"]
    {
        assert!(!journal.contains(word), "{word} in\n{journal}");
    }
}

#[test]
fn beside_systemd_resolved_both_serve_port_53() {
    let test = "beside_systemd_resolved_both_serve_port_53";
    let Some(package) = released(test, PACKAGE) else { return };
    let Some(machine) = Machine::boot(test) else { return };
    // Another server has the port of an address that the package's Corefile wants.
    if !install_resolved(test, &machine, "127.0.0.1") {
        return;
    }
    machine.copy(&package, "/waypost.deb");
    let said = machine.run("dpkg --install /waypost.deb");
    assert!(
        said.contains("waypost.service could not be started; 'systemctl status waypost' tells why"),
        "{said}"
    );
    assert!(said.contains("'Beside systemd-resolved' in /usr/share/doc/waypost/README.md.gz"), "{said}");
    machine.run("zcat /usr/share/doc/waypost/README.md.gz | grep -q '^### Beside systemd-resolved$'");
    assert_eq!(machine.run("dpkg --audit"), "", "it is installed all the same");
    assert_eq!(machine.run("systemctl is-enabled waypost"), "enabled");
    let journal = machine.journal();
    assert!(journal.contains("listen tcp 127.0.0.1:53: bind: address already in use"), "{journal}");
    assert!(journal.contains("stub of systemd-resolved") && journal.contains("ss -lpn"), "{journal}");

    // Once it has not, both serve, and what the one does not know it asks the other: of this machine's own name that makes an address.
    machine.run("rm /etc/systemd/resolved.conf.d/test.conf; systemctl restart systemd-resolved");
    machine.run("systemctl reset-failed waypost; systemctl start waypost");
    assert_eq!(machine.run("readlink /etc/resolv.conf"), "../run/systemd/resolve/stub-resolv.conf");
    for at in ["127.0.0.1", "::1"] {
        assert_eq!(machine.dig(&format!("@{at} near.test")), "192.168.10.50");
        assert_eq!(machine.dig(&format!("@{at} machine")), "127.0.0.2");
    }
    assert_eq!(machine.dig("@127.0.0.53 machine"), "127.0.0.2");

    // All addresses cannot be had beside the stub. A reload that wants them leaves things as they are, and says why.
    machine.write(COREFILE, ONE_NAME);
    machine.run("systemctl reload waypost");
    eventually("the status says why", || machine.show("StatusText").contains("the last reload failed: "));
    assert!(machine.show("StatusText").contains("address already in use"));
    assert_eq!(machine.dig("@127.0.0.1 near.test"), "192.168.10.50");
    machine.write("/etc/systemd/resolved.conf.d/test.conf", "[Resolve]\nDNSStubListener=no\n");
    machine.run("systemctl restart systemd-resolved; systemctl restart waypost");
    assert_eq!(machine.dig("@127.0.0.1 one.test"), "192.0.2.7");
}

#[test]
fn the_service_has_one_right_and_little_to_see() {
    let Some(machine) = Machine::with_package("the_service_has_one_right_and_little_to_see") else { return };
    assert_eq!(machine.show("ActiveState"), "active");
    assert_eq!(machine.dig("@127.0.0.1 near.test"), "192.168.10.50");
    // That of bit 10: to bind a port below 1024.
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(machine.status(set), "0000000000000400", "{set}");
    }
    assert_eq!(machine.status("NoNewPrivs"), "1");
    assert_eq!(machine.status("Seccomp"), "2");
    // A user that is made up, and known to systemd alone.
    let user = machine.show("UID");
    assert_eq!(machine.status("Uid"), [user.as_str(); 4].join("\t"));
    assert!(user.parse::<u32>().is_ok_and(|user| (61184..=65519).contains(&user)), "{user}");
    assert!(!machine.run("cat /etc/passwd").contains("waypost"));
    assert_eq!(machine.show("NotifyAccess"), "main");
    assert_eq!(machine.show("StatusText"), "Serving on 2 listeners");
    let rating = machine.run("systemd-analyze security --no-pager --threshold=15 waypost");
    assert!(rating.contains("Overall exposure level for waypost.service: 1."), "{rating}");
    has_no_complaint(&machine.journal());
}

/// Upgrades the service; returns the ID of its new main process.
fn upgrade(machine: &Machine) -> String {
    let old = machine.show("MainPID");
    let said = machine.run(&format!("waypost upgrade -pid {old}"));
    let new = machine.show("MainPID");
    assert_eq!(said, format!("process {new} serves in place of {old}"));
    // As whose child systemd waits for its end.
    assert_eq!(machine.status("PPid"), "1");
    assert_eq!((machine.show("ActiveState"), machine.show("NRestarts")), ("active".into(), "0".into()));
    new
}

#[test]
fn systemd_follows_from_process_to_process() {
    let Some(machine) = Machine::with_package("systemd_follows_from_process_to_process") else { return };
    machine.write(COREFILE, ONE_NAME);
    let first = machine.show("MainPID");
    machine.run("systemctl reload waypost");
    eventually("it is reloaded", || machine.run("dig +short @127.0.0.1 one.test") == "192.0.2.7");
    assert_eq!(machine.show("MainPID"), first);

    // The program upgraded by command and by signal. Connections that are open keep the old process for a while.
    machine.run(
        "mkfifo /run/gate; bash -c 'exec 3<>/dev/tcp/127.0.0.1/53; : >/run/open; read -r end </run/gate' >/dev/null 2>&1 & \
         while [ ! -e /run/open ]; do :; done",
    );
    // So that the old process has accepted it for sure: it was queued before this one was.
    assert_eq!(machine.dig("@127.0.0.1 one.test"), "192.0.2.7");
    let second = upgrade(&machine);
    assert_ne!(first, second);
    assert_eq!(machine.dig("@127.0.0.1 one.test"), "192.0.2.7");
    let third = upgrade(&machine);
    machine.run("systemctl kill --signal USR2 --kill-whom=main waypost");
    eventually("the signal does the same", || machine.show("MainPID") != third);
    eventually("it serves", || machine.show("StatusText") == "Serving on 1 listener");
    machine.run("systemctl reload waypost");
    eventually("the new process is the one that reloads", || {
        machine.journal().matches("Reloading complete").count() == 2
    });

    // All of them end when they are told to, and are let finish.
    machine.run("systemctl stop waypost; echo end >/run/gate");
    assert_eq!(machine.try_run("pgrep -x waypost"), (false, String::new()));
    let ended = ["ActiveState", "Result", "ExecMainCode", "ExecMainStatus"].map(|what| machine.show(what));
    assert_eq!(ended, ["inactive", "success", "1", "0"]);
    let journal = machine.journal();
    has_no_complaint(&journal);
    assert_eq!(journal.matches("Upgrade finished").count(), 3, "{journal}");
    assert!(journal.contains("SIGTERM: Shutting down servers then terminating"), "{journal}");

    machine.run("systemctl start waypost");
    assert_eq!(machine.dig("@127.0.0.1 one.test"), "192.0.2.7");
    machine.run("systemctl restart waypost");
    assert_eq!(machine.dig("@127.0.0.1 one.test"), "192.0.2.7");
    has_no_complaint(&machine.journal());
}

#[test]
fn systemd_watches_over_whoever_serves() {
    let Some(machine) = Machine::with_package("systemd_watches_over_whoever_serves") else { return };
    machine.write(COREFILE, ONE_NAME);
    machine.write(
        "/etc/systemd/system/waypost.service.d/test.conf",
        "[Unit]\nStartLimitIntervalSec=0\n[Service]\nWatchdogSec=1\nRestartSec=0\n",
    );
    machine.run("systemctl daemon-reload; systemctl restart waypost");
    let second = upgrade(&machine);
    // The successor keeps the watchdog quiet.
    for _ in 0..3 {
        let last = machine.show("WatchdogTimestampMonotonic");
        eventually("the watchdog is told", || machine.show("WatchdogTimestampMonotonic") != last);
    }
    assert_eq!(machine.show("MainPID"), second);
    // One that hangs is ended, one that dies is noticed, and both are started again.
    for (signal, restarts) in [("STOP", "1"), ("KILL", "2")] {
        machine.run(&format!("kill -{signal} {}", machine.show("MainPID")));
        eventually("it is started again", || machine.show("NRestarts") == restarts);
        eventually("it serves", || machine.show("ActiveState") == "active");
        assert_eq!(machine.dig("@127.0.0.1 one.test"), "192.0.2.7");
        if signal == "STOP" {
            machine.run("waypost upgrade -pid $(systemctl show --property MainPID --value waypost)");
        }
    }
    let journal = machine.journal();
    assert!(journal.contains("Watchdog timeout"), "{journal}");
}

#[test]
fn queries_wait_in_sockets_of_systemds() {
    let Some(machine) = Machine::with_package("queries_wait_in_sockets_of_systemds") else { return };
    machine.write(COREFILE, ONE_NAME);
    machine.run(
        "systemctl disable --now waypost
         cp /usr/share/doc/waypost/examples/waypost.socket /etc/systemd/system/
         systemctl daemon-reload; systemctl enable --now waypost.socket",
    );
    assert_eq!(machine.show("ActiveState"), "inactive");
    // Who asks starts it.
    assert_eq!(machine.dig("@127.0.0.1 one.test"), "192.0.2.7");
    assert_eq!(machine.dig("@::1 one.test"), "192.0.2.7");
    assert_eq!(machine.show("ActiveState"), "active");
    assert_eq!(machine.show("TriggeredBy"), "waypost.socket");
    upgrade(&machine);
    // What is asked while there is no process waits for the next, and nobody is refused.
    machine.run(
        "systemctl restart --no-block waypost
         for i in 1 2 3 4 5 6 7 8 9 10; do
             for transport in +notcp +tcp; do
                 test \"$(dig +time=10 +tries=1 +short $transport @127.0.0.1 one.test)\" = 192.0.2.7
             done
         done",
    );
    has_no_complaint(&machine.journal());
}

/// The package as an older version, `/old.deb`.
const AGE: &str = "
dpkg-deb --raw-extract /waypost.deb /old
sed -i 's/^Version: .*/Version: 0.0.1-1/' /old/DEBIAN/control
dpkg-deb --root-owner-group -Znone --build /old /old.deb
rm -r /old";

/// Asks again and again until `/run/stop` is there; what is not answered at once is in `/run/lost`, and `/run/asked` has a byte for each query.
const ASK: &str = "
while [ ! -e /run/stop ]; do
    for transport in +notcp +tcp; do
        answer=$(dig +time=5 +tries=1 +short $transport @127.0.0.1 near.test) || true
        [ \"$answer\" = 192.168.10.50 ] || echo \"$transport $answer\" >>/run/lost
        printf . >>/run/asked
    done
done
: >/run/stopped";

#[test]
fn the_package_is_upgraded_under_load_and_leaves_nothing() {
    let test = "the_package_is_upgraded_under_load_and_leaves_nothing";
    let Some(package) = released(test, PACKAGE) else { return };
    let Some(machine) = Machine::boot(test) else { return };
    let traces =
        || machine.run("find /etc /usr /var /run -xdev -name '*waypost*'; getent passwd waypost || true");
    let before = traces();
    machine.copy(&package, "/waypost.deb");
    machine.run(AGE);
    machine.run("dpkg --install /old.deb");
    assert_eq!(machine.dig("@127.0.0.1 near.test"), "192.168.10.50");
    let old = machine.show("MainPID");

    machine.write("/run/ask", ASK);
    machine.run("sh /run/ask >/dev/null 2>&1 &");
    let asked = || machine.run("cat /run/asked 2>/dev/null | wc -c").parse::<usize>().expect("a number");
    eventually("it is asked", || asked() > 10);
    machine.run("dpkg --install /waypost.deb");
    let new = machine.show("MainPID");
    assert_ne!(old, new, "the program that is installed now serves");
    assert_eq!(machine.run(&format!("readlink /proc/{new}/exe")), "/usr/bin/waypost");
    let more = asked() + 10;
    eventually("it is asked", || asked() > more);
    machine.run(": >/run/stop; while [ ! -e /run/stopped ]; do :; done");
    assert!(machine.try_run("test ! -e /run/lost").0, "lost: {}", machine.run("cat /run/lost"));
    assert_eq!((machine.show("ActiveState"), machine.show("NRestarts")), ("active".into(), "0".into()));
    let journal = machine.journal();
    assert_eq!(journal.matches("Upgrade finished").count(), 1, "{journal}");
    has_no_complaint(&journal);

    machine.run("dpkg --remove waypost");
    assert_eq!(machine.try_run("pgrep -x waypost"), (false, String::new()));
    assert_eq!(machine.run(&format!("ls {COREFILE}")), COREFILE);
    has_no_complaint(&machine.journal());
    machine.run("dpkg --purge waypost");
    assert_eq!(traces(), before);
    assert_eq!(machine.run("systemctl list-units --all --plain --no-legend 'waypost*'"), "");
}
