//! Labels that plugins attach to a query for others to read: `{/forward/upstream}` in a log format, `metadata()` in a view.

use super::Query;

/// The labels of one query; there only in blocks with the `metadata` plugin.
#[derive(Default, Debug)]
pub struct Metadata(Vec<(&'static str, String)>);

impl Metadata {
    /// Sets `label` (`plugin/name`, without the leading slash), in place of an earlier value.
    pub fn set(&mut self, label: &'static str, value: String) {
        match self.0.iter_mut().find(|(l, _)| *l == label) {
            Some((_, v)) => *v = value,
            None => self.0.push((label, value)),
        }
    }

    /// The value of `label`.
    pub fn get(&self, label: &str) -> Option<&str> {
        self.0.iter().find(|(l, _)| *l == label).map(|(_, v)| v.as_str())
    }

    /// All labels that have a value.
    pub fn labels(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(l, v)| (*l, v.as_str()))
    }
}

/// A capability: a plugin that knows labels before the chain runs. It is asked once a query, in chain order.
pub trait MetadataSource: Send + Sync {
    /// Adds what it knows of `query`.
    fn collect(&self, query: &Query, labels: &mut Metadata);
}
