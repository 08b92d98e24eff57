//! Arguments as Go's `flag` package reads them: one or two dashes, `-x=v` or `-x v`, flags before words.

use std::ffi::OsString;
use std::path::PathBuf;

use super::upgrade::Target;

/// What the arguments come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Invocation(Invocation),
    Help,
    /// An unknown flag, or one with a bad value: the message.
    BadFlag(String),
    /// Words that belong to no command.
    Extra(Vec<String>),
}

/// A command with its flags.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invocation {
    pub(super) command: Command,
    pub(super) flags: Flags,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Serve.
    Run,
    /// Look at configurations without serving them; without files, at the one that would be served.
    Check { files: Vec<PathBuf>, json: bool },
    /// List the plugins.
    Plugins,
    /// Say what this is.
    Version,
    /// Print a plugin's manual.
    Explain(String),
    /// Have a running server hand over to a new process.
    Upgrade(Target),
    /// Ask a running server whether it lives; without a target, its page of health.
    Health(Option<String>),
}

/// CoreDNS's flags.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct Flags {
    /// `-conf`: a file, or `stdin`.
    pub(super) conf: Option<PathBuf>,
    /// `-dns.port`, `-p`: the port of keys without one; 53 if not given.
    pub(super) dns_port: Option<u16>,
    /// `-pidfile`.
    pub(super) pidfile: Option<PathBuf>,
    /// `-quiet`.
    pub(super) quiet: bool,
}

