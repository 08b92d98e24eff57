//! What the blocks of one configuration have together: one value for each type.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Values that plugins of several blocks share while one configuration lives, by type: a plugin uses a type of its own, so none meets
/// another's.
#[derive(Default)]
pub struct Shared(Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl Shared {
    /// The configuration's `T`, made where it is the first to be asked for.
    pub fn get<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let value = values.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(T::default()));
        Arc::clone(value).downcast().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_for_each_type() {
        let shared = Shared::default();
        *shared.get::<Mutex<u8>>().lock().unwrap() = 7;
        assert_eq!(*shared.get::<Mutex<u8>>().lock().unwrap(), 7);
        assert_eq!(*shared.get::<Mutex<u16>>().lock().unwrap(), 0);
    }
}
