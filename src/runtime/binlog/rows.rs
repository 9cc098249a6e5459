//! Row images to JSON bytes: one layout per table map, no allocation per row.
//!
//! The encoding of every type is the table in `docs/mysql-types.md`, the same as the extractor's.
//! How values lie in an image:
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/classmysql_1_1binlog_1_1event_1_1Rows__event.html>.

use super::charset::Charset;
use super::values::{address, big_endian, counted, decimal, integer, little_endian, padded, quoted, unsigned, uuid};
use super::{json, temporal};
use crate::runtime::extract::encode::{
    Encoded, checked_json, clock, date, duration, float, geometry, is_real, text, vector,
};
use crate::runtime::mysql::{Bytes, Moment};

/// What a column's values are.
#[derive(Debug, Clone)]
pub enum Shape {
    Integer {
        bytes: u8,
        unsigned: bool,
    },
    Float,
    Double,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Bit {
        bytes: u8,
    },
    Year,
    Date,
    /// The number is that of digits of a second's fraction, here and below.
    Local(u8),
    Utc(u8),
    Time(u8),
    /// Temporal types as before MySQL 5.6, which tables keep until they are rebuilt.
    OldLocal,
    OldUtc,
    OldTime,
    /// Text behind a length of so many bytes.
    Text {
        prefix: u8,
        charset: Charset,
    },
    /// Bytes that are padded with zeros to their column's length.
    Padded {
        prefix: u8,
        length: usize,
    },
    Json,
    /// JSON that only a check vouches for (MariaDB).
    CheckedJson {
        prefix: u8,
    },
    Geometry {
        prefix: u8,
    },
    Vector {
        prefix: u8,
    },
    /// The members as JSON strings.
    Enum {
        bytes: u8,
        members: Vec<Vec<u8>>,
    },
    /// The members as they stand in a JSON string.
    Set {
        bytes: u8,
        members: Vec<Vec<u8>>,
    },
    /// MariaDB's UUID.
    Uuid,
    Inet4,
    Inet6,
}

/// Bytes that are copied at once.
const CHUNK: usize = 32;

/// A column of a table whose rows are wanted.
#[derive(Debug, Clone)]
pub struct Field {
    pub name: String,
    /// `"name":`
    pub label: Vec<u8>,
    /// The same behind a comma, filled up to whole chunks: copies of a fixed length need no call.
    next: Vec<[u8; CHUNK]>,
    /// What fills the last one.
    filling: usize,
    pub shape: Shape,
}

/// How the rows behind a table map become JSON.
#[derive(Debug)]
pub struct Layout {
    pub schema: String,
    pub table: String,
    /// `,"schema":…,"table":…,"key":`
    pub head: Vec<u8>,
    pub fields: Vec<Field>,
    /// The key's columns in its order.
    pub key: Vec<usize>,
}

impl Field {
    pub fn new(name: &str, shape: Shape) -> Self {
        let mut label = Vec::new();
        text(&mut label, name.as_bytes());
        label.push(b':');
        let mut next = [b",".as_slice(), label.as_slice()].concat();
        let filling = next.len().next_multiple_of(CHUNK) - next.len();
        next.resize(next.len() + filling, 0);
        Self {
            name: name.to_owned(),
            label,
            next: next.as_chunks().0.to_vec(),
            filling,
            shape,
        }
    }
}

impl Layout {
    pub fn new(schema: &str, table: &str, fields: Vec<Field>, key: Vec<usize>) -> Self {
        let mut head = b",\"schema\":".to_vec();
        text(&mut head, schema.as_bytes());
        head.extend_from_slice(b",\"table\":");
        text(&mut head, table.as_bytes());
        head.extend_from_slice(b",\"key\":");
        Self {
            schema: schema.to_owned(),
            table: table.to_owned(),
            head,
            fields,
            key,
        }
    }

    /// `schema.table`
    pub fn title(&self) -> String {
        format!("{}.{}", self.schema, self.table)
    }

    /// Encodes the image that `bytes` begins with and gives its length; `None` when there are too few of them.
    #[inline]
    pub fn image(&self, bytes: &[u8], row: &mut Encoded) -> Option<usize> {
        self.read(bytes, row, None)
    }

    /// The same for an image that an update may have left JSON documents out of: `partial` says in which columns, and
    /// the changes apply to the documents of `before`.
    pub fn partial_image(&self, bytes: &[u8], row: &mut Encoded, before: &Encoded) -> Option<usize> {
        let mut rest = Bytes(bytes);
        if rest.length()? & 1 == 0 {
            let skipped = bytes.len() - rest.0.len();
            return Some(skipped + self.read(rest.0, row, None)?);
        }
        let documents = self.fields.iter().filter(|field| matches!(field.shape, Shape::Json));
        let partial = rest.take(documents.count().div_ceil(8))?;
        let skipped = bytes.len() - rest.0.len();
        Some(skipped + self.read(rest.0, row, Some((partial, before)))?)
    }

