use std::collections::BTreeSet;

use super::testing::{ask, zone};
use super::*;

/// A zone with something of each kind.
const TEXT: &str = "
$TTL 60
@       IN SOA ns1 host 5 7200 180 777600 30
        NS  ns1
        NS  ns.elsewhere.
        MX  10 mail
        TXT \"apex\"
ns1     A   192.0.2.1
        AAAA 2001:db8::1
mail    A   192.0.2.2
www     CNAME web
web     A   192.0.2.3
        A   192.0.2.4
far     CNAME www.elsewhere.
loop1   CNAME loop2
loop2   CNAME loop1
gone    CNAME nothing
typeless CNAME mail
a.b.c   A   192.0.2.5
*.wild  TXT \"star\"
        MX  5 mail
x.y.wild A  192.0.2.6
*.alias CNAME web
_s._tcp SRV 0 0 1 web
        SRV 0 0 2 web
        SRV 0 0 3 www.elsewhere.
sub     NS  ns.sub
        NS  ns1
        DS  1 8 2 00
ns.sub  A   192.0.2.7
old     DNAME new.example.
x.old   A   192.0.2.8
a.new   A   192.0.2.9
out     DNAME elsewhere.
long    DNAME aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc.example.
";

const NS: [&str; 2] = ["au example. 60 NS ns1.example.", "au example. 60 NS ns.elsewhere."];
const SOA: &str = "au example. 30 SOA ns1.example. host.example. 5 7200 180 777600 30";

fn check(name: &str, qtype: &str, want: &[&str]) {
    assert_eq!(ask(&zone("example.", TEXT), name, qtype, false), want, "{name} {qtype}");
}

#[test]
fn what_is_there_is_answered() {
    check(
        "web.example.",
        "A",
        &["NOERROR aa", "an web.example. 60 A 192.0.2.3", "an web.example. 60 A 192.0.2.4", NS[0], NS[1]],
    );
    check(
        "example.",
        "NS",
        &[
            "NOERROR aa",
            "an example. 60 NS ns1.example.",
            "an example. 60 NS ns.elsewhere.",
            "ad ns1.example. 60 A 192.0.2.1",
            "ad ns1.example. 60 AAAA 2001:db8::1",
        ],
    );
    check(
        "example.",
        "MX",
        &[
            "NOERROR aa",
            "an example. 60 MX 10 mail.example.",
            NS[0],
            NS[1],
            "ad mail.example. 60 A 192.0.2.2",
        ],
    );
    check(
        "_s._tcp.example.",
        "SRV",
        &[
            "NOERROR aa",
            "an _s._tcp.example. 60 SRV 0 0 1 web.example.",
            "an _s._tcp.example. 60 SRV 0 0 2 web.example.",
            "an _s._tcp.example. 60 SRV 0 0 3 www.elsewhere.",
            NS[0],
            NS[1],
            "ad web.example. 60 A 192.0.2.3",
            "ad web.example. 60 A 192.0.2.4",
        ],
    );
    let any = ask(&zone("example.", TEXT), "example.", "ANY", false);
    assert_eq!(any.iter().filter(|line| line.starts_with("an ")).count(), 5, "{any:?}");
}

#[test]
fn what_is_not_there_is_denied() {
    check("web.example.", "TXT", &["NOERROR aa", SOA]);
    check("b.c.example.", "A", &["NOERROR aa", SOA]);
    check("_tcp.example.", "ANY", &["NOERROR aa", SOA]);
    check("nothing.example.", "A", &["NXDOMAIN aa", SOA]);
    check("x.web.example.", "A", &["NXDOMAIN aa", SOA]);
}

