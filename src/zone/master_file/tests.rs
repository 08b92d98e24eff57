use std::collections::HashMap;

use super::*;
use crate::wire::Name;
use crate::zone::rdata;

/// Files in memory.
struct InMemory(HashMap<&'static str, &'static str>);

impl Files for InMemory {
    fn include(&mut self, name: &str, from: &str) -> Result<(String, Vec<u8>), String> {
        match self.0.get(name) {
            Some(text) => Ok((format!("{from}/{name}"), text.as_bytes().to_vec())),
            None => Err("no such file".to_owned()),
        }
    }
}

/// The records of `text`, one a line, and the mistakes with their places.
fn read_with(text: &str, files: &[(&'static str, &'static str)]) -> (Vec<String>, Vec<String>) {
    let mut records = Vec::new();
    let mut files = InMemory(files.iter().copied().collect());
    let origin = Name::from_text("example.").unwrap();
    let errors = parse(text.as_bytes(), "f", &origin, &mut files, &mut |entry: &Entry<'_>| {
        let mut rdata = Vec::new();
        rdata::write(entry.rtype, entry.rdata, &mut rdata);
        let rdata = String::from_utf8(rdata).unwrap();
        records.push(format!("{} {} {} {rdata}", entry.owner, entry.ttl, entry.rtype));
        Ok(())
    });
    (records, errors.err().unwrap_or_default().iter().map(FileError::to_string).collect())
}

fn check(text: &str, want: &[&str]) {
    assert_eq!(read_with(text, &[]), (want.iter().map(|w| (*w).to_owned()).collect(), vec![]), "{text}");
}

fn check_error(text: &str, want: &[&str]) {
    assert_eq!(read_with(text, &[]).1, want, "{text}");
}

#[test]
fn what_a_record_leaves_out_is_that_of_the_one_before() {
    check(
        "$TTL 1h\n@ A 1.1.1.1\n  A 2.2.2.2\nwww 60 IN A 3.3.3.3\n IN 1m TXT x\n AAAA ::1\n",
        &[
            "example. 3600 A 1.1.1.1",
            "example. 3600 A 2.2.2.2",
            "www.example. 60 A 3.3.3.3",
            "www.example. 60 TXT \"x\"",
            "www.example. 3600 AAAA ::1",
        ],
    );
    check("a 5 A 1.1.1.1\nb A 1.1.1.1\n", &["a.example. 5 A 1.1.1.1", "b.example. 5 A 1.1.1.1"]);
    check("A.B. 5 in a 1.1.1.1", &["a.b. 5 A 1.1.1.1"]);
}

#[test]
fn origins_and_names() {
    check(
        "$TTL 1\n$ORIGIN sub\na NS @\n$ORIGIN other.\na NS b\n@ NS b.\n\\097\\.b NS .\n",
        &[
            "a.sub.example. 1 NS sub.example.",
            "a.other. 1 NS b.other.",
            "other. 1 NS b.",
            r"a\.b.other. 1 NS .",
        ],
    );
}

#[test]
fn files_are_included_with_an_origin_of_their_own() {
    let files = [
        ("one", "a A 1.1.1.1\n$ORIGIN x.\n$TTL 9\nb A 1.1.1.1\n"),
        ("bad", "\n a b\n"),
        ("self", "$INCLUDE self"),
    ];
    let (records, errors) =
        read_with("$TTL 1\no A 1.1.1.1\n$INCLUDE one\n A 2.2.2.2\n$INCLUDE one sub\nc A 3.3.3.3", &files);
    assert_eq!(errors, Vec::<String>::new());
    assert_eq!(
        records,
        [
            "o.example. 1 A 1.1.1.1",
            "a.example. 1 A 1.1.1.1",
            "b.x. 9 A 1.1.1.1",
            "o.example. 1 A 2.2.2.2",
            "a.sub.example. 1 A 1.1.1.1",
            "b.x. 9 A 1.1.1.1",
            "c.example. 1 A 3.3.3.3",
        ]
    );
    assert_eq!(
        read_with("$INCLUDE bad", &files).1,
        ["f/bad:2:2: expected an owner: no entry before has one"]
    );
    assert_eq!(read_with("$INCLUDE none", &files).1, ["f:1:10: cannot include 'none': no such file"]);
    let deep = read_with("$INCLUDE self", &files).1;
    assert_eq!(deep.len(), 1);
    assert!(deep[0].ends_with(":1:10: files include files more than 7 deep"), "{deep:?}");
}

