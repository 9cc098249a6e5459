//! What somebody changed by hand is shown as that, set back by a deploy, and gone from the next diff.

use serde_json::{Value, json};

use crate::cloud::{Cloud, DATABASE, Iam};
use crate::second_deploy::all_tasks_are_started;

/// A change by hand, and the step and property that it must be shown as.
const BY_HAND: [(&str, &str, &str); 22] = [
    (
        "ALTER WAREHOUSE {db}_WH SET WAREHOUSE_SIZE = 'LARGE'",
        "warehouse:{db}_WH",
        "size",
    ),
    (
        "ALTER STORAGE INTEGRATION {db}_S3 SET ENABLED = FALSE",
        "storage-integration:{db}_S3",
        "enabled",
    ),
    (
        "ALTER SCHEMA {db}.SHOP DISABLE MANAGED ACCESS",
        "schema:{db}.SHOP",
        "options",
    ),
    (
        "ALTER FILE FORMAT {db}.SHOP_RAW.JSON_LINES SET STRIP_OUTER_ARRAY = FALSE",
        "file-format:{db}.SHOP_RAW.JSON_LINES",
        "format_options",
    ),
    (
        "ALTER TABLE {db}.SHOP.INVOICE ADD COLUMN NOTE VARCHAR(10)",
        "table:{db}.SHOP.INVOICE",
        "column NOTE",
    ),
    (
        "ALTER TABLE {db}.SHOP.INVOICE DROP COLUMN CITY",
        "table:{db}.SHOP.INVOICE",
        "column CITY",
    ),
    (
        "ALTER TABLE {db}.SHOP.INVOICE ALTER COLUMN TOTAL COMMENT 'by hand'",
        "table:{db}.SHOP.INVOICE",
        "column TOTAL comment",
    ),
    (
        "ALTER TABLE {db}.SHOP.INVOICE_LINE ALTER COLUMN QUANTITY DROP NOT NULL",
        "table:{db}.SHOP.INVOICE_LINE",
        "column QUANTITY nullability",
    ),
    (
        "ALTER TABLE {db}.SHOP_RAW.LOAD_FAILURES SET COMMENT = 'mine [pipectl chinook-invoices/local {hash}]'",
        "table:{db}.SHOP_RAW.LOAD_FAILURES",
        "comment",
    ),
    (
        "ALTER WAREHOUSE {db}_WH SET MAX_CLUSTER_COUNT = 3",
        "warehouse:{db}_WH",
        "max_cluster_count",
    ),
    (
        "ALTER DATABASE {db} SET DATA_RETENTION_TIME_IN_DAYS = 7",
        "database:{db}",
        "retention_time",
    ),
    (
        "ALTER TABLE {db}.SHOP_RAW.INVOICE_REJECTED SET DATA_RETENTION_TIME_IN_DAYS = 0",
        "table:{db}.SHOP_RAW.INVOICE_REJECTED",
        "retention_time",
    ),
    (
        "ALTER STAGE {db}.SHOP_RAW.CURATED SET FILE_FORMAT = (TYPE = JSON)",
        "stage:{db}.SHOP_RAW.CURATED",
        "file_format",
    ),
    (
        "ALTER TABLE {db}.SHOP.INVOICE ALTER COLUMN COUNTRY SET DATA TYPE VARCHAR(400)",
        "table:{db}.SHOP.INVOICE",
        "column COUNTRY type",
    ),
    (
        "ALTER TABLE {db}.SHOP.INVOICE DROP PRIMARY KEY",
        "table:{db}.SHOP.INVOICE",
        "primary key",
    ),
    (
        "REVOKE SELECT ON TABLE {db}.SHOP.INVOICE_LINE FROM ROLE {db}_READER",
        "table:{db}.SHOP.INVOICE_LINE",
        "grant SELECT to {db}_READER",
    ),
    (
        "GRANT OPERATE ON PIPE {db}.SHOP_RAW.INVOICES_PIPE TO ROLE {db}_READER",
        "pipe:{db}.SHOP_RAW.INVOICES_PIPE",
        "grant OPERATE to {db}_READER",
    ),
    (
        "REVOKE SELECT ON FUTURE TABLES IN SCHEMA {db}.SHOP FROM ROLE {db}_READER",
        "schema:{db}.SHOP",
        "grant SELECT on future tables to {db}_READER",
    ),
    ("ALTER TASK {db}.SHOP_RAW.LOAD SUSPEND", "graph:resume", ""),
    (
        "ALTER TASK {db}.SHOP_RAW.LOAD SET SCHEDULE = '7 minutes'",
        "task:{db}.SHOP_RAW.LOAD",
        "schedule",
    ),
    (
        "ALTER TASK {db}.SHOP_RAW.LOAD_INVOICE MODIFY WHEN 1 = 1",
        "task:{db}.SHOP_RAW.LOAD_INVOICE",
        "condition",
    ),
    (
        "ALTER TASK {db}.SHOP_RAW.LOAD_INVOICE_LINE MODIFY AS SELECT 2",
        "task:{db}.SHOP_RAW.LOAD_INVOICE_LINE",
        "definition",
    ),
];

