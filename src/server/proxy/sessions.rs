//! The last headers of peers that send one ahead and then datagrams without: who was silent longest is forgotten first.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::chain::{Mono, SessionLimits};

/// Clients by peer, for one UDP socket.
pub(super) struct Sessions {
    limits: SessionLimits,
    places: HashMap<SocketAddr, usize>,
    /// A ring in the order of use: the one that is newer than the newest is the oldest.
    entries: Vec<Entry>,
    newest: usize,
}

struct Entry {
    peer: SocketAddr,
    client: SocketAddr,
    /// When it counts no more, nanoseconds.
    ends: u64,
    newer: usize,
    older: usize,
}

impl Sessions {
    pub(super) fn new(limits: SessionLimits) -> Self {
        Self { limits, places: HashMap::new(), entries: Vec::new(), newest: 0 }
    }

    pub(super) const fn limits(&self) -> SessionLimits {
        self.limits
    }

    /// Remembers that `peer` speaks for `client`.
    pub(super) fn keep(&mut self, peer: SocketAddr, client: SocketAddr, now: Mono) {
        let ends = self.end(now);
        if let Some(&place) = self.places.get(&peer) {
            self.entries[place].client = client;
            self.entries[place].ends = ends;
            self.use_now(place);
            return;
        }
        if self.entries.len() < self.limits.peers_max.max(1) {
            let place = self.entries.len();
            // A ring of its own, until it is put in front of the others.
            self.entries.push(Entry { peer, client, ends, newer: place, older: place });
            self.places.insert(peer, place);
            if place > 0 {
                self.put_in_front(place);
            }
        } else {
            // Behind the newest, around the ring, is the oldest.
            let oldest = self.entries[self.newest].newer;
            let entry = &mut self.entries[oldest];
            self.places.remove(&entry.peer);
            (entry.peer, entry.client, entry.ends) = (peer, client, ends);
            self.places.insert(peer, oldest);
            self.newest = oldest;
        }
    }

    /// The client that `peer` speaks for, if that was said or used lately.
    pub(super) fn find(&mut self, peer: SocketAddr, now: Mono) -> Option<SocketAddr> {
        let place = *self.places.get(&peer)?;
        if self.entries[place].ends <= now.0 {
            return None;
        }
        self.entries[place].ends = self.end(now);
        self.use_now(place);
        Some(self.entries[place].client)
    }

    fn end(&self, now: Mono) -> u64 {
        now.0.saturating_add(u64::try_from(self.limits.lifetime.as_nanos()).unwrap_or(u64::MAX))
    }

    fn use_now(&mut self, place: usize) {
        if place == self.newest {
            return;
        }
        let (newer, older) = (self.entries[place].newer, self.entries[place].older);
        self.entries[newer].older = older;
        self.entries[older].newer = newer;
        self.put_in_front(place);
    }

    /// Puts an entry that stands in no ring between the newest and the oldest.
    fn put_in_front(&mut self, place: usize) {
        let oldest = self.entries[self.newest].newer;
        self.entries[place].older = self.newest;
        self.entries[place].newer = oldest;
        self.entries[self.newest].newer = place;
        self.entries[oldest].older = place;
        self.newest = place;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn sessions(peers_max: usize) -> Sessions {
        Sessions::new(SessionLimits { lifetime: Duration::from_nanos(100), peers_max })
    }

    fn at(host: u8, port: u16) -> SocketAddr {
        ([10, 0, 0, host], port).into()
    }

    /// The ring as a list, newest first.
    fn order(sessions: &Sessions) -> Vec<u8> {
        let mut place = sessions.newest;
        let mut seen = Vec::new();
        for _ in 0..sessions.entries.len() {
            let std::net::IpAddr::V4(ip) = sessions.entries[place].peer.ip() else { unreachable!() };
            seen.push(ip.octets()[3]);
            assert_eq!(sessions.entries[sessions.entries[place].older].newer, place);
            place = sessions.entries[place].older;
        }
        assert_eq!(place, sessions.newest, "it is a ring");
        seen
    }

    #[test]
    fn a_client_is_remembered_by_its_peer_and_each_use_makes_it_last_longer() {
        let mut sessions = sessions(10);
        sessions.keep(at(1, 5000), at(9, 1), Mono(0));
        assert_eq!(sessions.find(at(1, 5001), Mono(1)), None);
        assert_eq!(sessions.find(at(1, 5000), Mono(99)), Some(at(9, 1)));
        assert_eq!(sessions.find(at(1, 5000), Mono(198)), Some(at(9, 1)));
        assert_eq!(sessions.find(at(1, 5000), Mono(298)), None, "its time is up");
        sessions.keep(at(1, 5000), at(9, 2), Mono(300));
        assert_eq!(sessions.find(at(1, 5000), Mono(301)), Some(at(9, 2)));
    }

    #[test]
    fn over_the_bound_the_one_that_was_silent_longest_is_forgotten() {
        let mut sessions = sessions(3);
        for host in 1..=3 {
            sessions.keep(at(host, 1), at(host, 2), Mono(0));
        }
        assert_eq!(order(&sessions), [3, 2, 1]);
        assert!(sessions.find(at(1, 1), Mono(1)).is_some());
        assert_eq!(order(&sessions), [1, 3, 2]);
        sessions.keep(at(4, 1), at(4, 2), Mono(1));
        assert_eq!(order(&sessions), [4, 1, 3]);
        assert_eq!(sessions.find(at(2, 1), Mono(1)), None);
        sessions.keep(at(3, 1), at(8, 2), Mono(1));
        assert_eq!(order(&sessions), [3, 4, 1]);
        assert_eq!(sessions.places.len(), 3);
        let mut one = self::sessions(1);
        for host in 1..=5 {
            one.keep(at(host, 1), at(host, 2), Mono(0));
            assert_eq!(order(&one), [host]);
            assert_eq!(one.find(at(host, 1), Mono(1)), Some(at(host, 2)));
        }
    }
}
