//! What CloudFormation calls for the resource types of the reader of a binary log, and on which ARNs.
//!
//! As in [`super::handlers`]; which actions know resources:
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2autoscaling.html>,
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html>.

use serde_json::Value;

use super::handlers::{On, Row};
use crate::model::names::Names;

/// Sid, where, actions. `None` for a type that is none of the reader's.
pub fn handlers(kind: &str) -> Option<&'static [Row]> {
    Some(match kind {
        "AWS::IAM::InstanceProfile" => &[(
            "Profiles",
            On::Itself,
            &[
                "iam:CreateInstanceProfile",
                "iam:DeleteInstanceProfile",
                "iam:GetInstanceProfile",
                "iam:AddRoleToInstanceProfile",
                "iam:RemoveRoleFromInstanceProfile",
            ],
        )],
        "AWS::EC2::LaunchTemplate" => &[
            (
                "Servers",
                On::Kind,
                &[
                    "ec2:CreateLaunchTemplate",
                    "ec2:CreateLaunchTemplateVersion",
                    "ec2:DeleteLaunchTemplate",
                    "ec2:CreateTags",
                    "ec2:DeleteTags",
                ],
            ),
            (
                "Unscoped",
                On::Anything,
                &["ec2:DescribeLaunchTemplates", "ec2:DescribeLaunchTemplateVersions"],
            ),
        ],
        "AWS::AutoScaling::AutoScalingGroup" => &[
            (
                "Groups",
                On::Itself,
                &[
                    "autoscaling:CreateAutoScalingGroup",
                    "autoscaling:UpdateAutoScalingGroup",
                    "autoscaling:DeleteAutoScalingGroup",
                    "autoscaling:CreateOrUpdateTags",
                    "autoscaling:DeleteTags",
                    "autoscaling:SuspendProcesses",
                    "autoscaling:ResumeProcesses",
                    "autoscaling:TerminateInstanceInAutoScalingGroup",
                ],
            ),
            // Whoever makes a group of a launch template must be allowed to start what is in it:
            // https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-launch-template-permissions.html
            ("Servers", On::Kind, &["ec2:RunInstances"]),
            (
                "Unscoped",
                On::Anything,
                &[
                    "autoscaling:DescribeAutoScalingGroups",
                    "autoscaling:DescribeScalingActivities",
                    "autoscaling:DescribeTags",
                ],
            ),
        ],
        "AWS::ECS::Cluster" => &[(
            "Containers",
            On::Itself,
            &[
                "ecs:CreateCluster",
                "ecs:UpdateCluster",
                "ecs:DeleteCluster",
                "ecs:DescribeClusters",
                "ecs:TagResource",
                "ecs:UntagResource",
            ],
        )],
        "AWS::ECS::TaskDefinition" => &[
            (
                "Containers",
                On::Itself,
                &["ecs:RegisterTaskDefinition", "ecs:TagResource", "ecs:UntagResource"],
            ),
            (
                "Unscoped",
                On::Anything,
                &["ecs:DeregisterTaskDefinition", "ecs:DescribeTaskDefinition"],
            ),
        ],
        "AWS::ECS::Service" => &[(
            "Containers",
            On::Itself,
            &[
                "ecs:CreateService",
                "ecs:UpdateService",
                "ecs:DeleteService",
                "ecs:DescribeServices",
                "ecs:TagResource",
                "ecs:UntagResource",
            ],
        )],
        _ => return None,
    })
}

/// ARNs of what has the name that the template gives it; `referred` is that of a cluster which the template names by reference.
pub fn arns(kind: &str, properties: &Value, referred: impl Fn(&Value, &str) -> String, names: &Names) -> Vec<String> {
    let named = |property: &str| properties[property].as_str().unwrap_or_default();
    match kind {
        "AWS::IAM::InstanceProfile" => {
            let name = named("InstanceProfileName");
            vec![
                names
                    .role_arn("")
                    .replace(":role/", &format!(":instance-profile/{name}")),
            ]
        }
        "AWS::AutoScaling::AutoScalingGroup" => {
            let name = named("AutoScalingGroupName");
            vec![names.arn(
                "autoscaling",
                &format!("autoScalingGroup:*:autoScalingGroupName/{name}"),
            )]
        }
        "AWS::ECS::Cluster" => vec![names.arn("ecs", &format!("cluster/{}", named("ClusterName")))],
        "AWS::ECS::TaskDefinition" => vec![names.arn("ecs", &format!("task-definition/{}:*", named("Family")))],
        "AWS::ECS::Service" => {
            let cluster = referred(&properties["Cluster"], "ClusterName");
            vec![names.arn("ecs", &format!("service/{cluster}/{}", named("ServiceName")))]
        }
        _ => Vec::new(),
    }
}

/// ARNs of what AWS names itself.
pub fn arns_of_kind(kind: &str, properties: &Value, names: &Names) -> Vec<String> {
    let ec2 = |id: &str| names.arn("ec2", id);
    match kind {
        "AWS::EC2::LaunchTemplate" => vec![ec2("launch-template/*")],
        "AWS::AutoScaling::AutoScalingGroup" => {
            let subnets = properties["VPCZoneIdentifier"].as_array().into_iter().flatten();
            let subnets = subnets
                .filter_map(Value::as_str)
                .map(|subnet| ec2(&format!("subnet/{subnet}")));
            let made = ["instance/*", "volume/*", "network-interface/*", "security-group/*"];
            // An image belongs to no account.
            let image = format!("arn:{}:ec2:{}::image/*", names.partition(), names.region);
            subnets.chain(made.map(ec2)).chain([image]).collect()
        }
        _ => Vec::new(),
    }
}

/// Roles that the reader's resources hand over: Sid, service, where the template names them.
pub fn passed_roles(kind: &str) -> Option<(&'static str, &'static str, &'static [&'static str])> {
    match kind {
        "AWS::IAM::InstanceProfile" => Some(("PassServerRole", "ec2", &["/Roles/0"])),
        "AWS::ECS::TaskDefinition" => Some(("PassTaskRoles", "ecs-tasks", &["/TaskRoleArn", "/ExecutionRoleArn"])),
        _ => None,
    }
}

/// The service whose own role is made with the account's first resource of a type, and the role:
/// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/autoscaling-service-linked-role.html>,
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using-service-linked-roles.html>.
pub fn service_role(kind: &str) -> Option<(&'static str, &'static str)> {
    match kind {
        "AWS::AutoScaling::AutoScalingGroup" => Some(("autoscaling.amazonaws.com", "AWSServiceRoleForAutoScaling")),
        "AWS::ECS::Service" => Some(("ecs.amazonaws.com", "AWSServiceRoleForECS")),
        _ => None,
    }
}
