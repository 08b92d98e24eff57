//! What the directive says, as a type in which nothing invalid can be said.

use std::time::Duration;

use crate::config::{Diagnostic, Directive, GoDuration, Problems, Result, Word, atoi, quote};
use crate::wire::Name;

/// Seconds.
type Seconds = u32;

/// What one store keeps, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoreConfig {
    /// Entries of ordinary size, as CoreDNS makes it of the number in the file.
    pub(super) capacity: u64,
    /// An answer is kept so long at least.
    pub(super) ttl_min: Seconds,
    /// An answer is kept so long at most.
    pub(super) ttl_max: Seconds,
    /// Zones whose answers are not kept.
    pub(super) disabled: Vec<Name>,
}

/// When an answer is asked for again before it expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prefetch {
    /// So many hits make it popular, 1 or more.
    pub(super) amount: u32,
    /// A longer gap between two hits starts the count again.
    pub(super) gap: Duration,
    /// The part of the lifetime that must be all that is left, 10 to 90.
    pub(super) percent: u32,
}

/// How an expired answer is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServeStale {
    /// So long after it expired, in whole seconds, 1 or more.
    pub(super) up_to: Seconds,
    /// Whether to ask first, and how long to wait then.
    pub(super) mode: StaleMode,
    /// The TTL of the records then.
    pub(super) ttl: Seconds,
    /// After a refresh that failed, so long none is tried for that answer; zero: no limit.
    pub(super) recheck: Duration,
    /// Whether a positive answer wins over a denial that is newer.
    pub(super) prefer_positive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StaleMode {
    /// Answer, then ask.
    Immediate,
    /// Ask, and answer with the expired one only if that fails, or takes longer than this.
    Verify { timeout: Option<Duration> },
}

/// The whole directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CacheConfig {
    /// The zones whose names are looked up; `None`: all.
    pub(super) zones: Option<Vec<Name>>,
    /// The label `zones` of the metrics.
    pub(super) zones_label: String,
    /// Positive answers.
    pub(super) success: StoreConfig,
    /// Denials and failures.
    pub(super) denial: StoreConfig,
    /// How long failures are kept; 0: not.
    pub(super) servfail: Seconds,
    pub(super) prefetch: Option<Prefetch>,
    pub(super) stale: Option<ServeStale>,
    /// Whether records keep their TTL as long as they are served.
    pub(super) keep_ttl: bool,
}

const OPTIONS: &[&str] =
    &["success", "denial", "prefetch", "serve_stale", "serve_stale_policy", "servfail", "disable", "keepttl"];

impl CacheConfig {
    /// Reads the directive; `origins` are the zones that some words of it name.
    pub(super) fn read(
        directive: &Directive,
        origins: impl FnOnce(&[Word]) -> Vec<Name>,
    ) -> std::result::Result<Self, Vec<Diagnostic>> {
        let mut problems = Problems::default();
        let mut config = Self {
            zones: None,
            zones_label: String::new(),
            success: StoreConfig::new(3600),
            denial: StoreConfig::new(1800),
            servfail: 5,
            prefetch: None,
            stale: None,
            keep_ttl: false,
        };
        let mut words = &directive.args[..];
        if let Some((first, rest)) = words.split_first()
            && let Ok(number) = atoi(&first.text)
        {
            let ttl = problems.keep(ttl_max(first, number)).unwrap_or_default();
            (config.success.ttl_max, config.denial.ttl_max) = (ttl, ttl);
            words = rest;
        }
        config.set_zones(origins(words));

        let mut reader = Options::default();
        for option in directive.options() {
            let read = option.no_block().and_then(|()| reader.read(&mut config, option));
            problems.keep(read);
        }
        let Options { policy, mut stale } = reader;
        if let (Some(option), None) = (&policy, &stale) {
            problems.push(
                option
                    .bare_error("serve_stale_policy requires serve_stale")
                    .help("add a line serve_stale to the block"),
            );
        }
        if let Some(stale) = &mut stale {
            stale.prefer_positive = policy.is_some();
        }
        config.stale = stale.filter(|stale| stale.up_to > 0);
        problems.finish(config)
    }

    fn set_zones(&mut self, zones: Vec<Name>) {
        self.zones_label = zones.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        self.zones = (!zones.iter().any(Name::is_root)).then_some(zones);
    }

    /// True if answers for `name` are kept at all.
    pub(super) fn covers(&self, name: &Name) -> bool {
        self.zones.as_ref().is_none_or(|zones| zones.iter().any(|zone| name.is_under(zone.as_bytes())))
    }

    /// How long after its expiry an answer may be served, seconds.
    pub(super) fn stale_up_to(&self) -> Seconds {
        self.stale.as_ref().map_or(0, |stale| stale.up_to)
    }
}

