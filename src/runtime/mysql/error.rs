//! What can go wrong between us and the database.

use thiserror::Error;

/// A failure of the connection or of a statement.
#[derive(Debug, Error)]
pub enum MysqlError {
    /// The server could not be reached, or the connection broke.
    #[error("the connection to {server}: {source}; check the host, the port, the subnets and the security groups")]
    Connection {
        server: String,
        #[source]
        source: std::io::Error,
    },
    /// The TLS handshake failed or was not possible.
    #[error("TLS with {server}: {reason}")]
    Tls { server: String, reason: String },
    /// The server refused the user.
    #[error("{server} refused the user `{user}`: {message} (error {code}); check the secret {secret}")]
    Refused {
        server: String,
        user: String,
        secret: String,
        code: u16,
        message: String,
    },
    /// The server answered a statement with an error.
    #[error("the statement `{statement}` failed: {message} (error {code}, SQLSTATE {state})")]
    Statement {
        statement: String,
        code: u16,
        state: String,
        message: String,
    },
    /// The server sent what this client does not understand.
    #[error("{what}: the server sent what this client does not understand")]
    Protocol { what: &'static str },
    /// One row is larger than what may be held in memory.
    #[error("a row is larger than {limit} bytes, the most this function holds in memory")]
    TooLarge { limit: usize },
    /// The secret or a setting is wrong.
    #[error("{0}")]
    Setting(String),
}

impl MysqlError {
    /// Whether the server refused the login itself, which a rotated secret explains.
    pub fn is_refused_login(&self) -> bool {
        // ER_ACCESS_DENIED_ERROR; with another code (too many connections, unknown database) a new password is no help.
        matches!(self, Self::Refused { code: 1045, .. })
    }

    pub(super) fn protocol(what: &'static str) -> Self {
        Self::Protocol { what }
    }
}
