//! What commands share: the file read and resolved, and the way to the clouds.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use aws_config::SdkConfig;
use serde_json::{Value, json};

use super::Global;
use crate::aws::Aws;
use crate::aws::session::{AwsTarget, CallCounter, session};
use crate::graph::{Graph, build::build};
use crate::local::{self, UpOptions};
use crate::model::{LOCAL, Model, resolve};
use crate::report::style::Style;
use crate::snowflake::client::Client;
use crate::snowflake::credentials::{self, Settings, Surroundings};
use crate::spec::types::{Snowflake, Spec};
use crate::spec::{self, Positions, Report};

/// Why a command failed.
pub enum Failure {
    /// Errors in the file.
    File(Box<Report>),
    /// Ctrl-C before anything was changed.
    Interrupted,
    /// Ctrl-C after something was done, which stays; this says what.
    Stopped(String),
    /// Anything else.
    Other(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure::Other(error)
    }
}

impl From<Report> for Failure {
    fn from(report: Report) -> Self {
        Failure::File(Box::new(report))
    }
}

const INTERRUPTED: &str = "interrupted; nothing was changed";

impl Failure {
    /// For people.
    pub fn text(&self, style: &Style) -> String {
        match self {
            Failure::File(report) => {
                let mut text = String::new();
                // Writing to a String does not fail.
                let _ = report.write(&mut text, style.is_on());
                text
            }
            Failure::Interrupted => format!("{} {INTERRUPTED}\n", style.error("error:")),
            Failure::Stopped(what) => format!("{} {what}\n", style.error("error:")),
            Failure::Other(error) => format!("{} {}\n", style.error("error:"), explained(error)),
        }
    }

    /// For programs.
    pub fn json(&self) -> Value {
        match self {
            Failure::File(report) => json!({ "errors": report }),
            Failure::Interrupted => json!({ "errors": [{ "message": INTERRUPTED }] }),
            Failure::Stopped(what) => json!({ "errors": [{ "message": what }] }),
            Failure::Other(error) => json!({ "errors": [{ "message": explained(error) }] }),
        }
    }
}

/// What happened and why, then the hints of all causes.
pub fn explained(error: &anyhow::Error) -> String {
    let (mut causes, mut hints): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for cause in error.chain().map(ToString::to_string) {
        let mut parts = cause.split("\n  hint: ");
        let what = parts.next().unwrap_or_default().to_owned();
        // An error that prints its own cause must not have it printed again.
        if !causes.iter().any(|said| said.contains(&what)) {
            causes.push(what);
        }
        hints.extend(parts.map(str::to_owned));
    }
    hints
        .into_iter()
        .fold(causes.join(": "), |text, hint| format!("{text}\n  hint: {hint}"))
}

/// A file read for one environment.
pub struct Loaded {
    /// What the user wrote.
    pub spec: Spec,
    /// What it means.
    pub model: Model,
    /// What must exist.
    pub graph: Arc<Graph>,
    /// Where expressions stand in the file, if there are any that only Snowflake can judge.
    pub positions: Option<Positions>,
}

/// Reads and resolves the file.
pub fn load(global: &Global) -> Result<Loaded, Failure> {
    let text = read(&global.file)?;
    let document = spec::parse(&text, &global.file.display().to_string(), &global.env)?;
    let folder = global.file.parent().unwrap_or(Path::new(""));
    let own = |file: &str| std::fs::read_to_string(folder.join(file)).map_err(|error| error.to_string());
    let resolved = resolve(&document.spec, &global.env).and_then(|mut model| {
        model.star.read_transforms(own)?;
        Ok(model)
    });
    let model = match resolved {
        Ok(model) => model,
        Err(faults) => {
            return Err(match document.positions.report(faults) {
                Some(report) => report.into(),
                None => anyhow::anyhow!("the file cannot be resolved").into(),
            });
        }
    };
    // A large file has a large tree, and but for expressions its positions tell nothing from here on.
    let spec::Document { spec, positions, .. } = document;
    let has_expressions = !(spec.dimensions.is_empty() && spec.facts.is_empty());
    let positions = has_expressions.then_some(positions);
    let graph = Arc::new(build(&model)?);
    Ok(Loaded {
        spec,
        model,
        graph,
        positions,
    })
}

