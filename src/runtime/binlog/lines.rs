//! The records of a binlog as lines of text, without AWS on the way: what the benches measure.

use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;

use anyhow::bail;

use super::charset::Charsets;
use super::reader::{Item, Reader};
use super::{layout, server};
use crate::runtime::mysql::{Connection, Start};

/// The binlog of a server on this machine.
#[derive(Debug, Clone, Copy)]
pub struct LocalBinlog<'a> {
    /// The port of 127.0.0.1 on which the server listens.
    pub port: u16,
    /// Who reads.
    pub username: &'a str,
    /// That user's password.
    pub password: &'a str,
    /// The first file to read.
    pub file: &'a str,
    /// The tables, as schema and name.
    pub tables: &'a [(String, String)],
}

/// Writes the record of every change that the service would send, up to the end of the binlog as it is now, and says how
/// many there were. Nothing is encrypted, as is allowed for a server on this machine only.
pub async fn write_changes(place: LocalBinlog<'_>, out: &mut impl Write) -> anyhow::Result<u64> {
    let connect = || Connection::to_this_machine(place.port, place.username, place.password);
    let mut connection = connect().await?;
    let end = server::position(&mut connection).await?;
    let checksums = server::has_checksums(&mut connection).await?;
    let mut charsets = Charsets::ask(&mut connection).await?;
    let number = server::replica_number(&mut connection).await;
    let start = Start::Position {
        file: place.file.to_owned(),
        offset: 4,
    };
    let wanted: HashSet<(String, String)> = place.tables.iter().cloned().collect();
    let mut reader = Reader::new(wanted, 1, checksums);
    let mut dump = connect().await?.dump(&start, number).await?;
    let mut records = 0;
    loop {
        let part = dump.next().await?;
        reader.take(&part)?;
        while let Some(item) = reader.next(&part)? {
            match item {
                Item::Record => {
                    out.write_all(&reader.record.line)?;
                    records += 1;
                }
                Item::Unknown { number, map } => match layout::describe(&mut connection, &mut charsets, &map).await? {
                    Ok(layout) => reader.learn(number, Some(Arc::new(layout))),
                    Err(reason) => bail!("{}.{}: {reason}", map.schema, map.table),
                },
                Item::NotWhole { title } => bail!("the rows of {title} are not whole"),
                Item::End | Item::Statement { .. } | Item::Prepared => {
                    if reader.position().place() >= end.place() {
                        return Ok(records);
                    }
                }
            }
        }
    }
}
