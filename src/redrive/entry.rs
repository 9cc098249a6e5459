//! What Firehose writes of a record that it gave up, and whether the record can go again.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde_json::Value;

use crate::graph::snowflake::cdc::TOMBSTONE_DAYS;
use crate::model::{Capture, MysqlSource};
use crate::runtime;

/// What a file begins with that is compressed.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A record that was given up.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// The record as it was on the stream.
    pub record: Vec<u8>,
    /// What Firehose says of it.
    pub why: String,
    /// When it came to Firehose, in seconds since 1970.
    pub arrived: Option<i64>,
}

/// The document that Firehose writes:
/// <https://docs.aws.amazon.com/firehose/latest/dev/data-transformation-failure-handling.html>.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    raw_data: String,
    #[serde(alias = "lastErrorCode", default)]
    error_code: Value,
    #[serde(alias = "lastErrorMessage", default)]
    error_message: Value,
    /// Milliseconds since 1970, as a number or as text.
    #[serde(default)]
    arrival_timestamp: Value,
}

/// The text of a file, which may be compressed.
pub fn text(bytes: Vec<u8>) -> std::io::Result<Vec<u8>> {
    if !bytes.starts_with(&GZIP) {
        return Ok(bytes);
    }
    let mut text = Vec::with_capacity(bytes.len() * 8);
    MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut text)?;
    Ok(text)
}

/// The documents of a file, each with what it says. From one that is not JSON on, the rest is one.
pub fn entries(text: &[u8]) -> impl Iterator<Item = (&[u8], Result<Entry, String>)> {
    let mut documents = serde_json::Deserializer::from_slice(text).into_iter::<Value>();
    let mut is_over = false;
    std::iter::from_fn(move || {
        let start = documents.byte_offset();
        let found = documents.next().filter(|_| !is_over)?;
        is_over = found.is_err();
        let end = if is_over { text.len() } else { documents.byte_offset() };
        let document = text.get(start..end).unwrap_or_default().trim_ascii();
        Some((document, found.ok().and_then(entry).ok_or_else(foreign)))
    })
}

fn foreign() -> String {
    "it is not what Firehose writes about a record".to_owned()
}

fn entry(document: Value) -> Option<Entry> {
    let document: Document = serde_json::from_value(document).ok()?;
    let words = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let milliseconds = words(&document.arrival_timestamp).parse::<i64>().ok();
    let (code, message) = (words(&document.error_code), words(&document.error_message));
    Some(Entry {
        record: STANDARD.decode(document.raw_data).ok()?,
        why: [code, message].join(": ").trim_matches([':', ' ']).to_owned(),
        arrived: milliseconds.map(|milliseconds| milliseconds / 1000),
    })
}

/// What the records of a stream must be, so that they can go again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judge {
    /// Records of the own reader of the binary log.
    Binlog,
    /// Records of tables that are read by watermark, where nothing is deleted.
    Watermark,
    /// Records whose order is that of the stream.
    Unordered,
}

impl Judge {
    /// For the records of a source.
    pub fn of(source: &MysqlSource) -> Self {
        match &source.capture {
            Capture::Watermark { .. } => Judge::Watermark,
            Capture::Binlog(reader) if reader.is_own() => Judge::Binlog,
            Capture::Binlog(_) => Judge::Unordered,
        }
    }

    /// Why a record stays where it is; `None` where it goes. Unless `all` go, one that would be refused again stays.
    /// `now` is in seconds since 1970.
    pub fn stays(self, entry: &Entry, now: i64, all: bool) -> Option<String> {
        if self == Judge::Unordered {
            let why = "nothing but its place in the stream tells its order, and sent again it would count as the newest \
                       of its row: have your program write the row again, then delete the file";
            return Some(why.to_owned());
        }
        let age = entry.arrived.map_or(0, |arrived| now - arrived);
        if self == Judge::Binlog && age > i64::from(TOMBSTONE_DAYS) * 86_400 {
            return Some(format!(
                "it is older than {TOMBSTONE_DAYS} days, after which deleted keys are forgotten, so it might bring a \
                 row back: have the tables read anew (docs/binlog.md), then delete the file"
            ));
        }
        let refusal = match self {
            Judge::Binlog => runtime::refusal(&entry.record),
            Judge::Watermark | Judge::Unordered => unsortable(&entry.record).map(str::to_owned),
        };
        refusal.filter(|_| !all)
    }
}

