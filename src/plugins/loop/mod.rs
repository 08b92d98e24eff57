#![doc = include_str!("README.md")]

mod probe;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::chain::{Alone, Built, Cx, Plugin, PluginSpec, Query, Repeat, Response, Setup, Step};
use crate::config::{Diagnostic, quote};
use crate::log;
use crate::upstream::Random;
use crate::wire::{Name, Rtype};

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "loop",
    summary: "looks for forwarding loops at the start, and ends the process if there is one",
    manual: include_str!("README.md"),
    repeat: Repeat::Once,
    metrics: &[],
    build,
};

/// So many arrivals of the one query that was sent are a loop. CoreDNS waits for as many.
const ARRIVALS: u32 = 3;

fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    setup.directives[0].alone().map_err(|error| vec![error])?;
    let zone = setup.zones.first().cloned().unwrap_or_else(Name::root);
    let port = setup.addresses.first().map_or(crate::config::DNS_PORT, |address| address.port);
    let local = setup.block.bind.first().copied();
    let plugin = Arc::new(Loop {
        name: random_name(&zone, &mut Random::kernel()),
        zone,
        address: address_text(local.map(|(ip, _)| ip), port),
        arrivals: AtomicU32::new(0),
        returned_by: Mutex::default(),
        is_on: AtomicBool::new(true),
    });
    match &plugin.name {
        Some(name) if !setup.block.bind_excludes_all => {
            setup.background(probe::run(Arc::clone(&plugin), target(local, port), name.clone()));
        }
        Some(_) => {}
        None => {
            setup.warn(setup.directives[0].error("no loop is looked for: the name of the zone is too long"))
        }
    }
    Ok(vec![plugin])
}

struct Loop {
    /// The name that is asked for; `None` if the zone has no room for one.
    name: Option<Name>,
    zone: Name,
    /// Where it is sent, in words.
    address: String,
    /// How often it came since it was sent last.
    arrivals: AtomicU32,
    /// Who sent it back last.
    returned_by: Mutex<Option<SocketAddr>>,
    is_on: AtomicBool,
}

impl Plugin for Loop {
    fn on_query(&self, _: &Cx<'_>, query: &mut Query, _: &mut Response) -> Step {
        if query.qtype() == Rtype::HINFO && self.is_ours(query) {
            // Shared with the one before, a query that came back would wait for itself, and no third would come.
            query.extensions.insert(Alone);
            match self.arrivals.fetch_add(1, Ordering::Relaxed) + 1 {
                1 => {}
                arrivals if arrivals < ARRIVALS => *self.returned_by() = Some(query.peer),
                _ => log::fatal(&self.complaint(query.peer)),
            }
        }
        Step::Next
    }
}

impl Loop {
    /// Whether it is the query that was sent at the start, while that is looked for.
    fn is_ours(&self, query: &Query) -> bool {
        self.is_on.load(Ordering::Relaxed) && self.name.as_ref() == Some(query.name())
    }

    /// What CoreDNS says of a loop, to the letter: people search for it.
    fn complaint(&self, returned_by: SocketAddr) -> String {
        let mut peer = Vec::new();
        log::push_socket_addr(&mut peer, returned_by);
        format!(
            "plugin/loop: Loop ({} -> {}) detected for zone {}, see https://coredns.io/plugins/loop#troubleshooting. Query: \"HINFO {}\"",
            String::from_utf8_lossy(&peer),
            self.address,
            quote(&self.zone.to_string()),
            self.name.as_ref().unwrap_or(&self.zone),
        )
    }

    /// The query is sent anew: what came of the last one counts no more. Returns who sent that back, if somebody did.
    fn begin(&self) -> Option<SocketAddr> {
        self.arrivals.store(0, Ordering::Relaxed);
        self.returned_by().take()
    }

    fn returned_by(&self) -> MutexGuard<'_, Option<SocketAddr>> {
        self.returned_by.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is looked for any more.
    fn end(&self) {
        self.is_on.store(false, Ordering::Relaxed);
    }
}

/// `NUMBER.NUMBER.ZONE`, which nobody else asks for; `None` if that is too long.
fn random_name(zone: &Name, random: &mut Random) -> Option<Name> {
    let mut number = || (0..4).fold(0_u64, |number, _| number << 16 | u64::from(random.next_u16())) >> 2;
    let (first, second) = (number(), number());
    let zone = if zone.is_root() { String::new() } else { zone.to_string() };
    Name::from_text(&format!("{first}.{second}.{zone}")).ok()
}

/// The block's first listener as CoreDNS writes it: `:53`, `127.0.0.1:53`.
fn address_text(local: Option<IpAddr>, port: u16) -> String {
    local.map_or_else(|| format!(":{port}"), |ip| SocketAddr::new(ip, port).to_string())
}

