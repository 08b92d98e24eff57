#![doc = include_str!("README.md")]

mod attempts;
mod config;
mod limit;
#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test says how long an answer may take")]
mod tests;
mod to;

use std::cell::Cell;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use attempts::{Attempts, Choice};
use config::Config;
use limit::{Limit, Ticket};

use crate::chain::{
    self, Alone, Built, Cx, Failure, Late, Mono, Plugin, PluginSpec, Query, Repeat, Response, Setup, Step,
    clock,
};
use crate::config::{Diagnostic, Scheme};
use crate::metrics::Counter;
use crate::metrics::names::{FORWARD_HEALTHCHECK_BROKEN, FORWARD_MAX_CONCURRENT_REJECTS};
use crate::upstream::{
    ErrorKind, ExchangeError, Exchanging, Policy, Reply, Transport, Upstream, UpstreamConfig, address,
};
use crate::wire::{Flags, Name, Rcode, header};

/// The plugin's row.
pub(super) const SPEC: PluginSpec = PluginSpec {
    name: "forward",
    summary: "passes queries on to other DNS servers",
    manual: include_str!("README.md"),
    repeat: Repeat::Many,
    metrics: &[
        "coredns_forward_healthcheck_broken_total",
        "coredns_forward_max_concurrent_rejects_total",
        "coredns_proxy_request_duration_seconds",
        "coredns_proxy_healthcheck_failures_total",
        "coredns_proxy_conn_cache_hits_total",
        "coredns_proxy_conn_cache_misses_total",
    ],
    build,
};

/// How long a query may be on its way in all.
const PATIENCE: Duration = Duration::from_secs(5);

/// The label of the upstream that was asked last.
const UPSTREAM_LABEL: &str = "forward/upstream";

fn build(setup: &mut Setup<'_>) -> Result<Built, Vec<Diagnostic>> {
    setup.block.other_classes = true;
    let listeners = own_listeners(setup);
    let directives = setup.directives;
    let warnings = &mut setup.block.warnings;
    let mut built: Built = Vec::new();
    let mut errors = Vec::new();
    for (place, directive) in directives.iter().enumerate() {
        match Config::read(directive, warnings) {
            Ok(config) => {
                let has_next = place + 1 < directives.len();
                built.push(Arc::new(Forward(Arc::new(Inner::new(config, has_next, &listeners, warnings)))));
            }
            Err(mut found) => errors.append(&mut found),
        }
    }
    if errors.is_empty() { Ok(built) } else { Err(errors) }
}

/// The plugin as it stands in the chain: once for each of its directives.
struct Forward(Arc<Inner>);

struct Inner {
    from: Name,
    except: Vec<Name>,
    upstreams: Vec<Arc<Upstream>>,
    /// The addresses of the upstreams, as metadata show them.
    labels: Vec<&'static str>,
    policy: Policy,
    /// `None`: as the client asks.
    transport: Option<Transport>,
    /// A truncated reply over UDP is asked for again over TCP.
    retries_truncated: bool,
    max_fails: u32,
    /// Zero for no limit.
    attempts_max: u32,
    failfast: bool,
    failover: Vec<Rcode>,
    next: Vec<Rcode>,
    next_on_nodata: bool,
    /// Another `forward` follows in the chain.
    has_next: bool,
    limit: Arc<Limit>,
    rejects: Counter,
    all_down: Counter,
}

