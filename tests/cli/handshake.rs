//! Trust between the clouds is exact, and at no moment of a deploy anything else.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::Client;
use crate::cloud::{CURATED, Cloud, Iam, RAW};
use crate::run::{ended, go_on, stop};
use crate::with_iam_off_and_enforced;

const ROLES: [&str; 3] = ["snowflake-read", "snowflake-errors", "copy"];
const TOPICS: [&str; 3] = ["curated", "alerts", "raw"];

with_iam_off_and_enforced!(trust_is_exact_at_every_moment);

fn trust_is_exact_at_every_moment(iam: Iam) {
    let cloud = Cloud::up(iam);
    let client = cloud.another_client();
    // The client starts with its first call, which takes longer than the deploy.
    assert_eq!(policies(&client), []);
    // It stands still while somebody looks, however fast it is and however slow the look.
    let mut deploy = cloud.start("deploy --yes");
    let mut seen = Vec::new();
    while deploy.try_wait().unwrap().is_none() {
        stop(&deploy);
        seen.extend(policies(&client));
        go_on(&deploy);
        thread::sleep(Duration::from_millis(10));
    }
    ended(deploy).exits(0);
    assert!(
        seen.len() > 20,
        "only {} policies were seen during the deploy",
        seen.len()
    );
    let last = policies(&client);
    assert_eq!(last.len(), ROLES.len() + TOPICS.len() + 2, "{last:?}");
    for (name, policy) in &last {
        nobody_is_everybody(name, policy);
        assert!(policy.to_string().find("placeholder").is_none(), "{name}: {policy}");
    }
    for (name, policy) in &seen {
        // SNS gives every new topic a policy of its own, for the topic's owner; it is nobody's grant to the world.
        if !is_the_default_of_sns(policy) {
            assert!(
                last.contains(&(name.clone(), policy.clone())),
                "during the deploy {name} had {policy:#}"
            );
        }
    }
    the_principals_are_snowflakes(&cloud, &last);
}

/// Every trust, topic and bucket policy there is right now.
fn policies(client: &Client) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for role in ROLES {
        if let Ok(answer) = client.call(
            "iam",
            "get_role",
            json!({ "RoleName": format!("chinook-invoices-local-{role}") }),
        ) {
            found.push((
                format!("role {role}"),
                answer["Role"]["AssumeRolePolicyDocument"].clone(),
            ));
        }
    }
    for topic in TOPICS {
        let arn = format!("arn:aws:sns:us-east-1:000000000000:chinook-invoices-local-{topic}");
        if let Ok(answer) = client.call("sns", "get_topic_attributes", json!({ "TopicArn": arn })) {
            found.push((format!("topic {topic}"), document(&answer["Attributes"]["Policy"])));
        }
    }
    for bucket in [RAW, CURATED] {
        if let Ok(answer) = client.call("s3", "get_bucket_policy", json!({ "Bucket": bucket })) {
            found.push((format!("bucket {bucket}"), document(&answer["Policy"])));
        }
    }
    found
}

fn document(text: &Value) -> Value {
    text.as_str()
        .map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

fn is_the_default_of_sns(policy: &Value) -> bool {
    policy["Id"] == "__default_policy_ID"
        && policy["Statement"].as_array().is_some_and(|all| {
            all.iter()
                .all(|statement| statement["Condition"]["StringEquals"]["AWS:SourceOwner"] == "000000000000")
        })
}

fn nobody_is_everybody(name: &str, policy: &Value) {
    for statement in policy["Statement"].as_array().unwrap() {
        let principal = statement["Principal"].to_string();
        assert!(
            statement["Effect"] == "Deny" || !principal.contains('*'),
            "{name} allows everybody: {statement:#}"
        );
        assert!(statement["NotPrincipal"].is_null(), "{name}: {statement:#}");
    }
}

fn the_principals_are_snowflakes(cloud: &Cloud, policies: &[(String, Value)]) {
    let policy = |name: &str| policies.iter().find(|(found, _)| found == name).unwrap().1.clone();
    for (role, integration, user, external_id) in [
        (
            "role snowflake-read",
            "S3",
            "STORAGE_AWS_IAM_USER_ARN",
            "STORAGE_AWS_EXTERNAL_ID",
        ),
        (
            "role snowflake-errors",
            "ERRORS",
            "SF_AWS_IAM_USER_ARN",
            "SF_AWS_EXTERNAL_ID",
        ),
    ] {
        let expected = json!({ "Version": "2012-10-17", "Statement": [{
            "Sid": "Snowflake",
            "Effect": "Allow",
            "Action": ["sts:AssumeRole"],
            "Principal": { "AWS": cloud.integration(integration, user) },
            "Condition": { "StringEquals": { "sts:ExternalId": cloud.integration(integration, external_id) } },
        }]});
        assert_eq!(policy(role), expected, "{role}");
    }
    let topic = policy("topic curated");
    let subscribe: Vec<&Value> = topic["Statement"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|statement| !statement["Principal"]["AWS"].is_null())
        .collect();
    let [subscribe] = subscribe.as_slice() else {
        panic!("not one AWS principal: {topic:#}")
    };
    assert_eq!(
        subscribe["Principal"]["AWS"],
        cloud.integration("S3", "STORAGE_AWS_IAM_USER_ARN")
    );
    assert_eq!(subscribe["Action"], json!(["sns:Subscribe"]));
}
