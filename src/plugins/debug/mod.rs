#![doc = include_str!("README.md")]

use crate::chain::{PluginSpec, Repeat};

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "debug",
    summary: "lets a panic end the process, and shows debug lines",
    manual: include_str!("README.md"),
    repeat: Repeat::Many,
    metrics: &[],
    build: |setup| {
        for directive in setup.directives {
            directive.alone().map_err(|error| vec![error])?;
        }
        setup.block.debug = true;
        Ok(Vec::new())
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::testing;

    #[test]
    fn it_is_a_switch() {
        let (built, setup) = testing::build(&SPEC, "debug\ndebug").unwrap();
        assert!(built.is_empty() && setup.debug);
    }

    #[test]
    fn errors_are_those_of_coredns() {
        let check = |text: &str, message: &str| {
            let want = format!("plugin/debug: Corefile:1 - Error during parsing: {message}");
            assert_eq!(testing::build(&SPEC, text).err(), Some(want));
        };
        check("debug off", "Wrong argument count or unexpected line ending after 'off'");
        check("debug {\n}", "Unexpected token '{', expecting argument");
    }
}
