//! Tables in a few large pieces of memory: for what is built once, is read by every query, and may have millions of entries.

mod pieces;
mod slots;

pub use pieces::Memory;
pub use slots::{PLACE_MAX, Slots};
