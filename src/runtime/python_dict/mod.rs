//! Changes as other programs wrote them, as the records that the rest of the pipeline takes.
//!
//! Three forms are told apart by themselves:
//! * `str(event)` of python-mysql-replication: `{'schema': …, 'table': …, 'type': 'WriteRowsEvent', 'row': {…}}`;
//! * `json.dumps(event)`: the same as JSON;
//! * what AWS DMS writes: `{"data": {…}, "metadata": {…}}`
//!   (<https://docs.aws.amazon.com/dms/latest/userguide/CHAP_Target.Kinesis.html>).
//!
//! None of them says which columns are the key, so the tables' keys are given. Nor do they say when a change was made:
//! `seq` is the place in the Kinesis stream, which is their order as long as they are written to one shard, in order,
//! by one writer; the original's single partition key does that. It sorts below every record of the reader `binlog`.
//!
//! What Python does not tell stays unknown: the order of a SET's members (they are sorted), the digits of a fraction
//! (six, or none if it is zero), a zero date's day (null, and `zero` says that it was none), and a scalar in a column
//! of JSON is a value like any other.

mod call;
mod dms;
mod encode;
mod literal;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::fault::Fault;
use literal::Literal;

/// Digits of a sequence number of Kinesis; today's have 56:
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Record.html>.
const DIGITS: usize = 64;

/// Where a change comes from.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The record's number in its stream.
    pub sequence: Option<&'a str>,
    /// When it arrived there, in milliseconds since 1970.
    pub arrival: Option<&'a str>,
}

/// Reads changes. Holds the columns of the key of each table, by `schema.table`.
#[derive(Debug, Default)]
pub struct Reader {
    keys: BTreeMap<String, Vec<String>>,
}

/// A change of one row.
struct Change<'a> {
    schema: &'a str,
    table: &'a str,
    ts: String,
    before: Option<Row<'a>>,
    after: Option<Row<'a>>,
    /// Whether the row is new, if it is there afterwards.
    is_insert: bool,
}

/// A row, and what its missing values were.
#[derive(Clone, Copy)]
struct Row<'a> {
    values: &'a Literal,
    sources: Option<&'a Literal>,
}

/// A row as the record holds it.
#[derive(Default)]
struct Encoded {
    key: Vec<u8>,
    row: Vec<u8>,
    zero: Vec<u8>,
}

impl Reader {
    /// A reader for tables with these keys: `schema.table` to the columns' names.
    pub fn new(keys: BTreeMap<String, Vec<String>>) -> Self {
        Self { keys }
    }

    /// Writes the records of a change to `out`, one a line; false if it says nothing about rows.
    pub fn convert(&self, text: &str, origin: &Origin<'_>, out: &mut Vec<u8>) -> Result<bool, Fault> {
        let event = literal::parse(text)?;
        let whole = |reason| Fault { reason, offset: 0 };
        let order = origin
            .sequence
            .filter(|number| (1..=DIGITS).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit()));
        let order = order.ok_or_else(|| {
            whole("the record has no sequence number, so its order is not known: send it through a Kinesis stream")
        })?;
        let arrival = origin.arrival.and_then(|millis| millis.parse().ok());
        let arrival = encode::moment(arrival.unwrap_or_default());
        let mut lines = Lines { order, part: 0, out };
        if event.get("metadata").is_some() {
            return match dms::read(&event, arrival).map_err(whole)? {
                dms::Message::Change(change) => self.change(&change, &mut lines).map_err(whole).map(|()| true),
                dms::Message::Truncate { schema, table, ts } => {
                    lines.write("t", schema, table, &ts, &Encoded::default(), [b"null", b"null"]);
                    Ok(true)
                }
                dms::Message::Other => Ok(false),
            };
        }
        let change = change(&event, arrival).map_err(whole)?;
        self.change(&change, &mut lines).map_err(whole)?;
        Ok(true)
    }

    fn change(&self, change: &Change<'_>, lines: &mut Lines<'_>) -> Result<(), &'static str> {
        let keys = self.keys.get(&format!("{}.{}", change.schema, change.table)).ok_or(
            "the key of its table is not known: give the table in pipeline.toml, with `key = true` on a column",
        )?;
        let encode = |row: Option<Row<'_>>| row.map(|row| row.encode(keys)).transpose();
        let (before, after) = (encode(change.before)?, encode(change.after)?);
        let mut write =
            |op, encoded: &Encoded, rows| lines.write(op, change.schema, change.table, &change.ts, encoded, rows);
        match (&before, &after) {
            (Some(before), Some(after)) if before.key != after.key => {
                write("d", before, [&before.row, b"null"]);
                write("i", after, [b"null", &after.row]);
            }
            (Some(before), Some(after)) => write("u", after, [&before.row, &after.row]),
            (None, Some(after)) => write(if change.is_insert { "i" } else { "u" }, after, [b"null", &after.row]),
            (Some(before), None) => write("d", before, [&before.row, b"null"]),
            (None, None) => return Err("a change without a row"),
        }
        Ok(())
    }
}

