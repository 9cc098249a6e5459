//! What a handler keeps between invocations: text in a parameter of SSM.

use anyhow::anyhow;
use aws_sdk_ssm::Client;
use aws_sdk_ssm::error::DisplayErrorContext;
use aws_sdk_ssm::types::{ParameterTier, ParameterType};

/// Characters of a parameter that costs nothing; a longer one needs the advanced tier, of 8 KB:
/// <https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html>.
const STANDARD: usize = 4096;

/// What a parameter says; `None` before it is first written.
pub async fn read(client: &Client, name: &str) -> anyhow::Result<Option<String>> {
    match client.get_parameter().name(name).send().await {
        Ok(answer) => Ok(answer.parameter.and_then(|parameter| parameter.value)),
        Err(error)
            if error
                .as_service_error()
                .is_some_and(|error| error.is_parameter_not_found()) =>
        {
            Ok(None)
        }
        Err(error) => Err(anyhow!("reading {name}: {}", DisplayErrorContext(&error))),
    }
}

/// Writes a parameter, whether it is there or not.
pub async fn write(client: &Client, name: &str, text: String) -> anyhow::Result<()> {
    let tier = if text.len() > STANDARD {
        ParameterTier::Advanced
    } else {
        ParameterTier::Standard
    };
    let request = client.put_parameter().name(name).value(text).overwrite(true);
    request
        .r#type(ParameterType::String)
        .tier(tier)
        .send()
        .await
        .map_err(|error| anyhow!("writing {name}: {}", DisplayErrorContext(&error)))?;
    Ok(())
}
