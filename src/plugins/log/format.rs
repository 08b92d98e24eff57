//! The format of a log line: read once into pieces, then written without a look at its text.

use std::net::{IpAddr, SocketAddr};

use super::cursor::{Cursor, Short};
use crate::chain::{Query, Response, State, Transport};
use crate::log::{push_decimal, push_ip};
use crate::wire::{Class, Flags, Outcome, Rcode, Rtype, compose};

/// CoreDNS's default format.
pub(super) const COMMON: &str = r#"{remote}:{port} - {>id} "{type} {class} {name} {proto} {size} {>do} {>bufsize}" {rcode} {>rflags} {rsize} {duration}"#;

/// What `{combined}` adds to [`COMMON`].
const COMBINED_END: &str = r#" "{>opcode}""#;

/// A format, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Format(Vec<Piece>);

/// A stretch of a format: text, or the place of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Text),
    Type,
    Name,
    Class,
    Proto,
    Size,
    Remote,
    Port,
    Local,
    Id,
    Opcode,
    DnssecOk,
    Bufsize,
    Rcode,
    Rsize,
    Duration,
    Rflags,
    Metadata(Box<str>),
}

/// Text as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Text {
    Short(Short<16>),
    Long(Box<[u8]>),
}

impl Text {
    fn new(text: &[u8]) -> Self {
        Short::new(text).map_or_else(|| Self::Long(text.into()), Self::Short)
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short(text) => text.as_bytes(),
            Self::Long(text) => text,
        }
    }
}

/// Every placeholder but those of metadata, between its braces.
const PLACEHOLDERS: [(&str, Piece); 16] = [
    ("type", Piece::Type),
    ("name", Piece::Name),
    ("class", Piece::Class),
    ("proto", Piece::Proto),
    ("size", Piece::Size),
    ("remote", Piece::Remote),
    ("port", Piece::Port),
    ("local", Piece::Local),
    (">id", Piece::Id),
    (">opcode", Piece::Opcode),
    (">do", Piece::DnssecOk),
    (">bufsize", Piece::Bufsize),
    ("rcode", Piece::Rcode),
    ("rsize", Piece::Rsize),
    ("duration", Piece::Duration),
    (">rflags", Piece::Rflags),
];

impl Format {
    /// Reads a format. `{common}` and `{combined}` stand for whole formats; a brace that begins no placeholder is text.
    pub(super) fn compile(text: &str) -> Self {
        let text = text.replace("{combined}", &format!("{COMMON}{COMBINED_END}")).replace("{common}", COMMON);
        // The newline at the end of a line is written by the log, so one of the format's own is not written twice.
        let mut rest = text.strip_suffix('\n').unwrap_or(&text);
        let mut format = Self(Vec::new());
        format.push_text("[INFO] ");
        while let Some(end) = rest.find('}') {
            let (head, after) = rest.split_at(end + 1);
            // The brace that opened last belongs to this one: `{ {type} }` has a placeholder in it.
            match head.rfind('{').and_then(|start| Some((start, placeholder(&head[start + 1..end])?))) {
                Some((start, piece)) => {
                    format.push_text(&head[..start]);
                    format.0.push(piece);
                }
                None => format.push_text(head),
            }
            rest = after;
        }
        format.push_text(rest);
        format
    }

    /// Whether the time a query took is part of it.
    pub(super) fn wants_duration(&self) -> bool {
        self.0.contains(&Piece::Duration)
    }

