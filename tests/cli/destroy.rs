//! `destroy` keeps data unless it is told otherwise, and then leaves nothing.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cloud::{CURATED, Cloud, Iam, RAW};
use crate::with_iam_off_and_enforced;

with_iam_off_and_enforced!(destroy_keeps_data_until_told);

fn destroy_keeps_data_until_told(iam: Iam) {
    let cloud = Cloud::up(iam);
    let nothing = inventory(&cloud);
    cloud.run("deploy --yes").exits(0);
    let everything = inventory(&cloud);
    for (kind, names) in &everything {
        assert!(
            names.len() > nothing[kind].len(),
            "a deploy makes some of every kind, but no {kind}: {names:?}"
        );
    }
    cloud.put_the_example();
    cloud.wait_for("select count(*) from {db}.SHOP.INVOICE", "412");
    cloud.wait_until_quiet();

    cloud
        .run("destroy --yes")
        .exits(0)
        .prints("stack chinook-invoices-local-storage")
        .prints("its buckets hold data")
        .prints("database CHINOOK_INVOICES_LOCAL")
        .prints("hold rows");
    let left = inventory(&cloud);
    assert_eq!(left["cloudformation stacks"], ["chinook-invoices-local-storage"]);
    assert_eq!(left["s3 buckets"], [CURATED, RAW]);
    assert_eq!(left["Snowflake databases"], everything["Snowflake databases"]);
    for kind in [
        "iam roles",
        "lambda functions",
        "sqs queues",
        "sns topics",
        "ssm parameters",
        "Snowflake integrations",
    ] {
        assert_eq!(left[kind], nothing[kind], "{kind}");
    }
    assert_eq!(cloud.keys(RAW, "").len(), 6);
    assert_eq!(cloud.value("select count(*) from {db}.SHOP.INVOICE"), "412");
    // There is nothing more to take.
    cloud.run("destroy --yes").exits(0);

    cloud.run("deploy --yes").exits(0);
    cloud.run("diff").exits(0);
    assert_eq!(inventory(&cloud), everything);
    let again =
        r#"{"InvoiceId": 9100, "InvoiceDate": "2026-01-02", "Customer": {"CustomerId": 1}, "Total": 1, "Lines": []}"#;
    cloud.put(RAW, "invoices/again.json", again);
    cloud.wait_for("select count(*) from {db}.SHOP.INVOICE", "413");

    cloud.run("destroy --yes --delete-data").exits(0);
    assert_eq!(inventory(&cloud), nothing);
    cloud.run("destroy --yes --delete-data").exits(0);
    cloud.run("deploy --yes").exits(0);
    assert_eq!(cloud.value("select count(*) from {db}.SHOP.INVOICE"), "0");
}

/// Names of everything in both clouds, by kind.
fn inventory(cloud: &Cloud) -> BTreeMap<String, Vec<String>> {
    const AWS: [(&str, &str, &str, &str, &str); 14] = [
        ("cloudformation", "stacks", "describe_stacks", "Stacks", "StackName"),
        ("s3", "buckets", "list_buckets", "Buckets", "Name"),
        ("ssm", "parameters", "describe_parameters", "Parameters", "Name"),
        ("iam", "roles", "list_roles", "Roles", "RoleName"),
        ("sqs", "queues", "list_queues", "QueueUrls", ""),
        ("sns", "topics", "list_topics", "Topics", "TopicArn"),
        (
            "sns",
            "subscriptions",
            "list_subscriptions",
            "Subscriptions",
            "Endpoint",
        ),
        ("lambda", "functions", "list_functions", "Functions", "FunctionName"),
        (
            "lambda",
            "event sources",
            "list_event_source_mappings",
            "EventSourceMappings",
            "EventSourceArn",
        ),
        ("logs", "groups", "describe_log_groups", "logGroups", "logGroupName"),
        ("cloudwatch", "alarms", "describe_alarms", "MetricAlarms", "AlarmName"),
        ("iam", "policies", "list_policies", "Policies", "Arn"),
        ("iam", "users", "list_users", "Users", "Arn"),
        ("secretsmanager", "secrets", "list_secrets", "SecretList", "Name"),
    ];
    let mut found = BTreeMap::new();
    for (service, kind, operation, list, name) in AWS {
        let scope = if kind == "policies" {
            json!({ "Scope": "Local" })
        } else {
            json!({})
        };
        let answer = cloud.aws(service, operation, scope);
        let items = answer[list].as_array().cloned().unwrap_or_default();
        let text = |item: &Value| {
            if name.is_empty() { item } else { &item[name] }
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        // The queue of Snowflake's pipe is made anew with the pipe.
        let ours = items
            .iter()
            .map(text)
            .map(|name| name.split(":sf-snowpipe").next().unwrap_or_default().to_owned());
        found.insert(format!("{service} {kind}"), sorted(ours.collect()));
    }
    for kind in ["roles", "warehouses", "integrations", "databases"] {
        let rows = cloud.try_sql(&format!("SHOW {kind}")).exits(0);
        let position = rows.json()["columns"]
            .as_array()
            .unwrap()
            .iter()
            .position(|column| column == "name")
            .unwrap();
        let names = rows.rows().into_iter().map(|row| row[position].clone()).collect();
        found.insert(format!("Snowflake {kind}"), sorted(names));
    }
    // None of ours, whatever happens.
    for kind in ["iam policies", "iam users", "secretsmanager secrets"] {
        assert_eq!(found.remove(kind), Some(vec![]), "{kind}");
    }
    found
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}
