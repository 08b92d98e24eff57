//! The lines of a hosts file (hosts(5)): `ADDRESS NAME [ALIAS …]`, with comments from `#` to the end of the line.

use std::io::{self, ErrorKind, Read};
use std::net::IpAddr;

use super::table::{Builder, Table};
use crate::wire::Name;

/// Bytes of a line at most, its end not counted. CoreDNS gives up the file at a longer one; here that line alone is skipped.
pub(super) const LINE_LEN_MAX: usize = 65_535;

/// Bytes read at once at most; the longest line fits, and as much again behind it.
const BUFFER_LEN: usize = 2 * 65_536;

/// Lines that are remembered as odd.
const NOTES_MAX: usize = 10;

/// What a file came to.
pub(super) struct Loaded {
    /// Its names and addresses.
    pub(super) table: Table,
    /// The first lines that say nothing one could serve, and what is wrong with them.
    pub(super) notes: Vec<(u64, &'static str)>,
    /// How many such lines there are.
    pub(super) odd_lines: u64,
    /// The number of the first line that is too long.
    pub(super) too_long: Option<u64>,
    /// The number of the line from which on there was no more room.
    pub(super) full: Option<u64>,
}

/// Reads a whole file: names in `zones` (any if `None`), and the way from addresses to names if `reverse`. `len_expected` is its length in
/// bytes, about.
///
/// # Errors
/// What reading says.
pub(super) fn load(
    reader: impl Read,
    len_expected: u64,
    zones: Option<&[Name]>,
    reverse: bool,
) -> io::Result<Loaded> {
    // Lines of block lists have 25 bytes and more; a guess too low costs a little time, one too high nothing but address space.
    let expected = usize::try_from(len_expected / 32).unwrap_or(0).min(EXPECTED_NAMES_MAX);
    let mut builder = Builder::new(expected);
    let mut notes = Notes::default();
    let (mut too_long, mut full) = (None, None);
    let mut lines = Lines::new(reader);
    // Whole lists have one address: look it up once.
    let (mut last_text, mut last) = (Vec::new(), None);
    'lines: while let Some((number, line)) = lines.next()? {
        let Line::Text(line) = line else {
            too_long.get_or_insert(number);
            continue;
        };
        let mut words = words(line);
        let Some(first) = words.next() else { continue };
        if last_text != first {
            last = address(first).map(|address| (address, None));
            last_text.clear();
            last_text.extend_from_slice(first);
        }
        let Some((address, id)) = &mut last else {
            notes.push(number, "does not begin with an address");
            continue;
        };
        let mut any = false;
        for word in words {
            any = true;
            let Some(name) = name(word) else {
                notes.push(number, "a name is not a domain name");
                continue;
            };
            if zones.is_some_and(|zones| !is_in(&name, zones)) {
                continue;
            }
            let id = *id.get_or_insert_with(|| builder.address(*address));
            if !builder.add(id, &name) {
                full = Some(number);
                break 'lines;
            }
        }
        if !any {
            notes.push(number, "an address without a name");
        }
    }
    let Notes { first: notes, count: odd_lines } = notes;
    Ok(Loaded { table: builder.finish(reverse), notes, odd_lines, too_long, full })
}

/// Most names that room is taken for before they are seen.
const EXPECTED_NAMES_MAX: usize = 1 << 24;

