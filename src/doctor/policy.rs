//! The least that the deploying AWS principal needs: what pipectl calls itself, and what CloudFormation does with the same
//! credentials for the resources of the rendered templates.
//!
//! Which actions a resource type takes is in the `handlers` of its schema
//! (<https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-schema.html>); which of them know
//! resources, in <https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html>.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::handlers::{On, handlers};
use super::reader;
use crate::graph::Graph;
use crate::graph::mysql::extract;
use crate::model::names::Names;

/// Actions that are needed on the same resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// What for; also the statement's Sid.
    pub sid: &'static str,
    /// The actions.
    pub actions: BTreeSet<&'static str>,
    /// ARNs, or `*` for actions that know no resource.
    pub resources: BTreeSet<String>,
    /// A condition: operator, key, the values of which one must be.
    pub condition: Option<(&'static str, &'static str, BTreeSet<String>)>,
}

/// Calls that pipectl makes itself: SDK client, operation, actions. A test holds it against the source.
pub const CALLS: &[(&str, &str, &[&str])] = &[
    // Needs no permission: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
    ("sts", "get_caller_identity", &[]),
    ("cloudformation", "describe_stacks", &["cloudformation:DescribeStacks"]),
    (
        "cloudformation",
        "describe_account_limits",
        &["cloudformation:DescribeAccountLimits"],
    ),
    (
        "cloudformation",
        "describe_stack_events",
        &["cloudformation:DescribeStackEvents"],
    ),
    ("cloudformation", "get_template", &["cloudformation:GetTemplate"]),
    // The stack's tags go on every resource.
    (
        "cloudformation",
        "create_change_set",
        &["cloudformation:CreateChangeSet", "cloudformation:TagResource"],
    ),
    (
        "cloudformation",
        "describe_change_set",
        &["cloudformation:DescribeChangeSet"],
    ),
    (
        "cloudformation",
        "execute_change_set",
        &["cloudformation:ExecuteChangeSet"],
    ),
    (
        "cloudformation",
        "delete_change_set",
        &["cloudformation:DeleteChangeSet"],
    ),
    (
        "cloudformation",
        "continue_update_rollback",
        &["cloudformation:ContinueUpdateRollback"],
    ),
    ("cloudformation", "describe_events", &["cloudformation:DescribeEvents"]),
    ("cloudformation", "rollback_stack", &["cloudformation:RollbackStack"]),
    ("cloudformation", "list_stacks", &["cloudformation:ListStacks"]),
    (
        "cloudformation",
        "list_stack_resources",
        &["cloudformation:ListStackResources"],
    ),
    ("cloudformation", "delete_stack", &["cloudformation:DeleteStack"]),
    ("cloudwatch", "get_metric_data", &["cloudwatch:GetMetricData"]),
    ("iam", "get_role", &["iam:GetRole"]),
    ("iam", "simulate_principal_policy", &["iam:SimulatePrincipalPolicy"]),
    // Of the function that reads the database: `backfill` and `verify` ask it.
    ("lambda", "invoke", &["lambda:InvokeFunction"]),
    // Of files of records that Firehose gave up.
    ("s3", "get_object", &["s3:GetObject"]),
    ("s3", "delete_object", &["s3:DeleteObject"]),
    ("s3", "head_object", &["s3:GetObject", "s3:ListBucket"]),
    ("s3", "put_object", &["s3:PutObject"]),
    ("s3", "list_object_versions", &["s3:ListBucketVersions"]),
    ("s3", "delete_objects", &["s3:DeleteObject", "s3:DeleteObjectVersion"]),
    ("s3", "delete_bucket", &["s3:DeleteBucket"]),
    ("s3", "list_objects_v2", &["s3:ListBucket"]),
    // Of buckets that are adopted.
    ("s3", "get_bucket_versioning", &["s3:GetBucketVersioning"]),
    ("s3", "get_bucket_encryption", &["s3:GetEncryptionConfiguration"]),
    (
        "s3",
        "get_bucket_lifecycle_configuration",
        &["s3:GetLifecycleConfiguration"],
    ),
    ("s3", "get_bucket_policy", &["s3:GetBucketPolicy"]),
    ("s3", "get_public_access_block", &["s3:GetBucketPublicAccessBlock"]),
    ("s3", "get_bucket_tagging", &["s3:GetBucketTagging"]),
    (
        "s3",
        "get_bucket_notification_configuration",
        &["s3:GetBucketNotification"],
    ),
    (
        "s3",
        "put_bucket_notification_configuration",
        &["s3:PutBucketNotification"],
    ),
    ("logs", "filter_log_events", &["logs:FilterLogEvents"]),
    ("scheduler", "list_schedules", &["scheduler:ListSchedules"]),
    ("ses", "get_email_identity", &["ses:GetEmailIdentity"]),
    ("sqs", "get_queue_url", &["sqs:GetQueueUrl"]),
    ("sqs", "get_queue_attributes", &["sqs:GetQueueAttributes"]),
    ("sqs", "receive_message", &["sqs:ReceiveMessage"]),
    (
        "sqs",
        "change_message_visibility_batch",
        &["sqs:ChangeMessageVisibility"],
    ),
    ("sqs", "send_message_batch", &["sqs:SendMessage"]),
    ("sqs", "delete_message_batch", &["sqs:DeleteMessage"]),
    ("ssm", "get_parameter", &["ssm:GetParameter"]),
    ("ssm", "get_parameters_by_path", &["ssm:GetParametersByPath"]),
    ("ssm", "put_parameter", &["ssm:PutParameter"]),
    ("ssm", "delete_parameter", &["ssm:DeleteParameter"]),
];

