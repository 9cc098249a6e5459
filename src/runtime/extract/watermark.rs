//! How far a table was read: pure rules, and the text that is kept of it.
//!
//! A **pass** reads, in the order of (watermark, key), every row from `watermark − overlap` up to the highest watermark
//! there was when the pass began. The watermark moves when the pass is at its end, to the last row that was sent. A
//! pass that does not end within one invocation goes on behind the last row that was acknowledged. Because its upper
//! limit stays that of its beginning, a transaction that commits late while the pass goes on is still within the
//! overlap of the next one.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::table::Field;
use crate::calendar;
use crate::runtime::mysql::Value;

/// How far the next pass goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// For dates and times.
    Seconds(u64),
    /// For whole numbers.
    Count(u64),
}

/// What is kept of a table, as JSON in one parameter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The watermark: of the last row of the last pass that ended. One value, or a list when several columns make it.
    #[serde(default, skip_serializing_if = "Json::is_null")]
    pub value: Json,
    /// That row's key.
    #[serde(default, skip_serializing_if = "Json::is_null")]
    pub key: Json,
    /// The source's clock at the last reading, microseconds: no later reading may have an earlier one.
    #[serde(default)]
    pub clock: u64,
    /// The pass under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass: Option<Pass>,
}

/// A pass that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// The highest watermark when it began.
    pub upto: Json,
    /// The last row that was acknowledged: its watermark and its key's other columns, in the order of reading.
    pub at: Vec<Json>,
    /// Rows so far.
    pub rows: u64,
}

/// What a watermark column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Date,
    Moment,
    Timestamp,
    Whole,
    Decimal,
    Text,
}

impl Kind {
    /// The kind of a column, or why it cannot be a watermark.
    pub fn of(field: &Field) -> Result<Self, String> {
        Ok(match field.kind.as_str() {
            "date" => Self::Date,
            "datetime" => Self::Moment,
            "timestamp" => Self::Timestamp,
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => Self::Whole,
            "decimal" => Self::Decimal,
            "char" | "varchar" | "binary" | "varbinary" | "uuid" => Self::Text,
            other => {
                return Err(format!(
                    "the column `{}` is of type {other}, which cannot be a watermark; a date or time, a whole number, a decimal or a short text can",
                    field.name
                ));
            }
        })
    }

    /// Whether the overlap fits.
    pub fn check(self, field: &Field, overlap: Option<Overlap>) -> Result<(), String> {
        let wanted = match (self, overlap) {
            (_, None | Some(Overlap::Seconds(0) | Overlap::Count(0))) => return Ok(()),
            (Self::Date | Self::Moment | Self::Timestamp, Some(Overlap::Seconds(_))) => return Ok(()),
            (Self::Whole | Self::Decimal, Some(Overlap::Count(_))) => return Ok(()),
            (Self::Date | Self::Moment | Self::Timestamp, _) => "a duration",
            (Self::Whole | Self::Decimal, _) => "a whole number",
            (Self::Text, _) => "none: texts have no distance",
        };
        Err(format!(
            "the overlap of the watermark `{}` must be {wanted}",
            field.name
        ))
    }

    /// Where a pass begins: the watermark less the overlap, never more than that.
    pub fn start(self, value: &Value, overlap: Option<Overlap>) -> Value {
        match (overlap, value) {
            (Some(Overlap::Count(count)), Value::Unsigned(number)) => Value::Unsigned(number.saturating_sub(count)),
            (Some(Overlap::Count(count)), Value::Signed(number)) => {
                Value::Signed(number.saturating_sub_unsigned(count))
            }
            (Some(Overlap::Count(count)), Value::Text(digits)) if self == Self::Decimal => {
                less(digits, count).map_or_else(|| value.clone(), Value::Text)
            }
            (Some(Overlap::Seconds(seconds)), Value::Text(text)) => {
                self.earlier(text, seconds).map_or_else(|| value.clone(), Value::Text)
            }
            _ => value.clone(),
        }
    }

    /// A date or time less some seconds, not below what the type can hold.
    fn earlier(self, text: &str, seconds: u64) -> Option<String> {
        let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, "00:00:00"));
        let [year, month, day] = numbers(date, '-')?;
        let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
        let [hour, minute, second] = numbers(time, ':')?;
        let days = calendar::to_days(year, month.try_into().ok()?, day.try_into().ok()?);
        let at = days * 86_400 + hour * 3600 + minute * 60 + second;
        let lowest = match self {
            Self::Timestamp => 1, // TIMESTAMP begins a second after 1970
            _ => calendar::to_days(1, 1, 1) * 86_400,
        };
        let earlier = at.checked_sub_unsigned(seconds)?.max(lowest);
        let (year, month, day) = calendar::from_days(earlier.div_euclid(86_400));
        if self == Self::Date {
            return Some(format!("{year:04}-{month:02}-{day:02}"));
        }
        let rest = earlier.rem_euclid(86_400);
        let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
        let dot = if fraction.is_empty() { "" } else { "." };
        Some(format!(
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{dot}{fraction}"
        ))
    }
}

fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    let numbers: Vec<i64> = text
        .split(separator)
        .map(|part| part.parse().ok())
        .collect::<Option<_>>()?;
    numbers.try_into().ok()
}