    fn push_text(&mut self, text: &str) {
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            Some(Piece::Text(before)) => *before = Text::new(&[before.as_bytes(), text.as_bytes()].concat()),
            _ => self.0.push(Piece::Text(Text::new(text.as_bytes()))),
        }
    }

    /// Appends the line for a query and what came of it. `duration_ns` is asked for if the format [wants it](Self::wants_duration).
    pub(super) fn push(&self, line: &mut Vec<u8>, logged: &Logged<'_>, duration_ns: impl Fn() -> u64) {
        let Logged { query, rcode, flags, size, links } = *logged;
        let mut line = Cursor::new(line);
        for piece in &self.0 {
            match piece {
                Piece::Text(Text::Short(text)) => line.short(text),
                Piece::Text(Text::Long(text)) => line.text(text),
                Piece::Type => push_type(&mut line, query.qtype()),
                Piece::Name => line.name(query.name()),
                Piece::Class => push_class(&mut line, query.qclass()),
                Piece::Proto => line.short(match query.transport {
                    Transport::Udp => const { &short::<4>("udp") },
                    Transport::Tcp => const { &short("tcp") },
                }),
                Piece::Size => line.large_decimal(query.uncompressed_size()),
                Piece::Remote => push_address(&mut line, query.peer, links),
                Piece::Port => line.decimal(query.peer.port()),
                Piece::Local => push_address(&mut line, query.local, links),
                Piece::Id => line.decimal(query.id()),
                Piece::Opcode => line.decimal(u16::from(query.opcode().0)),
                Piece::DnssecOk => line.short(match query.dnssec_ok() {
                    true => const { &short::<8>("true") },
                    false => const { &short("false") },
                }),
                Piece::Bufsize => line.decimal(query.payload_size()),
                Piece::Rcode => push_rcode(&mut line, rcode),
                Piece::Rsize => line.large_decimal(size),
                Piece::Duration => line.seconds(duration_ns()),
                Piece::Rflags => push_flags(&mut line, flags),
                Piece::Metadata(label) => {
                    let value = query.metadata().and_then(|labels| labels.get(label));
                    line.text(value.unwrap_or("-").as_bytes());
                }
            }
        }
        line.finish();
    }
}

/// The placeholder with that text between its braces.
fn placeholder(inside: &str) -> Option<Piece> {
    match inside.strip_prefix('/') {
        Some(label) => Some(Piece::Metadata(label.into())),
        None => PLACEHOLDERS.iter().find(|(name, _)| *name == inside).map(|(_, piece)| piece.clone()),
    }
}

/// Words in braces that are probably meant as placeholders, but are none, each with what is closest to it.
pub(super) fn unknown_placeholders(text: &str) -> Vec<(&str, Option<&'static str>)> {
    let names = || PLACEHOLDERS.iter().map(|(name, _)| *name).chain(["common", "combined"]);
    let mut unknown = Vec::new();
    for head in text.split_inclusive('}') {
        let Some(inside) = head.strip_suffix('}').and_then(|head| head.rsplit_once('{')).map(|(_, i)| i)
        else {
            continue;
        };
        let is_word = !inside.is_empty() && inside.bytes().all(|b| b.is_ascii_alphabetic() || b == b'>');
        if is_word && !names().any(|name| name == inside) {
            unknown.push((inside, crate::config::did_you_mean(inside, names())));
        }
    }
    unknown
}

/// A query and what came of it, as far as a line says it.
#[derive(Clone, Copy)]
pub(super) struct Logged<'a> {
    query: &'a Query,
    /// `None` if nothing was or will be sent.
    rcode: Option<Rcode>,
    /// As [`Self::rcode`].
    flags: Option<Flags>,
    /// The uncompressed size of the response, bytes.
    size: usize,
    links: &'a Links,
}

impl<'a> Logged<'a> {
    /// What is to be said of `response`. A failure that the server turns into an answer is logged as that answer.
    pub(super) fn new(query: &'a Query, response: &Response, links: &'a Links) -> Self {
        let nothing = Self { query, rcode: None, flags: None, size: 0, links };
        match response.state() {
            State::Written => Self {
                rcode: response.rcode(),
                flags: Some(flags_as_sent(query, response)),
                size: response.uncompressed_size(),
                ..nothing
            },
            State::Failed(rcode) if rcode.is_written_by_server() => Self {
                rcode: Some(rcode),
                flags: Some(compose::reply_flags(query.flags())),
                size: query.question_end(),
                ..nothing
            },
            State::Failed(_) | State::Empty | State::Dropped => nothing,
        }
    }
}

/// The response's flags, with TC if the server will cut it: CoreDNS cuts before it logs, yet tells the size of before.
fn flags_as_sent(query: &Query, response: &Response) -> Flags {
    let flags = response.flags();
    if response.will_be_cut_for(query) { flags.with(Flags::TC, true) } else { flags }
}

/// What came of `query`. `now` is the time in seconds since 1970, asked for if signatures are to be checked.
pub(super) fn outcome(query: &Query, response: &Response, now: impl FnOnce() -> u64) -> Outcome {
    match response.state() {
        State::Written => response.outcome(query, now),
        State::Failed(rcode) if rcode.is_written_by_server() => {
            // The code decides, but for notices and transfers; a header and a question say all of that.
            let mut wire = Vec::with_capacity(query.question_end());
            let flags = compose::reply_flags(query.flags()).with_rcode(rcode);
            compose::start(&mut wire, query.wire(), query.question_end(), flags);
            Outcome::of(&wire, rcode, None)
        }
        State::Failed(_) | State::Empty | State::Dropped => Outcome::OtherError,
    }
}

