//! The loop: read, encode, send, and note what was acknowledged.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{Again, Service, title};
use crate::runtime::binlog::audit::Wanted;
use crate::runtime::binlog::charset::Charsets;
use crate::runtime::binlog::checkpoint::{Altered, State};
use crate::runtime::binlog::gtid::Executed;
use crate::runtime::binlog::layout::Unreadable;
use crate::runtime::binlog::query::{Change, Name};
use crate::runtime::binlog::reader::{Item, Reader};
use crate::runtime::binlog::sending::Sending;
use crate::runtime::binlog::table_map::TableMap;
use crate::runtime::binlog::{key, layout, server};
use crate::runtime::log::Line;
use crate::runtime::mysql::{Connection, Start};

/// What is not full is sent when nothing has come for this long.
const QUIET: Duration = Duration::from_millis(100);
/// Between two looks for tables that were not there.
const LOOKED: Duration = Duration::from_secs(5);
/// Between two writings of the checkpoint.
const NOTED: Duration = Duration::from_secs(3);

/// The binlog being read.
struct Following<'a> {
    service: &'a Service,
    /// For questions about tables; the binlog comes on another one.
    connection: &'a mut Connection,
    charsets: Charsets,
    state: &'a mut State,
    reader: Reader,
    sending: Sending<'a>,
    /// A table must be read anew.
    again: bool,
}

impl Service {
    /// Reads the binlog until something must be read anew.
    pub(super) async fn follow(
        &self,
        connection: &mut Connection,
        state: &mut State,
        start: &Start,
    ) -> anyhow::Result<Again> {
        let checksums = server::has_checksums(connection).await?;
        let number = match self.server_id {
            Some(number) => number,
            None => server::replica_number(connection).await,
        };
        let charsets = Charsets::ask(connection).await?;
        let mariadb = connection.is_mariadb();
        let wanted = self.tables.iter().filter(|table| state.tables.contains(&title(table)));
        let wanted = wanted
            .map(|table| (table.schema.clone(), table.table.clone()))
            .collect();
        let mut dump = self.database.connect().await?.dump(start, number).await?;
        let mut sending = self.sending();
        sending.executed = state.gtid.as_deref().and_then(|text| Executed::read(text, mariadb));
        Line::info("reading")
            .key(&self.checkpoint.name)
            .detail(format!("from {start:?} as replica {number}"))
            .write();
        let mut following = Following {
            service: self,
            connection,
            charsets,
            reader: Reader::new(wanted, state.generation, checksums),
            state,
            sending,
            again: false,
        };
        let (mut noted, mut looked) = (Instant::now(), Instant::now());
        loop {
            if looked.elapsed() >= LOOKED {
                following.again |= self.has_come(following.connection, following.state).await?;
                looked = Instant::now();
            }
            if following.again || noted.elapsed() >= NOTED {
                following.note(!dump.is_ready()).await?;
                noted = Instant::now();
                if following.again {
                    return Ok(Again);
                }
            }
            let part = if dump.is_ready() {
                dump.next().await?
            } else {
                match timeout(QUIET, dump.next()).await {
                    Ok(part) => part?,
                    Err(_) => {
                        following.sending.flush().await?;
                        continue;
                    }
                }
            };
            following.reader.take(&part)?;
            while let Some(item) = following.reader.next(&part)? {
                match item {
                    Item::Record => {
                        following.sending.record(&following.reader.record).await?;
                    }
                    other => following.found(other).await?,
                }
            }
        }
    }
}

