//! IAM and resource policies as data, never as text.

use serde_json::{Map, Value, json};

use crate::model::names::Names;

/// Who a statement speaks of.
#[derive(Debug, Clone)]
pub enum Principal {
    /// The holder of the role (identity policies name nobody).
    Holder,
    /// An AWS service.
    Service(&'static str),
    /// An ARN, or an expression that gives one.
    Arn(Value),
    /// Everybody; only for denials.
    Anyone,
}

/// One statement of a policy.
#[derive(Debug, Clone)]
pub struct Statement {
    sid: &'static str,
    effect: &'static str,
    principal: Principal,
    actions: Vec<&'static str>,
    resources: Vec<Value>,
    conditions: Map<String, Value>,
}

impl Statement {
    /// Allows `principal` the actions on the resources.
    pub fn allow(sid: &'static str, principal: Principal, actions: &[&'static str], resources: &[String]) -> Self {
        Statement {
            sid,
            effect: "Allow",
            principal,
            actions: actions.to_vec(),
            resources: resources.iter().map(|arn| json!(arn)).collect(),
            conditions: Map::new(),
        }
    }

    /// On this resource too: an ARN, or an expression that gives one.
    pub fn on(mut self, resource: Value) -> Self {
        self.resources.push(resource);
        self
    }

    /// Writing a log of this group.
    pub fn logs(names: &Names, group: &str) -> Self {
        let streams = names.arn("logs", &format!("log-group:{group}:*"));
        let actions = ["logs:CreateLogStream", "logs:PutLogEvents"];
        Statement::allow("Logs", Principal::Holder, &actions, &[streams])
    }

    /// Taking messages of a queue as a function's event source, and besides what the function itself does to them.
    pub fn queue(queue_arn: &str, besides: &[&'static str]) -> Self {
        let taken = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"];
        let actions = [&taken, besides].concat();
        Statement::allow("Queue", Principal::Holder, &actions, &[queue_arn.to_owned()])
    }

    /// Refuses every request that is not made over TLS.
    pub fn deny_plain_http(resources: &[String]) -> Self {
        let mut statement = Statement::allow("DenyPlainHttp", Principal::Anyone, &["s3:*"], resources);
        statement.effect = "Deny";
        statement.condition("Bool", "aws:SecureTransport", json!("false"))
    }

    /// Adds a condition.
    pub fn condition(mut self, operator: &str, key: &str, value: Value) -> Self {
        let entry = self
            .conditions
            .entry(operator)
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(keys) = entry {
            keys.insert(key.to_owned(), value);
        }
        self
    }

    /// Only on behalf of this resource of this account: the guard against a confused deputy,
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html>.
    pub fn on_behalf_of(self, source_arn: Value, account: &str) -> Self {
        self.condition("ArnEquals", "aws:SourceArn", source_arn).condition(
            "StringEquals",
            "aws:SourceAccount",
            json!(account),
        )
    }

    fn document(&self) -> Value {
        let mut statement = Map::new();
        statement.insert("Sid".into(), json!(self.sid));
        statement.insert("Effect".into(), json!(self.effect));
        match &self.principal {
            Principal::Holder => {}
            Principal::Service(service) => {
                statement.insert("Principal".into(), json!({ "Service": service }));
            }
            Principal::Arn(arn) => {
                statement.insert("Principal".into(), json!({ "AWS": arn }));
            }
            Principal::Anyone => {
                statement.insert("Principal".into(), json!("*"));
            }
        }
        statement.insert("Action".into(), json!(self.actions));
        if !self.resources.is_empty() {
            statement.insert("Resource".into(), json!(self.resources));
        }
        if !self.conditions.is_empty() {
            statement.insert("Condition".into(), Value::Object(self.conditions.clone()));
        }
        Value::Object(statement)
    }
}

/// A policy document of these statements.
pub fn policy(statements: &[Statement]) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements.iter().map(Statement::document).collect::<Vec<_>>() })
}

/// The trust policy that lets one service take a role.
pub fn service_trust(service: &'static str) -> Value {
    policy(&[Statement::allow(
        "Service",
        Principal::Service(service),
        &["sts:AssumeRole"],
        &[],
    )])
}

/// The trust policy that lets one service take a role on behalf of one resource of the account.
pub fn service_trust_of(service: &'static str, source_arn: Value, account: &str) -> Value {
    let statement = Statement::allow("Service", Principal::Service(service), &["sts:AssumeRole"], &[]);
    policy(&[statement.on_behalf_of(source_arn, account)])
}

/// The trust policy that lets one service take a role on behalf of whatever of its resources in the account, where none has
/// a name of its own: <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html>.
pub fn service_trust_of_account(service: &'static str, names: &Names) -> Value {
    let statement = Statement::allow("Service", Principal::Service(service), &["sts:AssumeRole"], &[]);
    let api = service.split(['-', '.']).next().unwrap_or(service);
    policy(&[statement
        .condition("ArnLike", "aws:SourceArn", json!(names.arn(api, "*")))
        .condition("StringEquals", "aws:SourceAccount", json!(names.account))])
}

/// The trust policy that lets one foreign principal take a role, with the external id agreed on:
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_common-scenarios_third-party.html>.
pub fn external_trust(principal: Value, external_id: Value) -> Value {
    let statement = Statement::allow("Snowflake", Principal::Arn(principal), &["sts:AssumeRole"], &[]);
    policy(&[statement.condition("StringEquals", "sts:ExternalId", external_id)])
}
