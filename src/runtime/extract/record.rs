//! The record: one line of JSON about one row.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use super::encode::{Encoded, Malformed, Plan, clock, date, text};
use super::table::Table;
use crate::runtime::mysql::{Column, Moment};

/// Rows that differ within one watermark of a table without a key. Each costs about 40 bytes while they are counted.
const GROUP_MAX: usize = 400_000;

/// Why a row does not become a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Too many rows to tell equal ones apart in bounded memory.
    #[error(
        "the table has no primary key and more than {GROUP_MAX} different rows with the same watermark; add a primary key, or a finer watermark"
    )]
    Group,
}

/// When the rows of a reading were read: the source's clock, microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading(pub u64);

/// Makes records of the rows of one reading.
pub struct Recorder {
    pub plan: Plan,
    key: Vec<usize>,
    watermark: Vec<usize>,
    reading: Reading,
    number: u64,
    /// `{"op":"u","schema":…,"table":…,"key":`
    head: Vec<u8>,
    row: Encoded,
    /// How often each row without a key was there, within its watermark.
    seen: HashMap<u128, u32>,
    group: Vec<u8>,
    /// The record made last, with its line break.
    pub line: Vec<u8>,
    /// The key of the record made last, by which the stream spreads records: a hash.
    pub spread: String,
}

impl Recorder {
    /// For rows with these columns, which are those of the table. `watermark` gives `ts`, by its first column.
    pub fn new(table: &Table, columns: &[Column], watermark: &[usize], reading: Reading) -> Self {
        let is_json = |name: &str| {
            table
                .fields
                .iter()
                .any(|field| field.name == name && field.checked_json)
        };
        let mut head = b"{\"op\":\"u\",\"schema\":".to_vec();
        text(&mut head, table.schema.as_bytes());
        head.extend_from_slice(b",\"table\":");
        text(&mut head, table.name.as_bytes());
        head.extend_from_slice(b",\"key\":");
        Self {
            plan: Plan::new(columns, is_json),
            key: table.key.clone(),
            watermark: watermark.to_vec(),
            reading,
            number: 0,
            head,
            row: Encoded::default(),
            seen: HashMap::new(),
            group: Vec::new(),
            line: Vec::new(),
            spread: String::new(),
        }
    }

    /// Makes the record of a row: `line`, and `spread`.
    #[inline]
    pub fn record(&mut self, packet: &[u8]) -> Result<(), RecordError> {
        let first = self.watermark.first().copied();
        let moment = self.plan.encode(packet, &mut self.row, first)?;
        self.number += 1;
        let line = &mut self.line;
        line.clear();
        line.extend_from_slice(&self.head);
        let start = line.len();
        if self.key.is_empty() {
            self.hashed_key()?;
        } else {
            for (index, column) in self.key.iter().enumerate() {
                line.push(if index == 0 { b'{' } else { b',' });
                line.extend_from_slice(self.plan.label(*column));
                line.extend_from_slice(&self.row.after[self.row.spans[*column].clone()]);
            }
            line.push(b'}');
        }
        let line = &mut self.line;
        let spread = fnv(&line[start..]);
        line.extend_from_slice(b",\"seq\":\"");
        padded(line, self.reading.0, 20);
        line.push(b'-');
        padded(line, self.number, 12);
        line.extend_from_slice(b"\",\"ts\":\"");
        let at = moment.unwrap_or_else(|| self.reading.moment());
        date(line, at);
        line.push(b'T');
        clock(line, at, 6);
        line.extend_from_slice(b"Z\",\"before\":null,\"after\":");
        line.extend_from_slice(&self.row.after);
        if !self.row.zero.is_empty() {
            line.extend_from_slice(b",\"zero\":{");
            line.extend_from_slice(&self.row.zero);
            line.push(b'}');
        }
        line.extend_from_slice(b"}\n");
        spread_by(&mut self.spread, spread);
        Ok(())
    }

    /// The row's number in the reading, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// `seq` of the record made last.
    pub fn seq(&self) -> String {
        format!("{:020}-{:012}", self.reading.0, self.number)
    }

    /// A key from the row itself: its hash, and which of its equals it is. Equal rows have equal watermarks, so they are
    /// counted within one watermark.
    fn hashed_key(&mut self) -> Result<(), RecordError> {
        let group = self.watermark.iter().map(|column| self.row.spans[*column].clone());
        let group: Vec<u8> = group.flat_map(|span| self.row.after[span].iter().copied()).collect();
        if group != self.group {
            self.seen.clear();
            self.group = group;
        }
        let hash = row_hash(&self.row.after);
        if self.seen.len() >= GROUP_MAX {
            return Err(RecordError::Group);
        }
        let count = self.seen.entry(hash).or_default();
        *count += 1;
        let key = format!("{{\"_row\":\"{hash:032x}-{count}\"}}");
        self.line.extend_from_slice(key.as_bytes());
        Ok(())
    }
}

/// The hash that tells a row without a key from others, of the object of all its columns.
pub fn row_hash(after: &[u8]) -> u128 {
    let mut first = [0; 16];
    first.copy_from_slice(&Sha256::digest(after)[..16]);
    u128::from_be_bytes(first)
}

impl Reading {
    /// The moment in UTC.
    pub fn moment(self) -> Moment {
        let (days, rest) = (self.0 / 86_400_000_000, self.0 % 86_400_000_000);
        let (year, month, day) = crate::calendar::from_days(days as i64);
        let seconds = rest / 1_000_000;
        Moment {
            year: year as u16,
            month,
            day,
            hour: (seconds / 3600) as u8,
            minute: (seconds / 60 % 60) as u8,
            second: (seconds % 60) as u8,
            micros: (rest % 1_000_000) as u32,
        }
    }
}

/// A number with leading zeros.
pub fn padded(out: &mut Vec<u8>, number: u64, digits: usize) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(number);
    out.resize(out.len() + digits.saturating_sub(text.len()), b'0');
    out.extend_from_slice(text.as_bytes());
}

/// What spreads records in the stream by a hash: its sixteen hexadecimal digits.
pub fn spread_by(spread: &mut String, hash: u64) {
    const DIGITS: [[u8; 2]; 256] = {
        let hex = b"0123456789abcdef";
        let mut all = [[0; 2]; 256];
        let mut byte = 0;
        while byte < 256 {
            all[byte] = [hex[byte >> 4], hex[byte & 15]];
            byte += 1;
        }
        all
    };
    let digits = hash.to_be_bytes().map(|byte| DIGITS[usize::from(byte)]);
    spread.clear();
    spread.push_str(std::str::from_utf8(digits.as_flattened()).unwrap_or_default());
}

/// FNV-1a, 64 bits: the same in every version of the program, unlike the standard library's hashes.
pub fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_becomes_a_moment() {
        // date -u -d @1732179600 says 2024-11-21 09:00:00.
        let at = Reading(1_732_179_600_000_042).moment();
        assert_eq!((at.year, at.month, at.day), (2024, 11, 21));
        assert_eq!((at.hour, at.minute, at.second, at.micros), (9, 0, 0, 42));
    }

    #[test]
    fn the_hash_is_the_published_one() {
        // From the test vectors of FNV's authors (http://www.isthe.com/chongo/tech/comp/fnv/).
        assert_eq!(fnv(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
