//! What CloudFormation would do is shown before it does it, and no status of a stack is a dead end.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cloud::{Cloud, Iam, RAW, wait};
use crate::run::Run;
use crate::stand_in::{StandIn, Until};

const INGEST: &str = "chinook-invoices-local-ingest";
const STORAGE: &str = "chinook-invoices-local-storage";

/// The change sets of a stack that were not carried out.
fn pending(cloud: &Cloud, stack: &str) -> usize {
    let listed = cloud.aws("cloudformation", "list_change_sets", json!({ "StackName": stack }));
    let all = listed["Summaries"].as_array().cloned().unwrap_or_default();
    all.iter().filter(|set| set["ExecutionStatus"] == "AVAILABLE").count()
}

fn status(cloud: &Cloud, stack: &str) -> String {
    let found = cloud.try_aws("cloudformation", "describe_stacks", json!({ "StackName": stack }));
    let text = |found: Value| found["Stacks"][0]["StackStatus"].as_str().unwrap().to_owned();
    found.map(text).unwrap_or_else(|_| "gone".to_owned())
}

fn comes_to(cloud: &Cloud, stack: &str, expected: &str) {
    wait(&format!("{stack} to be {expected}"), Duration::from_secs(240), || {
        let found = status(cloud, stack);
        if found == expected { Ok(()) } else { Err(found) }
    });
}

fn step(run: &Run, id: &str) -> Value {
    let plan = run.json();
    let steps = plan["steps"].as_array().unwrap();
    steps
        .iter()
        .find(|step| step["id"] == id)
        .unwrap_or(&Value::Null)
        .clone()
}

#[test]
fn what_cloudformation_replaces_is_foreseen_and_needs_consent() {
    let cloud = Cloud::with_pipeline(Iam::Off);
    // The local cloud calls any change of a mapping's queue a possible replacement of the mapping.
    cloud.edit("max_attempts = 5", "max_attempts = 7");
    let queue = step(&cloud.run("diff --format json").exits(2), "aws:ingest");
    assert_eq!((&queue["kind"], &queue["resources"]), (&json!("alter"), &Value::Null));
    cloud.run("deploy --yes").exits(0);

    cloud.put(RAW, "kept.txt", "kept");
    cloud.edit("max_attempts = 7", "max_attempts = 7\nbucket = \"chinook-other-raw\"");
    let diff = cloud.run("diff").exits(2);
    diff.prints("RawBucket (AWS::S3::Bucket) is replaced; the old one stays, outside the stack")
        .prints("RawBucketPolicy (AWS::S3::BucketPolicy) is replaced")
        .prints("--allow-loss aws:storage");
    let storage = step(&cloud.run("diff --format json").exits(2), "aws:storage");
    assert_eq!(storage["kind"], "replace");
    let lost = format!("the objects of RawBucket ({RAW}): a new one starts empty, the old one stays outside the stack");
    assert_eq!(storage["loss"], lost);
    // It asked, and left nothing.
    assert_eq!((pending(&cloud, STORAGE), pending(&cloud, INGEST)), (0, 0));
    assert_eq!(status(&cloud, STORAGE), "CREATE_COMPLETE");

    cloud.run("deploy --yes").exits(1).complains("--allow-loss aws:storage");
    assert_eq!(status(&cloud, STORAGE), "CREATE_COMPLETE");
    let file = cloud.file().with_file_name("plan.json");
    cloud.run(&format!("diff --out {}", file.display())).exits(2);
    let deploy = format!("deploy --yes --allow-loss aws:storage --plan {}", file.display());
    cloud.run(&deploy).exits(0);
    cloud.run("diff").exits(0).prints("no change");
    assert_eq!(cloud.keys(RAW, ""), ["kept.txt"]);
    assert!(cloud.keys("chinook-other-raw", "").is_empty());
}

#[test]
fn without_the_right_to_make_change_sets_the_documentation_answers() {
    let cloud = Cloud::with_pipeline(Iam::Off);
    let stand_in = StandIn::before(&cloud);
    stand_in.refuses("CreateChangeSet");
    cloud.edit("max_attempts = 5", "max_attempts = 5\nbucket = \"chinook-other-raw\"");
    stand_in
        .run("diff")
        .exits(2)
        .prints("said by the documentation, not by CloudFormation: cloudformation:CreateChangeSet")
        .prints("RawBucket (AWS::S3::Bucket) is replaced; the old one stays, outside the stack");
}

