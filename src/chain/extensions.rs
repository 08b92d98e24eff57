//! What a plugin wants to remember with a query between its two hooks, by type.

use std::any::Any;

/// A few values of different types, at most one of each. Empty, it owns no memory.
#[derive(Default)]
pub struct Extensions(Vec<Box<dyn Any>>);

impl Extensions {
    /// Keeps `value`, in place of an earlier one of its type.
    pub fn insert<T: 'static>(&mut self, value: T) {
        match self.get_mut::<T>() {
            Some(place) => *place = value,
            None => self.0.push(Box::new(value)),
        }
    }

    /// The value of type `T`.
    pub fn get<T: 'static>(&self) -> Option<&T> {
        self.0.iter().find_map(|v| v.downcast_ref())
    }

    /// The value of type `T`, to change.
    pub fn get_mut<T: 'static>(&mut self) -> Option<&mut T> {
        self.0.iter_mut().find_map(|v| v.downcast_mut())
    }

    /// Takes the value of type `T` out.
    pub fn take<T: 'static>(&mut self) -> Option<T> {
        let at = self.0.iter().position(|v| v.is::<T>())?;
        self.0.swap_remove(at).downcast().ok().map(|v| *v)
    }

    /// Forgets everything; keeps the space.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// Kept with a query: what is sent upstream for it is sent for it alone, and shared with no equal query in flight.
pub struct Alone;
