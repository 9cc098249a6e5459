//! Buckets that exist and are taken over: how they are, their import into a stack, and their release out of it.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/import-resources-manually.html>

use std::fmt::Debug;

use anyhow::Context;
use aws_sdk_cloudformation::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudformation::types::{Capability, ChangeSetType, Parameter, ResourceToImport};
use aws_sdk_s3::types::{BucketVersioningStatus, NotificationConfiguration};
use serde_json::{Value, json};

use super::Aws;
use super::apply::{Note, carry_out};
use super::changeset;
use super::events::status;
use super::failure::explain;
use super::observe::template;
use super::recover::{GivenUp, Ready, delete, left_behind, ready};
use crate::graph::stack::{Stack, bare, imported, without};

/// A bucket as it is, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LiveBucket {
    /// The stack that it belongs to.
    pub stack: Option<String>,
    /// ARNs that hear of its objects.
    pub listeners: Vec<String>,
    /// How its objects are encrypted.
    pub encryption: String,
    /// Whether old versions are kept.
    pub versioning: String,
    /// Rules of its lifecycle.
    pub lifecycle_rules: usize,
    /// Whether it has a policy.
    pub has_policy: bool,
    /// Whether all public access is blocked.
    pub is_private: bool,
}

/// What a call gives, where nothing being set is an error of its own.
fn unless_absent<T, E, R>(call: &str, answer: Result<T, SdkError<E, R>>, absent: &[&str]) -> anyhow::Result<Option<T>>
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    R: Debug + Send + Sync + 'static,
{
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.code().is_some_and(|code| absent.contains(&code)) => Ok(None),
        Err(error) => Err(explain(call, error)),
    }
}

/// Reads a bucket; `None` when there is no such bucket.
pub async fn observe(aws: &Aws, bucket: &str) -> anyhow::Result<Option<LiveBucket>> {
    let call = |name: &str| format!("s3:{name} of {bucket}");
    let versioning = aws.s3.get_bucket_versioning().bucket(bucket).send().await;
    let Some(versioning) = unless_absent(&call("GetBucketVersioning"), versioning, &["NoSuchBucket"])? else {
        return Ok(None);
    };
    let (encryption, lifecycle, policy, access, tags, notified) = tokio::join!(
        aws.s3.get_bucket_encryption().bucket(bucket).send(),
        aws.s3.get_bucket_lifecycle_configuration().bucket(bucket).send(),
        aws.s3.get_bucket_policy().bucket(bucket).send(),
        aws.s3.get_public_access_block().bucket(bucket).send(),
        aws.s3.get_bucket_tagging().bucket(bucket).send(),
        notifications(aws, bucket),
    );
    let none = "ServerSideEncryptionConfigurationNotFoundError";
    let encryption = unless_absent(&call("GetBucketEncryption"), encryption, &[none])?;
    let lifecycle = unless_absent(
        &call("GetBucketLifecycleConfiguration"),
        lifecycle,
        &["NoSuchLifecycleConfiguration"],
    )?;
    let policy = unless_absent(&call("GetBucketPolicy"), policy, &["NoSuchBucketPolicy"])?;
    let none = "NoSuchPublicAccessBlockConfiguration";
    let access = unless_absent(&call("GetPublicAccessBlock"), access, &[none])?;
    let tags = unless_absent(&call("GetBucketTagging"), tags, &["NoSuchTagSet"])?;
    let rules = encryption.and_then(|answer| answer.server_side_encryption_configuration);
    let default = rules.and_then(|found| found.rules.into_iter().next()?.apply_server_side_encryption_by_default);
    let access = access.and_then(|answer| answer.public_access_block_configuration);
    Ok(Some(LiveBucket {
        stack: tags.and_then(|answer| {
            let tag = answer
                .tag_set
                .into_iter()
                .find(|tag| tag.key == "aws:cloudformation:stack-name");
            tag.map(|tag| tag.value)
        }),
        listeners: notified?.as_ref().map(listeners).unwrap_or_default(),
        // Whatever is not said to be encrypted otherwise is by keys of S3:
        // https://docs.aws.amazon.com/AmazonS3/latest/userguide/default-bucket-encryption.html
        encryption: default.map_or_else(
            || "AES256".to_owned(),
            |rule| match rule.kms_master_key_id {
                Some(key) => format!("{} {key}", rule.sse_algorithm.as_str()),
                None => rule.sse_algorithm.as_str().to_owned(),
            },
        ),
        versioning: versioning
            .status
            .as_ref()
            .map_or("never enabled", BucketVersioningStatus::as_str)
            .to_owned(),
        lifecycle_rules: lifecycle.map_or(0, |answer| answer.rules().len()),
        has_policy: policy.is_some(),
        is_private: access.is_some_and(|found| {
            [
                found.block_public_acls,
                found.block_public_policy,
                found.ignore_public_acls,
                found.restrict_public_buckets,
            ]
            .iter()
            .all(|set| *set == Some(true))
        }),
    }))
}

