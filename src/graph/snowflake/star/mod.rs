//! The star schema: dimensions and facts as tables, and the tasks that fill them after a load.
//!
//! The rows of a load are kept beside the typed tables as a *batch* until everything made of them is done, so all tasks of
//! a run see the same rows, and a run that failed is repeated with them. Every statement gives the same result when it is
//! repeated. A task whose statement changed takes all kept records as its next batch.

mod calendar;
mod dimension;
mod fact;
#[cfg(test)]
mod golden_tests;
mod history;
mod source;

use std::collections::{BTreeMap, BTreeSet};

use minijinja::{Value, context};

use super::Context;
use super::access::{Access, insert};
use super::cdc::Changes;
use super::load::{TEXT, column, stream};
use super::objects::{Blueprint, values};
use crate::graph::object::{Actor, ColumnDefinition, Kind, Object};
use crate::graph::{Graph, NodeId};
use crate::model::star::{Dimension, Fact, Members, Star, StarColumn};
use crate::model::{Origin, Table};
use crate::snowflake::ident::{Ident, Name, literal};
use crate::snowflake::sql::raw;
use source::Source;

/// When versions begin that nobody knows the beginning of.
const BEGINNING: &str = "'0001-01-01'::TIMESTAMP_NTZ";
/// Later than every moment: what is asked for without a moment is asked for as of now.
const END: &str = "'9999-12-31'::TIMESTAMP_NTZ";

/// What a typed table gives to the star: its batch.
pub(super) struct Stage {
    /// The rows of the batch.
    pub batch: Name,
    /// Has rows while the batch is not done with.
    pub pending: Name,
    /// The typed table.
    pub typed: Name,
    /// The statements that add what arrived.
    pub insert: Vec<String>,
    /// The statements that add all kept records.
    pub refill: Vec<String>,
    /// Nodes that must exist before rows are added.
    pub nodes: Vec<NodeId>,
}

/// One task of the star.
pub(super) struct Step {
    /// Its name.
    pub task: String,
    /// What it does.
    pub about: String,
    /// What it runs.
    pub work: Work,
    /// Typed tables whose load comes before it.
    pub loads: BTreeSet<String>,
    /// Tasks of the star that come before it.
    pub after: BTreeSet<String>,
    /// Statements that bring the kept records back when this task changes.
    pub refill: Vec<String>,
    /// Nodes that must exist before it.
    pub nodes: Vec<NodeId>,
}

/// What a task runs.
pub(super) enum Work {
    /// Statements in one transaction.
    Transaction(Vec<String>),
    /// SQL of the user's own.
    Own(String),
}

/// Names of the tables that the star is made of.
pub(super) fn feeding(star: &Star) -> BTreeSet<&str> {
    let members = star.dimensions.iter().filter_map(|dimension| match &dimension.members {
        Members::Rows(rows) => Some(rows.from.as_str()),
        Members::Calendar(_) => None,
    });
    members
        .chain(star.facts.iter().map(|fact| fact.from.as_str()))
        .collect()
}

/// Where the rows of a typed table come from.
pub(super) struct Arriving<'a> {
    /// The stream, or the raw table.
    pub source: Name,
    /// Its rows.
    pub rows: Value,
    /// What else becomes of them, where they are changes.
    pub changes: Option<&'a Changes<'a>>,
}

