//! Strings that live as long as the process: labels of servers, zones and views, which queries carry by reference.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// The one copy of `text`. Only for words of the configuration: what is interned is never freed, and reloads that
/// change nothing add nothing.
pub fn intern(text: &str) -> &'static str {
    static WORDS: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let mut words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
    let words = words.get_or_insert_default();
    if let Some(word) = words.get(text) {
        return word;
    }
    let word: &'static str = Box::leak(text.into());
    words.insert(word);
    word
}
