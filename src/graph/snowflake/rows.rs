//! The SQL that turns kept records into rows of a typed table: extraction, rejection, MERGE.

use minijinja::{Value, context};

use crate::model::{Column, Table};
use crate::snowflake::ident::{Ident, Name, literal};
use crate::snowflake::sql::{Templates, raw};
use crate::spec::jsonpath::{JsonPath, Root, Step};
use crate::spec::sqltype::SqlType;

/// A length that Snowflake itself gives to text without one.
const UNLIMITED: u32 = 16_777_216;

/// The rows of `table` in `source` (a stream, or the raw table itself).
pub fn rows(table: &Table, source: &Name, templates: &Templates) -> anyhow::Result<Value> {
    let flatten = table
        .flatten
        .as_ref()
        .map(|path| format!(",\n    LATERAL FLATTEN(INPUT => {}) AS f", expression(path)));
    let values = context! {
        columns => table.columns.iter().enumerate().map(|(position, spec)| column(position, spec)).collect::<Vec<_>>(),
        item_index => raw(if flatten.is_some() { "f.INDEX" } else { "0" }),
        item => raw(if flatten.is_some() { "f.VALUE" } else { "r.RECORD" }),
        source => raw(source),
        flatten => raw(flatten.unwrap_or_default()),
    };
    Ok(raw(templates.text("rows", values)?))
}

/// The statement that keeps rows that cannot be typed, with file, line and reason; once, however often they come.
pub fn reject(rows: &Value, rejected: &Name, templates: &Templates) -> anyhow::Result<String> {
    templates.text("reject", context! { rejected => raw(rejected), rows => rows })
}

/// The statement that merges rows by the table's key; the newest file wins, whatever order files arrive in.
pub fn merge(table: &Table, rows: &Value, target: &Name, templates: &Templates) -> anyhow::Result<String> {
    let names = |columns: &mut dyn Iterator<Item = &Column>, prefix: &str, separator: &str| -> Value {
        let list: Vec<String> = columns.map(|column| format!("{prefix}{}", column.name)).collect();
        raw(list.join(separator))
    };
    let keys = || table.columns.iter().filter(|column| column.key);
    let matched: Vec<String> = keys().map(|column| format!("t.{0} = s.{0}", column.name)).collect();
    let updated: Vec<Value> = table
        .columns
        .iter()
        .filter(|column| !column.key)
        .map(|column| raw(&column.name))
        .collect();
    let values = context! {
        table => raw(target),
        rows => rows,
        key => names(&mut keys(), "", ", "),
        match => raw(matched.join(" AND ")),
        updated => updated,
        inserted => names(&mut table.columns.iter(), "", ", "),
        values => names(&mut table.columns.iter(), "s.", ", "),
    };
    templates.text("merge", values)
}

/// A column is read once, as `_1`, `_2` …, and typed and judged by that name.
fn column(position: usize, column: &Column) -> Value {
    let json = expression(&column.path);
    let found = format!("_{}", position + 1);
    let is_json = matches!(column.data_type, SqlType::Variant | SqlType::Object | SqlType::Array);
    let value = typed(&column.data_type, &found);
    context! {
        name => raw(&column.name),
        json => raw(if is_json { json } else { format!("{json}::VARCHAR") }),
        checked => value != found && column.data_type != SqlType::Variant,
        value => raw(value),
        text => raw(if is_json { format!("{found}::VARCHAR") } else { found.clone() }),
        found => raw(found),
        required => column.not_null,
        missing => format!("{} is missing", column.name.as_str()),
        invalid => format!("{} is not {}: ", column.name.as_str(), column.data_type),
    }
}

/// What was found as its type, or NULL where it is not of the type, so that one bad record never stops a file:
/// <https://docs.snowflake.com/en/sql-reference/functions/try_cast>.
fn typed(data_type: &SqlType, found: &str) -> String {
    match data_type {
        SqlType::Varchar(length) if *length >= UNLIMITED => found.to_owned(),
        SqlType::Varchar(length) => format!("IFF(LENGTH({found}) <= {length}, {found}, NULL)"),
        SqlType::Variant => format!("IFF(IS_NULL_VALUE({found}), NULL, {found})"),
        SqlType::Object => format!("IFF(TYPEOF({found}) = 'OBJECT', {found}, NULL)::OBJECT"),
        SqlType::Array => format!("IFF(TYPEOF({found}) = 'ARRAY', {found}, NULL)::ARRAY"),
        SqlType::Binary(_) => format!("TRY_TO_BINARY({found}, 'BASE64')"),
        other => format!("TRY_CAST({found} AS {other})"),
    }
}

/// A JSON path in Snowflake's notation: <https://docs.snowflake.com/en/user-guide/querying-semistructured>.
fn expression(path: &JsonPath) -> String {
    let mut sql = match path.root {
        Root::Record => "r.RECORD".to_owned(),
        Root::Item => "f.VALUE".to_owned(),
    };
    for (position, step) in path.steps.iter().enumerate() {
        match step {
            Step::Index(index) => sql.push_str(&format!("[{index}]")),
            Step::Field(name) if position == 0 => sql.push_str(&format!(":{}", quoted(name))),
            Step::Field(name) => sql.push_str(&format!("[{}]", literal(name))),
        }
    }
    sql
}

/// Field names are case-sensitive, so they are always quoted.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The columns that every typed table has besides its own.
pub fn technical() -> [(Ident, &'static str, &'static str); 4] {
    [
        (Ident::new("_FILE"), "VARCHAR(16777216)", "File that the row came from"),
        (Ident::new("_FILE_ROW"), "NUMBER(38,0)", "Its record in that file"),
        (
            Ident::new("_FILE_MODIFIED"),
            "TIMESTAMP_NTZ(9)",
            "When that file was written",
        ),
        (Ident::new("_LOADED_AT"), "TIMESTAMP_LTZ(9)", "When the row was merged"),
    ]
}
