//! The handler `extract`: rows of a MySQL table into a stream, as far as a watermark says, or into files.
//!
//! | event | does |
//! |---|---|
//! | `extract` | sends every row since the table's watermark to Kinesis, then moves the watermark |
//! | `backfill` | writes the rows of a key range to the curated bucket, a file per chunk |
//! | `describe` | columns, key, clock and number of rows of a table |
//! | `ranges` | cuts a table, or a part of it, into key ranges of so many rows |
//! | `checksums` | counts and checksums by column of key ranges, or of buckets |
//! | `audit` | looks whether the binlog can be read: settings, rights of the user, tables and their keys |
//! | `keys` | keys and hashes of the rows of one key range, or of buckets |
//!
//! The rights it needs: `secretsmanager:GetSecretValue` on the secret; `ssm:GetParameter` and `ssm:PutParameter` on the
//! watermarks; `kinesis:PutRecords` on the stream; `s3:PutObject` on the curated bucket's data and error prefixes; in
//! the database SELECT on the tables.

mod backfill;
mod buckets;
mod compare;
pub mod describe;
pub(super) mod encode;
mod lines;
mod pass;
pub(super) mod record;
pub(super) mod sink;
pub mod state;
pub(super) mod statement;
pub(super) mod table;
pub mod watermark;

use std::sync::Arc;

use anyhow::{Context as _, bail};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use tokio::time::timeout_at;

use super::aws;
use super::binlog::audit::{self, Wanted};
use super::deadline::Deadline;
use super::kinesis::Stream;
use super::mysql::{Connection, Database, MysqlError, Value};
use super::settings::Settings;
use super::store::Store;
use super::{Handler, log::Line};
use record::Reading;
use state::States;
use table::Table;
use watermark::Overlap;

pub use lines::{LocalTable, write_lines};

/// A record larger than this does not go through the stream: Firehose takes 1,000 KiB
/// (<https://docs.aws.amazon.com/firehose/latest/dev/limits.html>), less than a stream can be set to.
const RECORD_MAX: u64 = 1000 << 10;
/// A record larger than this cannot be loaded: a VARIANT holds 16 MiB
/// (<https://docs.snowflake.com/en/sql-reference/data-types-semistructured>; newer accounts hold more).
const LOADABLE_MAX: u64 = 16 << 20;

/// What the function is asked.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
enum Event {
    Extract(Job),
    Backfill(backfill::Job),
    Describe(describe::Job),
    Ranges(compare::RangesJob),
    Checksums(compare::ChecksumsJob),
    Keys(compare::KeysJob),
    Audit(AuditJob),
}

/// Tables that a reader of the binlog is to read.
#[derive(Debug, Deserialize)]
struct AuditJob {
    tables: Vec<Wanted>,
}

/// A table to extract.
#[derive(Debug, Deserialize)]
pub struct Job {
    pub schema: String,
    pub table: String,
    pub watermark: Vec<String>,
    #[serde(default)]
    pub overlap: Option<Overlap>,
}

/// The handler.
struct Extract {
    database: Database,
    stream: Option<Stream>,
    store: Arc<Store>,
    states: Option<States>,
    bucket: String,
    data: String,
    errors: String,
    record_max: usize,
    loadable_max: usize,
}

/// Makes the handler. The database is connected to by each invocation: between two it would wait for nobody.
pub fn start(settings: Settings) -> BoxFuture<'static, anyhow::Result<Arc<dyn Handler>>> {
    async move {
        let config = aws::load().await;
        let stream = settings.optional("PIPECTL_STREAM");
        let watermarks = settings.optional("PIPECTL_WATERMARKS");
        let handler = Extract {
            database: Database::from_settings(&settings, &config)?,
            stream: stream.map(|arn| Stream::new(aws_sdk_kinesis::Client::new(&config), arn)),
            store: Store::new(aws::s3(&config, &settings)),
            states: watermarks.map(|prefix| States::new(aws_sdk_ssm::Client::new(&config), prefix)),
            bucket: settings.required("PIPECTL_CURATED_BUCKET")?.to_owned(),
            data: settings.prefix("PIPECTL_CURATED_PREFIX", "data/")?,
            errors: settings.prefix("PIPECTL_ERROR_PREFIX", "errors/")?,
            record_max: settings.number("PIPECTL_RECORD_MAX", RECORD_MAX)? as usize,
            loadable_max: settings.number("PIPECTL_LOADABLE_MAX", LOADABLE_MAX)? as usize,
        };
        Ok(Arc::new(handler) as Arc<dyn Handler>)
    }
    .boxed()
}

