//! Any layout of JSON, in chunks, to JSON lines, in memory that does not depend on the input's size.
//!
//! [`Converter`] takes the bytes of an object as they arrive, gzipped or not, and gives the same records one per line.
//! It never builds values: it checks the grammar (RFC 8259) byte by byte and drops the whitespace between tokens, so
//! the text of numbers and strings, the order of keys and duplicate keys stay exactly as they were written.

mod compactor;
mod grammar;
mod input;
#[cfg(test)]
mod tests;

use serde::Serialize;
use thiserror::Error;

pub use input::{Converter, GZIP};

/// The longest record that Snowflake can load: 128 MB in a VARIANT
/// (<https://docs.snowflake.com/en/sql-reference/data-types-semistructured>). Accounts that still have the older 16 MB
/// limit reject such rows at load, and the pipe reports them.
pub const RECORD_LIMIT: u64 = 128 * 1024 * 1024;

/// How deep a record may nest. Parsers downstream recurse, and the stack kept here must be bounded.
pub const DEPTH_LIMIT: usize = 1_000;

/// Why an object is not JSON that can be loaded, and where.
#[derive(Debug, Clone, Error, PartialEq, Eq, Serialize)]
#[error("{reason}")]
pub struct Invalid {
    /// What is wrong, for people.
    pub reason: String,
    /// Where it is; absent when the bytes could not even be decompressed.
    #[serde(flatten)]
    pub position: Option<Position>,
}

impl Invalid {
    /// A fault of the object as a whole.
    pub fn whole(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            position: None,
        }
    }
}

/// A place in the (decompressed) text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Position {
    /// Counted from 1.
    pub line: u64,
    /// Counted from 1, in characters.
    pub column: u64,
    /// Counted from 0, in bytes.
    pub offset: u64,
}