/// Who hears of a bucket's objects; `None` when there is no such bucket.
async fn notifications(aws: &Aws, bucket: &str) -> anyhow::Result<Option<NotificationConfiguration>> {
    let request = aws.s3.get_bucket_notification_configuration().bucket(bucket);
    let call = format!("s3:GetBucketNotificationConfiguration of {bucket}");
    let answer = unless_absent(&call, request.send().await, &["NoSuchBucket"])?;
    Ok(answer.map(|answer| {
        NotificationConfiguration::builder()
            .set_topic_configurations(answer.topic_configurations)
            .set_queue_configurations(answer.queue_configurations)
            .set_lambda_function_configurations(answer.lambda_function_configurations)
            .set_event_bridge_configuration(answer.event_bridge_configuration)
            .build()
    }))
}

fn listeners(found: &NotificationConfiguration) -> Vec<String> {
    let topics = found.topic_configurations().iter().map(|one| one.topic_arn.clone());
    let queues = found.queue_configurations().iter().map(|one| one.queue_arn.clone());
    let functions = found.lambda_function_configurations().iter();
    let functions = functions.map(|one| one.lambda_function_arn.clone());
    let bus = found.event_bridge_configuration().map(|_| "EventBridge".to_owned());
    topics.chain(queues).chain(functions).chain(bus).collect()
}

/// Whether a topic hears of a bucket's objects; not when there is no such bucket.
pub async fn listens(aws: &Aws, bucket: &str, topic: &str) -> anyhow::Result<bool> {
    let found = notifications(aws, bucket).await?;
    Ok(found.is_some_and(|found| listeners(&found).iter().any(|arn| arn == topic)))
}

/// Takes a topic out of a bucket's notifications; those of others stay.
pub async fn silence(aws: &Aws, bucket: &str, topic: &str) -> anyhow::Result<()> {
    let Some(mut found) = notifications(aws, bucket).await? else {
        return Ok(());
    };
    let count = found.topic_configurations().len();
    if let Some(topics) = &mut found.topic_configurations {
        topics.retain(|one| one.topic_arn != topic);
    }
    if found.topic_configurations().len() == count {
        return Ok(());
    }
    let put = aws.s3.put_bucket_notification_configuration().bucket(bucket);
    // What others listen with was accepted before, and is none of ours to test.
    let put = put.notification_configuration(found).skip_destination_validation(true);
    put.send()
        .await
        .map_err(|error| explain(&format!("s3:PutBucketNotificationConfiguration of {bucket}"), error))?;
    Ok(())
}

fn to_import(logical_id: &str, bucket: &str) -> ResourceToImport {
    ResourceToImport::builder()
        .resource_type("AWS::S3::Bucket")
        .logical_resource_id(logical_id)
        .resource_identifier("BucketName", bucket)
        .build()
}

