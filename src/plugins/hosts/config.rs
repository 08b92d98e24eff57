//! What the directive says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::lines;
use crate::chain::Setup;
use crate::config::{Diagnostic, Directive, Problems, Word};
use crate::wire::Name;

/// One `hosts` directive.
pub(super) struct Config {
    /// The file, as the block's `root` makes it.
    pub(super) path: PathBuf,
    /// The word that names it; `None` for the default.
    pub(super) file: Option<Word>,
    /// The zones whose names are served; `None` for all names.
    pub(super) zones: Option<Vec<Name>>,
    /// Where names that are not here are handed on; empty: nowhere.
    pub(super) fallthrough: Vec<Name>,
    /// Whether types other than A, AAAA and PTR are handed on there too.
    pub(super) fallthrough_unsupported: bool,
    /// Whether addresses are looked up.
    pub(super) reverse: bool,
    /// TTL of all records, seconds.
    pub(super) ttl: u32,
    /// How often the file is looked at; zero: never again.
    pub(super) reload: Duration,
    /// The lines of the directive that are entries.
    pub(super) inline: String,
}

const OPTIONS: &[&str] = &["fallthrough", "fallthrough_unsupported", "no_reverse", "reload", "ttl"];

impl Config {
    /// Reads the directive.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) fn read(setup: &mut Setup<'_>) -> Result<Self, Vec<Diagnostic>> {
        let directive = setup.directives[0];
        let (file, zones) = match directive.args.split_first() {
            Some((file, zones)) => (Some(file.clone()), zones),
            None => (None, &[][..]),
        };
        let mut config = Self {
            path: path(setup, file.as_ref().map_or("/etc/hosts", |word| word.as_str())),
            file,
            zones: Some(Vec::new()),
            fallthrough: Vec::new(),
            fallthrough_unsupported: false,
            reverse: true,
            ttl: 3600,
            reload: Duration::from_secs(5),
            inline: String::new(),
        };
        let zones = if zones.is_empty() { setup.zones.to_vec() } else { names(setup, zones) };
        config.zones = (!zones.iter().any(Name::is_root)).then_some(zones);
        let mut problems = Problems::default();
        for option in directive.options() {
            if let Err(error) = option.no_block() {
                problems.push(error);
            }
            config.read_option(setup, &mut problems, option, &option.name, &option.args);
        }
        if config.fallthrough_unsupported && config.fallthrough.is_empty() {
            problems.push(
                directive
                    .error_at_end("fallthrough_unsupported requires fallthrough")
                    .help("add a line 'fallthrough'"),
            );
        }
        problems.finish(config)
    }

    fn read_option(
        &mut self,
        setup: &mut Setup<'_>,
        problems: &mut Problems,
        line: &Directive,
        name: &Word,
        args: &[Word],
    ) {
        match name.as_str() {
            "fallthrough" if args.is_empty() => self.fallthrough = vec![Name::root()],
            "fallthrough" => self.fallthrough = names(setup, args),
            "fallthrough_unsupported" => {
                problems.keep(line.no_args());
                self.fallthrough_unsupported = true;
            }
            "no_reverse" => {
                self.reverse = false;
                // CoreDNS takes what stands behind as a line of its own.
                if let Some((name, args)) = args.split_first() {
                    self.read_option(setup, problems, line, name, args);
                }
            }
            "ttl" => {
                if let Some(ttl) = problems.keep(ttl(line, args)) {
                    self.ttl = ttl;
                }
                if let Some(surplus) = args.get(1) {
                    setup.warn(surplus.error("ttl takes one number; what follows is ignored"));
                }
            }
            "reload" => {
                if let Some(reload) = problems.keep(reload(line, args)) {
                    self.reload = reload;
                }
            }
            _ if self.fallthrough.is_empty() => self.read_entry(setup, name, args),
            other => {
                let error = name.error(format!("unknown property '{other}'")).choices(other, OPTIONS);
                problems.push(match lines::address(other.as_bytes()) {
                    Some(_) => error.help("entries stand before the line 'fallthrough'"),
                    None => error,
                });
            }
        }
    }

    /// Takes a line as an entry; what it says is read with the others, as a file. CoreDNS takes every line that is no option; lines that are
    /// not even an address are warned of where the configuration is read, and names that will not be served here.
    fn read_entry(&mut self, setup: &mut Setup<'_>, first: &Word, rest: &[Word]) {
        for word in rest.iter().take_while(|word| !word.as_str().starts_with('#')) {
            let outside = |name: &Name| self.zones.as_ref().is_some_and(|zones| !lines::is_in(name, zones));
            if lines::name(word.as_str().as_bytes()).is_some_and(|name| outside(&name)) {
                let message =
                    format!("'{}' is outside the zones of this directive and is ignored", word.text);
                setup.warn(word.error(message));
            }
        }
        let mut words = std::iter::once(first).chain(rest).map(Word::as_str);
        self.inline.extend(words.next());
        for word in words {
            self.inline.push(' ');
            self.inline.push_str(word);
        }
        self.inline.push('\n');
    }
}

fn ttl(line: &Directive, args: &[Word]) -> Result<u32, Diagnostic> {
    let help = "a number of seconds from 1 to 65535";
    let word = args.first().ok_or_else(|| line.error("ttl needs a time in second").help(help))?;
    let ttl: i64 = word.integer(..).map_err(|_| word.error("ttl needs a number of second").help(help))?;
    match u32::try_from(ttl) {
        Ok(ttl @ 1..=65_535) => Ok(ttl),
        _ => Err(word.error("ttl provided is invalid").help(help)),
    }
}

fn reload(line: &Directive, args: &[Word]) -> Result<Duration, Diagnostic> {
    let [word] = args else {
        return Err(line.error("reload needs a duration (zero seconds to disable)").help("such as 5s"));
    };
    let duration = word
        .signed_duration()
        .map_err(|error| error.reworded(format!("invalid duration for reload '{}'", word.text)).located())?;
    let negative = || word.error(format!("invalid negative duration for reload '{}'", word.text));
    duration.positive().ok_or_else(negative)
}

/// The path as CoreDNS makes and shows it: below `root` if that is set.
fn path(setup: &Setup<'_>, file: &str) -> PathBuf {
    let is_below_root = !Path::new(file).is_absolute() && !setup.block.root.as_os_str().is_empty();
    if is_below_root { setup.path(file).components().collect() } else { file.into() }
}

/// The zones that words name; a word that names none is skipped, as in CoreDNS, but not in silence.
fn names(setup: &mut Setup<'_>, words: &[Word]) -> Vec<Name> {
    let mut names = Vec::new();
    for word in words {
        let zones = word.zones().map_err(|error| error.message);
        let found: Result<Vec<_>, _> = zones.and_then(|zones| {
            zones
                .iter()
                .map(|zone| Name::from_text(zone))
                .collect::<Result<_, _>>()
                .map_err(|e| e.to_string())
        });
        match found {
            Ok(found) => names.extend(found),
            Err(why) => setup.warn(
                word.error(format!("'{}' is ignored: {why}", word.text))
                    .help("a zone is a domain name or a network such as 10.0.0.0/8"),
            ),
        }
    }
    names
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
