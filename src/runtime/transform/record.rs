//! What a record must have, and which table it is of.

use std::borrow::Cow;
use std::ops::Range;

use super::scan::{Found, Kind, Scan};
use crate::runtime::fault::Fault;

/// Bytes of `<schema>.<table>`, which becomes part of an object's key: S3 takes 1,024 bytes of key, and the date and
/// Firehose's own name of the file need 200.
const FOLDER: usize = 512;

/// Characters of a `seq`.
const SEQ: usize = 200;

/// A record's place in a text, and its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    /// Schema and table as JSON strings without their quotes.
    pub schema: &'a str,
    pub table: &'a str,
    pub span: Range<usize>,
}

/// The members that a record is judged by.
#[derive(Default)]
struct Members {
    op: Option<Found>,
    schema: Option<Found>,
    table: Option<Found>,
    key: Option<Found>,
    seq: Option<Found>,
    ts: Option<Found>,
    before: Option<Found>,
    after: Option<Found>,
}

/// What the records of one table begin with, behind their `op`, when a reader of pipectl's wrote them.
#[derive(Default)]
pub struct Front {
    /// `","schema":"…","table":"…","key":`
    text: String,
    /// Where in it schema and table are.
    schema: Range<usize>,
    table: Range<usize>,
}

/// Reads the next record of a text: an object with `op`, `schema`, `table`, `key`, `seq`, `ts`, `before` and `after`.
/// `front` is kept from one record to the next.
pub fn read<'a>(text: &'a str, scan: &mut Scan<'a>, front: &mut Front) -> Result<Record<'a>, Fault> {
    if scan.peek() != Some(b'{') {
        return Err(scan.fault("the record is not a JSON object"));
    }
    let start = scan.at();
    if let Some(record) = usual(text, scan, front) {
        return Ok(record);
    }
    scan.back(start);
    any(text, scan)
}

/// Reads a record whose members stand in the order in which pipectl's readers write them, without blanks. `None` for
/// every other, good or bad.
#[inline]
fn usual<'a>(text: &'a str, scan: &mut Scan<'a>, front: &mut Front) -> Option<Record<'a>> {
    let start = scan.at();
    if !scan.literal(b"{\"op\":\"") {
        return None;
    }
    let op = text.get(scan.at()..=scan.at())?;
    scan.back(scan.at() + 1);
    let at = scan.at();
    if front.text.is_empty() || !scan.literal(front.text.as_bytes()) {
        *front = self::front(text, scan)?;
    }
    let key = scan.value().ok()?.kind;
    if !scan.literal(b",\"seq\":\"") || !is_seq(text.get(scan.unescaped()?)?) {
        return None;
    }
    if scan.literal(b",\"gtid\":") {
        scan.value().ok()?;
    }
    if !scan.literal(b",\"ts\":") || scan.value().ok()?.kind != Kind::Text || !scan.literal(b",\"before\":") {
        return None;
    }
    let before = scan.value().ok()?.kind;
    if !scan.literal(b",\"after\":") {
        return None;
    }
    let after = scan.value().ok()?.kind;
    if scan.literal(b",\"zero\":") {
        scan.value().ok()?;
    }
    if !scan.literal(b"}") || rows_fault(op, Some(key), Some(before), Some(after)).is_some() {
        return None;
    }
    let within = |range: &Range<usize>| text.get(at + range.start..at + range.end);
    Some(Record {
        schema: within(&front.schema)?,
        table: within(&front.table)?,
        span: start..scan.at(),
    })
}

/// Reads what stands between the `op` and the key.
fn front(text: &str, scan: &mut Scan<'_>) -> Option<Front> {
    let start = scan.at();
    if !scan.literal(b"\",\"schema\":\"") {
        return None;
    }
    let schema = scan.unescaped()?;
    if !scan.literal(b",\"table\":\"") {
        return None;
    }
    let table = scan.unescaped()?;
    let are_fit = names_fit(text.get(schema.clone())?, text.get(table.clone())?);
    if !are_fit || !scan.literal(b",\"key\":") {
        return None;
    }
    let within = |range: Range<usize>| range.start - start..range.end - start;
    Some(Front {
        text: text.get(start..scan.at())?.to_owned(),
        schema: within(schema),
        table: within(table),
    })
}

