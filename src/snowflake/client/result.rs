//! What comes back.
//!
//! Source: <https://docs.snowflake.com/en/developer-guide/sql-api/handling-responses>.

use serde::Deserialize;

use super::encoding;
use super::error::SnowflakeError;
use super::rows::{Rows, Values};

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Column {
    /// Its name, as Snowflake gives it.
    pub name: String,
    /// Its type, lower case: `fixed`, `text`, `timestamp_tz`, `variant` …
    #[serde(rename = "type")]
    pub data_type: String,
    /// Digits after the point.
    #[serde(default)]
    pub scale: Option<i64>,
    /// Digits in all.
    #[serde(default)]
    pub precision: Option<i64>,
    /// Whether NULL is possible.
    #[serde(default = "yes")]
    pub nullable: bool,
}

fn yes() -> bool {
    true
}

/// Rows that a DML statement changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Affected {
    /// Rows inserted.
    #[serde(rename = "numRowsInserted")]
    pub inserted: u64,
    /// Rows updated.
    #[serde(rename = "numRowsUpdated")]
    pub updated: u64,
    /// Rows deleted.
    #[serde(rename = "numRowsDeleted")]
    pub deleted: u64,
}

impl Affected {
    /// All of them.
    pub fn total(self) -> u64 {
        self.inserted + self.updated + self.deleted
    }
}

/// The rows of one statement, as Snowflake encodes them. [`ResultSet::shown`] gives them as people read them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResultSet {
    /// The columns, in order.
    pub columns: Vec<Column>,
    /// The values.
    pub rows: Rows,
    /// Rows that the statement changed.
    pub affected: Affected,
    /// Handle of the statement (its query id).
    pub handle: String,
}

impl ResultSet {
    /// The rows, with access by column name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Row<'_>> {
        self.rows.iter().map(|values| Row {
            columns: &self.columns,
            values,
        })
    }

    /// The first row.
    pub fn first(&self) -> Option<Row<'_>> {
        self.rows.first().map(|values| Row {
            columns: &self.columns,
            values,
        })
    }

    /// The value in the first column of the first row, as `SELECT SYSTEM$…` gives it.
    pub fn scalar(&self) -> Option<&str> {
        self.rows.first()?.get(0)
    }

    /// The rows with dates, times and timestamps written out.
    pub fn shown(&self) -> Vec<Vec<Option<String>>> {
        let show = |(column, value): (&Column, Option<&str>)| value.map(|value| encoding::show(column, value));
        self.rows
            .iter()
            .map(|row| self.columns.iter().zip(row.iter()).map(show).collect())
            .collect()
    }
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    columns: &'a [Column],
    values: Values<'a>,
}

impl<'a> Row<'a> {
    /// The value in a column, or `None` when it is NULL or there is no such column. An exact name comes before one that
    /// differs in case only (`SHOW` names its columns in lower case, `SELECT` in upper).
    pub fn get(&self, name: &str) -> Option<&'a str> {
        let exact = self.columns.iter().position(|column| column.name == name);
        let at = exact.or_else(|| {
            self.columns
                .iter()
                .position(|column| column.name.eq_ignore_ascii_case(name))
        })?;
        self.values.get(at)
    }

    /// All values, in the order of the columns.
    pub fn values(&self) -> Values<'a> {
        self.values
    }

    /// The value in a column that must have one.
    pub fn require(&self, name: &str) -> Result<&'a str, SnowflakeError> {
        self.get(name).ok_or_else(|| SnowflakeError::MissingValue {
            column: name.to_owned(),
            present: self
                .columns
                .iter()
                .map(|column| column.name.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        })
    }

    /// Whether a value says yes. `SHOW` writes `true`, `Y` or `YES`, depending on the kind of object.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "true" | "y" | "yes" | "on"))
    }
}

/// The answer with HTTP 200.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    #[serde(default)]
    result_set_meta_data: Metadata,
    #[serde(default)]
    data: Rows,
    #[serde(default)]
    statement_handle: Option<String>,
    #[serde(default)]
    pub(super) statement_handles: Option<Vec<String>>,
    #[serde(default)]
    stats: Option<Affected>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    num_rows: Option<u64>,
    row_type: Vec<Column>,
    partition_info: Vec<serde::de::IgnoredAny>,
}

