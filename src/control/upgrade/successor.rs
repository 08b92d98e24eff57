//! The old process's side: starts the new one, gives it all it needs, and stays until that one serves.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::packet::{Channel, Packet, TEXT_BYTES_MAX, VERSION};
use super::{PASS_ON, VARIABLE};
use crate::net::kill;
use crate::net::rights::DESCRIPTORS_MAX;

/// What a service manager says to the process it has started, and to that one alone.
const OF_THIS_PROCESS: &[&str] =
    &["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID", "SYSTEMD_EXEC_PID"];

/// How long a process that has closed the channel may take to end by itself, so that its exit code is known.
const END_LIMIT: Duration = Duration::from_secs(1);

/// How often that is looked at.
const END_LOOKS: Duration = Duration::from_millis(10);

/// How this process was started, and so how its successor is.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    /// The arguments; the first is the name it was called by.
    arguments: Vec<OsString>,
}

impl Program {
    /// Of this process. To be asked for at its start: later the file may have been replaced, and what is at its place then is the new version.
    ///
    /// # Errors
    /// If the kernel does not tell which program this is.
    pub fn of_this_process() -> io::Result<Self> {
        let arguments: Vec<OsString> = env::args_os().collect();
        let program = env::current_exe()?;
        // A link leads to the new version when it is set anew, so where one was followed to start this process it is followed again.
        let called = arguments.first().map(PathBuf::from).filter(|called| called.components().count() > 1);
        let called = called.and_then(|called| std::path::absolute(called).ok());
        let is_link_to_it = |called: &PathBuf| fs::canonicalize(called).is_ok_and(|target| target == program);
        let path = called.filter(is_link_to_it).unwrap_or(program);
        Ok(Self { path, arguments })
    }

    fn start(&self, channel: Socket) -> io::Result<Child> {
        let mut arguments = self.arguments.iter();
        let mut command = Command::new(&self.path);
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        for variable in OF_THIS_PROCESS {
            command.env_remove(variable);
        }
        command.args(arguments).env(VARIABLE, PASS_ON);
        command.stdin(Stdio::from(OwnedFd::from(channel)));
        command.spawn()
    }
}

/// A process that is to take over from this one. If it is dropped before it has, it is killed.
pub struct Successor {
    /// Starts the process that takes over, and ends.
    child: Child,
    /// That process's ID, once it has said so and as long as it has the channel.
    id: Option<u32>,
    channel: Channel,
    has_taken_over: bool,
}

impl Successor {
    /// Starts `program` with the priority of the calling thread, and gives it `sockets`, each with what it is for, and the text that can be read only
    /// once, if there is such.
    ///
    /// # Errors
    /// A sentence saying why it cannot be started, or that it ended.
    ///
    /// # Panics
    /// Outside of a runtime with its I/O driver on.
    pub async fn start(
        program: &Program,
        sockets: &[(String, BorrowedFd<'_>)],
        read_once: Option<&[u8]>,
    ) -> Result<Self, String> {
        let cannot = |error: io::Error| format!("starting {}: {error}", program.path.display());
        let (ours, theirs) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).map_err(cannot)?;
        ours.set_nonblocking(true).map_err(cannot)?;
        theirs.set_nonblocking(true).map_err(cannot)?;
        let channel = Channel::over(ours.into()).map_err(cannot)?;
        let child = program.start(theirs).map_err(cannot)?;
        let mut successor = Self { child, id: None, channel, has_taken_over: false };
        match successor.give(sockets, read_once).await {
            Ok(()) => Ok(successor),
            Err(error) => Err(successor.explain(Some(error)).await),
        }
    }

    async fn give(&self, sockets: &[(String, BorrowedFd<'_>)], read_once: Option<&[u8]>) -> io::Result<()> {
        self.channel.send(&Packet::Welcome(VERSION), &[]).await?;
        for part in sockets.chunks(DESCRIPTORS_MAX) {
            let purposes = part.iter().map(|(purpose, _)| purpose.clone()).collect();
            let descriptors: Vec<_> = part.iter().map(|&(_, descriptor)| descriptor).collect();
            self.channel.send(&Packet::Sockets(purposes), &descriptors).await?;
        }
        if let Some(text) = read_once {
            // One at least, as an empty text is another thing than none.
            self.channel.send(&Packet::Text(Vec::new()), &[]).await?;
            for part in text.chunks(TEXT_BYTES_MAX) {
                self.channel.send(&Packet::Text(part.to_owned()), &[]).await?;
            }
        }
        self.channel.send(&Packet::Over, &[]).await
    }

    /// Waits until it serves, no longer than `limit`; returns its process ID.
    ///
    /// # Errors
    /// A sentence saying why it does not.
    pub async fn ready(&mut self, limit: Duration) -> Result<u32, String> {
        tokio::time::timeout(limit, self.hear())
            .await
            .unwrap_or_else(|_| Err(format!("the new process does not serve after {} s", limit.as_secs())))
    }

    async fn hear(&mut self) -> Result<u32, String> {
        loop {
            match (self.channel.receive().await, self.id) {
                (Ok(Some((Packet::Started(id), _))), None) => self.id = Some(id),
                (Ok(Some((Packet::Ready, _))), Some(id)) => {
                    // Without its parent it is the service manager's child, which that one looks at when it is told of it.
                    self.end().await;
                    return Ok(id);
                }
                (Ok(Some((Packet::Failed(why), _))), _) => return Err(why),
                (Ok(Some(_)), _) => return Err("the new process says what was not asked".into()),
                (Ok(None), _) => return Err(self.explain(None).await),
                (Err(error), _) => return Err(self.explain(Some(error)).await),
            }
        }
    }

    /// Waits a moment for the end of the child; how it ended, if it did.
    async fn end(&mut self) -> Option<ExitStatus> {
        let end = tokio::time::timeout(END_LIMIT, async {
            loop {
                if let Ok(Some(status)) = self.child.try_wait() {
                    return status;
                }
                tokio::time::sleep(END_LOOKS).await;
            }
        });
        end.await.ok()
    }

    /// Leaves it all that comes from now on, a reload too if there is one to do.
    ///
    /// # Errors
    /// A sentence, if it has ended just now.
    pub async fn take_over(mut self, reload: bool) -> Result<(), String> {
        match self.channel.send(&Packet::TakeOver { reload }, &[]).await {
            Ok(()) => {
                self.has_taken_over = true;
                Ok(())
            }
            Err(error) => Err(self.explain(Some(error)).await),
        }
    }

    /// Why the channel has ended, in words.
    async fn explain(&mut self, error: Option<io::Error>) -> String {
        // The child of one that has passed on has ended well. That one is gone, as it has the channel no more.
        self.id = None;
        match (self.end().await, error) {
            (Some(status), _) if status.success() => {
                "the new process ended before it served; its log may say why".into()
            }
            (Some(status), _) => format!("the new process ended: {status}"),
            (None, Some(error)) => format!("the new process does not listen: {error}"),
            (None, None) => "the new process is no waypost that takes over".into(),
        }
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if !self.has_taken_over {
            // All fail only if there is none any more.
            let _ = self.child.kill();
            let _ = self.child.wait();
            if let Some(id) = self.id {
                let _ = kill::end(id);
            }
        }
    }
}
