//! Buckets: how much they hold, and their deletion with everything in them.

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};

use super::Aws;
use super::failure::explain;

/// Objects and versions in a bucket, counted up to a page of 1,000; `None` when there is no such bucket.
pub async fn count(aws: &Aws, bucket: &str) -> anyhow::Result<Option<u64>> {
    match aws.s3.list_object_versions().bucket(bucket).send().await {
        Ok(page) => Ok(Some((page.versions().len() + page.delete_markers().len()) as u64)),
        Err(error) if error.code() == Some("NoSuchBucket") => Ok(None),
        Err(error) => Err(explain(&format!("s3:ListObjectVersions of {bucket}"), error)),
    }
}

/// Deletes every version of every object, then the bucket.
pub async fn delete(aws: &Aws, bucket: &str, note: &(dyn Fn(String) + Send + Sync)) -> anyhow::Result<()> {
    let mut gone = 0;
    loop {
        let page = match aws.s3.list_object_versions().bucket(bucket).send().await {
            Ok(page) => page,
            Err(error) if error.code() == Some("NoSuchBucket") => return Ok(()),
            Err(error) => return Err(explain(&format!("s3:ListObjectVersions of {bucket}"), error)),
        };
        let versions = page
            .versions()
            .iter()
            .map(|version| (version.key(), version.version_id()));
        let markers = page
            .delete_markers()
            .iter()
            .map(|marker| (marker.key(), marker.version_id()));
        let mut objects = Vec::new();
        for (key, version) in versions.chain(markers) {
            // "null" is the version id of what was written before versioning was switched on.
            let object = ObjectIdentifier::builder()
                .key(key.unwrap_or_default())
                .set_version_id(version.map(str::to_owned));
            objects.push(object.build()?);
        }
        if objects.is_empty() {
            break;
        }
        gone += objects.len();
        let delete = Delete::builder().set_objects(Some(objects)).quiet(true).build()?;
        let answer = aws.s3.delete_objects().bucket(bucket).delete(delete).send().await;
        let answer = answer.map_err(|error| explain(&format!("s3:DeleteObjects of {bucket}"), error))?;
        if let Some(error) = answer.errors().first() {
            anyhow::bail!(
                "s3:DeleteObjects of {bucket}: {}: {}",
                error.key().unwrap_or_default(),
                error.message().unwrap_or_default()
            );
        }
        note(format!("{gone} objects deleted"));
    }
    match aws.s3.delete_bucket().bucket(bucket).send().await {
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some("NoSuchBucket") => Ok(()),
        Err(error) => Err(explain(&format!("s3:DeleteBucket of {bucket}"), error)),
    }
}
