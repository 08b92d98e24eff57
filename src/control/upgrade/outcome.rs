//! How an upgrade went, told to a command that has asked for it with a signal, which has no answer of its own.
//!
//! The command listens at a name of the kernel's that is made of the server's process ID, then sends the signal. Whether anybody listens there is all the
//! same to the server; it tells its own user and root only, as a reason may quote the configuration. The command believes that process alone.

use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{self, SocketAddr};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// Bytes of an outcome at most.
const TEXT_BYTES_MAX: u64 = 64 * 1024;

/// How long the server waits for the command to take the outcome.
const TELL_LIMIT: Duration = Duration::from_secs(1);

/// How long whoever connects may take to say something.
const HEAR_LIMIT: Duration = Duration::from_secs(5);

fn name(server: u32) -> String {
    format!("waypost-upgrade-{server}")
}

/// Waits for the outcome of an upgrade.
pub struct Listener {
    server: u32,
    listener: UnixListener,
}

impl Listener {
    /// Listens for the outcome of the upgrade of the process `server`.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] if another command does; else the kernel's.
    ///
    /// # Panics
    /// Outside of a runtime with its I/O driver on.
    pub fn of(server: u32) -> io::Result<Self> {
        let listener = net::UnixListener::bind_addr(&SocketAddr::from_abstract_name(name(server))?)?;
        listener.set_nonblocking(true)?;
        Ok(Self { server, listener: UnixListener::from_std(listener)? })
    }

    /// The new process's ID. Waits until it is told.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn hear(&self) -> Result<u32, String> {
        loop {
            let Ok((stream, _)) = self.listener.accept().await else { continue };
            let is_server =
                stream.peer_cred().is_ok_and(|peer| peer.pid() == i32::try_from(self.server).ok());
            if !is_server {
                continue;
            }
            let mut text = String::new();
            let mut stream = stream.take(TEXT_BYTES_MAX);
            match tokio::time::timeout(HEAR_LIMIT, stream.read_to_string(&mut text)).await {
                Ok(Ok(_)) => {}
                _ => return Err("the server does not say how it went".into()),
            }
            return match text.parse() {
                Ok(successor) => Ok(successor),
                Err(_) => Err(text),
            };
        }
    }
}

/// Tells whoever waits for it how this process's upgrade went. It takes a moment at most, and nobody has to listen.
pub async fn tell(outcome: &Result<u32, String>) {
    let text = match outcome {
        Ok(successor) => successor.to_string(),
        Err(why) => why.clone(),
    };
    // Nothing hangs on it.
    let _ = tokio::time::timeout(TELL_LIMIT, async {
        let mut stream = connect()?;
        stream.write_all(text.as_bytes()).await?;
        stream.shutdown().await
    })
    .await;
}

/// Connects without waiting: a listener of the kernel's own kind takes a connection at once or not at all.
fn connect() -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(format!("\0{}", name(std::process::id())))?)?;
    let stream = UnixStream::from_std(net::UnixStream::from(socket))?;
    let (we, they) = (fs::metadata("/proc/self")?.uid(), stream.peer_cred()?.uid());
    if they == we || they == 0 { Ok(stream) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}
