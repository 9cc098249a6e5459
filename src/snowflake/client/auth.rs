//! Signing in: key-pair JWT, programmatic access token, OAuth, workload identity federation.
//!
//! Source: <https://docs.snowflake.com/en/developer-guide/sql-api/authenticating>.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, Header};
use serde::Serialize;

use super::account::Account;
use super::error::SnowflakeError;
use super::key::PrivateKey;
use super::secret::Secret;
use super::workload::Workload;

/// Snowflake takes a JWT for at most one hour; a minute less allows for its clock.
const LIFETIME: Duration = Duration::from_secs(59 * 60);
/// A token is made anew this long before it ends, so that no request carries one that ends on its way.
const RENEW_BEFORE: Duration = Duration::from_secs(5 * 60);
/// How far `iat` lies in the past, for machines whose clock runs ahead.
const CLOCK_ALLOWANCE: Duration = Duration::from_secs(30);
/// A refused token older than this may have ended (a laptop that slept): one new token is tried.
const WORTH_RENEWING: Duration = Duration::from_secs(60);

/// How a client proves who it is.
#[derive(Debug, Clone)]
pub enum Auth {
    /// A JWT signed with the user's private key.
    KeyPair(PrivateKey),
    /// A programmatic access token.
    AccessToken(Secret),
    /// An OAuth access token.
    OAuth(Secret),
    /// What the machine's own identity provider attests; no key is kept anywhere.
    Workload(Workload),
}

impl Auth {
    /// Value of the header `X-Snowflake-Authorization-Token-Type`.
    pub fn token_type(&self) -> &'static str {
        match self {
            Self::KeyPair(_) => "KEYPAIR_JWT",
            Self::AccessToken(_) => "PROGRAMMATIC_ACCESS_TOKEN",
            Self::OAuth(_) => "OAUTH",
            Self::Workload(_) => "WORKLOAD_IDENTITY_FEDERATION",
        }
    }
}

#[derive(Serialize)]
struct Claims {
    iss: String,
    sub: String,
    iat: u64,
    exp: u64,
}

struct Issued {
    token: Secret,
    at: SystemTime,
}

/// Gives each request its token, and renews a JWT before it ends.
pub(super) struct Authenticator {
    auth: Auth,
    subject: String,
    issued: Mutex<Option<Issued>>,
}

impl Authenticator {
    pub(super) fn new(auth: Auth, account: &Account, user: Option<&str>) -> Result<Self, SnowflakeError> {
        let subject = match (&auth, user) {
            (_, Some(user)) => format!("{}.{}", account.jwt_name(), jwt_user(user)),
            (Auth::KeyPair(_), None) => {
                return Err(SnowflakeError::Configuration(
                    "key-pair sign-in needs a Snowflake user and none was given".to_owned(),
                ));
            }
            (_, None) => account.jwt_name(),
        };
        Ok(Self {
            auth,
            subject,
            issued: Mutex::new(None),
        })
    }

    pub(super) fn auth(&self) -> &Auth {
        &self.auth
    }

    /// The token for a request sent at `now`. A workload identity is asked through `http`.
    pub(super) async fn bearer(&self, http: &reqwest::Client, now: SystemTime) -> Result<Secret, SnowflakeError> {
        match &self.auth {
            Auth::Workload(workload) => workload.bearer(http, now).await,
            Auth::AccessToken(token) | Auth::OAuth(token) => Ok(token.clone()),
            Auth::KeyPair(key) => self.signed(key, now),
        }
    }

    fn signed(&self, key: &PrivateKey, now: SystemTime) -> Result<Secret, SnowflakeError> {
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(issued) = issued.as_ref().filter(|issued| is_fresh(issued.at, now)) {
            return Ok(issued.token.clone());
        }
        let token = self.sign(key, now)?;
        *issued = Some(Issued {
            token: token.clone(),
            at: now,
        });
        Ok(token)
    }

