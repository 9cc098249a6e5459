//! Where watermarks are kept: one SSM parameter a table.

use anyhow::{Context as _, anyhow};
use aws_sdk_ssm::Client;
use aws_sdk_ssm::error::DisplayErrorContext;
use aws_sdk_ssm::types::{ParameterTier, ParameterType};

use super::watermark::State;

/// The parameters of a pipeline.
pub struct States {
    client: Client,
    prefix: String,
}

impl States {
    pub fn new(client: Client, prefix: &str) -> Self {
        Self {
            client,
            prefix: prefix.to_owned(),
        }
    }

    /// The parameter's name for `schema.table`.
    pub fn name(&self, title: &str) -> String {
        parameter(&self.prefix, title)
    }

    /// What is kept; nothing yet is a state too.
    pub async fn read(&self, name: &str) -> anyhow::Result<State> {
        let text = match self.client.get_parameter().name(name).send().await {
            Ok(answer) => answer.parameter.and_then(|parameter| parameter.value),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|error| error.is_parameter_not_found()) =>
            {
                None
            }
            Err(error) => return Err(anyhow!("reading {name}: {}", DisplayErrorContext(&error))),
        };
        let Some(text) = text else {
            return Ok(State::default());
        };
        serde_json::from_str(&text).with_context(|| {
            format!("the parameter {name} is not what pipectl wrote there; write {{\"value\":…}}, or delete it to read the table from its beginning")
        })
    }

    /// Keeps the state. It is small: only a key of kilobytes needs the advanced tier, which SSM then takes by itself.
    pub async fn write(&self, name: &str, state: &State) -> anyhow::Result<()> {
        let text = serde_json::to_string(state)?;
        let tier = if text.len() > 4096 {
            ParameterTier::Advanced
        } else {
            ParameterTier::Standard
        };
        let request = self.client.put_parameter().name(name).value(text).overwrite(true);
        request
            .r#type(ParameterType::String)
            .tier(tier)
            .send()
            .await
            .map_err(|error| anyhow!("writing {name}: {}", DisplayErrorContext(&error)))?;
        Ok(())
    }
}

/// The parameter's name for `schema.table`. Its characters are fewer than a table's may be
/// (<https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html>).
pub fn parameter(prefix: &str, title: &str) -> String {
    let fits = |character: char| character.is_ascii_alphanumeric() || "_.-".contains(character);
    if title.chars().all(fits) {
        return format!("{prefix}{title}");
    }
    let kept: String = title.chars().map(|c| if fits(c) { c } else { '_' }).collect();
    format!("{prefix}{kept}-{:016x}", super::record::fnv(title.as_bytes()))
}
