//! The SQL that applies changes of rows (`op` is `i`, `u`, `d` or `t`) to a typed table.
//!
//! Of each key the record with the highest `seq` counts. A deleted row leaves its key and `seq` behind (`…_GONE`), a
//! truncated table its `seq` (`TRUNCATED`), so that older records that come later do nothing. Every statement gives the
//! same result whatever order, files and batches records come in, and however often they come. All statements of
//! [`Changes::load`] belong into one transaction; they take their rows from a *source*: what stands behind FROM and has
//! the columns of a raw table, such as a stream, which shows all statements of a transaction the same rows
//! (<https://docs.snowflake.com/en/user-guide/streams-intro#repeatable-read-isolation>).

use minijinja::{Value, context};

use super::rows::{self, Reading, below};
use crate::graph::object::{ColumnDefinition, Leaving, Object};
use crate::model::{Column, Deletes, Table};
use crate::snowflake::ident::{Ident, Name};
use crate::snowflake::sql::{Templates, raw};
use crate::spec::jsonpath::{Root, Step};

use super::Context;
use super::load::{TEXT, column, table, table_with};
use super::objects::shared;
use super::star::{equal, list};

/// Days that a deleted key is remembered. A record that is older than the delete can come after it for as long as it lies
/// somewhere on the way: 2 days on the stream, 1 in Firehose, 14 in a queue, 14 before the pipe.
pub const TOMBSTONE_DAYS: u32 = 90;

/// The column that says whether a row is deleted.
pub const DELETED: &str = "_DELETED";

/// What each change says besides the row.
const CARRIED: [(&str, &str); 3] = [
    rows::SEQUENCE,
    ("_OP", "r.RECORD:\"op\"::VARCHAR"),
    ("_TS", "TRY_CAST(r.RECORD:\"ts\"::VARCHAR AS TIMESTAMP_NTZ)"),
];
/// What is no change of a row.
const NO_CHANGE: [&str; 2] = [
    "_SEQ IS NULL THEN 'seq is missing'",
    "_OP IS NULL OR _OP NOT IN ('i', 'u', 'd') THEN 'op is none of i, u, d and t: ' || COALESCE(LEFT(_OP, 200), 'missing')",
];

/// A typed table that is fed by changes, with the tables beside it.
pub struct Changes<'a> {
    table: &'a Table,
    templates: &'a Templates,
    /// The typed table.
    pub target: Name,
    /// Records that are no changes of it.
    pub rejected: Name,
    /// What was truncated, of all tables of the pipeline.
    pub truncated: Name,
    /// Keys of deleted rows, where rows go when they are deleted.
    pub gone: Option<Name>,
    /// Every change, where it is kept.
    pub history: Option<Name>,
}

impl<'a> Changes<'a> {
    /// The changes of a table; nothing where it is not fed by changes.
    pub(super) fn of(context: &Context<'a>, table: &'a Table) -> Option<Self> {
        let cdc = table.cdc?;
        let (schema, raw_schema) = (&context.target.schema, &context.target.raw_schema);
        Some(Self {
            table,
            templates: context.templates,
            target: schema.child(&table.name),
            rejected: raw_schema.child(&format!("{}_REJECTED", table.name)),
            truncated: truncated_name(context),
            gone: (cdc.deletes == Deletes::Delete).then(|| raw_schema.child(&format!("{}_GONE", table.name))),
            history: cdc.history.then(|| schema.child(&format!("{}_HISTORY", table.name))),
        })
    }

    fn columns(&self) -> Vec<Ident> {
        self.table.columns.iter().map(|column| column.name.clone()).collect()
    }

    /// Whether deleted rows stay, with a flag.
    pub fn is_flagged(&self) -> bool {
        self.gone.is_none()
    }

