//! The pipeline resolved: every name, default and reference settled, nothing looked up.

mod mysql;
pub mod names;
mod resolve;
pub mod star;

use std::collections::BTreeMap;

use crate::snowflake::ident::{Ident, Name};
use crate::spec::jsonpath::{JsonPath, Root, Step};
use crate::spec::mysql::{Network, NewDatabase, Overlap, TableName};
use crate::spec::schedule::Schedule;
use crate::spec::sqltype::SqlType;
pub use crate::spec::types::{Deletes, Load};
use names::Names;

pub use resolve::{LOCAL, LOCAL_ACCOUNT, LOCAL_REGION, feed_name, resolve};

/// A pipeline in one environment.
#[derive(Debug, Clone)]
pub struct Model {
    /// What all names are made of.
    pub names: Names,
    /// One line for people.
    pub description: String,
    /// Tags of every AWS resource.
    pub tags: BTreeMap<String, String>,
    /// Processor of the Lambda functions, as AWS names it.
    pub architecture: &'static str,
    /// Days that logs are kept.
    pub log_retention_days: i64,
    /// Who hears of alarms, and of what.
    pub alerts: Alerts,
    /// Where the data comes from.
    pub source: Source,
    /// Where it lands in S3.
    pub landing: Landing,
    /// The typed tables.
    pub tables: Vec<Table>,
    /// The star schema made of them.
    pub star: star::Star,
    /// Where it goes.
    pub targets: Vec<Target>,
}

/// Who hears of alarms, and of what.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Alerts {
    /// Who gets them from the topic as they are.
    pub email: Option<String>,
    /// Who gets them by mail, written for people.
    pub mail: Option<Mail>,
    /// Name or ARN of the secret with the address that gets them as JSON.
    pub webhook: Option<String>,
    /// Seconds after which it is an alarm that no data came.
    pub absent_after: Option<u32>,
}

/// Mail about alarms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The sender.
    pub from: String,
    /// The recipients.
    pub to: Vec<String>,
    /// What SES must have verified: the sender's address or its domain.
    pub identity: String,
    /// Whether pipectl makes the identity.
    pub own_identity: bool,
}

/// Where the data comes from.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a pipeline has one")]
pub enum Source {
    /// Files that arrive in a bucket.
    Files(FilesSource),
    /// Rows of a MySQL database.
    Mysql(MysqlSource),
}

/// Files that arrive in a bucket.
#[derive(Debug, Clone)]
pub struct FilesSource {
    /// The raw bucket.
    pub bucket: String,
    /// Whether it is taken over where it exists.
    pub adopt: bool,
    /// Times that a file is tried.
    pub max_attempts: i64,
}

/// Rows of a MySQL database.
#[derive(Debug, Clone)]
pub struct MysqlSource {
    /// How changes are found.
    pub capture: Capture,
    /// The database; absent where only the user's own reader knows it.
    pub database: Option<Database>,
    /// Where what reaches it runs; nowhere in particular when absent.
    pub network: Option<Network>,
    /// The stream that records travel on.
    pub stream: String,
    /// Shards of the stream; it scales by itself when absent.
    pub shards: Option<i64>,
    /// Seconds that records are gathered before they become a file.
    pub buffer_seconds: i64,
    /// The tables that are read, each once.
    pub tables: Vec<MysqlTable>,
}

/// How changes are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Capture {
    /// By a column that grows with every change, looked at now and then.
    Watermark {
        /// How often the tables are read.
        schedule: Schedule,
    },
    /// In the server's binary log, by this reader.
    Binlog(Reader),
}

/// What reads the binary log and writes to the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reader {
    /// pipectl's own, on a server.
    Ec2 {
        /// Its size.
        instance_type: String,
    },
    /// pipectl's own, in a container on Fargate.
    Ecs {
        /// The image.
        image: String,
    },
    /// A program of the user's, which writes dicts as Python prints them.
    PythonDict,
}

impl Reader {
    /// Whether pipectl runs it.
    pub fn is_own(&self) -> bool {
        !matches!(self, Reader::PythonDict)
    }
}

impl MysqlSource {
    /// The reader of the binary log, where changes are found in it.
    pub fn reader(&self) -> Option<&Reader> {
        match &self.capture {
            Capture::Watermark { .. } => None,
            Capture::Binlog(reader) => Some(reader),
        }
    }

    /// How often the tables are read, where that is by watermark.
    pub fn schedule(&self) -> Option<&Schedule> {
        match &self.capture {
            Capture::Watermark { schedule } => Some(schedule),
            Capture::Binlog(_) => None,
        }
    }
}