impl Inner {
    fn new(
        config: Config<'_>,
        has_next: bool,
        listeners: &[SocketAddr],
        warnings: &mut Vec<Diagnostic>,
    ) -> Self {
        let (ours, targets): (Vec<_>, Vec<_>) =
            config.targets.iter().partition(|target| address::is_ours(target.address, listeners));
        for target in ours {
            let message = format!(
                "{} is waypost itself: a query would come back here for ever, so it is not sent there",
                target.address
            );
            let help = "name the upstream that is meant, such as the router's or the provider's";
            warnings.push(Diagnostic::warning(target.word.span, message).help(help));
        }
        let upstreams: Vec<Arc<Upstream>> = targets
            .iter()
            .map(|target| {
                Upstream::new(UpstreamConfig {
                    source_address: config.source_address,
                    expire: config.expire,
                    max_age: config.max_age,
                    max_idle_conns: config.max_idle_conns,
                    read_timeout: config.read_timeout,
                    probe: config.probe.clone(),
                    ..UpstreamConfig::new("forward", target.address)
                })
            })
            .collect();
        let labels = upstreams.iter().map(|upstream| chain::intern(upstream.address_text())).collect();
        let attempts_max = config.max_connect_attempts.unwrap_or(2 * upstreams.len() as u32);
        let transport = match (config.force_tcp, config.prefer_udp) {
            (true, _) => Some(Transport::Tcp),
            (false, true) => Some(Transport::Udp),
            (false, false) => None,
        };
        Self {
            from: config.from,
            except: config.except,
            upstreams,
            labels,
            policy: config.policy,
            transport,
            retries_truncated: config.prefer_udp && !config.force_tcp,
            max_fails: config.max_fails,
            attempts_max,
            failfast: config.failfast,
            failover: config.failover,
            next: config.next,
            next_on_nodata: config.next_on_nodata,
            has_next,
            limit: Limit::new(config.max_concurrent),
            rejects: FORWARD_MAX_CONCURRENT_REJECTS.with([]),
            all_down: FORWARD_HEALTHCHECK_BROKEN.with([]),
        }
    }

    /// Whether queries for `name` are ours.
    fn takes(&self, name: &Name) -> bool {
        name.is_under(self.from.as_bytes())
            && (*name == self.from || !self.except.iter().any(|except| name.is_under(except.as_bytes())))
    }
}

/// Where the block listens for plain DNS.
fn own_listeners(setup: &Setup<'_>) -> Vec<SocketAddr> {
    let everywhere = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let bound: Vec<IpAddr> = match setup.block.bind.as_slice() {
        [] => vec![everywhere],
        bound => bound.iter().map(|&(ip, _)| ip).collect(),
    };
    let ports = setup.addresses.iter().filter(|key| key.scheme == Scheme::Dns).map(|key| key.port);
    ports.flat_map(|port| bound.iter().map(move |&ip| SocketAddr::new(ip, port))).collect()
}

impl Plugin for Forward {
    fn on_query(&self, _: &Cx<'_>, query: &mut Query, _: &mut Response) -> Step {
        let inner = &self.0;
        if !inner.takes(query.name()) {
            return Step::Next;
        }
        let ticket = match inner.limit.enter() {
            Ok(ticket) => ticket,
            Err(failure) => {
                inner.rejects.inc();
                return Step::Fail(Rcode::REFUSED, Some(failure));
            }
        };
        let label = query.metadata_mut().map(|metadata| {
            let label = Rc::new(Cell::new(""));
            metadata.set_live(UPSTREAM_LABEL, Rc::clone(&label));
            label
        });
        let mut way = Way {
            attempts: Attempts::new(inner.policy.order(inner.upstreams.len())),
            forward: Arc::clone(inner),
            asked: 0,
            transport: inner.transport.unwrap_or(match query.transport {
                chain::Transport::Udp => Transport::Udp,
                chain::Transport::Tcp => Transport::Tcp,
            }),
            is_retried_over_tcp: false,
            wire: query.wire().into(),
            alone: query.extensions.get::<Alone>().is_some(),
            deadline: query.now + PATIENCE,
            label,
            last_error: None,
            _ticket: ticket,
        };
        match way.ask(PATIENCE) {
            Some(exchanging) => Step::Later(Box::pin(way.run(exchanging))),
            None => {
                let (rcode, failure) = way.give_up();
                Step::Fail(rcode, Some(failure))
            }
        }
    }
}

/// One query on its way through the upstreams.
struct Way {
    forward: Arc<Inner>,
    attempts: Attempts,
    /// The upstream that was asked last.
    asked: usize,
    transport: Transport,
    /// The reply over UDP was truncated, and the same upstream is asked over TCP.
    is_retried_over_tcp: bool,
    wire: Box<[u8]>,
    /// It shares no exchange.
    alone: bool,
    deadline: Mono,
    label: Option<Rc<Cell<&'static str>>>,
    last_error: Option<ExchangeError>,
    _ticket: Ticket,
}

impl Way {
    async fn run(mut self, mut exchanging: Exchanging) -> Late {
        loop {
            let next = match exchanging.await {
                Ok(reply) => match self.judge(reply) {
                    ControlFlow::Break(late) => return late,
                    ControlFlow::Continue(next) => next,
                },
                Err(error) => self.failed(error),
            };
            let Some(next) = next else {
                let (rcode, failure) = self.give_up();
                return Late::Fail(rcode, Some(failure));
            };
            exchanging = next;
        }
    }

