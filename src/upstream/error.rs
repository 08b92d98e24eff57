//! Why an exchange brought no reply, in the words that CoreDNS's users search their logs for (those of Go's net package).

use std::fmt;
use std::io;
use std::net::SocketAddr;

use super::Transport;

/// An exchange that brought no reply. Whose fault it was: [`ErrorKind::Overloaded`], [`ErrorKind::InvalidQuery`] and, mostly,
/// [`ErrorKind::System`] while dialling are ours, the rest are the upstream's or the way's to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeError {
    /// What went wrong.
    pub kind: ErrorKind,
    /// What was being done.
    pub act: Act,
    /// Over which transport.
    pub transport: Transport,
    /// Our end, if there was one already.
    pub local: Option<SocketAddr>,
    /// The upstream.
    pub upstream: SocketAddr,
}

/// What went wrong with an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// No reply, or no connection, in time.
    Timeout,
    /// Nobody listens there: ICMP port unreachable, or a TCP reset while connecting.
    Refused,
    /// The upstream closed the connection before it replied.
    Closed {
        /// It did so in the middle of a message.
        mid_message: bool,
    },
    /// The reply was for us but is no DNS message.
    MalformedReply,
    /// What came by a connection was too short for the header of a message: what follows it is not to be trusted either.
    ShortMessage,
    /// Another error of the system call, an errno.
    System(i32),
    /// As many queries are in flight to this upstream as may be; nothing was sent.
    Overloaded,
    /// The query holds no single question; nothing was sent.
    InvalidQuery,
}

/// What was being done when an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Opening a socket or connection.
    Dial,
    /// Waiting for the reply.
    Read,
    /// Sending the query.
    Write,
}

impl ErrorKind {
    pub(super) fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::TimedOut => Self::Timeout,
            io::ErrorKind::UnexpectedEof => Self::Closed { mid_message: true },
            _ => Self::System(error.raw_os_error().unwrap_or(libc::EIO)),
        }
    }
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.kind {
            ErrorKind::Overloaded => return write!(f, "too many queries in flight to {}", self.upstream),
            ErrorKind::InvalidQuery => {
                return write!(f, "proxy: invalid request: not a query of one question");
            }
            ErrorKind::ShortMessage => return f.write_str("dns: short read"),
            ErrorKind::MalformedReply => return write!(f, "malformed reply from {}", self.upstream),
            ErrorKind::Closed { mid_message: false } => return f.write_str("EOF"),
            ErrorKind::Closed { mid_message: true } => return f.write_str("unexpected EOF"),
            ErrorKind::Timeout => None,
            ErrorKind::Refused => Some(libc::ECONNREFUSED),
            ErrorKind::System(errno) => Some(errno),
        };
        let (act, call) = match self.act {
            Act::Dial if why == Some(libc::EADDRNOTAVAIL) => ("dial", "bind"),
            Act::Dial => ("dial", "connect"),
            Act::Read => ("read", "read"),
            Act::Write => ("write", "write"),
        };
        write!(f, "{act} {} ", self.transport.name())?;
        if let Some(local) = self.local {
            write!(f, "{local}->")?;
        }
        write!(f, "{}: ", self.upstream)?;
        match why {
            None => f.write_str("i/o timeout"),
            Some(errno) => write!(f, "{call}: {}", Errno(errno)),
        }
    }
}

impl std::error::Error for ExchangeError {}

/// An error number in Go's words, which do not differ between C libraries.
pub(super) struct Errno(pub(super) i32);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            libc::EPERM => "operation not permitted",
            libc::EACCES => "permission denied",
            libc::EINVAL => "invalid argument",
            libc::EMFILE => "too many open files",
            libc::ENFILE => "too many open files in system",
            libc::EPIPE => "broken pipe",
            libc::EMSGSIZE => "message too long",
            libc::EAFNOSUPPORT => "address family not supported by protocol",
            libc::EADDRINUSE => "address already in use",
            libc::EADDRNOTAVAIL => "cannot assign requested address",
            libc::ENETDOWN => "network is down",
            libc::ENETUNREACH => "network is unreachable",
            libc::ECONNABORTED => "software caused connection abort",
            libc::ECONNRESET => "connection reset by peer",
            libc::ENOBUFS => "no buffer space available",
            libc::ETIMEDOUT => "connection timed out",
            libc::ECONNREFUSED => "connection refused",
            libc::EHOSTDOWN => "host is down",
            libc::EHOSTUNREACH => "no route to host",
            libc::EAGAIN => "resource temporarily unavailable",
            other => return write!(f, "{}", io::Error::from_raw_os_error(other)),
        };
        f.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: ErrorKind, act: Act, transport: Transport, local: Option<&str>, text: &str) {
        let local = local.map(|l| l.parse().unwrap());
        let upstream = "127.0.0.1:53".parse().unwrap();
        assert_eq!(ExchangeError { kind, act, transport, local, upstream }.to_string(), text);
    }

    #[test]
    fn errors_read_as_those_of_go() {
        use {Act::*, ErrorKind::*, Transport::*};
        let local = Some("127.0.0.1:1234");
        check(Timeout, Read, Udp, local, "read udp 127.0.0.1:1234->127.0.0.1:53: i/o timeout");
        check(Refused, Read, Udp, local, "read udp 127.0.0.1:1234->127.0.0.1:53: read: connection refused");
        check(
            Refused,
            Write,
            Udp,
            local,
            "write udp 127.0.0.1:1234->127.0.0.1:53: write: connection refused",
        );
        check(Refused, Dial, Tcp, None, "dial tcp 127.0.0.1:53: connect: connection refused");
        check(Timeout, Dial, Tcp, None, "dial tcp 127.0.0.1:53: i/o timeout");
        let text = "dial udp 10.9.9.9:0->127.0.0.1:53: bind: cannot assign requested address";
        check(System(libc::EADDRNOTAVAIL), Dial, Udp, Some("10.9.9.9:0"), text);
        let text = "read tcp 127.0.0.1:1234->127.0.0.1:53: read: connection reset by peer";
        check(System(libc::ECONNRESET), Read, Tcp, local, text);
        check(Closed { mid_message: false }, Read, Tcp, local, "EOF");
        check(Closed { mid_message: true }, Read, Tcp, local, "unexpected EOF");
        check(ShortMessage, Read, Tcp, local, "dns: short read");
    }
}
