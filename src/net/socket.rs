//! Opening sockets with what a DNS server needs of them.
#![allow(unsafe_code, reason = "socket options that no crate wraps; each call is argued where it stands")]

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Receive buffer of a listening UDP socket, bytes: some 5,000 small queries, 50 ms of a worker at full speed.
const UDP_RECV_BUFFER: usize = 4 << 20;

/// Send buffer of a listening UDP socket, bytes.
const UDP_SEND_BUFFER: usize = 2 << 20;

/// Receive buffer of a socket to an upstream, bytes: room for the replies to all queries that are in flight on it.
const CONNECTED_RECV_BUFFER: usize = 1 << 20;

/// Pending TCP connections the kernel keeps for us.
const TCP_BACKLOG: i32 = 1024;

/// Opens a listening UDP socket: SO_REUSEPORT (one socket a worker), non-blocking, packet info on wildcards, and datagrams that do
/// not fit the path are refused with EMSGSIZE rather than fragmented.
///
/// # Errors
/// The kernel's: the address is in use by another program, is not of this machine, or the port needs a capability.
pub fn udp_listener(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = datagram_socket(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Finds out whether `address` is free by binding it without SO_REUSEPORT, for UDP and TCP. A second server on the same port would
/// otherwise start without error and take half of the queries.
///
/// # Errors
/// [`io::ErrorKind::AddrInUse`] if another program has it; else the kernel's.
pub fn probe(address: SocketAddr, datagrams: bool) -> io::Result<()> {
    if datagrams {
        datagram_socket(address)?.bind(&address.into())
    } else {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        dual_stack(&socket, address)?;
        socket.bind(&address.into())?;
        socket.listen(1)
    }
}

fn datagram_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    dual_stack(&socket, address)?;
    set_datagram_options(&socket, address)?;
    Ok(socket)
}

/// A socket that somebody else has bound to `address`, made what [`udp_listener`] gives.
///
/// # Errors
/// The kernel's.
pub fn adopt_udp(socket: Socket, address: SocketAddr) -> io::Result<UdpSocket> {
    set_datagram_options(&socket, address)?;
    Ok(socket.into())
}

/// A socket that somebody else has made listen, made what [`tcp_listener`] gives.
///
/// # Errors
/// The kernel's.
pub fn adopt_tcp(socket: Socket) -> io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    // Said again, it changes no more than the number of connections that may be pending.
    socket.listen(TCP_BACKLOG)?;
    Ok(socket.into())
}

fn set_datagram_options(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    receive_buffer(socket, UDP_RECV_BUFFER)?;
    let fd = raw(socket);
    if set_option(fd, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, UDP_SEND_BUFFER as i32).is_err() {
        socket.set_send_buffer_size(UDP_SEND_BUFFER)?;
    }
    if address.is_ipv4() {
        set_option(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO)?;
    } else {
        set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DO)?;
    }
    if address.ip().is_unspecified() {
        if address.is_ipv4() {
            set_option(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
        } else {
            // Of a dual-stack socket this reports IPv4 destinations too, in mapped form.
            set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
            set_option(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO)?;
        }
    }
    Ok(())
}

/// Sets the receive buffer: beyond net.core.rmem_max only with CAP_NET_ADMIN, else as much as the limit allows.
fn receive_buffer(socket: &Socket, bytes: usize) -> io::Result<()> {
    if set_option(raw(socket), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes as i32).is_err() {
        socket.set_recv_buffer_size(bytes)?;
    }
    Ok(())
}

/// Opens a listening TCP socket with SO_REUSEPORT and SO_REUSEADDR, non-blocking.
///
/// # Errors
/// The kernel's, as for [`udp_listener`].
pub fn tcp_listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    dual_stack(&socket, address)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(TCP_BACKLOG)?;
    Ok(socket.into())
}

