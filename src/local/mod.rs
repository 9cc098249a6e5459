//! The local cloud: AWS and Snowflake on this machine, for development and tests.
//!
//! The servers are Python (`local/` of the repository). This side carries them in the binary, makes their environment
//! on first use, and starts and stops them.

mod cloud;
mod database;
mod environment;
mod lock;
mod package;
mod process;
mod state;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use cloud::{Status, down, python, status, up};
pub use database::{Database, database_exports, databases};
pub use environment::EnvironmentError;
pub use state::State;

/// How the local cloud is started, and where it lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpOptions {
    /// Folder of the state file, the logs and the key.
    pub directory: PathBuf,
    /// Folder of the Python environments and the unpacked package.
    pub cache: PathBuf,
    /// Whether IAM is enforced. `None` takes what runs, and starts without.
    pub auth: Option<bool>,
    /// Region of the AWS part.
    pub region: Option<String>,
    /// Python to use instead of the one on PATH.
    pub python: Option<PathBuf>,
}

impl UpOptions {
    /// As the environment says: `PIPECTL_LOCAL_DIR`, `XDG_STATE_HOME`, `XDG_CACHE_HOME`, `PIPECTL_LOCAL_AUTH`,
    /// `PIPECTL_PYTHON` (<https://specifications.freedesktop.org/basedir-spec/latest/>).
    pub fn from_env() -> anyhow::Result<Self> {
        Self::from(
            &|name| std::env::var(name).ok().filter(|value| !value.is_empty()),
            std::env::home_dir().as_deref(),
        )
    }

    fn from(env: &dyn Fn(&str) -> Option<String>, home: Option<&Path>) -> anyhow::Result<Self> {
        let under = |variable: &str, usual: &str| -> anyhow::Result<PathBuf> {
            // The specification wants relative paths ignored.
            let base = env(variable)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
                .or_else(|| Some(home?.join(usual)));
            base.ok_or_else(|| anyhow::anyhow!("no home folder is known; set HOME or {variable}"))
        };
        let directory = match env("PIPECTL_LOCAL_DIR") {
            // The servers have another working folder.
            Some(directory) => std::path::absolute(directory)?,
            None => under("XDG_STATE_HOME", ".local/state")?.join("pipectl/local"),
        };
        let auth = match env("PIPECTL_LOCAL_AUTH")
            .map(|value| value.to_ascii_lowercase())
            .as_deref()
        {
            None => None,
            Some("true" | "1") => Some(true),
            Some("false" | "0") => Some(false),
            Some(other) => anyhow::bail!("PIPECTL_LOCAL_AUTH is {other:?}; write true or false"),
        };
        Ok(Self {
            directory,
            cache: under("XDG_CACHE_HOME", ".cache")?.join("pipectl"),
            auth,
            region: Some(crate::model::LOCAL_REGION.to_owned()),
            python: env("PIPECTL_PYTHON").map(PathBuf::from),
        })
    }
}