    /// Asks the next upstream, if there is one to ask.
    fn ask(&mut self, patience: Duration) -> Option<Exchanging> {
        let forward = &*self.forward;
        let is_down = |place: usize| forward.upstreams[place].health().is_down(forward.max_fails);
        self.asked = match self.attempts.choose(is_down, forward.failfast) {
            Choice::Ask(place) => place,
            Choice::AskAnyway(place) => {
                forward.all_down.inc();
                place
            }
            Choice::NobodyIsUp => {
                forward.all_down.inc();
                return None;
            }
        };
        self.is_retried_over_tcp = false;
        if let Some(label) = &self.label {
            label.set(forward.labels[self.asked]);
        }
        Some(self.exchange(patience))
    }

    /// Sends the query to the upstream that is asked.
    fn exchange(&self, patience: Duration) -> Exchanging {
        let upstream = &self.forward.upstreams[self.asked];
        if self.alone {
            upstream.exchange_alone(&self.wire, self.transport, patience)
        } else {
            upstream.exchange(&self.wire, self.transport, patience)
        }
    }

    /// As [`Self::ask`], if there is time left.
    fn ask_in_time(&mut self) -> Option<Exchanging> {
        let left = self.deadline.since(clock::now());
        if left.is_zero() { None } else { self.ask(left) }
    }

    /// An exchange has failed: asks another upstream, or the same again.
    fn failed(&mut self, error: ExchangeError) -> Option<Exchanging> {
        let kind = error.kind;
        self.last_error = Some(error);
        // These would meet the next attempt too, and say nothing of the upstream.
        if matches!(kind, ErrorKind::InvalidQuery | ErrorKind::Overloaded) {
            return None;
        }
        if self.forward.max_fails != 0 {
            self.forward.upstreams[self.asked].probe();
        }
        if self.attempts.go_on_after_failure(self.forward.attempts_max) { self.ask_in_time() } else { None }
    }

    /// What to do with a reply: it answers the query or hands it on, or somebody else is asked.
    fn judge(&mut self, Reply { wire, took }: Reply) -> ControlFlow<Late, Option<Exchanging>> {
        let forward = Arc::clone(&self.forward);
        let upstream = &forward.upstreams[self.asked];
        let is_truncated = Flags::of(&wire).has(Flags::TC);
        let has_answer = header::counts(&wire)[1] > 0;
        let mut response = Response::default();
        if response.adopt(wire).is_err() {
            return ControlFlow::Continue(self.failed(upstream.malformed_reply(self.transport)));
        }
        let rcode = response.rcode().unwrap_or(Rcode::SERVFAIL);
        upstream.observe(rcode, took);
        if is_truncated && forward.retries_truncated && !self.is_retried_over_tcp {
            self.is_retried_over_tcp = true;
            let left = self.deadline.since(clock::now());
            return ControlFlow::Continue(Some(upstream.exchange(&self.wire, Transport::Tcp, left)));
        }
        if forward.failover.contains(&rcode)
            && self.attempts.go_on_after_reply()
            && let Some(next) = self.ask_in_time()
        {
            return ControlFlow::Continue(Some(next));
        }
        let is_nodata = rcode == Rcode::NOERROR && !has_answer;
        if forward.has_next && (forward.next.contains(&rcode) || (forward.next_on_nodata && is_nodata)) {
            return ControlFlow::Break(Late::Next);
        }
        ControlFlow::Break(Late::Respond(response))
    }

    /// What to say when no upstream gave an answer.
    fn give_up(&mut self) -> (Rcode, Failure) {
        match self.last_error.take() {
            Some(error) if error.kind == ErrorKind::InvalidQuery => {
                (Rcode::FORMERR, Failure::new(error.to_string()))
            }
            Some(error) => (Rcode::SERVFAIL, Failure::new(error.to_string())),
            None if self.forward.upstreams.is_empty() => {
                (Rcode::SERVFAIL, Failure::new("no upstream but waypost itself"))
            }
            None => (Rcode::SERVFAIL, Failure::new("no healthy proxies")),
        }
    }
}
