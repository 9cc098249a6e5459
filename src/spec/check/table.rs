//! `[[table]]`: names, columns, types, paths, folders.

use std::collections::BTreeMap;

use crate::spec::code;
use crate::spec::cursor::Cursor;
use crate::spec::diagnostic::Fault;
use crate::spec::jsonpath::{JsonPath, Root};
use crate::spec::suggest;

use super::{mysql, name, sql_type};

/// Longest key of an S3 object.
const LONGEST_KEY: usize = 1024;

pub(super) fn check(root: &Cursor<'_>, faults: &mut Vec<Fault>) {
    let at = root.key("table");
    let tables = at.items().unwrap_or_default();
    let misspelt = root
        .entries()
        .iter()
        .any(|(key, _)| *key != "table" && suggest::nearest(key, ["table"]).is_some());
    if tables.is_empty() && !misspelt && (at.items().is_some() || !at.is_present()) {
        let hint = "add `[[table]]` with `name` and `columns`";
        faults.push(at.fault(code::TABLE, "the pipeline has no table").hint(hint));
    }
    unique(&tables, "table", faults);
    let source = root.key("source").key("type");
    let of_database = source.text() == Some("mysql");
    let by_binlog = mysql::is_binlog(&root.key("source"));
    for table in &tables {
        name::identifier(&table.key("name"), "table", faults);
        adopt(table, faults);
        if of_database {
            mysql::table(table, by_binlog, faults);
            columns(table, true, by_binlog, faults);
            adopt_needs_key(table, faults);
            continue;
        }
        mysql::none_of(table, faults);
        prefix(&table.key("prefix"), faults);
        let flattens = flatten(&table.key("flatten"), faults);
        columns(table, flattens, true, faults);
        adopt(table, faults);
    }
    if !of_database {
        nested_prefixes(&tables, faults);
    }
}

/// Snowflake folds names without quotes to upper case, so names that differ only in case are the same.
fn unique(named: &[Cursor<'_>], what: &str, faults: &mut Vec<Fault>) {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for item in named {
        let at = item.key("name");
        let Some(name) = at.text() else { continue };
        if let Some(first) = seen.get(&name.to_uppercase()) {
            let message = format!("there is already a {what} `{first}`");
            let hint = if *first == name {
                "give it another name"
            } else {
                "names that differ only in case are the same in Snowflake"
            };
            faults.push(at.fault(code::DUPLICATE, message).hint(hint));
        } else {
            seen.insert(name.to_uppercase(), name);
        }
    }
}

/// A row that has no key is told apart by the function that reads a database, and by nothing in a file or a binary log.
fn columns(table: &Cursor<'_>, has_items: bool, needs_key: bool, faults: &mut Vec<Fault>) {
    let at = table.key("columns");
    let Some(columns) = at.items() else { return };
    let name = table.key("name").text().unwrap_or("this table");
    if columns.is_empty() {
        let message = format!("`{name}` has no columns");
        faults.push(
            at.fault(code::TABLE, message)
                .hint("add `{ name = \"id\", type = \"NUMBER\", key = true }`"),
        );
    } else if needs_key && !columns.iter().any(|column| column.key("key").boolean() == Some(true)) {
        let message = format!("`{name}` has no key, so its rows cannot be merged");
        faults.push(
            at.fault(code::TABLE, message)
                .on_key()
                .hint("add `key = true` to the columns that make a row unique"),
        );
    }
    unique(&columns, "column", faults);
    former_names(&columns, has_items, faults);
    for column in &columns {
        self::column(column, has_items, faults);
    }
}

/// The columns of an adopted table are somebody's, and keep their names.
fn adopt(table: &Cursor<'_>, faults: &mut Vec<Fault>) {
    if table.key("adopt").boolean() != Some(true) {
        return;
    }
    for column in table.key("columns").items().unwrap_or_default() {
        let was = column.key("was");
        if was.is_present() {
            let message = "a column of an adopted table keeps its name";
            let hint = "remove `was`, and give the column the name that it has in the table";
            faults.push(was.fault(code::ADOPT, message).hint(hint));
        }
    }
}