/// A partition after the first: only rows.
#[derive(Debug, Deserialize)]
pub(super) struct Partition {
    #[serde(default)]
    pub(super) data: Rows,
}

impl Answer {
    pub(super) fn handle(&self) -> &str {
        self.statement_handle.as_deref().unwrap_or("unknown")
    }

    /// Numbers of the partitions that are still to be fetched; this answer holds number 0.
    pub(super) fn further_partitions(&self) -> std::ops::Range<usize> {
        1..self.result_set_meta_data.partition_info.len().max(1)
    }

    /// The result, once all partitions are there.
    pub(super) fn finish(self, further: Vec<Partition>) -> Result<ResultSet, SnowflakeError> {
        let handle = self.handle().to_owned();
        let mut rows = self.data;
        further.iter().for_each(|partition| rows.append(&partition.data));
        // A short result would read as "these objects do not exist", so it is an error and never a result.
        if let Some(promised) = self.result_set_meta_data.num_rows
            && promised != rows.len() as u64
        {
            let problem = format!("it promises {promised} rows and holds {}", rows.len());
            return Err(SnowflakeError::Unreadable { problem, handle });
        }
        let columns = self.result_set_meta_data.row_type;
        let wrong = rows.iter().map(|row| row.len()).find(|length| *length != columns.len());
        if let Some(length) = wrong {
            let problem = format!("a row has {length} values for {} columns", columns.len());
            return Err(SnowflakeError::Unreadable { problem, handle });
        }
        let mut result = ResultSet {
            columns,
            rows,
            affected: Affected::default(),
            handle,
        };
        result.affected = self.stats.unwrap_or_else(|| affected_by_columns(&result));
        Ok(result)
    }
}

/// DML answers with a row of counts; some answers carry only that and no `stats`.
fn affected_by_columns(result: &ResultSet) -> Affected {
    let Some(row) = result.first() else {
        return Affected::default();
    };
    let count = |name: &str| row.get(name).and_then(|value| value.parse().ok()).unwrap_or(0);
    Affected {
        inserted: count("number of rows inserted"),
        updated: count("number of rows updated"),
        deleted: count("number of rows deleted"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(value: serde_json::Value) -> Answer {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn rows_by_name() {
        let result = answer(json!({
            "code": "090001", "statementHandle": "h",
            "resultSetMetaData": {"numRows": 1, "format": "jsonv2", "partitionInfo": [{"rowCount": 1}],
                "rowType": [{"name": "name", "type": "text", "nullable": false}, {"name": "A", "type": "fixed", "scale": 2}, {"name": "a", "type": "text"}]},
            "data": [["x", null, "low"]],
        }));
        assert!(result.further_partitions().is_empty());
        let result = result.finish(Vec::new()).unwrap();
        let row = result.first().unwrap();
        assert_eq!(
            (row.get("NAME"), row.get("A"), row.get("a"), row.get("b")),
            (Some("x"), None, Some("low"), None)
        );
        assert!(row.require("A").unwrap_err().to_string().contains("name, A, a"));
        assert_eq!(result.scalar(), Some("x"));
    }

    #[test]
    fn affected_rows_from_stats_or_columns() {
        let stats = answer(json!({"stats": {"numRowsInserted": 2, "numRowsUpdated": 1, "numDuplicateRowsUpdated": 0}}))
            .finish(Vec::new())
            .unwrap();
        assert_eq!(stats.affected.total(), 3);
        let columns = answer(json!({
            "resultSetMetaData": {"numRows": 1, "rowType": [{"name": "number of rows inserted", "type": "fixed"}]}, "data": [["5"]],
        }));
        assert_eq!(
            columns.finish(Vec::new()).unwrap().affected,
            Affected {
                inserted: 5,
                ..Affected::default()
            }
        );
    }

    #[test]
    fn a_short_result_is_an_error() {
        let short = answer(
            json!({"resultSetMetaData": {"numRows": 2, "rowType": [{"name": "A", "type": "text"}]}, "data": [["1"]]}),
        );
        assert!(
            short
                .finish(Vec::new())
                .unwrap_err()
                .to_string()
                .contains("promises 2 rows and holds 1")
        );
    }
}
