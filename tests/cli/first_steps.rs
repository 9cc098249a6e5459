//! What a new user does first: init, validate, render, deploy.

use std::fs;

use crate::cloud::{Cloud, Iam, command_in};
use crate::run::Run;
use crate::with_iam_off_and_enforced;

with_iam_off_and_enforced!(the_template_becomes_a_pipeline);

fn the_template_becomes_a_pipeline(iam: Iam) {
    let cloud = Cloud::up(iam);
    let folder = cloud.file().parent().unwrap().to_owned();
    fs::remove_file(cloud.file()).unwrap();
    Run::of(command_in(&folder).arg("init"))
        .exits(0)
        .prints("wrote")
        .prints("next:");
    let text = fs::read_to_string(cloud.file()).unwrap();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
        .unwrap()
        .to_owned();
    cloud.run("validate").exits(0);
    cloud.run("render").exits(0);
    cloud.run("deploy --yes").exits(0);
    cloud.run("diff").exits(0);
    cloud.run("local run-tasks").exits(0).prints("SKIPPED");
    let record = r#"{"id": 7, "customer": {"name": "Ada"}, "issued": "2026-01-02T03:04:05", "total": 12.5,
        "lines": [{"no": 1, "article": "pen", "price": 2.5}, {"no": 2, "article": "ink", "price": 10}]}"#;
    cloud.put(
        &format!("{name}-local-raw-000000000000-us-east-1"),
        "invoices/7.json",
        record,
    );
    let schema = cloud.schema_of("INVOICE_LINE");
    cloud.wait_for_rows(
        &format!("select sum(PRICE), count(*) from {schema}.INVOICE_LINE"),
        &[&["12.50", "2"]],
    );
    cloud.wait_for_rows(
        &format!("select ID, CUSTOMER, TOTAL, RECORD:id from {schema}.INVOICE"),
        &[&["7", "Ada", "12.50", "7"]],
    );
    cloud.run("status").exits(0);
    // The tests deploy a program that becomes the runtime; users deploy the runtime itself.
    let mut deploy = command_in(&folder);
    deploy
        .args(["deploy", "--yes", "--env", "local"])
        .env_remove("PIPECTL_RUNTIME");
    Run::of(&mut deploy).exits(0);
    cloud.put(
        &format!("{name}-local-raw-000000000000-us-east-1"),
        "invoices/8.json",
        record.replace("\"id\": 7", "\"id\": 8"),
    );
    cloud.wait_for_rows(&format!("select count(*) from {schema}.INVOICE"), &[&["2"]]);
}
