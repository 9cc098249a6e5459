//! Records into a Kinesis stream, each of them acknowledged.
//!
//! One request takes at most 500 records, and fails record by record: those that failed go again, the others do not
//! (<https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>). A record that goes again arrives
//! behind later ones. Within one batch no two records may therefore have the same key, or their order must not matter;
//! across readings the record's `seq` decides.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::DisplayErrorContext;
use aws_sdk_kinesis::operation::put_records::{PutRecordsError, PutRecordsOutput};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use thiserror::Error;
use tokio::time::Instant;

/// Records of one request, the most that Kinesis takes.
const RECORDS_MAX: usize = 500;
/// A batch that has reached this many bytes is full. Far below the 5 MiB a request may have: several batches are under
/// way at a time, each of them is held about three times while it is sent, and a shard takes 1 MiB a second anyway.
const BYTES_FULL: usize = 1 << 20;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What a refusal that passes means.
pub const BUSY: &str = "the stream has too few shards, or waits on another writer";

/// Records could not be put.
#[derive(Debug, Error)]
pub enum KinesisError {
    /// Kinesis refused the request in a way that trying again does not mend.
    #[error("Kinesis refused records for {stream}: {reason}")]
    Refused { stream: String, reason: String },
    /// Time ran out while Kinesis went on refusing records.
    #[error(
        "{left} records for {stream} were not taken in time, after {attempts} attempts: {reason}; {}",
        BUSY
    )]
    OutOfTime {
        stream: String,
        left: usize,
        attempts: u32,
        reason: String,
    },
}

/// Records that go in one request.
#[derive(Default)]
pub struct Batch {
    entries: Vec<PutRecordsRequestEntry>,
    bytes: usize,
}

impl Batch {
    /// Adds a record. `key` decides its shard and counts as part of it.
    pub fn push(&mut self, key: &str, record: &[u8]) {
        self.bytes += key.len() + record.len();
        let entry = PutRecordsRequestEntry::builder()
            .partition_key(key)
            .data(Blob::new(record))
            .build();
        // Both required fields are set.
        self.entries.extend(entry);
    }

    /// Whether it should be sent before another record is added.
    pub fn is_full(&self) -> bool {
        self.entries.len() == RECORDS_MAX || self.bytes >= BYTES_FULL
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
}

/// Why Kinesis did not take records the last time that it did not.
#[derive(Default)]
pub struct Refusal(Mutex<Option<String>>);

impl Refusal {
    fn keep(&self, reason: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
    }

    /// The reason, where there was one.
    pub fn reason(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A stream to write to.
#[derive(Clone)]
pub struct Stream {
    client: Client,
    arn: String,
}

impl Stream {
    pub fn new(client: Client, arn: &str) -> Self {
        Self {
            client,
            arn: arn.to_owned(),
        }
    }

    /// Puts every record of the batch, those that fail again and again until `until`. Gives the number of requests.
    pub async fn put(&self, batch: Batch, until: Instant) -> Result<u32, KinesisError> {
        self.put_telling(batch, until, &Refusal::default()).await
    }

    /// The same for one who may give this up before, and then wants to know what it waited for.
    pub async fn put_telling(&self, batch: Batch, until: Instant, refusal: &Refusal) -> Result<u32, KinesisError> {
        let mut entries = batch.entries;
        let mut attempts = 0;
        while !entries.is_empty() {
            attempts += 1;
            let request = self.client.put_records().stream_arn(&self.arn);
            let reason = match request.set_records(Some(entries.clone())).send().await {
                Ok(answer) => {
                    let reason = first_reason(&answer);
                    entries = failed(entries, &answer);
                    reason
                }
                Err(error) if may_pass(error.as_service_error()) => DisplayErrorContext(&error).to_string(),
                Err(error) => {
                    return Err(KinesisError::Refused {
                        stream: self.arn.clone(),
                        reason: DisplayErrorContext(&error).to_string(),
                    });
                }
            };
            if entries.is_empty() {
                break;
            }
            refusal.keep(&reason);
            let wait = wait(attempts);
            if Instant::now() + wait >= until {
                return Err(KinesisError::OutOfTime {
                    stream: self.arn.clone(),
                    left: entries.len(),
                    attempts,
                    reason,
                });
            }
            tokio::time::sleep(wait).await;
        }
        Ok(attempts)
    }
}

/// Without an answer from the service (`None`) the network failed, which passes.
fn may_pass(error: Option<&PutRecordsError>) -> bool {
    error.is_none_or(|error| {
        error.is_provisioned_throughput_exceeded_exception()
            || error.is_kms_throttling_exception()
            || error.is_internal_failure_exception()
    })
}

fn first_reason(answer: &PutRecordsOutput) -> String {
    let mut codes = answer.records().iter().filter_map(|record| record.error_code());
    codes.next().unwrap_or_default().to_owned()
}

/// Those entries that Kinesis did not take; its answer is in the order of the request.
fn failed(entries: Vec<PutRecordsRequestEntry>, answer: &PutRecordsOutput) -> Vec<PutRecordsRequestEntry> {
    if answer.failed_record_count() == Some(0) && answer.records().len() == entries.len() {
        return Vec::new();
    }
    entries
        .into_iter()
        .enumerate()
        // An entry without a sequence number was not stored, whatever else the answer says.
        .filter(|(index, _)| {
            answer
                .records()
                .get(*index)
                .is_none_or(|result| result.sequence_number().is_none())
        })
        .map(|(_, entry)| entry)
        .collect()
}

/// Exponential with full jitter, so that throttled writers do not come back together.
fn wait(attempts: u32) -> Duration {
    let most = FIRST_WAIT.saturating_mul(1 << attempts.min(10)).min(LONGEST_WAIT);
    most.mul_f64(fastrand::f64()).max(Duration::from_millis(10))
}

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::types::PutRecordsResultEntry;

    use super::*;

    #[test]
    fn only_what_failed_goes_again() {
        let mut batch = Batch::default();
        for key in ["a", "b", "c"] {
            batch.push(key, b"{}");
        }
        let fine = || {
            PutRecordsResultEntry::builder()
                .sequence_number("1")
                .shard_id("s")
                .build()
        };
        let bad = PutRecordsResultEntry::builder().error_code("InternalFailure").build();
        let output = |records| {
            PutRecordsOutput::builder()
                .set_records(Some(records))
                .failed_record_count(1)
                .build()
                .unwrap()
        };
        let left = failed(batch.entries, &output(vec![fine(), bad, fine()]));
        assert_eq!(
            left.iter().map(|entry| entry.partition_key()).collect::<Vec<_>>(),
            ["b"]
        );
        // An answer that is too short acknowledges nothing beyond its end.
        assert_eq!(failed(left, &output(vec![])).len(), 1);
    }

    #[test]
    fn a_batch_is_full_by_number_or_by_bytes() {
        let mut batch = Batch::default();
        (0..499).for_each(|_| batch.push("k", b"{}"));
        assert!(!batch.is_full());
        batch.push("k", b"{}");
        assert!(batch.is_full() && batch.len() == 500);
        let mut batch = Batch::default();
        batch.push("k", &vec![b'x'; BYTES_FULL]);
        assert!(batch.is_full());
    }
}
