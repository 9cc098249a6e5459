//! Where records go: the stream, or a file of its own for one that is too large for it.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::runtime::kinesis::{Batch, KinesisError, Refusal, Stream};
use crate::runtime::log::Line;
use crate::runtime::mysql::Value;
use crate::runtime::store::{Place, Store};

/// Batches under way at a time. Within a reading no key occurs twice, so their order does not matter.
const PARALLEL: usize = 4;

/// A row's place in the order of a pass.
pub type Position = Vec<Value>;

/// Sends batches and remembers how far they are acknowledged without a gap.
pub struct Sink<P = Position> {
    stream: Stream,
    until: Instant,
    batch: Batch,
    under_way: VecDeque<Sending<P>>,
    /// Rows acknowledged, and the position of the last of them.
    pub acknowledged: Option<P>,
    pub rows: u64,
    /// Why records were not taken.
    pub refusal: Arc<Refusal>,
}

struct Sending<P> {
    task: JoinHandle<Result<u32, KinesisError>>,
    rows: u64,
    position: P,
}

impl<P> Sink<P> {
    /// A sink that gives up at `until`.
    pub fn new(stream: &Stream, until: Instant) -> Self {
        Self {
            stream: stream.clone(),
            until,
            batch: Batch::default(),
            under_way: VecDeque::new(),
            acknowledged: None,
            rows: 0,
            refusal: Arc::default(),
        }
    }

    /// Adds a record. True when the batch is full: `send` it then.
    pub fn push(&mut self, spread: &str, record: &[u8]) -> bool {
        self.batch.push(spread, record);
        self.batch.is_full()
    }

    /// Sends what was added since; `position` is that of its last row. Waits while too many are under way.
    pub async fn send(&mut self, position: P, beside: u64) -> Result<(), KinesisError> {
        while self.under_way.len() >= PARALLEL {
            self.acknowledge().await?;
        }
        let batch = std::mem::take(&mut self.batch);
        let rows = batch.len() as u64 + beside;
        let (stream, until, refusal) = (self.stream.clone(), self.until, Arc::clone(&self.refusal));
        self.under_way.push_back(Sending {
            task: tokio::spawn(async move { stream.put_telling(batch, until, &refusal).await }),
            rows,
            position,
        });
        Ok(())
    }

    /// Takes note of what was acknowledged, without waiting for more.
    pub async fn look(&mut self) -> Result<(), KinesisError> {
        while self.under_way.front().is_some_and(|sending| sending.task.is_finished()) {
            self.acknowledge().await?;
        }
        Ok(())
    }

    /// Whether something was added that is not sent.
    pub fn is_waiting(&self) -> bool {
        self.batch.len() > 0
    }

    /// Whether everything that was added is acknowledged.
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty() && self.batch.len() == 0
    }

    /// Waits until everything sent is acknowledged.
    pub async fn finish(&mut self) -> Result<(), KinesisError> {
        while !self.under_way.is_empty() {
            self.acknowledge().await?;
        }
        Ok(())
    }

    async fn acknowledge(&mut self) -> Result<(), KinesisError> {
        let Some(sending) = self.under_way.pop_front() else {
            return Ok(());
        };
        match sending.task.await {
            Ok(result) => result?,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        self.rows += sending.rows;
        self.acknowledged = Some(sending.position);
        Ok(())
    }
}

impl<P> Drop for Sink<P> {
    fn drop(&mut self) {
        self.under_way.iter().for_each(|sending| sending.task.abort());
    }
}

/// Where a record goes that does not fit into the stream.
pub struct Aside<'a> {
    pub store: &'a Arc<Store>,
    pub bucket: &'a str,
    pub data: &'a str,
    pub errors: &'a str,
    /// Bytes that can be loaded.
    pub loadable_max: usize,
}

impl Aside<'_> {
    /// Writes the record where the stream's files are too, or to the error prefix with its reason when nothing could
    /// load it from there. Nothing is lost, and the rows behind it go on. The name is that of this record only.
    pub async fn put(&self, title: &str, name: &str, record: &[u8]) -> anyhow::Result<()> {
        let loadable = record.len() <= self.loadable_max;
        let prefix = if loadable { self.data } else { self.errors };
        let place = Place::new(self.bucket, &format!("{prefix}{title}/large/{name}.jsonl"));
        self.store.put(&place, "application/x-ndjson", record.to_vec()).await?;
        let bytes = record.len() as u64;
        if loadable {
            let line = Line::info("large row")
                .key(title)
                .target(&place.key)
                .moved(Some(1), bytes);
            line.detail("too large for the stream, written as a file of its own")
                .write();
            return Ok(());
        }
        let reason = format!(
            "the record has {bytes} bytes, more than the {} that can be loaded; it is kept, but not in the warehouse",
            self.loadable_max
        );
        let document = json!({"table": title, "name": name, "bytes": bytes, "reason": reason});
        let beside = Place::new(self.bucket, &format!("{}.reason.json", place.key));
        self.store
            .put(&beside, "application/json", document.to_string().into_bytes())
            .await?;
        Line::error("row too large")
            .key(title)
            .target(&place.key)
            .moved(Some(1), bytes)
            .detail(reason)
            .write();
        Ok(())
    }
}
