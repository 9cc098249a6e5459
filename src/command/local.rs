//! `pipectl local`.

use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use serde_json::{Value, json};

use super::context::Failure;
use super::{Format, Global};
use crate::local::{self, State, Status, UpOptions};
use crate::report::out::{out, outln};
use crate::report::progress::say;
use crate::report::table::table;
use crate::snowflake::client::{Client, Statement};
use crate::snowflake::credentials;

/// Commands of the local cloud.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the local cloud; the first time makes its Python environment
    Up {
        /// Enforce IAM: policies, trust and external ids count as they do in AWS
        #[arg(long)]
        auth: bool,
    },
    /// Stop it; everything in it is forgotten
    Down,
    /// Show whether it runs, and where; exit code 1 when it does not
    Status,
    /// Run one statement on the local Snowflake
    Sql {
        /// The statement
        statement: String,
    },
    /// Run every task graph that has work, and wait; exit code 1 when a task fails
    RunTasks,
    /// Print the variables that point any AWS client at it, for `eval "$(pipectl local env)"`
    Env,
}

/// Runs one of them.
pub async fn run(global: &Global, command: &Command) -> Result<ExitCode, Failure> {
    let mut options = UpOptions::from_env()?;
    match command {
        Command::Up { auth } => {
            if *auth {
                options.auth = Some(true);
            }
            let state = local::up(&options, &say).await?;
            show(global, &facts(&state));
        }
        Command::Down => {
            let stopped = local::down(&options, &say).await?;
            show(
                global,
                &[("state", if stopped { "stopped" } else { "was not up" }.to_owned())],
            );
        }
        Command::Status => match local::status(&options.directory).await? {
            Status::Up(state) => {
                let mut facts = facts(&state);
                let databases = local::databases(&options.directory)?;
                if !databases.is_empty() {
                    let shown: Vec<String> = databases.iter().map(ToString::to_string).collect();
                    facts.push(("databases", shown.join(", ")));
                }
                show(global, &facts);
            }
            other => {
                let state = match other {
                    Status::Busy(_) => "busy: takes no connection",
                    Status::Down => "down",
                    _ => "ended without being stopped",
                };
                show(global, &[("state", state.to_owned())]);
                return Ok(ExitCode::from(1));
            }
        },
        Command::Sql { statement } => sql(global, &running(&options).await?, statement).await?,
        Command::RunTasks => return Ok(run_tasks(global, &running(&options).await?).await?),
        Command::Env => {
            let state = running(&options).await?;
            let mut exports = state.exports();
            exports.extend(local::database_exports(&local::databases(&options.directory)?));
            let python = local::python(&options).await?;
            exports.push(("PIPECTL_LOCAL_PYTHON".to_owned(), python.display().to_string()));
            match global.format {
                Format::Json => outln!(
                    "{:#}",
                    Value::Object(exports.into_iter().map(|(key, value)| (key, json!(value))).collect())
                ),
                Format::Text | Format::Markdown => {
                    for (key, value) in exports {
                        outln!("export {key}={}", shell_quoted(&value));
                    }
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn facts(state: &State) -> Vec<(&'static str, String)> {
    vec![
        ("state", "up".to_owned()),
        ("aws", state.aws_url.clone()),
        ("snowflake", state.snowflake_url.clone()),
        ("account", state.account.clone()),
        ("region", state.region.clone()),
        ("iam", if state.auth { "enforced" } else { "not enforced" }.to_owned()),
    ]
}

fn show(global: &Global, facts: &[(&'static str, String)]) {
    if global.format == Format::Json {
        outln!(
            "{:#}",
            Value::Object(
                facts
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), json!(value)))
                    .collect()
            )
        );
    } else {
        for (key, value) in facts {
            outln!("{key:<10} {value}");
        }
    }
}

async fn running(options: &UpOptions) -> anyhow::Result<State> {
    match local::status(&options.directory).await? {
        Status::Up(state) | Status::Busy(state) => Ok(*state),
        Status::Stale | Status::Down => anyhow::bail!("the local cloud is not up\n  hint: pipectl local up"),
    }
}

/// One column of the answer: a task, how it ended, how long it took, what it returned, why it failed.
const RUN_COLUMNS: [&str; 5] = ["task", "state", "seconds", "return_value", "error_message"];

async fn run_tasks(global: &Global, state: &State) -> anyhow::Result<ExitCode> {
    let client = Client::new(credentials::local(&state.snowflake())?.config)?;
    let answer = client
        .execute(Statement::new("CALL SYSTEM$PIPECTL_RUN_TASKS()"))
        .await
        .context("the local Snowflake could not run its tasks")?;
    let places: Vec<Option<usize>> = RUN_COLUMNS
        .iter()
        .map(|name| answer.columns.iter().position(|column| column.name == *name))
        .collect();
    let rows: Vec<Vec<Option<String>>> = answer
        .shown()
        .into_iter()
        .map(|row| {
            places
                .iter()
                .map(|place| place.and_then(|place| row.get(place).cloned().flatten()))
                .collect()
        })
        .collect();
    let failed = rows.iter().any(|row| row[1].as_deref() == Some("FAILED"));
    match global.format {
        Format::Json => {
            let tasks: Vec<Value> = rows
                .iter()
                .map(|row| {
                    let cells = RUN_COLUMNS.iter().zip(row);
                    Value::Object(cells.map(|(name, cell)| ((*name).to_owned(), json!(cell))).collect())
                })
                .collect();
            outln!("{:#}", json!({ "tasks": tasks }));
        }
        Format::Text | Format::Markdown if rows.is_empty() => outln!("no task graph is started"),
        Format::Text | Format::Markdown => {
            let rows: Vec<Vec<String>> = rows
                .into_iter()
                .map(|row| row.into_iter().map(Option::unwrap_or_default).collect())
                .collect();
            out!("{}", table(&RUN_COLUMNS, &rows));
        }
    }
    Ok(ExitCode::from(u8::from(failed)))
}

async fn sql(global: &Global, state: &State, statement: &str) -> anyhow::Result<()> {
    let client = Client::new(credentials::local(&state.snowflake())?.config)?;
    let answer = client
        .execute(Statement::new(statement))
        .await
        .context("the local Snowflake refused the statement")?;
    let names: Vec<&str> = answer.columns.iter().map(|column| column.name.as_str()).collect();
    let rows = answer.shown();
    match global.format {
        Format::Json => outln!("{:#}", json!({ "columns": names, "rows": rows })),
        Format::Text | Format::Markdown => {
            let rows: Vec<Vec<String>> = rows
                .into_iter()
                .map(|row| {
                    row.into_iter()
                        .map(|value| value.unwrap_or_else(|| "NULL".to_owned()))
                        .collect()
                })
                .collect();
            out!("{}", table(&names, &rows));
        }
    }
    Ok(())
}

/// Quoted for a POSIX shell.
fn shell_quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | ':' | '.' | '_' | '-');
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
