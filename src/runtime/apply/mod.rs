//! The handler `apply`: files of changes into the warehouse, by a stored procedure for each table.
//!
//! Curated bucket → S3 event → SNS → SQS → here → `CALL … APPLY_<FEED>(file, etag)`, once for each file: the procedure
//! loads the file and merges it in one transaction, and keeps in a ledger that it did. So a file may be told of twice,
//! late or out of order; files of one table that are told of together go in the order of their names.
//!
//! A file that fails leaves nothing behind. Its message comes again after a pause that doubles, until the queue gives
//! it up; the log says which file, which procedure, and what Snowflake said. The messages in work are hidden for a short
//! while only, again and again: those of a function that was killed come again soon, not after the queue's own time,
//! which may not be shorter than the function's time limit.
//!
//! No key is kept anywhere: AWS vouches for the function's role (`sts:GetWebIdentityToken`), and Snowflake has a service
//! user for that role (<https://docs.snowflake.com/en/user-guide/workload-identity-federation>), which may call the
//! procedures and nothing else.
//!
//! | setting | |
//! |---|---|
//! | `PIPECTL_CURATED_BUCKET`, `PIPECTL_CURATED_PREFIX` | where the files lie |
//! | `PIPECTL_SNOWFLAKE_ACCOUNT`, `_ROLE`, `_WAREHOUSE` | the account, and what the calls run with |
//! | `PIPECTL_SNOWFLAKE_SCHEMA` | database and schema of the procedures |
//! | `PIPECTL_SNOWFLAKE_URL` | another address than the account's own (private link, the local cloud) |
//! | `PIPECTL_QUEUE_URL` | the queue, where failed messages are put off |
//! | `PIPECTL_RETRY_SECONDS` | the first pause, 10 by default |
//! | `PIPECTL_HOLD_SECONDS` | how long messages stay hidden when the function is killed, 90 by default |
//!
//! The rights it needs: those of its event source, `sqs:ChangeMessageVisibility` on its queue, `sts:GetWebIdentityToken`.

mod identity;
mod work;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::Value;

use super::deadline::Deadline;
use super::log::Line;
use super::settings::{SettingError, Settings};
use super::sqs::{Answer, Batch, Message, Queue};
use super::{Handler, aws};
use crate::snowflake::client::{Account, Auth, Client, Config, Context, Provider, TokenSource, Workload};
use crate::snowflake::ident::Name;
use identity::Sts;
use work::Places;

/// The longest pause before a message comes again.
const LONGEST_PAUSE: u64 = 900;

/// The handler.
struct Apply {
    places: Places,
    client: Client,
    queue: Queue,
    first_pause: u64,
    hold: u64,
}

/// Makes the handler.
pub fn start(settings: Settings) -> BoxFuture<'static, anyhow::Result<Arc<dyn Handler>>> {
    async move {
        let config = aws::load().await;
        let handler = Apply {
            places: places(&settings)?,
            client: Client::new(snowflake(&settings, Sts::new(&config))?)?,
            queue: Queue {
                client: aws_sdk_sqs::Client::new(&config),
                url: settings.required("PIPECTL_QUEUE_URL")?.to_owned(),
            },
            first_pause: settings.number("PIPECTL_RETRY_SECONDS", 10)?,
            hold: settings.number("PIPECTL_HOLD_SECONDS", 90)?,
        };
        Ok(Arc::new(handler) as Arc<dyn Handler>)
    }
    .boxed()
}

fn places(settings: &Settings) -> Result<Places, SettingError> {
    let schema = settings.required("PIPECTL_SNOWFLAKE_SCHEMA")?;
    let wrong = || SettingError::Wrong {
        name: "PIPECTL_SNOWFLAKE_SCHEMA".into(),
        found: schema.to_owned(),
        wanted: "DATABASE.SCHEMA, as SQL has it",
    };
    Ok(Places {
        bucket: settings.required("PIPECTL_CURATED_BUCKET")?.to_owned(),
        prefix: settings.prefix("PIPECTL_CURATED_PREFIX", "data/")?,
        schema: Name::from_text(schema)
            .filter(|name| name.parent().is_some())
            .ok_or_else(wrong)?,
    })
}

