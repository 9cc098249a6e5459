//! Buckets: how much they hold, and their deletion with everything in them.

use aws_sdk_cloudformation::types::ResourceStatus;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};

use super::Aws;
use super::failure::explain;

/// The buckets that a stack holds, by what CloudFormation made or imported; one that it failed to make is none of them:
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_StackResourceSummary.html>.
pub async fn of_stack(aws: &Aws, stack: &str) -> anyhow::Result<Vec<String>> {
    let mut held = Vec::new();
    let request = aws.cloudformation.list_stack_resources().stack_name(stack);
    let mut pages = request.into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| explain(&format!("cloudformation:ListStackResources of {stack}"), error))?;
        let buckets = page.stack_resource_summaries().iter().filter(|resource| {
            resource.resource_type() == Some("AWS::S3::Bucket") && resource.resource_status().is_some_and(is_held)
        });
        held.extend(buckets.filter_map(|resource| resource.physical_resource_id().map(str::to_owned)));
    }
    Ok(held)
}

/// Whether a resource in this status was made, or imported, and is still there as far as the stack knows.
fn is_held(status: &ResourceStatus) -> bool {
    use ResourceStatus as S;
    matches!(
        status,
        S::CreateComplete
            | S::ImportComplete
            | S::UpdateComplete
            | S::UpdateInProgress
            | S::UpdateFailed
            | S::UpdateRollbackInProgress
            | S::UpdateRollbackFailed
            | S::UpdateRollbackComplete
            | S::DeleteFailed
    )
}

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
