//! Domain names in wire form (RFC 1035 3.1), lower-cased for comparison (RFC 4343), never compressed.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};

use super::{HEADER_LEN, WireError};

/// Bytes of a name at most, length bytes and root included.
pub const NAME_LEN_MAX: usize = 255;

/// Bytes of a label at most.
pub const LABEL_LEN_MAX: usize = 63;

/// Hops of compression pointers followed for one name; each must go backwards, so more would be a longer message than any.
const POINTERS_MAX: usize = 126;

/// An absolute domain name, lower-cased, inline.
///
/// Case is folded when the name is read: names compare and hash as bytes. Length bytes are at most 63 and thus never letters,
/// so folding needs no look at label boundaries.
#[derive(Clone)]
pub struct Name {
    len: u8,
    labels: u8,
    bytes: [u8; NAME_LEN_MAX],
}

impl Name {
    /// The root, `.`.
    pub const fn root() -> Self {
        Self { len: 1, labels: 0, bytes: [0; NAME_LEN_MAX] }
    }

    /// Reads the uncompressed name at `at` and returns it with the offset behind it: for the question of a query, where nothing
    /// stands before that a pointer could point to.
    ///
    /// # Errors
    /// [`WireError`] if it is cut, too long, or holds anything but plain labels.
    pub fn parse_plain(message: &[u8], at: usize) -> Result<(Self, usize), WireError> {
        let mut name = Self::root();
        let end = name.parse_plain_into(message, at)?;
        Ok((name, end))
    }

    /// As [`Self::parse_plain`], into a name that is there already.
    ///
    /// # Errors
    /// As [`Self::parse_plain`]; the name is then the root.
    pub fn parse_plain_into(&mut self, message: &[u8], at: usize) -> Result<usize, WireError> {
        let mut pos = at;
        let mut labels = 0u8;
        self.len = 1;
        self.labels = 0;
        self.bytes[0] = 0;
        loop {
            let Some(&len) = message.get(pos) else { return Err(WireError::Cut) };
            if len == 0 {
                break;
            }
            if len > LABEL_LEN_MAX as u8 {
                return Err(if len >= 0xC0 { WireError::BadPointer } else { WireError::BadName });
            }
            pos += 1 + len as usize;
            labels += 1;
            if pos - at >= NAME_LEN_MAX {
                return Err(WireError::BadName);
            }
        }
        let end = pos + 1;
        let source = &message[at..end];
        self.bytes[..source.len()].copy_from_slice(source);
        self.bytes[..source.len()].make_ascii_lowercase();
        self.len = source.len() as u8;
        self.labels = labels;
        Ok(end)
    }

    /// Reads the possibly compressed name at `at` and returns it with the offset behind it.
    ///
    /// # Errors
    /// [`WireError`] if it is cut, too long, of a reserved label kind, or has a pointer that does not go backwards to a whole name, or goes into the
    /// header.
    pub fn parse(message: &[u8], at: usize) -> Result<(Self, usize), WireError> {
        let mut name = Self::root();
        let mut len = 0usize;
        let mut pos = at;
        let mut end = None;
        // Where the labels that are being read began, and up to where they may go: a name that is pointed to ends before the one that points
        // to it begins, else it would read itself, and what may yet change behind it.
        let mut start = at;
        let mut readable = message;
        let mut hops = 0;
        loop {
            let cut = || if end.is_some() { WireError::BadPointer } else { WireError::Cut };
            let Some(&byte) = readable.get(pos) else { return Err(cut()) };
            match byte {
                0 => {
                    name.bytes[len] = 0;
                    name.len = len as u8 + 1;
                    name.bytes[..=len].make_ascii_lowercase();
                    return Ok((name, end.unwrap_or(pos + 1)));
                }
                1..=63 => {
                    let label = readable.get(pos..=pos + byte as usize).ok_or_else(cut)?;
                    if len + label.len() >= NAME_LEN_MAX {
                        return Err(WireError::BadName);
                    }
                    name.bytes[len..len + label.len()].copy_from_slice(label);
                    len += label.len();
                    name.labels += 1;
                    pos += label.len();
                }
                0xC0.. => {
                    let Some(&low) = readable.get(pos + 1) else { return Err(cut()) };
                    let target = usize::from(byte & 0x3F) << 8 | usize::from(low);
                    end.get_or_insert(pos + 2);
                    hops += 1;
                    // Nor into the header, which changes on the way and takes such a name with it.
                    if target >= start || target < HEADER_LEN || hops > POINTERS_MAX {
                        return Err(WireError::BadPointer);
                    }
                    readable = &message[..start];
                    start = target;
                    pos = target;
                }
                _ => return Err(WireError::BadName),
            }
        }
    }

