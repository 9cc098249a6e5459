//! Statements on the warehouse's table: sums and rows of key ranges, or of buckets. Values of the source are literals, cast to
//! the type that the key is sorted as.

use serde_json::Value;

use super::text::Way;
use super::{Compared, KeyColumn, Range};
use crate::snowflake::ident::{Name, literal};

/// A table of the warehouse, as it is compared.
pub struct Warehouse<'a> {
    pub table: &'a Name,
    /// Whether deleted rows stay in it, with a flag; they are not compared.
    pub is_flagged: bool,
    pub key: &'a [KeyColumn],
    pub columns: &'a [Compared],
}

/// What is kept of a row that has no key: its hash, a dash and a number.
const ROW_HASH: &str = "SPLIT_PART(_ROW, '-', 1)";

impl Warehouse<'_> {
    /// The statement that counts all rows (`PRESENT`), and those that are flagged as deleted (`DELETED`).
    pub fn count(&self) -> String {
        let counts = match self.is_flagged {
            true => "COUNT_IF(NOT _DELETED) AS PRESENT, COUNT_IF(_DELETED) AS DELETED",
            false => "COUNT(*) AS PRESENT, NULL AS DELETED",
        };
        format!("SELECT {counts} FROM {}", self.table)
    }

    /// The rows that are compared, of those that meet a condition.
    fn present(&self, condition: &str) -> String {
        match self.is_flagged {
            true => format!("NOT _DELETED AND {condition}"),
            false => condition.to_owned(),
        }
    }

    /// Sums of each range, by its position; a range without rows is not in the answer.
    pub fn range_sums(&self, ranges: &[Range]) -> String {
        let cases: Vec<String> = ranges
            .iter()
            .enumerate()
            .map(|(number, range)| format!("WHEN {} THEN {number}", self.within(range)))
            .collect();
        let part = format!("CASE {} END", cases.join(" "));
        // The outermost bounds let Snowflake skip what it need not read.
        let hull = Range {
            after: ranges.first().map(|range| range.after.clone()).unwrap_or_default(),
            last: ranges.last().map(|range| range.last.clone()).unwrap_or_default(),
        };
        self.sums(&part, &self.within(&hull))
    }

    /// Sums of each bucket, by its name.
    pub fn bucket_sums(&self, digits: usize) -> String {
        self.sums(&format!("LEFT({}, {digits})", self.hash()), "TRUE")
    }

    fn sums(&self, part: &str, condition: &str) -> String {
        let mut inner = vec![format!("{part} AS _PART")];
        let mut outer = vec!["_PART".to_owned(), "COUNT(*)".to_owned()];
        for (number, column) in self.columns.iter().enumerate() {
            let (value, sums) = match &column.way {
                Way::Text(sql) => (
                    sql.clone(),
                    format!("SUM(TO_NUMBER(SUBSTR(MD5(_C{number}), 1, 15), 'XXXXXXXXXXXXXXX')), NULL"),
                ),
                Way::Number(sql) => (sql.clone(), format!("SUM(_C{number}), SUM(ABS(_C{number}))")),
                Way::Nulls(_) => (
                    format!("IFF({} IS NULL, NULL, 1)", column.name),
                    "NULL, NULL".to_owned(),
                ),
            };
            inner.push(format!("{value} AS _C{number}"));
            outer.push(format!("COUNT(_C{number}), {sums}"));
        }
        format!(
            "SELECT {} FROM (SELECT {} FROM {} WHERE {}) WHERE _PART IS NOT NULL GROUP BY _PART",
            outer.join(", "),
            inner.join(", "),
            self.table,
            self.present(condition)
        )
    }

    /// The rows of a range: the key's texts, then what is compared of each column.
    pub fn range_rows(&self, range: &Range, limit: usize) -> String {
        self.rows(&self.within(range), limit)
    }

    /// The rows of some buckets.
    pub fn bucket_rows(&self, names: &[String], limit: usize) -> String {
        let digits = names.first().map_or(0, String::len);
        let names: Vec<String> = names.iter().map(|name| literal(name)).collect();
        let condition = format!("LEFT({}, {digits}) IN ({})", self.hash(), names.join(", "));
        self.rows(&condition, limit)
    }

    fn rows(&self, condition: &str, limit: usize) -> String {
        let keys = self.key.iter().map(|key| key.text.clone());
        let keys: Vec<String> = match self.key.is_empty() {
            true => vec![ROW_HASH.to_owned()],
            false => keys.collect(),
        };
        let cells = self.columns.iter().map(|column| match &column.way {
            Way::Text(sql) => format!("SUBSTR(MD5({sql}), 1, 15)"),
            Way::Number(sql) => sql.clone(),
            Way::Nulls(_) => format!("IFF({} IS NULL, NULL, '*')", column.name),
        });
        let all: Vec<String> = keys
            .into_iter()
            .chain(cells)
            .enumerate()
            .map(|(number, sql)| format!("{sql} AS _C{number}"))
            .collect();
        format!(
            "SELECT {} FROM {} WHERE {} LIMIT {limit}",
            all.join(", "),
            self.table,
            self.present(condition)
        )
    }

    /// The hash that buckets are the first digits of.
    fn hash(&self) -> String {
        if self.key.is_empty() {
            return ROW_HASH.to_owned();
        }
        let parts: Vec<String> = self
            .key
            .iter()
            .map(|key| format!("COALESCE(MD5({}), '~')", key.text))
            .collect();
        format!("MD5({})", parts.join(" || "))
    }

    fn within(&self, range: &Range) -> String {
        let lower = self.beyond(&range.after, '>', ">");
        let upper = self.beyond(&range.last, '<', "<=");
        match (lower, upper) {
            (Some(lower), Some(upper)) => format!("({lower} AND {upper})"),
            (Some(one), None) | (None, Some(one)) => format!("({one})"),
            (None, None) => "TRUE".to_owned(),
        }
    }

    /// `(a, b) > (x, y)` written out; nothing for the table's end.
    fn beyond(&self, bound: &Value, strict: char, last: &str) -> Option<String> {
        let values = bound.as_array()?;
        let mut text = String::new();
        for (position, (key, value)) in self.key.iter().zip(values).enumerate() {
            let (name, value) = (&key.name, cast(value, &key.order));
            if position + 1 == values.len() {
                text.push_str(&format!("{name} {last} {value}"));
            } else {
                text.push_str(&format!("({name} {strict} {value} OR {name} = {value} AND "));
            }
        }
        Some(text + &")".repeat(values.len().saturating_sub(1)))
    }
}

