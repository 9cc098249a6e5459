mod binlog;
mod cdc;
mod environments;
mod mutations;
mod reports;
mod secrets;
mod star;

use super::{Document, Report, parse};

/// A small file without a fault.
pub(super) const SOUND: &str = r#"version = 1

[pipeline]
name = "orders"

[aws]
account = "111122223333"
region = "eu-west-1"

[snowflake]
account = "EXAMPLEORG-EXAMPLE"

[source]
type = "files"

[[table]]
name = "INVOICE"
prefix = "invoices/"
flatten = "$.lines"
columns = [
    { name = "ID", type = "NUMBER", path = "$.id", key = true },
    { name = "PRICE", type = "NUMBER(12,2)", path = "@.price" },
]
"#;

/// The file with each of some texts replaced; every one of them must be there.
pub(super) fn changed(changes: &[(&str, &str)]) -> String {
    replaced(SOUND, changes)
}

/// A file with the first of each text replaced.
pub(super) fn replaced(file: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(file.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from:?} is not in the file");
        text.replacen(from, to, 1)
    })
}

/// What is said of a faulty file.
pub(super) fn said(text: &str) -> String {
    report(text).to_string()
}

pub(super) fn report(text: &str) -> Report {
    match parse(text, "pipeline.toml", "dev") {
        Ok(_) => panic!("no fault was found in:\n{text}"),
        Err(report) => report,
    }
}

pub(super) fn read(text: &str, env: &str) -> Document {
    parse(text, "pipeline.toml", env).unwrap_or_else(|report| panic!("{report}"))
}

/// Code and place of each fault, as short as can be.
pub(super) fn places(report: &Report) -> Vec<String> {
    let json = serde_json::to_value(report).unwrap_or_default();
    let faults = json.as_array().cloned().unwrap_or_default();
    faults
        .iter()
        .map(|fault| {
            format!(
                "{}:{} {}",
                fault["line"],
                fault["column"],
                fault["code"].as_str().unwrap_or("")
            )
        })
        .collect()
}