/// Imports a bucket into a stack. An import can do nothing else in the same change set, so the template is the one that is
/// there with the bucket in it.
pub async fn bucket(
    aws: &Aws,
    stack: &Stack,
    logical_id: &str,
    bucket: &str,
    given_up: &GivenUp,
    note: Note<'_>,
) -> anyhow::Result<()> {
    let exists = ready(aws, &stack.name, given_up, note).await? == Ready::Update;
    if !exists && status(aws, &stack.name).await?.is_some() {
        // A stack that only has a change set that was never executed; another one cannot import into it.
        delete(aws, &stack.name, given_up, note).await?;
    }
    let mut body = match exists {
        true => template(aws, &stack.name).await?,
        false => json!({
            "AWSTemplateFormatVersion": stack.template["AWSTemplateFormatVersion"],
            "Description": stack.template["Description"],
            "Resources": {},
        }),
    };
    if body["Resources"][logical_id]["Properties"]["BucketName"] == json!(bucket) {
        return Ok(());
    }
    body["Resources"][logical_id] = imported(&json!(bucket), &stack.owner());
    let mut resources = vec![to_import(logical_id, bucket)];
    if !exists {
        // What a former stack of the pipeline left comes along: the stack that is made now cannot make it again.
        for own in left_behind(aws, &stack.adopting_all()).await? {
            let Some(id) = stack.bucket_id(&own) else { continue };
            note(format!("takes in again what a former stack left: {own}"));
            body["Resources"][id] = bare(&json!(own));
            resources.push(to_import(id, &own));
        }
    }
    let change_set = format!("pipectl-{}", uuid::Uuid::new_v4());
    aws.cloudformation
        .create_change_set()
        .stack_name(&stack.name)
        .change_set_name(&change_set)
        .change_set_type(ChangeSetType::Import)
        .capabilities(Capability::CapabilityNamedIam)
        // An import can neither tag a stack nor change its tags; the update that follows does.
        .template_body(serde_yaml::to_string(&body).context("writing the template")?)
        .set_resources_to_import(Some(resources))
        .send()
        .await
        .map_err(|error| explain(&format!("cloudformation:CreateChangeSet of {}", stack.name), error))?;
    changeset::changes(aws, &stack.name, &change_set).await?;
    carry_out(aws, &stack.name, &change_set, true, note).await
}

/// Takes a bucket out of a stack. Its deletion policy keeps it. A stack that holds nothing else stays as it is: a stack
/// cannot be empty, and its deletion keeps the bucket too.
pub async fn take_out(
    aws: &Aws,
    stack: &str,
    logical_id: &str,
    bucket: &str,
    given_up: &GivenUp,
    note: Note<'_>,
) -> anyhow::Result<()> {
    if status(aws, stack).await?.is_none() || ready(aws, stack, given_up, note).await? != Ready::Update {
        return Ok(());
    }
    let body = template(aws, stack).await?;
    if body["Resources"][logical_id]["Properties"]["BucketName"] != json!(bucket) {
        return Ok(());
    }
    let rest = without(&body, logical_id);
    if rest["Resources"].as_object().is_none_or(serde_json::Map::is_empty) {
        return Ok(());
    }
    let change_set = format!("pipectl-{}", uuid::Uuid::new_v4());
    let parameters = body["Parameters"].as_object().into_iter().flatten();
    let parameters = parameters
        .map(|(key, _): (&String, &Value)| Parameter::builder().parameter_key(key).use_previous_value(true).build());
    aws.cloudformation
        .create_change_set()
        .stack_name(stack)
        .change_set_name(&change_set)
        .change_set_type(ChangeSetType::Update)
        .capabilities(Capability::CapabilityNamedIam)
        .set_parameters(Some(parameters.collect()))
        .template_body(serde_yaml::to_string(&rest).context("writing the template")?)
        .send()
        .await
        .map_err(|error| explain(&format!("cloudformation:CreateChangeSet of {stack}"), error))?;
    match changeset::changes(aws, stack, &change_set).await? {
        Some(_) => carry_out(aws, stack, &change_set, false, note).await,
        None => changeset::delete(aws, stack, &change_set).await,
    }
}
