//! Batches of SQS messages, and the answer that says which of them must come again.
//!
//! The event source mapping must have `FunctionResponseTypes: [ReportBatchItemFailures]`; without it Lambda ignores the
//! answer and deletes failed messages
//! (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>).

use serde::{Deserialize, Serialize};

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
