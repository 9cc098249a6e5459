//! References to secrets: `env:NAME`, `ssm:NAME`, `secretsmanager:NAME`.

use super::{CredentialsError, Surroundings};
use crate::snowflake::client::Secret;

/// Fetches the secret that a reference names. `what` is the setting it stands in.
pub(super) async fn resolve(
    what: &'static str,
    reference: &str,
    around: &Surroundings<'_>,
) -> Result<Secret, CredentialsError> {
    match reference.split_once(':') {
        Some(("env", name)) if !name.is_empty() => (around.env)(name)
            .map(Secret::new)
            .ok_or_else(|| CredentialsError::Reference { what, reference: reference.to_owned(), why: format!("the environment variable {name} is not set") }),
        Some(("ssm", name)) if !name.is_empty() => parameter(what, reference, name, around).await,
        Some(("secretsmanager", name)) if !name.is_empty() => Err(CredentialsError::Reference {
            what,
            reference: reference.to_owned(),
            why: "pipectl itself cannot read Secrets Manager yet; put the value into an SSM SecureString and write ssm:NAME, or use env:NAME".to_owned(),
        }),
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
    let failed = |why: String| CredentialsError::Reference {
        what,
        reference: reference.to_owned(),
        why,
    };
    let aws = around
        .aws
        .ok_or_else(|| failed("no AWS session is at hand to read it".to_owned()))?;
    let answer = aws_sdk_ssm::Client::new(aws)
        .get_parameter()
        .name(name)
        .with_decryption(true)
        .send()
        .await;
    let parameter = answer
        .map_err(|error| failed(aws_sdk_ssm::error::DisplayErrorContext(&error).to_string()))?
        .parameter;
    parameter
        .and_then(|parameter| parameter.value)
        .map(Secret::new)
        .ok_or_else(|| failed("the parameter has no value".to_owned()))
}
