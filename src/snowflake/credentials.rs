//! Who pipectl is for Snowflake, and where each part of that comes from.
//!
//! Each value is taken from the first place that has it: `[snowflake]` of pipeline.toml, the environment variables of
//! Snowflake's own tools (<https://docs.snowflake.com/en/developer-guide/snowflake-cli/connecting/configure-connections>),
//! a connection in `~/.snowflake`. The local cloud brings all of its own.

mod connections;
mod error;
mod reference;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use aws_config::SdkConfig;

use self::connections::Connection;
pub use self::error::CredentialsError;
use super::client::{Account, Auth, Config, PrivateKey, Provider, Secret, SnowflakeError, TokenSource, Workload};

/// What `[snowflake]` of pipeline.toml says about signing in. Secrets are references.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings<'a> {
    /// Account identifier.
    pub account: Option<&'a str>,
    /// Name of a connection in `~/.snowflake`.
    pub connection: Option<&'a str>,
    /// User.
    pub user: Option<&'a str>,
    /// Role.
    pub role: Option<&'a str>,
    /// Warehouse for statements that compute.
    pub warehouse: Option<&'a str>,
    /// Reference to a private key.
    pub private_key: Option<&'a str>,
    /// Reference to a programmatic access token.
    pub token: Option<&'a str>,
}

/// The account of the local cloud, as its state file gives it.
#[derive(Debug, Clone, Copy)]
pub struct LocalAccount<'a> {
    /// Address, on this machine.
    pub url: &'a str,
    /// Account.
    pub account: &'a str,
    /// User.
    pub user: &'a str,
    /// Role.
    pub role: &'a str,
    /// File with the private key.
    pub private_key_path: &'a Path,
}

/// What surrounds the program: environment, home folder, AWS.
pub struct Surroundings<'a> {
    /// Reads an environment variable; an empty one counts as none.
    pub env: &'a (dyn Fn(&str) -> Option<String> + Sync),
    /// Home folder of the user.
    pub home: Option<PathBuf>,
    /// AWS, for `ssm:` references.
    pub aws: Option<&'a SdkConfig>,
}

