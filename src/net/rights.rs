//! Descriptors on their way from one process to another: over a socket (SCM_RIGHTS), or open already when a program starts.
#![allow(
    unsafe_code,
    reason = "descriptors that come from outside, and calls that std does not have; each is argued"
)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// So many descriptors go with one message at most; the kernel takes up to 253.
pub const DESCRIPTORS_MAX: usize = 64;

/// The first descriptor behind standard input, output and error: where a service manager's sockets begin.
const FIRST: RawFd = 3;

/// Bytes of the header of a control message: its length, its level, its type.
const HEAD: usize = size_of::<libc::cmsghdr>();

/// Bytes of a control message with as many descriptors as may be; a multiple of a word, as there is an even number of them.
const CONTROL_BYTES: usize = HEAD + DESCRIPTORS_MAX * size_of::<RawFd>();

const _: () = assert!(HEAD == size_of::<usize>() + 8 && CONTROL_BYTES.is_multiple_of(size_of::<usize>()));

/// Room for a control message, aligned as its header wants it.
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

/// Sends `bytes` as one message of `channel`, a socket of messages that does not block, with `descriptors`: the receiver gets them as its own.
///
/// # Errors
/// The kernel's: [`io::ErrorKind::WouldBlock`] if there is no room, a broken pipe if the other side is closed. With more than
/// [`DESCRIPTORS_MAX`] descriptors, invalid input.
pub fn send(channel: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if descriptors.len() > DESCRIPTORS_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut control = Control([0; CONTROL_BYTES]);
    let len = HEAD + size_of_val(descriptors);
    control.0[..HEAD - 8].copy_from_slice(&len.to_ne_bytes());
    control.0[HEAD - 8..HEAD - 4].copy_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
    control.0[HEAD - 4..HEAD].copy_from_slice(&libc::SCM_RIGHTS.to_ne_bytes());
    for (place, descriptor) in control.0[HEAD..].chunks_exact_mut(size_of::<RawFd>()).zip(descriptors) {
        place.copy_from_slice(&descriptor.as_raw_fd().to_ne_bytes());
    }
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut header = empty_header(&mut part);
    if !descriptors.is_empty() {
        header.msg_control = (&raw mut control).cast();
        header.msg_controllen = len as _;
    }
    // SAFETY: the header names one part, which is `bytes`, and a control message of `len` bytes; all live during the call, and the
    // kernel only reads them. Each descriptor in it is borrowed, so open.
    let sent = unsafe { libc::sendmsg(channel.as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Receives one message of `channel` into `buffer`; returns its length, 0 at the end, and the descriptors that came with it. They are
/// closed when a program is started.
///
/// # Errors
/// The kernel's; invalid input if the message or its descriptors did not fit.
pub fn receive(channel: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut control = Control([0; CONTROL_BYTES]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut header = empty_header(&mut part);
    header.msg_control = (&raw mut control).cast();
    header.msg_controllen = CONTROL_BYTES as _;
    // SAFETY: the header names one part, which is `buffer`, and room for control messages, both with their lengths; all live during the
    // call, and nobody else uses them.
    let len = unsafe { libc::recvmsg(channel.as_raw_fd(), &raw mut header, libc::MSG_CMSG_CLOEXEC) };
    if len < 0 {
        return Err(io::Error::last_os_error());
    }
    // Owned before anything is refused, so that they are closed then.
    let descriptors = owned(&control.0[..CONTROL_BYTES.min(header.msg_controllen as _)]);
    if header.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok((len as usize, descriptors))
}

/// The descriptors in `control`, as the kernel wrote it for us: one message at most, as others were not asked for.
fn owned(control: &[u8]) -> Vec<OwnedFd> {
    let word = |at: usize| control.get(at..at + 4).and_then(|b| b.try_into().ok()).map(i32::from_ne_bytes);
    if word(HEAD - 8) != Some(libc::SOL_SOCKET) || word(HEAD - 4) != Some(libc::SCM_RIGHTS) {
        return Vec::new();
    }
    let len =
        control.get(..size_of::<usize>()).and_then(|b| b.try_into().ok()).map_or(0, usize::from_ne_bytes);
    let numbers =
        control.get(HEAD..len.min(control.len())).unwrap_or_default().chunks_exact(size_of::<RawFd>());
    let numbers = numbers.filter_map(|number| number.try_into().ok()).map(RawFd::from_ne_bytes);
    // SAFETY: the kernel has opened each of these descriptors for this message, and nobody else knows of them.
    numbers.map(|number| unsafe { OwnedFd::from_raw_fd(number) }).collect()
}

fn empty_header(part: &mut libc::iovec) -> libc::msghdr {
    // SAFETY: a msghdr is numbers and pointers, for which all bits zero are valid.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = part;
    header.msg_iovlen = 1;
    header
}

/// Takes the `count` sockets that a service manager has opened before this program started, from descriptor 3 on. To be called before
/// anything else is opened, as what does not exist is passed over; further calls get nothing. They are closed when a program is started.
pub fn take_from_start(count: usize) -> Vec<OwnedFd> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Vec::new();
    }
    let end = i32::try_from(count).unwrap_or(i32::MAX).saturating_add(FIRST);
    (FIRST..end).map_while(open_before).collect()
}

/// Descriptor `number`, if it is open and not one of those that are closed when a program starts, so that it was open when ours did.
fn open_before(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: the call takes numbers alone, and a descriptor that is not open is an error.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    if flags < 0 || flags & libc::FD_CLOEXEC != 0 {
        return None;
    }
    // SAFETY: as above.
    unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    // SAFETY: it is open. This process opens everything with FD_CLOEXEC, so whoever started it has opened this one, and gave it to us by
    // the count that the caller was told; the caller's guard sees to it that it is taken once.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Takes standard input away, with `/dev/null` in its place.
///
/// # Errors
/// The kernel's, if either cannot be opened.
pub fn take_standard_input() -> io::Result<OwnedFd> {
    let taken = io::stdin().as_fd().try_clone_to_owned()?;
    let null = std::fs::File::open("/dev/null")?;
    // SAFETY: both descriptors are open; 0 stays standard input, of which nothing was read.
    if unsafe { libc::dup2(null.as_raw_fd(), libc::STDIN_FILENO) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Socket, Type};
    use std::net::UdpSocket;

    #[test]
    fn a_socket_goes_over_with_its_message() {
        let (one, other) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).unwrap();
        let given = UdpSocket::bind("127.0.0.1:0").unwrap();
        let many = vec![given.as_fd(); DESCRIPTORS_MAX];
        send(one.as_fd(), b"all of them", &many).unwrap();
        send(one.as_fd(), b"none", &[]).unwrap();
        assert!(send(one.as_fd(), b"", &[given.as_fd(); DESCRIPTORS_MAX + 1]).is_err());
        let mut buffer = [0; 64];
        let (len, came) = receive(other.as_fd(), &mut buffer).unwrap();
        assert_eq!((&buffer[..len], came.len()), (&b"all of them"[..], DESCRIPTORS_MAX));
        for socket in came {
            assert!(open_before(socket.as_raw_fd()).is_none(), "it is closed when a program is started");
            assert_eq!(Socket::from(socket).local_addr().unwrap().as_socket(), given.local_addr().ok());
        }
        let (len, came) = receive(other.as_fd(), &mut buffer).unwrap();
        assert_eq!((&buffer[..len], came.len()), (&b"none"[..], 0));
        send(one.as_fd(), &[0; 65], &[given.as_fd()]).unwrap();
        assert!(receive(other.as_fd(), &mut buffer).is_err(), "it does not fit");
        drop(one);
        assert_eq!(receive(other.as_fd(), &mut buffer).unwrap().0, 0);
    }

    #[test]
    fn what_was_not_open_at_the_start_is_not_taken() {
        let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(open_before(ours.as_raw_fd()).is_none());
        assert!(open_before(i32::MAX).is_none());
    }
}
