//! The alerts of the coredns-mixin and those that others made for CoreDNS. `$job` is whom they watch.

/// An alert, and under which fault it fires.
pub(super) struct Alert {
    pub(super) name: &'static str,
    pub(super) under: Fault,
    pub(super) ask: &'static str,
}

/// What is wrong with the server that is watched.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its upstreams are gone, one of its zones answers after 4.5 s, what it forwards takes 1.2 s, and it was told to read a Corefile that
    /// is none.
    Ill,
    /// It has ended.
    Gone,
    /// None that a test can bring about, or one that asks for names which CoreDNS does not have any more: it must not fire.
    Never,
}

pub(super) const ALERTS: &[Alert] = &[
    Alert { name: "CoreDNSDown", under: Fault::Gone, ask: r#"absent(up{job="$job"} == 1)"# },
    Alert {
        name: "CoreDNSDown, by its version",
        under: Fault::Gone,
        ask: r#"absent(coredns_build_info{job="$job"})"#,
    },
    Alert {
        name: "CoreDNSLatencyHigh",
        under: Fault::Ill,
        ask: r#"histogram_quantile(0.99, sum(rate(coredns_dns_request_duration_seconds_bucket{job="$job"}[5m]))
                without (instance,pod)) > 4"#,
    },
    Alert {
        name: "CoreDNSLatencyHigh, as it was before",
        under: Fault::Ill,
        ask: r#"histogram_quantile(0.99, sum(rate(coredns_dns_request_duration_seconds_bucket{job="$job"}[5m]))
                by (server, zone, le)) > 4"#,
    },
    Alert {
        name: "CoreDNSErrorsHigh, critical",
        under: Fault::Ill,
        ask: r#"sum without (pod, instance, server, zone, view, rcode, plugin)
                (rate(coredns_dns_responses_total{job="$job",rcode="SERVFAIL"}[5m])) /
                sum without (pod, instance, server, zone, view, rcode, plugin)
                (rate(coredns_dns_responses_total{job="$job"}[5m])) > 0.03"#,
    },
    Alert {
        name: "CoreDNSErrorsHigh, a warning",
        under: Fault::Ill,
        ask: r#"sum(rate(coredns_dns_responses_total{job="$job",rcode="SERVFAIL"}[5m])) /
                sum(rate(coredns_dns_responses_total{job="$job"}[5m])) > 0.01"#,
    },
    Alert {
        name: "CoreDNSServfail",
        under: Fault::Ill,
        ask: r#"increase(coredns_dns_responses_total{job="$job",rcode="SERVFAIL"}[5m]) > 0"#,
    },
    Alert {
        name: "CoreDNSForwardHealthcheckBrokenCount",
        under: Fault::Ill,
        ask: r#"sum without (pod, instance) (rate(coredns_forward_healthcheck_broken_total{job="$job"}[5m])) > 0"#,
    },
    Alert {
        name: "CoreDNSForwardHealthcheckBroken",
        under: Fault::Ill,
        ask: r#"increase(coredns_forward_healthcheck_broken_total{job="$job"}[10m]) > 0"#,
    },
    Alert {
        name: "CoreDNSForwardHealthcheckFailureCount, by its name of today",
        under: Fault::Ill,
        ask: r#"sum without (pod, instance) (rate(coredns_proxy_healthcheck_failures_total{job="$job"}[5m])) > 0"#,
    },
    Alert {
        name: "CoreDNSForwardLatencyHigh, by its name of today",
        under: Fault::Ill,
        ask: r#"histogram_quantile(0.99, sum(rate(coredns_proxy_request_duration_seconds_bucket{job="$job"}[5m]))
                without (pod, instance, rcode)) > 1"#,
    },
    Alert {
        name: "CoreDNSReloadFailed",
        under: Fault::Ill,
        ask: r#"increase(coredns_reload_failed_total{job="$job"}[5m]) > 0"#,
    },
    Alert {
        name: "CoreDNSForwardLatencyHigh",
        under: Fault::Never,
        ask: r#"histogram_quantile(0.99, sum(rate(coredns_forward_request_duration_seconds_bucket{job="$job"}[5m]))
                without (pod, instance, rcode)) > 4"#,
    },
    Alert {
        name: "CoreDNSForwardErrorsHigh",
        under: Fault::Never,
        ask: r#"sum without (pod, instance, rcode) (rate(coredns_forward_responses_total{job="$job",rcode="SERVFAIL"}[5m])) /
                sum without (pod, instance, rcode) (rate(coredns_forward_responses_total{job="$job"}[5m])) > 0.01"#,
    },
    Alert {
        name: "CoreDNSForwardHealthcheckFailureCount",
        under: Fault::Never,
        ask: r#"sum without (pod, instance) (rate(coredns_forward_healthcheck_failures_total{job="$job"}[5m])) > 0"#,
    },
    Alert {
        name: "CorednsPanicCount",
        under: Fault::Never,
        ask: r#"increase(coredns_panics_total{job="$job"}[1m]) > 0"#,
    },
    Alert {
        name: "CorednsPanicCount, by its name of before CoreDNS 1.7",
        under: Fault::Never,
        ask: r#"increase(coredns_panic_count_total{job="$job"}[10m]) > 0"#,
    },
    Alert {
        name: "CoreDNSHealthCheckSlow",
        under: Fault::Never,
        ask: r#"histogram_quantile(.95, sum(rate(coredns_health_request_duration_seconds_bucket{job="$job"}[5m]))
                by (instance, le)) > 2"#,
    },
];
