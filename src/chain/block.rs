//! A server block, ready to run.

use std::sync::Arc;
use std::time::Duration;

use super::{Ahead, MetadataSource, Plugin, Query};
use crate::wire::Name;

/// The chain of one server block, shared by all its zones and listeners.
pub struct Block {
    pub(super) chain: Box<[Link]>,
    /// From each place, and from behind the last: the next place whose plugin looks at queries, or the one behind the last.
    pub(super) downward: Box<[u16]>,
    /// Places of the plugins that look at responses, in chain order.
    pub(super) upward: Box<[u16]>,
    /// The first plugin that looks ahead.
    ahead: Option<Arc<dyn Plugin>>,
    /// Where metadata is collected, and from whom; `None` without the `metadata` plugin.
    pub(super) metadata: Option<MetadataPlan>,
    /// Whether panics are left to end the process (`debug`).
    pub debug: bool,
    /// Whether this block opens its listeners for classes other than IN (`chaos`, `forward`).
    pub other_classes: bool,
    /// Whether panics are logged with their stack (`errors` with `stacktrace`).
    pub stacktrace: bool,
    /// How long after it came a query is waited for no longer (`cancel`); `None`: what plugins wait for ends by itself.
    pub patience: Option<Duration>,
}

pub(super) struct Link {
    pub(super) name: &'static str,
    pub(super) plugin: Arc<dyn Plugin>,
}

pub(super) struct MetadataPlan {
    pub(super) zones: Vec<Name>,
    pub(super) sources: Vec<Arc<dyn MetadataSource>>,
}

impl Block {
    /// The names of the plugins in chain order.
    pub fn plugin_names(&self) -> impl Iterator<Item = &'static str> {
        self.chain.iter().map(|link| link.name)
    }

    /// Tells the plugin that gains by it of a query to come.
    #[inline]
    pub fn look_ahead(&self, query: &Query, ahead: Ahead) {
        if let Some(plugin) = &self.ahead {
            plugin.look_ahead(query, ahead);
        }
    }

    /// True if nothing in the block handles queries: it then refuses them.
    pub fn is_empty(&self) -> bool {
        self.chain.is_empty()
    }
}

/// Collects the plugins of a block, in chain order.
#[derive(Default)]
pub struct BlockBuilder {
    chain: Vec<Link>,
    metadata: Option<MetadataPlan>,
    /// See [`Block::debug`].
    pub debug: bool,
    /// See [`Block::other_classes`].
    pub other_classes: bool,
    /// See [`Block::stacktrace`].
    pub stacktrace: bool,
    /// See [`Block::patience`].
    pub patience: Option<Duration>,
}

impl BlockBuilder {
    /// Adds a plugin at the end of the chain.
    pub fn push(&mut self, name: &'static str, plugin: Arc<dyn Plugin>) {
        self.chain.push(Link { name, plugin });
    }

    /// Collects metadata from `sources` for names in `zones`.
    pub fn collect_metadata(&mut self, zones: Vec<Name>, sources: Vec<Arc<dyn MetadataSource>>) {
        self.metadata = Some(MetadataPlan { zones, sources });
    }

    /// The finished block.
    pub fn build(self) -> Block {
        let upward =
            (0u16..).zip(&self.chain).filter(|(_, link)| link.plugin.sees_responses()).map(|(i, _)| i);
        let mut downward = vec![self.chain.len() as u16; self.chain.len() + 1];
        for (place, link) in self.chain.iter().enumerate().rev() {
            downward[place] = if link.plugin.sees_queries() { place as u16 } else { downward[place + 1] };
        }
        let ahead = self.chain.iter().find(|link| link.plugin.looks_ahead());
        Block {
            ahead: ahead.map(|link| Arc::clone(&link.plugin)),
            downward: downward.into(),
            upward: upward.collect(),
            chain: self.chain.into(),
            metadata: self.metadata,
            debug: self.debug,
            other_classes: self.other_classes,
            stacktrace: self.stacktrace,
            patience: self.patience,
        }
    }
}