/// The batch of a table that the star is made of ([`feeding`]): of what arrived, and of all that was kept.
pub(super) fn stage(
    context: &Context,
    spec: &Table,
    typed: &Name,
    [arrived, kept]: [&Arriving; 2],
    access: &Access,
    graph: &mut Graph,
) -> anyhow::Result<Stage> {
    let schema = &context.target.raw_schema;
    let batch = schema.child(&format!("{}_BATCH", spec.name));
    let pending = schema.child(&format!("{}_PENDING", spec.name));
    let row = spec
        .is_keyless()
        .then(|| column("_ROW", TEXT, false, "Tells rows apart"));
    let own = spec.columns.iter().map(|own| ColumnDefinition {
        name: own.name.clone(),
        data_type: own.data_type.to_string().into(),
        not_null: false,
        was: own.was.clone(),
        comment: own.description.as_deref().map(Into::into),
    });
    let mut columns: Vec<ColumnDefinition> = own.chain(row).collect();
    let names: Vec<String> = columns.iter().map(|column| column.name.to_string()).collect();
    columns.extend([
        column("_SEQ", TEXT, false, "Orders the changes of a row"),
        column("_TS", "TIMESTAMP_NTZ(9)", false, "When the row changed"),
        column("_OP", TEXT, false, "What happened to it; d: it was deleted"),
    ]);
    let about = format!("Rows of {} that the star schema does not have yet", spec.name);
    let made = own_table(context, &batch, &about, &columns, &[], "DELETE")?;
    let batch_node = insert(made, std::slice::from_ref(&access.raw_schema), graph);
    let pending_node = stream(
        context,
        &pending,
        &batch,
        "Rows not yet in the star schema",
        &batch_node,
        graph,
    )?;
    let add = |arriving: &Arriving| -> anyhow::Result<Vec<String>> {
        let of_record = matches!(spec.origin, Origin::Mysql(_));
        let values = context! {
            batch => raw(&batch),
            columns => raw(names.join(", ")),
            rows => &arriving.rows,
            sequence => raw(if of_record { "_SEQ".to_owned() } else { format!("{} || '/' || LPAD(_ITEM::VARCHAR, 12, '0')", source::OF_FILE) }),
            time => raw(if of_record { "TRY_CAST(_RECORD:\"ts\"::VARCHAR AS TIMESTAMP_NTZ)" } else { "_FILE_MODIFIED" }),
            operation => raw(if of_record { "COALESCE(_RECORD:\"op\"::VARCHAR, 'u')" } else { "'u'" }),
        };
        let mut statements = vec![context.templates.text("star_stage", values)?];
        if let Some(changes) = arriving.changes {
            statements.push(changes.truncated_rows(&batch, &arriving.source.to_string())?);
        }
        Ok(statements)
    };
    Ok(Stage {
        insert: add(arrived)?,
        refill: add(kept)?,
        typed: typed.clone(),
        nodes: vec![batch_node, pending_node],
        batch,
        pending,
    })
}

/// Columns that tell where a row of a dimension or a fact comes from.
fn origin() -> [ColumnDefinition; 2] {
    let change = "The change that it was made from; a later one is larger";
    [
        column("_SEQ", TEXT, false, change),
        column("_LOADED_AT", "TIMESTAMP_LTZ(9)", false, "When it was merged"),
    ]
}

/// A table that only tasks read and write.
fn own_table(
    context: &Context,
    name: &Name,
    about: &str,
    columns: &[ColumnDefinition],
    constraints: &[String],
    privileges: &str,
) -> anyhow::Result<Object> {
    let extras: Vec<&str> = columns
        .iter()
        .map(|column| if column.not_null { " NOT NULL" } else { "" })
        .collect();
    star_table(context, name, about, columns, &extras, constraints, privileges)
}

/// A table of the star; `extras` stand behind the types of its columns.
fn star_table(
    context: &Context,
    name: &Name,
    about: &str,
    columns: &[ColumnDefinition],
    extras: &[&str],
    constraints: &[String],
    privileges: &str,
) -> anyhow::Result<Object> {
    let last = columns.len().saturating_sub(1);
    let shown: Vec<Value> = columns
        .iter()
        .zip(extras)
        .enumerate()
        .map(|(position, (column, extra))| {
            let comment = column.comment.as_deref();
            context! {
                name => raw(&column.name),
                type => raw(&column.data_type),
                extra => raw(extra),
                comment => raw(comment.map(|text| format!(" COMMENT {}", literal(text))).unwrap_or_default()),
                comma => raw(if position < last || !constraints.is_empty() { "," } else { "" }),
            }
        })
        .collect();
    let last = constraints.len().saturating_sub(1);
    let constraints: Vec<Value> = constraints
        .iter()
        .enumerate()
        .map(|(position, sql)| context! { sql => raw(sql), comma => raw(if position < last { "," } else { "" }) })
        .collect();
    let blueprint = Blueprint {
        kind: Kind::Table,
        template: "star_table",
        name: name.clone(),
        actor: Actor::Owner,
        about: about.to_owned(),
        values: values! {
            "columns": shown,
            "constraints": constraints,
            "privileges": raw(privileges),
            "loader": raw(&context.roles.loader),
        },
    };
    let mut object = blueprint.build(context.templates, &context.model.names)?;
    object.columns = columns.to_vec();
    Ok(object)
}

