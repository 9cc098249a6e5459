//! What `verify` compares: counts, checksums by column, keys and row hashes.
//!
//! All of them are over the texts of `docs/mysql-types.md`, which the warehouse has as well. A column's checksum is the
//! sum of the first 60 bits of each value's MD5, which does not depend on the order of the rows.

use md5::{Digest as _, Md5};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::backfill::{Order, bound};
use super::encode::{Encoded, Plan};
use super::statement::{Edge, Select};
use super::table::Table;
use super::watermark;
use super::{Extract, about, named, snapshot};
use crate::runtime::deadline::Deadline;
use crate::runtime::mysql::{Cell, Cells, Connection, kind};

/// A table to cut.
#[derive(Debug, Deserialize)]
pub struct RangesJob {
    pub schema: String,
    pub table: String,
    #[serde(default)]
    pub key: Vec<String>,
    /// Rows of a range.
    pub rows: u64,
    /// The end of the last range of the answer before.
    #[serde(default)]
    pub after: Json,
}

/// Ranges to sum up.
#[derive(Debug, Deserialize)]
pub struct ChecksumsJob {
    pub schema: String,
    pub table: String,
    #[serde(default)]
    pub key: Vec<String>,
    pub ranges: Vec<Range>,
    /// Every column when empty.
    #[serde(default)]
    pub columns: Vec<String>,
}

/// A range to list.
#[derive(Debug, Deserialize)]
pub struct KeysJob {
    pub schema: String,
    pub table: String,
    #[serde(default)]
    pub key: Vec<String>,
    pub range: Range,
    #[serde(default)]
    pub columns: Vec<String>,
    /// The most keys; with as many, the answer's `last` is where to go on.
    #[serde(default)]
    pub limit: Option<u64>,
}

/// Rows behind the first key and up to the second, which is among them. Null stands for the table's end.
#[derive(Debug, Clone, Deserialize)]
pub struct Range {
    #[serde(default)]
    pub after: Json,
    #[serde(default)]
    pub last: Json,
}

/// Keys in one answer when the event does not say. An answer may have 6 MB.
const KEYS_MAX: u64 = 20_000;

impl Extract {
    /// Cuts the table into ranges. Only the key's index is read.
    pub(super) async fn ranges(&self, job: &RangesJob, deadline: Deadline) -> anyhow::Result<Json> {
        let (mut connection, table) = self.open(&job.schema, &job.table).await?;
        let order = Order::new(&table, &job.key)?;
        snapshot(&mut connection, 0).await?;
        let mut ranges = Vec::new();
        let mut after = job.after.clone();
        let mut finished = true;
        loop {
            if !deadline.may_start() {
                finished = false;
                break;
            }
            let (text, values) = Select {
                columns: &order.columns,
                after: bound(&after)?.map(|after| (after, Edge::Excluded)),
                ..Select::all(&table, &order.columns)
            }
            .build();
            let text = format!("{text} LIMIT 1 OFFSET {}", job.rows.max(1) - 1);
            let last = key_of_row(&mut connection, &table, &text, &values, order.columns.len()).await?;
            let at_end = last.is_null();
            ranges.push(json!({"after": after, "last": last}));
            after = last;
            if at_end {
                break;
            }
        }
        Ok(json!({"ranges": ranges, "finished": finished}))
    }

    /// Count, NULLs and checksum of each column, by range. Ranges for which there is no time left are missing at the
    /// end of the answer.
    pub(super) async fn checksums(&self, job: &ChecksumsJob, deadline: Deadline) -> anyhow::Result<Json> {
        let (mut connection, table) = self.open(&job.schema, &job.table).await?;
        let order = Order::new(&table, &job.key)?;
        let columns = chosen(&table, &job.columns)?;
        snapshot(&mut connection, 0).await?;
        let mut answers = Vec::new();
        for range in &job.ranges {
            if !deadline.may_start() {
                break;
            }
            answers.push(sums(&mut connection, &table, &order, &columns, range).await?);
        }
        Ok(json!({"finished": answers.len() == job.ranges.len(), "ranges": answers}))
    }

    /// Keys and row hashes of a range, in the order of the key.
    pub(super) async fn keys(&self, job: &KeysJob) -> anyhow::Result<Json> {
        let (mut connection, table) = self.open(&job.schema, &job.table).await?;
        let order = Order::new(&table, &job.key)?;
        let columns = chosen(&table, &job.columns)?;
        let limit = job.limit.unwrap_or(KEYS_MAX).clamp(1, KEYS_MAX);
        snapshot(&mut connection, 0).await?;
        // The key's columns first, then those of the hash.
        let read: Vec<usize> = order.columns.iter().chain(&columns).copied().collect();
        let (text, values) = Select {
            columns: &read,
            after: bound(&job.range.after)?.map(|after| (after, Edge::Excluded)),
            last: bound(&job.range.last)?,
            rows: Some(limit),
            ..Select::all(&table, &order.columns)
        }
        .build();
        let mut rows = connection.query(&text, &values).await.map_err(about(&table))?;
        let plan = Plan::new(&rows.columns, is_json(&table));
        let key: Vec<usize> = (0..order.columns.len()).collect();
        let mut encoded = Encoded::default();
        let mut found = Vec::new();
        while let Some(packet) = rows.next().await.map_err(about(&table))? {
            plan.encode(packet, &mut encoded, None)?;
            let values = plan.values(packet, &key)?;
            let values: Vec<Json> = values.iter().flatten().map(watermark::to_json).collect();
            let mut row = Md5::new();
            for (index, span) in encoded.spans.iter().enumerate().skip(key.len()) {
                if is_float(&plan, index) {
                    continue;
                }
                match canonical(&encoded.after[span.clone()]) {
                    Some(text) => row.update(hex(&Md5::digest(&*text))),
                    None => row.update("~"),
                }
            }
            found.push(json!([values, hex(&row.finalize())]));
        }
        let last = if found.len() as u64 == limit {
            found.last().map(|pair| pair[0].clone())
        } else {
            None
        };
        Ok(json!({"keys": found, "last": last}))
    }
}

