//! Connections that Snowflake's own tools keep in `~/.snowflake`.
//!
//! Source: <https://docs.snowflake.com/en/developer-guide/snowflake-cli/connecting/configure-connections>. A
//! `connections.toml` beside `config.toml` takes the place of the tables `[connections.NAME]` in it.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{CredentialsError, Surroundings};

/// One connection, and the file it stands in.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) name: String,
    pub(super) file: PathBuf,
    table: Table,
}

impl Connection {
    /// The first of some keys that has a value. Snowflake's tools differ in how they name a few of them.
    pub(super) fn value(&self, keys: &[&str]) -> Option<String> {
        keys.iter().find_map(|key| match self.table.get(*key)? {
            Value::String(text) if text.is_empty() => None,
            Value::String(text) => Some(text.clone()),
            Value::Integer(number) => Some(number.to_string()),
            _ => None,
        })
    }
}

/// Finds a connection: the named one, which must exist, or the default one, which need not.
pub(super) fn find(around: &Surroundings<'_>, wanted: Option<&str>) -> Result<Option<Connection>, CredentialsError> {
    let Some(folder) = folder(around) else {
        return wanted.map_or(Ok(None), |name| Err(unknown(name, "no home folder is known", &[])));
    };
    let config = read(&folder.join("config.toml"))?.unwrap_or_default();
    let (file, connections) = match read(&folder.join("connections.toml"))? {
        Some(connections) => (folder.join("connections.toml"), connections),
        None => {
            let inner = config
                .get("connections")
                .and_then(Value::as_table)
                .cloned()
                .unwrap_or_default();
            (folder.join("config.toml"), inner)
        }
    };
    let default = (around.env)("SNOWFLAKE_DEFAULT_CONNECTION_NAME").or_else(|| {
        config
            .get("default_connection_name")
            .and_then(Value::as_str)
            .map(str::to_owned)
    });
    let name = wanted.or(default.as_deref()).unwrap_or("default");
    match connections.get(name) {
        Some(Value::Table(table)) => Ok(Some(Connection {
            name: name.to_owned(),
            file,
            table: table.clone(),
        })),
        _ if wanted.is_some() || default.is_some() => {
            let known: Vec<&str> = connections
                .iter()
                .filter(|(_, value)| value.is_table())
                .map(|(name, _)| name.as_str())
                .collect();
            Err(unknown(name, &format!("{} has no such table", file.display()), &known))
        }
        _ => Ok(None),
    }
}

fn unknown(name: &str, why: &str, known: &[&str]) -> CredentialsError {
    let known = if known.is_empty() {
        "none".to_owned()
    } else {
        known.join(", ")
    };
    CredentialsError::UnknownConnection {
        name: name.to_owned(),
        why: why.to_owned(),
        known,
    }
}

/// `SNOWFLAKE_HOME`, or `~/.snowflake` when it is there, or the place of the platform.
fn folder(around: &Surroundings<'_>) -> Option<PathBuf> {
    if let Some(folder) = (around.env)("SNOWFLAKE_HOME") {
        return Some(match (folder.strip_prefix("~/"), &around.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(folder),
        });
    }
    let home = around.home.as_ref()?;
    let usual = home.join(".snowflake");
    if usual.is_dir() {
        return Some(usual);
    }
    let config = match (around.env)("XDG_CONFIG_HOME") {
        Some(folder) => PathBuf::from(folder),
        None if cfg!(target_os = "macos") => home.join("Library/Application Support"),
        None => home.join(".config"),
    };
    Some(config.join("snowflake"))
}

fn read(file: &Path) -> Result<Option<Table>, CredentialsError> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(CredentialsError::File {
                file: file.to_owned(),
                source,
            });
        }
    };
    private(file)?;
    text.parse().map(Some).map_err(|error: toml::de::Error| {
        // The error's own text quotes the line, and the line may hold a token.
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        CredentialsError::NotToml {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            message: error.message().to_owned(),
        }
    })
}

/// Snowflake's tools warn about files that others may read, and will refuse them; a deploying role is worth the refusal.
#[cfg(unix)]
fn private(file: &Path) -> Result<(), CredentialsError> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = std::fs::metadata(file)
        .map_err(|source| CredentialsError::File {
            file: file.to_owned(),
            source,
        })?
        .permissions()
        .mode();
    if mode & 0o066 == 0 {
        Ok(())
    } else {
        Err(CredentialsError::ReadableByOthers {
            file: file.to_owned(),
            mode: mode & 0o777,
        })
    }
}

#[cfg(not(unix))]
fn private(_file: &Path) -> Result<(), CredentialsError> {
    Ok(())
}
