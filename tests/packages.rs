//! What is released, tried where nothing is lost: the program alone, and the Debian package on a copy of this machine's files that nobody keeps.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::netns::{self, Namespace};
use crate::support::{Server, TestDir, released, say, tools};

/// The Corefile that the Debian package installs.
const INSTALLED: &str = include_str!("../packaging/debian/Corefile");

fn is_root(test: &str) -> bool {
    let root = tools::shell("id -u").trim() == "0";
    if !root {
        say(&format!("SKIPPED: {test}: only root may change the root of a program"));
    }
    root
}

#[test]
fn the_tarball_is_one_program_that_needs_no_other_file() {
    let test = "the_tarball_is_one_program_that_needs_no_other_file";
    let Some(tarball) = released(test, "_linux_amd64.tgz") else { return };
    let folder = tarball.parent().expect("a file is in a folder").display();
    let dir = TestDir::new();
    tools::shell(&format!("cd {folder} && sha256sum --check --quiet -- *.tgz.sha256"));
    assert_eq!(tools::shell(&format!("tar -tzf {}", tarball.display())), "waypost\n");
    tools::shell(&format!("tar -xzf {} -C {}", tarball.display(), dir.join("")));
    let said = tools::shell(&format!("readelf --wide --program-headers --dynamic {}", dir.join("waypost")));
    assert!(!said.contains("INTERP") && !said.contains("NEEDED"), "{said}");
    let bytes = fs::metadata(dir.join("waypost")).expect("it is there").len();
    assert!(bytes <= 16 << 20, "{bytes}");
    if is_root(test) {
        let said = tools::shell(&format!("chroot {} /waypost -version", dir.join("")));
        assert!(said.starts_with(concat!("waypost-", env!("CARGO_PKG_VERSION"), "\n")), "{said}");
    }
}

#[test]
fn what_is_packaged_again_is_the_same() {
    let Some(program) = released("what_is_packaged_again_is_the_same", "/waypost") else { return };
    let folder = program.parent().expect("a file is in a folder");
    let dir = TestDir::new();
    for file in ["waypost", "waypost.debug", "waypost.cdx.json", "third-party-licenses.txt"] {
        fs::copy(folder.join(file), dir.path().join(file)).expect("a released file can be copied");
    }
    // When and of which commit it was made; the one that is checked out may be another by now.
    let said = tools::shell(&format!("{} -version", program.display()));
    let revision = said.trim_end().rsplit(' ').next().expect("the version ends with the commit");
    let time = tools::shell(&format!("stat -c %Y {}", program.display()));
    for script in ["tarball", "deb", "image"] {
        let mut command =
            Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("packaging/{script}.sh")));
        command.arg(dir.path()).env("SOURCE_DATE_EPOCH", time.trim()).env("WAYPOST_REVISION", revision);
        let (success, text) = tools::run(command);
        assert!(success, "{script}: {text}");
    }
    let mut compared = 0;
    for entry in fs::read_dir(dir.path()).expect("it can be listed").flatten() {
        let (ours, theirs) = (entry.path(), folder.join(entry.file_name()));
        assert!(fs::read(ours).ok() == fs::read(&theirs).ok(), "{} differs", theirs.display());
        compared += 1;
    }
    assert_eq!(compared, 9);
}

#[test]
fn the_bill_of_materials_names_what_is_linked() {
    let Some(file) = released("the_bill_of_materials_names_what_is_linked", ".cdx.json") else { return };
    let bill: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).expect("it is JSON");
    assert_eq!(bill["bomFormat"], "CycloneDX");
    let components = bill["components"].as_array().expect("a list");
    let find = |name: &str| components.iter().find(|component| component["name"] == name);
    for name in ["tokio", "moka", "glibc", "rust-std"] {
        let component = find(name).unwrap_or_else(|| panic!("{name} is not in the list"));
        assert!(component["version"].is_string() && component["licenses"][0]["expression"].is_string());
    }
    // Neither what only tests use, nor what only runs in the compiler.
    assert!(["criterion", "hickory-proto", "syn"].iter().all(|name| find(name).is_none()));
}

/// Licences of the list of the SPDX project that parts may have.
const LICENSES: &[&str] = &[
    "Apache-2.0",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "LGPL-2.1-or-later",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// A text of a JSON object; empty if it has none.
fn text<'a>(object: &'a serde_json::Value, name: &str) -> &'a str {
    object[name].as_str().unwrap_or_default()
}

