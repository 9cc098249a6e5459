//! Rows of both sides, matched by key.

use std::collections::BTreeMap;

use serde_json::Value;

use super::sums::same_number;
use super::text::Way;
use super::{Compared, Difference, Kind};
use crate::snowflake::client::{ResultSet, Values};

/// Texts of a key's columns.
type Key = Vec<Option<String>>;

/// A row of either side.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its key.
    pub key: Key,
    /// What is compared of each column; `None` is NULL.
    pub cells: Vec<Option<String>>,
    /// Its watermark, which only the source tells.
    pub watermark: Vec<Value>,
}

/// What a part of a table came to.
#[derive(Debug, Clone, Default)]
pub struct Found {
    pub missing: u64,
    pub extra: u64,
    pub different: u64,
    pub unread: u64,
    /// Whether a later look may find less: rows that may be on the way.
    pub is_open: bool,
    /// The first differences.
    pub keys: Vec<Difference>,
}

/// How far the source was read, and what is older than anything on the way.
#[derive(Debug, Clone, Default)]
pub struct Frontier {
    /// The watermark.
    pub read: Vec<Value>,
    /// A watermark up to which rows must have arrived.
    pub settled: Option<Value>,
    /// Whether deletes are on their way, too.
    pub sees_deletes: bool,
}

impl Row {
    /// The rows of an answer of the function.
    pub fn of_source(answer: &Value, columns: &[Compared]) -> Vec<Self> {
        let text = |value: &Value| match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let row = |row: &Value| Row {
            key: list(&row["key"]).iter().map(text).collect(),
            cells: list(&row["columns"])
                .iter()
                .zip(columns)
                .map(|(cell, column)| match column.way {
                    Way::Nulls(_) => text(cell).map(|_| "*".to_owned()),
                    _ => text(cell),
                })
                .collect(),
            watermark: list(&row["watermark"]),
        };
        list(&answer["keys"]).iter().map(row).collect()
    }

    /// The rows of an answer of the warehouse, whose first columns are the key.
    pub fn of_warehouse(answer: &ResultSet, key: usize) -> Vec<Self> {
        let row = |values: Values<'_>| {
            let mut values = values.iter().map(|value| value.map(str::to_owned));
            Row {
                key: values.by_ref().take(key).collect(),
                cells: values.collect(),
                watermark: Vec::new(),
            }
        };
        answer.rows.iter().map(row).collect()
    }

    fn differing(&self, other: &Self, columns: &[Compared]) -> Vec<String> {
        let pairs = self.cells.iter().zip(&other.cells).zip(columns);
        let is_other = |one: &Option<String>, another: &Option<String>, way: &Way| match (one, another, way) {
            (Some(one), Some(another), Way::Number(_)) => match (one.parse(), another.parse()) {
                (Ok(one), Ok(another)) => !same_number(one, another),
                _ => one != another,
            },
            _ => one != another,
        };
        pairs
            .filter(|((one, another), column)| is_other(one, another, &column.way))
            .map(|(_, column)| column.name.as_str().to_owned())
            .collect()
    }
}

impl Frontier {
    fn is_unread(&self, row: &Row) -> bool {
        !self.read.is_empty() && is_after(&row.watermark, &self.read)
    }

    fn is_settled(&self, row: &Row) -> bool {
        match (&self.settled, row.watermark.first()) {
            (Some(settled), Some(at)) => {
                !at.is_null() && !is_after(std::slice::from_ref(at), std::slice::from_ref(settled))
            }
            _ => false,
        }
    }
}

/// Whether one watermark is behind another. Numbers are compared as such; times of one column have one length, so they
/// sort as texts.
fn is_after(one: &[Value], another: &[Value]) -> bool {
    for (one, another) in one.iter().zip(another) {
        let order = match (number(one), number(another)) {
            (Some(one), Some(another)) => one.cmp(&another),
            _ => match (decimal(one), decimal(another)) {
                (Some(one), Some(another)) => one.total_cmp(&another),
                _ => text(one).cmp(&text(another)),
            },
        };
        if order.is_ne() {
            return order.is_gt();
        }
    }
    false
}

