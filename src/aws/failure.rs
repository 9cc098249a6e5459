//! Errors of AWS in words: which call, which code, what to do.

use aws_sdk_cloudformation::error::{ProvideErrorMetadata, SdkError};

/// One line for a failed call, with the service's code and message, and a hint where one is known.
pub fn explain<E, R>(call: &str, error: SdkError<E, R>) -> anyhow::Error
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let (code, message) = (error.code().map(str::to_owned), error.message().map(str::to_owned));
    match code {
        Some(code) => {
            let hint = hint(&code).map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
            anyhow::anyhow!("{call} failed: {code}: {}{hint}", message.unwrap_or_default())
        }
        None => anyhow::anyhow!("{call} failed: {}{}", causes(&error), connection_hint(&error)),
    }
}

/// The causes in words, each once; the SDK's own form adds a dump of its types.
fn causes(error: &dyn std::error::Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts.dedup();
    texts.join(": ")
}

fn connection_hint<E, R>(error: &SdkError<E, R>) -> &'static str {
    match error {
        SdkError::DispatchFailure(failure) if failure.is_io() || failure.is_timeout() => {
            "\n  hint: the endpoint cannot be reached; check the network and aws.region"
        }
        SdkError::ConstructionFailure(_) | SdkError::DispatchFailure(_) => {
            "\n  hint: check the AWS credentials (AWS_PROFILE, `aws sso login`) and aws.region"
        }
        _ => "",
    }
}

fn hint(code: &str) -> Option<&'static str> {
    Some(match code {
        "ExpiredToken" | "ExpiredTokenException" => {
            "the session has expired; sign in again, for example with `aws sso login`"
        }
        "UnrecognizedClientException" | "InvalidClientTokenId" | "SignatureDoesNotMatch" => {
            "AWS does not know these credentials; check AWS_PROFILE and AWS_ACCESS_KEY_ID"
        }
        "AccessDenied" | "AccessDeniedException" => {
            "the credentials lack this permission; ask for it by the name of the call"
        }
        "BucketAlreadyExists" => {
            "bucket names are global and this one is somebody else's; set another in pipeline.toml"
        }
        _ => return None,
    })
}
