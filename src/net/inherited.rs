//! Listening sockets that this process did not open itself: those of the process that it replaces, and those of a service manager.
//!
//! Like the descriptors they are the process's own, so there is one place for them. Whoever opens a listener asks here first; what nobody
//! has asked for when all listeners are open is closed.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use socket2::{Socket, Type};

/// What a socket carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Datagrams: UDP.
    Datagrams,
    /// Connections, which are accepted: TCP.
    Connections,
}

impl Form {
    /// The protocol that has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Datagrams => "udp",
            Self::Connections => "tcp",
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A socket that was opened before this process began.
struct Inherited {
    /// What it was for in the process before: only who is for the same gets it. A service manager does not say.
    purpose: Option<String>,
    address: SocketAddr,
    form: Form,
    socket: Socket,
}

/// Those that nobody has asked for yet.
static KEPT: Mutex<Vec<Inherited>> = Mutex::new(Vec::new());

fn kept() -> MutexGuard<'static, Vec<Inherited>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps `descriptor` for whoever asks for it: by `purpose` if there is one, else by what it is and where.
///
/// # Errors
/// If it is no listening socket of the Internet; it is closed then.
pub fn keep(descriptor: OwnedFd, purpose: Option<String>) -> io::Result<()> {
    let socket = Socket::from(descriptor);
    let unfit = |why| io::Error::new(io::ErrorKind::InvalidInput, why);
    let kind = socket.r#type()?;
    let address =
        socket.local_addr()?.as_socket().ok_or_else(|| unfit("it has no address of the Internet"))?;
    let form = match kind {
        Type::DGRAM => Form::Datagrams,
        Type::STREAM if socket.is_listener()? => Form::Connections,
        Type::STREAM => return Err(unfit("it does not listen (Accept=yes?)")),
        _ => return Err(unfit("it is neither of UDP nor of TCP")),
    };
    kept().push(Inherited { purpose, address, form, socket });
    Ok(())
}

/// Gives away all sockets that are for `purpose`, or that a service manager has opened in this form at `address`: in the order in which
/// they came.
pub fn take(purpose: &str, form: Form, address: SocketAddr) -> Vec<Socket> {
    let is_wanted = |inherited: &mut Inherited| match &inherited.purpose {
        Some(other) => other == purpose,
        None => {
            // All addresses of both families are not what a socket for IPv6 alone has.
            let is_narrower = address.ip().is_unspecified()
                && address.is_ipv6()
                && inherited.socket.only_v6().unwrap_or(false);
            inherited.form == form && inherited.address == address && !is_narrower
        }
    };
    kept().extract_if(.., is_wanted).map(|inherited| inherited.socket).collect()
}

/// Whether one that is kept has the port of `address` on some of its addresses, so that nobody else can be found there by trying.
pub fn overlap(address: SocketAddr) -> bool {
    kept().iter().any(|Inherited { address: ours, .. }| {
        ours.port() == address.port()
            && (ours.ip() == address.ip() || ours.ip().is_unspecified() || address.ip().is_unspecified())
    })
}

/// Closes all that nobody has asked for. Returns those of a service manager, which somebody has meant to be served: `udp 192.0.2.1:53`.
pub fn close_rest() -> Vec<String> {
    let rest = std::mem::take(&mut *kept());
    let unwanted = rest.iter().filter(|inherited| inherited.purpose.is_none());
    unwanted.map(|Inherited { form, address, .. }| format!("{form} {address}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    #[test]
    fn each_is_given_to_whoever_it_is_for() {
        let (udp, tcp) = (UdpSocket::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let (at, at_tcp) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
        keep(udp.try_clone().unwrap().into(), Some("one".into())).unwrap();
        keep(udp.into(), None).unwrap();
        keep(tcp.into(), None).unwrap();
        assert!(overlap(at) && overlap((std::net::Ipv6Addr::UNSPECIFIED, at.port()).into()));
        assert_eq!(take("another", Form::Connections, at).len(), 0, "the form is another");
        assert_eq!(take("another", Form::Datagrams, at).len(), 1, "a manager's is known by its address");
        assert_eq!(take("another", Form::Datagrams, at).len(), 0, "it is given once");
        assert_eq!(take("one", Form::Datagrams, at_tcp).len(), 1, "a predecessor's is known by its purpose");
        assert!(!overlap(at));
        assert_eq!(take("", Form::Connections, at_tcp).len(), 1);
    }

    #[test]
    fn what_does_not_listen_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(keep(connection.into(), None).unwrap_err().to_string().contains("Accept=yes"));
        let unix = std::os::unix::net::UnixDatagram::unbound().unwrap();
        assert!(keep(unix.into(), None).is_err());
        assert!(keep(std::fs::File::open("/dev/null").unwrap().into(), None).is_err());
    }
}
