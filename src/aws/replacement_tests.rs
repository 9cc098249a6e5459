//! Expected values are from the documentation of change sets and of the resource types.

use aws_sdk_cloudformation::types::{ChangeSource, ResourceTargetDefinition};
use serde_json::json;

use super::*;

fn said(effects: &[Effect]) -> Vec<String> {
    effects.iter().map(ToString::to_string).collect()
}

fn template() -> Value {
    json!({ "Resources": {
        "Bucket": {
            "Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain",
            "Properties": { "BucketName": "one", "VersioningConfiguration": { "Status": "Enabled" } },
        },
        "Policy": { "Type": "AWS::S3::BucketPolicy", "Properties": { "Bucket": { "Ref": "Bucket" } } },
        "Queue": { "Type": "AWS::SQS::Queue", "Properties": { "QueueName": "q", "VisibilityTimeout": 1 } },
        "Source": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": { "EventSourceArn": { "Fn::GetAtt": ["Queue", "Arn"] }, "BatchSize": 10 },
        },
    } })
}

fn edited(pointer: &str, value: Value) -> Vec<Effect> {
    let mut new = template();
    *new.pointer_mut(&format!("/Resources/{pointer}")).unwrap() = value;
    from_templates(&template(), &new)
}

#[test]
fn a_name_replaces_the_resource_and_what_refers_to_it() {
    let effects = edited("Bucket/Properties/BucketName", json!("two"));
    assert_eq!(
        said(&effects),
        [
            "Bucket (AWS::S3::Bucket) is replaced; the old one stays, outside the stack",
            "Policy (AWS::S3::BucketPolicy) is replaced"
        ]
    );
    assert_eq!(
        loss(&effects).as_deref(),
        Some("the objects of Bucket: a new one starts empty, the old one stays outside the stack")
    );
    assert_eq!(
        said(&edited("Queue/Properties/QueueName", json!("other"))),
        [
            "Queue (AWS::SQS::Queue) is replaced",
            "Source (AWS::Lambda::EventSourceMapping) is replaced"
        ]
    );
}

#[test]
fn other_properties_replace_nothing() {
    assert!(edited("Queue/Properties/VisibilityTimeout", json!(2)).is_empty());
    assert!(edited("Bucket/Properties/VersioningConfiguration/Status", json!("Suspended")).is_empty());
}

#[test]
fn an_unknown_type_stays_in_doubt_and_another_type_is_another_resource() {
    let queue =
        |kind: &str, size: u32| json!({ "Resources": { "X": { "Type": kind, "Properties": { "Size": size } } } });
    let of = |before: &str, after: &str| said(&from_templates(&queue(before, 1), &queue(after, 2)));
    assert_eq!(
        of("AWS::New::Thing", "AWS::New::Thing"),
        ["X (AWS::New::Thing) may be replaced"]
    );
    assert_eq!(
        of("AWS::SQS::Queue", "AWS::SNS::Topic"),
        ["X (AWS::SQS::Queue) is replaced"]
    );
}

#[test]
fn what_leaves_is_kept_as_its_policy_says() {
    let effects = of_deletion(&template());
    assert_eq!(
        said(&effects)[..3],
        [
            "Bucket (AWS::S3::Bucket) leaves the stack and stays",
            "Policy (AWS::S3::BucketPolicy) is deleted",
            "Queue (AWS::SQS::Queue) is deleted"
        ]
    );
    assert_eq!(loss(&effects).as_deref(), Some("the messages of Queue"));
    assert_eq!(
        said(&from_templates(&template(), &json!({ "Resources": {} }))),
        said(&effects)
    );
}

fn detail(
    property: &str,
    recreation: RequiresRecreation,
    evaluation: EvaluationType,
    cause: Option<&str>,
) -> ResourceChangeDetail {
    let target = ResourceTargetDefinition::builder()
        .attribute(ResourceAttribute::Properties)
        .name(property)
        .requires_recreation(recreation);
    let source = cause.map_or(ChangeSource::DirectModification, |_| ChangeSource::ResourceAttribute);
    ResourceChangeDetail::builder()
        .target(target.build())
        .evaluation(evaluation)
        .change_source(source)
        .set_causing_entity(cause.map(str::to_owned))
        .build()
}

