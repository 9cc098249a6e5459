//! Sending one HTTP request until it is answered.

use std::io::{BufReader, Read as _};
use std::sync::Once;
use std::time::{Duration, Instant, SystemTime};

use flate2::read::MultiGzDecoder;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER,
};
use reqwest::{Method, Url};
use serde::de::DeserializeOwned;

use super::Config;
use super::auth::{Auth, Authenticator};
use super::error::SnowflakeError;

const USER_AGENT: &str = concat!("pipectl/", env!("CARGO_PKG_VERSION"));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Snowflake holds a request for up to 45 seconds before it answers 202.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(75);
/// Bytes of an answer that is no JSON.
const LONGEST_TEXT: u64 = 4096;

/// How often and how long a request is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Tries in all.
    pub attempts: u32,
    /// Upper bound of the first pause; it doubles each time.
    pub first_pause: Duration,
    /// Upper bound of any pause.
    pub longest_pause: Duration,
    /// No new try begins after this time.
    pub deadline: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 8,
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(10),
            deadline: Duration::from_secs(180),
        }
    }
}

impl Retry {
    /// A server on this machine is there or not: waiting long for it helps nobody.
    fn for_loopback() -> Self {
        Self {
            attempts: 4,
            first_pause: Duration::from_millis(50),
            ..Self::default()
        }
    }

    /// A random pause up to a bound that doubles ("full jitter"), so that clients that failed together do not return together.
    fn pause(&self, failed: u32) -> Duration {
        let bound = self
            .first_pause
            .saturating_mul(1 << failed.saturating_sub(1).min(16))
            .min(self.longest_pause);
        bound.mul_f64(0.1 + 0.9 * fastrand::f64())
    }
}

/// One request of the API.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// Segments after `/api/v2/statements`.
    pub(super) path: Vec<&'a str>,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Vec<u8>>,
}

/// An answer, whatever its status. It stays packed: a large one would take many times the room beside what is read of it.
pub(super) struct Reply {
    pub(super) status: u16,
    body: Vec<u8>,
    is_gzip: bool,
}

impl Reply {
    /// What it says.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        match self.is_gzip {
            true => serde_json::from_reader(BufReader::new(self.unpacked())),
            false => serde_json::from_slice(&self.body),
        }
    }

    /// Its first characters, whatever it is.
    pub(super) fn text(&self) -> String {
        let mut start = Vec::new();
        match self.is_gzip {
            // What can be read of it is better than nothing.
            true => drop(self.unpacked().take(LONGEST_TEXT).read_to_end(&mut start)),
            false => start.extend(self.body.iter().take(LONGEST_TEXT as usize)),
        }
        String::from_utf8_lossy(&start).into_owned()
    }

    fn unpacked(&self) -> MultiGzDecoder<&[u8]> {
        MultiGzDecoder::new(self.body.as_slice())
    }
}

/// What one try came to.
enum Attempt {
    Answered(Reply),
    TryAgain { cause: String, pause: Option<Duration> },
    Failed(String),
}

pub(super) struct Transport {
    http: reqwest::Client,
    base: Url,
    authenticator: Authenticator,
    retry: Retry,
}

impl Transport {
    pub(super) fn new(config: &Config) -> Result<Self, SnowflakeError> {
        let base = base_url(config)?;
        let loopback = is_loopback(&base);
        install_crypto();
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            // A redirect would carry the token to wherever it points.
            .redirect(reqwest::redirect::Policy::none());
        if loopback {
            builder = builder.no_proxy();
            if base.scheme() == "http" {
                // Without TLS no certificates are needed, and reading the system's costs more than a statement.
                builder = builder.tls_certs_only([]);
            }
        }
        let http = builder
            .build()
            .map_err(|error| SnowflakeError::Configuration(format!("no HTTP client: {}", chain(&error))))?;
        let authenticator = Authenticator::new(config.auth.clone(), &config.account, config.user.as_deref())?;
        let retry = config.retry.unwrap_or_else(|| {
            if loopback {
                Retry::for_loopback()
            } else {
                Retry::default()
            }
        });
        Ok(Self {
            http,
            base,
            authenticator,
            retry,
        })
    }

    pub(super) fn auth(&self) -> &Auth {
        self.authenticator.auth()
    }