/// Rows that are there already have no `_ROW`, by which rows without a key are told apart.
fn adopt_needs_key(table: &Cursor<'_>, faults: &mut Vec<Fault>) {
    let columns = table.key("columns").items().unwrap_or_default();
    if table.key("adopt").boolean() == Some(true)
        && !columns.iter().any(|column| column.key("key").boolean() == Some(true))
    {
        let message = "an adopted table needs a key, so that its rows are found again";
        let hint = "add `key = true` to the columns that tell its rows apart";
        faults.push(table.key("adopt").fault(code::ADOPT, message).hint(hint));
    }
}

/// A column takes over the values of the one it was, so that one must be gone, and no other may take them.
fn former_names(columns: &[Cursor<'_>], flattens: bool, faults: &mut Vec<Fault>) {
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    for column in columns {
        let at = column.key("was");
        let Some(was) = at.text() else { continue };
        let name = column.key("name").text().unwrap_or("this column");
        name::identifier(&at, "column", faults);
        let is_former = |other: &&Cursor<'_>| {
            let named = other.key("name");
            named.text().is_some_and(|named| named.eq_ignore_ascii_case(was))
        };
        if columns.iter().any(|other| is_former(&other)) {
            let message = format!("`{was}` is still a column of this table, so `{name}` cannot be what it was");
            faults.push(
                at.fault(code::TABLE, message)
                    .hint("remove that column, or remove `was`"),
            );
        }
        if let Some(other) = taken.insert(was.to_uppercase(), name) {
            let message = format!("`{other}` was `{was}` too, and the values can go to one column only");
            faults.push(at.fault(code::TABLE, message).hint("remove one of them"));
        }
        // Without a path the value would come from the field of the new name, silently.
        if !column.key("path").is_present() {
            let root = if flattens { '@' } else { '$' };
            let message = format!("without `path` the values of `{name}` would now come from the field `{name}`");
            let hint = format!("add `path = \"{root}.{was}\"`, or the path of the new field");
            faults.push(at.fault(code::TABLE, message).hint(hint));
        }
    }
}

fn column(column: &Cursor<'_>, flattens: bool, faults: &mut Vec<Fault>) {
    name::identifier(&column.key("name"), "column", faults);
    let is_key = column.key("key").boolean() == Some(true);
    let not_null = column.key("not_null");
    if is_key && not_null.boolean() == Some(false) {
        let message = "a key column cannot be null";
        faults.push(
            not_null
                .fault(code::TABLE, message)
                .hint("remove `not_null`; it follows from `key = true`"),
        );
    }
    data_type(&column.key("type"), is_key, faults);
    column_path(&column.key("path"), flattens, faults);
}

fn data_type(at: &Cursor<'_>, is_key: bool, faults: &mut Vec<Fault>) {
    if let Some(parsed) = sql_type(at, faults)
        && is_key
        && !parsed.is_comparable()
    {
        let message = format!("a key column cannot be of type {parsed}");
        faults.push(
            at.fault(code::SQL_TYPE, message)
                .hint("take a value out of it with `path`, and give it a plain type"),
        );
    }
}

fn column_path(at: &Cursor<'_>, flattens: bool, faults: &mut Vec<Fault>) {
    if let Some(path) = json_path(at, faults)
        && path.root == Root::Item
        && !flattens
    {
        let message = "`@` is the item of a flattened array, and this table flattens none";
        let hint = "start with `$`, or add `flatten = \"$.…\"` to the table";
        faults.push(at.fault(code::JSON_PATH, message).within(0..1).hint(hint));
    }
}

