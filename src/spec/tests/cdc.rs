//! Keys about changes of rows: where they belong, and what they exclude.

use super::{read, report};
use crate::spec::types::{Deletes, Load};

const CHANGES: &str = r#"version = 1

[pipeline]
name = "people"

[aws]
account = "111122223333"
region = "eu-west-1"

[snowflake]
account = "EXAMPLEORG-EXAMPLE"
load = "procedure"

[source]
type = "mysql"
capture = "binlog"
format = "python-dict"

[[table]]
name = "PERSONS"
from = "app.Persons"
deletes = "flag"
history = true
columns = [{ name = "ID", type = "NUMBER", key = true }]
"#;

/// Line, code and hint of each fault.
fn faults(text: &str) -> Vec<String> {
    let json = serde_json::to_value(report(text)).unwrap();
    let faults = json.as_array().unwrap().iter();
    let told = faults.map(|fault| {
        let line = fault["line"].as_u64().unwrap() as usize;
        let line = text.lines().nth(line - 1).unwrap().trim();
        format!(
            "{} {line}: {}",
            fault["code"].as_str().unwrap(),
            fault["hint"].as_str().unwrap()
        )
    });
    told.collect()
}

#[test]
fn changes_are_loaded_as_the_file_says() {
    let spec = read(CHANGES, "dev").spec;
    assert_eq!(spec.snowflake.map(|snowflake| snowflake.load), Some(Load::Procedure));
    assert_eq!((spec.tables[0].deletes, spec.tables[0].history), (Deletes::Flag, true));
    let plain = CHANGES
        .replace("load = \"procedure\"\n", "")
        .replace("deletes = \"flag\"\nhistory = true\n", "");
    let spec = read(&plain, "dev").spec;
    assert_eq!(spec.snowflake.map(|snowflake| snowflake.load), Some(Load::Snowpipe));
    assert_eq!(
        (spec.tables[0].deletes, spec.tables[0].history),
        (Deletes::Delete, false)
    );
}

#[test]
fn without_captured_changes_there_is_nothing_to_say_about_them() {
    let text = CHANGES.replace(
        "capture = \"binlog\"\nformat = \"python-dict\"\n",
        "database = { host = \"db.example.com\", secret = \"secretsmanager:reader\" }\n",
    );
    let text = text.replace("from = \"app.Persons\"", "from = \"app.Persons\"\nwatermark = \"ID\"");
    let hint = "remove it, or write `capture = \"binlog\"` in `[source]`";
    assert_eq!(
        faults(&text),
        [
            format!("E0211 load = \"procedure\": {hint}"),
            format!("E0211 deletes = \"flag\": {hint}"),
            format!("E0211 history = true: {hint}"),
        ]
    );
}

#[test]
fn a_history_is_a_table_beside_the_others() {
    let text = CHANGES.to_owned()
        + "\n[[table]]\nname = \"persons_history\"\nfrom = \"app.Other\"\ncolumns = [{ name = \"_deleted\", type = \"NUMBER\", key = true }]\n";
    assert_eq!(
        faults(&text),
        [
            "E0202 history = true: give one of the two another name",
            "E0203 columns = [{ name = \"_deleted\", type = \"NUMBER\", key = true }]: choose another name; `path` says where the value comes from",
        ]
    );
}
