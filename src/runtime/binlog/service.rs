//! The service's sessions: where each begins, and what is done when it cannot go on.

mod follow;
mod snapshots;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep};

use super::audit::{self, Wanted};
use super::checkpoint::{Checkpoint, State, generation};
use super::gtid::Executed;
use super::heartbeat::Heart;
use super::key;
use super::lease::Lease;
use super::sending::Sending;
use super::server;
use crate::runtime::aws;
use crate::runtime::extract::sink::{Aside, Sink};
use crate::runtime::kinesis::Stream;
use crate::runtime::log::Line;
use crate::runtime::mysql::{Connection, Database, MysqlError, Start};
use crate::runtime::settings::Settings;
use crate::runtime::store::Store;

/// The first pause behind a session that failed; each further one is twice as long, up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Firehose takes 1,000 KiB (<https://docs.aws.amazon.com/firehose/latest/dev/limits.html>).
const RECORD_MAX: u64 = 1000 << 10;
/// A VARIANT holds 16 MiB (<https://docs.snowflake.com/en/sql-reference/data-types-semistructured>).
const LOADABLE_MAX: u64 = 16 << 20;
/// Rows of a snapshot's chunk.
const CHUNK_ROWS: u64 = 2000;

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

/// A session ended because something must be read anew.
struct Again;

impl Service {
    /// One session after the other, with pauses that grow while none comes any further.
    async fn run(&self) -> std::convert::Infallible {
        let mut wait = FIRST_WAIT;
        loop {
            let started = Instant::now();
            match self.session().await {
                Ok(Again) => wait = FIRST_WAIT,
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
    async fn session(&self) -> anyhow::Result<Again> {
        let mut connection = self.database.connect().await?;
        audit::check(&mut connection).await?;
        let identity = server::identity(&mut connection).await?;
        let mut state = match self.checkpoint.read().await? {
            Some(state) => state,
            None => self.begin(&mut connection, &identity, generation(None)).await?,
        };
        self.take_up(&mut connection, &mut state).await?;
        let mut start = None;
        if state.server != identity {
            start = self.other_server(&mut connection, &identity, &mut state).await?;
        }
        let start = match start {
            Some(start) => start,
            None => {
                self.snapshots(&mut connection, &mut state).await?;
                match u32::try_from(state.position) {
                    Ok(offset) => Start::Position {
                        file: state.file.clone(),
                        offset,
                    },
                    Err(_) => {
                        let reason = "its position is beyond 4 GiB of a file";
                        return self.anew(&mut connection, &identity, &state, reason).await;
                    }
                }
            }
        };
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
            altered: Default::default(),
            snapshot: None,
            asked: 0,
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
    ) -> anyhow::Result<Again> {
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
        new.asked = state.asked;
        self.checkpoint.write(&mut new).await?;
        Ok(Again)
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
                // Noted before anything is sent, so that no two servers share one.
                state.generation = generation(Some(state.generation));
                state.altered.clear();
                self.checkpoint.write(state).await?;
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
            executed: None,
            complete: None,
        }
    }

    /// Passes a table over from now on.
    fn stop(&self, state: &mut State, title: &str, reason: &str) {
        let next = match key::is_reason(reason) {
            true => "It is read anew as soon as the keys agree".to_owned(),
            false => format!("When that is settled, have it read anew: pipectl backfill {title}"),
        };
        let detail = format!("{title} is passed over: {reason}. Its rows in the warehouse stay as they are. {next}");
        Line::error("table stopped").key(title).detail(detail).write();
        state.tables.retain(|table| table != title);
        state.stopped.insert(title.to_owned(), reason.to_owned());
    }
}

fn title(wanted: &Wanted) -> String {
    format!("{}.{}", wanted.schema, wanted.table)
}
