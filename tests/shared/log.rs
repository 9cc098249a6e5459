//! A process that logs JSON lines.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// A running process and what it has logged. It ends with this value.
pub struct Logged {
    process: Child,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Logged {
    /// Starts it; every line of its output must be JSON.
    pub fn start(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (kept, out) = (Arc::clone(&lines), BufReader::new(process.stdout.take().unwrap()));
        std::thread::spawn(move || {
            for line in out.lines() {
                let line = serde_json::from_str(&line.unwrap()).expect("a log line is JSON");
                kept.lock().unwrap().push(line);
            }
        });
        Self { process, lines }
    }

    /// The whole log so far.
    pub fn log(&self) -> Vec<Value> {
        self.lines.lock().unwrap().clone()
    }

    /// The log since it was last taken.
    pub fn take(&self) -> Vec<Value> {
        std::mem::take(&mut self.lines.lock().unwrap())
    }

    /// The most memory the process ever had, in MiB.
    pub fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
