//! Asking again for what is kept: before it expires (prefetch), after it was served stale, or before it is (verify).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Shared;
use super::config::ServeStale;
use super::entry::Entry;
use super::metrics::Series;
use super::ttl::{Examined, Says};
use crate::chain::clock;
use crate::chain::{Cx, Late, Later, Query, Response, Transport};
use crate::wire::Flags;

/// How many refreshes a cache has under way at once at most; what is over that is served without one.
const REFRESHES_MAX: usize = 4096;

/// The peer of a refresh in the background: nobody.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// What came of a refresh.
struct Outcome {
    /// Whether the response takes the place of what was kept.
    refreshed: bool,
    /// The entry that was made of it, if it could be kept.
    entry: Option<Arc<Entry>>,
}

impl Outcome {
    const FAILED: Self = Self { refreshed: false, entry: None };
}

impl Shared {
    /// Refreshes `entry` in the background unless somebody does already. The question goes out as a client's over TCP would, so that no answer
    /// is truncated. With `stale` the entry is expired, and only a complete answer takes its place.
    pub(super) fn refresh_later(
        self: &Arc<Self>,
        cx: &Cx<'_>,
        query: &Query,
        entry: &Arc<Entry>,
        series: &Arc<Series>,
        stale: Option<&ServeStale>,
    ) {
        let recheck = stale.map_or(Duration::ZERO, |stale| stale.recheck);
        let Some(turn) = Turn::take(self, Some((entry, recheck))) else { return };
        series.prefetches.inc();
        let mut own = refreshing(query);
        own.transport = Transport::Tcp;
        (own.peer, own.local) = (NOBODY, NOBODY);
        let (below, asked_at) = (cx.below(), query.now);
        let (entry, series, is_stale) = (Arc::clone(entry), Arc::clone(series), stale.is_some());
        tokio::task::spawn_local(async move {
            let (query, mut response) = below.ask(own).await;
            let outcome = turn.shared.take_refresh(&query, &mut response, &series, is_stale);
            if let Some(new) = &outcome.entry {
                new.inherit_hits(&entry, asked_at);
            }
            turn.end(outcome.refreshed);
        });
    }

    /// Asks before the expired `entry` is served, and serves it if nothing better comes, or not within `timeout`. `None`: it is to be served
    /// at once, as it was asked for in vain not long ago, or is being asked for.
    pub(super) fn verify(
        self: &Arc<Self>,
        cx: &Cx<'_>,
        query: &Query,
        entry: &Arc<Entry>,
        series: &Arc<Series>,
        stale: &ServeStale,
        timeout: Option<Duration>,
    ) -> Option<Later> {
        // Without a time between failures every query asks, as in CoreDNS; equal questions share an exchange further down.
        let tracked = (!stale.recheck.is_zero()).then_some((entry, stale.recheck));
        let turn = Turn::take(self, tracked)?;
        let own = refreshing(query);
        let below = cx.below();
        let (entry, series) = (Arc::clone(entry), Arc::clone(series));
        let ask = {
            let series = Arc::clone(&series);
            async move {
                let (query, mut response) = below.ask(own).await;
                let outcome = turn.shared.take_refresh(&query, &mut response, &series, true);
                turn.end(outcome.refreshed);
                (response, outcome)
            }
        };
        let shared = Arc::clone(self);
        let client = query.fork();
        let Some(timeout) = timeout else {
            return Some(Box::pin(async move {
                let (mut response, outcome) = ask.await;
                if outcome.refreshed {
                    clear_unwanted_ad(&client, &mut response);
                } else {
                    shared.serve_stale(&entry, &client, &series, &mut response);
                }
                Late::Respond(response)
            }));
        };
        // The refresh goes on after the time is over, so it is a task of its own.
        let (send, receive) = oneshot::channel();
        Some(Box::pin(async move {
            tokio::task::spawn_local(async move {
                // Nobody waits any more: the answer is kept all the same.
                let _ = send.send(ask.await);
            });
            let mut response = match tokio::time::timeout(timeout, receive).await {
                Ok(Ok((response, outcome))) if outcome.refreshed => {
                    let mut response = response;
                    match outcome.entry {
                        Some(new) => new.write_to(&client, shared.ttl_of(&new), &mut response),
                        None => clear_unwanted_ad(&client, &mut response),
                    }
                    return Late::Respond(response);
                }
                _ => Response::default(),
            };
            shared.serve_stale(&entry, &client, &series, &mut response);
            Late::Respond(response)
        }))
    }

