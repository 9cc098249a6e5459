//! CloudFormation as a script tells it, for the statuses that the local cloud does not come to: a proxy that gives one
//! stack a status and events of its own, and takes the calls that lead out of it. Everything else is the local cloud's.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::cloud::Cloud;
use crate::message::{Message, Part};
use crate::run::Run;

/// What leads to the next stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// A call of this name, which the script answers.
    Call(&'static str),
    /// A call of this name, which the local cloud carries out.
    Real(&'static str),
    /// So many looks at the stack.
    Looks(usize),
    /// Nothing.
    Never,
}

/// A status that the stack has for a while. After the last stage it is what the local cloud says.
#[derive(Debug, Clone)]
pub struct Stage {
    pub status: &'static str,
    pub until: Until,
}

#[derive(Default)]
struct Script {
    stages: VecDeque<Stage>,
    looks: usize,
    /// Events so far, newest first.
    events: Vec<String>,
    /// The calls that it took, as they were sent.
    calls: Vec<String>,
    /// A call that is refused, whatever stack it is about.
    refused: Option<&'static str>,
}

/// The stack that the script is about.
const STACK: &str = "chinook-invoices-local-ingest";
/// The resource that fails in it, and why.
const RESOURCE: &str = "CopyQueue";
const REASON: &str = "the queue was taken away";

pub struct StandIn<'a> {
    cloud: &'a Cloud,
    script: Arc<Mutex<Script>>,
}

