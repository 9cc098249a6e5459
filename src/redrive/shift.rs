//! Dead letters back into the queue they came from.

use std::collections::BTreeSet;

use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, SendMessageBatchRequestEntry};
use serde::Serialize;

use super::Open;
use super::letter::{receive, release};
use crate::aws::Aws;
use crate::aws::failure::explain;

/// Seconds that a letter which is being moved is hidden from others.
const MOVE_SECONDS: i32 = 30;
/// Bytes of bodies in one request; SQS takes no less in any region:
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>.
const MOST_BYTES: usize = 200 << 10;
/// Asks without an answer after which a queue is taken to be empty.
const MOST_EMPTY: u32 = 2;

/// What was moved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Letters that the source queue has again.
    pub moved: u64,
    /// Letters that it refused, which stay where they are.
    pub refused: u64,
    /// Letters that are in both queues, because they could not be deleted after they were sent.
    pub twice: u64,
    /// Letters that came back while the others were moved: their cause is not mended.
    pub came_back: u64,
    /// Why letters were refused, or not deleted.
    pub reasons: BTreeSet<String>,
}

impl Moved {
    /// Whether every letter is where it belongs.
    pub fn is_whole(&self) -> bool {
        self.refused + self.twice + self.came_back == 0
    }
}

/// Moves letters until none are left, or `stop` says so; `tell` hears how many were moved so far.
pub async fn shift(aws: &Aws, open: &Open, stop: impl Fn() -> bool, tell: impl Fn(u64)) -> anyhow::Result<Moved> {
    let mut moved = Moved::default();
    // A letter that fails again keeps the id that it was sent under; a refused one comes again once it is visible.
    let (mut sent, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut empty = 0;
    while empty < MOST_EMPTY && !stop() {
        let received = receive(aws, open, MOVE_SECONDS).await?;
        if received.is_empty() {
            empty += 1;
            continue;
        }
        let id = |message: &Message| message.message_id().unwrap_or_default().to_owned();
        let (back, fresh): (Vec<Message>, Vec<Message>) = received.into_iter().partition(|one| sent.contains(&id(one)));
        let (again, fresh): (Vec<Message>, Vec<Message>) = fresh.into_iter().partition(|one| !seen.insert(id(one)));
        moved.came_back += back.len() as u64;
        release(aws, open, &back).await?;
        release(aws, open, &again).await?;
        if fresh.is_empty() {
            break;
        }
        for some in batches(fresh) {
            batch(aws, open, &some, &mut sent, &mut moved).await?;
            tell(moved.moved);
        }
    }
    Ok(moved)
}

/// In parts that one request takes.
fn batches(messages: Vec<Message>) -> Vec<Vec<Message>> {
    let mut batches: Vec<Vec<Message>> = Vec::new();
    let mut bytes = 0;
    for message in messages {
        let length = message.body().unwrap_or_default().len();
        match batches.last_mut() {
            Some(last) if bytes + length <= MOST_BYTES => {
                bytes += length;
                last.push(message);
            }
            _ => {
                bytes = length;
                batches.push(vec![message]);
            }
        }
    }
    batches
}

/// Sends, and deletes what was acknowledged.
async fn batch(
    aws: &Aws,
    open: &Open,
    messages: &[Message],
    sent: &mut BTreeSet<String>,
    moved: &mut Moved,
) -> anyhow::Result<()> {
    let entry = |(place, message): (usize, &Message)| {
        SendMessageBatchRequestEntry::builder()
            .id(place.to_string())
            .message_body(message.body().unwrap_or_default())
            .set_message_attributes(message.message_attributes().cloned())
            .build()
    };
    let entries = messages.iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>()?;
    let answer = aws
        .sqs
        .send_message_batch()
        .queue_url(&open.to)
        .set_entries(Some(entries))
        .send()
        .await
        .map_err(|error| explain(&format!("sqs:SendMessage to {}", open.route.source), error))?;
    let mut deletions = Vec::new();
    for done in answer.successful() {
        sent.insert(done.message_id().to_owned());
        let message = done.id().parse::<usize>().ok().and_then(|place| messages.get(place));
        let handle = message.and_then(|message| message.receipt_handle());
        deletions.push(
            DeleteMessageBatchRequestEntry::builder()
                .id(done.id())
                .receipt_handle(handle.unwrap_or_default())
                .build()?,
        );
    }
    let (mut gone, mut left) = (deletions.len() as u64, 0);
    if !deletions.is_empty() {
        let request = aws.sqs.delete_message_batch().queue_url(&open.from);
        let answer = request
            .set_entries(Some(deletions))
            .send()
            .await
            .map_err(|error| explain(&format!("sqs:DeleteMessage of {}", open.route.queue), error))?;
        left = answer.failed().len() as u64;
        gone -= left;
        let reasons = answer.failed().iter().filter_map(|failed| failed.message());
        moved.reasons.extend(reasons.map(str::to_owned));
    }
    let refused: Vec<Message> = answer
        .failed()
        .iter()
        .filter_map(|failed| messages.get(failed.id().parse::<usize>().ok()?).cloned())
        .collect();
    let reasons = answer.failed().iter().filter_map(|failed| failed.message());
    moved.reasons.extend(reasons.map(str::to_owned));
    moved.moved += gone;
    moved.twice += left;
    moved.refused += refused.len() as u64;
    release(aws, open, &refused).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_no_larger_than_a_request_may_be() {
        let message = |bytes: usize| Message::builder().body("x".repeat(bytes)).build();
        let sizes = [100 << 10, 100 << 10, 1, 200 << 10, 1];
        let batches = batches(sizes.map(message).to_vec());
        let counts: Vec<usize> = batches.iter().map(Vec::len).collect();
        assert_eq!(counts, [2, 1, 1, 1]);
    }
}