fn modify(name: &str, kind: &str, replacement: Replacement, details: Vec<ResourceChangeDetail>) -> ResourceChange {
    ResourceChange::builder()
        .action(ChangeAction::Modify)
        .logical_resource_id(name)
        .resource_type(kind)
        .replacement(replacement)
        .set_details(Some(details))
        .build()
}

#[test]
fn a_change_set_wins() {
    let bucket = modify("Bucket", "AWS::S3::Bucket", Replacement::True, vec![]);
    let kept = ResourceChange::builder()
        .action(ChangeAction::Remove)
        .logical_resource_id("Queue")
        .resource_type("AWS::SQS::Queue")
        .physical_resource_id("q-1")
        .policy_action(PolicyAction::Delete);
    let effects = from_changes(&[bucket, kept.build()], &template(), &template());
    assert_eq!(
        said(&effects),
        [
            "Bucket (AWS::S3::Bucket) is replaced; the old one stays, outside the stack",
            "Queue (AWS::SQS::Queue) is deleted"
        ]
    );
    assert!(loss(&effects).unwrap().ends_with("; the messages of Queue (q-1)"));
}

/// CloudFormation calls the source's replacement `Conditional` when anything of the queue changes: it takes the queue's
/// ARN, and says so twice. Neither can change while the queue stays.
#[test]
fn the_arn_of_a_resource_that_stays_replaces_nothing() {
    let (always, dynamic) = (RequiresRecreation::Always, EvaluationType::Dynamic);
    let queue = |replacement| {
        let timeout = detail(
            "VisibilityTimeout",
            RequiresRecreation::Never,
            EvaluationType::Static,
            None,
        );
        modify("Queue", "AWS::SQS::Queue", replacement, vec![timeout])
    };
    let source = modify(
        "Source",
        "AWS::Lambda::EventSourceMapping",
        Replacement::Conditional,
        vec![
            detail("EventSourceArn", always.clone(), dynamic.clone(), Some("Queue.Arn")),
            detail("EventSourceArn", always.clone(), dynamic.clone(), None),
        ],
    );
    let of = |changes: &[ResourceChange]| said(&from_changes(changes, &template(), &template()));
    assert!(of(&[source.clone(), queue(Replacement::False)]).is_empty());
    assert_eq!(
        of(&[source, queue(Replacement::True)]),
        [
            "Source (AWS::Lambda::EventSourceMapping) is replaced",
            "Queue (AWS::SQS::Queue) is replaced"
        ]
    );
    let other = detail("EventSourceArn", always, dynamic, Some("Queue.QueueName"));
    let other = modify(
        "Source",
        "AWS::Lambda::EventSourceMapping",
        Replacement::Conditional,
        vec![other],
    );
    assert_eq!(
        of(&[other]),
        ["Source (AWS::Lambda::EventSourceMapping) may be replaced"]
    );
}

#[test]
fn what_cloudformation_leaves_open_the_documentation_decides() {
    let of = |property: &str| {
        let detail = detail(
            property,
            RequiresRecreation::Conditionally,
            EvaluationType::Static,
            None,
        );
        let change = modify("Bucket", "AWS::S3::Bucket", Replacement::Conditional, vec![detail]);
        said(&from_changes(&[change], &template(), &template()))
    };
    assert!(of("LifecycleConfiguration").is_empty());
    assert_eq!(
        of("BucketName"),
        ["Bucket (AWS::S3::Bucket) is replaced; the old one stays, outside the stack"]
    );
    let open = modify("Bucket", "AWS::S3::Bucket", Replacement::Conditional, vec![]);
    assert_eq!(
        said(&from_changes(&[open], &template(), &template())),
        ["Bucket (AWS::S3::Bucket) may be replaced; the old one then stays, outside the stack"]
    );
}

#[test]
fn every_type_of_the_templates_is_documented() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/cloudformation");
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let types = text.lines().filter_map(|line| line.trim().strip_prefix("Type: AWS::"));
        for kind in types.map(|rest| format!("AWS::{rest}")) {
            assert!(REPLACING.iter().any(|(known, _)| *known == kind), "{kind}");
        }
    }
}
