//! Rules that every rendered pipeline keeps.

use std::collections::BTreeMap;

use serde_json::Value;

use super::build::build;
use super::object::Kind;
use super::{Body, Graph};
use crate::model::resolve;
use crate::spec;

const EXAMPLE: &str = include_str!("../../examples/files/pipeline.toml");

fn graph(text: &str) -> Graph {
    let document = spec::parse(text, "pipeline.toml", "dev").unwrap_or_else(|report| panic!("{report}"));
    build(&resolve(&document.spec, "dev").unwrap()).unwrap()
}

/// Every statement of every policy, with the resource of the template that it belongs to.
fn statements(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::Array(all)) = fields.get("Statement") {
                found.extend(all.iter().cloned());
            }
            fields.values().for_each(|field| statements(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| statements(item, found)),
        _ => {}
    }
}

fn all_statements() -> Vec<Value> {
    let mut found = Vec::new();
    graph(EXAMPLE)
        .stacks()
        .for_each(|(_, stack)| statements(&stack.template, &mut found));
    assert!(found.len() > 10, "only {} statements", found.len());
    found
}

#[test]
fn nothing_is_allowed_to_everybody_or_on_everything() {
    for statement in all_statements()
        .iter()
        .filter(|statement| statement["Effect"] == "Allow")
    {
        let principal = statement.get("Principal").map(ToString::to_string).unwrap_or_default();
        assert!(!principal.contains("\"*\""), "{statement}");
        let resources = statement.get("Resource").map(ToString::to_string).unwrap_or_default();
        assert!(!resources.contains("\"*\""), "{statement}");
        let actions = statement["Action"].to_string();
        assert!(!actions.contains('*'), "{statement}");
    }
}

#[test]
fn services_act_only_for_this_account() {
    for statement in all_statements() {
        let service = statement["Principal"]["Service"].as_str().unwrap_or_default();
        // A role's trust names the service itself: Lambda takes it for its own functions.
        if !service.is_empty() && service != "lambda.amazonaws.com" {
            assert_eq!(
                statement["Condition"]["StringEquals"]["aws:SourceAccount"], "111122223333",
                "{statement}"
            );
            assert!(
                statement["Condition"].to_string().contains("aws:SourceArn"),
                "{statement}"
            );
        }
    }
}

#[test]
fn buckets_are_private_encrypted_and_kept() {
    let mut buckets = 0;
    for (_, stack) in graph(EXAMPLE).stacks() {
        for resource in stack.template["Resources"].as_object().unwrap().values() {
            if resource["Type"] == "AWS::S3::Bucket" {
                buckets += 1;
                let properties = &resource["Properties"];
                assert_eq!(resource["DeletionPolicy"], "Retain");
                assert_eq!(resource["UpdateReplacePolicy"], "Retain");
                assert_eq!(properties["PublicAccessBlockConfiguration"]["BlockPublicPolicy"], true);
                assert!(properties["BucketEncryption"].is_object());
            }
        }
    }
    assert_eq!(buckets, 3);
}

#[test]
fn every_queue_but_a_dead_letter_queue_has_one_and_every_log_group_ends() {
    for (_, stack) in graph(EXAMPLE).stacks() {
        for (id, resource) in stack.template["Resources"].as_object().unwrap() {
            match resource["Type"].as_str().unwrap() {
                "AWS::SQS::Queue" => {
                    assert!(
                        id.contains("DeadLetters") || resource["Properties"]["RedrivePolicy"].is_object(),
                        "{id}"
                    );
                }
                "AWS::Logs::LogGroup" => assert_eq!(resource["Properties"]["RetentionInDays"], 30, "{id}"),
                _ => {}
            }
        }
    }
}

#[test]
fn a_source_is_switched_on_after_everything_that_listens() {
    let graph = graph(EXAMPLE);
    assert!(graph.unsound_edges().is_empty());
    let storage = graph.nodes().iter().find(|node| node.id.0 == "aws:storage").unwrap();
    let listening = |node: &&super::Node| matches!(&node.body, Body::Object(object) if matches!(object.kind, Kind::Pipe | Kind::Task));
    for node in graph.nodes().iter().filter(listening) {
        assert!(storage.needs.contains(&node.id), "{} is not waited for", node.id);
    }
}

