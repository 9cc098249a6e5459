//! What every pipeline has on the AWS side: artefacts, alerts, and the buckets that records land in.

use serde_json::{Value, json};

use crate::model::Model;

use super::policy::{Principal, Statement, policy};
use super::stack::{Adoptable, Stack, Upload};
use super::{Body, Graph, NodeId, notify, template};

/// Nodes that sources and targets build on.
pub struct Shared {
    /// The runtime lies in the artefact bucket.
    pub runtime: NodeId,
    /// Name of the artefact bucket.
    pub artifact_bucket: String,
    /// ARN of the topic for alarms.
    pub alert_topic: String,
    /// The stack after which somebody hears of alarms. One that goes off before is never told.
    pub hearing: NodeId,
}

/// A bucket of the storage stack.
pub struct Bucket {
    /// Its logical id in the template.
    pub logical_id: &'static str,
    /// Its name.
    pub name: String,
    /// ARN of the topic that hears of its objects.
    pub topic: String,
    /// Folder that the topic hears of; all when empty.
    pub notify_prefix: &'static str,
    /// Whether it is taken over where it exists.
    pub adopt: bool,
    /// What must be there before S3 accepts the notification.
    pub needs: Vec<NodeId>,
    /// Resources that are enough of a stack that is needed.
    pub enough: Vec<(NodeId, &'static [&'static str])>,
}

/// Settings that every bucket has.
pub fn bucket_settings() -> (Value, Value, Value) {
    let encryption = json!({ "ServerSideEncryptionConfiguration": [{ "ServerSideEncryptionByDefault": { "SSEAlgorithm": "AES256" } }] });
    let public_access_block = json!({
        "BlockPublicAcls": true, "BlockPublicPolicy": true, "IgnorePublicAcls": true, "RestrictPublicBuckets": true,
    });
    let ownership = json!({ "Rules": [{ "ObjectOwnership": "BucketOwnerEnforced" }] });
    (encryption, public_access_block, ownership)
}

/// A stack of the pipeline, with the settings all stacks share.
pub fn stack(model: &Model, part: &'static str, about: &'static str, values: Value) -> anyhow::Result<Stack> {
    let (encryption, public_access_block, ownership) = bucket_settings();
    let mut all = json!({
        "description": format!("{}: {about} ({})", model.description, model.names.mark()),
        "encryption": encryption,
        "public_access_block": public_access_block,
        "ownership": ownership,
    });
    if let (Value::Object(all), Value::Object(values)) = (&mut all, values) {
        all.extend(values);
    }
    Ok(Stack {
        name: model.names.resource(part),
        about,
        template: template::render(part, all)?,
        parameters: Default::default(),
        tags: model.tags.clone(),
        data_buckets: Vec::new(),
        own_buckets: Vec::new(),
        databases: Vec::new(),
        adoptable: Vec::new(),
    })
}

fn bucket_policy(model: &Model, bucket: &str) -> Value {
    let names = &model.names;
    policy(&[Statement::deny_plain_http(&[
        names.bucket_arn(bucket, None),
        names.bucket_arn(bucket, Some("*")),
    ])])
}

/// Adds the stacks that stand first.
pub fn shared(model: &Model, graph: &mut Graph) -> anyhow::Result<Shared> {
    let names = &model.names;
    let artifact_bucket = names.bucket("artifacts");
    let values = json!({ "bucket": { "name": artifact_bucket, "policy": bucket_policy(model, &artifact_bucket) } });
    let mut artifacts = stack(model, "artifacts", "code of the Lambda functions", values)?;
    artifacts.own_buckets.push(artifact_bucket.clone());
    let artifacts = graph.add("aws:artifacts", vec![], Body::Stack(artifacts));
    let upload = Body::Upload(Upload {
        bucket: artifact_bucket.clone(),
    });
    let runtime = graph.add("aws:runtime", vec![artifacts.clone()], upload);
    graph.enough(artifacts, &["ArtifactBucket"]);

    let topic = names.resource("alerts");
    let alert_topic = names.arn("sns", &topic);
    let alarms = names.arn("cloudwatch", &format!("alarm:{}-*", names.prefix()));
    let publish = Statement::allow(
        "Alarms",
        Principal::Service("cloudwatch.amazonaws.com"),
        &["sns:Publish"],
        std::slice::from_ref(&alert_topic),
    )
    .condition("ArnLike", "aws:SourceArn", json!(alarms))
    .condition("StringEquals", "aws:SourceAccount", json!(names.account));
    let values = json!({
        "topic": { "name": topic, "policy": policy(&[publish]) },
        "email": model.alerts.email,
    });
    let alerts = graph.add(
        "aws:alerts",
        vec![],
        Body::Stack(stack(model, "alerts", "alarms", values)?),
    );
    let mut shared = Shared {
        runtime,
        artifact_bucket,
        alert_topic,
        hearing: alerts.clone(),
    };
    if let Some(notify) = notify::contribute(model, &shared, alerts, graph)? {
        shared.hearing = notify;
    }
    Ok(shared)
}

/// The bucket that Snowflake reads, in the template of its stack.
pub const CURATED_BUCKET: &str = "CuratedBucket";

/// Adds the buckets, last: their notifications start the flow.
pub fn storage(
    model: &Model,
    sources: Vec<Bucket>,
    listening: Vec<NodeId>,
    graph: &mut Graph,
) -> anyhow::Result<NodeId> {
    let names = &model.names;
    let curated = Bucket {
        logical_id: CURATED_BUCKET,
        name: model.landing.bucket.clone(),
        topic: names.arn("sns", &model.landing.topic),
        notify_prefix: model.landing.prefix,
        adopt: false,
        needs: listening,
        enough: vec![],
    };
    let mut buckets = sources;
    buckets.push(curated);
    let values: Vec<Value> = buckets
        .iter()
        .map(|bucket| {
            json!({
                "logical_id": bucket.logical_id,
                "policy_id": format!("{}Policy", bucket.logical_id),
                "name": bucket.name,
                "topic": bucket.topic,
                "notify_prefix": bucket.notify_prefix,
                "policy": bucket_policy(model, &bucket.name),
            })
        })
        .collect();
    let mut stack = stack(model, "storage", "buckets", json!({ "buckets": values }))?;
    stack.data_buckets = buckets.iter().map(|bucket| bucket.name.clone()).collect();
    let adoptable = buckets.iter().filter(|bucket| bucket.adopt).map(|bucket| Adoptable {
        logical_id: bucket.logical_id.to_owned(),
        bucket: bucket.name.clone(),
        topic: bucket.topic.clone(),
    });
    stack.adoptable = adoptable.collect();
    let enough: Vec<_> = buckets
        .iter_mut()
        .flat_map(|bucket| std::mem::take(&mut bucket.enough))
        .collect();
    let needs = buckets.into_iter().flat_map(|bucket| bucket.needs).collect();
    let node = graph.add("aws:storage", needs, Body::Stack(stack));
    for (stack, resources) in enough {
        graph.enough(stack, resources);
    }
    Ok(node)
}