fn our_tags() -> Value {
    json!([
        { "Key": "pipectl:pipeline", "Value": "chinook-invoices" },
        { "Key": "pipectl:environment", "Value": "local" },
    ])
}

#[test]
fn a_creation_that_failed_is_told_and_made_anew() {
    let cloud = Cloud::up(Iam::Off);
    cloud.aws("s3", "create_bucket", json!({ "Bucket": "theirs" }));
    let template = r#"{"Resources": {"Taken": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "theirs"}}}}"#;
    let made = json!({ "StackName": INGEST, "TemplateBody": template, "Tags": our_tags() });
    cloud.aws("cloudformation", "create_stack", made);
    comes_to(&cloud, INGEST, "ROLLBACK_COMPLETE");

    let cause = "Taken (AWS::S3::Bucket): NAME_CONFLICT_VALIDATION";
    cloud.run("diff").exits(2).prints("it never lived").prints(cause);
    cloud.run("status").exits(2).prints("rollback complete").prints(cause);
    cloud.run("deploy --yes").exits(0);
    cloud.run("diff").exits(0).prints("no change");
    assert_eq!(status(&cloud, INGEST), "CREATE_COMPLETE");
}

#[test]
fn change_sets_that_were_made_before_their_turn_are_taken_back() {
    let cloud = Cloud::up(Iam::Off);
    let bucket = "chinook-invoices-local-artifacts-000000000000-us-east-1";
    cloud.aws("s3", "create_bucket", json!({ "Bucket": bucket }));
    cloud
        .run("deploy --yes")
        .exits(1)
        .prints(&format!("bucket {bucket} exists and was never in a stack"));
    // Their stacks were made to hold the change sets, and are as if they never were.
    for stack in [INGEST, STORAGE] {
        comes_to(&cloud, stack, "gone");
    }
    cloud.aws("s3", "delete_bucket", json!({ "Bucket": bucket }));
    cloud.run("deploy --yes").exits(0);
    cloud.run("diff").exits(0).prints("no change");
    assert_eq!((pending(&cloud, STORAGE), pending(&cloud, INGEST)), (0, 0));
}

#[test]
fn an_update_that_failed_is_rolled_back_and_told() {
    let cloud = Cloud::with_pipeline(Iam::Off);
    cloud.aws("s3", "create_bucket", json!({ "Bucket": "theirs" }));
    cloud.edit("max_attempts = 5", "max_attempts = 5\nbucket = \"theirs\"");
    cloud
        .run("deploy --yes --allow-loss aws:storage")
        .exits(1)
        .prints(&format!("stack {STORAGE} ended in UPDATE_ROLLBACK_COMPLETE"))
        .prints("RawBucket (AWS::S3::Bucket): NAME_CONFLICT_VALIDATION");
    assert_eq!(status(&cloud, STORAGE), "UPDATE_ROLLBACK_COMPLETE");
    cloud
        .run("diff")
        .exits(2)
        .prints("RawBucket (AWS::S3::Bucket) is replaced");
    cloud.run("status").exits(0).prints("update rollback complete");
    cloud.edit("bucket = \"theirs\"", "bucket = \"ours-then\"");
    cloud.run("deploy --yes --allow-loss aws:storage").exits(0);
    cloud.run("diff").exits(0).prints("no change");
}

#[test]
fn a_stack_under_review_is_made_and_destroyed() {
    let cloud = Cloud::up(Iam::Off);
    let review = |set: &str| {
        let template = r#"{"Resources": {"T": {"Type": "AWS::SNS::Topic"}}}"#;
        let made = json!({ "StackName": "chinook-invoices-local-alerts", "ChangeSetName": set, "ChangeSetType": "CREATE", "TemplateBody": template });
        cloud.aws("cloudformation", "create_change_set", made);
        assert_eq!(status(&cloud, "chinook-invoices-local-alerts"), "REVIEW_IN_PROGRESS");
    };
    review("first");
    cloud
        .run("diff")
        .exits(2)
        .prints("its first change set was never executed");
    cloud.run("status").exits(2).prints("review in progress");
    cloud.run("deploy --yes").exits(0);
    cloud.run("diff").exits(0);
    cloud.run("destroy --yes --delete-data").exits(0);
    review("second");
    cloud.run("destroy --yes").exits(0);
    comes_to(&cloud, "chinook-invoices-local-alerts", "gone");
}

