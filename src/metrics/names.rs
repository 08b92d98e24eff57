//! Every `coredns_*` name, once, with its labels, buckets and meaning: what dashboards made for CoreDNS ask for.

use super::family::{CounterFamily, Describe, Family, GaugeFamily, HistogramFamily, Unit};

/// All families, in the order of this file.
pub fn all() -> impl Iterator<Item = &'static dyn Describe> {
    FAMILIES.iter().map(|family| *family as &dyn Describe)
}

/// Declares each family as a static and lists them all, so that none can be forgotten on the page.
macro_rules! families {
    ($($family:ident $static:ident $name:literal [$($label:literal),*] $help:literal $(($unit:ident, $bounds:ident))?;)*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $help)]
            pub static $static: $family<{ <[&str]>::len(&[$($label),*]) }> =
                $family::new($name, $help, [$($label),*] $(, Unit::$unit, &$bounds)?);
        )*
        pub(super) static FAMILIES: &[&dyn Family] = &[$(&$static),*];
    };
}

families! {
    CounterFamily DNS_REQUESTS "coredns_dns_requests_total" ["server", "zone", "view", "proto", "family", "type"]
        "DNS queries received.";
    CounterFamily DNS_RESPONSES "coredns_dns_responses_total" ["server", "zone", "view", "rcode", "plugin"]
        "DNS responses, by response code and the plugin that made them.";
    CounterFamily DNS_DO_REQUESTS "coredns_dns_do_requests_total" ["server", "zone", "view"]
        "DNS queries with the DO bit set.";
    HistogramFamily DNS_REQUEST_DURATION "coredns_dns_request_duration_seconds" ["server", "zone", "view"]
        "Seconds from receiving a query to its response." (Nanoseconds, DURATIONS);
    HistogramFamily DNS_REQUEST_SIZE "coredns_dns_request_size_bytes" ["server", "zone", "view", "proto"]
        "Sizes of DNS queries in bytes." (Bytes, SIZES);
    HistogramFamily DNS_RESPONSE_SIZE "coredns_dns_response_size_bytes" ["server", "zone", "view", "proto"]
        "Sizes of DNS responses in bytes." (Bytes, SIZES);
    CounterFamily DNS_HTTPS_RESPONSES "coredns_dns_https_responses_total" ["server", "status"]
        "DNS-over-HTTPS responses, by HTTP status.";
    CounterFamily DNS_HTTPS3_RESPONSES "coredns_dns_https3_responses_total" ["server", "status"]
        "DNS-over-HTTP/3 responses, by HTTP status.";
    CounterFamily DNS_QUIC_RESPONSES "coredns_dns_quic_responses_total" ["server", "status"]
        "DNS-over-QUIC responses, by QUIC application code.";
    CounterFamily PANICS "coredns_panics_total" []
        "Panics that were caught while a query was answered.";
    GaugeFamily BUILD_INFO "coredns_build_info" ["version", "revision", "goversion"]
        "Always 1; the labels say what was built, from what, and with which compiler.";
    GaugeFamily PLUGIN_ENABLED "coredns_plugin_enabled" ["server", "zone", "view", "name"]
        "1 for each plugin of each server and zone.";
    CounterFamily ACL_BLOCKED_REQUESTS "coredns_acl_blocked_requests_total" ["server", "zone", "view"]
        "Queries refused by acl.";
    CounterFamily ACL_FILTERED_REQUESTS "coredns_acl_filtered_requests_total" ["server", "zone", "view"]
        "Queries answered without records by acl.";
    CounterFamily ACL_DROPPED_REQUESTS "coredns_acl_dropped_requests_total" ["server", "zone", "view"]
        "Queries dropped without a response by acl.";
    CounterFamily ACL_ALLOWED_REQUESTS "coredns_acl_allowed_requests_total" ["server", "view"]
        "Queries let through by acl.";
    CounterFamily AUTOPATH_SUCCESS "coredns_autopath_success_total" ["server"]
        "Queries whose search path was followed here.";
    GaugeFamily CACHE_ENTRIES "coredns_cache_entries" ["server", "type", "zones", "view"]
        "Responses in the cache.";
    CounterFamily CACHE_HITS "coredns_cache_hits_total" ["server", "type", "zones", "view"]
        "Queries answered from the cache.";
    CounterFamily CACHE_EVICTIONS "coredns_cache_evictions_total" ["server", "type", "zones", "view"]
        "Responses that left the cache to make room.";
    CounterFamily CACHE_REQUESTS "coredns_cache_requests_total" ["server", "zones", "view"]
        "Queries looked up in the cache.";
    CounterFamily CACHE_MISSES "coredns_cache_misses_total" ["server", "zones", "view"]
        "Queries not found in the cache; the difference of requests and hits says the same.";
    CounterFamily CACHE_PREFETCH "coredns_cache_prefetch_total" ["server", "zones", "view"]
        "Responses asked for again before they expired.";
    CounterFamily CACHE_DROPS "coredns_cache_drops_total" ["server", "zones", "view"]
        "Responses not cached because they do not fit their query.";
    CounterFamily CACHE_SERVED_STALE "coredns_cache_served_stale_total" ["server", "zones", "view"]
        "Queries answered with an expired response.";
    CounterFamily DNS64_REQUESTS_TRANSLATED "coredns_dns64_requests_translated_total" ["server"]
        "Queries answered with synthesised IPv6 addresses.";
    GaugeFamily DNSSEC_CACHE_ENTRIES "coredns_dnssec_cache_entries" ["server", "type"]
        "Signatures in the cache of dnssec.";
    CounterFamily DNSSEC_CACHE_HITS "coredns_dnssec_cache_hits_total" ["server"]
        "Signatures found in the cache of dnssec.";
    CounterFamily DNSSEC_CACHE_MISSES "coredns_dnssec_cache_misses_total" ["server"]
        "Signatures not found in the cache of dnssec.";
    CounterFamily FORWARD_HEALTHCHECK_BROKEN "coredns_forward_healthcheck_broken_total" []
        "Queries forwarded although all upstreams were down.";
    CounterFamily FORWARD_MAX_CONCURRENT_REJECTS "coredns_forward_max_concurrent_rejects_total" []
        "Queries refused because max_concurrent were in flight.";
    CounterFamily GRPC_REQUESTS "coredns_grpc_requests_total" ["to"]
        "Queries sent to gRPC upstreams.";
    CounterFamily GRPC_RESPONSES "coredns_grpc_responses_total" ["rcode", "to"]
        "Responses of gRPC upstreams, by response code.";
    HistogramFamily GRPC_REQUEST_DURATION "coredns_grpc_request_duration_seconds" ["to"]
        "Seconds that gRPC upstreams took." (Nanoseconds, DURATIONS);
    HistogramFamily HEALTH_REQUEST_DURATION "coredns_health_request_duration_seconds" []
        "Seconds that the health endpoint took to answer the process's own check." (Nanoseconds, HEALTH_DURATIONS);
    CounterFamily HEALTH_REQUEST_FAILURES "coredns_health_request_failures_total" []
        "Own checks of the health endpoint that failed.";
    GaugeFamily HOSTS_ENTRIES "coredns_hosts_entries" ["hostsfile"]
        "Names and addresses in the hosts file and the Corefile together.";
    GaugeFamily HOSTS_RELOAD_TIMESTAMP "coredns_hosts_reload_timestamp_seconds" []
        "When the hosts file was last read, as Unix time of its last change.";
    HistogramFamily KUBERNETES_DNS_PROGRAMMING_DURATION "coredns_kubernetes_dns_programming_duration_seconds" ["service_kind"]
        "Seconds from a change in the cluster to its being served." (Nanoseconds, PROGRAMMING_DURATIONS);
    CounterFamily KUBERNETES_REST_CLIENT_REQUESTS "coredns_kubernetes_rest_client_requests_total" ["code", "method", "host"]
        "Requests to the API server, by HTTP status.";
    HistogramFamily KUBERNETES_REST_CLIENT_REQUEST_DURATION "coredns_kubernetes_rest_client_request_duration_seconds" ["verb", "host"]
        "Seconds that requests to the API server took." (Nanoseconds, CLIENT_DURATIONS);
    HistogramFamily KUBERNETES_REST_CLIENT_RATE_LIMITER_DURATION "coredns_kubernetes_rest_client_rate_limiter_duration_seconds" ["verb", "host"]
        "Seconds that requests to the API server were held back here." (Nanoseconds, CLIENT_DURATIONS);
    CounterFamily LOCAL_LOCALHOST_REQUESTS "coredns_local_localhost_requests_total" []
        "Queries for localhost below some domain.";
    CounterFamily NOMAD_SUCCESS_REQUESTS "coredns_nomad_success_requests_total" ["server", "namespace"]
        "Queries answered by nomad.";
    CounterFamily NOMAD_FAILED_REQUESTS "coredns_nomad_failed_requests_total" ["server", "namespace"]
        "Queries that nomad could not answer.";
    HistogramFamily PROXY_REQUEST_DURATION "coredns_proxy_request_duration_seconds" ["proxy_name", "to", "rcode"]
        "Seconds that upstreams took." (Nanoseconds, DURATIONS);
    CounterFamily PROXY_HEALTHCHECK_FAILURES "coredns_proxy_healthcheck_failures_total" ["proxy_name", "to"]
        "Health checks of upstreams that failed.";
    CounterFamily PROXY_CONN_CACHE_HITS "coredns_proxy_conn_cache_hits_total" ["proxy_name", "to", "proto"]
        "Exchanges on a connection that was open already.";
    CounterFamily PROXY_CONN_CACHE_MISSES "coredns_proxy_conn_cache_misses_total" ["proxy_name", "to", "proto"]
        "Exchanges that opened a connection.";
    CounterFamily RELOAD_FAILED "coredns_reload_failed_total" []
        "Reloads that failed and left the old configuration in place.";
    GaugeFamily RELOAD_VERSION_INFO "coredns_reload_version_info" ["hash", "value"]
        "Always 1; the labels say the hash of the configuration and its kind.";
    CounterFamily SHED_DROPPED "coredns_shed_dropped_total" ["server", "reason"]
        "Queries and responses that shed dropped, by reason.";
    CounterFamily TEMPLATE_MATCHES "coredns_template_matches_total" ["server", "zone", "view", "class", "type"]
        "Queries that a template matched.";
    CounterFamily TEMPLATE_TEMPLATE_FAILURES "coredns_template_template_failures_total" ["server", "zone", "view", "class", "type", "section", "template"]
        "Templates that could not be filled in.";
    CounterFamily TEMPLATE_RR_FAILURES "coredns_template_rr_failures_total" ["server", "zone", "view", "class", "type", "section", "template"]
        "Filled-in templates that are no resource records.";
}

