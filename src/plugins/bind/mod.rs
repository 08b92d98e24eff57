#![doc = include_str!("README.md")]

mod interfaces;

use std::net::IpAddr;

use self::interfaces::Interfaces;
use crate::chain::{Built, PluginSpec, Repeat, Setup};
use crate::config::{Diagnostic, Directive, Problems, Word, quote};

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "bind",
    summary: "chooses the addresses to listen on",
    manual: include_str!("README.md"),
    repeat: Repeat::Many,
    metrics: &[],
    build: |setup| build(setup, Interfaces::of_machine),
};

fn build(
    setup: &mut Setup<'_>,
    interfaces: impl FnOnce() -> std::io::Result<Interfaces>,
) -> Result<Built, Vec<Diagnostic>> {
    let interfaces = interfaces().unwrap_or_else(|error| {
        let message = "failed to get interfaces list, cannot bind by interface name";
        setup.warn(setup.directives[0].bare_error(format!("{message}: {error}")));
        Interfaces::default()
    });
    let mut problems = Problems::default();
    for directive in setup.directives {
        let found = bound(directive, &interfaces, &mut problems);
        setup.block.bind.extend(found);
    }
    setup.block.bind_excludes_all = setup.block.bind.is_empty();
    problems.finish(Vec::new())
}

/// The addresses of one directive, less those it excludes.
fn bound(directive: &Directive, interfaces: &Interfaces, problems: &mut Problems) -> Vec<(IpAddr, u32)> {
    if directive.args.is_empty() {
        problems.push(directive.bare_error("at least one address or interface name is expected"));
    }
    let mut except = Vec::new();
    for option in directive.options() {
        if option.name != "except" {
            let name = &option.name.text;
            let error = option.bare_error(format!("invalid option {}", quote(name)));
            problems.push(error.choices(name, &["except"]));
            continue;
        }
        problems.keep(option.no_block());
        if option.args.is_empty() {
            let message = "at least one address or interface must be given to except subdirective";
            problems.push(option.bare_error(message));
        }
        // Of several lines the last counts, as in CoreDNS.
        except = addresses(&option.args, interfaces, problems);
    }
    let mut bound = addresses(&directive.args, interfaces, problems);
    bound.retain(|address| !except.contains(address));
    bound
}

/// The addresses that the words name, each with the interface it is scoped to, if it is link-local.
fn addresses(words: &[Word], interfaces: &Interfaces, problems: &mut Problems) -> Vec<(IpAddr, u32)> {
    let mut addresses = Vec::new();
    for word in words {
        // A name that is spelled like an address is a name.
        if let Some(of_interface) = interfaces.addresses(&word.text) {
            addresses.extend(of_interface);
        } else if let Ok(address) = word.text.parse() {
            addresses.push((address, 0));
        } else {
            let message = format!("not a valid IP address or interface name: {}", quote(&word.text));
            problems.push(word.bare_error(message).choices(&word.text, &interfaces.names()));
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{BlockSetup, testing};

    fn machine() -> std::io::Result<Interfaces> {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        Ok(Interfaces::of(
            ["lo", "eth0", "dummy0", "10.0.0.1"],
            [
                ("lo", 1, address("127.0.0.1")),
                ("lo", 1, address("::1")),
                ("eth0", 2, address("192.0.2.1")),
                // A second address with a label of its own, as `ip addr add … label eth0:web` gives.
                ("eth0:web", 2, address("192.0.2.2")),
                ("eth0", 2, address("fe80::1")),
                ("eth0", 2, address("2001:db8::1")),
                ("10.0.0.1", 4, address("198.51.100.1")),
            ],
        ))
    }

    fn bind(text: &str) -> Result<BlockSetup, String> {
        let (directives, sources) = testing::directives(text);
        let directives: Vec<&Directive> = directives.iter().collect();
        let mut block = BlockSetup::default();
        let mut setup = Setup { directives: &directives, zones: &[], addresses: &[], block: &mut block };
        match build(&mut setup, machine) {
            Ok(built) => {
                assert!(built.is_empty());
                Ok(block)
            }
            Err(errors) => Err(errors.iter().map(|e| e.headline(&sources)).collect::<Vec<_>>().join("\n")),
        }
    }

    #[test]
    fn addresses_and_interfaces_add_up() {
        let check = |text: &str, want: &[(&str, u32)]| {
            let block = bind(text).unwrap();
            let want: Vec<_> = want.iter().map(|&(ip, scope)| (ip.parse().unwrap(), scope)).collect();
            assert_eq!(block.bind, want, "{text}");
            assert_eq!(block.bind_excludes_all, want.is_empty());
        };
        check("bind 192.0.2.7", &[("192.0.2.7", 0)]);
        check("bind 127.0.0.1 ::1", &[("127.0.0.1", 0), ("::1", 0)]);
        check("bind 127.0.0.1\nbind ::1", &[("127.0.0.1", 0), ("::1", 0)]);
        check("bind lo", &[("127.0.0.1", 0), ("::1", 0)]);
        check("bind eth0", &[("192.0.2.1", 0), ("192.0.2.2", 0), ("fe80::1", 2), ("2001:db8::1", 0)]);
        check("bind lo {\n except 127.0.0.1\n}", &[("::1", 0)]);
        check("bind lo 192.0.2.9 {\n except lo\n}", &[("192.0.2.9", 0)]);
        check("bind lo {\n except lo\n}", &[]);
        check("bind dummy0", &[]);
        check("bind lo {\n except ::1\n except 127.0.0.1\n}", &[("::1", 0)]);
        check("bind 127.0.0.1 {\n except 127.0.0.1\n}\nbind 127.0.0.1", &[("127.0.0.1", 0)]);
        check("bind ::1 {\n except 0:0:0:0:0:0:0:1\n}", &[]);
        check("bind 10.0.0.1", &[("198.51.100.1", 0)]);
    }

    #[test]
    fn errors_are_those_of_coredns() {
        let check = |text: &str, want: &str| assert_eq!(bind(text).err().as_deref(), Some(want));
        check("bind", "at least one address or interface name is expected");
        check("bind nosuch0", "not a valid IP address or interface name: \"nosuch0\"");
        check("bind fe80::1%eth0", "not a valid IP address or interface name: \"fe80::1%eth0\"");
        check(
            "bind 1.2.3.4.5 lo {\n foo\n except x\n}",
            concat!(
                "invalid option \"foo\"\n",
                "not a valid IP address or interface name: \"x\"\n",
                "not a valid IP address or interface name: \"1.2.3.4.5\""
            ),
        );
        check(
            "bind lo {\n except\n}",
            "at least one address or interface must be given to except subdirective",
        );
    }

    #[test]
    fn the_loopback_interface_of_this_machine_is_found() {
        let (_, block) = testing::build(&SPEC, "bind lo").unwrap();
        assert!(block.bind.contains(&([127, 0, 0, 1].into(), 0)), "{:?}", block.bind);
    }
}
