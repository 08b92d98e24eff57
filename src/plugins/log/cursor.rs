//! Writing many short texts into a line at the cost of a few machine words each.
//!
//! A line of the common format has twenty-five pieces, most of them under eight bytes. Pushed one by one, each would cost a check of the
//! vector's room and a call of the C library's copy function, which together cost more than the rest of the line. Here the
//! room is made once, with zeros, and short texts are copied whole with the zeros behind them.

use std::net::{IpAddr, Ipv4Addr};

use crate::wire::Name;
use crate::wire::name::{NAME_LEN_MAX, write_text};

/// A place at the end of a line. What was written counts once [`Self::finish`] is called.
pub(super) struct Cursor<'a> {
    line: &'a mut Vec<u8>,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Starts at the end of `line`.
    pub(super) fn new(line: &'a mut Vec<u8>) -> Self {
        let at = line.len();
        line.resize(at + ROOM, 0);
        Self { line, at }
    }

    /// Takes back the room that was not used.
    pub(super) fn finish(self) {
        self.line.truncate(self.at);
    }

    /// The next `N` bytes, to write some of them.
    #[inline]
    #[allow(clippy::expect_used, reason = "the slice was cut to N bytes")]
    fn room<const N: usize>(&mut self) -> &mut [u8; N] {
        if self.line.len() < self.at + N {
            self.grow(N);
        }
        let place = &mut self.line[self.at..self.at + N];
        place.try_into().expect("a slice of N bytes is an array of N")
    }

    #[cold]
    fn grow(&mut self, by: usize) {
        self.line.resize(self.at + by + ROOM, 0);
    }

    /// Writes a short text.
    #[inline]
    pub(super) fn short<const N: usize>(&mut self, text: &Short<N>) {
        *self.room::<N>() = text.bytes;
        self.at += usize::from(text.length);
    }

    /// Writes a text of any length.
    pub(super) fn text(&mut self, text: &[u8]) {
        let end = self.at + text.len();
        if self.line.len() < end {
            self.grow(text.len());
        }
        self.line[self.at..end].copy_from_slice(text);
        self.at = end;
    }

    /// Writes a number in decimal.
    #[inline]
    pub(super) fn decimal(&mut self, number: u16) {
        let number = usize::from(number);
        let (high, low) = (number / 1000, number % 1000);
        if high > 0 {
            self.short(&DIGITS[high]);
            self.short(&Short { bytes: PADDED[low], length: 3 });
        } else {
            self.short(&DIGITS[low]);
        }
    }

    /// Writes a number in decimal that is seldom over 65,535.
    #[inline]
    pub(super) fn large_decimal(&mut self, number: usize) {
        match u16::try_from(number) {
            Ok(number) => self.decimal(number),
            Err(_) => self.vector(|line| crate::log::push_decimal(line, number as u64)),
        }
    }

    /// Writes an address, IPv6 in brackets.
    #[inline]
    pub(super) fn ip(&mut self, address: IpAddr) {
        match address.to_canonical() {
            IpAddr::V4(v4) => self.ipv4(v4),
            v6 => self.vector(|line| crate::log::push_ip_bracketed(line, v6)),
        }
    }

    fn ipv4(&mut self, address: Ipv4Addr) {
        for (place, octet) in address.octets().into_iter().enumerate() {
            if place > 0 {
                self.short(&Short { bytes: *b".", length: 1 });
            }
            self.short(&DIGITS[usize::from(octet)]);
        }
    }

    /// Writes a time span in seconds, as [`crate::log::push_seconds`] does.
    #[inline]
    pub(super) fn seconds(&mut self, nanoseconds: u64) {
        let Ok(nanoseconds) = u32::try_from(nanoseconds) else {
            return self.vector(|line| crate::log::push_seconds(line, nanoseconds));
        };
        let (seconds, fraction) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
        let room = self.room::<16>();
        room[0] = b'0' + seconds as u8; // 4 at most
        let mut length = 1;
        if fraction > 0 {
            room[1] = b'.';
            room[2..5].copy_from_slice(&PADDED[(fraction / 1_000_000) as usize][..3]);
            room[5..8].copy_from_slice(&PADDED[(fraction / 1000 % 1000) as usize][..3]);
            room[8..11].copy_from_slice(&PADDED[(fraction % 1000) as usize][..3]);
            length = 11;
            while room[length - 1] == b'0' {
                length -= 1;
            }
        }
        room[length] = b's';
        self.at += length + 1;
    }

    /// Writes a name in presentation form.
    #[inline]
    pub(super) fn name(&mut self, name: &Name) {
        if self.line.len() < self.at + NAME_LEN_MAX {
            self.grow(NAME_LEN_MAX);
        }
        match name.write_plain_text(&mut self.line[self.at..]) {
            Some(length) => self.at += length,
            None => self.vector(|line| write_text(name.as_bytes(), line)),
        }
    }

    /// Lets `write` append to the line itself: for what is seldom.
    #[cold]
    pub(super) fn vector(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.line.truncate(self.at);
        write(self.line);
        self.at = self.line.len();
        self.grow(0);
    }
}

