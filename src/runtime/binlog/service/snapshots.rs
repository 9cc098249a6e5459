//! Tables are read once before their changes are.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep};

use super::{Service, title};
use crate::runtime::binlog::audit::Wanted;
use crate::runtime::binlog::checkpoint::{Snapshot, State};
use crate::runtime::binlog::{key, server, snapshot};
use crate::runtime::extract::table::Table;
use crate::runtime::log::Line;
use crate::runtime::mysql::{Connection, MysqlError};

/// How often in a row a chunk's locks may be refused for the sake of somebody who writes.
const DEADLOCKS: u32 = 20;
/// At most so long is waited before a chunk is tried again.
const DEADLOCK_PAUSE: Duration = Duration::from_millis(200);

/// A reason to pass a table over.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Stop(String);

impl Service {
    /// Reads every table that was not read yet.
    pub(super) async fn snapshots(&self, connection: &mut Connection, state: &mut State) -> anyhow::Result<()> {
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

    /// Takes up tables that were passed over for their key, which is right now, and those that somebody asks for.
    pub(super) async fn take_up(&self, connection: &mut Connection, state: &mut State) -> anyhow::Result<()> {
        for title in self.settled(connection, state).await? {
            Line::info("table settled").key(&title).write();
            state.stopped.remove(&title);
        }
        let Some(request) = self.checkpoint.request(state).await? else {
            return Ok(());
        };
        for title in &request.tables {
            Line::info("table asked for").key(title).write();
            state.stopped.remove(title);
            state.tables.retain(|table| table != title);
            state.snapshot.take_if(|snapshot| snapshot.table == *title);
        }
        state.asked = request.at;
        self.checkpoint.write(state).await
    }

    async fn settled(&self, connection: &mut Connection, state: &State) -> anyhow::Result<Vec<String>> {
        let mut settled = Vec::new();
        for wanted in &self.tables {
            let title = title(wanted);
            if state.stopped.get(&title).is_some_and(|reason| key::is_reason(reason)) {
                let table = Table::describe(connection, &wanted.schema, &wanted.table).await?;
                let is_right = |table: Table| key::fault(&wanted.keys, table.key_names()).is_none();
                settled.extend(table.is_none_or(is_right).then_some(title));
            }
        }
        Ok(settled)
    }

    /// Whether a table is to be read now that was not there, or had another key, when snapshots were taken, or that
    /// somebody asks for.
    pub(super) async fn has_come(&self, connection: &mut Connection, state: &State) -> anyhow::Result<bool> {
        if !self.settled(connection, state).await?.is_empty() || self.checkpoint.request(state).await?.is_some() {
            return Ok(true);
        }
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
            bail!(Stop(key::absent()));
        }
        if let Some(reason) = key::fault(&wanted.keys, table.key_names()) {
            bail!(Stop(reason));
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
        let mut deadlocks = 0;
        loop {
            let (generation, rows) = (state.generation, self.chunk_rows);
            match snapshot::chunk(connection, &mut sending, generation, &table, &mut under_way, rows).await {
                Ok(true) => break,
                Ok(false) => deadlocks = 0,
                Err(error) if is_deadlock(&error) && deadlocks < DEADLOCKS => {
                    deadlocks += 1;
                    sleep(DEADLOCK_PAUSE.mul_f64(fastrand::f64())).await;
                    continue;
                }
                Err(error) => return Err(error),
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
}

/// Whether the server chose this statement to end a deadlock; nothing was sent of it yet:
/// <https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html#error_er_lock_deadlock>.
fn is_deadlock(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<MysqlError>(),
        Some(MysqlError::Statement { code: 1213, .. })
    )
}
