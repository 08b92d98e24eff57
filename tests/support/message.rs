//! DNS messages, made and read by an implementation that is not ours.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU16, Ordering};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::{A, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

pub(crate) use hickory_proto::op::ResponseCode;

/// A query for `name` (fully qualified, spelled as it shall go out) with RD set and an ID of its own.
pub(crate) fn query(name: &str, rtype: RecordType) -> Message {
    static ID: AtomicU16 = AtomicU16::new(1);
    let mut message = Message::new(ID.fetch_add(1, Ordering::Relaxed), MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(self::name(name), rtype));
    message
}

/// The same with an OPT record.
pub(crate) fn edns_query(name: &str, rtype: RecordType, payload_size: u16) -> Message {
    let mut message = query(name, rtype);
    let mut edns = Edns::new();
    edns.set_max_payload(payload_size);
    message.set_edns(edns);
    message
}

/// The response to `query` with `records` as its answer section.
pub(crate) fn response(query: &Message, rcode: ResponseCode, records: Vec<Record>) -> Message {
    let mut message = Message::response(query.metadata.id, query.metadata.op_code);
    message.metadata.recursion_desired = query.metadata.recursion_desired;
    message.metadata.recursion_available = true;
    message.metadata.response_code = rcode;
    message.queries = query.queries.clone();
    message.answers = records;
    if let Some(edns) = &query.edns {
        let mut own = Edns::new();
        own.set_max_payload(1232).set_dnssec_ok(edns.flags().dnssec_ok);
        message.set_edns(own);
    }
    message
}

/// What a well-behaved upstream says: for each A query the address 192.0.2.1, for everything else nothing.
pub(crate) fn usual_response(query: &Message) -> Message {
    let question = &query.queries[0];
    let records = match question.query_type {
        RecordType::A => vec![a_of(question.name.clone(), 60, Ipv4Addr::new(192, 0, 2, 1))],
        _ => Vec::new(),
    };
    response(query, ResponseCode::NoError, records)
}

/// An A record.
pub(crate) fn a(name: &str, ttl: u32, address: Ipv4Addr) -> Record {
    a_of(self::name(name), ttl, address)
}

fn a_of(name: Name, ttl: u32, address: Ipv4Addr) -> Record {
    Record::from_rdata(name, ttl, RData::A(A(address)))
}

/// A TXT record of `strings`.
pub(crate) fn txt(name: &str, ttl: u32, strings: Vec<String>) -> Record {
    Record::from_rdata(self::name(name), ttl, RData::TXT(TXT::new(strings)))
}

/// The SOA record of the zone `name`.
pub(crate) fn soa(name: &str, ttl: u32) -> Record {
    let soa = SOA::new(self::name("ns.example."), self::name("admin.example."), 7, 3600, 600, 86400, ttl);
    Record::from_rdata(self::name(name), ttl, RData::SOA(soa))
}

/// The addresses of A and AAAA records in the answer section, in their order.
pub(crate) fn addresses(message: &Message) -> Vec<IpAddr> {
    message.answers.iter().filter_map(|record| record.data.ip_addr()).collect()
}

/// The wire form of `message`.
pub(crate) fn wire(message: &Message) -> Vec<u8> {
    message.to_vec().expect("a message of a test can be encoded")
}

/// Reads `wire`, all of it.
pub(crate) fn read(wire: &[u8]) -> Message {
    match Message::from_vec(wire) {
        Ok(message) => message,
        Err(error) => panic!("what came is no message: {error}\n{wire:02x?}"),
    }
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).expect("a name of a test is one")
}
