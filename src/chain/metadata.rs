//! Labels that plugins attach to a query for others to read: `{/forward/upstream}` in a log format, `metadata()` in a view.

use std::cell::Cell;
use std::rc::Rc;

use super::Query;

/// The labels of one query; there only in blocks with the `metadata` plugin.
#[derive(Default, Debug)]
pub struct Metadata(Vec<(&'static str, Value)>);

#[derive(Debug)]
enum Value {
    Text(String),
    Live(Rc<Cell<&'static str>>),
}

impl Value {
    fn get(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Live(word) => word.get(),
        }
    }
}

impl Metadata {
    /// Sets `label` (`plugin/name`, without the leading slash), in place of an earlier value.
    pub fn set(&mut self, label: &'static str, value: String) {
        self.put(label, Value::Text(value));
    }

    /// Sets `label` to whatever `word` says when it is read: for a plugin that only knows once its future has run, while
    /// the query waits beside it. Words come from [`super::intern()`].
    pub fn set_live(&mut self, label: &'static str, word: Rc<Cell<&'static str>>) {
        self.put(label, Value::Live(word));
    }

    fn put(&mut self, label: &'static str, value: Value) {
        match self.0.iter_mut().find(|(l, _)| *l == label) {
            Some((_, v)) => *v = value,
            None => self.0.push((label, value)),
        }
    }

    /// The value of `label`.
    pub fn get(&self, label: &str) -> Option<&str> {
        self.0.iter().find(|(l, _)| *l == label).map(|(_, v)| v.get())
    }

    /// All labels that have a value.
    pub fn labels(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(l, v)| (*l, v.get()))
    }
}

/// A capability: a plugin that knows labels before the chain runs. It is asked once a query, in chain order.
pub trait MetadataSource: Send + Sync {
    /// Adds what it knows of `query`.
    fn collect(&self, query: &Query, labels: &mut Metadata);
}