/// Reads a record with its members in any order.
fn any<'a>(text: &'a str, scan: &mut Scan<'a>) -> Result<Record<'a>, Fault> {
    let start = scan.at();
    let mut members = Members::default();
    scan.members(|scan, name| {
        let at = scan.at();
        let found = scan.value()?;
        let place = match plain(text.get(name).unwrap_or_default()).as_ref() {
            "op" => &mut members.op,
            "schema" => &mut members.schema,
            "table" => &mut members.table,
            "key" => &mut members.key,
            "seq" => &mut members.seq,
            "ts" => &mut members.ts,
            "before" => &mut members.before,
            "after" => &mut members.after,
            _ => return Ok(()),
        };
        // Readers disagree on which of two counts.
        if place.replace(found).is_some() {
            return Err(Fault {
                reason: "the record has a member twice",
                offset: at,
            });
        }
        Ok(())
    })?;
    let span = start..scan.at();
    members.check(text, span)
}

impl Members {
    fn check(self, text: &str, span: Range<usize>) -> Result<Record<'_>, Fault> {
        let fault = |reason| Fault {
            reason,
            offset: span.start,
        };
        let words = |found: Option<&Found>| {
            let found = found.filter(|found| found.kind == Kind::Text)?;
            text.get(found.span.clone())
        };
        let op = words(self.op.as_ref()).ok_or_else(|| fault("`op` is missing or not a string"))?;
        let schema = words(self.schema.as_ref()).ok_or_else(|| fault("`schema` is missing or not a string"))?;
        let table = words(self.table.as_ref()).ok_or_else(|| fault("`table` is missing or not a string"))?;
        let seq = words(self.seq.as_ref()).ok_or_else(|| fault("`seq` is missing or not a string"))?;
        words(self.ts.as_ref()).ok_or_else(|| fault("`ts` is missing or not a string"))?;
        if !names_fit(schema, table) {
            return Err(fault(
                "`schema` or `table` is empty, too long, or holds a control character",
            ));
        }
        if !is_seq(seq) {
            return Err(fault(
                "`seq` is empty, too long, or holds other than letters, digits and `-_.:`",
            ));
        }
        let kind = |found: &Option<Found>| found.as_ref().map(|found| found.kind);
        let (key, before, after) = (kind(&self.key), kind(&self.before), kind(&self.after));
        match rows_fault(op, key, before, after) {
            Some(reason) => Err(fault(reason)),
            None => Ok(Record { schema, table, span }),
        }
    }
}

/// Whether `seq` is one.
#[inline]
fn is_seq(seq: &str) -> bool {
    const ALLOWED: [bool; 256] = {
        let (mut allowed, mut byte) = ([false; 256], 0);
        while byte < 256 {
            allowed[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'_' | b'.' | b':');
            byte += 1;
        }
        allowed
    };
    (1..=SEQ).contains(&seq.len()) && seq.bytes().fold(true, |all, byte| all & ALLOWED[usize::from(byte)])
}

/// What is wrong with a record's key and rows.
#[inline]
fn rows_fault(op: &str, key: Option<Kind>, before: Option<Kind>, after: Option<Kind>) -> Option<&'static str> {
    let is_row = |kind| matches!(kind, Some(Kind::Null | Kind::Object));
    if !is_row(before) || !is_row(after) {
        return Some("`before` or `after` is missing, or neither an object nor null");
    }
    match op {
        "t" if (key, before, after) == (Some(Kind::Null), Some(Kind::Null), Some(Kind::Null)) => None,
        "t" => Some("a record with `op` `t` has a key or a row"),
        "i" | "u" | "d" if key != Some(Kind::Object) => Some("`key` is missing or not an object"),
        "i" | "u" if after == Some(Kind::Null) => Some("`after` is null, but the row is not deleted"),
        "d" if after != Some(Kind::Null) => Some("`after` is not null, but the row is deleted"),
        "i" | "u" | "d" => None,
        _ => Some("`op` is none of `i`, `u`, `d` and `t`"),
    }
}

