//! Every statement of every generated policy is needed: without any one of them something fails, and with it back it works.
//!
//! The statements are those that `render` writes, so that none is forgotten; a new one fails here until it is proven.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cloud::{CURATED, Cloud, Iam, RAW};

/// How long a file is waited for that is not to arrive. One that arrives takes about two seconds.
const NEVER: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(60);

/// What the local cloud does not check, and why; their content is compared instead.
const UNPROVEN: [(&str, &str, &str, &str); 0] = [];

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
    /// An alarm reaches the alerts topic.
    AlarmIsPublished,
    /// A request to the bucket over plain http is refused.
    PlainHttpIsRefused(&'static str),
}

fn proof(resource: &str, sid: &str) -> Option<Proof> {
    Some(match (resource, sid) {
        ("ArtifactBucketPolicy", "DenyPlainHttp") => Proof::PlainHttpIsRefused(ARTIFACTS),
        ("RawBucketPolicy", "DenyPlainHttp") => Proof::PlainHttpIsRefused(RAW),
        ("CuratedBucketPolicy", "DenyPlainHttp") => Proof::PlainHttpIsRefused(CURATED),
        ("AlertTopicPolicy", "Alarms") => Proof::AlarmIsPublished,
        ("CuratedTopicPolicy", "SnowflakeSubscribes") => Proof::PipeSubscribes,
        ("SnowflakeReadRole", "List") => Proof::IntegrationCan("list"),
        ("SnowflakeErrorRole", _) => Proof::FailureIsReported,
        ("CuratedTopicPolicy" | "RawTopicPolicy", _) => Proof::FileArrives,
        ("CopyQueuePolicy" | "CopyRole" | "SnowflakeReadRole", _) => Proof::FileArrives,
        _ => return None,
    })
}

const ARTIFACTS: &str = "chinook-invoices-local-artifacts-000000000000-us-east-1";

