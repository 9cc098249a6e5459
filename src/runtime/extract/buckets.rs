//! Rows by bucket, for tables whose rows both sides cannot put in one order: texts sort by a collation here and by code
//! point in the warehouse, and a table without a key has no order at all.
//!
//! A row's bucket is the first hexadecimal digits of a hash that the warehouse has as well: that of the key's texts (as
//! row hashes are made), or where there is no key that of the record, by which such rows are merged.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::compare::{Sums, hash_of, is_json, tell_row, texts};
use super::encode::{Encoded, Plan};
use super::record::row_hash;
use super::statement::Select;
use super::table::Table;
use super::{about, named};
use crate::runtime::mysql::Connection;

/// Rows in one answer, which may have 6 MB.
const ROWS_MAX: usize = 50_000;

/// Which buckets.
#[derive(Debug, Deserialize)]
pub struct Buckets {
    /// Hexadecimal digits that name a bucket; with none there is one, named by an empty text.
    pub digits: usize,
    /// Names of the buckets whose rows are listed.
    #[serde(default)]
    pub only: Vec<String>,
}

impl Buckets {
    /// Counts and checksums of every bucket that has rows. The table is read once, in any order.
    pub async fn sums(
        &self,
        connection: &mut Connection,
        table: &Table,
        key: &[String],
        columns: &[usize],
    ) -> anyhow::Result<Json> {
        let key = named(table, key)?;
        let mut found: BTreeMap<String, Sums> = BTreeMap::new();
        let (text, values) = Select::all(table, &[]).build();
        let mut rows = connection.query(&text, &values).await.map_err(about(table))?;
        let plan = Plan::new(&rows.columns, is_json(table));
        let mut row = Encoded::default();
        while let Some(packet) = rows.next().await.map_err(about(table))? {
            plan.encode(packet, &mut row, None)?;
            let mut name = hash(&plan, &row, &key);
            name.truncate(self.digits);
            let sums = found.entry(name).or_insert_with(|| Sums::new(columns.len()));
            sums.add(&plan, &row, columns);
        }
        let answers = found.iter().map(|(name, sums)| {
            let mut answer = json!({ "bucket": name });
            sums.tell(&plan, columns, &mut answer);
            answer
        });
        Ok(json!({ "finished": true, "buckets": answers.collect::<Vec<_>>() }))
    }

    /// The rows of the buckets of `only`, column by column. The table is read once; `full` says that there are more rows
    /// than an answer holds.
    pub async fn rows(
        &self,
        connection: &mut Connection,
        table: &Table,
        key: &[String],
        columns: &[usize],
        watermark: &[usize],
    ) -> anyhow::Result<Json> {
        let key = named(table, key)?;
        let (text, values) = Select::all(table, &[]).build();
        let mut rows = connection.query(&text, &values).await.map_err(about(table))?;
        let plan = Plan::new(&rows.columns, is_json(table));
        let mut row = Encoded::default();
        let mut found = Vec::new();
        let mut is_full = false;
        while let Some(packet) = rows.next().await.map_err(about(table))? {
            plan.encode(packet, &mut row, None)?;
            let hash = hash(&plan, &row, &key);
            if is_full || !self.only.iter().any(|name| hash.starts_with(name)) {
                continue;
            }
            is_full = found.len() == ROWS_MAX;
            let shown = match key.is_empty() {
                true => vec![Some(hash)],
                false => texts(&row, &key),
            };
            found.push(tell_row(&plan, packet, &row, shown, (columns, watermark))?);
        }
        Ok(json!({ "keys": found, "last": null, "full": is_full }))
    }
}

/// What names a row's bucket, and without a key the row.
fn hash(plan: &Plan, row: &Encoded, key: &[usize]) -> String {
    match key.is_empty() {
        true => format!("{:032x}", row_hash(&row.after)),
        false => hash_of(plan, row, key),
    }
}
