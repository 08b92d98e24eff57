#![doc = include_str!("README.md")]

use std::io::ErrorKind;
use std::path::Path;

use crate::chain::{Built, PluginSpec, Repeat, Setup};
use crate::config::{Diagnostic, Problems, Word, system_error};

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "root",
    summary: "says where relative paths of other plugins begin",
    manual: include_str!("README.md"),
    repeat: Repeat::Many,
    metrics: &[],
    build,
};

/// Built before all others, whose paths begin here.
fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    let mut problems = Problems::default();
    let mut last = None;
    for directive in setup.directives {
        problems.keep(directive.no_block());
        last = problems.keep(directive.one_arg()).or(last);
    }
    if let Some(path) = last {
        problems.keep(look_at(path, setup));
        setup.block.root = path.as_str().into();
    }
    problems.finish(Vec::new())
}

/// A directory that is not there may come later; one that may not be looked at will not work.
fn look_at(path: &Word, setup: &mut Setup<'_>) -> Result<(), Diagnostic> {
    match Path::new(path.as_str()).metadata() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            setup.warn(path.bare_error(format!("Root path does not exist: {}", path.text)));
            Ok(())
        }
        Err(error) => {
            let why = system_error("stat", &path.text, &error);
            Err(path.error(format!("unable to access root path '{}': {why}", path.text)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::testing;

    fn root(text: &str) -> Result<String, String> {
        testing::build(&SPEC, text).map(|(_, setup)| setup.root.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_last_path_counts_whether_it_exists_or_not() {
        assert_eq!(root("root /tmp").unwrap(), "/tmp");
        assert_eq!(root("root /tmp\nroot /nonexistent").unwrap(), "/nonexistent");
        assert_eq!(root("root zones").unwrap(), "zones");
    }

    #[test]
    fn other_plugins_paths_begin_there() {
        let (_, mut block) = testing::build(&SPEC, "root /etc/dns").unwrap();
        let setup = Setup { directives: &[], zones: &[], addresses: &[], block: &mut block };
        assert_eq!(setup.path("db.example"), Path::new("/etc/dns/db.example"));
        assert_eq!(setup.path("/etc/hosts"), Path::new("/etc/hosts"));
    }

    #[test]
    fn errors_are_those_of_coredns() {
        let count = "Wrong argument count or unexpected line ending after";
        let check = |text: &str, message: &str| {
            let want = format!("plugin/root: Corefile:1 - Error during parsing: {message}");
            assert_eq!(root(text), Err(want));
        };
        check("root", &format!("{count} 'root'"));
        check("root /tmp /var", &format!("{count} '/var'"));
        check("root /tmp {\n}", "Unexpected token '{', expecting argument");
        check(
            "root /proc/version/x",
            "unable to access root path '/proc/version/x': stat /proc/version/x: not a directory",
        );
        let error = root("root \"a\0b\"").unwrap_err();
        assert!(error.contains("unable to access root path 'a\0b': "), "{error}");
    }
}
