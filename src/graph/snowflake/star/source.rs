//! The rows that dimensions and facts are made of, with expressions over them.

use minijinja::{Value, context};

use super::super::rows;
use super::{Stage, equal, list};
use crate::model::star::StarColumn;
use crate::model::{Origin, Table};
use crate::snowflake::ident::Ident;
use crate::snowflake::sql::{Templates, raw};

/// Orders rows of files as their merge does.
pub const OF_FILE: &str =
    "TO_CHAR(_FILE_MODIFIED, 'YYYYMMDDHH24MISSFF6') || '/' || _FILE || '/' || LPAD(_FILE_ROW::VARCHAR, 12, '0')";

/// An expression and the type of its value; in a selection it is `_1`, `_2` … by its place.
pub struct Expression {
    /// The expression.
    pub sql: String,
    /// The type.
    pub data_type: String,
}

impl Expression {
    /// The expression of a column.
    pub fn of(column: &StarColumn) -> Self {
        Self::new(&column.sql, column.data_type)
    }

    /// An expression of some type.
    pub fn new(sql: &str, data_type: impl ToString) -> Self {
        Self {
            sql: sql.to_owned(),
            data_type: data_type.to_string(),
        }
    }

    /// An expression of a moment.
    pub fn moment(sql: &str) -> Self {
        Self::new(sql, "TIMESTAMP_NTZ(9)")
    }
}

/// A typed table and its batch.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The templates.
    pub templates: &'a Templates,
    /// The table.
    pub table: &'a Table,
    /// Its batch.
    pub stage: &'a Stage,
}

impl Source<'_> {
    /// What tells rows of the table apart.
    pub fn key(&self) -> Vec<Ident> {
        rows::key(self.table)
    }

    /// All changes of the batch.
    pub fn changes(
        &self,
        expressions: &[Expression],
        carried: &[&str],
        condition: Option<String>,
    ) -> anyhow::Result<Value> {
        self.select(raw(&self.stage.batch), expressions, carried, condition)
    }

    /// All rows that there are now.
    pub fn present(&self, expressions: &[Expression], condition: Option<&str>) -> anyhow::Result<Value> {
        let flag = self.table.is_flagged().then_some("NOT _DELETED");
        let condition = match (flag, condition) {
            (Some(flag), Some(condition)) => Some(format!("{flag} AND ({condition})")),
            (one, another) => one.or(another).map(str::to_owned),
        };
        self.select(raw(&self.stage.typed), expressions, &[], condition)
    }

    /// The rows that the batch changed, as they are now.
    pub fn touched(
        &self,
        expressions: &[Expression],
        carried: &[Ident],
        condition: Option<String>,
    ) -> anyhow::Result<Value> {
        let key = self.key();
        let sequence = match self.table.origin {
            Origin::Mysql(_) => "",
            Origin::File { .. } => OF_FILE,
        };
        let values = context! {
            sequence => raw(sequence),
            table => raw(&self.stage.typed),
            batch => raw(&self.stage.batch),
            keys => list(&key, ""),
            match => equal(&key, "r", "b"),
            flagged => self.table.is_flagged(),
        };
        let rows = self.templates.text("star_touched", values)?;
        let source = raw(format!("(\n  {}\n)", rows.replace('\n', "\n  ")));
        let carried: Vec<String> = carried.iter().map(ToString::to_string).collect();
        let carried: Vec<&str> = carried.iter().map(String::as_str).collect();
        self.select(source, expressions, &carried, condition)
    }

    fn select(
        &self,
        source: Value,
        expressions: &[Expression],
        carried: &[&str],
        condition: Option<String>,
    ) -> anyhow::Result<Value> {
        let expressions: Vec<Value> = expressions
            .iter()
            .map(|expression| context! { sql => raw(&expression.sql), type => raw(&expression.data_type) })
            .collect();
        let values = context! {
            expressions => expressions,
            carried => carried.iter().map(raw).collect::<Vec<_>>(),
            source => source,
            condition => raw(condition.unwrap_or_default()),
        };
        Ok(raw(self.templates.text("star_rows", values)?))
    }
}
