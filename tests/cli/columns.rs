//! Columns of tables with rows: renamed there and back, with every value kept.

use crate::cloud::{Cloud, Iam};
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
