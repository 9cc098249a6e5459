//! `[source]`: one variant per kind of source, each with its own type.
//!
//! A new kind is a new struct and a line in [`Source`]; nothing else here knows the kinds.

use deserr::Deserr;
use schemars::JsonSchema;

/// Where the data comes from.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Source {
    /// JSON files that arrive in a bucket.
    Files(FilesSource),
}

/// JSON files that somebody puts into a bucket: arrays, concatenated documents or lines, gzipped or not.
#[derive(Debug, Clone, PartialEq, Deserr, JsonSchema)]
#[deserr(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct FilesSource {
    /// Name of the raw bucket. Without it: made from pipeline, environment, account and region.
    #[deserr(default)]
    #[schemars(default)]
    pub bucket: Option<String>,
    /// Times that a file is tried before its message goes to the dead-letter queue.
    #[deserr(default = 5)]
    #[schemars(default = "five")]
    pub max_attempts: i64,
}

fn five() -> i64 {
    5
}
