//! A session with the server: login, statements, rows as they come.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::auth::{self, Greeting, Plugin, capability};
use super::endpoint::{Endpoint, Login};
use super::error::MysqlError;
use super::row::{Bytes, Cell, Cells};
use super::tls::{self, Tls};
use super::value::Value;
use super::wire::{PAYLOAD_MAX, Wire};

/// How long the TCP connection and the login may take.
const LOGIN_TIME: Duration = Duration::from_secs(10);
/// How much of a statement an error shows, in characters.
const SHOWN: usize = 600;

/// What every session is set to: UTC, text as UTF-8, reading only, and dates as they are stored, valid or not. The
/// server waits long for a reader that is held up (its default of 60 s would break a throttled reading).
const SESSION: &[&str] = &[
    "SET NAMES utf8mb4",
    "SET SESSION time_zone = '+00:00', sql_mode = '', net_write_timeout = 900, wait_timeout = 1800",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
];

/// A column of a result set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The name as the statement gives it.
    pub name: String,
    /// One of `kind`.
    pub kind: u8,
    /// Whether a number has no sign.
    pub unsigned: bool,
    /// Whether text has no character set, that is, consists of bytes.
    pub binary: bool,
    /// Digits of the fraction of a second; 31 where the server does not know.
    pub decimals: u8,
}

/// A session. A reading that was not taken to its end leaves it unusable; drop it then.
pub struct Connection {
    wire: Wire,
    server: String,
    version: String,
    ends_with_ok: bool,
    open_statement: Option<u32>,
    unread: bool,
}

impl Connection {
    /// Connects, proves the password and prepares the session. `secret` is what an error tells to look at.
    pub async fn open(endpoint: &Endpoint, login: &Login, secret: &str) -> Result<Self, MysqlError> {
        let server = format!("{}:{}", endpoint.host, endpoint.port);
        let opened = timeout(LOGIN_TIME, Self::log_in(endpoint, login, secret, &server)).await;
        let mut connection = opened.map_err(|_| MysqlError::Connection {
            server,
            source: std::io::Error::new(std::io::ErrorKind::TimedOut, "no login within 10 seconds"),
        })??;
        for statement in SESSION {
            connection.execute(statement).await?;
        }
        Ok(connection)
    }

    /// Connects to a server of this machine, without encryption.
    pub async fn to_this_machine(port: u16, username: &str, password: &str) -> Result<Self, MysqlError> {
        let endpoint = Endpoint {
            host: "127.0.0.1".to_owned(),
            port,
            tls: Tls::Off,
        };
        let login = Login {
            username: username.to_owned(),
            password: password.to_owned().into(),
        };
        Self::open(&endpoint, &login, "given").await
    }

