//! What events other than rows mean: the tables, the transactions and the statements; and those inside a payload.

use std::collections::HashSet;
use std::io::Read as _;
use std::sync::Arc;

use super::super::event::{self, HEADER, Header, Operation, RowsHeader, kind};
use super::super::gtid::Begin;
use super::super::query::{self, Bracket};
use super::super::rows::Layout;
use super::super::table_map::{self, TableMap};
use super::unread::{Place, Rows};
use super::{Item, Mapped, ReadError, Reader, Stage, file_number};
use crate::runtime::mysql::Part;

/// Table maps kept by their numbers; a server gives each opening of a table a new one.
const MAPS_MAX: usize = 4096;
/// A statement inside a compressed transaction is looked at up to this many bytes.
const WHOLE_MAX: usize = 1 << 20;
/// The front of a rows event is at most this long: two bits for each of 4,096 columns, and what it refers to.
const FRONT_MAX: usize = 80 << 10;

/// How far the events of a payload came.
pub(super) enum Inner {
    Found(Item),
    More,
    Again,
}

impl Reader {
    /// Tells the layout of a table map's rows; `None` to pass them over.
    pub fn learn(&mut self, number: u64, layout: Option<Arc<Layout>>) {
        if let Some(mapped) = self.maps.get_mut(&number) {
            mapped.layout = layout;
        }
    }

    /// Passes over the rows that follow, and asks for their layout again when more of them come.
    pub fn pass_over(&mut self, number: u64) {
        if let Some(mapped) = self.maps.get_mut(&number) {
            mapped.body.clear();
        }
    }

    /// Rows of this table are not wanted any more.
    pub fn drop_table(&mut self, schema: &str, table: &str) {
        self.wanted.remove(&(schema.to_owned(), table.to_owned()));
        let is_it = |layout: &Arc<Layout>| layout.schema == schema && layout.table == table;
        for mapped in self.maps.values_mut() {
            if mapped.layout.as_ref().is_some_and(is_it) {
                mapped.layout = None;
            }
        }
    }

    /// The wanted tables.
    pub fn wanted(&self) -> &HashSet<(String, String)> {
        &self.wanted
    }

    /// An event other than rows, whose body is all there unless it is longer than what matters of it.
    pub(super) fn event(&mut self, header: Header, body: &[u8]) -> Result<Option<Item>, ReadError> {
        match header.kind {
            kind::ROTATE => {
                let (file, position) = event::rotation(body).ok_or_else(|| self.malformed("a rotation"))?;
                self.file_number = file_number(&file).ok_or_else(|| ReadError::FileName(file.clone()))?;
                (self.file, self.end) = (file, position);
            }
            kind::TABLE_MAP => return self.table_map(body),
            kind::XID => return Ok(Some(self.complete())),
            kind::XA_PREPARE => {
                self.complete();
                return Ok(Some(Item::Prepared));
            }
            // It tells a position behind all that is of no interest to a replica, such as the front of a new file.
            kind::HEARTBEAT if !self.within && !self.open => return Ok(Some(Item::End)),
            kind::GTID | kind::ANONYMOUS_GTID | kind::MARIADB_GTID => {
                let begin = match header.kind {
                    kind::MARIADB_GTID => Begin::mariadb(body, header.server),
                    other => Begin::mysql(body, other == kind::ANONYMOUS_GTID),
                };
                self.begin_transaction(begin.ok_or_else(|| self.malformed("a GTID"))?);
            }
            kind::GTID_TAGGED => self.begin_transaction(Begin {
                standalone: true,
                ..Begin::default()
            }),
            kind::QUERY | kind::QUERY_COMPRESSED => {
                let (schema, statement) = event::query(body).ok_or_else(|| self.malformed("a statement"))?;
                let schema = String::from_utf8_lossy(schema);
                let mut plain = Vec::new();
                let mut statement = statement;
                if header.kind == kind::QUERY_COMPRESSED {
                    let zlib = event::compressed(statement).ok_or_else(|| self.malformed("a compressed statement"))?;
                    let read = flate2::read::ZlibDecoder::new(zlib)
                        .take(WHOLE_MAX as u64)
                        .read_to_end(&mut plain);
                    read.map_err(|_| self.malformed("a compressed statement"))?;
                    statement = &plain;
                }
                return Ok(self.statement(&schema, &String::from_utf8_lossy(statement)));
            }
            _ => {}
        }
        Ok(None)
    }

