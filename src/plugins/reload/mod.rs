#![doc = include_str!("README.md")]

use std::time::Duration;

use crate::chain::{Built, PluginSpec, ReloadSettings, Repeat, Setup};
use crate::config::{Diagnostic, Directive, GoDuration, Problems};

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "reload",
    summary: "serves a changed configuration without a restart",
    manual: include_str!("README.md"),
    repeat: Repeat::Many,
    metrics: &["coredns_reload_failed_total", "coredns_reload_version_info"],
    build,
};

const INTERVAL: Duration = Duration::from_secs(30);
const JITTER: Duration = Duration::from_secs(15);
/// Reading and parsing all files more often than this is no polling any more.
const INTERVAL_MIN: Duration = Duration::from_secs(2);
const JITTER_MIN: Duration = Duration::from_secs(1);

fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    let (first, others) = (setup.directives[0], &setup.directives[1..]);
    for other in others {
        setup.block.warnings.push(other.error("only the first 'reload' counts").as_warning());
    }
    if !first.options().is_empty() {
        let warning = first.error("the block is ignored").help("'reload' takes its settings as arguments");
        setup.block.warnings.push(warning.as_warning());
    }
    setup.block.reload = Some(settings(first)?);
    Ok(Vec::new())
}

fn settings(directive: &Directive) -> Result<ReloadSettings, Vec<Diagnostic>> {
    let mut problems = Problems::default();
    let words = problems.keep(directive.between(0, 2)).unwrap_or_default();
    let mut read = |at: usize, default: Duration, is_allowed: fn(Duration) -> bool, refusal: &str| {
        let Some(word) = words.get(at) else { return default };
        let duration = word.signed_duration().and_then(|duration| {
            let allowed = duration.positive().filter(|duration| is_allowed(*duration));
            allowed.ok_or_else(|| word.bare_error(refusal))
        });
        problems.keep(duration).unwrap_or(default)
    };
    let refusal = format!("interval value must be greater or equal to {}", GoDuration::from(INTERVAL_MIN));
    let interval = read(0, INTERVAL, |interval| interval >= INTERVAL_MIN, &refusal);
    let refusal = format!("jitter value must be 0 or greater or equal to {}", GoDuration::from(JITTER_MIN));
    let jitter = read(1, JITTER, |jitter| jitter.is_zero() || jitter >= JITTER_MIN, &refusal);
    problems.finish(ReloadSettings { interval, jitter: jitter.min(interval / 2) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::testing;

    #[test]
    fn interval_and_jitter_are_read() {
        let check = |text: &str, interval: u64, jitter_ms: u64| {
            let (built, setup) = testing::build(&SPEC, text).unwrap();
            let want = ReloadSettings {
                interval: Duration::from_secs(interval),
                jitter: Duration::from_millis(jitter_ms),
            };
            assert!(built.is_empty());
            assert_eq!(setup.reload, Some(want), "{text}");
        };
        check("reload", 30, 15_000);
        check("reload 10s", 10, 5_000);
        check("reload 10s 2s", 10, 2_000);
        check("reload 2s 0s", 2, 0);
        check("reload 2s 0", 2, 0);
        check("reload 3s 10s", 3, 1_500);
        check("reload 2s\nreload foo", 2, 1_000);
    }

    #[test]
    fn what_coredns_ignores_is_warned_about() {
        let warnings = |text: &str| testing::build(&SPEC, text).unwrap().1.warnings.len();
        assert_eq!(warnings("reload {\n}"), 0);
        assert_eq!(warnings("reload {\n interval 5s\n}"), 1);
        assert_eq!(warnings("reload\nreload 5s"), 1);
    }

    #[test]
    fn the_interval_is_drawn_within_the_jitter() {
        let seconds = Duration::from_secs;
        let settings = ReloadSettings { interval: seconds(10), jitter: seconds(4) };
        assert_eq!(settings.draw(0), seconds(8));
        assert_eq!(settings.draw(2_000_000_000), seconds(10));
        assert_eq!(settings.draw(4_000_000_000), seconds(8));
        assert!((0..100).all(|n| settings.draw(n * 777_777_777) < seconds(12)));
        let sharp = ReloadSettings { jitter: Duration::ZERO, ..settings };
        assert_eq!(sharp.draw(u64::MAX), seconds(10));
    }

    #[test]
    fn errors_are_those_of_coredns() {
        let check = |text: &str, want: &str| {
            assert_eq!(testing::build(&SPEC, text).err(), Some(format!("plugin/reload: {want}")), "{text}");
        };
        check("reload foo", "time: invalid duration \"foo\"");
        check("reload 10", "time: missing unit in duration \"10\"");
        check("reload 10s foo", "time: invalid duration \"foo\"");
        check(
            "reload 10s 5s foo",
            "Corefile:1 - Error during parsing: Wrong argument count or unexpected line ending after 'foo'",
        );
        check("reload 1s", "interval value must be greater or equal to 2s");
        check("reload 0s", "interval value must be greater or equal to 2s");
        check("reload -5s", "interval value must be greater or equal to 2s");
        check("reload 3s 0.5s", "jitter value must be 0 or greater or equal to 1s");
        check("reload 3s -1s", "jitter value must be 0 or greater or equal to 1s");
    }
}
