//! The stack `reader`: what reads the binary log all the time, a server that is replaced when it fails or a container.

use anyhow::ensure;
use serde_json::{Value, json};

use super::access::Access;
use super::{landing, sending, stream_arn};
use crate::graph::alarm::{LATE_SECONDS, Metric, When, alarm, filter, gauge, only_after, watch};
use crate::graph::landing::{Shared, stack};
use crate::graph::policy::{Principal, Statement, policy, service_trust, service_trust_of_account};
use crate::graph::stack::Parameter;
use crate::graph::{Body, Graph, NodeId};
use crate::model::{Model, MysqlSource, Reader};
use crate::spec::mysql::TableName;

/// Part of the name of its stack, role, server and container.
pub const PART: &str = "reader";
/// The metrics of its log.
const ERROR_LINES: &str = "ReaderErrorLines";
const HEARTBEATS: &str = "ReaderHeartbeats";
const LAG: &str = "ReaderLagSeconds";
const PASSED_OVER: &str = "ReaderPassedOver";
/// Its heart beats once a minute, and a server that is replaced is back within this.
const SILENT_SECONDS: u32 = 600;
/// Sets up the server. Lines that are a marker become settings.
const USER_DATA: &str = include_str!("../../../templates/reader/user-data.sh");
/// Longest user data, before base64:
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html>.
const LONGEST_USER_DATA: usize = 16 << 10;

/// The log group of the reader.
pub fn log_group(model: &Model) -> String {
    format!("/pipectl/{}", model.names.resource(PART))
}

/// Adds the stack.
pub fn contribute(
    model: &Model,
    source: &MysqlSource,
    reader: &Reader,
    shared: &Shared,
    mut needs: Vec<NodeId>,
    graph: &mut Graph,
) -> anyhow::Result<()> {
    let Some(access) = Access::of(model, source).filter(|_| reader.is_own()) else {
        return Ok(());
    };
    let name = model.names.resource(PART);
    let network = access.network();
    let (server, container, trust) = match reader {
        Reader::Ec2 { instance_type } => {
            let server = json!({
                "name": name,
                "instance_type": instance_type,
                // EC2 looks the image up at each start, so a server that is replaced has today's patches:
                // https://docs.aws.amazon.com/autoscaling/ec2/userguide/using-systems-manager-parameters.html
                "image": format!(
                    "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{}",
                    model.architecture
                ),
                "user_data": user_data(model, source, &access, shared)?,
            });
            (server, Value::Null, service_trust("ec2.amazonaws.com"))
        }
        Reader::Ecs { image } => {
            let container = container(model, source, &access, image);
            let trust = service_trust_of_account("ecs-tasks.amazonaws.com", &model.names);
            (Value::Null, container, trust)
        }
        Reader::PythonDict => return Ok(()),
    };
    let of_server = server.is_object();
    let values = json!({
        "parameters": access.declared(),
        "log_group": { "name": log_group(model) },
        "log_retention_days": model.log_retention_days,
        "role": { "name": name, "trust": trust, "policy": read(model, source, &access, shared, of_server) },
        "server": server,
        "container": container,
        "network": network,
        "watch": watch(&shared.alert_topic, filters(model), alarms(model, of_server)),
    });
    let mut stack = stack(model, PART, "the binary log to the stream", values)?;
    access.fill(&mut stack);
    if of_server {
        stack.parameters.insert("RuntimeKey".to_owned(), Parameter::RuntimeKey);
        needs.push(shared.runtime.clone());
    }
    // Its silence is an alarm as soon as it is made.
    needs.push(shared.hearing.clone());
    graph.add("aws:reader", needs, Body::Stack(stack));
    Ok(())
}

/// The tables of the source, as the runtime is told of them: names, and the keys of the tables that they are loaded into.
pub fn tables(model: &Model, source: &MysqlSource) -> Vec<Value> {
    let told =
        |name: &TableName| json!({ "schema": name.schema, "table": name.table, "keys": super::keys(model, name) });
    source.tables.iter().map(|table| told(&table.name)).collect()
}

/// The settings of the service, by name; values may be references.
fn variables(model: &Model, source: &MysqlSource, access: &Access<'_>) -> Vec<(&'static str, Value)> {
    let names = &model.names;
    let mut variables = access.variables();
    variables.extend([
        ("AWS_REGION", json!(names.region)),
        ("PIPECTL_TABLES", json!(json!(tables(model, source)).to_string())),
        ("PIPECTL_STREAM", json!(stream_arn(model, source))),
        ("PIPECTL_CHECKPOINT", json!(names.binlog_parameters())),
    ]);
    variables.extend(landing(model));
    variables
}