    /// The offset behind the possibly compressed name at `at`, without following pointers.
    ///
    /// # Errors
    /// [`WireError`] if it is cut or of a reserved label kind.
    pub fn skip(message: &[u8], at: usize) -> Result<usize, WireError> {
        let mut pos = at;
        loop {
            match message.get(pos) {
                None => return Err(WireError::Cut),
                Some(0) => return Ok(pos + 1),
                Some(&len @ 1..=63) => pos += 1 + len as usize,
                Some(0xC0..) => {
                    return if pos + 2 <= message.len() { Ok(pos + 2) } else { Err(WireError::Cut) };
                }
                Some(_) => return Err(WireError::BadName),
            }
            if pos - at > NAME_LEN_MAX {
                return Err(WireError::BadName);
            }
        }
    }

    /// A name from its presentation form (RFC 1035 5.1: `\.` and `\DDD` escapes); a missing dot at the end is added.
    ///
    /// # Errors
    /// [`WireError::BadName`] for an empty or too long label or name, or a broken escape.
    pub fn from_text(text: &str) -> Result<Self, WireError> {
        if text == "." {
            return Ok(Self::root());
        }
        let mut name = Self::root();
        let mut len = 0usize; // where the current label's length byte stands
        let mut label = 0usize;
        let bytes = text.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            let mut byte = bytes[i];
            i += 1;
            if byte == b'.' {
                if label == 0 {
                    return Err(WireError::BadName);
                }
                name.bytes[len] = label as u8;
                len += label + 1;
                name.labels += 1;
                label = 0;
                continue;
            }
            if byte == b'\\' {
                let digits = bytes.get(i..i + 3).filter(|d| d.iter().all(u8::is_ascii_digit));
                if let Some(d) = digits {
                    let value = d.iter().fold(0u32, |v, &d| v * 10 + u32::from(d - b'0'));
                    byte = u8::try_from(value).map_err(|_| WireError::BadName)?;
                    i += 3;
                } else {
                    byte = *bytes.get(i).ok_or(WireError::BadName)?;
                    i += 1;
                }
            }
            label += 1;
            if label > LABEL_LEN_MAX || len + label + 1 >= NAME_LEN_MAX {
                return Err(WireError::BadName);
            }
            name.bytes[len + label] = byte.to_ascii_lowercase();
        }
        if label > 0 {
            name.bytes[len] = label as u8;
            len += label + 1;
            name.labels += 1;
        } else if len == 0 {
            return Err(WireError::BadName);
        }
        name.bytes[len] = 0;
        name.len = len as u8 + 1;
        Ok(name)
    }

    /// The wire form, root label included.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }

    /// Writes the presentation form to the front of `out` and returns its length: fast, but only for names in which no byte needs an
    /// escape, as in nearly all. `None` for others, and if `out` is shorter than the wire form.
    pub fn write_plain_text(&self, out: &mut [u8]) -> Option<usize> {
        let wire = self.as_bytes();
        if self.is_root() {
            *out.first_mut()? = b'.';
            return Some(1);
        }
        // A wire name is its text one byte further on, with length bytes where the dots go.
        let text = out.get_mut(..wire.len() - 1)?;
        text.copy_from_slice(&wire[1..]);
        let mut dot = usize::from(wire[0]);
        let mut plain = true;
        let mut start = 0;
        loop {
            plain &= text[start..dot].iter().all(|&byte| PLAIN[usize::from(byte)]);
            let length = usize::from(text[dot]);
            text[dot] = b'.';
            if length == 0 {
                return plain.then_some(dot + 1);
            }
            start = dot + 1;
            dot = start + length;
        }
    }

    /// Number of labels, the root not counted.
    pub const fn label_count(&self) -> usize {
        self.labels as usize
    }

    /// True for `.`.
    pub const fn is_root(&self) -> bool {
        self.labels == 0
    }

    /// Wire forms of the name and its ancestors, from the whole name to the root.
    pub fn suffixes(&self) -> impl Iterator<Item = &[u8]> {
        suffixes(self.as_bytes())
    }

    /// The wire form of the ancestor with `labels` labels (or the name itself).
    pub fn ancestor(&self, labels: usize) -> &[u8] {
        let mut rest = self.as_bytes();
        for _ in labels..self.label_count() {
            rest = &rest[1 + rest[0] as usize..];
        }
        rest
    }

    /// True if the name is `zone` or below it; `zone` is a lower-cased wire form.
    pub fn is_under(&self, zone: &[u8]) -> bool {
        let own = self.as_bytes();
        if own.len() < zone.len() || !own.ends_with(zone) {
            return false;
        }
        // The bytes agree; the cut must fall on a label boundary.
        let cut = own.len() - zone.len();
        let mut at = 0;
        while at < cut {
            at += 1 + own[at] as usize;
        }
        at == cut
    }

    /// The labels from the leftmost on, without length bytes.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        self.suffixes().take(self.label_count()).map(|s| &s[1..1 + s[0] as usize])
    }

    /// The name one label shorter, or `None` at the root.
    pub fn parent(&self) -> Option<Self> {
        (!self.is_root()).then(|| Self::from_wire(self.ancestor(self.label_count() - 1)))
    }

    /// A name of a lower-cased, uncompressed wire form that came out of another [`Name`].
    fn from_wire(wire: &[u8]) -> Self {
        let mut name = Self::root();
        name.bytes[..wire.len()].copy_from_slice(wire);
        name.len = wire.len() as u8;
        name.labels = suffixes(wire).count() as u8 - 1;
        name
    }

    /// The hash of the name under `hasher`: computed once a query, used by every table.
    pub fn hash_with(&self, hasher: &NameHasher) -> u64 {
        hasher.hash(self.as_bytes())
    }
}

