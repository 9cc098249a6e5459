//! What an update does to the resources of a stack: which are replaced or leave it, and what is lost with them. No I/O.
//!
//! A change set tells it exactly ([`from_changes`]). Where none can be made, the templates and CloudFormation's
//! documentation tell it nearly ([`from_templates`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use aws_sdk_cloudformation::types::{
    ChangeAction, EvaluationType, PolicyAction, Replacement, RequiresRecreation, ResourceAttribute, ResourceChange,
    ResourceChangeDetail,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What happens to one resource that does not simply stay or come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Effect {
    /// Its name in the template.
    pub resource: String,
    /// Its CloudFormation type.
    pub kind: String,
    /// What happens to it.
    pub does: Does,
    /// Its physical id, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub physical: Option<String>,
    /// Whether the one that is there stays, outside the stack.
    pub stays: bool,
}

/// What happens to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Does {
    /// Another one takes its place.
    Replace,
    /// Another one may take its place; CloudFormation decides when it gets there.
    MayReplace,
    /// It leaves the stack.
    Remove,
}

/// Where the knowledge comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreseen {
    /// CloudFormation said it, in a change set that was made and deleted again.
    ChangeSet(Vec<Effect>),
    /// No change set could be made, for this reason: the documentation has to do.
    Documented(String),
}

/// Properties whose change replaces a resource, by its type: `Update requires: Replacement` in the
/// [template reference](https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/), `createOnlyProperties`
/// in its schemas. Every type that the templates of this crate have is here; `tests/judges` holds it against the schemas.
pub const REPLACING: &[(&str, &[&str])] = &[
    (
        "AWS::AutoScaling::AutoScalingGroup",
        &["AutoScalingGroupName", "InstanceId"],
    ),
    ("AWS::CloudWatch::Alarm", &["AlarmName"]),
    ("AWS::EC2::LaunchTemplate", &["LaunchTemplateName"]),
    ("AWS::EC2::SecurityGroup", &["GroupDescription", "GroupName", "VpcId"]),
    (
        "AWS::EC2::VPCEndpoint",
        &[
            "DnsOptions",
            "ResourceConfigurationArn",
            "ServiceName",
            "ServiceNetworkArn",
            "ServiceRegion",
            "VpcEndpointType",
            "VpcId",
        ],
    ),
    ("AWS::ECS::Cluster", &["ClusterName"]),
    (
        "AWS::ECS::Service",
        &["Cluster", "Role", "SchedulingStrategy", "ServiceName"],
    ),
    (
        "AWS::ECS::TaskDefinition",
        &[
            "ContainerDefinitions",
            "Cpu",
            "EnableFaultInjection",
            "EphemeralStorage",
            "ExecutionRoleArn",
            "Family",
            "InferenceAccelerators",
            "IpcMode",
            "Memory",
            "NetworkMode",
            "PidMode",
            "PlacementConstraints",
            "ProxyConfiguration",
            "RequiresCompatibilities",
            "RuntimePlatform",
            "TaskRoleArn",
            "Volumes",
        ],
    ),
    ("AWS::IAM::InstanceProfile", &["InstanceProfileName", "Path"]),
    ("AWS::IAM::Role", &["Path", "RoleName"]),
    ("AWS::Kinesis::Stream", &["Name"]),
    (
        "AWS::KinesisFirehose::DeliveryStream",
        &[
            "AmazonOpenSearchServerlessDestinationConfiguration",
            "AmazonopensearchserviceDestinationConfiguration",
            "DatabaseSourceConfiguration",
            "DeliveryStreamName",
            "DeliveryStreamType",
            "DirectPutSourceConfiguration",
            "ElasticsearchDestinationConfiguration",
            "IcebergDestinationConfiguration",
            "KinesisStreamSourceConfiguration",
            "MSKSourceConfiguration",
            "SnowflakeDestinationConfiguration",
        ],
    ),
    ("AWS::Lambda::EventInvokeConfig", &["FunctionName", "Qualifier"]),
    (
        "AWS::Lambda::EventSourceMapping",
        &[
            "EventSourceArn",
            "SelfManagedEventSource",
            "StartingPosition",
            "StartingPositionTimestamp",
        ],
    ),
    (
        "AWS::Lambda::Function",
        &["FunctionName", "PackageType", "TenancyConfig"],
    ),
    ("AWS::Logs::LogGroup", &["LogGroupName"]),
    ("AWS::Logs::LogStream", &["LogGroupName", "LogStreamName"]),
    ("AWS::Logs::MetricFilter", &["FilterName", "LogGroupName"]),
    (
        "AWS::RDS::DBInstance",
        &[
            "BackupTarget",
            "CharacterSetName",
            "CustomIAMInstanceProfile",
            "DBClusterIdentifier",
            "DBInstanceIdentifier",
            "DBName",
            "DBSubnetGroupName",
            "DBSystemId",
            "KmsKeyId",
            "MasterUsername",
            "NcharCharacterSetName",
            "SourceRegion",
            "StorageEncrypted",
            "Timezone",
        ],
    ),
    (
        "AWS::RDS::DBParameterGroup",
        &["DBParameterGroupName", "Description", "Family"],
    ),
    ("AWS::RDS::DBSubnetGroup", &["DBSubnetGroupName"]),
    (
        "AWS::S3::Bucket",
        &["BucketName", "BucketNamePrefix", "BucketNamespace"],
    ),
    ("AWS::S3::BucketPolicy", &["Bucket"]),
    ("AWS::SES::EmailIdentity", &["EmailIdentity"]),
    ("AWS::SNS::Subscription", &["Endpoint", "Protocol", "TopicArn"]),
    ("AWS::SNS::Topic", &["FifoTopic", "TopicName"]),
    ("AWS::SNS::TopicPolicy", &[]),
    ("AWS::SQS::Queue", &["FifoQueue", "QueueName"]),
    ("AWS::SQS::QueuePolicy", &[]),
    ("AWS::Scheduler::Schedule", &["Name"]),
    ("AWS::Scheduler::ScheduleGroup", &["Name"]),
];

