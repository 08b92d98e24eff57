//! A command and how it is run.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{self, ExitStatus};

use crate::chain::EventHook;
use crate::config::quote;
use crate::log;
use crate::upstream::Random;

/// A program with its arguments.
#[derive(Debug)]
pub(super) struct Command {
    program: String,
    arguments: Vec<String>,
    /// Nobody waits for its end.
    is_background: bool,
    /// What log lines call it: a random UUID (RFC 9562 5.4).
    id: String,
}

impl Command {
    /// The command of these words, the last of which may be an `&`; `None` if there are none.
    pub(super) fn new(words: Vec<String>, random: &mut Random) -> Option<Self> {
        let mut words = words.into_iter();
        let program = words.next()?;
        let mut arguments: Vec<String> = words.collect();
        let is_background = arguments.last().is_some_and(|last| last == "&");
        if is_background {
            arguments.pop();
        }
        Some(Self { program, arguments, is_background, id: uuid(random) })
    }

    /// What runs it when its time has come.
    pub(super) fn into_hook(self) -> EventHook {
        Box::new(move || self.run())
    }

    fn run(self) {
        tracing::info!("{}", self.announcement());
        if let Err(error) = self.start() {
            log::plain(&format!("error on 'on-{}' hook: {error}", self.id));
        }
    }

    fn announcement(&self) -> String {
        let kind = if self.is_background { "Nonblocking" } else { "Blocking" };
        let line = format!("{} {}", self.program, self.arguments.join(" "));
        format!("{kind} Command \"{line}\" with ID {}", self.id)
    }

    /// Starts it with the process's own input and output and, if that is asked for, waits for its end.
    fn start(&self) -> Result<(), String> {
        let started = process::Command::new(&self.program).args(&self.arguments).spawn();
        let mut child = started.map_err(|error| self.go_error(&error))?;
        if self.is_background {
            // Somebody has to take note of its end, or the system keeps it on its books.
            let waiter = std::thread::Builder::new().name("on".into()).spawn(move || child.wait());
            return waiter.map(drop).map_err(|error| format!("waiting for its end: {error}"));
        }
        match child.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(go_status(status)),
            Err(error) => Err(self.go_error(&error)),
        }
    }

    /// Why it was not started, in the words of Go.
    fn go_error(&self, error: &io::Error) -> String {
        if error.kind() == io::ErrorKind::NotFound && !self.program.contains('/') {
            return format!("exec: {}: executable file not found in $PATH", quote(&self.program));
        }
        let text = error.to_string();
        let text = text.split(" (os error").next().unwrap_or(&text).to_lowercase();
        format!("fork/exec {}: {text}", self.program)
    }
}

/// How a program ended, in the words of Go.
fn go_status(status: ExitStatus) -> String {
    let signal = match (status.code(), status.signal()) {
        (Some(code), _) => return format!("exit status {code}"),
        (None, Some(libc::SIGHUP)) => "hangup",
        (None, Some(libc::SIGINT)) => "interrupt",
        (None, Some(libc::SIGQUIT)) => "quit",
        (None, Some(libc::SIGABRT)) => "aborted",
        (None, Some(libc::SIGKILL)) => "killed",
        (None, Some(libc::SIGSEGV)) => "segmentation fault",
        (None, Some(libc::SIGTERM)) => "terminated",
        (None, other) => return format!("signal: signal {}", other.unwrap_or_default()),
    };
    format!("signal: {signal}")
}

fn uuid(random: &mut Random) -> String {
    let mut word = || random.next_u16();
    let (version, variant) = (word() & 0x0FFF | 0x4000, word() & 0x3FFF | 0x8000);
    format!(
        "{:04x}{:04x}-{:04x}-{version:04x}-{variant:04x}-{:04x}{:04x}{:04x}",
        word(),
        word(),
        word(),
        word(),
        word(),
        word()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &[&str]) -> Command {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Command { id: "ID".to_owned(), ..Command::new(words, &mut Random::fixed(1)).unwrap() }
    }

    #[test]
    fn a_command_is_announced_as_coredns_does() {
        let check = |words: &[&str], want: &str| assert_eq!(command(words).announcement(), want);
        check(&["echo", "a b", "c"], "Blocking Command \"echo a b c\" with ID ID");
        check(&["true"], "Blocking Command \"true \" with ID ID");
        check(&["echo", "a", "&"], "Nonblocking Command \"echo a\" with ID ID");
        check(&["&"], "Blocking Command \"& \" with ID ID");
        assert!(Command::new(Vec::new(), &mut Random::fixed(1)).is_none());
    }

    #[test]
    fn how_it_ends_is_told_in_go_s_words() {
        let check = |words: &[&str], want: Result<(), &str>| {
            assert_eq!(command(words).start(), want.map_err(str::to_owned), "{words:?}");
        };
        check(&["true"], Ok(()));
        check(&["false", "&"], Ok(()));
        check(&["sh", "-c", "exit 7"], Err("exit status 7"));
        check(&["sh", "-c", "kill -9 $$"], Err("signal: killed"));
        check(&["sh", "-c", "kill -12 $$"], Err("signal: signal 12"));
        let missing = "exec: \"waypost-no-such-program\": executable file not found in $PATH";
        check(&["waypost-no-such-program"], Err(missing));
        check(&["waypost-no-such-program", "&"], Err(missing));
        check(&["/nonexistent/program"], Err("fork/exec /nonexistent/program: no such file or directory"));
        check(&["/etc/passwd"], Err("fork/exec /etc/passwd: permission denied"));
    }

    #[test]
    fn ids_are_random_uuids() {
        let mut random = Random::kernel();
        let (one, other) = (uuid(&mut random), uuid(&mut random));
        assert_ne!(one, other);
        let lengths: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(&one[14..15], "4");
        assert!(matches!(&one[19..20], "8" | "9" | "a" | "b"), "{one}");
    }
}
