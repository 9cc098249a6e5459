//! The few things the handlers do with S3.

mod server_copy;
mod upload;

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

pub use upload::Upload;

/// The most bytes that one CopyObject copies
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html>), and the most of one part.
pub const COPY_LIMIT: u64 = 5 * 1024 * 1024 * 1024;

/// A body that sends nothing for this long is given up; the message comes again.
const READ_PATIENCE: Duration = Duration::from_secs(30);

/// Why S3 did not do it.
#[derive(Debug, Error)]
pub enum StoreError {
    /// There is no such object (any more).
    #[error("the object is gone")]
    Gone,
    /// The object was written again after it was read.
    #[error("the object changed while it was copied")]
    Changed,
    /// Everything else.
    #[error("{operation} of s3://{bucket}/{key}: {reason}")]
    Failed {
        operation: &'static str,
        bucket: String,
        key: String,
        reason: String,
    },
}

/// The place of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
}

impl Place {
    /// The place of `key` in `bucket`.
    pub fn new(bucket: &str, key: &str) -> Self {
        Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        }
    }

    fn failed(&self, operation: &'static str, reason: impl Into<String>) -> StoreError {
        StoreError::Failed {
            operation,
            bucket: self.bucket.clone(),
            key: self.key.clone(),
            reason: reason.into(),
        }
    }

    fn refused<E>(&self, operation: &'static str, error: &SdkError<E>) -> StoreError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        self.failed(operation, explain(error))
    }
}

/// One version of an object: what was found when it was opened.
#[derive(Debug, Clone)]
pub struct Version {
    /// Where it is.
    pub place: Place,
    /// The entity tag as S3 wrote it, with its quotes: what conditions compare.
    pub etag: String,
    /// Its length in bytes.
    pub size: u64,
    /// When it was written.
    pub modified: Option<DateTime>,
}

/// The bytes of an object as they arrive.
pub struct Body {
    place: Place,
    stream: ByteStream,
    left: u64,
}

impl Body {
    /// The next bytes. A body that ends early is an error here, so that it is never mistaken for broken JSON.
    pub async fn next(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>, StoreError> {
        let read = timeout(READ_PATIENCE, self.stream.try_next()).await;
        let chunk = read
            .map_err(|_| {
                self.place
                    .failed("GetObject", format!("no bytes for {} s", READ_PATIENCE.as_secs()))
            })?
            .map_err(|error| self.place.failed("GetObject", error.to_string()))?;
        let taken = chunk.as_ref().map_or(0, |bytes| bytes.len() as u64);
        self.left = self.left.saturating_sub(taken);
        match chunk {
            None if self.left > 0 => Err(self
                .place
                .failed("GetObject", format!("the body ended {} bytes early", self.left))),
            chunk => Ok(chunk),
        }
    }
}

/// S3, and the clean-up that is still under way.
pub struct Store {
    /// Made when it is first needed: a process that starts to send a few rows to a stream never does.
    client: LazyLock<Client, Box<dyn FnOnce() -> Client + Send>>,
    clean_ups: Mutex<Vec<JoinHandle<()>>>,
}

impl Store {
    /// A store that talks through what `client` makes.
    pub fn new(client: impl FnOnce() -> Client + Send + 'static) -> Arc<Self> {
        Arc::new(Self {
            client: LazyLock::new(Box::new(client)),
            clean_ups: Mutex::default(),
        })
    }

    /// Opens the newest version of an object.
    pub async fn open(&self, place: &Place) -> Result<(Version, Body), StoreError> {
        let found = self
            .client
            .get_object()
            .bucket(&place.bucket)
            .key(&place.key)
            .send()
            .await
            .map_err(|error| {
                let gone = error.as_service_error().is_some_and(|error| error.is_no_such_key());
                if gone {
                    StoreError::Gone
                } else {
                    place.refused("GetObject", &error)
                }
            })?;
        let size = found.content_length.and_then(|length| u64::try_from(length).ok());
        let size = size.ok_or_else(|| place.failed("GetObject", "the answer has no length"))?;
        let etag = found
            .e_tag
            .ok_or_else(|| place.failed("GetObject", "the answer has no ETag"))?;
        let body = Body {
            place: place.clone(),
            stream: found.body,
            left: size,
        };
        Ok((
            Version {
                place: place.clone(),
                etag,
                size,
                modified: found.last_modified,
            },
            body,
        ))
    }

    /// Whether an object is there.
    ///
    /// Without `s3:ListBucket` S3 answers 403 for an absent object, so as not to tell what exists
    /// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html>). The handlers have no right to list the
    /// curated bucket, so 403 counts as absent: then the work is done, and if the right to read is really missing, only
    /// a short cut is lost.
    pub async fn exists(&self, place: &Place) -> Result<bool, StoreError> {
        match self
            .client
            .head_object()
            .bucket(&place.bucket)
            .key(&place.key)
            .send()
            .await
        {
            Ok(_) => Ok(true),
            Err(error) => match error.raw_response().map(|response| response.status().as_u16()) {
                Some(403 | 404) => Ok(false),
                _ => Err(place.refused("HeadObject", &error)),
            },
        }
    }

    /// Writes a whole object.
    pub async fn put(&self, place: &Place, content_type: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        let request = self
            .client
            .put_object()
            .bucket(&place.bucket)
            .key(&place.key)
            .content_type(content_type);
        request
            .body(ByteStream::from(bytes))
            .send()
            .await
            .map_err(|error| place.refused("PutObject", &error))?;
        Ok(())
    }

    /// Waits for the clean-up of failed uploads: Lambda freezes the process once it has its answer.
    pub async fn settle(&self, until: Instant) {
        let running = std::mem::take(&mut *self.clean_ups.lock().unwrap_or_else(PoisonError::into_inner));
        // What does not end in time is left to the bucket's rule for incomplete uploads.
        let _ = timeout_at(until, futures::future::join_all(running)).await;
    }

    fn clean_up(&self, work: impl Future<Output = ()> + Send + 'static) {
        // Outside of the runtime (the process is ending) nobody could run it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.clean_ups
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(runtime.spawn(work));
        }
    }
}

/// S3's own words where it answered, the chain of causes where it did not.
fn explain<E>(error: &SdkError<E>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    if let (Some(status), Some(service)) = (status, error.as_service_error()) {
        let code = service.code().unwrap_or("no code");
        return format!("{status} {code}: {}", service.message().unwrap_or("no message"));
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
