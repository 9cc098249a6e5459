//! Values of a row as the record holds them: the types of `docs/mysql-types.md`, as far as Python's tell them.

use base64_simd::STANDARD;

use super::literal::{Date, Literal, Time};

/// A value that a record cannot hold, and why.
pub type Unfit = &'static str;

/// A value of a column.
pub fn column(out: &mut Vec<u8>, value: &Literal) -> Result<(), Unfit> {
    match value {
        Literal::Bytes(bytes) => base64(out, bytes),
        Literal::Decimal(digits) => text(out, digits),
        _ => return nested(out, value),
    }
    Ok(())
}

/// A value of a column, or in one that holds JSON: there bytes are text, and decimals are numbers.
fn nested(out: &mut Vec<u8>, value: &Literal) -> Result<(), Unfit> {
    match value {
        Literal::None => out.extend_from_slice(b"null"),
        Literal::Bool(true) => out.extend_from_slice(b"true"),
        Literal::Bool(false) => out.extend_from_slice(b"false"),
        Literal::Int(digits) | Literal::Float(digits) | Literal::Decimal(digits) => {
            out.extend_from_slice(digits.as_bytes())
        }
        Literal::Text(characters) => text(out, characters),
        Literal::Bytes(bytes) => match str::from_utf8(bytes) {
            Ok(characters) => text(out, characters),
            Err(_) => base64(out, bytes),
        },
        Literal::DateTime(day, clock, zone) => text(out, &format!("{}T{}{}", date(*day), time(*clock), offset(*zone))),
        Literal::Date(day) => text(out, &date(*day)),
        Literal::Time(clock) => text(out, &time(*clock)),
        Literal::Delta(micros) => text(out, &duration(*micros)),
        Literal::Set(members) => set(out, members)?,
        Literal::List(values) => {
            for (index, value) in values.iter().enumerate() {
                out.push(if index == 0 { b'[' } else { b',' });
                nested(out, value)?;
            }
            out.extend_from_slice(if values.is_empty() { b"[]" } else { b"]" });
        }
        Literal::Dict(members) => {
            for (index, (key, value)) in members.iter().enumerate() {
                out.push(if index == 0 { b'{' } else { b',' });
                text(out, name(key)?);
                out.push(b':');
                nested(out, value)?;
            }
            out.extend_from_slice(if members.is_empty() { b"{}" } else { b"}" });
        }
        Literal::Zone(_) => return Err("a time zone where a value should stand"),
    }
    Ok(())
}

/// A member's name. Some releases of python-mysql-replication give the names in JSON as bytes.
fn name(key: &Literal) -> Result<&str, Unfit> {
    let name = match key {
        Literal::Text(text) => Some(text.as_str()),
        Literal::Bytes(bytes) => str::from_utf8(bytes).ok(),
        _ => None,
    };
    name.ok_or("a member whose name is not text")
}

/// A SET. Python's sets have no order, so the members are sorted: the same value is always the same text.
fn set(out: &mut Vec<u8>, members: &[Literal]) -> Result<(), Unfit> {
    let mut texts = Vec::with_capacity(members.len());
    for member in members {
        texts.push(member.text().ok_or("a set of other than texts")?);
    }
    texts.sort_unstable();
    text(out, &texts.join(","));
    Ok(())
}

/// A JSON string.
pub fn text(out: &mut Vec<u8>, characters: &str) {
    // Writing into memory does not fail.
    let _ = serde_json::to_writer(out, characters);
}

fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    STANDARD.encode_append(bytes, out);
    out.push(b'"');
}

fn date(day: Date) -> String {
    format!("{:04}-{:02}-{:02}", day.year, day.month, day.day)
}

fn time(clock: Time) -> String {
    let whole = format!("{:02}:{:02}:{:02}", clock.hour, clock.minute, clock.second);
    fraction(whole, i64::from(clock.micros))
}

/// Microseconds, where there are some: how many digits the column has, Python does not say.
fn fraction(whole: String, micros: i64) -> String {
    if micros == 0 {
        whole
    } else {
        format!("{whole}.{micros:06}")
    }
}

fn offset(zone: Option<i32>) -> String {
    match zone {
        None => String::new(),
        Some(0) => "Z".to_owned(),
        Some(minutes) => {
            let sign = if minutes < 0 { '-' } else { '+' };
            format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
        }
    }
}

/// A TIME, which may be negative and longer than a day.
fn duration(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let (seconds, rest) = (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
    let whole = format!(
        "{sign}{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    fraction(whole, rest as i64)
}

/// Milliseconds since 1970 as the moment in UTC.
pub fn moment(millis: u64) -> String {
    let seconds = millis / 1000;
    let (year, month, day) = crate::calendar::from_days((seconds / 86_400) as i64);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}000Z",
        millis % 1000
    )
}
