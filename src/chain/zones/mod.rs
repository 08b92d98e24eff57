//! What all plugins with zones do alike: answering from one, and keeping one as fresh as its file.

mod answer;
#[cfg(test)]
mod tests;
mod zone_file;

pub use answer::{Handling, answer};
pub use zone_file::{LoadError, Loaded, Tell, ZoneFile, load, why_not_opened};