#[test]
fn the_bill_of_materials_keeps_to_its_format() {
    let Some(file) = released("the_bill_of_materials_keeps_to_its_format", ".cdx.json") else { return };
    let bill: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).expect("it is JSON");
    // What the schema of CycloneDX 1.5 wants to be there.
    assert_eq!(
        (text(&bill, "bomFormat"), text(&bill, "specVersion"), &bill["version"]),
        ("CycloneDX", "1.5", &1.into())
    );
    let time = text(&bill["metadata"], "timestamp");
    assert!(time.len() == 20 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
    let own = &bill["metadata"]["component"];
    let list = |value: &serde_json::Value| value.as_array().expect("a list").clone();
    let all = [vec![own.clone()], list(&bill["components"])].concat();
    for component in &all {
        let [kind, name, version, reference, purl] =
            ["type", "name", "version", "bom-ref", "purl"].map(|field| text(component, field));
        assert_eq!(kind, if component == own { "application" } else { "library" });
        let (of, version) = match name {
            "glibc" => ("deb/debian", version),
            "rust-std" => ("generic", version),
            _ => ("cargo", version),
        };
        assert_eq!(purl, format!("pkg:{of}/{name}@{}", version.replace('+', "%2B")));
        assert_eq!(reference, purl);
        for hash in component["hashes"].as_array().into_iter().flatten() {
            let content = text(hash, "content");
            assert_eq!(text(hash, "alg"), "SHA-256");
            assert!(content.len() == 64 && content.bytes().all(|b| b.is_ascii_hexdigit()), "{content}");
        }
        let licenses = list(&component["licenses"]);
        assert_eq!(licenses.len(), 1, "one expression, as the schema has it: {component}");
        let expression = text(&licenses[0], "expression").replace(['(', ')'], " ");
        for (i, word) in expression.split_whitespace().enumerate() {
            let fits = if i % 2 == 0 { LICENSES.contains(&word) } else { ["AND", "OR"].contains(&word) };
            assert!(fits, "{word} in the licence of {name}: {expression}");
        }
    }
    // Each part has one name, and says what it uses, which are parts themselves.
    let references: BTreeSet<_> = all.iter().map(|component| text(component, "bom-ref")).collect();
    assert_eq!(references.len(), all.len());
    let dependencies = list(&bill["dependencies"]);
    let told: BTreeSet<_> = dependencies.iter().map(|dependency| text(dependency, "ref")).collect();
    assert_eq!((told, dependencies.len()), (references.clone(), all.len()));
    for dependency in &dependencies {
        let used = list(&dependency["dependsOn"]);
        assert!(
            used.iter().all(|used| used.as_str().is_some_and(|used| references.contains(used))),
            "{dependency}"
        );
    }
}

