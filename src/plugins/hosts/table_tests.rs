//! Tables as such: both directions agree, nothing stands twice, and there is an end to them.

use super::*;
use std::net::{Ipv4Addr, Ipv6Addr};

fn built(builder: &mut Builder, entries: &[(&str, &str)]) -> Vec<bool> {
    let mut added = vec![];
    for (address, name) in entries {
        let id = builder.address(address.parse().unwrap());
        added.push(builder.add(id, &name.parse().unwrap()));
    }
    added
}

fn table(entries: &[(&str, &str)]) -> Table {
    let mut builder = Builder::new(0);
    built(&mut builder, entries);
    builder.finish(true)
}

fn addresses_of(table: &Table, name: &str) -> Vec<IpAddr> {
    let name: Name = name.parse().unwrap();
    addresses(table, name.as_bytes())
}

fn addresses(table: &Table, name: &[u8]) -> Vec<IpAddr> {
    let found = table.addresses(name, NameHasher::process().hash(name));
    let v4 = found.v4.as_chunks::<4>().0.iter().map(|octets| Ipv4Addr::from(*octets).into());
    let v6 = found.v6.as_chunks::<16>().0.iter().map(|octets| Ipv6Addr::from(*octets).into());
    v4.chain(v6).collect()
}

fn names_of(table: &Table, address: &str) -> Vec<String> {
    let names = table.names(address.parse().unwrap());
    names.map(|wire| Name::parse(wire, 0).unwrap().0.to_string()).collect()
}

/// Everything that must hold of any table: names and addresses lead to each other, each once, and the count is right.
pub(in super::super) fn check(table: &Table, reverse: bool) {
    let mut forward = HashSet::new();
    let mut wildcards = 0;
    let mut place = 0;
    let mut entries = 0;
    while let Some((name, rest)) = table.name_at(place) {
        let (parsed, end) = Name::parse(name, 0).unwrap();
        assert_eq!((parsed.as_bytes(), end), (name, name.len()), "a lower-cased name");
        let found = split(rest).unwrap();
        let mine = addresses(table, name);
        assert_eq!(mine.len(), found.v4.len() / 4 + found.v6.len() / 16);
        assert!(!mine.is_empty());
        wildcards += if is_wildcard(name) { mine.len() } else { 0 };
        for address in mine {
            assert!(forward.insert((name.to_vec(), address)), "{parsed} has {address} twice");
        }
        let (_, after) = count(rest).unwrap();
        let (_, after) = count(after).unwrap();
        place += (1 + name.len() + rest.len() - after.len() + found.v4.len() + found.v6.len()) as u32;
        entries += 1;
    }
    assert_eq!(place as usize, table.entries.len());
    assert_eq!(table.has_wildcards(), wildcards > 0);
    let known_v4 = table.v4.addresses.iter().map(|octets| IpAddr::from(*octets));
    let known = known_v4.chain(table.v6.addresses.iter().map(|octets| IpAddr::from(*octets)));
    let mut backward = 0;
    for address in known {
        for name in table.names(address) {
            assert!(forward.contains(&(name.to_vec(), address)) && !is_wildcard(name));
            backward += 1;
        }
    }
    assert_eq!(backward, if reverse { forward.len() - wildcards } else { 0 });
    assert_eq!(table.records(), forward.len() + backward);
    assert!(entries <= forward.len());
}

#[test]
fn both_directions_keep_the_file_s_order() {
    let table = table(&[
        ("10.0.0.2", "b"),
        ("::1", "a.example"),
        ("10.0.0.1", "a.example"),
        ("10.0.0.2", "a.example"),
        ("10.0.0.1", "c"),
        ("10.0.0.2", "c"),
        ("::1", "c"),
        ("10.0.0.2", "*.w"),
    ]);
    check(&table, true);
    let ips = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
    assert_eq!(addresses_of(&table, "a.example"), ips(&["10.0.0.1", "10.0.0.2", "::1"]));
    assert_eq!(addresses_of(&table, "b"), ips(&["10.0.0.2"]));
    assert_eq!(addresses_of(&table, "example"), ips(&[]));
    assert_eq!(addresses_of(&table, "*.w"), ips(&["10.0.0.2"]));
    assert_eq!(names_of(&table, "10.0.0.2"), ["b.", "a.example.", "c."]);
    assert_eq!(names_of(&table, "::1"), ["a.example.", "c."]);
    assert!(names_of(&table, "::2").is_empty() && names_of(&table, "0.0.0.1").is_empty());
    assert_eq!(table.records(), 15);
    check(&Table::default(), true);
}

#[test]
fn what_is_said_twice_is_one_record() {
    let entries = [("10.0.0.1", "a"), ("::ffff:10.0.0.1", "A"), ("10.0.0.2", "a"), ("10.0.0.1", "a")];
    let table = table(&entries);
    check(&table, true);
    assert_eq!(addresses_of(&table, "a").len(), 2);
    assert_eq!(names_of(&table, "10.0.0.1"), ["a."]);
}

#[test]
fn without_reverse_there_are_no_names() {
    let mut builder = Builder::new(10);
    built(&mut builder, &[("10.0.0.1", "a"), ("::1", "a")]);
    let table = builder.finish(false);
    check(&table, false);
    assert!(names_of(&table, "10.0.0.1").is_empty());
    assert_eq!(table.records(), 2);
}

#[test]
fn there_is_an_end_to_the_room() {
    let mut builder = Builder::with_room(0, 80);
    // A new name of three bytes takes thirty, another address sixteen.
    let added = built(&mut builder, &[("::1", "a"), ("::2", "a"), ("::3", "b"), ("::3", "a"), ("::4", "b")]);
    assert_eq!(added, [true, true, true, false, false]);
    let table = builder.finish(true);
    check(&table, true);
    assert!(table.entries.len() <= 80);
}

#[test]
fn many_addresses_and_many_names() {
    let mut builder = Builder::new(MANY as usize);
    let name = |i: u32| -> Name { format!("n{i}.example").parse().unwrap() };
    for i in 0..MANY {
        let one = builder.address(Ipv4Addr::from(1).into());
        let own = builder.address(Ipv6Addr::from(u128::from(i)).into());
        assert!(builder.add(one, &name(i)) && builder.add(own, &name(0)));
    }
    assert_eq!(builder.memory, Memory::Mapped);
    let table = builder.finish(true);
    check(&table, true);
    assert_eq!(table.names(Ipv4Addr::from(1).into()).count(), MANY as usize);
    assert_eq!(addresses(&table, name(0).as_bytes()).len(), MANY as usize + 1);
    assert_eq!(addresses(&table, name(MANY - 1).as_bytes()), [IpAddr::from(Ipv4Addr::from(1))]);
}

const MANY: u32 = 100_000;

#[test]
fn counts_are_as_long_as_they_must_be() {
    for number in [0, 1, 127, 128, 300, 16_383, 16_384, u32::MAX as usize] {
        let mut bytes = vec![];
        push_count(&mut bytes, number);
        bytes.push(7);
        assert_eq!(count(&bytes), Some((number, &[7][..])));
        assert_eq!(count(&bytes[..bytes.len() - 2]), None);
    }
    assert_eq!(count(&[0xFF; 9]), None);
}
