#![doc = include_str!("README.md")]

mod config;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::chain::{PluginSpec, Repeat, Said};

pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "proxyproto",
    summary: "takes clients' addresses from a load balancer's PROXY header",
    manual: include_str!("README.md"),
    repeat: Repeat::Many,
    metrics: &[],
    build: |setup| {
        let value = Arc::new(config::read(setup.directives)?);
        setup.block.listeners.proxies = Some(Said { value, place: setup.directives[0].span });
        Ok(Vec::new())
    },
};
