//! A process that logs JSON lines.

use std::io::{ErrorKind, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;

/// A running process and what it has logged. It ends with this value.
pub struct Logged {
    process: Child,
    out: Arc<Mutex<Out>>,
}

/// The output of a process. Whoever looks at it takes what was written until then, so that a line is never missed that
/// came before an answer.
struct Out {
    from: UnixStream,
    begun: Vec<u8>,
    lines: Vec<Value>,
}

impl Logged {
    /// Starts it; every line of its output must be JSON.
    pub fn start(command: &mut Command) -> Self {
        let (from, to) = UnixStream::pair().unwrap();
        from.set_nonblocking(true).unwrap();
        let process = command.stdout(OwnedFd::from(to)).spawn().unwrap();
        // Its end of the pair stays with the command otherwise, and is open for as long.
        command.stdout(Stdio::null());
        let out = Arc::new(Mutex::new(Out {
            from,
            begun: Vec::new(),
            lines: Vec::new(),
        }));
        let kept = Arc::downgrade(&out);
        // A process must not wait for somebody to look.
        std::thread::spawn(move || {
            while kept.upgrade().is_some_and(|out| out.lock().unwrap().read()) {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self { process, out }
    }

    fn out(&self) -> MutexGuard<'_, Out> {
        let mut out = self.out.lock().unwrap();
        out.read();
        out
    }

    /// The whole log so far.
    pub fn log(&self) -> Vec<Value> {
        self.out().lines.clone()
    }

    /// The log since it was last taken.
    pub fn take(&self) -> Vec<Value> {
        std::mem::take(&mut self.out().lines)
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

impl Out {
    /// Takes what there is; whether more may come.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 64 << 10];
        loop {
            match self.from.read(&mut bytes) {
                Ok(0) => return false,
                Ok(count) => self.begun.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        if let Some(end) = self.begun.iter().rposition(|byte| *byte == b'\n') {
            let whole: Vec<u8> = self.begun.drain(..=end).collect();
            let lines = std::str::from_utf8(&whole).expect("a log is UTF-8").lines();
            self.lines
                .extend(lines.map(|line| serde_json::from_str::<Value>(line).expect("a log line is JSON")));
        }
        true
    }
}
