//! The sockets of a listener: opened, or taken over from whoever had them before, and shared out to the workers.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use super::listener::{ListenerSpec, Scheme};
use crate::net::inherited::{self, Form};
use crate::net::socket;

/// Why a listener cannot be opened.
#[derive(Debug)]
pub struct BindError {
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// The address as configured.
    pub address: SocketAddr,
    /// The kernel's error.
    pub source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, address, source } = self;
        let call = if *protocol == "udp" { "ListenPacket" } else { "Listen" };
        let shown =
            if address.ip().is_unspecified() { format!(":{}", address.port()) } else { address.to_string() };
        let text = match source.kind() {
            io::ErrorKind::AddrInUse => "address already in use".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            io::ErrorKind::AddrNotAvailable => "cannot assign requested address".to_owned(),
            _ => source.to_string(),
        };
        write!(f, "{call}: listen {protocol} {shown}: bind: {text}")
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The sockets of a listener: all of them, or the part of one worker.
#[derive(Default)]
pub(super) struct Sockets {
    pub(super) udp: Vec<UdpSocket>,
    pub(super) tcp: Vec<TcpListener>,
}

impl Sockets {
    /// Opens `wanted` sockets of each kind, as a rule one for each worker. Those that this process was given for the listener come first: all of
    /// them, also where they are more, since what was sent to one that is closed would be lost; and where no further one may stand beside
    /// them, workers have to share.
    ///
    /// # Errors
    /// [`BindError`].
    pub(super) fn open(spec: &ListenerSpec, wanted: usize) -> Result<Self, BindError> {
        let mut address = socket::bindable(spec.address);
        let mut tcp: Vec<TcpListener> = Vec::with_capacity(wanted);
        for socket in take(spec, Form::Connections, address) {
            tcp.push(socket::adopt_tcp(socket).map_err(failed(spec, Form::Connections))?);
        }
        // The kernel may have chosen the port; all sockets of the listener go there.
        if let Some(chosen) = tcp.first().and_then(|first| first.local_addr().ok()) {
            address.set_port(chosen.port());
        }
        fill(&mut tcp, wanted, || {
            let opened = socket::tcp_listener(address)?;
            address.set_port(opened.local_addr()?.port());
            Ok(opened)
        })
        .map_err(failed(spec, Form::Connections))?;
        let mut udp = Vec::new();
        if spec.scheme.has_udp() {
            udp.reserve(wanted);
            for socket in take(spec, Form::Datagrams, address) {
                udp.push(socket::adopt_udp(socket, address).map_err(failed(spec, Form::Datagrams))?);
            }
            fill(&mut udp, wanted, || socket::udp_listener(address))
                .map_err(failed(spec, Form::Datagrams))?;
        }
        for (form, count) in [(Form::Connections, tcp.len()), (Form::Datagrams, udp.len())] {
            if count > 0 && count < wanted {
                tracing::info!(
                    "{wanted} workers share {count} inherited {form} socket(s) at {address}; with ReusePort=yes and a line for each \
                     worker in its unit, each has its own"
                );
            }
        }
        Ok(Self { udp, tcp })
    }