/// A value of the source as the type that it is sorted as.
fn cast(value: &Value, kind: &str) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    format!("{}::{kind}", literal(&text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::snowflake::ident::Ident;

    #[test]
    fn ranges_of_several_columns_are_written_out_and_escaped() {
        let key = |name: &str, order: &str| KeyColumn {
            source: name.to_owned(),
            name: Ident::new(name),
            text: name.to_uppercase(),
            order: order.to_owned(),
        };
        let table = Name::from_text("D.S.T").unwrap();
        let warehouse = Warehouse {
            table: &table,
            is_flagged: false,
            key: &[key("a", "NUMBER(38,0)"), key("b", "DATE")],
            columns: &[],
        };
        let range = Range {
            after: json!([1, "2024-01-01'; DROP"]),
            last: Value::Null,
        };
        assert_eq!(
            warehouse.within(&range),
            "((A > '1'::NUMBER(38,0) OR A = '1'::NUMBER(38,0) AND B > '2024-01-01''; DROP'::DATE))"
        );
        assert_eq!(warehouse.within(&Range::default()), "TRUE");
        assert_eq!(
            warehouse.bucket_rows(&["0a".to_owned()], 5),
            "SELECT A AS _C0, B AS _C1 FROM D.S.T WHERE LEFT(MD5(COALESCE(MD5(A), '~') || COALESCE(MD5(B), '~')), 2) IN ('0a') LIMIT 5"
        );
        let flagged = Warehouse {
            is_flagged: true,
            ..warehouse
        };
        assert_eq!(
            flagged.range_rows(&Range::default(), 5),
            "SELECT A AS _C0, B AS _C1 FROM D.S.T WHERE NOT _DELETED AND TRUE LIMIT 5"
        );
    }
}
