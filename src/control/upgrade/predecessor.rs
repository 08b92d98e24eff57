//! The new process's side: takes what the old one gives, and tells it when it may go.

use std::env;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use socket2::{Domain, Socket, Type};

use super::packet::{Channel, Packet, VERSION};
use super::{PASS_ON, TAKE_OVER, VARIABLE};
use crate::net::{inherited, rights};

/// Bytes of text that a predecessor may hand on; no configuration is so large.
const TEXT_BYTES_MAX: usize = 1 << 30;

/// The process that has started this one to be replaced by it.
pub struct Predecessor {
    channel: Channel,
}

impl Predecessor {
    /// Starts this program once more in place of this process, if that is what a predecessor wants of it: then this process is to end, and the new one,
    /// which takes over, is nobody's child but the service manager's. Where no process can be started, this one takes over itself, as
    /// whose child is of less weight.
    pub fn pass_on() -> bool {
        if env::var_os(VARIABLE).is_none_or(|wanted| wanted != PASS_ON) || !is_channel(&io::stdin()) {
            return false;
        }
        let mut arguments = env::args_os();
        // The very program of this process, whatever stands in its place by now.
        let mut command = Command::new("/proc/self/exe");
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        command.args(arguments).env(VARIABLE, TAKE_OVER).spawn().is_ok()
    }

    /// The channel to the predecessor, if this process was started by one. Standard input is `/dev/null` from here on then. To be asked for before anything reads
    /// standard input.
    ///
    /// # Errors
    /// The kernel's, if the channel cannot be taken.
    pub fn channel() -> io::Result<Option<OwnedFd>> {
        // The variable stays for programs that this process starts, but not the channel.
        if env::var_os(VARIABLE).is_none() || !is_channel(&io::stdin()) {
            return Ok(None);
        }
        rights::take_standard_input().map(Some)
    }

    /// Takes what the predecessor gives: its sockets are kept in [`inherited`]. Returns the text, if there is one, that
    /// it has read from where it can be read only once.
    ///
    /// # Errors
    /// If it does not give all, or speaks another version.
    ///
    /// # Panics
    /// Outside of a runtime with its I/O driver on.
    pub async fn receive(channel: OwnedFd) -> Result<(Self, Option<Vec<u8>>), String> {
        let broken = |error: io::Error| format!("taking over from the old process: {error}");
        let channel = Channel::over(channel).map_err(broken)?;
        let mut text: Option<Vec<u8>> = None;
        let mut is_welcome = false;
        loop {
            let Some((packet, sockets)) = channel.receive().await.map_err(broken)? else {
                return Err("the old process ended before it had handed over".into());
            };
            match packet {
                Packet::Welcome(VERSION) => {
                    is_welcome = true;
                    channel.send(&Packet::Started(std::process::id()), &[]).await.map_err(broken)?;
                }
                Packet::Welcome(version) => {
                    let why = format!(
                        "the old process hands over in version {version}, this takes version {VERSION}"
                    );
                    let _ = channel.send(&Packet::Failed(why.clone()), &[]).await;
                    return Err(why);
                }
                Packet::Sockets(purposes) if is_welcome => {
                    for (purpose, socket) in purposes.into_iter().zip(sockets) {
                        inherited::keep(socket, Some(purpose)).map_err(broken)?;
                    }
                }
                Packet::Text(part) if is_welcome => {
                    let text = text.get_or_insert_default();
                    if text.len() + part.len() > TEXT_BYTES_MAX {
                        return Err("the old process hands over more text than a configuration has".into());
                    }
                    text.extend_from_slice(&part);
                }
                Packet::Over if is_welcome => return Ok((Self { channel }, text)),
                _ => return Err("the old process hands over what it should not".into()),
            }
        }
    }

    /// Says that this process serves.
    pub async fn ready(&self) {
        // Whoever is gone is noticed by whoever waits for its word.
        let _ = self.channel.send(&Packet::Ready, &[]).await;
    }

    /// Says why this process does not serve.
    pub async fn failed(&self, why: &str) {
        let _ = self.channel.send(&Packet::Failed(why.to_owned()), &[]).await;
    }

    /// Waits until the predecessor takes nothing new any more; says whether it was asked to reload meanwhile, or `None` if it has ended without a
    /// word. Nothing is lost if the future is dropped.
    pub async fn has_left(&self) -> Option<bool> {
        match self.channel.receive().await {
            Ok(Some((Packet::TakeOver { reload }, _))) => Some(reload),
            _ => None,
        }
    }
}

/// Whether `input` is one end of a channel between processes.
fn is_channel(input: &impl std::os::fd::AsFd) -> bool {
    let Ok(copy) = input.as_fd().try_clone_to_owned() else { return false };
    let socket = Socket::from(copy);
    socket.r#type().is_ok_and(|kind| kind == Type::SEQPACKET)
        && socket.domain().is_ok_and(|domain| domain == Domain::UNIX)
}
