#![doc = include_str!("README.md")]

use std::sync::Arc;
use std::time::Duration;

use crate::chain::{Built, Plugin, PluginSpec, Repeat, Setup};
use crate::config::{Diagnostic, Directive, quote};

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "cancel",
    summary: "gives up queries that wait too long",
    manual: include_str!("README.md"),
    repeat: Repeat::Many,
    metrics: &[],
    build,
};

/// A little more than the five seconds that clients and `forward` are used to wait.
const TIMEOUT: Duration = Duration::from_millis(5001);

fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    let (mut errors, mut timeout) = (Vec::new(), TIMEOUT);
    for directive in setup.directives {
        match read(directive) {
            Ok(read) => timeout = read,
            Err(error) => errors.push(error),
        }
    }
    if let [overruled @ .., _] = setup.directives {
        let warnings =
            overruled.iter().map(|other| other.error("only the last 'cancel' counts").as_warning());
        setup.block.warnings.extend(warnings);
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    setup.block.patience = Some(timeout);
    Ok(vec![Arc::new(Cancel)])
}

fn read(directive: &Directive) -> Result<Duration, Diagnostic> {
    directive.no_block()?;
    let Some(word) = directive.optional_arg()? else { return Ok(TIMEOUT) };
    let refuse = |error: Diagnostic, what: &str| {
        error.unlocated().reworded(format!("invalid {what}: {}", quote(&word.text)))
    };
    let duration = word.signed_duration().map_err(|error| refuse(error, "duration"))?;
    let positive = duration.positive().filter(|duration| !duration.is_zero());
    positive.ok_or_else(|| {
        refuse(word.bare_error(""), "negative duration").help("allowed: more than 0, such as 5s")
    })
}

/// Stands in the chain as CoreDNS's does. The block itself keeps the time, so that only queries that wait have a timer.
struct Cancel;

impl Plugin for Cancel {
    fn sees_queries(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::testing::{self, Answering};
    use crate::chain::{BlockBuilder, Late, Query, Response, Step};
    use crate::wire::{Rcode, Rtype};

    #[test]
    fn the_time_is_read() {
        let check = |text: &str, want: Duration, warnings: usize| {
            let (built, block) = testing::build(&SPEC, text).unwrap();
            assert_eq!((built.len(), block.patience), (1, Some(want)), "{text}");
            assert_eq!(block.warnings.len(), warnings, "{text}");
        };
        check("cancel", Duration::from_millis(5001), 0);
        check("cancel 1500ms", Duration::from_millis(1500), 0);
        check("cancel 1s\ncancel 2s", Duration::from_secs(2), 1);
        check("cancel 1s\ncancel", Duration::from_millis(5001), 1);
    }

    #[test]
    fn errors_are_those_of_coredns() {
        let check = |text: &str, want: &str| {
            assert_eq!(testing::build(&SPEC, text).err(), Some(format!("plugin/cancel: {want}")), "{text}");
        };
        check("cancel 5", "invalid duration: \"5\"");
        check("cancel x", "invalid duration: \"x\"");
        check("cancel 0s", "invalid negative duration: \"0s\"");
        check("cancel -1s", "invalid negative duration: \"-1s\"");
        let surplus = "Wrong argument count or unexpected line ending after '6s'";
        check("cancel 5s 6s", &format!("Corefile:1 - Error during parsing: {surplus}"));
        let brace = "Unexpected token '{', expecting argument";
        check("cancel {\n 5s\n}", &format!("Corefile:1 - Error during parsing: {brace}"));
    }

    /// A chain of `cancel` and a plugin that waits for `wait`, answering then.
    async fn ask(wait: Duration) -> Response {
        let (built, setup) = testing::build(&SPEC, "cancel 2s").unwrap();
        let waiting = Answering(move |query: &mut Query, _: &mut Response| {
            let mut answer = Response::default();
            answer.start(query, false, Rcode::NOERROR);
            Step::Later(Box::pin(async move {
                let _ = tokio::time::timeout(wait, std::future::pending::<()>()).await;
                Late::Respond(answer)
            }))
        });
        let mut builder = BlockBuilder::default();
        builder.patience = setup.patience;
        builder.push("cancel", Arc::clone(&built[0]));
        builder.push("waiting", Arc::new(waiting));
        testing::ask_later(&Arc::new(builder.build()), &mut testing::query("a.test", Rtype::A)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_query_that_waits_too_long_is_given_up() {
        assert!(ask(Duration::from_millis(1_900)).await.is_written());
        let given_up = ask(Duration::from_secs(3600)).await;
        assert_eq!((given_up.rcode(), given_up.is_written()), (Some(Rcode::SERVFAIL), false));
        assert_eq!(given_up.failure().map(|failure| &*failure.0), Some("context deadline exceeded"));
        assert_eq!(given_up.by(), "waiting");
    }
}
