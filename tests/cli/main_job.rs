//! The main job: from an empty cloud to the right rows, by file, by record and by repetition.

use serde_json::{Value, json};

use crate::cloud::{CURATED, Cloud, Iam, RAW};
use crate::with_iam_off_and_enforced;

const TOTALS: &str = "select
    (select count(*) from {db}.SHOP.INVOICE), (select sum(TOTAL) from {db}.SHOP.INVOICE),
    (select count(*) from {db}.SHOP.INVOICE_LINE), (select sum(QUANTITY) from {db}.SHOP.INVOICE_LINE),
    (select sum(UNIT_PRICE * QUANTITY) from {db}.SHOP.INVOICE_LINE)";

with_iam_off_and_enforced!(files_become_rows);

fn files_become_rows(iam: Iam) {
    let cloud = Cloud::up(iam);
    cloud.run("deploy --yes").exits(0).prints("done:");
    cloud.run("status").exits(0);

    cloud.put_the_example();
    all_rows_are_there(&cloud);
    only_the_broken_file_is_an_error(&cloud);

    cloud.put_the_example();
    cloud.wait_until_quiet();
    // What comes after the second put came after it in every queue, too.
    a_wrong_record_is_set_aside_and_the_rest_arrives(&cloud);
    cloud.sql("delete from {db}.SHOP.INVOICE where INVOICE_ID > 9000");
    cloud.sql("delete from {db}.SHOP.INVOICE_LINE where INVOICE_ID > 9000");
    all_rows_are_there(&cloud);
    no_file_was_loaded_twice(&cloud);
    only_the_broken_file_is_an_error(&cloud);

    a_changed_file_updates_its_rows(&cloud);
    all_rows_are_there(&cloud);
}

/// Counts and sums are those of Chinook's SQL, to the cent and for each country.
fn all_rows_are_there(cloud: &Cloud) {
    let expected = cloud.expected();
    let totals = ["invoices", "total", "lines", "quantity", "amount"].map(|name| text(&expected[name]));
    cloud.wait_for_rows(TOTALS, &[&totals.each_ref().map(String::as_str)]);
    let mut countries: Vec<Vec<String>> = expected["per_country"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(country, row)| vec![country.clone(), text(&row["invoices"]), text(&row["total"])])
        .collect();
    countries.sort();
    let mut found = cloud.sql("select BILLING_COUNTRY, count(*), sum(TOTAL) from {db}.SHOP.INVOICE group by 1");
    found.sort();
    assert_eq!(found, countries);
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn only_the_broken_file_is_an_error(cloud: &Cloud) {
    let keys = cloud.keys(CURATED, "errors/");
    let [file, reason] = keys.as_slice() else {
        panic!("not a file and its reason: {keys:?}")
    };
    assert!(file.starts_with("errors/invoices/2025-broken.json"), "{file}");
    assert_eq!(*reason, format!("{file}.reason.json"));
    let kept = cloud.aws("s3", "get_object", json!({ "Bucket": CURATED, "Key": file }));
    let came = std::fs::read_to_string(crate::cloud::example().join("data/invoices/2025-broken.json")).unwrap();
    assert_eq!(kept["Body"], came, "the broken file is kept as it came");
    let told = cloud.aws("s3", "get_object", json!({ "Bucket": CURATED, "Key": reason }));
    let told: Value = serde_json::from_str(told["Body"].as_str().unwrap()).unwrap();
    assert!(told.to_string().contains("invoices/2025-broken.json"), "{told}");
    assert!(!told["reason"].as_str().unwrap_or_default().is_empty(), "{told}");
}

fn no_file_was_loaded_twice(cloud: &Cloud) {
    let twice = cloud
        .sql("select FILE_NAME, FILE_ROW, count(*) from {db}.SHOP_RAW.RAW_INVOICES group by 1, 2 having count(*) > 1");
    assert_eq!(twice, Vec::<Vec<String>>::new());
    let files = cloud.value("select count(distinct FILE_NAME) from {db}.SHOP_RAW.RAW_INVOICES");
    assert_eq!(files, "6", "five good files and the one with a wrong record");
}

fn invoice(number: u32, total: &str, city: &str) -> String {
    format!(
        r#"{{"InvoiceId": {number}, "InvoiceDate": "2026-01-02T03:04:05", "Customer": {{"CustomerId": 1, "City": "{city}"}}, "Total": {total}, "Lines": [{{"InvoiceLineId": {number}, "TrackId": 1, "UnitPrice": 0.99, "Quantity": 1}}]}}"#
    ) + "\n"
}

fn a_wrong_record_is_set_aside_and_the_rest_arrives(cloud: &Cloud) {
    let records = [
        invoice(9001, "1.10", "Oslo"),
        invoice(9002, "\"much\"", "Oslo"),
        invoice(9003, "3.30", "Oslo"),
    ];
    cloud.put(RAW, "invoices/wrong.json", records.concat());
    cloud.wait_for_rows(
        "select INVOICE_ID, TOTAL from {db}.SHOP.INVOICE where INVOICE_ID > 9000 order by 1",
        &[&["9001", "1.10"], &["9003", "3.30"]],
    );
    let rejected =
        cloud.sql("select FILE_NAME, FILE_ROW, REASON, RECORD:InvoiceId from {db}.SHOP_RAW.INVOICE_REJECTED");
    let [row] = rejected.as_slice() else {
        panic!("not one rejected record: {rejected:?}")
    };
    assert!(row[0].starts_with("data/invoices/wrong.json"), "{row:?}");
    assert_eq!(row[1..], ["2", "TOTAL is not NUMBER(10,2): much", "9002"]);
    // Its line is right, and is a row of another table.
    cloud.wait_for(
        "select count(*) from {db}.SHOP.INVOICE_LINE where INVOICE_ID > 9000",
        "3",
    );
}

fn a_changed_file_updates_its_rows(cloud: &Cloud) {
    let city = "select CITY from {db}.SHOP.INVOICE where INVOICE_ID = 1";
    let key = "invoices/2021.json";
    let before = std::fs::read_to_string(crate::cloud::example().join("data").join(key)).unwrap();
    let old = cloud.value(city);
    let changed = before.replacen(&format!(r#""City": "{old}""#), r#""City": "Elsewhere""#, 1);
    assert_ne!(before, changed);
    cloud.put(RAW, key, changed);
    cloud.wait_for(city, "Elsewhere");
}
