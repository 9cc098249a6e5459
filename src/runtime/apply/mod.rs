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

use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::Value;

use super::deadline::Deadline;
use super::settings::{SettingError, Settings};
use super::sqs::{Answer, Batch, Pauses, Queue};
use super::{Handler, aws};
use crate::snowflake::client::{Account, Auth, Client, Config, Context, Provider, TokenSource, Workload};
use crate::snowflake::ident::Name;
use identity::Sts;
use work::Places;

/// The longest pause before a message comes again, in seconds.
const LONGEST_PAUSE: u64 = 900;

/// The handler.
struct Apply {
    places: Places,
    client: Client,
    queue: Queue,
    pauses: Pauses,
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
            pauses: Pauses {
                first: settings.number("PIPECTL_RETRY_SECONDS", 10)?,
                factor: 2,
                longest: LONGEST_PAUSE,
            },
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
            let later: Vec<_> = failed
                .iter()
                .map(|message| (*message, self.pauses.of(message)))
                .collect();
            self.queue.come_again(&later, deadline.end).await;
            let answer: Answer = failed.iter().map(|message| message.message_id.clone()).collect();
            Ok(serde_json::to_value(answer)?)
        }
        .boxed()
    }
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
}