#[test]
fn buckets_that_a_deleted_stack_left_are_taken_in_again() {
    let cloud = Cloud::with_pipeline(Iam::Off);
    cloud.put(RAW, "kept.txt", "kept");
    cloud.aws("cloudformation", "delete_stack", json!({ "StackName": STORAGE }));
    comes_to(&cloud, STORAGE, "gone");
    cloud.run("diff").exits(2).prints(&format!("+ stack {STORAGE}"));
    cloud.run("deploy --yes").exits(0);
    cloud.run("diff").exits(0).prints("no change");
    assert_eq!(cloud.keys(RAW, ""), ["kept.txt"]);

    // One that never was in such a stack is somebody's.
    cloud.run("destroy --yes --delete-data").exits(0);
    cloud.aws("s3", "create_bucket", json!({ "Bucket": "theirs" }));
    cloud.edit("max_attempts = 5", "max_attempts = 5\nbucket = \"theirs\"");
    cloud
        .run("deploy --yes")
        .exits(1)
        .prints(&format!("bucket theirs exists and was never in a stack {STORAGE}"));
}

#[test]
fn a_stack_that_left_the_file_takes_what_it_holds_by_consent_only() {
    let cloud = Cloud::with_pipeline(Iam::Off);
    let left = "chinook-invoices-local-left";
    let template = r#"{"Resources": {"Held": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "held"}}}}"#;
    let made = json!({ "StackName": left, "TemplateBody": template, "Tags": our_tags() });
    cloud.aws("cloudformation", "create_stack", made);
    comes_to(&cloud, left, "CREATE_COMPLETE");
    cloud.run("deploy --yes").exits(1).complains("the messages of Held");
    assert_eq!(status(&cloud, left), "CREATE_COMPLETE");
    let consent = format!("--allow-loss aws:{left}");
    cloud.run(&format!("deploy --yes {consent}")).exits(0);
    assert_eq!(status(&cloud, left), "gone");
}

#[test]
fn a_deletion_that_failed_names_what_stays_and_leaves_it_by_consent_only() {
    let cloud = Cloud::with_pipeline(Iam::Off);
    let stand_in = StandIn::before(&cloud);
    let call = Until::Call("DeleteStack");
    stand_in.plays(&[
        ("UPDATE_COMPLETE", call),
        ("DELETE_FAILED", call),
        ("DELETE_FAILED", call),
        ("DELETE_COMPLETE", Until::Never),
    ]);
    let retain = format!("--retain {INGEST}/CopyQueue");
    for _ in 0..2 {
        stand_in
            .run("destroy --yes --delete-data")
            .exits(1)
            .prints("CopyQueue (AWS::SQS::Queue): DELETE_FAILED: the queue was taken away")
            .prints(&retain);
    }
    stand_in
        .run("status")
        .exits(2)
        .prints("delete failed")
        .prints("the queue was taken away");
    stand_in.run(&format!("destroy --yes --delete-data {retain}")).exits(0);
    let (calls, _) = stand_in.took();
    let retained: Vec<bool> = calls
        .iter()
        .map(|call| call.contains("RetainResources.member.1=CopyQueue"))
        .collect();
    assert_eq!(retained, [false, false, true], "{calls:?}");
    let wrong = cloud.run("destroy --yes --retain CopyQueue");
    assert_ne!(wrong.code, Some(0));
    wrong.complains("STACK/RESOURCE");
}

