//! What several blocks on one listener want of it, brought together as CoreDNS does.

use std::sync::Arc;

use crate::chain::{ListenerWishes, ProxyPolicy, Said};
use crate::config::Diagnostic;
use crate::server::ListenerSpec;

/// The wishes of the blocks of one listener, in the order of the file.
#[derive(Default)]
pub(super) struct Together {
    is_begun: bool,
    wishes: ListenerWishes,
}

impl Together {
    /// Adds what the next block wants of `listener`. What does not count is warned about: the last word on time-outs and PROXY headers
    /// counts, and the first block's on sockets; one block that sheds is enough.
    pub(super) fn add(&mut self, wishes: &ListenerWishes, listener: &str, warnings: &mut Vec<Diagnostic>) {
        let mut later = |old: &Said<()>, new: &Said<()>| warnings.push(overruled(old, new, listener));
        let kept = &mut self.wishes;
        overrule(&mut kept.read_timeout, wishes.read_timeout.as_ref(), &mut later);
        overrule(&mut kept.write_timeout, wishes.write_timeout.as_ref(), &mut later);
        overrule(&mut kept.idle_timeout, wishes.idle_timeout.as_ref(), &mut later);
        overrule(&mut kept.queries_max, wishes.queries_max.as_ref(), &mut later);
        let sessions = kept.proxies.as_ref().and_then(|proxies| proxies.value.sessions);
        overrule(&mut kept.proxies, wishes.proxies.as_ref(), &mut later);
        if let Some(proxies) = &mut kept.proxies
            && proxies.value.sessions.is_none()
            && sessions.is_some()
        {
            // A block that says nothing of sessions leaves them as an earlier one has them.
            proxies.value = Arc::new(ProxyPolicy { sessions, ..(*proxies.value).clone() });
        }
        kept.sheds |= wishes.sheds;
        if !self.is_begun {
            self.is_begun = true;
            kept.sockets.clone_from(&wishes.sockets);
        } else if let Some(said) = &wishes.sockets
            && kept.sockets.as_ref().map(|first| first.value) != Some(said.value)
        {
            let message = format!("this does not count: the first block on {listener} says how many sockets");
            let warning = Diagnostic::warning(said.place, message);
            warnings.push(match &kept.sockets {
                Some(first) => warning.note(first.place, "this counts"),
                None => warning.help("have it in that block"),
            });
        }
    }

    /// Makes `spec` what they want.
    pub(super) fn fulfil(self, spec: &mut ListenerSpec) {
        let Self { wishes, .. } = self;
        let limits = &mut spec.limits;
        limits.read_timeout = wishes.read_timeout.map_or(limits.read_timeout, |said| said.value);
        limits.write_timeout = wishes.write_timeout.map_or(limits.write_timeout, |said| said.value);
        limits.idle_timeout = wishes.idle_timeout.map_or(limits.idle_timeout, |said| said.value);
        limits.queries_max = wishes.queries_max.map_or(limits.queries_max, |said| said.value);
        spec.sockets = wishes.sockets.map_or(spec.sockets, |said| said.value);
        spec.sheds = wishes.sheds;
        spec.proxies = wishes.proxies.map(|said| said.value);
    }
}

/// Puts what is said now in the place of what was said before; tells `differs` where that was something else.
fn overrule<T: Clone + PartialEq>(
    kept: &mut Option<Said<T>>,
    said: Option<&Said<T>>,
    differs: &mut impl FnMut(&Said<()>, &Said<()>),
) {
    let Some(said) = said else { return };
    if let Some(before) = kept
        && before.value != said.value
    {
        differs(&Said { value: (), place: before.place }, &Said { value: (), place: said.place });
    }
    *kept = Some(said.clone());
}

fn overruled(old: &Said<()>, new: &Said<()>, listener: &str) -> Diagnostic {
    let message = format!("this does not count on {listener}: a later block there says something else");
    Diagnostic::warning(old.place, message).note(new.place, "this counts")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{ProxyTreatment, Router, SessionLimits, SocketCount};
    use crate::config::Span;
    use crate::server::Scheme;
    use std::time::Duration;

    fn said<T>(value: T, line: u32) -> Option<Said<T>> {
        Some(Said { value, place: Span { line, ..Span::default() } })
    }

    /// The listener of these blocks, and the lines that are warned about.
    fn listener(blocks: &[ListenerWishes]) -> (ListenerSpec, Vec<u32>) {
        let mut together = Together::default();
        let mut warnings = Vec::new();
        for block in blocks {
            together.add(block, "dns://:53", &mut warnings);
        }
        let router = Arc::new(Router::new("dns://:53"));
        let mut spec = ListenerSpec::new(Scheme::Dns, ([127, 0, 0, 1], 53).into(), router);
        together.fulfil(&mut spec);
        (spec, warnings.iter().map(|warning| warning.span.line).collect())
    }

    #[test]
    fn the_last_word_on_each_time_counts() {
        let seconds = Duration::from_secs;
        let first = ListenerWishes {
            read_timeout: said(seconds(1), 1),
            idle_timeout: said(seconds(2), 2),
            queries_max: said(Some(5), 3),
            ..ListenerWishes::default()
        };
        let silent = ListenerWishes::default();
        let last = ListenerWishes {
            read_timeout: said(seconds(9), 11),
            write_timeout: said(seconds(8), 12),
            queries_max: said(None, 13),
            ..ListenerWishes::default()
        };
        let (spec, warnings) = listener(&[first, silent, last]);
        let limits = spec.limits;
        assert_eq!((limits.read_timeout, limits.write_timeout), (seconds(9), seconds(8)));
        assert_eq!((limits.idle_timeout, limits.queries_max), (seconds(2), None));
        assert_eq!(warnings, [1, 3]);
    }

    #[test]
    fn the_first_block_says_how_many_sockets() {
        let with =
            |sockets, line| ListenerWishes { sockets: said(sockets, line), ..ListenerWishes::default() };
        let (two, eight) = (with(SocketCount::Exactly(2), 1), with(SocketCount::Exactly(8), 2));
        let (spec, warnings) = listener(&[two.clone(), eight.clone(), two.clone()]);
        assert_eq!((spec.sockets, &warnings[..]), (SocketCount::Exactly(2), &[2][..]));
        let (spec, warnings) = listener(&[ListenerWishes::default(), two]);
        assert_eq!((spec.sockets, &warnings[..]), (SocketCount::OfWorkers, &[1][..]));
    }

    #[test]
    fn the_last_policy_counts_with_the_last_sessions_and_one_block_is_enough_to_shed() {
        let with = |others, sessions: Option<u64>, line| {
            let limits = |seconds| SessionLimits { lifetime: Duration::from_secs(seconds), peers_max: 10 };
            let policy = ProxyPolicy { allowed: Vec::new(), others, sessions: sessions.map(limits) };
            ListenerWishes { proxies: said(Arc::new(policy), line), ..ListenerWishes::default() }
        };
        let sheds = ListenerWishes { sheds: true, ..ListenerWishes::default() };
        let blocks = [with(ProxyTreatment::Use, Some(28), 1), sheds, with(ProxyTreatment::Reject, None, 2)];
        let (spec, warnings) = listener(&blocks);
        let policy = spec.proxies.unwrap();
        assert_eq!(policy.others, ProxyTreatment::Reject);
        assert_eq!(policy.sessions.map(|limits| limits.lifetime.as_secs()), Some(28));
        assert!(spec.sheds);
        assert_eq!(warnings, [1]);
        assert!(!listener(&[]).0.sheds && listener(&[]).0.proxies.is_none());
    }
}
