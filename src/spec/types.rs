//! What a user may write in `pipeline.toml`, as types.
//!
//! The same types give the parser (`deserr`, which reports every error at once) and the JSON Schema for editors
//! (`schemars`). A doc comment here is the text an editor shows, so it is written for users.

use std::collections::BTreeMap;

use deserr::Deserr;
use schemars::JsonSchema;

use super::source::Source;
use super::star::{Dimension, Fact, Transform};
use super::watermark::Watermark;

/// One data pipeline: where data comes from, what becomes of it, where it goes.
#[derive(Debug, Clone, PartialEq, Deserr, JsonSchema)]
#[deserr(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Spec {
    /// Version of this file's format. Always 1.
    #[deserr(default = 1)]
    #[schemars(default = "one", range(min = 1, max = 1))]
    pub version: i64,
    /// What the pipeline is called.
    pub pipeline: Pipeline,
    /// Where the AWS side runs.
    #[deserr(default)]
    #[schemars(default)]
    pub aws: Aws,
    /// The Snowflake account the data goes to.
    #[deserr(default)]
    #[schemars(default)]
    pub snowflake: Option<Snowflake>,
    /// Where the data comes from.
    pub source: Source,
    /// Who hears of failures.
    #[deserr(default)]
    #[schemars(default)]
    pub alerts: Alerts,
    /// The typed tables that the data ends in.
    #[deserr(rename = "table", default)]
    #[schemars(rename = "table", default)]
    pub tables: Vec<Table>,
    /// What facts are looked at by: the dimensions of a star schema.
    #[deserr(rename = "dimension", default)]
    #[schemars(rename = "dimension", default)]
    pub dimensions: Vec<Dimension>,
    /// What is counted and summed: the facts of a star schema.
    #[deserr(rename = "fact", default)]
    #[schemars(rename = "fact", default)]
    pub facts: Vec<Fact>,
    /// SQL of your own that runs after a load.
    #[deserr(rename = "transform", default)]
    #[schemars(rename = "transform", default)]
    pub transforms: Vec<Transform>,
}

fn one() -> i64 {
    1
}

/// The pipeline itself.
#[derive(Debug, Clone, PartialEq, Deserr, JsonSchema)]
#[deserr(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Pipeline {
    /// Name of the pipeline: lower-case letters, digits and hyphens. Every AWS and Snowflake name starts with it.
    pub name: String,
    /// One line for people; it becomes the description of the stacks.
    #[deserr(default)]
    #[schemars(default)]
    pub description: Option<String>,
    /// Tags put on every AWS resource.
    #[deserr(default)]
    #[schemars(default)]
    pub tags: BTreeMap<String, String>,
}

/// The AWS account and region.
#[derive(Debug, Clone, PartialEq, Deserr, JsonSchema)]
#[deserr(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Aws {
    /// The 12 digits of the AWS account. Deploying to another account is refused. The environment `local` needs none.
    #[deserr(default)]
    #[schemars(default)]
    pub account: Option<String>,
    /// The AWS region, such as `eu-west-1`. The environment `local` needs none.
    #[deserr(default)]
    #[schemars(default)]
    pub region: Option<String>,
    /// Days that logs are kept (one of CloudWatch's retention values).
    #[deserr(default = 30)]
    #[schemars(default = "thirty")]
    pub log_retention_days: i64,
    /// Processor of the Lambda functions: `arm64` or `x86_64`.
    #[deserr(default)]
    #[schemars(default)]
    pub architecture: Option<Architecture>,
}

/// A file without `[aws]` says the same as one with an empty `[aws]`.
impl Default for Aws {
    fn default() -> Self {
        Self {
            account: None,
            region: None,
            log_retention_days: thirty(),
            architecture: None,
        }
    }
}

fn thirty() -> i64 {
    30
}

/// Processor of the Lambda functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserr, JsonSchema)]
#[deserr(rename_all = lowercase)]
#[schemars(rename_all = "lowercase")]
pub enum Architecture {
    /// AWS Graviton.
    Arm64,
    /// Intel and AMD.
    #[deserr(rename = "x86_64")]
    #[schemars(rename = "x86_64")]
    X86_64,
}

