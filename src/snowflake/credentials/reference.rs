//! References to secrets: `env:NAME`, `ssm:NAME`, `secretsmanager:NAME`.

use super::{CredentialsError, Surroundings};
use crate::aws::failure::explain;
use crate::snowflake::client::Secret;

const NO_SESSION: &str = "no AWS session is at hand to read it";

fn failed(what: &'static str, reference: &str, why: String) -> CredentialsError {
    CredentialsError::Reference {
        what,
        reference: reference.to_owned(),
        why,
    }
}

/// Fetches the secret that a reference names. `what` is the setting it stands in.
pub(super) async fn resolve(
    what: &'static str,
    reference: &str,
    around: &Surroundings<'_>,
) -> Result<Secret, CredentialsError> {
    match reference.split_once(':') {
        Some(("env", name)) if !name.is_empty() => {
            (around.env)(name)
                .map(Secret::new)
                .ok_or_else(|| CredentialsError::Reference {
                    what,
                    reference: reference.to_owned(),
                    why: format!("the environment variable {name} is not set"),
                })
        }
        Some(("ssm", name)) if !name.is_empty() => parameter(what, reference, name, around).await,
        Some(("secretsmanager", name)) if !name.is_empty() => secret(what, reference, name, around).await,
        // The text may be the secret itself, so it is not repeated.
        _ => Err(CredentialsError::LiteralSecret { what }),
    }
}

/// Reads a parameter of SSM Parameter Store, decrypted
/// (<https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html>).
async fn parameter(
    what: &'static str,
    reference: &str,
    name: &str,
    around: &Surroundings<'_>,
) -> Result<Secret, CredentialsError> {
    let failed = |why: String| failed(what, reference, why);
    let aws = around.aws.ok_or_else(|| failed(NO_SESSION.to_owned()))?;
    let answer = aws_sdk_ssm::Client::new(aws)
        .get_parameter()
        .name(name)
        .with_decryption(true)
        .send()
        .await;
    let parameter = answer
        .map_err(|error| failed(format!("{:#}", explain(&format!("ssm:GetParameter of {name}"), error))))?
        .parameter;
    parameter
        .and_then(|parameter| parameter.value)
        .map(Secret::new)
        .ok_or_else(|| failed("the parameter has no value".to_owned()))
}

/// Reads the current text of a secret of Secrets Manager, by name or ARN
/// (<https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html>).
async fn secret(
    what: &'static str,
    reference: &str,
    name: &str,
    around: &Surroundings<'_>,
) -> Result<Secret, CredentialsError> {
    let failed = |why: String| failed(what, reference, why);
    let aws = around.aws.ok_or_else(|| failed(NO_SESSION.to_owned()))?;
    let answer = aws_sdk_secretsmanager::Client::new(aws)
        .get_secret_value()
        .secret_id(name)
        .send()
        .await;
    let asked = format!("secretsmanager:GetSecretValue of {name}");
    answer
        .map_err(|error| failed(format!("{:#}", explain(&asked, error))))?
        .secret_string
        .map(Secret::new)
        .ok_or_else(|| failed("the secret is binary, not text; keep the key or token as text".to_owned()))
}
