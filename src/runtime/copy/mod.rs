//! The handler `copy`: raw files to JSON lines that the warehouse can load.
//!
//! Raw bucket → (S3 event → SNS →) SQS → here → curated bucket. Every object of any layout of JSON becomes one object
//! of JSON lines under the curated prefix; what is not JSON goes to the error prefix with its reason beside it.
//! Nothing else is kept anywhere: replaying a message finds what is there and changes nothing.
//!
//! The rights it needs, and no others (the test `every_right_is_enough_and_none_is_too_much` takes those of S3 away):
//!
//! | action | on |
//! |---|---|
//! | `s3:GetObject` | every object of the raw bucket |
//! | `s3:ListBucket` | the raw bucket: without it S3 answers 403 for an absent object, so stale events would fail |
//! | `s3:GetObject`, `s3:PutObject`, `s3:AbortMultipartUpload` | both prefixes of the curated bucket |
//! | `sqs:ChangeMessageVisibility` | the queue, where its URL is told (`PIPECTL_QUEUE_URL`) |
//!
//! A file that failed then comes again after a minute (`PIPECTL_RETRY_SECONDS`), then after four, and so on.
//!
//! Three things are the bucket's, queue's and mapping's part: a lifecycle rule for incomplete uploads (a killed process
//! aborts nothing), a dead-letter queue, and `ReportBatchItemFailures`.

mod batch;
mod convert;
mod names;
mod record;
mod reject;

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context;
use aws_config::SdkConfig;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;

use super::deadline::Deadline;
use super::settings::{SettingError, Settings};
use super::sqs::{Answer, Batch, Message, Pauses, Queue};
use super::store::{COPY_LIMIT, Store};
use super::{Handler, aws};
use batch::Left;
use names::Names;

/// The longest pause before a message comes again, in seconds.
const LONGEST_PAUSE: u64 = 3600;

/// Where from, where to, and how large.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    raw_bucket: String,
    curated_bucket: String,
    names: Names,
    convert_max: u64,
}

impl Plan {
    fn read(settings: &Settings) -> Result<Self, SettingError> {
        let raw_bucket = settings.required("PIPECTL_RAW_BUCKET")?.to_owned();
        let curated_bucket = settings.required("PIPECTL_CURATED_BUCKET")?.to_owned();
        if raw_bucket == curated_bucket {
            // Every object written would be an event again, for ever.
            return Err(SettingError::Wrong {
                name: "PIPECTL_CURATED_BUCKET".into(),
                found: curated_bucket,
                wanted: "another bucket than PIPECTL_RAW_BUCKET",
            });
        }
        let names = Names {
            curated: settings.prefix("PIPECTL_CURATED_PREFIX", "data/")?,
            errors: settings.prefix("PIPECTL_ERROR_PREFIX", "errors/")?,
        };
        if names.errors.starts_with(&names.curated) || names.curated.starts_with(&names.errors) {
            return Err(SettingError::Wrong {
                name: "PIPECTL_ERROR_PREFIX".into(),
                found: names.errors,
                wanted: "outside of PIPECTL_CURATED_PREFIX, which is loaded",
            });
        }
        Ok(Self {
            raw_bucket,
            curated_bucket,
            names,
            convert_max: settings.number("PIPECTL_CONVERT_MAX_BYTES", COPY_LIMIT)?,
        })
    }
}

/// The handler with all it needs.
struct Copy {
    store: Arc<Store>,
    plan: Plan,
    /// What a client of the queue is made of; most processes never need one, and each would start later for it.
    config: SdkConfig,
    /// Without it a message comes again when the queue's own time is over, which may not be shorter than that of the
    /// function.
    queue_url: Option<String>,
    pauses: Pauses,
}

/// Makes the handler.
pub fn start(settings: Settings) -> BoxFuture<'static, anyhow::Result<Arc<dyn Handler>>> {
    async move {
        let plan = Plan::read(&settings)?;
        let config = aws::load().await;
        Ok(Arc::new(Copy {
            store: Store::new(aws::s3(&config, &settings)),
            plan,
            config,
            queue_url: settings.optional("PIPECTL_QUEUE_URL").map(str::to_owned),
            pauses: Pauses {
                first: settings.number("PIPECTL_RETRY_SECONDS", 60)?,
                factor: 4,
                longest: LONGEST_PAUSE,
            },
        }) as Arc<dyn Handler>)
    }
    .boxed()
}

impl Handler for Copy {
    fn handle(self: Arc<Self>, event: Value, deadline: Deadline) -> BoxFuture<'static, anyhow::Result<Value>> {
        async move {
            let batch: Batch = serde_json::from_value(event).context("the event is not a batch of SQS messages")?;
            let left = batch::run(batch.messages.clone(), deadline, |message| {
                let copy = Arc::clone(&self);
                async move { copy.message(&message).await }
            })
            .await;
            futures::join!(
                self.store.settle(deadline.end),
                self.come_again(&batch.messages, &left, deadline)
            );
            let answer: Answer = left.into_keys().collect();
            Ok(serde_json::to_value(answer)?)
        }
        .boxed()
    }
}

impl Copy {
    /// What failed comes again after a pause that grows, what there was no time for at once.
    async fn come_again(&self, messages: &[Message], left: &HashMap<String, Left>, deadline: Deadline) {
        let Some(url) = self.queue_url.as_ref().filter(|_| !left.is_empty()) else {
            return;
        };
        let pause = |message: &Message| match left.get(&message.message_id)? {
            Left::Deferred => Some(0),
            Left::Failed => Some(self.pauses.of(message)),
        };
        let later: Vec<(&Message, u64)> = messages
            .iter()
            .filter_map(|message| Some((message, pause(message)?)))
            .collect();
        let queue = Queue {
            client: aws_sdk_sqs::Client::new(&self.config),
            url: url.clone(),
        };
        queue.come_again(&later, deadline.end).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_names_what_is_missing_or_wrong() {
        let wrong = |settings| Plan::read(&settings).unwrap_err().to_string();
        assert!(wrong(Settings::from([])).contains("PIPECTL_RAW_BUCKET"));
        assert!(wrong(Settings::from([("PIPECTL_RAW_BUCKET", "r")])).contains("PIPECTL_CURATED_BUCKET"));
        assert!(
            wrong(Settings::from([
                ("PIPECTL_RAW_BUCKET", "r"),
                ("PIPECTL_CURATED_BUCKET", "r")
            ]))
            .contains("another bucket")
        );
        let nested = [
            ("PIPECTL_RAW_BUCKET", "r"),
            ("PIPECTL_CURATED_BUCKET", "c"),
            ("PIPECTL_ERROR_PREFIX", "data/errors/"),
        ];
        assert!(wrong(Settings::from(nested)).contains("PIPECTL_ERROR_PREFIX"));
    }

    #[test]
    fn the_plan_has_defaults() {
        let plan = Plan::read(&Settings::from([
            ("PIPECTL_RAW_BUCKET", "r"),
            ("PIPECTL_CURATED_BUCKET", "c"),
        ]))
        .unwrap();
        assert_eq!(
            plan.names,
            Names {
                curated: "data/".into(),
                errors: "errors/".into()
            }
        );
        assert_eq!(plan.convert_max, 5 << 30);
    }
}
