//! Secrets that stand in the file as references: kept in AWS, read when pipectl signs in.

use std::fs;

use serde_json::json;

use crate::cloud::{Cloud, Iam};

const WITHOUT_KEY: &str = "account = \"EXAMPLEORG-DEV\", connection = \"dev\"";

#[test]
fn a_key_kept_in_aws_signs_in() {
    let cloud = Cloud::up(Iam::Off);
    let key = fs::read_to_string(cloud.variable("SNOWFLAKE_PRIVATE_KEY_PATH")).unwrap();
    cloud.aws(
        "ssm",
        "put_parameter",
        json!({ "Name": "/shop/key", "Type": "SecureString", "Value": key }),
    );
    let made = cloud.aws(
        "secretsmanager",
        "create_secret",
        json!({ "Name": "shop/key", "SecretString": key }),
    );
    cloud.edit(
        "aws = { account = \"111122223333\", region = \"eu-west-1\" }",
        "aws = { account = \"000000000000\", region = \"us-east-1\", architecture = \"ARCHITECTURE\" }",
    );
    let arm = cfg!(target_arch = "aarch64");
    cloud.edit("ARCHITECTURE", if arm { "arm64" } else { "x86_64" });
    // An empty variable counts as none, so that only the reference leads to a key.
    let none = [("SNOWFLAKE_PRIVATE_KEY_PATH".to_owned(), String::new())];
    cloud.edit(WITHOUT_KEY, "account = \"LOCAL\", role = \"ACCOUNTADMIN\"");
    cloud
        .run_as("dev", "diff", &none)
        .exits(1)
        .complains("no Snowflake credential was found");
    let mut before = "account = \"LOCAL\", role = \"ACCOUNTADMIN\"".to_owned();
    let mut with = |reference: &str| {
        let now = format!("account = \"LOCAL\", role = \"ACCOUNTADMIN\", private_key = \"{reference}\"");
        cloud.edit(&before, &now);
        before = now;
        cloud.run_as("dev", "diff", &none)
    };
    with("ssm:/shop/key").exits(2).prints("to create");
    with("secretsmanager:shop/key").exits(2).prints("to create");
    with(&format!("secretsmanager:{}", made["ARN"].as_str().unwrap())).exits(2);
    with("secretsmanager:shop/gone")
        .exits(1)
        .complains("secretsmanager:GetSecretValue of shop/gone failed: ResourceNotFoundException");
    with("ssm:/shop/gone")
        .exits(1)
        .complains("ssm:GetParameter of /shop/gone failed: ParameterNotFound");
}
