//! Datagrams in batches: `recvmmsg`, `sendmmsg`, and runs of equal datagrams as one UDP GSO send.

#![allow(unsafe_code, reason = "recvmmsg, sendmmsg and UDP_SEGMENT have no safe form in std")]

use std::io::{self, IoSlice};
use std::mem;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::ptr;

/// Datagrams moved by one system call, at most. Larger batches gain nothing on loopback.
pub const BATCH: usize = 64;

/// Bytes of a GSO send, at most: what an IPv4 datagram may carry.
const GSO_BYTES_MAX: usize = 65_507;

/// How a receive waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Until the first datagram, then takes what else is there (`MSG_WAITFORONE`).
    ForOne,
    /// Not at all (`MSG_DONTWAIT`).
    Never,
}

/// A fixed set of [`BATCH`] buffers, their peers' addresses, and the headers that tie them together.
pub struct Batch {
    /// Points into the three vectors below, which are never resized.
    headers: Vec<libc::mmsghdr>,
    slices: Vec<libc::iovec>,
    peers: Vec<libc::sockaddr_storage>,
    buffers: Vec<u8>,
    /// Room for one time stamp a datagram; empty when none are wanted.
    control: Vec<[u64; CONTROL_WORDS]>,
    buffer_len: usize,
    with_peers: bool,
}

/// Enough for a control message with a timespec.
const CONTROL_WORDS: usize = 8;

impl Batch {
    /// Buffers of `buffer_len` bytes each. `with_peers` for unconnected sockets, which answer to whoever asked.
    pub fn new(buffer_len: usize, with_peers: bool) -> Self {
        let mut buffers = vec![0_u8; buffer_len * BATCH];
        let mut slices: Vec<libc::iovec> = buffers
            .chunks_exact_mut(buffer_len)
            .map(|buffer| libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer_len })
            .collect();
        // SAFETY: all-zero bytes are a valid sockaddr_storage (family AF_UNSPEC).
        let mut peers: Vec<libc::sockaddr_storage> = vec![unsafe { mem::zeroed() }; BATCH];
        let headers = slices
            .iter_mut()
            .zip(&mut peers)
            .map(|(slice, peer)| {
                // SAFETY: all-zero bytes are a valid mmsghdr (null pointers, zero lengths).
                let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
                header.msg_hdr.msg_iov = slice;
                header.msg_hdr.msg_iovlen = 1;
                if with_peers {
                    header.msg_hdr.msg_name = ptr::from_mut(peer).cast();
                    header.msg_hdr.msg_namelen = PEER_LEN;
                }
                header
            })
            .collect();
        Self { headers, slices, peers, buffers, control: Vec::new(), buffer_len, with_peers }
    }

    /// With room for the arrival times that [`stamp_arrivals`] asks the kernel for.
    pub fn with_stamps(mut self) -> Self {
        self.control = vec![[0; CONTROL_WORDS]; BATCH];
        for (header, control) in self.headers.iter_mut().zip(&mut self.control) {
            header.msg_hdr.msg_control = control.as_mut_ptr().cast();
        }
        self
    }

    /// Receives up to [`BATCH`] datagrams, and says how many.
    ///
    /// # Errors
    /// The kernel's, `WouldBlock` among them when there is nothing and `wait` is [`Wait::Never`].
    pub fn receive(&mut self, socket: &UdpSocket, wait: Wait) -> io::Result<usize> {
        for (header, slice) in self.headers.iter_mut().zip(&mut self.slices) {
            slice.iov_len = self.buffer_len;
            if self.with_peers {
                header.msg_hdr.msg_namelen = PEER_LEN;
            }
            if !self.control.is_empty() {
                header.msg_hdr.msg_controllen = CONTROL_WORDS * size_of::<u64>();
            }
        }
        let flags = match wait {
            Wait::ForOne => libc::MSG_WAITFORONE,
            Wait::Never => libc::MSG_DONTWAIT,
        };
        // SAFETY: each header points to a buffer, an iovec, and where wanted an address and a control buffer, that
        // `self` owns and that do not move; their lengths were just set to what is really there.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                flags,
                ptr::null_mut(),
            )
        };
        usize::try_from(received).map_err(|_| io::Error::last_os_error())
    }

    /// The received bytes of datagram `index`.
    pub fn datagram(&self, index: usize) -> &[u8] {
        let start = index * self.buffer_len;
        let len = (self.headers[index].msg_len as usize).min(self.buffer_len);
        &self.buffers[start..start + len]
    }

    /// When datagram `index` arrived at its socket, in nanoseconds of the system's time; none when not stamped.
    pub fn arrival(&self, index: usize) -> Option<u64> {
        if self.control.is_empty() {
            return None;
        }
        let header = &self.headers[index].msg_hdr;
        // SAFETY: the control buffer is aligned for cmsghdr, and the kernel set its length to what it wrote;
        // CMSG_FIRSTHDR gives null unless a whole header fits.
        let cmsg = unsafe { libc::CMSG_FIRSTHDR(header).as_ref()? };
        // SAFETY: CMSG_LEN only computes.
        let wanted = unsafe { libc::CMSG_LEN(size_of::<libc::timespec>() as libc::c_uint) } as usize;
        if (cmsg.cmsg_level, cmsg.cmsg_type) != (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS)
            || cmsg.cmsg_len < wanted
        {
            return None;
        }
        // SAFETY: a control message of that type and length holds a timespec.
        let time = unsafe { libc::CMSG_DATA(cmsg).cast::<libc::timespec>().read_unaligned() };
        Some(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }

    /// The whole buffer of datagram `index`, and how many bytes of it were received.
    pub fn buffer_mut(&mut self, index: usize) -> (&mut [u8], usize) {
        let start = index * self.buffer_len;
        let len = (self.headers[index].msg_len as usize).min(self.buffer_len);
        (&mut self.buffers[start..start + self.buffer_len], len)
    }

    /// Sets how many bytes of buffer `index` a following [`Batch::send`] sends.
    pub fn set_len(&mut self, index: usize, len: usize) {
        self.slices[index].iov_len = len.min(self.buffer_len);
    }

    /// Sends the first `count` buffers back to the peers they came from.
    ///
    /// # Errors
    /// The kernel's, for the first datagram it refused; those before it are sent.
    pub fn send(&mut self, socket: &UdpSocket, count: usize) -> io::Result<()> {
        let mut sent = 0;
        while sent < count.min(BATCH) {
            let rest = &mut self.headers[sent..count];
            // SAFETY: as in `receive`; the lengths are at most what each buffer holds (`set_len`).
            let done = unsafe {
                libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), rest.len() as libc::c_uint, 0)
            };
            sent += usize::try_from(done).map_err(|_| io::Error::last_os_error())?;
        }
        Ok(())
    }

    /// Puts datagram `index` and its peer aside, to be sent later with [`Aside::send`].
    pub fn aside(&self, index: usize) -> Aside {
        let start = index * self.buffer_len;
        Aside {
            bytes: self.buffers[start..start + self.slices[index].iov_len].into(),
            peer: self.peers[index],
            peer_len: self.headers[index].msg_hdr.msg_namelen,
        }
    }
}