/// Properties of these types whose change replaces a resource only sometimes.
pub const SOMETIMES: &[(&str, &[&str])] = &[
    (
        "AWS::AutoScaling::AutoScalingGroup",
        &[
            "LaunchConfigurationName",
            "LaunchTemplate",
            "MixedInstancesPolicy",
            "VPCZoneIdentifier",
        ],
    ),
    ("AWS::ECS::Service", &["LaunchType"]),
    ("AWS::Lambda::Function", &["DurableConfig"]),
    (
        "AWS::RDS::DBInstance",
        &[
            "AutoMinorVersionUpgrade",
            "AvailabilityZone",
            "BackupRetentionPeriod",
            "DBClusterSnapshotIdentifier",
            "DBParameterGroupName",
            "DBSnapshotIdentifier",
            "Engine",
            "MultiAZ",
            "PerformanceInsightsKMSKeyId",
            "PreferredMaintenanceWindow",
            "RestoreTime",
            "SourceDBClusterIdentifier",
            "SourceDBInstanceAutomatedBackupsArn",
            "SourceDBInstanceIdentifier",
            "SourceDbiResourceId",
            "UseLatestRestorableTime",
        ],
    ),
    ("AWS::SNS::Subscription", &["Region"]),
];

/// What resources of a type hold that nothing brings back.
fn content(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "AWS::S3::Bucket" => "the objects",
        "AWS::SQS::Queue" => "the messages",
        "AWS::Logs::LogGroup" => "the log events",
        "AWS::SNS::Topic" => "the subscriptions made elsewhere",
        "AWS::Kinesis::Stream" => "the records",
        "AWS::KinesisFirehose::DeliveryStream" => "the buffered records",
        "AWS::DynamoDB::Table" | "AWS::DynamoDB::GlobalTable" => "the items",
        "AWS::SSM::Parameter" | "AWS::SecretsManager::Secret" => "the value and its history",
        "AWS::KMS::Key" => "what only this key decrypts",
        "AWS::EFS::FileSystem" => "the files",
        "AWS::EC2::Volume" => "the blocks",
        "AWS::DMS::ReplicationTask" => "the position in the source",
        _ if kind.starts_with("AWS::RDS::DB") => "the rows",
        _ => return None,
    })
}

impl Effect {
    /// What is lost, in words that follow "loses"; `None` where the resource holds nothing or stays as it is.
    pub fn loss(&self) -> Option<String> {
        let of = format!("{} of {}{}", content(&self.kind)?, self.resource, self.called());
        Some(match (self.does, self.stays) {
            (Does::Remove, true) => return None,
            (Does::Remove, false) => of,
            (Does::Replace, true) => format!("{of}: a new one starts empty, the old one stays outside the stack"),
            (Does::Replace, false) => format!("{of}: a new one starts empty, the old one is deleted"),
            (Does::MayReplace, true) => {
                format!("{of} if CloudFormation replaces it: the old one then stays outside the stack")
            }
            (Does::MayReplace, false) => format!("{of} if CloudFormation replaces it: the old one is then deleted"),
        })
    }