/// A decimal less a whole number, at most: the fraction goes, and one more where that would have made it larger.
fn less(digits: &str, count: u64) -> Option<String> {
    let (whole, _) = digits.split_once('.').unwrap_or((digits, ""));
    let floor = whole.parse::<i128>().ok()? - i128::from(digits.starts_with('-'));
    Some((floor - i128::from(count)).to_string())
}

/// A value as the state keeps it. Bytes are marked, since JSON has none.
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::Signed(number) => json!(number),
        Value::Unsigned(number) => json!(number),
        Value::Text(text) => json!(text),
        Value::Bytes(bytes) => json!({ "hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
    }
}

/// A value that the state kept, or a user wrote there.
pub fn from_json(json: &Json) -> Result<Value, String> {
    if let Some(number) = json.as_u64() {
        return Ok(Value::Unsigned(number));
    }
    if let Some(number) = json.as_i64() {
        return Ok(Value::Signed(number));
    }
    if let Some(text) = json.as_str() {
        return Ok(Value::Text(text.to_owned()));
    }
    let hex = json["hex"].as_str().filter(|hex| hex.len() % 2 == 0 && hex.is_ascii());
    let bytes = hex.and_then(|hex| {
        let bytes = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok());
        bytes.collect::<Option<Vec<u8>>>()
    });
    bytes
        .map(Value::Bytes)
        .ok_or_else(|| format!("{json} is not a number, a text, or bytes as {{\"hex\":\"…\"}}"))
}

/// Several values: a list, or one alone.
pub fn list_from_json(json: &Json) -> Result<Vec<Value>, String> {
    match json {
        Json::Array(values) => values.iter().map(from_json).collect(),
        one => Ok(vec![from_json(one)?]),
    }
}

/// The values of a watermark as they are shown: one alone stands for itself.
pub fn shown(values: &[Json]) -> Json {
    match values {
        [one] => one.clone(),
        all => Json::Array(all.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(kind: Kind, value: Value, overlap: Overlap) -> Value {
        kind.start(&value, Some(overlap))
    }

    #[test]
    fn times_go_back_over_every_border() {
        let back = |kind, text: &str, seconds| start(kind, text.into(), Overlap::Seconds(seconds));
        assert_eq!(
            back(Kind::Moment, "2024-03-01 00:01:00", 120),
            "2024-02-29 23:59:00".into()
        );
        assert_eq!(
            back(Kind::Moment, "2025-01-01T00:00:00.120", 1),
            "2024-12-31 23:59:59.120".into()
        );
        assert_eq!(back(Kind::Date, "2024-03-01", 1), "2024-02-29".into());
        assert_eq!(back(Kind::Date, "2024-03-01", 0), "2024-03-01".into());
        assert_eq!(
            back(Kind::Timestamp, "1970-01-01 00:00:05", 60),
            "1970-01-01 00:00:01".into()
        );
        assert_eq!(
            back(Kind::Moment, "0001-01-01 00:00:05", 60),
            "0001-01-01 00:00:00".into()
        );
    }

    #[test]
    fn numbers_go_back_and_stop_at_their_ends() {
        let back = |value, count| start(Kind::Whole, value, Overlap::Count(count));
        assert_eq!(back(Value::Unsigned(10), 3), Value::Unsigned(7));
        assert_eq!(back(Value::Unsigned(10), 30), Value::Unsigned(0));
        assert_eq!(back(Value::Signed(i64::MIN + 1), 30), Value::Signed(i64::MIN));
        let back = |text: &str| start(Kind::Decimal, text.into(), Overlap::Count(3));
        assert_eq!(back("10.75"), "7".into());
        assert_eq!(back("-0.75"), "-4".into());
    }

    #[test]
    fn what_is_kept_reads_back() {
        for value in [
            Value::Unsigned(u64::MAX),
            Value::Signed(-5),
            "é'`".into(),
            Value::Bytes(vec![0, 255]),
        ] {
            assert_eq!(from_json(&to_json(&value)), Ok(value));
        }
        assert!(from_json(&json!(1.5)).is_err());
        assert!(from_json(&json!({"hex": "zz"})).is_err());
        let written: State = serde_json::from_str(r#"{"value":"2026-01-01 00:00:00"}"#).unwrap();
        assert_eq!((written.value, written.clock), (json!("2026-01-01 00:00:00"), 0));
    }

    #[test]
    fn what_cannot_be_a_watermark_says_why() {
        let field = |kind: &str| Field {
            name: "c".into(),
            kind: kind.into(),
            nullable: false,
            checked_json: false,
        };
        for kind in ["float", "time", "year", "json", "enum", "blob"] {
            assert!(Kind::of(&field(kind)).unwrap_err().contains(kind));
        }
        let check = |kind: &str, overlap| Kind::of(&field(kind)).unwrap().check(&field(kind), Some(overlap));
        assert!(check("bigint", Overlap::Seconds(1)).is_err());
        assert!(check("date", Overlap::Count(1)).is_err());
        assert!(check("varchar", Overlap::Count(1)).is_err());
        assert!(check("varchar", Overlap::Count(0)).is_ok());
    }
}
