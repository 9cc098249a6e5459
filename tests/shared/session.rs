//! A session of MariaDB's command-line client that stays open.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The open session. What is not committed when it ends is rolled back.
pub struct Session {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    /// Starts the client.
    pub fn of(mut client: Command) -> Self {
        let client = client.arg("--unbuffered").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = client.spawn().unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { process, input, output }
    }

    /// Runs statements and waits until they are done.
    pub fn run(&mut self, statements: &str) {
        writeln!(self.input, "{statements};\nSELECT 'done';").unwrap();
        let mut line = String::new();
        while line != "done\n" {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "{statements}");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
