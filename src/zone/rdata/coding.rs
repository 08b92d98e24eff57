//! Bytes as text: hexadecimal, base 64 (RFC 4648 4), base 32 with extended hex digits (RFC 4648 7).

/// Writes bytes as hexadecimal digits in capitals.
pub fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.extend([byte >> 4, byte & 15].map(|digit| b"0123456789ABCDEF"[usize::from(digit)]));
    }
}

/// Reads hexadecimal digits behind `out`; false if it is not an even number of them.
pub fn unhex(text: &[u8], out: &mut Vec<u8>) -> bool {
    let (pairs, []) = text.as_chunks::<2>() else { return false };
    for pair in pairs {
        let [Some(high), Some(low)] = pair.map(|digit| char::from(digit).to_digit(16)) else { return false };
        out.push((high << 4 | low) as u8);
    }
    true
}

/// Writes bytes in base 64.
pub fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0u32, |bits, at| bits << 8 | u32::from(*group.get(at).unwrap_or(&0)));
        for place in 0..4 {
            let digit =
                if place > group.len() { b'=' } else { BASE64[(bits >> (18 - 6 * place) & 63) as usize] };
            out.push(digit);
        }
    }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Reads base 64 behind `out`; false if it is none. Padding may be missing.
pub fn unbase64(text: &[u8], out: &mut Vec<u8>) -> bool {
    let end = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    if text.len() - end > 2 || (text.len() > end && !text.len().is_multiple_of(4)) {
        return false;
    }
    for group in text[..end].chunks(4) {
        let mut bits = 0u32;
        for digit in group {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return false,
            };
            bits = bits << 6 | u32::from(value);
        }
        match group.len() {
            4 => out.extend_from_slice(&bits.to_be_bytes()[1..]),
            3 => out.extend_from_slice(&(bits >> 2).to_be_bytes()[2..]),
            2 => out.push((bits >> 4) as u8),
            _ => return false,
        }
    }
    true
}

/// Writes bytes in base 32 with extended hex digits, in capitals, without padding.
pub fn base32hex(bytes: &[u8], out: &mut Vec<u8>) {
    for group in bytes.chunks(5) {
        let bits = (0..5).fold(0u64, |bits, at| bits << 8 | u64::from(*group.get(at).unwrap_or(&0)));
        let digits = (group.len() * 8).div_ceil(5);
        for place in 0..digits {
            out.push(b"0123456789ABCDEFGHIJKLMNOPQRSTUV"[(bits >> (35 - 5 * place) & 31) as usize]);
        }
    }
}

/// Reads base 32 with extended hex digits behind `out`; false if it is none.
pub fn unbase32hex(text: &[u8], out: &mut Vec<u8>) -> bool {
    let end = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    for group in text[..end].chunks(8) {
        let mut bits = 0u64;
        for digit in group {
            let Some(value) = char::from(*digit).to_digit(32) else { return false };
            bits = bits << 5 | u64::from(value);
        }
        bits <<= 5 * (8 - group.len());
        let len = match group.len() {
            2 => 1,
            4 => 2,
            5 => 3,
            7 => 4,
            8 => 5,
            _ => return false,
        };
        out.extend_from_slice(&bits.to_be_bytes()[3..3 + len]);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_comes_back() {
        let bytes: Vec<u8> = (0..=255).rev().collect();
        for len in 0..40 {
            let bytes = &bytes[..len];
            for (write, read) in [
                (hex as fn(&[u8], &mut Vec<u8>), unhex as fn(&[u8], &mut Vec<u8>) -> bool),
                (base64, unbase64),
                (base32hex, unbase32hex),
            ] {
                let (mut text, mut back) = (Vec::new(), Vec::new());
                write(bytes, &mut text);
                assert!(read(&text, &mut back));
                assert_eq!(back, bytes);
            }
        }
    }

    #[test]
    fn what_is_no_code_is_refused() {
        let mut out = Vec::new();
        for text in ["a", "A===", "AA=A", "A-AA", "=", "AAAA="] {
            assert!(!unbase64(text.as_bytes(), &mut out), "{text}");
        }
        for text in ["a", "0g"] {
            assert!(!unhex(text.as_bytes(), &mut out), "{text}");
        }
        for text in ["0", "000", "0w"] {
            assert!(!unbase32hex(text.as_bytes(), &mut out), "{text}");
        }
        out.clear();
        assert!(unbase64(b"Zm9vYg", &mut out) && out == b"foob", "padding may be missing");
    }
}