fn push_type(line: &mut Cursor<'_>, qtype: Rtype) {
    /// The names of the types that have small numbers, which is nearly all.
    static NAMES: [Short<16>; 260] = {
        let mut names = [Short::EMPTY; 260];
        let mut number = 0;
        while number < names.len() {
            if let Some(name) = Rtype(number as u16).mnemonic() {
                names[number] = short(name);
            }
            number += 1;
        }
        names
    };
    match (NAMES.get(usize::from(qtype.0)), qtype.mnemonic()) {
        (Some(name), _) if *name != Short::EMPTY => line.short(name),
        (_, Some(name)) => line.text(name.as_bytes()),
        (_, None) => {
            line.text(b"TYPE");
            line.decimal(qtype.0);
        }
    }
}

fn push_class(line: &mut Cursor<'_>, class: Class) {
    match class.mnemonic() {
        _ if class == Class::IN => line.short(const { &short::<2>("IN") }),
        // "ANY" is a type as well, so CoreDNS shows the class by its number.
        Some(name) if class != Class::ANY => line.text(name.as_bytes()),
        _ => {
            line.text(b"CLASS");
            line.decimal(class.0);
        }
    }
}

fn push_rcode(line: &mut Cursor<'_>, rcode: Option<Rcode>) {
    let Some(rcode) = rcode else { return line.text(b"-") };
    match rcode.mnemonic() {
        _ if rcode == Rcode::NOERROR => line.short(const { &short::<8>("NOERROR") }),
        _ if rcode == Rcode::NXDOMAIN => line.short(const { &short::<8>("NXDOMAIN") }),
        // One number has two names; CoreDNS knows that of TSIG.
        Some("BADVERS") => line.text(b"BADSIG"),
        Some(name) => line.text(name.as_bytes()),
        None => line.decimal(rcode.0),
    }
}

fn push_flags(line: &mut Cursor<'_>, flags: Option<Flags>) {
    /// The names of the flags that are set, for each set of the eight: QR, then the seven bits from AA to CD.
    static NAMES: [Short<24>; 256] = {
        const EACH: [&str; 8] = ["qr", "aa", "tc", "rd", "ra", "z", "ad", "cd"];
        let mut sets = [Short::EMPTY; 256];
        let mut set = 0;
        while set < sets.len() {
            let mut text = [0; 24];
            let mut length = 0;
            let mut bit = 0;
            while bit < EACH.len() {
                if set << bit & 0x80 != 0 {
                    if length > 0 {
                        text[length] = b',';
                        length += 1;
                    }
                    let name = EACH[bit].as_bytes();
                    let mut i = 0;
                    while i < name.len() {
                        text[length] = name[i];
                        length += 1;
                        i += 1;
                    }
                }
                bit += 1;
            }
            let (text, _) = text.split_at(length);
            sets[set] = match Short::new(text) {
                Some(short) => short,
                None => panic!("all eight have 22 bytes"),
            };
            set += 1;
        }
        sets
    };
    match flags {
        Some(Flags(bits)) => line.short(&NAMES[usize::from(bits >> 8 & 0x80 | bits >> 4 & 0x7F)]),
        None => line.text(b"-"),
    }
}

/// A text known when this is compiled.
#[allow(clippy::panic, reason = "it would not compile")]
const fn short<const N: usize>(text: &str) -> Short<N> {
    match Short::new(text.as_bytes()) {
        Some(short) => short,
        None => panic!("the text is longer than its place"),
    }
}

/// Writes an address without its port; a link-local one with its interface, as Go has it.
fn push_address(line: &mut Cursor<'_>, address: SocketAddr, links: &Links) {
    match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 && v6.ip().to_ipv4_mapped().is_none() => {
            line.vector(|line| {
                line.push(b'[');
                push_ip(line, IpAddr::V6(*v6.ip()));
                line.push(b'%');
                match links.name(v6.scope_id()) {
                    Some(name) => line.extend_from_slice(name.as_bytes()),
                    None => push_decimal(line, u64::from(v6.scope_id())),
                }
                line.push(b']');
            })
        }
        _ => line.ip(address.ip()),
    }
}

