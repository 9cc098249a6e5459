//! Values as they lie in a row image.

use crate::runtime::extract::encode::{base64, text};
use crate::runtime::mysql::Bytes;

/// A JSON string whose letters need no escape.
pub fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

/// A whole number.
#[inline]
pub fn unsigned(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A whole number in so many bytes.
#[inline]
pub fn integer(out: &mut Vec<u8>, rest: &mut Bytes<'_>, bytes: u8, is_unsigned: bool) -> Option<()> {
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
pub fn little_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// At most eight bytes, the most significant first.
#[inline]
pub fn big_endian(bytes: &[u8]) -> u64 {
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

/// Bytes without the zeros that fill their column, with these again.
pub fn padded(out: &mut Vec<u8>, bytes: &[u8], length: usize) {
    if bytes.len() >= length {
        base64(out, bytes);
    } else {
        let mut whole = bytes.to_vec();
        whole.resize(length, 0);
        base64(out, &whole);
    }
}

/// A value of MariaDB's address types, whose zero bytes at the end are not in the image.
pub fn address(out: &mut Vec<u8>, bytes: &[u8], length: usize, show: impl Fn(&[u8]) -> String) {
    let mut whole = bytes.to_vec();
    whole.resize(length, 0);
    text(out, show(&whole).as_bytes());
}

/// MariaDB stores the parts of a UUID of version 1 to 5 from last to first, so that they sort by time
/// (<https://mariadb.com/docs/server/reference/data-types/string-data-types/uuid-data-type>).
pub fn uuid(bytes: &[u8]) -> String {
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
