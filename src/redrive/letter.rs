//! What a dead letter says, without its secrets.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_sqs::types::{ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName};
use serde::Serialize;
use serde_json::Value;

use super::Open;
use crate::aws::Aws;
use crate::aws::failure::explain;
use crate::runtime::alert::logs::readable;

/// Letters of a queue that are shown.
const MOST_SHOWN: usize = 10;
/// Characters of a body that are shown.
const MOST_CHARACTERS: usize = 160;
/// Seconds that a letter which is looked at is hidden from others, should nobody give it back.
const LOOK_SECONDS: i32 = 30;
/// Seconds that a queue is asked for letters: shorter asks do not see all its servers
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html>).
const WAIT_SECONDS: i32 = 1;
/// Names of values that nobody is shown.
const SECRET: [&str; 6] = ["password", "passwd", "secret", "token", "authorization", "credential"];

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Letter {
    /// Its id, which its reader's log has too.
    pub id: String,
    /// When it was sent first, in seconds since 1970.
    pub sent_at: Option<i64>,
    /// Its body on one line, shortened, without secrets.
    pub body: String,
    /// What its reader's log says of it last.
    pub why: Option<String>,
}

/// Some letters of a queue, which stay in it. Reasons are looked for in the log of the function that reads its source.
pub async fn letters(aws: &Aws, open: &Open) -> anyhow::Result<Vec<Letter>> {
    let mut found: BTreeMap<String, Message> = BTreeMap::new();
    let wanted = MOST_SHOWN.min(usize::try_from(open.depth).unwrap_or(MOST_SHOWN));
    while found.len() < wanted {
        let received = receive(aws, open, LOOK_SECONDS).await?;
        let before = found.len();
        found.extend(
            received
                .into_iter()
                .filter_map(|one| Some((one.message_id()?.to_owned(), one))),
        );
        if found.len() == before {
            break;
        }
    }
    let messages: Vec<Message> = found.into_values().collect();
    release(aws, open, &messages).await?;
    let mut letters: Vec<Letter> = messages.iter().map(letter).collect();
    letters.sort_by(|one, other| (one.sent_at, &one.id).cmp(&(other.sent_at, &other.id)));
    letters.truncate(MOST_SHOWN);
    if let Some(group) = &open.route.logs {
        let since = letters.iter().filter_map(|letter| letter.sent_at).min();
        let reasons = reasons(aws, group, since, &letters).await;
        for letter in &mut letters {
            letter.why = reasons.get(&letter.id).cloned();
        }
    }
    Ok(letters)
}

/// Takes up to ten letters out of others' sight for so many seconds.
pub(super) async fn receive(aws: &Aws, open: &Open, seconds: i32) -> anyhow::Result<Vec<Message>> {
    let request = aws.sqs.receive_message().queue_url(&open.from);
    let request = request
        .max_number_of_messages(10)
        .visibility_timeout(seconds)
        .wait_time_seconds(WAIT_SECONDS)
        .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
        .message_attribute_names("All");
    let answer = request
        .send()
        .await
        .map_err(|error| explain(&format!("sqs:ReceiveMessage of {}", open.route.queue), error))?;
    Ok(answer.messages.unwrap_or_default())
}

/// Gives letters back into others' sight. One that is not given back comes back by itself.
pub(super) async fn release(aws: &Aws, open: &Open, messages: &[Message]) -> anyhow::Result<()> {
    for some in messages.chunks(10) {
        let entry = |(place, message): (usize, &Message)| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(place.to_string())
                .receipt_handle(message.receipt_handle().unwrap_or_default())
                .visibility_timeout(0)
                .build()
        };
        let entries = some.iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>()?;
        aws.sqs
            .change_message_visibility_batch()
            .queue_url(&open.from)
            .set_entries(Some(entries))
            .send()
            .await
            .map_err(|error| explain(&format!("sqs:ChangeMessageVisibility of {}", open.route.queue), error))?;
    }
    Ok(())
}

