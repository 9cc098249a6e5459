//! A deploy while the task graph runs: it waits for the run, changes the tasks, and starts them again.

use crate::cloud::{Cloud, Iam, wait};
use crate::second_deploy::all_tasks_are_started;
use crate::with_iam_off_and_enforced;

const HISTORY: &str =
    "from table({db}.INFORMATION_SCHEMA.TASK_HISTORY(TASK_NAME => 'LOAD_INVOICE', RESULT_LIMIT => 1000)) where";

with_iam_off_and_enforced!(a_deploy_waits_for_a_running_graph);

fn a_deploy_waits_for_a_running_graph(iam: Iam) {
    let cloud = Cloud::with_pipeline(iam);
    make_the_load_slow(&cloud);
    cloud.put_the_example();
    let executing = format!("select count(*) {HISTORY} STATE = 'EXECUTING'");
    wait("a run that takes its time", std::time::Duration::from_secs(240), || {
        let count = cloud.value(&executing);
        if count == "0" { Err(count) } else { Ok(()) }
    });
    let quantity = r#"    { name = "quantity", type = "NUMBER(10,0)", path = "@.Quantity", not_null = true },"#;
    let country = r#"    { name = "billing_country", type = "VARCHAR(40)", path = "$.BillingCountry" },"#;
    cloud.edit(quantity, &format!("{quantity}\n{country}"));

    let deploy = cloud.run("deploy --yes").exits(0);

    assert!(deploy.stdout.contains("LOAD_INVOICE\n"), "{}", deploy.stdout);
    // The slow run was waited for: it takes longer than all else that the deploy does.
    let slow =
        |states: &str| format!("select count(*) {HISTORY} QUERY_TEXT like '%SYSTEM$WAIT%' and STATE in ({states})");
    assert_eq!(cloud.value(&slow("'EXECUTING', 'FAILED', 'CANCELLED'")), "0");
    assert_ne!(cloud.value(&slow("'SUCCEEDED'")), "0");
    all_tasks_are_started(&cloud);
    assert_eq!(
        cloud.value(&format!("select count(*) {HISTORY} STATE in ('FAILED', 'CANCELLED')")),
        "0"
    );
    cloud.run("diff").exits(0).prints("no change");
    let expected = cloud.expected();
    for (table, rows) in [("INVOICE", "invoices"), ("INVOICE_LINE", "lines")] {
        let rows = expected[rows].to_string();
        let key = format!("{table}_ID");
        cloud.wait_for(&format!("select count(*) from {{db}}.SHOP.{table}"), &rows);
        assert_eq!(
            cloud.value(&format!("select count(distinct {key}) from {{db}}.SHOP.{table}")),
            rows
        );
    }
    let differing = "select count(*) from {db}.SHOP.INVOICE_LINE l join {db}.SHOP.INVOICE i using (INVOICE_ID)
        where l.BILLING_COUNTRY is distinct from i.BILLING_COUNTRY";
    cloud.wait_for(differing, "0");
}

/// Every run of the task waits before it merges, so that a deploy meets it.
fn make_the_load_slow(cloud: &Cloud) {
    let shown = cloud
        .try_sql("SHOW TASKS LIKE 'LOAD_INVOICE' IN SCHEMA {db}.SHOP_RAW")
        .exits(0);
    let document = shown.json();
    let columns = document["columns"].as_array().unwrap();
    let position = columns.iter().position(|column| column == "definition").unwrap();
    let body = &shown.rows()[0][position];
    let slow = body.replacen("BEGIN\n", "BEGIN\n  SELECT SYSTEM$WAIT(8);\n", 1);
    assert_ne!(body, &slow);
    cloud.sql("ALTER TASK {db}.SHOP_RAW.LOAD SUSPEND");
    cloud.sql(&format!("ALTER TASK {{db}}.SHOP_RAW.LOAD_INVOICE MODIFY AS {slow}"));
    cloud.sql("ALTER TASK {db}.SHOP_RAW.LOAD RESUME");
}