/// Whether the table flattens, also when it says so wrongly: then its columns are not to blame.
fn flatten(at: &Cursor<'_>, faults: &mut Vec<Fault>) -> bool {
    if let Some(path) = json_path(at, faults) {
        if path.root == Root::Item {
            let fault = at
                .fault(code::JSON_PATH, "`flatten` names an array of the record")
                .within(0..1);
            faults.push(fault.hint("start with `$`"));
        } else if path.steps.is_empty() {
            let fault = at.fault(code::JSON_PATH, "`$` is the whole record, not an array in it");
            faults.push(fault.hint("such as `$.lines`; without `flatten` every record is a row"));
        }
    }
    at.is_present()
}

fn json_path(at: &Cursor<'_>, faults: &mut Vec<Fault>) -> Option<JsonPath> {
    match at.text()?.parse::<JsonPath>() {
        Ok(path) => Some(path),
        Err(error) => {
            faults.push(
                at.fault(code::JSON_PATH, error.message)
                    .within(error.at)
                    .hint(error.hint),
            );
            None
        }
    }
}

fn prefix(at: &Cursor<'_>, faults: &mut Vec<Fault>) {
    let Some(prefix) = at.text() else { return };
    // The longest file name must still fit behind the folder, or no file could be put there.
    let reason = if prefix.is_empty() {
        Some((
            "a folder has a name",
            "leave out `prefix` to take every file of the bucket".to_owned(),
        ))
    } else if prefix.starts_with('/') {
        Some((
            "a folder in S3 does not start with `/`",
            format!("write `{}`", prefix.trim_start_matches('/')),
        ))
    } else if prefix.split('/').any(|part| part == ".." || part == ".") {
        Some((
            "S3 has no `.` and `..`",
            "write the whole path of the folder".to_owned(),
        ))
    } else if !prefix.ends_with('/') {
        Some(("a folder ends with `/`", format!("write `{prefix}/`")))
    } else if prefix.contains("//") {
        Some(("a folder between two `/` has a name", "write one `/`".to_owned()))
    } else if prefix == "errors/" || prefix.starts_with("errors/") {
        Some((
            "`errors/` is where rejected files go",
            "choose another folder".to_owned(),
        ))
    } else if prefix.len() > LONGEST_KEY / 2 {
        Some((
            "this folder is too long for the key of a file in it",
            format!("at most {} bytes", LONGEST_KEY / 2),
        ))
    } else if prefix
        .chars()
        .any(|c| c.is_control() || "\\{}^%`[]\"<>~#|*?'".contains(c))
    {
        Some((
            "a character of this folder is not safe in an S3 key",
            "letters, digits and `! - _ . ( ) = + @ : , & $`".to_owned(),
        ))
    } else {
        None
    };
    if let Some((message, hint)) = reason {
        faults.push(at.fault(code::PREFIX, message).hint(hint));
    }
}

/// A file in a nested folder would load through both. A table without a folder takes the whole bucket.
fn nested_prefixes(tables: &[Cursor<'_>], faults: &mut Vec<Fault>) {
    let folder = |table: &Cursor<'_>| match (table.key("prefix").is_present(), table.key("prefix").text()) {
        (true, text) => text.map(str::to_owned),
        (false, _) => Some(String::new()),
    };
    let folders: Vec<Option<String>> = tables.iter().map(folder).collect();
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (position, folder) in folders.iter().enumerate() {
        if let Some(folder) = folder {
            first.entry(folder).or_insert(position);
        }
    }
    for (inner, below) in tables.iter().zip(&folders) {
        let Some(below) = below else { continue };
        let above = below.char_indices().filter_map(|(end, _)| first.get(&below[..end]));
        let Some(outer) = above.min().and_then(|position| tables.get(*position)) else {
            continue;
        };
        let other = outer.key("name").text().unwrap_or("another table");
        let message = match outer.key("prefix").text() {
            Some(above) => format!("files in this folder are also in `{above}` of `{other}`, and would load twice"),
            None => format!("files in this folder would load twice: `{other}` has no `prefix`, so it takes every file"),
        };
        let hint = "use the same folder for both, or folders beside each other";
        faults.push(inner.key("prefix").fault(code::PREFIX, message).hint(hint));
    }
}