#[test]
fn entries_are_generated() {
    check(
        "$TTL 5\n$GENERATE 1-3/2 host$ A 10.0.0.$\n",
        &["host1.example. 5 A 10.0.0.1", "host3.example. 5 A 10.0.0.3"],
    );
    check(
        "$GENERATE 10-10 a${-9,3}-$$ 60 IN TXT \"${0,4,x} \\$ ${1,0,o} ${2,2,X} ${3,3,n} ${3}\"",
        &["a001-$.example. 60 TXT \"000a $ 13 0C d.0 13\""],
    );
    let all = read_with("$GENERATE 0-65535 $ 1 A 1.1.1.1", &[]).0;
    assert_eq!((all.len(), all[65_535].as_str()), (65_536, "65535.example. 1 A 1.1.1.1"));
    check_error(
        "$GENERATE 0-65536 $ 1 A 1.1.1.1",
        &["f:1:11: expected a range such as 1-100 or 0-255/8, of at most 65536 steps"],
    );
    check_error(
        "\n $GENERATE\n$GENERATE 1-2 $ 1 A 1.1.1.300\n",
        &[
            "f:2:2: expected an owner: no entry before has one",
            "f:3:1: A: expected an IPv4 address, not '1.1.1.300', in the generated line: 1 1 A 1.1.1.300",
        ],
    );
    check_error(
        "$GENERATE 1-2 ${0,1,z} 1 A 1.1.1.1",
        &["f:1:15: expected ${offset[,width[,base]]}, the base one of d, o, x, X, n, N"],
    );
    check_error("$GENERATE 1-2 ${-2} 1 A 1.1.1.1", &["f:1:15: the number is less than 0 with this offset"]);
    check_error(
        "$GENERATE 1-2 $GENERATE 1-2 a A 1.1.1.1",
        &[
            "f:1:1: expected a TTL in seconds, such as 3600 or 1h30m, in the generated line: 1GENERATE 1-2 a A 1.1.1.1",
        ],
    );
}

#[test]
fn mistakes_are_named_with_their_places() {
    check_error("a A 1.1.1.1", &["f:1:3: missing TTL with no previous value: give one, or $TTL"]);
    check_error(
        "$TTL 1\na IN MX 10\na A 1.1.1.1 x\na B\na CH A 1.1.1.1\na\na 1x A 1.1.1.1\n$FOO\n$TTL\n$TTL 1 2\na..b A 1.1.1.1\na IN\na ANY\n",
        &[
            "f:2:9: MX: expected a domain name behind this",
            "f:3:13: A: expected the end of the record, not 'x'",
            "f:4:3: expected a record type, not 'B'",
            "f:5:3: expected class IN: no other is served from files",
            "f:6:1: expected a record behind the owner",
            "f:7:3: expected a TTL in seconds, such as 3600 or 1h30m",
            "f:8:1: expected $ORIGIN, $TTL, $INCLUDE or $GENERATE, not '$FOO'",
            "f:9:1: expected a TTL in seconds, such as 3600 or 1h30m behind this",
            "f:10:8: expected the end of the line",
            "f:11:1: expected a domain name, not 'a..b'",
            "f:12:3: expected a record type behind this",
            "f:13:3: expected class IN: no other is served from files",
        ],
    );
    check_error("a 1 A 1.1.1.1\n b (\n", &["f:2:4: this parenthesis is never closed"]);
    check_error("a 1 OPT x", &["f:1:5: OPT is for messages, not for zones"]);
    let many = "a 1 A x\n".repeat(50);
    assert_eq!(read_with(&many, &[]).1.len(), 20);
}