fn snowflake(settings: &Settings, sts: Sts) -> anyhow::Result<Config> {
    let workload = Workload::new(Provider::Aws, TokenSource::Service(Arc::new(sts)));
    let account = Account::parse(settings.required("PIPECTL_SNOWFLAKE_ACCOUNT")?)?;
    let mut config = Config::new(account, Auth::Workload(workload));
    config.base_url = settings.optional("PIPECTL_SNOWFLAKE_URL").map(str::to_owned);
    config.context = Context {
        role: Some(settings.required("PIPECTL_SNOWFLAKE_ROLE")?.to_owned()),
        warehouse: Some(settings.required("PIPECTL_SNOWFLAKE_WAREHOUSE")?.to_owned()),
        ..Context::default()
    };
    Ok(config)
}

impl Handler for Apply {
    fn handle(self: Arc<Self>, event: Value, deadline: Deadline) -> BoxFuture<'static, anyhow::Result<Value>> {
        async move {
            let batch: Batch = serde_json::from_value(event).context("the event is not a batch of SQS messages")?;
            let failed = tokio::select! {
                failed = work::run(&self.places, &self.client, &batch.messages, deadline) => failed,
                never = self.queue.hold(&batch.messages, self.hold) => match never {},
            };
            self.put_off(&failed).await;
            let answer: Answer = failed.iter().map(|message| message.message_id.clone()).collect();
            Ok(serde_json::to_value(answer)?)
        }
        .boxed()
    }
}

impl Apply {
    /// Has failed messages come again soon. Without that they come again after the queue's own time, which is long.
    async fn put_off(&self, failed: &[&Message]) {
        if failed.is_empty() {
            return;
        }
        let pauses: Vec<_> = failed
            .iter()
            .map(|message| (*message, pause(self.first_pause, message)))
            .collect();
        let patience = Duration::from_secs(5);
        let put_off = tokio::time::timeout(patience, self.queue.put_off(&pauses)).await;
        if let Err(error) = put_off.unwrap_or_else(|_| Err(anyhow::anyhow!("SQS did not answer"))) {
            Line::warn("put off").detail(format!("{error:#}")).write();
        }
    }
}

/// Seconds until a message comes again: they double with each time that it came.
fn pause(first: u64, message: &Message) -> u64 {
    let times: u32 = message.attributes.approximate_receive_count.parse().unwrap_or(1);
    let doubled = 1u64.checked_shl(times.saturating_sub(1)).unwrap_or(u64::MAX);
    first.saturating_mul(doubled).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLETE: [(&str, &str); 6] = [
        ("PIPECTL_CURATED_BUCKET", "curated"),
        ("PIPECTL_SNOWFLAKE_ACCOUNT", "org-account"),
        ("PIPECTL_SNOWFLAKE_ROLE", "P_APPLY"),
        ("PIPECTL_SNOWFLAKE_WAREHOUSE", "P_WH"),
        ("PIPECTL_SNOWFLAKE_SCHEMA", "DB.\"raw 1\""),
        ("PIPECTL_QUEUE_URL", "http://127.0.0.1/q"),
    ];

    #[test]
    fn the_settings_are_read() {
        let places = places(&Settings::from(COMPLETE)).unwrap();
        assert_eq!(places.schema.to_string(), "DB.\"raw 1\"");
        assert_eq!((places.bucket.as_str(), places.prefix.as_str()), ("curated", "data/"));
        for schema in ["", "DB", "DB..X"] {
            let mut settings = COMPLETE;
            settings[4].1 = schema;
            let error = super::places(&Settings::from(settings)).unwrap_err().to_string();
            assert!(error.contains("PIPECTL_SNOWFLAKE_SCHEMA"), "{error}");
        }
    }

    #[test]
    fn pauses_double_to_a_limit() {
        let message = |times: &str| Message {
            message_id: "m".into(),
            receipt_handle: "r".into(),
            body: String::new(),
            attributes: super::super::sqs::Attributes {
                approximate_receive_count: times.into(),
            },
        };
        let pauses = ["1", "2", "4", "7", "8", "70", "", "x"].map(|times| pause(10, &message(times)));
        assert_eq!(pauses, [10, 20, 80, 640, 900, 900, 10, 10]);
    }
}