    /// The statements that apply the records of `source`, in their order. What must see the rows that a truncation takes
    /// away stands between the two parts.
    pub fn load(&self, source: &str) -> anyhow::Result<[Vec<String>; 2]> {
        let rows = raw(self.rows(source)?);
        let mut first = vec![
            rows::reject(&rows, &self.rejected, self.templates)?,
            self.truncate(source)?,
        ];
        if let Some(gone) = &self.gone {
            first.push(self.bury(gone, source)?);
        }
        if let Some(history) = &self.history {
            first.push(self.record(history, &rows, false)?);
            first.push(self.record_truncations(history, source)?);
        }
        first.push(self.merge(&rows)?);
        let mut last = vec![self.sweep(source)?];
        if let Some(gone) = &self.gone {
            let values = context! { gone => raw(gone), days => TOMBSTONE_DAYS };
            last.push(self.templates.text("cdc_forget", values)?);
        }
        Ok([first, last])
    }

    /// The statements that give rows of the typed table the values of a column that is new, from all records that were kept.
    pub fn refill(&self, kept: &str) -> anyhow::Result<Vec<String>> {
        let rows = raw(self.rows(kept)?);
        let mut statements = Vec::new();
        if self.is_flagged() {
            // Rows that no record was kept of are there, whatever column is new.
            statements.push(format!(
                "UPDATE {} SET {DELETED} = FALSE WHERE {DELETED} IS NULL",
                self.target
            ));
        }
        statements.extend([self.truncate(kept)?, self.merge(&rows)?, self.sweep(kept)?]);
        Ok(statements)
    }

    /// Rows of the source that are changes of rows, or look like nothing.
    pub fn rows(&self, source: &str) -> anyhow::Result<String> {
        self.rows_with(source, |_| true)
    }

    fn rows_with(&self, source: &str, which: impl Fn(&Column) -> bool) -> anyhow::Result<String> {
        let columns = self.table.columns.iter().enumerate();
        let columns = columns.filter(|(_, column)| which(column));
        let columns = columns.map(|(position, column)| {
            let guard = if column.key { "" } else { "_OP <> 'd' AND " };
            rows::column(position, column, &place(column), column.key || column.not_null, guard)
        });
        let reading = Reading {
            columns: columns.collect(),
            carried: &CARRIED,
            reasons: &NO_CHANGE,
            item: rows::RECORD,
            from: self.templates.text("cdc_images", context! { source => raw(source) })?,
        };
        reading.select(self.templates)
    }

    /// Adds to `batch` what a truncation took away: each row with the first truncation after it, as deleted. Between the
    /// two parts of [`Changes::load`].
    pub fn truncated_rows(&self, batch: &Name, source: &str) -> anyhow::Result<String> {
        let key = rows::key(self.table);
        let own = self.columns();
        let values = context! {
            batch => raw(batch),
            table => raw(&self.target),
            columns => list(&own, ""),
            of_k => list(&own, "k."),
            of_r => list(&own, "r."),
            key_of_k => list(&key, "k."),
            match => equal(&key, "t", "r"),
            flagged => self.is_flagged(),
            rows => raw(self.rows(source)?),
            truncations => self.truncations(source)?,
            truncated => raw(&self.truncated),
            name => &self.table.name,
        };
        self.templates.text("star_stage_truncated", values)
    }

    /// The rows that go when deleted rows are to stay no longer: only their keys are kept.
    pub fn leaving(&self) -> anyhow::Result<Option<Leaving>> {
        let Some(gone) = &self.gone else { return Ok(None) };
        let key = rows::key(self.table);
        let values = context! {
            gone => raw(gone),
            table => raw(&self.target),
            key => list(&key, ""),
            values => list(&key, "s."),
            match => equal(&key, "t", "s"),
        };
        let keep = self.templates.text("cdc_flagged", values)?;
        Ok(Some(Leaving {
            column: Ident::new(DELETED),
            condition: DELETED,
            statements: vec![keep, format!("DELETE FROM {} WHERE {DELETED}", self.target)],
            loss: "the rows that are flagged as deleted",
        }))
    }

