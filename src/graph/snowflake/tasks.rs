//! The task graph: a root that looks for rows, tasks that merge them, a finalizer that keeps what failed and tells when it
//! is well again.
//!
//! Snowflake takes at most 100 children of a task and 1,000 tasks in a graph
//! (<https://docs.snowflake.com/en/user-guide/tasks-graphs>), also while one graph turns into another. So a task has half
//! of the children that it may have: the old and the new ones fit beside each other. The same holds for the whole graph.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::{Value, context};

use super::Context;
use super::access::{Access, insert};
use super::each::each;
use super::load::{TEXT, column, table};
use super::objects::{Blueprint, shared, values};
use super::star::{Step, Work};
use crate::graph::alarm::LATE_SECONDS;
use crate::graph::object::{Actor, Kind, Object, TaskPlace};
use crate::graph::{Graph, NodeId};
use crate::model::LOCAL;
use crate::snowflake::ident::{Name, literal};
use crate::snowflake::sql::raw;
use crate::spec::schedule::{Schedule, Unit};

/// Most children of a task.
const CHILDREN: usize = 50;
/// Most tasks that merge. With more tables than that a task merges several.
const MERGING: usize = 480;

/// The finalizer.
const REPORT: &str = "REPORT_FAILURES";
/// The task that tells when no load ends.
const WATCH: &str = "WATCH_LOADS";
/// What a run of it returns that has told.
const TOLD: &str = "told";
/// What Snowflake says of a run whose condition is false: <https://docs.snowflake.com/en/user-guide/tasks-intro>.
const NOTHING_TO_DO: &str = "0040003";
/// Longest interval of a task's schedule, in seconds: <https://docs.snowflake.com/en/sql-reference/sql/create-task>.
const LONGEST_SECONDS: u32 = 11_520 * 60;

/// What the task graph needs to know of one typed table.
pub(super) struct Load {
    /// Name of the table in the file.
    pub name: String,
    /// The records that it is made from.
    pub stream: Name,
    /// Node of the stream, before which nothing may load into its table.
    pub stream_node: NodeId,
    /// Nodes that must exist before rows are merged.
    pub nodes: Vec<NodeId>,
    /// The statements that bring what arrived into its tables, in one transaction.
    pub statements: Vec<String>,
    /// Has rows while a run of the star schema is not done with; nothing where the star is not made of the table.
    pub pending: Option<Name>,
}

impl Load {
    fn condition(&self) -> String {
        has_data(&self.stream)
    }

    /// When a graph has work: new records, or rows of a run that was not done.
    fn conditions(&self) -> impl Iterator<Item = String> {
        std::iter::once(self.condition()).chain(self.pending.iter().map(has_data))
    }
}

/// When there is anything to do for a graph.
fn work(loads: &[Load]) -> String {
    let conditions: Vec<String> = loads.iter().flat_map(Load::conditions).collect();
    conditions.join("\n    OR ")
}

/// Seconds after which rows that wait are late, by the times at which the graph starts.
fn late(schedule: &Schedule) -> Option<u32> {
    let Schedule::Every { amount, unit } = schedule else {
        return None;
    };
    let seconds = match unit {
        Unit::Seconds => *amount,
        Unit::Minutes => amount * 60,
        Unit::Hours => amount * 3600,
    };
    Some(LATE_SECONDS.max(3 * seconds).next_multiple_of(60).min(LONGEST_SECONDS))
}

fn has_data(stream: &Name) -> String {
    format!("SYSTEM$STREAM_HAS_DATA({})", literal(&stream.to_string()))
}

/// A task that was added, by which others come after it.
type Added = (Name, NodeId);

/// The tables that one task merges.
struct Share<'a> {
    name: String,
    about: String,
    loads: &'a [Load],
}

