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

/// Refuses a server whose binlog does not hold what is needed, and says how to set it.
pub async fn check(connection: &mut Connection) -> anyhow::Result<()> {
    let statement = "SELECT @@GLOBAL.log_bin, @@GLOBAL.binlog_format, @@GLOBAL.binlog_row_image";
    let row = connection
        .table(statement, &[])
        .await?
        .into_iter()
        .next()
        .unwrap_or_default();
    let wanted = [("log_bin", "1"), ("binlog_format", "ROW"), ("binlog_row_image", "FULL")];
    for ((name, wanted), found) in wanted.into_iter().zip(row) {
        let found = found.unwrap_or_default();
        if !found.eq_ignore_ascii_case(wanted) {
            let hint = match name {
                "log_bin" => "turn the binary log on (on RDS: a backup retention above 0 days)".to_owned(),
                _ => format!("set {name}={wanted} (on RDS: in the parameter group)"),
            };
            bail!("the server's {name} is `{found}`, but must be {wanted}: {hint}");
        }
    }
    Ok(())
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

/// A file of the binlog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub name: String,
    pub bytes: u64,
}

/// The files of the binlog, the oldest first.
pub async fn files(connection: &mut Connection) -> Result<Vec<File>, MysqlError> {
    let rows = connection.table("SHOW BINARY LOGS", &[]).await?;
    let file = |row: Vec<Option<String>>| {
        let mut cells = row.into_iter().flatten();
        let (name, bytes) = (cells.next()?, cells.next()?.parse().ok()?);
        Some(File { name, bytes })
    };
    Ok(rows.into_iter().filter_map(file).collect())
}

/// The server's clock, seconds since 1970.
pub async fn clock(connection: &mut Connection) -> anyhow::Result<u64> {
    let text = connection.single("SELECT UNIX_TIMESTAMP()", &[]).await?;
    text.unwrap_or_default().parse().context("the server's clock")
}

/// How many seconds the server keeps its binlog; `None` where it keeps all of it, or does not say.
///
/// RDS goes by a setting of its own, which the user sees with SELECT on `mysql.rds_configuration`
/// (<https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/mysql-stored-proc-configuring.html>).
pub async fn retention(connection: &mut Connection) -> Option<u64> {
    let folder = connection.single("SELECT @@GLOBAL.basedir", &[]).await;
    if folder.is_ok_and(|folder| folder.unwrap_or_default().contains("rdsdbbin")) {
        let hours = "SELECT value FROM mysql.rds_configuration WHERE name = 'binlog retention hours'";
        let hours = connection.table(hours, &[]).await.ok()?.into_iter().next()?;
        // NULL: a file goes as soon as RDS itself does not need it.
        let hours = hours
            .into_iter()
            .next()?
            .map_or(Some(0), |hours| hours.parse::<u64>().ok())?;
        return Some(hours * 3600);
    }
    // MySQL 8.0.29; MySQL 8.0 and MariaDB 10.6; before.
    for statement in [
        "SELECT IF(@@GLOBAL.binlog_expire_logs_auto_purge, @@GLOBAL.binlog_expire_logs_seconds, 0)",
        "SELECT @@GLOBAL.binlog_expire_logs_seconds",
        "SELECT CAST(@@GLOBAL.expire_logs_days * 86400 AS UNSIGNED)",
    ] {
        if let Ok(seconds) = connection.single(statement, &[]).await {
            return seconds?.parse().ok().filter(|seconds| *seconds > 0);
        }
    }
    None
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
