//! Large loads straight into files: the rows of a key range, a file a chunk.

use std::io::Write as _;

use anyhow::{Context as _, anyhow, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::record::{Reading, Recorder, fnv};
use super::statement::{Edge, Limit, Select};
use super::table::Table;
use super::watermark::{self, list_from_json};
use super::{Extract, about, named, snapshot};
use crate::runtime::deadline::Deadline;
use crate::runtime::log::Line;
use crate::runtime::mysql::{Connection, Value};
use crate::runtime::store::Place;

/// Rows of a chunk when the event does not say.
const CHUNK_ROWS: u64 = 50_000;
/// A chunk ends when its file has this many bytes, whatever its rows.
const FILE_MAX: usize = 16 << 20;

/// A range to write.
#[derive(Debug, Deserialize)]
pub struct Job {
    pub schema: String,
    pub table: String,
    /// What the range is by; the primary key when empty.
    #[serde(default)]
    pub key: Vec<String>,
    /// The lowest value of its first column.
    #[serde(default)]
    pub from: Json,
    /// The first value of its first column that is not among them.
    #[serde(default)]
    pub to: Json,
    #[serde(default)]
    pub chunk_rows: Option<u64>,
    /// The row behind which it goes on: `last` of the answer before.
    #[serde(default)]
    pub after: Json,
    /// The most chunks of this invocation.
    #[serde(default)]
    pub chunks: Option<u64>,
    /// Part of the files' names. Snowpipe loads a name once, so to load a range again takes another run.
    /// <https://docs.snowflake.com/en/user-guide/data-load-snowpipe-intro#load-history>
    #[serde(default)]
    pub run: String,
}

/// The order of a range.
pub struct Order {
    pub columns: Vec<usize>,
}

impl Order {
    /// By the key, or by the columns given and then the key. Every row must have one place in it.
    pub fn new(table: &Table, key: &[String]) -> anyhow::Result<Self> {
        if table.key.is_empty() {
            bail!(
                "{} has no primary key and no unique key without NULL, so its rows have no order to go by; add one",
                table.title()
            );
        }
        let columns = table.order_by(&named(table, key)?);
        if let Some(nullable) = columns
            .iter()
            .map(|column| &table.fields[*column])
            .find(|field| field.nullable)
        {
            bail!(
                "{}: `{}` may be NULL, so ranges by it would leave rows out",
                table.title(),
                nullable.name
            );
        }
        Ok(Self { columns })
    }
}

/// A value of an event, which may be null; a list stands for several columns.
pub fn bound(json: &Json) -> anyhow::Result<Option<Vec<Value>>> {
    if json.is_null() {
        return Ok(None);
    }
    list_from_json(json)
        .map(Some)
        .map_err(|reason| anyhow!("the event: {reason}"))
}

/// A chunk that was written.
struct Chunk {
    rows: u64,
    last: Vec<Json>,
    /// Whether there may be more rows.
    more: bool,
}

impl Extract {
    /// Writes chunks until the range or the time is at its end.
    pub(super) async fn backfill(&self, job: &Job, deadline: Deadline) -> anyhow::Result<Json> {
        let (mut connection, table) = self.open(&job.schema, &job.table).await?;
        let order = Order::new(&table, &job.key)?;
        let reading = snapshot(&mut connection, 0).await?;
        let (mut rows, mut last) = (0, job.after.clone());
        let mut chunks = 0;
        loop {
            chunks += 1;
            let chunk = self
                .chunk(&mut connection, &table, &order, job, &last, Reading(reading.0))
                .await?;
            if let Some(chunk) = &chunk {
                rows += chunk.rows;
                last = Json::Array(chunk.last.clone());
            }
            let finished = chunk.is_none_or(|chunk| !chunk.more);
            if finished || job.chunks.is_some_and(|most| chunks >= most) || !deadline.may_start() {
                return Ok(json!({"rows": rows, "last": last, "finished": finished}));
            }
        }
    }

    /// Writes the chunk behind `after`. Its name comes from where it begins, so that writing it again replaces it.
    async fn chunk(
        &self,
        connection: &mut Connection,
        table: &Table,
        order: &Order,
        job: &Job,
        after: &Json,
        reading: Reading,
    ) -> anyhow::Result<Option<Chunk>> {
        let limit = job.chunk_rows.unwrap_or(CHUNK_ROWS).max(1);
        let first = |json: &Json| anyhow::Ok(bound(json)?.and_then(|values| values.into_iter().next()));
        let (text, values) = Select {
            from: first(&job.from)?,
            to: first(&job.to)?.map(Limit::Excluding),
            after: bound(after)?.map(|after| (after, Edge::Excluded)),
            rows: Some(limit),
            ..Select::all(table, &order.columns)
        }
        .build();
        let mut rows = connection.query(&text, &values).await.map_err(about(table))?;
        let mut recorder = Recorder::new(table, &rows.columns, &[], reading);
        let mut file = GzEncoder::new(Vec::new(), Compression::fast());
        let mut last = Vec::new();
        let (mut full, mut plain) = (false, 0);
        while let Some(packet) = rows.next().await.map_err(about(table))? {
            // Rows behind a full file are read to the statement's end, and come again in the next chunk.
            if full {
                continue;
            }
            recorder.record(packet)?;
            file.write_all(&recorder.line)?;
            plain += recorder.line.len() as u64;
            full = file.get_ref().len() >= FILE_MAX;
            last = recorder.plan.values(packet, &order.columns)?;
        }
        let count = recorder.number();
        if count == 0 {
            return Ok(None);
        }
        let last: Option<Vec<Value>> = last.into_iter().collect();
        let last = last.context("a key is NULL")?.iter().map(watermark::to_json).collect();
        let begins = json!([job.run, job.key, job.from, job.to, after]).to_string();
        let title = table.title();
        let key = format!("{}{title}/backfill/{:016x}.jsonl.gz", self.data, fnv(begins.as_bytes()));
        let place = Place::new(&self.bucket, &key);
        self.store.put(&place, "application/gzip", file.finish()?).await?;
        Line::info("backfilled")
            .key(&title)
            .target(&key)
            .moved(Some(count), plain)
            .write();
        let more = full || count == limit;
        Ok(Some(Chunk {
            rows: count,
            last,
            more,
        }))
    }
}