#[test]
fn every_statement_is_needed() {
    let cloud = Cloud::with_pipeline(Iam::Enforced);
    let policies = policies(&cloud);
    let mut number = 0;
    let mut failures = Vec::new();
    for policy in &policies {
        let whole = policy.read(&cloud);
        let statements = whole["Statement"].as_array().unwrap().clone();
        assert_eq!(sids(&statements), policy.sids, "{} is not what is rendered", policy.name());
        for position in 0..statements.len() {
            let sid = &policy.sids[position];
            let name = format!("{} {sid}", policy.name());
            if UNPROVEN.iter().any(|(resource, part, sid_, _)| (*resource, *part, *sid_) == (&policy.resource, &policy.part, sid)) {
                continue;
            }
            let Some(proof) = proof(&policy.resource, sid) else {
                failures.push(format!("{name}: no proof is written for it"));
                continue;
            };
            let mut without = statements.clone();
            without.remove(position);
            policy.write(&cloud, &without);
            number += 1;
            let started = std::time::Instant::now();
            if holds(&cloud, &proof, number, NEVER) {
                failures.push(format!("{name}: everything works without it"));
            }
            policy.write(&cloud, &statements);
            number += 1;
            if !holds(&cloud, &proof, number, PATIENCE) {
                failures.push(format!("{name}: it does not work with it, either"));
            }
            eprintln!("{name}: {:?}", started.elapsed());
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Whether what a statement allows, or forbids, is so.
fn holds(cloud: &Cloud, proof: &Proof, number: usize, within: Duration) -> bool {
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
        Proof::IntegrationCan(action) => {
            let answer = cloud.value(&format!(
                "select SYSTEM$VALIDATE_STORAGE_INTEGRATION('{{db}}_S3', 's3://{CURATED}/data/', 'none', '{action}')"
            ));
            serde_json::from_str::<Value>(&answer).unwrap()["status"] == "success"
        }
        Proof::FailureIsReported => heard(cloud, within, || {
            cloud.put(CURATED, &format!("data/invoices/{number}.jsonl"), "no JSON");
        }),
        Proof::AlarmIsPublished => heard(cloud, within, || {
            for state in ["OK", "ALARM"] {
                let alarm = json!({ "AlarmName": "chinook-invoices-local-copy-errors", "StateValue": state, "StateReason": "a test" });
                cloud.aws("cloudwatch", "set_alarm_state", alarm);
            }
        }),
        Proof::PlainHttpIsRefused(bucket) => {
            let list = json!({ "Bucket": bucket });
            match cloud.try_aws_over_http("s3", "list_objects_v2", list) {
                Ok(_) => false,
                Err(refused) => {
                    assert_eq!(refused.code, "AccessDenied", "{}", refused.message);
                    true
                }
            }
        }
    }
}

/// Whether something reaches the alerts topic after `cause`.
fn heard(cloud: &Cloud, within: Duration, cause: impl FnOnce()) -> bool {
    let topic = "arn:aws:sns:us-east-1:000000000000:chinook-invoices-local-alerts";
    let ear = cloud.aws("sqs", "create_queue", json!({ "QueueName": "ear" }))["QueueUrl"].as_str().unwrap().to_owned();
    let queue = "arn:aws:sqs:us-east-1:000000000000:ear";
    let open = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": "sns.amazonaws.com" }, "Action": "sqs:SendMessage", "Resource": queue }] });
    cloud.aws("sqs", "set_queue_attributes", json!({ "QueueUrl": ear, "Attributes": { "Policy": open.to_string() } }));
    let subscription = cloud.aws("sns", "subscribe", json!({ "TopicArn": topic, "Protocol": "sqs", "Endpoint": queue }));
    cause();
    let started = std::time::Instant::now();
    let mut heard = false;
    while !heard && started.elapsed() < within {
        let answer = cloud.aws("sqs", "receive_message", json!({ "QueueUrl": ear, "WaitTimeSeconds": 1 }));
        heard = answer["Messages"].as_array().is_some_and(|messages| !messages.is_empty());
    }
    cloud.aws("sns", "unsubscribe", json!({ "SubscriptionArn": subscription["SubscriptionArn"] }));
    cloud.aws("sqs", "delete_queue", json!({ "QueueUrl": ear }));
    heard
}

/// A policy as `render` writes it, and where it lives.
struct Policy {
    /// Logical id in the template.
    resource: String,
    /// Name of a role's policy; `trust` for who may assume it; empty elsewhere.
    part: String,
    kind: String,
    /// Name of the role, bucket, topic or queue.
    target: String,
    sids: Vec<String>,
}

impl Policy {
    fn name(&self) -> String {
        format!("{} {}", self.resource, self.part)
    }

    fn read(&self, cloud: &Cloud) -> Value {
        let target = &self.target;
        let document = match (self.kind.as_str(), self.part.as_str()) {
            ("AWS::IAM::Role", "trust") => {
                cloud.aws("iam", "get_role", json!({ "RoleName": target }))["Role"]["AssumeRolePolicyDocument"].clone()
            }
            ("AWS::IAM::Role", part) => {
                cloud.aws("iam", "get_role_policy", json!({ "RoleName": target, "PolicyName": part }))["PolicyDocument"].clone()
            }
            ("AWS::SNS::TopicPolicy", _) => {
                cloud.aws("sns", "get_topic_attributes", json!({ "TopicArn": target }))["Attributes"]["Policy"].clone()
            }
            ("AWS::SQS::QueuePolicy", _) => {
                let asked = json!({ "QueueUrl": cloud.queue_url(target), "AttributeNames": ["Policy"] });
                cloud.aws("sqs", "get_queue_attributes", asked)["Attributes"]["Policy"].clone()
            }
            _ => cloud.aws("s3", "get_bucket_policy", json!({ "Bucket": target }))["Policy"].clone(),
        };
        match document.as_str() {
            Some(text) => serde_json::from_str(text).unwrap(),
            None => document,
        }
    }

    fn write(&self, cloud: &Cloud, statements: &[Value]) {
        let target = &self.target;
        // AWS takes no policy without any statement. This one allows nothing to anybody who exists.
        let nobody = json!({ "Sid": "Nobody", "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::111111111111:root" }, "Action": "none:None" });
        let statements = if statements.is_empty() { std::slice::from_ref(&nobody) } else { statements };
        let document = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
        match (self.kind.as_str(), self.part.as_str()) {
            ("AWS::IAM::Role", "trust") => {
                let nobody = document.replace("none:None", "sts:AssumeRole");
                cloud.aws("iam", "update_assume_role_policy", json!({ "RoleName": target, "PolicyDocument": nobody }))
            }
            ("AWS::IAM::Role", part) if document.contains("none:None") => {
                cloud.aws("iam", "delete_role_policy", json!({ "RoleName": target, "PolicyName": part }))
            }
            ("AWS::IAM::Role", part) => cloud.aws(
                "iam",
                "put_role_policy",
                json!({ "RoleName": target, "PolicyName": part, "PolicyDocument": document }),
            ),
            ("AWS::SNS::TopicPolicy", _) => cloud.aws(
                "sns",
                "set_topic_attributes",
                json!({ "TopicArn": target, "AttributeName": "Policy", "AttributeValue": document.replace("none:None", "sns:Publish") }),
            ),
            ("AWS::SQS::QueuePolicy", _) => cloud.aws(
                "sqs",
                "set_queue_attributes",
                json!({ "QueueUrl": cloud.queue_url(target), "Attributes": { "Policy": document.replace("none:None", "sqs:SendMessage") } }),
            ),
            _ if document.contains("none:None") => cloud.aws("s3", "delete_bucket_policy", json!({ "Bucket": target })),
            _ => cloud.aws("s3", "put_bucket_policy", json!({ "Bucket": target, "Policy": document })),
        };
        // Snowflake keeps a role's credentials for a while.
        if self.part == "trust" {
            holds(cloud, &Proof::IntegrationCan("list"), 0, NEVER);
        }
    }
}

fn sids(statements: &[Value]) -> Vec<String> {
    statements.iter().map(|statement| statement["Sid"].as_str().expect("every statement has a Sid").to_owned()).collect()
}

/// Every policy in what is rendered. A resource that holds statements somewhere else fails here.
fn policies(cloud: &Cloud) -> Vec<Policy> {
    cloud.run("render").exits(0);
    let folder = cloud.file().parent().unwrap().join("rendered/cloudformation");
    let mut templates: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    templates.sort();
    let mut found = Vec::new();
    let mut statements = 0;
    for template in templates {
        let text = std::fs::read_to_string(template).unwrap();
        statements += text.matches("Sid: ").count();
        let template: Value = serde_yaml::from_str(&text).unwrap();
        for (resource, body) in template["Resources"].as_object().unwrap() {
            let properties = &body["Properties"];
            let kind = body["Type"].as_str().unwrap();
            let mut add = |part: &str, target: String, document: &Value| {
                let sids = sids(document["Statement"].as_array().unwrap());
                let (resource, part, kind) = (resource.clone(), part.to_owned(), kind.to_owned());
                found.push(Policy { resource, part, kind, target, sids });
            };
            let referred = |list: &Value, name: &str| {
                let id = list["Ref"].as_str().or_else(|| list[0]["Ref"].as_str()).unwrap();
                template["Resources"][id]["Properties"][name].as_str().unwrap().to_owned()
            };
            match kind {
                "AWS::IAM::Role" => {
                    let name = properties["RoleName"].as_str().unwrap().to_owned();
                    add("trust", name.clone(), &properties["AssumeRolePolicyDocument"]);
                    for policy in properties["Policies"].as_array().unwrap() {
                        add(policy["PolicyName"].as_str().unwrap(), name.clone(), &policy["PolicyDocument"]);
                    }
                }
                "AWS::SNS::TopicPolicy" => {
                    let arn = format!("arn:aws:sns:us-east-1:000000000000:{}", referred(&properties["Topics"], "TopicName"));
                    add("", arn, &properties["PolicyDocument"]);
                }
                "AWS::SQS::QueuePolicy" => add("", referred(&properties["Queues"], "QueueName"), &properties["PolicyDocument"]),
                "AWS::S3::BucketPolicy" => add("", referred(&properties["Bucket"], "BucketName"), &properties["PolicyDocument"]),
                _ => assert!(!properties.to_string().contains("\"Statement\""), "{resource} has a policy that this test does not know"),
            }
        }
    }
    assert_eq!(statements, found.iter().map(|policy| policy.sids.len()).sum::<usize>(), "a statement was not read");
    found
}