#[test]
fn aliases_are_followed_inside_the_zone() {
    check(
        "www.example.",
        "A",
        &[
            "NOERROR aa",
            "an www.example. 60 CNAME web.example.",
            "an web.example. 60 A 192.0.2.3",
            "an web.example. 60 A 192.0.2.4",
            NS[0],
            NS[1],
        ],
    );
    check("www.example.", "CNAME", &["NOERROR aa", "an www.example. 60 CNAME web.example.", NS[0], NS[1]]);
    check("far.example.", "A", &["NOERROR aa", "an far.example. 60 CNAME www.elsewhere."]);
    check("gone.example.", "A", &["NXDOMAIN aa", "an gone.example. 60 CNAME nothing.example.", SOA]);
    check("typeless.example.", "TXT", &["NOERROR aa", "an typeless.example. 60 CNAME mail.example.", SOA]);
    check(
        "loop1.example.",
        "A",
        &[
            "NOERROR aa",
            "an loop1.example. 60 CNAME loop2.example.",
            "an loop2.example. 60 CNAME loop1.example.",
        ],
    );
    check(
        "anything.alias.example.",
        "A",
        &[
            "NOERROR aa",
            "an anything.alias.example. 60 CNAME web.example.",
            "an web.example. 60 A 192.0.2.3",
            "an web.example. 60 A 192.0.2.4",
            NS[0],
            NS[1],
        ],
    );
}

#[test]
fn wildcards_stand_for_names_that_do_not_exist() {
    check("a.wild.example.", "TXT", &["NOERROR aa", "an a.wild.example. 60 TXT \"star\"", NS[0], NS[1]]);
    check("a.b.wild.example.", "TXT", &["NOERROR aa", "an a.b.wild.example. 60 TXT \"star\"", NS[0], NS[1]]);
    check("a.wild.example.", "A", &["NOERROR aa", SOA]);
    check("*.wild.example.", "TXT", &["NOERROR aa", "an *.wild.example. 60 TXT \"star\"", NS[0], NS[1]]);
    // RFC 4592 2.2.1: a name that exists, if only as an empty non-terminal, is no place for a wildcard, nor is anything below it.
    check("y.wild.example.", "TXT", &["NOERROR aa", SOA]);
    check("z.y.wild.example.", "TXT", &["NXDOMAIN aa", SOA]);
    check("wild.example.", "TXT", &["NOERROR aa", SOA]);
}

#[test]
fn cuts_hide_what_is_below_them() {
    let referral = [
        "NOERROR",
        "au sub.example. 60 NS ns.sub.example.",
        "au sub.example. 60 NS ns1.example.",
        "ad ns.sub.example. 60 A 192.0.2.7",
        "ad ns1.example. 60 A 192.0.2.1",
        "ad ns1.example. 60 AAAA 2001:db8::1",
    ];
    for name in ["sub.example.", "ns.sub.example.", "a.b.sub.example."] {
        check(name, "A", &referral);
    }
    check("sub.example.", "NS", &referral);
    check("sub.example.", "DS", &["NOERROR aa", "an sub.example. 60 DS 1 8 2 00", NS[0], NS[1]]);
    check("x.sub.example.", "DS", &referral);
}

#[test]
fn dnames_redirect_what_is_below_them() {
    check(
        "a.old.example.",
        "A",
        &[
            "NOERROR aa",
            "an old.example. 60 DNAME new.example.",
            "an a.old.example. 60 CNAME a.new.example.",
            "an a.new.example. 60 A 192.0.2.9",
            NS[0],
            NS[1],
        ],
    );
    check(
        "x.old.example.",
        "A",
        &[
            "NXDOMAIN aa",
            "an old.example. 60 DNAME new.example.",
            "an x.old.example. 60 CNAME x.new.example.",
            SOA,
        ],
    );
    check("old.example.", "DNAME", &["NOERROR aa", "an old.example. 60 DNAME new.example.", NS[0], NS[1]]);
    check("old.example.", "A", &["NOERROR aa", SOA]);
    check(
        "a.b.out.example.",
        "A",
        &["NOERROR aa", "an out.example. 60 DNAME elsewhere.", "an a.b.out.example. 60 CNAME a.b.elsewhere."],
    );
    let name = format!("{}.long.example.", "d".repeat(63));
    let got = ask(&zone("example.", TEXT), &name, "A", false);
    assert_eq!((got.len(), got[0].as_str()), (2, "YXDOMAIN aa"), "{got:?}");
}

