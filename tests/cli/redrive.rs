//! Dead letters: shown, put back, and lost at no moment.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cloud::{CURATED, Cloud, Iam, RAW, example, wait};

const DEAD: &str = "chinook-invoices-local-copy-dead-letters";
const SOURCE: &str = "chinook-invoices-local-copy";
const PATIENCE: Duration = Duration::from_secs(240);

/// Messages of a queue, those that somebody works at included.
fn depth(cloud: &Cloud, queue: &str) -> u64 {
    let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
    let asked = json!({ "QueueUrl": cloud.queue_url(queue), "AttributeNames": names });
    let told = cloud.aws("sqs", "get_queue_attributes", asked);
    let number = |name: &str| told["Attributes"][name].as_str().unwrap().parse::<u64>().unwrap();
    names.map(number).iter().sum()
}

fn bury(cloud: &Cloud, bodies: &[String]) {
    let queue = cloud.queue_url(DEAD);
    for some in bodies.chunks(10) {
        let entries: Vec<Value> = some
            .iter()
            .enumerate()
            .map(|(place, body)| json!({ "Id": place.to_string(), "MessageBody": body }))
            .collect();
        cloud.aws(
            "sqs",
            "send_message_batch",
            json!({ "QueueUrl": queue, "Entries": entries }),
        );
    }
}

/// What S3 says of a new object: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>.
fn notice(key: &str) -> String {
    let object = json!({ "bucket": { "name": RAW }, "object": { "key": key, "size": 1 } });
    json!({ "Records": [{ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": object }] }).to_string()
}

#[test]
fn dead_letters_are_shown_and_go_back_to_their_queue() {
    let cloud = Cloud::with_pipeline(Iam::Off);
    cloud.run("redrive --yes").exits(0).prints("empty");
    let file = std::fs::read(example().join("data/invoices/2021.json")).unwrap();
    cloud.put(RAW, "invoices/late.json", file);
    wait("the file to be copied", PATIENCE, || {
        match cloud.keys(CURATED, "data/").len() {
            1 => Ok(()),
            found => Err(found.to_string()),
        }
    });
    cloud.wait_until_quiet();
    let copied = cloud.keys(CURATED, "data/").remove(0);
    cloud.aws("s3", "delete_object", json!({ "Bucket": CURATED, "Key": copied }));
    bury(&cloud, &vec![notice("invoices/late.json"); 12]);

    let status = cloud.run("status").exits(2);
    let line = status
        .stdout
        .lines()
        .find(|line| line.contains("dead letters"))
        .unwrap();
    assert!(
        line.contains("12 waiting") && line.contains("pipectl redrive"),
        "{line}"
    );

    // Looking changes nothing, and neither does somebody who does not say yes.
    let told = cloud.run("redrive --dry-run --format json").exits(0).json();
    let queue = &told["queues"][0];
    assert_eq!((&queue["queue"], &queue["source"]), (&json!(DEAD), &json!(SOURCE)));
    assert_eq!((&queue["messages"], &queue["outcome"]), (&json!(12), &Value::Null));
    let shown = queue["shown"].as_array().unwrap();
    assert_eq!(shown.len(), 10);
    assert_eq!(shown[0]["body"], format!("s3://{RAW}/invoices/late.json"));
    cloud.run("redrive").exits(1).prints("and 2 more").complains("--yes");
    cloud.run("redrive nothing --yes").exits(1).complains(DEAD);
    assert_eq!(depth(&cloud, DEAD), 12);

    cloud
        .run("redrive copy-dead-letters --yes")
        .exits(0)
        .prints("12 moved to");
    assert_eq!(depth(&cloud, DEAD), 0);
    wait("the file to be copied again", PATIENCE, || {
        match cloud.keys(CURATED, "data/") == [copied.clone()] {
            true => Ok(()),
            false => Err("it is not there".to_owned()),
        }
    });
    cloud.wait_until_quiet();
    cloud.run("status").exits(0);
    killed_midway_loses_nothing(&cloud);
}

fn killed_midway_loses_nothing(cloud: &Cloud) {
    // Nobody takes what is put back, so that it can be counted.
    let mappings = cloud.aws(
        "lambda",
        "list_event_source_mappings",
        json!({ "FunctionName": SOURCE }),
    );
    let mapping = mappings["EventSourceMappings"][0]["UUID"].clone();
    cloud.aws(
        "lambda",
        "update_event_source_mapping",
        json!({ "UUID": mapping, "Enabled": false }),
    );
    const ALL: u64 = 400;
    let bodies: Vec<String> = (0..ALL)
        .map(|number| notice(&format!("invoices/{number}.json")))
        .collect();
    bury(cloud, &bodies);
    let mut run = cloud.start("redrive --yes");
    wait("some to be moved", PATIENCE, || match depth(cloud, SOURCE) {
        0 => Err("none".to_owned()),
        _ => Ok(()),
    });
    run.kill().unwrap();
    run.wait().unwrap();
    let (left, moved) = (depth(cloud, DEAD), depth(cloud, SOURCE));
    // One batch at most is in both.
    assert!(
        left > 0 && (ALL..=ALL + 10).contains(&(left + moved)),
        "{left} and {moved}"
    );
    // What the killed one had in its hands comes back into sight.
    wait("the same command to move the rest", PATIENCE, || {
        cloud.run("redrive --yes").exits(0);
        match depth(cloud, DEAD) {
            0 => Ok(()),
            left => Err(left.to_string()),
        }
    });
    assert!((ALL..=ALL + 10).contains(&depth(cloud, SOURCE)));
}