    async fn log_in(endpoint: &Endpoint, login: &Login, secret: &str, server: &str) -> Result<Self, MysqlError> {
        let broken = |source| MysqlError::Connection {
            server: server.to_owned(),
            source,
        };
        let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port))
            .await
            .map_err(broken)?;
        stream.set_nodelay(true).map_err(broken)?;
        let mut wire = Wire::new(Box::new(stream));
        wire.receive().await.map_err(broken)?;
        if let [0xff, rest @ ..] = wire.payload() {
            return Err(refused(rest, server, login, secret));
        }
        let greeting = Greeting::read(wire.payload()).ok_or(MysqlError::protocol("the greeting"))?;
        let mut capabilities = capability::NEEDED | greeting.capabilities & capability::DEPRECATE_EOF;
        if let Tls::Verify(config) = &endpoint.tls {
            if greeting.capabilities & capability::SSL == 0 {
                return Err(MysqlError::Tls {
                    server: server.to_owned(),
                    reason: "the server offers none; turn it on there".to_owned(),
                });
            }
            capabilities |= capability::SSL;
            wire.send(&auth::opening(capabilities)).await.map_err(broken)?;
            let (stream, sequence) = wire.into_stream();
            let stream = tls::upgrade(config.clone(), &endpoint.host, stream).await?;
            wire = Wire::new(stream).numbered_from(sequence);
        }
        let mut connection = Self {
            wire,
            server: server.to_owned(),
            version: greeting.version.clone(),
            ends_with_ok: capabilities & capability::DEPRECATE_EOF != 0,
            open_statement: None,
            unread: false,
        };
        connection.prove(&greeting, capabilities, login, secret).await?;
        Ok(connection)
    }

    async fn prove(
        &mut self,
        greeting: &Greeting,
        capabilities: u32,
        login: &Login,
        secret: &str,
    ) -> Result<(), MysqlError> {
        let encrypted = capabilities & capability::SSL != 0;
        // The server names its default; where it is none of ours we begin with another, and it asks to switch.
        let first = Plugin::named(&greeting.plugin).filter(|plugin| *plugin != Plugin::Clear);
        let (mut plugin, name) = match first {
            Some(plugin) => (plugin, greeting.plugin.as_str()),
            None => (Plugin::CachingSha2, Plugin::CACHING_SHA2),
        };
        let mut nonce = greeting.nonce.clone();
        let proof = plugin.proof(&login.password, &nonce);
        self.send(&auth::response(capabilities, &login.username, &proof, name))
            .await?;
        loop {
            self.receive().await?;
            let answer = match self.wire.payload() {
                [0x00, ..] => return Ok(()),
                [0xff, rest @ ..] => return Err(refused(rest, &self.server, login, secret)),
                [0xfe, rest @ ..] => {
                    let mut rest = Bytes(rest);
                    let name = String::from_utf8_lossy(rest.terminated()).into_owned();
                    plugin = self.switch_to(&name, encrypted)?;
                    nonce = rest.0.strip_suffix(&[0]).unwrap_or(rest.0).to_vec();
                    plugin.proof(&login.password, &nonce)
                }
                // The server knew the proof; its OK follows.
                [0x01, 0x03] => continue,
                // It did not: it wants the password itself.
                [0x01, 0x04] if encrypted => auth::terminated(login.password.as_bytes()),
                [0x01, 0x04] => vec![0x02].into(),
                [0x01, key @ ..] if plugin == Plugin::CachingSha2 => {
                    let key = String::from_utf8_lossy(key);
                    let sealed = auth::encrypted(&login.password, &nonce, key.trim_end_matches('\0'));
                    sealed.ok_or(MysqlError::protocol("the server's public key"))?.into()
                }
                _ => return Err(MysqlError::protocol("the login")),
            };
            self.send(&answer).await?;
        }
    }

    fn switch_to(&self, name: &str, encrypted: bool) -> Result<Plugin, MysqlError> {
        let plugin = Plugin::named(name).filter(|plugin| encrypted || *plugin != Plugin::Clear);
        plugin.ok_or_else(|| {
            MysqlError::Setting(format!(
                "{} wants the user to log in by `{name}`, which pipectl does not have here; use caching_sha2_password or mysql_native_password for this user",
                self.server
            ))
        })
    }

    /// Whether the server is a MariaDB.
    pub fn is_mariadb(&self) -> bool {
        self.version.contains("MariaDB")
    }

    /// Sends a command and takes its OK.
    pub(super) async fn command(&mut self, packet: &[u8], name: &str) -> Result<(), MysqlError> {
        self.send_command(packet).await?;
        self.receive().await?;
        match self.wire.payload() {
            [0x00, ..] => Ok(()),
            [0xff, rest @ ..] => Err(failed(rest, name)),
            _ => Err(MysqlError::protocol("the answer to a command")),
        }
    }

    /// Sends a command whose answer is its caller's to read.
    pub(super) async fn send_command(&mut self, packet: &[u8]) -> Result<(), MysqlError> {
        self.wire.command(packet).await.map_err(|source| self.broken(source))
    }

    #[inline]
    pub(super) async fn receive_part(&mut self) -> Result<bool, MysqlError> {
        self.wire.receive_part().await.map_err(|source| self.broken(source))
    }

    #[inline]
    pub(super) fn payload(&self) -> &[u8] {
        self.wire.payload()
    }

    pub(super) fn has_packet(&self) -> bool {
        self.wire.has_packet()
    }

    pub(super) fn silent(&self) -> MysqlError {
        let silence = std::io::Error::new(std::io::ErrorKind::TimedOut, "no event and no heartbeat for 30 seconds");
        self.broken(silence)
    }

    /// Runs a statement that gives no rows. Its text must be ours: nothing is bound.
    pub async fn execute(&mut self, statement: &str) -> Result<(), MysqlError> {
        self.begin(0x03, statement.as_bytes()).await?;
        match self.wire.payload() {
            [0x00, ..] => Ok(()),
            [0xff, rest @ ..] => Err(failed(rest, statement)),
            _ => Err(MysqlError::protocol("the answer to a statement without rows")),
        }
    }

    /// Runs a statement with bound values and gives its rows as they come.
    pub async fn query(&mut self, statement: &str, values: &[Value]) -> Result<Rows<'_>, MysqlError> {
        if let Some(id) = self.open_statement.take() {
            let close = [&[0x19], id.to_le_bytes().as_slice()].concat();
            self.wire.command(&close).await.map_err(|source| self.broken(source))?;
        }
        let id = self.prepare(statement, values.len()).await?;
        self.open_statement = Some(id);
        self.begin(0x17, &execution(id, values)).await?;
        let count = match self.wire.payload() {
            [0xff, rest @ ..] => return Err(failed(rest, statement)),
            packet => Bytes(packet).length(),
        };
        let count = count
            .filter(|count| *count > 0)
            .ok_or(MysqlError::protocol("the answer to a query"))?;
        let columns = self.columns(count as usize).await?;
        self.unread = true;
        Ok(Rows {
            statement: statement.to_owned(),
            columns,
            connection: self,
        })
    }

    /// All rows of a small result, each cell as text.
    pub async fn table(&mut self, statement: &str, values: &[Value]) -> Result<Vec<Vec<Option<String>>>, MysqlError> {
        let mut rows = self.query(statement, values).await?;
        let columns = rows.columns.clone();
        let mut table = Vec::new();
        while let Some(packet) = rows.next().await? {
            table.push(texts(packet, &columns).ok_or(MysqlError::protocol("a row"))?);
        }
        Ok(table)
    }

    /// The first cell of the first row, as text.
    pub async fn single(&mut self, statement: &str, values: &[Value]) -> Result<Option<String>, MysqlError> {
        let table = self.table(statement, values).await?;
        Ok(table
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next())
            .flatten())
    }

    async fn prepare(&mut self, statement: &str, values: usize) -> Result<u32, MysqlError> {
        self.begin(0x16, statement.as_bytes()).await?;
        let mut rest = match self.wire.payload() {
            [0xff, rest @ ..] => return Err(failed(rest, statement)),
            packet => Bytes(packet),
        };
        let read = (|| Some((rest.byte()?, rest.long()?, rest.short()?, rest.short()?)))();
        let (_, id, columns, parameters) = read.ok_or(MysqlError::protocol("the answer to a preparation"))?;
        if usize::from(parameters) != values {
            return Err(MysqlError::protocol("the number of parameters"));
        }
        for count in [parameters, columns] {
            if count > 0 {
                self.columns(usize::from(count)).await?;
            }
        }
        Ok(id)
    }

    async fn columns(&mut self, count: usize) -> Result<Vec<Column>, MysqlError> {
        let mut columns = Vec::with_capacity(count);
        for _ in 0..count {
            self.receive().await?;
            columns.push(column(self.wire.payload()).ok_or(MysqlError::protocol("a column"))?);
        }
        if !self.ends_with_ok {
            self.receive().await?;
        }
        Ok(columns)
    }

    async fn begin(&mut self, command: u8, body: &[u8]) -> Result<(), MysqlError> {
        if self.unread {
            return Err(MysqlError::protocol(
                "a reading before this statement was not taken to its end",
            ));
        }
        let mut packet = Vec::with_capacity(body.len() + 1);
        packet.push(command);
        packet.extend_from_slice(body);
        self.wire.command(&packet).await.map_err(|source| self.broken(source))?;
        self.receive().await
    }

    async fn send(&mut self, payload: &[u8]) -> Result<(), MysqlError> {
        self.wire.send(payload).await.map_err(|source| self.broken(source))
    }

    #[inline]
    async fn receive(&mut self) -> Result<(), MysqlError> {
        self.wire.receive().await.map_err(|source| self.broken(source))
    }

    fn broken(&self, source: std::io::Error) -> MysqlError {
        if source.kind() == std::io::ErrorKind::OutOfMemory {
            return MysqlError::TooLarge { limit: PAYLOAD_MAX };
        }
        MysqlError::Connection {
            server: self.server.clone(),
            source,
        }
    }
}