    fn called(&self) -> String {
        self.physical
            .as_ref()
            .map(|name| format!(" ({name})"))
            .unwrap_or_default()
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) ", self.resource, self.kind)?;
        f.write_str(match (self.does, self.stays) {
            (Does::Replace, true) => "is replaced; the old one stays, outside the stack",
            (Does::Replace, false) => "is replaced",
            (Does::MayReplace, true) => "may be replaced; the old one then stays, outside the stack",
            (Does::MayReplace, false) => "may be replaced",
            (Does::Remove, true) => "leaves the stack and stays",
            (Does::Remove, false) => "is deleted",
        })
    }
}

/// What the losses of all effects are, as one text.
pub fn loss(effects: &[Effect]) -> Option<String> {
    let losses: Vec<String> = effects.iter().filter_map(Effect::loss).collect();
    (!losses.is_empty()).then(|| losses.join("; "))
}

/// Whether a resource stays when it leaves the stack or is replaced, as its policy says. Without one a database is kept
/// as a snapshot and the rest is deleted:
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-deletionpolicy.html>.
fn is_kept(resource: &Value, policy: &str) -> bool {
    matches!(resource[policy].as_str(), Some("Retain" | "RetainExceptOnCreate"))
}

fn kind(resource: &Value) -> String {
    resource["Type"].as_str().unwrap_or_default().to_owned()
}

/// How sure a replacement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sure {
    No,
    Maybe,
    Yes,
}

/// What the documentation says of a changed property.
fn documented(kind: &str, property: &str) -> Sure {
    let has = |table: &[(&str, &[&str])]| {
        let found = table.iter().find(|(of, _)| *of == kind);
        found.map(|(_, properties)| properties.contains(&property))
    };
    match (has(REPLACING), has(SOMETIMES)) {
        (Some(true), _) => Sure::Yes,
        (_, Some(true)) | (None, _) => Sure::Maybe,
        (Some(false), _) => Sure::No,
    }
}

/// What the step from one template to another does, by the documentation. A property that refers to a replaced resource
/// changes with it.
pub fn from_templates(old: &Value, new: &Value) -> Vec<Effect> {
    let none = serde_json::Map::new();
    let (before, after) = (
        old["Resources"].as_object().unwrap_or(&none),
        new["Resources"].as_object().unwrap_or(&none),
    );
    let mut sure: BTreeMap<&str, Sure> = BTreeMap::new();
    // A replacement may replace what refers to it, so until nothing more is found.
    loop {
        let mut grown = false;
        for (name, resource) in after {
            let Some(was) = before.get(name) else { continue };
            let found = replaced(was, resource, &sure);
            if found > *sure.get(name.as_str()).unwrap_or(&Sure::No) {
                sure.insert(name, found);
                grown = true;
            }
        }
        if !grown {
            break;
        }
    }
    let changed = sure.into_iter().map(|(name, sure)| Effect {
        resource: name.to_owned(),
        kind: kind(&before[name]),
        does: if sure == Sure::Yes {
            Does::Replace
        } else {
            Does::MayReplace
        },
        physical: None,
        stays: is_kept(&after[name], "UpdateReplacePolicy"),
    });
    let removed = before.iter().filter(|(name, _)| !after.contains_key(*name));
    changed.chain(removed.map(|(name, was)| removal(name, was))).collect()
}

/// What the deletion of a stack with this template does.
pub fn of_deletion(template: &Value) -> Vec<Effect> {
    let resources = template["Resources"].as_object().into_iter().flatten();
    resources.map(|(name, resource)| removal(name, resource)).collect()
}

fn removal(name: &str, resource: &Value) -> Effect {
    Effect {
        resource: name.to_owned(),
        kind: kind(resource),
        does: Does::Remove,
        physical: None,
        stays: is_kept(resource, "DeletionPolicy"),
    }
}

fn replaced(was: &Value, is: &Value, others: &BTreeMap<&str, Sure>) -> Sure {
    let of = kind(was);
    if of != kind(is) {
        return Sure::Yes;
    }
    let (before, after) = (&was["Properties"], &is["Properties"]);
    let keys = |side: &Value| {
        side.as_object()
            .into_iter()
            .flat_map(|all| all.keys().cloned())
            .collect::<BTreeSet<_>>()
    };
    let of_property = |name: &String| {
        let own = if before[name] == after[name] {
            Sure::No
        } else {
            Sure::Yes
        };
        let through = others
            .iter()
            .filter(|(other, _)| refers(&after[name], other))
            .map(|(_, sure)| *sure)
            .max();
        own.max(through.unwrap_or(Sure::No)).min(documented(&of, name))
    };
    keys(before)
        .union(&keys(after))
        .map(of_property)
        .max()
        .unwrap_or(Sure::No)
}

