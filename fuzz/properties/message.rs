//! What holds of any bytes that a client may send.

use waypost::chain::{Query, Response};
use waypost::wire::query::Rejection;
use waypost::wire::{Class, Flags, Name, Outcome, Rcode, Rtype, Section, compose, header, record, size};

/// They are met with silence, a bare header, or an answer to the question as it is spelled.
pub(super) fn hold(bytes: &[u8]) {
    walk(bytes);
    let mut query = Query::default();
    match query.take_up(bytes) {
        Ok(()) => accepted(bytes, &query),
        Err(Rejection::Silence) => {
            assert!(bytes.len() < header::HEADER_LEN || Flags::of(bytes).has(Flags::QR));
        }
        Err(Rejection::Rcode(rcode)) => {
            let mut out = Vec::new();
            compose::bare_header(&mut out, bytes, rcode == Rcode::NOTIMP, rcode);
            assert_eq!(out.len(), header::HEADER_LEN);
            assert_eq!(out[..2], bytes[..2], "the ID");
            assert!(Flags::of(&out).has(Flags::QR));
        }
    }
}

fn accepted(bytes: &[u8], query: &Query) {
    let end = query.question_end();
    assert!(end <= bytes.len());
    assert!(query.payload_size() >= 512);
    if let Some(edns) = query.edns() {
        let options: usize = edns.options(query.wire()).map(|(_, value)| 4 + value.len()).sum();
        assert_eq!(options, edns.options.len(), "every byte of the OPT record is an option's");
    }

    let mut response = Response::default();
    response.start(query, true, Rcode::NOERROR);
    response.push(Section::Answer, None, Rtype::A, Class::IN, 60, &[192, 0, 2, 1]);
    assert_eq!(response.wire()[header::HEADER_LEN..end], bytes[header::HEADER_LEN..end], "the question");
    let records: Vec<_> = record::records(response.wire()).map(|r| r.expect("our own record")).collect();
    assert_eq!(records.len(), 1);
    let owner = records[0].owner(response.wire()).expect("our own pointer");
    assert_eq!(&owner, query.name());
    assert_eq!(size::uncompressed(response.wire()), Ok(response.uncompressed_size()));

    let name = Name::from_text("a.example").expect("a name");
    let own = query.asking(&name, Rtype::AAAA);
    let mut again = Query::default();
    again.take_up(own.wire()).expect("a query of our own is one");
    assert_eq!((again.name(), again.qtype(), again.dnssec_ok()), (&name, Rtype::AAAA, query.dnssec_ok()));
}

/// Whatever walks over a message says what it finds, or that it is none.
fn walk(bytes: &[u8]) {
    let mut end = header::HEADER_LEN;
    for record in record::records(bytes) {
        let Ok(record) = record else { break };
        assert!(record.start >= end && record.end <= bytes.len() && record.start < record.fixed);
        end = record.end;
        let _ = record.owner(bytes);
    }
    let rcode = Flags::of(bytes).rcode();
    let _ = Outcome::of(bytes, rcode, None);
    let _ = Outcome::of(bytes, rcode, Some(1_700_000_000));
    let _ = size::uncompressed(bytes);
}
