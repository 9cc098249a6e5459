//! A plan that was kept: carried out as it is, or refused with what moved.

use std::fs;

use crate::cloud::{Cloud, DATABASE, Iam};

#[test]
fn a_kept_plan_is_carried_out_once_and_refused_after_a_change_by_hand() {
    let cloud = Cloud::with_pipeline(Iam::Off);
    let file = cloud.file().with_file_name("plan.json");
    let keep = format!("diff --out {}", file.display());
    let carry_out = format!("deploy --yes --plan {}", file.display());
    cloud.edit("VARCHAR(40)", "VARCHAR(50)");
    cloud.run(&keep).exits(2).prints("VARCHAR(50)");

    // Somebody changes another table by hand.
    let table = format!("{DATABASE}.SHOP.INVOICE_LINE");
    let by_hand = format!("ALTER TABLE {table} ALTER COLUMN TRACK COMMENT 'by hand'");
    cloud.try_sql(&by_hand).exits(0);
    let moved = format!("table {table} changed");
    cloud
        .run(&carry_out)
        .exits(1)
        .complains("nothing was changed")
        .complains(&moved);
    cloud.run("diff").exits(2).prints("VARCHAR(50)");

    // Made again, it fits; carried out, it fits no more.
    cloud.run(&keep).exits(2);
    cloud.run(&carry_out).exits(0).prints("done:");
    cloud.run("diff").exits(0).prints("no change");
    cloud
        .run(&carry_out)
        .exits(1)
        .complains(&format!("table {DATABASE}.SHOP.INVOICE changed"));

    // An edited plan is refused, and so is one of another environment.
    cloud.edit("VARCHAR(50)", "VARCHAR(60)");
    cloud.run(&keep).exits(2);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("VARCHAR(60)", "VARCHAR(70)")).unwrap();
    cloud.run(&carry_out).exits(1).complains("it was edited");
    fs::write(&file, text.replace("\"local\"", "\"prod\"")).unwrap();
    cloud
        .run(&carry_out)
        .exits(1)
        .complains("the plan is one of chinook-invoices/prod");
    cloud
        .run(&format!("deploy --yes --plan {}.gone", file.display()))
        .exits(1)
        .complains("diff --out FILE");
}
