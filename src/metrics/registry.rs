//! The page: every family of the process.

use super::names::FAMILIES;
use super::process;
use super::text::Text;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The page that Prometheus scrapes: all families that have a series, sorted by name, then the `process_*` series.
/// Reads some files of /proc, so not for a worker.
pub fn render() -> String {
    // Collected first: a hook may itself register or drop hooks.
    let hooks: Vec<_> = {
        let mut hooks = HOOKS.lock().unwrap_or_else(PoisonError::into_inner);
        hooks.retain(|hook| hook.strong_count() > 0);
        hooks.iter().filter_map(Weak::upgrade).collect()
    };
    for hook in hooks {
        hook();
    }
    let mut families = FAMILIES.to_vec();
    families.sort_unstable_by_key(|family| family.name());
    let mut text = Text::new();
    for family in families {
        text.family(family);
    }
    process::write(&mut text);
    text.finish()
}

/// Has `set_gauges` called at the beginning of each [`render`], for values that are cheaper to look up now and then than
/// to keep (the number of cached responses). Ends when the returned handle is dropped.
pub fn before_scrape(set_gauges: impl Fn() + Send + Sync + 'static) -> ScrapeHook {
    let hook: Arc<Hook> = Arc::new(set_gauges);
    let mut hooks = HOOKS.lock().unwrap_or_else(PoisonError::into_inner);
    // Here too, since a process that nobody scrapes may reload for years.
    hooks.retain(|hook| hook.strong_count() > 0);
    hooks.push(Arc::downgrade(&hook));
    ScrapeHook { _hook: hook }
}

/// Keeps a hook of [`before_scrape`].
#[must_use = "dropping it ends the hook"]
pub struct ScrapeHook {
    _hook: Arc<Hook>,
}

type Hook = dyn Fn() + Send + Sync;

static HOOKS: Mutex<Vec<Weak<Hook>>> = Mutex::new(Vec::new());

#[cfg(test)]
mod tests {
    use super::super::{enter_worker, names};
    use super::*;

    #[test]
    fn the_page_has_what_coredns_shows_without_a_query() {
        let page = render();
        for always in [
            "coredns_panics_total ",
            "coredns_reload_failed_total ",
            "coredns_health_request_failures_total ",
            "coredns_health_request_duration_seconds_count ",
            "coredns_forward_healthcheck_broken_total ",
            "coredns_hosts_reload_timestamp_seconds ",
            "process_cpu_seconds_total ",
            "process_resident_memory_bytes ",
        ] {
            assert!(page.contains(&format!("\n{always}")), "{always} is missing");
        }
        let names: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("# HELP coredns_")).collect();
        assert!(names.is_sorted());
    }

    #[test]
    fn what_workers_count_is_on_the_page() {
        let labels = ["dns://:53", "workers.test.", "", "udp", "1", "A"];
        let counter = names::DNS_REQUESTS.with(labels);
        std::thread::scope(|scope| {
            for worker in 0..3 {
                let counter = counter.clone();
                scope.spawn(move || {
                    let _worker = enter_worker(930 + worker);
                    for _ in 0..1000 {
                        counter.inc();
                    }
                });
            }
        });
        counter.inc();
        let line = "coredns_dns_requests_total{server=\"dns://:53\",zone=\"workers.test.\",view=\"\",proto=\"udp\",\
                    family=\"1\",type=\"A\"} 3001\n";
        assert!(render().contains(line));
    }

    #[test]
    fn hooks_set_gauges_until_they_are_dropped() {
        let gauge = names::CACHE_ENTRIES.scoped(["dns://:53", "success", "hooks.test.", ""]);
        let set = gauge.clone();
        let hook = before_scrape(move || set.add(1.0));
        render();
        let after_one = gauge.get();
        assert!(after_one >= 1.0);
        drop(hook);
        let after_drop = gauge.get();
        render();
        assert_eq!(gauge.get(), after_drop);
    }
}
