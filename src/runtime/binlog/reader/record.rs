//! The record of a row: its line, and what sends it on its way.

use std::ops::Range;

use super::super::gtid::Gtid;
use super::super::rows::Layout;
use crate::runtime::extract::encode::{Encoded, clock, date, text};
use crate::runtime::extract::record::{fnv, padded, spread_by};
use crate::runtime::mysql::Moment;

/// The record made last, and what those of one event have in common.
pub struct Record {
    generation: u32,
    /// `seq` of the event's records up to the row's number.
    start: Vec<u8>,
    row: u64,
    gtid: Vec<u8>,
    ts: Vec<u8>,
    /// What stands between the row's number and its images.
    middle: Vec<u8>,
    /// The line, with its line break.
    pub line: Vec<u8>,
    /// A hash of the key, by which the stream spreads records.
    pub spread: String,
    /// Where in the line its `seq` is.
    seq: Range<usize>,
    /// The table, `schema.table`.
    pub title: String,
}

impl Record {
    /// The `seq` of the record made last.
    pub fn seq(&self) -> &str {
        std::str::from_utf8(&self.line[self.seq.clone()]).unwrap_or_default()
    }

    /// None was made yet.
    pub fn new(generation: u32) -> Self {
        Self {
            generation,
            start: Vec::new(),
            row: 0,
            gtid: b"null".to_vec(),
            ts: Vec::new(),
            middle: Vec::new(),
            line: Vec::new(),
            spread: String::new(),
            seq: 0..0,
            title: String::new(),
        }
    }

    /// The next records are of the event that ends at this byte of this file, and that was logged then.
    pub fn begin_event(&mut self, file: u64, end: u64, at: Moment) {
        self.row = 0;
        self.start.clear();
        for (number, digits) in [(u64::from(self.generation), 6), (file, 10), (end, 20)] {
            padded(&mut self.start, number, digits);
            self.start.push(b'-');
        }
        self.ts.clear();
        date(&mut self.ts, at);
        self.ts.push(b'T');
        clock(&mut self.ts, at, 6);
        self.ts.push(b'Z');
        self.join_middle();
    }

    /// The next records are of this transaction.
    pub fn begin_transaction(&mut self, gtid: Option<&Gtid>) {
        self.gtid.clear();
        match gtid {
            Some(gtid) => text(&mut self.gtid, gtid.to_string().as_bytes()),
            None => self.gtid.extend_from_slice(b"null"),
        }
        self.join_middle();
    }

    fn join_middle(&mut self) {
        self.middle.clear();
        for part in [
            b"\",\"gtid\":",
            self.gtid.as_slice(),
            b",\"ts\":\"",
            &self.ts,
            b"\",\"before\":",
        ] {
            self.middle.extend_from_slice(part);
        }
    }

    /// Makes the record of a row's images: of an insert `i`, an update `u` or a delete `d`.
    #[inline]
    pub fn write(&mut self, layout: &Layout, operation: u8, before: &Encoded, after: &Encoded) {
        let image = if operation == b'd' { before } else { after };
        let line = &mut self.line;
        line.clear();
        line.extend_from_slice(&[b'{', b'"', b'o', b'p', b'"', b':', b'"', operation, b'"']);
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
        line.extend_from_slice(&self.start);
        padded(line, self.row, 8);
        self.row += 1;
        let seq = seq..line.len();
        line.extend_from_slice(&self.middle);
        match operation {
            b'i' => line.extend_from_slice(b"null"),
            _ => line.extend_from_slice(&before.after),
        }
        line.extend_from_slice(b",\"after\":");
        match operation {
            b'd' => line.extend_from_slice(b"null"),
            _ => line.extend_from_slice(&after.after),
        }
        if !image.zero.is_empty() {
            line.extend_from_slice(b",\"zero\":{");
            line.extend_from_slice(&image.zero);
            line.push(b'}');
        }
        line.extend_from_slice(b"}\n");
        self.seq = seq;
        spread_by(&mut self.spread, spread);
        if self.title.len() != layout.schema.len() + 1 + layout.table.len() || !self.title.ends_with(&layout.table) {
            self.title = layout.title();
        }
    }

    /// Makes the record that every older row of a table is gone.
    pub fn empty(&mut self, schema: &str, table: &str) {
        let mut seq = self.start.clone();
        padded(&mut seq, self.row, 8);
        self.row += 1;
        let seq = String::from_utf8(seq).unwrap_or_default();
        (self.line, self.spread) = emptied(schema, table, &seq, &self.gtid, &self.ts);
        let start = memchr::memmem::find(&self.line, seq.as_bytes()).unwrap_or_default();
        self.seq = start..start + seq.len();
        self.title = format!("{schema}.{table}");
    }
}

/// The record that every row of a table is gone whose seq is smaller, and what spreads it.
pub fn emptied(schema: &str, table: &str, seq: &str, gtid: &[u8], ts: &[u8]) -> (Vec<u8>, String) {
    let mut line = b"{\"op\":\"t\",\"schema\":".to_vec();
    text(&mut line, schema.as_bytes());
    line.extend_from_slice(b",\"table\":");
    text(&mut line, table.as_bytes());
    let mut spread = String::new();
    spread_by(&mut spread, fnv(&line));
    line.extend_from_slice(b",\"key\":null,\"seq\":\"");
    line.extend_from_slice(seq.as_bytes());
    line.extend_from_slice(b"\",\"gtid\":");
    line.extend_from_slice(gtid);
    line.extend_from_slice(b",\"ts\":\"");
    line.extend_from_slice(ts);
    line.extend_from_slice(b"\",\"before\":null,\"after\":null}\n");
    (line, spread)
}
