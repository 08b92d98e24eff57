//! recvmmsg and sendmmsg: a batch of datagrams a system call, with packet info and segmentation offload.
#![allow(
    unsafe_code,
    reason = "std and tokio have no batched datagram calls; each block is argued where it stands"
)]

use std::io;
use std::mem::{MaybeUninit, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use super::peer::{LocalAddr, Peer};

/// Datagrams received or sent by one system call, at most. Measured: 8 cost 1 % more, 256 gain nothing.
pub const BATCH: usize = 64;

/// Room for the control messages of one datagram: packet info and a segment size.
const CONTROL: usize = 64;

/// Payload bytes of one segmented send, at most (an IPv4 datagram's limit less headers).
const SEGMENTED_BYTES_MAX: usize = 65_000;

/// The largest segment worth grouping; above it the path's MTU decides, so it goes alone.
const SEGMENT_BYTES_MAX: usize = 1_200;

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

/// Receive side: buffers and headers for [`BATCH`] datagrams, living as long as their worker.
pub struct RecvBatch {
    headers: Box<[libc::mmsghdr]>,
    // The headers point into the next four; they are boxed slices so that moving the batch moves none of them.
    _iovecs: Box<[libc::iovec]>,
    peers: Box<[Peer]>,
    controls: Box<[Control]>,
    buffers: Box<[u8]>,
    buffer_len: usize,
    packet_info: bool,
    filled: usize,
}

impl RecvBatch {
    /// Buffers for `batch` datagrams of `buffer_len` bytes; longer datagrams are cut, see [`Self::is_cut`].
    /// With `packet_info` each datagram's destination address is kept ([`Self::local`]).
    pub fn new(batch: usize, buffer_len: usize, packet_info: bool) -> Self {
        let batch = batch.clamp(1, BATCH);
        let mut buffers = vec![0u8; batch * buffer_len].into_boxed_slice();
        let mut peers = vec![Peer::unspecified(); batch].into_boxed_slice();
        let mut controls = vec![Control([0; CONTROL]); batch].into_boxed_slice();
        let mut iovecs: Box<[libc::iovec]> = buffers
            .chunks_exact_mut(buffer_len)
            .map(|chunk| libc::iovec { iov_base: chunk.as_mut_ptr().cast(), iov_len: buffer_len })
            .collect();
        let headers = (0..batch)
            .map(|i| {
                // SAFETY: mmsghdr is plain old data for which all zeroes is a valid value.
                let mut header: libc::mmsghdr = unsafe { zeroed() };
                header.msg_hdr.msg_name = (&raw mut peers[i].raw).cast();
                header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in6>() as u32;
                header.msg_hdr.msg_iov = &raw mut iovecs[i];
                header.msg_hdr.msg_iovlen = 1;
                if packet_info {
                    header.msg_hdr.msg_control = (&raw mut controls[i]).cast();
                    header.msg_hdr.msg_controllen = CONTROL as _;
                }
                header
            })
            .collect();
        Self { headers, _iovecs: iovecs, peers, controls, buffers, buffer_len, packet_info, filled: 0 }
    }

    /// Receives what is there without waiting and says how many datagrams; [`io::ErrorKind::WouldBlock`] if none.
    ///
    /// # Errors
    /// The kernel's, as for `recvmmsg(2)`.
    pub fn recv(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        // What the kernel wrote into the headers of the last call is set back, and no more of them than were used.
        for header in &mut self.headers[..self.filled] {
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in6>() as u32;
            if self.packet_info {
                header.msg_hdr.msg_controllen = CONTROL as _;
            }
        }
        self.filled = 0;
        // SAFETY: the headers point to buffers, names and control space that this value owns, each of the length its
        // header says; `&mut self` keeps everybody else away from them during the call.
        let n = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.headers.len() as u32,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        self.filled =
            if n < 0 { self.recv_one_by_one(socket, io::Error::last_os_error())? } else { n as usize };
        for (peer, header) in self.peers.iter_mut().zip(&self.headers[..self.filled]) {
            peer.len = header.msg_hdr.msg_namelen;
        }
        Ok(self.filled)
    }

    /// After recvmmsg has failed with `error`: the same by a call for each datagram, where it is the call that is not allowed. Sandboxes that
    /// were made for other servers know only that one.
    #[cold]
    fn recv_one_by_one(&mut self, socket: BorrowedFd<'_>, error: io::Error) -> io::Result<usize> {
        if !is_denied(&error) {
            return Err(error);
        }
        for (received, header) in self.headers.iter_mut().enumerate() {
            // SAFETY: as for the batch, of which this is one header.
            let n = unsafe {
                libc::recvmsg(socket.as_raw_fd(), &raw mut header.msg_hdr, libc::MSG_DONTWAIT as _)
            };
            match usize::try_from(n) {
                Ok(len) => header.msg_len = len as u32,
                Err(_) if received > 0 => return Ok(received),
                Err(_) => return Err(io::Error::last_os_error()),
            }
        }
        Ok(self.headers.len())
    }

    /// Datagrams one call can bring.
    pub fn capacity(&self) -> usize {
        self.headers.len()
    }

    /// The bytes of datagram `i` of the last [`Self::recv`].
    pub fn payload(&self, i: usize) -> &[u8] {
        let len = (self.headers[i].msg_len as usize).min(self.buffer_len);
        &self.buffers[i * self.buffer_len..][..len]
    }

    /// True if datagram `i` was longer than the buffer and lost its end.
    pub fn is_cut(&self, i: usize) -> bool {
        self.headers[i].msg_hdr.msg_flags & libc::MSG_TRUNC != 0
    }

    /// Who sent datagram `i`.
    pub fn peer(&self, i: usize) -> &Peer {
        &self.peers[i]
    }

    /// Where datagram `i` was sent to, if the batch was made with packet info.
    pub fn local(&self, i: usize) -> Option<LocalAddr> {
        if !self.packet_info {
            return None;
        }
        let header = &self.headers[i].msg_hdr;
        let control = &self.controls[i].0[..header.msg_controllen.min(CONTROL)];
        parse_packet_info(control)
    }
}

// SAFETY: the raw pointers in the headers point into heap memory owned by the same value, so it may change threads whole.
unsafe impl Send for RecvBatch {}

/// Walks control messages (`cmsghdr` then data, padded to the size of a word) for a packet info.
fn parse_packet_info(mut control: &[u8]) -> Option<LocalAddr> {
    const HEAD: usize = size_of::<libc::cmsghdr>();
    while control.len() >= HEAD {
        let len = usize::from_ne_bytes(control[..size_of::<usize>()].try_into().ok()?);
        if len < HEAD || len > control.len() {
            return None;
        }
        let level = i32::from_ne_bytes(control[HEAD - 8..HEAD - 4].try_into().ok()?);
        let kind = i32::from_ne_bytes(control[HEAD - 4..HEAD].try_into().ok()?);
        let value = &control[HEAD..len];
        match (level, kind) {
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if value.len() >= 20 => {
                let ip = Ipv6Addr::from(<[u8; 16]>::try_from(&value[..16]).ok()?);
                let interface = u32::from_ne_bytes(value[16..20].try_into().ok()?);
                let ip = ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4);
                return Some(LocalAddr { ip, interface });
            }
            (libc::IPPROTO_IP, libc::IP_PKTINFO) if value.len() >= 12 => {
                // in_pktinfo: interface, local address to answer from, destination in the header.
                let interface = u32::from_ne_bytes(value[..4].try_into().ok()?);
                let octets = <[u8; 4]>::try_from(&value[8..12]).ok()?;
                return Some(LocalAddr { ip: IpAddr::V4(Ipv4Addr::from(octets)), interface });
            }
            _ => {}
        }
        let step = len.next_multiple_of(size_of::<usize>());
        control = control.get(step..)?;
    }
    None
}

