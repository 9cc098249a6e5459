//! Typed tables, with what is made beside each: a table of rejected records, a stream, and what changes need.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use minijinja::Value;

use super::access::{Access, adoptable, insert};
use super::cdc::{self, Changes};
use super::load::{Raw, TEXT, column, more_on, stream_object, table, table_with};
use super::objects::shared;
use super::star::{self, Arriving, Stage};
use super::tasks::Load;
use super::{Context, apply, rows};
use crate::graph::object::{ColumnDefinition, Object, Statements};
use crate::graph::{Graph, NodeId};
use crate::model::Table;
use crate::snowflake::ident::{Ident, Name};
use crate::snowflake::sql::raw;

/// What is made for one typed table.
pub(super) struct Typed<'a> {
    table: Object,
    rejected: Object,
    /// Tables that changes need beside it.
    beside: Vec<Object>,
    stream: Object,
    /// The raw table.
    raw_table: Name,
    /// Its node.
    source: NodeId,
    /// The changes that feed it, where records are changes.
    changes: Option<Changes<'a>>,
    /// The rows of what arrived, and of everything that was kept, where the star schema is made of them.
    rows: Option<[Value; 2]>,
    /// The statements of a load: those before the star schema gets its rows, and those after it.
    pub statements: [Vec<String>; 2],
}

impl<'a> Typed<'a> {
    pub fn new(
        context: &Context<'a>,
        spec: &'a Table,
        raws: &BTreeMap<&str, Raw>,
        feeding: &BTreeSet<&str>,
        of_rejected: &[ColumnDefinition],
    ) -> anyhow::Result<Self> {
        let Some(source) = raws.get(spec.feed.as_str()) else {
            anyhow::bail!("table {} has no feed", spec.name)
        };
        let target = context.target.schema.child(&spec.name);
        let changes = Changes::of(context, spec);
        let rejected = context.target.raw_schema.child(&format!("{}_REJECTED", spec.name));
        let stream = context.target.raw_schema.child(&format!("{}_STREAM", spec.name));
        let mut typed = typed_table(context, spec, changes.as_ref(), &target)?;
        // Filled once: only where the rows come from differs.
        let templates = context.templates;
        let rows = match &changes {
            Some(changes) => changes.rows(templates.gap())?,
            None => rows::rows(spec, templates.gap(), templates)?,
        };
        let arrived = match &context.target.apply {
            Some(_) => apply::arrived(&source.table),
            None => stream.to_string(),
        };
        let kept = source.table.to_string();
        let arriving = raw(templates.without_gaps(&rows, &arrived));
        let statements = match &changes {
            Some(changes) => {
                typed.statements.backfill = shared(changes.refill(&kept)?);
                changes.load(&arrived)?
            }
            None => {
                let merge = rows::merge(spec, &raw(&rows), &target, templates)?;
                typed.statements.backfill = vec![templates.without_gaps(&merge, &kept).into()];
                let reject = rows::reject(&arriving, &rejected, templates)?;
                [vec![reject, templates.without_gaps(&merge, &arrived)], Vec::new()]
            }
        };
        let beside = match &changes {
            Some(changes) => cdc::tables(context, changes, &kept)?,
            None => Vec::new(),
        };
        Ok(Typed {
            table: typed,
            rejected: rejected_table(context, spec, &rejected, of_rejected)?,
            beside,
            stream: stream_object(context, &stream, &source.table, "Records not yet merged")?,
            raw_table: source.table.clone(),
            source: source.node.clone(),
            changes,
            rows: feeding
                .contains(spec.name.as_str())
                .then(|| [arriving, raw(templates.without_gaps(&rows, &kept))]),
            statements,
        })
    }

    /// Has a statement run before anything is filled from the records that are kept.
    pub fn fills_after(&mut self, statement: &Arc<str>) {
        for table in self.beside.iter_mut().chain([&mut self.table]) {
            let Statements { create, backfill, .. } = &mut table.statements;
            if create.len() > 1 {
                create.insert(1, Arc::clone(statement));
            }
            if !backfill.is_empty() {
                backfill.insert(0, Arc::clone(statement));
            }
        }
    }

