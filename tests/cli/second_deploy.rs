//! What a second deploy does: nothing, or exactly what the file's change asks for.

use serde_json::Value;

use crate::cloud::{Cloud, DATABASE, Iam};
use crate::run::Run;
use crate::with_iam_off_and_enforced;

with_iam_off_and_enforced!(a_second_deploy_changes_what_the_file_changed);

fn a_second_deploy_changes_what_the_file_changed(iam: Iam) {
    let cloud = Cloud::with_pipeline(iam);
    nothing_changes_without_a_change(&cloud);

    cloud.put_the_example();
    cloud.wait_for("select count(*) from {db}.SHOP.INVOICE_LINE", "2240");
    cloud.wait_until_quiet();
    nothing_changes_without_a_change(&cloud);
    let before = cloud.sql("select INVOICE_LINE_ID, TRACK, UNIT_PRICE from {db}.SHOP.INVOICE_LINE order by 1");

    // The records have it, the table did not take it yet.
    let quantity = r#"    { name = "quantity", type = "NUMBER(10,0)", path = "@.Quantity", not_null = true },"#;
    let country = r#"    { name = "billing_country", type = "VARCHAR(40)", path = "$.BillingCountry" },"#;
    cloud.edit(quantity, &format!("{quantity}\n{country}"));
    the_plan_names_the_column_and_what_follows(&cloud);
    let out = cloud.run("deploy --yes").exits(0);
    assert!(!out.stdout.contains("loses"), "{}", out.stdout);

    let after = cloud.sql("select INVOICE_LINE_ID, TRACK, UNIT_PRICE from {db}.SHOP.INVOICE_LINE order by 1");
    assert_eq!(before, after, "a new column changed rows");
    let differing = "select count(*) from {db}.SHOP.INVOICE_LINE l join {db}.SHOP.INVOICE i using (INVOICE_ID)
        where l.BILLING_COUNTRY is distinct from i.BILLING_COUNTRY";
    cloud.wait_for(differing, "0");
    cloud.run("diff").exits(0).prints("no change");
    all_tasks_are_started(&cloud);
}

fn nothing_changes_without_a_change(cloud: &Cloud) {
    cloud.run("deploy --yes").exits(0).prints("no change");
    let diff = cloud.run("diff -v").exits(0).prints("no change");
    let (calls, statements) = counts(&diff);
    let stacks = cloud.aws("cloudformation", "describe_stacks", serde_json::json!({}))["Stacks"]
        .as_array()
        .unwrap()
        .len();
    assert!(calls <= stacks + 5, "{calls} AWS calls for {stacks} stacks");
    assert!(statements <= 19, "{statements} Snowflake statements");
}

/// The numbers of `N AWS calls, M Snowflake statements`.
fn counts(run: &Run) -> (usize, usize) {
    let line = run
        .stderr
        .lines()
        .find(|line| line.contains("AWS calls"))
        .unwrap_or_else(|| panic!("no count in {}", run.stderr));
    let numbers: Vec<usize> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    (numbers[0], numbers[1])
}

fn the_plan_names_the_column_and_what_follows(cloud: &Cloud) {
    let plan = cloud.run("diff --format json").exits(2).json();
    let steps = plan["steps"].as_array().unwrap();
    let mut ids: Vec<&str> = steps.iter().map(|step| step["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    let table = format!("snowflake:table:{DATABASE}.SHOP.INVOICE_LINE");
    let task = format!("snowflake:task:{DATABASE}.SHOP_RAW.LOAD_INVOICE_LINE");
    assert_eq!(
        ids,
        ["snowflake:graph:resume", "snowflake:graph:suspend", &table, &task]
    );
    let changes = &steps.iter().find(|step| step["id"] == table).unwrap()["changes"];
    let [column] = changes.as_array().unwrap().as_slice() else {
        panic!("not one change: {changes}")
    };
    assert!(column.to_string().contains("BILLING_COUNTRY"), "{column}");
    assert!(steps.iter().all(|step| step["loss"] == Value::Null), "{plan:#}");
    cloud.run("diff").exits(2).prints("BILLING_COUNTRY");
    cloud.run("diff --format markdown").exits(2).prints("BILLING_COUNTRY");
}

pub fn all_tasks_are_started(cloud: &Cloud) {
    let shown = cloud.try_sql("SHOW TASKS IN SCHEMA {db}.SHOP_RAW").exits(0);
    let document = shown.json();
    let position = document["columns"]
        .as_array()
        .unwrap()
        .iter()
        .position(|column| column == "state")
        .unwrap();
    let states: Vec<String> = shown.rows().into_iter().map(|row| row[position].clone()).collect();
    assert_eq!(states, ["started"; 5]);
}
