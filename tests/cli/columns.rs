//! Columns of tables with rows: renamed, and given other types and keys, there and back, with every value kept.

use std::fs;

use serde_json::Value;

use crate::cloud::{Cloud, DATABASE, Iam};
use crate::second_deploy::all_tasks_are_started;

#[test]
fn a_renamed_column_keeps_its_values() {
    let cloud = Cloud::with_pipeline(Iam::Off);
    cloud.put_the_example();
    cloud.wait_for("select count(*) from {db}.SHOP.INVOICE", "412");
    cloud.wait_until_quiet();
    let sum = |column: &str| cloud.value(&format!("select sum({column}) from {{db}}.SHOP.INVOICE"));
    let before = sum("TOTAL");

    let total = r#"{ name = "total", type = "NUMBER(10,2)", path"#;
    let amount = r#"{ name = "amount", was = "total", type = "NUMBER(12,2)", path"#;
    cloud.edit(total, amount);
    cloud
        .run("diff")
        .exits(2)
        .prints("column AMOUNT name: TOTAL \u{2192} AMOUNT");
    let out = cloud.run("deploy --yes").exits(0);
    assert!(!out.stdout.contains("loses"), "{}", out.stdout);
    cloud.run("diff").exits(0).prints("no change");
    assert_eq!(sum("AMOUNT"), before);
    all_tasks_are_started(&cloud);

    // New rows arrive in it, and it goes back.
    let invoice =
        r#"{"InvoiceId":9001,"InvoiceDate":"2025-01-01 00:00:00","Customer":{"CustomerId":1},"Total":1.5,"Lines":[]}"#;
    cloud.put(crate::cloud::RAW, "invoices/more.json", invoice);
    cloud.wait_for(
        "select count(*) from {db}.SHOP.INVOICE where INVOICE_ID = 9001 and AMOUNT = 1.5",
        "1",
    );
    cloud.edit(
        amount,
        r#"{ name = "total", was = "amount", type = "NUMBER(12,2)", path"#,
    );
    cloud.run("deploy --yes").exits(0);
    cloud.run("diff").exits(0).prints("no change");
    assert_eq!(cloud.value("select count(TOTAL) from {db}.SHOP.INVOICE"), "413");
}

const TOTAL: &str = r#"name = "total", type = "NUMBER(10,2)""#;
const TEXT: &str = r#"name = "total", type = "VARCHAR(40)""#;

/// A cloud with the example's invoices in it.
fn loaded() -> Cloud {
    let cloud = Cloud::with_pipeline(Iam::Off);
    cloud.put_the_example();
    cloud.wait_for("select count(*) from {db}.SHOP.INVOICE", "412");
    cloud.wait_for("select count(*) from {db}.SHOP.INVOICE_LINE", "2240");
    cloud.wait_until_quiet();
    cloud
}

/// Deploys without any consent; then there is no difference, and the tasks run.
fn deploys_without_loss(cloud: &Cloud) {
    let out = cloud.run("deploy --yes").exits(0);
    assert!(!out.stdout.contains("loses"), "{}", out.stdout);
    cloud.run("diff").exits(0).prints("no change");
    all_tasks_are_started(cloud);
}

