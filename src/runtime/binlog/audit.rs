//! Whether a server's binlog, and the rights to read it, are what the service needs, and how to set them.

use anyhow::bail;
use serde::{Deserialize, Serialize};

use super::key;
use super::server::{Retention, is_rds, retention};
use crate::runtime::extract::statement::path;
use crate::runtime::extract::table::Table;
use crate::runtime::log::Line;
use crate::runtime::mysql::{Connection, MysqlError};

/// Below this somebody should be told: a weekend.
const LEAST_RETENTION: u64 = 3 * 86_400;
/// What a statement is refused with that needs a right:
/// <https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html#error_er_specific_access_denied_error>.
const DENIED: u16 = 1227;
/// What a server says to a statement that it does not know.
const UNKNOWN: u16 = 1064;

/// How something that was looked at is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it must be.
    Ok,
    /// Something may go wrong later.
    Risk,
    /// Something does go wrong: changes are lost, or nothing is read.
    Wrong,
}

/// Something that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is.
    pub what: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was found, and what that means.
    pub found: String,
    /// How to set it; empty where it is well.
    pub next: String,
}

impl Finding {
    fn ok(what: &str, found: impl Into<String>) -> Self {
        Self::of(what, Verdict::Ok, found, "")
    }

    fn of(what: &str, verdict: Verdict, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            what: what.to_owned(),
            verdict,
            found: found.into(),
            next: next.into(),
        }
    }

    /// What was found and how to mend it.
    fn told(&self) -> String {
        format!("{}: {}; {}", self.what, self.found, self.next)
    }
}

/// A table that is to be read.
#[derive(Debug, Clone, Deserialize)]
pub struct Wanted {
    pub schema: String,
    pub table: String,
    /// The keys of the tables that its records are loaded into, as far as they are known.
    #[serde(default)]
    pub keys: Vec<Vec<String>>,
}

/// Refuses a server whose binlog does not hold what is needed; says what may go wrong later.
pub async fn check(connection: &mut Connection) -> anyhow::Result<()> {
    let findings = settings(connection).await?;
    if let Some(wrong) = findings.iter().find(|finding| finding.verdict == Verdict::Wrong) {
        bail!("{}", wrong.told());
    }
    for finding in findings.into_iter().chain([kept(connection).await?]) {
        match finding.verdict {
            Verdict::Ok => {}
            Verdict::Risk => Line::warn("server").detail(finding.told()).write(),
            Verdict::Wrong => Line::error("server").detail(finding.told()).write(),
        }
    }
    Ok(())
}

/// Everything that is looked at: the server's settings, the rights of the user, the tables.
pub async fn findings(connection: &mut Connection, tables: &[Wanted]) -> anyhow::Result<Vec<Finding>> {
    let mut findings = settings(connection).await?;
    findings.push(kept(connection).await?);
    findings.extend(rights(connection).await?);
    for wanted in tables {
        findings.push(table(connection, wanted).await?);
    }
    Ok(findings)
}

/// What the binlog holds.
async fn settings(connection: &mut Connection) -> anyhow::Result<Vec<Finding>> {
    let is_rds = is_rds(connection).await?;
    let mut findings = Vec::new();
    for (name, wanted) in [
        ("log_bin", "1"),
        ("binlog_format", "ROW"),
        ("binlog_row_image", "FULL"),
        ("binlog_row_metadata", "FULL"),
    ] {
        let found = connection.single(&format!("SELECT @@GLOBAL.{name}"), &[]).await;
        let is_advice = name == "binlog_row_metadata";
        let found = match found {
            // Servers before MySQL 8.0 and MariaDB 10.5 have no such setting.
            Err(MysqlError::Statement { .. }) if is_advice => continue,
            found => found?.unwrap_or_default(),
        };
        if found.eq_ignore_ascii_case(wanted) {
            findings.push(Finding::ok(name, found));
            continue;
        }
        let (verdict, why) = match is_advice {
            true => (
                Verdict::Risk,
                "the binlog does not name its columns, so a change that is read only after its table was altered may be \
                 read wrongly",
            ),
            false => (Verdict::Wrong, "the binlog does not hold whole rows"),
        };
        let found = format!("it is `{found}` and must be {wanted}: {why}");
        findings.push(Finding::of(name, verdict, found, fix(name, wanted, is_rds)));
    }
    Ok(findings)
}

/// How a setting is made what it must be.
fn fix(name: &str, wanted: &str, is_rds: bool) -> String {
    match (name, is_rds) {
        ("log_bin", true) => {
            "RDS logs while it makes backups: aws rds modify-db-instance --db-instance-identifier INSTANCE \
             --backup-retention-period 7 --apply-immediately"
                .to_owned()
        }
        ("log_bin", false) => {
            "write log_bin = binlog and server_id = 1 under [mysqld] in my.cnf, and restart the server".to_owned()
        }
        (_, true) => format!(
            "aws rds modify-db-parameter-group --db-parameter-group-name GROUP --parameters \
             ParameterName={name},ParameterValue={wanted},ApplyMethod=immediate (of [source.create] a deploy sets it)"
        ),
        (_, false) => format!(
            "SET GLOBAL {name} = '{wanted}', and {name} = {wanted} under [mysqld] in my.cnf; sessions that are open \
             keep theirs"
        ),
    }
}

