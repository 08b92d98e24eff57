#![doc = include_str!("README.md")]

use std::net::IpAddr;
use std::sync::Arc;

use crate::chain::{Built, Cx, Plugin, PluginSpec, Query, Repeat, Response, Setup, Step, Transport};
use crate::config::Diagnostic;
use crate::wire::name::NAME_LEN_MAX;
use crate::wire::{HEADER_LEN, Rcode, Rtype, Section};

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "whoami",
    summary: "answers with the client's own address, port and transport",
    manual: include_str!("README.md"),
    repeat: Repeat::Many,
    metrics: &[],
    build,
};

fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    setup.switch()?;
    Ok(vec![Arc::new(Whoami)])
}

struct Whoami;

impl Plugin for Whoami {
    fn on_query(&self, _: &Cx<'_>, query: &mut Query, response: &mut Response) -> Step {
        response.start(query, true, Rcode::NOERROR);
        let class = query.qclass();
        match query.peer.ip().to_canonical() {
            IpAddr::V4(v4) => response.push(Section::Additional, None, Rtype::A, class, 0, &v4.octets()),
            IpAddr::V6(v6) => response.push(Section::Additional, None, Rtype::AAAA, class, 0, &v6.octets()),
        }
        let mut owner = [0; NAME_LEN_MAX];
        if let Some(owner) = service_name(query, &mut owner) {
            let [port_high, port_low] = query.peer.port().to_be_bytes();
            // Priority and weight 0, the port, and the root for a target.
            let rdata = [0, 0, 0, 0, port_high, port_low, 0];
            response.push(Section::Additional, Some(owner), Rtype::SRV, class, 0, &rdata);
        }
        Step::Respond
    }
}

/// The question's name, spelled as asked, below `_udp` or `_tcp` (RFC 2782); `None` if that is too long for a name.
fn service_name<'a>(query: &Query, space: &'a mut [u8; NAME_LEN_MAX]) -> Option<&'a [u8]> {
    let label = match query.transport {
        Transport::Udp => b"\x04_udp",
        Transport::Tcp => b"\x04_tcp",
    };
    // Behind the name stand its type and class.
    let name = query.wire().get(HEADER_LEN..query.question_end().checked_sub(4)?)?;
    let owner = space.get_mut(..label.len() + name.len())?;
    owner[..label.len()].copy_from_slice(label);
    owner[label.len()..].copy_from_slice(name);
    Some(owner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::testing;
    use crate::wire::{Class, Flags, record};

    fn ask(query: &mut Query) -> Response {
        let (built, _) = testing::build(&SPEC, "whoami").unwrap();
        testing::ask(&testing::block(vec![("whoami", Arc::clone(&built[0]))]), query)
    }

    /// Owner as spelled, type, class and RDATA of each record; all of them stand in the additional section with TTL 0.
    fn records(response: &Response) -> Vec<(Vec<u8>, Rtype, Class, Vec<u8>)> {
        let wire = response.wire();
        let describe = |record: Result<record::Record, _>| {
            let record = record.unwrap();
            assert_eq!((record.section, record.ttl), (Section::Additional, 0));
            let owner = &wire[record.start..record.fixed];
            (owner.to_vec(), record.rtype, record.class, record.rdata(wire).to_vec())
        };
        record::records(wire).map(describe).collect()
    }

    #[test]
    fn the_client_is_told_who_it_is() {
        let mut query = testing::query("Example.ORG", Rtype::MX);
        let response = ask(&mut query);
        assert_eq!(response.flags(), Flags(Flags::QR | Flags::AA | Flags::RD));
        let port = 40_212_u16.to_be_bytes();
        let srv = [0, 0, 0, 0, port[0], port[1], 0];
        let want = [
            (b"\xC0\x0C".to_vec(), Rtype::A, Class::IN, vec![127, 0, 0, 1]),
            (b"\x04_udp\x07Example\x03ORG\0".to_vec(), Rtype::SRV, Class::IN, srv.to_vec()),
        ];
        assert_eq!(records(&response), want);
        assert_eq!(response.uncompressed_size(), 29 + (13 + 10 + 4) + (18 + 10 + 7));
    }

    #[test]
    fn over_tcp_and_ipv6_it_is_told_that() {
        let mut query = testing::query(".", Rtype::A);
        query.transport = Transport::Tcp;
        query.peer = "[2001:db8::7]:53".parse().unwrap();
        let [address, service] = &records(&ask(&mut query))[..] else { panic!("two records") };
        assert_eq!((address.1, address.3[15]), (Rtype::AAAA, 7));
        assert_eq!((service.0.as_slice(), service.3[5]), (&b"\x04_tcp\0"[..], 53));
        query.peer = "[::ffff:192.0.2.9]:53".parse().unwrap();
        assert_eq!(records(&ask(&mut query))[0].3, [192, 0, 2, 9]);
    }

    #[test]
    fn the_class_is_that_of_the_question() {
        let mut wire = testing::query_wire("x", Rtype::TXT, None);
        let end = wire.len();
        wire[end - 1] = 3;
        assert!(records(&ask(&mut testing::query_of(&wire))).iter().all(|record| record.2 == Class::CH));
    }

    #[test]
    fn a_name_of_full_length_has_no_room_for_a_service() {
        let longest = "abc.".repeat(63) + "a";
        assert_eq!(records(&ask(&mut testing::query(&longest, Rtype::A))).len(), 1);
        let fits = "abc.".repeat(62);
        assert_eq!(records(&ask(&mut testing::query(&fits, Rtype::A))).len(), 2);
    }

    #[test]
    fn errors_are_those_of_coredns() {
        let check = |text: &str, message: &str| {
            let want = format!("plugin/whoami: Corefile:1 - Error during parsing: {message}");
            assert_eq!(testing::build(&SPEC, text).err(), Some(want));
        };
        check("whoami x y", "Wrong argument count or unexpected line ending after 'x'");
        check("whoami {\n a\n}", "Unexpected token '{', expecting argument");
        assert_eq!(testing::build(&SPEC, "whoami\nwhoami x").unwrap().1.warnings.len(), 1);
    }
}
