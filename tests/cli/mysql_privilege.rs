//! Every statement of the MySQL source's roles is needed: without any one of them something fails, and with it back it
//! works.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cloud::{Cloud, Iam};
use crate::database::Database;
use crate::policies::{Policy, TRIES, policies, sids};

const CURATED: &str = "video-events-local-curated-000000000000-us-east-1";
/// How long a row is waited for that is not to arrive. One that arrives takes about four seconds.
const NEVER: Duration = Duration::from_secs(8);
const PATIENCE: Duration = Duration::from_secs(240);
/// The roles of this source; the others are those of every pipeline.
const ROLES: [&str; 3] = ["ExtractRole", "DeliveryRole", "ScheduleRole"];
/// What the local cloud does without asking, and why: resource, Sid, reason. The content is compared instead.
const UNPROVEN: [(&str, &str, &str); 2] = [
    (
        "ExtractRole",
        "Logs",
        "ministack writes a function's logs without its role",
    ),
    ("DeliveryRole", "Logs", "the local Firehose writes no log"),
];

/// How a statement shows that it is needed.
enum Proof {
    /// A row of the database becomes a row of the warehouse.
    RowArrives,
    /// The role, assumed here, can do it: for what a warm function does not ask again, or the local cloud not at all.
    RoleCan(&'static str, &'static str, Value),
    /// The role is assumed; ministack lets the account's root stand in for a service.
    RoleIsAssumed,
}

fn proof(resource: &str, part: &str, sid: &str, secret: &str) -> Option<Proof> {
    Some(match (resource, part, sid) {
        // ministack starts a function whatever its role's trust says.
        ("ExtractRole", "trust", _) => Proof::RoleIsAssumed,
        ("ExtractRole", _, "Watermarks" | "Send") => Proof::RowArrives,
        // The function keeps the password until the database refuses it.
        ("ExtractRole", _, "Password") => {
            Proof::RoleCan("secretsmanager", "get_secret_value", json!({ "SecretId": secret }))
        }
        // For rows that are too large for the stream, and backfills.
        ("ExtractRole", _, "WriteCurated") => Proof::RoleCan(
            "s3",
            "put_object",
            json!({ "Bucket": CURATED, "Key": "errors/probe", "BodyBase64": "" }),
        ),
        // The local Firehose tries its right to read once.
        ("DeliveryRole", _, "ReadStream") => Proof::RoleCan(
            "kinesis",
            "describe_stream",
            json!({ "StreamName": "video-events-local-changes" }),
        ),
        ("DeliveryRole", "trust", _) | ("DeliveryRole", _, "WriteCurated") => Proof::RowArrives,
        ("DeliveryRole", _, "FindCurated") => Proof::RoleCan("s3", "get_bucket_location", json!({ "Bucket": CURATED })),
        ("ScheduleRole", _, _) => Proof::RowArrives,
        _ => return None,
    })
}

#[test]
fn every_statement_of_its_roles_is_needed() {
    let cloud = Cloud::up_for(Iam::Enforced, "mysql-star");
    cloud.edit("schedule = \"5 minutes\"", "schedule = \"1 minute\"");
    cloud.run("deploy --yes").exits(0);
    let database = Database::of(&cloud);
    database.run(
        "CREATE TABLE video.video_init (`DATETIME` VARCHAR(30) NOT NULL, VIDEOTITLE VARCHAR(200), EVENTS VARCHAR(150),
         CREATE_TIME TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, KEY (CREATE_TIME))",
    );
    let mut bench = Bench {
        cloud: &cloud,
        database: &database,
        rows: 0,
    };
    assert!(bench.row_arrives(PATIENCE), "no row arrives at all");
    let policies: Vec<Policy> = policies(&cloud)
        .into_iter()
        .filter(|policy| ROLES.contains(&policy.resource.as_str()))
        .collect();
    assert_eq!(policies.len(), 2 * ROLES.len(), "each role has a trust and one policy");
    let failures: Vec<String> = policies.iter().flat_map(|policy| bench.prove(policy)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

struct Bench<'a> {
    cloud: &'a Cloud,
    database: &'a Database,
    rows: u32,
}

