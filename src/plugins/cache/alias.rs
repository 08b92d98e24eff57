//! Does an answer section answer its question, through the aliases in it (RFC 1034 3.6.2)?

use crate::wire::{Class, Name, Record, Rtype, WireError};

/// How many aliases an answer may have before the chain counts as broken: resolvers give up far earlier.
const ALIASES_MAX: usize = 64;

/// True if `answers`, the records of an answer section of `message`, answer the question for `name`, `qtype` and `qclass`.
///
/// They do if a record of the type stands at the end of the chain of aliases that starts at the name. A name with two different aliases
/// (RFC 2181 10.1), a loop, and more than [`ALIASES_MAX`] aliases have no end. QTYPE CNAME asks for the alias itself, ANY for any record of
/// the name.
pub(super) fn answers_question(
    message: &[u8],
    answers: &[Record],
    name: &Name,
    qtype: Rtype,
    qclass: Class,
) -> Result<bool, WireError> {
    let right_class = |record: &&Record| qclass == Class::ANY || record.class == qclass;
    let owned_by = |record: &Record, owner: &Name| Ok(record.owner(message)? == *owner);
    if qtype == Rtype::ANY {
        return any(answers.iter().filter(right_class), |record| owned_by(record, name));
    }

    let mut aliases = Vec::new();
    for record in answers.iter().filter(right_class).filter(|record| record.rtype == Rtype::CNAME) {
        if aliases.len() == ALIASES_MAX {
            return Ok(false);
        }
        aliases.push((record.owner(message)?, Name::parse(message, record.rdata)?.0));
    }
    let mut end = name;
    // Each step of a chain without loops uses an alias of its own.
    for step in 0..=aliases.len() {
        let mut targets = aliases.iter().filter(|(owner, _)| owner == end).map(|(_, target)| target);
        let target = targets.next();
        if targets.any(|other| Some(other) != target) {
            return Ok(false);
        }
        if qtype == Rtype::CNAME {
            return Ok(target.is_some());
        }
        match target {
            Some(_) if step == aliases.len() => return Ok(false),
            Some(target) => end = target,
            None => break,
        }
    }
    let of_type = answers.iter().filter(right_class).filter(|record| record.rtype == qtype);
    any(of_type, |record| owned_by(record, end))
}

fn any<'a>(
    mut records: impl Iterator<Item = &'a Record>,
    is: impl Fn(&Record) -> Result<bool, WireError>,
) -> Result<bool, WireError> {
    records.find_map(|record| is(record).map(|yes| yes.then_some(true)).transpose()).unwrap_or(Ok(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::testing;
    use crate::chain::{Query, Response};
    use crate::wire::{Rcode, Section, record};

    /// Records as `owner TYPE rdata`, a name as RDATA of CNAME and an address otherwise.
    fn check(qtype: Rtype, records: &[&str], expected: bool) {
        let query = testing::query("a.test", qtype);
        let response = answer(&query, records);
        let answers: Vec<_> = record::records(response.wire()).map(Result::unwrap).collect();
        let got = answers_question(response.wire(), &answers, query.name(), qtype, Class::IN).unwrap();
        assert_eq!(got, expected, "{qtype} of {records:?}");
    }

    fn answer(query: &Query, records: &[&str]) -> Response {
        let mut response = Response::default();
        response.start(query, false, Rcode::NOERROR);
        for text in records {
            let [owner, rtype, value] = text.split(' ').collect::<Vec<_>>()[..] else { panic!("{text}") };
            let owner = Name::from_text(owner).unwrap();
            let (rtype, class) = match rtype {
                "CHAOS" => (Rtype::A, Class(3)),
                other => (Rtype::from_text(other).unwrap(), Class::IN),
            };
            let rdata = match rtype {
                Rtype::CNAME => Name::from_text(value).unwrap().as_bytes().to_vec(),
                _ => vec![192, 0, 2, 1],
            };
            response.push(Section::Answer, Some(owner.as_bytes()), rtype, class, 60, &rdata);
        }
        response
    }

    #[test]
    fn the_end_of_the_chain_must_have_the_type() {
        check(Rtype::A, &["a.test A -"], true);
        check(Rtype::A, &["A.TEST A -"], true);
        check(Rtype::A, &["b.test A -"], false);
        check(Rtype::AAAA, &["a.test A -"], false);
        check(Rtype::A, &["a.test CHAOS -"], false);
        check(Rtype::A, &["a.test CNAME b.test", "b.test A -"], true);
        check(Rtype::A, &["b.test A -", "a.test CNAME b.test"], true);
        check(Rtype::A, &["c.test A -", "b.test CNAME c.test", "a.test CNAME b.test"], true);
        check(Rtype::A, &["a.test CNAME b.test"], false);
        check(Rtype::A, &["a.test CNAME b.test", "c.test A -"], false);
        check(Rtype::AAAA, &["a.test CNAME b.test", "b.test A -"], false);
        // An alias has no other records.
        check(Rtype::A, &["a.test A -", "a.test CNAME b.test"], false);
    }

    #[test]
    fn a_chain_without_end_answers_nothing() {
        check(Rtype::A, &["a.test CNAME a.test", "a.test A -"], false);
        check(Rtype::A, &["a.test CNAME b.test", "b.test CNAME a.test", "b.test A -"], false);
        check(Rtype::A, &["a.test CNAME b.test", "a.test CNAME c.test", "b.test A -"], false);
        check(Rtype::A, &["a.test CNAME b.test", "a.test CNAME b.test", "b.test A -"], true);
        let chain: Vec<String> = (0..100).map(|i| format!("n{i}.test CNAME n{}.test", i + 1)).collect();
        let mut chain: Vec<&str> = chain.iter().map(String::as_str).collect();
        chain.extend(["a.test CNAME n0.test", "n100.test A -"]);
        check(Rtype::A, &chain, false);
    }

    #[test]
    fn aliases_and_anything_can_be_asked_for() {
        check(Rtype::CNAME, &["a.test CNAME b.test"], true);
        check(Rtype::CNAME, &["b.test CNAME c.test"], false);
        check(Rtype::CNAME, &["a.test CNAME b.test", "a.test CNAME c.test"], false);
        check(Rtype::CNAME, &["a.test CNAME a.test"], true);
        check(Rtype::ANY, &["a.test TXT -"], true);
        check(Rtype::ANY, &["b.test A -"], false);
        check(Rtype::ANY, &[], false);
    }
}