/// A MySQL database.
#[derive(Debug, Clone)]
pub enum Database {
    /// One that exists.
    Existing {
        /// Its host name.
        host: String,
        /// Its port.
        port: i64,
        /// Name or ARN of the secret with user and password.
        secret: String,
    },
    /// One that pipectl makes.
    New(NewDatabase),
}

/// A table of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MysqlTable {
    /// Its name.
    pub name: TableName,
    /// How it is read by watermark; absent where changes come from the binary log.
    pub watermark: Option<Watermark>,
}

/// How a table is read by watermark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watermark {
    /// Its columns.
    pub columns: Vec<String>,
    /// How far behind it each reading starts.
    pub overlap: Overlap,
}

/// Where records lie as JSON lines, ready to load.
#[derive(Debug, Clone)]
pub struct Landing {
    /// The curated bucket.
    pub bucket: String,
    /// Folder of the records.
    pub prefix: &'static str,
    /// Folder of what could not become records.
    pub error_prefix: &'static str,
    /// The topic that tells of new objects.
    pub topic: String,
    /// The folders that are loaded apart.
    pub feeds: Vec<Feed>,
}

/// One folder of records that are loaded together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// Its name, fit for an identifier.
    pub name: String,
    /// Its path below the landing's prefix; ends in `/` or is empty.
    pub prefix: String,
}

/// A typed table.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub description: Option<String>,
    /// Name of the feed that fills it.
    pub feed: String,
    /// What makes rows of records.
    pub origin: Origin,
    /// Whether it is taken over where it exists.
    pub adopt: bool,
    /// What becomes of changes, where its records are changes of rows.
    pub cdc: Option<Cdc>,
    /// Its columns, in order.
    pub columns: Vec<Column>,
}

/// What becomes of changes of rows (change data capture).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cdc {
    /// What becomes of deleted rows.
    pub deletes: Deletes,
    /// Whether every change is kept.
    pub history: bool,
}

/// What makes rows of records.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A record of a file is a row, or each item of an array in it is.
    File {
        /// The array.
        flatten: Option<JsonPath>,
    },
    /// A record is a change of a row of this table.
    Mysql(MysqlTable),
}

impl Table {
    /// Whether rows are merged by what the reader tells them apart by, for want of a key.
    pub fn is_keyless(&self) -> bool {
        !self.columns.iter().any(|column| column.key)
    }

    /// Whether deleted rows stay, with a flag.
    pub fn is_flagged(&self) -> bool {
        self.cdc.is_some_and(|cdc| cdc.deletes == Deletes::Flag)
    }
}

/// A column of a typed table.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name.
    pub name: Ident,
    /// Its type.
    pub data_type: SqlType,
    /// Where its value lies.
    pub path: JsonPath,
    /// Whether a row without it is rejected.
    pub not_null: bool,
    /// Whether rows are merged by it.
    pub key: bool,
    /// The name it had before.
    pub was: Option<Ident>,
    /// What it means.
    pub description: Option<String>,
}

impl Column {
    /// The column of the source's row that this one is, where its path says just that.
    pub fn source_column(&self) -> Option<&str> {
        match (self.path.root, self.path.steps.as_slice()) {
            (Root::Item, [Step::Field(name)]) => Some(name),
            (Root::Record, [Step::Field(after), Step::Field(name)]) if after == "after" => Some(name),
            _ => None,
        }
    }
}

/// Where the data goes.
#[derive(Debug, Clone)]
pub enum Target {
    /// A Snowflake database.
    Snowflake(SnowflakeTarget),
}

/// A Snowflake database.
#[derive(Debug, Clone)]
pub struct SnowflakeTarget {
    /// The role that the user deploys with.
    pub deployer: Name,
    /// The database.
    pub database: Name,
    /// Schema of the typed tables.
    pub schema: Name,
    /// Schema of what arrives.
    pub raw_schema: Name,
    /// Whether the database and the schema of the typed tables are taken over where they exist.
    pub adopt: bool,
    /// The stage that the pipes load from.
    pub stage: Name,
    /// Whether the stage is taken over where it exists.
    pub adopt_stage: bool,
    /// The warehouse that runs the tasks.
    pub warehouse: Name,
    /// Whether the warehouse is the pipeline's own.
    pub own_warehouse: bool,
    /// How often the tasks run.
    pub schedule: Schedule,
    /// How files are loaded.
    pub load: Load,
    /// What the function needs that applies files, where procedures load them.
    pub apply: Option<Apply>,
}

/// What a function needs to call procedures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apply {
    /// The Snowflake account.
    pub account: String,
    /// Who signs the identity tokens of the AWS account.
    pub issuer: String,
}

impl Model {
    /// The Snowflake target, where there is one.
    pub fn snowflake(&self) -> Option<&SnowflakeTarget> {
        self.targets.iter().map(|Target::Snowflake(target)| target).next()
    }
}