/// `wire`, an uncompressed name that was checked, and its ancestors up to the root.
pub(super) fn suffixes(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(wire);
    std::iter::from_fn(move || {
        let current = rest?;
        rest = match current.first() {
            Some(&len) if len > 0 => Some(&current[1 + len as usize..]),
            _ => None,
        };
        Some(current)
    })
}

/// Number of labels of `wire`, an uncompressed name that was checked; the root is not counted.
pub fn label_count(wire: &[u8]) -> usize {
    suffixes(wire).count() - 1
}

/// Bytes that stand for themselves in the presentation form of a label.
static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        plain[byte as usize] = !matches!(byte, b'.' | b'\'' | b'@' | b';' | b'(' | b')' | b'"' | b'\\');
        byte += 1;
    }
    plain
};

/// Writes the presentation form of the wire name `wire` (uncompressed), as miekg/dns does: a dot at the end, `\.` for special
/// characters, `\DDD` for what is not printable.
pub fn write_text(wire: &[u8], out: &mut impl Extend<u8>) {
    if wire.first() == Some(&0) {
        out.extend(*b".");
        return;
    }
    for label in suffixes(wire).filter(|s| s[0] > 0).map(|s| &s[1..1 + s[0] as usize]) {
        for &byte in label {
            match byte {
                b'.' | b' ' | b'\'' | b'@' | b';' | b'(' | b')' | b'"' | b'\\' => out.extend([b'\\', byte]),
                b'!'..=b'~' => out.extend([byte]),
                _ => out.extend([b'\\', b'0' + byte / 100, b'0' + byte / 10 % 10, b'0' + byte % 10]),
            }
        }
        out.extend(*b".");
    }
}

