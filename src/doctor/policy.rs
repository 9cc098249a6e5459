//! The least that the deploying AWS principal needs: what pipectl calls itself, and what CloudFormation does with the same
//! credentials for the resources of the rendered templates.
//!
//! Which actions a resource type takes is in the `handlers` of its schema
//! (<https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-schema.html>); which of them know
//! resources, in <https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html>.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::graph::Graph;
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
    ("cloudformation", "delete_stack", &["cloudformation:DeleteStack"]),
    ("iam", "get_role", &["iam:GetRole"]),
    ("iam", "simulate_principal_policy", &["iam:SimulatePrincipalPolicy"]),
    ("s3", "head_object", &["s3:GetObject", "s3:ListBucket"]),
    ("s3", "put_object", &["s3:PutObject"]),
    ("s3", "list_object_versions", &["s3:ListBucketVersions"]),
    ("s3", "delete_objects", &["s3:DeleteObject", "s3:DeleteObjectVersion"]),
    ("s3", "delete_bucket", &["s3:DeleteBucket"]),
    ("s3", "list_objects_v2", &["s3:ListBucket"]),
    ("ses", "get_email_identity", &["ses:GetEmailIdentity"]),
    ("sqs", "get_queue_url", &["sqs:GetQueueUrl"]),
    ("sqs", "get_queue_attributes", &["sqs:GetQueueAttributes"]),
    ("ssm", "get_parameter", &["ssm:GetParameter"]),
    ("ssm", "put_parameter", &["ssm:PutParameter"]),
    ("ssm", "delete_parameter", &["ssm:DeleteParameter"]),
];

/// Where the actions of a resource type are allowed.
#[derive(Clone, Copy)]
enum On {
    /// The resource itself.
    Itself,
    /// Everything in it.
    Inside,
    /// Nothing narrower exists.
    Anything,
}

