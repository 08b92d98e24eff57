//! Files of all kinds, in pieces of all sizes.

use super::super::table::tests::check;
use super::*;
use std::net::Ipv4Addr;

/// Gives what it has in pieces of so many bytes.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.1.min(self.0.len()).min(buffer.len());
        let (piece, rest) = self.0.split_at(len);
        buffer[..len].copy_from_slice(piece);
        self.0 = rest;
        Ok(len)
    }
}

fn loaded(text: &[u8], piece: usize) -> Loaded {
    let loaded = load(Pieces(text, piece), text.len() as u64, None, true).unwrap();
    check(&loaded.table, true);
    loaded
}

fn names(loaded: &Loaded, address: &str) -> String {
    let names = loaded.table.names(address.parse().unwrap());
    names.map(|wire| Name::parse(wire, 0).unwrap().0.to_string()).collect::<Vec<_>>().join(" ")
}

#[test]
fn lines_come_in_many_shapes() {
    let check = |text: &[u8], want: &str| {
        for piece in [1, 7, usize::MAX] {
            assert_eq!(names(&loaded(text, piece), "10.0.0.1"), want, "{}", String::from_utf8_lossy(text));
        }
    };
    check(b"10.0.0.1 a", "a.");
    check(b"10.0.0.1 a\n", "a.");
    check(b"\n\n  10.0.0.1\ta\tb  \n\n", "a. b.");
    check(b"10.0.0.1 a\r\n10.0.0.1 b\r\n", "a. b.");
    check(b"10.0.0.1\x0B\x0Ca\rb", "a. b.");
    check(b"10.0.0.1 a # b", "a.");
    check(b"10.0.0.1 a#b c", "a.");
    check(b"#10.0.0.1 a", "");
    check(b"10.0.0.1", "");
    check(b"10.0.0.1#", "");
    check(b"10.0.0.1 # a", "");
    check(b"", "");
    check(b"\xEF\xBB\xBF10.0.0.1 a\n\xEF\xBB\xBF10.0.0.1 b", "a.");
    // White space of Unicode: a no-break space, an ideographic one.
    check("10.0.0.1\u{a0}a\u{3000}b\u{2003}c\u{2028}d\u{1680}e\u{85}f".as_bytes(), "a. b. c. d. e. f.");
    check(b"10.0.0.1 \xC2 a\xE2\x80", "");
    check("10.0.0.1 m\u{fc}nchen".as_bytes(), r"m\195\188nchen.");
    check(b"10.0.0.1 UPPER.Case. .", "upper.case. .");
    check(b"10.0.0.1 a..b .a -x_y.z a", "-x_y.z. a.");
    check(br"10.0.0.1 a\.b.c a\046b.d", r"a\.b.c. a\.b.d.");
    check(b"10.0.0.1 \0 a\0b c", "c.");
    check(b"10.0.0.1%eth0 a", "a.");
    check(b"::ffff:10.0.0.1 a\n::FFFF:a00:1%x b", "a. b.");
    check(b"10.0.0.1 a\n\0\0\0\0\0\0\n\0\0 \0\n10.0.0.1 b", "a. b.");
    let long = "x".repeat(64);
    check(
        format!("10.0.0.1 {long} {0}.{0}.{0}.{0} {0} ok", &long[1..]).as_bytes(),
        &format!("{}. ok.", &long[1..]),
    );
}

#[test]
fn what_is_no_address_is_none() {
    for text in [
        "10.0.0.01",
        "010.0.0.1",
        "0x0a.0.0.1",
        "10.0.1",
        "10.0.0.256",
        "10.0.0.1.",
        "10.0.0.1/32",
        "::g",
        ":::1",
        ":1",
        "1:2:3:4:5:6:7:8:9",
        "::ffff:10.0.0.01",
        "[::1]",
        "%",
        "%eth0",
        "",
        "localhost",
        "10.0.0.1:53",
        "\u{661}.0.0.1",
    ] {
        assert_eq!(address(text.as_bytes()), None, "{text}");
    }
    for (text, want) in [
        ("::", "::"),
        ("1::8", "1::8"),
        ("2001:DB8:0:0:0:0:0:1%lo%x", "2001:db8::1"),
        ("::1.2.3.4", "::102:304"),
        ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
        ("0.0.0.0%", "0.0.0.0"),
    ] {
        assert_eq!(address(text.as_bytes()), want.parse().ok(), "{text}");
    }
    assert_eq!(address(b"\xFF"), None);
}

