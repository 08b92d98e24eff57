//! Messages in a stream, each behind its length (RFC 1035 4.2.2).

/// Bytes a read should have room for.
const READ_LEN: usize = 4_096;

/// Appends `message` with its length; a message of more than 65,535 bytes does not exist.
pub(super) fn push(out: &mut Vec<u8>, message: &[u8]) {
    let len = message.len().min(usize::from(u16::MAX));
    out.extend_from_slice(&(len as u16).to_be_bytes());
    out.extend_from_slice(&message[..len]);
}

/// What came by a stream and was not yet taken. Never holds more than a message and one read.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    taken: usize,
}

impl Inbox {
    /// The buffer to append to, with room for the message that has begun or a good piece of it.
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        if self.bytes.is_empty() && self.bytes.capacity() > 2 * READ_LEN {
            // A large message is over; small ones need not its space.
            self.bytes = Vec::new();
        }
        let missing = self.announced().map_or(0, |len| (2 + len).saturating_sub(self.bytes.len()));
        self.bytes.reserve(missing.max(READ_LEN));
        &mut self.bytes
    }

    /// The length that the next message says it has.
    fn announced(&self) -> Option<usize> {
        let head = self.bytes.get(self.taken..self.taken + 2)?;
        Some(usize::from(u16::from_be_bytes([head[0], head[1]])))
    }

    /// The next complete message.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        let start = self.taken + 2;
        let message = self.bytes.get(start..start + self.announced()?)?;
        self.taken = start + message.len();
        Some(message)
    }

    /// True if the stream stands in the middle of a message.
    pub(super) fn is_mid_message(&self) -> bool {
        self.taken < self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_whole_however_they_came_in() {
        let messages = [&b"one"[..], b"", &[7; 9_000], b"last"];
        let mut stream = Vec::new();
        messages.iter().for_each(|message| push(&mut stream, message));
        for step in [1, 2, 5, 4_096, stream.len()] {
            let mut inbox = Inbox::default();
            let mut got = Vec::new();
            for piece in stream.chunks(step) {
                inbox.room().extend_from_slice(piece);
                while let Some(message) = inbox.next() {
                    got.push(message.to_vec());
                }
            }
            assert_eq!(got, messages);
            assert!(!inbox.is_mid_message());
        }
    }

    #[test]
    fn the_middle_of_a_message_is_noticed() {
        let mut inbox = Inbox::default();
        for byte in [0, 2, b'x'] {
            inbox.room().push(byte);
            assert!(inbox.next().is_none() && inbox.is_mid_message());
        }
        inbox.room().push(b'y');
        assert_eq!(inbox.next(), Some(&b"xy"[..]));
        assert!(!inbox.is_mid_message());
    }

    #[test]
    fn the_space_of_a_large_message_is_given_back() {
        let mut inbox = Inbox::default();
        push(inbox.room(), &[0; 60_000]);
        assert_eq!(inbox.next().map(<[u8]>::len), Some(60_000));
        assert!(inbox.room().capacity() <= 2 * READ_LEN);
    }
}
