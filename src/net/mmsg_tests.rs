//! Tests of batched sends and receives over loopback.

use super::*;
use std::net::UdpSocket;
use std::os::fd::AsFd;

fn pair() -> (UdpSocket, UdpSocket) {
    (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap())
}

fn receive_all(socket: &UdpSocket, n: usize) -> Vec<Vec<u8>> {
    socket.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    let mut buffer = [0u8; 2048];
    (0..n)
        .map(|_| {
            let len = socket.recv(&mut buffer).unwrap();
            buffer[..len].to_vec()
        })
        .collect()
}

#[test]
fn a_batch_goes_out_and_comes_back() {
    let (a, b) = pair();
    let to = Peer::from(b.local_addr().unwrap());
    let payloads: Vec<Vec<u8>> = (0..40u8).map(|i| vec![i; 20 + (i as usize % 3)]).collect();
    for segmentation in [false, true] {
        let datagrams: Vec<Datagram<'_>> =
            payloads.iter().map(|p| Datagram { payload: p, to: Some(&to), from: None }).collect();
        let mut send = SendBatch::new(false, segmentation);
        send.send(a.as_fd(), &datagrams, |f| panic!("{f:?}"));
        let mut got = receive_all(&b, payloads.len());
        got.sort();
        assert_eq!(got, payloads);
        for count in [0, 1, 4, 5, 16, 17, 40, 150] {
            let payloads: Vec<Vec<u8>> = (0..count as u8).map(|i| vec![i; 20]).collect();
            let datagram = |i: usize| Datagram { payload: &payloads[i], to: Some(&to), from: None };
            send.send_each(a.as_fd(), count, datagram, |f| panic!("{f:?}"));
            let mut got = receive_all(&b, count);
            got.sort();
            assert_eq!(got, payloads);
        }
    }
}

#[test]
fn a_kernel_that_refuses_segmentation_gets_the_datagrams_one_by_one() {
    let (a, b) = pair();
    let on = 1i32;
    // Without checksums the kernel takes no segmented send.
    // SAFETY: the value is an int that lives during the call, and its size is given.
    let set = unsafe {
        libc::setsockopt(a.as_raw_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, (&raw const on).cast(), 4)
    };
    assert_eq!(set, 0);
    let to = Peer::from(b.local_addr().unwrap());
    let payloads: Vec<Vec<u8>> = (0..10u8).map(|i| vec![i; 50]).collect();
    let datagrams: Vec<Datagram<'_>> =
        payloads.iter().map(|p| Datagram { payload: p, to: Some(&to), from: None }).collect();
    let mut send = SendBatch::new(false, true);
    send.send(a.as_fd(), &datagrams, |f| panic!("{f:?}"));
    assert!(!send.segmentation, "the refusal is remembered");
    let mut got = receive_all(&b, payloads.len());
    got.sort();
    assert_eq!(got, payloads);
}

#[test]
fn a_peer_that_cannot_be_reached_takes_segmentation_from_nobody() {
    let (a, b) = pair();
    let nowhere = Peer::from(std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let somewhere = Peer::from(b.local_addr().unwrap());
    let datagrams = [&nowhere, &nowhere, &somewhere, &somewhere].map(|to| Datagram {
        payload: b"equal",
        to: Some(to),
        from: None,
    });
    let mut failures = Vec::new();
    let mut send = SendBatch::new(false, true);
    send.send(a.as_fd(), &datagrams, |f| failures.push(f.index));
    failures.sort_unstable();
    assert_eq!(failures, [0, 1], "nobody has port 0");
    assert!(send.segmentation);
    assert_eq!(receive_all(&b, 2), [b"equal", b"equal"]);
}

#[test]
fn received_datagrams_name_their_sender() {
    let (a, b) = pair();
    a.send_to(b"one", b.local_addr().unwrap()).unwrap();
    a.send_to(b"longer than eight", b.local_addr().unwrap()).unwrap();
    let mut batch = RecvBatch::new(8, 8, false);
    assert_eq!(batch.recv(b.as_fd()).unwrap(), 2);
    assert_eq!(batch.payload(0), b"one");
    assert_eq!(batch.peer(0).address(), a.local_addr().unwrap());
    assert!(!batch.is_cut(0) && batch.is_cut(1));
    assert_eq!(batch.payload(1), b"longer t");
    assert_eq!(batch.recv(b.as_fd()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn one_refused_datagram_does_not_stop_the_rest() {
    let (a, b) = pair();
    let to = Peer::from(b.local_addr().unwrap());
    let huge = vec![0u8; 70_000];
    let datagrams =
        [&b"first"[..], &huge, b"last"].map(|payload| Datagram { payload, to: Some(&to), from: None });
    let mut failures = Vec::new();
    SendBatch::new(false, true)
        .send(a.as_fd(), &datagrams, |f| failures.push((f.index, f.error.raw_os_error())));
    assert_eq!(failures, [(1, Some(libc::EMSGSIZE))]);
    let mut got = receive_all(&b, 2);
    got.sort();
    assert_eq!(got, [b"first".to_vec(), b"last".to_vec()]);
}

/// Denies recvmmsg and sendmmsg to the calling thread, for good.
fn deny_batches() {
    let step = |code: u32, jt, k| libc::sock_filter { code: code as u16, jt, jf: 0, k };
    let equals = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let mut steps = [
        // The number of the call is the first word of what a filter sees.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        step(equals, 2, libc::SYS_recvmmsg as u32),
        step(equals, 1, libc::SYS_sendmmsg as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: only numbers are handed over.
    let gains_nothing = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: the kernel copies the filter, which lives during the call.
    let filters = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!((gains_nothing, filters), (0, 0), "{}", io::Error::last_os_error());
}

#[test]
fn a_sandbox_that_knows_no_batches_gets_one_call_a_datagram() {
    let (a, b) = pair();
    // The filter is the thread's and ends with it.
    let sandboxed = std::thread::spawn(move || {
        deny_batches();
        let to = Peer::from(b.local_addr().unwrap());
        let mut send = SendBatch::new(false, true);
        let mut receive = RecvBatch::new(8, 64, false);
        let nothing = receive.recv(b.as_fd()).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        for lengths in [vec![20, 20, 20, 10, 30], vec![5], vec![20; 10]] {
            let payloads: Vec<Vec<u8>> = lengths.iter().map(|&len| vec![len as u8; len]).collect();
            let datagram = |i: usize| Datagram { payload: &payloads[i], to: Some(&to), from: None };
            send.send_each(a.as_fd(), payloads.len(), datagram, |f| panic!("{f:?}"));
            let mut got = Vec::new();
            while let Ok(received) = receive.recv(b.as_fd()) {
                assert!(received == (payloads.len() - got.len()).min(8), "{received}");
                assert!((0..received).all(|i| receive.peer(i).address() == a.local_addr().unwrap()));
                got.extend((0..received).map(|i| receive.payload(i).len()));
            }
            got.sort_unstable();
            let mut lengths = lengths;
            lengths.sort_unstable();
            assert_eq!(got, lengths);
        }
    });
    sandboxed.join().unwrap();
}
