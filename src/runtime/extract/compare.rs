//! What `verify` compares: counts, checksums by column, keys and row hashes.
//!
//! All of them are over the texts of `docs/mysql-types.md`, which the warehouse has as well. A column's checksum is the
//! sum of the first 60 bits of each value's MD5, which does not depend on the order of the rows.

use md5::{Digest as _, Md5};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::backfill::{Order, bound};
use super::buckets::Buckets;
use super::encode::{Encoded, Plan};
use super::statement::{Edge, Select};
use super::table::Table;
use super::watermark;
use super::{Extract, about, named, snapshot};
use crate::runtime::deadline::Deadline;
use crate::runtime::mysql::{Connection, kind};

/// A table to cut.
#[derive(Debug, Deserialize)]
pub struct RangesJob {
    pub schema: String,
    pub table: String,
    #[serde(default)]
    pub key: Vec<String>,
    /// Rows of a range.
    pub rows: u64,
    /// The end of the last range of the answer before, or the start of what is cut.
    #[serde(default)]
    pub after: Json,
    /// The end of what is cut; the table's when null.
    #[serde(default)]
    pub last: Json,
}

/// Ranges or buckets to sum up.
#[derive(Debug, Deserialize)]
pub struct ChecksumsJob {
    pub schema: String,
    pub table: String,
    #[serde(default)]
    pub key: Vec<String>,
    #[serde(default)]
    pub ranges: Vec<Range>,
    /// Instead of ranges: all rows, by bucket.
    #[serde(default)]
    pub buckets: Option<Buckets>,
    /// Every column when empty.
    #[serde(default)]
    pub columns: Vec<String>,
}

/// A range, or buckets, to list.
#[derive(Debug, Deserialize)]
pub struct KeysJob {
    pub schema: String,
    pub table: String,
    #[serde(default)]
    pub key: Vec<String>,
    #[serde(default)]
    pub range: Range,
    /// Instead of a range: the rows of these buckets.
    #[serde(default)]
    pub buckets: Option<Buckets>,
    #[serde(default)]
    pub columns: Vec<String>,
    /// Whether each row is told column by column instead of by one hash.
    #[serde(default)]
    pub each: bool,
    /// Columns whose values are told besides.
    #[serde(default)]
    pub watermark: Vec<String>,
    /// The most keys; with as many, the answer's `last` is where to go on.
    #[serde(default)]
    pub limit: Option<u64>,
}

/// Rows behind the first key and up to the second, which is among them. Null stands for the table's end.
#[derive(Debug, Clone, Default, Deserialize)]
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
                last: bound(&job.last)?,
                ..Select::all(&table, &order.columns)
            }
            .build();
            let text = format!("{text} LIMIT 1 OFFSET {}", job.rows.max(1) - 1);
            let last = key_of_row(&mut connection, &table, &text, &values, order.columns.len()).await?;
            let at_end = last.is_null() || last == job.last;
            let end = if at_end { job.last.clone() } else { last };
            ranges.push(json!({"after": after, "last": end}));
            after = end;
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
        let columns = chosen(&table, &job.columns)?;
        snapshot(&mut connection, 0).await?;
        if let Some(buckets) = &job.buckets {
            return buckets.sums(&mut connection, &table, &job.key, &columns).await;
        }
        let order = Order::new(&table, &job.key)?;
        let mut answers = Vec::new();
        for range in &job.ranges {
            if !deadline.may_start() {
                break;
            }
            answers.push(sums(&mut connection, &table, &order, &columns, range).await?);
        }
        Ok(json!({"finished": answers.len() == job.ranges.len(), "ranges": answers}))
    }

    /// The rows of a range, or of some buckets, by key: with one hash each, or column by column.
    pub(super) async fn keys(&self, job: &KeysJob) -> anyhow::Result<Json> {
        let (mut connection, table) = self.open(&job.schema, &job.table).await?;
        let columns = chosen(&table, &job.columns)?;
        let watermark = named(&table, &job.watermark)?;
        snapshot(&mut connection, 0).await?;
        if let Some(buckets) = &job.buckets {
            return buckets
                .rows(&mut connection, &table, &job.key, &columns, &watermark)
                .await;
        }
        let order = Order::new(&table, &job.key)?;
        let limit = job.limit.unwrap_or(KEYS_MAX).clamp(1, KEYS_MAX);
        // The key's columns first, then those of the hash, then the watermark's.
        let read: Vec<usize> = [order.columns.as_slice(), &columns, &watermark].concat();
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
        let compared: Vec<usize> = (key.len()..key.len() + columns.len()).collect();
        let told: Vec<usize> = (key.len() + columns.len()..read.len()).collect();
        let mut encoded = Encoded::default();
        let mut found = Vec::new();
        let mut last = Json::Null;
        while let Some(packet) = rows.next().await.map_err(about(&table))? {
            plan.encode(packet, &mut encoded, None)?;
            last = plan
                .values(packet, &key)?
                .iter()
                .flatten()
                .map(watermark::to_json)
                .collect();
            found.push(match job.each {
                true => tell_row(&plan, packet, &encoded, texts(&encoded, &key), (&compared, &told))?,
                false => json!([last, hash_of(&plan, &encoded, &compared)]),
            });
        }
        if (found.len() as u64) < limit {
            last = Json::Null;
        }
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
    let compared: Vec<usize> = (0..columns.len()).collect();
    let mut sums = Sums::new(columns.len());
    let mut encoded = Encoded::default();
    while let Some(packet) = rows.next().await.map_err(about(table))? {
        plan.encode(packet, &mut encoded, None)?;
        sums.add(&plan, &encoded, &compared);
    }
    let mut answer = json!({"after": range.after, "last": range.last});
    sums.tell(&plan, &compared, &mut answer);
    Ok(answer)
}

