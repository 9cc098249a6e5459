//! The stack `notify`: alert topic → SQS with a dead-letter queue → Lambda `alert` → mail and web hook.

use serde_json::{Value, json};

use super::alarm::{Metric, When, alarm, log_groups, watch};
use super::landing::{Shared, stack};
use super::policy::{Principal, Statement, policy, service_trust};
use super::stack::Parameter;
use super::{Body, Graph, NodeId};
use crate::model::{LOCAL, Mail, Model};

/// Seconds that one batch may take.
const TIMEOUT_SECONDS: u32 = 60;
/// Six times the function's time-out, as AWS advises:
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>.
const VISIBILITY_SECONDS: u32 = 6 * TIMEOUT_SECONDS;
/// Times that a message is received. One that is put off until the next mail is received again, so they are many.
const MAX_ATTEMPTS: u32 = 100;
/// Messages, and seconds that they are gathered, before the function hears of them.
const BATCH: (u32, u32) = (100, 10);
/// Seconds between two mails.
const QUIET_SECONDS: u32 = 300;
/// The same on the local cloud, where a minute takes a second.
const LOCAL_QUIET_SECONDS: u32 = QUIET_SECONDS / 60;

/// Adds the stack, where anybody wants to hear, and gives its node.
pub fn contribute(model: &Model, shared: &Shared, alerts: NodeId, graph: &mut Graph) -> anyhow::Result<Option<NodeId>> {
    if model.alerts.mail.is_none() && model.alerts.webhook.is_none() {
        return Ok(None);
    }
    let mut stack = stack(model, "notify", "alarms by mail and web hook", values(model, shared))?;
    stack.parameters.insert("RuntimeKey".to_owned(), Parameter::RuntimeKey);
    let needs = vec![alerts, shared.runtime.clone()];
    Ok(Some(graph.add("aws:notify", needs, Body::Stack(stack))))
}

fn values(model: &Model, shared: &Shared) -> Value {
    let names = &model.names;
    let function = names.resource("alert");
    let queue = names.resource("alert");
    let queue_arn = names.arn("sqs", &queue);
    let from_topic = Statement::allow(
        "AlertTopic",
        Principal::Service("sns.amazonaws.com"),
        &["sqs:SendMessage"],
        std::slice::from_ref(&queue_arn),
    )
    .on_behalf_of(json!(shared.alert_topic), &names.account);
    let mail = model.alerts.mail.as_ref();
    json!({
        "identity": mail.filter(|mail| mail.own_identity).map(|mail| &mail.identity),
        "dead_letters": { "name": names.resource("alert-dead-letters") },
        "queue": { "name": queue, "policy": policy(&[from_topic]) },
        "visibility_seconds": VISIBILITY_SECONDS,
        "timeout_seconds": TIMEOUT_SECONDS,
        "max_attempts": MAX_ATTEMPTS,
        "batch": { "messages": BATCH.0, "seconds": BATCH.1 },
        "log_group": { "name": format!("/aws/lambda/{function}") },
        "log_retention_days": model.log_retention_days,
        "role": {
            "name": names.resource("alert"),
            "trust": service_trust("lambda.amazonaws.com"),
            "policy": alert_policy(model, &function, &queue_arn),
        },
        "function": { "name": function },
        "architecture": model.architecture,
        "artifact_bucket": shared.artifact_bucket,
        "variables": variables(model),
        "watch": watch(&shared.alert_topic, vec![], alarms(model)),
    })
}

fn variables(model: &Model) -> Value {
    let names = &model.names;
    let quiet = if names.environment == LOCAL {
        LOCAL_QUIET_SECONDS
    } else {
        QUIET_SECONDS
    };
    let mut variables = json!({
        "PIPECTL_PIPELINE": names.pipeline,
        "PIPECTL_ENVIRONMENT": names.environment,
        "PIPECTL_QUEUE_URL": { "Ref": "AlertQueue" },
        "PIPECTL_LOG_GROUPS": json!(log_groups(model)).to_string(),
        "PIPECTL_LAST_MAIL": names.last_mail_parameter(),
        "PIPECTL_QUIET_SECONDS": quiet.to_string(),
    });
    if let Some(mail) = &model.alerts.mail {
        variables["PIPECTL_MAIL_FROM"] = json!(mail.from);
        variables["PIPECTL_MAIL_TO"] = json!(mail.to.join(","));
    }
    if let Some(secret) = &model.alerts.webhook {
        variables["PIPECTL_WEBHOOK_SECRET"] = json!(secret);
    }
    variables
}

/// The way to people is watched too. Those who get the topic's own mail hear when it is closed.
fn alarms(model: &Model) -> Vec<Value> {
    vec![
        alarm(
            model,
            "AlertErrors",
            "alert-errors",
            "The function that tells of alarms failed or timed out".to_owned(),
            Metric::function_errors(json!({ "Ref": "AlertFunction" })),
            When::Above(0),
        ),
        alarm(
            model,
            "AlertDeadLetterDepth",
            "alert-dead-letter-depth",
            "Alarms could not be told and were given up".to_owned(),
            Metric::queue_depth(json!({ "Fn::GetAtt": ["AlertDeadLetters", "QueueName"] })),
            When::Above(0),
        ),
    ]
}

/// What the function `alert` may do, and no more.
fn alert_policy(model: &Model, function: &str, queue_arn: &str) -> Value {
    let names = &model.names;
    let logs = |group: &String| names.arn("logs", &format!("log-group:{group}:*"));
    let read: Vec<String> = log_groups(model).values().map(logs).collect();
    let mut statements = vec![
        Statement::logs(names, &format!("/aws/lambda/{function}")),
        Statement::queue(queue_arn, &["sqs:ChangeMessageVisibility"]),
        Statement::allow("ReadErrors", Principal::Holder, &["logs:FilterLogEvents"], &read),
        Statement::allow(
            "LastMail",
            Principal::Holder,
            &["ssm:GetParameter", "ssm:PutParameter"],
            &[names.arn("ssm", &format!("parameter{}", names.last_mail_parameter()))],
        ),
    ];
    statements.extend(model.alerts.mail.as_ref().map(|mail| send(model, mail)));
    statements.extend(model.alerts.webhook.as_deref().map(|secret| {
        let arn = names.secret_arn(secret);
        Statement::allow("WebHook", Principal::Holder, &["secretsmanager:GetSecretValue"], &[arn])
    }));
    policy(&statements)
}

/// While the account is in the sandbox of SES, the right is asked for on the recipients' identities as well.
fn send(model: &Model, mail: &Mail) -> Statement {
    let identities = std::iter::once(&mail.identity).chain(&mail.to);
    let arns: Vec<String> = identities
        .map(|identity| model.names.arn("ses", &format!("identity/{identity}")))
        .collect();
    Statement::allow("Send", Principal::Holder, &["ses:SendEmail"], &arns).condition(
        "StringEquals",
        "ses:FromAddress",
        json!(mail.from),
    )
}
