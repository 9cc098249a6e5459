//! Every policy that is rendered, read and written where it lives.

use serde_json::{Value, json};

use crate::cloud::Cloud;

/// How often in a row everything has to work without a statement before the statement counts as needless: what was begun
/// while it was there may still come through.
pub const TRIES: usize = 3;

/// A policy as `render` writes it, and where it lives.
pub struct Policy {
    /// Logical id in the template.
    pub resource: String,
    /// Name of a role's policy; `trust` for who may assume it; empty elsewhere.
    pub part: String,
    pub kind: String,
    /// Name of the role, bucket, topic or queue.
    pub target: String,
    pub sids: Vec<String>,
}

impl Policy {
    pub fn name(&self) -> String {
        format!("{} {}", self.resource, self.part)
    }

    pub fn read(&self, cloud: &Cloud) -> Value {
        let target = &self.target;
        let document = match (self.kind.as_str(), self.part.as_str()) {
            ("AWS::IAM::Role", "trust") => {
                cloud.aws("iam", "get_role", json!({ "RoleName": target }))["Role"]["AssumeRolePolicyDocument"].clone()
            }
            ("AWS::IAM::Role", part) => cloud.aws(
                "iam",
                "get_role_policy",
                json!({ "RoleName": target, "PolicyName": part }),
            )["PolicyDocument"]
                .clone(),
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

    pub fn write(&self, cloud: &Cloud, statements: &[Value]) {
        let target = &self.target;
        // AWS takes no policy without any statement. This one allows nothing to anybody who exists.
        let nobody = json!({ "Sid": "Nobody", "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::111111111111:root" }, "Action": "none:None" });
        let statements = if statements.is_empty() {
            std::slice::from_ref(&nobody)
        } else {
            statements
        };
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
    }
}

pub fn sids(statements: &[Value]) -> Vec<String> {
    statements
        .iter()
        .map(|statement| statement["Sid"].as_str().expect("every statement has a Sid").to_owned())
        .collect()
}

/// Every policy in what is rendered. A resource that holds statements somewhere else fails here.
pub fn policies(cloud: &Cloud) -> Vec<Policy> {
    cloud.run("render").exits(0);
    let folder = cloud.file().parent().unwrap().join("rendered/cloudformation");
    let mut templates: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
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
                found.push(Policy {
                    resource,
                    part,
                    kind,
                    target,
                    sids,
                });
            };
            let referred = |list: &Value, name: &str| {
                let id = list["Ref"].as_str().or_else(|| list[0]["Ref"].as_str()).unwrap();
                template["Resources"][id]["Properties"][name]
                    .as_str()
                    .unwrap()
                    .to_owned()
            };
            match kind {
                "AWS::IAM::Role" => {
                    let name = properties["RoleName"].as_str().unwrap().to_owned();
                    add("trust", name.clone(), &properties["AssumeRolePolicyDocument"]);
                    for policy in properties["Policies"].as_array().unwrap() {
                        add(
                            policy["PolicyName"].as_str().unwrap(),
                            name.clone(),
                            &policy["PolicyDocument"],
                        );
                    }
                }
                "AWS::SNS::TopicPolicy" => {
                    let arn = format!(
                        "arn:aws:sns:us-east-1:000000000000:{}",
                        referred(&properties["Topics"], "TopicName")
                    );
                    add("", arn, &properties["PolicyDocument"]);
                }
                "AWS::SQS::QueuePolicy" => add(
                    "",
                    referred(&properties["Queues"], "QueueName"),
                    &properties["PolicyDocument"],
                ),
                "AWS::S3::BucketPolicy" => add(
                    "",
                    referred(&properties["Bucket"], "BucketName"),
                    &properties["PolicyDocument"],
                ),
                _ => assert!(
                    !properties.to_string().contains("\"Statement\""),
                    "{resource} has a policy that this test does not know"
                ),
            }
        }
    }
    assert_eq!(
        statements,
        found.iter().map(|policy| policy.sids.len()).sum::<usize>(),
        "a statement was not read"
    );
    found
}