/// The needs, merged by Sid, and the resource types that are not known here.
pub fn needs(graph: &Graph, names: &Names) -> (Vec<Need>, BTreeSet<String>) {
    let mut list = List::default();
    let stacks: Vec<String> = graph
        .stacks()
        .map(|(_, stack)| names.arn("cloudformation", &format!("stack/{}/*", stack.name)))
        .collect();
    let (unscoped, scoped): (Vec<_>, Vec<_>) = actions("cloudformation")
        // DescribeStacks without a name lists them all, in one call whatever their number.
        .partition(|action| {
            matches!(
                *action,
                "cloudformation:DescribeStacks" | "cloudformation:ListStacks" | "cloudformation:DescribeAccountLimits"
            )
        });
    list.add("Stacks", &scoped, stacks);
    list.add("Unscoped", &unscoped, ["*".to_owned()]);
    list.add("Unscoped", &actions("cloudwatch").collect::<Vec<_>>(), ["*".to_owned()]);
    let parameters = names.arn(
        "ssm",
        &format!("parameter/pipectl/{}/{}/*", names.pipeline, names.environment),
    );
    list.add("Parameters", &actions("ssm").collect::<Vec<_>>(), [parameters]);
    // Who deploys is not known here; it only tells what a principal may do.
    let principals = ["user", "role"].map(|kind| format!("arn:{}:iam::{}:{kind}/*", names.partition(), names.account));
    list.add("Doctor", &["iam:SimulatePrincipalPolicy"], principals);
    if graph
        .stacks()
        .any(|(_, stack)| stack.name == names.resource(extract::PART))
    {
        let function = names.arn("lambda", &format!("function:{}", names.resource(extract::PART)));
        list.add("AskExtract", &actions("lambda").collect::<Vec<_>>(), [function]);
    }
    buckets(graph, names, &mut list);
    for route in crate::redrive::routes(graph) {
        let taken = ["sqs:ReceiveMessage", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage"];
        list.add("DeadLetters", &taken, [names.arn("sqs", &route.queue)]);
        list.add("Redrive", &["sqs:SendMessage"], [names.arn("sqs", &route.source)]);
    }
    let mut unknown = BTreeSet::new();
    for (_, stack) in graph.stacks() {
        let resources = &stack.template["Resources"];
        for resource in resources
            .as_object()
            .into_iter()
            .flat_map(|resources| resources.values())
        {
            let kind = resource["Type"].as_str().unwrap_or_default();
            let Some(rows) = handlers(kind) else {
                unknown.insert(kind.to_owned());
                continue;
            };
            for (sid, on, actions) in rows {
                list.add(
                    sid,
                    actions,
                    arns(kind, &resource["Properties"], resources, *on, &stack.name, names),
                );
            }
            passed_roles(kind, resource, resources, names, &mut list);
            beyond(kind, resource, names, &mut list);
        }
    }
    (list.0.into_values().collect(), unknown)
}

/// Roles that a service takes on, by the resources that hand them over: Sid, service, where the template names them.
fn passed_roles(kind: &str, resource: &Value, resources: &Value, names: &Names, list: &mut List) {
    let (sid, service, places): (_, _, &[&str]) = match kind {
        "AWS::Lambda::Function" => ("PassRole", "lambda", &["/Role"]),
        "AWS::KinesisFirehose::DeliveryStream" => (
            "PassDeliveryRole",
            "firehose",
            &[
                "/KinesisStreamSourceConfiguration/RoleARN",
                "/ExtendedS3DestinationConfiguration/RoleARN",
            ],
        ),
        "AWS::Scheduler::Schedule" => ("PassScheduleRole", "scheduler", &["/Target/RoleArn"]),
        _ => match reader::passed_roles(kind) {
            Some(passed) => passed,
            None => return,
        },
    };
    for place in places {
        let given = resource["Properties"].pointer(place).unwrap_or(&Value::Null);
        let role = referred(given, resources, "RoleName");
        list.add(sid, &["iam:PassRole"], [names.role_arn(&role)]);
    }
    let service = format!("{service}.amazonaws.com");
    list.condition(sid, ("StringEquals", "iam:PassedToService", service));
}

/// What a resource needs of other services.
fn beyond(kind: &str, resource: &Value, names: &Names, list: &mut List) {
    let properties = &resource["Properties"];
    match kind {
        "AWS::Lambda::Function" => {
            let function = text(&properties["FunctionName"]);
            let arn = names.arn("lambda", &format!("function:{function}"));
            list.condition("NewEventSources", ("ArnEquals", "lambda:FunctionArn", arn));
            if properties["VpcConfig"].is_object() {
                // https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions
                let needed = ["ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs"];
                list.add("Unscoped", &needed, ["*".to_owned()]);
            }
        }
        "AWS::Kinesis::Stream" => {
            let stream = names.arn("kinesis", &format!("stream/{}", text(&properties["Name"])));
            list.add("RedriveRecords", &["kinesis:PutRecords"], [stream]);
        }
        "AWS::KinesisFirehose::DeliveryStream" => {
            // What was given up is read by `redrive`, and what of it stays is written back.
            let files = &properties["ExtendedS3DestinationConfiguration"];
            let prefix = text(&files["ErrorOutputPrefix"]);
            let prefix = prefix.split("!{").next().unwrap_or_default();
            let files = format!("{}/{prefix}*", text(&files["BucketARN"]));
            list.add("GivenUp", &["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], [files]);
        }
        "AWS::Scheduler::ScheduleGroup" => {
            // Listing knows no resource:
            // https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridgescheduler.html
            list.add("Unscoped", &actions("scheduler").collect::<Vec<_>>(), ["*".to_owned()]);
        }
        "AWS::Logs::LogGroup" => {
            let group = format!("log-group:{}", text(&properties["LogGroupName"]));
            // `status` shows the last error of a function that fails.
            list.add(
                "Logs",
                &["logs:FilterLogEvents"],
                [names.arn("logs", &format!("{group}:*"))],
            );
        }
        "AWS::RDS::DBInstance" => {
            // https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-secrets-manager.html#rds-secrets-manager-permissions
            let secrets = names.arn("secretsmanager", "secret:rds!*");
            let needed = ["secretsmanager:CreateSecret", "secretsmanager:TagResource"];
            list.add("DatabaseSecrets", &needed, [secrets]);
            list.add("Keys", &["kms:DescribeKey"], [names.arn("kms", "key/*")]);
            // RDS works with a role of its own, made with the account's first database:
            // https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAM.ServiceLinkedRoles.html
            let role = names.role_arn("aws-service-role/rds.amazonaws.com/AWSServiceRoleForRDS");
            list.add("ServiceRoles", &["iam:CreateServiceLinkedRole"], [role]);
            let service = "rds.amazonaws.com".to_owned();
            list.condition("ServiceRoles", ("StringEquals", "iam:AWSServiceName", service));
        }
        "AWS::EC2::LaunchTemplate" => {
            // The image is a public parameter, which whoever starts a server looks up.
            let image = text(&properties["LaunchTemplateData"]["ImageId"]);
            let parameter = image.strip_prefix("resolve:ssm:").unwrap_or_default();
            let arn = format!("arn:{}:ssm:{}::parameter{parameter}", names.partition(), names.region);
            list.add("Images", &["ssm:GetParameters"], [arn]);
        }
        _ => {}
    }
    if let Some((service, role)) = reader::service_role(kind) {
        let role = names.role_arn(&format!("aws-service-role/{service}/{role}"));
        list.add("ServiceRoles", &["iam:CreateServiceLinkedRole"], [role]);
        let condition = ("StringEquals", "iam:AWSServiceName", service.to_owned());
        list.condition("ServiceRoles", condition);
    }
}

fn buckets(graph: &Graph, names: &Names, list: &mut List) {
    let (mut all, mut own, mut adopted) = (Vec::new(), Vec::new(), Vec::new());
    for (_, stack) in graph.stacks() {
        own.extend(stack.own_buckets.iter());
        let adoptable = |bucket: &&String| stack.adoptable.iter().any(|adoptable| adoptable.bucket == **bucket);
        let deletable = stack.data_buckets.iter().filter(|bucket| !adoptable(bucket));
        all.extend(stack.own_buckets.iter().chain(deletable));
        adopted.extend(stack.adoptable.iter().map(|adoptable| &adoptable.bucket));
    }
    let whole = |buckets: &[&String]| {
        buckets
            .iter()
            .map(|bucket| names.bucket_arn(bucket, None))
            .collect::<Vec<_>>()
    };
    let inside = |buckets: &[&String]| {
        buckets
            .iter()
            .map(|bucket| names.bucket_arn(bucket, Some("*")))
            .collect::<Vec<_>>()
    };
    list.add("Buckets", &["s3:ListBucket", "s3:ListBucketVersions"], whole(&all));
    list.add("Buckets", &["s3:ListBucket", "s3:ListBucketVersions"], whole(&adopted));
    list.add("Artifacts", &["s3:GetObject", "s3:PutObject"], inside(&own));
    // Only a destroy needs these; without them nobody deletes data with these credentials.
    list.add("DeleteBuckets", &["s3:DeleteBucket"], whole(&all));
    list.add(
        "DeleteObjects",
        &["s3:DeleteObject", "s3:DeleteObjectVersion"],
        inside(&all),
    );
}

fn actions(client: &str) -> impl Iterator<Item = &'static str> {
    let calls = CALLS.iter().filter(move |(found, _, _)| *found == client);
    calls.flat_map(|(_, _, actions)| actions.iter().copied())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A name, or that of the resource in the same template that is referred to.
fn referred(value: &Value, resources: &Value, name: &str) -> String {
    let id = value["Ref"].as_str().or_else(|| value["Fn::GetAtt"][0].as_str());
    id.map_or_else(|| text(value), |id| text(&resources[id]["Properties"][name]))
}

fn arns(kind: &str, properties: &Value, resources: &Value, on: On, stack: &str, names: &Names) -> Vec<String> {
    match on {
        On::Anything => return vec!["*".to_owned()],
        On::Kind => return arns_of_kind(kind, properties, stack, names),
        On::Itself => {}
    }
    let named = |property: &str| text(&properties[property]);
    let refers = |list: &Value, name: &str| referred(list, resources, name);
    match kind {
        "AWS::S3::Bucket" => vec![names.bucket_arn(&named("BucketName"), None)],
        "AWS::S3::BucketPolicy" => vec![names.bucket_arn(&refers(&properties["Bucket"], "BucketName"), None)],
        "AWS::SNS::Topic" => vec![names.arn("sns", &named("TopicName"))],
        "AWS::SNS::TopicPolicy" => vec![names.arn("sns", &refers(&properties["Topics"][0], "TopicName"))],
        "AWS::SNS::Subscription" => {
            let topic = refers(&properties["TopicArn"], "TopicName");
            // A topic of another template is named by its ARN.
            vec![if topic.starts_with("arn:") {
                topic
            } else {
                names.arn("sns", &topic)
            }]
        }
        "AWS::SQS::Queue" => vec![names.arn("sqs", &named("QueueName"))],
        "AWS::SQS::QueuePolicy" => vec![names.arn("sqs", &refers(&properties["Queues"][0], "QueueName"))],
        "AWS::Logs::LogGroup" | "AWS::Logs::LogStream" | "AWS::Logs::MetricFilter" => {
            let group = names.arn(
                "logs",
                &format!("log-group:{}", refers(&properties["LogGroupName"], "LogGroupName")),
            );
            vec![format!("{group}:*"), group]
        }
        "AWS::IAM::Role" => vec![names.role_arn(&named("RoleName"))],
        "AWS::Lambda::Function" => vec![names.arn("lambda", &format!("function:{}", named("FunctionName")))],
        "AWS::Lambda::EventInvokeConfig" => {
            let function = refers(&properties["FunctionName"], "FunctionName");
            let qualified = format!("function:{function}:{}", named("Qualifier"));
            vec![
                names.arn("lambda", &format!("function:{function}")),
                names.arn("lambda", &qualified),
            ]
        }
        "AWS::SES::EmailIdentity" => vec![names.arn("ses", &format!("identity/{}", named("EmailIdentity")))],
        "AWS::CloudWatch::Alarm" => vec![names.arn("cloudwatch", &format!("alarm:{}", named("AlarmName")))],
        "AWS::Kinesis::Stream" => vec![names.arn("kinesis", &format!("stream/{}", named("Name")))],
        "AWS::KinesisFirehose::DeliveryStream" => {
            vec![names.arn("firehose", &format!("deliverystream/{}", named("DeliveryStreamName")))]
        }
        "AWS::Scheduler::ScheduleGroup" => vec![names.arn("scheduler", &format!("schedule-group/{}", named("Name")))],
        // One for all schedules of the group, however many tables there are.
        "AWS::Scheduler::Schedule" => {
            vec![names.arn(
                "scheduler",
                &format!("schedule/{}/*", refers(&properties["GroupName"], "Name")),
            )]
        }
        "AWS::RDS::DBSubnetGroup" => vec![names.arn("rds", &format!("subgrp:{}", named("DBSubnetGroupName")))],
        // CloudFormation begins the snapshot's name with the stack's; the option group is RDS's own.
        "AWS::RDS::DBInstance" => vec![
            names.arn("rds", &format!("db:{}", named("DBInstanceIdentifier"))),
            names.arn("rds", &format!("snapshot:{stack}-*")),
            names.arn("rds", "og:default:*"),
        ],
        _ => reader::arns(kind, properties, refers, names),
    }
}

/// ARNs of resources that AWS names itself, and of what they are made in.
fn arns_of_kind(kind: &str, properties: &Value, stack: &str, names: &Names) -> Vec<String> {
    let ec2 = |id: &str| names.arn("ec2", id);
    let vpc = format!("vpc/{}", text(&properties["VpcId"]));
    match kind {
        "AWS::Lambda::EventSourceMapping" => vec![names.arn("lambda", "event-source-mapping:*")],
        "AWS::EC2::SecurityGroup" => vec![ec2("security-group/*"), ec2(&vpc)],
        "AWS::EC2::VPCEndpoint" => {
            let subnets = properties["SubnetIds"].as_array().into_iter().flatten();
            let mut all: Vec<String> = subnets.map(|subnet| ec2(&format!("subnet/{}", text(subnet)))).collect();
            all.extend([ec2("vpc-endpoint/*"), ec2("security-group/*"), ec2(&vpc)]);
            all
        }
        // CloudFormation begins the name with the stack's.
        "AWS::RDS::DBParameterGroup" => vec![names.arn("rds", &format!("pg:{stack}-*"))],
        _ => reader::arns_of_kind(kind, properties, names),
    }
}

#[derive(Default)]
struct List(BTreeMap<&'static str, Need>);

impl List {
    fn add(&mut self, sid: &'static str, actions: &[&'static str], resources: impl IntoIterator<Item = String>) {
        let need = self.0.entry(sid).or_insert_with(|| Need {
            sid,
            actions: BTreeSet::new(),
            resources: BTreeSet::new(),
            condition: None,
        });
        need.actions.extend(actions);
        need.resources.extend(resources);
    }

    fn condition(&mut self, sid: &'static str, condition: (&'static str, &'static str, String)) {
        if let Some(need) = self.0.get_mut(sid) {
            let (operator, key, value) = condition;
            let (_, _, values) = need.condition.get_or_insert((operator, key, BTreeSet::new()));
            values.insert(value);
        }
    }
}

/// The needs as an IAM policy.
pub fn document(needs: &[Need]) -> Value {
    let statement = |need: &Need| {
        let mut statement = json!({
            "Sid": need.sid, "Effect": "Allow", "Action": need.actions, "Resource": need.resources,
        });
        if let Some((operator, key, values)) = &need.condition {
            let one = values.first().filter(|_| values.len() == 1);
            let value = one.map_or_else(|| json!(values), |value| json!(value));
            statement["Condition"] = json!({ *operator: { *key: value } });
        }
        statement
    };
    json!({ "Version": "2012-10-17", "Statement": needs.iter().map(statement).collect::<Vec<_>>() })
}

/// The needs as IAM policies of at most `limit` characters each, blanks not counted. A need stays whole.
pub fn parts(needs: &[Need], limit: usize) -> Vec<Value> {
    let mut parts: Vec<Vec<Need>> = Vec::new();
    for need in needs {
        let fits = |part: &Vec<Need>| {
            let with: Vec<Need> = part.iter().chain([need]).cloned().collect();
            document(&with).to_string().len() <= limit
        };
        match parts.iter_mut().find(|part| fits(part)) {
            Some(part) => part.push(need.clone()),
            None => parts.push(vec![need.clone()]),
        }
    }
    parts.iter().map(|part| document(part)).collect()
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
