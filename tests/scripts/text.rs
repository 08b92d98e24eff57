//! Messages as a script writes them.

use std::time::{SystemTime, UNIX_EPOCH};

use hickory_proto::op::Message;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, NULL, PTR, SOA, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use waypost::wire::Rcode;

use crate::support::message;

/// The query `NAME TYPE` with these words behind it; `None` if they are none. Words that are not about the message are given to `other`,
/// which says whether it knows them.
pub(super) fn query(
    name: &str,
    rtype: &str,
    words: &[String],
    mut other: impl FnMut(&str) -> bool,
) -> Option<Message> {
    Name::from_ascii(name).ok()?;
    let rtype: RecordType = rtype.parse().ok()?;
    let mut query = message::query(name, rtype);
    query.metadata.id = ID;
    let edns = words.iter().find_map(|word| word.strip_prefix("edns="));
    let has_do = words.iter().any(|word| word == "do");
    if edns.is_some() || has_do {
        let size = edns.unwrap_or("1232").parse().ok()?;
        query = message::edns_query(name, rtype, size);
        query.metadata.id = ID;
        query.edns.as_mut()?.set_dnssec_ok(has_do);
    }
    for word in words {
        match word.as_str() {
            "do" => {}
            "ad" => query.metadata.authentic_data = true,
            "cd" => query.metadata.checking_disabled = true,
            "no-rd" => query.metadata.recursion_desired = false,
            "CH" => {
                query.queries[0].set_query_class(DNSClass::CH);
            }
            word if word.starts_with("edns=") => {}
            word if word.starts_with("version=") => {
                query.edns.as_mut()?.set_version(word["version=".len()..].parse().ok()?);
            }
            word if word.starts_with("id=") => query.metadata.id = word["id=".len()..].parse().ok()?,
            word if other(word) => {}
            _ => return None,
        }
    }
    Some(query)
}

/// The ID of queries that name none.
const ID: u16 = 4660;

/// The message `wire` in the lines of a script: code and flags, then the records section by section, then the OPT record.
pub(super) fn lines(wire: &[u8]) -> Vec<String> {
    let message = message::read(wire);
    let header = &message.metadata;
    let code = u16::from(header.response_code);
    let mut first = Rcode(code).mnemonic().map_or_else(|| code.to_string(), str::to_owned);
    let flags = [
        (header.authoritative, " aa"),
        (header.truncation, " tc"),
        (header.recursion_desired, " rd"),
        (header.recursion_available, " ra"),
        (header.authentic_data, " ad"),
        (header.checking_disabled, " cd"),
    ];
    first.extend(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, name)| *name));
    let sections = [
        ("answer", &message.answers),
        ("authority", &message.authorities),
        ("additional", &message.additionals),
    ];
    let records = sections.into_iter().flat_map(|(section, records)| {
        records.iter().map(move |record| {
            let Record { name, ttl, data, .. } = record;
            format!("{section} {name} {ttl} {} {data}", record.record_type())
        })
    });
    let mut lines: Vec<String> = std::iter::once(first).chain(records).collect();
    if let Some(edns) = &message.edns {
        let wanted = if edns.flags().dnssec_ok { " do" } else { "" };
        lines.push(format!("edns {}{wanted}", edns.max_payload()));
    }
    lines
}

/// Where a record stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Section {
    Answer,
    Authority,
    Additional,
}

/// The records of a line `SECTION OWNER TTL TYPE RDATA`, where the owner `@` is `asked`; `None` if it is none. Several only for
/// addresses as `192.0.2.1-40`.
pub(super) fn records(line: &str, asked: &Name) -> Option<(Section, Vec<Record>)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [section, owner, ttl, rtype, ref rdata @ ..] = words[..] else { return None };
    let section = match section {
        "answer" => Section::Answer,
        "authority" => Section::Authority,
        "additional" => Section::Additional,
        _ => return None,
    };
    let owner = if owner == "@" { asked.clone() } else { Name::from_ascii(owner).ok()? };
    let ttl = ttl.parse().ok()?;
    let all = datas(rtype, rdata)?;
    Some((section, all.into_iter().map(|data| Record::from_rdata(owner.clone(), ttl, data)).collect()))
}

fn datas(rtype: &str, rdata: &[&str]) -> Option<Vec<RData>> {
    let name = || Name::from_ascii(rdata.first()?).ok();
    Some(vec![match (rtype, rdata) {
        ("A", [range]) if range.contains('-') => return range_of(range),
        ("A", [address]) => RData::A(A(address.parse().ok()?)),
        ("AAAA", [address]) => RData::AAAA(AAAA(address.parse().ok()?)),
        ("CNAME", [_]) => RData::CNAME(CNAME(name()?)),
        ("NS", [_]) => RData::NS(NS(name()?)),
        ("PTR", [_]) => RData::PTR(PTR(name()?)),
        ("TXT", [text]) => RData::TXT(TXT::new(vec![(*text).to_owned()])),
        ("SOA", [minimum]) => {
            let (primary, mailbox) =
                (Name::from_ascii("ns.test.").ok()?, Name::from_ascii("admin.test.").ok()?);
            RData::SOA(SOA::new(primary, mailbox, 7, 3600, 600, 86400, minimum.parse().ok()?))
        }
        // A signature of addresses that is valid for so many seconds from now, by a clock that is right.
        ("RRSIG", [seconds]) => signature(seconds.parse().ok()?),
        _ => return None,
    }])
}

fn range_of(range: &str) -> Option<Vec<RData>> {
    let (first, last) = range.split_once('-')?;
    let (net, first) = first.rsplit_once('.')?;
    let (first, last): (u8, u8) = (first.parse().ok()?, last.parse().ok()?);
    (first..=last).map(|host| Some(RData::A(A(format!("{net}.{host}").parse().ok()?)))).collect()
}

fn signature(valid_for: i64) -> RData {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (until, since) = (now.saturating_add_signed(valid_for) as u32, now.saturating_sub(WEEK) as u32);
    // Type covered, algorithm, labels, TTL (RFC 4034 3.1), then a key's tag and the root as signer, and one byte of signature.
    let parts = [&[0, 1, 13, 2, 0, 0, 0, 60][..], &until.to_be_bytes(), &since.to_be_bytes(), &[0, 1, 0, 9]];
    RData::Unknown { code: RecordType::RRSIG, rdata: NULL::with(parts.concat()) }
}

/// Seconds.
const WEEK: u64 = 7 * 24 * 3600;
