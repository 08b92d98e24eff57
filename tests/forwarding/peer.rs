//! Against a server that others wrote.

use hickory_proto::rr::rdata::{CNAME, MX};
use hickory_proto::rr::{Name, RData, Record};

use super::*;
use crate::support::Peer;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

/// A zone with an alias, mail, more text than a datagram takes, and a name without records of its own.
fn peer() -> Peer {
    let mut records = vec![
        soa("peer.test.", 30),
        a("www.peer.test.", 300, Ipv4Addr::new(192, 0, 2, 80)),
        a("www.peer.test.", 300, Ipv4Addr::new(192, 0, 2, 81)),
        a("deep.down.peer.test.", 300, Ipv4Addr::new(192, 0, 2, 82)),
        Record::from_rdata(name("alias.peer.test."), 300, RData::CNAME(CNAME(name("www.peer.test.")))),
        Record::from_rdata(name("peer.test."), 300, RData::MX(MX::new(10, name("www.peer.test.")))),
    ];
    records.extend((0..20).map(|i| txt("long.peer.test.", 300, vec![format!("{i:0200}")])));
    Peer::start("peer.test.", records)
}

#[test]
fn its_answers_come_through_unchanged_with_and_without_cache() {
    let peer = peer();
    let questions = [
        ("www.peer.test.", RecordType::A),
        ("alias.peer.test.", RecordType::A),
        ("peer.test.", RecordType::MX),
        ("peer.test.", RecordType::SOA),
        ("www.peer.test.", RecordType::AAAA),
        ("nobody.peer.test.", RecordType::A),
        ("down.peer.test.", RecordType::A),
        ("elsewhere.test.", RecordType::A),
    ];
    for cache in ["", "cache {\n keepttl\n }"] {
        let server = Server::start(&format!(". {{\n {cache}\n forward . {}\n}}\n", peer.address));
        for (name, rtype) in questions {
            // The second time from the cache, if there is one.
            for asker in [ask, ask_tcp, ask] {
                let asked = edns_query(name, rtype, 1232);
                let (direct, ours) = (asker(peer.address, &asked), asker(server.address(), &asked));
                let case = format!("{cache} {name} {rtype}\n{direct}\n{ours}");
                assert_eq!(ours.metadata.response_code, direct.metadata.response_code, "{case}");
                assert_eq!(ours.queries, direct.queries, "{case}");
                assert_eq!(sorted(&ours.answers), sorted(&direct.answers), "{case}");
                assert_eq!(sorted(&ours.authorities), sorted(&direct.authorities), "{case}");
            }
        }
    }
}

/// Records as text: their order within an RRset means nothing.
fn sorted(records: &[Record]) -> Vec<String> {
    let mut texts: Vec<String> = records.iter().map(ToString::to_string).collect();
    texts.sort_unstable();
    texts
}

#[test]
fn what_it_truncates_is_whole_over_tcp() {
    let peer = peer();
    let server = Server::start(&format!(". {{\n cache\n forward . {}\n}}\n", peer.address));
    let asked = edns_query("long.peer.test.", RecordType::TXT, 1232);
    for _ in 0..2 {
        assert!(ask(server.address(), &asked).metadata.truncation);
        let whole = ask_tcp(server.address(), &asked);
        assert_eq!((whole.metadata.truncation, whole.answers.len()), (false, 20));
    }
    // From now on it is in the cache, and those get it who take so much.
    let wide = ask(server.address(), &edns_query("long.peer.test.", RecordType::TXT, 8192));
    assert_eq!((wide.metadata.truncation, wide.answers.len()), (false, 20));
    let narrow = ask(server.address(), &query("long.peer.test.", RecordType::TXT));
    assert_eq!((narrow.metadata.truncation, narrow.answers.len()), (true, 0));
}
