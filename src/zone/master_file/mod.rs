//! Master files (RFC 1035 5): from text to records, with the place of each mistake.

mod generate;
mod lexer;
mod parser;
#[cfg(test)]
mod tests;

pub use lexer::{LexError, Lexer, Word};
pub use parser::{Entry, FileError, Files, parse};
