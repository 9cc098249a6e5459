//! Rows of the wire to JSON bytes: one plan per result set, no allocation per row.
//!
//! The encoding of every type is the table in `docs/mysql-types.md`.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::runtime::letters::{is_plain_ascii, plain};
use crate::runtime::mysql::{Cell, Cells, Column, Duration, Moment, Value, kind};

/// What becomes of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Number,
    Bits,
    /// Decimals: digits that a JSON number would not keep.
    Digits,
    Text,
    Base64,
    /// JSON that is taken as it is.
    Json,
    /// JSON that only a check vouches for (MariaDB), so it is looked at first.
    CheckedJson,
    Geometry,
    Vector,
    Date,
    Local(u8),
    Utc(u8),
    Time(u8),
}

impl Shape {
    /// The shape of a result set's column.
    pub fn of(column: &Column, checked_json: bool) -> Self {
        let digits = if column.decimals > 6 { 6 } else { column.decimals };
        match column.kind {
            kind::TINY
            | kind::SHORT
            | kind::INT24
            | kind::LONG
            | kind::LONGLONG
            | kind::YEAR
            | kind::FLOAT
            | kind::DOUBLE => Self::Number,
            kind::BIT => Self::Bits,
            kind::DECIMAL | kind::NEWDECIMAL => Self::Digits,
            kind::JSON => Self::Json,
            kind::GEOMETRY => Self::Geometry,
            kind::VECTOR => Self::Vector,
            kind::DATE => Self::Date,
            kind::DATETIME => Self::Local(digits),
            kind::TIMESTAMP => Self::Utc(digits),
            kind::TIME => Self::Time(digits),
            _ if checked_json => Self::CheckedJson,
            _ if column.binary => Self::Base64,
            _ => Self::Text,
        }
    }
}

/// A column, what becomes of it, and the bytes before each of its values.
pub struct Planned {
    pub column: Column,
    pub shape: Shape,
    /// `"name":`
    label: Vec<u8>,
}

/// How rows of a result set become JSON.
pub struct Plan {
    pub columns: Vec<Planned>,
}

/// One encoded row. Kept from row to row, so that its buffers are not made anew.
#[derive(Default)]
pub struct Encoded {
    /// The object of all columns.
    pub after: Vec<u8>,
    /// Where each column's value is in `after`.
    pub spans: Vec<Range<usize>>,
    /// Members of the object `zero`: dates that became null, as the database shows them.
    pub zero: Vec<u8>,
}

/// A row is not what the result set's columns say.
#[derive(Debug, thiserror::Error)]
#[error("a row of the result does not fit its columns")]
pub struct Malformed;

impl Plan {
    /// A plan for these columns; `checked_json` says which hold JSON by a check constraint only.
    pub fn new(columns: &[Column], checked_json: impl Fn(&str) -> bool) -> Self {
        let columns = columns
            .iter()
            .map(|column| {
                let mut label = Vec::new();
                text(&mut label, column.name.as_bytes());
                label.push(b':');
                Planned {
                    shape: Shape::of(column, checked_json(&column.name)),
                    column: column.clone(),
                    label,
                }
            })
            .collect();
        Self { columns }
    }

    /// `"name":` of a column.
    pub fn label(&self, column: usize) -> &[u8] {
        &self.columns[column].label
    }

    /// Encodes one row. Gives the moment in the column `moment`, if it is one and not null.
    #[inline]
    pub fn encode(&self, packet: &[u8], row: &mut Encoded, moment: Option<usize>) -> Result<Option<Moment>, Malformed> {
        row.after.clear();
        row.spans.clear();
        row.zero.clear();
        let mut cells = Cells::new(packet, self.columns.len()).ok_or(Malformed)?;
        let mut found = None;
        row.after.push(b'{');
        for (index, planned) in self.columns.iter().enumerate() {
            if index > 0 {
                row.after.push(b',');
            }
            row.after.extend_from_slice(&planned.label);
            let cell = cells.next(&planned.column).ok_or(Malformed)?;
            let start = row.after.len();
            planned.write(&mut row.after, &mut row.zero, cell);
            row.spans.push(start..row.after.len());
            if let (true, Cell::Moment(at)) = (moment == Some(index), cell)
                && is_real(at)
            {
                found = Some(at);
            }
        }
        row.after.push(b'}');
        Ok(found)
    }

