//! What a table is: the columns as records have them, the key, and how many rows there are.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::backfill::{Order, bound};
use super::encode::{Plan, Shape};
use super::statement::{Limit, Select};
use super::{Extract, about, compare, snapshot};

/// A table to describe.
#[derive(Debug, Deserialize)]
pub struct Job {
    pub schema: String,
    pub table: String,
    /// Whether the rows are counted.
    #[serde(default)]
    pub count: bool,
    /// What `from` and `to` are of, as a backfill has it.
    #[serde(default)]
    pub key: Vec<String>,
    #[serde(default)]
    pub from: Json,
    #[serde(default)]
    pub to: Json,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// How the record writes it.
    pub form: Form,
    /// Digits after the point: of a decimal, or of a second.
    pub digits: u8,
}

/// How the record writes a column: the rows of the table in `docs/mysql-types.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// A whole number: integers, BIT, YEAR.
    Whole,
    /// A number of single or double precision.
    Float,
    /// A decimal, as text.
    Decimal,
    /// Text.
    Text,
    /// Base64.
    Binary,
    /// Any JSON.
    Json,
    /// SRID and WKB.
    Geometry,
    /// A list of numbers.
    Vector,
    /// A day.
    Date,
    /// A day and a time without a zone.
    Local,
    /// A moment in UTC.
    Utc,
    /// A length of time.
    Time,
}

impl Extract {
    /// Describes a table; `key` is its primary key, or the first unique key without NULL, empty when there is none.
    pub(super) async fn describe(&self, job: &Job) -> anyhow::Result<Json> {
        let (mut connection, table) = self.open(&job.schema, &job.table).await?;
        let reading = snapshot(&mut connection, 0).await?;
        let columns = {
            let (text, values) = Select {
                rows: Some(0),
                ..Select::all(&table, &[])
            }
            .build();
            let mut rows = connection.query(&text, &values).await.map_err(about(&table))?;
            let plan = Plan::new(&rows.columns, compare::is_json(&table));
            while rows.next().await.map_err(about(&table))?.is_some() {}
            (0..plan.columns.len())
                .map(|column| described(&plan, column))
                .collect::<Vec<_>>()
        };
        let rows = match job.count {
            true => Some(self.count(&mut connection, &table, job).await?),
            false => None,
        };
        let key: Vec<&str> = table.key_names().collect();
        Ok(json!({ "columns": columns, "key": key, "rows": rows, "clock": reading.0 }))
    }

    async fn count(
        &self,
        connection: &mut crate::runtime::mysql::Connection,
        table: &super::table::Table,
        job: &Job,
    ) -> anyhow::Result<u64> {
        let first = |json: &Json| anyhow::Ok(bound(json)?.and_then(|values| values.into_iter().next()));
        let (from, to) = (first(&job.from)?, first(&job.to)?);
        // Without limits no order is needed, so a table without a key is counted as well.
        let order = match job.key.is_empty() && from.is_none() && to.is_none() {
            true => Vec::new(),
            false => Order::new(table, &job.key)?.columns,
        };
        let (text, values) = Select {
            from,
            to: to.map(Limit::Excluding),
            ..Select::all(table, &order)
        }
        .count();
        let count = connection.single(&text, &values).await.map_err(about(table))?;
        Ok(count.as_deref().unwrap_or_default().parse()?)
    }
}

fn described(plan: &Plan, column: usize) -> Described {
    let planned = &plan.columns[column];
    let (form, digits) = match planned.shape {
        Shape::Number if compare::is_float(plan, column) => (Form::Float, 0),
        Shape::Number | Shape::Bits => (Form::Whole, 0),
        Shape::Digits => (Form::Decimal, planned.column.decimals),
        Shape::Text => (Form::Text, 0),
        Shape::Base64 => (Form::Binary, 0),
        Shape::Json | Shape::CheckedJson => (Form::Json, 0),
        Shape::Geometry => (Form::Geometry, 0),
        Shape::Vector => (Form::Vector, 0),
        Shape::Date => (Form::Date, 0),
        Shape::Local(digits) => (Form::Local, digits),
        Shape::Utc(digits) => (Form::Utc, digits),
        Shape::Time(digits) => (Form::Time, digits),
    };
    Described {
        name: planned.column.name.clone(),
        form,
        digits,
    }
}
