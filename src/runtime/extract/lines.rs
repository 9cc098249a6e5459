//! The records of a table as lines of text, without AWS on the way: what the benches measure.

use std::io::Write;

use anyhow::Context as _;

use super::record::Recorder;
use super::statement::Select;
use super::table::Table;
use super::{about, named, snapshot};
use crate::runtime::mysql::Connection;

/// A table of a server on this machine.
#[derive(Debug, Clone, Copy)]
pub struct LocalTable<'a> {
    /// The port of 127.0.0.1 on which the server listens.
    pub port: u16,
    /// Who reads.
    pub username: &'a str,
    /// That user's password.
    pub password: &'a str,
    /// The table's database.
    pub schema: &'a str,
    /// The table.
    pub table: &'a str,
}

/// Writes every row that the handler `extract` would send, in the order of `watermark`, and says how many there were.
/// Nothing is encrypted, as is allowed for a server on this machine only.
pub async fn write_lines(place: LocalTable<'_>, watermark: &[String], out: &mut impl Write) -> anyhow::Result<u64> {
    let mut connection = Connection::to_this_machine(place.port, place.username, place.password).await?;
    let table = Table::describe(&mut connection, place.schema, place.table).await?;
    let table = table.with_context(|| format!("there is no table {}.{}", place.schema, place.table))?;
    let watermark = named(&table, watermark)?;
    let order = table.order_by(&watermark);
    let reading = snapshot(&mut connection, 0).await?;
    let (text, values) = Select::all(&table, &order).build();
    let mut rows = connection.query(&text, &values).await.map_err(about(&table))?;
    let mut recorder = Recorder::new(&table, &rows.columns, &watermark, reading);
    while let Some(packet) = rows.next().await.map_err(about(&table))? {
        recorder.record(packet)?;
        out.write_all(&recorder.line)?;
    }
    Ok(recorder.number())
}
