//! The last error lines of a part's log.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::anyhow;
use aws_config::SdkConfig;
use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::error::DisplayErrorContext;
use serde_json::Value;

use super::super::settings::{SettingError, Settings};
use super::notice;

/// How far back is looked: an alarm speaks minutes after what set it off, and its letter may have waited.
const LOOK_BACK: Duration = Duration::from_secs(3600);
/// Pages that are read of a log; a log with more errors in an hour has said enough.
const MOST_PAGES: usize = 10;
/// Our own error lines, those of the Lambda service, and its word on a time-out, which carries no level:
/// <https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html>.
const ERRORS: &str = "?ERROR ?\"Task timed out\" ?\"Runtime exited\" ?\"Runtime.\"";
/// Logs of Firehose hold nothing but errors: <https://docs.aws.amazon.com/firehose/latest/dev/monitoring-with-cloudwatch-logs.html>.
const NOTHING_BUT_ERRORS: &str = "/aws/kinesisfirehose/";

/// The logs of a pipeline.
pub struct Logs {
    client: Client,
    groups: BTreeMap<String, String>,
}

impl Logs {
    /// The logs that the settings name, by what hops start with.
    pub fn new(config: &SdkConfig, settings: &Settings) -> Result<Self, SettingError> {
        let text = settings.optional("PIPECTL_LOG_GROUPS").unwrap_or("{}");
        let groups = serde_json::from_str(text).map_err(|_| SettingError::Wrong {
            name: "PIPECTL_LOG_GROUPS".into(),
            found: text.into(),
            wanted: "a JSON object of log groups by part",
        })?;
        Ok(Self {
            client: Client::new(config),
            groups,
        })
    }

    /// The log group of a hop.
    pub fn group(&self, hop: &str) -> Option<&str> {
        group(&self.groups, hop)
    }

    /// The last error lines of the last hour.
    pub async fn last_errors(&self, group: &str) -> anyhow::Result<Vec<String>> {
        last_errors(&self.client, group).await
    }
}

/// The last error lines that a log group got in the last hour, oldest first.
pub async fn last_errors(client: &Client, group: &str) -> anyhow::Result<Vec<String>> {
    let since = (SystemTime::now() - LOOK_BACK)
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let since = i64::try_from(since.as_millis()).unwrap_or(0);
    let pattern = (!group.starts_with(NOTHING_BUT_ERRORS)).then_some(ERRORS);
    let mut found: Vec<String> = Vec::new();
    let mut token = None;
    for _ in 0..MOST_PAGES {
        let page = client.filter_log_events().log_group_name(group).start_time(since);
        let page = page
            .set_filter_pattern(pattern.map(str::to_owned))
            .set_next_token(token);
        let page = page
            .send()
            .await
            .map_err(|error| anyhow!("logs:FilterLogEvents of {group}: {}", DisplayErrorContext(&error)))?;
        found.extend(page.events().iter().filter_map(|event| event.message()).map(readable));
        found = notice::last(found);
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    Ok(found)
}

/// The longest part that the hop's name starts with.
fn group<'a>(groups: &'a BTreeMap<String, String>, hop: &str) -> Option<&'a str> {
    let starts = |part: &str| {
        hop.strip_prefix(part)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    let fitting = groups.iter().filter(|(part, _)| starts(part));
    fitting
        .max_by_key(|(part, _)| part.len())
        .map(|(_, group)| group.as_str())
}

/// A line of ours, or of Firehose, without what only machines read.
pub fn readable(message: &str) -> String {
    let message = message.trim();
    let Ok(Value::Object(line)) = serde_json::from_str(message) else {
        return message.to_owned();
    };
    let of = |key: &str| line.get(key).and_then(Value::as_str);
    let parts: Vec<&str> = match of("errorMessage") {
        Some(error) => of("errorCode").into_iter().chain([error]).collect(),
        None => ["action", "key", "target", "detail"]
            .into_iter()
            .filter_map(of)
            .collect(),
    };
    if parts.is_empty() {
        message.to_owned()
    } else {
        parts.join(": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_has_the_log_of_its_part() {
        let groups = BTreeMap::from([("copy", "/copy"), ("copy-late", "/late")]);
        let groups = groups
            .into_iter()
            .map(|(part, group)| (part.to_owned(), group.to_owned()))
            .collect();
        assert_eq!(group(&groups, "copy-errors"), Some("/copy"));
        assert_eq!(group(&groups, "copy-late-errors"), Some("/late"));
        assert_eq!(group(&groups, "copying"), None);
        assert_eq!(group(&groups, "pipe D.S.P"), None);
    }

    #[test]
    fn lines_are_made_readable() {
        assert_eq!(
            readable(r#"{"level":"ERROR","action":"reject","key":"a.json","detail":"line 3: not JSON"}"#),
            "reject: a.json: line 3: not JSON"
        );
        // https://docs.aws.amazon.com/firehose/latest/dev/monitoring-with-cloudwatch-logs.html
        assert_eq!(
            readable(
                r#"{"deliveryStreamARN":"arn:aws:firehose:…","destination":"arn:aws:s3:::b","deliveryStreamVersionId":1,"message":"…","errorCode":"S3.AccessDenied","errorMessage":"Access was denied."}"#
            ),
            "S3.AccessDenied: Access was denied."
        );
        let timed_out = "2026-11-21T09:00:00.000Z 8a5c1f00 Task timed out after 300.00 seconds\n";
        assert_eq!(readable(timed_out), timed_out.trim());
        assert_eq!(readable("{\"a\":1}"), "{\"a\":1}");
    }
}
