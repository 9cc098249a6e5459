//! Where the database is, and who we are to it: settings and a secret.

use aws_sdk_secretsmanager::error::DisplayErrorContext;
use serde::Deserialize;
use tokio::sync::Mutex;
use zeroize::{Zeroize as _, Zeroizing};

use super::connection::Connection;
use super::error::MysqlError;
use super::tls::Tls;
use crate::runtime::settings::Settings;

const PORT: u16 = 3306;

/// A server to connect to.
#[derive(Clone)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
    pub tls: Tls,
}

/// A user and its password, which is wiped from memory when it is dropped and never printed.
#[derive(Clone)]
pub struct Login {
    pub username: String,
    pub password: Zeroizing<String>,
}

/// The secret as RDS writes it
/// (<https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_secret_json_structure.html>).
#[derive(Deserialize)]
struct Secret {
    host: Option<String>,
    port: Option<Port>,
    username: String,
    password: Zeroizing<String>,
}

/// People write the port as a number and as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Port {
    Number(u16),
    Text(String),
}

/// A database behind a secret.
pub struct Database {
    secrets: aws_sdk_secretsmanager::Client,
    secret: String,
    host: Option<String>,
    port: Option<u16>,
    tls: Tls,
    tls_off: bool,
    known: Mutex<Option<(Endpoint, Login)>>,
}

impl Database {
    /// Reads the settings; the secret itself is read with the first connection.
    pub fn from_settings(settings: &Settings, config: &aws_config::SdkConfig) -> anyhow::Result<Self> {
        let tls_off = match settings.optional("PIPECTL_DATABASE_TLS").unwrap_or("verify") {
            "verify" => false,
            "off" => true,
            other => anyhow::bail!("the setting PIPECTL_DATABASE_TLS is `{other}`, but must be `verify` or `off`"),
        };
        let roots = match settings.optional("PIPECTL_DATABASE_CA") {
            Some(path) => Some(
                std::fs::read(path)
                    .map_err(|error| anyhow::anyhow!("the setting PIPECTL_DATABASE_CA names {path}: {error}"))?,
            ),
            None => None,
        };
        let port =
            match settings.optional("PIPECTL_DATABASE_PORT") {
                Some(text) => Some(text.parse().map_err(|_| {
                    anyhow::anyhow!("the setting PIPECTL_DATABASE_PORT is `{text}`, but must be a port")
                })?),
                None => None,
            };
        Ok(Self {
            secrets: aws_sdk_secretsmanager::Client::new(config),
            secret: settings.required("PIPECTL_DATABASE_SECRET")?.to_owned(),
            host: settings.optional("PIPECTL_DATABASE_HOST").map(str::to_owned),
            port,
            tls: if tls_off {
                Tls::Off
            } else {
                Tls::verify(roots.as_deref())?
            },
            tls_off,
            known: Mutex::new(None),
        })
    }

    /// A new connection. A refused login reads the secret anew once: it may have been rotated since.
    pub async fn connect(&self) -> Result<Connection, MysqlError> {
        let mut known = self.known.lock().await;
        if let Some((endpoint, login)) = known.as_ref() {
            match Connection::open(endpoint, login, &self.secret).await {
                Err(error) if error.is_refused_login() => {}
                other => return other,
            }
        }
        let (endpoint, login) = self.read_secret().await?;
        let connection = Connection::open(&endpoint, &login, &self.secret).await?;
        *known = Some((endpoint, login));
        Ok(connection)
    }

    async fn read_secret(&self) -> Result<(Endpoint, Login), MysqlError> {
        let name = &self.secret;
        let answer = self
            .secrets
            .get_secret_value()
            .secret_id(name)
            .send()
            .await
            .map_err(|error| MysqlError::Setting(format!("the secret {name}: {}", DisplayErrorContext(&error))))?;
        let mut text = answer.secret_string.unwrap_or_default();
        let read = serde_json::from_str::<Secret>(&text);
        text.zeroize();
        // serde's message could quote the secret's text, so only its place is told.
        let secret = read.map_err(|error| {
            MysqlError::Setting(format!(
                "the secret {name} is not usable (line {}, column {}): it must be JSON with the texts `username` and `password`, and `host` and `port` unless the settings say them",
                error.line(),
                error.column()
            ))
        })?;
        let host = self.host.clone().or(secret.host).ok_or_else(|| {
            MysqlError::Setting(format!(
                "neither the setting PIPECTL_DATABASE_HOST nor the secret {name} says the host"
            ))
        })?;
        if self.tls_off && !is_this_machine(&host) {
            return Err(MysqlError::Setting(format!(
                "PIPECTL_DATABASE_TLS is `off`, which is allowed for a server on this machine only, not for {host}"
            )));
        }
        let written = match secret.port {
            Some(Port::Number(port)) => Some(port),
            Some(Port::Text(text)) => Some(
                text.parse()
                    .map_err(|_| MysqlError::Setting(format!("the `port` of the secret {name} is not a port")))?,
            ),
            None => None,
        };
        let endpoint = Endpoint {
            host,
            port: self.port.or(written).unwrap_or(PORT),
            tls: self.tls.clone(),
        };
        Ok((
            endpoint,
            Login {
                username: secret.username,
                password: secret.password,
            },
        ))
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
