//! What CloudFormation calls for each resource type of the templates, with the credentials of who deploys.
//!
//! From the `handlers` of the types' schemas, less what the templates never ask for:
//! <https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-schema.html>.

/// Where the actions of a resource type are allowed.
#[derive(Clone, Copy)]
pub enum On {
    /// The resource itself.
    Itself,
    /// Its kind, where AWS chooses the name, and what it is made in.
    Kind,
    /// Nothing narrower exists.
    Anything,
}

/// Sid, where, actions.
pub type Row = (&'static str, On, &'static [&'static str]);

/// What CloudFormation calls for a resource type: Sid, where, actions. `None` for a type that nobody wrote down.
pub fn handlers(kind: &str) -> Option<&'static [Row]> {
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
                On::Kind,
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
        _ => return of_mysql(kind),
    })
}

/// The same for the types that only a MySQL source has.
fn of_mysql(kind: &str) -> Option<&'static [Row]> {
    Some(match kind {
        "AWS::Logs::LogStream" => &[(
            "Logs",
            On::Itself,
            &[
                "logs:CreateLogStream",
                "logs:DeleteLogStream",
                "logs:DescribeLogStreams",
            ],
        )],
        "AWS::Lambda::EventInvokeConfig" => &[(
            "Functions",
            On::Itself,
            &[
                "lambda:PutFunctionEventInvokeConfig",
                "lambda:GetFunctionEventInvokeConfig",
                "lambda:UpdateFunctionEventInvokeConfig",
                "lambda:DeleteFunctionEventInvokeConfig",
            ],
        )],
        "AWS::Kinesis::Stream" => &[(
            "Changes",
            On::Itself,
            &[
                "kinesis:CreateStream",
                "kinesis:DeleteStream",
                "kinesis:DescribeStreamSummary",
                "kinesis:IncreaseStreamRetentionPeriod",
                "kinesis:DecreaseStreamRetentionPeriod",
                "kinesis:StartStreamEncryption",
                "kinesis:StopStreamEncryption",
                "kinesis:UpdateShardCount",
                "kinesis:UpdateStreamMode",
                "kinesis:AddTagsToStream",
                "kinesis:RemoveTagsFromStream",
                "kinesis:ListTagsForStream",
                "kinesis:TagResource",
                "kinesis:UntagResource",
                "kinesis:ListTagsForResource",
            ],
        )],
        "AWS::KinesisFirehose::DeliveryStream" => &[(
            "Deliveries",
            On::Itself,
            &[
                "firehose:CreateDeliveryStream",
                "firehose:DeleteDeliveryStream",
                "firehose:DescribeDeliveryStream",
                "firehose:UpdateDestination",
                "firehose:TagDeliveryStream",
                "firehose:UntagDeliveryStream",
                "firehose:ListTagsForDeliveryStream",
            ],
        )],
        "AWS::Scheduler::ScheduleGroup" => &[(
            "ScheduleGroups",
            On::Itself,
            &[
                "scheduler:CreateScheduleGroup",
                "scheduler:DeleteScheduleGroup",
                "scheduler:GetScheduleGroup",
                "scheduler:TagResource",
                "scheduler:UntagResource",
                "scheduler:ListTagsForResource",
            ],
        )],
        "AWS::Scheduler::Schedule" => &[(
            "Schedules",
            On::Itself,
            &[
                "scheduler:CreateSchedule",
                "scheduler:DeleteSchedule",
                "scheduler:GetSchedule",
                "scheduler:UpdateSchedule",
            ],
        )],
        "AWS::EC2::SecurityGroup" => &[
            (
                "Network",
                On::Kind,
                &[
                    "ec2:CreateSecurityGroup",
                    "ec2:DeleteSecurityGroup",
                    "ec2:AuthorizeSecurityGroupEgress",
                    "ec2:AuthorizeSecurityGroupIngress",
                    "ec2:RevokeSecurityGroupEgress",
                    "ec2:RevokeSecurityGroupIngress",
                    "ec2:UpdateSecurityGroupRuleDescriptionsEgress",
                    "ec2:UpdateSecurityGroupRuleDescriptionsIngress",
                    "ec2:CreateTags",
                    "ec2:DeleteTags",
                ],
            ),
            (
                "Unscoped",
                On::Anything,
                &["ec2:DescribeInstances", "ec2:DescribeSecurityGroups"],
            ),
        ],
        "AWS::EC2::VPCEndpoint" => &[
            (
                "Network",
                On::Kind,
                &[
                    "ec2:CreateVpcEndpoint",
                    "ec2:ModifyVpcEndpoint",
                    "ec2:DeleteVpcEndpoints",
                    "ec2:CreateTags",
                    "ec2:DeleteTags",
                ],
            ),
            (
                "Unscoped",
                On::Anything,
                &[
                    "ec2:DescribeVpcEndpoints",
                    "ec2:DescribeSubnets",
                    "ec2:DescribeSecurityGroups",
                    "ec2:DescribeVpcs",
                ],
            ),
        ],
        _ => return of_database(kind),
    })
}

/// The same for the types that only a database has which pipectl makes.
fn of_database(kind: &str) -> Option<&'static [Row]> {
    Some(match kind {
        "AWS::RDS::DBInstance" => &[
            (
                "Databases",
                On::Itself,
                &[
                    "rds:CreateDBInstance",
                    "rds:DeleteDBInstance",
                    "rds:ModifyDBInstance",
                    "rds:RebootDBInstance",
                    "rds:DescribeDBInstances",
                    // The stack's deletion policy keeps a snapshot.
                    "rds:CreateDBSnapshot",
                    "rds:DescribeDBSnapshots",
                    "rds:AddTagsToResource",
                    "rds:RemoveTagsFromResource",
                    "rds:ListTagsForResource",
                ],
            ),
            (
                "Unscoped",
                On::Anything,
                &[
                    "rds:DescribeDBEngineVersions",
                    "rds:DescribeEvents",
                    "ec2:DescribeAccountAttributes",
                    "ec2:DescribeAvailabilityZones",
                    "ec2:DescribeInternetGateways",
                    "ec2:DescribeSecurityGroups",
                    "ec2:DescribeSubnets",
                    "ec2:DescribeVpcAttribute",
                    "ec2:DescribeVpcs",
                ],
            ),
        ],
        "AWS::RDS::DBParameterGroup" => &[
            (
                "Databases",
                On::Kind,
                &[
                    "rds:CreateDBParameterGroup",
                    "rds:DeleteDBParameterGroup",
                    "rds:ModifyDBParameterGroup",
                    "rds:ResetDBParameterGroup",
                    "rds:DescribeDBParameterGroups",
                    "rds:DescribeDBParameters",
                ],
            ),
            ("Unscoped", On::Anything, &["rds:DescribeEngineDefaultParameters"]),
        ],
        "AWS::RDS::DBSubnetGroup" => &[(
            "Databases",
            On::Itself,
            &[
                "rds:CreateDBSubnetGroup",
                "rds:DeleteDBSubnetGroup",
                "rds:ModifyDBSubnetGroup",
                "rds:DescribeDBSubnetGroups",
            ],
        )],
        _ => return super::reader::handlers(kind),
    })
}