/// Statuses that the local cloud does not come to by itself.
#[test]
fn every_other_status_is_led_out_of() {
    let cloud = Cloud::with_pipeline(Iam::Off);
    let stand_in = StandIn::before(&cloud);
    let cause = "CopyQueue (AWS::SQS::Queue)";
    let (mut tried, mut converged) = (0, 0);
    for (name, call) in [
        ("UPDATE_ROLLBACK_FAILED", Until::Call("ContinueUpdateRollback")),
        ("UPDATE_FAILED", Until::Call("RollbackStack")),
        ("CREATE_FAILED", Until::Real("DeleteStack")),
        ("ROLLBACK_FAILED", Until::Real("DeleteStack")),
        ("DELETE_FAILED", Until::Real("DeleteStack")),
    ] {
        eprintln!("{name}");
        tried += 1;
        stand_in.plays(&[(name, call)]);
        let words = name.to_lowercase().replace('_', " ");
        stand_in.run("diff").exits(2).prints(name).prints(cause);
        stand_in.run("status").exits(2).prints(&words).prints(cause);
        let consent = if name == "DELETE_FAILED" {
            stand_in
                .run("deploy --yes")
                .exits(1)
                .complains("the messages of CopyQueue");
            " --allow-loss aws:ingest"
        } else {
            ""
        };
        stand_in.run(&format!("deploy --yes{consent}")).exits(0);
        let (calls, ended) = stand_in.took();
        assert_eq!((calls.len(), ended), (1, true), "{calls:?}");
        stand_in.run("diff").exits(0).prints("no change");
        converged += 1;
    }
    for name in [
        "CREATE_IN_PROGRESS",
        "ROLLBACK_IN_PROGRESS",
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_ROLLBACK_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
        "IMPORT_IN_PROGRESS",
        "IMPORT_ROLLBACK_IN_PROGRESS",
    ] {
        eprintln!("{name}");
        tried += 1;
        stand_in.plays(&[(name, Until::Looks(5))]);
        stand_in
            .run("diff")
            .exits(2)
            .prints("a deploy waits until that has ended");
        stand_in
            .run("status")
            .exits(2)
            .prints("which waits until that has ended");
        stand_in.run("deploy --yes").exits(0);
        assert!(stand_in.took().1, "{name}: it waited");
        stand_in.run("diff").exits(0).prints("no change");
        converged += 1;
    }
    for name in [
        "UPDATE_ROLLBACK_COMPLETE",
        "IMPORT_COMPLETE",
        "IMPORT_ROLLBACK_COMPLETE",
    ] {
        tried += 1;
        stand_in.plays(&[(name, Until::Never)]);
        stand_in.run("diff").exits(0).prints("no change");
        stand_in.run("deploy --yes").exits(0);
        converged += 1;
    }
    eprintln!("{tried} statuses tried, {converged} converged");
}

#[test]
fn a_rollback_that_fails_again_is_explained_and_goes_on_without_what_is_given_up() {
    let cloud = Cloud::with_pipeline(Iam::Off);
    let stand_in = StandIn::before(&cloud);
    let (failed, call) = ("UPDATE_ROLLBACK_FAILED", Until::Call("ContinueUpdateRollback"));
    let under_way = ("UPDATE_ROLLBACK_IN_PROGRESS", Until::Looks(1));
    stand_in.plays(&[(failed, call), under_way, (failed, call)]);
    stand_in
        .run("deploy --yes")
        .exits(1)
        .prints("CopyQueue (AWS::SQS::Queue): UPDATE_FAILED: the queue was taken away")
        .prints(&format!("--skip {INGEST}/CopyQueue"));
    stand_in
        .run(&format!("deploy --yes --skip {INGEST}/CopyQueue"))
        .exits(0);
    let (calls, ended) = stand_in.took();
    assert!(ended && calls.len() == 2, "{calls:?}");
    assert!(!calls[0].contains("ResourcesToSkip"), "{calls:?}");
    assert!(calls[1].contains("ResourcesToSkip.member.1=CopyQueue"), "{calls:?}");
    stand_in.run("diff").exits(0).prints("no change");

    // A destroy needs no rollback.
    stand_in.plays(&[(failed, Until::Real("DeleteStack"))]);
    stand_in.run("destroy --yes --delete-data").exits(0);
    assert_eq!(status(&cloud, INGEST), "gone");
}

#[test]
fn an_import_that_could_not_be_taken_back_is_explained() {
    let cloud = Cloud::with_pipeline(Iam::Off);
    let stand_in = StandIn::before(&cloud);
    stand_in.plays(&[("IMPORT_ROLLBACK_FAILED", Until::Never)]);
    stand_in.run("diff").exits(2).prints("delete the stack by hand");
    stand_in.run("status").exits(2).prints("delete the stack by hand");
    stand_in
        .run("deploy --yes")
        .exits(1)
        .prints("the queue was taken away")
        .prints(&format!("aws cloudformation delete-stack --stack-name {INGEST}"));
}