/// One datagram to send.
pub struct Datagram<'a> {
    /// What to send.
    pub payload: &'a [u8],
    /// Where to; `None` on a connected socket.
    pub to: Option<&'a Peer>,
    /// The address of ours it must leave from, on a wildcard socket.
    pub from: Option<LocalAddr>,
}

/// A datagram that the kernel did not take, and why.
#[derive(Debug)]
pub struct SendFailure {
    /// Its index in the slice given to [`SendBatch::send`].
    pub index: usize,
    /// The kernel's error.
    pub error: io::Error,
}

/// Send side: headers for [`BATCH`] datagrams, reused from call to call.
pub struct SendBatch {
    headers: Vec<libc::mmsghdr>,
    iovecs: Vec<libc::iovec>,
    controls: Box<[Control]>,
    /// Indexes into the caller's slice in the order they are sent, so that one peer's datagrams stand together.
    order: Vec<u16>,
    /// For each header: the first place in `order` and how many.
    spans: Vec<(u16, u16)>,
    segmentation: bool,
    dual_stack: bool,
}

// SAFETY: between calls the raw pointers in `headers` and `iovecs` are stale and never read; they are written anew by each send.
unsafe impl Send for SendBatch {}

impl SendBatch {
    /// `dual_stack`: the socket is of AF_INET6, so that IPv4 source addresses are written in mapped form.
    /// `segmentation`: group equal-sized datagrams to one peer into one UDP GSO send while the kernel takes it.
    pub fn new(dual_stack: bool, segmentation: bool) -> Self {
        Self {
            headers: Vec::with_capacity(BATCH),
            iovecs: Vec::with_capacity(BATCH),
            controls: vec![Control([0; CONTROL]); BATCH].into_boxed_slice(),
            order: Vec::with_capacity(BATCH),
            spans: Vec::with_capacity(BATCH),
            segmentation,
            dual_stack,
        }
    }