    /// Drops a refused token. `true` when a new one may fare better.
    pub(super) fn renew_after_refusal(&self, now: SystemTime) -> bool {
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let old = issued
            .as_ref()
            .is_some_and(|issued| now.duration_since(issued.at).is_ok_and(|age| age > WORTH_RENEWING));
        if old {
            *issued = None;
        }
        old
    }

    fn sign(&self, key: &PrivateKey, now: SystemTime) -> Result<Secret, SnowflakeError> {
        let iat = now
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .saturating_sub(CLOCK_ALLOWANCE);
        let claims = Claims {
            iss: format!("{}.{}", self.subject, key.fingerprint()),
            sub: self.subject.clone(),
            iat: iat.as_secs(),
            exp: (iat + LIFETIME).as_secs(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, key.signing())
            .map(Secret::new)
            .map_err(|error| SnowflakeError::Configuration(format!("the sign-in token cannot be signed: {error}")))
    }
}

/// Users are stored in upper case unless they were created with quotes.
fn jwt_user(user: &str) -> String {
    match user.strip_prefix('"').and_then(|user| user.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => user.to_uppercase(),
    }
}

fn is_fresh(at: SystemTime, now: SystemTime) -> bool {
    // A clock set back makes `duration_since` fail: the token's times no longer hold, so it is made anew.
    now.duration_since(at)
        .is_ok_and(|age| age + RENEW_BEFORE + CLOCK_ALLOWANCE < LIFETIME)
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation};

    use super::super::samples;
    use super::*;

    fn authenticator() -> Authenticator {
        let key = PrivateKey::from_pem(&Secret::new(samples::PKCS8), None).unwrap();
        Authenticator::new(
            Auth::KeyPair(key),
            &Account::parse("myorg.acc_1").unwrap(),
            Some("loader"),
        )
        .unwrap()
    }

    fn token(authenticator: &Authenticator, now: SystemTime) -> Secret {
        let Auth::KeyPair(key) = authenticator.auth() else {
            unreachable!("the authenticator of these tests signs")
        };
        authenticator.signed(key, now).unwrap()
    }

    #[test]
    fn claims_hold_against_the_public_key() {
        let now = SystemTime::now();
        let token = token(&authenticator(), now);
        let public = DecodingKey::from_rsa_pem(samples::PUBLIC.as_bytes()).unwrap();
        let decoded =
            jsonwebtoken::decode::<serde_json::Value>(token.expose(), &public, &Validation::new(Algorithm::RS256))
                .unwrap();
        assert_eq!(
            decoded.claims["iss"],
            format!("MYORG-ACC_1.LOADER.{}", samples::FINGERPRINT)
        );
        assert_eq!(decoded.claims["sub"], "MYORG-ACC_1.LOADER");
        let (iat, exp) = (
            decoded.claims["iat"].as_u64().unwrap(),
            decoded.claims["exp"].as_u64().unwrap(),
        );
        assert!(iat <= now.duration_since(UNIX_EPOCH).unwrap().as_secs());
        assert!(
            exp - iat < 3600,
            "Snowflake refuses tokens that live longer than an hour"
        );
    }

    #[test]
    fn renewed_before_its_end_and_after_the_clock_went_back() {
        let authenticator = authenticator();
        let start = SystemTime::now();
        let first = token(&authenticator, start);
        assert_eq!(token(&authenticator, start + Duration::from_secs(50 * 60)), first);
        let second = token(&authenticator, start + Duration::from_secs(54 * 60));
        assert_ne!(second, first);
        assert_ne!(token(&authenticator, start), second);
    }

    #[test]
    fn a_refused_token_is_renewed_only_when_it_is_old() {
        let authenticator = authenticator();
        let start = SystemTime::now();
        token(&authenticator, start);
        assert!(!authenticator.renew_after_refusal(start + Duration::from_secs(1)));
        assert!(authenticator.renew_after_refusal(start + Duration::from_secs(120)));
    }

    #[test]
    fn users_are_upper_case_unless_quoted() {
        assert_eq!(jwt_user("jane.doe@x.org"), "JANE.DOE@X.ORG");
        assert_eq!(jwt_user("\"Jane\""), "Jane");
    }
}
