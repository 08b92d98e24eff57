//! The server asks its own page each second: how long that takes tells how busy the machine is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::PATH;
use crate::chain::{PageAddress, clock};
use crate::config::{GoDuration, quote};
use crate::control::http;
use crate::metrics::names;
use crate::upstream::lookup;

/// Where the page is asked, and how that is called.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SelfCheck {
    host: String,
    port: u16,
}

impl SelfCheck {
    /// A check of the page at `address`; `None` if the kernel chooses its port.
    pub(super) fn new(address: &PageAddress) -> Option<Self> {
        let port = address.port.parse().ok().filter(|port| *port != 0)?;
        // Of all addresses one is to be asked.
        let host = if address.host.is_empty() { "localhost" } else { &address.host };
        Some(Self { host: host.to_owned(), port })
    }

    fn url(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("http://{host}:{}{PATH}", self.port)
    }

    /// Asks until the configuration ends.
    pub(super) async fn run(self) {
        let host = self.host.clone();
        let ip = tokio::task::spawn_blocking(move || ip_of(&host)).await.ok().flatten();
        let Some(ip) = ip else { return };
        let (address, host, url) =
            (SocketAddr::new(ip, self.port), format!("{}:{}", self.host, self.port), self.url());
        let (durations, failures) =
            (names::HEALTH_REQUEST_DURATION.with([]), names::HEALTH_REQUEST_FAILURES.with([]));
        loop {
            tokio::time::sleep(INTERVAL).await;
            let begun = clock::now();
            let got = tokio::time::timeout(LIMIT, http::get(address, &host, PATH)).await;
            let took = clock::now().since(begun);
            durations.observe_duration(took);
            let failure = match got {
                Ok(Ok(_)) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("no answer within {}", GoDuration::from(LIMIT))),
            };
            if let Some(why) = failure {
                failures.inc();
                tracing::warn!(target: "plugin/health", "Local health request to {} failed: {why}", quote(&url));
            } else if took > SLOW {
                let took = GoDuration::from(took);
                tracing::warn!(target: "plugin/health", "Local health request to {} took more than 1s: {took}", quote(&url));
            }
        }
    }
}

/// The address to ask for `host`: the loopback where it stands for all. `None` if it is no name; then there is no page either.
fn ip_of(host: &str) -> Option<IpAddr> {
    match host.parse::<IpAddr>() {
        Ok(ip) if !ip.is_unspecified() => Some(ip),
        Ok(IpAddr::V6(_)) => Some(Ipv6Addr::LOCALHOST.into()),
        Ok(IpAddr::V4(_)) => Some(Ipv4Addr::LOCALHOST.into()),
        Err(_) if host.eq_ignore_ascii_case("localhost") => Some(Ipv4Addr::LOCALHOST.into()),
        Err(_) => {
            let found = lookup::system(host).unwrap_or_default();
            found.iter().find(|ip| ip.is_ipv4()).or(found.first()).copied()
        }
    }
}

const INTERVAL: Duration = Duration::from_secs(1);
/// After this a check has failed.
const LIMIT: Duration = Duration::from_secs(3);
/// After this it is said how long it took.
const SLOW: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_asked_where_it_is() {
        let check = |address: &str, url: Option<&str>, ip: &str| {
            let check = SelfCheck::new(&PageAddress::split(address).unwrap());
            assert_eq!(check.as_ref().map(SelfCheck::url).as_deref(), url, "{address}");
            if let Some(check) = check {
                assert_eq!(ip_of(&check.host), ip.parse().ok(), "{address}");
            }
        };
        check(":8080", Some("http://localhost:8080/health"), "127.0.0.1");
        check("localhost:1", Some("http://localhost:1/health"), "127.0.0.1");
        check("0.0.0.0:1", Some("http://0.0.0.0:1/health"), "127.0.0.1");
        check("[::]:1", Some("http://[::]:1/health"), "::1");
        check("[2001:db8::1]:1", Some("http://[2001:db8::1]:1/health"), "2001:db8::1");
        check(":0", None, "");
        check(":", None, "");
    }
}
