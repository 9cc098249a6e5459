//! The stack `extract`: the function that reads the database.

use serde_json::{Value, json};

use super::database;
use crate::graph::alarm::{Metric, alarm, filter, of_runs, watch};
use crate::graph::landing::{Shared, stack};
use crate::graph::policy::{Principal, Statement, policy, service_trust};
use crate::graph::stack::Parameter;
use crate::graph::{Body, Graph, NodeId};
use crate::model::{Database, Model, MysqlSource};

/// Longest time that Lambda gives a function; a reading that takes longer goes on in the next invocation.
const TIMEOUT_SECONDS: u32 = 900;
/// Parameters of the stack that the stack `source` gives, and what they are.
const OF_DATABASE: [(&str, &str); 3] = [
    ("DatabaseHost", "Host name of the database."),
    ("DatabasePort", "Port of the database."),
    ("DatabaseSecret", "The secret with user and password of the database."),
];
/// The metric that counts error lines of the function.
const ERROR_LINES: &str = "ExtractErrorLines";
const OF_NETWORK: (&str, &str) = (
    "FunctionSecurityGroup",
    "The security group of the pipeline's functions.",
);

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
    shared: &Shared,
    database: Option<NodeId>,
    graph: &mut Graph,
) -> anyhow::Result<NodeId> {
    let mut stack = stack(
        model,
        "extract",
        "rows of the database to the stream",
        values(model, source, shared),
    )?;
    stack.parameters.insert("RuntimeKey".to_owned(), Parameter::RuntimeKey);
    for (name, _) in parameters(source) {
        let parameter = Parameter::Output {
            stack: model.names.resource(database::PART),
            output: name,
        };
        stack.parameters.insert(name.to_owned(), parameter);
    }
    let mut needs = vec![shared.runtime.clone()];
    needs.extend(database);
    Ok(graph.add("aws:extract", needs, Body::Stack(stack)))
}

/// The parameters that the stack `source` gives.
fn parameters(source: &MysqlSource) -> Vec<(&'static str, &'static str)> {
    let of_database = OF_DATABASE
        .into_iter()
        .filter(|_| matches!(source.database, Database::New(_)));
    let of_network = source.network.iter().map(|_| OF_NETWORK);
    of_database.chain(of_network).collect()
}

fn values(model: &Model, source: &MysqlSource, shared: &Shared) -> Value {
    let names = &model.names;
    let function = function(model);
    json!({
        "parameters": parameters(source).iter().map(|(name, about)| json!({ "name": name, "about": about })).collect::<Vec<_>>(),
        "log_group": { "name": format!("/aws/lambda/{function}") },
        "log_retention_days": model.log_retention_days,
        "role": {
            "name": names.resource("extract"),
            "trust": service_trust("lambda.amazonaws.com"),
            "policy": extract(model, source, &function),
        },
        "function": { "name": function },
        "timeout_seconds": TIMEOUT_SECONDS,
        "architecture": model.architecture,
        "artifact_bucket": shared.artifact_bucket,
        "network": source.network.as_ref().map(|network| {
            let own = std::iter::once(json!({ "Ref": OF_NETWORK.0 }));
            json!({
                "subnets": network.subnets,
                "groups": own.chain(network.security_groups.iter().map(|group| json!(group))).collect::<Vec<_>>(),
            })
        }),
        "variables": variables(model, source),
        "watch": watch(&shared.alert_topic, vec![filter(model, ERROR_LINES, "ExtractLogs")], alarms(model, source)),
    })
}

/// What wakes somebody: a function that fails, and a row that it could not send.
fn alarms(model: &Model, source: &MysqlSource) -> Vec<Value> {
    vec![
        alarm(
            model,
            "ExtractErrors",
            "extract-errors",
            "The function that reads the database failed or timed out".to_owned(),
            Metric::function_errors(json!({ "Ref": "ExtractFunction" })),
            of_runs(&source.schedule),
        ),
        alarm(
            model,
            "ExtractRejections",
            "extract-rejections",
            "Something of the database could not be read or sent".to_owned(),
            Metric::error_lines(model, ERROR_LINES),
            of_runs(&source.schedule),
        ),
    ]
}

fn variables(model: &Model, source: &MysqlSource) -> Value {
    let (host, port, secret) = match &source.database {
        Database::Existing { host, port, secret } => (json!(host), json!(port.to_string()), json!(secret)),
        Database::New(_) => (
            json!({ "Ref": "DatabaseHost" }),
            json!({ "Ref": "DatabasePort" }),
            json!({ "Ref": "DatabaseSecret" }),
        ),
    };
    json!({
        "PIPECTL_DATABASE_HOST": host,
        "PIPECTL_DATABASE_PORT": port,
        "PIPECTL_DATABASE_SECRET": secret,
        "PIPECTL_DATABASE_TLS": "verify",
        "PIPECTL_STREAM": model.names.arn("kinesis", &format!("stream/{}", source.stream)),
        "PIPECTL_WATERMARKS": model.names.watermark_parameters(),
        "PIPECTL_CURATED_BUCKET": model.landing.bucket,
        "PIPECTL_CURATED_PREFIX": model.landing.prefix,
        "PIPECTL_ERROR_PREFIX": model.landing.error_prefix,
    })
}

/// What the function `extract` may do, and no more.
fn extract(model: &Model, source: &MysqlSource, function: &str) -> Value {
    let names = &model.names;
    let curated = |prefix: &str| names.bucket_arn(&model.landing.bucket, Some(&format!("{prefix}*")));
    let secret = match &source.database {
        Database::New(_) => json!({ "Ref": "DatabaseSecret" }),
        Database::Existing { secret, .. } if secret.starts_with("arn:") => json!(secret),
        // Secrets Manager adds six characters of its own to the name:
        // https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access_iam-policies.html
        Database::Existing { secret, .. } => json!(names.arn("secretsmanager", &format!("secret:{secret}-??????"))),
    };
    let parameters = names.watermark_parameters();
    let mut statements = vec![
        Statement::allow(
            "Logs",
            Principal::Holder,
            &["logs:CreateLogStream", "logs:PutLogEvents"],
            &[names.arn("logs", &format!("log-group:/aws/lambda/{function}:*"))],
        ),
        Statement::allow("Password", Principal::Holder, &["secretsmanager:GetSecretValue"], &[]).on(secret),
        Statement::allow(
            "Watermarks",
            Principal::Holder,
            &["ssm:GetParameter", "ssm:PutParameter"],
            &[names.arn("ssm", &format!("parameter{parameters}*"))],
        ),
        Statement::allow(
            "Send",
            Principal::Holder,
            &["kinesis:PutRecords"],
            &[names.arn("kinesis", &format!("stream/{}", source.stream))],
        ),
        Statement::allow(
            "WriteCurated",
            Principal::Holder,
            &["s3:PutObject", "s3:AbortMultipartUpload"],
            &[curated(model.landing.prefix), curated(model.landing.error_prefix)],
        ),
    ];
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