/// The user data in pieces to be joined, as references stand between them.
fn user_data(model: &Model, source: &MysqlSource, access: &Access<'_>, shared: &Shared) -> anyhow::Result<Vec<Value>> {
    let names = &model.names;
    let settings = [
        ("region", json!(names.region)),
        ("stack", json!(names.resource(PART))),
        ("log_group", json!(log_group(model))),
        ("bucket", json!(shared.artifact_bucket)),
        ("key", json!({ "Ref": "RuntimeKey" })),
    ];
    let mut pieces: Vec<Value> = Vec::new();
    for line in USER_DATA.lines() {
        match line {
            "@SETTINGS@" => assign(&mut pieces, settings.iter().map(|(name, value)| (*name, value)))?,
            "@ENVIRONMENT@" => {
                let variables = variables(model, source, access);
                assign(&mut pieces, variables.iter().map(|(name, value)| (*name, value)))?;
            }
            line => text(&mut pieces, &format!("{line}\n")),
        }
    }
    let length: usize = pieces.iter().map(|piece| piece.as_str().map_or(256, str::len)).sum();
    ensure!(
        length <= LONGEST_USER_DATA,
        "the settings of {} tables do not fit into a server's user data ({length} bytes, {LONGEST_USER_DATA} are allowed)\n  hint: \
         run the reader on `ecs`, or make two pipelines of it",
        source.tables.len()
    );
    Ok(pieces)
}

/// Adds lines `name='value'`, which shells and systemd read alike.
fn assign<'a>(pieces: &mut Vec<Value>, of: impl Iterator<Item = (&'a str, &'a Value)>) -> anyhow::Result<()> {
    for (name, value) in of {
        match value.as_str() {
            Some(plain) => {
                ensure!(
                    !plain.contains(['\'', '\\']) && !plain.contains(char::is_control),
                    "the setting {name} of the reader would hold a quote or a control character: {plain:?}"
                );
                text(pieces, &format!("{name}='{plain}'\n"));
            }
            None => {
                text(pieces, &format!("{name}='"));
                pieces.push(value.clone());
                text(pieces, "'\n");
            }
        }
    }
    Ok(())
}

/// Adds text, to the last piece where that is text too.
fn text(pieces: &mut Vec<Value>, more: &str) {
    match pieces.last_mut() {
        Some(Value::String(last)) => last.push_str(more),
        _ => pieces.push(json!(more)),
    }
}

fn container(model: &Model, source: &MysqlSource, access: &Access<'_>, image: &str) -> Value {
    let names = &model.names;
    let environment: Vec<Value> = variables(model, source, access)
        .into_iter()
        .map(|(name, value)| json!({ "Name": name, "Value": value }))
        .collect();
    let mut statements = vec![Statement::logs(names, &log_group(model))];
    if let Some(repository) = repository(image) {
        // It names no resource: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistry.html
        let everything = ["*".to_owned()];
        statements.push(Statement::allow(
            "SignIn",
            Principal::Holder,
            &["ecr:GetAuthorizationToken"],
            &everything,
        ));
        let pull = [
            "ecr:BatchCheckLayerAvailability",
            "ecr:BatchGetImage",
            "ecr:GetDownloadUrlForLayer",
        ];
        statements.push(Statement::allow("Pull", Principal::Holder, &pull, &[repository]));
    }
    json!({
        "name": names.resource(PART),
        "image": image,
        "architecture": model.architecture.to_uppercase(),
        "environment": environment,
        "role": { "name": names.resource("reader-start"), "policy": policy(&statements) },
    })
}

/// ARN of the repository of an image that lies in ECR:
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/docker-pull-ecr-image.html>.
fn repository(image: &str) -> Option<String> {
    let (host, rest) = image.split_once('/')?;
    let mut parts = host.split('.');
    let (account, service, kind, region) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let partition = if host.ends_with(".cn") { "aws-cn" } else { "aws" };
    let name = rest.split(['@', ':']).next()?;
    (service == "dkr" && kind == "ecr").then(|| format!("arn:{partition}:ecr:{region}:{account}:repository/{name}"))
}

/// What the reader may do, and no more.
fn read(model: &Model, source: &MysqlSource, access: &Access<'_>, shared: &Shared, of_server: bool) -> Value {
    let names = &model.names;
    let mut statements = vec![
        access.password(),
        Statement::allow(
            "Checkpoint",
            Principal::Holder,
            &["ssm:GetParameter", "ssm:PutParameter", "ssm:DeleteParameter"],
            &[names.arn("ssm", &format!("parameter{}*", names.binlog_parameters()))],
        ),
    ];
    statements.extend(sending(model, source));
    if of_server {
        statements.extend(keep(model, shared));
    }
    policy(&statements)
}

