//! From the tree to blocks, chains and listeners: everything but the sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;

use super::banner;
use super::listening::Together;
use super::load::seen;
use super::pages::{self, PagePlan};
use crate::chain::capability::Capabilities;
use crate::chain::{
    Background, Block, BlockBuilder, BlockSetup, EndHook, EventHook, Labels, ListenerWishes, Page,
    PlacedHook, Places, ReloadSettings, Repeat, Report, Router, Setup, Shared, StartHook, intern,
    intern_labels,
};
use crate::config::{
    self, Address, Claim, Config, Diagnostic, Directive, Refused, Scheme, ServerBlock, SourceMap,
};
use crate::control::config_watch::Seen;
use crate::plugins;
use crate::server::{self, ListenerSpec};
use crate::wire::Name;

/// A configuration that is ready to serve.
pub struct Plan {
    /// What to listen on, with the routing table of each.
    pub listeners: Vec<ListenerSpec>,
    /// What was accepted but is probably not what was meant.
    pub warnings: Vec<Diagnostic>,
    /// The texts behind the places in warnings.
    pub sources: SourceMap,
    /// The zones and where they are served, a line each.
    pub banner: Vec<String>,
    /// Whether debug lines are logged.
    pub debug: bool,
    /// How the configuration is watched for changes; `None`: it is not.
    pub reload: Option<ReloadSettings>,
    /// True if the configuration has no block, so that the default is served.
    pub(super) is_default: bool,
    pub(super) seen: Seen,
    pub(super) background: Vec<Background>,
    pub(super) on_start: Vec<StartHook>,
    pub(super) on_stop: Vec<Box<dyn FnOnce() + Send>>,
    pub(super) pages: PagePlan,
    pub(super) on_end: Vec<EndHook>,
    pub(super) on_started: Vec<EventHook>,
    pub(super) on_shutdown: Vec<EventHook>,
}

impl Plan {
    /// Lets the plugins do what comes before serving: read files, open their own listeners. Each hook runs once.
    ///
    /// # Errors
    /// The words of the first plugin that cannot.
    pub fn run_start_hooks(&mut self) -> Result<(), String> {
        self.on_start.drain(..).try_for_each(|hook| hook())
    }

    /// Takes what the plugins want to be run while the plan is served, such as looking at files: for who serves it without [`super::Running`].
    pub fn take_background(&mut self) -> Vec<Background> {
        std::mem::take(&mut self.background)
    }
}

/// A block that was built, and what its keys and plugins said of where it stands.
struct Built {
    addresses: Vec<Address>,
    bind: Vec<(IpAddr, u32)>,
    served: bool,
    wishes: ListenerWishes,
    block: Arc<Block>,
    capabilities: Capabilities,
    when_placed: Vec<PlacedHook>,
}

/// What blocks leave for the whole configuration; the number is the plugin's place in the order.
#[derive(Default)]
struct Gathered {
    shared: Arc<Shared>,
    counts_queries: bool,
    pages: Vec<(usize, Page)>,
    on_end: Vec<(usize, EndHook)>,
}

/// Builds all blocks of `config`; `dns_port` is the port of keys without one.
///
/// # Errors
/// All errors of all blocks and plugins.
pub(super) fn build(config: Config, dns_port: u16) -> Result<Plan, Refused> {
    let mut errors = Vec::new();
    let seen = seen(&config);
    let mut plan = Plan {
        listeners: Vec::new(),
        warnings: config.warnings,
        sources: config.sources,
        banner: Vec::new(),
        debug: false,
        reload: None,
        is_default: config.is_default,
        seen,
        background: Vec::new(),
        on_start: Vec::new(),
        on_stop: Vec::new(),
        pages: PagePlan::default(),
        on_end: Vec::new(),
        on_started: Vec::new(),
        on_shutdown: Vec::new(),
    };
    let mut gathered = Gathered::default();
    let mut built = Vec::new();
    for source in &config.blocks {
        match build_block(source, dns_port, &mut plan, &mut gathered) {
            Ok(block) => built.push(block),
            Err(found) => errors.extend(found),
        }
    }
    errors.extend(duplicates(&built));
    let Gathered { mut pages, mut on_end, counts_queries, .. } = gathered;
    // Both stable: within a plugin it is the order of the blocks.
    pages.sort_by_key(|(plugin, _)| *plugin);
    on_end.sort_by_key(|(plugin, _)| *plugin);
    plan.on_end = on_end.into_iter().map(|(_, hook)| hook).collect();
    match pages::plan(pages.into_iter().map(|(_, page)| page)) {
        Ok(pages) => plan.pages = pages,
        Err(conflicts) => errors.extend(conflicts),
    }
    if !errors.is_empty() {
        return Err(Refused { errors, warnings: plan.warnings, sources: plan.sources });
    }
    built.iter_mut().for_each(tell_places);
    listen(built, counts_queries, &mut plan);
    Ok(plan)
}

