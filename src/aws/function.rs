//! Calls of the pipeline's functions, answered in the same request.

use std::time::Duration;

use anyhow::{Context as _, bail};
use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_lambda::operation::invoke::InvokeOutput;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::LogType;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::Aws;
use super::failure::explain;
use crate::pace::Pace;

/// How often an invocation is tried that Lambda ended: it ran out of time or memory, or its machine went away.
const TRIES: u32 = 3;
/// Lambda gives a function at most 15 minutes, and the answer comes a little later:
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html>.
const LONGEST: Duration = Duration::from_secs(15 * 60 + 20);

/// A function of the pipeline.
pub struct Function<'a> {
    aws: &'a Aws,
    name: String,
}

/// The function was not deployed.
#[derive(Debug, thiserror::Error)]
#[error("the function {0} is not there\n  hint: run pipectl deploy first; `pipectl status` shows what is")]
pub struct Absent(String);

/// What an invocation came to, where it gave no answer.
#[derive(Debug, PartialEq, Eq)]
struct Failed {
    /// The function's own words, or Lambda's.
    message: String,
    /// Whether Lambda ended it, and not the function itself.
    is_cut_off: bool,
}

impl<'a> Function<'a> {
    /// The function of this name.
    pub fn new(aws: &'a Aws, name: String) -> Self {
        Self { aws, name }
    }

    /// Invokes it and gives its answer. Throttled calls are repeated by the SDK; invocations that Lambda ended, here, so
    /// what is asked must do no harm twice. `said` hears of each repetition.
    pub async fn invoke(&self, event: &Value, said: &(dyn Fn(&str) + Send + Sync)) -> anyhow::Result<Value> {
        let mut pace = Pace::default();
        for attempt in 1.. {
            let answer = self.once(event).await?;
            let Some(failed) = failed(&answer) else {
                let payload = answer.payload.map(Blob::into_inner).unwrap_or_default();
                return serde_json::from_slice(&payload)
                    .with_context(|| format!("the answer of the function {}", self.name));
            };
            if !failed.is_cut_off || attempt == TRIES {
                let hint = match failed.message.contains("unknown variant") {
                    true => {
                        "the deployed function is of another version than this program; run pipectl deploy".to_owned()
                    }
                    false => format!("its whole log is in the log group /aws/lambda/{}", self.name),
                };
                bail!(
                    "the function {} failed: {}{}\n  hint: {hint}",
                    self.name,
                    failed.message,
                    last_error(&answer, &failed.message)
                );
            }
            said(&format!(
                "the function {} was cut off ({}); trying again",
                self.name, failed.message
            ));
            pace.pause().await;
        }
        bail!("the function {} gave no answer", self.name)
    }

    async fn once(&self, event: &Value) -> anyhow::Result<InvokeOutput> {
        let request = self
            .aws
            .lambda
            .invoke()
            .function_name(&self.name)
            .log_type(LogType::Tail)
            .payload(Blob::new(event.to_string()));
        match request.send().await {
            Ok(answer) => Ok(answer),
            Err(SdkError::ServiceError(error)) if error.err().code() == Some("ResourceNotFoundException") => {
                Err(Absent(self.name.clone()).into())
            }
            Err(error) => Err(explain(&format!("lambda:Invoke of {}", self.name), error)),
        }
    }
}

/// A client that waits as long as a function may take.
pub fn client(config: &aws_config::SdkConfig) -> Client {
    let timeouts = config
        .timeout_config()
        .map(|timeouts| timeouts.to_builder())
        .unwrap_or_default();
    let timeouts = timeouts
        .operation_attempt_timeout(LONGEST)
        .operation_timeout(LONGEST * 2)
        .build();
    Client::from_conf(
        aws_sdk_lambda::config::Builder::from(config)
            .timeout_config(timeouts)
            .build(),
    )
}

/// Why there is no answer. What Lambda writes when it ends a function: <https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html>.
fn failed(answer: &InvokeOutput) -> Option<Failed> {
    answer.function_error()?;
    let told: Value = answer
        .payload()
        .and_then(|payload| serde_json::from_slice(payload.as_ref()).ok())
        .unwrap_or_default();
    let kind = told["errorType"].as_str().unwrap_or_default();
    let message = told["errorMessage"].as_str().unwrap_or("it said nothing");
    let is_cut_off = message.contains("Task timed out")
        || matches!(kind, "Sandbox.Timedout" | "Runtime.ExitError" | "Runtime.Unknown");
    Some(Failed {
        message: message.to_owned(),
        is_cut_off,
    })
}

/// The last line of the log that tells of an error, where it says more than the message.
fn last_error(answer: &InvokeOutput, message: &str) -> String {
    let log = answer
        .log_result()
        .and_then(|log| BASE64_STANDARD.decode(log).ok())
        .unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let line = log
        .lines()
        .rev()
        .find(|line| line.contains("\"ERROR\"") || line.contains("[ERROR]"));
    match line.map(str::trim) {
        Some(line) if !line.contains(message) => format!("\n  last error in its log: {line}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(payload: &str, log: &str) -> InvokeOutput {
        InvokeOutput::builder()
            .status_code(200)
            .function_error("Unhandled")
            .payload(Blob::new(payload))
            .log_result(BASE64_STANDARD.encode(log))
            .build()
    }

    #[test]
    fn what_lambda_ended_is_tried_again_and_an_answer_is_not() {
        let cut = |payload: &str| failed(&answer(payload, "")).unwrap().is_cut_off;
        assert!(cut(
            r#"{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: x Error: Task timed out after 900.00 seconds"}"#
        ));
        assert!(cut(
            r#"{"errorMessage":"2026-11-21T09:00:00Z x Task timed out after 3.00 seconds"}"#
        ));
        assert!(cut(
            r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: x Error: Runtime exited with error: signal: killed"}"#
        ));
        assert!(!cut(
            r#"{"errorType":"Error","errorMessage":"the table shop.t does not exist"}"#
        ));
        assert_eq!(failed(&InvokeOutput::builder().status_code(200).build()), None);
    }

    #[test]
    fn the_last_error_of_the_log_is_told_once() {
        let log = "{\"level\":\"INFO\",\"detail\":\"a\"}\n{\"level\":\"ERROR\",\"detail\":\"no route to host\"}\nREPORT RequestId: x\n";
        assert_eq!(
            last_error(&answer("{}", log), "failed"),
            "\n  last error in its log: {\"level\":\"ERROR\",\"detail\":\"no route to host\"}"
        );
        assert_eq!(last_error(&answer("{}", log), "no route to host"), "");
    }
}