/// One datagram put aside with the address it goes to.
pub struct Aside {
    bytes: Box<[u8]>,
    peer: libc::sockaddr_storage,
    peer_len: libc::socklen_t,
}

impl Aside {
    /// Sends it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn send(&self, socket: &UdpSocket) -> io::Result<()> {
        // SAFETY: both pointers are to fields of `self`, with their own lengths.
        let sent = unsafe {
            libc::sendto(
                socket.as_raw_fd(),
                self.bytes.as_ptr().cast(),
                self.bytes.len(),
                0,
                ptr::from_ref(&self.peer).cast(),
                self.peer_len,
            )
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// Sends `segments`, all of one length, as one GSO datagram to the connected peer of `socket`.
///
/// # Errors
/// The kernel's: `EIO`, `EINVAL` or `ENOPROTOOPT` where GSO is not to be had.
pub fn send_gso(socket: &UdpSocket, segments: &[IoSlice<'_>]) -> io::Result<()> {
    let segment_len = segments.first().map_or(0, |segment| segment.len());
    // SAFETY: CMSG_SPACE only computes.
    let space = unsafe { libc::CMSG_SPACE(2) } as usize;
    let mut control = [0_u64; 4];
    debug_assert!(space <= size_of_val(&control));
    // SAFETY: all-zero bytes are a valid msghdr.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    // `IoSlice` is documented to have the layout of iovec; the kernel does not write through a send's iovec.
    header.msg_iov = segments.as_ptr().cast_mut().cast();
    header.msg_iovlen = segments.len();
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = space;
    // SAFETY: `control` is aligned for cmsghdr and `space` bytes of it are there, which is what one control
    // message with two bytes takes; the pointers live until sendmsg returns.
    let sent = unsafe {
        let cmsg = libc::CMSG_FIRSTHDR(&raw const header);
        (*cmsg).cmsg_level = libc::SOL_UDP;
        (*cmsg).cmsg_type = libc::UDP_SEGMENT;
        (*cmsg).cmsg_len = libc::CMSG_LEN(2) as usize;
        libc::CMSG_DATA(cmsg).cast::<u16>().write_unaligned(segment_len as u16);
        libc::sendmsg(socket.as_raw_fd(), &raw const header, 0)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// How many datagrams of `len` bytes one GSO send may carry.
pub fn gso_segments_max(len: usize) -> usize {
    (GSO_BYTES_MAX / len.max(1)).clamp(1, BATCH)
}

/// Sends `datagrams` to the connected peer of `socket` with as few `sendmmsg` as it takes.
///
/// # Errors
/// The kernel's, with how many were sent before it.
pub fn send_each(socket: &UdpSocket, datagrams: &[IoSlice<'_>]) -> Result<(), (usize, io::Error)> {
    let mut sent = 0;
    // SAFETY: all-zero bytes are a valid mmsghdr.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
    while sent < datagrams.len() {
        let rest = &datagrams[sent..datagrams.len().min(sent + BATCH)];
        for (header, datagram) in headers.iter_mut().zip(rest) {
            header.msg_hdr.msg_iov = ptr::from_ref(datagram).cast_mut().cast();
            header.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: the first `rest.len()` headers each point to one iovec (IoSlice has its layout) over bytes
        // borrowed for this call.
        let done = unsafe {
            libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), rest.len() as libc::c_uint, 0)
        };
        match usize::try_from(done) {
            Ok(done) => sent += done,
            Err(_) => return Err((sent, io::Error::last_os_error())),
        }
    }
    Ok(())
}

/// Asks the kernel to stamp each datagram with the time it arrived at `socket`.
///
/// # Errors
/// The kernel's.
pub fn stamp_arrivals(socket: &UdpSocket) -> io::Result<()> {
    set_option(socket, libc::SO_TIMESTAMPNS, 1)
}

/// Asks the kernel for a receive buffer of `bytes`, past the system's limit where we may (`SO_RCVBUFFORCE`).
///
/// # Errors
/// The kernel's.
pub fn set_receive_buffer(socket: &UdpSocket, bytes: usize) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    set_option(socket, libc::SO_RCVBUFFORCE, bytes).or_else(|_| set_option(socket, libc::SO_RCVBUF, bytes))
}

fn set_option(socket: &UdpSocket, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the value is a c_int with its own length.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            ptr::from_ref(&value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

const PEER_LEN: libc::socklen_t = size_of::<libc::sockaddr_storage>() as libc::socklen_t;

/// Waits until one of many sockets can be read (epoll, level-triggered).
pub struct Readiness {
    epoll: std::os::fd::OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Readiness {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes no pointer.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just opened and belongs to nobody else.
        let epoll = unsafe { std::os::fd::FromRawFd::from_raw_fd(fd) };
        Ok(Self { epoll, events: vec![libc::epoll_event { events: 0, u64: 0 }; 256] })
    }

    /// Watches `socket`; `token` is what [`Readiness::wait`] gives for it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn watch(&self, socket: &UdpSocket, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        // SAFETY: `event` lives through the call.
        let done = unsafe {
            libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, socket.as_raw_fd(), &raw mut event)
        };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits at most `nanos` and gives the tokens of the sockets that can be read.
    ///
    /// # Errors
    /// The kernel's, but for an interrupted wait, which counts as none.
    pub fn wait(&mut self, nanos: u64) -> io::Result<impl Iterator<Item = u64> + '_> {
        let timeout = libc::timespec {
            tv_sec: (nanos / 1_000_000_000) as libc::time_t,
            tv_nsec: (nanos % 1_000_000_000) as libc::c_long,
        };
        // SAFETY: `events` holds as many events as said; the timeout lives through the call; no signal mask.
        let ready = unsafe {
            libc::epoll_pwait2(
                self.epoll.as_raw_fd(),
                self.events.as_mut_ptr(),
                self.events.len() as libc::c_int,
                &raw const timeout,
                ptr::null(),
            )
        };
        let ready = match usize::try_from(ready) {
            Ok(ready) => ready,
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
                0
            }
        };
        Ok(self.events[..ready].iter().map(|event| event.u64))
    }
}