    /// Writes the expired `entry` as the answer.
    fn serve_stale(&self, entry: &Entry, query: &Query, series: &Series, response: &mut Response) {
        series.served_stale.inc();
        response.clear();
        entry.write_to(query, self.stale_ttl_of(entry), response);
    }

    /// The TTL to send of an entry that was stored just now.
    fn ttl_of(&self, entry: &Entry) -> u32 {
        if self.config.keep_ttl {
            entry.lifetime()
        } else {
            u32::try_from(entry.ttl(clock::now())).unwrap_or(0)
        }
    }

    /// Looks at the response to a refresh and keeps what is to be kept of it.
    fn take_refresh(
        &self,
        query: &Query,
        response: &mut Response,
        series: &Arc<Series>,
        stale: bool,
    ) -> Outcome {
        let Some(examined) = self.examine(query, response) else { return Outcome::FAILED };
        let acceptable = !stale || self.may_replace_stale(&examined, response);
        // Looking for a positive answer, CoreDNS keeps a denial as well, beside it.
        let beside = self.prefers_positive() && examined.fits && !is_truncated(response);
        if !acceptable && !beside {
            return Outcome::FAILED;
        }
        let entry = self.settle(query, response, &examined, series, None);
        Outcome { refreshed: acceptable, entry }
    }

    /// True if the response may take the place of an expired one: it is complete, and no failure (RFC 8767 4).
    fn may_replace_stale(&self, examined: &Examined, response: &Response) -> bool {
        let says_something = if self.prefers_positive() {
            examined.says == Says::Positive && examined.answers
        } else {
            matches!(examined.says, Says::Positive | Says::Referral | Says::NameError | Says::NoData)
        };
        says_something && examined.fits && !is_truncated(response)
    }

    fn prefers_positive(&self) -> bool {
        self.config.stale.as_ref().is_some_and(|stale| stale.prefer_positive)
    }
}

/// A copy of `query` to ask with: what is kept is for clients that ask for AD too.
fn refreshing(query: &Query) -> Query {
    let mut own = query.fork();
    own.set_flags(own.flags().with(Flags::AD, true));
    own
}

/// Clears AD for a client that has not asked for it, by DO or AD (RFC 6840 5.7, 5.8).
pub(super) fn clear_unwanted_ad(client: &Query, response: &mut Response) {
    if !client.dnssec_ok() && !client.flags().has(Flags::AD) {
        response.set_flags(response.flags().with(Flags::AD, false));
    }
}

fn is_truncated(response: &Response) -> bool {
    response.flags().has(Flags::TC)
}

/// Holds an entry's turn to be refreshed, and a place among the [`REFRESHES_MAX`]; gives both back however the refresh ends.
struct Turn {
    shared: Arc<Shared>,
    /// The entry, if its refreshes are one at a time, and the time between two that fail.
    entry: Option<(Arc<Entry>, Duration)>,
    refreshed: bool,
}

impl Turn {
    /// `None`: not now.
    fn take(shared: &Arc<Shared>, entry: Option<(&Arc<Entry>, Duration)>) -> Option<Self> {
        if let Some((entry, recheck)) = entry
            && !entry.begin_refresh(clock::now(), recheck)
        {
            return None;
        }
        let entry = entry.map(|(entry, recheck)| (Arc::clone(entry), recheck));
        let mut turn = Self { shared: Arc::clone(shared), entry, refreshed: false };
        if shared.refreshes.fetch_add(1, Relaxed) >= REFRESHES_MAX {
            // No failure of the entry's: it may try again at once.
            turn.refreshed = true;
            return None;
        }
        Some(turn)
    }

    /// The refresh has ended, well if `refreshed`. One that is dropped instead has failed.
    fn end(mut self, refreshed: bool) {
        self.refreshed = refreshed;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.shared.refreshes.fetch_sub(1, Relaxed);
        if let Some((entry, recheck)) = &self.entry {
            entry.end_refresh(clock::now(), *recheck, self.refreshed);
        }
    }
}
