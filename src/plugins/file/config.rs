//! What the directives say.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::chain::Setup;
use crate::config::{Diagnostic, Directive, Problems, Word};
use crate::wire::Name;

/// All `file` directives of a block.
pub(super) struct Config {
    /// The files, in the order of the configuration.
    pub(super) files: Vec<FileConfig>,
    /// Where names that are not here are handed on; empty: nowhere.
    pub(super) fallthrough: Vec<Name>,
}

/// One directive.
pub(super) struct FileConfig {
    /// The word that names the file.
    pub(super) word: Word,
    /// The file, as the block's `root` makes it.
    pub(super) path: PathBuf,
    /// The origins that it is read for.
    pub(super) origins: Vec<Name>,
    /// How often it is looked at; zero: never again.
    pub(super) reload: Duration,
    /// Whether any change counts.
    pub(super) by_mtime: bool,
}

const RELOAD: Duration = Duration::from_secs(60);

const OPTIONS: &[&str] = &["fallthrough", "reload", "reload_by_mtime", "upstream"];

impl Config {
    /// Reads the directives of a block. What one sets holds for those behind it, too, as in CoreDNS; `fallthrough` for all.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub(super) fn read(setup: &mut Setup<'_>) -> Result<Self, Vec<Diagnostic>> {
        let mut problems = Problems::default();
        let mut config = Self { files: Vec::new(), fallthrough: Vec::new() };
        let (mut reload, mut by_mtime) = (RELOAD, false);
        for &directive in setup.directives {
            let Some((word, zones)) = directive.args.split_first() else {
                problems.push(directive.arg_error().help("file takes the name of a file, then zones"));
                continue;
            };
            let origins = setup.origins(zones);
            for option in directive.options() {
                problems.keep(option.no_block());
                match option.name.as_str() {
                    "fallthrough" => {
                        config.fallthrough = if option.args.is_empty() {
                            vec![Name::root()]
                        } else {
                            setup.origins(&option.args)
                        };
                    }
                    "reload" => {
                        if let Some(read) = problems.keep(duration(option)) {
                            reload = read;
                        }
                        warn_of_surplus(setup, option, 1);
                    }
                    "reload_by_mtime" => {
                        by_mtime = true;
                        problems.keep(option.no_args());
                    }
                    // As in CoreDNS without effect, which the configuration's own check says: the server is asked in any case.
                    "upstream" => {}
                    other => {
                        let error = option.name.error(format!("unknown property '{other}'"));
                        problems.push(error.choices(other, OPTIONS));
                    }
                }
            }
            let path = path(setup, word.as_str());
            config.files.push(FileConfig { word: word.clone(), path, origins, reload, by_mtime });
        }
        problems.finish(config)
    }
}

fn duration(option: &Directive) -> Result<Duration, Diagnostic> {
    let help = "such as 30s; 0 for never";
    let Some(word) = option.args.first() else {
        return Err(option.bare_error("reload duration value is expected").help(help));
    };
    // CoreDNS says the plugin's name twice.
    let duration = word.signed_duration().map_err(|error| error.in_plugin("file"))?;
    duration
        .positive()
        .ok_or_else(|| word.error(format!("reload cannot be negative: '{}'", word.text)).help(help))
}

fn warn_of_surplus(setup: &mut Setup<'_>, option: &Directive, most: usize) {
    if let Some(word) = option.args.get(most) {
        setup.warn(word.error(format!("'{}' is ignored", word.text)));
    }
}

/// The path as CoreDNS makes it: below `root` if that is set.
fn path(setup: &Setup<'_>, file: &str) -> PathBuf {
    let is_below_root = !Path::new(file).is_absolute() && !setup.block.root.as_os_str().is_empty();
    if is_below_root { setup.path(file).components().collect() } else { file.into() }
}
