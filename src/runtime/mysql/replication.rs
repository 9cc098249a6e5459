//! The binlog as the server sends it to a replica
//! (<https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_replication.html>).

use std::time::Duration;

use super::connection::{Connection, failed};
use super::error::MysqlError;

/// How often the server says that nothing happens.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Silence after which the connection counts as broken.
const SILENCE: Duration = Duration::from_secs(30);

/// Where to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Behind this byte of a file.
    Position { file: String, offset: u32 },
    /// With the transactions that are not in this set, which is encoded as the command wants it.
    MySqlGtids(Vec<u8>),
    /// With the transactions behind these: `domain-server-number,…`.
    MariaDbGtids(String),
}

/// Binlog events. Heartbeats keep it alive; it never ends by itself.
pub struct Dump {
    connection: Connection,
    more: bool,
}

/// An event, or a part of one longer than 16 MiB.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    pub bytes: &'a [u8],
    /// Whether an event begins with it.
    pub first: bool,
    /// Whether an event ends with it.
    pub last: bool,
}

impl Connection {
    /// Turns the session into a replica's, which must have a number of its own among the server's replicas.
    pub async fn dump(mut self, start: &Start, server_id: u32) -> Result<Dump, MysqlError> {
        let nanoseconds = HEARTBEAT.as_nanos();
        // Both names of each: servers know one or the other (https://dev.mysql.com/worklog/task/?id=14189).
        let mut settings = vec![
            format!("SET @master_heartbeat_period = {nanoseconds}, @source_heartbeat_period = {nanoseconds}"),
            "SET @master_binlog_checksum = @@GLOBAL.binlog_checksum, @source_binlog_checksum = @@GLOBAL.binlog_checksum"
                .to_owned(),
            format!("SET @slave_uuid = '{0}', @replica_uuid = '{0}'", uuid::Uuid::new_v4()),
        ];
        if self.is_mariadb() {
            // 4: it may send its own events, GTIDs among them.
            settings.push("SET @mariadb_slave_capability = 4".to_owned());
        }
        if let Start::MariaDbGtids(executed) = start {
            let fits = |byte: u8| byte.is_ascii_digit() || byte == b'-' || byte == b',';
            if !executed.bytes().all(fits) {
                return Err(MysqlError::protocol("the executed transactions"));
            }
            settings.push(format!(
                "SET @slave_connect_state = '{executed}', @slave_gtid_strict_mode = 0"
            ));
        }
        for setting in settings {
            self.execute(&setting).await?;
        }
        let mut register = vec![0x15];
        register.extend_from_slice(&server_id.to_le_bytes());
        register.resize(register.len() + 3 + 2 + 4 + 4, 0); // no host, user, password, port, rank, nor source
        self.command(&register, "COM_REGISTER_SLAVE").await?;
        self.send_command(&command(start, server_id)).await?;
        Ok(Dump {
            connection: self,
            more: false,
        })
    }
}

fn command(start: &Start, server_id: u32) -> Vec<u8> {
    match start {
        Start::Position { file, offset } => {
            let mut out = vec![0x12];
            out.extend_from_slice(&offset.to_le_bytes());
            out.extend_from_slice(&[0, 0]);
            out.extend_from_slice(&server_id.to_le_bytes());
            out.extend_from_slice(file.as_bytes());
            out
        }
        Start::MariaDbGtids(_) => {
            let mut out = vec![0x12, 4, 0, 0, 0, 0, 0];
            out.extend_from_slice(&server_id.to_le_bytes());
            out
        }
        Start::MySqlGtids(executed) => {
            let mut out = vec![0x1e, 4, 0]; // BINLOG_THROUGH_GTID
            out.extend_from_slice(&server_id.to_le_bytes());
            out.extend_from_slice(&0_u32.to_le_bytes());
            out.extend_from_slice(&4_u64.to_le_bytes());
            out.extend_from_slice(&(executed.len() as u32).to_le_bytes());
            out.extend_from_slice(executed);
            out
        }
    }
}

impl Dump {
    /// The next part. Nothing is lost when this is given up while it waits.
    #[inline]
    pub async fn next(&mut self) -> Result<Part<'_>, MysqlError> {
        let first = !self.more;
        let received = tokio::time::timeout(SILENCE, self.connection.receive_part()).await;
        self.more = received.map_err(|_| self.connection.silent())??;
        let payload = self.connection.payload();
        let bytes = match payload {
            _ if !first => payload,
            [0x00, event @ ..] => event,
            [0xff, rest @ ..] => return Err(failed(rest, "COM_BINLOG_DUMP")),
            _ => return Err(MysqlError::protocol("the end of the binlog")),
        };
        Ok(Part {
            bytes,
            first,
            last: !self.more,
        })
    }

    /// Whether a part is at hand without waiting for the network.
    pub fn is_ready(&self) -> bool {
        self.connection.has_packet()
    }
}

impl MysqlError {
    /// Whether the server has no binlog from there on any more. Its code stands for much else besides, so that the
    /// message decides (`sql/rpl_binlog_sender.cc` of MySQL, `sql/sql_repl.cc` of MariaDB).
    pub fn is_purged_binlog(&self) -> bool {
        let Self::Statement {
            code: 1236, message, ..
        } = self
        else {
            return false;
        };
        [
            "purged",
            "Could not find first log",
            "position > file size",
            "not in the master's binlog",
            "not in the source's binlog",
            "impossible position",
            "requires GTIDs",
        ]
        .iter()
        .any(|part| message.contains(part))
    }
}
