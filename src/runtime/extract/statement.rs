//! The statements of a reading. Values are bound and identifiers quoted; no text from outside goes into them otherwise.

use crate::runtime::mysql::Value;

use super::table::Table;

/// Rows of a table in the order of some columns.
pub struct Select<'a> {
    pub table: &'a Table,
    /// What is read, by column; every column when empty.
    pub columns: &'a [usize],
    /// What the rows are sorted by, by column.
    pub order: &'a [usize],
    /// The lowest value of the first sorted column; without it, any but NULL.
    pub from: Option<Value>,
    /// The highest value of the first sorted column.
    pub to: Option<Limit>,
    /// The row behind which it begins, by the values of the first sorted columns.
    pub after: Option<(Vec<Value>, Edge)>,
    /// The row with which it ends, by the values of the sorted columns.
    pub last: Option<Vec<Value>>,
    /// The most rows.
    pub rows: Option<u64>,
}

/// An upper limit.
pub enum Limit {
    Including(Value),
    Excluding(Value),
}

/// Whether the row that a bound names is itself among the rows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    Included,
    Excluded,
}

impl<'a> Select<'a> {
    /// All rows, sorted.
    pub fn all(table: &'a Table, order: &'a [usize]) -> Self {
        Self {
            table,
            columns: &[],
            order,
            from: None,
            to: None,
            after: None,
            last: None,
            rows: None,
        }
    }

    /// The statement that counts the rows.
    pub fn count(mut self) -> (String, Vec<Value>) {
        let (conditions, values) = self.conditions();
        let text = format!("SELECT COUNT(*) FROM {}{conditions}", self.table.path());
        (text, values)
    }

    /// The text and the values to bind, in order.
    pub fn build(mut self) -> (String, Vec<Value>) {
        let (conditions, values) = self.conditions();
        let columns = if self.columns.is_empty() {
            self.table.fields.iter().map(|field| quoted(&field.name)).collect()
        } else {
            let fields = self.columns.iter().map(|column| &self.table.fields[*column]);
            fields.map(|field| quoted(&field.name)).collect::<Vec<_>>()
        };
        let mut text = format!("SELECT {} FROM {}{conditions}", columns.join(", "), self.table.path());
        let names: Vec<String> = self.order.iter().map(|column| self.table.sorted(*column)).collect();
        if !names.is_empty() {
            text.push_str(&format!(" ORDER BY {}", names.join(", ")));
        }
        if let Some(rows) = self.rows {
            text.push_str(&format!(" LIMIT {rows}"));
        }
        (text, values)
    }

    /// The condition, with its WHERE, and the values to bind.
    fn conditions(&mut self) -> (String, Vec<Value>) {
        let mut values = Vec::new();
        let mut conditions = Vec::new();
        let first = self.order.first().map(|column| self.table.sorted(*column));
        if let Some(first) = &first {
            match self.from.take() {
                Some(value) => {
                    conditions.push(format!("{first} >= ?"));
                    values.push(value);
                }
                // Behind a row there is no NULL: it sorts before all else.
                None if self.after.is_none() && self.table.fields[self.order[0]].nullable => {
                    conditions.push(format!("{first} IS NOT NULL"));
                }
                None => {}
            }
            let (sign, value) = match self.to.take() {
                Some(Limit::Including(value)) => ("<=", Some(value)),
                Some(Limit::Excluding(value)) => ("<", Some(value)),
                None => ("", None),
            };
            if let Some(value) = value {
                conditions.push(format!("{first} {sign} ?"));
                values.push(value);
            }
        }
        let names: Vec<String> = self.order.iter().map(|column| self.table.sorted(*column)).collect();
        if let Some((bound, edge)) = &self.after {
            let sign = if *edge == Edge::Included { ">=" } else { ">" };
            conditions.push(beyond(&names, bound, '>', sign, &mut values));
        }
        if let Some(bound) = &self.last {
            conditions.push(beyond(&names, bound, '<', "<=", &mut values));
        }
        if conditions.is_empty() {
            return (String::new(), values);
        }
        (format!(" WHERE {}", conditions.join(" AND ")), values)
    }
}

/// `(a, b) > (?, ?)` in the form for which MySQL uses an index: it does for no row constructor but with `=` and `IN`
/// (<https://dev.mysql.com/doc/refman/8.4/en/row-constructor-optimization.html>).
fn beyond(names: &[String], bound: &[Value], strict: char, last: &str, values: &mut Vec<Value>) -> String {
    let mut text = String::new();
    for (index, (name, value)) in names.iter().zip(bound).enumerate() {
        if index + 1 == bound.len() {
            text.push_str(&format!("{name} {last} ?"));
            values.push(value.clone());
        } else {
            text.push_str(&format!("{name} {strict}= ? AND ({name} {strict} ? OR "));
            values.extend([value.clone(), value.clone()]);
        }
    }
    text.push_str(&")".repeat(bound.len().saturating_sub(1)));
    text
}

/// A table, whatever it is called.
pub fn path(schema: &str, table: &str) -> String {
    format!("{}.{}", quoted(schema), quoted(table))
}

/// An identifier, whatever it holds.
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