type Row = (&'static str, On, &'static [&'static str]);

/// What CloudFormation calls for a resource type: Sid, where, actions. `None` for a type that nobody wrote down.
fn handlers(kind: &str) -> Option<&'static [Row]> {
    Some(match kind {
        "AWS::S3::Bucket" => &[(
            "Buckets",
            On::Itself,
            &[
                "s3:CreateBucket",
                "s3:ListBucket",
                "s3:GetBucketLocation",
                "s3:GetBucketTagging",
                "s3:PutBucketTagging",
                "s3:GetEncryptionConfiguration",
                "s3:PutEncryptionConfiguration",
                "s3:GetBucketPublicAccessBlock",
                "s3:PutBucketPublicAccessBlock",
                "s3:GetBucketOwnershipControls",
                "s3:PutBucketOwnershipControls",
                "s3:GetLifecycleConfiguration",
                "s3:PutLifecycleConfiguration",
                "s3:GetBucketVersioning",
                "s3:PutBucketVersioning",
                "s3:GetBucketNotification",
                "s3:PutBucketNotification",
            ],
        )],
        "AWS::S3::BucketPolicy" => &[(
            "Buckets",
            On::Itself,
            &["s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"],
        )],
        "AWS::SNS::Topic" => &[(
            "Topics",
            On::Itself,
            &[
                "sns:CreateTopic",
                "sns:DeleteTopic",
                "sns:GetTopicAttributes",
                "sns:SetTopicAttributes",
                "sns:TagResource",
                "sns:UntagResource",
                "sns:ListTagsForResource",
                "sns:ListSubscriptionsByTopic",
                "sns:GetDataProtectionPolicy",
            ],
        )],
        "AWS::SNS::TopicPolicy" => &[(
            "Topics",
            On::Itself,
            &["sns:GetTopicAttributes", "sns:SetTopicAttributes"],
        )],
        "AWS::SNS::Subscription" => &[
            ("Topics", On::Itself, &["sns:Subscribe", "sns:ListSubscriptionsByTopic"]),
            (
                "Unscoped",
                On::Anything,
                &[
                    "sns:Unsubscribe",
                    "sns:GetSubscriptionAttributes",
                    "sns:SetSubscriptionAttributes",
                ],
            ),
        ],
        "AWS::SQS::Queue" => &[(
            "Queues",
            On::Itself,
            &[
                "sqs:CreateQueue",
                "sqs:DeleteQueue",
                "sqs:GetQueueUrl",
                "sqs:GetQueueAttributes",
                "sqs:SetQueueAttributes",
                "sqs:TagQueue",
                "sqs:UntagQueue",
                "sqs:ListQueueTags",
            ],
        )],
        "AWS::SQS::QueuePolicy" => &[(
            "Queues",
            On::Itself,
            &["sqs:GetQueueAttributes", "sqs:SetQueueAttributes"],
        )],
        "AWS::Logs::LogGroup" => &[
            (
                "Logs",
                On::Itself,
                &[
                    "logs:CreateLogGroup",
                    "logs:DeleteLogGroup",
                    "logs:PutRetentionPolicy",
                    "logs:DeleteRetentionPolicy",
                    "logs:TagResource",
                    "logs:UntagResource",
                    "logs:ListTagsForResource",
                ],
            ),
            ("Unscoped", On::Anything, &["logs:DescribeLogGroups"]),
        ],
        "AWS::Logs::MetricFilter" => &[(
            "Logs",
            On::Itself,
            &[
                "logs:PutMetricFilter",
                "logs:DeleteMetricFilter",
                "logs:DescribeMetricFilters",
            ],
        )],
        "AWS::IAM::Role" => &[(
            "Roles",
            On::Itself,
            &[
                "iam:CreateRole",
                "iam:DeleteRole",
                "iam:GetRole",
                "iam:UpdateRole",
                "iam:UpdateAssumeRolePolicy",
                "iam:PutRolePolicy",
                "iam:GetRolePolicy",
                "iam:DeleteRolePolicy",
                "iam:ListRolePolicies",
                "iam:ListAttachedRolePolicies",
                "iam:TagRole",
                "iam:UntagRole",
            ],
        )],
        "AWS::Lambda::Function" => &[(
            "Functions",
            On::Itself,
            &[
                "lambda:CreateFunction",
                "lambda:DeleteFunction",
                "lambda:GetFunction",
                "lambda:GetFunctionConfiguration",
                "lambda:UpdateFunctionCode",
                "lambda:UpdateFunctionConfiguration",
                "lambda:TagResource",
                "lambda:UntagResource",
                "lambda:ListTags",
                "lambda:GetFunctionCodeSigningConfig",
                "lambda:GetRuntimeManagementConfig",
                "lambda:GetFunctionRecursionConfig",
            ],
        )],
        "AWS::Lambda::EventSourceMapping" => &[
            (
                "EventSources",
                On::Inside,
                &[
                    "lambda:GetEventSourceMapping",
                    "lambda:UpdateEventSourceMapping",
                    "lambda:DeleteEventSourceMapping",
                    "lambda:TagResource",
                    "lambda:UntagResource",
                    "lambda:ListTags",
                ],
            ),
            ("NewEventSources", On::Anything, &["lambda:CreateEventSourceMapping"]),
            ("Unscoped", On::Anything, &["lambda:ListEventSourceMappings"]),
        ],
        "AWS::SES::EmailIdentity" => &[(
            "Senders",
            On::Itself,
            &[
                "ses:CreateEmailIdentity",
                "ses:DeleteEmailIdentity",
                "ses:GetEmailIdentity",
                "ses:PutEmailIdentityConfigurationSetAttributes",
                "ses:PutEmailIdentityDkimAttributes",
                "ses:PutEmailIdentityDkimSigningAttributes",
                "ses:PutEmailIdentityFeedbackAttributes",
                "ses:PutEmailIdentityMailFromAttributes",
                "ses:TagResource",
                "ses:UntagResource",
            ],
        )],
        "AWS::CloudWatch::Alarm" => &[(
            "Alarms",
            On::Itself,
            &[
                "cloudwatch:PutMetricAlarm",
                "cloudwatch:DeleteAlarms",
                "cloudwatch:DescribeAlarms",
                "cloudwatch:TagResource",
                "cloudwatch:UntagResource",
                "cloudwatch:ListTagsForResource",
            ],
        )],
        _ => return None,
    })
}

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
    let parameters = names.arn(
        "ssm",
        &format!("parameter/pipectl/{}/{}/*", names.pipeline, names.environment),
    );
    list.add("Parameters", &actions("ssm").collect::<Vec<_>>(), [parameters]);
    // Who deploys is not known here; it only tells what a principal may do.
    let principals = ["user", "role"].map(|kind| format!("arn:{}:iam::{}:{kind}/*", names.partition(), names.account));
    list.add("Doctor", &["iam:SimulatePrincipalPolicy"], principals);
    buckets(graph, names, &mut list);
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
                list.add(sid, actions, arns(kind, &resource["Properties"], resources, *on, names));
            }
            if kind == "AWS::Lambda::Function" {
                let role = referred(&resource["Properties"]["Role"], resources, "RoleName");
                list.add("PassRole", &["iam:PassRole"], [names.role_arn(&role)]);
                list.condition(
                    "PassRole",
                    ("StringEquals", "iam:PassedToService", "lambda.amazonaws.com".to_owned()),
                );
                let function = text(&resource["Properties"]["FunctionName"]);
                let arn = names.arn("lambda", &format!("function:{function}"));
                list.condition("NewEventSources", ("ArnEquals", "lambda:FunctionArn", arn));
            }
        }
    }
    (list.0.into_values().collect(), unknown)
}

fn buckets(graph: &Graph, names: &Names, list: &mut List) {
    let (mut all, mut own) = (Vec::new(), Vec::new());
    for (_, stack) in graph.stacks() {
        own.extend(stack.own_buckets.iter());
        all.extend(stack.own_buckets.iter().chain(&stack.data_buckets));
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

fn arns(kind: &str, properties: &Value, resources: &Value, on: On, names: &Names) -> Vec<String> {
    match on {
        On::Anything => return vec!["*".to_owned()],
        On::Inside => return vec![names.arn("lambda", "event-source-mapping:*")],
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
        "AWS::Logs::LogGroup" | "AWS::Logs::MetricFilter" => {
            let group = names.arn(
                "logs",
                &format!("log-group:{}", refers(&properties["LogGroupName"], "LogGroupName")),
            );
            vec![format!("{group}:*"), group]
        }
        "AWS::IAM::Role" => vec![names.role_arn(&named("RoleName"))],
        "AWS::Lambda::Function" => vec![names.arn("lambda", &format!("function:{}", named("FunctionName")))],
        "AWS::SES::EmailIdentity" => vec![names.arn("ses", &format!("identity/{}", named("EmailIdentity")))],
        "AWS::CloudWatch::Alarm" => vec![names.arn("cloudwatch", &format!("alarm:{}", named("AlarmName")))],
        _ => Vec::new(),
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
        let (operator, key, value) = condition;
        if let Some(need) = self.0.get_mut(sid) {
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
