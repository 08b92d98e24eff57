//! What a plugin keeps for each listener and view that asks it, such as the handles of its series, found without hashing a string.

use std::sync::OnceLock;

use super::Query;

/// One `T` for each listener and view: a list that only grows, by one for each pair that asks, of which a block has few.
pub struct PerListener<T> {
    first: OnceLock<Box<Node<T>>>,
}

struct Node<T> {
    server: &'static str,
    view: &'static str,
    value: T,
    next: OnceLock<Box<Self>>,
}

impl<T> Default for PerListener<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> PerListener<T> {
    /// None yet.
    pub const fn new() -> Self {
        Self { first: OnceLock::new() }
    }

    /// The value for `query`'s listener and view, made where it is new.
    pub fn of(&self, query: &Query, make: impl Fn(&'static str, &'static str) -> T) -> &T {
        self.get(query.labels.server, query.labels.view, make)
    }

    /// The value for `server` and `view`, both of which live as long as the process ([`super::intern()`]); made where it is new.
    pub fn get(
        &self,
        server: &'static str,
        view: &'static str,
        make: impl Fn(&'static str, &'static str) -> T,
    ) -> &T {
        let mut place = &self.first;
        loop {
            // Where two threads add at once, one waits and then finds the other's node.
            let node = place.get_or_init(|| {
                Box::new(Node { server, view, value: make(server, view), next: OnceLock::new() })
            });
            if is_same(node.server, server) && is_same(node.view, view) {
                return &node.value;
            }
            place = &node.next;
        }
    }

    /// All values there are.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        let mut place = &self.first;
        std::iter::from_fn(move || {
            let node = place.get()?;
            place = &node.next;
            Some(&node.value)
        })
    }
}

/// Whether two strings are equal: mostly they are the same one.
fn is_same(a: &str, b: &str) -> bool {
    std::ptr::eq(a, b) || a == b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_listener_and_view_has_its_own() {
        let list = PerListener::new();
        let make = |server: &str, view: &str| format!("{server} {view}");
        assert_eq!(list.get("dns://:53", "", make), "dns://:53 ");
        assert_eq!(list.get("dns://:53", "inside", make), "dns://:53 inside");
        let again: *const String = list.get("dns://:53", "", |_, _| unreachable!("it is there"));
        assert!(std::ptr::eq(again, list.get("dns://:53", "", make)));
        assert_eq!(list.all().count(), 2);
    }

    #[test]
    fn threads_that_ask_at_once_get_the_same() {
        let list = PerListener::new();
        let ask = || list.get("dns://:53", "", |_, _| Box::new(0)) as *const Box<i32> as usize;
        std::thread::scope(|scope| {
            let asked: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            let places: Vec<usize> = asked.into_iter().map(|thread| thread.join().unwrap()).collect();
            assert!(places.iter().all(|place| *place == places[0]));
        });
        assert_eq!(list.all().count(), 1);
    }
}