#[test]
fn a_zone_of_the_root_knows_its_names() {
    let root = zone(
        ".",
        ". 60 SOA a. b. 1 2 3 4 5\n. 60 NS a.\na. 60 A 192.0.2.1\norg. 60 NS ns.org.\nns.org. 60 A 192.0.2.2\n",
    );
    assert_eq!(ask(&root, "a.", "A", false)[..2], ["NOERROR aa", "an a. 60 A 192.0.2.1"]);
    assert_eq!(
        ask(&root, "x.org.", "A", false),
        ["NOERROR", "au org. 60 NS ns.org.", "ad ns.org. 60 A 192.0.2.2"]
    );
    assert_eq!(ask(&root, "b.", "A", false)[0], "NXDOMAIN aa");
    assert_eq!(ask(&root, ".", "SOA", false)[1], "an . 60 SOA a. b. 1 2 3 4 5");
}

#[test]
fn a_zone_needs_one_soa_record_and_holds_its_own_names_only() {
    let origin = Name::from_text("example.").unwrap();
    let soa = b"\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    assert_eq!(Builder::new(&origin, 0).finish().err(), Some(BuildError::NoSoa));
    let mut builder = Builder::new(&origin, 0);
    assert_eq!(
        builder.add(&Name::from_text("elsewhere.").unwrap(), Rtype::A, 1, &[0; 4]),
        Err(BuildError::OutOfZone)
    );
    builder.add(&origin, Rtype::SOA, 1, soa).unwrap();
    builder.add(&origin, Rtype::SOA, 1, soa).unwrap();
    let mut other = soa.to_vec();
    other[2] = 9;
    builder.add(&origin, Rtype::A, 1, &[0; 4]).unwrap();
    let mut second = Builder::new(&origin, 0);
    second.add(&origin, Rtype::SOA, 1, soa).unwrap();
    second.add(&origin, Rtype::SOA, 1, &other).unwrap();
    assert_eq!(second.finish().err(), Some(BuildError::SeveralSoas));
    assert_eq!(builder.finish().map(|zone| zone.len()), Ok(2), "a record that is there twice counts once");
    let mut cut = Builder::new(&origin, 0);
    cut.add(&origin, Rtype::SOA, 1, &soa[..9]).unwrap();
    assert_eq!(cut.finish().err(), Some(BuildError::BadSoa));
}

/// All that is in a zone, and how its names hang together.
fn contents(zone: &Zone) -> BTreeSet<(Vec<u8>, u32, BTreeSet<Change>)> {
    let nodes = zone.table.nodes().chain(zone.nsec3_table.nodes());
    nodes.map(|node| (node.name().to_vec(), node.children(), edit::changes_of(&node).collect())).collect()
}