impl<'a> StandIn<'a> {
    /// Stands before the cloud for the commands that [`Self::run`] runs.
    pub fn before(cloud: &'a Cloud) -> Self {
        let folder = cloud.file().parent().unwrap().to_owned();
        let text = fs::read_to_string(folder.join("cloud/cloud.json")).unwrap();
        let mut state: Value = serde_json::from_str(&text).unwrap();
        let server = state["aws_url"].as_str().unwrap().to_owned();
        let server = server.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        state["aws_url"] = format!("http://{}", listener.local_addr().unwrap()).into();
        fs::write(folder.join("cloud.json"), state.to_string()).unwrap();
        let script = Arc::new(Mutex::new(Script::default()));
        let shared = script.clone();
        // It ends with the process: a blocked accept holds nothing that another test needs.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (server, shared) = (server.clone(), shared.clone());
                std::thread::spawn(move || {
                    // pipectl hangs up when it has ended.
                    let _ = serve(client, &server, &shared);
                });
            }
        });
        Self { cloud, script }
    }

    /// What the stack goes through from now on.
    pub fn plays(&self, stages: &[(&'static str, Until)]) {
        let mut script = self.script.lock().unwrap();
        *script = Script {
            stages: stages
                .iter()
                .map(|(status, until)| Stage { status, until: *until })
                .collect(),
            ..Script::default()
        };
        script.tell();
    }

    /// The credentials lack this right from now on.
    pub fn refuses(&self, action: &'static str) {
        self.script.lock().unwrap().refused = Some(action);
    }

    /// pipectl behind the stand-in.
    pub fn run(&self, words: &str) -> Run {
        let mut command: Command = self.cloud.command(words);
        Run::of(command.env("PIPECTL_LOCAL_DIR", self.cloud.file().parent().unwrap()))
    }

    /// The calls that the script took, by name, and whether it came to its end.
    pub fn took(&self) -> (Vec<String>, bool) {
        let script = self.script.lock().unwrap();
        (script.calls.clone(), script.stages.is_empty())
    }
}

impl Script {
    /// Puts the events of the stage that begins before the others.
    fn tell(&mut self) {
        let Some(stage) = self.stages.front() else { return };
        let number = self.events.len();
        let event = |number: usize, resource: &str, kind: &str, id: &str, status: &str, reason: &str| {
            format!(
                "<member><StackId>arn:x</StackId><EventId>scripted-{number}</EventId><StackName>{STACK}</StackName><LogicalResourceId>{resource}</LogicalResourceId><PhysicalResourceId>{id}</PhysicalResourceId><ResourceType>{kind}</ResourceType><Timestamp>2026-01-01T00:00:00Z</Timestamp><ResourceStatus>{status}</ResourceStatus><ResourceStatusReason>{reason}</ResourceStatusReason></member>"
            )
        };
        let kind = "AWS::CloudFormation::Stack";
        // What began it; then what failed in it.
        let begun = event(number, STACK, kind, "arn:x", "UPDATE_IN_PROGRESS", "User Initiated");
        self.events.insert(0, begun);
        if stage.status.ends_with("FAILED") || stage.status == "ROLLBACK_COMPLETE" {
            let failed = match stage.status {
                "DELETE_FAILED" => "DELETE_FAILED",
                "ROLLBACK_COMPLETE" | "CREATE_FAILED" | "ROLLBACK_FAILED" => "CREATE_FAILED",
                _ => "UPDATE_FAILED",
            };
            let failed = event(number + 1, RESOURCE, "AWS::SQS::Queue", "q", failed, REASON);
            self.events.insert(0, failed);
        }
        let status = event(number + 2, STACK, kind, "arn:x", stage.status, "");
        self.events.insert(0, status);
    }

    fn next(&mut self) {
        self.stages.pop_front();
        self.looks = 0;
        self.tell();
    }

    /// The answer of the script to a call, or `None` when the local cloud answers.
    fn answer(&mut self, action: &str, body: &str) -> Option<String> {
        let until = self.stages.front()?.until;
        if action == "DescribeStackEvents" {
            return Some(format!(
                "<DescribeStackEventsResponse><DescribeStackEventsResult><StackEvents>{}</StackEvents></DescribeStackEventsResult></DescribeStackEventsResponse>",
                self.events.concat()
            ));
        }
        let (expected, real) = match until {
            Until::Call(name) => (name, false),
            Until::Real(name) => (name, true),
            Until::Looks(_) | Until::Never => return None,
        };
        if action != expected {
            return None;
        }
        self.calls.push(body.to_owned());
        self.next();
        (!real).then(|| format!("<{action}Response><{action}Result></{action}Result></{action}Response>"))
    }

    /// What the local cloud says of its stacks, with the status of the stage.
    fn changed(&mut self, answer: &str) -> String {
        let Some(stage) = self.stages.front().cloned() else {
            return answer.to_owned();
        };
        let Some(at) = answer.find(&format!("<StackName>{STACK}</StackName>")) else {
            return answer.to_owned();
        };
        let (before, after) = answer.split_at(at);
        let (open, close) = ("<StackStatus>", "</StackStatus>");
        let (from, to) = (after.find(open).unwrap() + open.len(), after.find(close).unwrap());
        let changed = format!("{before}{}{}{}", &after[..from], stage.status, &after[to..]);
        self.looks += 1;
        if matches!(stage.until, Until::Looks(looks) if self.looks >= looks) {
            self.next();
        }
        changed
    }
}

fn serve(client: TcpStream, server: &str, script: &Mutex<Script>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut to_client = client.try_clone()?;
    let mut client = BufReader::new(client);
    while let Some(request) = Message::read(&mut client, Part::Request, &mut to_client)? {
        let body = String::from_utf8_lossy(&request.body()).into_owned();
        let field = |name: &str| {
            body.split('&')
                .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        };
        let action = field("Action").unwrap_or_default().to_owned();
        if script.lock().unwrap().refused == Some(action.as_str()) {
            to_client.write_all(REFUSAL.as_bytes())?;
            return Ok(());
        }
        if field("StackName") == Some(STACK)
            && let Some(answer) = script.lock().unwrap().answer(&action, &body)
        {
            to_client.write_all(&xml(&answer))?;
            continue;
        }
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        (&stream).write_all(&request.bytes)?;
        let part = if request.method() == "HEAD" {
            Part::Head
        } else {
            Part::Answer
        };
        let answer =
            Message::read(&mut BufReader::new(stream), part, &mut io::sink())?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let is_about_stacks = action == "DescribeStacks" && answer.head[0].contains(" 200");
        if is_about_stacks {
            let text = String::from_utf8_lossy(&answer.body()).into_owned();
            to_client.write_all(&xml(&script.lock().unwrap().changed(&text)))?;
        } else {
            to_client.write_all(&answer.bytes)?;
        }
        if answer.closes() {
            return Ok(());
        }
    }
    Ok(())
}

const REFUSAL: &str = "HTTP/1.1 403 Forbidden\r\ncontent-type: text/xml\r\nconnection: close\r\n\r\n<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized</Message></Error><RequestId>1</RequestId></ErrorResponse>";

fn xml(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}
