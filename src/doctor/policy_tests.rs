use std::path::Path;

use super::*;
use crate::graph::build::build;
use crate::model::resolve;

/// Every call in the source is in [`CALLS`], and every entry there is a call in the source.
#[test]
fn the_calls_are_those_of_the_source() {
    let mut found = BTreeSet::new();
    for folder in ["src/aws", "src/aws/lease", "src/redrive", "src/status", "src/doctor"] {
        for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            let path = file.unwrap().path();
            // `diff --drift` is asked for apart, and no deploy needs its calls; docs/real-clouds.md names them.
            if path.is_dir() || path.ends_with("policy_tests.rs") || path.ends_with("aws/drift.rs") {
                continue;
            }
            let source = std::fs::read_to_string(path).unwrap();
            let source: String = source.split_whitespace().collect();
            for client in [
                "cloudformation",
                "cloudwatch",
                "iam",
                "lambda",
                "logs",
                "s3",
                "scheduler",
                "ses",
                "sqs",
                "ssm",
                "sts",
            ] {
                for start in [format!("aws.{client}."), format!("self.{client}.")] {
                    for call in source.split(&start).skip(1) {
                        let name = call.split('(').next().unwrap();
                        found.insert(format!("{client} {name}"));
                    }
                }
            }
        }
    }
    let known = CALLS
        .iter()
        .map(|(client, call, _)| format!("{client} {call}"))
        .collect();
    assert_eq!(found, known);
}

/// What the resources of an example need, each type known.
fn needs_of(example: &str, env: &str) -> Vec<Need> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/{example}/pipeline.toml"));
    let text = std::fs::read_to_string(file).unwrap();
    let document = crate::spec::parse(&text, "pipeline.toml", env).unwrap_or_else(|_| panic!("it reads"));
    let model = resolve(&document.spec, env).unwrap();
    let (needs, unknown) = needs(&build(&model).unwrap(), &model.names);
    assert!(unknown.is_empty(), "{unknown:?}");
    needs
}

/// Only what has no narrower ARN is allowed everywhere, and no action has a wildcard.
fn are_exact(needs: &[Need], named: impl Fn(&Need, &str) -> bool) {
    for need in needs {
        assert!(need.actions.iter().all(|action| !action.contains('*')), "{need:?}");
        let unscoped = need.resources.contains("*");
        assert_eq!(unscoped, matches!(need.sid, "Unscoped" | "NewEventSources"), "{need:?}");
        assert!(
            need.resources.iter().all(|arn| arn == "*" || named(need, arn)),
            "{need:?}"
        );
    }
}

#[test]
fn the_mysql_example_needs_exact_actions_on_exact_resources() {
    let needs = needs_of("mysql-star", "dev");
    are_exact(&needs, |need, arn| {
        // AWS gives these their names.
        let chosen = [
            "event-source-mapping",
            "secret:rds!",
            ":key/",
            ":security-group/*",
            ":vpc-endpoint/*",
            ":og:default:",
        ];
        let given = [":vpc/vpc-0a1b2c3d4e5f67890", ":subnet/subnet-0", "AWSServiceRoleForRDS"];
        let of_pipeline = arn.contains("video-events") || need.sid == "Doctor";
        of_pipeline || chosen.iter().chain(&given).any(|part| arn.contains(part))
    });
    let passed: Vec<(&str, usize)> = needs
        .iter()
        .filter(|need| need.actions.contains("iam:PassRole"))
        .map(|need| {
            (
                need.condition.as_ref().unwrap().2.first().unwrap().as_str(),
                need.resources.len(),
            )
        })
        .collect();
    let expected = [
        ("firehose.amazonaws.com", 1),
        ("lambda.amazonaws.com", 1),
        ("scheduler.amazonaws.com", 1),
    ];
    assert_eq!(passed, expected);
    let parts = parts(&needs, 6144);
    assert!(parts.iter().all(|part| part.to_string().len() <= 6144), "{parts:?}");
    insta::assert_snapshot!(serde_json::to_string_pretty(&super::document(&needs)).unwrap());
}

#[test]
fn the_reader_of_a_binary_log_needs_exact_actions_on_exact_resources() {
    let needs = needs_of("mysql-cdc", "dev");
    let of = |sid: &str| {
        needs
            .iter()
            .find(|need| need.sid == sid)
            .unwrap_or_else(|| panic!("no {sid}"))
    };
    let role = "arn:aws:iam::111122223333:role/people-cdc-dev-reader";
    assert_eq!(of("PassServerRole").resources, [role.to_owned()].into());
    let group =
        "arn:aws:autoscaling:eu-west-1:111122223333:autoScalingGroup:*:autoScalingGroupName/people-cdc-dev-reader";
    assert_eq!(of("Groups").resources, [group.to_owned()].into());
    assert_eq!(
        of("Images").resources,
        [
            "arn:aws:ssm:eu-west-1::parameter/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"
                .to_owned()
        ]
        .into()
    );
    assert!(needs.iter().all(|need| need.sid != "AskExtract"));
    let parts = parts(&needs, 6144);
    assert!(parts.iter().all(|part| part.to_string().len() <= 6144), "{parts:?}");
}

#[test]
fn the_example_needs_exact_actions_on_exact_resources() {
    let needs = needs_of("files", "prod");
    are_exact(&needs, |need, arn| {
        arn.contains("chinook-invoices") || arn.contains("event-source-mapping") || need.sid == "Doctor"
    });
    // The longest that a role's own policies may be, blanks not counted:
    // https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
    let length = super::document(&needs).to_string().len();
    assert!(length <= 10_240, "{length}");
    let parts = parts(&needs, 6144);
    assert!(parts.iter().all(|part| part.to_string().len() <= 6144), "{parts:?}");
    let statements = |policy: &Value| policy["Statement"].as_array().unwrap().clone();
    let mut apart: Vec<String> = parts.iter().flat_map(statements).map(|one| one.to_string()).collect();
    let mut whole: Vec<String> = statements(&super::document(&needs))
        .iter()
        .map(Value::to_string)
        .collect();
    apart.sort();
    whole.sort();
    assert_eq!(apart, whole);
    insta::assert_snapshot!(serde_json::to_string_pretty(&super::document(&needs)).unwrap());
}
