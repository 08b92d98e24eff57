use super::*;
use crate::zone::master_file::{Lexer, Word};

fn wire(rtype: &str, text: &str) -> Result<Vec<u8>, (usize, String)> {
    let mut words: Vec<Word<'_>> = Vec::new();
    Lexer::new(text.as_bytes()).entry(&mut words).map_err(|(error, _)| (0, format!("{error:?}")))?;
    let mut out = Vec::new();
    let origin = Name::from_text("example.").unwrap();
    parse(Rtype::from_text(rtype).unwrap(), &words, &origin, &mut out)
        .map_err(|error| (error.word, error.to_string()))?;
    Ok(out)
}

fn text(rtype: &str, rdata: &[u8]) -> String {
    let mut out = Vec::new();
    write(Rtype::from_text(rtype).unwrap(), rdata, &mut out);
    String::from_utf8(out).unwrap()
}

/// `given` is read, is what its type says, and is written as `want`, which is read as the same; cut short it is not what its type says, or
/// something else.
fn check(rtype: &str, given: &str, want: &str) {
    let rdata = wire(rtype, given).unwrap_or_else(|error| panic!("{rtype} {given}: {error:?}"));
    let number = Rtype::from_text(rtype).unwrap();
    assert!(is_well_formed(number, &rdata), "{rtype} {given}: {rdata:?}");
    assert_eq!(text(rtype, &rdata), want, "{rtype} {given}");
    assert_eq!(wire(rtype, want).unwrap(), rdata, "{rtype} {want}");
    for len in 0..rdata.len() {
        let cut = &rdata[..len];
        let written = text(rtype, cut);
        if is_well_formed(number, cut) {
            assert_eq!(wire(rtype, &written).unwrap_or_else(|e| panic!("{rtype} {written}: {e:?}")), cut);
        } else {
            assert!(written.starts_with(r"\#"), "{rtype} {written}");
        }
    }
    let long = [&rdata[..], &[0xFF; 70]].concat();
    let _ = is_well_formed(number, &long);
    let _ = text(rtype, &long);
}

fn same(rtype: &str, given: &str) {
    check(rtype, given, given);
}

