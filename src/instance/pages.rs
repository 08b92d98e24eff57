//! Pages over HTTP: from what plugins of all blocks ask for to listeners with routes.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use crate::chain::{Page, PageAddress};
use crate::config::{Diagnostic, SourceMap, Span};
use crate::control::http::{Guard, Listeners, OpenError, Opened, Route, Served};
use crate::upstream::lookup;

/// The listeners of a configuration.
#[derive(Default)]
pub(super) struct PagePlan {
    listeners: Vec<PageListener>,
    /// Addresses that are none on this machine. An error only when they are to be opened: what is checked here may be served elsewhere.
    unusable: Vec<Diagnostic>,
}

struct PageListener {
    address: SocketAddr,
    guard: Option<Arc<dyn Guard>>,
    routes: Vec<PageRoute>,
}

struct PageRoute {
    plugin: &'static str,
    span: Span,
    route: Route,
}

/// Joins the pages of all blocks by address.
///
/// # Errors
/// Pages of different plugins that want the same path of an address, and pages of one address with different guards: whether it speaks TLS and who
/// may ask is not left to the order of a file.
pub(super) fn plan(pages: impl IntoIterator<Item = Page>) -> Result<PagePlan, Vec<Diagnostic>> {
    let mut plan = PagePlan::default();
    let mut conflicts = Vec::new();
    for page in pages {
        let address = match resolve(&page.address) {
            Ok(address) => address,
            Err(why) => {
                plan.unusable.push(with_plugin(Diagnostic::bare(page.span, why), page.plugin, page.path));
                continue;
            }
        };
        let known = plan.listeners.iter().position(|listener| listener.address == address);
        let at = known.unwrap_or_else(|| {
            let guard = page.guard.clone();
            plan.listeners.push(PageListener { address, guard, routes: Vec::new() });
            plan.listeners.len() - 1
        });
        let PageListener { guard, routes, .. } = &mut plan.listeners[at];
        let is_same =
            guard.as_ref().map(|guard| guard.name()) == page.guard.as_ref().map(|guard| guard.name());
        if let Some(other) = routes.first().filter(|_| !is_same) {
            let who = |guard: Option<&Arc<dyn Guard>>| {
                guard.map_or_else(|| "plain HTTP".to_owned(), |guard| format!("'tls {}'", guard.name()))
            };
            let (there, here) = (who(guard.as_ref()), who(page.guard.as_ref()));
            let what =
                format!("'{}' is served there with {there}, and {} wants {here}", other.plugin, page.path);
            conflicts.push(
                Diagnostic::bare(page.span, what)
                    .note(other.span, "here")
                    .help("pages of one address have the same 'tls FILE', or none; choose another address for one of them")
                    .in_plugin(page.plugin),
            );
            continue;
        }
        match routes.iter().find(|other| other.route.path == page.path) {
            Some(other) if other.plugin == page.plugin => {}
            Some(other) => conflicts.push(
                Diagnostic::bare(page.span, format!("'{}' already serves {} there", other.plugin, page.path))
                    .note(other.span, "here")
                    .in_plugin(page.plugin),
            ),
            None => routes.push(PageRoute {
                plugin: page.plugin,
                span: page.span,
                route: Route { path: page.path, handler: page.handler, ends_at_once: page.ends_at_once },
            }),
        }
    }
    if conflicts.is_empty() { Ok(plan) } else { Err(conflicts) }
}

impl PagePlan {
    /// Opens the sockets that `listeners` has not yet.
    ///
    /// # Errors
    /// All addresses that are none, else the first that cannot be opened, with plugin and place; `sources` has the texts.
    pub(super) fn open(&self, listeners: &Listeners, sources: &SourceMap) -> Result<Opened, String> {
        if !self.unusable.is_empty() {
            let shown: Vec<String> = self.unusable.iter().map(|d| d.render(sources).to_string()).collect();
            return Err(shown.join("\n\n"));
        }
        let addresses = self.listeners.iter().map(|listener| listener.address);
        listeners.open(addresses).map_err(|error| self.explain(&error).render(sources).to_string())
    }

    /// Serves this plan's pages and no others.
    pub(super) fn serve(self, listeners: &mut Listeners, opened: Opened) {
        let routes = |listener: PageListener| {
            let routes = listener.routes.into_iter().map(|page| page.route).collect();
            (listener.address, Served { routes, guard: listener.guard })
        };
        listeners.serve(self.listeners.into_iter().map(routes), opened);
    }

    fn explain(&self, error: &OpenError) -> Diagnostic {
        let listener = self.listeners.iter().find(|listener| listener.address == error.address);
        let mut pages = listener.into_iter().flat_map(|listener| &listener.routes);
        let Some(page) = pages.next() else { return Diagnostic::bare(Span::default(), error.to_string()) };
        let mut diagnostic =
            with_plugin(Diagnostic::bare(page.span, error.to_string()), page.plugin, page.route.path);
        for other in pages {
            diagnostic = diagnostic.note(other.span, format!("'{}' serves there too", other.plugin));
        }
        let port = error.address.port();
        match error.source.kind() {
            std::io::ErrorKind::AddrInUse => diagnostic
                .help(format!("another program listens there; this shows which: ss -ltnp 'sport = :{port}'")),
            std::io::ErrorKind::AddrNotAvailable => {
                diagnostic.help("the address is not one of this machine's; `ip address` shows them")
            }
            std::io::ErrorKind::PermissionDenied => {
                diagnostic.help(format!("port {port} is below 1024 and needs the right to bind it"))
            }
            _ => diagnostic,
        }
    }
}

