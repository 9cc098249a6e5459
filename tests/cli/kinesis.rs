//! Kinesis as it is on a bad day: a server between a function and the local cloud's stream.

use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::cloud::Cloud;
use crate::message::{Message, Part};

/// What happens to PutRecords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Day {
    Good,
    /// Every third record is refused, as by a shard that is busy.
    Throttled,
    /// The process that asks is killed when the stream has taken so many requests, before it hears of the last.
    Kills(usize),
}

/// The server. What it did can be read while it runs.
pub struct BadDay {
    pub endpoint: String,
    cloud: String,
    state: Mutex<State>,
}

struct State {
    day: Day,
    refused: usize,
    kills: usize,
}

impl BadDay {
    /// Starts one, on a throttled day.
    pub fn start(cloud: &Cloud) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let bad = Arc::new(Self {
            endpoint: format!("http://{}", listener.local_addr().unwrap()),
            cloud: cloud.variable("AWS_ENDPOINT_URL").replace("http://", ""),
            state: Mutex::new(State {
                day: Day::Throttled,
                refused: 0,
                kills: 0,
            }),
        });
        let shared = Arc::clone(&bad);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.serve(&stream));
            }
        });
        bad
    }

    /// Starts one, and sends the function of this name to it.
    pub fn before(cloud: &Cloud, function: &str) -> Arc<Self> {
        let bad = Self::start(cloud);
        let named = json!({ "FunctionName": function });
        let mut environment = cloud.aws("lambda", "get_function_configuration", named)["Environment"].clone();
        environment["Variables"]["AWS_ENDPOINT_URL_KINESIS"] = json!(bad.endpoint);
        let changed = json!({ "FunctionName": function, "Environment": environment });
        cloud.aws("lambda", "update_function_configuration", changed);
        bad
    }

    pub fn set(&self, day: Day) {
        self.state.lock().unwrap().day = day;
    }

    /// Records refused so far.
    pub fn refused(&self) -> usize {
        self.state.lock().unwrap().refused
    }

    /// Times that processes were killed.
    pub fn kills(&self) -> usize {
        self.state.lock().unwrap().kills
    }

    fn serve(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        let mut writer = stream;
        while let Ok(Some(request)) = Message::read(&mut reader, Part::Request, &mut writer) {
            let Some(answer) = self.answer(&request) else { return };
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1";
            let sent = write!(writer, "{head}\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
            if sent.is_err() {
                return;
            }
        }
    }

    /// The stream's answer, or nothing where nobody lives who would hear it.
    fn answer(&self, request: &Message) -> Option<String> {
        let day = self.state.lock().unwrap().day;
        let (refused, answer) = match day {
            Day::Throttled => self.refuse_some(request)?,
            Day::Good | Day::Kills(_) => (0, self.pass(request, &request.body()).ok()?),
        };
        let mut state = self.state.lock().unwrap();
        state.refused += refused;
        if let Day::Kills(left) = state.day {
            state.day = Day::Kills(left.saturating_sub(1));
            if left <= 1 {
                state.day = Day::Good;
                state.kills += kill(&format!("AWS_ENDPOINT_URL_KINESIS={}", self.endpoint));
                return None;
            }
        }
        Some(answer)
    }

    /// Has the stream take two of three records. Gives how many it refused, and the answer.
    fn refuse_some(&self, request: &Message) -> Option<(usize, String)> {
        let body: Value = serde_json::from_slice(&request.body()).unwrap();
        let records = body["Records"].as_array().cloned().unwrap_or_default();
        let is_refused = |place: usize| place % 3 == 2;
        let taken: Vec<&Value> = records
            .iter()
            .enumerate()
            .filter_map(|(place, record)| (!is_refused(place)).then_some(record))
            .collect();
        let mut passed = body.clone();
        passed["Records"] = json!(taken);
        let answer: Value = serde_json::from_str(&self.pass(request, passed.to_string().as_bytes()).ok()?).ok()?;
        let mut entries = answer["Records"].as_array().unwrap().iter();
        let merged: Vec<Value> = (0..records.len())
            .map(|place| match is_refused(place) {
                true => json!({ "ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded for shard" }),
                false => entries.next().unwrap().clone(),
            })
            .collect();
        let refused = records.len() - taken.len();
        Some((
            refused,
            json!({ "FailedRecordCount": refused, "Records": merged }).to_string(),
        ))
    }

    fn pass(&self, request: &Message, body: &[u8]) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(&self.cloud)?;
        let of_body = |line: &&String| {
            let line = line.to_ascii_lowercase();
            let names = ["content-length:", "transfer-encoding:", "connection:", "expect:"];
            !names.iter().any(|name| line.starts_with(name))
        };
        let head: Vec<&str> = request.head.iter().filter(of_body).map(String::as_str).collect();
        let (head, length) = (head.join("\r\n"), body.len());
        write!(
            stream,
            "{head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        )?;
        stream.write_all(body)?;
        let mut reader = BufReader::new(&stream);
        let answer =
            Message::read(&mut reader, Part::Answer, &mut std::io::sink())?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        String::from_utf8(answer.body().to_vec()).map_err(std::io::Error::other)
    }
}

/// Kills the processes that have this in their environment, `NAME=value`; gives how many there were.
pub fn kill(wanted: &str) -> usize {
    use rustix::process::{Pid, Signal, kill_process};

    let numbers = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let own = numbers.filter(|number| {
        let environment = std::fs::read(format!("/proc/{number}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == wanted.as_bytes())
    });
    own.filter(|number| {
        let process = Pid::from_raw(*number).unwrap();
        kill_process(process, Signal::KILL).is_ok()
    })
    .count()
}