#[test]
fn rdata_is_read_and_written() {
    same("A", "192.0.2.1");
    check("AAAA", "2001:DB8:0::1", "2001:db8::1");
    check("NS", "NS1", "ns1.example.");
    check("CNAME", "@", "example.");
    check("SOA", "NS.a. Host.b. 1 2h 3m 1w2d 5", "ns.a. host.b. 1 7200 180 777600 5");
    check("MX", "10 Mail", "10 mail.example.");
    check("PTR", r"a\.b.C\100.x.", r"a\.b.Cd.x.");
    check("TXT", "a \"b c\" \"\" \\\"\\255", r#""a" "b c" "" "\"\255""#);
    check("SRV", "0 5 5060 Sip", "0 5 5060 Sip.example.");
    check("HINFO", "PC Linux", r#""PC" "Linux""#);
    same("RP", "mbox.example. txt.example.");
    same("AFSDB", "1 afs.example.");
    check("X25", "311061700956", r#""311061700956""#);
    check("ISDN", "150862028003217 004", r#""150862028003217" "004""#);
    check("ISDN", "150862028003217", r#""150862028003217""#);
    same("PX", "10 net2.it. prmd-net2.admd-p400.c-it.");
    check("GPOS", "-32.6882 116.8652 10.0", r#""-32.6882" "116.8652" "10.0""#);
    same("NAPTR", r#"100 50 "s" "z3950+I2L" "" _z3950._tcp.example."#);
    check("CERT", "PGP 0 0 AQ ID", "PGP 0 0 AQID");
    check("CERT", "65279 1 RSASHA256 AQID", "65279 1 8 AQID");
    check("APL", "1:192.168.32.0/21 !2:FF00::/8", "1:192.168.32.0/21 !2:ff00::/8");
    check(
        "DS",
        "60485 5 1 2bb183af5f22588179a53b0a 98631fad1a292118",
        "60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118",
    );
    same("SSHFP", "2 1 123456789ABCDEF67890123456789ABCDEF67890");
    same("IPSECKEY", "10 1 2 192.0.2.38 AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ==");
    check("IPSECKEY", "10 3 2 My AQ==", "10 3 2 My.example. AQ==");
    same("IPSECKEY", "10 2 2 2001:db8::1 AQ==");
    same("IPSECKEY", "10 0 0 .");
    same("RRSIG", "A 5 3 86400 20030322173103 20030220173103 2642 example. AQID");
    check(
        "RRSIG",
        "TYPE65280 ED25519 0 1 1 4294967295 1 . AQ==",
        "TYPE65280 15 0 1 19700101000001 21060207062815 1 . AQ==",
    );
    check("NSEC", "host.example. A MX RRSIG NSEC TYPE1234", "host.example. A MX RRSIG NSEC TYPE1234");
    same("NSEC", "Host.example.");
    same("DNSKEY", "256 3 5 AQPSKmynfzW4");
    check("DHCID", "AAIBY2/AuCcg oJc=", "AAIBY2/AuCcgoJc=");
    check(
        "NSEC3",
        "1 1 12 aabbccdd 2vptu5timamqttgl4luu9kg21e0aor3s A RRSIG",
        "1 1 12 AABBCCDD 2VPTU5TIMAMQTTGL4LUU9KG21E0AOR3S A RRSIG",
    );
    same("NSEC3PARAM", "1 0 0 -");
    same("TLSA", "3 1 1 D2ABDE240D7CD3EE6B4B28C54DF034B9");
    same("HIP", "2 200100107B1A74DF365639CC39F1D578 AwEAAbdxyhNu rvs1.example. rvs2.example.");
    same("OPENPGPKEY", "AQID");
    same("CSYNC", "66 3 A NS AAAA");
    same("ZONEMD", "2018031500 1 1 FEBE3D4CE2EC2FFA4BA99D46CD69D6D29711E55217057BEE");
    same("NID", "10 0014:4fff:ff20:ee64");
    check("L64", "10 2001:db8:1140:1000", "10 2001:0db8:1140:1000");
    same("L32", "10 10.1.2.0");
    same("LP", "10 l64-subnet1.example.");
    check("EUI48", "00-00-5E-00-53-2A", "00-00-5e-00-53-2a");
    same("EUI64", "00-00-5e-ef-10-00-00-2a");
    same("URI", r#"10 1 "ftp://ftp1.example.com/public""#);
    same("CAA", r#"0 issue "ca1.example.net; account=230123""#);
    same("CAA", r#"128 issue """#);
    same("AMTRELAY", "10 0 1 203.0.113.15");
    same("AMTRELAY", "128 1 3 amtrelays.example.");
    same("AMTRELAY", "10 0 0 .");
    check("TYPE65280", r"\# 3 abcd 01", r"\# 3 ABCD01");
    check("TYPE65280", r"\# 0", r"\# 0");
    check("A", r"\# 4 c0000201", "192.0.2.1");
    check("NS", r"\# 5 034E533100", "ns1.");
}

#[test]
fn places_are_read_and_written() {
    let usual = "1m 10000m 10m";
    for (given, want) in [
        ("42 21 54 N 71 06 18 W -24m 30m", "42 21 54.000 N 71 6 18.000 W -24m 30m 10000m 10m".to_owned()),
        (
            "42 21 43.952 n 71 5 6.344 w -24m 1m 200m",
            "42 21 43.952 N 71 5 6.344 W -24m 1m 200m 10m".to_owned(),
        ),
        ("90 N 180 E 0.05", format!("90 0 0.000 N 180 0 0.000 E 0.05m {usual}")),
        ("0 0 0.001 S 0 1 W -100000m", format!("0 0 0.001 S 0 1 0.000 W -100000m {usual}")),
    ] {
        check("LOC", given, &want);
    }
    for bad in [
        "91 N 0 E 0",
        "90 0 1 N 0 E 0",
        "0 60 N 0 E 0",
        "0 0 60 N 0 E 0",
        "0 N 0 E",
        "0 N 0 N 0",
        "0 N 0 E -100001m",
        "0 N 0 E x",
    ] {
        assert!(wire("LOC", bad).is_err(), "{bad}");
    }
}

#[test]
fn parameters_of_services_are_read_and_written() {
    for (given, want) in [
        ("0 foo.example.", "0 foo.example."),
        ("1 .", "1 ."),
        ("16 foo.example. port=53", r#"16 foo.example. port="53""#),
        ("1 . key667=hello", r#"1 . key667="hello""#),
        (r#"1 . key667="hello\210qoo""#, r#"1 . key667="hello\210qoo""#),
        ("1 . ipv6hint=2001:db8::1,2001:db8::53:1", r#"1 . ipv6hint="2001:db8::1,2001:db8::53:1""#),
        (
            "16 . alpn=h2,h3-19 mandatory=ipv4hint,alpn ipv4hint=192.0.2.1",
            r#"16 . mandatory="alpn,ipv4hint" alpn="h2,h3-19" ipv4hint="192.0.2.1""#,
        ),
        (r#"16 . alpn="f\\\\oo\\,bar,h2""#, r#"16 . alpn="f\\\\oo\\,bar,h2""#),
        (r"16 . alpn=f\\\092oo\092,bar,h2", r#"16 . alpn="f\\\\oo\\,bar,h2""#),
        ("1 . alpn=h3 no-default-alpn ech=AQID", r#"1 . alpn="h3" no-default-alpn ech="AQID""#),
        (r#"1 . dohpath="/q{?dns}" ohttp"#, r#"1 . dohpath="/q{?dns}" ohttp"#),
    ] {
        check("SVCB", given, want);
    }
    for bad in [
        "1 . key65535=x",
        "1 . key01=x",
        "1 . port=1 port=2",
        "1 . port=65536",
        "1 . alpn=",
        "1 . alpn=a,,b",
        "1 . no-default-alpn",
        "1 . alpn=a no-default-alpn=x",
        "1 . mandatory=port",
        "1 . mandatory=mandatory",
        "1 . mandatory=port,port port=1",
        "1 . ipv4hint=::1",
        "1 . ech=!",
        "1 . \"port=1\"",
        "1 . port= \"1\"",
        "1",
    ] {
        assert!(wire("HTTPS", bad).is_err(), "{bad}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let check = |rtype: &str, given: &str, word: usize, expected: &str| {
        assert_eq!(
            wire(rtype, given).unwrap_err(),
            (word, format!("expected {expected}")),
            "{rtype} {given}"
        );
    };
    check("A", "1.2.3", 0, "an IPv4 address");
    check("A", "1.2.3.4 5", 1, "the end of the record");
    check("A", "01.2.3.4", 0, "an IPv4 address");
    check("MX", "10", 1, "a domain name");
    check("MX", "65536 a", 0, "a number from 0 to 65535");
    check("NS", "a..b", 0, "a domain name");
    check("NS", &"a".repeat(64), 0, "a domain name");
    check("NS", r"a\25", 0, "a domain name");
    check("NS", r"\256.", 0, "a domain name");
    check("SOA", "a b 1 2 3 4 5x", 6, "a time in seconds, such as 3600 or 1h30m");
    check("TXT", &format!("\"{}\"", "a".repeat(256)), 0, "a character string of up to 255 bytes");
    check("DS", "1 8 2", 3, "hexadecimal digits");
    check("DS", "1 8 2 abc", 3, "hexadecimal digits");
    check("CAA", "0 is-sue x", 1, "the name of a property: letters and digits");
    check(
        "RRSIG",
        "A 8 2 60 20261301000000 1 1 . AQ==",
        4,
        "a time as YYYYMMDDHHmmSS, or in seconds since 1970",
    );
    check("TYPE65280", "abc", 0, r"\# and the length of the data, since the type is not known");
    check("TYPE65280", r"\# 3 abcd", 2, "as many bytes as the length says");
    check("A", r"\# 3 abcdef", 2, "data of the record's type");
}

#[test]
fn sets_of_types_are_in_order() {
    let mut set = Vec::new();
    type_set([Rtype(1234), Rtype::MX, Rtype::A].into_iter(), &mut set);
    assert_eq!(types_of(&set).collect::<Vec<_>>(), [Rtype::A, Rtype::MX, Rtype(1234)]);
    for bad in [&[0, 0][..], &[0, 33], &[0, 1], &[1, 1, 1, 0, 1, 1], &[0, 1, 1, 0, 1, 1], &[0]] {
        assert!(types(bad).any(|window| window.is_none()), "{bad:?}");
    }
}

#[test]
fn names_are_folded_where_coredns_does() {
    let folded = |rtype: Rtype, rdata: &[u8]| {
        let mut rdata = rdata.to_vec();
        fold_names(rtype, &mut rdata);
        rdata
    };
    assert_eq!(folded(Rtype::MX, b"\0\x41\x01A\0"), b"\0\x41\x01a\0");
    assert_eq!(folded(Rtype::PTR, b"\x01A\0"), b"\x01A\0");
    assert_eq!(folded(Rtype::HTTPS, b"\0\x01\x01A\0\0\x05\0\x01A"), b"\0\x01\x01a\0\0\x05\0\x01A");
    assert_eq!(folded(Rtype::NS, b"\x05A"), b"\x05A", "what is no name is left alone");
}
