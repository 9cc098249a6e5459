//! Multipart uploads that leave nothing behind when they fail.

use std::sync::Arc;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use tokio::task::JoinSet;

use super::{Place, Store, StoreError};
use crate::runtime::log::Line;

/// The most parts of one upload (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>).
pub const MAX_PARTS: usize = 10_000;

/// An upload that S3 has begun. Dropped before it is completed (an error, a panic, a time limit), it aborts itself.
pub struct OpenUpload {
    store: Arc<Store>,
    place: Place,
    id: String,
    completed: bool,
}

impl OpenUpload {
    /// Begins an upload. With `checksum` every part must carry a CRC32.
    pub async fn begin(
        store: &Arc<Store>,
        place: &Place,
        content_type: &str,
        checksum: Option<ChecksumAlgorithm>,
    ) -> Result<Self, StoreError> {
        let request = store
            .client
            .create_multipart_upload()
            .bucket(&place.bucket)
            .key(&place.key)
            .content_type(content_type);
        let begun = request.set_checksum_algorithm(checksum).send().await;
        let begun = begun.map_err(|error| place.refused("CreateMultipartUpload", &error))?;
        let id = begun
            .upload_id
            .ok_or_else(|| place.failed("CreateMultipartUpload", "the answer has no upload id"))?;
        Ok(Self {
            store: Arc::clone(store),
            place: place.clone(),
            id,
            completed: false,
        })
    }

    /// S3's name for it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Makes the object of its parts.
    pub async fn complete(mut self, mut parts: Vec<CompletedPart>) -> Result<(), StoreError> {
        parts.sort_by_key(|part| part.part_number);
        let request = self
            .store
            .client
            .complete_multipart_upload()
            .bucket(&self.place.bucket)
            .key(&self.place.key);
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let done = request.upload_id(&self.id).multipart_upload(parts).send().await;
        done.map_err(|error| self.place.refused("CompleteMultipartUpload", &error))?;
        self.completed = true;
        Ok(())
    }
}

impl Drop for OpenUpload {
    fn drop(&mut self) {
        if self.completed {
            return;
        }
        let (store, place) = (Arc::clone(&self.store), self.place.clone());
        let request = store
            .client
            .abort_multipart_upload()
            .bucket(&place.bucket)
            .key(&place.key)
            .upload_id(&self.id);
        store.clean_up(async move {
            if let Err(error) = request.send().await {
                let reason = place.refused("AbortMultipartUpload", &error).to_string();
                Line::warn("abort")
                    .target(&place.key)
                    .detail(format!("{reason}; the bucket's lifecycle rule removes the parts"))
                    .write();
            }
        });
    }
}

/// Writes an object of unknown length: one PutObject when it is small, parts when it is not.
///
/// One part is on its way while the next is made, so at most two are in memory.
pub struct Upload {
    store: Arc<Store>,
    place: Place,
    content_type: &'static str,
    // Before `open`, so that no part is on its way any more when the upload is aborted.
    sending: JoinSet<Result<CompletedPart, StoreError>>,
    open: Option<OpenUpload>,
    sent: Vec<CompletedPart>,
    begun: usize,
}

impl Upload {
    /// An upload that has not told S3 anything yet.
    pub fn new(store: &Arc<Store>, place: &Place, content_type: &'static str) -> Self {
        Self {
            store: Arc::clone(store),
            place: place.clone(),
            content_type,
            sending: JoinSet::new(),
            open: None,
            sent: Vec::new(),
            begun: 0,
        }
    }

    /// Whether S3 takes no more parts but a last one.
    pub fn is_full(&self) -> bool {
        self.begun + 1 >= MAX_PARTS
    }

    /// Sends a part of at least 5 MiB (or the last one).
    pub async fn part(&mut self, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.settle().await?;
        let open = match self.open.take() {
            Some(open) => open,
            None => {
                OpenUpload::begin(
                    &self.store,
                    &self.place,
                    self.content_type,
                    Some(ChecksumAlgorithm::Crc32),
                )
                .await?
            }
        };
        self.begun += 1;
        let number = i32::try_from(self.begun).unwrap_or(i32::MAX);
        let place = self.place.clone();
        let request = self
            .store
            .client
            .upload_part()
            .bucket(&place.bucket)
            .key(&place.key)
            .upload_id(open.id())
            .part_number(number);
        let request = request
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .body(ByteStream::from(bytes));
        self.sending.spawn(async move {
            let sent = request
                .send()
                .await
                .map_err(|error| place.refused("UploadPart", &error))?;
            Ok(CompletedPart::builder()
                .part_number(number)
                .set_e_tag(sent.e_tag)
                .set_checksum_crc32(sent.checksum_crc32)
                .build())
        });
        self.open = Some(open);
        Ok(())
    }

    /// Sends the last bytes and makes the object appear.
    pub async fn finish(mut self, last: Vec<u8>) -> Result<(), StoreError> {
        if self.open.is_none() {
            return self.store.put(&self.place, self.content_type, last).await;
        }
        if !last.is_empty() {
            self.part(last).await?;
        }
        self.settle().await?;
        match self.open.take() {
            Some(open) => open.complete(std::mem::take(&mut self.sent)).await,
            None => Ok(()),
        }
    }

    /// Waits for the part that is on its way.
    async fn settle(&mut self) -> Result<(), StoreError> {
        while let Some(part) = self.sending.join_next().await {
            let part = part.map_err(|error| self.place.failed("UploadPart", error.to_string()))?;
            self.sent.push(part?);
        }
        Ok(())
    }
}