#[derive(Default)]
struct Notes {
    first: Vec<(u64, &'static str)>,
    count: u64,
}

impl Notes {
    fn push(&mut self, line: u64, what: &'static str) {
        self.count += 1;
        if self.first.len() < NOTES_MAX {
            self.first.push((line, what));
        }
    }
}

/// Whether `name` is one of `zones` or below one.
pub(super) fn is_in(name: &Name, zones: &[Name]) -> bool {
    zones.iter().any(|zone| name.is_under(zone.as_bytes()))
}

/// An address as hosts files have it: without leading zeros (`010.0.0.1` is ten to some and eight to others), a zone behind `%` is
/// cut off.
pub(super) fn address(word: &[u8]) -> Option<IpAddr> {
    let word = word.split(|byte| *byte == b'%').next()?;
    str::from_utf8(word).ok()?.parse().ok()
}

/// A name of a hosts file: absolute with or without its dot, lower-cased. `None` for what no query can ask for, and for control characters,
/// which are the marks of a damaged file.
pub(super) fn name(word: &[u8]) -> Option<Name> {
    if word.iter().any(u8::is_ascii_control) {
        return None;
    }
    // A lone asterisk covers nothing: a wildcard stands for one label in a zone, and the root's are no hosts.
    Name::from_text(str::from_utf8(word).ok()?).ok().filter(|name| name.as_bytes() != b"\x01*\0")
}

/// The words of a line, up to a comment.
pub(super) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let end = line.iter().position(|byte| *byte == b'#').unwrap_or(line.len());
    let mut rest = &line[..end];
    std::iter::from_fn(move || {
        while let space @ 1.. = space_len(rest) {
            rest = &rest[space..];
        }
        let end = (0..rest.len()).find(|&i| space_len(&rest[i..]) > 0).unwrap_or(rest.len());
        let word;
        (word, rest) = rest.split_at(end);
        (!word.is_empty()).then_some(word)
    })
}

/// Bytes of the white space that `text` begins with, any of Unicode's (as in CoreDNS): pages that people copy from have such.
fn space_len(text: &[u8]) -> usize {
    match *text {
        [b'\t'..=b'\r' | b' ', ..] => 1,
        [..0x80, ..] | [] => 0,
        [0xC2, 0x85 | 0xA0, ..] => 2,
        [0xE1, 0x9A, 0x80, ..]
        | [0xE2, 0x80, 0x80..=0x8A | 0xA8 | 0xA9 | 0xAF, ..]
        | [0xE2, 0x81, 0x9F, ..]
        | [0xE3, 0x80, 0x80, ..] => 3,
        _ => 0,
    }
}

enum Line<'a> {
    Text(&'a [u8]),
    TooLong,
}

/// Takes a file apart into lines, without ever holding more than two of the longest.
struct Lines<R> {
    reader: R,
    buffer: Box<[u8]>,
    /// What was read and not yet taken.
    unread: std::ops::Range<usize>,
    /// Up to where there is no end of a line.
    searched: usize,
    number: u64,
    skipping: bool,
    at_end: bool,
}

impl<R: Read> Lines<R> {
    fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: vec![0; BUFFER_LEN].into_boxed_slice(),
            unread: 0..0,
            searched: 0,
            number: 0,
            skipping: false,
            at_end: false,
        }
    }

    /// The next line and its number, from 1.
    fn next(&mut self) -> io::Result<Option<(u64, Line<'_>)>> {
        loop {
            let newline = self.buffer[self.searched..self.unread.end].iter().position(|byte| *byte == b'\n');
            if let Some(offset) = newline {
                let end = self.searched + offset;
                return Ok(Some(self.take(end, end + 1)));
            }
            self.searched = self.unread.end;
            if self.at_end {
                let more = self.skipping || !self.unread.is_empty();
                return Ok(more.then(|| self.take(self.unread.end, self.unread.end)));
            }
            if self.unread.len() > LINE_LEN_MAX {
                self.skipping = true;
            }
            if self.skipping {
                self.unread.start = self.unread.end;
            }
            self.read_more()?;
        }
    }

    /// Takes what is before `end` as a line; the next one begins at `next`.
    fn take(&mut self, end: usize, next: usize) -> (u64, Line<'_>) {
        let mut line = &self.buffer[self.unread.start..end];
        if self.number == 0 {
            // A byte order mark, from editors on Windows.
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        }
        let too_long = std::mem::take(&mut self.skipping) || line.len() > LINE_LEN_MAX;
        self.unread.start = next;
        self.searched = next;
        self.number += 1;
        (self.number, if too_long { Line::TooLong } else { Line::Text(line) })
    }

    fn read_more(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        self.searched = self.unread.end;
        let read = loop {
            match self.reader.read(&mut self.buffer[self.unread.end..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.unread.end += read;
        self.at_end = read == 0;
        Ok(())
    }
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