impl Following<'_> {
    /// Does what a thing found asks for, but for records: these go on in the loop itself.
    async fn found(&mut self, item: Item) -> anyhow::Result<()> {
        match item {
            Item::Record => {}
            Item::End => self.sending.end(&self.reader),
            Item::Prepared => {
                let detail =
                    "an XA transaction was prepared; its rows count as committed, also if it is rolled back later";
                Line::error("xa").detail(detail).write();
                self.sending.end(&self.reader);
            }
            Item::Statement { change } => {
                self.changed(change).await?;
                self.sending.end(&self.reader);
            }
            Item::NotWhole { title } => {
                self.stop(
                    &title,
                    "the server logs parts of its rows only; set binlog_row_image=FULL",
                );
            }
            Item::Unknown { number, map } => self.describe(number, &map).await?,
        }
        Ok(())
    }

    async fn describe(&mut self, number: u64, map: &TableMap) -> anyhow::Result<()> {
        let title = format!("{}.{}", map.schema, map.table);
        let altered = self.state.altered.get(&title).cloned();
        let is_before = |altered: &Altered| self.reader.position().place() < altered.before.place();
        if altered.as_ref().is_some_and(is_before) {
            self.reader.pass_over(number);
            return Ok(());
        }
        if let Err(error) = self.connection.execute("DO 0").await {
            Line::warn("reconnect").detail(format!("{error:#}")).write();
            *self.connection = self.service.database.connect().await?;
        }
        let layout = layout::describe(self.connection, &mut self.charsets, map).await?;
        let mut tables = self.service.tables.iter();
        let wanted = tables.find(|wanted| wanted.schema == map.schema && wanted.table == map.table);
        let keys = wanted.map(|wanted| wanted.keys.as_slice()).unwrap_or_default();
        let layout = layout.and_then(|layout| match key::fault(keys, layout.key_names()) {
            None => Ok(layout),
            Some(reason) => Err(Unreadable::Never(reason)),
        });
        match layout {
            Ok(layout) => {
                self.state.altered.remove(&title);
                self.reader.learn(number, Some(Arc::new(layout)));
            }
            // Its end is a statement that follows, and empties the table.
            Err(Unreadable::Gone) => {}
            // Once read anew, a table that has as many columns as then was not altered again: it is never like its log.
            Err(Unreadable::Altered { columns }) if altered.is_none_or(|then| then.columns != columns) => {
                self.read_anew(title, columns).await?;
            }
            Err(reason) => self.stop(&title, &reason.to_string()),
        }
        Ok(())
    }

    /// Passes over what was logged of a table until now, and has it read anew: a binlog without the names of columns
    /// can be read only while the table is as it was.
    async fn read_anew(&mut self, title: String, columns: usize) -> anyhow::Result<()> {
        let before = server::position(self.connection).await?;
        let detail = format!(
            "the binlog does not name its columns, and there are {columns} of them by now: its changes before {} of {} \
             are passed over, and the table is read anew",
            before.offset, before.file
        );
        Line::warn("table altered").key(&title).detail(detail).write();
        self.state.tables.retain(|table| *table != title);
        self.state.altered.insert(title, Altered { before, columns });
        self.again = true;
        self.service.checkpoint.write(self.state).await
    }

    /// Writes how far everything is acknowledged, if that has changed. When nothing more is at hand, or a table must be
    /// read anew, that is as far as everything was read.
    async fn note(&mut self, quiet: bool) -> anyhow::Result<()> {
        let Self {
            service,
            state,
            sending,
            ..
        } = self;
        if self.again || quiet {
            sending.finish().await?;
        }
        sending.sink.look().await?;
        let mut mark = sending.sink.acknowledged.take().flatten();
        if sending.sink.is_empty() {
            mark = sending.mark();
        }
        let Some(mark) = mark else { return Ok(()) };
        if (&mark.position.file, mark.position.offset) == (&state.file, state.position) {
            return Ok(());
        }
        state.file.clone_from(&mark.position.file);
        state.position = mark.position.offset;
        state.gtid = mark.executed;
        service.checkpoint.write(state).await
    }

    /// Passes a table over from now on.
    fn stop(&mut self, title: &str, reason: &str) {
        self.service.stop(self.state, title, reason);
        if let Some((schema, table)) = title.split_once('.') {
            self.reader.drop_table(schema, table);
        }
    }

    /// What a statement does to the tables.
    async fn changed(&mut self, change: Change) -> anyhow::Result<()> {
        let emptied: Vec<Name> = match change {
            Change::Emptied(names) => names.into_iter().filter(|name| self.is_wanted(name)).collect(),
            Change::SchemaDropped(schema) => {
                let tables = self.reader.wanted().iter().filter(|(wanted, _)| *wanted == schema);
                let name = |(schema, table): &(String, String)| Name {
                    schema: schema.clone(),
                    table: table.clone(),
                };
                tables.map(name).collect()
            }
            Change::Altered { table, reason } => {
                if let (true, Some(reason)) = (self.is_wanted(&table), reason) {
                    self.stop(&format!("{}.{}", table.schema, table.table), &reason);
                }
                return Ok(());
            }
            Change::Renamed(pairs) => {
                self.renamed(&pairs);
                return Ok(());
            }
        };
        for name in emptied {
            self.reader.record.empty(&name.schema, &name.table);
            self.sending.record(&self.reader.record).await?;
        }
        Ok(())
    }

    /// A table that goes by another name is passed over; one whose name another took is read anew.
    fn renamed(&mut self, pairs: &[(Name, Name)]) {
        for (from, to) in pairs {
            if self.is_wanted(from) && !pairs.iter().any(|(_, to)| to == from) {
                let reason = format!("it was renamed to {}.{}", to.schema, to.table);
                self.stop(&format!("{}.{}", from.schema, from.table), &reason);
            }
            let configured = |table: &Wanted| table.schema == to.schema && table.table == to.table;
            if self.service.tables.iter().any(configured) {
                let title = format!("{}.{}", to.schema, to.table);
                let detail = format!("{}.{} took its place; it is read anew", from.schema, from.table);
                Line::warn("table replaced").key(&title).detail(detail).write();
                self.state.tables.retain(|table| *table != title);
                self.again = true;
            }
        }
    }

    fn is_wanted(&self, name: &Name) -> bool {
        let wanted = self.reader.wanted();
        wanted.contains(&(name.schema.clone(), name.table.clone()))
    }
}