/// The Snowflake account, and where in it the pipeline's objects live.
#[derive(Debug, Clone, PartialEq, Deserr, JsonSchema)]
#[deserr(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Snowflake {
    /// Account identifier, `ORGANISATION-ACCOUNT`. The environment `local` needs none.
    #[deserr(default)]
    #[schemars(default)]
    pub account: Option<String>,
    /// Name of a connection in `~/.snowflake/connections.toml`.
    #[deserr(default)]
    #[schemars(default)]
    pub connection: Option<String>,
    /// User that pipectl signs in as.
    #[deserr(default)]
    #[schemars(default)]
    pub user: Option<String>,
    /// Role that pipectl deploys with. It needs CREATE ROLE, DATABASE, INTEGRATION and WAREHOUSE on the account.
    #[deserr(default)]
    #[schemars(default)]
    pub role: Option<String>,
    /// Reference to the private key (PEM) of key-pair sign-in, such as `env:SNOWFLAKE_PRIVATE_KEY`.
    #[deserr(default)]
    #[schemars(default)]
    pub private_key: Option<String>,
    /// Reference to a programmatic access token, such as `env:SNOWFLAKE_TOKEN`.
    #[deserr(default)]
    #[schemars(default)]
    pub token: Option<String>,
    /// Database of the pipeline. Without it: the pipeline's name and environment.
    #[deserr(default)]
    #[schemars(default)]
    pub database: Option<String>,
    /// Schema of the typed tables. What arrives is kept beside it in a schema of the same name with `_RAW`.
    #[deserr(default)]
    #[schemars(default)]
    pub schema: Option<String>,
    /// Whether `database` and `schema` may exist already: then they keep their owners and all that is in them, the
    /// pipeline works in them, and a destroy gives them back.
    #[deserr(default)]
    #[schemars(default)]
    pub adopt: bool,
    /// The stage that the pipes load from. Without it pipectl makes one.
    #[deserr(default)]
    #[schemars(default)]
    pub stage: Option<Stage>,
    /// Warehouse that already exists and runs the tasks. Without it pipectl makes one, XSMALL, suspended after a minute.
    #[deserr(default)]
    #[schemars(default)]
    pub warehouse: Option<String>,
    /// How often arrived rows are moved into the typed tables: `10 seconds`, `1 minute`, `2 hours` or `USING CRON …`.
    #[deserr(default = "1 minute".to_owned())]
    #[schemars(default = "every_minute")]
    pub schedule: String,
    /// How changes of a database (`capture = "binlog"`) are loaded: `snowpipe` or `procedure`.
    #[deserr(default)]
    #[schemars(default)]
    pub load: Load,
    /// Who signs the AWS account's identity tokens, as `aws iam get-outbound-web-identity-federation-info` tells; with
    /// `load = "procedure"`, whose function signs in to Snowflake with such a token.
    #[deserr(default)]
    #[schemars(default)]
    pub aws_issuer: Option<String>,
}

/// How files are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserr, JsonSchema)]
#[deserr(rename_all = lowercase)]
#[schemars(rename_all = "lowercase")]
pub enum Load {
    /// By a pipe as they arrive, and from there into the typed tables by tasks at their times.
    #[default]
    Snowpipe,
    /// By a stored procedure of each table, called once for each file as it arrives.
    Procedure,
}

/// What becomes of a row that the source has deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserr, JsonSchema)]
#[deserr(rename_all = lowercase)]
#[schemars(rename_all = "lowercase")]
pub enum Deletes {
    /// It is deleted.
    #[default]
    Delete,
    /// It stays, and its column `_DELETED` is true.
    Flag,
}

/// The stage that the pipes load from.
#[derive(Debug, Clone, PartialEq, Deserr, JsonSchema)]
#[deserr(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Stage {
    /// Name of the stage.
    pub name: String,
    /// Schema of the stage, in the pipeline's database. Without it: that of what arrives.
    #[deserr(default)]
    #[schemars(default)]
    pub schema: Option<String>,
    /// Whether the stage may exist already: then it keeps its owner, integration and file format, and a destroy gives it
    /// back. Its URL must be the pipeline's curated folder.
    #[deserr(default)]
    #[schemars(default)]
    pub adopt: bool,
}

fn every_minute() -> String {
    "1 minute".to_owned()
}

