//! S3 event notifications inside SQS messages.

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

/// Why a message's body is not an S3 event. Such a message fails and ends in the dead-letter queue.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BodyError {
    /// The body, or the `Message` of its envelope, is not JSON.
    #[error("the message is not JSON: {0}")]
    NotJson(String),
    /// It is JSON, but neither an S3 event nor an SNS envelope.
    #[error("the message is neither an S3 event, an SNS envelope of one, nor s3:TestEvent")]
    NotAnEvent,
    /// A record lacks what every S3 record has.
    #[error("record {index} of the S3 event is malformed: {reason}")]
    Record { index: usize, reason: String },
    /// The key is not URL encoded as S3 does it.
    #[error("record {index} of the S3 event has a key that cannot be decoded: `{key}`")]
    Key { index: usize, key: String },
}

/// What a message says.
#[derive(Debug, PartialEq, Eq)]
pub enum Body {
    /// S3 sends this once when a notification is set up
    /// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>).
    Test,
    /// What happened to objects.
    Changes(Vec<Change>),
}

/// What happened to one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The event's name without `s3:`, such as `ObjectCreated:Put`.
    pub event: String,
    /// The object's bucket.
    pub bucket: String,
    /// The object's key, decoded.
    pub key: String,
    /// The hash of its content, which tells two objects of one key apart; empty where the event has none.
    pub etag: String,
}

impl Change {
    /// Whether an object was written, as opposed to deleted, tagged or restored.
    pub fn is_creation(&self) -> bool {
        self.event.starts_with("ObjectCreated:")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    event_name: String,
    s3: Entity,
}

#[derive(Deserialize)]
struct Entity {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    key: String,
    #[serde(default)]
    e_tag: String,
}

/// Reads a body: an S3 event as it is (sent straight to the queue, or by SNS with raw delivery) or inside the `Message`
/// of an SNS envelope (<https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html>).
pub fn parse(body: &str) -> Result<Body, BodyError> {
    let value = json(body)?;
    match value.get("Message").and_then(Value::as_str) {
        Some(inner) if value.get("Records").is_none() => read(&json(inner)?),
        _ => read(&value),
    }
}

fn json(text: &str) -> Result<Value, BodyError> {
    serde_json::from_str(text).map_err(|error| BodyError::NotJson(error.to_string()))
}

fn read(value: &Value) -> Result<Body, BodyError> {
    if value.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
        return Ok(Body::Test);
    }
    let records = value
        .get("Records")
        .and_then(Value::as_array)
        .ok_or(BodyError::NotAnEvent)?;
    records
        .iter()
        .enumerate()
        .map(|(index, record)| change(index, record))
        .collect::<Result<_, _>>()
        .map(Body::Changes)
}

fn change(index: usize, record: &Value) -> Result<Change, BodyError> {
    let record = Record::deserialize(record).map_err(|error| BodyError::Record {
        index,
        reason: error.to_string(),
    })?;
    let Object { key, e_tag: etag } = record.s3.object;
    Ok(Change {
        event: record
            .event_name
            .strip_prefix("s3:")
            .unwrap_or(&record.event_name)
            .to_owned(),
        bucket: record.s3.bucket.name,
        key: decode(&key).ok_or(BodyError::Key { index, key })?,
        etag,
    })
}

/// Undoes the URL encoding of keys in events: `+` is a space, `%XX` a byte of UTF-8
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>).
fn decode(key: &str) -> Option<String> {
    let mut bytes = key.bytes();
    let mut decoded = Vec::with_capacity(key.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => 16 * hex(bytes.next()?)? + hex(bytes.next()?)?,
            other => other,
        });
    }
    String::from_utf8(decoded).ok().filter(|key| !key.is_empty())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn event(key: &str) -> Value {
        json!({"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "raw"}, "object": {"key": key, "size": 1, "eTag": "d41d"}}}]})
    }

    fn only(body: &str) -> Change {
        match parse(body).unwrap() {
            Body::Changes(mut changes) if changes.len() == 1 => changes.remove(0),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn direct_and_enveloped_events_are_the_same() {
        let direct = event("in/a.json").to_string();
        let envelope = json!({"Type": "Notification", "MessageId": "1", "Message": direct}).to_string();
        assert_eq!(only(&direct), only(&envelope));
        assert_eq!(
            (only(&direct).key.as_str(), only(&direct).etag.as_str()),
            ("in/a.json", "d41d")
        );
        assert!(only(&direct).is_creation());
    }

    #[test]
    fn keys_are_decoded_as_s3_encodes_them() {
        assert_eq!(
            only(&event("a+b%2Bc/%C3%A4%e2%82%ac.json").to_string()).key,
            "a b+c/ä€.json"
        );
        for bad in ["%", "%4", "%zz", "%FF", ""] {
            assert!(
                matches!(parse(&event(bad).to_string()), Err(BodyError::Key { index: 0, .. })),
                "{bad}"
            );
        }
    }

    #[test]
    fn the_test_event_is_known_in_both_forms() {
        let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "raw"}).to_string();
        assert_eq!(parse(&test), Ok(Body::Test));
        assert_eq!(
            parse(&json!({"Type": "Notification", "Message": test}).to_string()),
            Ok(Body::Test)
        );
    }

    #[test]
    fn names_with_a_service_prefix_and_other_events() {
        let mut removed = event("a");
        removed["Records"][0]["eventName"] = json!("s3:ObjectRemoved:Delete");
        assert!(!only(&removed.to_string()).is_creation());
    }

    #[test]
    fn what_is_no_event_is_an_error() {
        assert!(matches!(parse("hello"), Err(BodyError::NotJson(_))));
        assert!(matches!(parse(r#"{"Message":"hello"}"#), Err(BodyError::NotJson(_))));
        for body in ["{}", "[]", "1", "null", r#"{"Records":{}}"#, r#"{"Message":"{}"}"#] {
            assert_eq!(parse(body), Err(BodyError::NotAnEvent), "{body}");
        }
        assert!(matches!(
            parse(r#"{"Records":[{"s3":{}}]}"#),
            Err(BodyError::Record { index: 0, .. })
        ));
    }

    proptest! {
        #[test]
        fn any_key_survives_encoding(key in "\\PC{1,40}") {
            let encoded: String = key.bytes().map(|byte| match byte {
                b' ' => "+".to_owned(),
                byte if byte.is_ascii_alphanumeric() || b"/-_.*".contains(&byte) => char::from(byte).to_string(),
                byte => format!("%{byte:02X}"),
            }).collect();
            prop_assert_eq!(only(&event(&encoded).to_string()).key, key);
        }

        #[test]
        fn any_text_is_read_without_a_panic(body in "\\PC*") {
            let _ = parse(&body);
        }
    }
}