fn build_block(
    source: &ServerBlock,
    dns_port: u16,
    plan: &mut Plan,
    gathered: &mut Gathered,
) -> Result<Built, Vec<Diagnostic>> {
    let addresses = config::addresses(source, dns_port)?;
    let mut errors: Vec<Diagnostic> = addresses.iter().filter_map(unserved_scheme).collect();
    let zones: Vec<Name> = addresses.iter().filter_map(|a| Name::from_text(&a.zone).ok()).collect();
    let mut setup = BlockSetup::default();
    setup.shared = Arc::clone(&gathered.shared);
    let mut builder = BlockBuilder::default();
    for (place, spec) in plugins::ORDER.iter().enumerate() {
        let directives: Vec<&Directive> = source.named(spec.name).collect();
        let Some(first) = directives.first() else { continue };
        if spec.repeat == Repeat::Once
            && let Some(second) = directives.get(1)
        {
            errors.push(second.only_once(first.span).in_plugin(spec.name));
            continue;
        }
        let mut view =
            Setup { directives: &directives, zones: &zones, addresses: &addresses, block: &mut setup };
        match (spec.build)(&mut view) {
            Ok(plugins) => plugins.into_iter().for_each(|plugin| builder.push(spec.name, plugin)),
            Err(found) => errors.extend(found.into_iter().map(|e| e.in_plugin(spec.name))),
        }
        plan.warnings.extend(setup.warnings.drain(..).map(|warning| warning.in_plugin(spec.name)));
        gathered.pages.extend(setup.pages.drain(..).map(|page| (place, page)));
        gathered.on_end.extend(setup.on_end.drain(..).map(|hook| (place, hook)));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    builder.debug = setup.debug;
    builder.other_classes = setup.other_classes;
    builder.stacktrace = setup.stacktrace;
    builder.patience = setup.patience;
    if let Some(zones) = setup.metadata_zones.take() {
        builder.collect_metadata(zones, std::mem::take(&mut setup.metadata_sources));
    }
    gathered.counts_queries |= setup.counts_queries;
    plan.debug |= setup.debug;
    plan.reload = setup.reload.or(plan.reload);
    plan.background.append(&mut setup.background);
    plan.on_start.append(&mut setup.on_start);
    plan.on_stop.append(&mut setup.on_stop);
    plan.on_started.append(&mut setup.on_started);
    plan.on_shutdown.append(&mut setup.on_shutdown);
    Ok(Built {
        addresses,
        bind: setup.bind,
        served: !setup.bind_excludes_all,
        wishes: setup.listeners,
        block: Arc::new(builder.build()),
        capabilities: setup.capabilities,
        when_placed: setup.when_placed,
    })
}

/// Tells the plugins of a block where it stands.
fn tell_places(built: &mut Built) {
    let hooks = std::mem::take(&mut built.when_placed);
    if hooks.is_empty() {
        return;
    }
    let labels: Vec<Labels> = built
        .addresses
        .iter()
        .flat_map(|address| built.locals(address).map(move |local| (address, local)))
        .filter_map(|(address, local)| {
            let zone = Name::from_text(&address.zone).ok()?.to_string();
            Some(Labels { server: intern(&label(address.scheme, local)), zone: intern(&zone), view: "" })
        })
        .collect();
    let plugins: Vec<&'static str> = built.block.plugin_names().collect();
    let places = Places { labels: &labels, plugins: &plugins, capabilities: &built.capabilities };
    hooks.into_iter().for_each(|hook| hook(&places));
}

impl Built {
    /// Where `address`, one of its own, is listened to.
    fn locals(&self, address: &Address) -> impl Iterator<Item = SocketAddr> + use<> {
        let everywhere = [(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0)];
        let locals = match (self.served, self.bind.is_empty()) {
            (false, _) => Vec::new(),
            (true, true) => everywhere.to_vec(),
            (true, false) => self.bind.clone(),
        };
        let port = address.port;
        locals.into_iter().map(move |(ip, interface)| local_address(ip, port, interface))
    }
}

/// What waypost does not serve yet is refused, by name.
fn unserved_scheme(address: &Address) -> Option<Diagnostic> {
    match address.scheme {
        // CoreDNS serves `tls://` without certificates in plain text; so do we, as the block can have none yet.
        Scheme::Dns | Scheme::Tls => None,
        scheme @ (Scheme::Quic | Scheme::Grpc | Scheme::Https | Scheme::Https3 | Scheme::Unix) => Some(
            Diagnostic::bare(address.span, format!("waypost does not serve {}:// yet", scheme.as_str()))
                .help("served are dns:// (UDP and TCP; the default) and tls:// in plain text"),
        ),
    }
}

/// Blocks that claim the same zone on the same listener.
fn duplicates(built: &[Built]) -> Vec<Diagnostic> {
    let binds: Vec<Vec<String>> =
        built.iter().map(|b| b.bind.iter().map(|(ip, _)| ip.to_string()).collect()).collect();
    let claims = built.iter().zip(&binds).flat_map(|(built, bind)| {
        built.addresses.iter().map(|address| Claim { address, bind, has_view: false })
    });
    config::duplicate_claims(claims)
}

/// A listener's place in order: scheme, then address.
type Place = (Scheme, SocketAddr);

/// Groups the blocks by listener, as CoreDNS does: one for each scheme, local address and port.
fn listen(built: Vec<Built>, counts_queries: bool, plan: &mut Plan) {
    let mut routers: BTreeMap<Place, (Router, BTreeSet<String>, Together)> = BTreeMap::new();
    for built in built {
        for address in &built.addresses {
            let Address { scheme, zone, .. } = address;
            for local in built.locals(address) {
                let (router, zones, together) = routers.entry((*scheme, local)).or_insert_with(|| {
                    (Router::new(intern(&label(*scheme, local))), BTreeSet::new(), Together::default())
                });
                together.add(&built.wishes, router.server, &mut plan.warnings);
                if let Ok(name) = Name::from_text(zone) {
                    router.add(&name, &built.block, "", None);
                }
                zones.insert(zone.clone());
            }
        }
    }
    for ((scheme, address), (mut router, zones, wishes)) in routers {
        if counts_queries {
            let labels = intern_labels(Labels { server: router.server, zone: DROPPED, view: "" });
            router.dropped = Some(Report::new(labels, &[]));
        }
        for zone in &zones {
            if !banner::is_preferred_syntax(zone) {
                plan.banner
                    .push(format!("Warning: Domain \"{zone}\" does not follow RFC1035 preferred syntax"));
            }
            let prefix =
                if scheme == Scheme::Dns { String::new() } else { format!("{}://", scheme.as_str()) };
            let on =
                if address.ip().is_unspecified() { String::new() } else { format!(" on {}", address.ip()) };
            plan.banner.push(format!("{prefix}{zone}:{}{on}", address.port()));
        }
        let scheme = if scheme == Scheme::Dns { server::Scheme::Dns } else { server::Scheme::PlainTls };
        let mut spec = ListenerSpec::new(scheme, address, Arc::new(router));
        wishes.fulfil(&mut spec);
        plan.listeners.push(spec);
    }
}

/// In place of a zone, which ends in a dot: the query came to none.
const DROPPED: &str = "dropped";

fn local_address(ip: IpAddr, port: u16, interface: u32) -> SocketAddr {
    match ip {
        IpAddr::V4(v4) => SocketAddr::from((v4, port)),
        IpAddr::V6(v6) => SocketAddr::V6(SocketAddrV6::new(v6, port, 0, interface)),
    }
}

/// The listener as metrics and logs name it: `dns://:53`, `dns://127.0.0.1:53`.
fn label(scheme: Scheme, address: SocketAddr) -> String {
    if address.ip().is_unspecified() && address.is_ipv6() {
        format!("{}://:{}", scheme.as_str(), address.port())
    } else {
        format!("{}://{address}", scheme.as_str())
    }
}