impl Handler for Extract {
    fn handle(self: Arc<Self>, event: Json, deadline: Deadline) -> BoxFuture<'static, anyhow::Result<Json>> {
        async move {
            let event: Event = serde_json::from_value(event).context("the event")?;
            // A reading of the tables' columns could hang with the database; the passes have their own limits.
            let work = async {
                match event {
                    Event::Extract(job) => self.extract(&job, deadline).await,
                    Event::Backfill(job) => self.backfill(&job, deadline).await,
                    Event::Describe(job) => self.describe(&job).await,
                    Event::Ranges(job) => self.ranges(&job, deadline).await,
                    Event::Checksums(job) => self.checksums(&job, deadline).await,
                    Event::Keys(job) => self.keys(&job).await,
                    Event::Audit(job) => self.audit(&job).await,
                }
            };
            timeout_at(deadline.end, work)
                .await
                .unwrap_or_else(|_| bail!("the database or AWS did not answer before the function's time limit"))
        }
        .boxed()
    }
}

impl Extract {
    async fn audit(&self, job: &AuditJob) -> anyhow::Result<Json> {
        let mut connection = self.database.connect().await?;
        let findings = audit::findings(&mut connection, &job.tables).await?;
        Ok(json!({ "findings": findings }))
    }

    /// A connection, and the table as it is now.
    async fn open(&self, schema: &str, name: &str) -> anyhow::Result<(Connection, Table)> {
        let mut connection = self.database.connect().await?;
        let table = Table::describe(&mut connection, schema, name).await?;
        let table = table.with_context(|| {
            format!(
                "the table {schema}.{name} does not exist, or the user may not read it: check `from`, or GRANT SELECT"
            )
        })?;
        Ok((connection, table))
    }
}

/// Opens a consistent snapshot and says when that was. Transactions that commit later are not in it.
async fn snapshot(connection: &mut Connection, not_before: u64) -> anyhow::Result<Reading> {
    // The clock first: what is in the snapshot was committed no earlier than it says.
    let clock = connection
        .single("SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS UNSIGNED)", &[])
        .await?;
    let clock: u64 = clock
        .as_deref()
        .unwrap_or_default()
        .parse()
        .context("the database's clock")?;
    connection
        .execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        .await?;
    // A replica that took over may be behind; later readings must have later numbers all the same.
    Ok(Reading(clock.max(not_before)))
}

/// The first cell of the first row as a value to bind; `None` when there is no row, or NULL.
async fn first_value(connection: &mut Connection, text: &str, values: &[Value]) -> anyhow::Result<Option<Value>> {
    let mut rows = connection.query(text, values).await?;
    let plan = encode::Plan::new(&rows.columns, |_| false);
    let mut first = None;
    let mut is_first = true;
    while let Some(packet) = rows.next().await? {
        if is_first {
            first = plan.values(packet, &[0])?.into_iter().next().flatten();
            is_first = false;
        }
    }
    Ok(first)
}

/// The columns of these names.
fn named(table: &Table, names: &[String]) -> anyhow::Result<Vec<usize>> {
    let find = |name: &String| {
        table.column(name).with_context(|| {
            let known: Vec<&str> = table.fields.iter().map(|field| field.name.as_str()).collect();
            format!("{} has no column `{name}`; it has: {}", table.title(), known.join(", "))
        })
    };
    names.iter().map(find).collect()
}

/// An error that says which table it is about.
fn about(table: &Table) -> impl Fn(MysqlError) -> anyhow::Error + use<> {
    let title = table.title();
    move |error| anyhow::Error::new(error).context(format!("reading {title}"))
}

/// A warning about a table.
fn warn(table: &Table, action: &'static str, detail: impl Into<String>) {
    Line::warn(action).key(&table.title()).detail(detail).write();
}
