//! The data plane: what runs inside AWS Lambda, and as a service.
//!
//! One binary serves every function of a pipeline. Lambda passes the function's handler name in `_HANDLER`
//! (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>), and `HANDLERS` says what that name
//! means. A new handler is a new file and one line in that table.
//!
//! Panics are caught per message, so the binary must not be built with `panic = "abort"`.

pub(crate) mod alert;
mod apply;
mod aws;
pub mod binlog;
mod copy;
mod deadline;
pub mod extract;
mod fault;
mod invocation;
mod json_lines;
pub(crate) mod kinesis;
mod letters;
mod log;
pub mod mysql;
pub mod parameter;
mod python_dict;
mod s3_event;
mod settings;
mod sqs;
mod store;
mod transform;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use futures::future::BoxFuture;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use tokio::runtime::Builder;

use deadline::Deadline;
use log::Line;
use settings::Settings;

pub use binlog::{LocalBinlog, write_changes};
pub use extract::{LocalTable, write_lines};
pub use transform::answer_records;
pub(crate) use transform::refusal;

/// What answers one invocation.
pub trait Handler: Send + Sync {
    /// Answers one event. An error makes the whole invocation fail, so that its event comes again.
    fn handle(self: Arc<Self>, event: Value, deadline: Deadline) -> BoxFuture<'static, anyhow::Result<Value>>;
}

/// What answers large events without building values of them.
trait TextHandler: Send + Sync {
    /// Answers one event, which is JSON, with JSON. An error makes the whole invocation fail, so that its event comes again.
    fn answer(&self, event: &str) -> anyhow::Result<String>;
}

/// A handler under way, as settings and clients are read first.
type Starting = BoxFuture<'static, anyhow::Result<Arc<dyn Handler>>>;

/// Makes a handler from its settings, once per process.
#[derive(Clone, Copy)]
enum Start {
    Values(fn(Settings) -> Starting),
    Text(fn(&Settings) -> anyhow::Result<Box<dyn TextHandler>>),
}

/// Every handler by the name that `_HANDLER` holds.
const HANDLERS: &[(&str, Start)] = &[
    ("alert", Start::Values(alert::start)),
    ("apply", Start::Values(apply::start)),
    ("copy", Start::Values(copy::start)),
    ("extract", Start::Values(extract::start)),
    ("transform", Start::Text(transform::start)),
];

/// A function of this many megabytes has one processor, one of fewer a part of it:
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>.
const ONE_PROCESSOR: u32 = 1769;

/// Serves invocations until Lambda ends the process.
///
/// With the name of a service as its argument the process is that service instead, until it is ended.
pub fn main() -> ExitCode {
    let settings = Settings::from_process();
    // On one processor threads would only wait for each other.
    let memory = settings
        .optional("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        .and_then(|size| size.parse().ok());
    let mut threads = match memory {
        Some(0..=ONE_PROCESSOR) => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    let done = match threads.enable_all().build() {
        Ok(threads) => threads.block_on(run(settings)),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            Line::error("start").detail(format!("{error:#}")).write();
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: Settings) -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("binlog") => binlog::main(settings).await,
        Some(other) => bail!("there is no service `{other}`; there is: binlog"),
        None => serve(settings).await,
    }
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let start = find(settings.required("_HANDLER")?)?;
    // lambda_runtime panics when one of these is absent; naming it is kinder.
    for name in [
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_VERSION",
    ] {
        settings.required(name)?;
    }
    let served = match start {
        Start::Values(start) => {
            let handler = start(settings).await?;
            lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
                let deadline = Deadline::at(event.context.deadline());
                let handler = Arc::clone(&handler);
                async move {
                    handler
                        .handle(event.payload, deadline)
                        .await
                        .map_err(|error| failure(&error))
                }
            }))
            .await
        }
        Start::Text(start) => {
            let handler = start(&settings)?;
            let address = settings.required("AWS_LAMBDA_RUNTIME_API")?;
            match invocation::serve(address, handler.as_ref()).await? {}
        }
    };
    served.map_err(|error| anyhow::anyhow!("the Lambda runtime API: {error}"))
}

/// What Lambda is told of an invocation that failed, and the log.
fn failure(error: &anyhow::Error) -> lambda_runtime::Error {
    Line::error("invocation").detail(format!("{error:#}")).write();
    lambda_runtime::Error::from(format!("{error:#}"))
}

fn find(name: &str) -> anyhow::Result<Start> {
    HANDLERS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, start)| *start)
        .ok_or_else(|| {
            let known: Vec<&str> = HANDLERS.iter().map(|(name, _)| *name).collect();
            anyhow::anyhow!(
                "_HANDLER is `{name}`, which this binary does not have; it has: {}",
                known.join(", ")
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handlers_are_found_by_name() {
        assert!(find("copy").is_ok());
        let error = find("cpoy").map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("`cpoy`") && error.contains("copy"), "{error}");
    }
}
