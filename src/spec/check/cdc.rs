//! Keys about changes of rows (`capture = "binlog"`): how they are loaded, what becomes of deleted rows, what is kept.

use std::collections::BTreeMap;

use crate::spec::code;
use crate::spec::cursor::Cursor;
use crate::spec::diagnostic::Fault;

use super::mysql;

/// Columns that pipectl adds to what changes are made into.
const TECHNICAL_COLUMNS: [&str; 6] = ["_SEQ", "_OP", "_TS", "_DELETED", "_RECORD", "_REASON"];

/// Whether records are changes of rows.
fn is_captured(root: &Cursor<'_>) -> bool {
    let source = root.key("source");
    source.key("type").text() == Some("mysql") && mysql::is_binlog(&source)
}

pub(super) fn check(root: &Cursor<'_>, faults: &mut Vec<Fault>) {
    let tables = root.key("table").items().unwrap_or_default();
    if !is_captured(root) {
        none(root, &tables, faults);
        return;
    }
    histories(root, &tables, faults);
    for table in &tables {
        for column in table.key("columns").items().unwrap_or_default() {
            let at = column.key("name");
            if let Some(name) = at.text()
                && TECHNICAL_COLUMNS.iter().any(|own| name.eq_ignore_ascii_case(own))
            {
                let message = format!("`{name}` is a column that pipectl adds itself");
                let hint = "choose another name; `path` says where the value comes from";
                faults.push(at.fault(code::RESERVED, message).hint(hint));
            }
        }
    }
}

/// Keys that mean nothing where no changes are captured.
fn none(root: &Cursor<'_>, tables: &[Cursor<'_>], faults: &mut Vec<Fault>) {
    let hint = match root.key("source").key("type").text() {
        Some("mysql") => "remove it, or write `capture = \"binlog\"` in `[source]`",
        _ => "remove it; changes are read from a MySQL database with `capture = \"binlog\"`",
    };
    let load = root.key("snowflake").key("load");
    if load.text() == Some("procedure") {
        let message = "a procedure loads changes of a database, and this source captures none";
        faults.push(load.fault(code::TABLE, message).hint(hint));
    }
    for at in tables
        .iter()
        .flat_map(|table| ["deletes", "history"].map(|key| table.key(key)))
    {
        if at.is_present() {
            let message = "this is of tables whose changes are captured, deletes among them";
            faults.push(at.fault(code::TABLE, message).on_key().hint(hint));
        }
    }
}

/// A history is a table beside the others.
fn histories(root: &Cursor<'_>, tables: &[Cursor<'_>], faults: &mut Vec<Fault>) {
    let mut named: BTreeMap<String, &'static str> = BTreeMap::new();
    for (key, what) in [("table", "table"), ("dimension", "dimension"), ("fact", "fact")] {
        for item in root.key(key).items().unwrap_or_default() {
            if let Some(name) = item.key("name").text() {
                named.entry(name.to_uppercase()).or_insert(what);
            }
        }
    }
    for table in tables {
        let at = table.key("history");
        let Some(name) = table.key("name").text().filter(|_| at.boolean() == Some(true)) else {
            continue;
        };
        if let Some(what) = named.get(&format!("{}_HISTORY", name.to_uppercase())) {
            let message =
                format!("the history of `{name}` would be `{name}_HISTORY`, and there is a {what} of that name");
            faults.push(
                at.fault(code::DUPLICATE, message)
                    .hint("give one of the two another name"),
            );
        }
    }
}
