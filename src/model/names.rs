//! Every name and ARN, computed from pipeline, environment, account and region before anything exists.

use std::fmt;

/// Part of the names of what applies files by procedures: the function, and in Snowflake its role and its user.
pub const APPLY: &str = "APPLY";
/// The audience of a workload identity's token that Snowflake expects where its user names none:
/// <https://docs.snowflake.com/en/user-guide/workload-identity-federation>.
pub const WORKLOAD_AUDIENCE: &str = "snowflakecomputing.com";

/// The four facts that every name is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Name of the environment.
    pub environment: String,
    /// The 12 digits of the AWS account.
    pub account: String,
    /// The AWS region.
    pub region: String,
}

/// A name that breaks a limit of AWS or Snowflake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooLong {
    /// What it names, such as `bucket`.
    pub what: &'static str,
    /// The whole name.
    pub name: String,
    /// Characters allowed.
    pub limit: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.name.chars().count();
        write!(
            f,
            "the {} `{}` would have {length} characters, {} are allowed",
            self.what, self.name, self.limit
        )
    }
}

/// Longest bucket name: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>.
const BUCKET_LIMIT: usize = 63;
/// Longest role and function name, the tightest of the names that are not global:
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>.
const RESOURCE_LIMIT: usize = 64;
/// Longest Snowflake identifier: <https://docs.snowflake.com/en/sql-reference/identifiers-syntax>.
const IDENTIFIER_LIMIT: usize = 255;

