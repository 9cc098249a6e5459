//! A run of pipectl that has ended, and what it said.

use std::process::{Command, Stdio};

use serde_json::Value;

#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn of(command: &mut Command) -> Self {
        let output = command.stdin(Stdio::null()).output().expect("pipectl starts");
        Self::ended(output)
    }

    pub fn ended(output: std::process::Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("pipectl prints UTF-8");
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    #[track_caller]
    pub fn prints(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "stdout has no {text:?}:\n{}", self.stdout);
        self
    }

    #[track_caller]
    pub fn complains(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "stderr has no {text:?}:\n{}", self.stderr);
        self
    }

    /// The one JSON document that stdout is.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!(
                "stdout is not one JSON document ({error}):\n{}\n{}",
                self.stdout, self.stderr
            )
        })
    }

    /// The rows of `local sql --format json`.
    #[track_caller]
    pub fn rows(&self) -> Vec<Vec<String>> {
        let document = self.json();
        let value = |value: &Value| value.as_str().unwrap_or("NULL").to_owned();
        let row = |row: &Value| row.as_array().unwrap().iter().map(value).collect();
        document["rows"].as_array().unwrap().iter().map(row).collect()
    }
}