#[test]
fn text_of_the_user_cannot_leave_its_place() {
    let nasty = r#"description = "x'; DROP TABLE t; -- \" } ] : *alias & | > %\n- y""#;
    let from = EXAMPLE.lines().find(|line| line.starts_with("description")).unwrap();
    let graph = graph(&EXAMPLE.replacen(from, nasty, 1));
    for (_, stack) in graph.stacks() {
        let read: Value = serde_yaml::from_str(&stack.yaml().unwrap()).unwrap();
        assert_eq!(read, stack.template);
        assert!(read["Description"].as_str().unwrap().contains("DROP TABLE t; -- \" }"));
    }
    for (_, object) in graph.objects().filter(|(_, object)| object.kind == Kind::Database) {
        assert!(
            object.statements.create[0].contains(r"COMMENT = 'x''; DROP TABLE t; -- "),
            "{:?}",
            object.statements
        );
    }
}

#[test]
fn templates_fit_inline() {
    for (_, stack) in graph(EXAMPLE).stacks() {
        assert!(stack.yaml().unwrap().len() < 51_200, "{}", stack.name);
    }
}

/// A pipeline of so many tables, each with files of its own.
fn pipeline(tables: usize) -> String {
    let head = EXAMPLE.split_once("[[table]]").unwrap().0;
    let rest = EXAMPLE.rsplit_once("\n[env.dev]").unwrap().1;
    let table = |number| {
        format!(
            r#"[[table]]
name = "t{number}"
prefix = "t{number}/"
columns = [{{ name = "id", type = "NUMBER(10,0)", path = "$.Id", key = true, not_null = true }}, {{ name = "name", type = "VARCHAR(40)", path = "$.Name" }}]

"#
        )
    };
    let tables: String = (1..=tables).map(table).collect();
    format!("{head}{tables}\n[env.dev]{rest}")
}

/// Snowflake's limits: 100 children of a task and 1,000 tasks in a graph, <https://docs.snowflake.com/en/user-guide/tasks-graphs>.
/// Half of them leave room for the old graph beside the new one.
#[test]
fn a_task_graph_keeps_to_half_of_what_snowflake_allows() {
    for tables in [1, 50, 51, 480, 481, 1000] {
        let graph = graph(&pipeline(tables));
        let mut children: BTreeMap<String, usize> = BTreeMap::new();
        let (mut count, mut merged) = (0, String::new());
        for (_, task) in graph.objects().filter(|(_, object)| object.kind == Kind::Task) {
            count += 1;
            let properties = task.properties();
            match &*properties["predecessors"] {
                "" => {}
                parent => *children.entry(parent.to_owned()).or_default() += 1,
            }
            merged += &properties["definition"];
        }
        let most = children.values().max().unwrap();
        assert!(
            count <= 500 && *most <= 50,
            "{tables} tables: {count} tasks, {most} children"
        );
        for table in 1..=tables {
            let merge = format!("MERGE INTO CHINOOK_INVOICES_DEV.SHOP.T{table} AS");
            assert_eq!(merged.matches(&merge).count(), 1, "T{table} of {tables}");
        }
    }
}

#[test]
fn every_task_comes_after_its_parent() {
    let graph = graph(&pipeline(60));
    let task = |id: &str| graph.nodes().iter().find(|node| node.id.0.ends_with(id)).unwrap();
    let branch = task(".BRANCH_2");
    assert!(branch.needs.contains(&task(".LOAD").id));
    assert_eq!(task(".LOAD_T60").needs, std::slice::from_ref(&branch.id));
}

const MYSQL: &str = include_str!("../../examples/mysql-star/pipeline.toml");