fn number(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => number.to_string().parse().ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn decimal(value: &Value) -> Option<f64> {
    value.as_str()?.parse().ok()
}

fn text(value: &Value) -> String {
    // A user may write a time with a `T`.
    value
        .as_str()
        .map_or_else(|| value.to_string(), |text| text.replacen('T', " ", 1))
}

/// Matches the rows of a part. Rows without a key may be there more than once.
pub fn compare(
    source: Vec<Row>,
    warehouse: Vec<Row>,
    names: &[String],
    columns: &[Compared],
    frontier: &Frontier,
    limit: usize,
) -> Found {
    let mut sides: BTreeMap<Key, (Vec<Row>, Vec<Row>)> = BTreeMap::new();
    for row in source {
        sides.entry(row.key.clone()).or_default().0.push(row);
    }
    for row in warehouse {
        sides.entry(row.key.clone()).or_default().1.push(row);
    }
    let mut found = Found::default();
    for (key, (source, warehouse)) in sides {
        let pairs = source.len().min(warehouse.len());
        let missing = source
            .iter()
            .skip(pairs)
            .map(|row| (Kind::Missing, Some(row), Vec::new()));
        let extra = warehouse.iter().skip(pairs).map(|_| (Kind::Extra, None, Vec::new()));
        let different = source.iter().zip(&warehouse).filter_map(|(one, another)| {
            let columns = one.differing(another, columns);
            (!columns.is_empty()).then_some((Kind::Different, Some(one), columns))
        });
        for (kind, row, columns) in missing.chain(extra).chain(different) {
            if row.is_some_and(|row| frontier.is_unread(row)) {
                found.unread += 1;
                continue;
            }
            match kind {
                Kind::Missing => found.missing += 1,
                Kind::Extra => found.extra += 1,
                Kind::Different => found.different += 1,
            }
            found.is_open |= row.map_or(frontier.sees_deletes, |row| !frontier.is_settled(row));
            if found.keys.len() < limit {
                let key = names.iter().cloned().zip(key.iter().cloned()).collect();
                found.keys.push(Difference { kind, key, columns });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::snowflake::ident::Ident;

    fn row(key: &str, cell: Option<&str>, watermark: &[Value]) -> Row {
        Row {
            key: vec![Some(key.to_owned())],
            cells: vec![cell.map(str::to_owned)],
            watermark: watermark.to_vec(),
        }
    }

    fn columns(way: Way) -> Vec<Compared> {
        vec![Compared {
            source: "v".to_owned(),
            name: Ident::new("v"),
            way,
        }]
    }

    fn kinds(found: &Found) -> Vec<(Kind, String)> {
        let key = |difference: &Difference| difference.key[0].1.clone().unwrap();
        found.keys.iter().map(|one| (one.kind, key(one))).collect()
    }

    #[test]
    fn rows_are_matched_by_key_and_what_is_not_read_yet_is_no_difference() {
        let columns = columns(Way::Text(String::new()));
        let frontier = Frontier {
            read: vec![json!(10), json!(5)],
            ..Frontier::default()
        };
        let old = [json!(9), json!(9)];
        let new = [json!(10), json!(6)];
        let source = vec![
            row("a", Some("1"), &old),
            row("b", None, &old),
            row("c", Some("1"), &old),
            row("d", Some("1"), &new),
            row("e", Some("2"), &new),
        ];
        let warehouse = vec![
            row("a", Some("1"), &[]),
            row("b", Some("0"), &[]),
            row("e", Some("1"), &[]),
            row("x", None, &[]),
        ];
        let found = compare(source, warehouse, &["k".to_owned()], &columns, &frontier, 100);
        let expected = [(Kind::Different, "b"), (Kind::Missing, "c"), (Kind::Extra, "x")];
        assert_eq!(kinds(&found), expected.map(|(kind, key)| (kind, key.to_owned())));
        assert_eq!((found.unread, found.is_open), (2, true));
    }

    #[test]
    fn equal_rows_without_a_key_count() {
        let columns = columns(Way::Text(String::new()));
        let same = || row("h", Some("1"), &[]);
        let found = compare(
            vec![same(), same(), same()],
            vec![same()],
            &["k".to_owned()],
            &columns,
            &Frontier::default(),
            1,
        );
        assert_eq!((found.missing, found.extra, found.keys.len()), (2, 0, 1));
    }

    #[test]
    fn a_row_too_many_is_waited_for_where_its_delete_may_be_on_the_way() {
        let columns = columns(Way::Text(String::new()));
        for sees_deletes in [false, true] {
            let frontier = Frontier {
                sees_deletes,
                ..Frontier::default()
            };
            let found = compare(
                vec![],
                vec![row("a", None, &[])],
                &["k".to_owned()],
                &columns,
                &frontier,
                1,
            );
            assert_eq!((found.extra, found.is_open), (1, sees_deletes));
        }
    }

    #[test]
    fn what_is_old_enough_is_not_waited_for() {
        let columns = columns(Way::Number(String::new()));
        let frontier = Frontier {
            read: vec![json!("2026-01-01 10:00:00")],
            settled: Some(json!("2026-01-01 09:50:00")),
            sees_deletes: false,
        };
        let source = vec![row("a", Some("0.5"), &[json!("2026-01-01 09:50:00")])];
        let warehouse = vec![row("a", Some("0.50001"), &[])];
        let found = compare(source, warehouse, &["k".to_owned()], &columns, &frontier, 1);
        assert_eq!((found.different, found.is_open), (1, false));
        assert!(!is_after(&[json!("2026-01-01T10:00:00")], &frontier.read));
        assert!(is_after(&[json!(u64::MAX)], &[json!(-1)]));
    }
}
