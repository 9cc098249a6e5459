//! Dates and times as the server packs them, in rows and in JSON documents
//! (<https://dev.mysql.com/doc/dev/mysql-server/latest/classmysql_1_1binlog_1_1event_1_1Rows__event.html>,
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/json__binary_8h.html>).

use super::values::big_endian;
use crate::runtime::extract::record::Reading;
use crate::runtime::mysql::{Bytes, Duration, Moment};

/// A day in 5 bits below its months, 13 to a year, and the clock in 17 bits below that.
fn moment(packed: u64, micros: u32) -> Moment {
    let months = packed >> 22 & 0x1_ffff;
    Moment {
        year: (months / 13) as u16,
        month: (months % 13) as u8,
        day: (packed >> 17 & 31) as u8,
        hour: (packed >> 12 & 31) as u8,
        minute: (packed >> 6 & 63) as u8,
        second: (packed & 63) as u8,
        micros,
    }
}

/// Hours in 10 bits, then minutes and seconds in 6 each.
fn duration(packed: u64, negative: bool, micros: u32) -> Duration {
    Duration {
        negative,
        hours: (packed >> 12 & 0x3ff) as u32,
        minutes: (packed >> 6 & 63) as u8,
        seconds: (packed & 63) as u8,
        micros,
    }
}

/// A date or a date with a time in a JSON document: microseconds in the lowest 24 bits.
pub fn json_moment(packed: u64) -> Moment {
    moment(packed >> 24, (packed & 0xff_ffff) as u32)
}

/// A TIME in a JSON document, in the same way.
pub fn json_duration(packed: i64) -> Duration {
    let length = packed.unsigned_abs();
    duration(length >> 24, packed < 0, (length & 0xff_ffff) as u32)
}

/// A DATETIME, whose highest bit says that it is not negative.
pub fn local(rest: &mut Bytes<'_>, digits: u8) -> Option<Moment> {
    let packed = big_endian(rest.take(5)?) & 0x7f_ffff_ffff;
    Some(moment(packed, fraction(rest, digits)?))
}

/// A TIMESTAMP.
pub fn utc(rest: &mut Bytes<'_>, digits: u8) -> Option<Moment> {
    let seconds = rest.number().map(u32::from_be_bytes)?;
    Some(from_seconds(seconds, fraction(rest, digits)?))
}

/// A TIME. The whole number, fraction included, is offset by half of its range.
pub fn time(rest: &mut Bytes<'_>, digits: u8) -> Option<Duration> {
    let bytes = usize::from(digits.div_ceil(2));
    let bits = 8 * bytes as u32;
    let packed = big_endian(rest.take(3 + bytes)?).cast_signed() - (0x80_0000_i64 << bits);
    let length = packed.unsigned_abs();
    let micros = (length & ((1 << bits) - 1)) as u32 * scale_of(bytes);
    Some(duration(length >> bits, packed < 0, micros))
}

/// A DATE.
pub fn day(rest: &mut Bytes<'_>) -> Option<Moment> {
    let [a, b, c] = rest.number()?;
    let packed = u32::from_le_bytes([a, b, c, 0]);
    Some(Moment {
        year: (packed >> 9) as u16,
        month: (packed >> 5 & 15) as u8,
        day: (packed & 31) as u8,
        ..Moment::default()
    })
}

/// A DATETIME of before MySQL 5.6: `YYYYMMDDhhmmss` as a number.
pub fn old_local(rest: &mut Bytes<'_>) -> Option<Moment> {
    let packed = rest.number().map(u64::from_le_bytes)?;
    let two = |divisor: u64| (packed / divisor % 100) as u8;
    Some(Moment {
        year: (packed / 10_000_000_000 % 10_000) as u16,
        month: two(100_000_000),
        day: two(1_000_000),
        hour: two(10_000),
        minute: two(100),
        second: two(1),
        micros: 0,
    })
}

/// A TIME of before MySQL 5.6: `hhmmss` as a number with a sign.
pub fn old_time(rest: &mut Bytes<'_>) -> Option<Duration> {
    let [a, b, c] = rest.number()?;
    let packed = i32::from_le_bytes([0, a, b, c]) >> 8;
    Some(Duration {
        negative: packed < 0,
        hours: packed.unsigned_abs() / 10_000,
        minutes: (packed.unsigned_abs() / 100 % 100) as u8,
        seconds: (packed.unsigned_abs() % 100) as u8,
        micros: 0,
    })
}

/// Seconds since 1970 in UTC; 0 is the zero date.
pub fn from_seconds(seconds: u32, micros: u32) -> Moment {
    if seconds == 0 && micros == 0 {
        return Moment::default();
    }
    Reading(u64::from(seconds) * 1_000_000 + u64::from(micros)).moment()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The formula is that of the server's `mysys/my_time.cc` (`TIME_to_longlong_datetime_packed`).
    #[test]
    fn rows_and_documents_pack_alike() {
        let expected = Moment {
            year: 2015,
            month: 1,
            day: 15,
            hour: 23,
            minute: 24,
            second: 25,
            micros: 123_400,
        };

        let packed = (2015_u64 * 13 + 1) << 22 | 15 << 17 | 23 << 12 | 24 << 6 | 25;
        let mut row = (packed | 1 << 39).to_be_bytes()[3..].to_vec();
        row.extend_from_slice(&1234_u16.to_be_bytes());
        assert_eq!(local(&mut Bytes(&row), 4), Some(expected));
        assert_eq!(json_moment(packed << 24 | 123_400), expected);
    }
}
