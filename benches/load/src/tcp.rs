//! TCP connections that std cannot make: from a chosen address, and ended by a reset.

#![allow(unsafe_code, reason = "binding before connecting, and SO_LINGER, are not in std")]

use std::io;
use std::mem;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

/// Connects from `from`, any port, to `to` within `limit`.
///
/// # Errors
/// The kernel's; `WouldBlock` or `InProgress` when it took too long.
pub fn connect_from(from: Ipv4Addr, to: SocketAddrV4, limit: Duration) -> io::Result<TcpStream> {
    // SAFETY: takes no pointer.
    let fd = check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: `fd` was just opened and belongs to nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let timeout = libc::timeval {
        tv_sec: limit.as_secs() as libc::time_t,
        tv_usec: limit.subsec_micros() as libc::suseconds_t,
    };
    // A connect waits as long as a send may.
    set_option(&socket, libc::SO_SNDTIMEO, &timeout)?;
    let address = sockaddr(SocketAddrV4::new(from, 0));
    // SAFETY: the address lives through the call and has the length that is said.
    check(unsafe { libc::bind(fd, ptr::from_ref(&address).cast(), SOCKADDR_LEN) })?;
    let address = sockaddr(to);
    // SAFETY: as above.
    check(unsafe { libc::connect(fd, ptr::from_ref(&address).cast(), SOCKADDR_LEN) })?;
    Ok(socket.into())
}

/// Ends `stream` by a reset.
///
/// # Errors
/// The kernel's.
pub fn reset(stream: TcpStream) -> io::Result<()> {
    let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
    set_option(&stream, libc::SO_LINGER, &at_once)
}

const SOCKADDR_LEN: libc::socklen_t = size_of::<libc::sockaddr_in>() as libc::socklen_t;

fn sockaddr(address: SocketAddrV4) -> libc::sockaddr_in {
    // SAFETY: all-zero bytes are a valid sockaddr_in.
    let mut raw: libc::sockaddr_in = unsafe { mem::zeroed() };
    raw.sin_family = libc::AF_INET as libc::sa_family_t;
    raw.sin_port = address.port().to_be();
    raw.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
    raw
}

fn set_option<T>(socket: &impl AsRawFd, option: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the value lives through the call and has the length that is said.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    check(done).map(drop)
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{SocketAddr, TcpListener};

    #[test]
    fn a_connection_comes_from_the_address_that_was_chosen_and_may_be_reset() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let SocketAddr::V4(to) = listener.local_addr().unwrap() else { panic!("it is IPv4") };
        let from = Ipv4Addr::new(127, 9, 9, 9);
        let stream = connect_from(from, to, Duration::from_secs(5)).unwrap();
        let (mut accepted, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip(), from);
        reset(stream).unwrap();
        assert_eq!(accepted.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}
