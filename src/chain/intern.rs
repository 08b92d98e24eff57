//! What lives as long as the process: labels of servers, zones and views, which queries carry by reference.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use super::Labels;

/// The one copy of `text`. Only for words of the configuration: what is interned is never freed, and reloads that
/// change nothing add nothing.
pub fn intern(text: &str) -> &'static str {
    static WORDS: Kept<str> = Mutex::new(None);
    keep(&WORDS, text, || text.into())
}

/// The one copy of `labels`: two are the same if they are in one place.
pub fn intern_labels(labels: Labels) -> &'static Labels {
    static LABELS: Kept<Labels> = Mutex::new(None);
    keep(&LABELS, &labels, || Box::new(labels))
}

type Kept<T> = Mutex<Option<HashSet<&'static T>>>;

fn keep<T: Hash + Eq + ?Sized>(kept: &Kept<T>, wanted: &T, make: impl FnOnce() -> Box<T>) -> &'static T {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = kept.get_or_insert_default();
    if let Some(found) = kept.get(wanted) {
        return found;
    }
    let new: &'static T = Box::leak(make());
    kept.insert(new);
    new
}
