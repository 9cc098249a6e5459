//! The proof of who the function is: a token that STS signs for its role.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sts::error::{DisplayErrorContext, ProvideErrorMetadata as _};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::snowflake::client::{Secret, SnowflakeError, TokenService};

/// How AWS signs: <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetWebIdentityToken.html>.
const ALGORITHM: &str = "ES384";
/// How long a token lasts, in seconds.
const LIFETIME: i32 = 300;
const PATIENCE: Duration = Duration::from_secs(10);

/// STS of the function's region.
#[derive(Debug)]
pub struct Sts(aws_sdk_sts::Client);

impl Sts {
    /// With the function's own credentials.
    pub fn new(config: &SdkConfig) -> Self {
        Self(aws_sdk_sts::Client::new(config))
    }

    async fn token(&self, audience: &str) -> Result<Secret, SnowflakeError> {
        let request = self.0.get_web_identity_token().audience(audience);
        let request = request.signing_algorithm(ALGORITHM).duration_seconds(LIFETIME);
        let answer = match tokio::time::timeout(PATIENCE, request.send()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) if error.code().is_some_and(|code| code.contains("FederationDisabled")) => {
                let cause = "the AWS account does not give such tokens yet: run `aws iam enable-outbound-web-identity-federation` once";
                return Err(no_token(cause.to_owned(), false));
            }
            Ok(Err(error)) => {
                let cause = format!("sts:GetWebIdentityToken: {}", DisplayErrorContext(&error));
                return Err(no_token(cause, error.as_service_error().is_none()));
            }
            Err(_) => return Err(no_token("sts:GetWebIdentityToken was not answered".to_owned(), true)),
        };
        let token = answer.web_identity_token();
        token
            .map(Secret::new)
            .ok_or_else(|| no_token("sts:GetWebIdentityToken answered without a token".to_owned(), true))
    }
}

impl TokenService for Sts {
    fn ask(&self, audience: &'static str) -> BoxFuture<'_, Result<Secret, SnowflakeError>> {
        self.token(audience).boxed()
    }
}

fn no_token(cause: String, passing: bool) -> SnowflakeError {
    SnowflakeError::NoToken { cause, passing }
}