    fn truncations(&self, source: &str) -> anyhow::Result<Value> {
        let text = self
            .templates
            .text("cdc_truncations", context! { source => raw(source) })?;
        Ok(raw(text))
    }

    fn truncate(&self, source: &str) -> anyhow::Result<String> {
        self.remember(&self.truncated, "TABLE_NAME", &self.table.name, source)
    }

    fn bury(&self, gone: &Name, source: &str) -> anyhow::Result<String> {
        let key = rows::key(self.table);
        let values = context! {
            gone => raw(gone),
            key => list(&key, ""),
            values => list(&key, "s."),
            match => equal(&key, "t", "s"),
            rows => raw(self.rows_with(source, |column| column.key)?),
        };
        self.templates.text("cdc_gone", values)
    }

    fn merge(&self, rows: &Value) -> anyhow::Result<String> {
        let key = rows::key(self.table);
        let own = self.columns();
        let updated = self.table.columns.iter().filter(|column| !column.key);
        let values = context! {
            table => raw(&self.target),
            truncated => raw(&self.truncated),
            gone => self.gone.as_ref().map(raw),
            name => &self.table.name,
            rows => rows,
            flagged => self.is_flagged(),
            key => list(&key, ""),
            match => equal(&key, "t", "s"),
            of_gone => equal(&key, "g", "r"),
            // Rows that an adopted table had before came from no change, so any is newer.
            newer => raw(if self.table.adopt { "(t._SEQ IS NULL OR s._SEQ >= t._SEQ)" } else { "s._SEQ >= t._SEQ" }),
            updated => updated.map(|column| raw(&column.name)).collect::<Vec<_>>(),
            inserted => list(&own, ""),
            values => list(&own, "s."),
        };
        self.templates.text("cdc_merge", values)
    }

    fn sweep(&self, source: &str) -> anyhow::Result<String> {
        let values = context! {
            table => raw(&self.target),
            flagged => self.is_flagged(),
            // So are those that were there before anything was read: what the source has came since.
            sequence => raw(if self.table.adopt { "COALESCE(_SEQ, '')" } else { "_SEQ" }),
            truncations => self.truncations(source)?,
        };
        self.templates.text("cdc_floor", values)
    }

    fn record(&self, history: &Name, rows: &Value, refill: bool) -> anyhow::Result<String> {
        let key = rows::key(self.table);
        let own = self.columns();
        let values = context! {
            history => raw(history),
            rows => rows,
            key => list(&key, ""),
            match => equal(&key, "t", "s"),
            refill => refill,
            columns => own.iter().map(raw).collect::<Vec<_>>(),
            inserted => list(&own, ""),
            values => list(&own, "s."),
        };
        self.templates.text("cdc_history", values)
    }

    fn record_truncations(&self, history: &Name, source: &str) -> anyhow::Result<String> {
        self.remember(history, "_OP", "t", source)
    }

    /// Adds each truncation once to a table whose `column` holds `value` for truncations of this one.
    fn remember(&self, table: &Name, column: &'static str, value: &str, source: &str) -> anyhow::Result<String> {
        let values = context! {
            table => raw(table),
            column => raw(column),
            value => value,
            truncations => self.truncations(source)?,
        };
        self.templates.text("cdc_truncated", values)
    }
}

/// What the typed table has besides its own columns, where deleted rows stay.
pub(super) fn flag(table: &Table) -> Option<ColumnDefinition> {
    table
        .is_flagged()
        .then(|| column(DELETED, "BOOLEAN", true, "Whether the source has deleted the row"))
}

