//! The stack `source`: security groups, endpoints, and RDS for MySQL where pipectl makes the database.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::graph::landing::stack;
use crate::graph::{Body, Graph, NodeId};
use crate::model::{Database, Model, MysqlSource, Reader};
use crate::spec::mysql::{Network, NewDatabase};

/// Part of the pipeline that the stack makes.
pub const PART: &str = "source";
/// Times that the disk may grow by itself.
const GROWTH: i64 = 10;
/// Services that whatever reads the database calls:
/// <https://docs.aws.amazon.com/vpc/latest/privatelink/aws-services-privatelink-support.html>.
const SERVICES: [&str; 4] = ["kinesis-streams", "s3", "ssm", "secretsmanager"];
/// What a server calls besides: its log, its health, the deploy that waits for it, Session Manager.
const OF_SERVER: [&str; 4] = ["logs", "autoscaling", "cloudformation", "ssmmessages"];
/// What Fargate calls besides: its log, and ECR.
const OF_CONTAINER: [&str; 3] = ["logs", "ecr.api", "ecr.dkr"];
/// Whether the binlog names its columns; MySQL 5.7 has no such setting.
const ROW_METADATA: &str = "binlog_row_metadata";
/// What a server of RDS logs for a reader: whole rows, and the names of their columns. MySQL 8.4 logs rows whatever is set.
const WHOLE_ROWS: [(&str, &str); 3] = [
    ("binlog_format", "ROW"),
    ("binlog_row_image", "FULL"),
    (ROW_METADATA, "FULL"),
];

/// Whether there is anything to make.
pub fn is_needed(source: &MysqlSource) -> bool {
    source.network.is_some() || matches!(source.database, Some(Database::New(_)))
}

/// Adds the stack, where there is anything in it.
pub fn contribute(model: &Model, source: &MysqlSource, graph: &mut Graph) -> anyhow::Result<Option<NodeId>> {
    if !is_needed(source) {
        return Ok(None);
    }
    let names = &model.names;
    let identifier = names.resource("mysql");
    let values = json!({
        "network": source.network.as_ref().map(|network| self::network(model, network, source)),
        "database": match &source.database {
            Some(Database::New(database)) => new(model, database, &identifier, source.reader().is_some()),
            _ => Value::Null,
        },
    });
    let mut stack = stack(model, PART, "the database and the way to it", values)?;
    if matches!(source.database, Some(Database::New(_))) {
        stack.databases.push(identifier);
    }
    Ok(Some(graph.add("aws:source", vec![], Body::Stack(stack))))
}

fn network(model: &Model, network: &Network, source: &MysqlSource) -> Value {
    let mark = model.names.mark();
    let more: &[&str] = match source.reader() {
        Some(Reader::Ec2 { .. }) => &OF_SERVER,
        Some(Reader::Ecs { .. }) => &OF_CONTAINER,
        Some(Reader::PythonDict) | None => &[],
    };
    let endpoints: Vec<Value> = SERVICES
        .iter()
        .chain(more)
        .filter(|_| network.endpoints)
        .map(|service| {
            let words = service.split(['-', '.']).map(|word| {
                format!(
                    "{}{}",
                    word.get(..1).unwrap_or_default().to_uppercase(),
                    word.get(1..).unwrap_or_default()
                )
            });
            json!({
                "logical_id": format!("{}Endpoint", words.collect::<String>()),
                "service": format!("com.amazonaws.{}.{service}", model.names.region),
                // S3 has gateway endpoints too, and without this its names lead to one:
                // https://docs.aws.amazon.com/AmazonS3/latest/userguide/privatelink-interface-endpoints.html#private-dns-s3
                "everywhere": *service == "s3",
            })
        })
        .collect();
    json!({
        "vpc": network.vpc,
        "subnets": network.subnets,
        "function_group": format!("Functions of {mark}"),
        "endpoint_group": format!("Endpoints of {mark}"),
        "endpoints": endpoints,
        "database_port": match &source.database { Some(Database::Existing { port, .. }) => *port, _ => 3306 },
    })
}

fn new(model: &Model, database: &NewDatabase, identifier: &str, by_binlog: bool) -> Value {
    let family = family(&database.engine_version);
    let knows = |name: &str| name != ROW_METADATA || !family.starts_with("mysql5.");
    let parameters: BTreeMap<&str, &str> = WHOLE_ROWS
        .into_iter()
        .filter(|(name, _)| by_binlog && knows(name))
        .collect();
    json!({
        "identifier": identifier,
        "group": format!("Database of {}", model.names.mark()),
        "family": family,
        "engine_version": database.engine_version,
        "instance_class": database.instance_class,
        "name": database.name,
        "storage_gb": database.storage_gb.to_string(),
        "most_storage_gb": database.storage_gb * GROWTH,
        "multi_az": database.multi_az,
        "backup_days": database.backup_days,
        "parameters": parameters,
    })
}

/// `8.4.5` is of the family `mysql8.4`:
/// <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_WorkingWithDBInstanceParamGroups.html>.
fn family(version: &str) -> String {
    let major: Vec<&str> = version.split('.').take(2).collect();
    format!("mysql{}", major.join("."))
}
