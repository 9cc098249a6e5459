//! Batches of SQS messages, and the answer that says which of them must come again.
//!
//! The event source mapping must have `FunctionResponseTypes: [ReportBatchItemFailures]`; without it Lambda ignores the
//! answer and deletes failed messages
//! (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>).

use anyhow::anyhow;
use aws_sdk_sqs::error::DisplayErrorContext;
use aws_sdk_sqs::types::ChangeMessageVisibilityBatchRequestEntry;
use serde::{Deserialize, Serialize};

/// Entries of one batch call: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibilityBatch.html>.
const ENTRIES: usize = 10;

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
