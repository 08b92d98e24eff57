//! What a response is to a cache (RFC 2308), and how long it lives there.

use super::alias;
use super::config::CacheConfig;
use super::metrics::Kind;
use crate::chain::Query;
use crate::wire::{Flags, HEADER_LEN, Name, Rcode, Record, Rtype, Section, WireError, record, u32_at};

/// What a response says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// Records; or nothing at all, with NOERROR.
    Positive,
    /// NOERROR, no answers, and where else to ask.
    Referral,
    /// NXDOMAIN (RFC 2308 2.1).
    NameError,
    /// NOERROR and a SOA record, but no record of the type (RFC 2308 2.2).
    NoData,
    /// SERVFAIL or NOTIMP.
    ServerError,
    /// Anything else: of no use to anybody but who asked.
    Other,
}

/// A response, looked through once.
#[derive(Debug)]
pub(super) struct Examined {
    pub(super) says: Says,
    /// Whether it has a record of the type asked for, at the end of the chain of aliases.
    pub(super) answers: bool,
    /// Whether its question is the query's.
    pub(super) fits: bool,
    /// Whether its contents may be kept; that it fits and lives long enough are matters of their own.
    pub(super) keepable: bool,
    /// The least TTL of its records, seconds; `None` without records.
    ttl_least: Option<u32>,
    /// Where its TTLs stand.
    pub(super) ttl_offsets: Vec<u16>,
}

/// Looks through `message`, the response to `query` without its OPT record; `rcode` is the whole code. `unix_time` is only asked for where
/// signatures have to be dated.
///
/// # Errors
/// [`WireError`] if it is no well-formed message.
pub(super) fn examine(
    message: &[u8],
    rcode: Rcode,
    query: &Query,
    unix_time: impl FnOnce() -> u32,
) -> Result<Examined, WireError> {
    let mut answers = Vec::new();
    let mut ttl_offsets = Vec::new();
    let mut ttl_least: Option<u32> = None;
    let (mut has_soa, mut has_ns) = (false, false);
    let mut signatures = Vec::new();
    for record in record::records(message) {
        let record = record?;
        if record.rtype == Rtype::OPT {
            continue;
        }
        // What a TSIG record has there is no TTL, and has to be zero (RFC 8945 4.2).
        if record.rtype != Rtype::TSIG {
            ttl_least = Some(ttl_least.map_or(record.ttl, |least| least.min(record.ttl)));
            ttl_offsets.push(u16::try_from(record.ttl_offset()).map_err(|_| WireError::BadRecord)?);
        }
        match (record.section, record.rtype) {
            (Section::Authority, Rtype::SOA) => has_soa = true,
            (Section::Authority, Rtype::NS) => has_ns = true,
            _ => {}
        }
        if record.rtype == Rtype::RRSIG {
            signatures.push(record);
        }
        if record.section == Section::Answer {
            answers.push(record);
        }
    }
    let fits = fits(message, query);
    let answers_question = fits
        && rcode == Rcode::NOERROR
        && alias::answers_question(message, &answers, query.name(), query.qtype(), query.qclass())?;
    let outdated = query.dnssec_ok() && !signatures.is_empty() && {
        let now = unix_time();
        signatures.iter().any(|signature| !is_valid_at(message, signature, now))
    };
    let says = match rcode {
        _ if outdated => Says::Other,
        Rcode::NOERROR if answers_question => Says::Positive,
        Rcode::NOERROR if has_soa => Says::NoData,
        Rcode::NOERROR if !answers.is_empty() => Says::Positive,
        Rcode::NOERROR if has_ns => Says::Referral,
        Rcode::NOERROR => Says::Positive,
        Rcode::NXDOMAIN if answers.is_empty() => Says::NameError,
        Rcode::SERVFAIL | Rcode::NOTIMP => Says::ServerError,
        _ => Says::Other,
    };
    // Without a SOA record nothing says how long a name does not exist, or an alias leads nowhere (RFC 2308 5).
    let dangling = fits && says == Says::Positive && !answers.is_empty() && !answers_question;
    let baseless = (says == Says::NameError && !has_soa) || dangling;
    Ok(Examined {
        says,
        answers: answers_question,
        fits,
        keepable: says != Says::Other && !baseless && !Flags::of(message).has(Flags::TC),
        ttl_least,
        ttl_offsets,
    })
}

impl Examined {
    /// How long the response lives, seconds, by CoreDNS's rules: the least TTL of all its records within the limits of its store. The
    /// MINIMUM of a SOA record does not count.
    pub(super) fn lifetime(&self, config: &CacheConfig) -> u32 {
        let (limits, ttl) = match self.says {
            Says::ServerError => return config.servfail,
            Says::Positive => (&config.success, self.ttl_least.unwrap_or(TTL_WITHOUT_RECORDS)),
            Says::NameError | Says::NoData => (&config.denial, self.ttl_least.unwrap_or(TTL_WITHOUT_RECORDS)),
            Says::Referral | Says::Other => (&config.success, TTL_WITHOUT_RECORDS),
        };
        ttl.max(limits.ttl_min).min(limits.ttl_max)
    }

    /// Where the response belongs.
    pub(super) const fn store(&self) -> Kind {
        match self.says {
            Says::Positive | Says::Referral | Says::Other => Kind::Success,
            Says::NameError | Says::NoData | Says::ServerError => Kind::Denial,
        }
    }
}

/// Seconds that a response without records lives, and a referral, whose records speak of others.
const TTL_WITHOUT_RECORDS: u32 = 5;

/// True if the question of the response `message` is that of `query`.
fn fits(message: &[u8], query: &Query) -> bool {
    let question_end = query.question_end();
    crate::wire::header::counts(message)[0] == 1
        && Flags::of(message).has(Flags::QR)
        && record::questions_end(message) == Ok(question_end)
        && Name::parse_plain(message, HEADER_LEN).is_ok_and(|(name, _)| name == *query.name())
        && message.get(question_end - 4..question_end) == query.wire().get(question_end - 4..question_end)
}

/// True if the RRSIG record `signature` is valid at `now` (RFC 4034 3.1.5; the times are numbers of a circle, RFC 1982).
fn is_valid_at(message: &[u8], signature: &Record, now: u32) -> bool {
    let time_at = |offset| u32_at(message, signature.rdata + offset);
    match (time_at(EXPIRATION), time_at(INCEPTION)) {
        (Ok(expiration), Ok(inception)) if signature.rdata + INCEPTION + 4 <= signature.end => {
            expiration.wrapping_sub(now).cast_signed() >= 0 && now.wrapping_sub(inception).cast_signed() >= 0
        }
        _ => false,
    }
}

/// Offsets in the RDATA of RRSIG.
const EXPIRATION: usize = 8;
const INCEPTION: usize = 12;

/// True if the question is one whose answers are not an answer to keep: zone transfers, and notifications.
pub(super) fn is_meta(query: &Query) -> bool {
    matches!(query.qtype(), Rtype::AXFR | Rtype::IXFR) || query.opcode() != crate::wire::Opcode::QUERY
}
