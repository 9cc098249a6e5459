//! Dimensions whose members come from rows. What changed is overwritten; versions are kept by the history's part.

use std::collections::BTreeSet;

use minijinja::context;

use super::source::Expression;
use super::*;
use crate::model::star::{Lookup, Rows};

/// A dimension made from rows, with its names.
pub(super) struct Made<'a> {
    /// The dimension.
    pub dimension: &'a Dimension,
    /// Where its members come from.
    pub rows: &'a Rows,
    /// Its table.
    pub table: Name,
    /// Its key's columns.
    pub key: Vec<Ident>,
    /// Its attributes.
    pub attributes: Vec<Ident>,
}

impl Made<'_> {
    /// Key and attributes.
    pub fn names(&self) -> Vec<Ident> {
        [&self.key[..], &self.attributes[..]].concat()
    }

    /// The expressions of key and attributes, in this order.
    pub fn expressions(&self) -> Vec<Expression> {
        let columns = self.rows.key.iter().chain(&self.rows.attributes);
        columns.map(Expression::of).collect()
    }

    /// The expressions by which a fact names a member.
    pub fn named_by(&self, lookup: &Lookup) -> Vec<Expression> {
        let pairs = lookup.sql.iter().zip(&self.rows.key);
        pairs.map(|(sql, key)| Expression::new(sql, key.data_type)).collect()
    }
}

impl<'a> Builder<'a> {
    /// A dimension: its table and its task.
    pub(super) fn dimension(
        &self,
        position: usize,
        dimension: &'a Dimension,
        access: &Access,
        graph: &mut Graph,
    ) -> anyhow::Result<Step> {
        let table = self.context.target.schema.child(&dimension.name);
        let mut loads: BTreeSet<String> = self.lookups(position).map(|(fact, _)| fact.from.clone()).collect();
        let (nodes, statements) = match &dimension.members {
            Members::Calendar(calendar) => {
                let object = self.calendar_table(dimension, *calendar, &table)?;
                let node = insert(object, std::slice::from_ref(&access.schema), graph);
                (vec![node], self.calendar(position, dimension, *calendar, &table)?)
            }
            Members::Rows(rows) => {
                loads.insert(rows.from.clone());
                let made = Made {
                    dimension,
                    rows,
                    table,
                    key: idents(&rows.key),
                    attributes: idents(&rows.attributes),
                };
                let object = self.members_table(&made)?;
                let mut nodes = vec![insert(object, std::slice::from_ref(&access.schema), graph)];
                let statements = match self.history_of(dimension) {
                    Some(history) => {
                        let object = self.history_table(&made, &history)?;
                        nodes.push(insert(object, std::slice::from_ref(&access.raw_schema), graph));
                        self.versions(position, &made, &history)?
                    }
                    None => self.members(position, &made)?,
                };
                (nodes, statements)
            }
        };
        Ok(Step {
            task: dimension_task(&dimension.name),
            about: format!("Merges {}", dimension.name),
            work: Work::Transaction(statements),
            refill: self.refill(&loads),
            loads,
            after: BTreeSet::new(),
            nodes,
        })
    }

    fn members_table(&self, made: &Made) -> anyhow::Result<Object> {
        let dimension = made.dimension;
        let mut columns = vec![ColumnDefinition {
            not_null: true,
            ..column(
                dimension.surrogate.as_str(),
                "NUMBER(38,0)",
                true,
                "Surrogate key; -1 is the unknown member",
            )
        }];
        columns.extend(made.rows.key.iter().chain(&made.rows.attributes).map(definition));
        if made.rows.history.is_some() {
            columns.extend([
                column("VALID_FROM", "TIMESTAMP_NTZ(9)", false, "When this version began"),
                column(
                    "VALID_TO",
                    "TIMESTAMP_NTZ(9)",
                    false,
                    "When it ended, itself not in it; null while it is valid",
                ),
                column("IS_CURRENT", "BOOLEAN", false, "Whether it is valid"),
            ]);
        }
        columns.push(column(
            "_IS_INFERRED",
            "BOOLEAN",
            false,
            "Whether only facts know the member yet",
        ));
        columns.extend(origin());
        self.dimension_table(
            dimension,
            &made.table,
            &columns,
            " NOT NULL AUTOINCREMENT START 1 INCREMENT 1 NOORDER",
        )
    }

    /// The table of a dimension; the unknown member is in it from the beginning.
    pub(super) fn dimension_table(
        &self,
        dimension: &Dimension,
        table: &Name,
        columns: &[ColumnDefinition],
        surrogate: &str,
    ) -> anyhow::Result<Object> {
        let mut extras = vec![""; columns.len()];
        if let Some(first) = extras.first_mut() {
            *first = surrogate;
        }
        let about = dimension.description.clone().unwrap_or_default();
        let key = format!("PRIMARY KEY ({}) RELY", dimension.surrogate);
        let mut object = star_table(self.context, table, &about, columns, &extras, &[key], "")?;
        object.key = vec![dimension.surrogate.clone()];
        object.statements.create.push(self.unknown(dimension, table)?.into());
        Ok(object)
    }

    /// The statement that adds the unknown member.
    pub(super) fn unknown(&self, dimension: &Dimension, table: &Name) -> anyhow::Result<String> {
        let values = context! {
            dimension => raw(table),
            surrogate => raw(&dimension.surrogate),
            history => self.history_of(dimension).is_some(),
            beginning => raw(BEGINNING),
        };
        self.context.templates.text("star_unknown", values)
    }

    /// The statements of a dimension that overwrites.
    fn members(&self, position: usize, made: &Made) -> anyhow::Result<Vec<String>> {
        let templates = self.context.templates;
        let names = made.names();
        let shared = context! {
            dimension => raw(&made.table),
            known => known(made.key.len()),
            match => equal(&made.key, "t", "s"),
        };
        let rows = self.source(&made.rows.from)?.changes(
            &made.expressions(),
            &[],
            not_deleted(made.rows.filter.as_deref()),
        )?;
        let newest = context! {
            columns => named(&names, 1),
            rows => rows,
            partition => places(made.key.len()),
            attributes => raws(&made.attributes),
            names => list(&names, ""),
            values => list(&names, "s."),
            ..shared.clone()
        };
        let mut statements = vec![
            self.unknown(made.dimension, &made.table)?,
            templates.text("star_dimension", newest)?,
        ];
        for (fact, lookup) in self.lookups(position) {
            let source = self.source(&fact.from)?;
            let inferred = context! {
                columns => named(&made.key, 1),
                rows => source.touched(&made.named_by(lookup), &[], fact.filter.clone())?,
                names => list(&made.key, ""),
                values => list(&made.key, "s."),
                ..shared.clone()
            };
            statements.push(templates.text("star_infer", inferred)?);
        }
        Ok(statements)
    }
}

/// Rows that make members. A deleted row makes none, and the member that it made stays: facts may have it.
fn not_deleted(filter: Option<&str>) -> Option<String> {
    let present = "_OP <> 'd'";
    Some(match filter {
        Some(filter) => format!("{present} AND ({filter})"),
        None => present.to_owned(),
    })
}

/// Changes that make versions, and deletes, which end them whatever was deleted.
pub(super) fn filter_of_changes(filter: Option<&str>) -> Option<String> {
    filter.map(|filter| format!("_OP = 'd' OR ({filter})"))
}