/// The rows of a query, one at a time.
pub struct Rows<'a> {
    connection: &'a mut Connection,
    statement: String,
    /// What the cells of every row are.
    pub columns: Vec<Column>,
}

impl Rows<'_> {
    /// The next row as it came, for `Cells` to take apart; `None` after the last.
    #[inline]
    pub async fn next(&mut self) -> Result<Option<&[u8]>, MysqlError> {
        self.connection.receive().await?;
        // The end is a packet that begins so and is short; a long one is a row.
        let (end, failure) = match self.connection.wire.payload() {
            [0xfe, rest @ ..] => (rest.len() < 0xff_ffff, false),
            [0xff, ..] => (true, true),
            _ => (false, false),
        };
        if end {
            self.connection.unread = false;
        }
        let packet = self.connection.wire.payload();
        if failure {
            return Err(failed(&packet[1..], &self.statement));
        }
        Ok((!end).then_some(packet))
    }
}

fn texts(packet: &[u8], columns: &[Column]) -> Option<Vec<Option<String>>> {
    let mut cells = Cells::new(packet, columns.len())?;
    let text = |cell| match cell {
        Cell::Null => None,
        Cell::Signed(number) => Some(number.to_string()),
        Cell::Unsigned(number) => Some(number.to_string()),
        Cell::Float(number) => Some(number.to_string()),
        Cell::Double(number) => Some(number.to_string()),
        Cell::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Cell::Moment(_) | Cell::Duration(_) => None,
    };
    columns.iter().map(|column| cells.next(column).map(text)).collect()
}

