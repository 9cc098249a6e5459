//! What the local cloud says of itself in `cloud.json`.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

use crate::aws::session::LocalAws;
use crate::snowflake::credentials::LocalAccount;

const VERSION: u32 = 1;

/// A running local cloud.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct State {
    version: u32,
    /// Name of the package that it runs, which is that of its content; empty for one that does not tell.
    #[serde(default)]
    pub(super) package: String,
    /// Process that leads it, and its process group.
    pub pid: u32,
    /// Address of the AWS part.
    pub aws_url: String,
    /// Address of the Snowflake part.
    pub snowflake_url: String,
    /// AWS account.
    pub account: String,
    /// AWS region.
    pub region: String,
    /// Whether IAM is enforced.
    pub auth: bool,
    /// AWS access key.
    pub aws_access_key_id: String,
    /// Its secret. It opens nothing but this local cloud.
    pub aws_secret_access_key: String,
    /// Snowflake account.
    pub snowflake_account: String,
    /// Snowflake user.
    pub snowflake_user: String,
    /// Snowflake role.
    pub snowflake_role: String,
    /// File with the user's private key.
    pub snowflake_private_key_path: PathBuf,
}

/// What every version of a state file has.
#[derive(Deserialize)]
struct Named {
    pid: u32,
}

impl State {
    /// Reads the state file of a folder. `None` when there is none, or when it is not one of this version: then whatever
    /// wrote it is not a cloud that this pipectl can use.
    pub(super) fn read(directory: &Path) -> anyhow::Result<Option<Self>> {
        let file = file(directory);
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", file.display())),
        };
        Ok(serde_json::from_str(&text)
            .ok()
            .filter(|state: &Self| state.version == VERSION && state.pid > 1))
    }

    /// The process that a state file names, whichever pipectl wrote it.
    pub(super) fn process(directory: &Path) -> Option<u32> {
        let text = std::fs::read_to_string(file(directory)).ok()?;
        let named: Named = serde_json::from_str(&text).ok()?;
        Some(named.pid).filter(|pid| *pid > 1)
    }

    /// The variables that make any AWS client, and Snowflake's own tools, use this cloud.
    pub fn exports(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT_URL", self.aws_url.as_str()),
            ("AWS_ACCESS_KEY_ID", &self.aws_access_key_id),
            ("AWS_SECRET_ACCESS_KEY", &self.aws_secret_access_key),
            ("AWS_REGION", &self.region),
            ("AWS_DEFAULT_REGION", &self.region),
            ("PIPECTL_SNOWFLAKE_URL", &self.snowflake_url),
            ("SNOWFLAKE_ACCOUNT", &self.snowflake_account),
            ("SNOWFLAKE_USER", &self.snowflake_user),
            ("SNOWFLAKE_ROLE", &self.snowflake_role),
            (
                "SNOWFLAKE_PRIVATE_KEY_PATH",
                &self.snowflake_private_key_path.to_string_lossy(),
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// What the AWS session needs.
    pub fn aws(&self) -> LocalAws {
        LocalAws {
            url: self.aws_url.clone(),
            access_key_id: self.aws_access_key_id.clone(),
            secret_access_key: self.aws_secret_access_key.clone(),
        }
    }

    /// What the Snowflake client needs.
    pub fn snowflake(&self) -> LocalAccount<'_> {
        LocalAccount {
            url: &self.snowflake_url,
            account: &self.snowflake_account,
            user: &self.snowflake_user,
            role: &self.snowflake_role,
            private_key_path: &self.snowflake_private_key_path,
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("pid", &self.pid)
            .field("aws_url", &self.aws_url)
            .field("snowflake_url", &self.snowflake_url)
            .field("region", &self.region)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

pub(super) fn file(directory: &Path) -> PathBuf {
    directory.join("cloud.json")
}

/// Removes the state file of a cloud that is gone.
pub(super) fn remove(directory: &Path) -> anyhow::Result<()> {
    let file = file(directory);
    match std::fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", file.display()))
        }
        _ => Ok(()),
    }
}