/// Why Firehose finds no folder for a record of a table that is read by watermark.
fn unsortable(record: &[u8]) -> Option<&'static str> {
    let Ok(record) = serde_json::from_slice::<Value>(record) else {
        return Some("the record is not JSON");
    };
    let has = |name: &str| record[name].as_str().is_some_and(|text| !text.is_empty());
    (!has("schema") || !has("table")).then_some("the record does not name its schema and table")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use serde_json::json;

    use super::*;

    const RECORD: &str = r#"{"op":"d","schema":"shop","table":"city","key":{"id":1},"seq":"1","gtid":null,
        "ts":"2026-01-01T00:00:00Z","before":null,"after":null}"#;

    fn document(record: &str) -> String {
        json!({
            "attemptsMade": 9, "arrivalTimestamp": 1_770_000_000_123_i64, "errorCode": "Lambda.FunctionError",
            "errorMessage": "it returned an error result.", "attemptEndingTimestamp": 1_770_000_000_999_i64,
            "rawData": STANDARD.encode(record), "lambdaArn": "arn:aws:lambda:eu-west-1:111122223333:function:f:$LATEST",
        })
        .to_string()
    }

    #[test]
    fn documents_are_read_compressed_or_not_and_however_they_are_parted() {
        for parted in ["\n", "", "\r\n \n"] {
            let plain = [document("a"), document("b")].join(parted);
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(plain.as_bytes()).unwrap();
            for bytes in [plain.clone().into_bytes(), packer.finish().unwrap()] {
                let text = text(bytes).unwrap();
                let found: Vec<_> = entries(&text).map(|(_, entry)| entry.unwrap()).collect();
                assert_eq!(
                    found.iter().map(|entry| &entry.record).collect::<Vec<_>>(),
                    [b"a", b"b"]
                );
                assert_eq!(found[1].why, "Lambda.FunctionError: it returned an error result.");
                assert_eq!(found[1].arrived, Some(1_770_000_000));
            }
        }
        // The documentation shows all values as texts.
        let quoted = document("a").replace("1770000000123", "\"1770000000123\"");
        assert_eq!(
            entries(quoted.as_bytes()).next().unwrap().1.unwrap().arrived,
            Some(1_770_000_000)
        );
    }

    #[test]
    fn what_is_no_document_is_kept_whole() {
        let text = format!(
            "{}\n{{\"rawData\":5}}\n{}\nno {}",
            document("a"),
            document("b"),
            document("c")
        );
        let found: Vec<_> = entries(text.as_bytes()).collect();
        let are_read: Vec<bool> = found.iter().map(|(_, entry)| entry.is_ok()).collect();
        assert_eq!(are_read, [true, false, true, false]);
        assert_eq!(found[1].0, b"{\"rawData\":5}");
        assert_eq!(found[3].0, format!("no {}", document("c")).as_bytes());
    }

    #[test]
    fn a_cut_off_file_is_an_error() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(document("a").as_bytes()).unwrap();
        let mut bytes = packer.finish().unwrap();
        bytes.truncate(bytes.len() - 12);
        assert!(text(bytes).is_err());
    }

    #[test]
    fn a_record_goes_unless_it_would_be_refused_or_is_too_old_or_has_no_order() {
        let arrived = 1_770_000_000;
        let entry = |record: &str| Entry {
            record: record.as_bytes().to_vec(),
            why: String::new(),
            arrived: Some(arrived),
        };
        let is_kept = |judge: Judge, record: &str, days: i64, all: bool| {
            judge.stays(&entry(record), arrived + days * 86_400, all).is_some()
        };
        for (judge, record, days, all, kept) in [
            (Judge::Binlog, RECORD, 0, false, false),
            (Judge::Binlog, "{}", 0, false, true),
            (Judge::Binlog, "{}", 0, true, false),
            (Judge::Binlog, RECORD, 90, false, false),
            (Judge::Binlog, RECORD, 91, false, true),
            (Judge::Binlog, RECORD, 91, true, true),
            (Judge::Watermark, RECORD, 91, false, false),
            (Judge::Watermark, r#"{"schema":5,"table":"t"}"#, 0, false, true),
            (Judge::Watermark, "no JSON", 0, false, true),
            (Judge::Watermark, "no JSON", 0, true, false),
            (Judge::Unordered, RECORD, 0, false, true),
            (Judge::Unordered, RECORD, 0, true, true),
        ] {
            assert_eq!(
                is_kept(judge, record, days, all),
                kept,
                "{judge:?} {record} {days} {all}"
            );
        }
    }
}
