//! What `doctor` says of a principal that may too little, and that what it prints is enough.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::binlog::TABLES;
use crate::cloud::{Cloud, Iam, command_in, pipectl, wait};
use crate::database::Database;
use crate::run::Run;

/// What ministack does not have, so that it is not checked.
const NO_QUOTAS: &str = "quota of stacks";
const PATIENCE: Duration = Duration::from_secs(240);

#[test]
fn on_the_local_cloud_nothing_is_missing() {
    let cloud = Cloud::up(Iam::Off);
    let told = cloud.run("doctor --format json").exits(0).json();
    assert_eq!(told["ok"], true, "{told:#}");
    let state = |what: &str| {
        let checks = told["checks"].as_array().unwrap();
        let check = checks
            .iter()
            .find(|check| check["what"] == what)
            .unwrap_or_else(|| panic!("no {what} in {told:#}"));
        check["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state("identity"), "ok");
    // The account's root cannot be simulated.
    assert_eq!(state("rights"), "not-checked");
    assert_eq!(state(NO_QUOTAS), "not-checked");
    assert_eq!(state("CREATE INTEGRATION on account"), "ok");
    cloud.run("doctor").exits(0).prints("SIDE").prints("not checked");
    // Nothing was made.
    cloud.run("diff").exits(2).prints("to create");
    let left = cloud.aws("ssm", "describe_parameters", json!({}));
    assert_eq!(left["Parameters"], json!([]));
}

#[test]
fn a_missing_runtime_is_told_with_the_next_step() {
    let cloud = Cloud::up(Iam::Off);
    let mut command = cloud.command("doctor");
    let run = Run::of(command.env("PIPECTL_RUNTIME", "/etc/hostname")).exits(1);
    assert!(run.stdout.contains("missing"), "{run:?}");
}

#[test]
fn the_policy_and_the_grants_need_no_account() {
    let folder = tempfile::tempdir().unwrap();
    let file = crate::cloud::example().join("pipeline.toml");
    let run =
        |words: &[&str]| Run::of(command_in(folder.path()).arg("doctor").args(words).arg("-f").arg(&file)).exits(0);
    let policy = run(&["--env", "prod", "--print-policy"]).json();
    assert!(policy["Statement"].as_array().unwrap().len() > 10, "{policy:#}");
    let parts = run(&["--env", "prod", "--print-policy", "--managed"]).json();
    assert!(parts.as_array().unwrap().len() > 1, "{parts:#}");
    run(&["--env", "prod", "--print-grants"]).prints("GRANT CREATE INTEGRATION ON ACCOUNT TO ROLE PIPECTL_DEPLOYER;");
    assert!(!folder.path().join("cloud").exists());
}

#[test]
fn what_is_printed_is_enough_to_deploy() {
    let cloud = Cloud::up(Iam::Enforced);
    let deployer = Deployer::of(&cloud, "dev");
    // What has a condition counts as allowed too: the simulation is sent the context.
    let told = deployer.run("doctor").exits(0);
    assert!(told.stdout.contains("user/deployer"), "{told:?}");
    assert!(told.stdout.contains("rights: PassRole"), "{told:?}");
    deployer.deploys();
    deployer.run("status").exits(0);
    deployer.run("redrive --yes").exits(0);

    // Without one statement doctor names what lacks, and the deploy fails there.
    let mut less = deployer.policy.clone();
    less["Statement"]
        .as_array_mut()
        .unwrap()
        .retain(|statement| statement["Sid"] != "Parameters");
    set_policy(&cloud, &less);
    let told = deployer.run("doctor").exits(1);
    assert!(
        told.stdout.contains("ssm:PutParameter") && told.stdout.contains("--print-policy"),
        "{told:?}"
    );
    deployer.run("deploy --yes").exits(1).complains("ssm:PutParameter");
    set_policy(&cloud, &deployer.policy);
    deployer.destroys();
}

#[test]
fn what_is_printed_is_enough_for_a_database() {
    enough_for_a_database("dev");
}

#[test]
fn what_is_printed_is_enough_for_procedures() {
    enough_for_a_database("procedure");
}

fn enough_for_a_database(environment: &'static str) {
    let cloud = Cloud::up_for(Iam::Enforced, "mysql-cdc");
    make_network(&cloud);
    cloud.edit(
        "https://abc12345-def4-5678-90ab-cdef12345678.",
        "https://00000000-0000-4000-8000-000000000000.",
    );
    let deployer = Deployer::of(&cloud, environment);
    deployer.deploys();
    let database = Database::of_stack(&cloud, &format!("people-cdc-{environment}-source"));
    database.run(TABLES);
    database.run("INSERT INTO CDC_schema.Persons VALUES (0, 'Herman Zimmerman', 'Oklahoma City')");
    deployer.run("verify --wait 240").exits(0);
    // The reader is an alarm until it is heard of.
    wait("status without a problem", PATIENCE, || {
        let told = deployer.run("status");
        (told.code == Some(0)).then_some(()).ok_or(told.stdout)
    });
    deployer.run("doctor").exits(0);
    deployer.run("redrive --yes").exits(0);
    deployer.destroys();
}

#[test]
fn a_role_that_lacks_a_privilege_is_told_the_grant() {
    let cloud = Cloud::up(Iam::Off);
    cloud.edit(
        "account = \"111122223333\", region = \"eu-west-1\"",
        "account = \"000000000000\", region = \"us-east-1\"",
    );
    cloud.edit(
        "account = \"EXAMPLEORG-DEV\", connection = \"dev\"",
        "account = \"LOCAL\", role = \"PIPECTL_DEPLOYER\"",
    );
    let missing = cloud.run_as("dev", "doctor", &[]).exits(1);
    assert!(missing.stdout.contains("Snowflake"), "{missing:?}");
    let user = cloud.variable("SNOWFLAKE_USER");
    for statement in [
        "CREATE ROLE PIPECTL_DEPLOYER",
        "CREATE ROLE BELOW",
        "GRANT CREATE ROLE ON ACCOUNT TO ROLE BELOW",
        "GRANT ROLE BELOW TO ROLE PIPECTL_DEPLOYER",
        "GRANT EXECUTE TASK ON ACCOUNT TO ROLE PIPECTL_DEPLOYER",
        &format!("GRANT ROLE PIPECTL_DEPLOYER TO USER {user}"),
    ] {
        cloud.try_sql(statement).exits(0);
    }
    let told = cloud.run_as("dev", "doctor --format json", &[]).exits(1).json();
    let check = |what: &str| {
        let checks = told["checks"].as_array().unwrap();
        checks
            .iter()
            .find(|check| check["what"] == what)
            .unwrap_or_else(|| panic!("{what}: {told:#}"))
            .clone()
    };
    assert_eq!(check("CREATE ROLE on account")["state"], "ok", "inherited");
    assert_eq!(
        check("CREATE DATABASE on account")["next"],
        "GRANT CREATE DATABASE ON ACCOUNT TO ROLE PIPECTL_DEPLOYER"
    );
    assert_eq!(
        check("EXECUTE TASK on account")["next"],
        "GRANT EXECUTE TASK ON ACCOUNT TO ROLE PIPECTL_DEPLOYER WITH GRANT OPTION"
    );
}

/// An IAM user with exactly the printed policy, and a Snowflake role with exactly the printed grants. ministack asks for
/// the rights of the calls that pipectl makes; what CloudFormation does on behalf of the caller it does without asking,
/// so those actions are proven by no test.
struct Deployer<'a> {
    cloud: &'a Cloud,
    environment: &'static str,
    policy: Value,
    keys: Vec<(String, String)>,
}

impl<'a> Deployer<'a> {
    /// That of an environment whose accounts become those of the local cloud.
    fn of(cloud: &'a Cloud, environment: &'static str) -> Self {
        let architecture = if cfg!(target_arch = "aarch64") {
            "arm64"
        } else {
            "x86_64"
        };
        cloud.edit(
            &format!("[env.{environment}]\naws = {{ account = \"111122223333\", region = \"eu-west-1\" }}"),
            &format!(
                "[env.{environment}]\naws = {{ account = \"000000000000\", region = \"us-east-1\", architecture = \"{architecture}\" }}"
            ),
        );
        cloud.edit(
            "account = \"EXAMPLEORG-DEV\", connection = \"dev\"",
            "account = \"LOCAL\", role = \"PIPECTL_DEPLOYER\"",
        );
        let policy = cloud.run_as(environment, "doctor --print-policy", &[]).exits(0).json();
        let grants = cloud.run_as(environment, "doctor --print-grants", &[]).exits(0).stdout;
        for grant in grants.lines() {
            cloud.try_sql(grant.trim_end_matches(';')).exits(0);
        }
        let user = cloud.variable("SNOWFLAKE_USER");
        cloud.sql(&format!("GRANT ROLE PIPECTL_DEPLOYER TO USER {user}"));
        let keys = user_with(cloud, &policy);
        Self {
            cloud,
            environment,
            policy,
            keys,
        }
    }

    fn run(&self, words: &str) -> Run {
        self.cloud.run_as(self.environment, words, &self.keys)
    }

    fn deploys(&self) {
        self.run("deploy --yes").exits(0);
        self.run("diff").exits(0);
    }

    fn destroys(&self) {
        self.run("destroy --yes --delete-data").exits(0);
        let left = self.cloud.aws("ssm", "describe_parameters", json!({}));
        assert_eq!(left["Parameters"], json!([]));
    }
}

/// The network that the file names.
fn make_network(cloud: &Cloud) {
    let vpc = cloud.aws("ec2", "create_vpc", json!({ "CidrBlock": "10.0.0.0/16" }))["Vpc"]["VpcId"].clone();
    cloud.edit("vpc-0a1b2c3d4e5f67890", vpc.as_str().unwrap());
    for (subnet, zone, block) in [
        ("subnet-0a1b2c3d4e5f67890", "us-east-1a", "10.0.1.0/24"),
        ("subnet-0b1c2d3e4f5a67891", "us-east-1b", "10.0.2.0/24"),
    ] {
        let made = json!({ "VpcId": vpc, "AvailabilityZone": zone, "CidrBlock": block });
        let made = cloud.aws("ec2", "create_subnet", made)["Subnet"]["SubnetId"].clone();
        cloud.edit(subnet, made.as_str().unwrap());
    }
}

fn user_with(cloud: &Cloud, policy: &Value) -> Vec<(String, String)> {
    cloud.aws("iam", "create_user", json!({ "UserName": "deployer" }));
    set_policy(cloud, policy);
    // ministack asks for this right on `*`, whoever is simulated; the printed policy names users and roles.
    let simulate = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "iam:SimulatePrincipalPolicy", "Resource": "*" }] });
    cloud.aws(
        "iam",
        "put_user_policy",
        json!({ "UserName": "deployer", "PolicyName": "simulate", "PolicyDocument": simulate.to_string() }),
    );
    let key = cloud.aws("iam", "create_access_key", json!({ "UserName": "deployer" }))["AccessKey"].clone();
    let value = |name: &str| key[name].as_str().unwrap().to_owned();
    vec![
        ("AWS_ACCESS_KEY_ID".to_owned(), value("AccessKeyId")),
        ("AWS_SECRET_ACCESS_KEY".to_owned(), value("SecretAccessKey")),
    ]
}

fn set_policy(cloud: &Cloud, policy: &Value) {
    cloud.aws(
        "iam",
        "put_user_policy",
        json!({ "UserName": "deployer", "PolicyName": "deploy", "PolicyDocument": policy.to_string() }),
    );
}

/// The way of any AWS and Snowflake client: the variables of `pipectl local env`, not the environment `local`.
impl Cloud {
    pub fn run_as(&self, environment: &str, words: &str, more: &[(String, String)]) -> Run {
        let mut command: Command = pipectl();
        command
            .args(words.split_whitespace())
            .args(["--env", environment, "-f"])
            .arg(self.file());
        command
            .envs(self.variables().iter().cloned())
            .envs(more.iter().cloned());
        Run::of(&mut command)
    }

    pub fn variable(&self, name: &str) -> String {
        self.variables()
            .iter()
            .find(|(found, _)| found == name)
            .unwrap()
            .1
            .clone()
    }
}
