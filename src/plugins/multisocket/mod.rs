#![doc = include_str!("README.md")]

use crate::chain::{Built, PluginSpec, Repeat, Said, Setup, SocketCount};
use crate::config::{Diagnostic, Directive, Result, atoi};

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "multisocket",
    summary: "says how many sockets share an address",
    manual: include_str!("README.md"),
    repeat: Repeat::Many,
    metrics: &[],
    build,
};

const SOCKETS_MAX: u16 = 1024;

fn build(setup: &mut Setup<'_>) -> std::result::Result<Built, Vec<Diagnostic>> {
    let (first, others) = (setup.directives[0], &setup.directives[1..]);
    let value = sockets(first, others.first()).map_err(|error| vec![error])?;
    let place = first.last_word().span;
    setup.block.listeners.sockets = Some(Said { value, place });
    Ok(Vec::new())
}

fn sockets(directive: &Directive, second: Option<&&Directive>) -> Result<SocketCount> {
    let word = directive.optional_arg()?;
    directive.no_block()?;
    if let Some(second) = second {
        // CoreDNS's words for a second directive, too.
        let error = second.name.arg_error().help("'multisocket' may stand once in a block");
        return Err(error.note(directive.span, "first used here"));
    }
    let Some(word) = word else { return Ok(SocketCount::OfWorkers) };
    let refused = |message| word.bare_error(message).help(format!("a number from 1 to {SOCKETS_MAX}"));
    match atoi(&word.text).map_err(|why| refused(format!("invalid num sockets: {why}")))? {
        number @ ..=0 => Err(refused(format!("num sockets can not be zero or negative: {number}"))),
        number => match u16::try_from(number) {
            Ok(count) if count <= SOCKETS_MAX => Ok(SocketCount::Exactly(count)),
            _ => Err(refused(format!("num sockets exceeds maximum ({SOCKETS_MAX}): {number}"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::testing;

    #[test]
    fn the_number_is_read() {
        let check = |text: &str, want| {
            let (built, setup) = testing::build(&SPEC, text).unwrap();
            assert!(built.is_empty());
            assert_eq!(setup.listeners.sockets.map(|said| said.value), Some(want), "{text}");
        };
        check("multisocket", SocketCount::OfWorkers);
        check("multisocket 1", SocketCount::Exactly(1));
        check("multisocket +2", SocketCount::Exactly(2));
        check("multisocket 1024", SocketCount::Exactly(1024));
    }

    #[test]
    fn errors_are_those_of_coredns() {
        let check = |text: &str, want: &str| {
            assert_eq!(
                testing::build(&SPEC, text).err(),
                Some(format!("plugin/multisocket: {want}")),
                "{text}"
            );
        };
        check("multisocket a", "invalid num sockets: strconv.Atoi: parsing \"a\": invalid syntax");
        check("multisocket 0", "num sockets can not be zero or negative: 0");
        check("multisocket -1", "num sockets can not be zero or negative: -1");
        check("multisocket 1025", "num sockets exceeds maximum (1024): 1025");
        check("multisocket 99999", "num sockets exceeds maximum (1024): 99999");
        let count = "Error during parsing: Wrong argument count or unexpected line ending after";
        check("multisocket 2 3", &format!("Corefile:1 - {count} '3'"));
        check("multisocket 2\nmultisocket 3", &format!("Corefile:2 - {count} 'multisocket'"));
        let block = "Corefile:1 - Error during parsing: Unexpected token '{', expecting argument";
        check("multisocket 2 {\nx\n}", block);
        check("multisocket {\n}", block);
    }
}
