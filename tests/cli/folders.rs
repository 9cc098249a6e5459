//! Files in folders that no table names: nothing loads them, and `status` says so.

use std::time::Duration;

use crate::cloud::{CURATED, Cloud, Iam, RAW, wait};

#[test]
fn a_folder_that_no_table_names_is_told() {
    let cloud = Cloud::with_pipeline(Iam::Off);
    cloud.put(RAW, "invoices/good.json", "");
    for name in ["one", "two"] {
        cloud.put(
            RAW,
            &format!("typos/2026/{name}.json"),
            format!("{{\"name\": \"{name}\"}}"),
        );
    }
    wait("the copies", Duration::from_secs(240), || {
        match cloud.keys(CURATED, "data/typos/").len() {
            2 => Ok(()),
            found => Err(found.to_string()),
        }
    });
    let told = cloud.run("status --format json").exits(2).json();
    let ill: Vec<_> = told["hops"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|hop| hop["healthy"] == false)
        .collect();
    assert_eq!(ill.len(), 1, "{told:#}");
    assert_eq!(ill[0]["kind"], "folder");
    assert_eq!(ill[0]["name"], format!("s3://{CURATED}/data/typos/"));
    assert_eq!(ill[0]["state"], "2 files that nothing loads");
    cloud
        .run("status")
        .exits(2)
        .prints("; next: make the folder the prefix of a [[table]]");
}
