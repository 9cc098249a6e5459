//! A table as it is, chunk by chunk along its key, while others write to it.
//!
//! The position of the binlog is noted before a chunk is read, and the chunk's rows carry it as their `seq`. So that
//! they hold at least what was logged up to there, a locking read of the chunk's keys goes before: it waits for every
//! transaction that is logged but not yet committed on these rows, and lets go of them when it ends. What a chunk holds
//! of later changes is overwritten by their own events, which the service reads afterwards.

use anyhow::{Context as _, bail};
use serde_json::Value as Json;

use super::checkpoint::{Snapshot, now};
use super::reader::{Position, emptied, file_number};
use super::sending::Sending;
use super::{key, server};
use crate::runtime::extract::encode::{Encoded, Plan, clock, date, text};
use crate::runtime::extract::record::{Reading, fnv, padded, spread_by};
use crate::runtime::extract::statement::{Edge, Select};
use crate::runtime::extract::table::Table;
use crate::runtime::mysql::{Connection, Value};

/// `seq` of what was there at a position.
pub fn seq(generation: u32, position: &Position) -> anyhow::Result<String> {
    let number = file_number(&position.file)
        .with_context(|| format!("the binlog's file name `{}` does not end in a number", position.file))?;
    let mut out = Vec::new();
    for (number, digits) in [(u64::from(generation), 6), (number, 10), (position.offset, 20)] {
        padded(&mut out, number, digits);
        out.push(b'-');
    }
    padded(&mut out, 0, 8);
    Ok(String::from_utf8(out)?)
}

/// The time of now, as records show it.
fn ts() -> Vec<u8> {
    let at = Reading(now()).moment();
    let mut out = Vec::new();
    date(&mut out, at);
    out.push(b'T');
    clock(&mut out, at, 6);
    out.push(b'Z');
    out
}

/// Reads the chunk behind `snapshot.after` and sends it. True when it was the last; the record that ends the snapshot
/// is sent then too.
pub async fn chunk(
    connection: &mut Connection,
    sending: &mut Sending<'_>,
    generation: u32,
    table: &Table,
    snapshot: &mut Snapshot,
    rows: u64,
) -> anyhow::Result<bool> {
    if table.key.is_empty() {
        bail!(key::absent());
    }
    let position = server::position(connection).await?;
    let seq = seq(generation, &position)?;
    let after: Option<Vec<Value>> = snapshot.after.as_ref().map(|after| after.iter().map(value).collect());
    let (mut locking, values) = Select {
        columns: &table.key,
        after: after.clone().map(|after| (after, Edge::Excluded)),
        rows: Some(rows),
        ..Select::all(table, &table.key)
    }
    .build();
    locking.push_str(" LOCK IN SHARE MODE");
    let mut keys = connection.query(&locking, &values).await?;
    let plan = Plan::new(&keys.columns, |_| false);
    let (mut count, mut last) = (0, None);
    let all: Vec<usize> = (0..table.key.len()).collect();
    while let Some(packet) = keys.next().await? {
        count += 1;
        if count == rows {
            last = plan.values(packet, &all)?.into_iter().collect::<Option<Vec<Value>>>();
        }
    }
    let finished = last.is_none();
    let (statement, values) = Select {
        after: after.map(|after| (after, Edge::Excluded)),
        last: last.clone(),
        ..Select::all(table, &table.key)
    }
    .build();
    let mut found = connection.query(&statement, &values).await?;
    let is_json = |name: &str| {
        table
            .fields
            .iter()
            .any(|field| field.name == name && field.checked_json)
    };
    let plan = Plan::new(&found.columns, is_json);
    let (mut row, mut line, title) = (Encoded::default(), Vec::new(), table.title());
    while let Some(packet) = found.next().await? {
        plan.encode(packet, &mut row, None)?;
        let spread = record(&mut line, table, &plan, &row, &seq);
        sending.push(&title, &seq, &spread, &line).await?;
    }
    if finished {
        let (line, spread) = emptied(&table.schema, &table.name, &snapshot.seq, b"null", &ts());
        sending.push(&title, &snapshot.seq, &spread, &line).await?;
    }
    sending.finish().await?;
    snapshot.after = last.map(|last| last.iter().map(json).collect());
    Ok(finished)
}

/// Writes the record of a row and gives what spreads it.
fn record(line: &mut Vec<u8>, table: &Table, plan: &Plan, row: &Encoded, seq: &str) -> String {
    line.clear();
    line.extend_from_slice(b"{\"op\":\"i\",\"schema\":");
    text(line, table.schema.as_bytes());
    line.extend_from_slice(b",\"table\":");
    text(line, table.name.as_bytes());
    line.extend_from_slice(b",\"key\":");
    let start = line.len();
    for (index, column) in table.key.iter().enumerate() {
        line.push(if index == 0 { b'{' } else { b',' });
        line.extend_from_slice(plan.label(*column));
        line.extend_from_slice(&row.after[row.spans[*column].clone()]);
    }
    line.push(b'}');
    let mut spread = String::new();
    spread_by(&mut spread, fnv(&line[start..]));
    line.extend_from_slice(b",\"seq\":\"");
    line.extend_from_slice(seq.as_bytes());
    line.extend_from_slice(b"\",\"gtid\":null,\"ts\":\"");
    line.extend_from_slice(&ts());
    line.extend_from_slice(b"\",\"before\":null,\"after\":");
    line.extend_from_slice(&row.after);
    if !row.zero.is_empty() {
        line.extend_from_slice(b",\"zero\":{");
        line.extend_from_slice(&row.zero);
        line.push(b'}');
    }
    line.extend_from_slice(b"}\n");
    spread
}

/// A key's value as the checkpoint keeps it. Bytes are told from text by being in an object.
fn json(value: &Value) -> Json {
    match value {
        Value::Signed(number) => (*number).into(),
        Value::Unsigned(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
        Value::Bytes(bytes) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            serde_json::json!({ "hex": hex })
        }
    }
}

fn value(json: &Json) -> Value {
    if let Some(number) = json.as_u64() {
        return Value::Unsigned(number);
    }
    if let Some(number) = json.as_i64() {
        return Value::Signed(number);
    }
    if let Some(hex) = json["hex"].as_str() {
        let byte = |at: usize| hex.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
        return Value::Bytes((0..hex.len()).step_by(2).filter_map(byte).collect());
    }
    Value::Text(json.as_str().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_from_the_checkpoint() {
        for key in [
            Value::Signed(-1),
            Value::Unsigned(u64::MAX),
            "a".into(),
            Value::Bytes(vec![0, 255]),
        ] {
            assert_eq!(value(&json(&key)), key);
        }
    }

    #[test]
    fn seqs_sort_as_positions_do() {
        let at = |generation, file: &str, offset| {
            let file = file.to_owned();
            seq(generation, &Position { file, offset }).unwrap()
        };
        assert_eq!(
            at(1, "b.000007", 154),
            "000001-0000000007-00000000000000000154-00000000"
        );
        assert!(at(1, "b.999999", 9) < at(1, "b.1000000", 4) && at(1, "b.1000000", 4) < at(2, "b.000001", 4));
    }
}