    /// Adds what a procedure fills; gives its nodes and the statements of the procedure.
    pub fn insert_applied<'n>(
        self,
        access: &Access,
        before: impl Iterator<Item = &'n NodeId> + Clone,
        graph: &mut Graph,
    ) -> (Vec<NodeId>, Vec<String>) {
        let tables = (self.table, self.rejected, self.beside);
        let nodes = insert_tables(tables, &self.source, access, before, graph);
        (nodes, self.statements.concat())
    }

    pub fn insert(
        self,
        context: &Context,
        spec: &Table,
        access: &Access,
        truncated: Option<&NodeId>,
        graph: &mut Graph,
    ) -> anyhow::Result<(Load, Option<Stage>)> {
        let (target, stream) = (self.table.name.clone(), self.stream.name.clone());
        let tables = (self.table, self.rejected, self.beside);
        let mut nodes = insert_tables(tables, &self.source, access, truncated.into_iter(), graph);
        let stream_node = insert(self.stream, std::slice::from_ref(&self.source), graph);
        let stage = match self.rows {
            Some([arrived, kept]) => {
                let changes = self.changes.as_ref();
                let arriving = |source: &Name, rows| Arriving {
                    source: source.clone(),
                    rows,
                    changes,
                };
                let both = [&arriving(&stream, arrived), &arriving(&self.raw_table, kept)];
                Some(star::stage(context, spec, &target, both, access, graph)?)
            }
            None => None,
        };
        nodes.push(stream_node.clone());
        nodes.extend(stage.iter().flat_map(|stage| stage.nodes.iter().cloned()));
        let load = Load {
            name: spec.name.clone(),
            nodes,
            statements: {
                let [first, last] = self.statements;
                let staged = stage.iter().flat_map(|stage| stage.insert.iter().cloned());
                first.into_iter().chain(staged).chain(last).collect()
            },
            pending: stage.as_ref().map(|stage| stage.pending.clone()),
            stream,
            stream_node,
        };
        Ok((load, stage))
    }
}

/// Adds a typed table, its rejected records, and the tables beside it.
fn insert_tables<'n>(
    (table, rejected, beside): (Object, Object, Vec<Object>),
    source: &NodeId,
    access: &Access,
    before: impl Iterator<Item = &'n NodeId> + Clone,
    graph: &mut Graph,
) -> Vec<NodeId> {
    // Made first, from what was kept: filling a column of the typed table looks into them.
    let mut filled = vec![access.schema.clone(), access.raw_schema.clone(), source.clone()];
    filled.extend(access.warehouse.clone());
    filled.extend(before.clone().cloned());
    let beside: Vec<NodeId> = beside.into_iter().map(|table| insert(table, &filled, graph)).collect();
    let mut needs = vec![access.schema.clone(), source.clone()];
    needs.extend(before.clone().cloned());
    needs.extend(beside.iter().cloned());
    if table.adoption.is_some() {
        // Taking it over adds columns, which are filled.
        needs.extend(access.warehouse.clone());
    }
    let typed = insert(table, &needs, graph);
    let rejected = insert(rejected, std::slice::from_ref(&access.raw_schema), graph);
    let both = [typed, rejected].into_iter();
    both.chain(before.cloned()).chain(beside).collect()
}

fn typed_table(context: &Context, spec: &Table, changes: Option<&Changes>, name: &Name) -> anyhow::Result<Object> {
    let own = spec.columns.iter().map(|column| ColumnDefinition {
        name: column.name.clone(),
        data_type: column.data_type.to_string().into(),
        not_null: column.not_null,
        was: column.was.clone(),
        comment: column.description.as_deref().map(Into::into),
    });
    let mut columns: Vec<ColumnDefinition> = own.collect();
    let key = rows::key(spec);
    // Snowflake makes the columns of a primary key NOT NULL:
    // https://docs.snowflake.com/en/sql-reference/constraints-overview
    let technical = rows::technical(spec).into_iter();
    let technical =
        technical.map(|(name, data_type, comment)| column(name.as_str(), data_type, key.contains(&name), comment));
    columns.extend(technical);
    columns.extend(cdc::flag(spec));
    if spec.is_flagged() {
        // Of a deleted row sometimes only the key is known.
        let others = columns
            .iter_mut()
            .filter(|column| !key.contains(&column.name) && column.name.as_str() != cdc::DELETED);
        others.for_each(|column| column.not_null = false);
    }
    let key: Vec<&Ident> = key.iter().collect();
    let about = spec.description.clone().unwrap_or_default();
    let leaving = changes.map(Changes::leaving).transpose()?.flatten();
    let privileges = if leaving.is_some() { "DELETE" } else { "" };
    let mut typed = table_with(context, name, &about, columns, &key, privileges)?;
    adoptable(context, &mut typed, spec.adopt)?;
    if let Some(adoption) = &mut typed.adoption {
        adoption
            .grants
            .extend(more_on(context, name, privileges).map(Into::into));
    }
    typed.leaving = leaving.map(Box::new);
    Ok(typed)
}

/// Columns of every table of records that are no rows.
pub(super) fn rejected_columns() -> Vec<ColumnDefinition> {
    vec![
        column("FILE_NAME", TEXT, true, "File of the record"),
        column("FILE_ROW", "NUMBER(38,0)", true, "Its place in that file"),
        column("ITEM_INDEX", "NUMBER(38,0)", true, "The item's place in the record"),
        column("REASON", TEXT, true, "Why it is no row"),
        column("RECORD", "VARIANT", false, "The record, or the item of it"),
        column("REJECTED_AT", "TIMESTAMP_LTZ(9)", true, "When"),
    ]
}

fn rejected_table(
    context: &Context,
    spec: &Table,
    name: &Name,
    columns: &[ColumnDefinition],
) -> anyhow::Result<Object> {
    let about = format!("Records that are no rows of {}", spec.name);
    table(context, name, &about, columns.to_vec(), &[])
}