/// Bytes made ready at once: more than a line of the common format has.
const ROOM: usize = 256;

/// A text of at most `N` bytes, which is copied as `N` bytes whatever its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Short<const N: usize> {
    /// The text, then zeros.
    bytes: [u8; N],
    length: u8,
}

impl<const N: usize> Short<N> {
    /// The empty text.
    pub(super) const EMPTY: Self = Self { bytes: [0; N], length: 0 };

    /// The text, if it is short enough.
    pub(super) const fn new(text: &[u8]) -> Option<Self> {
        if text.len() > N {
            return None;
        }
        let mut short = Self::EMPTY;
        while (short.length as usize) < text.len() {
            short.bytes[short.length as usize] = text[short.length as usize];
            short.length += 1;
        }
        Some(short)
    }

    /// The text.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// The numbers 0 to 999 with leading zeros, in three bytes each.
static PADDED: [[u8; 4]; 1000] = {
    let mut numbers = [[0; 4]; 1000];
    let mut n = 0;
    while n < 1000 {
        numbers[n] = [b'0' + (n / 100) as u8, b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8, 0];
        n += 1;
    }
    numbers
};

/// The numbers 0 to 999 without leading zeros.
static DIGITS: [Short<4>; 1000] = {
    let mut numbers = [Short::EMPTY; 1000];
    let mut n = 0;
    while n < 1000 {
        let [a, b, c, _] = PADDED[n];
        numbers[n] = if n >= 100 {
            Short { bytes: [a, b, c, 0], length: 3 }
        } else if n >= 10 {
            Short { bytes: [b, c, 0, 0], length: 2 }
        } else {
            Short { bytes: [c, 0, 0, 0], length: 1 }
        };
        n += 1;
    }
    numbers
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{push_decimal, push_ip_bracketed, push_seconds};

    fn written(write: impl FnOnce(&mut Cursor<'_>)) -> String {
        let mut line = b"before ".to_vec();
        let mut cursor = Cursor::new(&mut line);
        write(&mut cursor);
        cursor.finish();
        String::from_utf8(line).unwrap().strip_prefix("before ").unwrap().to_owned()
    }

    fn pushed(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut line = Vec::new();
        push(&mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn texts_of_every_length_are_kept() {
        let alphabet: String = ('a'..='z').cycle().take(600).collect();
        for length in (0..40).chain([255, 256, 257, 600]) {
            let text = &alphabet[..length];
            let got = written(|cursor| {
                cursor.text(text.as_bytes());
                match Short::<16>::new(text.as_bytes()) {
                    Some(short) => cursor.short(&short),
                    None => cursor.text(text.as_bytes()),
                }
                cursor.text(b"|");
            });
            assert_eq!(got, format!("{text}{text}|"));
            assert_eq!(Short::<16>::new(text.as_bytes()).is_some(), length <= 16);
        }
        let three = Short::<8>::new(b"abc").unwrap();
        assert_eq!(written(|cursor| (0..2000).for_each(|_| cursor.short(&three))), "abc".repeat(2000));
    }

    #[test]
    fn numbers_and_spans_are_those_of_the_log() {
        for number in 0..=u16::MAX {
            assert_eq!(written(|cursor| cursor.decimal(number)), number.to_string());
        }
        for number in [65_535, 65_536, 1_000_000_000] {
            assert_eq!(written(|c| c.large_decimal(number)), pushed(|l| push_decimal(l, number as u64)));
        }
        let mut ns: u64 = 1;
        for step in 0..20_000_u64 {
            ns = ns.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step);
            for ns in [ns % 1000 * 1_000_000, ns % 1_000_000, ns % 1_000_000_000, ns % 10_000_000_000, ns] {
                assert_eq!(written(|cursor| cursor.seconds(ns)), pushed(|line| push_seconds(line, ns)));
            }
        }
        assert_eq!(written(|cursor| cursor.seconds(0)), "0s");
        assert_eq!(written(|cursor| cursor.seconds(4_000_000_000)), "4s");
    }

    #[test]
    fn addresses_and_names_are_those_of_the_log() {
        for address in ["0.0.0.0", "255.10.9.100", "::1", "2001:db8::1", "::ffff:192.0.2.1"] {
            let address = address.parse().unwrap();
            assert_eq!(written(|cursor| cursor.ip(address)), pushed(|line| push_ip_bracketed(line, address)));
        }
        for name in [".", "a.", "www.example.org.", r"a\.b.", r"\000.x.", &"abc.".repeat(63)] {
            let name = Name::from_text(name).unwrap();
            assert_eq!(written(|cursor| cursor.name(&name)), name.to_string());
        }
    }
}
