//! The AWS side: clients, and the verbs observe, diff and apply.

pub mod apply;
pub mod buckets;
pub mod changeset;
pub mod diff;
pub mod drift;
pub mod events;
pub mod failure;
pub mod function;
pub mod import;
pub mod lease;
pub mod manifest;
pub mod observe;
pub mod parameters;
pub mod recover;
pub mod replacement;
pub mod runtime;
pub mod session;
pub mod status;

use aws_config::SdkConfig;

/// One client for each service that pipectl speaks to.
#[derive(Debug, Clone)]
pub struct Aws {
    /// CloudFormation.
    pub cloudformation: aws_sdk_cloudformation::Client,
    /// CloudWatch, to look at what was measured.
    pub cloudwatch: aws_sdk_cloudwatch::Client,
    /// IAM, to look at trust policies.
    pub iam: aws_sdk_iam::Client,
    /// Kinesis, to put records on the stream again.
    pub kinesis: aws_sdk_kinesis::Client,
    /// Lambda, to call the pipeline's functions.
    pub lambda: aws_sdk_lambda::Client,
    /// CloudWatch Logs, to look for errors.
    pub logs: aws_sdk_cloudwatchlogs::Client,
    /// S3.
    pub s3: aws_sdk_s3::Client,
    /// EventBridge Scheduler, to look at schedules.
    pub scheduler: aws_sdk_scheduler::Client,
    /// SES, to look at the sender of alarms.
    pub ses: aws_sdk_sesv2::Client,
    /// SQS, to look at queues, and to put dead letters back.
    pub sqs: aws_sdk_sqs::Client,
    /// Systems Manager Parameter Store.
    pub ssm: aws_sdk_ssm::Client,
    /// STS, to learn whose credentials these are.
    pub sts: aws_sdk_sts::Client,
}

impl Aws {
    /// Clients over one configuration.
    pub fn new(config: &SdkConfig) -> Self {
        Aws {
            cloudformation: aws_sdk_cloudformation::Client::new(config),
            cloudwatch: aws_sdk_cloudwatch::Client::new(config),
            iam: aws_sdk_iam::Client::new(config),
            kinesis: aws_sdk_kinesis::Client::new(config),
            lambda: function::client(config),
            logs: aws_sdk_cloudwatchlogs::Client::new(config),
            s3: aws_sdk_s3::Client::new(config),
            scheduler: aws_sdk_scheduler::Client::new(config),
            ses: aws_sdk_sesv2::Client::new(config),
            sqs: aws_sdk_sqs::Client::new(config),
            ssm: aws_sdk_ssm::Client::new(config),
            sts: aws_sdk_sts::Client::new(config),
        }
    }

    /// Refuses credentials of another account than the one the pipeline names, before anything else is read. Gives the
    /// ARN of whose they are.
    pub async fn guard_account(&self, account: &str) -> anyhow::Result<String> {
        let identity = self
            .sts
            .get_caller_identity()
            .send()
            .await
            .map_err(|error| failure::explain("sts:GetCallerIdentity", error))?;
        let found = identity.account().unwrap_or_default();
        anyhow::ensure!(
            found == account,
            "the AWS credentials are of account {found}, the pipeline belongs to {account}\n  hint: choose the profile of account {account} (AWS_PROFILE), or correct aws.account in pipeline.toml"
        );
        Ok(identity.arn().unwrap_or_default().to_owned())
    }
}