/// Who hears of failures.
#[derive(Debug, Clone, PartialEq, Default, Deserr, JsonSchema)]
#[deserr(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Alerts {
    /// Address that gets the alarms. AWS mails it a link that must be followed once.
    #[deserr(default)]
    #[schemars(default)]
    pub email: Option<String>,
    /// Mail written for people, by Amazon SES: which hop, since when, the last error lines, what to run next.
    #[deserr(default)]
    #[schemars(default)]
    pub mail: Option<Mail>,
    /// Reference to the address (https) that gets each alarm as JSON: `secretsmanager:NAME`. The address is a secret,
    /// since whoever knows it may post there. The JSON has `text`, which Slack and Mattermost show.
    #[deserr(default)]
    #[schemars(default)]
    pub webhook: Option<String>,
    /// Time without any data after which that is an alarm, such as `1 hour`: 5 minutes to 7 days.
    #[deserr(default)]
    #[schemars(default)]
    pub absent_after: Option<String>,
}

/// Mail about alarms, by Amazon SES.
#[derive(Debug, Clone, PartialEq, Deserr, JsonSchema)]
#[deserr(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Mail {
    /// Address of the sender. AWS mails it a link that must be followed once, unless `identity` is given.
    pub from: String,
    /// Addresses of the recipients, at most 50.
    pub to: Vec<String>,
    /// What SES has verified already for the sender: its address or its domain. Without it pipectl makes the identity
    /// of the address.
    #[deserr(default)]
    #[schemars(default)]
    pub identity: Option<String>,
}

/// One typed table.
#[derive(Debug, Clone, PartialEq, Deserr, JsonSchema)]
#[deserr(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Table {
    /// Name of the table in the warehouse.
    pub name: String,
    /// What the table holds; it becomes the table's comment.
    #[deserr(default)]
    #[schemars(default)]
    pub description: Option<String>,
    /// Folder in the raw bucket whose files feed this table, such as `invoices/`. Tables may share one.
    /// Without it: every file of the bucket.
    #[deserr(default)]
    #[schemars(default)]
    pub prefix: Option<String>,
    /// Table of the MySQL database that feeds this table, such as `shop.orders`.
    #[deserr(default)]
    #[schemars(default)]
    pub from: Option<String>,
    /// Column of the MySQL table that grows with every change, such as `updated_at` or an auto-increment key; or a few
    /// that do together, such as `["updated_at", "id"]`. Best with an index.
    #[deserr(default)]
    #[schemars(default)]
    pub watermark: Option<Watermark>,
    /// How far behind the watermark each reading starts, so that rows committed late are seen: longer than the longest
    /// transaction. A duration such as `2 minutes`, or a number where the watermark is a number.
    #[deserr(default)]
    #[schemars(default)]
    pub overlap: Option<String>,
    /// JSON path of an array in each record, such as `$.lines`: each of its items becomes a row.
    #[deserr(default)]
    #[schemars(default)]
    pub flatten: Option<String>,
    /// Whether the table may exist already: then it is taken over with its rows and columns, what it lacks is added,
    /// and a destroy gives it back.
    #[deserr(default)]
    #[schemars(default)]
    pub adopt: bool,
    /// What becomes of rows that the source has deleted (`capture = "binlog"`): `delete` or `flag`, which keeps them with
    /// a column `_DELETED`.
    #[deserr(default)]
    #[schemars(default)]
    pub deletes: Deletes,
    /// Whether every change is kept, too, in a table of this name with `_HISTORY` (`capture = "binlog"`).
    #[deserr(default)]
    #[schemars(default)]
    pub history: bool,
    /// The columns, in order.
    pub columns: Vec<Column>,
}

/// One column of a typed table.
#[derive(Debug, Clone, PartialEq, Deserr, JsonSchema)]
#[deserr(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Column {
    /// Name of the column in the warehouse.
    pub name: String,
    /// SQL type, such as `NUMBER(10,2)`, `VARCHAR(80)`, `TIMESTAMP_NTZ` or `VARIANT`.
    #[deserr(rename = "type")]
    #[schemars(rename = "type")]
    pub data_type: String,
    /// JSON path of the value: `$.a.b` from the record, `@.a` from the flattened item or the row of a MySQL table.
    /// Without it: the column's name.
    #[deserr(default)]
    #[schemars(default)]
    pub path: Option<String>,
    /// Whether a record without a value is rejected (and kept, with its reason).
    #[deserr(default)]
    #[schemars(default)]
    pub not_null: bool,
    /// Whether the column is part of the key that rows are merged by.
    #[deserr(default)]
    #[schemars(default)]
    pub key: bool,
    /// Name that the column had before: it is renamed and keeps its values. Harmless once that is done.
    #[deserr(default)]
    #[schemars(default)]
    pub was: Option<String>,
    /// What the column means; it becomes the column's comment.
    #[deserr(default)]
    #[schemars(default)]
    pub description: Option<String>,
}