    /// The values of some columns of a row, to bind them again.
    pub fn values(&self, packet: &[u8], wanted: &[usize]) -> Result<Vec<Option<Value>>, Malformed> {
        let mut cells = Cells::new(packet, self.columns.len()).ok_or(Malformed)?;
        let mut all = Vec::with_capacity(self.columns.len());
        for planned in &self.columns {
            all.push(cells.next(&planned.column).ok_or(Malformed)?);
        }
        Ok(wanted
            .iter()
            .map(|index| self.columns[*index].value(all[*index]))
            .collect())
    }
}

impl Planned {
    #[inline]
    fn write(&self, out: &mut Vec<u8>, zero: &mut Vec<u8>, cell: Cell<'_>) {
        match (self.shape, cell) {
            (_, Cell::Null) => out.extend_from_slice(b"null"),
            (_, Cell::Signed(number)) => out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
            (_, Cell::Unsigned(number)) => out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
            (_, Cell::Float(number)) => float(out, number.is_finite(), number),
            (_, Cell::Double(number)) => float(out, number.is_finite(), number),
            (_, Cell::Moment(at)) if !is_real(at) => {
                out.extend_from_slice(b"null");
                if !zero.is_empty() {
                    zero.push(b',');
                }
                zero.extend_from_slice(&self.label);
                self.moment(zero, at);
            }
            (_, Cell::Moment(at)) => self.moment(out, at),
            (_, Cell::Duration(length)) => {
                out.push(b'"');
                duration(out, length, self.fraction());
                out.push(b'"');
            }
            (Shape::Bits, Cell::Bytes(bytes)) => {
                out.extend_from_slice(itoa::Buffer::new().format(bits(bytes)).as_bytes());
            }
            (Shape::Digits, Cell::Bytes(bytes)) => {
                out.push(b'"');
                out.extend_from_slice(bytes);
                out.push(b'"');
            }
            (Shape::Json, Cell::Bytes(bytes)) => out.extend_from_slice(bytes),
            (Shape::CheckedJson, Cell::Bytes(bytes)) => checked_json(out, bytes),
            (Shape::Base64, Cell::Bytes(bytes)) => base64(out, bytes),
            (Shape::Geometry, Cell::Bytes(bytes)) => geometry(out, bytes),
            (Shape::Vector, Cell::Bytes(bytes)) => vector(out, bytes),
            (_, Cell::Bytes(bytes)) => text(out, bytes),
        }
    }

    fn fraction(&self) -> u8 {
        match self.shape {
            Shape::Local(digits) | Shape::Utc(digits) | Shape::Time(digits) => digits,
            _ => 0,
        }
    }

    fn moment(&self, out: &mut Vec<u8>, at: Moment) {
        out.push(b'"');
        date(out, at);
        if self.shape != Shape::Date {
            out.push(b'T');
            clock(out, at, self.fraction());
            if matches!(self.shape, Shape::Utc(_)) {
                out.push(b'Z');
            }
        }
        out.push(b'"');
    }

    /// The value as a statement takes it back.
    fn value(&self, cell: Cell<'_>) -> Option<Value> {
        let written = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&mut out);
            Value::Text(String::from_utf8_lossy(&out).into_owned())
        };
        Some(match cell {
            Cell::Null => return None,
            Cell::Signed(number) => Value::Signed(number),
            Cell::Unsigned(number) => Value::Unsigned(number),
            Cell::Float(number) => written(&|out| float(out, true, number)),
            Cell::Double(number) => written(&|out| float(out, true, number)),
            Cell::Moment(at) if self.shape == Shape::Date => written(&|out| date(out, at)),
            Cell::Moment(at) => written(&|out| {
                date(out, at);
                out.push(b' ');
                clock(out, at, self.fraction());
            }),
            Cell::Duration(length) => written(&|out| duration(out, length, self.fraction())),
            Cell::Bytes(bytes) => match self.shape {
                Shape::Bits => Value::Unsigned(bits(bytes)),
                Shape::Base64 => Value::Bytes(bytes.to_vec()),
                _ => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
            },
        })
    }
}