/// One task for each table, or for a few of them where a graph could not hold so many tasks.
fn shares(loads: &[Load]) -> Vec<Share<'_>> {
    let each = loads.len().div_ceil(MERGING).max(1);
    let mut shares = Vec::new();
    for (position, loads) in loads.chunks(each).enumerate() {
        shares.push(match loads {
            [load] if each == 1 => Share {
                name: format!("LOAD_{}", load.name),
                about: format!("Merges {}", load.name),
                loads,
            },
            // No table's own task is called so: in its name an underscore comes after `LOAD`.
            _ => Share {
                name: format!("LOADS_{}", position + 1),
                about: format!("Merges {}", names(loads)),
                loads,
            },
        });
    }
    shares
}

fn names(loads: &[Load]) -> String {
    let names: Vec<&str> = loads.iter().map(|load| load.name.as_str()).collect();
    names.join(", ")
}

/// Adds the graph; the nodes returned must be there before the source is switched on.
pub(super) fn tasks(
    context: &Context,
    loads: &[Load],
    steps: &[Step],
    access: &Access,
    graph: &mut Graph,
) -> anyhow::Result<Vec<NodeId>> {
    let failures = context.target.raw_schema.child("LOAD_FAILURES");
    let failures_node = insert(
        failures_table(context, &failures)?,
        std::slice::from_ref(&access.raw_schema),
        graph,
    );
    let tasks = Tasks {
        context,
        root: context.target.raw_schema.child("LOAD"),
        failures,
    };
    let root = tasks.root(loads, access, graph)?;
    let shares = shares(loads);
    // Each with the number of its branch, where there are any.
    let numbered: Vec<(usize, &Share)> = (0..).map(|position| position / CHILDREN + 1).zip(&shares).collect();
    let branched = shares.len() > CHILDREN;
    let made = each(&numbered, |(number, share)| {
        let parent = if branched {
            &tasks.branch_name(*number)
        } else {
            &tasks.root
        };
        tasks.merging(share, parent)
    })?;
    let mut made = made.into_iter();
    let mut nodes = vec![root.clone()];
    let mut merging: BTreeMap<&str, Added> = BTreeMap::new();
    for (number, shares) in (1..).zip(shares.chunks(CHILDREN)) {
        let above = if branched {
            &tasks.branch(number, &root, graph)?
        } else {
            &root
        };
        for (share, task) in shares.iter().zip(made.by_ref()) {
            let name = task.name.clone();
            let node = insert(task, std::slice::from_ref(above), graph);
            merging.extend(
                share
                    .loads
                    .iter()
                    .map(|load| (load.name.as_str(), (name.clone(), node.clone()))),
            );
            nodes.push(node);
        }
        if branched {
            nodes.push(above.clone());
        }
    }
    nodes.extend(tasks.star(steps, &merging, graph)?);
    let watch = tasks.watch(loads, &root, graph)?;
    nodes.push(tasks.report(&[root, failures_node], graph)?);
    nodes.extend(watch);
    Ok(nodes)
}

fn failures_table(context: &Context, name: &Name) -> anyhow::Result<Object> {
    let columns = vec![
        column("TASK_NAME", TEXT, true, "Task that failed"),
        column("RUN_ID", TEXT, false, "Run of the graph"),
        column("FAILED_AT", "TIMESTAMP_LTZ(9)", false, "When"),
        column("ERROR_CODE", TEXT, false, "Snowflake's code"),
        column("ERROR_MESSAGE", TEXT, false, "Snowflake's message"),
        column(
            "RECOVERED_AT",
            "TIMESTAMP_LTZ(9)",
            false,
            "When it was well again, in a row of its own",
        ),
    ];
    table(
        context,
        name,
        "Task runs that failed, and the first that did not",
        columns,
        &[],
    )
}

/// What all tasks of the graph have in common.
struct Tasks<'a> {
    context: &'a Context<'a>,
    root: Name,
    failures: Name,
}

