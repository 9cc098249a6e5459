//! The SQL that turns kept records into rows of a typed table: extraction, rejection, MERGE.

use minijinja::{Value, context};

use crate::model::{Column, Origin, Table};
use crate::snowflake::ident::{Ident, Name, literal};
use crate::snowflake::sql::{Templates, raw};
use crate::spec::jsonpath::{JsonPath, Root, Step};
use crate::spec::sqltype::SqlType;

/// A length that Snowflake itself gives to text without one.
const UNLIMITED: u32 = 16_777_216;

/// The rows of `table` in `source`: a stream, the raw table itself, or what either is put in for later.
pub fn rows(table: &Table, source: &str, templates: &Templates) -> anyhow::Result<String> {
    let flatten = match &table.origin {
        Origin::File { flatten: Some(path) } => Some(expression(&table.origin, path)),
        _ => None,
    };
    let columns = table.columns.iter().enumerate();
    let columns = columns.map(|(position, spec)| {
        column(
            position,
            spec,
            &expression(&table.origin, &spec.path),
            spec.not_null,
            "",
        )
    });
    let carried = of_record(table)
        .iter()
        .map(|carried| (carried.name, carried.json))
        .collect::<Vec<_>>();
    let reading = Reading {
        columns: columns.collect(),
        carried: &carried,
        reasons: &[],
        item: flatten.as_ref().map_or(RECORD, |_| ("f.INDEX", "f.VALUE")),
        from: match flatten {
            Some(path) => format!("{source} AS r,\n  LATERAL FLATTEN(INPUT => {path}) AS f"),
            None => format!("{source} AS r"),
        },
    };
    reading.select(templates)
}

/// Place and value of a row that is a whole record.
pub(super) const RECORD: (&str, &str) = ("0", "r.RECORD");

/// A query that gives typed rows, with the reason why one is none.
pub(super) struct Reading<'a> {
    /// What [`column`] gives.
    pub columns: Vec<Value>,
    /// Name and place of what is carried over besides the columns.
    pub carried: &'a [(&'static str, &'static str)],
    /// Conditions on what is carried with why they make a row none, as what follows WHEN.
    pub reasons: &'a [&'static str],
    /// Place and value of the row in its record.
    pub item: (&'static str, &'static str),
    /// What gives records, as `r`.
    pub from: String,
}

impl Reading<'_> {
    /// The query.
    pub fn select(self, templates: &Templates) -> anyhow::Result<String> {
        let carried = self.carried.iter();
        let carried = carried.map(|(name, json)| context! { name => raw(name), json => raw(json) });
        let values = context! {
            columns => self.columns,
            carried => carried.collect::<Vec<_>>(),
            reasons => self.reasons.iter().map(raw).collect::<Vec<_>>(),
            item_index => raw(self.item.0),
            item => raw(self.item.1),
            from => raw(self.from),
        };
        templates.text("rows", values)
    }
}

/// The statement that keeps rows that cannot be typed, with file, line and reason; once, however often they come.
pub fn reject(rows: &Value, rejected: &Name, templates: &Templates) -> anyhow::Result<String> {
    templates.text("reject", context! { rejected => raw(rejected), rows => rows })
}

/// The statement that merges rows by the table's key; the newest reading or file wins, whatever order files arrive in.
pub fn merge(table: &Table, rows: &Value, target: &Name, templates: &Templates) -> anyhow::Result<String> {
    let names = |columns: &mut dyn Iterator<Item = &Column>, prefix: &str, separator: &str| -> Value {
        let list: Vec<String> = columns.map(|column| format!("{prefix}{}", column.name)).collect();
        raw(list.join(separator))
    };
    let carried = of_record(table);
    let keys: Vec<String> = key(table).iter().map(ToString::to_string).collect();
    let matched: Vec<String> = keys.iter().map(|key| format!("t.{key} = s.{key}")).collect();
    let updated: Vec<Value> = table
        .columns
        .iter()
        .filter(|column| !column.key)
        .map(|column| raw(&column.name))
        .collect();
    let values = context! {
        table => raw(target),
        rows => rows,
        key => raw(keys.join(", ")),
        sequenced => matches!(table.origin, Origin::Mysql(_)),
        carried => carried.iter().map(|carried| raw(carried.name)).collect::<Vec<_>>(),
        match => raw(matched.join(" AND ")),
        // Rows that an adopted table had before came from no file and no reading, so any is newer.
        adopted => table.adopt,
        updated => updated,
        inserted => names(&mut table.columns.iter(), "", ", "),
        values => names(&mut table.columns.iter(), "s.", ", "),
    };
    templates.text("merge", values)
}