/// Reads a variable of this process.
pub fn process_env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl<'a> Surroundings<'a> {
    /// Those of this process.
    pub fn of_process(aws: Option<&'a SdkConfig>) -> Self {
        Self {
            env: &process_env,
            home: std::env::home_dir(),
            aws,
        }
    }

    fn file(&self, text: &str) -> PathBuf {
        match (text.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(text),
        }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The state file of the local cloud.
    LocalCloud,
    /// A key of `[snowflake]`.
    Pipeline(&'static str),
    /// An environment variable.
    Environment(&'static str),
    /// A connection in a file.
    Connection {
        /// Its name.
        name: String,
        /// The file.
        file: PathBuf,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LocalCloud => f.write_str("the local cloud"),
            Self::Pipeline(key) => write!(f, "[snowflake] {key}"),
            Self::Environment(name) => f.write_str(name),
            Self::Connection { name, file } => write!(f, "connection {name:?} in {}", file.display()),
        }
    }
}

/// A configured client, and where each value comes from.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// What the client needs.
    pub config: Config,
    /// Name of a value (`account`, `user`, `role`, `warehouse`, `credential`, `url`) and its origin.
    pub origins: Vec<(&'static str, Origin)>,
}

impl Credentials {
    /// `account from [snowflake] account, user from SNOWFLAKE_USER, …`, for errors and `-v`.
    pub fn explain(&self) -> String {
        self.origins
            .iter()
            .map(|(what, origin)| format!("{what} from {origin}"))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// The credentials of the local cloud.
pub fn local(account: &LocalAccount<'_>) -> Result<Credentials, CredentialsError> {
    let pem = read_secret(account.private_key_path)?;
    let invalid = |what, source| CredentialsError::Invalid {
        what,
        origin: Origin::LocalCloud,
        source,
    };
    let key = PrivateKey::from_pem(&pem, None).map_err(|error| invalid("private key", error.into()))?;
    let name = Account::parse(account.account).map_err(|error| invalid("account", error))?;
    let mut config = Config::new(name, Auth::KeyPair(key));
    config.user = Some(account.user.to_owned());
    config.base_url = Some(account.url.to_owned());
    config.context.role = Some(account.role.to_owned());
    let origins = ["account", "user", "role", "credential", "url"]
        .map(|what| (what, Origin::LocalCloud))
        .to_vec();
    Ok(Credentials { config, origins })
}

/// The credentials for a real account.
pub async fn resolve(settings: &Settings<'_>, around: &Surroundings<'_>) -> Result<Credentials, CredentialsError> {
    let connection = connections::find(around, settings.connection)?;
    let mut search = Search {
        around,
        connection,
        origins: Vec::new(),
    };
    let (text, origin) = search.required(
        "account",
        settings.account,
        "SNOWFLAKE_ACCOUNT",
        &["account", "accountname"],
        ACCOUNT_PLACES,
    )?;
    let account = Account::parse(&text).map_err(|source| CredentialsError::Invalid {
        what: "account",
        origin: origin.clone(),
        source,
    })?;
    search.keep_connection_of(&account, &origin, settings.connection.is_some())?;

    let user = search.optional("user", settings.user, "SNOWFLAKE_USER", &["user", "username"]);
    let role = search.optional("role", settings.role, "SNOWFLAKE_ROLE", &["role", "rolename"]);
    let warehouse = search.optional(
        "warehouse",
        settings.warehouse,
        "SNOWFLAKE_WAREHOUSE",
        &["warehouse", "warehousename"],
    );
    let auth = search.auth(settings).await?;
    if user.is_none() && matches!(auth, Auth::KeyPair(_)) {
        return Err(CredentialsError::Missing {
            what: "user",
            places: "[snowflake] user, SNOWFLAKE_USER or user of a connection in ~/.snowflake/connections.toml",
        });
    }
    let mut config = Config::new(account, auth);
    config.user = user;
    config.context.role = role;
    config.context.warehouse = warehouse;
    config.base_url = search.base_url();
    Ok(Credentials {
        config,
        origins: search.origins,
    })
}

const ACCOUNT_PLACES: &str =
    "[snowflake] account, SNOWFLAKE_ACCOUNT or account of a connection in ~/.snowflake/connections.toml";
const CREDENTIAL_PLACES: &str = "[snowflake] private_key or token (references), SNOWFLAKE_PRIVATE_KEY_PATH, SNOWFLAKE_PRIVATE_KEY_RAW or SNOWFLAKE_TOKEN, \
     or private_key_file or token of a connection in ~/.snowflake/connections.toml";

const WORKLOAD_PLACES: &str = "SNOWFLAKE_TOKEN, SNOWFLAKE_TOKEN_FILE_PATH, token or token_file_path of a connection; in GitHub Actions give the job \
     `permissions: id-token: write` and none is needed";

/// A search through the places, which notes what it found where.
struct Search<'a> {
    around: &'a Surroundings<'a>,
    connection: Option<Connection>,
    origins: Vec<(&'static str, Origin)>,
}

impl Search<'_> {
    fn find(
        &self,
        what: &'static str,
        setting: Option<&str>,
        variable: &'static str,
        keys: &[&str],
    ) -> Option<(String, Origin)> {
        if let Some(value) = setting {
            return Some((value.to_owned(), Origin::Pipeline(what)));
        }
        if let Some(value) = (self.around.env)(variable) {
            return Some((value, Origin::Environment(variable)));
        }
        self.in_connection(keys)
    }

    fn in_connection(&self, keys: &[&str]) -> Option<(String, Origin)> {
        let connection = self.connection.as_ref()?;
        let origin = Origin::Connection {
            name: connection.name.clone(),
            file: connection.file.clone(),
        };
        Some((connection.value(keys)?, origin))
    }

    fn optional(
        &mut self,
        what: &'static str,
        setting: Option<&str>,
        variable: &'static str,
        keys: &[&str],
    ) -> Option<String> {
        let (value, origin) = self.find(what, setting, variable, keys)?;
        self.origins.push((what, origin));
        Some(value)
    }

    fn required(
        &mut self,
        what: &'static str,
        setting: Option<&str>,
        variable: &'static str,
        keys: &[&str],
        places: &'static str,
    ) -> Result<(String, Origin), CredentialsError> {
        let found = self
            .find(what, setting, variable, keys)
            .ok_or(CredentialsError::Missing { what, places })?;
        self.origins.push((what, found.1.clone()));
        Ok(found)
    }

    /// A connection speaks only for its own account. Another one is left aside when it was merely the default: a
    /// pipeline.toml from elsewhere must not have this user's token sent to the account it names.
    fn keep_connection_of(&mut self, account: &Account, origin: &Origin, named: bool) -> Result<(), CredentialsError> {
        let Some((text, _)) = self.in_connection(&["account", "accountname"]) else {
            return Ok(());
        };
        let same = Account::parse(&text)
            .is_ok_and(|other| other.host() == account.host() || other.jwt_name() == account.jwt_name());
        if same {
            return Ok(());
        }
        let Some(connection) = self.connection.take().filter(|_| named) else {
            return Ok(());
        };
        Err(CredentialsError::OtherAccount {
            account: account.as_str().to_owned(),
            origin: origin.clone(),
            connection: connection.name,
            other: text,
        })
    }

    /// The proof, from the first place that has one. Places are not mixed: a key here and a token there are two answers.
    async fn auth(&mut self, settings: &Settings<'_>) -> Result<Auth, CredentialsError> {
        let found = match self.auth_of_pipeline(settings).await? {
            Some(found) => Some(found),
            None => match self.auth_of_environment()? {
                Some(found) => Some(found),
                None => self.auth_of_connection()?,
            },
        };
        let (auth, origin) = found.ok_or(CredentialsError::Missing {
            what: "credential",
            places: CREDENTIAL_PLACES,
        })?;
        self.origins.push(("credential", origin));
        Ok(auth)
    }

    async fn auth_of_pipeline(&self, settings: &Settings<'_>) -> Result<Option<(Auth, Origin)>, CredentialsError> {
        if let Some(text) = settings.private_key {
            let pem = reference::resolve("private_key", text, self.around).await?;
            return key(&pem, self.passphrase(), Origin::Pipeline("private_key")).map(Some);
        }
        if let Some(text) = settings.token {
            let token = reference::resolve("token", text, self.around).await?;
            return Ok(Some((Auth::AccessToken(trimmed(&token)), Origin::Pipeline("token"))));
        }
        Ok(None)
    }

    fn auth_of_environment(&self) -> Result<Option<(Auth, Origin)>, CredentialsError> {
        let env = self.around.env;
        let found = Found {
            authenticator: env("SNOWFLAKE_AUTHENTICATOR")
                .map(|value| (value, Origin::Environment("SNOWFLAKE_AUTHENTICATOR"))),
            provider: env("SNOWFLAKE_WORKLOAD_IDENTITY_PROVIDER")
                .map(|value| (value, Origin::Environment("SNOWFLAKE_WORKLOAD_IDENTITY_PROVIDER"))),
            key_raw: env("SNOWFLAKE_PRIVATE_KEY_RAW")
                .map(|value| (value, Origin::Environment("SNOWFLAKE_PRIVATE_KEY_RAW"))),
            key_path: ["SNOWFLAKE_PRIVATE_KEY_PATH", "SNOWFLAKE_PRIVATE_KEY_FILE"]
                .into_iter()
                .find_map(|name| Some((env(name)?, Origin::Environment(name)))),
            passphrase: self.passphrase(),
            token: env("SNOWFLAKE_TOKEN").map(|value| (value, Origin::Environment("SNOWFLAKE_TOKEN"))),
            token_path: env("SNOWFLAKE_TOKEN_FILE_PATH")
                .map(|value| (value, Origin::Environment("SNOWFLAKE_TOKEN_FILE_PATH"))),
            password: env("SNOWFLAKE_PASSWORD").map(|_| Origin::Environment("SNOWFLAKE_PASSWORD")),
        };
        found.auth(self.around)
    }

    fn auth_of_connection(&self) -> Result<Option<(Auth, Origin)>, CredentialsError> {
        let own = self
            .in_connection(&["private_key_file_pwd", "private_key_passphrase"])
            .map(|(value, _)| Secret::new(value));
        let found = Found {
            authenticator: self.in_connection(&["authenticator"]),
            provider: self.in_connection(&["workload_identity_provider"]),
            key_raw: self.in_connection(&["private_key_raw"]),
            key_path: self.in_connection(&["private_key_file", "private_key_path"]),
            passphrase: own.or_else(|| self.passphrase()),
            token: self.in_connection(&["token"]),
            token_path: self.in_connection(&["token_file_path"]),
            password: self.in_connection(&["password"]).map(|(_, origin)| origin),
        };
        found.auth(self.around)
    }

    fn passphrase(&self) -> Option<Secret> {
        let names = [
            "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE",
            "PRIVATE_KEY_PASSPHRASE",
            "SNOWFLAKE_PRIVATE_KEY_FILE_PWD",
        ];
        names
            .into_iter()
            .find_map(|name| (self.around.env)(name))
            .map(Secret::new)
    }

    fn base_url(&mut self) -> Option<String> {
        if let Some(url) = (self.around.env)("PIPECTL_SNOWFLAKE_URL") {
            self.origins.push(("url", Origin::Environment("PIPECTL_SNOWFLAKE_URL")));
            return Some(url);
        }
        let (host, origin) = self.find("host", None, "SNOWFLAKE_HOST", &["host"])?;
        self.origins.push(("url", origin));
        Some(format!("https://{host}"))
    }
}

/// All that one place says about signing in.
struct Found {
    authenticator: Option<(String, Origin)>,
    provider: Option<(String, Origin)>,
    key_raw: Option<(String, Origin)>,
    key_path: Option<(String, Origin)>,
    passphrase: Option<Secret>,
    token: Option<(String, Origin)>,
    token_path: Option<(String, Origin)>,
    password: Option<Origin>,
}

impl Found {
    fn auth(self, around: &Surroundings<'_>) -> Result<Option<(Auth, Origin)>, CredentialsError> {
        let way = self.authenticator.as_ref().map(|(way, _)| way.to_ascii_uppercase());
        match (way.as_deref(), &self.authenticator) {
            (None | Some("SNOWFLAKE" | "SNOWFLAKE_JWT" | "OAUTH" | "PROGRAMMATIC_ACCESS_TOKEN"), _) | (_, None) => {}
            (Some("WORKLOAD_IDENTITY"), Some((_, origin))) => {
                let origin = origin.clone();
                return self.workload(around, origin).map(Some);
            }
            (Some(_), Some((way, origin))) => {
                return Err(CredentialsError::Refused {
                    origin: origin.clone(),
                    way: way.clone(),
                });
            }
        }
        let wants_token = matches!(way.as_deref(), Some("OAUTH" | "PROGRAMMATIC_ACCESS_TOKEN"));
        if !wants_token {
            if let Some((pem, origin)) = self.key_raw {
                return key(&Secret::new(pem), self.passphrase, origin).map(Some);
            }
            if let Some((path, origin)) = self.key_path {
                return key(&read_secret(&around.file(&path))?, self.passphrase, origin).map(Some);
            }
        }
        let token = match (self.token, self.token_path) {
            (Some((token, origin)), _) => Some((Secret::new(token), origin)),
            (None, Some((path, origin))) => Some((read_secret(&around.file(&path))?, origin)),
            (None, None) => None,
        };
        if let Some((token, origin)) = token.filter(|_| way.as_deref() != Some("SNOWFLAKE_JWT")) {
            let token = trimmed(&token);
            return Ok(Some((
                if way.as_deref() == Some("OAUTH") {
                    Auth::OAuth(token)
                } else {
                    Auth::AccessToken(token)
                },
                origin,
            )));
        }
        match self.password {
            Some(origin) => Err(CredentialsError::Refused {
                origin,
                way: "a password".to_owned(),
            }),
            None => Ok(None),
        }
    }

    /// The names are those of Snowflake's own tools; on GitHub the token is fetched, because it lasts five minutes only.
    fn workload(self, around: &Surroundings<'_>, origin: Origin) -> Result<(Auth, Origin), CredentialsError> {
        let provider = match &self.provider {
            None => Provider::Oidc,
            Some((text, origin)) => Provider::parse(text).ok_or_else(|| CredentialsError::Invalid {
                what: "workload identity provider",
                origin: origin.clone(),
                source: SnowflakeError::Configuration(format!("{text:?} is none of OIDC, AWS, AZURE and GCP")),
            })?,
        };
        let github = (around.env)("ACTIONS_ID_TOKEN_REQUEST_URL").zip((around.env)("ACTIONS_ID_TOKEN_REQUEST_TOKEN"));
        let source = match (self.token, self.token_path, github) {
            (Some((token, _)), ..) => TokenSource::Given(Secret::new(token)),
            (None, Some((path, _)), _) => TokenSource::File(around.file(&path)),
            (None, None, Some((url, token))) if provider == Provider::Oidc => TokenSource::GitHub {
                url,
                request_token: Secret::new(token),
            },
            _ => {
                return Err(CredentialsError::Missing {
                    what: "workload identity token",
                    places: WORKLOAD_PLACES,
                });
            }
        };
        Ok((Auth::Workload(Workload::new(provider, source)), origin))
    }
}

fn key(pem: &Secret, passphrase: Option<Secret>, origin: Origin) -> Result<(Auth, Origin), CredentialsError> {
    match PrivateKey::from_pem(pem, passphrase.as_ref()) {
        Ok(key) => Ok((Auth::KeyPair(key), origin)),
        Err(error) => Err(CredentialsError::Invalid {
            what: "private key",
            origin,
            source: error.into(),
        }),
    }
}

fn read_secret(file: &Path) -> Result<Secret, CredentialsError> {
    std::fs::read_to_string(file)
        .map(Secret::new)
        .map_err(|source| CredentialsError::File {
            file: file.to_owned(),
            source,
        })
}

/// Token files end with a newline, which is no part of the token.
fn trimmed(token: &Secret) -> Secret {
    Secret::new(token.expose().trim())
}