/// The names of interfaces, as they were when the configuration was read: link-local clients are logged with theirs.
#[derive(Debug, Default)]
pub(super) struct Links(Vec<(u32, Box<str>)>);

impl Links {
    /// The interfaces the machine has; none if it does not tell.
    pub(super) fn of_machine() -> Self {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        let named = interfaces.into_iter().filter_map(|link| Some((link.index?, link.name.into_boxed_str())));
        let mut names: Vec<_> = named.collect();
        names.sort();
        names.dedup();
        Self(names)
    }

    fn name(&self, index: u32) -> Option<&str> {
        self.0.iter().find(|(i, _)| *i == index).map(|(_, name)| &**name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Cursor<'_>)) -> String {
        let mut line = Vec::new();
        let mut cursor = Cursor::new(&mut line);
        write(&mut cursor);
        cursor.finish();
        String::from_utf8(line).unwrap()
    }

    fn text(text: &str) -> Piece {
        Piece::Text(Text::new(text.as_bytes()))
    }

    #[test]
    fn formats_are_cut_at_placeholders_and_nowhere_else() {
        let check = |format: &str, want: &[Piece]| assert_eq!(Format::compile(format).0, want, "{format}");
        check("", &[text("[INFO] ")]);
        check("A {A}", &[text("[INFO] A {A}")]);
        check("{{remote}}", &[text("[INFO] {"), Piece::Remote, text("}")]);
        check("{ A {remote} A }", &[text("[INFO] { A "), Piece::Remote, text(" A }")]);
        check("Foo } {remote}", &[text("[INFO] Foo } "), Piece::Remote]);
        check("{ Foo", &[text("[INFO] { Foo")]);
        check("} Foo", &[text("[INFO] } Foo")]);
        check("{Type}{>ID}", &[text("[INFO] {Type}{>ID}")]);
        check(
            "{type}{/a/b}{/}",
            &[text("[INFO] "), Piece::Type, Piece::Metadata("a/b".into()), Piece::Metadata("".into())],
        );
        check("two\nlines\n", &[text("[INFO] two\nlines")]);
    }

    #[test]
    fn the_shortcuts_are_whole_formats() {
        let common = Format::compile("{common}");
        assert_eq!(common, Format::compile(COMMON));
        assert_eq!(Format::compile("{combined}").0[..common.0.len()], common.0[..]);
        assert_eq!(
            Format::compile("{combined}").0[common.0.len()..],
            [text(" \""), Piece::Opcode, text("\"")]
        );
        assert!(Format::compile("x{common}y").wants_duration());
        assert!(!Format::compile("{name}").wants_duration());
    }

    #[test]
    fn misspelt_placeholders_are_noticed() {
        let found =
            unknown_placeholders("{name} {nmae} {>id} {id} {/x/y} { } {} {common} {>Do} a} {x y} {zzzzzz}");
        assert_eq!(
            found,
            [("nmae", Some("name")), ("id", Some(">id")), (">Do", Some(">do")), ("zzzzzz", None)]
        );
    }

    #[test]
    fn flags_and_codes_are_named() {
        let check = |flags: u16, want: &str| {
            assert_eq!(written(|line| push_flags(line, Some(Flags(flags)))), want);
        };
        check(0, "");
        check(Flags::QR, "qr");
        check(Flags::QR | Flags::RD, "qr,rd");
        check(0xFFFF, "qr,aa,tc,rd,ra,z,ad,cd");
        check(Flags::TC | Flags::Z | Flags::CD, "tc,z,cd");
        check(0x780F, "");
        let check = |rcode: Option<u16>, want: &str| {
            assert_eq!(written(|line| push_rcode(line, rcode.map(Rcode))), want);
        };
        check(Some(0), "NOERROR");
        check(Some(16), "BADSIG");
        check(Some(23), "BADCOOKIE");
        check(Some(12), "12");
        check(None, "-");
    }

    #[test]
    fn link_local_clients_are_logged_with_their_interface() {
        let links = Links(vec![(7, "eth0".into())]);
        let check = |address: &str, want: &str| {
            assert_eq!(written(|line| push_address(line, address.parse().unwrap(), &links)), want);
        };
        check("192.0.2.1:53", "192.0.2.1");
        check("[::1]:53", "[::1]");
        check("[::ffff:192.0.2.1]:53", "192.0.2.1");
        check("[fe80::1%7]:53", "[fe80::1%eth0]");
        check("[fe80::1%8]:53", "[fe80::1%8]");
    }
}