/// Whether a value has a `Ref` or `Fn::GetAtt` of a resource. The templates of this crate have no `Fn::Sub`.
fn refers(value: &Value, resource: &str) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(key, inner)| match key.as_str() {
            "Ref" => inner == resource,
            "Fn::GetAtt" => inner[0] == resource,
            _ => refers(inner, resource),
        }),
        Value::Array(items) => items.iter().any(|item| refers(item, resource)),
        _ => false,
    }
}

/// What a change set says:
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ResourceChange.html>.
pub fn from_changes(changes: &[ResourceChange], old: &Value, new: &Value) -> Vec<Effect> {
    let templates = (&old["Resources"], &new["Resources"]);
    let mut sure: BTreeMap<&str, Sure> = BTreeMap::new();
    loop {
        let mut next = BTreeMap::new();
        for change in changes {
            let found = told(change, templates, &sure);
            if found > Sure::No {
                next.insert(change.logical_resource_id().unwrap_or_default(), found);
            }
        }
        if next == sure {
            break;
        }
        sure = next;
    }
    let effect = |change: &ResourceChange| {
        let name = change.logical_resource_id().unwrap_or_default();
        let does = match (change.action()?, sure.get(name)) {
            (ChangeAction::Remove, _) => Does::Remove,
            (_, Some(Sure::Yes)) => Does::Replace,
            (_, Some(Sure::Maybe)) => Does::MayReplace,
            _ => return None,
        };
        // It is told of what is replaced for certain only.
        let stays = match change.policy_action() {
            Some(action) => matches!(action, PolicyAction::Retain | PolicyAction::ReplaceAndRetain),
            None if does == Does::Remove => is_kept(&templates.0[name], "DeletionPolicy"),
            None => is_kept(&templates.1[name], "UpdateReplacePolicy"),
        };
        Some(Effect {
            resource: name.to_owned(),
            kind: change.resource_type().unwrap_or_default().to_owned(),
            does,
            physical: change.physical_resource_id().map(str::to_owned),
            stays,
        })
    };
    changes.iter().filter_map(effect).collect()
}

/// How sure the replacement of one resource is. `Conditional` is what CloudFormation says when a property takes the
/// attribute of another resource that changes, so what it rests on is looked at.
fn told(change: &ResourceChange, templates: (&Value, &Value), others: &BTreeMap<&str, Sure>) -> Sure {
    match (change.action(), change.replacement()) {
        (Some(ChangeAction::Modify), Some(Replacement::True)) => Sure::Yes,
        (Some(ChangeAction::Dynamic), _) => Sure::Maybe,
        (Some(ChangeAction::Modify), Some(Replacement::Conditional)) => {
            let kind = change.resource_type().unwrap_or_default();
            let name = change.logical_resource_id().unwrap_or_default();
            let sides = [templates.0, templates.1].map(|side| &side[name]["Properties"]);
            let details = change.details().iter();
            let details = details.map(|detail| of_detail(kind, detail, sides, others));
            // One that gives no details stays in doubt.
            details.max().unwrap_or(Sure::Maybe)
        }
        _ => Sure::No,
    }
}

fn of_detail(kind: &str, detail: &ResourceChangeDetail, sides: [&Value; 2], others: &BTreeMap<&str, Sure>) -> Sure {
    let Some(target) = detail.target() else {
        return Sure::Maybe;
    };
    if target.attribute() != Some(&ResourceAttribute::Properties) {
        return Sure::No;
    }
    let name = target.name().unwrap_or_default();
    let property = match target.requires_recreation() {
        Some(RequiresRecreation::Never) => Sure::No,
        Some(RequiresRecreation::Always) => Sure::Yes,
        _ => documented(kind, name),
    };
    let changes = match (detail.evaluation(), detail.causing_entity()) {
        (Some(EvaluationType::Dynamic), Some(cause)) => caused(cause, others),
        // The same text means the same value, but for what it refers to; that has a detail of its own.
        (Some(EvaluationType::Dynamic), None) if sides[0][name] == sides[1][name] => Sure::No,
        (Some(EvaluationType::Dynamic), None) => Sure::Maybe,
        _ => Sure::Yes,
    };
    property.min(changes)
}

/// Whether the attribute that a property takes changes: an ARN and a physical id do with their resource only.
fn caused(cause: &str, others: &BTreeMap<&str, Sure>) -> Sure {
    let (resource, attribute) = cause.split_once('.').unwrap_or((cause, ""));
    match others.get(resource) {
        Some(sure) => *sure,
        None if matches!(attribute, "" | "Arn") => Sure::No,
        None => Sure::Maybe,
    }
}

#[cfg(test)]
#[path = "replacement_tests.rs"]
mod tests;
