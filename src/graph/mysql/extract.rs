//! The stack `extract`: the function that reads the database.

use serde_json::{Value, json};

use super::access::Access;
use super::{landing, sending, stream_arn};
use crate::graph::alarm::{Metric, When, alarm, filter, of_runs, watch};
use crate::graph::landing::{Shared, stack};
use crate::graph::policy::{Principal, Statement, policy, service_trust};
use crate::graph::stack::Parameter;
use crate::graph::{Body, Graph, NodeId};
use crate::model::{Model, MysqlSource};

/// Longest time that Lambda gives a function; a reading that takes longer goes on in the next invocation.
const TIMEOUT_SECONDS: u32 = 900;
/// The metric that counts error lines of the function.
const ERROR_LINES: &str = "ExtractErrorLines";
/// Part of the name of its stack, function and role.
pub const PART: &str = "extract";

/// Name of the function.
pub fn function(model: &Model) -> String {
    model.names.resource(PART)
}

/// Adds the stack.
pub fn contribute(
    model: &Model,
    source: &MysqlSource,
    access: &Access<'_>,
    shared: &Shared,
    database: Option<NodeId>,
    graph: &mut Graph,
) -> anyhow::Result<NodeId> {
    let mut stack = stack(
        model,
        "extract",
        match source.schedule() {
            Some(_) => "rows of the database to the stream",
            None => "rows of the database to compare",
        },
        values(model, source, access, shared),
    )?;
    stack.parameters.insert("RuntimeKey".to_owned(), Parameter::RuntimeKey);
    access.fill(&mut stack);
    let mut needs = vec![shared.runtime.clone()];
    needs.extend(database);
    Ok(graph.add("aws:extract", needs, Body::Stack(stack)))
}

fn values(model: &Model, source: &MysqlSource, access: &Access<'_>, shared: &Shared) -> Value {
    let names = &model.names;
    let function = function(model);
    json!({
        "parameters": access.declared(),
        "log_group": { "name": format!("/aws/lambda/{function}") },
        "log_retention_days": model.log_retention_days,
        "role": {
            "name": names.resource("extract"),
            "trust": service_trust("lambda.amazonaws.com"),
            "policy": extract(model, source, access, &function),
        },
        "function": { "name": function },
        "timeout_seconds": TIMEOUT_SECONDS,
        "architecture": model.architecture,
        "artifact_bucket": shared.artifact_bucket,
        "network": access.network(),
        "variables": variables(model, source, access),
        "watch": watch(&shared.alert_topic, vec![filter(model, ERROR_LINES, "ExtractLogs")], alarms(model, source)),
    })
}

/// What wakes somebody: a function that fails, and a row that it could not send.
fn alarms(model: &Model, source: &MysqlSource) -> Vec<Value> {
    // Without a schedule it runs when somebody asks.
    let when = || source.schedule().map_or(When::Above(0), of_runs);
    vec![
        alarm(
            model,
            "ExtractErrors",
            "extract-errors",
            "The function that reads the database failed or timed out".to_owned(),
            Metric::function_errors(json!({ "Ref": "ExtractFunction" })),
            when(),
        ),
        alarm(
            model,
            "ExtractRejections",
            "extract-rejections",
            "Something of the database could not be read or sent".to_owned(),
            Metric::error_lines(model, ERROR_LINES),
            when(),
        ),
    ]
}

fn variables(model: &Model, source: &MysqlSource, access: &Access<'_>) -> Value {
    let mut variables = access.variables();
    variables.extend(landing(model));
    if source.schedule().is_some() {
        variables.push(("PIPECTL_STREAM", json!(stream_arn(model, source))));
        variables.push(("PIPECTL_WATERMARKS", json!(model.names.watermark_parameters())));
    }
    variables
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// What the function `extract` may do, and no more.
fn extract(model: &Model, source: &MysqlSource, access: &Access<'_>, function: &str) -> Value {
    let names = &model.names;
    let mut statements = vec![
        Statement::logs(names, &format!("/aws/lambda/{function}")),
        access.password(),
    ];
    // Where another reads the changes, it only compares.
    if source.schedule().is_some() {
        statements.push(Statement::allow(
            "Watermarks",
            Principal::Holder,
            &["ssm:GetParameter", "ssm:PutParameter"],
            &[names.arn("ssm", &format!("parameter{}*", names.watermark_parameters()))],
        ));
        statements.extend(sending(model, source));
    }
    if source.network.is_some() {
        // Lambda checks these on every resource:
        // https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions
        statements.push(Statement::allow(
            "Network",
            Principal::Holder,
            &[
                "ec2:AssignPrivateIpAddresses",
                "ec2:CreateNetworkInterface",
                "ec2:DeleteNetworkInterface",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSubnets",
                "ec2:UnassignPrivateIpAddresses",
            ],
            &["*".to_owned()],
        ));
    }
    policy(&statements)
}