    #[inline]
    fn read(&self, bytes: &[u8], row: &mut Encoded, partial: Option<(&[u8], &Encoded)>) -> Option<usize> {
        row.after.clear();
        row.spans.clear();
        row.zero.clear();
        let mut rest = Bytes(bytes);
        let nulls = rest.take(self.fields.len().div_ceil(8))?;
        let out = &mut row.after;
        let mut documents = 0;
        for (index, field) in self.fields.iter().enumerate() {
            field.next.iter().for_each(|chunk| out.extend_from_slice(chunk));
            out.truncate(out.len() - field.filling);
            let start = out.len();
            let document = documents;
            documents += usize::from(matches!(field.shape, Shape::Json));
            if nulls[index / 8] >> (index % 8) & 1 == 1 {
                out.extend_from_slice(b"null");
            } else if let (Shape::Json, Some((partial, before))) = (&field.shape, partial)
                && partial[document / 8] >> (document % 8) & 1 == 1
            {
                let length = rest.long()? as usize;
                let changes = rest.take(length)?;
                let document = &before.after[before.spans.get(index)?.clone()];
                json::apply(document, changes, out)?;
            } else {
                field.write(out, &mut row.zero, &mut rest)?;
            }
            row.spans.push(start..out.len());
        }
        match out.first_mut() {
            // The comma before the first.
            Some(first) => *first = b'{',
            None => out.push(b'{'),
        }
        out.push(b'}');
        Some(bytes.len() - rest.0.len())
    }
}

impl Field {
    #[inline]
    fn write(&self, out: &mut Vec<u8>, zero: &mut Vec<u8>, rest: &mut Bytes<'_>) -> Option<()> {
        match &self.shape {
            Shape::Integer { bytes, unsigned } => integer(out, rest, *bytes, *unsigned)?,
            Shape::Float => {
                let number = rest.number().map(f32::from_le_bytes)?;
                float(out, number.is_finite(), number);
            }
            Shape::Double => {
                let number = rest.number().map(f64::from_le_bytes)?;
                float(out, number.is_finite(), number);
            }
            Shape::Decimal { precision, scale } => {
                out.push(b'"');
                decimal(out, rest, *precision, *scale)?;
                out.push(b'"');
            }
            Shape::Bit { bytes } => unsigned(out, big_endian(rest.take(usize::from(*bytes))?)),
            Shape::Year => {
                let years = u64::from(rest.byte()?);
                unsigned(out, if years == 0 { 0 } else { 1900 + years });
            }
            Shape::Date => self.moment(out, zero, temporal::day(rest)?),
            Shape::Local(digits) => self.moment(out, zero, temporal::local(rest, *digits)?),
            Shape::Utc(digits) => self.moment(out, zero, temporal::utc(rest, *digits)?),
            Shape::OldUtc => {
                let seconds = rest.long()?;
                self.moment(out, zero, temporal::from_seconds(seconds, 0));
            }
            Shape::OldLocal => self.moment(out, zero, temporal::old_local(rest)?),
            Shape::Time(digits) => {
                let length = temporal::time(rest, *digits)?;
                quoted(out, |out| duration(out, length, *digits));
            }
            Shape::OldTime => {
                let length = temporal::old_time(rest)?;
                quoted(out, |out| duration(out, length, 0));
            }
            Shape::Text { prefix, charset } => charset.write(out, counted(rest, *prefix)?),
            Shape::Padded { prefix, length } => padded(out, counted(rest, *prefix)?, *length),
            Shape::Json => json::write(out, counted(rest, 4)?)?,
            Shape::CheckedJson { prefix } => checked_json(out, counted(rest, *prefix)?),
            Shape::Geometry { prefix } => geometry(out, counted(rest, *prefix)?),
            Shape::Vector { prefix } => vector(out, counted(rest, *prefix)?),
            Shape::Enum { bytes, members } => {
                let number = little_endian(rest.take(usize::from(*bytes))?);
                // Number 0 is the empty text that an invalid value becomes.
                let member = usize::try_from(number)
                    .ok()
                    .and_then(|number| members.get(number.checked_sub(1)?));
                out.extend_from_slice(member.map_or(b"\"\"".as_slice(), Vec::as_slice));
            }
            Shape::Set { bytes, members } => {
                let number = little_endian(rest.take(usize::from(*bytes))?);
                out.push(b'"');
                let mut comma = false;
                for (index, member) in members.iter().enumerate().take(64) {
                    if number >> index & 1 == 1 {
                        if comma {
                            out.push(b',');
                        }
                        comma = true;
                        out.extend_from_slice(member);
                    }
                }
                out.push(b'"');
            }
            Shape::Uuid => address(out, counted(rest, 1)?, 16, uuid),
            Shape::Inet4 => address(out, counted(rest, 1)?, 4, |bytes| {
                let four: [u8; 4] = bytes.try_into().unwrap_or_default();
                std::net::Ipv4Addr::from(four).to_string()
            }),
            Shape::Inet6 => address(out, counted(rest, 1)?, 16, |bytes| {
                let sixteen: [u8; 16] = bytes.try_into().unwrap_or_default();
                std::net::Ipv6Addr::from(sixteen).to_string()
            }),
        }
        Some(())
    }

    fn moment(&self, out: &mut Vec<u8>, zero: &mut Vec<u8>, at: Moment) {
        if is_real(at) {
            self.write_moment(out, at);
            return;
        }
        out.extend_from_slice(b"null");
        if !zero.is_empty() {
            zero.push(b',');
        }
        zero.extend_from_slice(&self.label);
        self.write_moment(zero, at);
    }

    fn write_moment(&self, out: &mut Vec<u8>, at: Moment) {
        let (digits, utc) = match self.shape {
            Shape::Local(digits) => (digits, false),
            Shape::Utc(digits) => (digits, true),
            Shape::OldUtc => (0, true),
            _ => (0, false),
        };
        out.push(b'"');
        date(out, at);
        if !matches!(self.shape, Shape::Date) {
            out.push(b'T');
            clock(out, at, digits);
            if utc {
                out.push(b'Z');
            }
        }
        out.push(b'"');
    }
}
