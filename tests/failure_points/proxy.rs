//! An HTTP proxy before both clouds that counts the calls of one run of pipectl and makes one of them fail.
//!
//! One thread for each connection, HTTP/1.1 as pipectl's two clients and the two servers speak it.

use std::io::{self, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::message::{Message, Part};

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// pipectl is killed before the call reaches the cloud.
    KillBefore,
    /// pipectl is killed after the cloud has carried the call out.
    KillAfter,
    /// The connection is lost before the call reaches the cloud.
    DropBefore,
    /// The call is carried out and its answer is lost.
    DropAfter,
    /// An answer that no client tries again: access denied by AWS, 422 from Snowflake.
    Refuse,
    /// An error of the server: 500 from AWS, 503 from Snowflake.
    Error,
    /// Too many requests: throttling by AWS, 429 from Snowflake.
    Throttle,
    /// No answer for a while, then the connection is closed.
    Stall,
    /// No answer at all, until the client gives up.
    Hang,
}

/// How long a stalled call is silent.
const STALL: Duration = Duration::from_secs(2);

pub const KINDS: [Kind; 9] = [
    Kind::KillBefore,
    Kind::KillAfter,
    Kind::DropBefore,
    Kind::DropAfter,
    Kind::Refuse,
    Kind::Error,
    Kind::Throttle,
    Kind::Stall,
    Kind::Hang,
];

impl Kind {
    /// Its name in `PIPECTL_FAILURE_POINTS`.
    pub fn word(self) -> &'static str {
        match self {
            Self::KillBefore => "kill-before",
            Self::KillAfter => "kill-after",
            Self::DropBefore => "drop-before",
            Self::DropAfter => "drop-after",
            Self::Refuse => "refuse",
            Self::Error => "error",
            Self::Throttle => "throttle",
            Self::Stall => "stall",
            Self::Hang => "hang",
        }
    }

    pub fn kills(self) -> bool {
        matches!(self, Self::KillBefore | Self::KillAfter)
    }
}

/// What a run did.
pub struct Told {
    pub calls: usize,
    /// The call that failed, in words.
    pub failed: Option<String>,
}

#[derive(Default)]
struct Run {
    /// Connections of an earlier run still end while the next one runs; they count no more.
    number: u64,
    calls: usize,
    failure: Option<(Kind, usize)>,
    failed: Option<String>,
    pid: Option<u32>,
}

#[derive(Default)]
struct Shared {
    run: Mutex<Run>,
    started: Condvar,
}

