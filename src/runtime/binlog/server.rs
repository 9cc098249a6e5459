//! What the service asks the server about itself.

use anyhow::{Context as _, bail};

use super::gtid::Executed;
use super::reader::Position;
use crate::runtime::mysql::{Connection, MysqlError};

/// Which server it is: positions mean something on this one only.
pub async fn identity(connection: &mut Connection) -> Result<String, MysqlError> {
    let statement = if connection.is_mariadb() {
        "SELECT CONCAT(@@GLOBAL.server_id, '-', @@GLOBAL.gtid_domain_id)"
    } else {
        "SELECT @@GLOBAL.server_uuid"
    };
    Ok(connection.single(statement, &[]).await?.unwrap_or_default())
}

/// Whether the server is one of RDS, which has settings of its own.
pub async fn is_rds(connection: &mut Connection) -> Result<bool, MysqlError> {
    let folder = connection.single("SELECT @@GLOBAL.basedir", &[]).await?;
    Ok(folder.is_some_and(|folder| folder.starts_with("/rdsdbbin")))
}

/// How long a server keeps its binlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// So many seconds.
    Seconds(u64),
    /// Until somebody purges it.
    Forever,
    /// As short as RDS can.
    None,
    /// RDS knows, and the user may not ask it.
    Hidden,
    /// The server does not say.
    Unknown,
}

impl Retention {
    /// The seconds, where there is a limit.
    pub fn seconds(self) -> Option<u64> {
        match self {
            Retention::Seconds(seconds) => Some(seconds),
            Retention::None => Some(0),
            Retention::Forever | Retention::Hidden | Retention::Unknown => None,
        }
    }
}

/// How long the server keeps its binlog. RDS has a setting of its own for that:
/// <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/mysql-stored-proc-configuring.html>.
pub async fn retention(connection: &mut Connection) -> anyhow::Result<Retention> {
    if is_rds(connection).await? {
        let statement = "SELECT value FROM mysql.rds_configuration WHERE name = 'binlog retention hours'";
        return Ok(match connection.single(statement, &[]).await {
            Ok(Some(hours)) => hours
                .parse::<u64>()
                .map_or(Retention::Unknown, |hours| Retention::Seconds(hours * 3600)),
            Ok(None) => Retention::None,
            Err(_) => Retention::Hidden,
        });
    }
    let mut known = false;
    // Servers have one of the two settings, or both; 0 means for ever.
    for (statement, unit) in [
        ("SELECT @@GLOBAL.binlog_expire_logs_seconds", 1.0),
        ("SELECT @@GLOBAL.expire_logs_days", 86_400.0),
    ] {
        let found = connection.single(statement, &[]).await.ok().flatten();
        let Some(amount) = found.and_then(|found| found.parse::<f64>().ok()) else {
            continue;
        };
        known = true;
        if amount > 0.0 {
            return Ok(Retention::Seconds((amount * unit) as u64));
        }
    }
    Ok(if known { Retention::Forever } else { Retention::Unknown })
}

/// A file of the binlog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub name: String,
    pub bytes: u64,
}

/// The files of the binlog that are there, in order.
pub async fn files(connection: &mut Connection) -> anyhow::Result<Vec<File>> {
    let rows = connection
        .table("SHOW BINARY LOGS", &[])
        .await
        .context("GRANT REPLICATION CLIENT to the user")?;
    let file = |row: Vec<Option<String>>| {
        let mut cells = row.into_iter().flatten();
        Some(File {
            name: cells.next()?,
            bytes: cells.next()?.parse().ok()?,
        })
    };
    Ok(rows.into_iter().filter_map(file).collect())
}

/// Whether the events of the binlog end in a checksum.
pub async fn has_checksums(connection: &mut Connection) -> Result<bool, MysqlError> {
    let found = connection.single("SELECT @@GLOBAL.binlog_checksum", &[]).await?;
    Ok(found.as_deref() == Some("CRC32"))
}

/// The end of the binlog.
pub async fn position(connection: &mut Connection) -> anyhow::Result<Position> {
    let mut found = Err(MysqlError::Protocol { what: "the position" });
    // MySQL 8.4 has only the first, servers before 8.2 and MariaDB only the second.
    for statement in ["SHOW BINARY LOG STATUS", "SHOW MASTER STATUS"] {
        found = connection.table(statement, &[]).await;
        if !matches!(found, Err(MysqlError::Statement { code: 1064, .. })) {
            break;
        }
    }
    let row = found
        .context("GRANT REPLICATION CLIENT to the user")?
        .into_iter()
        .next()
        .unwrap_or_default();
    match row.as_slice() {
        [Some(file), Some(offset), ..] => Ok(Position {
            file: file.clone(),
            offset: offset.parse().context("the binlog's position")?,
        }),
        _ => bail!("the server has no binlog; turn log_bin on"),
    }
}

/// The transactions executed; `None` where the server does not name them, or in a way that this program does not know.
pub async fn executed(connection: &mut Connection) -> Result<Option<Executed>, MysqlError> {
    let mariadb = connection.is_mariadb();
    let statement = if mariadb {
        "SELECT @@GLOBAL.gtid_binlog_pos"
    } else {
        "SELECT IF(@@GLOBAL.gtid_mode = 'ON', @@GLOBAL.gtid_executed, NULL)"
    };
    let text = connection.single(statement, &[]).await?;
    Ok(text
        .filter(|text| !text.is_empty())
        .and_then(|text| Executed::read(&text, mariadb)))
}

/// A number that no replica of this server has: from the upper half, where people give none.
pub async fn replica_number(connection: &mut Connection) -> u32 {
    let mut taken = Vec::new();
    for statement in ["SHOW REPLICAS", "SHOW SLAVE HOSTS", "SELECT @@GLOBAL.server_id"] {
        // Without the right to see replicas the wide range has to do.
        for row in connection.table(statement, &[]).await.unwrap_or_default() {
            taken.extend(
                row.into_iter()
                    .next()
                    .flatten()
                    .and_then(|number| number.parse::<u32>().ok()),
            );
        }
    }
    loop {
        let number = fastrand::u32(1 << 31..);
        if !taken.contains(&number) {
            return number;
        }
    }
}