fn letter(message: &Message) -> Letter {
    let sent = message
        .attributes()
        .and_then(|attributes| attributes.get(&MessageSystemAttributeName::SentTimestamp));
    Letter {
        id: message.message_id().unwrap_or_default().to_owned(),
        sent_at: sent.and_then(|sent| sent.parse::<i64>().ok()).map(|sent| sent / 1000),
        body: shortened(message.body().unwrap_or_default()),
        why: None,
    }
}

/// What a log says last of each letter. That it may not be read, or says nothing, is no failure: the letters count.
async fn reasons(aws: &Aws, group: &str, since: Option<i64>, letters: &[Letter]) -> BTreeMap<String, String> {
    let pattern: Vec<String> = letters.iter().map(|letter| format!("?\"{}\"", letter.id)).collect();
    let request = aws.logs.filter_log_events().log_group_name(group);
    let request = request
        .filter_pattern(pattern.join(" "))
        .set_start_time(since.map(|since| since * 1000))
        .limit(1000);
    // A log of days takes longer than anybody waits.
    let Ok(Ok(answer)) = tokio::time::timeout(Duration::from_secs(10), request.send()).await else {
        return BTreeMap::new();
    };
    let mut reasons = BTreeMap::new();
    for text in answer.events().iter().filter_map(|event| event.message()) {
        let is_error = serde_json::from_str::<Value>(text).is_ok_and(|line| line["level"] == "ERROR");
        let of = letters.iter().filter(|letter| is_error && text.contains(&letter.id));
        reasons.extend(of.map(|letter| (letter.id.clone(), readable(text))));
    }
    reasons
}

/// A body on one line: the objects that a notification of S3 tells of, or the text without secrets, shortened.
fn shortened(body: &str) -> String {
    let text = match serde_json::from_str::<Value>(body) {
        Ok(mut value) => objects(&value).unwrap_or_else(|| {
            hide(&mut value);
            value.to_string()
        }),
        Err(_) => without_login(body),
    };
    let line: String = text
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
    let mut short: String = line.chars().take(MOST_CHARACTERS).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    short
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>
fn objects(value: &Value) -> Option<String> {
    let records = value["Records"].as_array()?;
    let names = records.iter().map(|record| {
        let object = &record["s3"];
        Some(format!(
            "s3://{}/{}",
            object["bucket"]["name"].as_str()?,
            object["object"]["key"].as_str()?
        ))
    });
    let names: Option<Vec<String>> = names.collect();
    names.filter(|names| !names.is_empty()).map(|names| names.join(", "))
}

fn hide(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let name = name.to_lowercase();
                if SECRET.iter().any(|secret| name.contains(secret)) {
                    *member = Value::from("***");
                } else {
                    hide(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            // A document within a document, as SNS wraps them.
            Ok(mut inner @ (Value::Object(_) | Value::Array(_))) => {
                hide(&mut inner);
                *text = inner.to_string();
            }
            _ => *text = without_login(text),
        },
        _ => {}
    }
}

/// Without user and password of an address.
fn without_login(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        kept.push_str(before);
        kept.push_str("://");
        let end = after
            .find(|c: char| c == '/' || c.is_whitespace())
            .unwrap_or(after.len());
        let login = after.get(..end).and_then(|host| host.rfind('@'));
        rest = match login {
            Some(at) => {
                kept.push_str("***");
                after.get(at..).unwrap_or_default()
            }
            None => after,
        };
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_one_short_line_without_secrets() {
        assert_eq!(
            shortened(r#"{"Records":[{"s3":{"bucket":{"name":"b"},"object":{"key":"in/a.json"}}}]}"#),
            "s3://b/in/a.json"
        );
        assert_eq!(
            shortened(r#"{"a":1,"DbPassword":"x","in":[{"api_token":7}],"Message":"{\"secret\":\"y\"}"}"#),
            r#"{"a":1,"DbPassword":"***","in":[{"api_token":"***"}],"Message":"{\"secret\":\"***\"}"}"#
        );
        assert_eq!(
            shortened("to https://me:hunter2@host/x\nand http://plain"),
            "to https://***@host/x and http://plain"
        );
        let long = shortened(&"é".repeat(500));
        assert_eq!(long.chars().count(), MOST_CHARACTERS + 1);
        assert_eq!(shortened(""), "");
    }
}
