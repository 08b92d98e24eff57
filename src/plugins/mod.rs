//! The table of plugins: one folder each, one row each, in the order every chain has.
//!
//! Invariant: no plugin imports another. A new plugin is a folder, a row here, and a row in README's table.

mod acl;
mod any;
mod auto;
mod bind;
mod bufsize;
mod cache;
mod cancel;
mod chaos;
mod debug;
mod erratic;
mod errors;
mod file;
mod forward;
mod header;
mod health;
mod hosts;
mod loadbalance;
mod local;
mod log;
mod r#loop;
mod metadata;
mod minimal;
mod multisocket;
mod nsid;
mod on;
mod pprof;
mod prometheus;
mod proxyproto;
mod ready;
mod reload;
mod root;
mod shed;
mod timeouts;
mod whoami;

use crate::chain::PluginSpec;

/// The plugins waypost has, in the order of their chain, whatever the order in the file.
#[rustfmt::skip] // one row each
pub const ORDER: &[&PluginSpec] = &[
    &root::SPEC,
    &metadata::SPEC,
    &cancel::SPEC,
    &proxyproto::SPEC,
    &timeouts::SPEC,
    &multisocket::SPEC,
    &reload::SPEC,
    &nsid::SPEC,
    &bufsize::SPEC,
    &bind::SPEC,
    &debug::SPEC,
    &ready::SPEC,
    &health::SPEC,
    &pprof::SPEC,
    &shed::SPEC,
    &prometheus::SPEC,
    &errors::SPEC,
    &log::SPEC,
    &local::SPEC,
    &any::SPEC,
    &chaos::SPEC,
    &loadbalance::SPEC,
    &acl::SPEC,
    &cache::SPEC,
    &header::SPEC,
    &minimal::SPEC,
    &hosts::SPEC,
    &file::SPEC,
    &auto::SPEC,
    &r#loop::SPEC,
    &forward::SPEC,
    &erratic::SPEC,
    &whoami::SPEC,
    &on::SPEC,
];

/// The directives of CoreDNS 1.14.7, in its order: what is here but not in [`ORDER`] is refused by name.
pub const COREDNS_ORDER: &[&str] = &[
    "root",
    "metadata",
    "geoip",
    "cancel",
    "proxyproto",
    "quic",
    "grpc_server",
    "https",
    "https3",
    "timeouts",
    "multisocket",
    "reload",
    "nsid",
    "bufsize",
    "bind",
    "debug",
    "trace",
    "ready",
    "health",
    "pprof",
    "shed",
    "prometheus",
    "errors",
    "log",
    "dnstap",
    "local",
    "dns64",
    "any",
    "chaos",
    "loadbalance",
    "tsig",
    "rewrite",
    "autopath",
    "acl",
    "cache",
    "header",
    "dnssec",
    "tls",
    "minimal",
    "template",
    "transfer",
    "hosts",
    "route53",
    "azure",
    "clouddns",
    "k8s_external",
    "kubernetes",
    "file",
    "auto",
    "secondary",
    "etcd",
    "loop",
    "forward",
    "grpc",
    "erratic",
    "whoami",
    "on",
    "sign",
    "view",
    "nomad",
];

/// The row of the plugin `name`.
pub fn find(name: &str) -> Option<&'static PluginSpec> {
    ORDER.iter().find(|spec| spec.name == name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_follows_coredns_order() {
        let place = |name: &str| COREDNS_ORDER.iter().position(|n| *n == name);
        let places: Vec<_> =
            ORDER.iter().map(|spec| place(spec.name).expect("a directive of CoreDNS")).collect();
        assert!(places.is_sorted(), "rows are in chain order, none twice: {places:?}");
    }

    #[test]
    fn each_manual_has_its_sections() {
        for spec in ORDER {
            for section in ["## Syntax", "## Examples"] {
                assert!(spec.manual.contains(section), "{}: the manual has no {section}", spec.name);
            }
            assert!(spec.manual.starts_with(&format!("# {}\n", spec.name)), "{}: title", spec.name);
        }
    }
}
