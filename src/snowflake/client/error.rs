//! What can go wrong between pipectl and Snowflake.

use std::fmt;

use super::hint;
use super::key::KeyError;

/// Longest statement text an error shows.
const SHOWN_STATEMENT: usize = 160;

/// An error of the Snowflake client. `Display` gives the message, the statement and a hint, each on its own line.
#[derive(Debug, thiserror::Error)]
pub enum SnowflakeError {
    /// Snowflake ran or compiled the statement and refused it, or it ran out of time (HTTP 422 and 408).
    #[error(transparent)]
    Statement(Box<Failure>),
    /// Snowflake did not accept who asks (HTTP 401 and 403).
    #[error(transparent)]
    SignIn(Box<Failure>),
    /// An answer outside the documented ones.
    #[error(transparent)]
    Unexpected(Box<Failure>),
    /// No answer after all tries.
    #[error(
        "no answer from Snowflake at {host} after {attempts} tries: {cause}\n  hint: check the account name, the network and any proxy (HTTPS_PROXY)"
    )]
    Unreachable {
        /// Host and port that were asked.
        host: String,
        /// How many requests were sent.
        attempts: u32,
        /// What the last try met, with its causes.
        cause: String,
    },
    /// The machine's identity provider gave no token for Snowflake.
    #[error(
        "no workload identity token: {cause}\n  hint: on GitHub the job needs `permissions: id-token: write`; elsewhere set SNOWFLAKE_TOKEN or SNOWFLAKE_TOKEN_FILE_PATH"
    )]
    NoToken {
        /// Why not.
        cause: String,
        /// Whether asking again may help.
        passing: bool,
    },
    /// An answer that cannot be read.
    #[error("Snowflake's answer cannot be read: {problem} (statement {handle})")]
    Unreadable {
        /// What is wrong with it.
        problem: String,
        /// Handle of the statement, or `unknown`.
        handle: String,
    },
    /// A result without a column that the program needs.
    #[error("Snowflake's result has no value in column {column:?}; it has: {present}")]
    MissingValue {
        /// The column asked for.
        column: String,
        /// The columns that are there.
        present: String,
    },
    /// Plain http to somewhere else than this machine.
    #[error(
        "{url} is plain http: the sign-in token would be readable on the way; only https is allowed, http just for 127.0.0.1, ::1 and localhost"
    )]
    InsecureUrl {
        /// The refused URL.
        url: String,
    },
    /// The private key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Settings that cannot work.
    #[error("{0}")]
    Configuration(String),
}

impl SnowflakeError {
    /// Snowflake's own answer, when there was one.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Statement(failure) | Self::SignIn(failure) | Self::Unexpected(failure) => Some(failure),
            _ => None,
        }
    }

    /// Snowflake's error code, such as `002003`.
    pub fn code(&self) -> Option<&str> {
        self.failure().map(|failure| failure.code.as_str())
    }

    /// Whether the object does not exist, or the role may not see it: Snowflake answers both alike.
    pub fn is_missing_object(&self) -> bool {
        matches!((self, self.code()), (Self::Statement(_), Some("002003" | "002043")))
    }

    /// Whether an object of that name exists already.
    pub fn is_existing_object(&self) -> bool {
        matches!((self, self.code()), (Self::Statement(_), Some("002002")))
    }

    /// Whether a SHOW has more rows than Snowflake shows:
    /// <https://github.com/snowflakedb/snowflake-sqlalchemy/issues/274>.
    pub fn is_too_long_to_show(&self) -> bool {
        matches!((self, self.code()), (Self::Statement(_), Some("090153")))
    }

    /// Whether the role lacks a privilege.
    pub fn is_insufficient_privileges(&self) -> bool {
        matches!((self, self.code()), (Self::Statement(_), Some("003001")))
    }
}

/// One refusal, with all that Snowflake said and all that is known about the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// HTTP status of the answer.
    pub status: u16,
    /// Snowflake's error code, such as `002003`; empty when the answer had none.
    pub code: String,
    /// SQLSTATE, such as `42S02`.
    pub sql_state: Option<String>,
    /// Snowflake's message.
    pub message: String,
    /// Handle of the statement, to be looked up in the query history.
    pub handle: Option<String>,
    /// The request.
    pub about: About,
}

/// What an error can say about the request it belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// The statement on one line, shortened.
    pub statement: String,
    /// The role it ran as; without one, the user's default role.
    pub role: Option<String>,
    /// The warehouse it ran on.
    pub warehouse: Option<String>,
    /// Who asked, as account and user.
    pub who: String,
    /// Fingerprint of the public key, when a key pair signed.
    pub fingerprint: Option<String>,
}

impl Failure {
    /// What the user can do, where the code is known.
    pub fn hint(&self) -> Option<String> {
        hint::for_failure(self)
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Snowflake")?;
        if self.code.is_empty() {
            write!(f, " (HTTP {})", self.status)?;
        } else {
            write!(f, " {}", self.code)?;
        }
        if let Some(state) = &self.sql_state {
            write!(f, " ({state})")?;
        }
        // Snowflake breaks its messages into lines; indented they stay one paragraph of this error.
        write!(f, ": {}", self.message.trim().replace('\n', "\n  "))?;
        if !self.about.statement.is_empty() {
            write!(f, "\n  statement: {}", self.about.statement)?;
        }
        if let Some(handle) = &self.handle {
            write!(f, "\n  query id: {handle}")?;
        }
        if let Some(hint) = self.hint() {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// A statement on one line, cut to a length that fits an error message.
pub fn shorten(sql: &str) -> String {
    let mut text = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = text.char_indices().nth(SHOWN_STATEMENT) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_has_message_statement_and_hint() {
        let failure = Failure {
            status: 422,
            code: "002003".to_owned(),
            sql_state: Some("42S02".to_owned()),
            message: "SQL compilation error:\nObject 'D.S.T' does not exist or not authorized.".to_owned(),
            handle: Some("01b2".to_owned()),
            about: About {
                statement: shorten("SELECT *\n  FROM D.S.T"),
                role: Some("LOADER".to_owned()),
                ..About::default()
            },
        };
        let error = SnowflakeError::Statement(Box::new(failure));
        assert!(error.is_missing_object());
        assert_eq!(
            error.to_string(),
            "Snowflake 002003 (42S02): SQL compilation error:\n  Object 'D.S.T' does not exist or not authorized.\n  \
             statement: SELECT * FROM D.S.T\n  query id: 01b2\n  \
             hint: the statement ran as role LOADER: either the object is missing, or that role has no privilege on it or on its database and schema (USAGE)"
        );
    }

    #[test]
    fn shortens_at_a_character() {
        let long = shorten(&"ä ".repeat(200));
        assert_eq!(long.chars().count(), SHOWN_STATEMENT + 1);
        assert!(long.ends_with('…'));
    }
}
