//! From parts of events to records: what comes is taken apart as far as it is there, and never more than a row is held.
//!
//! An event of up to one packet (16 MiB) is read where it lies in the receive buffer. A longer one and a compressed one
//! flow through a buffer that holds what a row needs.

mod unread;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use thiserror::Error;

use super::event::{self, CHECKSUM, HEADER, Header, Operation, RowsHeader, kind};
use super::gtid::{Begin, Gtid};
use super::inflow::Inflow;
use super::query::{self, Bracket};
use super::rows::{Layout, from_seconds};
use super::table_map::{self, TableMap};
use crate::runtime::extract::encode::{Encoded, clock, date, text};
use crate::runtime::extract::record::{Reading, fnv, padded};
use crate::runtime::mysql::Part;
use unread::{Place, Rows};

/// Table maps kept by their numbers; a server gives each opening of a table a new one.
const MAPS_MAX: usize = 4096;
/// A statement inside a compressed transaction is looked at up to this many bytes.
const WHOLE_MAX: usize = 1 << 20;
/// The front of a rows event is at most this long: two bits for each of 4,096 columns, and what it refers to.
const FRONT_MAX: usize = 80 << 10;

/// The binlog cannot be read on from here.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ReadError {
    #[error("an event before position {end} of {file} is malformed ({what})")]
    Malformed { what: &'static str, file: String, end: u64 },
    #[error("the event before position {end} of {file} does not match its checksum")]
    Checksum { file: String, end: u64 },
    #[error("the binlog's file name `{0}` does not end in a number")]
    FileName(String),
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// A record, in `line`, `spread` and `seq`.
    Record,
    /// The transaction is complete: `position` is behind it.
    End,
    /// A statement that stands for itself was executed; what it may have changed.
    Statement { change: query::Change },
    /// Rows follow whose layout `learn` is to be told.
    Unknown { number: u64, map: Box<TableMap> },
    /// Rows of a wanted table are not whole: the server does not log all columns.
    NotWhole { title: String },
    /// A prepared XA transaction, which may yet be rolled back.
    Prepared,
}

/// A place in the binlog.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position {
    pub file: String,
    pub offset: u64,
}

/// What is known of a table map's number.
struct Mapped {
    /// The event it was read from.
    body: Vec<u8>,
    layout: Option<Arc<Layout>>,
}

/// Where the current event stands.
enum Stage {
    /// The next part begins an event.
    Between,
    /// The rest of the event does not matter.
    Skipped,
    /// Rows come through the inflow.
    Rows,
    /// Events come through the inflow.
    Payload,
}

/// Reads one stream of events.
pub struct Reader {
    wanted: HashSet<(String, String)>,
    generation: u32,
    checksums: bool,
    maps: HashMap<u64, Mapped>,
    file: String,
    file_number: u64,
    /// Behind the event that is read.
    end: u64,
    stage: Stage,
    rows: Option<Rows>,
    inflow: Inflow,
    /// Bytes of the event still to come, without its checksum.
    left: u64,
    /// Bytes of the event that its checksum covers and that are still to come.
    unhashed: u64,
    hash: crc32fast::Hasher,
    checksum: Vec<u8>,
    found: Option<Item>,
    /// Bytes of an event in a payload that do not matter.
    skip: u64,
    row: u64,
    before: Encoded,
    after: Encoded,
    /// The second record of an update that changed the key is still to be made.
    second: bool,
    gtid: Option<Gtid>,
    gtid_text: Vec<u8>,
    committed: Option<u64>,
    ts: Vec<u8>,
    /// Whether a COMMIT is to come.
    open: bool,
    seq_start: Vec<u8>,
    /// The record found last, with its line break.
    pub line: Vec<u8>,
    /// A hash of its key, by which the stream spreads records.
    pub spread: String,
    /// Its `seq`.
    pub seq: String,
    /// Its table, `schema.table`.
    pub title: String,
}

