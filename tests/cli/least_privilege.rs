//! Every statement of every generated policy is needed: without any one of them something fails, and with it back it works.
//!
//! The statements are those that `render` writes, so that none is forgotten; a new one fails here until it is proven.

use std::time::Duration;

use serde_json::{Value, json};

use crate::alerts::{ALERTS, mails};
use crate::client::Refused;
use crate::cloud::{CURATED, Cloud, Iam, RAW};
use crate::policies::{Policy, TRIES, policies, sids};

/// How long a file is waited for that is not to arrive. One that arrives takes about two seconds.
const NEVER: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(240);

/// What the local cloud does not check, and why: resource, part, Sid, reason. The content is compared instead.
const UNPROVEN: [(&str, &str, &str, &str); 2] = [
    (
        "CopyRole",
        "copy",
        "Logs",
        "ministack writes a function's logs without its role",
    ),
    (
        "AlertRole",
        "alert",
        "Logs",
        "ministack writes a function's logs without its role",
    ),
];

/// How a statement shows that it is needed.
enum Proof {
    /// A file put into the raw bucket becomes a row.
    FileArrives,
    /// A pipe can subscribe to the topic.
    PipeSubscribes,
    /// SYSTEM$VALIDATE_STORAGE_INTEGRATION succeeds for an action.
    IntegrationCan(&'static str),
    /// A file that Snowflake cannot load is reported to the alerts topic.
    FailureIsReported,
    /// The role is assumed; ministack lets the account's root stand in for a service.
    RoleIsAssumed(&'static str),
    /// The role, assumed here, can do it. For what AWS or Snowflake do there and the local cloud does without asking.
    RoleCan(&'static str, &'static str, &'static str, Value),
    /// An alarm reaches the alerts topic.
    AlarmIsReported,
    /// What is published to the alerts topic is mailed.
    MailArrives,
    /// A request to the bucket over plain http is refused, one over TLS is not.
    PlainHttpIsRefused(&'static str),
}

fn proof(cloud: &Cloud, resource: &str, part: &str, sid: &str) -> Option<Proof> {
    Some(match (resource, part, sid) {
        ("ArtifactBucketPolicy", _, "DenyPlainHttp") => Proof::PlainHttpIsRefused(ARTIFACTS),
        ("RawBucketPolicy", _, "DenyPlainHttp") => Proof::PlainHttpIsRefused(RAW),
        ("CuratedBucketPolicy", _, "DenyPlainHttp") => Proof::PlainHttpIsRefused(CURATED),
        ("CuratedTopicPolicy", _, "SnowflakeSubscribes") => Proof::PipeSubscribes,
        ("SnowflakeReadRole", _, "List") => Proof::IntegrationCan("list"),
        ("SnowflakeReadRole", _, "Locate") => Proof::RoleCan(
            "snowflake-read",
            "s3",
            "get_bucket_location",
            json!({ "Bucket": CURATED }),
        ),
        ("SnowflakeErrorRole", _, "Snowflake" | "Report") => Proof::FailureIsReported,
        ("CopyRole", "trust", "Service") => Proof::RoleIsAssumed("copy"),
        ("CopyRole", _, "Queue") => {
            let queue = cloud.queue_url("chinook-invoices-local-copy");
            Proof::RoleCan(
                "copy",
                "sqs",
                "receive_message",
                json!({ "QueueUrl": queue, "WaitTimeSeconds": 0 }),
            )
        }
        ("CuratedTopicPolicy", _, "CuratedBucket") | ("RawTopicPolicy", _, "RawBucket") => Proof::FileArrives,
        ("CopyQueuePolicy", _, "RawTopic") | ("CopyRole", _, "ReadRaw" | "WriteCurated") => Proof::FileArrives,
        ("SnowflakeReadRole", _, "Snowflake" | "Read") => Proof::FileArrives,
        ("AlertTopicPolicy", _, "Alarms") => Proof::AlarmIsReported,
        ("AlertQueuePolicy", _, "AlertTopic") => Proof::MailArrives,
        ("AlertRole", "trust", "Service") => Proof::RoleIsAssumed("alert"),
        ("AlertRole", _, "Queue") => {
            let queue = cloud.queue_url("chinook-invoices-local-alert");
            Proof::RoleCan("alert", "sqs", "get_queue_attributes", json!({ "QueueUrl": queue }))
        }
        ("AlertRole", _, "ReadErrors") => Proof::RoleCan(
            "alert",
            "logs",
            "filter_log_events",
            json!({ "logGroupName": "/aws/lambda/chinook-invoices-local-copy" }),
        ),
        ("AlertRole", _, "LastMail") => Proof::RoleCan(
            "alert",
            "ssm",
            "put_parameter",
            json!({ "Name": "/pipectl/chinook-invoices/local/last-mail", "Value": "0", "Type": "String", "Overwrite": true }),
        ),
        ("AlertRole", _, "Send") => Proof::RoleCan("alert", "sesv2", "send_email", probe_mail()),
        _ => return None,
    })
}

fn probe_mail() -> Value {
    json!({
        "FromEmailAddress": "alarms@example.com",
        "Destination": { "ToAddresses": ["ops@example.com"] },
        "Content": { "Simple": { "Subject": { "Data": "probe" }, "Body": { "Text": { "Data": "probe" } } } },
    })
}

const ALERT_TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:chinook-invoices-local-alerts";
const ARTIFACTS: &str = "chinook-invoices-local-artifacts-000000000000-us-east-1";

#[test]
fn every_statement_is_needed() {
    let cloud = Cloud::up(Iam::Enforced);
    cloud.edit("[source]", ALERTS);
    cloud.run("deploy --yes").exits(0);
    let policies = policies(&cloud);
    what_is_unproven_is_exact(&policies, &cloud);
    let people = People::meet(&cloud);
    let mut number = 0;
    let mut failures = Vec::new();
    for policy in &policies {
        let whole = policy.read(&cloud);
        let statements = whole["Statement"].as_array().unwrap().clone();
        assert_eq!(
            sids(&statements),
            policy.sids,
            "{} is not what is rendered",
            policy.name()
        );
        for position in 0..statements.len() {
            let sid = &policy.sids[position];
            let name = format!("{} {sid}", policy.name());
            if UNPROVEN
                .iter()
                .any(|(resource, part, sid_, _)| (*resource, *part, *sid_) == (&policy.resource, &policy.part, sid))
            {
                continue;
            }
            let Some(proof) = proof(&cloud, &policy.resource, &policy.part, sid) else {
                failures.push(format!("{name}: no proof is written for it"));
                continue;
            };
            let mut without = statements.clone();
            without.remove(position);
            write(policy, &cloud, &without);
            let started = std::time::Instant::now();
            let mut works = |within| {
                number += 1;
                holds(&cloud, &people, &proof, number, within)
            };
            if (0..TRIES).all(|_| works(NEVER)) {
                failures.push(format!("{name}: everything works without it"));
            }
            write(policy, &cloud, &statements);
            if !works(PATIENCE) {
                failures.push(format!("{name}: it does not work with it, either"));
            }
            eprintln!("{name}: {:?}", started.elapsed());
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn write(policy: &Policy, cloud: &Cloud, statements: &[Value]) {
    policy.write(cloud, statements);
    // Snowflake keeps a role's credentials for a while; trying the integration makes it forget them.
    if policy.part == "trust" {
        integration_can(cloud, "list");
    }
}

/// Whether what a statement allows, or forbids, is so.
fn holds(cloud: &Cloud, people: &People, proof: &Proof, number: usize, within: Duration) -> bool {
    match proof {
        Proof::FileArrives => {
            let invoice = 100_000 + number;
            let record = json!({ "InvoiceId": invoice, "InvoiceDate": "2026-01-02", "Customer": { "CustomerId": 1 }, "Total": 1 });
            cloud.put(RAW, &format!("invoices/{number}.json"), record.to_string());
            let count = format!("select count(*) from {{db}}.SHOP.INVOICE where INVOICE_ID = {invoice}");
            cloud.comes_to(&count, "1", within)
        }
        Proof::PipeSubscribes => {
            let made = cloud.try_sql(
                "CREATE PIPE {db}.SHOP_RAW.PROBE AUTO_INGEST = TRUE
                 AWS_SNS_TOPIC = 'arn:aws:sns:us-east-1:000000000000:chinook-invoices-local-curated'
                 AS COPY INTO {db}.SHOP_RAW.RAW_INVOICES (FILE_NAME) FROM (SELECT METADATA$FILENAME FROM @{db}.SHOP_RAW.CURATED/none/)",
            );
            cloud.sql("DROP PIPE IF EXISTS {db}.SHOP_RAW.PROBE");
            assert!(made.code == Some(0) || made.stdout.contains("subscribe"), "{made:?}");
            made.code == Some(0)
        }
        Proof::IntegrationCan(action) => integration_can(cloud, action),
        Proof::FailureIsReported => heard(cloud, within, || {
            cloud.put(CURATED, &format!("data/invoices/{number}.jsonl"), "no JSON");
        }),
        Proof::RoleIsAssumed(role) => assume(cloud, &format!("chinook-invoices-local-{role}")).is_ok(),
        Proof::RoleCan(role, service, operation, arguments) => {
            let role = match *role {
                "copy" => &people.copy,
                "alert" => &people.alert,
                _ => &people.snowflake_read,
            };
            permitted(cloud.try_aws_as(role, "https", service, operation, arguments.clone()))
        }
        Proof::AlarmIsReported => heard(cloud, within, || {
            let alarm = "chinook-invoices-local-copy-errors";
            let state = json!({ "AlarmName": alarm, "StateValue": "ALARM", "StateReason": "probe" });
            cloud.aws("cloudwatch", "set_alarm_state", state);
        }),
        Proof::MailArrives => {
            let text = format!("probe {number}");
            cloud.aws("sns", "publish", json!({ "TopicArn": ALERT_TOPIC, "Message": text }));
            let started = std::time::Instant::now();
            loop {
                if mails(cloud)
                    .iter()
                    .any(|mail| mail["BodyText"].to_string().contains(&text))
                {
                    return true;
                }
                if started.elapsed() > within {
                    return false;
                }
                std::thread::sleep(Duration::from_millis(200));
            }
        }
        Proof::PlainHttpIsRefused(bucket) => {
            let list = |over| {
                permitted(cloud.try_aws_as(
                    &people.operator,
                    over,
                    "s3",
                    "list_objects_v2",
                    json!({ "Bucket": bucket }),
                ))
            };
            assert!(list("https"), "{bucket} cannot be listed over TLS");
            !list("http")
        }
    }
}

fn integration_can(cloud: &Cloud, action: &str) -> bool {
    let answer = cloud.value(&format!(
        "select SYSTEM$VALIDATE_STORAGE_INTEGRATION('{{db}}_S3', 's3://{CURATED}/data/', 'none', '{action}')"
    ));
    serde_json::from_str::<Value>(&answer).unwrap()["status"] == "success"
}

fn permitted(answer: Result<Value, Refused>) -> bool {
    match answer {
        Ok(_) => true,
        Err(refused) => {
            assert!(refused.code.contains("AccessDenied"), "{refused:?}");
            false
        }
    }
}

/// Credentials of roles, assumed as the account's root.
struct People {
    copy: Value,
    alert: Value,
    snowflake_read: Value,
    /// Somebody with every permission but that of the root, whom ministack refuses nothing.
    operator: Value,
}

impl People {
    fn meet(cloud: &Cloud) -> Self {
        let root = json!({ "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::000000000000:root" }, "Action": "sts:AssumeRole" });
        let trust = json!({ "Version": "2012-10-17", "Statement": [root] }).to_string();
        cloud.aws(
            "iam",
            "create_role",
            json!({ "RoleName": "operator", "AssumeRolePolicyDocument": trust }),
        );
        let all =
            json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "*", "Resource": "*" }] });
        let policy = json!({ "RoleName": "operator", "PolicyName": "all", "PolicyDocument": all.to_string() });
        cloud.aws("iam", "put_role_policy", policy);
        // Only Snowflake may assume its role, so the root is let in for a moment.
        let role = "chinook-invoices-local-snowflake-read";
        let own =
            cloud.aws("iam", "get_role", json!({ "RoleName": role }))["Role"]["AssumeRolePolicyDocument"].to_string();
        let set = |document: &str| {
            cloud.aws(
                "iam",
                "update_assume_role_policy",
                json!({ "RoleName": role, "PolicyDocument": document }),
            );
        };
        set(&trust);
        let snowflake_read = assume(cloud, role).unwrap();
        set(&own);
        let copy = assume(cloud, "chinook-invoices-local-copy").unwrap();
        Self {
            copy,
            alert: assume(cloud, "chinook-invoices-local-alert").unwrap(),
            snowflake_read,
            operator: assume(cloud, "operator").unwrap(),
        }
    }
}

fn assume(cloud: &Cloud, role: &str) -> Result<Value, Refused> {
    let arguments = json!({ "RoleArn": format!("arn:aws:iam::000000000000:role/{role}"), "RoleSessionName": "test" });
    Ok(cloud.try_aws("sts", "assume_role", arguments)?["Credentials"].clone())
}

fn what_is_unproven_is_exact(policies: &[Policy], cloud: &Cloud) {
    for (resource, part, sid, _reason) in UNPROVEN {
        let policy = policies
            .iter()
            .find(|policy| policy.resource == resource && policy.part == part)
            .unwrap();
        let document = policy.read(cloud);
        let statement = document["Statement"]
            .as_array()
            .unwrap()
            .iter()
            .find(|statement| statement["Sid"] == sid)
            .unwrap();
        let expected = match (resource, sid) {
            ("CopyRole" | "AlertRole", "Logs") => json!({
                "Sid": "Logs",
                "Effect": "Allow",
                "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
                "Resource": [format!("arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/chinook-invoices-local-{part}:*")],
            }),
            _ => panic!("no content is written for {resource} {sid}"),
        };
        assert_eq!(*statement, expected);
    }
}

/// Whether something reaches the alerts topic after `cause`.
fn heard(cloud: &Cloud, within: Duration, cause: impl FnOnce()) -> bool {
    let ear = cloud.aws("sqs", "create_queue", json!({ "QueueName": "ear" }))["QueueUrl"]
        .as_str()
        .unwrap()
        .to_owned();
    let queue = "arn:aws:sqs:us-east-1:000000000000:ear";
    let open = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": "sns.amazonaws.com" }, "Action": "sqs:SendMessage", "Resource": queue }] });
    cloud.aws(
        "sqs",
        "set_queue_attributes",
        json!({ "QueueUrl": ear, "Attributes": { "Policy": open.to_string() } }),
    );
    let subscription = cloud.aws(
        "sns",
        "subscribe",
        json!({ "TopicArn": ALERT_TOPIC, "Protocol": "sqs", "Endpoint": queue }),
    );
    cause();
    let started = std::time::Instant::now();
    let mut heard = false;
    while !heard && started.elapsed() < within {
        let answer = cloud.aws(
            "sqs",
            "receive_message",
            json!({ "QueueUrl": ear, "WaitTimeSeconds": 1 }),
        );
        heard = answer["Messages"]
            .as_array()
            .is_some_and(|messages| !messages.is_empty());
    }
    cloud.aws(
        "sns",
        "unsubscribe",
        json!({ "SubscriptionArn": subscription["SubscriptionArn"] }),
    );
    cloud.aws("sqs", "delete_queue", json!({ "QueueUrl": ear }));
    heard
}