/// Adds the tables of the star, and gives the tasks that fill them.
pub(super) fn contribute(
    context: &Context,
    stages: &BTreeMap<String, Stage>,
    access: &Access,
    graph: &mut Graph,
) -> anyhow::Result<Vec<Step>> {
    let builder = Builder { context, stages };
    let star = &context.model.star;
    let mut steps = Vec::new();
    let mut nodes = Vec::new();
    for (position, dimension) in star.dimensions.iter().enumerate() {
        let step = builder.dimension(position, dimension, access, graph)?;
        nodes.push(step.nodes.clone());
        steps.push(step);
    }
    for fact in &star.facts {
        steps.push(builder.fact(fact, &nodes, access, graph)?);
    }
    if steps.is_empty() && star.transforms.is_empty() {
        return Ok(steps);
    }
    for transform in &star.transforms {
        steps.push(builder.transform(transform));
    }
    if !stages.is_empty() {
        let finish = builder.finish(&steps);
        steps.push(finish);
    }
    Ok(steps)
}

struct Builder<'a> {
    context: &'a Context<'a>,
    stages: &'a BTreeMap<String, Stage>,
}

/// Name of the task of a dimension.
pub fn dimension_task(dimension: &str) -> String {
    format!("DIMENSION_{}", dimension.to_uppercase())
}

/// Name of the task of a fact.
pub fn fact_task(fact: &str) -> String {
    format!("FACT_{}", fact.to_uppercase())
}

fn transform_task(name: &str) -> String {
    format!("TRANSFORM_{}", name.to_uppercase())
}