/// Whether the calendar has the day. MySQL stores others: zeros anywhere, and with ALLOW_INVALID_DATES a 31st of April.
pub fn is_real(at: Moment) -> bool {
    let days = match at.month {
        4 | 6 | 9 | 11 => 30,
        2 if at.year.is_multiple_of(4) && (!at.year.is_multiple_of(100) || at.year.is_multiple_of(400)) => 29,
        2 => 28,
        1..=12 => 31,
        _ => return false,
    };
    at.year > 0 && (1..=days).contains(&at.day)
}

/// Shortest text that reads back as the same number.
pub fn float(out: &mut Vec<u8>, finite: bool, number: impl zmij::Float) {
    if finite {
        out.extend_from_slice(zmij::Buffer::new().format_finite(number).as_bytes());
    } else {
        // MySQL stores none of these.
        out.extend_from_slice(b"null");
    }
}

/// The last two digits of a number.
#[inline]
fn digits(number: u8) -> [u8; 2] {
    const ALL: [[u8; 2]; 256] = {
        let mut all = [[0; 2]; 256];
        let mut number = 0;
        while number < 256 {
            all[number] = [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8];
            number += 1;
        }
        all
    };
    ALL[usize::from(number)]
}

#[inline]
fn two(out: &mut Vec<u8>, number: u8) {
    out.extend_from_slice(&digits(number));
}

#[inline]
pub fn date(out: &mut Vec<u8>, at: Moment) {
    let [a, b] = digits((at.year / 100) as u8);
    let [c, d] = digits((at.year % 100) as u8);
    let ([e, f], [g, h]) = (digits(at.month), digits(at.day));
    out.extend_from_slice(&[a, b, c, d, b'-', e, f, b'-', g, h]);
}

#[inline]
pub fn clock(out: &mut Vec<u8>, at: Moment, parts: u8) {
    let ([a, b], [c, d], [e, f]) = (digits(at.hour), digits(at.minute), digits(at.second));
    out.extend_from_slice(&[a, b, b':', c, d, b':', e, f]);
    fraction(out, at.micros, parts);
}

pub fn duration(out: &mut Vec<u8>, length: Duration, digits: u8) {
    if length.negative {
        out.push(b'-');
    }
    if length.hours < 10 {
        out.push(b'0');
    }
    out.extend_from_slice(itoa::Buffer::new().format(length.hours).as_bytes());
    out.push(b':');
    two(out, length.minutes);
    out.push(b':');
    two(out, length.seconds);
    fraction(out, length.micros, digits);
}

/// So many digits of a second's fraction behind a point.
#[inline]
fn fraction(out: &mut Vec<u8>, micros: u32, count: u8) {
    if count == 0 {
        return;
    }
    let [a, b] = digits((micros / 10_000) as u8);
    let ([c, d], [e, f]) = (digits((micros / 100 % 100) as u8), digits((micros % 100) as u8));
    let all = [b'.', a, b, c, d, e, f];
    out.extend_from_slice(&all[..=usize::from(count.min(6))]);
}

/// A BIT's bytes, the most significant first.
fn bits(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

pub fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // The room is exactly what base64 needs.
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or_default();
    out.truncate(start + written);
    out.push(b'"');
}

/// Four bytes of SRID, then WKB (<https://dev.mysql.com/doc/refman/8.4/en/gis-data-formats.html>).
pub fn geometry(out: &mut Vec<u8>, bytes: &[u8]) {
    let (srid, wkb) = bytes.split_first_chunk::<4>().unwrap_or((&[0; 4], bytes));
    out.extend_from_slice(b"{\"srid\":");
    out.extend_from_slice(itoa::Buffer::new().format(u32::from_le_bytes(*srid)).as_bytes());
    out.extend_from_slice(b",\"wkb\":");
    base64(out, wkb);
    out.push(b'}');
}