#[test]
fn a_zone_that_was_changed_is_as_one_built_anew() {
    let origin = Name::from_text("example.").unwrap();
    let start = zone("example.", TEXT);
    // A simple generator: which names come and go does not matter, only that they share ancestors.
    let mut state = 7u32;
    let mut next = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % below
    };
    let mut current = start.clone();
    for round in 0..60 {
        let mut edit = Edit::of(&current);
        for _ in 0..20 {
            let labels: Vec<String> =
                (0..=next(3)).map(|_| ["a", "b", "c", "*", "web"][next(5) as usize].to_owned()).collect();
            let owner = Name::from_text(&format!("{}.example.", labels.join("."))).unwrap();
            let rtype = [Rtype::A, Rtype::NS, Rtype::DNAME, Rtype::NSEC][next(4) as usize];
            let rdata: Box<[u8]> = match rtype {
                Rtype::A => [192, 0, 2, next(3) as u8].into(),
                Rtype::NSEC => b"\x01x\0\0\x01\x40".as_slice().into(),
                _ => b"\x01x\0".as_slice().into(),
            };
            let change = Change { owner: owner.as_bytes().into(), rtype, ttl: 60, rdata };
            if edit.remove(&change).is_err() {
                edit.add(change).unwrap();
            }
        }
        let changed = edit.finish().unwrap();
        let mut builder = Builder::new(&origin, 0);
        for change in changed.nodes().flat_map(|node| edit::changes_of(&node).collect::<Vec<_>>()) {
            let owner = Name::parse_plain(&change.owner, 0).unwrap().0;
            builder.add(&owner, change.rtype, change.ttl, &change.rdata).unwrap();
        }
        let anew = builder.finish().unwrap();
        let (one, two) = (contents(&changed), contents(&anew));
        assert_eq!(one.symmetric_difference(&two).collect::<Vec<_>>(), Vec::<&_>::new(), "round {round}");
        assert_eq!(
            (changed.len(), changed.wildcards, changed.cuts.mask),
            (anew.len(), anew.wildcards, anew.cuts.mask)
        );
        let (gone, come) = difference(&current, &changed);
        let mut again = Edit::of(&current);
        gone.iter().for_each(|change| again.remove(change).unwrap());
        come.into_iter().for_each(|change| again.add(change).unwrap());
        assert_eq!(contents(&again.finish().unwrap()), contents(&changed));
        current = changed;
    }
    let mut edit = Edit::of(&current);
    let (gone, come) = difference(&current, &start);
    gone.iter().for_each(|change| edit.remove(change).unwrap());
    come.into_iter().for_each(|change| edit.add(change).unwrap());
    assert_eq!(contents(&edit.finish().unwrap()), contents(&start), "back where it began");
}

#[test]
fn versions_of_a_large_zone_share_what_they_have_in_common() {
    let text = |changed: u32| {
        let names = (0..20_000).map(|n| format!("n{n} 60 A 192.0.2.{}\n", if n < changed { 2 } else { 1 }));
        format!("@ 60 SOA a b {changed} 1 1 1 1\n{}", names.collect::<String>())
    };
    let old = zone("example.", &text(0));
    let new = zone("example.", &text(10)).sharing(&old);
    let pages = old.table.page_count();
    assert!(pages > 500, "{pages}");
    assert!(new.table.shared_with(&old.table) >= pages - 11);
    let (gone, come) = difference(&old, &new);
    assert_eq!((gone.len(), come.len()), (11, 11));
    let mut edit = Edit::of(&old);
    gone.iter().for_each(|change| edit.remove(change).unwrap());
    come.iter().for_each(|change| edit.add(change.clone()).unwrap());
    let edited = edit.finish().unwrap();
    assert!(edited.table.shared_with(&old.table) >= pages - 11);
    assert!((0..pages).all(|page| edited.table.shares_page(&new.table, page)), "the same bytes either way");
    let missing = Change {
        owner: b"\x01q\x07example\0".as_slice().into(),
        rtype: Rtype::A,
        ttl: 1,
        rdata: [0; 4].into(),
    };
    assert_eq!(
        Edit::of(&new).remove(&missing),
        Err(EditError::NotThere(Box::new(Name::from_text("q.example.").unwrap()), Rtype::A))
    );
    assert!(matches!(Edit::of(&new).add(come[0].clone()), Err(EditError::ThereAlready(..))));
}

#[test]
fn a_zone_that_grows_much_gets_more_pages() {
    let mut current = zone("example.", "@ 60 SOA a b 1 1 1 1 1\n");
    for step in 0..10u32 {
        let mut edit = Edit::of(&current);
        for n in 0..100 {
            let owner = Name::from_text(&format!("n{}.example.", step * 100 + n)).unwrap();
            edit.add(Change {
                owner: owner.as_bytes().into(),
                rtype: Rtype::A,
                ttl: 1,
                rdata: [0; 4].into(),
            })
            .unwrap();
        }
        current = edit.finish().unwrap();
    }
    assert_eq!(current.table.page_count(), 8);
    assert_eq!(ask(&current, "n999.example.", "A", false)[1], "an n999.example. 1 A 0.0.0.0");
    assert_eq!(current.apex().map(|apex| apex.children()), Some(1000));
}