    fn table_map(&mut self, body: &[u8]) -> Result<Option<Item>, ReadError> {
        let number = table_map::number(body).ok_or_else(|| self.malformed("a table map"))?;
        if self.maps.get(&number).is_some_and(|mapped| mapped.body == body) {
            return Ok(None);
        }
        let (schema, table) = table_map::title(body).ok_or_else(|| self.malformed("a table map"))?;
        let title = (
            String::from_utf8_lossy(schema).into_owned(),
            String::from_utf8_lossy(table).into_owned(),
        );
        if self.maps.len() == MAPS_MAX {
            self.maps.clear();
        }
        let mapped = Mapped {
            body: body.to_vec(),
            layout: None,
        };
        self.maps.insert(number, mapped);
        if !self.wanted.contains(&title) {
            return Ok(None);
        }
        let map = Box::new(TableMap::read(body).ok_or_else(|| self.malformed("a table map"))?);
        Ok(Some(Item::Unknown { number, map }))
    }

    /// What a statement is.
    fn statement(&mut self, schema: &str, statement: &str) -> Option<Item> {
        match query::bracket(statement) {
            Bracket::Begin => self.open = true,
            Bracket::Inside => {}
            Bracket::End => return Some(self.complete()),
            Bracket::Whole => {
                let change = query::change(schema, statement);
                let done = (!self.open).then(|| self.complete());
                return change.map(|change| Item::Statement { change }).or(done);
            }
        }
        None
    }

    fn begin_transaction(&mut self, begin: Begin) {
        self.record.begin_transaction(begin.gtid.as_ref());
        self.gtid = begin.gtid;
        self.committed = begin.at;
        self.open = !begin.standalone;
        self.within = true;
    }

    fn complete(&mut self) -> Item {
        (self.open, self.within) = (false, false);
        Item::End
    }

    /// Begins to read rows; where they are not wanted, the event's rest is passed over.
    pub(super) fn open_rows(
        &mut self,
        operation: Operation,
        front: RowsHeader,
        place: Place,
        stage: Stage,
    ) -> Result<Stage, ReadError> {
        let mapped = self.maps.get(&front.table);
        let Some(layout) = mapped.and_then(|mapped| mapped.layout.as_ref()) else {
            return Ok(Stage::Skipped);
        };
        if layout.fields.len() != front.columns {
            return Err(self.malformed("the number of its columns"));
        }
        if !front.whole {
            let title = layout.title();
            self.found = Some(Item::NotWhole { title });
            return Ok(Stage::Skipped);
        }
        self.rows = Some(Rows {
            operation,
            layout: Arc::clone(layout),
            place,
        });
        Ok(stage)
    }

    /// The next event of a payload.
    pub(super) fn inner(&mut self, part: &Part<'_>) -> Result<Inner, ReadError> {
        if self.skip > 0 {
            let now = (self.inflow.bytes().len() as u64).min(self.skip);
            self.inflow.consume(now as usize);
            self.skip -= now;
        }
        let bytes = self.inflow.bytes();
        let header = Header::read(bytes);
        let needed = match &header {
            // What is passed over is not all there yet.
            _ if self.skip > 0 => usize::MAX,
            None => HEADER,
            Some(header) if header.rows().is_some() => (header.size as usize).min(FRONT_MAX),
            Some(header) => (header.size as usize).min(WHOLE_MAX),
        };
        if bytes.len() < needed {
            let filled = self.fill(part, "its payload")?;
            return match (filled, self.inflow.is_over(), self.inflow.bytes().is_empty()) {
                (true, ..) => Ok(Inner::Again),
                (false, true, true) => {
                    self.stage = Stage::Skipped;
                    Ok(Inner::More)
                }
                (false, true, false) => Err(self.malformed("the end of its payload")),
                (false, false, _) => Ok(Inner::More),
            };
        }
        let Some(header) = header else {
            return Err(self.malformed("a header in its payload"));
        };
        let body = bytes[HEADER..needed].to_vec();
        let size = u64::from(header.size);
        if let Some(rows) = header.rows() {
            let front = RowsHeader::read(&body, rows).ok_or_else(|| self.malformed("its rows' front"))?;
            let before = HEADER + front.length;
            let left = size - before as u64;
            let place = Place::Inflow { left: Some(left) };
            self.inflow.consume(before);
            if matches!(
                self.open_rows(rows.operation, front, place, Stage::Rows)?,
                Stage::Skipped
            ) {
                self.skip = left;
            }
        } else {
            self.inflow.consume(needed);
            self.skip = size - needed as u64;
            self.found = self.event(header, &body)?;
        }
        Ok(self.found.take().map_or(Inner::Again, Inner::Found))
    }
}
