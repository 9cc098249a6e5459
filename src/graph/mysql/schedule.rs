//! The stack `schedule`: a schedule for each table, which says what is to be read and how.

use anyhow::Context;
use serde_json::{Value, json};

use super::extract;
use crate::graph::alarm::{Metric, When, alarm, watch};
use crate::graph::landing::{Shared, stack};
use crate::graph::policy::{Principal, Statement, policy, service_trust_of};
use crate::graph::snowflake::hash;
use crate::graph::{Body, Graph, NodeId};
use crate::model::names::Names;
use crate::model::{Model, MysqlSource, MysqlTable, Watermark};
use crate::spec::mysql::{Overlap, TableName};
use crate::spec::rate::Rate;
use crate::spec::schedule::Schedule;

/// Longest name of a schedule: <https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html>.
const LONGEST_NAME: usize = 64;

/// Adds the stack.
pub fn contribute(
    model: &Model,
    source: &MysqlSource,
    schedule: &Schedule,
    shared: &Shared,
    needs: Vec<NodeId>,
    graph: &mut Graph,
) -> anyhow::Result<()> {
    let names = &model.names;
    let group = group(names);
    let function_arn = names.arn("lambda", &format!("function:{}", extract::function(model)));
    let of_group = names.arn("scheduler", &format!("schedule-group/{group}"));
    let invoke = Statement::allow(
        "Extract",
        Principal::Holder,
        &["lambda:InvokeFunction"],
        std::slice::from_ref(&function_arn),
    );
    let rate = Rate::of(schedule).context("the schedule of the source")?;
    let failures = alarm(
        model,
        "ScheduleErrors",
        "schedule-errors",
        "The function that reads the database could not be called".to_owned(),
        Metric::schedule_errors(json!({ "Ref": "ScheduleGroup" })),
        When::Above(0),
    );
    let values = json!({
        "watch": watch(&shared.alert_topic, vec![], vec![failures]),
        "role": {
            "name": names.resource("schedule"),
            "trust": service_trust_of("scheduler.amazonaws.com", json!(of_group), &names.account),
            "policy": policy(&[invoke]),
        },
        "group": group,
        "rate": { "expression": rate.expression, "zone": rate.zone },
        "function_arn": function_arn,
        "tables": source.tables.iter().filter_map(of_table).collect::<Vec<_>>(),
    });
    let stack = stack(model, "schedule", "when the database is read", values)?;
    graph.add("aws:schedule", needs, Body::Stack(stack));
    Ok(())
}

/// Name of the group of all schedules of a pipeline.
pub fn group(names: &Names) -> String {
    names.resource("extract")
}

/// Name of the schedule that has a table read.
pub fn name(table: &TableName) -> String {
    let full = table.to_string();
    let plain: String = full.replace('$', "-");
    match plain == full && full.len() <= LONGEST_NAME {
        true => full,
        false => format!("{}-{}", plain.get(..LONGEST_NAME - 9).unwrap_or(&plain), short(&full)),
    }
}

/// Tells apart what is too long, or has characters that a name may not have.
fn short(full: &str) -> String {
    hash(full).chars().take(8).collect()
}

fn of_table(table: &MysqlTable) -> Option<Value> {
    let full = table.name.to_string();
    let input = input(table, table.watermark.as_ref()?);
    Some(json!({
        "logical_id": format!("Read{full}{}", short(&full)),
        "name": name(&table.name),
        "about": format!("Reads what is new in {full}"),
        "input": input.to_string(),
    }))
}

/// What the function is told.
fn input(table: &MysqlTable, watermark: &Watermark) -> Value {
    json!({
        "do": "extract",
        "schema": table.name.schema,
        "table": table.name.table,
        "watermark": watermark.columns,
        "overlap": match watermark.overlap {
            Overlap::Seconds(seconds) => json!({ "seconds": seconds }),
            Overlap::Count(count) => json!({ "count": count }),
        },
    })
}