/// The tables that a table's changes need beside it. `kept` is the raw table, from which a table is filled that is made
/// when there are records already.
pub(super) fn tables(context: &Context, changes: &Changes, kept: &str) -> anyhow::Result<Vec<Object>> {
    let mut tables = Vec::new();
    if let Some(gone) = &changes.gone {
        let mut columns = copied(changes.table, |column| column.key);
        columns.extend([
            column("_SEQ", TEXT, false, "The change that deleted it"),
            column("_GONE_AT", "TIMESTAMP_LTZ(9)", false, "When that was seen"),
        ]);
        let about = format!("Deleted rows of {}; kept for {TOMBSTONE_DAYS} days", changes.table.name);
        let mut table = table_with(context, gone, &about, columns, &[], "UPDATE, DELETE")?;
        table.statements.backfill = vec![changes.bury(gone, kept)?.into()];
        tables.push(table);
    }
    if let Some(history) = &changes.history {
        let mut columns = copied(changes.table, |_| true);
        columns.extend([
            column(
                "_OP",
                TEXT,
                true,
                "i: inserted, u: updated, d: deleted, t: every row before it is gone",
            ),
            column("_SEQ", TEXT, true, "Orders the changes; a later one is larger"),
            column("_TS", "TIMESTAMP_NTZ(9)", false, "When it happened in the source"),
            column("_FILE", TEXT, false, "File that the change came from"),
            column("_FILE_ROW", "NUMBER(38,0)", false, "Its record in that file"),
            column(
                "_FILE_MODIFIED",
                "TIMESTAMP_NTZ(9)",
                false,
                "When that file was written",
            ),
            column("_LOADED_AT", "TIMESTAMP_LTZ(9)", false, "When it was loaded"),
        ]);
        let about = format!("Every change of {}", changes.table.name);
        let mut table = table(context, history, &about, columns, &[])?;
        let rows = raw(changes.rows(kept)?);
        let fill = shared(vec![
            changes.record(history, &rows, true)?,
            changes.record_truncations(history, kept)?,
        ]);
        table.statements.create.extend(fill.iter().cloned());
        table.statements.backfill = fill;
        tables.push(table);
    }
    Ok(tables)
}

/// The name of the table of what was truncated.
fn truncated_name(context: &Context) -> Name {
    context.target.raw_schema.child("TRUNCATED")
}

/// The table of what was truncated, of all tables. Rows are only added, so that no load waits for another.
pub(super) fn truncated(context: &Context) -> anyhow::Result<Object> {
    let columns = vec![
        column("TABLE_NAME", TEXT, true, "Table that was truncated"),
        column("_SEQ", TEXT, true, "Every row whose last change is smaller is gone"),
        column("_TS", "TIMESTAMP_NTZ(9)", false, "When that was, in the source"),
        column("_LOADED_AT", "TIMESTAMP_LTZ(9)", true, "When it was loaded"),
    ];
    let name = truncated_name(context);
    table(context, &name, "Tables that were truncated", columns, &[])
}

/// Columns of the typed table as other tables have them. What is filled from kept records takes NULL.
fn copied(table: &Table, which: impl Fn(&Column) -> bool) -> Vec<ColumnDefinition> {
    let columns = table.columns.iter().filter(|column| which(column));
    columns
        .map(|column| ColumnDefinition {
            name: column.name.clone(),
            data_type: column.data_type.to_string().into(),
            not_null: false,
            was: column.was.clone(),
            comment: column.description.as_deref().map(Into::into),
        })
        .collect()
}

/// Where the value of a column lies. `r.IMAGE` is the row as it is after the change, of a delete as it was before; a key
/// is also in the record itself, should the image lack it.
fn place(column: &Column) -> String {
    let steps = column.path.steps.as_slice();
    let of_row = match (column.path.root, steps) {
        (Root::Item, steps) => Some(steps),
        (Root::Record, [Step::Field(first), rest @ ..]) if first == "after" => Some(rest),
        (Root::Record, _) => None,
    };
    let Some(steps) = of_row else {
        return below("r.RECORD", 0, steps);
    };
    let image = below("r.IMAGE", 0, steps);
    match column.key {
        true => format!(
            "COALESCE({image}::VARCHAR, {}::VARCHAR)",
            below("r.RECORD:\"key\"", 1, steps)
        ),
        false => image,
    }
}