impl Reader {
    /// Reads rows of these tables. `checksums` says whether the first events have one.
    pub fn new(wanted: HashSet<(String, String)>, generation: u32, checksums: bool) -> Self {
        Self {
            wanted,
            generation,
            checksums,
            maps: HashMap::new(),
            file: String::new(),
            file_number: 0,
            end: 0,
            stage: Stage::Between,
            rows: None,
            inflow: Inflow::default(),
            left: 0,
            unhashed: 0,
            hash: crc32fast::Hasher::new(),
            checksum: Vec::new(),
            found: None,
            skip: 0,
            row: 0,
            before: Encoded::default(),
            after: Encoded::default(),
            second: false,
            gtid: None,
            gtid_text: b"null".to_vec(),
            committed: None,
            ts: Vec::new(),
            open: false,
            seq_start: Vec::new(),
            line: Vec::new(),
            spread: String::new(),
            seq: String::new(),
            title: String::new(),
        }
    }

    /// Behind the event read last.
    pub fn position(&self) -> Position {
        Position {
            file: self.file.clone(),
            offset: self.end,
        }
    }

    /// The transaction read last, where it has a name.
    pub fn gtid(&self) -> Option<&Gtid> {
        self.gtid.as_ref()
    }

    /// Tells the layout of a table map's rows; `None` to pass them over.
    pub fn learn(&mut self, number: u64, layout: Option<Arc<Layout>>) {
        if let Some(mapped) = self.maps.get_mut(&number) {
            mapped.layout = layout;
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

    /// Takes a part as it came. `next` then gives what is in it.
    pub fn take(&mut self, part: &Part<'_>) -> Result<(), ReadError> {
        if part.first {
            let header = Header::read(part.bytes).ok_or_else(|| self.malformed("its header"))?;
            self.begin(header, part)?;
        } else {
            self.check(part.bytes);
            let data = (part.bytes.len() as u64).min(self.left) as usize;
            self.left -= data as u64;
            if !matches!(self.stage, Stage::Skipped) {
                self.inflow.offer(0..data, self.left == 0);
            }
        }
        if part.last && self.unhashed == 0 {
            let hash = std::mem::take(&mut self.hash).finalize();
            if hash.to_le_bytes() != self.checksum.as_slice() {
                return Err(ReadError::Checksum {
                    file: self.file.clone(),
                    end: self.end,
                });
            }
        }
        Ok(())
    }

    fn begin(&mut self, header: Header, part: &Part<'_>) -> Result<(), ReadError> {
        let has_checksum = self.checksums || header.kind == kind::FORMAT_DESCRIPTION;
        let tail = if has_checksum { CHECKSUM } else { 0 };
        let whole = u64::from(header.size);
        self.left = whole.saturating_sub((HEADER + tail) as u64);
        self.hash = crc32fast::Hasher::new();
        self.checksum.clear();
        self.unhashed = if self.checksums {
            whole.saturating_sub(CHECKSUM as u64)
        } else {
            u64::MAX
        };
        self.check(part.bytes);
        if header.end != 0 {
            self.end = unwrapped(self.end, header.end);
        }
        let data = ((part.bytes.len() - HEADER) as u64).min(self.left) as usize;
        self.left -= data as u64;
        let body = HEADER..HEADER + data;
        if part.last && self.left > 0 {
            return Err(self.malformed("its length"));
        }
        self.row = 0;
        self.start_seq();
        self.date(header.at);
        self.stage = Stage::Between;
        self.rows = None;
        self.skip = 0;
        self.second = false;
        self.found = None;
        if header.kind == kind::FORMAT_DESCRIPTION {
            self.checksums =
                event::has_checksums(&part.bytes[HEADER..]).ok_or_else(|| self.malformed("its description"))?;
            return Ok(());
        }
        let bytes = &part.bytes[body.clone()];
        if header.kind == kind::TRANSACTION_PAYLOAD {
            let (compression, front) = event::payload(bytes).ok_or_else(|| self.malformed("its payload"))?;
            self.inflow = match compression {
                0 => Inflow::zstd().map_err(|_| self.malformed("its payload"))?,
                255 => Inflow::default(),
                _ => return Err(self.malformed("its payload's compression")),
            };
            self.inflow.offer(body.start + front..body.end, self.left == 0);
            self.stage = Stage::Payload;
        } else if let Some(rows) = header.rows() {
            let front = RowsHeader::read(bytes, rows).ok_or_else(|| self.malformed("its rows' front"))?;
            let start = body.start + front.length;
            let (place, stage) = if rows.compressed {
                let packed = &part.bytes[start..body.end];
                let zlib = event::compressed(packed).ok_or_else(|| self.malformed("its compressed rows"))?;
                self.inflow = Inflow::zlib();
                self.inflow.offer(body.end - zlib.len()..body.end, self.left == 0);
                (Place::Inflow { left: None }, Stage::Rows)
            } else if part.last {
                let end = body.end;
                (Place::Part { at: start, end }, Stage::Between)
            } else {
                self.inflow = Inflow::default();
                self.inflow.offer(start..body.end, self.left == 0);
                (Place::Inflow { left: None }, Stage::Rows)
            };
            self.stage = self.open_rows(rows.operation, front, place, stage)?;
        } else {
            // Of a longer one the front says what there is to know.
            self.stage = Stage::Skipped;
            self.found = self.event(header, bytes)?;
        }
        Ok(())
    }

    /// The next thing found in the part; `None` when there is no more in it.
    #[inline]
    pub fn next(&mut self, part: &Part<'_>) -> Result<Option<Item>, ReadError> {
        if let Some(found) = self.found.take() {
            return Ok(Some(found));
        }
        loop {
            if self.second {
                self.second = false;
                self.write_record(b'i');
                return Ok(Some(Item::Record));
            }
            if self.rows.is_some() {
                match self.row(part)? {
                    Row::Record => return Ok(Some(Item::Record)),
                    Row::More => return Ok(None),
                    Row::End => self.rows = None,
                }
                continue;
            }
            if !matches!(self.stage, Stage::Payload) {
                return Ok(None);
            }
            match self.inner(part)? {
                Inner::Found(item) => return Ok(Some(item)),
                Inner::More => return Ok(None),
                Inner::Again => {}
            }
        }
    }

    /// One row of the current event.
    #[inline]
    fn row(&mut self, part: &Part<'_>) -> Result<Row, ReadError> {
        let (length, operation) = loop {
            let Some(rows) = &self.rows else {
                return Ok(Row::End);
            };
            let bytes = rows.bytes(&self.inflow, part);
            match rows.read(bytes, &mut self.before, &mut self.after) {
                Some(length) if length > 0 => break (length, rows.operation),
                Some(_) => return Err(self.malformed("a row without bytes")),
                None => {}
            }
            let (is_empty, complete) = (bytes.is_empty(), rows.is_complete(bytes.len()));
            if !complete && self.fill(part, "its rows")? {
                continue;
            }
            return match (complete || self.inflow.is_over(), is_empty) {
                (true, true) => Ok(Row::End),
                (true, false) => Err(self.malformed("a row")),
                (false, _) => Ok(Row::More),
            };
        };
        match self.rows.as_mut().map(|rows| &mut rows.place) {
            Some(Place::Part { at, .. }) => *at += length,
            Some(Place::Inflow { left }) => {
                *left = left.map(|left| left - length as u64);
                self.inflow.consume(length);
            }
            None => {}
        }
        match operation {
            Operation::Insert => self.write_record(b'i'),
            Operation::Delete => self.write_record(b'd'),
            Operation::Update | Operation::PartialUpdate => {
                self.second = self.key_changed();
                self.write_record(if self.second { b'd' } else { b'u' });
            }
        }
        Ok(Row::Record)
    }

    fn fill(&mut self, part: &Part<'_>, what: &'static str) -> Result<bool, ReadError> {
        self.inflow.fill(part.bytes).map_err(|_| self.malformed(what))
    }

    fn key_changed(&self) -> bool {
        let Some(rows) = &self.rows else { return false };
        rows.layout.key.iter().any(|column| {
            let (before, after) = (&self.before.spans[*column], &self.after.spans[*column]);
            self.before.after[before.clone()] != self.after.after[after.clone()]
        })
    }

    /// Writes the record of the images: an insert, update or delete.
    #[inline]
    fn write_record(&mut self, operation: u8) {
        let Some(rows) = &self.rows else { return };
        let layout = &rows.layout;
        let image = if operation == b'd' { &self.before } else { &self.after };
        let line = &mut self.line;
        line.clear();
        line.extend_from_slice(b"{\"op\":\"");
        line.push(operation);
        line.push(b'"');
        line.extend_from_slice(&layout.head);
        let start = line.len();
        for (index, column) in layout.key.iter().enumerate() {
            line.push(if index == 0 { b'{' } else { b',' });
            line.extend_from_slice(&layout.fields[*column].label);
            line.extend_from_slice(&image.after[image.spans[*column].clone()]);
        }
        line.push(b'}');
        let spread = fnv(&line[start..]);
        line.extend_from_slice(b",\"seq\":\"");
        let seq = line.len();
        line.extend_from_slice(&self.seq_start);
        padded(line, self.row, 8);
        self.row += 1;
        let seq = seq..line.len();
        line.extend_from_slice(b"\",\"gtid\":");
        line.extend_from_slice(&self.gtid_text);
        line.extend_from_slice(b",\"ts\":\"");
        line.extend_from_slice(&self.ts);
        line.extend_from_slice(b"\",\"before\":");
        match operation {
            b'i' => line.extend_from_slice(b"null"),
            _ => line.extend_from_slice(&self.before.after),
        }
        line.extend_from_slice(b",\"after\":");
        match operation {
            b'd' => line.extend_from_slice(b"null"),
            _ => line.extend_from_slice(&self.after.after),
        }
        if !image.zero.is_empty() {
            line.extend_from_slice(b",\"zero\":{");
            line.extend_from_slice(&image.zero);
            line.push(b'}');
        }
        line.extend_from_slice(b"}\n");
        use std::fmt::Write as _;
        self.spread.clear();
        let _ = write!(self.spread, "{spread:016x}");
        self.seq.clear();
        self.seq.push_str(std::str::from_utf8(&line[seq]).unwrap_or_default());
        if self.title.len() != layout.schema.len() + 1 + layout.table.len() || !self.title.ends_with(&layout.table) {
            self.title = layout.title();
        }
    }

    /// Makes the record that every older row of a table is gone.
    pub fn emptied(&mut self, schema: &str, table: &str) {
        let (line, spread) = emptied(schema, table, &self.next_seq(), &self.gtid_text, &self.ts);
        (self.line, self.spread) = (line, spread);
        self.title = format!("{schema}.{table}");
    }

    /// The seq of a record at this place.
    fn next_seq(&mut self) -> String {
        let mut seq = self.seq_start.clone();
        padded(&mut seq, self.row, 8);
        self.row += 1;
        self.seq = String::from_utf8(seq).unwrap_or_default();
        self.seq.clone()
    }

    /// An event other than rows, whose body is all there unless it is longer than what matters of it.
    fn event(&mut self, header: Header, body: &[u8]) -> Result<Option<Item>, ReadError> {
        match header.kind {
            kind::ROTATE => {
                let (file, position) = event::rotation(body).ok_or_else(|| self.malformed("a rotation"))?;
                self.file_number = file_number(&file).ok_or_else(|| ReadError::FileName(file.clone()))?;
                (self.file, self.end) = (file, position);
            }
            kind::TABLE_MAP => return self.table_map(body),
            kind::XID => {
                self.open = false;
                return Ok(Some(Item::End));
            }
            kind::XA_PREPARE => return Ok(Some(Item::Prepared)),
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
                    use std::io::Read as _;
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
            Bracket::End => {
                self.open = false;
                return Some(Item::End);
            }
            Bracket::Whole => {
                let change = query::change(schema, statement);
                let done = (!self.open).then_some(Item::End);
                return change.map(|change| Item::Statement { change }).or(done);
            }
        }
        None
    }

    /// Begins to read rows; where they are not wanted, the event's rest is passed over.
    fn open_rows(
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
    fn inner(&mut self, part: &Part<'_>) -> Result<Inner, ReadError> {
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

    fn begin_transaction(&mut self, begin: Begin) {
        self.gtid_text.clear();
        match &begin.gtid {
            Some(gtid) => text(&mut self.gtid_text, gtid.to_string().as_bytes()),
            None => self.gtid_text.extend_from_slice(b"null"),
        }
        self.gtid = begin.gtid;
        self.committed = begin.at;
        self.open = !begin.standalone;
    }

    fn start_seq(&mut self) {
        self.seq_start.clear();
        for (number, digits) in [(u64::from(self.generation), 6), (self.file_number, 10), (self.end, 20)] {
            padded(&mut self.seq_start, number, digits);
            self.seq_start.push(b'-');
        }
    }

    fn date(&mut self, logged: u32) {
        let at = self
            .committed
            .map_or_else(|| from_seconds(logged, 0), |at| Reading(at).moment());
        self.ts.clear();
        date(&mut self.ts, at);
        self.ts.push(b'T');
        clock(&mut self.ts, at, 6);
        self.ts.push(b'Z');
    }

    fn check(&mut self, bytes: &[u8]) {
        let covered = (bytes.len() as u64).min(self.unhashed) as usize;
        if self.unhashed == u64::MAX {
            return;
        }
        self.hash.update(&bytes[..covered]);
        self.unhashed -= covered as u64;
        self.checksum.extend_from_slice(&bytes[covered..]);
    }

    fn malformed(&self, what: &'static str) -> ReadError {
        ReadError::Malformed {
            what,
            file: self.file.clone(),
            end: self.end,
        }
    }
}

/// How far the rows of an event came.
enum Row {
    Record,
    /// The rest comes with the next part.
    More,
    End,
}

/// How far the events of a payload came.
enum Inner {
    Found(Item),
    More,
    Again,
}

/// The record that every row of a table is gone whose seq is smaller, and what spreads it.
pub fn emptied(schema: &str, table: &str, seq: &str, gtid: &[u8], ts: &[u8]) -> (Vec<u8>, String) {
    let mut line = b"{\"op\":\"t\",\"schema\":".to_vec();
    text(&mut line, schema.as_bytes());
    line.extend_from_slice(b",\"table\":");
    text(&mut line, table.as_bytes());
    let spread = format!("{:016x}", fnv(&line));
    line.extend_from_slice(b",\"key\":null,\"seq\":\"");
    line.extend_from_slice(seq.as_bytes());
    line.extend_from_slice(b"\",\"gtid\":");
    line.extend_from_slice(gtid);
    line.extend_from_slice(b",\"ts\":\"");
    line.extend_from_slice(ts);
    line.extend_from_slice(b"\",\"before\":null,\"after\":null}\n");
    (line, spread)
}

/// The number at the end of a binlog file's name.
pub fn file_number(file: &str) -> Option<u64> {
    file.rsplit_once('.')?.1.parse().ok()
}

/// A position of which only the lower 32 bits are told, behind one that is known whole.
fn unwrapped(last: u64, low: u32) -> u64 {
    let at = last & !0xffff_ffff | u64::from(low);
    if at < last && last - at > 1 << 31 {
        at + (1 << 32)
    } else {
        at
    }
}

#[cfg(test)]
mod tests;