    /// Sends until there is an answer that is not "later". Every call is safe to repeat: reading and cancelling are by
    /// nature, submitting because its `requestId` stays and `retry=true` tells Snowflake that it may have been seen.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Reply, SnowflakeError> {
        let start = Instant::now();
        let (mut attempts, mut renewed) = (0, false);
        loop {
            let attempt = self.attempt(call, attempts > 0).await?;
            attempts += 1;
            let (cause, pause) = match attempt {
                Attempt::Answered(reply)
                    if reply.status == 401 && !renewed && self.authenticator.renew_after_refusal(SystemTime::now()) =>
                {
                    renewed = true;
                    continue;
                }
                Attempt::Answered(reply) => return Ok(reply),
                Attempt::Failed(cause) => return Err(self.unreachable(attempts, cause)),
                Attempt::TryAgain { cause, pause } => (cause, pause),
            };
            let pause = pause.map_or_else(
                || self.retry.pause(attempts),
                |pause| pause.min(self.retry.longest_pause),
            );
            if attempts >= self.retry.attempts || start.elapsed() + pause > self.retry.deadline {
                return Err(self.unreachable(attempts, cause));
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn attempt(&self, call: &Call<'_>, again: bool) -> Result<Attempt, SnowflakeError> {
        let mut request = self.http.request(call.method.clone(), self.url(call, again)?);
        let token = match self.authenticator.bearer(&self.http, SystemTime::now()).await {
            Ok(token) => token,
            // Whoever issues tokens may be busy as well as Snowflake.
            Err(SnowflakeError::NoToken { cause, passing: true }) => {
                return Ok(Attempt::TryAgain { cause, pause: None });
            }
            Err(error) => return Err(error),
        };
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| {
            SnowflakeError::Configuration("the Snowflake token holds characters that no token has".to_owned())
        })?;
        bearer.set_sensitive(true);
        request = request
            .header(AUTHORIZATION, bearer)
            .header("X-Snowflake-Authorization-Token-Type", self.auth().token_type())
            .header(ACCEPT, "application/json")
            .header(ACCEPT_ENCODING, "gzip");
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        Ok(match request.send().await {
            Ok(response) => receive(response).await,
            Err(error) => broken(&error),
        })
    }

    fn url(&self, call: &Call<'_>, again: bool) -> Result<Url, SnowflakeError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| SnowflakeError::Configuration("the Snowflake URL has no path".to_owned()))?
            .pop_if_empty()
            .extend(["api", "v2", "statements"])
            .extend(&call.path);
        if !call.query.is_empty() {
            let mut query = url.query_pairs_mut();
            query.extend_pairs(&call.query);
            if again && call.body.is_some() {
                query.append_pair("retry", "true");
            }
        }
        Ok(url)
    }

    fn unreachable(&self, attempts: u32, cause: String) -> SnowflakeError {
        let port = self.base.port().map(|port| format!(":{port}")).unwrap_or_default();
        SnowflakeError::Unreachable {
            host: format!("{}{port}", self.base.host_str().unwrap_or_default()),
            attempts,
            cause,
        }
    }
}

/// Statuses that mean "not now" (<https://docs.snowflake.com/en/developer-guide/sql-api/reference>); 502 comes from proxies.
pub(super) fn is_passing(status: u16) -> bool {
    matches!(status, 429 | 502 | 503 | 504)
}

async fn receive(mut response: reqwest::Response) -> Attempt {
    let status = response.status().as_u16();
    if is_passing(status) {
        let seconds = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        return Attempt::TryAgain {
            cause: format!("HTTP {}", response.status()),
            pause: seconds.map(Duration::from_secs),
        };
    }
    let is_gzip = response
        .headers()
        .get(CONTENT_ENCODING)
        .is_some_and(|encoding| encoding == "gzip");
    // Piece by piece, so that a large answer is not there twice.
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Ok(None) => return Attempt::Answered(Reply { status, body, is_gzip }),
            Err(error) => return broken(&error),
        }
    }
}

fn broken(error: &reqwest::Error) -> Attempt {
    let cause = chain(error);
    // A certificate does not become right by asking again.
    let hopeless = error.is_builder() || error.is_redirect() || cause.contains("certificate");
    if hopeless {
        Attempt::Failed(cause)
    } else {
        Attempt::TryAgain { cause, pause: None }
    }
}

/// An error with its causes. The URL is left out: it says nothing that the host does not.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if parts.last().is_none_or(|last| !last.contains(&text)) {
            parts.push(text);
        }
        next = cause.source();
    }
    if parts.is_empty() {
        error.to_string()
    } else {
        parts.join(": ")
    }
}

fn base_url(config: &Config) -> Result<Url, SnowflakeError> {
    let text = config
        .base_url
        .clone()
        .unwrap_or_else(|| format!("https://{}", config.account.host()));
    // The text is not repeated where it may hold a password.
    let url = Url::parse(&text)
        .map_err(|error| SnowflakeError::Configuration(format!("the Snowflake URL is not a URL: {error}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(SnowflakeError::Configuration(
            "the Snowflake URL holds a user or password; leave them out".to_owned(),
        ));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err(SnowflakeError::InsecureUrl { url: url.to_string() }),
    }
}

pub(super) fn is_loopback(url: &Url) -> bool {
    // Parsed addresses only: 127.0.0.1.example.org is somebody else's machine.
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback()),
        None => false,
    }
}

/// rustls wants one provider per process; whoever comes first wins, and all of ours are ring.
fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

#[cfg(test)]
mod tests {
    use super::super::account::Account;
    use super::super::secret::Secret;
    use super::*;

    fn with_url(url: &str) -> Result<Url, SnowflakeError> {
        let mut config = Config::new(Account::parse("org-acc").unwrap(), Auth::AccessToken(Secret::new("t")));
        config.base_url = Some(url.to_owned());
        base_url(&config)
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        for url in [
            "http://127.0.0.1:8080",
            "http://localhost:1",
            "http://[::1]:2",
            "https://org-acc.snowflakecomputing.com",
        ] {
            assert!(with_url(url).is_ok(), "{url}");
        }
        for url in [
            "http://org-acc.snowflakecomputing.com",
            "http://127.0.0.1.example.org",
            "http://localhost.example.org",
            "http://10.0.0.1",
            "ftp://127.0.0.1",
        ] {
            assert!(
                matches!(with_url(url), Err(SnowflakeError::InsecureUrl { .. })),
                "{url}"
            );
        }
        let error = with_url("https://me:hunter2@x.org").unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let retry = Retry::default();
        for failed in 1..40 {
            let pause = retry.pause(failed);
            assert!(
                pause >= retry.first_pause / 10 && pause <= retry.longest_pause,
                "{failed}: {pause:?}"
            );
        }
    }
}
