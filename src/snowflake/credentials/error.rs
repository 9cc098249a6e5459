//! Why nobody can sign in, and where the values were looked for.

use std::path::PathBuf;

use super::Origin;
use crate::snowflake::client::SnowflakeError;

/// Why nobody can sign in.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A value that no place has.
    #[error("no Snowflake {what} was found; set it as {places}")]
    Missing {
        /// The value.
        what: &'static str,
        /// Where it is looked for.
        places: &'static str,
    },
    /// A password, or a way to sign in that needs a person.
    #[error(
        "{origin} signs in with {way}, which pipectl does not do; use a key pair (SNOWFLAKE_PRIVATE_KEY_PATH, private_key_file) or a programmatic access token (SNOWFLAKE_TOKEN, token)"
    )]
    Refused {
        /// Where it stands.
        origin: Origin,
        /// The way.
        way: String,
    },
    /// A secret written out where a reference belongs.
    #[error("[snowflake] {what} must be a reference (env:NAME or ssm:NAME), not the secret itself")]
    LiteralSecret {
        /// The key of `[snowflake]`.
        what: &'static str,
    },
    /// A reference that leads nowhere.
    #[error("[snowflake] {what} = {reference:?} cannot be resolved: {why}")]
    Reference {
        /// The key of `[snowflake]`.
        what: &'static str,
        /// The reference.
        reference: String,
        /// Why not.
        why: String,
    },
    /// A file that cannot be read.
    #[error("{} cannot be read", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is not TOML.
    #[error("{}:{line}: not TOML: {message}", file.display())]
    NotToml {
        /// The file.
        file: PathBuf,
        /// Its line.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A file with secrets that others may read or change.
    #[error("{} may be read or changed by others (mode {mode:o}); it can hold secrets: chmod 600 {}", file.display(), file.display())]
    ReadableByOthers {
        /// The file.
        file: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A connection that is not there.
    #[error("the Snowflake connection {name:?} does not exist: {why} (known: {known})")]
    UnknownConnection {
        /// Its name.
        name: String,
        /// Why.
        why: String,
        /// Those that exist.
        known: String,
    },
    /// A connection made for another account than the one asked for.
    #[error(
        "the account is {account} (from {origin}), but connection {connection:?} is for {other}; its credentials are not sent to another account"
    )]
    OtherAccount {
        /// The account asked for.
        account: String,
        /// Where that comes from.
        origin: Origin,
        /// The connection.
        connection: String,
        /// Its account.
        other: String,
    },
    /// A value that cannot be used.
    #[error("{what} from {origin}: {source}")]
    Invalid {
        /// The value.
        what: &'static str,
        /// Where it comes from.
        origin: Origin,
        /// Why not.
        source: SnowflakeError,
    },
}