/// A column is read once, as `_1`, `_2` …, and typed and judged by that name. `json` is where its value lies; it is judged
/// where `guard`, a condition followed by AND, holds.
pub(super) fn column(position: usize, column: &Column, json: &str, required: bool, guard: &'static str) -> Value {
    let found = format!("_{}", position + 1);
    let is_json = matches!(column.data_type, SqlType::Variant | SqlType::Object | SqlType::Array);
    let value = typed(&column.data_type, &found);
    context! {
        name => raw(&column.name),
        json => raw(if is_json { json.to_owned() } else { format!("{json}::VARCHAR") }),
        checked => value != found && column.data_type != SqlType::Variant,
        value => raw(value),
        text => raw(if is_json { format!("{found}::VARCHAR") } else { found.clone() }),
        found => raw(found),
        required => required,
        guard => raw(guard),
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
fn expression(origin: &Origin, path: &JsonPath) -> String {
    match (path.root, origin) {
        (Root::Record, _) => below("r.RECORD", 0, &path.steps),
        (Root::Item, Origin::File { .. }) => below("f.VALUE", 0, &path.steps),
        (Root::Item, Origin::Mysql(_)) => below("r.RECORD:\"after\"", 1, &path.steps),
    }
}

/// What these steps lead to from a place so many steps below a column.
pub(super) fn below(place: &str, depth: usize, steps: &[Step]) -> String {
    let mut sql = place.to_owned();
    for (position, step) in (depth..).zip(steps) {
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

/// What a row carries over from its record besides its columns.
struct Carried {
    name: &'static str,
    json: &'static str,
    about: &'static str,
}

/// Tells rows apart that have no key.
const ROW: &str = "_ROW";
/// Name and place of what orders the changes of a row.
pub(super) const SEQUENCE: (&str, &str) = ("_SEQ", "r.RECORD:\"seq\"::VARCHAR");

fn of_record(table: &Table) -> Vec<Carried> {
    let sequence = Carried {
        name: SEQUENCE.0,
        json: SEQUENCE.1,
        about: "The reading that the row is of; a later one is larger",
    };
    let row = Carried {
        name: ROW,
        json: "r.RECORD:\"key\"['_row']::VARCHAR",
        about: "Hash of the row's values, and the how manieth of equal rows it is",
    };
    match &table.origin {
        Origin::File { .. } => vec![],
        Origin::Mysql(_) if table.is_keyless() => vec![sequence, row],
        Origin::Mysql(_) => vec![sequence],
    }
}

/// The columns that the typed table has besides its own: name, type, meaning. Those of [`key`] are never NULL.
pub fn technical(table: &Table) -> Vec<(Ident, &'static str, &'static str)> {
    let carried = of_record(table).into_iter();
    let carried = carried.map(|carried| (Ident::new(carried.name), "VARCHAR(16777216)", carried.about));
    let of_file = [
        (Ident::new("_FILE"), "VARCHAR(16777216)", "File that the row came from"),
        (Ident::new("_FILE_ROW"), "NUMBER(38,0)", "Its record in that file"),
        (
            Ident::new("_FILE_MODIFIED"),
            "TIMESTAMP_NTZ(9)",
            "When that file was written",
        ),
        (Ident::new("_LOADED_AT"), "TIMESTAMP_LTZ(9)", "When the row was merged"),
    ];
    carried.chain(of_file).collect()
}

/// The columns of the primary key.
pub fn key(table: &Table) -> Vec<Ident> {
    match table.is_keyless() {
        true => vec![Ident::new(ROW)],
        false => table
            .columns
            .iter()
            .filter(|column| column.key)
            .map(|column| column.name.clone())
            .collect(),
    }
}
