//! The form of gzip (RFC 1952) without its compression: profiles are read by programs that expect gzip, and are too small to be worth more.

/// `bytes` as a file of gzip, in stored blocks (RFC 1951 3.2.4).
pub(super) fn stored(bytes: &[u8]) -> Vec<u8> {
    // Deflate, no flags, no time, no hint, an unknown system.
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut blocks = bytes.chunks(BLOCK_BYTES_MAX).peekable();
    if blocks.peek().is_none() {
        file.extend_from_slice(&[1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        file.push(u8::from(blocks.peek().is_none()));
        let len = block.len() as u16;
        file.extend_from_slice(&len.to_le_bytes());
        file.extend_from_slice(&(!len).to_le_bytes());
        file.extend_from_slice(block);
    }
    file.extend_from_slice(&crc32(bytes).to_le_bytes());
    file.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    file
}

/// The length of a block has 16 bits.
const BLOCK_BYTES_MAX: usize = 0xffff;

/// RFC 1952 8.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8))
}

/// What each value of a byte makes of the eight bits that leave.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_is_that_of_the_rfc() {
        assert_eq!(crc32(b""), 0);
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn gzip_reads_what_is_written() {
        use std::io::Write;
        for len in [0, 1, 0xffff, 0x10000, 200_000] {
            let bytes: Vec<u8> = (0..len).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            let mut gunzip = std::process::Command::new("gzip")
                .args(["-d", "-c"])
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            let mut input = gunzip.stdin.take().unwrap();
            let file = stored(&bytes);
            let writer = std::thread::spawn(move || input.write_all(&file).unwrap());
            let output = gunzip.wait_with_output().unwrap();
            writer.join().unwrap();
            assert!(output.status.success() && output.stdout == bytes, "{len}");
        }
    }
}
