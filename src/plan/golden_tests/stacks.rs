//! Stacks: templates and tags, what CloudFormation foresees, and every status.

use super::*;
use crate::aws::replacement::{Does, Effect};

const PARTS: [&str; 5] = ["artifacts", "alerts", "ingest", "delivery", "storage"];

#[test]
fn templates_and_tags() {
    let mut golden = Golden::default();
    golden
        .file(
            "the logs are kept longer",
            "log_retention_days = 30",
            "log_retention_days = 90",
        )
        .file("a file is tried more often", "max_attempts = 5", "max_attempts = 7")
        .file("a tag changes", "team = \"music\"", "team = \"film\"")
        .file("a tag goes", "team = \"music\", ", "")
        .file(
            "the description changes",
            "Invoices from JSON files into Snowflake",
            "Invoices",
        )
        .file(
            "somebody hears of failures",
            "[source]",
            "[alerts]\nemail = \"ops@example.com\"\n\n[source]",
        )
        .back(
            "nobody hears of failures",
            "[source]",
            "[alerts]\nemail = \"ops@example.com\"\n\n[source]",
        )
        .file(
            "another raw bucket",
            "max_attempts = 5",
            "max_attempts = 5\nbucket = \"chinook-other-raw\"",
        )
        .world("a new runtime", |world| world.runtime_key = "NEW".to_owned());
    for part in PARTS {
        golden.world(&format!("stack {part} is missing"), |world| {
            world.stacks.remove(&format!("chinook-invoices-local-{part}"));
        });
    }
    for part in PARTS {
        golden.world(&format!("stack {part} has an older template"), |world| {
            let resources = stack(world, part).template["Resources"].as_object_mut().unwrap();
            let first = resources.values_mut().next().unwrap();
            first["Metadata"] = "older".into();
        });
    }
    golden
        .world("a resource is not in the stack", |world| {
            let template = &mut stack(world, "ingest").template;
            template["Resources"].as_object_mut().unwrap().shift_remove("CopyAge");
        })
        .world("a tag of a stack was removed by hand", |world| {
            stack(world, "alerts").tags.remove("team");
        })
        .world("a stack is somebody else's", |world| {
            stack(world, "alerts").tags.clear()
        })
        .world("a stack left the file", |world| {
            let left = stack(world, "alerts").clone();
            world.stacks.insert("chinook-invoices-local-left".to_owned(), left);
        });
    insta::assert_snapshot!("stacks", golden.text());
}

#[test]
fn stacks_as_cloudformation_foresees_them() {
    let mut golden = Golden::default();
    let effect = |resource: &str, kind: &str, does: Does, stays: bool| Effect {
        resource: resource.to_owned(),
        kind: kind.to_owned(),
        does,
        physical: Some("its-id".to_owned()),
        stays,
    };
    let mut foreseen = |name: &str, found: Foreseen| {
        golden.world(name, |world| {
            let part = "chinook-invoices-local-ingest".to_owned();
            stack(world, "ingest").template["Resources"]["CopyQueue"]["Metadata"] = "older".into();
            world.foreseen.insert(part, found);
        });
    };
    for (name, does, stays) in [
        ("is replaced", Does::Replace, false),
        ("is replaced and stays", Does::Replace, true),
        ("may be replaced", Does::MayReplace, false),
        ("may be replaced and stays", Does::MayReplace, true),
        ("is removed", Does::Remove, false),
        ("is removed and stays", Does::Remove, true),
    ] {
        let queue = effect("CopyQueue", "AWS::SQS::Queue", does, stays);
        foreseen(&format!("a queue {name}"), Foreseen::ChangeSet(vec![queue]));
    }
    let alarm = effect("CopyAge", "AWS::CloudWatch::Alarm", Does::Replace, false);
    foreseen("an alarm is replaced", Foreseen::ChangeSet(vec![alarm]));
    foreseen("nothing is replaced", Foreseen::ChangeSet(vec![]));
    foreseen(
        "no change set may be made",
        Foreseen::Documented("cloudformation:CreateChangeSet of X failed: AccessDenied: no".to_owned()),
    );
    insta::assert_snapshot!("stacks_foreseen", golden.text());
}

#[test]
fn statuses_of_a_stack() {
    let mut golden = Golden::default();
    for status in [
        "CREATE_FAILED",
        "CREATE_IN_PROGRESS",
        "DELETE_FAILED",
        "DELETE_IN_PROGRESS",
        "REVIEW_IN_PROGRESS",
        "ROLLBACK_COMPLETE",
        "ROLLBACK_FAILED",
        "ROLLBACK_IN_PROGRESS",
        "UPDATE_COMPLETE",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_FAILED",
        "UPDATE_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE",
        "UPDATE_ROLLBACK_FAILED",
        "UPDATE_ROLLBACK_IN_PROGRESS",
        "IMPORT_COMPLETE",
        "IMPORT_IN_PROGRESS",
        "IMPORT_ROLLBACK_COMPLETE",
        "IMPORT_ROLLBACK_FAILED",
        "IMPORT_ROLLBACK_IN_PROGRESS",
    ] {
        golden.world(status, |world| stack(world, "ingest").status = status.to_owned());
    }
    golden.world("UPDATE_ROLLBACK_FAILED, with its cause", |world| {
        let ingest = stack(world, "ingest");
        ingest.status = "UPDATE_ROLLBACK_FAILED".to_owned();
        ingest.causes = vec!["CopyQueue (AWS::SQS::Queue): UPDATE_FAILED: it is gone".to_owned()];
    });
    insta::assert_snapshot!("statuses_of_a_stack", golden.text());
}
