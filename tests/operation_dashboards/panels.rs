//! What public dashboards for CoreDNS ask, by what it shows: Grafana's 5926, 7279, 12539 and its offspring, 15762, 20527, that of
//! kube-prometheus, the coredns-mixin's and what others made of these. Where dashboards differ in nothing but whom they ask about and how
//! far they look back, the question stands here once, with `$s` for the labels and `$r` for the time.

/// Questions of one kind.
pub(super) struct Panel {
    pub(super) shows: &'static str,
    pub(super) is: Is,
    pub(super) asks: &'static [&'static str],
}

/// What the answers have to be.
#[derive(Clone, Copy)]
pub(super) enum Is {
    /// Numbers, one of them above zero.
    Moving,
    /// Numbers; zero is one.
    There,
    /// Nothing, and why.
    Absent(&'static str),
}

/// Whom the dashboards ask about, and how far back they look: `$s` and `$r`. Their menus are `$instance` and the like.
pub(super) const CHOICES: &[(&str, &str)] = &[
    (r#"instance=~"$instance""#, "5m"),
    (r#"job=~"$job",cluster=~"$cluster",instance=~"$instance""#, "$__rate_interval"),
    (r#"job="$job",pod=~"$pod""#, "5m"),
    (r#"monitor="$monitor""#, "$__interval"),
];

/// The menus of the dashboards: a label, and the series whose values of it are the choice.
pub(super) const MENUS: &[(&str, &str)] = &[
    ("instance", r#"up{job="$job"}"#),
    ("instance", r#"up{k8s_app="coredns"}"#),
    ("pod", r#"coredns_build_info{job="$job"}"#),
    ("job", r#"coredns_build_info{cluster="$cluster"}"#),
    ("cluster", "coredns_dns_requests_total"),
    ("proto", r#"coredns_dns_requests_total{cluster="$cluster"}"#),
    ("job", r#"coredns_dns_requests_total{cluster=~"$cluster"}"#),
    ("instance", r#"coredns_dns_requests_total{job=~"$job",cluster=~"$cluster"}"#),
];

pub(super) const PANELS: &[Panel] = &[
    Panel {
        shows: "whether it is up, and what runs",
        is: Is::Moving,
        asks: &[
            "sum(up{$s})",
            "count(coredns_build_info{$s})",
            "coredns_build_info{$s}",
            "sum(coredns_build_info{$s}) by (version)",
            "count(sum(coredns_plugin_enabled{$s}) by (name))",
            "sum(coredns_plugin_enabled{$s}) by (name)",
            "time() - min(process_start_time_seconds{$s})",
        ],
    },
    Panel {
        shows: "what it takes of the machine",
        is: Is::Moving,
        asks: &[
            "process_resident_memory_bytes{$s}",
            "process_virtual_memory_bytes{$s}",
            "process_open_fds{$s} / process_max_fds{$s}",
            "sum(process_open_fds{$s}) by (instance)",
            "process_cpu_seconds_total{$s}",
        ],
    },
    Panel {
        shows: "the processor's time, of which so few queries take little",
        is: Is::There,
        asks: &["rate(process_cpu_seconds_total{$s}[$r])", "sum(rate(process_cpu_seconds_total{$s}[$r]))"],
    },
    Panel {
        shows: "queries",
        is: Is::Moving,
        asks: &[
            "sum(rate(coredns_dns_requests_total{$s}[$r]))",
            "sum(irate(coredns_dns_requests_total{$s}[$r]))",
            "rate(coredns_dns_requests_total{$s}[$r])",
            "avg(rate(coredns_dns_requests_total{$s}[$r])) by (proto)",
            "sum(rate(coredns_dns_requests_total{$s}[$r])) by (instance)",
            "sum by (pod) (rate(coredns_dns_requests_total{$s}[$r]))",
            "sum by (proto) (rate(coredns_dns_requests_total{$s}[$r]))",
            "sum by (family) (rate(coredns_dns_requests_total{$s}[$r]))",
            "sum(rate(coredns_dns_requests_total{$s}[$r])) by (server)",
            "sum(rate(coredns_dns_requests_total{$s}[$r])) by (type)",
            "sum(rate(coredns_dns_requests_total{$s}[$r])) by (zone)",
            "sum(rate(coredns_dns_requests_total{$s}[$r])) by (zone, proto)",
            "sum(rate(coredns_dns_requests_total{$s}[$r])) by (type, zone)",
            r#"sum(rate(coredns_dns_requests_total{$s,proto="udp"}[$r]))"#,
            r#"sum(rate(coredns_dns_requests_total{$s,proto="tcp"}[$r]))"#,
            "sum(increase(coredns_dns_requests_total{$s}[$r]))",
            "sum(rate(coredns_dns_do_requests_total{$s}[$r]))",
        ],
    },
    Panel {
        shows: "queries, by names of before CoreDNS 1.7 or those of today",
        is: Is::Moving,
        asks: &[
            "sum(rate(coredns_dns_request_count_total{$s}[$r])) or sum(rate(coredns_dns_requests_total{$s}[$r]))",
            "sum(rate(coredns_dns_request_count_total{$s}[$r])) by (proto) or
             sum(rate(coredns_dns_requests_total{$s}[$r])) by (proto)",
            "sum(rate(coredns_dns_request_count_total{$s}[$r])) by (zone) or
             sum(rate(coredns_dns_requests_total{$s}[$r])) by (zone)",
            "sum(rate(coredns_dns_request_type_count_total{$s}[$r])) by (type) or
             sum(rate(coredns_dns_requests_total{$s}[$r])) by (type)",
            "sum(rate(coredns_dns_request_do_count_total{$s}[$r])) or
             sum(rate(coredns_dns_do_requests_total{$s}[$r]))",
            "sum(rate(coredns_dns_response_rcode_count_total{$s}[$r])) by (rcode) or
             sum(rate(coredns_dns_responses_total{$s}[$r])) by (rcode)",
            "sum(coredns_cache_size{$s}) by (type) or sum(coredns_cache_entries{$s}) by (type)",
        ],
    },
    Panel {
        shows: "responses",
        is: Is::Moving,
        asks: &[
            "sum(rate(coredns_dns_responses_total{$s}[$r])) by (rcode)",
            "sum by (rcode) (irate(coredns_dns_responses_total{$s}[$r]))",
            "sum by (plugin) (rate(coredns_dns_responses_total{$s}[$r]))",
            "sum by (zone, rcode) (rate(coredns_dns_responses_total{$s}[$r]))",
            r#"sum(rate(coredns_dns_responses_total{$s,rcode!="NOERROR"}[$r]))"#,
            r#"sum(rate(coredns_dns_responses_total{$s,rcode=~"SERVFAIL|REFUSED|NXDOMAIN"}[$r])) by (rcode)"#,
            r#"sum(rate(coredns_dns_responses_total{$s,rcode="SERVFAIL"}[$r])) /
               sum(rate(coredns_dns_responses_total{$s}[$r]))"#,
            r#"sum(rate(coredns_dns_responses_total{$s,rcode="NXDOMAIN"}[$r])) /
               sum(rate(coredns_dns_responses_total{$s}[$r]))"#,
            r#"sum(rate(coredns_dns_responses_total{$s,rcode=~"SERVFAIL|NXDOMAIN"}[$r])) by (pod) /
               sum(rate(coredns_dns_responses_total{$s,rcode=~"NOERROR"}[$r])) by (pod)"#,
        ],
    },
    Panel {
        shows: "how long answers take",
        is: Is::Moving,
        asks: &[
            "histogram_quantile(0.99, sum(rate(coredns_dns_request_duration_seconds_bucket{$s}[$r])) by (le, job))",
            "histogram_quantile(0.95, sum(rate(coredns_dns_request_duration_seconds_bucket{$s}[$r])) by (le))",
            "histogram_quantile(0.90, sum(rate(coredns_dns_request_duration_seconds_bucket{$s}[$r])) by (le))",
            "histogram_quantile(0.50, sum(rate(coredns_dns_request_duration_seconds_bucket{$s}[$r])) by (le))",
            r#"histogram_quantile(0.99, sum(rate(coredns_dns_request_duration_seconds_bucket{$s,zone="."}[$r])) by (le))"#,
            "histogram_quantile(0.99, sum(rate(coredns_dns_request_duration_seconds_bucket{$s}[$r])) by (server, zone, le))",
            "histogram_quantile(0.99, rate(coredns_dns_request_duration_seconds_bucket{$s}[$r]))",
            "histogram_quantile(0.99, sum(irate(coredns_dns_request_duration_seconds_bucket{$s}[$r])) by (le))",
            "histogram_quantile(0.99, (sum(rate(coredns_dns_request_duration_seconds{$s}[$r])) by (job)) or
             (sum(rate(coredns_dns_request_duration_seconds_bucket{$s}[$r])) by (le, job)))",
            "histogram_quantile(0.90, (sum(rate(coredns_dns_request_duration_seconds{$s}[$r])) by ()) or
             (sum(rate(coredns_dns_request_duration_seconds_bucket{$s}[$r])) by (le)))",
            "sum(increase(coredns_dns_request_duration_seconds_bucket{$s}[$r])) by (le)",
            r#"avg(rate(coredns_dns_request_duration_seconds_bucket{$s,zone!="dropped"}[$r])) by (le)"#,
            "sum(rate(coredns_dns_request_duration_seconds_sum{$s}[$r])) /
             sum(rate(coredns_dns_request_duration_seconds_count{$s}[$r]))",
            r#"sum(rate(coredns_dns_request_duration_seconds_bucket{$s,le="0.256"}[$r])) /
               sum(rate(coredns_dns_request_duration_seconds_count{$s}[$r]))"#,
        ],
    },
    Panel {
        shows: "how large queries are",
        is: Is::Moving,
        asks: &[
            r#"histogram_quantile(0.99, sum(rate(coredns_dns_request_size_bytes_bucket{$s,proto="udp"}[$r])) by (le,proto))"#,
            r#"histogram_quantile(0.90, sum(rate(coredns_dns_request_size_bytes_bucket{$s,proto="udp"}[$r])) by (le,proto))"#,
            r#"histogram_quantile(0.50, sum(rate(coredns_dns_request_size_bytes_bucket{$s,proto="tcp"}[$r])) by (le,proto))"#,
            r#"histogram_quantile(0.99, (sum(rate(coredns_dns_request_size_bytes{$s,proto="tcp"}[$r])) by (proto)) or
               (sum(rate(coredns_dns_request_size_bytes_bucket{$s,proto="tcp"}[$r])) by (le,proto)))"#,
            r#"histogram_quantile(0.90, sum(rate(coredns_dns_request_size_bytes_bucket{$s,zone="."}[$r])) by (le))"#,
            "histogram_quantile(0.99, sum(rate(coredns_dns_request_size_bytes_bucket{$s}[$r])) by (server, zone, proto, le))",
            "histogram_quantile(0.50, sum(rate(coredns_dns_request_size_bytes_bucket{$s}[$r])) by (server, zone, proto, le))",
            r#"avg(rate(coredns_dns_request_size_bytes_bucket{$s,proto="udp"}[$r])) by (le)"#,
            r#"avg(rate(coredns_dns_request_size_bytes_bucket{$s,proto="tcp"}[$r])) by (le)"#,
            r#"sum(increase(coredns_dns_request_size_bytes_bucket{$s,le!="0"}[$r])) by (le)"#,
            r#"sum(rate(coredns_dns_request_size_bytes_sum{$s,proto="udp"}[$r])) by (proto) /
               sum(rate(coredns_dns_request_size_bytes_count{$s,proto="udp"}[$r])) by (proto)"#,
        ],
    },
    Panel {
        shows: "how large responses are",
        is: Is::Moving,
        asks: &[
            r#"histogram_quantile(0.99, sum(rate(coredns_dns_response_size_bytes_bucket{$s,proto="udp"}[$r])) by (le,proto))"#,
            r#"histogram_quantile(0.90, sum(rate(coredns_dns_response_size_bytes_bucket{$s,proto="tcp"}[$r])) by (le,proto))"#,
            r#"histogram_quantile(0.50, sum(rate(coredns_dns_response_size_bytes_bucket{$s,proto="udp"}[$r])) by (le,proto))"#,
            r#"histogram_quantile(0.99, (sum(rate(coredns_dns_response_size_bytes{$s,proto="udp"}[$r])) by (proto)) or
               (sum(rate(coredns_dns_response_size_bytes_bucket{$s,proto="udp"}[$r])) by (le,proto)))"#,
            r#"histogram_quantile(0.90, sum(rate(coredns_dns_response_size_bytes_bucket{$s,zone="."}[$r])) by (le))"#,
            "histogram_quantile(0.90, sum by (le, proto) (rate(coredns_dns_response_size_bytes_bucket{$s}[$r])))",
            "histogram_quantile(0.99, sum(rate(coredns_dns_response_size_bytes_bucket{$s}[$r])) by (server, zone, proto, le))",
            "histogram_quantile(0.50, sum(rate(coredns_dns_response_size_bytes_bucket{$s}[$r])) by (server, zone, proto, le))",
            r#"avg(rate(coredns_dns_response_size_bytes_bucket{$s,proto="udp"}[$r])) by (le)"#,
            r#"sum(increase(coredns_dns_response_size_bytes_bucket{$s,le!="0"}[$r])) by (le)"#,
        ],
    },
    Panel {
        shows: "the cache",
        is: Is::Moving,
        asks: &[
            "sum(coredns_cache_entries{$s}) by (type)",
            "coredns_cache_entries{$s}",
            "sum(rate(coredns_cache_hits_total{$s}[$r])) by (type)",
            "sum(irate(coredns_cache_hits_total{$s}[$r]))",
            "sum(rate(coredns_cache_misses_total{$s}[$r])) by (type)",
            "sum(rate(coredns_cache_misses_total{$s}[$r]))",
            "sum(rate(coredns_cache_requests_total{$s}[$r]))",
            "sum(coredns_cache_hits_total{$s}) / (sum(coredns_cache_misses_total{$s}) + sum(coredns_cache_hits_total{$s}))",
            "sum(rate(coredns_cache_hits_total{$s}[$r])) / sum(rate(coredns_cache_requests_total{$s}[$r]))",
            "sum(rate(coredns_cache_hits_total{$s}[$r])) / sum(rate(coredns_dns_requests_total{$s}[$r]))",
            "100 * sum(rate(coredns_cache_hits_total{$s}[$r])) /
             (sum(rate(coredns_cache_hits_total{$s}[$r])) + sum(rate(coredns_cache_misses_total{$s}[$r])))",
            r#"sum(rate(coredns_cache_hits_total{$s,type="denial"}[$r])) / sum(rate(coredns_cache_requests_total{$s}[$r]))"#,
            r#"sum(rate(coredns_cache_hits_total{$s,type="success"}[$r])) / sum(rate(coredns_cache_requests_total{$s}[$r]))"#,
            r#"(sum(rate(coredns_cache_requests_total{$s}[$r])) - sum(rate(coredns_cache_hits_total{$s,type="success"}[$r]))) /
               sum(rate(coredns_cache_requests_total{$s}[$r]))"#,
            "avg(coredns_cache_misses_total{$s} / coredns_cache_requests_total{$s}) by (zones)",
        ],
    },
    Panel {
        shows: "what a cache that is large enough has nothing of",
        is: Is::There,
        asks: &[
            "sum(rate(coredns_cache_evictions_total{$s}[$r])) by (type)",
            "sum(rate(coredns_cache_prefetch_total{$s}[$r]))",
            "sum(rate(coredns_cache_served_stale_total{$s}[$r]))",
            "sum(rate(coredns_cache_drops_total{$s}[$r]))",
        ],
    },
    Panel {
        shows: "upstreams",
        is: Is::Moving,
        asks: &[
            r#"sum(rate(coredns_proxy_request_duration_seconds_count{$s,proxy_name="forward"}[$r]))"#,
            r#"sum by (to) (rate(coredns_proxy_request_duration_seconds_count{$s,proxy_name="forward"}[$r]))"#,
            "sum by (rcode) (rate(coredns_proxy_request_duration_seconds_count{$s}[$r]))",
            r#"sum(rate(coredns_proxy_request_duration_seconds_count{$s,proxy_name="forward",rcode=~"SERVFAIL|REFUSED"}[$r])) by (rcode)"#,
            r#"histogram_quantile(0.99, sum by (to, le) (rate(coredns_proxy_request_duration_seconds_bucket{$s,proxy_name="forward"}[$r])))"#,
            "histogram_quantile(0.99, sum by (cluster, le, proxy_name, to) (rate(coredns_proxy_request_duration_seconds_bucket{$s}[$r])))",
            "histogram_quantile(0.5, sum(irate(coredns_proxy_request_duration_seconds_bucket{$s}[$r])) by (le))",
            "sum(rate(coredns_proxy_request_duration_seconds_sum{$s}[$r])) /
             sum(rate(coredns_proxy_request_duration_seconds_count{$s}[$r]))",
            "sum by (to, proto) (rate(coredns_proxy_conn_cache_hits_total{$s}[$r]) + rate(coredns_proxy_conn_cache_misses_total{$s}[$r]))",
        ],
    },
    Panel {
        shows: "what goes wrong, or may, and need not have",
        is: Is::There,
        asks: &[
            "sum(coredns_panics_total{$s})",
            "sum(irate(coredns_panics_total{$s}[$r]))",
            "sum by (pod) (increase(coredns_panics_total{$s}[$r]))",
            "ceil(sum(increase(coredns_panics_total{$s}[1h]))) or vector(0)",
            "rate(coredns_reload_failed_total{$s}[$r])",
            "sum by (pod) (increase(coredns_reload_failed_total{$s}[$r]))",
            "rate(coredns_forward_healthcheck_broken_total{$s}[$r])",
            "sum by (pod) (increase(coredns_forward_healthcheck_broken_total{$s}[$r]))",
            "sum by (pod) (rate(coredns_forward_max_concurrent_rejects_total{$s}[$r]))",
            "sum(rate(coredns_proxy_healthcheck_failures_total{$s}[$r])) by (to)",
            "sum(rate(coredns_proxy_conn_cache_misses_total{$s}[$r])) by (to)",
            "sum(rate(coredns_health_request_failures_total{$s}[$r]))",
        ],
    },
    Panel {
        shows: "its own check of health",
        is: Is::Moving,
        asks: &[
            "histogram_quantile(0.99, sum by (le, pod) (rate(coredns_health_request_duration_seconds_bucket{$s}[$r])))",
            "histogram_quantile(.95, sum(rate(coredns_health_request_duration_seconds_bucket{$s}[$r])) by (instance, le))",
            "avg(rate(coredns_health_request_duration_seconds_bucket{$s}[$r])) by (le)",
        ],
    },
    Panel {
        shows: "what other plugins count",
        is: Is::Moving,
        asks: &[
            "sum(rate(coredns_acl_blocked_requests_total{$s}[$r])) by (zone)",
            "sum(rate(coredns_acl_filtered_requests_total{$s}[$r]))",
            "sum(rate(coredns_acl_allowed_requests_total{$s}[$r]))",
            "sum(coredns_hosts_entries{$s}) by (hostsfile)",
            "rate(coredns_local_localhost_requests_total{$s}[$r])",
        ],
    },
    Panel {
        shows: "the hosts file, of which there is none",
        is: Is::There,
        asks: &["coredns_hosts_reload_timestamp_seconds{$s}"],
    },
    Panel {
        shows: "which configuration is served",
        is: Is::Moving,
        asks: &[
            "coredns_reload_version_info{$s}",
            "count(count(coredns_reload_version_info{$s}) by (value))",
        ],
    },
    Panel {
        shows: "names of before CoreDNS 1.7",
        is: Is::Absent("CoreDNS has other ones since, which are above"),
        asks: &[
            "sum(rate(coredns_dns_request_count_total{$s}[$r])) by (proto)",
            "sum(rate(coredns_dns_request_type_count_total{$s}[$r])) by (type, zone)",
            "sum(rate(coredns_dns_request_do_count_total{$s}[$r]))",
            "sum(rate(coredns_dns_response_rcode_count_total{$s}[$r])) by (rcode)",
            "sum(coredns_cache_size{$s}) by (type)",
            "sum(coredns_panic_count_total{$s})",
            "sum(rate(coredns_forward_request_count_total{$s}[$r])) by (to)",
            "sum(rate(coredns_forward_response_rcode_count_total{$s}[$r])) by (rcode, to)",
            "sum(rate(coredns_forward_healthcheck_failure_count_total{$s}[$r])) by (to)",
        ],
    },
    Panel {
        shows: "names of before CoreDNS 1.11",
        is: Is::Absent("CoreDNS has coredns_proxy_* since"),
        asks: &[
            "sum(rate(coredns_forward_requests_total{$s}[$r])) by (to)",
            "sum(rate(coredns_forward_responses_total{$s}[$r])) by (rcode)",
            "histogram_quantile(0.99, sum(rate(coredns_forward_request_duration_seconds_bucket{$s}[$r])) by (to, le))",
            "avg(rate(coredns_forward_request_duration_seconds_bucket{$s}[$r])) by (le)",
        ],
    },
    Panel {
        shows: "the runtime of Go",
        is: Is::Absent("there is none"),
        asks: &[
            "go_goroutines{$s}",
            "go_info{$s}",
            "go_memstats_alloc_bytes{$s}",
            "rate(go_gc_duration_seconds_sum{$s}[$r])",
        ],
    },
    Panel {
        shows: "native histograms",
        is: Is::Absent("they come in Prometheus's protobuf alone, to who asks for it"),
        asks: &["coredns_dns_request_duration_seconds{$s}"],
    },
    Panel {
        shows: "the plugin kubernetes",
        is: Is::Absent("it does not stand in this Corefile"),
        asks: &[
            "histogram_quantile(0.99, sum(rate(coredns_kubernetes_dns_programming_duration_seconds_bucket{$s}[$r])) by (service_kind, le))",
            "histogram_quantile(0.50, sum(rate(coredns_kubernetes_dns_programming_duration_seconds_bucket{$s}[$r])) by (service_kind, le))",
        ],
    },
    Panel {
        shows: "the plugin dnssec",
        is: Is::Absent("it does not stand in this Corefile"),
        asks: &[
            "sum(coredns_dnssec_cache_entries{$s})",
            "sum(rate(coredns_dnssec_cache_hits_total{$s}[$r])) / sum(rate(coredns_cache_requests_total{$s}[$r]))",
        ],
    },
    Panel {
        shows: "the container around it",
        is: Is::Absent("the machine's own exporters tell of it"),
        asks: &[
            r#"container_memory_usage_bytes{container=~"coredns-*"}"#,
            r#"rate(container_cpu_usage_seconds_total{container=~"coredns-*"}[$r])"#,
            r#"rate(container_network_receive_bytes_total{pod=~"coredns-.*"}[$r])"#,
        ],
    },
];
