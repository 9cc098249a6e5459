//! An ordinary AWS client: boto3 in the local cloud's own Python, so that no code of pipectl stands on both sides.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

use serde_json::{Value, json};

/// AWS said no: its code and message.
#[derive(Debug)]
pub struct Refused {
    pub code: String,
    pub message: String,
}

pub struct Client {
    process: Child,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Client {
    /// Starts one with the variables of `pipectl local env`.
    pub fn start(python: &Path, variables: &[(String, String)]) -> Self {
        let mut process = Command::new(python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/client.py"))
            .env_clear()
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the local cloud's Python starts");
        let pipes = (
            process.stdin.take().unwrap(),
            BufReader::new(process.stdout.take().unwrap()),
        );
        Self {
            process,
            pipes: Mutex::new(pipes),
        }
    }

    pub fn call(&self, service: &str, operation: &str, arguments: Value) -> Result<Value, Refused> {
        self.call_as(&Value::Null, "https", service, operation, arguments)
    }

    /// The same with the credentials of a role, over `https` or `http`.
    pub fn call_as(
        &self,
        role: &Value,
        over: &str,
        service: &str,
        operation: &str,
        arguments: Value,
    ) -> Result<Value, Refused> {
        let call =
            json!({ "service": service, "operation": operation, "arguments": arguments, "over": over, "as": role });
        let mut pipes = self.pipes.lock().unwrap();
        writeln!(pipes.0, "{call}").unwrap();
        let mut line = String::new();
        pipes.1.read_line(&mut line).unwrap();
        let mut answer: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{call} broke the client"));
        match answer["refused"].as_str() {
            Some(code) => Err(Refused {
                code: code.to_owned(),
                message: answer["message"].to_string(),
            }),
            None => Ok(answer["answer"].take()),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