impl StoreConfig {
    const fn new(ttl_max: Seconds) -> Self {
        Self { capacity: capacity_of(10_000), ttl_min: 5, ttl_max, disabled: Vec::new() }
    }

    /// True if answers for `name` are not kept.
    pub(super) fn is_disabled_for(&self, name: &Name) -> bool {
        self.disabled.iter().any(|zone| name.is_under(zone.as_bytes()))
    }

    /// `success CAPACITY [TTL [MINTTL]]`; further words are ignored, as CoreDNS does.
    fn read(&mut self, option: &Directive) -> Result<()> {
        self.capacity = capacity_of(option.first_arg()?.integer(..)?);
        if let Some(word) = option.args.get(1) {
            self.ttl_max = ttl_max(word, word.integer(..)?)?;
        }
        if let Some(word) = option.args.get(2) {
            let number: i64 = word.integer(..)?;
            let refuse = || word.bare_error(format!("cache min TTL can not be negative: {number}"));
            self.ttl_min = seconds(number).ok_or_else(refuse)?;
        }
        Ok(())
    }
}

/// What `CAP` comes to in CoreDNS: 256 shards of a 256th each, of four at least.
const fn capacity_of(number: i64) -> u64 {
    let shard = number / 256;
    256 * if shard < 4 { 4 } else { shard as u64 }
}

/// The options of the block that only together make sense.
#[derive(Default)]
struct Options<'a> {
    policy: Option<&'a Directive>,
    stale: Option<ServeStale>,
}

impl<'a> Options<'a> {
    fn read(&mut self, config: &mut CacheConfig, option: &'a Directive) -> Result<()> {
        match option.name.as_str() {
            "success" => config.success.read(option)?,
            "denial" => config.denial.read(option)?,
            "prefetch" => config.prefetch = prefetch(option)?,
            "serve_stale" => {
                // Noted before it is read, so that an error in it does not bring another about the policy.
                let none = ServeStale {
                    up_to: 0,
                    mode: StaleMode::Immediate,
                    ttl: 0,
                    recheck: Duration::ZERO,
                    prefer_positive: false,
                };
                *self.stale.insert(none) = serve_stale(option)?;
            }
            "serve_stale_policy" => self.set_policy(option)?,
            "servfail" => config.servfail = servfail(option)?,
            "disable" => disable(config, option)?,
            "keepttl" => {
                option.no_args()?;
                config.keep_ttl = true;
            }
            name => return Err(option.name.arg_error().choices(name, OPTIONS)),
        }
        Ok(())
    }

    fn set_policy(&mut self, option: &'a Directive) -> Result<()> {
        if let Some(first) = self.policy {
            let message = "serve_stale_policy can only be specified once";
            return Err(option.bare_error(message).note(first.span, "first used here"));
        }
        self.policy = Some(option);
        let word = option.one_arg()?;
        if word.text.eq_ignore_ascii_case("prefer_positive") {
            return Ok(());
        }
        let message = format!("invalid serve_stale_policy: {}", word.text);
        Err(word.bare_error(message).choices(&word.text, &["prefer_positive"]))
    }
}

fn prefetch(option: &Directive) -> Result<Option<Prefetch>> {
    let args = option.between(1, 3)?;
    let amount: i64 = args[0].integer(..)?;
    if amount < 0 {
        return Err(args[0]
            .bare_error(format!("prefetch amount should be positive: {amount}"))
            .help("so many hits make an answer popular; 0 turns prefetching off"));
    }
    let gap = match args.get(1) {
        Some(word) => word.signed_duration()?.positive().unwrap_or_default(),
        None => Duration::from_secs(60),
    };
    let percent = args.get(2).map_or(Ok(10), percentage)?;
    let amount = u32::try_from(amount).unwrap_or(u32::MAX);
    Ok((amount > 0).then_some(Prefetch { amount, gap, percent }))
}

fn percentage(word: &Word) -> Result<u32> {
    const HELP: &str = "allowed: 10% to 90%";
    let Some(number) = word.text.strip_suffix('%') else {
        let last = word.text.chars().next_back().map_or_else(String::new, String::from);
        // Go shows a byte as a rune in single quotes.
        let last = quote(&last);
        let message =
            format!("last character of percentage should be `%`, but is: '{}'", last.trim_matches('"'));
        return Err(word.bare_error(message).help(HELP));
    };
    let number = atoi(number).map_err(|message| word.bare_error(message).help(HELP))?;
    u32::try_from(number).ok().filter(|n| (10..=90).contains(n)).ok_or_else(|| {
        word.bare_error(format!("percentage should fall in range [10, 90]: {number}")).help(HELP)
    })
}

