//! A file that could not be copied comes again soon, not after the half hour that the queue itself would hide it.

use std::time::Duration;

use serde_json::json;

use crate::cloud::{CURATED, Cloud, Iam, RAW, example, wait};
use crate::policies::policies;

const PATIENCE: Duration = Duration::from_secs(240);

#[test]
fn a_file_that_failed_comes_again_soon() {
    let cloud = Cloud::with_pipeline(Iam::Enforced);
    let policies = policies(&cloud);
    let policy = policies
        .iter()
        .find(|policy| (policy.resource.as_str(), policy.part.as_str()) == ("CopyRole", "copy"))
        .unwrap();
    let whole = policy.read(&cloud)["Statement"].as_array().unwrap().clone();
    let mut less = whole.clone();
    less.retain(|statement| statement["Sid"] != "WriteCurated");
    policy.write(&cloud, &less);
    let file = std::fs::read(example().join("data/invoices/2021.json")).unwrap();
    cloud.put(RAW, "invoices/late.json", file);
    wait("the copy to fail", PATIENCE, || {
        let log = json!({ "logGroupName": "/aws/lambda/chinook-invoices-local-copy" });
        let told = cloud.aws("logs", "filter_log_events", log)["events"].to_string();
        told.contains(r#"\"action\":\"failed\""#).then_some(()).ok_or(told)
    });
    policy.write(&cloud, &whole);
    wait("the file to be copied", PATIENCE, || {
        match cloud.keys(CURATED, "data/").len() {
            1 => Ok(()),
            found => Err(found.to_string()),
        }
    });
}
