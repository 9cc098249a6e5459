//! From parts of events to records: what comes is taken apart as far as it is there, and never more than a row is held.
//!
//! An event of up to one packet (16 MiB) is read where it lies in the receive buffer. A longer one and a compressed one
//! flow through a buffer that holds what a row needs.

mod events;
mod record;
mod unread;

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::event::{self, CHECKSUM, HEADER, Header, Operation, RowsHeader, kind};
use super::gtid::Gtid;
use super::inflow::Inflow;
use super::query;
use super::rows::Layout;
use super::table_map::TableMap;
use super::temporal::from_seconds;
use crate::runtime::extract::encode::Encoded;
use crate::runtime::extract::record::Reading;
use crate::runtime::mysql::Part;
use events::Inner;
pub use record::{Record, emptied};
use unread::{Place, Rows};

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
    /// A record: the reader's `record`.
    Record,
    /// No transaction is under way at `position`: one is complete, or the server says that nothing follows.
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
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Position {
    pub file: String,
    pub offset: u64,
}

impl Position {
    /// What orders it among the places of its binlog.
    pub fn place(&self) -> Ordered {
        place(&self.file, self.offset)
    }
}

/// What orders the places of one binlog.
pub type Ordered = (Option<u64>, u64);

/// The place of an offset in a file. Names alone give no order: their numbers get longer after 999999.
pub fn place(file: &str, offset: u64) -> Ordered {
    (file_number(file), offset)
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
    before: Encoded,
    after: Encoded,
    /// The second record of an update that changed the key is still to be made.
    second: bool,
    gtid: Option<Gtid>,
    /// When the transaction was committed, microseconds since 1970.
    committed: Option<u64>,
    /// Whether a COMMIT is to come.
    open: bool,
    /// Whether a transaction began that is not complete.
    within: bool,
    /// The record found last.
    pub record: Record,
}

impl Reader {
    /// Reads rows of these tables. `checksums` says whether the first events have one.
    pub fn new(wanted: HashSet<(String, String)>, generation: u32, checksums: bool) -> Self {
        Self {
            wanted,
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
            before: Encoded::default(),
            after: Encoded::default(),
            second: false,
            gtid: None,
            committed: None,
            open: false,
            within: false,
            record: Record::new(generation),
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
        let at = self
            .committed
            .map_or_else(|| from_seconds(header.at, 0), |at| Reading(at).moment());
        self.record.begin_event(self.file_number, self.end, at);
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
        self.enter(header, part, body)
    }

    /// Begins to read what is in an event, of which this part holds a body.
    fn enter(&mut self, header: Header, part: &Part<'_>, body: Range<usize>) -> Result<(), ReadError> {
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
                self.write(b'i');
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
            Operation::Insert => self.write(b'i'),
            Operation::Delete => self.write(b'd'),
            Operation::Update | Operation::PartialUpdate => {
                self.second = self.key_changed();
                self.write(if self.second { b'd' } else { b'u' });
            }
        }
        Ok(Row::Record)
    }

    #[inline]
    fn write(&mut self, operation: u8) {
        if let Some(rows) = &self.rows {
            self.record.write(&rows.layout, operation, &self.before, &self.after);
        }
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
