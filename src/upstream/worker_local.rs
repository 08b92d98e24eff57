//! A value per worker: each thread makes its own, uses it without locks, and drops it once its owner is gone.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// A key to one `T` on each thread. The values are made where they are used and never leave their thread, so `T` need be neither
/// `Send` nor `Sync`; the key is both.
///
/// A value outlives its key only until its thread makes another value or calls [`sweep`].
pub struct WorkerLocal<T> {
    id: u64,
    alive: Arc<()>,
    // Says that the key owns no T that could change threads with it.
    _values: PhantomData<fn() -> T>,
}

struct Entry {
    owner: Weak<()>,
    value: Rc<dyn Any>,
}

thread_local! {
    static VALUES: RefCell<HashMap<u64, Entry, foldhash::fast::RandomState>> = RefCell::default();
}

impl<T: 'static> WorkerLocal<T> {
    /// A key without values.
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), alive: Arc::new(()), _values: PhantomData }
    }

    /// This thread's value; `make` is called if there is none yet.
    pub fn get_or_make(&self, make: impl FnOnce() -> T) -> Rc<T> {
        if let Some(value) = self.get() {
            return value;
        }
        sweep();
        let value = Rc::new(make());
        let entry = Entry { owner: Arc::downgrade(&self.alive), value: Rc::clone(&value) as Rc<dyn Any> };
        VALUES.with_borrow_mut(|values| values.insert(self.id, entry));
        value
    }

    /// This thread's value, if it has one.
    pub fn get(&self) -> Option<Rc<T>> {
        VALUES.with_borrow(|values| {
            values.get(&self.id).and_then(|entry| Rc::clone(&entry.value).downcast().ok())
        })
    }

    /// Takes this thread's value away.
    pub fn remove(&self) {
        // Dropped outside of the borrow: its destructor may come back here.
        drop(VALUES.with_borrow_mut(|values| values.remove(&self.id)));
    }
}

impl<T: 'static> Default for WorkerLocal<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> std::fmt::Debug for WorkerLocal<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WorkerLocal({})", self.id)
    }
}

/// Drops this thread's values whose keys are gone.
pub fn sweep() {
    let dead: Vec<Entry> = VALUES
        .try_with(|values| {
            let mut values = values.borrow_mut();
            values.extract_if(|_, entry| entry.owner.strong_count() == 0).map(|(_, entry)| entry).collect()
        })
        .unwrap_or_default();
    drop(dead);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn each_thread_has_its_own_value() {
        let local = Arc::new(WorkerLocal::<Cell<u32>>::new());
        local.get_or_make(|| Cell::new(1)).set(5);
        let other = Arc::clone(&local);
        let theirs = std::thread::spawn(move || other.get_or_make(|| Cell::new(2)).get()).join().unwrap();
        assert_eq!((local.get().unwrap().get(), theirs), (5, 2));
        assert!(WorkerLocal::<u32>::new().get().is_none());
    }

    #[test]
    fn a_value_goes_when_its_key_is_gone() {
        let local = WorkerLocal::<()>::new();
        let value = local.get_or_make(|| ());
        sweep();
        assert_eq!(Rc::strong_count(&value), 2);
        drop(local);
        sweep();
        assert_eq!(Rc::strong_count(&value), 1);
    }

    #[test]
    fn a_value_may_be_taken_away_and_made_anew() {
        let local = WorkerLocal::<u32>::new();
        assert_eq!(*local.get_or_make(|| 1), 1);
        local.remove();
        assert_eq!(*local.get_or_make(|| 2), 2);
    }
}