#[test]
fn the_bill_of_materials_has_what_cargo_links() {
    let Some(file) = released("the_bill_of_materials_has_what_cargo_links", ".cdx.json") else { return };
    let bill: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).expect("it is JSON");
    let mut command = Command::new(env!("CARGO"));
    command.args(
        "tree --offline --locked --quiet --edges normal,no-proc-macro --prefix none --format {p}".split(' '),
    );
    command.args(["--target", "x86_64-unknown-linux-gnu"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let (success, tree) = tools::run(command);
    assert!(success, "{tree}");
    let linked: BTreeSet<_> = tree
        .lines()
        .filter_map(|line| line.split_once(" v"))
        .map(|(name, rest)| (name.to_owned(), rest.split(' ').next().unwrap_or_default().to_owned()))
        .collect();
    let lock: toml::Table = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock"))
        .unwrap()
        .parse()
        .expect("it is TOML");
    let locked = lock["package"].as_array().expect("a list of packages");
    let mut listed = BTreeSet::from([("waypost".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]);
    for component in bill["components"].as_array().expect("a list") {
        let (name, version) = (text(component, "name"), text(component, "version"));
        if ["glibc", "rust-std"].contains(&name) {
            continue;
        }
        let found = locked.iter().find(|package| {
            package["name"].as_str() == Some(name) && package["version"].as_str() == Some(version)
        });
        let found = found.unwrap_or_else(|| panic!("{name} {version} is not in Cargo.lock"));
        assert_eq!(
            Some(text(&component["hashes"][0], "content")),
            found["checksum"].as_str(),
            "{name} {version}"
        );
        listed.insert((name.to_owned(), version.to_owned()));
    }
    assert_eq!(listed, linked);
}

#[test]
fn lintian_has_nothing_to_say() {
    let Some(package) = released("lintian_has_nothing_to_say", "_amd64.deb") else { return };
    let folder = package.parent().expect("a file is in a folder").display();
    // That is said of packages that are to become Debian's own.
    let unsaid = "initial-upload-closes-no-bugs";
    let mut command = Command::new("sh");
    command.args(["-euc", &format!("lintian --allow-root --suppress-tags {unsaid} {folder}/*.deb")]);
    let (success, text) = tools::run(command);
    assert!(success && text.is_empty(), "{text}");
}

/// What a shell does on a copy of this machine's files in memory: `$1` is the folder of packages, `$2` the copy, `$3` its version.
const LIFE: &str = r#"
mount -t tmpfs tmpfs "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount --bind /dev "$2/root/dev"
mount -t proc proc "$2/root/proc"
cp "$1/waypost_$3-1_amd64.deb" "$2/root/new.deb"

# The same package as an older version.
dpkg-deb --raw-extract "$2/root/new.deb" "$2/root/old"
sed -i 's/^Version: .*/Version: 0.0.1-1/' "$2/root/old/DEBIAN/control"
dpkg-deb --root-owner-group -Znone --build "$2/root/old" "$2/root/old.deb" >&2
rm -r "$2/root/old"

cat > "$2/root/life" <<'SH'
set -eux
export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin
wants=/etc/systemd/system/multi-user.target.wants/waypost.service
dpkg --install /old.deb
waypost check /etc/waypost/Corefile
test "$(readlink -f $wants)" = /usr/lib/systemd/system/waypost.service
test -s /usr/share/man/man1/waypost.1.gz
test -s /usr/share/man/man7/waypost-hosts.7.gz

# The administrator's choices outlive an upgrade.
echo '# mine' >> /etc/waypost/Corefile
systemctl disable waypost.service
dpkg --install /new.deb
grep -q '# mine' /etc/waypost/Corefile
test ! -e $wants
waypost -version

dpkg --remove waypost
test ! -e /usr/bin/waypost
test ! -e /usr/lib/systemd/system/waypost.service
test -e /etc/waypost/Corefile
dpkg --purge waypost
test ! -e /etc/waypost
test -z "$(dpkg --get-selections waypost 2>/dev/null)"
SH
chroot "$2/root" sh /life >&2

# Files that differ from this machine's now: what packages and manual pages are recorded in, and nothing else.
cd "$2/upper"
find . -type f ! -path './var/lib/dpkg/*' ! -path './var/log/*' ! -path './var/cache/*' ! -path ./life ! -path './*.deb'
find . -name '*waypost*'
"#;

#[test]
fn the_package_comes_and_goes_without_a_trace() {
    let test = "the_package_comes_and_goes_without_a_trace";
    let Some(package) = released(test, "_amd64.deb") else { return };
    if !is_root(test) {
        return;
    }
    let can = tools::run({
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", "mount -t tmpfs tmpfs /mnt && mkdir /mnt/u /mnt/w /mnt/r && \
            mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt/r && test -x /mnt/r/usr/bin/dpkg"]);
        command
    });
    if !can.0 {
        say(&format!(
            "SKIPPED: {test}: this machine's files cannot be overlaid, or are no Debian: {}",
            can.1.trim()
        ));
        return;
    }
    let (dir, folder) = (TestDir::new(), package.parent().expect("a file is in a folder"));
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-euc", LIFE, "life"]).args([folder, dir.path()]);
    command.arg(env!("CARGO_PKG_VERSION")).stderr(std::process::Stdio::piped());
    let output = command.stdin(std::process::Stdio::null()).output().expect("unshare is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "left over\n{said}");
}

#[test]
fn what_is_installed_starts_beside_systemd_resolved() {
    if !netns::are_possible("what_is_installed_starts_beside_systemd_resolved") {
        return;
    }
    let host = Namespace::new("host");
    // The stub's two listeners; what it asks is of no interest here.
    let stub = ".:53 {\n bind 127.0.0.53 127.0.0.54\n hosts absent {\n 198.51.100.7 far.test\n }\n}\n";
    let stub = Server::with(stub).inside(&host).start();
    host.etc("hosts", "127.0.0.1 localhost\n192.168.10.50 near.test\n");
    host.etc("resolv.conf", "nameserver 127.0.0.53\noptions edns0 trust-ad\n");
    let server = Server::with(INSTALLED).inside(&host).without_port_flag().start();
    for at in ["127.0.0.1", "::1"] {
        for (name, address) in [("near.test", "192.168.10.50\n"), ("far.test", "198.51.100.7\n")] {
            assert_eq!(host.run(&format!("dig +time=10 +tries=1 +short @{at} {name}")), address);
        }
    }
    let ended = server.stop();
    assert!(!ended.stdout.contains("[ERROR]") && !ended.stdout.contains("[WARNING]"), "{ended:#?}");
    stub.stop();
    // A machine without IPv6 is served as well.
    host.run("sysctl -q -w net.ipv6.conf.all.disable_ipv6=1");
    Server::with(INSTALLED).inside(&host).without_port_flag().start().stop();
}