    /// Sends `datagrams`, at most [`BATCH`] of them, and calls `failed` for each that the kernel refused. A full send buffer is
    /// waited for briefly; what still finds no room is reported as [`io::ErrorKind::WouldBlock`].
    pub fn send(
        &mut self,
        socket: BorrowedFd<'_>,
        datagrams: &[Datagram<'_>],
        mut failed: impl FnMut(SendFailure),
    ) {
        for chunk_start in (0..datagrams.len()).step_by(BATCH) {
            let chunk = &datagrams[chunk_start..datagrams.len().min(chunk_start + BATCH)];
            self.send_chunk(socket, chunk, &mut |mut failure: SendFailure| {
                failure.index += chunk_start;
                failed(failure);
            });
        }
    }

    /// As [`Self::send`], for datagrams that stand in no slice: `datagram` gives those of 0 to `count`, in turn.
    pub fn send_each<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        count: usize,
        datagram: impl Fn(usize) -> Datagram<'a>,
        mut failed: impl FnMut(SendFailure),
    ) {
        for start in (0..count).step_by(BATCH) {
            let numbers = start..count.min(start + BATCH);
            let mut failed = |failure: SendFailure| {
                failed(SendFailure { index: failure.index + start, error: failure.error });
            };
            // Most batches are small, and to clear room for a large one would cost more than to fill it.
            match numbers.len() {
                ..=4 => self.send_up_to::<4>(socket, numbers.map(&datagram), &mut failed),
                5..=16 => self.send_up_to::<16>(socket, numbers.map(&datagram), &mut failed),
                _ => self.send_up_to::<BATCH>(socket, numbers.map(&datagram), &mut failed),
            }
        }
    }