impl Tasks<'_> {
    fn root(&self, loads: &[Load], access: &Access, graph: &mut Graph) -> anyhow::Result<NodeId> {
        let target = self.context.target;
        let mut needs: Vec<NodeId> = loads.iter().flat_map(|load| load.nodes.iter().cloned()).collect();
        needs.extend(access.warehouse.clone());
        needs.extend(access.integrations.iter().cloned());
        let values = values! {
            "schedule": target.schedule.to_string(),
            "error_integration": raw(&self.context.error_integration),
            "condition": raw(work(loads)),
        };
        let mut task = self.object("task_root", &self.root, "Starts a load", values)?;
        task.settings.insert("schedule", target.schedule.to_string());
        task.settings
            .insert("error_integration", self.context.error_integration.last().to_owned());
        task.task = Some(TaskPlace::Root);
        Ok(insert(task, &needs, graph))
    }

    /// A task that does nothing but start up to [`CHILDREN`] others.
    fn branch(&self, number: usize, root: &NodeId, graph: &mut Graph) -> anyhow::Result<NodeId> {
        let name = self.branch_name(number);
        let task = self.member("task_branch", &name, "Starts a part of a load", values! {})?;
        Ok(insert(task, std::slice::from_ref(root), graph))
    }

    fn branch_name(&self, number: usize) -> Name {
        self.context.target.raw_schema.child(&format!("BRANCH_{number}"))
    }

    fn merging(&self, share: &Share, parent: &Name) -> anyhow::Result<Object> {
        let name = self.context.target.raw_schema.child(&share.name);
        // Tasks after a skipped one do not run, and those of the star run also when only other tables have new rows:
        // https://docs.snowflake.com/en/sql-reference/functions/system_predecessors_state
        let always = share.loads.iter().any(|load| load.pending.is_some());
        let conditions: Vec<String> = match always {
            true => Vec::new(),
            false => share.loads.iter().map(Load::condition).collect(),
        };
        let merges: Vec<Value> = share
            .loads
            .iter()
            .map(|load| {
                context! {
                    name => format!("LOAD_{}", load.name),
                    statements => load.statements.iter().map(raw).collect::<Vec<_>>(),
                }
            })
            .collect();
        let values = values! {
            "parent": raw(parent),
            "condition": raw(conditions.join("\n    OR ")),
            "failures": raw(&self.failures),
            "merges": merges,
        };
        let template = if share.loads.len() == 1 {
            "task_load"
        } else {
            "task_loads"
        };
        self.member(template, &name, &share.about, values)
    }

    /// The tasks of the star schema, each after those it names.
    fn star(&self, steps: &[Step], merging: &BTreeMap<&str, Added>, graph: &mut Graph) -> anyhow::Result<Vec<NodeId>> {
        let schema = &self.context.target.raw_schema;
        let mut added: BTreeMap<&str, NodeId> = BTreeMap::new();
        for step in steps {
            let after: Vec<&String> = step.after.iter().collect();
            let loads: Vec<&Added> = step
                .loads
                .iter()
                .filter_map(|table| merging.get(table.as_str()))
                .collect();
            let mut needs = step.nodes.clone();
            needs.extend(after.iter().filter_map(|task| added.get(task.as_str()).cloned()));
            needs.extend(loads.iter().map(|(_, node)| node.clone()));
            // Dimensions come after the loads of every table that their facts are made of, so facts do, too.
            let own = matches!(step.work, Work::Own(_));
            let loads = loads.iter().filter(|_| own || after.is_empty());
            let mut parents: BTreeSet<String> = loads.map(|(name, _)| name.to_string()).collect();
            parents.extend(after.iter().map(|task| schema.child(task).to_string()));
            let parents: Vec<String> = parents.into_iter().collect();
            let mut values = values! { "parents": raw(parents.join(", ")) };
            let template = match &step.work {
                Work::Transaction(statements) => {
                    values.insert("statements", statements.iter().map(raw).collect::<Vec<Value>>().into());
                    "task_step"
                }
                Work::Own(sql) => {
                    values.insert("sql", raw(sql));
                    "task_transform"
                }
            };
            let mut task = self.member(template, &schema.child(&step.task), &step.about, values)?;
            // Before the task runs for the first time, or as another one: then it sees everything that was kept.
            task.statements.create.splice(0..0, shared(step.refill.clone()));
            added.insert(&step.task, insert(task, &needs, graph));
        }
        Ok(added.into_values().collect())
    }

    /// A task beside the graph, which nothing of the graph can hold up: it tells when rows wait and no run ends. It runs
    /// only while there are rows, so that it does not wake the warehouse for nothing. The next run's end is told by
    /// [`Tasks::report`]. Times of a cron expression are no measure of what is late.
    fn watch(&self, loads: &[Load], root: &NodeId, graph: &mut Graph) -> anyhow::Result<Option<NodeId>> {
        let Some(late) = late(&self.context.target.schedule) else {
            return Ok(None);
        };
        // A task's schedule follows the faster clock of the local cloud, and what it computes with does not.
        let seconds = match self.context.model.names.environment == LOCAL {
            true => late / 60,
            false => late,
        };
        let about = format!(
            "Rows have waited for {} minutes and no load has ended: the task graph is suspended, is skipped, or hangs",
            late / 60
        );
        let schedule = Schedule::Every {
            amount: late / 60,
            unit: Unit::Minutes,
        };
        let mut values = self.watch_values();
        values.extend(values! {
            "schedule": schedule.to_string(),
            "error_integration": raw(&self.context.error_integration),
            "condition": raw(work(loads)),
            "late_seconds": seconds,
            "root_name": self.root.last(),
            "nothing_to_do": NOTHING_TO_DO,
            "text": about,
        });
        let name = self.context.target.raw_schema.child(WATCH);
        let mut task = self.object("task_watch", &name, "Tells when no load ends", values)?;
        task.settings.insert("schedule", schedule.to_string());
        task.settings
            .insert("error_integration", self.context.error_integration.last().to_owned());
        Ok(Some(insert(task, std::slice::from_ref(root), graph)))
    }

    /// What the task that tells of lateness and the one that tells of its end both say.
    fn watch_values(&self) -> BTreeMap<&'static str, Value> {
        let target = self.context.target;
        let channel = serde_json::json!({ self.context.error_integration.last(): {} });
        values! {
            "database": raw(&target.database),
            "schema_name": target.raw_schema.last(),
            "report_name": REPORT,
            "root_text": self.root.to_string(),
            "channel": channel.to_string(),
            "told": TOLD,
        }
    }

    fn report(&self, needs: &[NodeId], graph: &mut Graph) -> anyhow::Result<NodeId> {
        let name = self.context.target.raw_schema.child(REPORT);
        let mut values = self.watch_values();
        values.extend(values! {
            "failures": raw(&self.failures),
            "schema_text": format!("{}.", self.context.target.raw_schema),
            "watch_name": late(&self.context.target.schedule).map(|_| WATCH),
        });
        let task = self.member("task_report", &name, "Keeps what failed and tells its end", values)?;
        Ok(insert(task, needs, graph))
    }

    fn member(
        &self,
        template: &str,
        name: &Name,
        about: &str,
        values: BTreeMap<&'static str, Value>,
    ) -> anyhow::Result<Object> {
        let mut task = self.object(template, name, about, values)?;
        task.task = Some(TaskPlace::Member {
            root: self.root.clone(),
        });
        Ok(task)
    }

    fn object(
        &self,
        template: &str,
        name: &Name,
        about: &str,
        mut values: BTreeMap<&'static str, Value>,
    ) -> anyhow::Result<Object> {
        let warehouse = &self.context.target.warehouse;
        values.extend(values! { "warehouse": raw(warehouse), "root": raw(&self.root) });
        let blueprint = Blueprint {
            kind: Kind::Task,
            template,
            name: name.clone(),
            actor: Actor::Loader,
            about: about.to_owned(),
            values,
        };
        let mut task = blueprint.build(self.context.templates, &self.context.model.names)?;
        task.settings.insert("warehouse", warehouse.last().to_owned());
        Ok(task)
    }
}
