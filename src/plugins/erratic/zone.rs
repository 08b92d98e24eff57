//! The zone that is transferred (RFC 5936), whatever its name.

use crate::chain::{Query, Response};
use crate::wire::name::NAME_LEN_MAX;
use crate::wire::{Class, HEADER_LEN, Rcode, Rtype, Section};

/// MNAME and RNAME of the SOA record (RFC 1035 3.3.13), then serial, refresh, retry, expire and minimum.
const SOA_NAMES: &[u8] = b"\x03sns\x03dns\x05icann\x03org\0\x03noc\x03dns\x05icann\x03org\0";
const SOA_NUMBERS: [u32; 5] = [2_018_050_825, 7_200, 3_600, 1_209_600, 3_600];

/// The addresses of its name servers `a` and `b`.
const ADDRESS_A: [u8; 16] = [0x20, 0x01, 0x0b, 0xd8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53];
const ADDRESS_B: [u8; 16] = [0x20, 0x01, 0x05, 0x00, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x54];

/// Writes the whole zone whose name `query` asks for, without its last record if it is to be cut. `None`: its names would be too long.
pub(super) fn transfer(query: &Query, response: &mut Response, is_cut: bool) -> Option<()> {
    let apex = query.wire().get(HEADER_LEN..query.question_end().checked_sub(4)?)?;
    let below = |label: u8| {
        let name = [&[1, label], apex].concat();
        (name.len() <= NAME_LEN_MAX).then_some(name)
    };
    let (a, b) = (below(b'a')?, below(b'b')?);
    let numbers = SOA_NUMBERS.map(u32::to_be_bytes);
    let soa = [SOA_NAMES, numbers.as_flattened()].concat();
    response.start(query, true, Rcode::NOERROR);
    let mut put = |owner: Option<&[u8]>, rtype: Rtype, rdata: &[u8]| {
        response.push(Section::Answer, owner, rtype, Class::IN, 0, rdata);
    };
    put(None, Rtype::SOA, &soa);
    put(None, Rtype::NS, &b);
    put(None, Rtype::NS, &a);
    put(Some(&a), Rtype::AAAA, &ADDRESS_A);
    put(Some(&b), Rtype::AAAA, &ADDRESS_B);
    if !is_cut {
        put(None, Rtype::SOA, &soa);
    }
    Some(())
}