#[test]
fn a_column_takes_another_type_or_is_refused() {
    let cloud = loaded();
    let all = "select INVOICE_ID, to_number(TOTAL, 10, 2) from {db}.SHOP.INVOICE order by to_number(INVOICE_ID)";
    let before = cloud.sql(all);
    let data_type = "select data_type from {db}.INFORMATION_SCHEMA.COLUMNS where table_schema = 'SHOP' and table_name = 'INVOICE' and column_name = 'TOTAL'";

    cloud.edit(TOTAL, TEXT);
    cloud
        .run("diff")
        .exits(2)
        .prints("column TOTAL type: NUMBER(10,2) \u{2192} VARCHAR(40)");
    deploys_without_loss(&cloud);
    assert_eq!(cloud.value(data_type), "TEXT");
    assert_eq!(cloud.sql(all), before);
    cloud.edit(TEXT, TOTAL);
    deploys_without_loss(&cloud);
    assert_eq!(cloud.value(data_type), "NUMBER");
    assert_eq!(cloud.sql(all), before);

    // A key is a key again.
    let (number, text) = (
        r#""invoice_id", type = "NUMBER(10,0)", path = "$.InvoiceId", key"#,
        r#""invoice_id", type = "VARCHAR(20)", path = "$.InvoiceId", key"#,
    );
    for (from, to) in [(number, text), (text, number)] {
        cloud.edit(from, to);
        deploys_without_loss(&cloud);
        assert_eq!(cloud.sql(all), before);
        let keys = cloud.sql("SHOW PRIMARY KEYS IN TABLE {db}.SHOP.INVOICE");
        assert!(
            keys.len() == 1 && keys[0].contains(&"INVOICE_ID".to_owned()),
            "{keys:?}"
        );
    }

    // What does not fit is told before anything is done, with examples; what is rounded needs consent.
    let file = fs::read_to_string(cloud.file()).unwrap();
    cloud.edit(TOTAL, r#"name = "total", type = "NUMBER(3,2)""#);
    let sum = cloud.value("select count(*) from {db}.SHOP.INVOICE where TOTAL >= 10");
    let refused = format!("{sum} rows of table {DATABASE}.SHOP.INVOICE have a value in TOTAL that is no NUMBER(3,2)");
    cloud.run("diff").exits(1).complains(&refused);
    cloud.run("deploy --yes").exits(1).complains(&refused);
    fs::write(cloud.file(), &file).unwrap();
    cloud.run("diff").exits(0).prints("no change");
    cloud.edit(TOTAL, r#"name = "total", type = "NUMBER(10,1)""#);
    let consent = format!("--allow-loss snowflake:table:{DATABASE}.SHOP.INVOICE");
    cloud
        .run("deploy --yes")
        .exits(1)
        .complains(&consent)
        .complains("rounded");
    cloud.run(&format!("deploy --yes {consent}")).exits(0);
    // The records were kept, so what was rounded comes back.
    fs::write(cloud.file(), &file).unwrap();
    deploys_without_loss(&cloud);
    assert_eq!(cloud.sql(all), before);

    another_key_must_tell_rows_apart(&cloud);
}

fn another_key_must_tell_rows_apart(cloud: &Cloud) {
    let file = fs::read_to_string(cloud.file()).unwrap();
    let line = r#""invoice_line_id", type = "NUMBER(10,0)", path = "@.InvoiceLineId", key = true"#;
    cloud.edit(line, &line.replace(", key = true", ""));
    let quantity = r#"path = "@.Quantity", not_null = true"#;
    cloud.edit(quantity, r#"path = "@.Quantity", key = true"#);
    cloud
        .run("deploy --yes")
        .exits(1)
        .complains("would repeat the key (QUANTITY) of another row");
    fs::write(cloud.file(), &file).unwrap();
    let track = r#"path = "@.TrackId", not_null = true"#;
    cloud.edit(track, r#"path = "@.TrackId", key = true"#);
    deploys_without_loss(cloud);
    let keys = cloud.sql("SHOW PRIMARY KEYS IN TABLE {db}.SHOP.INVOICE_LINE");
    assert_eq!(keys.len(), 2, "{keys:?}");
    assert_eq!(cloud.value("select count(*) from {db}.SHOP.INVOICE_LINE"), "2240");
}

/// A deploy that ends after any statement of a type change goes on where it stopped.
#[test]
fn a_type_change_that_was_cut_off_goes_on() {
    let cloud = loaded();
    let all = "select INVOICE_ID, to_number(TOTAL, 10, 2) from {db}.SHOP.INVOICE order by INVOICE_ID";
    let before = cloud.sql(all);
    let (mut from, mut to) = (TOTAL, TEXT);
    for done in 0.. {
        cloud.edit(from, to);
        let plan = cloud.run("diff --format json").exits(2).json();
        let id = format!("snowflake:table:{DATABASE}.SHOP.INVOICE");
        let step = plan["steps"]
            .as_array()
            .unwrap()
            .iter()
            .find(|step| step["id"] == id.as_str());
        let actions: Vec<Value> = step.unwrap()["actions"].as_array().unwrap().clone();
        for action in &actions[..done] {
            cloud.try_sql(action["sql"].as_str().unwrap()).exits(0);
        }
        eprintln!("cut off after {done} of {} statements", actions.len());
        deploys_without_loss(&cloud);
        assert_eq!(cloud.sql(all), before, "cut off after {done}");
        if done == actions.len() {
            break;
        }
        (from, to) = (to, from);
    }
}

/// The old graph is suspended and dropped, finalizer first; the new one runs.
#[test]
fn another_schema_takes_over() {
    let cloud = loaded();
    cloud.edit(r#"schema = "SHOP""#, r#"schema = "STORE""#);
    let plan = cloud.run("diff --format json").exits(2).json();
    let steps = plan["steps"].as_array().unwrap();
    let losing = steps.iter().filter(|step| step["loss"].is_string());
    let consents: String = losing
        .map(|step| format!(" --allow-loss {}", step["id"].as_str().unwrap()))
        .collect();
    cloud.run(&format!("deploy --yes{consents}")).exits(0);
    cloud.run("diff").exits(0).prints("no change");
    let tasks = cloud.sql("SHOW TASKS IN DATABASE {db}");
    assert_eq!(tasks.len(), 5, "{tasks:?}");
    let started = |task: &Vec<String>| task.contains(&"STORE_RAW".to_owned()) && task.contains(&"started".to_owned());
    assert!(tasks.iter().all(started), "{tasks:?}");
}
