//! What one plugin offers to another through its block: a trait is asked for, never a plugin's name.

use std::any::{Any, TypeId};
use std::collections::HashMap;

use super::Query;
use crate::wire::Name;

/// Knows whether its plugin can answer yet; offered as `Arc<dyn Ready>`, and shown by `ready`.
pub trait Ready: Send + Sync {
    /// The plugin's name, as the page shows it.
    fn name(&self) -> &'static str;

    /// Whether the plugin can answer. Asked at each probe, on the control plane: it must not wait.
    fn is_ready(&self) -> bool;
}

/// A plugin that knows in which domains a client looks for names; offered as `Arc<dyn AutopathSource>`.
pub trait AutopathSource: Send + Sync {
    /// The search domains of `query`'s client, in order; the name itself comes after all of them. `None` if it does not know the client.
    fn search_path(&self, query: &Query) -> Option<Vec<Name>>;
}

/// The capabilities offered in one block, by trait, in the order of the chain.
#[derive(Default)]
pub struct Capabilities(HashMap<TypeId, Vec<Box<dyn Any + Send + Sync>>>);

impl Capabilities {
    /// Offers `value` to those who ask for `T`, usually an `Arc<dyn Trait>`.
    pub fn offer<T: Clone + Send + Sync + 'static>(&mut self, value: T) {
        self.0.entry(TypeId::of::<T>()).or_default().push(Box::new(value));
    }

    /// Everything offered as `T`.
    pub fn all<T: Clone + Send + Sync + 'static>(&self) -> Vec<T> {
        let offers = self.0.get(&TypeId::of::<T>());
        offers.into_iter().flatten().filter_map(|v| v.downcast_ref::<T>().cloned()).collect()
    }
}