/// Single-precision numbers, one after the other (<https://dev.mysql.com/doc/refman/9.0/en/vector.html>).
pub fn vector(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'[');
    for (index, number) in bytes.chunks_exact(4).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let number = f32::from_le_bytes([number[0], number[1], number[2], number[3]]);
        float(out, number.is_finite(), number);
    }
    out.push(b']');
}

/// JSON as the user wrote it, on one line; a string where it is none.
pub fn checked_json(out: &mut Vec<u8>, bytes: &[u8]) {
    match serde_json::from_slice::<&serde_json::value::RawValue>(bytes) {
        // Valid JSON has line breaks between its tokens only.
        Ok(raw) => out.extend(
            raw.get()
                .bytes()
                .map(|byte| if byte == b'\n' || byte == b'\r' { b' ' } else { byte }),
        ),
        Err(_) => text(out, bytes),
    }
}

/// A JSON string. Bytes that are not UTF-8 become U+FFFD, as JSON has no way to keep them.
pub fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    if is_plain_ascii(bytes) {
        out.push(b'"');
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
    let lossy;
    let bytes = match std::str::from_utf8(bytes) {
        Ok(_) => bytes,
        Err(_) => {
            lossy = String::from_utf8_lossy(bytes).into_owned();
            lossy.as_bytes()
        }
    };
    out.push(b'"');
    let mut rest = bytes;
    loop {
        let (clean, behind) = rest.split_at(plain(rest));
        out.extend_from_slice(clean);
        match behind.split_first() {
            Some((byte, behind)) => {
                escape(out, *byte);
                rest = behind;
            }
            None => break,
        }
    }
    out.push(b'"');
}

#[cold]
fn escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => out.extend_from_slice(&[
            b'\\',
            b'u',
            b'0',
            b'0',
            HEX[usize::from(byte >> 4)],
            HEX[usize::from(byte & 15)],
        ]),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_reads_back(given in ".*") {
            let mut out = Vec::new();
            text(&mut out, given.as_bytes());
            prop_assert!(!out.contains(&b'\n'));
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), given);
        }

        #[test]
        fn floats_read_back(single in any::<f32>(), double in any::<f64>()) {
            prop_assume!(single.is_finite() && double.is_finite());
            let mut out = Vec::new();
            float(&mut out, true, single);
            prop_assert_eq!(std::str::from_utf8(&out).unwrap().parse::<f32>().unwrap(), single);
            out.clear();
            float(&mut out, true, double);
            // Rust's own parser rounds correctly; serde_json's is an ulp off now and then, and only judges the form here:
            // https://docs.rs/crate/serde_json/latest/features (`float_roundtrip`)
            prop_assert!(serde_json::from_slice::<f64>(&out).is_ok());
            prop_assert_eq!(std::str::from_utf8(&out).unwrap().parse::<f64>().unwrap(), double);
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_marked() {
        let mut out = Vec::new();
        text(&mut out, b"a\xFFb");
        assert_eq!(out, "\"a\u{FFFD}b\"".as_bytes());
    }

    #[test]
    fn only_days_of_the_calendar_are_real() {
        let at = |year, month, day| {
            is_real(Moment {
                year,
                month,
                day,
                ..Moment::default()
            })
        };
        assert!(at(2000, 2, 29) && at(2024, 2, 29) && at(9999, 12, 31) && at(1, 1, 1));
        for (year, month, day) in [
            (0, 0, 0),
            (2024, 0, 1),
            (2024, 1, 0),
            (1900, 2, 29),
            (2024, 4, 31),
            (0, 1, 1),
        ] {
            assert!(!at(year, month, day), "{year}-{month}-{day}");
        }
    }
}
