//! What is to be compared of a table: which columns and how, and what its parts go by.

use anyhow::bail;
use serde_json::Value;

use super::text::{Way, order, way};
use super::{Compared, KeyColumn, Partly};
use crate::model::{Column, Table};
use crate::runtime::extract::describe::Described;

/// What a table's parts go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// Ranges of the source's primary key.
    Ranges,
    /// Buckets by hash.
    Buckets,
}

/// A table, ready to be compared.
#[derive(Debug)]
pub struct Prepared {
    pub key: Vec<KeyColumn>,
    pub parts: Parts,
    pub columns: Vec<Compared>,
    pub partly: Vec<Partly>,
}

/// Settles how a table is compared. `described` is the function's answer about the source.
pub fn prepare(table: &Table, described: &Value) -> anyhow::Result<Prepared> {
    let source: Vec<Described> = serde_json::from_value(described["columns"].clone())?;
    let of = |column: &Column| {
        source
            .iter()
            .find(|one| Some(one.name.as_str()) == column.source_column())
    };
    let (mut columns, mut partly) = (Vec::new(), Vec::new());
    for column in &table.columns {
        let mut note = |compared, reason: String| {
            let column = column.name.as_str().to_owned();
            partly.push(Partly {
                column,
                compared,
                reason,
            });
        };
        let Some(described) = of(column) else {
            let reason = match column.source_column() {
                Some(name) => format!("the source has no column `{name}`"),
                None => format!("{} is no column of the source", column.path),
            };
            note("nothing", reason);
            continue;
        };
        let way = way(described, &column.name, column.data_type);
        if let Way::Nulls(reason) = &way {
            note("nulls", reason.clone());
        }
        columns.push(Compared {
            source: described.name.clone(),
            name: column.name.clone(),
            way,
        });
    }
    let primary: Vec<&str> = described["key"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let in_warehouse = |name: &str| table.columns.iter().find(|column| column.source_column() == Some(name));
    let keyed = |column: &Column| {
        let described = of(column)?;
        let Way::Text(text) = way(described, &column.name, column.data_type) else {
            return None;
        };
        Some(KeyColumn {
            source: described.name.clone(),
            name: column.name.clone(),
            text,
            order: order(described, column.data_type).unwrap_or_default(),
        })
    };
    let of_primary = primary.iter().map(|name| keyed(in_warehouse(name)?));
    let of_primary = of_primary.collect::<Option<Vec<_>>>().filter(|key| !key.is_empty());
    let own = table.columns.iter().filter(|column| column.key).map(keyed);
    let own = own.collect::<Option<Vec<_>>>().filter(|key| !key.is_empty());
    let key = match (of_primary, own) {
        (Some(key), _) | (None, Some(key)) => key,
        (None, None) if primary.is_empty() && table.is_keyless() => Vec::new(),
        (None, None) => bail!(
            "rows of {} cannot be told apart on both sides: no column of it keeps the text of the source's key ({})\n  hint: \
             add the key's columns to the table, with types that keep them (docs/mysql-types.md)",
            table.name,
            primary.join(", ")
        ),
    };
    let names: Vec<&str> = key.iter().map(|column| column.source.as_str()).collect();
    let is_sorted = !key.is_empty() && names == primary && key.iter().all(|column| !column.order.is_empty());
    Ok(Prepared {
        key,
        parts: if is_sorted { Parts::Ranges } else { Parts::Buckets },
        columns,
        partly,
    })
}
