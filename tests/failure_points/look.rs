//! What stands in a cloud, seen by a client that shares no code with pipectl.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

pub struct Look {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Look {
    pub fn start(python: &Path, cloud_json: &Path) -> Self {
        let mut process = Command::new(python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/failure_points/look.py"))
            .arg(cloud_json)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the local cloud's Python starts");
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Self {
            process,
            input,
            output: BufReader::new(output),
        }
    }

    /// Stacks, objects, grants and rows.
    pub fn snapshot(&mut self) -> Result<Value, String> {
        self.ask(json!({ "do": "snapshot" }))
    }

    /// Rows only.
    pub fn rows(&mut self) -> Result<Value, String> {
        self.ask(json!({ "do": "rows" }))
    }

    pub fn put(&mut self, bucket: &str, key: &str, file: &Path) -> Result<(), String> {
        self.ask(json!({ "do": "put", "bucket": bucket, "key": key, "file": file }))
            .map(drop)
    }

    /// Changes the `pipe` or the `stage` by hand, so that only a new one is right.
    pub fn drift(&mut self, what: &str) -> Result<(), String> {
        self.ask(json!({ "do": "drift", "what": what })).map(drop)
    }

    fn ask(&mut self, request: Value) -> Result<Value, String> {
        writeln!(self.input, "{request}").map_err(|error| error.to_string())?;
        let mut line = String::new();
        self.output.read_line(&mut line).map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&line).map_err(|error| format!("{request}: {error}: {line}"))?;
        match answer["error"].as_str() {
            Some(error) => Err(format!("{request}: {error}")),
            None => Ok(answer),
        }
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where two values differ, a line for each place.
pub fn differences(path: &str, wanted: &Value, found: &Value, lines: &mut Vec<String>) {
    match (wanted, found) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let null = Value::Null;
                let (a, b) = (a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null));
                differences(&format!("{path}/{key}"), a, b, lines);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}[{at}]"), a, b, lines);
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            let without = |these: &Vec<Value>, those: &Vec<Value>| {
                let only: Vec<String> = these.iter().filter(|item| !those.contains(item)).map(shown).collect();
                only.join(", ")
            };
            lines.push(format!(
                "{path}: missing [{}], too much [{}]",
                without(a, b),
                without(b, a)
            ));
        }
        (a, b) if a == b => {}
        (a, b) => lines.push(format!("{path}: wanted {}, found {}", shown(a), shown(b))),
    }
}

fn shown(value: &Value) -> String {
    value.to_string().chars().take(400).collect()
}
