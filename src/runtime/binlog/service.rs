//! The loop: read, encode, send, and note what was acknowledged.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};

use super::charset::Charsets;
use super::checkpoint::{Checkpoint, Snapshot, State, generation};
use super::gtid::Executed;
use super::heartbeat::Heart;
use super::lease::Lease;
use super::query::{Change, Name};
use super::reader::{Item, Reader};
use super::sending::Sending;
use super::{layout, server, snapshot};
use crate::runtime::aws;
use crate::runtime::extract::sink::{Aside, Sink};
use crate::runtime::extract::table::Table;
use crate::runtime::kinesis::Stream;
use crate::runtime::log::Line;
use crate::runtime::mysql::{Connection, Database, MysqlError, Start};
use crate::runtime::settings::Settings;
use crate::runtime::store::Store;

/// What is not full is sent when nothing has come for this long.
const QUIET: Duration = Duration::from_millis(100);
/// Between two looks for tables that were not there.
const LOOKED: Duration = Duration::from_secs(5);
/// Between two writings of the checkpoint.
const NOTED: Duration = Duration::from_secs(3);
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Firehose takes 1,000 KiB (<https://docs.aws.amazon.com/firehose/latest/dev/limits.html>).
const RECORD_MAX: u64 = 1000 << 10;
/// A VARIANT holds 16 MiB (<https://docs.snowflake.com/en/sql-reference/data-types-semistructured>).
const LOADABLE_MAX: u64 = 16 << 20;
/// Rows of a snapshot's chunk.
const CHUNK_ROWS: u64 = 2000;

/// A table of the settings.
#[derive(Debug, Clone, Deserialize)]
struct Wanted {
    schema: String,
    table: String,
}

/// What the service needs.
struct Service {
    database: Database,
    stream: Stream,
    store: Arc<Store>,
    bucket: String,
    data: String,
    errors: String,
    record_max: usize,
    loadable_max: usize,
    chunk_rows: u64,
    server_id: Option<u32>,
    tables: Vec<Wanted>,
    checkpoint: Checkpoint,
}

/// Runs until the lease is lost or the process is told to end.
pub async fn main(settings: Settings) -> anyhow::Result<()> {
    let config = aws::load().await;
    let tables = settings.required("PIPECTL_TABLES")?;
    let tables = serde_json::from_str(tables)
        .context("the setting PIPECTL_TABLES must be a JSON list of {\"schema\":…,\"table\":…}")?;
    let server_id = match settings.optional("PIPECTL_SERVER_ID") {
        Some(_) => Some(u32::try_from(settings.number("PIPECTL_SERVER_ID", 1)?).context("PIPECTL_SERVER_ID")?),
        None => None,
    };
    let ssm = aws_sdk_ssm::Client::new(&config);
    let prefix = settings.prefix_of_parameters("PIPECTL_CHECKPOINT")?;
    let service = Service {
        database: Database::from_settings(&settings, &config)?,
        stream: Stream::new(
            aws_sdk_kinesis::Client::new(&config),
            settings.required("PIPECTL_STREAM")?,
        ),
        store: Store::new(aws::s3(&config, &settings)),
        bucket: settings.required("PIPECTL_CURATED_BUCKET")?.to_owned(),
        data: settings.prefix("PIPECTL_CURATED_PREFIX", "data/")?,
        errors: settings.prefix("PIPECTL_ERROR_PREFIX", "errors/")?,
        record_max: settings.number("PIPECTL_RECORD_MAX", RECORD_MAX)? as usize,
        loadable_max: settings.number("PIPECTL_LOADABLE_MAX", LOADABLE_MAX)? as usize,
        chunk_rows: settings.number("PIPECTL_CHUNK_ROWS", CHUNK_ROWS)?,
        server_id,
        tables,
        checkpoint: Checkpoint::new(ssm.clone(), &prefix),
    };
    let mut lease = Lease::take(&ssm, &prefix).await?;
    let heart = Heart {
        database: &service.database,
        checkpoint: &service.checkpoint,
    };
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        never = service.run() => match never {},
        lost = lease.keep() => return Err(lost),
        still = heart.beat() => return Err(still),
        _ = terminate.recv() => {}
    }
    lease.release().await;
    Ok(())
}