impl Shared {
    fn run(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

pub struct Proxy {
    pub aws_url: String,
    pub snowflake_url: String,
    shared: Arc<Shared>,
}

impl Proxy {
    pub fn start(aws: &str, snowflake: &str) -> Self {
        let shared = Arc::new(Shared::default());
        let listen = |server: &str, is_aws: bool| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let server = server.trim_start_matches("http://").trim_end_matches('/').to_owned();
            let shared = shared.clone();
            // It ends with the process: a blocked accept holds nothing that another test needs.
            std::thread::spawn(move || {
                for client in listener.incoming().flatten() {
                    let (server, shared) = (server.clone(), shared.clone());
                    std::thread::spawn(move || {
                        // A connection that breaks is what this is for.
                        let _ = serve(client, &server, is_aws, &shared);
                    });
                }
            });
            url
        };
        let (aws_url, snowflake_url) = (listen(aws, true), listen(snowflake, false));
        Self {
            aws_url,
            snowflake_url,
            shared,
        }
    }

    /// The next run, and which of its calls is to fail.
    pub fn arm(&self, failure: Option<(Kind, usize)>) {
        let mut run = self.shared.run();
        *run = Run {
            number: run.number + 1,
            failure,
            ..Run::default()
        };
    }

    /// The process of the run, which a failure may kill.
    pub fn runs(&self, pid: u32) {
        self.shared.run().pid = Some(pid);
        self.shared.started.notify_all();
    }

    /// What the run did.
    pub fn told(&self) -> Told {
        let run = self.shared.run();
        Told {
            calls: run.calls,
            failed: run.failed.clone(),
        }
    }
}

/// Ends a process at once.
pub fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn serve(client: TcpStream, server: &str, is_aws: bool, shared: &Shared) -> io::Result<()> {
    let of_run = shared.run().number;
    client.set_nodelay(true)?;
    let mut to_client = client.try_clone()?;
    let mut client = BufReader::new(client);
    let mut upstream: Option<(TcpStream, BufReader<TcpStream>)> = None;
    while let Some(request) = Message::read(&mut client, Part::Request, &mut to_client)? {
        let failure = next_call(shared, of_run, &request);
        match failure {
            Some((Kind::KillBefore, pid)) => {
                kill(pid);
                return Ok(());
            }
            Some((Kind::DropBefore, _)) => return Ok(()),
            Some((Kind::Stall, _)) => {
                std::thread::sleep(STALL);
                return Ok(());
            }
            Some((Kind::Hang, _)) => {
                // Until the client hangs up.
                io::copy(&mut client, &mut io::sink())?;
                return Ok(());
            }
            Some((kind @ (Kind::Refuse | Kind::Error | Kind::Throttle), _)) => {
                to_client.write_all(&refusal(kind, is_aws, &request))?;
                continue;
            }
            Some((Kind::KillAfter | Kind::DropAfter, _)) | None => {}
        }
        let (to_server, from_server) = match &mut upstream {
            Some(open) => open,
            None => {
                let stream = TcpStream::connect(server)?;
                stream.set_nodelay(true)?;
                upstream.insert((stream.try_clone()?, BufReader::new(stream)))
            }
        };
        to_server.write_all(&request.bytes)?;
        let part = if request.method() == "HEAD" {
            Part::Head
        } else {
            Part::Answer
        };
        let answer = Message::read(from_server, part, &mut io::sink())?.ok_or(io::ErrorKind::UnexpectedEof)?;
        match failure {
            Some((Kind::KillAfter, pid)) => {
                kill(pid);
                return Ok(());
            }
            Some(_) => return Ok(()),
            None => to_client.write_all(&answer.bytes)?,
        }
        if answer.closes() {
            return Ok(());
        }
    }
    Ok(())
}

/// Counts a call, and says whether it is the one that fails, and whose it is.
fn next_call(shared: &Shared, of_run: u64, request: &Message) -> Option<(Kind, u32)> {
    let mut run = shared.run();
    if run.number != of_run {
        return None;
    }
    run.calls += 1;
    let (kind, at) = run.failure?;
    if run.calls != at {
        return None;
    }
    run.failed = Some(told(request));
    while run.pid.is_none() {
        let waited = shared.started.wait_timeout(run, Duration::from_secs(10));
        run = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
    }
    run.pid.map(|pid| (kind, pid))
}

/// An error as the service of the request writes it.
fn refusal(kind: Kind, is_aws: bool, request: &Message) -> Vec<u8> {
    let (status, content, body) = if !is_aws {
        let body = r#"{"code":"000603","message":"SQL execution internal error: processing aborted (by the test's proxy)","sqlState":"XX000","statementHandle":"01b00000-0000-0000-0000-000000000000"}"#;
        let status = match kind {
            Kind::Throttle => 429,
            Kind::Error => 503,
            _ => 422,
        };
        (status, "application/json", body.to_owned())
    } else if request.header("x-amz-target").is_some() {
        let (status, code) = match kind {
            Kind::Throttle => (400, "ThrottlingException"),
            Kind::Error => (500, "InternalServerError"),
            _ => (400, "AccessDeniedException"),
        };
        let body = format!(r#"{{"__type":"{code}","message":"by the test's proxy"}}"#);
        (status, "application/x-amz-json-1.1", body)
    } else if request
        .header("content-type")
        .is_some_and(|kind| kind.contains("form-urlencoded"))
    {
        let (status, code) = match kind {
            Kind::Throttle => (400, "Throttling"),
            Kind::Error => (500, "InternalFailure"),
            _ => (403, "AccessDenied"),
        };
        let body = format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>by the test's proxy</Message></Error><RequestId>1</RequestId></ErrorResponse>"
        );
        (status, "text/xml", body)
    } else {
        let (status, code) = match kind {
            Kind::Throttle => (503, "SlowDown"),
            Kind::Error => (500, "InternalError"),
            _ => (403, "AccessDenied"),
        };
        let body = format!("<Error><Code>{code}</Code><Message>by the test's proxy</Message></Error>");
        (status, "application/xml", body)
    };
    let body = if request.method() == "HEAD" {
        String::new()
    } else {
        body
    };
    let length = body.len();
    format!("HTTP/1.1 {status} Failed\r\ncontent-type: {content}\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// The request line and what tells the call: the target, the action or the statement.
fn told(request: &Message) -> String {
    let body: String = String::from_utf8_lossy(&request.body()).chars().take(300).collect();
    let target = request.header("x-amz-target").unwrap_or_default();
    format!("{} {target} {body}", request.head[0])
}
