//! `[source] type = "mysql"`: a MySQL or MariaDB database, its network, and how changes are captured.

use std::fmt;
use std::str::FromStr;

use deserr::Deserr;
use schemars::JsonSchema;

/// Rows of a MySQL database, found by a watermark (a column that grows with every change) or in the server's binary log.
#[derive(Debug, Clone, PartialEq, Deserr, JsonSchema)]
#[deserr(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct MysqlSource {
    /// How changes are found: `watermark` or `binlog`.
    #[deserr(default)]
    #[schemars(default)]
    pub capture: Capture,
    /// How often the tables are read by watermark: `1 minute`, `2 hours` or `USING CRON …`.
    #[deserr(default = "5 minutes".to_owned())]
    #[schemars(default = "five_minutes")]
    pub schedule: String,
    /// What is on the stream with `capture = "binlog"`: `records`, which pipectl's reader writes, or `python-dict`: a
    /// program of your own reads the binlog, and each record is `str()` of a dict as `python-mysql-replication` gives it.
    #[deserr(default)]
    #[schemars(default)]
    pub format: Format,
    /// Where the reader of `capture = "binlog"` runs.
    #[deserr(default)]
    #[schemars(default)]
    pub reader: Option<Reader>,
    /// A database that exists.
    #[deserr(default)]
    #[schemars(default)]
    pub database: Option<Database>,
    /// A database that pipectl makes: RDS for MySQL, private, encrypted, with backups, its password kept and rotated by RDS.
    #[deserr(default)]
    #[schemars(default)]
    pub create: Option<NewDatabase>,
    /// Where what reads the database runs. The environment `local` needs none.
    #[deserr(default)]
    #[schemars(default)]
    pub network: Option<Network>,
    /// Shards of the Kinesis stream; each takes 1 MB or 1,000 records a second. Without it the stream scales by itself.
    #[deserr(default)]
    #[schemars(default)]
    pub shards: Option<i64>,
    /// Seconds that records are gathered before they become a file.
    #[deserr(default = 60)]
    #[schemars(default = "sixty")]
    pub buffer_seconds: i64,
}

fn five_minutes() -> String {
    "5 minutes".to_owned()
}

fn sixty() -> i64 {
    60
}

/// How changes are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserr, JsonSchema)]
#[deserr(rename_all = lowercase)]
#[schemars(rename_all = "lowercase")]
pub enum Capture {
    /// By a column that grows with every change. Deleted rows are not seen.
    #[default]
    Watermark,
    /// In the server's binary log: inserts, updates and deletes, as they are made.
    Binlog,
}

/// What is on the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserr, JsonSchema)]
#[deserr(rename_all = lowercase)]
#[schemars(rename_all = "lowercase")]
pub enum Format {
    /// What pipectl's reader writes.
    #[default]
    Records,
    /// `str()` of a Python dict, which a program of the user's own writes.
    #[deserr(rename = "python-dict")]
    #[schemars(rename = "python-dict")]
    PythonDict,
}

/// The reader of the binary log.
#[derive(Debug, Clone, PartialEq, Default, Deserr, JsonSchema)]
#[deserr(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Reader {
    /// What it runs on: `ec2`, a server that is replaced when it fails, or `ecs`, a container on Fargate.
    #[deserr(default)]
    #[schemars(default)]
    pub on: Host,
    /// Size of the server on `ec2`, with the processor of `aws.architecture`. Without it: `t4g.small`, or `t3.small` on
    /// `x86_64`.
    #[deserr(default)]
    #[schemars(default)]
    pub instance_type: Option<String>,
    /// The image that `ecs` runs, with its digest or tag: one that holds `pipectl-runtime` as its entry point.
    #[deserr(default)]
    #[schemars(default)]
    pub image: Option<String>,
}

/// What the reader runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserr, JsonSchema)]
#[deserr(rename_all = lowercase)]
#[schemars(rename_all = "lowercase")]
pub enum Host {
    /// A server in an Auto Scaling group of one.
    #[default]
    Ec2,
    /// A container on Fargate.
    Ecs,
}

/// A database that exists.
#[derive(Debug, Clone, PartialEq, Deserr, JsonSchema)]
#[deserr(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Database {
    /// Its host name.
    pub host: String,
    /// Its port.
    #[deserr(default = 3306)]
    #[schemars(default = "mysql_port")]
    pub port: i64,
    /// Reference to the secret with `username` and `password`, as RDS writes it: `secretsmanager:NAME`.
    pub secret: String,
}

fn mysql_port() -> i64 {
    3306
}