    fn send_up_to<'a, const N: usize>(
        &mut self,
        socket: BorrowedFd<'_>,
        datagrams: impl ExactSizeIterator<Item = Datagram<'a>>,
        failed: &mut dyn FnMut(SendFailure),
    ) {
        let count = datagrams.len().min(N);
        let mut chunk: [Datagram<'a>; N] = [const { Datagram { payload: &[], to: None, from: None } }; N];
        for (place, datagram) in chunk.iter_mut().zip(datagrams) {
            *place = datagram;
        }
        self.send_chunk(socket, &chunk[..count], failed);
    }

    fn send_chunk(
        &mut self,
        socket: BorrowedFd<'_>,
        chunk: &[Datagram<'_>],
        failed: &mut dyn FnMut(SendFailure),
    ) {
        self.arrange(chunk);
        self.fill(chunk);
        let mut at = 0;
        let mut waited = false;
        while at < self.headers.len() {
            // SAFETY: each header from `at` on points to iovecs, names and control space that live until this function
            // returns: the payloads and peers are borrowed by `chunk`, the rest is owned by `self` and not grown meanwhile.
            let sent = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    self.headers[at..].as_mut_ptr(),
                    (self.headers.len() - at) as u32,
                    (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
                )
            };
            if sent > 0 {
                at += sent as usize;
                continue;
            }
            let mut error = io::Error::last_os_error();
            if is_denied(&error) {
                // SAFETY: as for the batch, of which this is one header.
                let sent = unsafe {
                    let header = &raw const self.headers[at].msg_hdr;
                    libc::sendmsg(socket.as_raw_fd(), header, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
                };
                if sent >= 0 {
                    at += 1;
                    continue;
                }
                error = io::Error::last_os_error();
            }
            match error.raw_os_error() {
                Some(libc::EINTR) => continue,
                Some(libc::EAGAIN | libc::ENOBUFS) if !waited => {
                    waited = true;
                    wait_for_room(socket);
                    continue;
                }
                _ => {}
            }
            let (first, count) = self.spans[at];
            let members = first as usize..first as usize + count as usize;
            if count > 1 {
                for place in members {
                    let index = self.order[place] as usize;
                    match send_alone(socket, &chunk[index], self.dual_stack) {
                        // Alone it goes: the kernel or the device takes no segmented send, so never again on this socket. Where
                        // it does not go either, that peer cannot be reached, which says nothing of the others.
                        Ok(()) => self.segmentation = false,
                        Err(error) => failed(SendFailure { index, error }),
                    }
                }
            } else {
                failed(SendFailure { index: self.order[members.start] as usize, error });
            }
            at += 1;
        }
    }

    /// Decides order and grouping: with segmentation, datagrams to one peer stand together, longest first, so that a run of
    /// equal lengths (the last may be shorter) can leave as one send.
    fn arrange(&mut self, chunk: &[Datagram<'_>]) {
        self.order.clear();
        self.spans.clear();
        self.order.extend(0..chunk.len() as u16);
        if !self.segmentation || chunk.len() < 2 || !any_peer_twice(chunk) {
            self.spans.extend((0..chunk.len() as u16).map(|i| (i, 1)));
            return;
        }
        self.order.sort_unstable_by_key(|&i| {
            let d = &chunk[i as usize];
            (d.to.map_or(0, Peer::sketch), std::cmp::Reverse(d.payload.len()))
        });
        let mut first = 0;
        while first < self.order.len() {
            let lead = &chunk[self.order[first] as usize];
            let segment = lead.payload.len();
            let mut bytes = segment;
            let mut next = first + 1;
            while next < self.order.len() && segment <= SEGMENT_BYTES_MAX {
                let d = &chunk[self.order[next] as usize];
                bytes += d.payload.len();
                if d.payload.len() > segment
                    || d.payload.is_empty()
                    || bytes > SEGMENTED_BYTES_MAX
                    || d.from != lead.from
                    || !same_peer(d.to, lead.to)
                {
                    break;
                }
                next += 1;
                if d.payload.len() < segment {
                    break;
                }
            }
            self.spans.push((first as u16, (next - first) as u16));
            first = next;
        }
    }

    fn fill(&mut self, chunk: &[Datagram<'_>]) {
        self.headers.clear();
        self.iovecs.clear();
        self.iovecs.extend(self.order.iter().map(|&i| {
            let payload = chunk[i as usize].payload;
            libc::iovec { iov_base: payload.as_ptr().cast_mut().cast(), iov_len: payload.len() }
        }));
        for (slot, &(first, count)) in self.spans.iter().enumerate() {
            let lead = &chunk[self.order[first as usize] as usize];
            let segment = if count > 1 { lead.payload.len() as u16 } else { 0 };
            let control_len = write_control(&mut self.controls[slot].0, lead.from, segment, self.dual_stack);
            // SAFETY: mmsghdr is plain old data for which all zeroes is a valid value.
            let mut header: libc::mmsghdr = unsafe { zeroed() };
            if let Some(peer) = lead.to {
                header.msg_hdr.msg_name = (&raw const peer.raw).cast_mut().cast();
                header.msg_hdr.msg_namelen = peer.len;
            }
            header.msg_hdr.msg_iov = &raw mut self.iovecs[first as usize];
            header.msg_hdr.msg_iovlen = count as _;
            if control_len > 0 {
                header.msg_hdr.msg_control = (&raw mut self.controls[slot]).cast();
                header.msg_hdr.msg_controllen = control_len as _;
            }
            self.headers.push(header);
        }
    }
}

/// True for what a sandbox says of a system call that it does not allow. Of a send, a firewall says the same.
fn is_denied(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM | libc::EACCES))
}

fn same_peer(a: Option<&Peer>, b: Option<&Peer>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.same_as(b),
        (None, None) => true,
        _ => false,
    }
}