fn serve_stale(option: &Directive) -> Result<ServeStale> {
    let args = option.between(0, 5)?;
    let up_to = match args.first() {
        Some(word) => {
            let negative = "invalid negative duration for serve_stale";
            not_negative(word, word.signed_duration()?, negative)?
        }
        None => Duration::from_secs(3600),
    };
    let verify = match args.get(1) {
        None => false,
        Some(word) => match word.text.to_lowercase().as_str() {
            "immediate" => false,
            "verify" => true,
            mode => {
                let message = format!("invalid value for serve_stale refresh mode: {mode}");
                return Err(word.bare_error(message).choices(mode, &["immediate", "verify"]));
            }
        },
    };
    let mut rest = args.get(2..).unwrap_or_default().iter();
    let mode = if verify {
        let timeout = rest.next().map_or(Ok(Duration::ZERO), |word| {
            let read = reworded(word, "invalid serve_stale verify timeout")?;
            not_negative(word, read, "invalid negative timeout for serve_stale verify")
        })?;
        StaleMode::Verify { timeout: (!timeout.is_zero()).then_some(timeout) }
    } else if args.len() > 4 {
        return Err(option.arg_error().help("immediate takes a TTL and a time between refreshes that fail"));
    } else {
        StaleMode::Immediate
    };
    Ok(ServeStale {
        up_to: Seconds::try_from(up_to.as_secs()).unwrap_or(Seconds::MAX),
        mode,
        ttl: rest.next().map_or(Ok(0), stale_ttl)?,
        recheck: rest.next().map_or(Ok(Duration::ZERO), stale_recheck)?,
        prefer_positive: false,
    })
}

fn stale_ttl(word: &Word) -> Result<Seconds> {
    let read = reworded(word, "invalid serve_stale response TTL")?;
    let ttl = not_negative(word, read, "invalid negative response TTL for serve_stale")?;
    if ttl.subsec_nanos() > 0 {
        return Err(word.bare_error("serve_stale response TTL must be a whole number of seconds"));
    }
    Seconds::try_from(ttl.as_secs())
        .map_err(|_| word.bare_error("serve_stale response TTL exceeds the DNS TTL range"))
}

fn stale_recheck(word: &Word) -> Result<Duration> {
    let read = reworded(word, "invalid serve_stale failure recheck")?;
    let recheck = not_negative(word, read, "invalid negative failure recheck for serve_stale")?;
    if recheck > FIVE_MINUTES {
        return Err(word.bare_error("serve_stale failure recheck cannot exceed 5 minutes"));
    }
    Ok(recheck)
}

/// `servfail DURATION`; the fraction of a second is cut off, as TTLs have none.
fn servfail(option: &Directive) -> Result<Seconds> {
    let word = option.one_arg()?;
    let duration = not_negative(word, word.signed_duration()?, "invalid negative ttl for servfail")?;
    if duration > FIVE_MINUTES {
        return Err(word
            .bare_error("caching SERVFAIL responses over 5 minutes is not permitted")
            .help("RFC 2308 7.1: at most 5m"));
    }
    Ok(duration.as_secs() as Seconds)
}

fn disable(config: &mut CacheConfig, option: &Directive) -> Result<()> {
    let kind = option.first_arg()?;
    let mut zones = Vec::new();
    for word in &option.args[1..] {
        let refuse = |_| word.bare_error(format!("invalid disabled zone: {}", word.text));
        let text = word.domain_name().map_err(refuse)?;
        zones.push(Name::from_text(&text).map_err(|_| refuse(word.error("")))?);
    }
    if zones.is_empty() {
        zones.push(Name::root());
    }
    let store = match kind.as_str() {
        "success" => &mut config.success,
        "denial" => &mut config.denial,
        other => {
            let message = "cache type for disable must be \"success\" or \"denial\"";
            return Err(kind.bare_error(message).choices(other, &["success", "denial"]));
        }
    };
    store.disabled = zones;
    Ok(())
}

const FIVE_MINUTES: Duration = Duration::from_secs(300);

fn ttl_max(word: &Word, number: i64) -> Result<Seconds> {
    seconds(number).filter(|&ttl| ttl > 0).ok_or_else(|| {
        word.bare_error(format!("cache TTL can not be zero or negative: {number}"))
            .help("a TTL is a whole number of seconds, 1 or more")
    })
}

/// Seconds from zero on; what no TTL can be is as good as the largest.
fn seconds(number: i64) -> Option<Seconds> {
    (number >= 0).then(|| Seconds::try_from(number).unwrap_or(Seconds::MAX))
}

fn not_negative(word: &Word, duration: GoDuration, message: &str) -> Result<Duration> {
    duration.positive().ok_or_else(|| word.bare_error(message))
}

fn reworded(word: &Word, message: &str) -> Result<GoDuration> {
    word.signed_duration().map_err(|error| {
        let text = format!("{message}: {}", error.message);
        error.reworded(text)
    })
}
