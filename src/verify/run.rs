//! The comparison of one table, from the whole down to the rows that differ.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::prepare::{Parts, Prepared, prepare};
use super::rows::{Found, Frontier, Row, compare};
use super::sql::Warehouse;
use super::sums::Sums;
use super::{Compared, Options, Range, TableReport};
use crate::aws::Aws;
use crate::aws::function::Function;
use crate::graph::mysql::extract;
use crate::model::{Model, MysqlTable, SnowflakeTarget, Table};
use crate::report::bar::Bar;
use crate::runtime::extract::state::parameter_name;
use crate::runtime::extract::watermark::{Kind, Overlap};
use crate::runtime::mysql::Value as Bound;
use crate::runtime::parameter;
use crate::snowflake::client::{Client, ResultSet, Statement};
use crate::snowflake::ident::Name;

/// Cells that are compared row by row at once; an answer of a function has at most 6 MB
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
const CELLS: usize = 100_000;
/// Most rows of the smallest part.
const LEAF_ROWS: u64 = 2000;
/// Parts that a table, and a part that differs, is cut into.
const FAN: u64 = 32;
/// Rows that one invocation sums up, so that it does not take minutes.
const ROWS_AT_ONCE: u64 = 2_000_000;
/// Ranges of one statement.
const RANGES_AT_ONCE: usize = 64;
/// Rows of the warehouse that are read where the source has few; more are counted only.
const WAREHOUSE_ROWS: usize = 50_000;
/// Times that a table is read to list the rows of buckets.
const BUCKET_READINGS: usize = 16;
/// Pauses between two looks at rows that may be on the way.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Everything that a comparison needs.
pub struct Verify<'a> {
    pub model: &'a Model,
    pub target: &'a SnowflakeTarget,
    pub aws: &'a Aws,
    pub client: &'a Client,
    pub options: &'a Options,
    /// Told what takes a while.
    pub say: &'a (dyn Fn(&str) + Send + Sync),
}

/// A part that is compared row by row.
#[derive(Debug, Clone)]
enum Leaf {
    Range(Range),
    Buckets(Vec<String>),
}

/// One table under comparison.
struct Run<'a> {
    verify: &'a Verify<'a>,
    function: Function<'a>,
    origin: &'a MysqlTable,
    name: Name,
    prepared: Prepared,
    frontier: Frontier,
    bar: &'a Bar,
}

impl Verify<'_> {
    /// Compares a table. Differences that may be rows on the way are looked at again until they are gone or the time is up.
    pub async fn table(&self, table: &Table, origin: &MysqlTable, bar: &Bar) -> anyhow::Result<TableReport> {
        let function = Function::new(self.aws, extract::function(self.model));
        let event = json!({ "do": "describe", "count": true });
        // Before any row is read, so that no row is taken for read that came later.
        let read = self.watermark(origin).await?;
        let described = function.invoke(&of_table(event, origin), self.say).await?;
        let prepared = prepare(table, &described)?;
        let run = Run {
            verify: self,
            function,
            origin,
            name: self.target.schema.child(&table.name),
            prepared,
            frontier: self.frontier(origin, &read, &described),
            bar,
        };
        let warehouse_rows = run.ask(run.warehouse().count()).await?;
        let rows = |text: Option<&str>| text.unwrap_or_default().parse::<u64>().unwrap_or_default();
        let source_rows = described["rows"].as_u64().unwrap_or_default();
        let warehouse_rows = rows(warehouse_rows.scalar());
        bar.start(source_rows.max(warehouse_rows));
        let (leaves, unlisted) = run.differing(source_rows.max(warehouse_rows)).await?;
        let found = run.settle(leaves).await?;
        let mut report = TableReport {
            table: run.name.to_string(),
            source: origin.name.to_string(),
            source_rows,
            warehouse_rows,
            unlisted_parts: unlisted,
            partly: run.prepared.partly,
            watermark: read,
            ..TableReport::default()
        };
        for (_, found) in found {
            report.missing += found.missing;
            report.extra += found.extra;
            report.different += found.different;
            report.unread += found.unread;
            report.keys.extend(found.keys);
        }
        report.keys.truncate(self.options.limit);
        let ignored = if self.options.ignore_extra { 0 } else { report.extra };
        report.equal = report.missing + report.different + ignored + report.unlisted_parts == 0;
        Ok(report)
    }

    /// The watermark that is kept of a source table; null when it was never read.
    async fn watermark(&self, origin: &MysqlTable) -> anyhow::Result<Value> {
        let name = parameter_name(&self.model.names.watermark_parameters(), &origin.name.to_string());
        let Some(state) = parameter::read(&self.aws.ssm, &name).await? else {
            return Ok(Value::Null);
        };
        let state: Value = serde_json::from_str(&state).unwrap_or_default();
        Ok(state["value"].clone())
    }

    fn frontier(&self, origin: &MysqlTable, read: &Value, described: &Value) -> Frontier {
        let read = match read {
            Value::Null => Vec::new(),
            Value::Array(values) => values.clone(),
            one => vec![one.clone()],
        };
        let columns = described["columns"].as_array().into_iter().flatten();
        let form = columns
            .filter(|column| {
                column["name"]
                    == json!(
                        origin
                            .watermark
                            .as_ref()
                            .and_then(|watermark| watermark.columns.first())
                    )
            })
            .find_map(|column| column["form"].as_str());
        let settled = match (form, read.first().and_then(Value::as_str)) {
            (Some("local" | "utc"), Some(at)) => {
                let back = Some(Overlap::Seconds(self.options.wait.as_secs()));
                match Kind::Moment.start(&Bound::Text(at.to_owned()), back) {
                    Bound::Text(text) => Some(json!(text)),
                    _ => None,
                }
            }
            _ => None,
        };
        Frontier { read, settled }
    }
}