/// A quick look whether grouping can gain anything: a small table of peer sketches. A false yes costs a sort, nothing else.
fn any_peer_twice(chunk: &[Datagram<'_>]) -> bool {
    let mut seen = [0u64; 4];
    for d in chunk {
        let Some(peer) = d.to else { return true };
        let bit = peer.sketch() >> 24;
        let (word, mask) = ((bit >> 6) as usize, 1u64 << (bit & 63));
        if seen[word] & mask != 0 {
            return true;
        }
        seen[word] |= mask;
    }
    false
}

fn wait_for_room(socket: BorrowedFd<'_>) {
    const ROOM_WAIT_MS_MAX: i32 = 2;
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: one pollfd, and its count says one.
    unsafe { libc::poll(&raw mut poll, 1, ROOM_WAIT_MS_MAX) };
}

/// Sends one datagram by itself.
fn send_alone(socket: BorrowedFd<'_>, datagram: &Datagram<'_>, dual_stack: bool) -> io::Result<()> {
    let mut control = Control([0; CONTROL]);
    let control_len = write_control(&mut control.0, datagram.from, 0, dual_stack);
    let mut iovec = libc::iovec {
        iov_base: datagram.payload.as_ptr().cast_mut().cast(),
        iov_len: datagram.payload.len(),
    };
    // SAFETY: msghdr is plain old data for which all zeroes is a valid value.
    let mut header: libc::msghdr = unsafe { zeroed() };
    if let Some(peer) = datagram.to {
        header.msg_name = (&raw const peer.raw).cast_mut().cast();
        header.msg_namelen = peer.len;
    }
    header.msg_iov = &raw mut iovec;
    header.msg_iovlen = 1;
    if control_len > 0 {
        header.msg_control = (&raw mut control).cast();
        header.msg_controllen = control_len as _;
    }
    // SAFETY: the header points to locals and borrowed bytes that outlive the call.
    let sent = unsafe {
        libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Writes the control messages of one send and returns their length, 0 if there are none.
fn write_control(
    control: &mut [u8; CONTROL],
    from: Option<LocalAddr>,
    segment: u16,
    dual_stack: bool,
) -> usize {
    let mut at = 0;
    if let Some(local) = from {
        match local.ip {
            IpAddr::V4(v4) if !dual_stack => {
                let mut value = [0u8; 12];
                value[4..8].copy_from_slice(&v4.octets());
                at += put_control(&mut control[at..], libc::IPPROTO_IP, libc::IP_PKTINFO, &value);
            }
            ip => {
                let v6 = match ip {
                    IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                    IpAddr::V6(v6) => v6,
                };
                let mut value = [0u8; 20];
                value[..16].copy_from_slice(&v6.octets());
                if v6.is_unicast_link_local() {
                    value[16..20].copy_from_slice(&local.interface.to_ne_bytes());
                }
                at += put_control(&mut control[at..], libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &value);
            }
        }
    }
    if segment > 0 {
        at += put_control(&mut control[at..], libc::SOL_UDP, libc::UDP_SEGMENT, &segment.to_ne_bytes());
    }
    at
}

fn put_control(out: &mut [u8], level: i32, kind: i32, value: &[u8]) -> usize {
    const HEAD: usize = size_of::<libc::cmsghdr>();
    let len = HEAD + value.len();
    out[..size_of::<usize>()].copy_from_slice(&len.to_ne_bytes());
    out[HEAD - 8..HEAD - 4].copy_from_slice(&level.to_ne_bytes());
    out[HEAD - 4..HEAD].copy_from_slice(&kind.to_ne_bytes());
    out[HEAD..len].copy_from_slice(value);
    len.next_multiple_of(size_of::<usize>())
}

const _: () = assert!(size_of::<MaybeUninit<libc::cmsghdr>>() == size_of::<usize>() + 8);

#[cfg(test)]
#[path = "mmsg_tests.rs"]
mod tests;