/// A change in the words of python-mysql-replication.
fn change(event: &Literal, ts: String) -> Result<Change<'_>, &'static str> {
    const FORM: &str = "neither an event of python-mysql-replication nor a message of DMS";
    let words = |name| event.get(name).and_then(Literal::text).ok_or(FORM);
    let (schema, table, kind) = (words("schema")?, words("table")?, words("type")?);
    let row = event.get("row").ok_or(FORM)?;
    let part = |values, sources| {
        let values = row.get(values).filter(|values| matches!(values, Literal::Dict(_)));
        values.map(|values| Row {
            values,
            sources: row.get(sources),
        })
    };
    let values = part("values", "none_sources");
    let (before, after) = match kind {
        "WriteRowsEvent" => (None, values),
        "DeleteRowsEvent" => (values, None),
        "UpdateRowsEvent" => {
            let before = part("before_values", "before_none_sources");
            let after = part("after_values", "after_none_sources");
            if before.is_none() || after.is_none() {
                return Err("an UpdateRowsEvent without `before_values` or `after_values`");
            }
            (before, after)
        }
        _ => return Err("an event that is none of WriteRowsEvent, UpdateRowsEvent and DeleteRowsEvent"),
    };
    if before.is_none() && after.is_none() {
        return Err("an event without `values`");
    }
    Ok(Change {
        schema,
        table,
        ts,
        before,
        after,
        is_insert: kind == "WriteRowsEvent",
    })
}

impl Row<'_> {
    fn encode(self, keys: &[String]) -> Result<Encoded, &'static str> {
        let Literal::Dict(members) = self.values else {
            return Err("a row that is not a dict");
        };
        let mut encoded = Encoded::default();
        for (name, value) in members {
            let name = name.text().ok_or("a column whose name is not text")?;
            if name.starts_with("UNKNOWN_COL") {
                return Err("the columns have no names: set binlog_row_metadata=FULL in the database");
            }
            self.column(&mut encoded, name, value)?;
        }
        for key in keys {
            let value = self.values.get(key).ok_or("a column of the key is not in the row")?;
            if matches!(value, Literal::None) {
                return Err("a column of the key is null");
            }
            member(&mut encoded.key, key, value)?;
        }
        for object in [&mut encoded.key, &mut encoded.row, &mut encoded.zero] {
            if object.is_empty() {
                object.push(b'{');
            }
            object.push(b'}');
        }
        Ok(encoded)
    }

    /// Adds a column. `none_sources` says why a value is None:
    /// <https://github.com/julien-duponchelle/python-mysql-replication/blob/main/pymysqlreplication/constants/NONE_SOURCE.py>.
    fn column(self, encoded: &mut Encoded, name: &str, value: &Literal) -> Result<(), &'static str> {
        let source = self
            .sources
            .and_then(|sources| sources.get(name))
            .and_then(Literal::text);
        let source = source.filter(|_| matches!(value, Literal::None));
        match source {
            Some("empty set") => member(&mut encoded.row, name, &Literal::Text(String::new())),
            Some("cols bitmap") => Err("a column is not in the event: set binlog_row_image=FULL in the database"),
            Some("same with before values") => {
                Err("a column of JSON is there in part: clear PARTIAL_JSON in binlog_row_value_options of the database")
            }
            Some(range @ ("out of date range" | "out of datetime range" | "out of datetime2 range")) => {
                member(&mut encoded.zero, name, &Literal::Text(range.to_owned()))?;
                member(&mut encoded.row, name, value)
            }
            _ => member(&mut encoded.row, name, value),
        }
    }
}

/// Adds a member to an object that is not yet closed.
fn member(object: &mut Vec<u8>, name: &str, value: &Literal) -> Result<(), &'static str> {
    object.push(if object.is_empty() { b'{' } else { b',' });
    encode::text(object, name);
    object.push(b':');
    encode::column(object, value)
}

/// Where records go.
struct Lines<'a> {
    /// The sequence number of the change.
    order: &'a str,
    /// Records of the change so far.
    part: u8,
    out: &'a mut Vec<u8>,
}

impl Lines<'_> {
    /// Writes a record. Generation 0 comes before every generation of the reader `binlog`.
    fn write(&mut self, op: &str, schema: &str, table: &str, ts: &str, encoded: &Encoded, rows: [&[u8]; 2]) {
        self.part += 1;
        let Self { order, part, out } = self;
        let mut pair = |name: &str, value: &[u8]| {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(value);
        };
        pair("{\"op\":\"", op.as_bytes());
        pair("\",\"schema\":", &quoted(schema));
        pair(",\"table\":", &quoted(table));
        pair(",\"key\":", if encoded.key.is_empty() { b"null" } else { &encoded.key });
        pair(",\"seq\":\"", format!("000000-{order:0>DIGITS$}-{part}\"").as_bytes());
        pair(",\"gtid\":null,\"ts\":", &quoted(ts));
        pair(",\"before\":", rows[0]);
        pair(",\"after\":", rows[1]);
        if encoded.zero.len() > 2 {
            pair(",\"zero\":", &encoded.zero);
        }
        out.extend_from_slice(b"}\n");
    }
}

fn quoted(characters: &str) -> Vec<u8> {
    let mut out = Vec::new();
    encode::text(&mut out, characters);
    out
}