/// Opens a UDP socket connected to `upstream` from a port the kernel draws at random, optionally from `source`.
///
/// # Errors
/// The kernel's: no route, no such source address, no free port.
pub fn udp_connected(upstream: SocketAddr, source: Option<IpAddr>) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(upstream), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    receive_buffer(&socket, CONNECTED_RECV_BUFFER)?;
    if let Some(source) = source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    socket.connect(&upstream.into())?;
    Ok(socket.into())
}

/// Gives `socket` to the runtime to say when it can be read or has an error. Room for writing is not asked for: the kernel
/// would report each datagram that leaves.
///
/// # Errors
/// The kernel's: no memory, too many watched files.
pub fn watch_for_reading(socket: UdpSocket) -> io::Result<AsyncFd<UdpSocket>> {
    // SAFETY: a UdpSocket owns its descriptor, names the same one all its life, and closes it only when it is dropped, which the
    // AsyncFd that owns it from here on does after it has taken it back from the runtime.
    Ok(unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE | Interest::ERROR) }?)
}

/// Gives one end of a channel between processes to the runtime, to say when it can be read or written.
///
/// # Errors
/// The kernel's: no memory, too many watched files.
pub fn watch_channel(channel: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd names the same descriptor all its life, and closes it only when it is dropped, which the AsyncFd that owns it from
    // here on does after it has taken it back from the runtime.
    Ok(unsafe { AsyncFd::register(channel) }?)
}

/// True if the kernel would take something to send on `socket` now. It says so again once half of a full send buffer has left.
pub fn has_room(socket: BorrowedFd<'_>) -> bool {
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: one pollfd, and its count says one; with a time of zero the call does not wait.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
    ready > 0
}

/// Raises the number of descriptors the process may have to what it is allowed to raise it to. Where that fails the limit stays, and
/// sockets over it are refused by the kernel.
pub fn raise_descriptor_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit, into one that lives during the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0 && limit.rlim_cur < limit.rlim_max
    {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: the kernel reads one rlimit, which lives during the call.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    }
}

/// Where `address` is bound: all addresses of both families, written as the unspecified IPv6 address, are those of IPv4 on a machine without
/// IPv6.
pub fn bindable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() && address.is_ipv6() && !has_ipv6() {
        return SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
    }
    address
}

/// True if this machine can open IPv6 sockets at all.
pub fn has_ipv6() -> bool {
    Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))
        .and_then(|s| s.bind(&SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0)).into()))
        .is_ok()
}

fn dual_stack(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv6() { socket.set_only_v6(!address.ip().is_unspecified()) } else { Ok(()) }
}

fn raw(socket: &Socket) -> BorrowedFd<'_> {
    use std::os::fd::AsFd;
    socket.as_fd()
}

fn set_option(socket: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the value is an int that lives during the call, and its size is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of_val(&value) as u32,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_on_the_port_is_noticed() {
        let first = udp_listener("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        udp_listener(address).expect("a worker of ours shares the port");
        assert_eq!(probe(address, true).unwrap_err().kind(), io::ErrorKind::AddrInUse);

        let first = tcp_listener("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_eq!(probe(first.local_addr().unwrap(), false).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_connected_socket_keeps_its_source() {
        let upstream = UdpSocket::bind("127.0.0.1:0").unwrap();
        let source: IpAddr = "127.0.0.9".parse().unwrap();
        let socket = udp_connected(upstream.local_addr().unwrap(), Some(source)).unwrap();
        assert_eq!(socket.local_addr().unwrap().ip(), source);
    }

    #[test]
    fn a_full_send_buffer_is_seen() {
        use std::os::fd::AsFd;
        let socket = udp_listener("127.0.0.1:0".parse().unwrap()).unwrap();
        assert!(has_room(socket.as_fd()));
        let small = socket2::SockRef::from(&socket);
        small.set_send_buffer_size(1).unwrap();
        // Of a datagram that is not finished all bytes wait.
        let nobody: SocketAddr = "127.0.0.1:9".parse().unwrap();
        small.send_to_with_flags(&[0; 4000], &nobody.into(), libc::MSG_MORE).unwrap();
        assert!(!has_room(socket.as_fd()));
    }
}