/// Sums up one range.
async fn sums(
    connection: &mut Connection,
    table: &Table,
    order: &Order,
    columns: &[usize],
    range: &Range,
) -> anyhow::Result<Json> {
    let (text, values) = Select {
        columns,
        after: bound(&range.after)?.map(|after| (after, Edge::Excluded)),
        last: bound(&range.last)?,
        ..Select::all(table, &order.columns)
    }
    .build();
    let mut rows = connection.query(&text, &values).await.map_err(about(table))?;
    let plan = Plan::new(&rows.columns, is_json(table));
    let mut totals = vec![Total::default(); columns.len()];
    let mut encoded = Encoded::default();
    let mut count = 0_u64;
    while let Some(packet) = rows.next().await.map_err(about(table))? {
        count += 1;
        plan.encode(packet, &mut encoded, None)?;
        let mut cells = Cells::new(packet, columns.len());
        for (index, total) in totals.iter_mut().enumerate() {
            let cell = cells.as_mut().and_then(|cells| cells.next(&plan.columns[index].column));
            match cell {
                Some(Cell::Float(number)) => total.floats += f64::from(number),
                Some(Cell::Double(number)) => total.floats += number,
                _ => total.add(&encoded.after[encoded.spans[index].clone()]),
            }
            total.nulls += u64::from(cell == Some(Cell::Null));
        }
    }
    let mut sums = Map::new();
    for (index, total) in totals.iter().enumerate() {
        let name = plan.columns[index].column.name.clone();
        let value = if is_float(&plan, index) {
            json!({"nulls": total.nulls, "sum": total.floats})
        } else {
            json!({"nulls": total.nulls, "checksum": total.sum.to_string()})
        };
        sums.insert(name, value);
    }
    Ok(json!({"after": range.after, "last": range.last, "rows": count, "columns": sums}))
}

/// What a column adds up to.
#[derive(Clone, Default)]
struct Total {
    nulls: u64,
    /// 60 bits a value: no table has rows enough to fill 128.
    sum: u128,
    floats: f64,
}

impl Total {
    fn add(&mut self, json: &[u8]) {
        if let Some(text) = canonical(json) {
            let digest = Md5::digest(&*text);
            let mut first = [0; 8];
            first.copy_from_slice(&digest[..8]);
            self.sum += u128::from(u64::from_be_bytes(first) >> 4);
        }
    }
}

/// The text that a value is compared by: what a JSON string says, or any other JSON as it is written. `None` for null.
fn canonical(json: &[u8]) -> Option<std::borrow::Cow<'_, [u8]>> {
    match json {
        b"null" => None,
        [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => Some(inner.into()),
        [b'"', ..] => serde_json::from_slice::<String>(json)
            .ok()
            .map(|text| text.into_bytes().into()),
        other => Some(other.into()),
    }
}

fn chosen(table: &Table, names: &[String]) -> anyhow::Result<Vec<usize>> {
    if names.is_empty() {
        return Ok((0..table.fields.len()).collect());
    }
    named(table, names)
}

fn is_json(table: &Table) -> impl Fn(&str) -> bool {
    |name| {
        table
            .fields
            .iter()
            .any(|field| field.name == name && field.checked_json)
    }
}

/// Floats have no text that both sides write alike, so they are summed up and no part of hashes.
fn is_float(plan: &Plan, column: usize) -> bool {
    matches!(plan.columns[column].column.kind, kind::FLOAT | kind::DOUBLE)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn key_of_row(
    connection: &mut Connection,
    table: &Table,
    text: &str,
    values: &[crate::runtime::mysql::Value],
    columns: usize,
) -> anyhow::Result<Json> {
    let mut rows = connection.query(text, values).await.map_err(about(table))?;
    let plan = Plan::new(&rows.columns, |_| false);
    let wanted: Vec<usize> = (0..columns).collect();
    let mut key = Json::Null;
    while let Some(packet) = rows.next().await.map_err(about(table))? {
        let values = plan.values(packet, &wanted)?;
        key = values.iter().flatten().map(watermark::to_json).collect();
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_what_sql_computes() {
        // MySQL: SELECT CONV(SUBSTR(MD5('abc'), 1, 15), 16, 10) gives 648541476951500039; MD5 from RFC 1321.
        let mut total = Total::default();
        total.add(b"\"abc\"");
        assert_eq!(total.sum, 0x0900_1509_83cd_24fb);
        total.add(b"null");
        total.add(b"\"a\\u0062c\"");
        assert_eq!(total.sum, 2 * 0x0900_1509_83cd_24fb);
    }
}