fn with_plugin(diagnostic: Diagnostic, plugin: &str, path: &str) -> Diagnostic {
    diagnostic.help(format!("'{plugin}' is to serve {path} there"))
}

/// The address to listen on, as Go's `net.Listen` chooses it: all addresses of both families for none and for the unspecified ones, the first
/// IPv4 address of a name if it has one.
fn resolve(address: &PageAddress) -> Result<SocketAddr, String> {
    let PageAddress { host, port } = address;
    let port = match port.as_str() {
        "" => 0,
        port if port.bytes().all(|b| b.is_ascii_digit()) => {
            port.parse::<u16>().map_err(|_| format!("listen tcp: address {port}: invalid port"))?
        }
        port => return Err(format!("listen tcp: lookup tcp/{port}: unknown port")),
    };
    let everywhere = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let ip = if host.is_empty() {
        everywhere
    } else {
        match host.parse::<IpAddr>() {
            Ok(ip) if ip.is_unspecified() => everywhere,
            Ok(ip) => ip,
            Err(_) => of_name(host).map_err(|why| format!("listen tcp: {why}"))?,
        }
    };
    Ok(SocketAddr::new(ip, port))
}

fn of_name(host: &str) -> Result<IpAddr, lookup::LookupError> {
    let found = match lookup::system(host) {
        // A container without /etc/hosts still has a loopback (RFC 6761 6.3).
        Err(_) if host.eq_ignore_ascii_case("localhost") => return Ok(IpAddr::from([127, 0, 0, 1])),
        found => found?,
    };
    let first = found.iter().find(|ip| ip.is_ipv4()).or(found.first()).copied();
    first.ok_or_else(|| lookup::LookupError::NoSuchHost { name: host.to_owned(), server: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::http::{Reply, at_once};

    fn page(plugin: &'static str, address: &str, path: &'static str) -> Page {
        Page {
            plugin,
            span: Span::default(),
            address: PageAddress::split(address).unwrap(),
            path,
            handler: at_once(|_| Reply::text(200, "")),
            guard: None,
            ends_at_once: false,
        }
    }

    #[test]
    fn pages_of_an_address_share_its_listener() {
        let pages = [
            page("health", ":8080", "/health"),
            page("health", "0.0.0.0:8080", "/health"),
            page("ready", "[::]:8080", "/ready"),
            page("prometheus", "localhost:9153", "/metrics"),
            page("prometheus", "127.0.0.1:9153", "/metrics"),
        ];
        let plan = plan(pages).unwrap();
        let shown: Vec<String> = plan
            .listeners
            .iter()
            .map(|l| {
                let paths: Vec<_> = l.routes.iter().map(|r| r.route.path).collect();
                format!("{} {}", l.address, paths.join(","))
            })
            .collect();
        assert_eq!(shown, ["[::]:8080 /health,/ready", "127.0.0.1:9153 /metrics"]);
    }

    #[test]
    fn two_plugins_do_not_have_one_path() {
        let errors = plan([page("a", ":1", "/x"), page("b", ":1", "/x")]).err().unwrap();
        assert_eq!(errors[0].headline(&SourceMap::default()), "plugin/b: 'a' already serves /x there");
        assert!(plan([page("a", ":1", "/x"), page("b", ":2", "/x")]).is_ok());
    }

    #[test]
    fn addresses_are_those_of_go() {
        let check = |text: &str, want: Result<&str, &str>| {
            let got = resolve(&PageAddress::split(text).unwrap()).map(|address| address.to_string());
            assert_eq!(got.as_deref().map_err(String::as_str), want, "{text}");
        };
        check(":8080", Ok("[::]:8080"));
        check("0.0.0.0:8080", Ok("[::]:8080"));
        check("[::1]:8080", Ok("[::1]:8080"));
        check("localhost:", Ok("127.0.0.1:0"));
        check(":99999", Err("listen tcp: address 99999: invalid port"));
        check(":http", Err("listen tcp: lookup tcp/http: unknown port"));
        check(":-1", Err("listen tcp: lookup tcp/-1: unknown port"));
    }

    #[test]
    fn an_address_that_is_none_is_an_error_when_it_is_opened() {
        let plan = plan([page("prometheus", ":x", "/metrics")]).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut sources = SourceMap::default();
        sources.add("Corefile", "");
        let listeners = Listeners::new(runtime.handle().clone());
        let error = plan.open(&listeners, &sources).err().unwrap();
        assert!(error.starts_with("listen tcp: lookup tcp/x: unknown port\n"), "{error}");
        assert!(error.contains("'prometheus' is to serve /metrics there"), "{error}");
    }
}
