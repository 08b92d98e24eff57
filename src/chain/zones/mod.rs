//! What all plugins with zones do alike: answering from one, and keeping one as fresh as its file.

mod answer;
mod zone_file;

pub use answer::{Handling, answer};
pub use zone_file::{LoadError, Loaded, Tell, ZoneFile, load};