impl Names {
    /// `arn:aws`, `arn:aws-cn` or `arn:aws-us-gov`: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>.
    pub fn partition(&self) -> &'static str {
        match self.region.as_str() {
            region if region.starts_with("cn-") => "aws-cn",
            region if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        }
    }

    /// What every AWS name starts with.
    pub fn prefix(&self) -> String {
        format!("{}-{}", self.pipeline, self.environment)
    }

    /// Name of a stack, queue, topic, role or function.
    pub fn resource(&self, part: &str) -> String {
        format!("{}-{part}", self.prefix())
    }

    /// Name of a bucket; bucket names are global, so account and region are part of it.
    pub fn bucket(&self, part: &str) -> String {
        format!("{}-{part}-{}-{}", self.prefix(), self.account, self.region)
    }

    /// ARN of a resource in the pipeline's account and region.
    pub fn arn(&self, service: &str, resource: &str) -> String {
        format!(
            "arn:{}:{service}:{}:{}:{resource}",
            self.partition(),
            self.region,
            self.account
        )
    }

    /// ARN of a role of the pipeline's account.
    pub fn role_arn(&self, role: &str) -> String {
        format!("arn:{}:iam::{}:role/{role}", self.partition(), self.account)
    }

    /// ARN of a secret that a user names, by name or by its ARN. Secrets Manager adds six characters of its own to a name:
    /// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access_iam-policies.html>.
    pub fn secret_arn(&self, secret: &str) -> String {
        match secret.starts_with("arn:") {
            true => secret.to_owned(),
            false => self.arn("secretsmanager", &format!("secret:{secret}-??????")),
        }
    }

    /// ARN of a bucket, or of the objects that `path` matches.
    pub fn bucket_arn(&self, bucket: &str, path: Option<&str>) -> String {
        match path {
            Some(path) => format!("arn:{}:s3:::{bucket}/{path}", self.partition()),
            None => format!("arn:{}:s3:::{bucket}", self.partition()),
        }
    }

    /// Name of an account-level Snowflake object; empty `part` gives the common prefix.
    pub fn snowflake(&self, part: &str) -> String {
        let name = if part.is_empty() {
            self.prefix()
        } else {
            self.resource(part)
        };
        name.replace('-', "_").to_uppercase()
    }

    /// The mark in COMMENTs and tags that says whose an object is.
    pub fn mark(&self) -> String {
        format!("{}/{}", self.pipeline, self.environment)
    }

    /// Parameter that holds the manifest of the last deploy.
    pub fn manifest_parameter(&self) -> String {
        format!("/pipectl/{}/{}/manifest", self.pipeline, self.environment)
    }

    /// Parameter that holds the lease of the run that is changing the pipeline.
    pub fn lease_parameter(&self) -> String {
        format!("/pipectl/{}/{}/lease", self.pipeline, self.environment)
    }

    /// Parameter that holds when people were last told of alarms.
    pub fn last_mail_parameter(&self) -> String {
        format!("/pipectl/{}/{}/last-mail", self.pipeline, self.environment)
    }

    /// What the parameters start with that hold how far each table of the source was read.
    pub fn watermark_parameters(&self) -> String {
        format!("/pipectl/{}/{}/watermark/", self.pipeline, self.environment)
    }

    /// What the parameters start with that the reader of the binary log keeps: how far it came, and which process reads.
    pub fn binlog_parameters(&self) -> String {
        format!("/pipectl/{}/{}/binlog/", self.pipeline, self.environment)
    }

    /// Parameter that holds how far the reader of the binary log came.
    pub fn binlog_position_parameter(&self) -> String {
        format!("{}position", self.binlog_parameters())
    }

    /// Parameter that holds which tables the reader of the binary log is asked to read anew.
    pub fn binlog_request_parameter(&self) -> String {
        format!("{}request", self.binlog_parameters())
    }

    /// What the parameters start with that hold how far backfills have come.
    pub fn backfill_parameters(&self) -> String {
        format!("/pipectl/{}/{}/backfill/", self.pipeline, self.environment)
    }

    /// The external id of the storage integration: derived, so an integration made anew still fits the role.
    pub fn external_id(&self) -> String {
        use sha2::{Digest, Sha256};
        let seed = format!("pipectl:{}:{}:{}", self.account, self.region, self.mark());
        let digest = Sha256::digest(seed.as_bytes());
        let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("pipectl-{hex}")
    }

    /// The names that are too long, checked for the longest part that each limit meets.
    pub fn too_long(&self, buckets: &[&str], resources: &[&str]) -> Vec<TooLong> {
        let over = |what, name: String, limit| (name.chars().count() > limit).then_some(TooLong { what, name, limit });
        let mut found: Vec<TooLong> = Vec::new();
        found.extend(
            buckets
                .iter()
                .filter_map(|part| over("bucket", self.bucket(part), BUCKET_LIMIT)),
        );
        found.extend(
            resources
                .iter()
                .filter_map(|part| over("resource", self.resource(part), RESOURCE_LIMIT)),
        );
        found.extend(over(
            "Snowflake object",
            self.snowflake("ERROR_NOTIFICATION"),
            IDENTIFIER_LIMIT,
        ));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names {
            pipeline: "chinook-sales".into(),
            environment: "dev".into(),
            account: "111122223333".into(),
            region: "eu-west-1".into(),
        }
    }

    #[test]
    fn names_carry_what_makes_them_unique() {
        assert_eq!(names().bucket("raw"), "chinook-sales-dev-raw-111122223333-eu-west-1");
        assert_eq!(names().arn("sqs", "q"), "arn:aws:sqs:eu-west-1:111122223333:q");
        assert_eq!(names().snowflake("S3"), "CHINOOK_SALES_DEV_S3");
    }

    #[test]
    fn partitions_follow_the_region() {
        let china = Names {
            region: "cn-north-1".into(),
            ..names()
        };
        assert_eq!(china.bucket_arn("b", Some("data/*")), "arn:aws-cn:s3:::b/data/*");
    }

    #[test]
    fn an_external_id_depends_on_account_and_environment_only() {
        assert_eq!(names().external_id(), names().external_id());
        let other = Names {
            environment: "prod".into(),
            ..names()
        };
        assert_ne!(names().external_id(), other.external_id());
    }

    #[test]
    fn a_long_name_is_told_with_its_limit() {
        let long = Names {
            pipeline: "p".repeat(40),
            ..names()
        };
        let found = long.too_long(&["curated"], &["copy"]);
        assert_eq!(found.len(), 1);
        assert!(
            found
                .iter()
                .all(|problem| problem.to_string().contains("63 are allowed"))
        );
    }
}