/// A database that pipectl makes.
#[derive(Debug, Clone, PartialEq, Deserr, JsonSchema)]
#[deserr(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct NewDatabase {
    /// Name of the database in the server.
    pub name: String,
    /// Version of MySQL. RDS brings later minor versions by itself.
    #[deserr(default = "8.4.9".to_owned())]
    #[schemars(default = "mysql_version")]
    pub engine_version: String,
    /// Size of the server.
    #[deserr(default = "db.t4g.micro".to_owned())]
    #[schemars(default = "small_server")]
    pub instance_class: String,
    /// Gibibytes of disk; it grows by itself up to ten times of this.
    #[deserr(default = 20)]
    #[schemars(default = "twenty")]
    pub storage_gb: i64,
    /// Days that backups are kept.
    #[deserr(default = 7)]
    #[schemars(default = "seven")]
    pub backup_days: i64,
    /// Whether a standby in another availability zone takes over when the server fails.
    #[deserr(default)]
    #[schemars(default)]
    pub multi_az: bool,
}

fn mysql_version() -> String {
    "8.4.9".to_owned()
}

fn small_server() -> String {
    "db.t4g.micro".to_owned()
}

fn twenty() -> i64 {
    20
}

fn seven() -> i64 {
    7
}

/// The private network of what reaches the database.
#[derive(Debug, Clone, PartialEq, Deserr, JsonSchema)]
#[deserr(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Network {
    /// The VPC, such as `vpc-0a1b2c3d4e5f67890`.
    pub vpc: String,
    /// Its private subnets, in at least two availability zones where pipectl makes the database.
    pub subnets: Vec<String>,
    /// Security groups that functions and reader join besides their own, such as one that the database lets in.
    #[deserr(default)]
    #[schemars(default)]
    pub security_groups: Vec<String>,
    /// Whether pipectl makes the endpoints through which a private subnet reaches Kinesis, Parameter Store, Secrets
    /// Manager and S3, and what else the reader of `capture = "binlog"` calls. Not needed where a NAT gateway or such endpoints are there.
    #[deserr(default)]
    #[schemars(default)]
    pub endpoints: bool,
}

/// A table of the source, `database.table`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// The database.
    pub schema: String,
    /// The table.
    pub table: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// Why a text names no table, and what would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct WordError {
    /// What is wrong.
    pub message: &'static str,
    /// What would be right.
    pub hint: &'static str,
}

impl FromStr for TableName {
    type Err = WordError;

    /// The name is part of a folder, a parameter and a JSON query, so it is of letters, digits, `_` and `-`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = WordError {
            message: "this does not name a table of a MySQL database",
            hint: "write `database.table`, both of letters, digits, `_`, `-` and `$`",
        };
        let is_name = |name: &str| {
            (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-$".contains(c))
        };
        match text.split_once('.') {
            Some((schema, table)) if is_name(schema) && is_name(table) => Ok(Self {
                schema: schema.to_owned(),
                table: table.to_owned(),
            }),
            _ => Err(wrong),
        }
    }
}

/// How far behind the watermark the next reading starts, so that what committed late is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// Of a watermark that is a time, in seconds.
    Seconds(u64),
    /// Of a watermark that is a number.
    Count(u64),
}

impl FromStr for Overlap {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = WordError {
            message: "this is not an overlap",
            hint: "a duration for a watermark that is a time, such as `30 seconds`, `2 minutes` or `1 day`; a whole number for one that is a number",
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let number = |word: &str| word.parse::<u64>().ok().filter(|number| *number <= u64::from(u32::MAX));
        match words.as_slice() {
            [count] => number(count).map(Self::Count).ok_or(wrong),
            [amount, unit] => {
                let seconds = match unit.trim_end_matches('s') {
                    "second" => 1,
                    "minute" => 60,
                    "hour" => 3600,
                    "day" => 86_400,
                    _ => return Err(wrong),
                };
                number(amount)
                    .map(|amount| Self::Seconds(amount * seconds))
                    .ok_or(wrong)
            }
            _ => Err(wrong),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_named_with_their_database() {
        let name: TableName = "video.video_init".parse().unwrap();
        assert_eq!((name.schema.as_str(), name.table.as_str()), ("video", "video_init"));
        for wrong in ["video", "a.b.c", ".t", "d.", "d.t'", "d.a b", ""] {
            assert!(wrong.parse::<TableName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn overlaps_are_durations_or_counts() {
        assert_eq!("2 minutes".parse(), Ok(Overlap::Seconds(120)));
        assert_eq!("1 day".parse(), Ok(Overlap::Seconds(86_400)));
        assert_eq!("1000".parse(), Ok(Overlap::Count(1000)));
        for wrong in ["", "-1", "2 weeks", "two minutes", "1 2 3", "99999999999"] {
            assert!(wrong.parse::<Overlap>().is_err(), "{wrong}");
        }
    }
}
