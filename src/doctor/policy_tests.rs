use std::path::Path;

use super::*;
use crate::graph::build::build;
use crate::model::resolve;

/// Every call in the source is in [`CALLS`], and every entry there is a call in the source.
#[test]
fn the_calls_are_those_of_the_source() {
    let mut found = BTreeSet::new();
    for folder in ["src/aws", "src/aws/lease", "src/status", "src/doctor"] {
        for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            let path = file.unwrap().path();
            // `diff --drift` is asked for apart, and no deploy needs its calls; docs/real-clouds.md names them.
            if path.is_dir() || path.ends_with("policy_tests.rs") || path.ends_with("aws/drift.rs") {
                continue;
            }
            let source = std::fs::read_to_string(path).unwrap();
            let source: String = source.split_whitespace().collect();
            for client in ["cloudformation", "iam", "s3", "ses", "sqs", "ssm", "sts"] {
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

#[test]
fn the_example_needs_exact_actions_on_exact_resources() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/files/pipeline.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let document = crate::spec::parse(&text, "pipeline.toml", "prod").unwrap_or_else(|_| panic!("it reads"));
    let model = resolve(&document.spec, "prod").unwrap();
    let (needs, unknown) = needs(&build(&model).unwrap(), &model.names);
    assert!(unknown.is_empty(), "{unknown:?}");
    for need in &needs {
        assert!(need.actions.iter().all(|action| !action.contains('*')), "{need:?}");
        let unscoped = need.resources.contains("*");
        assert_eq!(unscoped, matches!(need.sid, "Unscoped" | "NewEventSources"), "{need:?}");
        let named = |arn: &String| {
            arn.contains("chinook-invoices")
                || arn.contains("event-source-mapping")
                || arn == "*"
                || need.sid == "Doctor"
        };
        assert!(need.resources.iter().all(named), "{need:?}");
    }
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
