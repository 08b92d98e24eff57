//! What the two processes say to each other, each in one message of a socket that keeps messages apart.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::net::rights;
use crate::net::socket::watch_channel;

/// The version of this language. Whoever hears another says so and ends, and the old process serves on.
pub(super) const VERSION: u32 = 1;

/// Bytes of a packet, its kind included: less than a socket's buffer takes at once on any system.
pub(super) const BYTES_MAX: usize = 32 * 1024;

/// Bytes of text that fit one packet.
pub(super) const TEXT_BYTES_MAX: usize = BYTES_MAX - 1;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// The first of the old process: the version of the language.
    Welcome(u32),
    /// Sockets, by what they are for; their descriptors come with it, in this order.
    Sockets(Vec<String>),
    /// A part of the text that the old process has read from where it can be read only once.
    Text(Vec<u8>),
    /// All was given.
    Over,
    /// The new process understands, and has this ID.
    Started(u32),
    /// The new process serves.
    Ready,
    /// The new process cannot serve, and why.
    Failed(String),
    /// The old process takes nothing new any more.
    TakeOver {
        /// It was asked to reload meanwhile, which is left to the new process.
        reload: bool,
    },
}

impl Packet {
    fn encode(&self) -> Vec<u8> {
        let with = |kind: u8, rest: &[u8]| [&[kind], rest].concat();
        match self {
            Self::Welcome(version) => with(b'W', &version.to_be_bytes()),
            Self::Sockets(purposes) => with(b'S', purposes.join("\n").as_bytes()),
            Self::Text(text) => with(b'T', text),
            Self::Over => with(b'O', &[]),
            Self::Started(id) => with(b'I', &id.to_be_bytes()),
            Self::Ready => with(b'R', &[]),
            Self::Failed(why) => with(b'F', &why.as_bytes()[..why.len().min(TEXT_BYTES_MAX)]),
            Self::TakeOver { reload } => with(b'C', &[u8::from(*reload)]),
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        Some(match kind {
            b'W' => Self::Welcome(u32::from_be_bytes(rest.try_into().ok()?)),
            b'S' => Self::Sockets(std::str::from_utf8(rest).ok()?.lines().map(str::to_owned).collect()),
            b'T' => Self::Text(rest.to_owned()),
            b'O' => Self::Over,
            b'I' => Self::Started(u32::from_be_bytes(rest.try_into().ok()?)),
            b'R' => Self::Ready,
            b'F' => Self::Failed(String::from_utf8_lossy(rest).into_owned()),
            b'C' => Self::TakeOver { reload: *rest.first()? != 0 },
            _ => return None,
        })
    }
}

/// One end of the channel between the two.
pub(super) struct Channel(AsyncFd<OwnedFd>);

impl Channel {
    /// Over `socket`, which keeps messages apart and does not block.
    ///
    /// # Errors
    /// The kernel's, if it cannot be watched.
    ///
    /// # Panics
    /// Outside of a runtime with its I/O driver on.
    pub(super) fn over(socket: OwnedFd) -> io::Result<Self> {
        watch_channel(socket).map(Self)
    }

    /// Sends `packet` once there is room.
    pub(super) async fn send(&self, packet: &Packet, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = packet.encode();
        self.0.async_io(Interest::WRITABLE, |channel| rights::send(channel.as_fd(), &bytes, sockets)).await
    }

    /// The next packet, with the descriptors that came with it; `None` at the end.
    pub(super) async fn receive(&self) -> io::Result<Option<(Packet, Vec<OwnedFd>)>> {
        let mut bytes = vec![0; BYTES_MAX];
        let (len, descriptors) = self
            .0
            .async_io(Interest::READABLE, |channel| rights::receive(channel.as_fd(), &mut bytes))
            .await?;
        if len == 0 {
            return Ok(None);
        }
        let packet = Packet::decode(&bytes[..len]);
        Ok(Some((packet.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?, descriptors)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard() {
        for packet in [
            Packet::Welcome(7),
            Packet::Sockets(vec!["dns://[::]:53 udp".into(), "dns://[::]:53 tcp".into()]),
            Packet::Text(vec![0, 255, b'\n']),
            Packet::Over,
            Packet::Started(77),
            Packet::Ready,
            Packet::Failed("Corefile:1 - Error".into()),
            Packet::TakeOver { reload: true },
        ] {
            assert_eq!(Packet::decode(&packet.encode()), Some(packet));
        }
        let long = Packet::Failed("é".repeat(BYTES_MAX)).encode();
        assert_eq!(long.len(), BYTES_MAX);
        assert!(Packet::decode(&long).is_some(), "a letter that is cut in two does no harm");
        for bad in [&b""[..], b"?", b"W123", b"S\xff", b"I", b"C"] {
            assert_eq!(Packet::decode(bad), None, "{bad:?}");
        }
    }
}
