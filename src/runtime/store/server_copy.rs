//! Copies inside S3: no byte passes through the function.

use std::sync::Arc;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{CompletedPart, TaggingDirective};
use futures::{StreamExt, TryStreamExt};

use super::upload::{MAX_PARTS, OpenUpload};
use super::{COPY_LIMIT, Place, Store, StoreError, Version};

/// Parts copied at a time.
const PARALLEL: usize = 8;

/// The least bytes of a part that is not the last
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>).
const PART_MINIMUM: u64 = 5 * 1024 * 1024;

impl Store {
    /// Copies one version of an object with one request. It may have at most [`COPY_LIMIT`] bytes.
    ///
    /// Tags are not copied: that would need `s3:GetObjectTagging` and `s3:PutObjectTagging`, and tags may mean
    /// something to the policies of the source bucket only.
    pub async fn copy_whole(&self, from: &Version, to: &Place) -> Result<(), StoreError> {
        let request = self
            .client
            .copy_object()
            .bucket(&to.bucket)
            .key(&to.key)
            .copy_source(source(&from.place));
        let request = request
            .copy_source_if_match(&from.etag)
            .tagging_directive(TaggingDirective::Replace);
        request
            .send()
            .await
            .map_err(|error| refused("CopyObject", to, &error))?;
        Ok(())
    }

    /// Copies one version of an object part by part, whatever its size.
    pub async fn copy_parts(
        self: &Arc<Self>,
        from: &Version,
        to: &Place,
        content_type: &str,
        part: u64,
    ) -> Result<(), StoreError> {
        let open = OpenUpload::begin(self, to, content_type, None).await?;
        let parts = futures::stream::iter(ranges(from.size, part).into_iter().zip(1..))
            .map(|(range, number)| self.copy_part(from, to, open.id(), range, number))
            .buffer_unordered(PARALLEL)
            .try_collect()
            .await?;
        open.complete(parts).await
    }

    async fn copy_part(
        &self,
        from: &Version,
        to: &Place,
        upload: &str,
        range: (u64, u64),
        number: i32,
    ) -> Result<CompletedPart, StoreError> {
        let request = self
            .client
            .upload_part_copy()
            .bucket(&to.bucket)
            .key(&to.key)
            .upload_id(upload)
            .part_number(number);
        let request = request
            .copy_source(source(&from.place))
            .copy_source_if_match(&from.etag);
        let request = request.copy_source_range(format!("bytes={}-{}", range.0, range.1));
        let copied = request
            .send()
            .await
            .map_err(|error| refused("UploadPartCopy", to, &error))?;
        let etag = copied.copy_part_result.and_then(|result| result.e_tag);
        Ok(CompletedPart::builder().part_number(number).set_e_tag(etag).build())
    }
}

/// The first and last byte of every part of an object: parts of `wanted` bytes, or as S3's limits need.
fn ranges(size: u64, wanted: u64) -> Vec<(u64, u64)> {
    let part = wanted
        .max(size.div_ceil(MAX_PARTS as u64))
        .clamp(PART_MINIMUM, COPY_LIMIT);
    (0..size.div_ceil(part))
        .map(|index| (index * part, ((index + 1) * part).min(size) - 1))
        .collect()
}

/// `bucket/key`, URL encoded: the SDK passes this header on as it is
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html#API_CopyObject_RequestSyntax>).
fn source(place: &Place) -> String {
    let mut text = format!("{}/", place.bucket);
    for byte in place.key.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

fn refused<E>(operation: &'static str, to: &Place, error: &SdkError<E>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    match (code, error.raw_response().map(|response| response.status().as_u16())) {
        (Some("NoSuchKey"), _) => StoreError::Gone,
        (Some("PreconditionFailed"), _) | (_, Some(412)) => StoreError::Changed,
        _ => to.refused(operation, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn parts_cover_everything_once_within_the_limits() {
        for (size, wanted) in [
            (1, 1),
            (5 * MIB, MIB),
            (5 * MIB + 1, MIB),
            (12 * MIB, MIB),
            (6 * 1024 * MIB, 256 * MIB),
            (40 << 40, MIB),
        ] {
            let ranges = ranges(size, wanted);
            assert!(ranges.len() <= MAX_PARTS);
            assert_eq!((ranges[0].0, ranges[ranges.len() - 1].1), (0, size - 1));
            assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0));
            assert!(
                ranges[..ranges.len() - 1]
                    .iter()
                    .all(|(first, last)| (PART_MINIMUM..=COPY_LIMIT).contains(&(last - first + 1)))
            );
        }
    }

    #[test]
    fn sources_are_encoded() {
        assert_eq!(source(&Place::new("raw", "a b+c/ä.json")), "raw/a%20b%2Bc/%C3%A4.json");
    }
}