/// Why a session ended that did not fail.
enum End {
    /// Something must be read anew.
    Again,
}

impl Service {
    /// One session after the other, with pauses that grow while none comes any further.
    async fn run(&self) -> std::convert::Infallible {
        let mut wait = FIRST_WAIT;
        loop {
            let started = Instant::now();
            match self.session().await {
                Ok(End::Again) => wait = FIRST_WAIT,
                Err(error) => {
                    if started.elapsed() > LONGEST_WAIT {
                        wait = FIRST_WAIT;
                    }
                    Line::error("session").detail(format!("{error:#}")).write();
                    sleep(wait.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    /// Reads snapshots that are missing, then the binlog.
    async fn session(&self) -> anyhow::Result<End> {
        let mut connection = self.database.connect().await?;
        server::check(&mut connection).await?;
        server::advise(&mut connection).await?;
        let identity = server::identity(&mut connection).await?;
        let mut state = match self.checkpoint.read().await? {
            Some(state) => state,
            None => self.begin(&mut connection, &identity, generation(None)).await?,
        };
        let mut start = None;
        if state.server != identity {
            start = self.other_server(&mut connection, &identity, &mut state).await?;
        }
        if start.is_none() {
            self.snapshots(&mut connection, &mut state).await?;
            let offset = u32::try_from(state.position);
            let Ok(offset) = offset else {
                return self
                    .anew(
                        &mut connection,
                        &identity,
                        &state,
                        "its position is beyond 4 GiB of a file",
                    )
                    .await;
            };
            start = Some(Start::Position {
                file: state.file.clone(),
                offset,
            });
        }
        let start = start.context("no position to start from")?;
        match self.follow(&mut connection, &mut state, &start).await {
            Err(error)
                if error
                    .downcast_ref::<MysqlError>()
                    .is_some_and(MysqlError::is_purged_binlog) =>
            {
                let reason = format!("{error:#}");
                self.anew(&mut connection, &identity, &state, &reason).await
            }
            other => other,
        }
    }

    /// The state before anything was read.
    async fn begin(&self, connection: &mut Connection, identity: &str, generation: u32) -> anyhow::Result<State> {
        let executed = server::executed(connection).await?;
        let position = server::position(connection).await?;
        let mut state = State {
            generation,
            server: identity.to_owned(),
            file: position.file,
            position: position.offset,
            gtid: executed.map(|executed| executed.to_string()),
            at: 0,
            tables: Vec::new(),
            stopped: Default::default(),
            snapshot: None,
        };
        self.checkpoint.write(&mut state).await?;
        Ok(state)
    }

    /// Begins a new generation: every table is read again, and what is gone since is deleted by that.
    async fn anew(
        &self,
        connection: &mut Connection,
        identity: &str,
        state: &State,
        reason: &str,
    ) -> anyhow::Result<End> {
        let detail = format!(
            "changes since {} cannot be read ({reason}); every table is read anew",
            state.file
        );
        Line::error("binlog lost")
            .key(&self.checkpoint.name)
            .detail(detail)
            .write();
        let mut new = self
            .begin(connection, identity, generation(Some(state.generation)))
            .await?;
        new.stopped.clone_from(&state.stopped);
        self.checkpoint.write(&mut new).await?;
        Ok(End::Again)
    }

    /// Another server answers: it goes on by names of transactions where there are any, else everything is read anew.
    async fn other_server(
        &self,
        connection: &mut Connection,
        identity: &str,
        state: &mut State,
    ) -> anyhow::Result<Option<Start>> {
        let known = state.gtid.as_deref();
        let executed = known.and_then(|text| Executed::read(text, connection.is_mariadb()));
        let complete = state.snapshot.is_none() && self.tables.iter().all(|table| state.tables.contains(&title(table)));
        let here = server::executed(connection).await?;
        let detail = format!("{} answers instead of {}", identity, state.server);
        Line::warn("another server")
            .key(&self.checkpoint.name)
            .detail(detail)
            .write();
        match (executed, here, complete) {
            (Some(executed), Some(_), true) => {
                state.generation = generation(Some(state.generation));
                identity.clone_into(&mut state.server);
                Ok(Some(match &executed {
                    Executed::MySql(_) => Start::MySqlGtids(executed.encoded()),
                    Executed::MariaDb(_) => Start::MariaDbGtids(executed.to_string()),
                }))
            }
            _ => {
                self.anew(
                    connection,
                    identity,
                    state,
                    "the server is another one, and no GTID says where to go on",
                )
                .await?;
                *state = self.checkpoint.read().await?.context("the checkpoint is gone")?;
                Ok(None)
            }
        }
    }

    /// Reads every table that was not read yet.
    async fn snapshots(&self, connection: &mut Connection, state: &mut State) -> anyhow::Result<()> {
        let names: HashSet<String> = self.tables.iter().map(title).collect();
        state.tables.retain(|table| names.contains(table));
        // Locking reads lock rows only, not the gaps between them.
        connection
            .execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            .await?;
        for wanted in &self.tables {
            let title = title(wanted);
            if state.tables.contains(&title) || state.stopped.contains_key(&title) {
                continue;
            }
            match self.read_table(connection, state, wanted).await {
                Ok(()) => {}
                Err(error)
                    if error.downcast_ref::<MysqlError>().is_none() && error.downcast_ref::<Stop>().is_some() =>
                {
                    self.stop(state, &title, &error.to_string());
                }
                Err(error) => return Err(error.context(format!("the snapshot of {title}"))),
            }
            self.checkpoint.write(state).await?;
        }
        Ok(())
    }

    async fn read_table(&self, connection: &mut Connection, state: &mut State, wanted: &Wanted) -> anyhow::Result<()> {
        let (title, started) = (title(wanted), Instant::now());
        let table = Table::describe(connection, &wanted.schema, &wanted.table).await?;
        let Some(table) = table else {
            let detail =
                "it does not exist, or the user may not read it (GRANT SELECT); it is read as soon as it is there";
            Line::warn("table absent").key(&title).detail(detail).write();
            return Ok(());
        };
        if table.key.is_empty() {
            bail!(Stop(
                "it has no primary key and no unique key without NULL, so changes cannot name their row; add a primary key".to_owned()
            ));
        }
        let mut under_way = match state.snapshot.take() {
            Some(snapshot) if snapshot.table == title => snapshot,
            _ => {
                let position = server::position(connection).await?;
                Snapshot {
                    table: title.clone(),
                    seq: snapshot::seq(state.generation, &position)?,
                    after: None,
                }
            }
        };
        let mut sending = self.sending();
        loop {
            let (generation, rows) = (state.generation, self.chunk_rows);
            if snapshot::chunk(connection, &mut sending, generation, &table, &mut under_way, rows).await? {
                break;
            }
            state.snapshot = Some(under_way.clone());
            self.checkpoint.write(state).await?;
        }
        state.snapshot = None;
        state.tables.push(title.clone());
        let rows = sending.rows();
        Line::info("snapshot")
            .key(&title)
            .moved(Some(rows), 0)
            .took(started.elapsed())
            .write();
        Ok(())
    }

    fn sending(&self) -> Sending<'_> {
        let aside = Aside {
            store: &self.store,
            bucket: &self.bucket,
            data: &self.data,
            errors: &self.errors,
            loadable_max: self.loadable_max,
        };
        // Records wait for the stream as long as it takes.
        let patience = Instant::now() + Duration::from_secs(10 * 365 * 86_400);
        Sending {
            sink: Sink::new(&self.stream, patience),
            aside,
            record_max: self.record_max,
            mark: None,
        }
    }

    /// Passes a table over from now on.
    fn stop(&self, state: &mut State, title: &str, reason: &str) {
        let next = format!(
            "{title} is passed over: {reason}. Its rows in the warehouse stay as they are. When that is settled, remove the table from `stopped` in the parameter {} and restart the service; it is read anew then",
            self.checkpoint.name
        );
        Line::error("table stopped").key(title).detail(next).write();
        state.tables.retain(|table| table != title);
        state.stopped.insert(title.to_owned(), reason.to_owned());
    }

    /// Reads the binlog until something must be read anew.
    async fn follow(&self, connection: &mut Connection, state: &mut State, start: &Start) -> anyhow::Result<End> {
        let checksums = server::has_checksums(connection).await?;
        let number = match self.server_id {
            Some(number) => number,
            None => server::replica_number(connection).await,
        };
        let mut charsets = Charsets::ask(connection).await?;
        let mariadb = connection.is_mariadb();
        let mut executed = state.gtid.as_deref().and_then(|text| Executed::read(text, mariadb));
        let wanted = self.tables.iter().filter(|table| state.tables.contains(&title(table)));
        let wanted = wanted
            .map(|table| (table.schema.clone(), table.table.clone()))
            .collect();
        let mut reader = Reader::new(wanted, state.generation, checksums);
        let mut dump = self.database.connect().await?.dump(start, number).await?;
        let mut sending = self.sending();
        let (mut noted, mut looked) = (Instant::now(), Instant::now());
        Line::info("reading")
            .key(&self.checkpoint.name)
            .detail(format!("from {start:?} as replica {number}"))
            .write();
        let mut again = false;
        loop {
            if looked.elapsed() >= LOOKED {
                again |= self.has_come(connection, state).await?;
                looked = Instant::now();
            }
            if again || noted.elapsed() >= NOTED {
                if again || !dump.is_ready() {
                    sending.finish().await?;
                }
                sending.sink.look().await?;
                self.note(state, &mut sending).await?;
                noted = Instant::now();
                if again {
                    return Ok(End::Again);
                }
            }
            let part = if dump.is_ready() {
                dump.next().await?
            } else {
                match timeout(QUIET, dump.next()).await {
                    Ok(part) => part?,
                    Err(_) => {
                        sending.flush().await?;
                        continue;
                    }
                }
            };
            reader.take(&part)?;
            while let Some(item) = reader.next(&part)? {
                match item {
                    Item::Record => {
                        sending
                            .push(&reader.title, &reader.seq, &reader.spread, &reader.line)
                            .await?;
                    }
                    Item::End => sending.end(&reader, &mut executed),
                    Item::Prepared => {
                        let detail = "an XA transaction was prepared; its rows count as committed, also if it is rolled back later";
                        Line::error("xa").detail(detail).write();
                        sending.end(&reader, &mut executed);
                    }
                    Item::Statement { change } => {
                        again |= self.changed(state, &mut reader, &mut sending, change).await?;
                        sending.end(&reader, &mut executed);
                    }
                    Item::NotWhole { title } => {
                        let reason = "the server logs parts of its rows only; set binlog_row_image=FULL";
                        self.stop_reading(state, &mut reader, &title, reason);
                    }
                    Item::Unknown { number, map } => {
                        if let Err(error) = connection.execute("DO 0").await {
                            Line::warn("reconnect").detail(format!("{error:#}")).write();
                            *connection = self.database.connect().await?;
                        }
                        match layout::describe(connection, &mut charsets, &map).await? {
                            Ok(layout) => reader.learn(number, Some(Arc::new(layout))),
                            Err(reason) => {
                                let title = format!("{}.{}", map.schema, map.table);
                                self.stop_reading(state, &mut reader, &title, &reason);
                            }
                        }
                    }
                }
            }
        }
    }

    /// Whether a table is there now that was not when snapshots were taken.
    async fn has_come(&self, connection: &mut Connection, state: &State) -> anyhow::Result<bool> {
        let is_read = |name: &String| state.tables.contains(name) || state.stopped.contains_key(name);
        for wanted in self.tables.iter().filter(|table| !is_read(&title(table))) {
            if Table::describe(connection, &wanted.schema, &wanted.table)
                .await?
                .is_some()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writes how far everything is acknowledged, if that has changed.
    async fn note(&self, state: &mut State, sending: &mut Sending<'_>) -> anyhow::Result<()> {
        let mut mark = sending.sink.acknowledged.take().flatten();
        if sending.sink.is_empty() {
            mark = sending.mark.clone();
        }
        let Some(mark) = mark else { return Ok(()) };
        if (&mark.position.file, mark.position.offset) == (&state.file, state.position) {
            return Ok(());
        }
        state.file.clone_from(&mark.position.file);
        state.position = mark.position.offset;
        state.gtid = mark.executed;
        self.checkpoint.write(state).await
    }

    fn stop_reading(&self, state: &mut State, reader: &mut Reader, title: &str, reason: &str) {
        self.stop(state, title, reason);
        if let Some((schema, table)) = title.split_once('.') {
            reader.drop_table(schema, table);
        }
    }

    /// What a statement does to the tables. True when one of them must be read anew.
    async fn changed(
        &self,
        state: &mut State,
        reader: &mut Reader,
        sending: &mut Sending<'_>,
        change: Change,
    ) -> anyhow::Result<bool> {
        let is_wanted =
            |reader: &Reader, name: &Name| reader.wanted().contains(&(name.schema.clone(), name.table.clone()));
        let emptied: Vec<Name> = match change {
            Change::Emptied(names) => names.into_iter().filter(|name| is_wanted(reader, name)).collect(),
            Change::SchemaDropped(schema) => {
                let tables = reader.wanted().iter().filter(|(wanted, _)| *wanted == schema);
                let name = |(schema, table): &(String, String)| Name {
                    schema: schema.clone(),
                    table: table.clone(),
                };
                tables.map(name).collect()
            }
            Change::Altered { table, reason } => {
                if let (true, Some(reason)) = (is_wanted(reader, &table), reason) {
                    let title = format!("{}.{}", table.schema, table.table);
                    self.stop_reading(state, reader, &title, &reason);
                }
                return Ok(false);
            }
            Change::Renamed(pairs) => {
                let mut again = false;
                for (from, to) in &pairs {
                    if is_wanted(reader, from) && !pairs.iter().any(|(_, to)| to == from) {
                        let title = format!("{}.{}", from.schema, from.table);
                        let reason = format!("it was renamed to {}.{}", to.schema, to.table);
                        self.stop_reading(state, reader, &title, &reason);
                    }
                    let configured = |table: &Wanted| table.schema == to.schema && table.table == to.table;
                    if self.tables.iter().any(configured) {
                        let title = format!("{}.{}", to.schema, to.table);
                        let detail = format!("{}.{} took its place; it is read anew", from.schema, from.table);
                        Line::warn("table replaced").key(&title).detail(detail).write();
                        state.tables.retain(|table| *table != title);
                        again = true;
                    }
                }
                return Ok(again);
            }
        };
        for name in emptied {
            reader.emptied(&name.schema, &name.table);
            sending
                .push(&reader.title, &reader.seq, &reader.spread, &reader.line)
                .await?;
        }
        Ok(false)
    }
}

/// A reason to pass a table over.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Stop(String);

fn title(wanted: &Wanted) -> String {
    format!("{}.{}", wanted.schema, wanted.table)
}
