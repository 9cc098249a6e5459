//! What a source that is read from the binary log comes to.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::graph::Graph;
use crate::graph::build::build;
use crate::model::resolve;
use crate::spec;

const BINLOG: &str = include_str!("../../../examples/mysql-cdc/pipeline.toml");

fn graph(text: &str, environment: &str) -> Graph {
    let document = spec::parse(text, "pipeline.toml", environment).unwrap_or_else(|report| panic!("{report}"));
    build(&resolve(&document.spec, environment).unwrap()).unwrap()
}

/// Resources of all stacks, by logical id.
fn resources(graph: &Graph) -> BTreeMap<String, Value> {
    let templates = graph.stacks().map(|(_, stack)| stack.template["Resources"].clone());
    let all = templates.flat_map(|resources| resources.as_object().cloned().unwrap_or_default());
    all.collect()
}

fn statements(role: &Value) -> BTreeMap<String, Value> {
    let statements = role["Properties"]["Policies"][0]["PolicyDocument"]["Statement"].as_array();
    let named = |statement: &Value| (statement["Sid"].as_str().unwrap().to_owned(), statement.clone());
    statements.unwrap().iter().map(named).collect()
}

#[test]
fn the_reader_is_switched_on_last_and_somebody_hears_of_its_silence() {
    let alerts = "[alerts]\nwebhook = \"secretsmanager:team/hook\"\n\n[source]";
    let graph = graph(&BINLOG.replacen("[source]", alerts, 1), "dev");
    let last = graph.nodes().last().unwrap();
    assert_eq!(last.id.0, "aws:reader");
    let needs: Vec<&str> = last.needs.iter().map(|id| id.0.as_str()).collect();
    for need in ["aws:stream", "aws:storage", "aws:source", "aws:runtime", "aws:notify"] {
        assert!(needs.contains(&need), "{needs:?}");
    }
    assert_eq!(resources(&graph)["ReaderSilence"]["DependsOn"], "ReaderGroup");
}

#[test]
fn alarms_cover_the_hops_of_the_binary_log() {
    let graph = graph(BINLOG, "dev");
    let is_alarm = |(_, resource): &(&String, &Value)| resource["Type"] == "AWS::CloudWatch::Alarm";
    let all = resources(&graph);
    let names: Vec<&str> = all.iter().filter(is_alarm).map(|(id, _)| id.as_str()).collect();
    assert_eq!(
        names,
        [
            "DeliveryFailures",
            "DeliveryFreshness",
            "DeliveryProcessing",
            "ExtractErrors",
            "ExtractRejections",
            "ReaderLag",
            "ReaderPassing",
            "ReaderRejections",
            "ReaderSilence",
            "StreamAge",
            "TransformErrors",
            "TransformRejections",
        ]
    );
    assert_eq!(
        all["ReaderLagSeconds"]["Properties"]["MetricTransformations"][0]["MetricValue"],
        "$.lag_seconds"
    );
}

#[test]
fn a_server_may_do_what_it_must_and_has_no_secret() {
    let all = resources(&graph(BINLOG, "dev"));
    for (sid, statement) in statements(&all["ReaderRole"]) {
        let everywhere = statement["Resource"] == json!(["*"]);
        assert_eq!(everywhere, sid == "Session", "{statement}");
    }
    let data = &all["ReaderTemplate"]["Properties"]["LaunchTemplateData"];
    assert_eq!(data["MetadataOptions"]["HttpTokens"], "required");
    assert!(data["KeyName"].is_null());
    let pieces = data["UserData"]["Fn::Base64"]["Fn::Join"][1].as_array().unwrap();
    let references: Vec<&str> = pieces.iter().filter_map(|piece| piece["Ref"].as_str()).collect();
    assert_eq!(
        references,
        ["RuntimeKey", "DatabaseHost", "DatabasePort", "DatabaseSecret"]
    );
    let text: String = pieces.iter().filter_map(Value::as_str).collect();
    assert!(
        !text.contains("@SETTINGS@") && !text.contains("@ENVIRONMENT@"),
        "{text}"
    );
    assert!(
        text.contains("PIPECTL_TABLES='[{\"schema\":\"CDC_schema\",\"table\":\"Persons\",\"keys\":[[\"PersonID\"]]}"),
        "{text}"
    );
}

#[test]
fn a_container_is_pulled_from_its_own_repository() {
    let all = resources(&graph(BINLOG, "fargate"));
    assert!(!all.contains_key("ReaderGroup"));
    let arn = "arn:aws:ecr:eu-west-1:111122223333:repository/pipectl-runtime";
    assert_eq!(
        statements(&all["ReaderExecutionRole"])["Pull"]["Resource"],
        json!([arn])
    );
    let of_reader: Vec<String> = statements(&all["ReaderRole"]).into_keys().collect();
    assert_eq!(of_reader, ["Checkpoint", "Password", "Send", "WriteCurated"]);
    assert_eq!(
        all["ReaderTask"]["Properties"]["RuntimePlatform"]["CpuArchitecture"],
        "ARM64"
    );
    assert!(all.contains_key("EcrDkrEndpoint") && !all.contains_key("AutoscalingEndpoint"));
}

#[test]
fn a_database_that_is_made_logs_whole_rows() {
    let all = resources(&graph(BINLOG, "dev"));
    let parameters = &all["DatabaseParameters"]["Properties"]["Parameters"];
    for (name, value) in [
        ("binlog_format", "ROW"),
        ("binlog_row_image", "FULL"),
        ("binlog_row_metadata", "FULL"),
    ] {
        assert_eq!(parameters[name], value);
    }
    let old = BINLOG.replacen("engine_version = \"8.4.9\"", "engine_version = \"5.7.44\"", 1);
    let all = resources(&graph(&old, "dev"));
    let group = &all["DatabaseParameters"]["Properties"];
    assert_eq!(group["Family"], "mysql5.7");
    let names: Vec<&String> = group["Parameters"].as_object().unwrap().keys().collect();
    assert!(!names.contains(&&"binlog_row_metadata".to_owned()), "{names:?}");
}

#[test]
fn dicts_of_ones_own_reader_are_told_their_keys_and_need_no_reader() {
    let text = BINLOG.replacen(
        "capture = \"binlog\"",
        "capture = \"binlog\"\nformat = \"python-dict\"",
        1,
    );
    let (head, tail) = text.split_once("[source.create]").unwrap();
    let (_, tail) = tail.split_once("[snowflake]").unwrap();
    let (tail, _) = tail
        .split_once("[env.dev.source.network]")
        .map(|(tail, _)| (tail, ()))
        .unwrap();
    let graph = graph(&format!("{head}[snowflake]{tail}"), "dev");
    assert!(
        graph
            .nodes()
            .iter()
            .all(|node| !["aws:reader", "aws:source"].contains(&node.id.0.as_str()))
    );
    let variables = &resources(&graph)["TransformFunction"]["Properties"]["Environment"]["Variables"];
    assert_eq!(variables["PIPECTL_FORMAT"], "python-dict");
    let keys: Value = serde_json::from_str(variables["PIPECTL_KEYS"].as_str().unwrap()).unwrap();
    let expected = json!({
        "CDC_schema.Persons": ["PersonID"], "CDC_schema.Orders": ["OrderID"], "CDC_schema.OrderItems": ["Line", "OrderID"],
    });
    assert_eq!(keys, expected);
}