/// Reads the arguments, without the program's name.
pub(super) fn parse(arguments: impl Iterator<Item = OsString>) -> Parsed {
    let mut arguments = arguments.map(|a| a.to_string_lossy().into_owned()).peekable();
    let mut flags = Flags::default();
    let (mut plugins, mut version, mut json) = (false, false, false);
    let mut pid = None;
    let word = arguments.next_if(|a| !a.starts_with('-'));
    let mut words: Vec<String> = Vec::new();
    while let Some(argument) = arguments.next() {
        let Some(flag) = argument.strip_prefix('-').filter(|f| !f.is_empty()) else {
            // Go stops reading flags at the first word; so that `check FILE --json` works we go on for commands of our own.
            words.push(argument);
            if word.is_none() {
                words.extend(arguments.by_ref());
            }
            continue;
        };
        if flag == "-" {
            words.extend(arguments.by_ref());
            continue;
        }
        let flag = flag.strip_prefix('-').unwrap_or(flag);
        if flag.starts_with(['-', '=']) {
            return Parsed::BadFlag(format!("bad flag syntax: {argument}"));
        }
        let (name, mut value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        match name {
            "h" | "help" => return Parsed::Help,
            "conf" | "p" | "dns.port" | "pidfile" | "pid" => {
                if value.is_none() {
                    value = arguments.next();
                }
                let Some(value) = value else {
                    return Parsed::BadFlag(format!("flag needs an argument: -{name}"));
                };
                match name {
                    // Said and left empty, as by a variable that is not set, it is not said.
                    "conf" => flags.conf = Some(value).filter(|value| !value.is_empty()).map(Into::into),
                    "pidfile" => flags.pidfile = Some(value.into()),
                    "pid" => match value.parse() {
                        Ok(id) if id > 0 => pid = Some(id),
                        _ => {
                            return Parsed::BadFlag(format!(
                                "invalid value \"{value}\" for flag -pid: a process ID is a number above 0"
                            ));
                        }
                    },
                    _ => match value.parse() {
                        Ok(port) => flags.dns_port = Some(port),
                        Err(_) => {
                            return Parsed::BadFlag(format!(
                                "invalid value \"{value}\" for flag -{name}: a port is 0 to 65535"
                            ));
                        }
                    },
                }
            }
            "quiet" | "plugins" | "version" | "json" => {
                let on = match value.as_deref() {
                    None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => true,
                    Some("0" | "f" | "F" | "false" | "FALSE" | "False") => false,
                    Some(value) => {
                        return Parsed::BadFlag(format!(
                            "invalid boolean value \"{value}\" for -{name}: parse error"
                        ));
                    }
                };
                match name {
                    "quiet" => flags.quiet = on,
                    "plugins" => plugins = on,
                    "version" => version = on,
                    _ => json = on,
                }
            }
            _ => return Parsed::BadFlag(format!("flag provided but not defined: -{name}")),
        }
    }
    let command = match word.as_deref() {
        Some("check") => Command::Check {
            files: std::mem::take(&mut words).into_iter().map(PathBuf::from).collect(),
            json,
        },
        Some("explain") if words.len() == 1 => Command::Explain(words.remove(0)),
        Some("health") if words.len() <= 1 => Command::Health(words.pop()),
        Some("help") => return Parsed::Help,
        Some("plugins") => Command::Plugins,
        Some("version") => Command::Version,
        Some("upgrade") => match (pid.take(), flags.pidfile.take()) {
            (Some(id), None) => Command::Upgrade(Target::Process(id)),
            (None, Some(path)) => Command::Upgrade(Target::PidFile(path)),
            _ => {
                return Parsed::BadFlag(
                    "upgrade needs either -pid or -pidfile, to know which server".to_owned(),
                );
            }
        },
        Some("run") | None if version => Command::Version,
        Some("run") | None if plugins => Command::Plugins,
        Some("run") | None => Command::Run,
        Some(other) => {
            words.insert(0, other.to_owned());
            return Parsed::Extra(words);
        }
    };
    if json && !matches!(command, Command::Check { .. }) {
        return Parsed::BadFlag("flag provided but not defined: -json".to_owned());
    }
    if pid.is_some() {
        return Parsed::BadFlag("flag provided but not defined: -pid".to_owned());
    }
    if !words.is_empty() {
        return Parsed::Extra(words);
    }
    Parsed::Invocation(Invocation { command, flags })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &str) -> Parsed {
        parse(arguments.split_whitespace().map(OsString::from))
    }

    fn runs(flags: Flags) -> Parsed {
        Parsed::Invocation(Invocation { command: Command::Run, flags })
    }

    #[test]
    fn flags_are_spelled_as_go_has_them() {
        let conf = |port| runs(Flags { conf: Some("C".into()), dns_port: port, ..Flags::default() });
        for arguments in ["-conf C", "--conf C", "-conf=C", "--conf=C", "run -conf C"] {
            assert_eq!(check(arguments), conf(None), "{arguments}");
        }
        for arguments in ["-conf C -p 1053", "-dns.port=1053 -conf=C", "-p 1 -conf C -dns.port 1053"] {
            assert_eq!(check(arguments), conf(Some(1053)), "{arguments}");
        }
        assert_eq!(check("-quiet=false"), runs(Flags::default()));
        assert_eq!(check("-conf="), runs(Flags::default()));
        assert_eq!(
            check("-quiet -pidfile /p"),
            runs(Flags { quiet: true, pidfile: Some("/p".into()), ..Flags::default() })
        );
        assert_eq!(check("-h"), Parsed::Help);
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(check("-nosuch"), Parsed::BadFlag("flag provided but not defined: -nosuch".into()));
        assert_eq!(check("-conf"), Parsed::BadFlag("flag needs an argument: -conf".into()));
        for odd in ["---", "-=x", "---quiet"] {
            assert_eq!(check(odd), Parsed::BadFlag(format!("bad flag syntax: {odd}")));
        }
        assert!(matches!(check("-p x"), Parsed::BadFlag(m) if m.contains("\"x\"")));
        assert!(matches!(check("-p 65536"), Parsed::BadFlag(_)));
        assert!(matches!(check("-quiet=maybe"), Parsed::BadFlag(_)));
        for bad in
            ["-json", "-pid 7", "upgrade", "upgrade -pid 0", "upgrade -pid x", "upgrade -pid 1 -pidfile F"]
        {
            assert!(matches!(check(bad), Parsed::BadFlag(_)), "{bad}");
        }
        assert_eq!(check("a b"), Parsed::Extra(vec!["a".into(), "b".into()]));
        assert_eq!(check("-quiet a -conf C"), Parsed::Extra(vec!["a".into(), "-conf".into(), "C".into()]));
    }

    #[test]
    fn commands_of_our_own() {
        let want = Command::Check { files: vec!["F".into()], json: true };
        assert_eq!(
            check("check F --json"),
            Parsed::Invocation(Invocation { command: want, flags: Flags::default() })
        );
        for (arguments, command) in [
            ("-plugins", Command::Plugins),
            ("-plugins -version", Command::Version),
            ("version", Command::Version),
            ("-version", Command::Version),
            ("explain hosts", Command::Explain("hosts".into())),
            ("upgrade -pid 7", Command::Upgrade(Target::Process(7))),
            ("upgrade --pidfile=F", Command::Upgrade(Target::PidFile("F".into()))),
            ("health", Command::Health(None)),
            ("health :8091", Command::Health(Some(":8091".into()))),
        ] {
            assert_eq!(check(arguments), Parsed::Invocation(Invocation { command, flags: Flags::default() }));
        }
    }
}