/// The statements that make and fill an object.
fn statements_of(text: &str, name: &str) -> (String, String) {
    let graph = graph(text);
    let (_, object) = graph
        .objects()
        .find(|(_, object)| object.name.to_string() == name)
        .unwrap_or_else(|| panic!("no {name}"));
    let statements = &object.statements;
    (statements.create.join(";\n"), statements.backfill.join(";\n"))
}

/// Snowflake makes them NOT NULL whatever the definition says, so a definition that says otherwise differs for ever.
#[test]
fn columns_of_a_technical_key_are_not_null() {
    let (create, _) = statements_of(MYSQL, "VIDEO_EVENTS_DEV.VIDEO.VIDEO_EVENT");
    assert!(create.contains("PRIMARY KEY (_ROW)"), "{create}");
    assert!(create.contains("_ROW VARCHAR(16777216) NOT NULL"), "{create}");
    assert!(!create.contains("_SEQ VARCHAR(16777216) NOT NULL"), "{create}");
}

/// They have no `_SEQ`, with which nothing compares.
#[test]
fn rows_of_an_adopted_table_take_their_first_reading() {
    let keyed = MYSQL.replacen("path = \"@.DATETIME\"", "path = \"@.DATETIME\", key = true", 1);
    let adopted = keyed.replacen("name = \"video_event\"", "name = \"video_event\"\nadopt = true", 1);
    let guard = |text: &str| statements_of(text, "VIDEO_EVENTS_DEV.VIDEO.VIDEO_EVENT").1;
    assert!(guard(&adopted).contains("WHEN MATCHED AND (t._SEQ IS NULL OR s._SEQ >= t._SEQ) THEN UPDATE SET"));
    assert!(guard(&keyed).contains("WHEN MATCHED AND s._SEQ >= t._SEQ THEN UPDATE SET"));
    let keyless = MYSQL.replacen("name = \"video_event\"", "name = \"video_event\"\nadopt = true", 1);
    let report = spec::parse(&keyless, "pipeline.toml", "dev").expect_err("its rows cannot be told apart");
    assert!(report.to_string().contains("an adopted table needs a key"), "{report}");
}

const ALERTS: &str = "[alerts]\nmail = { from = \"alarms@example.com\", to = [\"ops@example.com\"], identity = \"example.com\" }\nwebhook = \"secretsmanager:team/hook\"\nabsent_after = \"2 days\"\n\n[source]";

/// The resources of one type of a pipeline, by logical id.
fn resources(graph: &Graph, kind: &str) -> BTreeMap<String, Value> {
    let templates = graph.stacks().map(|(_, stack)| stack.template["Resources"].clone());
    let all = templates.flat_map(|resources| resources.as_object().cloned().unwrap_or_default());
    all.filter(|(_, resource)| resource["Type"] == kind)
        .map(|(id, resource)| (id, resource["Properties"].clone()))
        .collect()
}

#[test]
fn alarms_cover_every_hop_and_speak_both_ways() {
    let expected = [
        (
            EXAMPLE.to_owned(),
            vec!["CopyAge", "CopyDeadLetterDepth", "CopyErrors", "CopyRejections"],
        ),
        (
            MYSQL.replacen("[source]", ALERTS, 1),
            vec![
                "AlertDeadLetterDepth",
                "AlertErrors",
                "DeliveryAbsence",
                "DeliveryFailures",
                "DeliveryFreshness",
                "ExtractErrors",
                "ExtractRejections",
                "ScheduleErrors",
                "StreamAge",
            ],
        ),
    ];
    for (text, names) in expected {
        let alarms = resources(&graph(&text), "AWS::CloudWatch::Alarm");
        assert_eq!(alarms.keys().collect::<Vec<_>>(), names);
        for alarm in alarms.values() {
            let topic = alarm["AlarmActions"][0].as_str().unwrap();
            assert!(topic.ends_with("-alerts"), "{alarm}");
            assert_eq!(alarm["AlarmActions"], alarm["OKActions"]);
        }
    }
}

