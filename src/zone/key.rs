//! Names in the canonical order of DNSSEC (RFC 4034 6.1).

use crate::wire::Name;

/// Bytes of a key at most: each byte of a name may take two, and each label ends with one.
const KEY_LEN_MAX: usize = 2 * 255;

/// A name as bytes that compare in canonical order: its labels from the root on, each ended by 0, with 0 and 1 in a label escaped, so
/// that a label that is the beginning of another comes before it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Key(Vec<u8>);

impl Key {
    /// The key of the uncompressed, lower-cased wire form `name`.
    pub fn of(name: &[u8]) -> Self {
        let mut starts = [0u8; 128];
        let mut count = 0;
        let mut at = 0;
        while let Some(&len) = name.get(at).filter(|len| **len > 0) {
            if let Some(start) = starts.get_mut(count) {
                *start = at as u8;
            }
            count += 1;
            at += 1 + usize::from(len);
        }
        let mut key = Vec::with_capacity(name.len() + 2);
        for &start in starts[..count.min(128)].iter().rev() {
            let start = usize::from(start);
            let label = name.get(start + 1..start + 1 + usize::from(name[start])).unwrap_or_default();
            for &byte in label {
                match byte {
                    0 | 1 => key.extend_from_slice(&[1, byte + 1]),
                    _ => key.push(byte),
                }
            }
            key.push(0);
        }
        debug_assert!(key.len() <= KEY_LEN_MAX);
        Self(key)
    }

    /// The key as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name whose key is `bytes`; the root if there is none.
    pub fn name(bytes: &[u8]) -> Name {
        let mut wire = Vec::with_capacity(bytes.len() + 2);
        for label in bytes.split(|byte| *byte == 0).rev().filter(|label| !label.is_empty()) {
            let start = wire.len();
            wire.push(0);
            let mut escaped = false;
            for &byte in label {
                match (escaped, byte) {
                    (false, 1) => escaped = true,
                    (true, byte) => {
                        wire.push(byte - 1);
                        escaped = false;
                    }
                    (false, byte) => wire.push(byte),
                }
            }
            wire[start] = (wire.len() - start - 1) as u8;
        }
        wire.push(0);
        Name::parse_plain(&wire, 0).map(|(name, _)| name).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_canonical_order() {
        // The example of RFC 4034 6.1.
        let order = [
            "example.",
            "a.example.",
            "yljkjljk.a.example.",
            "Z.a.example.",
            "zABC.a.EXAMPLE.",
            "z.example.",
            r"\001.z.example.",
            "*.z.example.",
            r"\200.z.example.",
        ];
        let keys: Vec<Key> =
            order.iter().map(|text| Key::of(Name::from_text(text).unwrap().as_bytes())).collect();
        assert!(keys.is_sorted(), "{keys:?}");
    }

    #[test]
    fn a_key_says_its_name_and_no_byte_is_special() {
        for text in [".", "a.", r"\000.b.", r"\001\000\002.\000.c.", r"a\.b.c."] {
            let name = Name::from_text(text).unwrap();
            assert_eq!(Key::name(Key::of(name.as_bytes()).as_bytes()), name, "{text}");
        }
        let key = |text: &str| Key::of(Name::from_text(text).unwrap().as_bytes());
        assert!(key("a.") < key(r"\000.a.") && key(r"\000.a.") < key(r"\000\000.a."));
        assert!(key(r"\000\000.a.") < key(r"\001.a.") && key(r"x.\001.a.") < key(r"\002.a."));
        assert!(key(r"x.a.") < key(r"a\000."), "what is below a name comes before its longer neighbours");
    }
}
