//! The databases of the local cloud: what stands in for RDS.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

/// A MySQL server that stands in for an RDS instance. Its password is in its secret in Secrets Manager only.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Database {
    /// The DB instance identifier.
    pub identifier: String,
    /// Where it listens: always 127.0.0.1.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The master user.
    pub user: String,
    /// The database that was made with it; empty when none was.
    pub name: String,
    /// The certificate authority of its TLS certificate, in PEM.
    pub ca: PathBuf,
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}:{}", self.identifier, self.host, self.port)
    }
}

/// The databases of the cloud in a folder. None when the cloud has made none.
pub fn databases(directory: &Path) -> anyhow::Result<Vec<Database>> {
    let file = directory.join("databases/databases.json");
    match std::fs::read_to_string(&file) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("{} is damaged", file.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", file.display())),
    }
}

/// The variables that tell clients where a database is; with several, each name has the identifier in it.
pub fn database_exports(databases: &[Database]) -> Vec<(String, String)> {
    let mut exports = Vec::new();
    for database in databases {
        let middle = if databases.len() == 1 {
            String::new()
        } else {
            format!("{}_", database.identifier.to_uppercase().replace('-', "_"))
        };
        for (name, value) in [
            ("HOST", database.host.clone()),
            ("PORT", database.port.to_string()),
            ("USER", database.user.clone()),
            ("NAME", database.name.clone()),
        ] {
            exports.push((format!("PIPECTL_DATABASE_{middle}{name}"), value));
        }
    }
    if let Some(database) = databases.first() {
        exports.push(("PIPECTL_DATABASE_CA".to_owned(), database.ca.display().to_string()));
    }
    exports
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(identifier: &str, port: u16) -> Database {
        Database {
            identifier: identifier.to_owned(),
            host: "127.0.0.1".to_owned(),
            port,
            user: "owner".to_owned(),
            name: "video".to_owned(),
            ca: PathBuf::from("/c/ca.pem"),
        }
    }

    #[test]
    fn none_gives_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(databases(folder.path()).unwrap(), []);
        assert_eq!(database_exports(&[]), []);
    }

    #[test]
    fn one_needs_no_identifier_and_several_do() {
        let names = |databases: &[Database]| -> Vec<String> {
            database_exports(databases).into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(
            names(&[database("video-db", 1)]),
            [
                "PIPECTL_DATABASE_HOST",
                "PIPECTL_DATABASE_PORT",
                "PIPECTL_DATABASE_USER",
                "PIPECTL_DATABASE_NAME",
                "PIPECTL_DATABASE_CA"
            ]
        );
        let several = names(&[database("video-db", 1), database("shop", 2)]);
        assert_eq!(several[1], "PIPECTL_DATABASE_VIDEO_DB_PORT");
        assert_eq!(several[5], "PIPECTL_DATABASE_SHOP_PORT");
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("databases")).unwrap();
        std::fs::write(folder.path().join("databases/databases.json"), "{").unwrap();
        let error = databases(folder.path()).unwrap_err();
        assert!(format!("{error:#}").contains("databases.json is damaged"), "{error:#}");
    }
}
