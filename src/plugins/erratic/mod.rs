#![doc = include_str!("README.md")]

mod config;
#[cfg(test)]
mod tests;
mod zone;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use self::config::Config;
use crate::chain::capability::{AutopathSource, Ready};
use crate::chain::{Built, Cx, Late, Plugin, PluginSpec, Query, Repeat, Response, Setup, Step, Transport};
use crate::config::Diagnostic;
use crate::wire::{Class, Flags, Name, Rcode, Rtype, Section};

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "erratic",
    summary: "answers badly on purpose, for tests",
    manual: include_str!("README.md"),
    repeat: Repeat::Many,
    metrics: &[],
    build,
};

/// What is answered.
const ADDRESS_V4: [u8; 4] = [192, 0, 2, 53];
const ADDRESS_V6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53];

/// The records of a large answer.
const LARGE: usize = 30;

/// Between so many queries it is ready, so that who watches sees it come and go.
const READY_FROM: u64 = 3;
const READY_BELOW: u64 = 5;

fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    let config = config::configure(setup.directives, &mut setup.block.warnings)?;
    let erratic = Arc::new(Erratic { config, queries: AtomicU64::new(0) });
    let (ready, autopath) = (Arc::clone(&erratic), Arc::clone(&erratic));
    setup.block.capabilities.offer::<Arc<dyn Ready>>(ready);
    setup.block.capabilities.offer::<Arc<dyn AutopathSource>>(autopath);
    Ok(vec![erratic])
}

struct Erratic {
    config: Config,
    /// How many queries came.
    queries: AtomicU64,
}

impl Plugin for Erratic {
    fn on_query(&self, _: &Cx<'_>, query: &mut Query, response: &mut Response) -> Step {
        let number = self.queries.fetch_add(1, Ordering::Relaxed);
        // Nothing is a multiple of 0 but the first number, and that is not meant.
        let is_due = |every: u64| every > 0 && number.is_multiple_of(every);
        if is_due(self.config.drop) {
            return Step::Drop;
        }
        let outcome = self.answer(query, response, is_due(self.config.truncate));
        if !is_due(self.config.delay) {
            return match outcome {
                Ok(()) => Step::Respond,
                Err(rcode) => Step::Fail(rcode, None),
            };
        }
        let (duration, response) = (self.config.duration, std::mem::take(response));
        Step::Later(Box::pin(async move {
            tokio::time::sleep(duration).await;
            match outcome {
                Ok(()) => Late::Respond(response),
                Err(rcode) => Late::Fail(rcode, None),
            }
        }))
    }
}

impl Erratic {
    /// Answers `query`, or says with which code it fails.
    fn answer(&self, query: &Query, response: &mut Response, is_cut: bool) -> Result<(), Rcode> {
        let qtype = query.qtype();
        let (address, times) = match qtype {
            Rtype::A => (&ADDRESS_V4[..], if self.config.large { LARGE } else { 1 }),
            Rtype::AAAA => (&ADDRESS_V6[..], 1),
            Rtype::AXFR if query.transport == Transport::Udp => return Err(Rcode::REFUSED),
            Rtype::AXFR => return zone::transfer(query, response, is_cut).ok_or(Rcode::SERVFAIL),
            _ => return Err(Rcode::SERVFAIL),
        };
        response.start(query, true, Rcode::NOERROR);
        for _ in 0..times {
            response.push(Section::Answer, None, qtype, Class::IN, 0, address);
        }
        if is_cut {
            response.set_flags(response.flags().with(Flags::TC, true));
        }
        Ok(())
    }
}

impl Ready for Erratic {
    fn name(&self) -> &'static str {
        SPEC.name
    }

    fn is_ready(&self) -> bool {
        (READY_FROM..READY_BELOW).contains(&self.queries.load(Ordering::Relaxed))
    }
}

impl AutopathSource for Erratic {
    fn search_path(&self, _: &Query) -> Option<Vec<Name>> {
        let names = ["a.example.org.", "b.example.org."].map(|name| Name::from_text(name).ok());
        Some(names.into_iter().flatten().collect())
    }
}