#[test]
fn what_was_changed_by_hand_is_shown_apart_and_set_back() {
    let cloud = Cloud::with_pipeline(Iam::Off);
    let comment = cloud.value("select comment from {db}.INFORMATION_SCHEMA.TABLES where table_name = 'LOAD_FAILURES'");
    let hash = comment.trim_end_matches(']').rsplit(' ').next().unwrap();
    for (statement, _, _) in BY_HAND {
        cloud.try_sql(&statement.replace("{hash}", hash)).exits(0);
    }
    let plan = cloud.run("diff --format json").exits(2).json();
    let steps = plan["steps"].as_array().unwrap();
    for (statement, id, property) in BY_HAND {
        let id = format!("snowflake:{}", id.replace("{db}", DATABASE));
        let step = steps.iter().find(|step| step["id"] == id.as_str());
        let step = step.unwrap_or_else(|| panic!("{statement}: no {id} in {plan:#}"));
        if property.is_empty() {
            continue;
        }
        assert_eq!(step["drift"], true, "{statement}: {step:#}");
        let changes = step["changes"].as_array().unwrap();
        let property = property.replace("{db}", DATABASE);
        let shown = changes.iter().any(|change| change["property"] == property.as_str());
        assert!(shown, "{statement}: {step:#}");
    }
    cloud
        .run("diff")
        .exits(2)
        .prints("changed by hand since the last deploy");
    cloud.run("diff --format markdown").exits(2).prints("Changed by hand");
    let note = format!("--allow-loss snowflake:table:{DATABASE}.SHOP.INVOICE");
    cloud.run("deploy --yes").exits(1).complains(&note);
    cloud.run(&format!("deploy --yes {note}")).exits(0);
    cloud.run("diff").exits(0).prints("no change");
    all_tasks_are_started(&cloud);
    a_queue_changed_by_hand_is_found_on_request(&cloud);
}

fn a_queue_changed_by_hand_is_found_on_request(cloud: &Cloud) {
    cloud.run("diff --drift").exits(0).prints("no change");
    let queue = cloud.queue_url("chinook-invoices-local-copy");
    let set = |seconds: &str| {
        let attributes = json!({ "QueueUrl": queue, "Attributes": { "VisibilityTimeout": seconds } });
        cloud.aws("sqs", "set_queue_attributes", attributes);
    };
    set("7");
    cloud.run("diff").exits(0).prints("no change");
    let plan = cloud.run("diff --drift --format json").exits(2).json();
    let [drifted] = plan["drifted"].as_array().unwrap().as_slice() else {
        panic!("not one resource: {plan:#}")
    };
    assert_eq!(drifted["resource"], "CopyQueue");
    assert_eq!(
        drifted["changes"],
        json!([{ "property": "VisibilityTimeout", "before": "7", "after": "1800" }])
    );
    assert_eq!(plan["steps"], Value::Array(vec![]));
    cloud
        .run("diff --drift")
        .exits(2)
        .prints("CopyQueue (AWS::SQS::Queue) of stack chinook-invoices-local-ingest");
    set("1800");
    cloud.run("diff --drift").exits(0).prints("no change");
}
