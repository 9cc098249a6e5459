//! Messages of AWS DMS: <https://docs.aws.amazon.com/dms/latest/userguide/CHAP_Target.Kinesis.html>.

use super::literal::Literal;
use super::{Change, Row};

/// What a message says.
pub enum Message<'a> {
    Change(Change<'a>),
    /// Every row of the table is gone.
    Truncate {
        schema: &'a str,
        table: &'a str,
        ts: String,
    },
    /// Something about the task, or a table's columns.
    Other,
}

/// Reads a message; `arrival` is its time where it does not say.
pub fn read(message: &Literal, arrival: String) -> Result<Message<'_>, &'static str> {
    let metadata = message.get("metadata").ok_or("a message of DMS without `metadata`")?;
    let words = |name| metadata.get(name).and_then(Literal::text);
    let kind = words("record-type").ok_or("a message of DMS without `record-type`")?;
    let operation = words("operation").ok_or("a message of DMS without `operation`")?;
    let table = (words("schema-name"), words("table-name"));
    let ts = words("timestamp").map_or(arrival, str::to_owned);
    let (schema, table) = match (kind, operation, table) {
        ("data", _, (Some(schema), Some(table))) => (schema, table),
        ("data", ..) => return Err("a message of DMS without `schema-name` or `table-name`"),
        ("control", "truncate-table" | "drop-table", (Some(schema), Some(table))) => {
            return Ok(Message::Truncate { schema, table, ts });
        }
        _ => return Ok(Message::Other),
    };
    let row = |name| {
        let values = message.get(name).filter(|values| matches!(values, Literal::Dict(_)));
        values.map(|values| Row { values, sources: None })
    };
    let data = row("data").ok_or("a message of DMS without `data`")?;
    let (before, after) = match operation {
        "load" | "insert" => (None, Some(data)),
        // Without BeforeImageSettings a change of the key cannot be seen.
        "update" => (row("before-image"), Some(data)),
        "delete" => (Some(data), None),
        _ => return Err("a message of DMS with an unknown `operation`"),
    };
    Ok(Message::Change(Change {
        schema,
        table,
        ts,
        before,
        after,
        is_insert: operation != "update",
    }))
}