/// Where the block's first listener is reached from here.
fn target(local: Option<(IpAddr, u32)>, port: u16) -> SocketAddr {
    match local {
        None => (Ipv4Addr::LOCALHOST, port).into(),
        Some((IpAddr::V4(ip), _)) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, port).into(),
        Some((IpAddr::V6(ip), _)) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, port).into(),
        Some((IpAddr::V4(ip), _)) => (ip, port).into(),
        Some((IpAddr::V6(ip), interface)) => SocketAddrV6::new(ip, port, 0, interface).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{BlockSetup, testing};

    fn looking(zone: &str) -> Loop {
        let zone = Name::from_text(zone).unwrap();
        Loop {
            name: random_name(&zone, &mut Random::fixed(7)),
            zone,
            address: ":53".to_owned(),
            arrivals: AtomicU32::new(0),
            returned_by: Mutex::default(),
            is_on: AtomicBool::new(true),
        }
    }

    #[test]
    fn a_loop_is_told_in_coredns_s_words() {
        let plugin = looking("Example.org");
        let name = plugin.name.as_ref().unwrap().to_string();
        assert!(plugin.is_ours(&testing::query(&name, Rtype::HINFO)));
        let want = format!(
            "plugin/loop: Loop (127.0.0.1:40212 -> :53) detected for zone \"example.org.\", \
             see https://coredns.io/plugins/loop#troubleshooting. Query: \"HINFO {name}\""
        );
        assert_eq!(plugin.complaint("127.0.0.1:40212".parse().unwrap()), want);
        let mapped = plugin.complaint("[::ffff:192.0.2.1]:53".parse().unwrap());
        assert!(mapped.contains("(192.0.2.1:53 -> :53)"), "{mapped}");
    }

    #[test]
    fn only_the_query_that_was_sent_counts_and_only_for_a_while() {
        let plugin = Arc::new(looking("."));
        let name = plugin.name.as_ref().unwrap().to_string();
        let block = testing::block(vec![
            ("loop", Arc::clone(&plugin) as Arc<dyn Plugin>),
            ("next", testing::address(60)),
        ]);
        let ask = |name: &str, qtype| {
            let mut query = testing::query(name, qtype);
            testing::ask(&block, &mut query);
            query.extensions.get::<Alone>().is_some()
        };
        assert!(
            !ask("a.test", Rtype::HINFO) && !ask(&name, Rtype::A) && !ask(&format!("x.{name}"), Rtype::HINFO)
        );
        assert!(ask(&name, Rtype::HINFO) && ask(&name, Rtype::HINFO));
        // The third would end the process; a new attempt counts anew.
        assert_eq!(plugin.begin(), Some("127.0.0.1:40212".parse().unwrap()));
        assert_eq!(plugin.begin(), None);
        assert!(ask(&name, Rtype::HINFO) && ask(&name, Rtype::HINFO));
        plugin.end();
        assert!(!ask(&name, Rtype::HINFO) && !ask(&name, Rtype::HINFO));
    }

    #[test]
    fn names_are_two_numbers_that_nobody_can_foresee() {
        let zone = Name::from_text("example.org").unwrap();
        let names: Vec<Name> =
            (0..50).map(|_| random_name(&zone, &mut Random::kernel()).expect("there is room")).collect();
        for (at, name) in names.iter().enumerate() {
            assert!(name.is_under(zone.as_bytes()) && name.label_count() == 4);
            let mut numbers =
                name.labels().take(2).map(|label| str::from_utf8(label).unwrap().parse::<u64>());
            assert!(numbers.all(|number| number.is_ok_and(|number| number < 1 << 62)));
            assert!(!names[..at].contains(name));
        }
        let long = Name::from_text(&"abcd.".repeat(45)).unwrap();
        assert!((0..20).any(|_| random_name(&long, &mut Random::kernel()).is_none()));
    }

    #[test]
    fn the_query_goes_to_the_first_listener() {
        let check = |local: Option<&str>, text: &str, to: &str| {
            let local = local.map(|ip| (ip.parse().unwrap(), 3));
            assert_eq!(address_text(local.map(|(ip, _)| ip), 1053), text);
            assert_eq!(target(local, 1053).to_string(), to);
        };
        check(None, ":1053", "127.0.0.1:1053");
        check(Some("0.0.0.0"), "0.0.0.0:1053", "127.0.0.1:1053");
        check(Some("::"), "[::]:1053", "[::1]:1053");
        check(Some("192.0.2.1"), "192.0.2.1:1053", "192.0.2.1:1053");
        check(Some("fe80::1"), "[fe80::1]:1053", "[fe80::1%3]:1053");
    }

    #[test]
    fn nothing_is_sent_where_nothing_is_served() {
        let sends = |excludes_all| {
            let mut block = BlockSetup::default();
            block.bind_excludes_all = excludes_all;
            testing::build_in(&SPEC, &[Name::root()], block, "loop").unwrap().1.background.len()
        };
        assert_eq!((sends(false), sends(true)), (1, 0));
    }

    #[test]
    fn errors_are_those_of_coredns() {
        let check = |text: &str, want: &str| {
            assert_eq!(testing::build(&SPEC, text).err(), Some(format!("plugin/loop: {want}")), "{text}");
        };
        let place = "Corefile:1 - Error during parsing:";
        check("loop x", &format!("{place} Wrong argument count or unexpected line ending after 'x'"));
        check("loop {\n}", &format!("{place} Unexpected token '{{', expecting argument"));
        check("loop\nloop", "this plugin can only be used once per Server Block");
    }
}
