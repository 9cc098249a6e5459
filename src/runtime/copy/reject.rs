//! What cannot be loaded is kept, with its reason.

use aws_sdk_s3::primitives::DateTimeFormat;
use serde::Serialize;

use super::Copy;
use super::names::{Names, bare};
use crate::runtime::json_lines::Invalid;
use crate::runtime::store::{COPY_LIMIT, Place, StoreError, Version};

/// The document beside a rejected object. It depends on the object only, so that a replay writes the same bytes.
#[derive(Serialize)]
struct Reason<'a> {
    bucket: &'a str,
    key: &'a str,
    etag: &'a str,
    size: u64,
    reason: &'a str,
    line: Option<u64>,
    column: Option<u64>,
    offset: Option<u64>,
    /// When the object was written, not when it was read.
    at: Option<String>,
    handler: &'static str,
}

impl Copy {
    /// Copies the object byte for byte to the error prefix and puts the reason beside it. Gives the object's new key.
    pub async fn reject(&self, version: &Version, invalid: &Invalid) -> Result<String, StoreError> {
        let target = Place::new(
            &self.plan.curated_bucket,
            &self.plan.names.rejected(&version.place.key, &version.etag),
        );
        let reason = Place::new(&self.plan.curated_bucket, &Names::reason(&target.key));
        // The reason is written last, so where it is the object is too.
        if !self.store.exists(&reason).await? {
            self.copy_as_is(version, &target).await?;
            self.store
                .put(&reason, "application/json", document(version, invalid))
                .await?;
        }
        Ok(target.key)
    }

    async fn copy_as_is(&self, version: &Version, target: &Place) -> Result<(), StoreError> {
        if version.size > self.plan.convert_max.min(COPY_LIMIT) {
            return self
                .store
                .copy_parts(version, target, "application/octet-stream", self.part_size())
                .await;
        }
        self.store.copy_whole(version, target).await
    }

    /// Bytes of a part of a copy inside S3: 256 MiB with the usual limit. It follows the limit so that a test with a
    /// small one copies several parts too.
    pub fn part_size(&self) -> u64 {
        self.plan.convert_max / 20
    }
}

fn document(version: &Version, invalid: &Invalid) -> Vec<u8> {
    let reason = Reason {
        bucket: &version.place.bucket,
        key: &version.place.key,
        etag: bare(&version.etag),
        size: version.size,
        reason: &invalid.reason,
        line: invalid.position.map(|at| at.line),
        column: invalid.position.map(|at| at.column),
        offset: invalid.position.map(|at| at.offset),
        at: version.modified.and_then(|at| at.fmt(DateTimeFormat::DateTime).ok()),
        handler: concat!("pipectl-runtime copy ", env!("CARGO_PKG_VERSION")),
    };
    // Texts and numbers always serialise.
    serde_json::to_vec(&reason).unwrap_or_default()
}