fn execution(id: u32, values: &[Value]) -> Vec<u8> {
    let mut out = id.to_le_bytes().to_vec();
    out.push(0); // no cursor
    out.extend_from_slice(&1_u32.to_le_bytes());
    if !values.is_empty() {
        out.resize(out.len() + values.len().div_ceil(8), 0); // no NULL among them
        out.push(1);
        out.extend(values.iter().flat_map(Value::declared));
        values.iter().for_each(|value| value.write(&mut out));
    }
    out
}

fn column(packet: &[u8]) -> Option<Column> {
    let mut rest = Bytes(packet);
    for _catalog_schema_table_original in 0..4 {
        rest.counted()?;
    }
    let name = String::from_utf8_lossy(rest.counted()?).into_owned();
    rest.counted()?;
    rest.length()?;
    let charset = rest.short()?;
    rest.long()?;
    let kind = rest.byte()?;
    let flags = rest.short()?;
    Some(Column {
        name,
        kind,
        unsigned: flags & 0x20 != 0,
        binary: charset == 63,
        decimals: rest.byte()?,
    })
}

fn error_parts(rest: &[u8]) -> (u16, String, String) {
    let mut rest = Bytes(rest);
    let code = rest.short().unwrap_or_default();
    let mut state = String::new();
    if rest.0.first() == Some(&b'#') {
        state = String::from_utf8_lossy(rest.take(6).unwrap_or_default()).replace('#', "");
    }
    (code, state, String::from_utf8_lossy(rest.0).into_owned())
}

pub(super) fn failed(rest: &[u8], statement: &str) -> MysqlError {
    let (code, state, message) = error_parts(rest);
    MysqlError::Statement {
        statement: statement.chars().take(SHOWN).collect(),
        code,
        state,
        message,
    }
}

fn refused(rest: &[u8], server: &str, login: &Login, secret: &str) -> MysqlError {
    let (code, _, message) = error_parts(rest);
    MysqlError::Refused {
        server: server.to_owned(),
        user: login.username.clone(),
        secret: secret.to_owned(),
        code,
        message,
    }
}
