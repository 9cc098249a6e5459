//! Row images to JSON bytes: one layout per table map, no allocation per row.
//!
//! The encoding of every type is the table in `docs/mysql-types.md`, the same as the extractor's.
//! How values lie in an image:
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/classmysql_1_1binlog_1_1event_1_1Rows__event.html>.

use super::charset::Charset;
use super::json;
use crate::runtime::extract::encode::{
    Encoded, base64, checked_json, clock, date, duration, float, geometry, is_real, text, vector,
};
use crate::runtime::mysql::{Bytes, Duration, Moment};

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

/// A column of a table whose rows are wanted.
#[derive(Debug, Clone)]
pub struct Field {
    pub name: String,
    /// `"name":`
    pub label: Vec<u8>,
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
        Self {
            name: name.to_owned(),
            label,
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
            out.push(if index == 0 { b'{' } else { b',' });
            out.extend_from_slice(&field.label);
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
        if self.fields.is_empty() {
            out.push(b'{');
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
            Shape::Date => {
                let [a, b, c] = rest.number()?;
                let packed = u32::from_le_bytes([a, b, c, 0]);
                let at = Moment {
                    year: (packed >> 9) as u16,
                    month: (packed >> 5 & 15) as u8,
                    day: (packed & 31) as u8,
                    ..Moment::default()
                };
                self.moment(out, zero, at);
            }
            Shape::Local(digits) => {
                let at = local(rest, *digits)?;
                self.moment(out, zero, at);
            }
            Shape::Utc(digits) => {
                let seconds = rest.number().map(u32::from_be_bytes)?;
                let micros = fraction(rest, *digits)?;
                self.moment(out, zero, from_seconds(seconds, micros));
            }
            Shape::OldUtc => {
                let seconds = rest.long()?;
                self.moment(out, zero, from_seconds(seconds, 0));
            }
            Shape::OldLocal => {
                let packed = rest.number().map(u64::from_le_bytes)?;
                self.moment(out, zero, from_digits(packed));
            }
            Shape::Time(digits) => quoted(out, |out| {
                duration(out, time(rest, *digits)?, *digits);
                Some(())
            })?,
            Shape::OldTime => quoted(out, |out| {
                let [a, b, c] = rest.number()?;
                let packed = i32::from_le_bytes([0, a, b, c]) >> 8;
                let length = Duration {
                    negative: packed < 0,
                    hours: packed.unsigned_abs() / 10_000,
                    minutes: (packed.unsigned_abs() / 100 % 100) as u8,
                    seconds: (packed.unsigned_abs() % 100) as u8,
                    micros: 0,
                };
                duration(out, length, 0);
                Some(())
            })?,
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

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> Option<()> {
    out.push(b'"');
    write(out)?;
    out.push(b'"');
    Some(())
}

#[inline]
fn unsigned(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[inline]
fn integer(out: &mut Vec<u8>, rest: &mut Bytes<'_>, bytes: u8, is_unsigned: bool) -> Option<()> {
    let number = little_endian(rest.take(usize::from(bytes))?);
    if is_unsigned {
        unsigned(out, number);
    } else {
        let spare = 64 - 8 * u32::from(bytes);
        let number = (number << spare).cast_signed() >> spare;
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }
    Some(())
}

/// At most eight bytes, the least significant first.
#[inline]
fn little_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// At most eight bytes, the most significant first.
#[inline]
fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Bytes behind a length of `prefix` bytes.
#[inline]
pub fn counted<'a>(rest: &mut Bytes<'a>, prefix: u8) -> Option<&'a [u8]> {
    let length = little_endian(rest.take(usize::from(prefix))?);
    rest.take(usize::try_from(length).ok()?)
}

/// Groups of nine digits in four bytes each, what is left over in fewer; the first bit is the sign, and a negative
/// number has all bits inverted (<https://dev.mysql.com/doc/refman/8.4/en/precision-math-decimal-characteristics.html>).
pub fn decimal(out: &mut Vec<u8>, rest: &mut Bytes<'_>, precision: u8, scale: u8) -> Option<()> {
    const BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
    let (whole, parts) = (usize::from(precision.checked_sub(scale)?), usize::from(scale));
    let mut digits = Bytes(rest.take(whole / 9 * 4 + BYTES[whole % 9] + parts / 9 * 4 + BYTES[parts % 9])?);
    let first = *digits.0.first()?;
    let negative = first & 0x80 == 0;
    let mut flip = Some(0x80);
    let mut group = |count: usize| {
        let bytes = digits.take(BYTES[count])?;
        let number = bytes.iter().fold(0_u32, |number, byte| {
            let byte = byte ^ flip.take().unwrap_or(0) ^ if negative { 0xff } else { 0 };
            number << 8 | u32::from(byte)
        });
        Some(number)
    };
    if negative {
        out.push(b'-');
    }
    let start = out.len();
    let mut write = |out: &mut Vec<u8>, count: usize, leading: bool| {
        let number = group(count)?;
        let mut buffer = itoa::Buffer::new();
        let shown = buffer.format(number);
        if leading {
            if number > 0 {
                out.extend_from_slice(shown.as_bytes());
            }
        } else {
            out.resize(out.len() + count.saturating_sub(shown.len()), b'0');
            out.extend_from_slice(shown.as_bytes());
        }
        Some(())
    };
    if !whole.is_multiple_of(9) {
        write(out, whole % 9, true)?;
    }
    for _ in 0..whole / 9 {
        let leading = out.len() == start;
        write(out, 9, leading)?;
    }
    if out.len() == start {
        out.push(b'0');
    }
    if parts > 0 {
        out.push(b'.');
        for _ in 0..parts / 9 {
            write(out, 9, false)?;
        }
        if !parts.is_multiple_of(9) {
            write(out, parts % 9, false)?;
        }
    }
    Some(())
}

/// A fraction of a second with so many digits, as microseconds.
fn fraction(rest: &mut Bytes<'_>, digits: u8) -> Option<u32> {
    let bytes = usize::from(digits.div_ceil(2));
    Some(big_endian(rest.take(bytes)?) as u32 * scale_of(bytes))
}

/// What one unit of a fraction in so many bytes is, in microseconds.
fn scale_of(bytes: usize) -> u32 {
    match bytes {
        1 => 10_000,
        2 => 100,
        _ => 1,
    }
}

fn local(rest: &mut Bytes<'_>, digits: u8) -> Option<Moment> {
    let packed = big_endian(rest.take(5)?) & 0x7f_ffff_ffff;
    let months = packed >> 22;
    Some(Moment {
        year: (months / 13) as u16,
        month: (months % 13) as u8,
        day: (packed >> 17 & 31) as u8,
        hour: (packed >> 12 & 31) as u8,
        minute: (packed >> 6 & 63) as u8,
        second: (packed & 63) as u8,
        micros: fraction(rest, digits)?,
    })
}

/// The whole number, fraction included, is offset by half of its range.
fn time(rest: &mut Bytes<'_>, digits: u8) -> Option<Duration> {
    let bytes = usize::from(digits.div_ceil(2));
    let bits = 8 * bytes as u32;
    let packed = big_endian(rest.take(3 + bytes)?).cast_signed() - (0x80_0000_i64 << bits);
    let length = packed.unsigned_abs();
    let clock = length >> bits;
    Some(Duration {
        negative: packed < 0,
        hours: (clock >> 12 & 0x3ff) as u32,
        minutes: (clock >> 6 & 63) as u8,
        seconds: (clock & 63) as u8,
        micros: (length & ((1 << bits) - 1)) as u32 * scale_of(bytes),
    })
}

/// Seconds since 1970 in UTC; 0 is the zero date.
pub fn from_seconds(seconds: u32, micros: u32) -> Moment {
    if seconds == 0 && micros == 0 {
        return Moment::default();
    }
    let micros = u64::from(seconds) * 1_000_000 + u64::from(micros);
    crate::runtime::extract::record::Reading(micros).moment()
}

/// `YYYYMMDDhhmmss` as a number.
fn from_digits(packed: u64) -> Moment {
    let two = |divisor: u64| (packed / divisor % 100) as u8;
    Moment {
        year: (packed / 10_000_000_000 % 10_000) as u16,
        month: two(100_000_000),
        day: two(1_000_000),
        hour: two(10_000),
        minute: two(100),
        second: two(1),
        micros: 0,
    }
}

fn padded(out: &mut Vec<u8>, bytes: &[u8], length: usize) {
    if bytes.len() >= length {
        base64(out, bytes);
    } else {
        let mut whole = bytes.to_vec();
        whole.resize(length, 0);
        base64(out, &whole);
    }
}

/// A value of MariaDB's address types, whose zero bytes at the end are not in the image.
fn address(out: &mut Vec<u8>, bytes: &[u8], length: usize, show: impl Fn(&[u8]) -> String) {
    let mut whole = bytes.to_vec();
    whole.resize(length, 0);
    text(out, show(&whole).as_bytes());
}

/// MariaDB stores the parts of a UUID of version 1 to 5 from last to first, so that they sort by time
/// (<https://mariadb.com/docs/server/reference/data-types/string-data-types/uuid-data-type>).
fn uuid(bytes: &[u8]) -> String {
    let mut whole: [u8; 16] = bytes.try_into().unwrap_or_default();
    // Stored swapped unless the variant's bit or the version says otherwise.
    let swapped = whole[6] & 0x80 != 0 && whole[8] & 0xf0 <= 0x50 && whole[8] >= 0x10;
    if swapped {
        let stored = whole;
        whole[..4].copy_from_slice(&stored[12..]);
        whole[4..6].copy_from_slice(&stored[10..12]);
        whole[6..8].copy_from_slice(&stored[8..10]);
        whole[8..10].copy_from_slice(&stored[6..8]);
        whole[10..].copy_from_slice(&stored[..6]);
    }
    uuid::Uuid::from_bytes(whole).to_string()
}
