//! A run of pipectl: signals while it goes on, and what it said when it has ended.

use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
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

/// A run that goes on; what it says can be read, or is kept for [`ended`].
pub fn started(mut command: Command) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for its end.
pub fn ended(child: Child) -> Run {
    Run::ended(child.wait_with_output().unwrap())
}

/// Has it stand still.
pub fn stop(child: &Child) {
    signal(child, Signal::STOP);
}

pub fn go_on(child: &Child) {
    signal(child, Signal::CONT);
}

pub fn signal(child: &Child, signal: Signal) {
    // One that has ended is still there until it is waited for.
    kill_process(Pid::from_child(child), signal).unwrap();
}
