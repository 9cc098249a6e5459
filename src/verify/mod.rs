//! `verify`: whether the warehouse holds what the source holds.
//!
//! The function that reads the database sums up key ranges, Snowflake does the same in one statement for many ranges, and
//! only ranges that differ are cut further, until they are small enough to compare row by row. `docs/mysql-types.md` says
//! what is summed up.

mod prepare;
mod rows;
mod run;
mod sql;
mod sums;
mod text;

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::model::{Model, Origin, Source};
use crate::snowflake::ident::Ident;
use crate::spec::schedule::{Schedule, Unit};
use text::Way;

pub use run::Verify;

/// What the pipe and the tasks take besides their schedules.
const ON_THE_WAY: u64 = 60;
/// What is waited for a schedule that is a cron expression.
const OF_CRON: u64 = 600;

/// What is compared, and how far.
#[derive(Debug, Clone)]
pub struct Options {
    /// Most keys that are listed of a table.
    pub limit: usize,
    /// How long rows are waited for that may be on the way.
    pub wait: Duration,
    /// Whether rows that only the warehouse has are no difference.
    pub ignore_extra: bool,
}

/// Rows behind the first key and up to the second, which is among them; null is the end of the table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Range {
    after: Value,
    last: Value,
}

/// A column of the key that ranges or buckets go by.
#[derive(Debug, Clone)]
struct KeyColumn {
    /// Its name in the source.
    source: String,
    /// Its name in the warehouse.
    name: Ident,
    /// The SQL of its text.
    text: String,
    /// The type that it sorts as, where both sides sort alike.
    order: String,
}

/// A column that is compared.
#[derive(Debug, Clone)]
struct Compared {
    source: String,
    name: Ident,
    way: Way,
}

/// What became of one table.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TableReport {
    /// Name in the warehouse.
    pub table: String,
    /// Name in the source.
    pub source: String,
    /// Whether nothing counts as a difference.
    pub equal: bool,
    /// Rows of the source.
    pub source_rows: u64,
    /// Rows of the warehouse.
    pub warehouse_rows: u64,
    /// Rows that only the source has.
    pub missing: u64,
    /// Rows that only the warehouse has.
    pub extra: u64,
    /// Rows that both have with other values.
    pub different: u64,
    /// Rows behind the watermark: the pipeline has not read them yet, so they are no differences.
    pub unread: u64,
    /// Parts of the table that differ and were too large to be listed; their rows are counted only.
    pub unlisted_parts: u64,
    /// The first differences.
    pub keys: Vec<Difference>,
    /// Columns that are not compared value by value, and why.
    pub partly: Vec<Partly>,
    /// The watermark up to which the source was read, as it is kept.
    pub watermark: Value,
}

/// A row that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// What kind it is.
    pub kind: Kind,
    /// Its key: names and texts.
    pub key: Vec<(String, Option<String>)>,
    /// Columns whose values differ.
    pub columns: Vec<String>,
}

/// How a row differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The warehouse does not have it.
    Missing,
    /// The source does not have it.
    Extra,
    /// Its values are others.
    Different,
}

/// A column that is compared in part or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Partly {
    /// The column of the warehouse.
    pub column: String,
    /// What is compared: `nulls`, or `nothing`.
    pub compared: &'static str,
    /// Why.
    pub reason: String,
}

/// The tables that `names` name, by their name or that of the source table; all when there are none.
pub fn tables<'a>(model: &'a Model, names: &[String]) -> anyhow::Result<Vec<&'a crate::model::Table>> {
    if let Source::Mysql(source) = &model.source
        && source.reader().is_some()
    {
        anyhow::bail!(
            "the tables of this pipeline come from the binary log, and no function reads them row by row\n  hint: delete the \
             parameter {} and start the reader anew to have every table read anew; nothing is lost or doubled by it",
            model.names.binlog_position_parameter()
        );
    }
    let of_mysql = |table: &&crate::model::Table| matches!(table.origin, Origin::Mysql(_));
    let all: Vec<&crate::model::Table> = model.tables.iter().filter(of_mysql).collect();
    if names.is_empty() {
        return Ok(all);
    }
    let is_named = |table: &crate::model::Table, name: &str| {
        let source = match &table.origin {
            Origin::Mysql(origin) => origin.name.to_string(),
            Origin::File { .. } => String::new(),
        };
        table.name.eq_ignore_ascii_case(name) || source == name
    };
    let mut found = Vec::new();
    for name in names {
        let named: Vec<&crate::model::Table> = all.iter().copied().filter(|table| is_named(table, name)).collect();
        if named.is_empty() {
            let known: Vec<&str> = all.iter().map(|table| table.name.as_str()).collect();
            let known = match known.is_empty() {
                true => "the pipeline reads no table of a database".to_owned(),
                false => format!("there are: {}", known.join(", ")),
            };
            anyhow::bail!("no [[table]] `{name}` reads a table of a database\n  hint: {known}");
        }
        found.extend(named);
    }
    Ok(found)
}

/// How long a row takes at most from the database to its table when nothing fails.
pub fn path_time(model: &Model) -> Duration {
    let of = |schedule: &Schedule| match schedule {
        Schedule::Every { amount, unit } => {
            let unit = match unit {
                Unit::Seconds => 1,
                Unit::Minutes => 60,
                Unit::Hours => 3600,
            };
            u64::from(*amount) * unit
        }
        Schedule::Cron { .. } => OF_CRON,
    };
    let read = match &model.source {
        Source::Mysql(source) => {
            source.schedule().map(of).unwrap_or_default() + u64::try_from(source.buffer_seconds).unwrap_or_default()
        }
        Source::Files(_) => 0,
    };
    let merged = model.snowflake().map(|target| of(&target.schedule)).unwrap_or_default();
    Duration::from_secs(read + merged + ON_THE_WAY)
}