impl Default for Name {
    fn default() -> Self {
        Self::root()
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(self.len as usize + 8);
        write_text(self.as_bytes(), &mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Name {
    type Err = WireError;
    fn from_str(text: &str) -> Result<Self, WireError> {
        Self::from_text(text)
    }
}

/// The process's hash of lower-cased wire names, seeded at random so that nobody outside can choose names that collide.
#[derive(Clone, Debug, Default)]
pub struct NameHasher(foldhash::fast::FixedState);

impl NameHasher {
    /// The one hasher of the process; every table that takes a query's hash must use it.
    #[allow(clippy::disallowed_methods, reason = "the seed is drawn once, at the start")]
    pub fn process() -> &'static Self {
        static HASHER: std::sync::OnceLock<NameHasher> = std::sync::OnceLock::new();
        HASHER.get_or_init(|| {
            let mut seed = [0u8; 8];
            // A kernel without randomness leaves a fixed seed: tables stay right, only collisions could be chosen.
            let _ = getrandom::fill(&mut seed);
            Self(foldhash::fast::FixedState::with_seed(u64::from_ne_bytes(seed)))
        })
    }

    /// The hash of a lower-cased wire name.
    pub fn hash(&self, wire: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(wire);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_wire_agree() {
        for text in [".", "example.org.", "a.b.c.", r"a\.b.c.", r"\000\255.x.", "*.wild.", r"\@.x."] {
            let name = Name::from_text(text).unwrap();
            assert_eq!(name.to_string(), text);
            let (again, end) = Name::parse(name.as_bytes(), 0).unwrap();
            assert_eq!((again, end), (name.clone(), name.as_bytes().len()));
            assert_eq!(Name::parse_plain(name.as_bytes(), 0).unwrap().0, name);
        }
        assert_eq!(Name::from_text("Example.ORG").unwrap().to_string(), "example.org.");
    }

    #[test]
    fn plain_text_is_the_text_or_nothing() {
        let long = format!("{}a.", "abc.".repeat(63));
        for text in
            [".", "a.", "www.example.org.", r"a\.b.c.", r"\000\255.x.", r"\@.x.", r"x.\..", r"a\ b.", &long]
        {
            let name = Name::from_text(text).unwrap();
            let mut out = [b'x'; NAME_LEN_MAX];
            let plain = name.write_plain_text(&mut out).map(|length| &out[..length]);
            assert_eq!(plain, (!text.contains('\\')).then_some(text.as_bytes()), "{text}");
            assert_eq!(name.write_plain_text(&mut out[..text.len() - 1]), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "a..b", ".a", &"x".repeat(64), &"abc.".repeat(64), r"a\25", r"\999.", "\\"] {
            if text == r"a\25" {
                // An escape of fewer than three digits stands for the character itself.
                assert_eq!(Name::from_text(text).unwrap().to_string(), "a25.");
                continue;
            }
            assert_eq!(Name::from_text(text), Err(WireError::BadName), "{text}");
        }
        assert!(Name::from_text(&format!("{}a", "abc.".repeat(63))).is_ok());
        assert!(Name::from_text(&format!("{}ab", "abc.".repeat(63))).is_err());
    }

    #[test]
    fn pointers_go_backwards_only() {
        let behind_header = |rest: &[u8]| [&[0; HEADER_LEN], rest].concat();
        let message = behind_header(b"\x03www\x07example\x00\x01a\xC0\x10\xC0\x1C");
        let (name, end) = Name::parse(&message, 25).unwrap();
        assert_eq!((name.to_string().as_str(), end), ("a.example.", 29));
        // The name that is pointed to would go on into the one that points.
        assert_eq!(Name::parse(&behind_header(b"\x02\x03\xC0\x0C\x00\x00"), 14), Err(WireError::BadPointer));
        for (rest, error) in [
            (&b"\xC0\x0C"[..], WireError::BadPointer),
            (b"\xC0\x0E\x01a\x00", WireError::BadPointer),
            (b"\x01a\xC0\x0C", WireError::BadPointer),
            (b"\x01a\xC0\x0B", WireError::BadPointer),
            (b"\xC0\x00", WireError::BadPointer),
            (b"\x01a", WireError::Cut),
            (b"\x40a\x00", WireError::BadName),
            (b"\xC0", WireError::Cut),
        ] {
            assert_eq!(Name::parse(&behind_header(rest), HEADER_LEN), Err(error), "{rest:?}");
        }
    }

    #[test]
    fn under_a_zone_means_on_a_label_boundary() {
        let zone = Name::from_text("example.org").unwrap();
        for (name, under) in [
            ("example.org", true),
            ("a.b.example.org", true),
            ("badexample.org", false),
            ("org", false),
            (".", false),
        ] {
            assert_eq!(Name::from_text(name).unwrap().is_under(zone.as_bytes()), under, "{name}");
        }
        // A label whose bytes look like the zone's wire form.
        let mut tricky = vec![12];
        tricky.extend_from_slice(&zone.as_bytes()[..12]);
        tricky.push(0);
        let (name, _) = Name::parse(&tricky, 0).unwrap();
        assert!(!name.is_under(zone.as_bytes()));
        assert!(name.is_under(Name::root().as_bytes()));
    }

    #[test]
    fn ancestors_are_found_by_label_count() {
        let name = Name::from_text("a.b.c").unwrap();
        assert_eq!(name.ancestor(1), Name::from_text("c").unwrap().as_bytes());
        assert_eq!(name.parent().unwrap().to_string(), "b.c.");
        assert_eq!(name.labels().map(|l| l[0]).collect::<Vec<_>>(), b"abc");
        assert_eq!(name.suffixes().count(), 4);
        assert!(Name::root().parent().is_none());
    }
}
