#![doc = include_str!("README.md")]

mod command;
mod shell;

use self::command::Command;
use crate::chain::{Built, PluginSpec, Repeat, Setup};
use crate::config::{Diagnostic, Directive};
use crate::upstream::Random;

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "on",
    summary: "runs commands at the start and at the end",
    manual: include_str!("README.md"),
    repeat: Repeat::Many,
    metrics: &[],
    build,
};

/// When a command is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// A configuration has begun to be served.
    Startup,
    /// The process is told to end.
    Shutdown,
    /// A certificate was renewed, which happens neither here nor in CoreDNS.
    Certrenew,
}

const EVENTS: [(&str, Event); 3] =
    [("startup", Event::Startup), ("shutdown", Event::Shutdown), ("certrenew", Event::Certrenew)];

fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    let mut random = Random::kernel();
    let mut errors = Vec::new();
    for directive in setup.directives {
        match read(directive, &mut random) {
            Ok((Event::Startup, command)) => setup.block.on_started.push(command.into_hook()),
            Ok((Event::Shutdown, command)) => setup.block.on_shutdown.push(command.into_hook()),
            Ok((Event::Certrenew, _)) => {
                setup.block.warnings.push(
                    directive
                        .error("the command is never run: no certificates are renewed here")
                        .as_warning(),
                );
            }
            // CoreDNS does not say which plugin it is.
            Err(error) => errors.push(error.unnamed()),
        }
    }
    if errors.is_empty() { Ok(Vec::new()) } else { Err(errors) }
}

fn read(directive: &Directive, random: &mut Random) -> Result<(Event, Command), Diagnostic> {
    let event = directive.first_arg()?;
    let name = event.text.to_ascii_lowercase();
    let Some((_, found)) = EVENTS.iter().find(|(event, _)| *event == name) else {
        let message = format!("Wrong event name or event not supported: '{}'", event.text);
        return Err(event.error(message).choices(&name, &EVENTS.map(|(event, _)| event)));
    };
    directive.no_block()?;
    let words: Vec<&str> = directive.args[1..].iter().map(crate::config::Word::as_str).collect();
    let text = words.join(" ");
    let refuse = |message: String| Err(directive.last_word().error(message));
    match shell::split(&text) {
        Err(why) => refuse(format!("error parsing command: {why}")),
        Ok(words) => match Command::new(words, random) {
            Some(command) => Ok((*found, command)),
            None => refuse(format!("no command contained in '{text}'")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::testing;

    #[test]
    fn commands_are_kept_for_their_event() {
        let text = "on startup true\non SHUTDOWN echo \"a b\" &\non Startup false\non certrenew true";
        let (built, block) = testing::build(&SPEC, text).unwrap();
        assert!(built.is_empty());
        assert_eq!((block.on_started.len(), block.on_shutdown.len(), block.warnings.len()), (2, 1, 1));
    }

    #[test]
    fn errors_are_those_of_coredns() {
        let check = |text: &str, want: &str| {
            let want = format!("Corefile:1 - Error during parsing: {want}");
            assert_eq!(testing::build(&SPEC, text).err(), Some(want), "{text}");
        };
        check("on", "Wrong argument count or unexpected line ending after 'on'");
        check("on foo echo", "Wrong event name or event not supported: 'foo'");
        check("on startup", "no command contained in ''");
        check("on startup \"# no command\"", "no command contained in '# no command'");
        let why = "EOF found when expecting closing quote.";
        check("on startup \"echo 'a\"", &format!("error parsing command: {why}"));
        check("on startup echo {\n}", "Unexpected token '{', expecting argument");
    }
}