impl<'a> Builder<'a> {
    fn star(&self) -> &'a Star {
        &self.context.model.star
    }

    fn source(&self, table: &str) -> anyhow::Result<Source<'a>> {
        let tables = &self.context.model.tables;
        let found = tables.iter().find(|other| other.name == table);
        let (Some(table), Some(stage)) = (found, self.stages.get(table)) else {
            anyhow::bail!("table {table} has no batch")
        };
        Ok(Source {
            templates: self.context.templates,
            table,
            stage,
        })
    }

    /// The facts that look up a dimension, with how.
    fn lookups(&self, dimension: usize) -> impl Iterator<Item = (&'a Fact, &'a crate::model::star::Lookup)> {
        let star = self.star();
        star.facts.iter().flat_map(move |fact| {
            let of_dimension = fact.lookups.iter().filter(move |lookup| lookup.dimension == dimension);
            of_dimension.map(move |lookup| (fact, lookup))
        })
    }

    /// Where the versions of a dimension come from, if it keeps any.
    fn history_of(&self, dimension: &Dimension) -> Option<Name> {
        let schema = &self.context.target.raw_schema;
        match &dimension.members {
            Members::Rows(rows) if rows.history.is_some() => Some(schema.child(&format!("{}_HISTORY", dimension.name))),
            _ => None,
        }
    }

    fn refill(&self, tables: &BTreeSet<String>) -> Vec<String> {
        let stages = tables.iter().filter_map(|table| self.stages.get(table));
        stages.flat_map(|stage| stage.refill.iter().cloned()).collect()
    }

    fn transform(&self, transform: &crate::model::star::Transform) -> Step {
        let star = self.star();
        let (mut loads, mut after) = (BTreeSet::new(), BTreeSet::new());
        for name in &transform.after {
            let is = |other: &str| other.eq_ignore_ascii_case(name);
            after.extend(
                star.dimensions
                    .iter()
                    .filter(|found| is(&found.name))
                    .map(|dimension| dimension_task(&dimension.name)),
            );
            after.extend(
                star.facts
                    .iter()
                    .filter(|found| is(&found.name))
                    .map(|fact| fact_task(&fact.name)),
            );
            let others = star.transforms.iter().filter(|found| is(&found.name));
            after.extend(others.map(|found| transform_task(&found.name)));
            let tables = self.context.model.tables.iter().filter(|found| is(&found.name));
            loads.extend(tables.map(|found| found.name.clone()));
        }
        Step {
            task: transform_task(&transform.name),
            about: format!("Runs {}", transform.file),
            work: Work::Own(transform.sql.clone()),
            loads,
            after,
            refill: Vec::new(),
            nodes: Vec::new(),
        }
    }

    /// The task that ends a run: the batches are done with.
    fn finish(&self, steps: &[Step]) -> Step {
        let mut statements = Vec::new();
        for stage in self.stages.values() {
            let (batch, pending) = (&stage.batch, &stage.pending);
            statements.push(format!("DELETE FROM {batch}"));
            // Reading a stream in a statement that changes rows moves it, also when it gives no row:
            // https://docs.snowflake.com/en/user-guide/streams-manage#consuming-all-unread-changes
            statements.push(format!(
                "INSERT INTO {batch} (_SEQ)\nSELECT _SEQ\nFROM {pending}\nWHERE 0 = 1"
            ));
        }
        let histories = self
            .star()
            .dimensions
            .iter()
            .filter_map(|dimension| self.history_of(dimension));
        statements.extend(histories.map(|history| format!("UPDATE {history}\nSET _IS_NEW = FALSE\nWHERE _IS_NEW")));
        let awaited: BTreeSet<&String> = steps.iter().flat_map(|step| &step.after).collect();
        let leaves = steps.iter().filter(|step| !awaited.contains(&step.task));
        Step {
            task: "FINISH_STAR".to_owned(),
            about: "Ends a run: its rows are in the star schema".to_owned(),
            work: Work::Transaction(statements),
            loads: self.stages.keys().cloned().collect(),
            after: leaves.map(|step| step.task.clone()).collect(),
            refill: Vec::new(),
            nodes: Vec::new(),
        }
    }
}

/// `one.A = other.A AND one.B = other.B`.
pub(super) fn equal(names: &[Ident], one: &str, other: &str) -> Value {
    let pairs: Vec<String> = names
        .iter()
        .map(|name| format!("{one}.{name} = {other}.{name}"))
        .collect();
    raw(pairs.join(" AND "))
}

/// `prefix.A, prefix.B`.
pub(super) fn list(names: &[Ident], prefix: &str) -> Value {
    let names: Vec<String> = names.iter().map(|name| format!("{prefix}{name}")).collect();
    raw(names.join(", "))
}

/// The columns of a selection by their place, under their names.
fn named(names: &[Ident], first: usize) -> Vec<Value> {
    let last = names.len().saturating_sub(1);
    let names = names.iter().enumerate();
    names
        .map(|(position, name)| {
            context! {
                found => raw(format!("_{}", first + position)),
                name => raw(name),
                comma => raw(if position < last { "," } else { "" }),
            }
        })
        .collect()
}

/// `_1, _2`.
fn places(count: usize) -> Value {
    let places: Vec<String> = (1..=count).map(|place| format!("_{place}")).collect();
    raw(places.join(", "))
}

/// `_1 IS NOT NULL AND _2 IS NOT NULL`.
fn known(count: usize) -> Value {
    let places: Vec<String> = (1..=count).map(|place| format!("_{place} IS NOT NULL")).collect();
    raw(places.join(" AND "))
}

fn idents(columns: &[StarColumn]) -> Vec<Ident> {
    columns.iter().map(|column| column.name.clone()).collect()
}

fn raws(names: &[Ident]) -> Vec<Value> {
    names.iter().map(raw).collect()
}

fn definition(own: &StarColumn) -> ColumnDefinition {
    ColumnDefinition {
        name: own.name.clone(),
        data_type: own.data_type.to_string().into(),
        not_null: false,
        was: None,
        comment: own.description.as_deref().map(Into::into),
    }
}