#[test]
fn odd_lines_are_noted_with_their_numbers() {
    let found = loaded(b"# ok\n\n10.0.0.1 a\nlocalhost 10.0.0.1\n10.0.0.2\n10.0.0.3 b..c d\n", 5);
    let lines: Vec<u64> = found.notes.iter().map(|(line, _)| *line).collect();
    assert_eq!((lines, found.odd_lines), (vec![4, 5, 6], 3));
    assert_eq!(names(&found, "10.0.0.3"), "d.");
    let found = loaded("x\n".repeat(1000).as_bytes(), usize::MAX);
    assert_eq!((found.notes.len(), found.odd_lines), (NOTES_MAX, 1000));
}

#[test]
fn a_line_too_long_is_skipped_and_those_behind_it_are_not() {
    let line = |len: usize| {
        let mut line = String::from("10.0.0.2 ");
        while line.len() < len {
            line.push_str("long ");
        }
        line.truncate(len);
        line
    };
    for (len, fits) in
        [(LINE_LEN_MAX, true), (LINE_LEN_MAX + 1, false), (BUFFER_LEN, false), (1_000_000, false)]
    {
        for end in ["\n10.0.0.1 b", "\n", ""] {
            let text = format!("10.0.0.1 a\n{}{end}", line(len));
            for piece in [1000, 65_536, usize::MAX] {
                let found = loaded(text.as_bytes(), piece);
                assert_eq!(found.too_long, (!fits).then_some(2), "{len} {piece}");
                assert_eq!(names(&found, "10.0.0.1"), if end.len() > 1 { "a. b." } else { "a." });
                assert!(names(&found, "10.0.0.2").is_empty() != fits);
            }
        }
    }
}

#[test]
fn names_outside_the_zones_are_not_kept() {
    let zones: Vec<Name> = ["example.org", "net"].map(|zone| zone.parse().unwrap()).into();
    let text = b"10.0.0.1 a.example.org example.org notexample.org *.example.org b.net net org";
    let found = load(&text[..], 0, Some(&zones), true).unwrap();
    assert_eq!(names(&found, "10.0.0.1"), "a.example.org. example.org. b.net. net.");
    assert!(found.table.has_wildcards() && found.notes.is_empty());
    assert_eq!(load(&text[..], 0, Some(&[]), true).unwrap().table.records(), 0);
}

#[test]
fn an_error_of_reading_is_an_error() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("disk on fire"))
        }
    }
    let text = b"10.0.0.1 a\n";
    assert!(load((&text[..]).chain(Broken), 0, None, true).is_err());
}

#[test]
fn no_mutation_of_a_file_breaks_the_table() {
    const CORPUS: [&[u8]; 7] = [
        b"127.0.0.1 localhost localhost.localdomain\n::1 localhost ip6-localhost # six\nff02::1 ip6-allnodes\n",
        b"10.0.0.1 a b c d\n10.0.0.2 a b\n10.0.0.1 a a a\n::ffff:10.0.0.1 a\n",
        b"5.6.7.8 *.apps.example.com\r\n5.6.7.9 *.b *.b. *\r\nfe80::1%eth0 x.y.z.\r\n",
        b"\xEF\xBB\xBF0.0.0.0 a\\.b \\000.x \\255 \\",
        b"\0\0\0\0\n1.1.1.1 \xC2\xA0x\xE3\x80\x80y \xFF\xFE\n",
        b"#\n##\n # \n\n\n1.1.1.1\n1.1.1.1#\n",
        b"1:2:3:4:5:6:7:8 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n",
    ];
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % below.max(1)
    };
    let zone = ["b".parse().unwrap()];
    for _ in 0..20_000 {
        let mut text = CORPUS[random(CORPUS.len())].to_vec();
        for _ in 0..=random(4) {
            let at = random(text.len());
            match random(6) {
                0 => text[at] = random(256) as u8,
                1 => text[at] ^= 1 << random(8),
                2 => text.insert(at, b" \n#.*%:\\0\0\xC2"[random(11)]),
                3 => drop(text.drain(at..(at + random(9)).min(text.len()))),
                4 => text.splice(at..at, CORPUS[random(CORPUS.len())].iter().copied()).for_each(drop),
                _ => text.extend_from_within(at..),
            }
            if text.is_empty() {
                text.push(b'1');
            }
        }
        let zones = (random(4) == 0).then_some(&zone[..]);
        let reverse = random(4) > 0;
        let found = load(Pieces(&text, 1 + random(40)), text.len() as u64, zones, reverse).unwrap();
        check(&found.table, reverse);
    }
}

#[test]
fn a_file_larger_than_the_buffer_is_read_whole() {
    let text: String = (0..20_000).map(|i| format!("{} name{i}.example\n", Ipv4Addr::from(i))).collect();
    let found = loaded(text.as_bytes(), 4096);
    assert_eq!(found.table.records(), 40_000);
    assert_eq!(names(&found, "0.0.78.31"), "name19999.example.");
}