/// Whether schema and table, as they stand in JSON strings, can name a folder.
fn names_fit(schema: &str, table: &str) -> bool {
    fits(schema) && fits(table) && schema.len() + table.len() < FOLDER
}

/// What a JSON string says, as far as it says anything.
fn plain(text: &str) -> Cow<'_, str> {
    let said = text
        .contains('\\')
        .then(|| serde_json::from_str(&format!("\"{text}\"")));
    said.and_then(Result::ok).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Whether a JSON string can be part of an object's key. MySQL's names hold no control characters either
/// (<https://dev.mysql.com/doc/refman/8.4/en/identifiers.html>).
fn fits(name: &str) -> bool {
    let is_fit = |name: &str| !name.is_empty() && !name.contains(char::is_control);
    match name.contains('\\') {
        // Not every text between quotes is one: the fast pass leaves that to this.
        true => serde_json::from_str::<String>(&format!("\"{name}\"")).is_ok_and(|name| is_fit(&name)),
        false => is_fit(name),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn good() -> Value {
        json!({"op": "u", "schema": "shop", "table": "orders", "key": {"id": 7}, "seq": "000001-42", "gtid": null,
            "ts": "2026-11-21T09:00:00.000000Z", "before": null, "after": {"id": 7}})
    }

    fn verdict(record: &Value) -> Result<String, &'static str> {
        let text = record.to_string();
        let record = read(&text, &mut Scan::new(&text), &mut Front::default()).map_err(|fault| fault.reason)?;
        Ok(format!("{}.{}", record.schema, record.table))
    }

    #[test]
    fn a_record_tells_its_table() {
        assert_eq!(verdict(&good()), Ok("shop.orders".into()));
        let truncated = json!({"op": "t", "schema": "shop", "table": "orders", "key": null, "seq": "1", "ts": "x",
            "before": null, "after": null});
        assert_eq!(verdict(&truncated), Ok("shop.orders".into()));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (member, wrong, reason) in [
            ("op", json!("x"), "`op`"),
            ("op", json!(null), "`op`"),
            ("op", json!("d"), "deleted"),
            ("op", json!("t"), "`t`"),
            ("schema", json!(""), "`schema`"),
            ("table", json!("a\nb"), "`table`"),
            ("table", json!("x".repeat(600)), "too long"),
            ("table", json!(7), "`table`"),
            ("key", json!(null), "`key`"),
            ("key", json!([7]), "`key`"),
            ("seq", json!(""), "`seq`"),
            ("seq", json!("a b"), "`seq`"),
            ("seq", json!(12), "`seq`"),
            ("ts", json!(null), "`ts`"),
            ("before", json!("row"), "`before`"),
            ("after", json!(null), "`after`"),
        ] {
            let mut record = good();
            record[member] = wrong;
            let found = verdict(&record).unwrap_err();
            assert!(found.contains(reason), "{member}: {found}");
        }
        for member in ["op", "schema", "table", "key", "seq", "ts", "before", "after"] {
            let mut record = good();
            record.as_object_mut().unwrap().remove(member);
            assert!(
                verdict(&record).unwrap_err().contains(&format!("`{member}`")),
                "{member}"
            );
        }
    }

    #[test]
    fn a_member_may_not_come_twice() {
        let text = good().to_string().replacen('{', "{\"op\":\"d\",", 1);
        let fault = read(&text, &mut Scan::new(&text), &mut Front::default()).unwrap_err();
        assert_eq!(fault.reason, "the record has a member twice");
    }
}
