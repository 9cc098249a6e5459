//! Workload identity federation: the machine's own identity provider attests who asks, and no key is kept anywhere.
//!
//! Sources: <https://docs.snowflake.com/en/developer-guide/sql-api/authenticating> (the header),
//! <https://docs.snowflake.com/en/user-guide/workload-identity-federation> (the user),
//! <https://docs.github.com/en/actions/reference/security/oidc> (asking GitHub for a token).

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures::future::BoxFuture;
use reqwest::Url;
use serde::Deserialize;

use super::error::SnowflakeError;
use super::secret::Secret;
use super::transport::{chain, is_loopback, is_passing};
use crate::model::names::WORKLOAD_AUDIENCE;

/// A token is asked for anew this long before it ends. GitHub's last five minutes.
const RENEW_BEFORE: Duration = Duration::from_secs(60);
/// How long a token that does not tell its end is used.
const UNKNOWN_LIFETIME: Duration = Duration::from_secs(60);

/// Who attests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Any OpenID Connect provider: GitHub Actions, CircleCI, Kubernetes.
    Oidc,
    /// AWS (`sts:GetWebIdentityToken`).
    Aws,
    /// Microsoft Entra ID.
    Azure,
    /// Google Cloud.
    Gcp,
}

impl Provider {
    /// The provider of that name, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Oidc, Self::Aws, Self::Azure, Self::Gcp]
            .into_iter()
            .find(|provider| provider.name().eq_ignore_ascii_case(text.trim()))
    }

    /// Its name, as Snowflake writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Oidc => "OIDC",
            Self::Aws => "AWS",
            Self::Azure => "AZURE",
            Self::Gcp => "GCP",
        }
    }
}

/// A service that gives tokens, such as AWS's STS.
pub trait TokenService: fmt::Debug + Send + Sync {
    /// Asks for a token whose audience is `audience`.
    fn ask(&self, audience: &'static str) -> BoxFuture<'_, Result<Secret, SnowflakeError>>;
}

/// Where its token comes from.
#[derive(Debug, Clone)]
pub enum TokenSource {
    /// The token itself; it lasts as long as it lasts.
    Given(Secret),
    /// A file that somebody keeps current; read for each request.
    File(PathBuf),
    /// GitHub's token service, asked again before a token ends.
    GitHub {
        /// `ACTIONS_ID_TOKEN_REQUEST_URL`.
        url: String,
        /// `ACTIONS_ID_TOKEN_REQUEST_TOKEN`.
        request_token: Secret,
    },
    /// Another service, asked again before a token ends.
    Service(Arc<dyn TokenService>),
}

/// A workload's identity. Clones share the token that was fetched last.
#[derive(Debug, Clone)]
pub struct Workload {
    provider: Provider,
    source: TokenSource,
    fetched: Arc<Mutex<Option<Fetched>>>,
}

#[derive(Debug, Clone)]
struct Fetched {
    token: Secret,
    until: SystemTime,
}

impl Workload {
    /// An identity; nothing is asked yet.
    pub fn new(provider: Provider, source: TokenSource) -> Self {
        Self {
            provider,
            source,
            fetched: Arc::default(),
        }
    }

    /// Who attests.
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// Where its token comes from.
    pub fn source(&self) -> &TokenSource {
        &self.source
    }

    /// What follows `Bearer` in a request sent at `now`.
    pub(super) async fn bearer(&self, http: &reqwest::Client, now: SystemTime) -> Result<Secret, SnowflakeError> {
        let token = match &self.source {
            TokenSource::Given(token) => token.clone(),
            TokenSource::File(file) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|error| no_token(format!("{} cannot be read: {error}", file.display()), false))?;
                Secret::new(text)
            }
            TokenSource::GitHub { url, request_token } => {
                self.kept_or(now, ask_github(http, url, request_token)).await?
            }
            TokenSource::Service(service) => self.kept_or(now, service.ask(WORKLOAD_AUDIENCE)).await?,
        };
        Ok(Secret::new(format!(
            "WIF.{}.{}",
            self.provider.name(),
            token.expose().trim()
        )))
    }

    /// The token that was fetched last, or what `ask` gives.
    async fn kept_or(
        &self,
        now: SystemTime,
        ask: impl Future<Output = Result<Secret, SnowflakeError>>,
    ) -> Result<Secret, SnowflakeError> {
        let kept = self.fetched.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(kept) = kept.filter(|kept| now < kept.until) {
            return Ok(kept.token);
        }
        let token = ask.await?;
        let until = end(token.expose()).map_or(now + UNKNOWN_LIFETIME, |end| end - RENEW_BEFORE);
        *self.fetched.lock().unwrap_or_else(PoisonError::into_inner) = Some(Fetched {
            token: token.clone(),
            until,
        });
        Ok(token)
    }
}

#[derive(Deserialize)]
struct Issued {
    value: String,
}

async fn ask_github(http: &reqwest::Client, url: &str, request_token: &Secret) -> Result<Secret, SnowflakeError> {
    let mut url = Url::parse(url)
        .ok()
        .filter(|url| url.scheme() == "https" || is_loopback(url))
        .ok_or_else(|| no_token("ACTIONS_ID_TOKEN_REQUEST_URL is no https address".to_owned(), false))?;
    url.query_pairs_mut().append_pair("audience", WORKLOAD_AUDIENCE);
    let answer = http.get(url).bearer_auth(request_token.expose()).send().await;
    let answer = answer.map_err(|error| no_token(format!("GitHub's token service: {}", chain(&error)), true))?;
    let status = answer.status();
    if !status.is_success() {
        let passing = is_passing(status.as_u16()) || status.is_server_error();
        return Err(no_token(format!("GitHub's token service answered {status}"), passing));
    }
    let issued: Issued = answer
        .json()
        .await
        .map_err(|error| no_token(format!("GitHub's token service: {}", chain(&error)), true))?;
    Ok(Secret::new(issued.value))
}

fn no_token(cause: String, passing: bool) -> SnowflakeError {
    SnowflakeError::NoToken { cause, passing }
}

/// When a JWT ends, by its claim `exp`. Its signature is Snowflake's business.
fn end(token: &str) -> Option<SystemTime> {
    #[derive(Deserialize)]
    struct Claims {
        exp: u64,
    }
    let payload = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(claims.exp))
}