impl Bench<'_> {
    /// Takes each statement of a policy away and puts it back; gives what is wrong.
    fn prove(&mut self, policy: &Policy) -> Vec<String> {
        let mut failures = Vec::new();
        let whole = policy.read(self.cloud);
        let statements = whole["Statement"].as_array().unwrap().clone();
        assert_eq!(
            sids(&statements),
            policy.sids,
            "{} is not what is rendered",
            policy.name()
        );
        for (position, sid) in policy.sids.iter().enumerate() {
            let name = format!("{} {sid}", policy.name());
            let is_unproven = UNPROVEN
                .iter()
                .any(|(role, part, _)| (*role, *part) == (&policy.resource, sid));
            if is_unproven {
                writes_only_its_own_log(&statements[position]);
                continue;
            }
            let Some(proof) = proof(&policy.resource, &policy.part, sid, &self.database.secret) else {
                failures.push(format!("{name}: no proof is written for it"));
                continue;
            };
            let mut without = statements.clone();
            without.remove(position);
            let role = self.assumable(policy, &proof);
            policy.write(self.cloud, &without);
            if (0..TRIES).all(|_| self.holds(policy, &role, &proof, NEVER)) {
                failures.push(format!("{name}: everything works without it"));
            }
            policy.write(self.cloud, &statements);
            if !self.holds(policy, &role, &proof, PATIENCE) {
                failures.push(format!("{name}: it does not work with it, either"));
            }
        }
        failures
    }

    /// Credentials of the role, where the proof needs them. Only its service may assume it, so the root is let in for a
    /// moment.
    fn assumable(&self, policy: &Policy, proof: &Proof) -> Value {
        if !matches!(proof, Proof::RoleCan(..)) {
            return Value::Null;
        }
        let role = &policy.target;
        let own =
            self.cloud.aws("iam", "get_role", json!({ "RoleName": role }))["Role"]["AssumeRolePolicyDocument"].clone();
        let set = |document: String| {
            let arguments = json!({ "RoleName": role, "PolicyDocument": document });
            self.cloud.aws("iam", "update_assume_role_policy", arguments);
        };
        let root = json!({ "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::000000000000:root" }, "Action": "sts:AssumeRole" });
        set(json!({ "Version": "2012-10-17", "Statement": [root] }).to_string());
        let credentials = self.assume(role).unwrap();
        set(own.as_str().map_or_else(|| own.to_string(), str::to_owned));
        credentials
    }

    fn assume(&self, role: &str) -> Result<Value, crate::client::Refused> {
        let arn = format!("arn:aws:iam::000000000000:role/{role}");
        let arguments = json!({ "RoleArn": arn, "RoleSessionName": "test" });
        Ok(self.cloud.try_aws("sts", "assume_role", arguments)?["Credentials"].clone())
    }

    /// Whether what a statement allows is so.
    fn holds(&mut self, policy: &Policy, role: &Value, proof: &Proof, within: Duration) -> bool {
        match proof {
            Proof::RowArrives => self.row_arrives(within),
            Proof::RoleIsAssumed => self.assume(&policy.target).is_ok(),
            Proof::RoleCan(service, operation, arguments) => {
                match self
                    .cloud
                    .try_aws_as(role, "https", service, operation, arguments.clone())
                {
                    Ok(_) => true,
                    Err(refused) => {
                        assert!(refused.code.contains("AccessDenied"), "{refused:?}");
                        false
                    }
                }
            }
        }
    }

    fn row_arrives(&mut self, within: Duration) -> bool {
        self.rows += 1;
        let row = self.rows;
        self.database.run(&format!(
            "INSERT INTO video.video_init (`DATETIME`, VIDEOTITLE) VALUES ('now', 'row {row}')"
        ));
        let count = format!("select count(*) from VIDEO_EVENTS_LOCAL.VIDEO.VIDEO_EVENT where TITLE = 'row {row}'");
        self.cloud.comes_to(&count, "1", within)
    }
}

fn writes_only_its_own_log(statement: &Value) {
    let actions = statement["Action"].as_array().unwrap();
    let known = ["logs:CreateLogStream", "logs:PutLogEvents"];
    assert!(
        actions.iter().all(|action| known.contains(&action.as_str().unwrap())),
        "{statement}"
    );
    let [resource] = statement["Resource"].as_array().unwrap().as_slice() else {
        panic!("not one resource: {statement}")
    };
    let resource = resource.as_str().unwrap();
    let groups = [
        "/aws/lambda/video-events-local-extract:*",
        "/aws/kinesisfirehose/video-events-local-delivery:log-stream:*",
    ];
    let own = groups
        .iter()
        .any(|group| resource == format!("arn:aws:logs:us-east-1:000000000000:log-group:{group}"));
    assert!(own, "{statement}");
}