/// The text of the file.
pub fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| {
        format!(
            "reading {}\n  hint: `pipectl init` writes a first one; `-f FILE` names another",
            file.display()
        )
    })
}

/// The way to the clouds.
pub struct Clouds {
    /// AWS.
    pub aws: Aws,
    /// ARN of whose AWS credentials these are.
    pub identity: String,
    /// Requests made to AWS.
    pub aws_calls: CallCounter,
    /// Snowflake, where the pipeline goes there.
    pub snowflake: Option<Client>,
}

impl Clouds {
    /// How many calls were made, for `-v`.
    pub fn calls(&self) -> String {
        let statements = self.snowflake.as_ref().map(Client::statements_sent).unwrap_or(0);
        format!(
            "{} AWS calls, {statements} Snowflake statements",
            self.aws_calls.count()
        )
    }
}

/// The way to AWS, which everything else needs too.
pub struct AwsSide {
    /// The clients.
    pub aws: Aws,
    /// ARN of whose credentials these are.
    pub identity: String,
    calls: CallCounter,
    config: SdkConfig,
    local: Option<local::State>,
}

/// Connects to AWS, which for the environment `local` is the local cloud; it is started when it is not up. Credentials of
/// another account than the pipeline's are refused.
pub async fn connect_aws(loaded: &Loaded, say: &(dyn Fn(&str) + Send + Sync)) -> anyhow::Result<AwsSide> {
    let names = &loaded.model.names;
    let local = if names.environment == LOCAL {
        Some(local::up(&UpOptions::from_env()?, say).await?)
    } else {
        None
    };
    let target = AwsTarget {
        region: Some(names.region.clone()),
        local: local.as_ref().map(local::State::aws),
        ..Default::default()
    };
    let config = session(&target).await;
    let aws = Aws::new(&config);
    let identity = aws.guard_account(&names.account).await?;
    Ok(AwsSide {
        aws,
        identity,
        calls: target.calls,
        config,
        local,
    })
}

/// A client of the pipeline's Snowflake account, where the pipeline goes there.
///
/// The account that the file names is the host name of the SQL API, a key pair signs for it, and a connection of another
/// account is refused ([`credentials`]). Only an address from elsewhere (`PIPECTL_SNOWFLAKE_URL`, `SNOWFLAKE_HOST`, `host`
/// of a connection) can lead to another account, so only then one statement asks, before anything else is read.
pub async fn connect_snowflake(loaded: &Loaded, side: &AwsSide) -> anyhow::Result<Option<Client>> {
    let credentials = match (&loaded.spec.snowflake, &side.local) {
        (Some(_), Some(state)) => credentials::local(&state.snowflake())?,
        (Some(section), None) => {
            credentials::resolve(&settings(section), &Surroundings::of_process(Some(&side.config))).await?
        }
        (None, _) => return Ok(None),
    };
    let named = loaded
        .spec
        .snowflake
        .as_ref()
        .and_then(|section| section.account.as_ref());
    let guarded = named.filter(|_| side.local.is_none() && credentials.config.is_elsewhere());
    let guarded = guarded.map(|_| credentials.config.account.clone());
    let client = Client::new(credentials.config)?;
    if let Some(account) = guarded {
        client.guard_account(&account).await?;
    }
    Ok(Some(client))
}

/// Connects to the clouds of the environment.
pub async fn connect(loaded: &Loaded, say: &(dyn Fn(&str) + Send + Sync)) -> anyhow::Result<Clouds> {
    let side = connect_aws(loaded, say).await?;
    let snowflake = connect_snowflake(loaded, &side).await?;
    Ok(Clouds {
        aws: side.aws,
        identity: side.identity,
        aws_calls: side.calls,
        snowflake,
    })
}

fn settings(section: &Snowflake) -> Settings<'_> {
    Settings {
        account: section.account.as_deref(),
        connection: section.connection.as_deref(),
        user: section.user.as_deref(),
        role: section.role.as_deref(),
        // Statements that compute name the warehouse themselves; the others need none, nor the right to use it.
        warehouse: None,
        private_key: section.private_key.as_deref(),
        token: section.token.as_deref(),
    }
}