#[test]
fn absence_beyond_a_day_counts_hours() {
    let alarms = resources(&graph(&MYSQL.replacen("[source]", ALERTS, 1)), "AWS::CloudWatch::Alarm");
    let absence = &alarms["DeliveryAbsence"];
    assert_eq!(
        (&absence["Period"], &absence["EvaluationPeriods"]),
        (&3600.into(), &48.into())
    );
    assert_eq!(absence["TreatMissingData"], "breaching");
}

/// What each reading does wrong is one alarm, and one mail, however far apart the readings are.
#[test]
fn a_schedule_that_fails_every_time_is_one_alarm() {
    for (schedule, period, periods) in [
        ("1 minute", 60, 2),
        ("5 minutes", 60, 10),
        ("12 hours", 60, 1440),
        ("13 hours", 3600, 26),
        ("USING CRON 0 9 * * MON-FRI UTC", 3600, 48),
        // CloudWatch looks at seven days at most.
        ("192 hours", 3600, 168),
    ] {
        let text = MYSQL.replacen("\"5 minutes\"", &format!("\"{schedule}\""), 1);
        let alarms = resources(&graph(&text), "AWS::CloudWatch::Alarm");
        for name in ["ExtractErrors", "ExtractRejections", "ScheduleErrors"] {
            let alarm = &alarms[name];
            assert_eq!(alarm["Period"], period, "{schedule}: {alarm}");
            assert_eq!(alarm["EvaluationPeriods"], periods, "{schedule}: {alarm}");
            assert_eq!(alarm["DatapointsToAlarm"], 1, "{schedule}: {alarm}");
            assert_eq!(alarm["Threshold"], 0);
        }
        assert!(alarms["DeliveryFailures"].get("DatapointsToAlarm").is_none());
    }
}

/// It goes off as soon as it is made, and nobody would hear of it.
#[test]
fn absence_is_watched_after_somebody_hears_of_it() {
    let mail_only = ALERTS.replace("absent_after = \"2 days\"\n", "");
    for (text, stack) in [(EXAMPLE, "aws:ingest"), (MYSQL, "aws:stream")] {
        let needs = |alerts: &str| {
            let graph = graph(&text.replacen("[source]", alerts, 1));
            let node = graph.nodes().iter().find(|node| node.id.0 == stack).unwrap();
            node.needs.iter().map(|id| id.0.clone()).collect::<Vec<String>>()
        };
        assert!(needs(ALERTS).contains(&"aws:notify".to_owned()), "{stack}");
        assert!(!needs(&mail_only).contains(&"aws:notify".to_owned()), "{stack}");
        let by_topic = "[alerts]\nemail = \"ops@example.com\"\nabsent_after = \"2 days\"\n\n[source]";
        assert!(needs(by_topic).contains(&"aws:alerts".to_owned()), "{stack}");
    }
}

#[test]
fn the_mailer_may_send_from_its_sender_only_and_an_identity_that_exists_is_not_made() {
    let graph = graph(&MYSQL.replacen("[source]", ALERTS, 1));
    assert!(resources(&graph, "AWS::SES::EmailIdentity").is_empty());
    let role = &resources(&graph, "AWS::IAM::Role")["AlertRole"];
    let statements = role["Policies"][0]["PolicyDocument"]["Statement"].as_array().unwrap();
    let of = |sid: &str| statements.iter().find(|statement| statement["Sid"] == sid).unwrap();
    assert_eq!(
        of("Send")["Resource"],
        serde_json::json!([
            "arn:aws:ses:eu-west-1:111122223333:identity/example.com",
            "arn:aws:ses:eu-west-1:111122223333:identity/ops@example.com",
        ])
    );
    assert_eq!(
        of("Send")["Condition"]["StringEquals"]["ses:FromAddress"],
        "alarms@example.com"
    );
    assert_eq!(
        of("WebHook")["Resource"],
        serde_json::json!(["arn:aws:secretsmanager:eu-west-1:111122223333:secret:team/hook-??????"])
    );
}