/// How long the binlog is kept.
async fn kept(connection: &mut Connection) -> anyhow::Result<Finding> {
    const WHAT: &str = "binlog retention";
    const ON_RDS: &str = "CALL mysql.rds_set_configuration('binlog retention hours', 168)";
    let again = "what is purged before it was read takes a new snapshot of every table";
    Ok(match retention(connection).await? {
        Retention::None => {
            let found = format!("RDS purges the binlog as soon as it can, and {again}");
            Finding::of(WHAT, Verdict::Wrong, found, ON_RDS)
        }
        Retention::Hidden => {
            let next = format!(
                "as the master user, {ON_RDS}, and GRANT SELECT ON mysql.rds_configuration to the user, so that it \
                 can tell"
            );
            Finding::of(
                WHAT,
                Verdict::Risk,
                "this is RDS, and the user may not see how long it keeps the binlog",
                next,
            )
        }
        Retention::Seconds(seconds) if seconds < LEAST_RETENTION => {
            let next = match is_rds(connection).await? {
                true => ON_RDS.to_owned(),
                false => {
                    let setting = expiry(connection).await?;
                    format!("SET GLOBAL {setting}, and the same in my.cnf")
                }
            };
            let found = format!("the server keeps its binlog for {} hours, and {again}", seconds / 3600);
            Finding::of(WHAT, Verdict::Risk, found, next)
        }
        Retention::Seconds(seconds) => Finding::ok(WHAT, format!("{} hours", seconds / 3600)),
        Retention::Forever => Finding::ok(WHAT, "until somebody purges it"),
        Retention::Unknown => Finding::of(
            WHAT,
            Verdict::Risk,
            "the server does not say how long it keeps its binlog",
            "look it up",
        ),
    })
}

/// The setting that keeps the binlog for a week. Servers before MySQL 8.0 and MariaDB 10.6 count in days.
async fn expiry(connection: &mut Connection) -> Result<&'static str, MysqlError> {
    match connection
        .single("SELECT @@GLOBAL.binlog_expire_logs_seconds", &[])
        .await
    {
        Ok(_) => Ok("binlog_expire_logs_seconds = 604800"),
        Err(MysqlError::Statement { .. }) => Ok("expire_logs_days = 7"),
        Err(error) => Err(error),
    }
}

/// The rights to read the binlog.
async fn rights(connection: &mut Connection) -> anyhow::Result<Vec<Finding>> {
    // Each of these needs just the right in question; servers know one of two spellings.
    let client = is_allowed(connection, ["SHOW BINARY LOG STATUS", "SHOW MASTER STATUS"]).await?;
    let slave = match connection.is_mariadb() {
        // There it takes a right of its own to see replicas.
        true => {
            let grants = connection.table("SHOW GRANTS", &[]).await?;
            let mut grants = grants.iter().flatten().flatten();
            grants.any(|grant| {
                grant.contains(" ON *.* ")
                    && (grant.contains("REPLICATION SLAVE,")
                        || grant.contains("REPLICATION SLAVE ON")
                        || grant.contains("ALL PRIVILEGES"))
            })
        }
        false => is_allowed(connection, ["SHOW REPLICAS", "SHOW SLAVE HOSTS"]).await?,
    };
    let user = connection
        .single("SELECT CURRENT_USER()", &[])
        .await?
        .unwrap_or_default();
    let (name, host) = user.rsplit_once('@').unwrap_or((&user, "%"));
    let finding = |right: &str, is_there: bool| match is_there {
        true => Finding::ok(right, format!("{user} has it")),
        false => {
            let next = format!("GRANT {right} ON *.* TO '{}'@'{host}'", name.replace('\'', "''"));
            Finding::of(right, Verdict::Wrong, format!("{user} lacks it"), next)
        }
    };
    Ok(vec![
        finding("REPLICATION CLIENT", client),
        finding("REPLICATION SLAVE", slave),
    ])
}

async fn is_allowed(connection: &mut Connection, spellings: [&str; 2]) -> anyhow::Result<bool> {
    for statement in spellings {
        match connection.table(statement, &[]).await {
            Ok(_) => return Ok(true),
            Err(MysqlError::Statement { code: DENIED, .. }) => return Ok(false),
            Err(MysqlError::Statement { code: UNKNOWN, .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

/// Whether a table can be read, and merged by the keys that are wanted.
async fn table(connection: &mut Connection, wanted: &Wanted) -> anyhow::Result<Finding> {
    let title = format!("{}.{}", wanted.schema, wanted.table);
    let Some(found) = Table::describe(connection, &wanted.schema, &wanted.table).await? else {
        let path = path(&wanted.schema, &wanted.table);
        let next = format!("create it, or GRANT SELECT ON {path} to the user; it is read as soon as it can be");
        return Ok(Finding::of(
            &title,
            Verdict::Risk,
            "it does not exist, or the user may not read it",
            next,
        ));
    };
    if found.key.is_empty() {
        return Ok(Finding::of(&title, Verdict::Wrong, key::NONE, key::ADD));
    }
    Ok(match key::fault(&wanted.keys, found.key_names()) {
        Some(reason) => {
            let (found, next) = reason.split_once(": ").unwrap_or((&reason, ""));
            Finding::of(&title, Verdict::Wrong, found, next)
        }
        None => Finding::ok(
            &title,
            format!("key ({})", found.key_names().collect::<Vec<_>>().join(", ")),
        ),
    })
}