    /// Opens `count` more of each kind for a listener that is served at `address`. Where none may stand beside those that are there,
    /// these have to do, and that is logged.
    ///
    /// # Errors
    /// [`BindError`].
    pub(super) fn more(spec: &ListenerSpec, address: SocketAddr, count: usize) -> Result<Self, BindError> {
        let mut more = Self::default();
        for _ in 0..count {
            let opened =
                socket::tcp_listener(address).map_err(failed(spec, Form::Connections)).and_then(|tcp| {
                    let udp = spec.scheme.has_udp().then(|| socket::udp_listener(address)).transpose();
                    Ok((udp.map_err(failed(spec, Form::Datagrams))?, tcp))
                });
            match opened {
                Ok((udp, tcp)) => {
                    more.udp.extend(udp);
                    more.tcp.push(tcp);
                }
                Err(error) if is_kept_out(&error.source) => {
                    tracing::warn!("no more sockets are opened at {address}: {error}");
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(more)
    }

    /// Puts `more` beside those that are there.
    pub(super) fn extend(&mut self, more: Self) {
        self.udp.extend(more.udp);
        self.tcp.extend(more.tcp);
    }

    /// Copies of the descriptors, for each worker its part; with fewer sockets than workers some get the same.
    ///
    /// # Errors
    /// [`BindError`] if there are no descriptors left.
    pub(super) fn share_out(&self, spec: &ListenerSpec, workers: usize) -> Result<Vec<Self>, BindError> {
        let share = |worker| {
            Ok(Self {
                udp: part(&self.udp, worker, workers, UdpSocket::try_clone)
                    .map_err(failed(spec, Form::Datagrams))?,
                tcp: part(&self.tcp, worker, workers, TcpListener::try_clone)
                    .map_err(failed(spec, Form::Connections))?,
            })
        };
        (0..workers).map(share).collect()
    }

    /// The address as bound, port included.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.tcp.first().and_then(|first| first.local_addr().ok())
    }

    /// Each with its purpose, by which a successor knows it.
    pub(super) fn with_purposes(
        &self,
        scheme: Scheme,
        address: SocketAddr,
    ) -> impl Iterator<Item = (String, BorrowedFd<'_>)> {
        let (of_udp, of_tcp) =
            (purpose(scheme, address, Form::Datagrams), purpose(scheme, address, Form::Connections));
        let udp = self.udp.iter().map(move |socket| (of_udp.clone(), socket.as_fd()));
        udp.chain(self.tcp.iter().map(move |socket| (of_tcp.clone(), socket.as_fd())))
    }
}

/// What a socket is for, in words that a successor of another version has too: the listener as configured.
fn purpose(scheme: Scheme, address: SocketAddr, form: Form) -> String {
    format!("{}://{address} {form}", scheme.as_str())
}

/// What this process was given for `spec`.
fn take(spec: &ListenerSpec, form: Form, address: SocketAddr) -> Vec<socket2::Socket> {
    inherited::take(&purpose(spec.scheme, spec.address, form), form, address)
}

/// Opens sockets until there are `count`. If others are not let in beside those that are there, these have to do.
fn fill<S>(sockets: &mut Vec<S>, count: usize, mut open: impl FnMut() -> io::Result<S>) -> io::Result<()> {
    let given = sockets.len();
    while sockets.len() < count {
        match open() {
            Ok(socket) => sockets.push(socket),
            Err(error) if given > 0 && is_kept_out(&error) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A port is shared only with sockets of the same user that want to, and below 1024 by right.
fn is_kept_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
}

/// The part of `worker` among `all`, copied.
fn part<S>(
    all: &[S],
    worker: usize,
    workers: usize,
    copy: impl Fn(&S) -> io::Result<S>,
) -> io::Result<Vec<S>> {
    if worker < all.len() {
        return all.iter().skip(worker).step_by(workers).map(copy).collect();
    }
    all.get(worker.checked_rem(all.len()).unwrap_or(0)).map(copy).into_iter().collect()
}

fn failed(spec: &ListenerSpec, form: Form) -> impl Fn(io::Error) -> BindError {
    let (protocol, address) = (form.as_str(), spec.address);
    move |source| BindError { protocol, address, source }
}

/// Makes sure that nobody else has the port of a listener, for each protocol that it speaks.
pub(super) fn probe(spec: &ListenerSpec) -> Result<(), BindError> {
    let address = socket::bindable(spec.address);
    socket::probe(address, false).map_err(failed(spec, Form::Connections))?;
    if spec.scheme.has_udp() {
        socket::probe(address, true).map_err(failed(spec, Form::Datagrams))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::part;

    #[test]
    fn every_socket_has_a_worker_and_every_worker_a_socket() {
        let share = |sockets: &[u32], workers| -> Vec<Vec<u32>> {
            (0..workers).map(|worker| part(sockets, worker, workers, |&s| Ok(s)).unwrap()).collect()
        };
        assert_eq!(share(&[0, 1], 2), [[0], [1]]);
        assert_eq!(share(&[0, 1, 2, 3, 4], 2), [vec![0, 2, 4], vec![1, 3]]);
        assert_eq!(share(&[0, 1], 5), [[0], [1], [0], [1], [0]]);
        assert_eq!(share(&[], 2), [[0_u32; 0]; 2]);
    }
}
