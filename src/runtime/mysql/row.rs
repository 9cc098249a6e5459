//! Rows of the binary protocol, cell by cell
//! (<https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_binary_resultset.html>).

use super::connection::Column;
use super::kind;

/// A value as it lies in the receive buffer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    Null,
    Signed(i64),
    Unsigned(u64),
    Float(f32),
    Double(f64),
    /// Text, bytes, decimals, JSON, bits, geometry: everything that has a length before it.
    Bytes(&'a [u8]),
    Moment(Moment),
    Duration(Duration),
}

/// A date, or a date with a time. All zero where the server sent nothing: its zero date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    pub year: u16,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    pub micros: u32,
}

/// A TIME, which is a length of time of up to 34 days and may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Duration {
    pub negative: bool,
    pub hours: u32,
    pub minutes: u8,
    pub seconds: u8,
    pub micros: u32,
}

/// Reads little-endian numbers and counted bytes off the front of a slice; `None` where it is too short.
#[derive(Clone, Copy)]
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    #[inline]
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    #[inline]
    pub fn number<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    #[inline]
    pub fn byte(&mut self) -> Option<u8> {
        self.number::<1>().map(|[byte]| byte)
    }

    pub fn short(&mut self) -> Option<u16> {
        self.number().map(u16::from_le_bytes)
    }

    pub fn long(&mut self) -> Option<u32> {
        self.number().map(u32::from_le_bytes)
    }

    /// A length-encoded number.
    #[inline]
    pub fn length(&mut self) -> Option<u64> {
        match self.byte()? {
            short @ 0..=250 => Some(u64::from(short)),
            0xfc => self.short().map(u64::from),
            0xfd => {
                let [a, b, c] = self.number()?;
                Some(u64::from(u32::from_le_bytes([a, b, c, 0])))
            }
            0xfe => self.number().map(u64::from_le_bytes),
            _ => None,
        }
    }

    /// Bytes behind their length.
    #[inline]
    pub fn counted(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.length()?).ok()?;
        self.take(length)
    }

    /// Bytes up to a zero byte, which is dropped; all that is left when there is none.
    pub fn terminated(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        let text = &self.0[..end];
        self.0 = self.0.get(end + 1..).unwrap_or_default();
        text
    }

    #[inline]
    fn moment(&mut self) -> Option<Moment> {
        let mut moment = Moment::default();
        let length = self.byte()?;
        if length >= 4 {
            moment.year = self.short()?;
            [moment.month, moment.day] = self.number()?;
        }
        if length >= 7 {
            [moment.hour, moment.minute, moment.second] = self.number()?;
        }
        if length >= 11 {
            moment.micros = self.long()?;
        }
        Some(moment)
    }

    #[inline]
    fn duration(&mut self) -> Option<Duration> {
        let mut duration = Duration::default();
        let length = self.byte()?;
        if length >= 8 {
            duration.negative = self.byte()? != 0;
            let days = self.long()?;
            let [hours, minutes, seconds] = self.number()?;
            duration.hours = days.checked_mul(24)?.checked_add(u32::from(hours))?;
            (duration.minutes, duration.seconds) = (minutes, seconds);
        }
        if length >= 12 {
            duration.micros = self.long()?;
        }
        Some(duration)
    }
}

/// The cells of one row, in the order of the columns.
pub struct Cells<'a> {
    nulls: &'a [u8],
    rest: Bytes<'a>,
    index: usize,
}

impl<'a> Cells<'a> {
    /// A row of so many columns, or `None` when the packet is too short to be one.
    #[inline]
    pub fn new(packet: &'a [u8], columns: usize) -> Option<Self> {
        let mut rest = Bytes(packet);
        rest.byte()?;
        // The first two bits are reserved.
        let nulls = rest.take((columns + 9) / 8)?;
        Some(Self { nulls, rest, index: 0 })
    }

    /// The next cell, which is of this column; `None` when the packet ends too early.
    #[inline]
    pub fn next(&mut self, column: &Column) -> Option<Cell<'a>> {
        let bit = self.index + 2;
        self.index += 1;
        if self.nulls.get(bit / 8)? >> (bit % 8) & 1 == 1 {
            return Some(Cell::Null);
        }
        let rest = &mut self.rest;
        Some(match (column.kind, column.unsigned) {
            (kind::TINY, false) => Cell::Signed(i64::from(rest.number().map(i8::from_le_bytes)?)),
            (kind::TINY, true) => Cell::Unsigned(u64::from(rest.byte()?)),
            (kind::SHORT, false) => Cell::Signed(i64::from(rest.number().map(i16::from_le_bytes)?)),
            (kind::SHORT, true) | (kind::YEAR, _) => Cell::Unsigned(u64::from(rest.short()?)),
            (kind::LONG | kind::INT24, false) => Cell::Signed(i64::from(rest.number().map(i32::from_le_bytes)?)),
            (kind::LONG | kind::INT24, true) => Cell::Unsigned(u64::from(rest.long()?)),
            (kind::LONGLONG, false) => Cell::Signed(rest.number().map(i64::from_le_bytes)?),
            (kind::LONGLONG, true) => Cell::Unsigned(rest.number().map(u64::from_le_bytes)?),
            (kind::FLOAT, _) => Cell::Float(rest.number().map(f32::from_le_bytes)?),
            (kind::DOUBLE, _) => Cell::Double(rest.number().map(f64::from_le_bytes)?),
            (kind::DATE | kind::DATETIME | kind::TIMESTAMP, _) => Cell::Moment(rest.moment()?),
            (kind::TIME, _) => Cell::Duration(rest.duration()?),
            (kind::NULL, _) => Cell::Null,
            _ => Cell::Bytes(rest.counted()?),
        })
    }
}
