//! Where watermarks are kept: one SSM parameter a table.

use anyhow::Context as _;
use aws_sdk_ssm::Client;

use super::super::parameter;
use super::watermark::State;

/// The name of the parameter about `schema.table` behind a prefix. A parameter's characters are fewer than a table's may be
/// (<https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html>).
pub fn parameter_name(prefix: &str, title: &str) -> String {
    let fits = |character: char| character.is_ascii_alphanumeric() || "_.-".contains(character);
    if title.chars().all(fits) {
        return format!("{prefix}{title}");
    }
    let kept: String = title.chars().map(|c| if fits(c) { c } else { '_' }).collect();
    format!("{prefix}{kept}-{:016x}", super::record::fnv(title.as_bytes()))
}

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
        parameter_name(&self.prefix, title)
    }

    /// What is kept; nothing yet is a state too.
    pub async fn read(&self, name: &str) -> anyhow::Result<State> {
        let Some(text) = parameter::read(&self.client, name).await? else {
            return Ok(State::default());
        };
        serde_json::from_str(&text).with_context(|| {
            format!("the parameter {name} is not what pipectl wrote there; write {{\"value\":…}}, or delete it to read the table from its beginning")
        })
    }

    /// Keeps the state.
    pub async fn write(&self, name: &str, state: &State) -> anyhow::Result<()> {
        parameter::write(&self.client, name, serde_json::to_string(state)?).await
    }
}