/// What some rows add up to.
#[derive(Clone)]
pub(super) struct Sums {
    rows: u64,
    totals: Vec<Total>,
}

impl Sums {
    pub(super) fn new(columns: usize) -> Self {
        Self {
            rows: 0,
            totals: vec![Total::default(); columns],
        }
    }

    /// Adds the columns `compared` of a row.
    pub(super) fn add(&mut self, plan: &Plan, row: &Encoded, compared: &[usize]) {
        self.rows += 1;
        for (total, column) in self.totals.iter_mut().zip(compared.iter().copied()) {
            let json = &row.after[row.spans[column].clone()];
            match is_float(plan, column) {
                true => total.add_float(json),
                false => total.add(json),
            }
        }
    }

    /// Writes `rows` and `columns` into an answer.
    pub(super) fn tell(&self, plan: &Plan, compared: &[usize], answer: &mut Json) {
        let mut columns = Map::new();
        for (column, total) in compared.iter().copied().zip(&self.totals) {
            let mut told = json!({"nulls": total.nulls});
            if is_float(plan, column) {
                told["sum"] = json!(total.floats);
                told["magnitude"] = json!(total.magnitude);
            } else {
                told["checksum"] = json!(total.sum.to_string());
            }
            columns.insert(plan.columns[column].column.name.clone(), told);
        }
        answer["rows"] = json!(self.rows);
        answer["columns"] = Json::Object(columns);
    }
}

/// A row as `each` tells it: its key, what is compared of it, and its watermark.
pub(super) fn tell_row(
    plan: &Plan,
    packet: &[u8],
    row: &Encoded,
    key: Vec<Option<String>>,
    (compared, told): (&[usize], &[usize]),
) -> anyhow::Result<Json> {
    let cells: Vec<Json> = compared.iter().map(|column| cell(plan, row, *column)).collect();
    let values = plan.values(packet, told)?;
    let watermark: Vec<Option<Json>> = values
        .iter()
        .map(|value| value.as_ref().map(watermark::to_json))
        .collect();
    Ok(json!({ "key": key, "columns": cells, "watermark": watermark }))
}

/// The texts of some columns; null stays null.
pub(super) fn texts(row: &Encoded, columns: &[usize]) -> Vec<Option<String>> {
    columns
        .iter()
        .map(|column| {
            let text = canonical(&row.after[row.spans[*column].clone()])?;
            Some(String::from_utf8_lossy(&text).into_owned())
        })
        .collect()
}

/// What is told of one value: the first 60 bits of its text's MD5, or a number as it is.
fn cell(plan: &Plan, row: &Encoded, column: usize) -> Json {
    let json = &row.after[row.spans[column].clone()];
    match canonical(json) {
        None => Json::Null,
        Some(_) if is_float(plan, column) => serde_json::from_slice(json).unwrap_or_default(),
        Some(text) => json!(hex(&Md5::digest(&*text))[..15]),
    }
}

/// The hash of some columns of a row.
pub(super) fn hash_of(plan: &Plan, row: &Encoded, columns: &[usize]) -> String {
    let mut hash = Md5::new();
    for column in columns.iter().filter(|column| !is_float(plan, **column)) {
        match canonical(&row.after[row.spans[*column].clone()]) {
            Some(text) => hash.update(hex(&Md5::digest(&*text))),
            None => hash.update("~"),
        }
    }
    hex(&hash.finalize())
}

/// What a column adds up to.
#[derive(Clone, Default)]
struct Total {
    nulls: u64,
    /// 60 bits a value: no table has rows enough to fill 128.
    sum: u128,
    floats: f64,
    /// Sum without signs, by which the tolerance goes.
    magnitude: f64,
}

impl Total {
    fn add(&mut self, json: &[u8]) {
        if let Some(text) = canonical(json) {
            let digest = Md5::digest(&*text);
            let mut first = [0; 8];
            first.copy_from_slice(&digest[..8]);
            self.sum += u128::from(u64::from_be_bytes(first) >> 4);
        } else {
            self.nulls += 1;
        }
    }

    /// The number that the record says, which for single precision is not quite the one in the database.
    fn add_float(&mut self, json: &[u8]) {
        match std::str::from_utf8(json).ok().and_then(|text| text.parse::<f64>().ok()) {
            Some(number) => {
                self.floats += number;
                self.magnitude += number.abs();
            }
            None => self.nulls += 1,
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

pub(super) fn is_json(table: &Table) -> impl Fn(&str) -> bool {
    |name| {
        table
            .fields
            .iter()
            .any(|field| field.name == name && field.checked_json)
    }
}

/// Floats have no text that both sides write alike, so they are summed up and no part of hashes.
pub(super) fn is_float(plan: &Plan, column: usize) -> bool {
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