impl Run<'_> {
    /// Parts that differ, small enough to compare row by row, and how many were too large for that.
    async fn differing(&self, rows: u64) -> anyhow::Result<(Vec<Leaf>, u64)> {
        match self.prepared.parts {
            Parts::Ranges => self.ranges(rows).await,
            Parts::Buckets => self.buckets(rows).await,
        }
    }

    async fn ranges(&self, rows: u64) -> anyhow::Result<(Vec<Leaf>, u64)> {
        let leaf = LEAF_ROWS.min((CELLS / self.columns().len().max(1)) as u64).max(1);
        let mut size = (rows / FAN).clamp(leaf, ROWS_AT_ONCE);
        let mut ranges = vec![Range::default()];
        let mut unlisted = 0;
        loop {
            let mut differing = Vec::new();
            for range in ranges {
                let parts = self.cut(&range, size).await?;
                let at_once = ((ROWS_AT_ONCE / size).max(1) as usize).min(RANGES_AT_ONCE);
                for bunch in parts.chunks(at_once) {
                    differing.extend(self.compare_ranges(bunch).await?);
                }
            }
            if size == leaf {
                let leaves: Vec<Leaf> = differing
                    .into_iter()
                    .filter(|(_, warehouse)| {
                        let is_small = *warehouse <= WAREHOUSE_ROWS as u64;
                        unlisted += u64::from(!is_small);
                        is_small
                    })
                    .map(|(range, _)| Leaf::Range(range))
                    .collect();
                return Ok((leaves, unlisted));
            }
            ranges = differing.into_iter().map(|(range, _)| range).collect();
            size = (size / FAN).max(leaf);
            self.bar.more(ranges.len() as u64 * size * FAN);
        }
    }

    /// A range in parts of so many rows of the source.
    async fn cut(&self, range: &Range, rows: u64) -> anyhow::Result<Vec<Range>> {
        let mut parts: Vec<Range> = Vec::new();
        let mut after = range.after.clone();
        loop {
            let event = json!({ "do": "ranges", "rows": rows, "after": after, "last": range.last });
            let answer = self.invoke(event).await?;
            for part in answer["ranges"].as_array().into_iter().flatten() {
                parts.push(Range {
                    after: part["after"].clone(),
                    last: part["last"].clone(),
                });
            }
            if answer["finished"] != json!(false) {
                return Ok(parts);
            }
            after = parts.last().map(|part| part.last.clone()).unwrap_or_default();
        }
    }

    /// Those of these ranges that differ, with the rows that the warehouse has in them.
    async fn compare_ranges(&self, ranges: &[Range]) -> anyhow::Result<Vec<(Range, u64)>> {
        let (source, warehouse) =
            tokio::try_join!(self.source_sums(ranges), self.ask(self.warehouse().range_sums(ranges)))?;
        let found = self.by_part(&warehouse)?;
        let mut differing = Vec::new();
        for (number, (range, source)) in ranges.iter().zip(&source).enumerate() {
            let empty = Sums::default();
            let warehouse = found.get(&number.to_string()).unwrap_or(&empty);
            self.bar.advance(source.rows.max(1));
            if !source.agree(warehouse, self.columns()) {
                differing.push((range.clone(), warehouse.rows));
            }
        }
        Ok(differing)
    }

    /// The source's sums of each range; the function answers for as many as it has time for.
    async fn source_sums(&self, ranges: &[Range]) -> anyhow::Result<Vec<Sums>> {
        let mut sums: Vec<Sums> = Vec::new();
        while sums.len() < ranges.len() {
            let open: Vec<Value> = ranges[sums.len()..]
                .iter()
                .map(|range| json!({ "after": range.after, "last": range.last }))
                .collect();
            let event = json!({ "do": "checksums", "ranges": open, "columns": self.names() });
            let answer = self.invoke(event).await?;
            let before = sums.len();
            let told = answer["ranges"].as_array().into_iter().flatten();
            sums.extend(told.map(|told| Sums::of_source(told, self.columns())));
            anyhow::ensure!(
                sums.len() > before,
                "the function had no time to sum up a single range of {}",
                self.origin.name
            );
        }
        Ok(sums)
    }

    async fn buckets(&self, rows: u64) -> anyhow::Result<(Vec<Leaf>, u64)> {
        let leaf = LEAF_ROWS.min((CELLS / self.columns().len().max(1)) as u64).max(1);
        let digits = (0..3).find(|digits| rows <= leaf * 16_u64.pow(*digits)).unwrap_or(3) as usize;
        let event = json!({ "do": "checksums", "buckets": { "digits": digits }, "key": self.key_names(), "columns": self.names() });
        let (answer, warehouse) = tokio::try_join!(self.invoke(event), self.ask(self.warehouse().bucket_sums(digits)))?;
        let told = answer["buckets"].as_array().into_iter().flatten();
        let source: BTreeMap<String, Sums> = told
            .map(|told| {
                let name = told["bucket"].as_str().unwrap_or_default().to_owned();
                (name, Sums::of_source(told, self.columns()))
            })
            .collect();
        let warehouse = self.by_part(&warehouse)?;
        let names: BTreeSet<&String> = source.keys().chain(warehouse.keys()).collect();
        let (mut leaves, mut group, mut held, mut unlisted) = (Vec::new(), Vec::new(), 0, 0);
        let empty = Sums::default();
        for name in names {
            let (one, another) = (
                source.get(name).unwrap_or(&empty),
                warehouse.get(name).unwrap_or(&empty),
            );
            self.bar.advance(one.rows.max(1));
            if one.agree(another, self.columns()) {
                continue;
            }
            let rows = one.rows.max(another.rows);
            if rows > 10 * leaf || leaves.len() == BUCKET_READINGS {
                unlisted += 1;
                continue;
            }
            if held + rows > 10 * leaf && !group.is_empty() {
                leaves.push(Leaf::Buckets(std::mem::take(&mut group)));
                held = 0;
            }
            held += rows;
            group.push(name.clone());
        }
        if !group.is_empty() {
            leaves.push(Leaf::Buckets(group));
        }
        Ok((leaves, unlisted))
    }

    /// Compares parts row by row, and those that may hold rows on the way again until they hold none or the time is up.
    async fn settle(&self, leaves: Vec<Leaf>) -> anyhow::Result<Vec<(Leaf, Found)>> {
        let started = Instant::now();
        let mut done = Vec::new();
        let mut open = leaves;
        let mut pause = FIRST_PAUSE;
        let mut is_told = false;
        loop {
            let mut left = Vec::new();
            for leaf in open {
                let found = self.look(&leaf).await?;
                match found.is_open {
                    true => left.push((leaf, found)),
                    false => done.push((leaf, found)),
                }
            }
            let rest = self.verify.options.wait.saturating_sub(started.elapsed());
            if left.is_empty() || rest.is_zero() {
                done.extend(left);
                return Ok(done);
            }
            if !is_told {
                let rows: u64 = left.iter().map(|(_, found)| found.missing + found.different).sum();
                (self.verify.say)(&format!(
                    "{}: {rows} rows differ and may be on the way; looking again for up to {} s (--wait 0 does not wait)",
                    self.origin.name,
                    rest.as_secs()
                ));
                is_told = true;
            }
            tokio::time::sleep(pause.min(rest)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            open = left.into_iter().map(|(leaf, _)| leaf).collect();
        }
    }

    async fn look(&self, leaf: &Leaf) -> anyhow::Result<Found> {
        let (event, sql) = match leaf {
            Leaf::Range(range) => (
                json!({ "do": "keys", "range": { "after": range.after, "last": range.last } }),
                self.warehouse().range_rows(range, WAREHOUSE_ROWS),
            ),
            Leaf::Buckets(names) => {
                let digits = names.first().map_or(0, String::len);
                (
                    json!({ "do": "keys", "buckets": { "digits": digits, "only": names }, "key": self.key_names() }),
                    self.warehouse().bucket_rows(names, WAREHOUSE_ROWS),
                )
            }
        };
        let mut event = event;
        event["columns"] = json!(self.names());
        event["watermark"] = json!(self.origin.watermark.as_ref().map(|watermark| &watermark.columns));
        event["each"] = json!(true);
        // The warehouse first: what arrives between the two looks is then read twice and not missed.
        let warehouse = self.ask(sql).await?;
        let answer = self.invoke(event).await?;
        anyhow::ensure!(
            answer["full"] != json!(true),
            "{} has more rows in one part than an answer holds\n  hint: it has no key that both sides sort alike; compare it by hand",
            self.origin.name
        );
        let key = self.key_names();
        let names = if key.is_empty() { vec!["_row".to_owned()] } else { key };
        Ok(compare(
            Row::of_source(&answer, self.columns()),
            Row::of_warehouse(&warehouse, names.len()),
            &names,
            self.columns(),
            &self.frontier,
            self.verify.options.limit,
        ))
    }

    fn by_part(&self, answer: &ResultSet) -> anyhow::Result<BTreeMap<String, Sums>> {
        let rows = answer.iter().map(|row| {
            let (part, sums) = Sums::of_warehouse(row, self.columns())?;
            anyhow::Ok((part.to_owned(), sums))
        });
        rows.collect()
    }

    fn columns(&self) -> &[Compared] {
        &self.prepared.columns
    }

    fn names(&self) -> Vec<&str> {
        self.columns().iter().map(|column| column.source.as_str()).collect()
    }

    fn key_names(&self) -> Vec<String> {
        self.prepared.key.iter().map(|key| key.source.clone()).collect()
    }

    fn warehouse(&self) -> Warehouse<'_> {
        Warehouse {
            table: &self.name,
            key: &self.prepared.key,
            columns: &self.prepared.columns,
        }
    }

    async fn invoke(&self, event: Value) -> anyhow::Result<Value> {
        self.function
            .invoke(&of_table(event, self.origin), self.verify.say)
            .await
    }

    /// A statement as the role that moves rows: it may read the tables and use the warehouse.
    async fn ask(&self, sql: String) -> anyhow::Result<ResultSet> {
        let role = self.verify.model.names.snowflake("LOADER");
        let statement = Statement::new(sql)
            .role(role)
            .warehouse(self.verify.target.warehouse.last());
        Ok(self.verify.client.execute(statement).await?)
    }
}

fn of_table(mut event: Value, origin: &MysqlTable) -> Value {
    event["schema"] = json!(origin.name.schema);
    event["table"] = json!(origin.name.table);
    event
}
