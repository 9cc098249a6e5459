//! Batches of SQS messages, and the answer that says which of them must come again.
//!
//! The event source mapping must have `FunctionResponseTypes: [ReportBatchItemFailures]`; without it Lambda ignores the
//! answer and deletes failed messages
//! (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>).

use std::convert::Infallible;
use std::time::Duration;

use anyhow::anyhow;
use aws_sdk_sqs::error::DisplayErrorContext;
use aws_sdk_sqs::types::ChangeMessageVisibilityBatchRequestEntry;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};

use super::log::Line;

/// Entries of one batch call: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibilityBatch.html>.
const ENTRIES: usize = 10;

/// How long messages that failed are hidden before they come again.
#[derive(Debug, Clone, Copy)]
pub struct Pauses {
    /// Seconds after the first time.
    pub first: u64,
    /// How much longer each one is than the last.
    pub factor: u64,
    /// The longest, in seconds.
    pub longest: u64,
}

impl Pauses {
    /// Seconds until a message comes again.
    pub fn of(&self, message: &Message) -> u64 {
        let times: u32 = message.attributes.approximate_receive_count.parse().unwrap_or(1);
        let grown = self.factor.saturating_pow(times.saturating_sub(1));
        self.first.saturating_mul(grown).min(self.longest)
    }
}

/// The queue that messages come from.
pub struct Queue {
    /// The client.
    pub client: aws_sdk_sqs::Client,
    /// Its URL.
    pub url: String,
}

impl Queue {
    /// Hides each message for so many seconds. One whose time could not be set comes again when the queue's own is over.
    pub async fn put_off(&self, messages: &[(&Message, u64)]) -> anyhow::Result<()> {
        for some in messages.chunks(ENTRIES) {
            let mut request = self.client.change_message_visibility_batch().queue_url(&self.url);
            for (index, (message, seconds)) in some.iter().enumerate() {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(index.to_string())
                    .receipt_handle(&message.receipt_handle)
                    .visibility_timeout(i32::try_from(*seconds).unwrap_or(i32::MAX));
                request = request.entries(entry.build()?);
            }
            request
                .send()
                .await
                .map_err(|error| anyhow!("sqs:ChangeMessageVisibility: {}", DisplayErrorContext(&error)))?;
        }
        Ok(())
    }

    /// The same for messages that are left over, until that moment at the latest. A failure is told and fails nothing
    /// else: they come again all the same, if later.
    pub async fn come_again(&self, messages: &[(&Message, u64)], until: Instant) {
        if messages.is_empty() {
            return;
        }
        let done = timeout_at(until, self.put_off(messages)).await;
        if let Err(error) = done.unwrap_or_else(|_| Err(anyhow!("SQS did not answer"))) {
            Line::warn("put off").detail(format!("{error:#}")).write();
        }
    }

    /// Hides messages for so many seconds, again and again, while somebody works at them: a process that is killed holds
    /// them no longer than that, however long the queue itself would hide them. Never ends by itself.
    pub async fn hold(&self, messages: &[Message], seconds: u64) -> Infallible {
        let held: Vec<(&Message, u64)> = messages.iter().map(|message| (message, seconds)).collect();
        beat(Duration::from_secs(seconds) / 3, || self.put_off(&held)).await
    }
}

/// Does something again and again, so far apart; what fails is told, and done again the next time.
async fn beat<F>(apart: Duration, again: impl Fn() -> F) -> Infallible
where
    F: Future<Output = anyhow::Result<()>>,
{
    let mut ticks = interval(apart);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let done = timeout(apart, again()).await;
        if let Err(error) = done.unwrap_or_else(|_| Err(anyhow!("SQS did not answer"))) {
            Line::warn("hold").detail(format!("{error:#}")).write();
        }
    }
}

/// What Lambda passes for an SQS event source.
#[derive(Debug, Deserialize)]
pub struct Batch {
    /// The messages.
    #[serde(rename = "Records")]
    pub messages: Vec<Message>,
}

/// One message. Fields that no handler needs are left out.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// What a failed message is reported by.
    pub message_id: String,
    /// What a message in work is spoken of by.
    #[serde(default)]
    pub receipt_handle: String,
    /// The text that was sent.
    pub body: String,
    /// What SQS says of it.
    #[serde(default)]
    pub attributes: Attributes,
}

/// What SQS says of a message.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Attributes {
    /// How often it was received, this time included; a number as text.
    pub approximate_receive_count: String,
}

/// The partial batch response.
#[derive(Debug, Default, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The messages that must come again.
    pub batch_item_failures: Vec<Failed>,
}

/// One message that must come again.
#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Failed {
    /// The message's id.
    pub item_identifier: String,
}

impl FromIterator<String> for Answer {
    fn from_iter<I: IntoIterator<Item = String>>(ids: I) -> Self {
        Self {
            batch_item_failures: ids
                .into_iter()
                .map(|item_identifier| Failed { item_identifier })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn pauses_grow_to_a_limit() {
        let message = |times: &str| Message {
            message_id: "m".into(),
            receipt_handle: "r".into(),
            body: String::new(),
            attributes: Attributes {
                approximate_receive_count: times.into(),
            },
        };
        let pauses = |factor, longest| Pauses {
            first: 10,
            factor,
            longest,
        };
        let times = ["1", "2", "4", "7", "8", "70", "", "x"];
        let doubled = times.map(|times| pauses(2, 900).of(&message(times)));
        assert_eq!(doubled, [10, 20, 80, 640, 900, 900, 10, 10]);
        let fourfold = times.map(|times| pauses(4, 3600).of(&message(times)));
        assert_eq!(fourfold, [10, 40, 640, 3600, 3600, 3600, 10, 10]);
    }

    #[tokio::test]
    async fn what_is_held_is_held_again_also_after_a_failure_and_a_silence() {
        let (calls, enough) = (Cell::new(0), tokio::sync::Notify::new());
        let hold = beat(Duration::from_millis(5), || async {
            calls.set(calls.get() + 1);
            match calls.get() {
                1 => return Err(anyhow!("refused")),
                2 => std::future::pending().await,
                5 => enough.notify_one(),
                _ => {}
            }
            Ok(())
        });
        tokio::select! {
            never = hold => match never {},
            () = enough.notified() => {}
        }
        assert_eq!(calls.get(), 5);
    }
}