/// Bounds of the times that queries take, nanoseconds: 0.25 ms to 8.192 s, doubling.
pub const DURATIONS: [u64; 16] = exponential(250_000, 2);
/// 0.25 ms to 2.5 s, ten times as long each.
const HEALTH_DURATIONS: [u64; 5] = exponential(250_000, 10);
/// 1 ms to 524.288 s, doubling.
const PROGRAMMING_DURATIONS: [u64; 20] = exponential(1_000_000, 2);
/// 5 ms to 10 s: what Prometheus's clients take where nothing is said.
const CLIENT_DURATIONS: [u64; 11] = [
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];
/// Bounds of the sizes of queries and responses, bytes.
pub const SIZES: [u64; 14] =
    [0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16_000, 32_000, 48_000, 64_000];

const fn exponential<const COUNT: usize>(first: u64, factor: u64) -> [u64; COUNT] {
    let mut bounds = [first; COUNT];
    let mut position = 1;
    while position < COUNT {
        bounds[position] = bounds[position - 1] * factor;
        position += 1;
    }
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_coredns_s() {
        let mut seen = HashSet::new();
        for family in all() {
            assert!(seen.insert(family.name()), "{} stands twice", family.name());
            let rest = family.name().strip_prefix("coredns_").unwrap();
            let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(
                rest.chars().all(allowed) && family.labels().iter().all(|label| label.chars().all(allowed))
            );
            assert!(family.help().ends_with('.'));
        }
        assert_eq!(seen.len(), 55);
    }

    #[test]
    fn bounds_ascend_to_coredns_s_last() {
        let check = |bounds: &[u64], last| {
            assert!(bounds.is_sorted_by(|a, b| a < b));
            assert_eq!(bounds.last(), Some(&last));
        };
        check(DNS_REQUEST_DURATION.bounds(), 8_192_000_000);
        check(HEALTH_REQUEST_DURATION.bounds(), 2_500_000_000);
        check(KUBERNETES_DNS_PROGRAMMING_DURATION.bounds(), 524_288_000_000);
        check(KUBERNETES_REST_CLIENT_REQUEST_DURATION.bounds(), 10_000_000_000);
        check(DNS_RESPONSE_SIZE.bounds(), 64_000);
    }
}
