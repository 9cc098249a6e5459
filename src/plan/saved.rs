//! A plan kept in a file: what will be done, and what it was made from, so that nothing else is ever carried out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, bail};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Plan;
use super::make::World;
use crate::aws::observe::LiveStack;
use crate::graph::Graph;
use crate::graph::object::Kind;
use crate::graph::snowflake::hash;
use crate::model::names::Names;
use crate::snowflake::grant::Grant;
use crate::snowflake::ident::Name;
use crate::snowflake::observe::LiveObject;

/// Version of the form; another one is refused.
const VERSION: u32 = 1;

/// What `pipectl diff --out FILE` writes and `pipectl deploy --plan FILE` carries out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SavedPlan {
    /// Version of this form.
    pub version: u32,
    /// Version of pipectl that made it.
    pub pipectl: String,
    /// What it was made from.
    pub basis: Basis,
    /// The plan.
    #[serde(flatten)]
    pub plan: Plan,
}

/// What a plan was made from, as hashes: the things that were there and the files that were rendered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Basis {
    /// Each thing of the pipeline as it was, by its kind and name. Rows are no part of it.
    pub observed: BTreeMap<String, String>,
    /// Each file that `pipectl render` writes, by its path.
    pub definition: BTreeMap<String, String>,
    /// Key of the runtime's zip.
    pub runtime: String,
}

impl Basis {
    /// The basis of a plan from `world` to `graph`, whose files have the hashes `definition`.
    pub fn of(graph: &Graph, world: &World, names: &Names, definition: BTreeMap<String, String>) -> Self {
        let wanted: BTreeSet<(Kind, &Name)> = graph.objects().map(|(_, object)| (object.kind, &object.name)).collect();
        let owner = names.mark();
        let is_ours = |kind: Kind, name: &Name, live: &LiveObject| {
            wanted.contains(&(kind, name)) || live.mark().is_some_and(|(found, _)| found == owner)
        };
        let stacks = world
            .stacks
            .iter()
            .map(|(name, live)| (format!("stack {name}"), of_stack(live)));
        let objects = world
            .objects
            .iter()
            .filter(|((kind, name), live)| is_ours(*kind, name, live))
            .map(|((kind, name), live)| (format!("{kind} {name}"), of_object(live)));
        let buckets = world
            .buckets
            .iter()
            .map(|(name, live)| (format!("bucket {name}"), hash(&format!("{live:?}"))));
        // Only what was asked of rows, because their columns change.
        let values = world.findings.iter().map(|(table, found)| {
            (
                format!("what the rows hold of table {table}"),
                hash(&json!(Vec::from_iter(found)).to_string()),
            )
        });
        Basis {
            observed: stacks.chain(objects).chain(values).chain(buckets).collect(),
            definition,
            runtime: world.runtime_key.clone(),
        }
    }

    /// What is not as it was, a line each.
    fn moved(&self, now: &Basis) -> Vec<String> {
        let mut moved = compare(&self.observed, &now.observed, ["changed", "is gone", "is there now"]);
        let said = ["renders otherwise", "is no longer rendered", "is rendered now"];
        moved.extend(compare(&self.definition, &now.definition, said));
        if self.runtime != now.runtime {
            moved.push("the runtime of the Lambda functions is another one".to_owned());
        }
        moved
    }
}

fn compare(
    before: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
    [changed, gone, new]: [&str; 3],
) -> Vec<String> {
    let keys: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let line = |key: &String| match (before.get(key), now.get(key)) {
        (Some(old), Some(found)) => (old != found).then(|| format!("{key} {changed}")),
        (Some(_), None) => Some(format!("{key} {gone}")),
        (None, _) => Some(format!("{key} {new}")),
    };
    keys.into_iter().filter_map(line).collect()
}

fn of_stack(live: &LiveStack) -> String {
    let whole = json!([live.status, live.template, live.parameters, live.tags]);
    hash(&whole.to_string())
}

fn of_object(live: &LiveObject) -> String {
    let properties: BTreeMap<_, _> = live.properties.iter().filter(|(name, _)| *name != "rows").collect();
    let columns: Vec<Value> = live
        .columns
        .iter()
        .map(|column| json!([column.name, column.data_type, column.not_null, column.comment]))
        .collect();
    let grants: Option<Vec<String>> = live.grants.as_ref().map(|all| all.iter().map(Grant::give).collect());
    let key = json!([live.key, live.key_is_relied_on]);
    hash(&json!([live.comment, properties, columns, key, grants]).to_string())
}

impl SavedPlan {
    /// A plan made now.
    pub fn new(plan: Plan, basis: Basis) -> Self {
        SavedPlan {
            version: VERSION,
            pipectl: env!("CARGO_PKG_VERSION").to_owned(),
            basis,
            plan,
        }
    }

    /// The plan as text.
    pub fn json(&self) -> String {
        format!("{:#}\n", json!(self))
    }

    /// Writes it to a file.
    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        std::fs::write(file, self.json()).with_context(|| format!("writing the plan to {}", file.display()))
    }

    /// Reads it from a file.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| {
            format!(
                "reading the plan {}\n  hint: `pipectl diff --out FILE` writes one",
                file.display()
            )
        })?;
        let saved: SavedPlan = serde_json::from_str(&text)
            .with_context(|| format!("{} is no plan that this pipectl knows", file.display()))?;
        if saved.version != VERSION {
            bail!(
                "{} has the form {}, and this pipectl knows only {VERSION}",
                file.display(),
                saved.version
            );
        }
        Ok(saved)
    }

    /// Refuses the plan unless it is exactly what would be planned now. So a plan that was edited is refused too.
    pub fn confirm(&self, now: &SavedPlan) -> anyhow::Result<()> {
        let of = |plan: &Plan| format!("{}/{}", plan.pipeline, plan.environment);
        let (made, wanted) = (of(&self.plan), of(&now.plan));
        if made != wanted {
            bail!("nothing was changed: the plan is one of {made}, and this is {wanted}");
        }
        let mut moved = self.basis.moved(&now.basis);
        if moved.is_empty() && self.plan.steps != now.plan.steps {
            moved.push(if self.pipectl == now.pipectl {
                "the plan's steps are not those that follow from the file: it was edited".to_owned()
            } else {
                format!("pipectl {} made the plan; this is {}", self.pipectl, now.pipectl)
            });
        }
        if moved.is_empty() {
            return Ok(());
        }
        bail!(
            "nothing was changed, because this moved since the plan was made:\n  {}\n  hint: make the plan again with `pipectl diff --out FILE`, and look at it",
            moved.join("\n  ")
        )
    }
}

/// The JSON Schema of a plan, as it is shipped in `schema/plan.schema.json`.
pub fn json_schema() -> String {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<SavedPlan>().to_value();
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), json!("A plan of pipectl"));
    }
    format!("{schema:#}\n")
}

#[cfg(test)]
#[path = "saved_tests.rs"]
mod tests;