/// What a server needs besides: its program, its log, a word on its health, and a way in without SSH.
fn keep(model: &Model, shared: &Shared) -> Vec<Statement> {
    let names = &model.names;
    let name = names.resource(PART);
    let group = format!("autoScalingGroup:*:autoScalingGroupName/{name}");
    vec![
        Statement::allow(
            "Runtime",
            Principal::Holder,
            &["s3:GetObject"],
            &[names.bucket_arn(&shared.artifact_bucket, Some("runtime/*"))],
        ),
        Statement::allow(
            "Logs",
            Principal::Holder,
            &["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            &[names.arn("logs", &format!("log-group:{}:*", log_group(model)))],
        ),
        Statement::allow(
            "Health",
            Principal::Holder,
            &["autoscaling:SetInstanceHealth"],
            &[names.arn("autoscaling", &group)],
        ),
        Statement::allow(
            "Signal",
            Principal::Holder,
            &["cloudformation:SignalResource"],
            &[names.arn("cloudformation", &format!("stack/{name}/*"))],
        ),
        // Session Manager, as narrow as AWS describes it; AmazonSSMManagedInstanceCore would also read every parameter:
        // https://docs.aws.amazon.com/systems-manager/latest/userguide/getting-started-create-iam-instance-profile.html
        Statement::allow(
            "Session",
            Principal::Holder,
            &[
                "ssm:UpdateInstanceInformation",
                "ssmmessages:CreateControlChannel",
                "ssmmessages:CreateDataChannel",
                "ssmmessages:OpenControlChannel",
                "ssmmessages:OpenDataChannel",
            ],
            &["*".to_owned()],
        ),
    ]
}

/// What the metrics are made of: error lines, and the line that the service writes once a minute.
fn filters(model: &Model) -> Vec<Value> {
    vec![
        filter(model, ERROR_LINES, "ReaderLogs"),
        gauge(model, HEARTBEATS, "ReaderLogs", "{ $.action = \"heartbeat\" }", "1"),
        gauge(model, LAG, "ReaderLogs", "{ $.lag_seconds >= 0 }", "$.lag_seconds"),
        gauge(
            model,
            PASSED_OVER,
            "ReaderLogs",
            "{ $.passed_over >= 0 }",
            "$.passed_over",
        ),
    ]
}

/// What wakes somebody: a reader that is silent, late, or in trouble, and a table that it does not read.
fn alarms(model: &Model, of_server: bool) -> Vec<Value> {
    let starter = if of_server { "ReaderGroup" } else { "ReaderService" };
    let silent = alarm(
        model,
        "ReaderSilence",
        "reader-silence",
        format!(
            "The reader of the binary log has not been heard of for {} minutes",
            SILENT_SECONDS / 60
        ),
        Metric::error_lines(model, HEARTBEATS),
        When::Absent(SILENT_SECONDS),
    );
    vec![
        only_after(silent, starter),
        alarm(
            model,
            "ReaderRejections",
            "reader-rejections",
            "Something of the database's binary log could not be read or sent".to_owned(),
            Metric::error_lines(model, ERROR_LINES),
            When::Above(0),
        ),
        alarm(
            model,
            "ReaderLag",
            "reader-lag",
            format!(
                "Changes of the database have waited in its binary log for {} minutes",
                LATE_SECONDS / 60
            ),
            Metric::most_of_lines(model, LAG),
            When::Above(LATE_SECONDS),
        ),
        alarm(
            model,
            "ReaderPassing",
            "reader-passing",
            "A table of the database is passed over; its log line says what to do".to_owned(),
            Metric::most_of_lines(model, PASSED_OVER),
            When::Above(0),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_ecr_has_a_repository() {
        let arn = "arn:aws:ecr:eu-west-1:111122223333:repository/team/reader";
        for tail in ["", ":1.0", "@sha256:00"] {
            let image = format!("111122223333.dkr.ecr.eu-west-1.amazonaws.com/team/reader{tail}");
            assert_eq!(repository(&image).as_deref(), Some(arn));
        }
        assert_eq!(repository("public.ecr.aws/x/y:1"), None);
        assert_eq!(repository("reader"), None);
    }

    #[test]
    fn settings_cannot_leave_their_quotes() {
        let mut pieces = Vec::new();
        let reference = json!({ "Ref": "A" });
        assign(&mut pieces, [("A", &json!("b c")), ("R", &reference)].into_iter()).unwrap();
        assert_eq!(pieces, [json!("A='b c'\nR='"), reference, json!("'\n")]);
        assert!(assign(&mut pieces, [("A", &json!("it's"))].into_iter()).is_err());
        assert!(assign(&mut pieces, [("A", &json!("a\nb"))].into_iter()).is_err());
    }
}
