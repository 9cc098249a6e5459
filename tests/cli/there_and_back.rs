//! Changes of the file, each applied and taken back: after either deploy there is no difference left.

use std::fs;

use crate::cloud::{Cloud, Iam};
use crate::second_deploy::all_tasks_are_started;

const CITY: &str = r#"    { name = "city", type = "VARCHAR(40)", path = "$.Customer.City" },"#;

/// What changes, from what, to what.
const CHANGES: [(&str, &str, &str); 10] = [
    (
        "retention of logs",
        "log_retention_days = 30",
        "log_retention_days = 90",
    ),
    ("a queue's redrive", "max_attempts = 5", "max_attempts = 7"),
    ("a tag", "team = \"music\"", "team = \"film\""),
    (
        "a subscription",
        "[source]",
        "[alerts]\nemail = \"ops@example.com\"\n\n[source]",
    ),
    ("the schedule", "schedule = \"1 minute\"", "schedule = \"5 minutes\""),
    (
        "the description",
        "description = \"Invoices from",
        "description = \"The invoices from",
    ),
    ("a table's comment", "One row per invoice\"", "An invoice\""),
    ("a column's comment", "Sum of the lines, in USD", "Sum"),
    ("a column", CITY, ""),
    ("a path", "$.BillingCountry", "$.Customer.Country"),
];

#[test]
fn every_change_goes_there_and_back() {
    let cloud = Cloud::with_pipeline(Iam::Off);
    for (what, from, to) in CHANGES {
        let before = fs::read_to_string(cloud.file()).unwrap();
        cloud.edit(from, to);
        apply(&cloud, &format!("{what}, there"));
        fs::write(cloud.file(), before).unwrap();
        apply(&cloud, &format!("{what}, back"));
    }
    let before = fs::read_to_string(cloud.file()).unwrap();
    let start = before.rfind("[[table]]").unwrap();
    let end = start + before[start..].find("\n[env").unwrap();
    fs::write(cloud.file(), format!("{}{}", &before[..start], &before[end..])).unwrap();
    apply(&cloud, "a table, gone");
    fs::write(cloud.file(), before).unwrap();
    apply(&cloud, "a table, back");
    all_tasks_are_started(&cloud);
}

/// Deploys with the consents that the plan asks for; then there is no difference.
fn apply(cloud: &Cloud, what: &str) {
    eprintln!("{what}");
    let plan = cloud.run("diff --format json").exits(2).json();
    let steps = plan["steps"].as_array().unwrap();
    let losing = steps.iter().filter(|step| step["loss"].is_string());
    let consents: String = losing
        .map(|step| format!(" --allow-loss {}", step["id"].as_str().unwrap()))
        .collect();
    cloud.run(&format!("deploy --yes{consents}")).exits(0);
    cloud.run("diff").exits(0).prints("no change");
}
