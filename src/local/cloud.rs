//! Starting and stopping the local cloud.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use tokio::net::TcpStream;

use super::process::Starting;
use super::state::{self, State};
use super::{UpOptions, environment, lock, package, process};

const START_TIMEOUT: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// A connection that takes this long is asked for once more, as long as the cloud's process lives.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);
const LOGS: [&str; 3] = ["cloud.log", "aws.log", "snowflake.log"];
const SHOWN_LINES: usize = 12;
/// Exit code of a cloud that finds another in its folder.
const ALREADY_RUNNING: i32 = 3;

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It runs and answers.
    Up(Box<State>),
    /// It runs and has taken no connection for a minute.
    Busy(Box<State>),
    /// A state file of a cloud that has ended, or one of whose servers has.
    Stale,
    /// Nothing.
    Down,
}

/// Gives the running local cloud, and starts it when there is none.
pub async fn up(options: &UpOptions, progress: &dyn Fn(&str)) -> anyhow::Result<State> {
    let directory = &options.directory;
    make_private(directory)?;
    let _lock = lock::take(
        &directory.join("lock"),
        "that starts or stops the local cloud",
        progress,
    )
    .await?;
    match status(directory).await? {
        Status::Up(state) => return fitting(*state, options),
        Status::Busy(state) => bail!(
            "the local cloud (process {}) runs, but has taken no connection for {} seconds\n  \
             hint: try again when it has less to do, or: pipectl local down (its data is lost), then up again",
            state.pid,
            BUSY_TIMEOUT.as_secs()
        ),
        // A state file of another form is that of another version.
        Status::Stale if State::read(directory)?.is_none() && running(directory).await.is_some() => {
            return Err(of_another_version());
        }
        Status::Stale => {
            clear_away(directory, &|| {
                progress("Clearing away a local cloud that does not answer")
            })
            .await?;
        }
        Status::Down => {}
    }
    start(options, progress).await
}

/// Stops it. `false` when none was there.
pub async fn down(options: &UpOptions, progress: &dyn Fn(&str)) -> anyhow::Result<bool> {
    let directory = &options.directory;
    if !directory.is_dir() {
        return Ok(false);
    }
    let _lock = lock::take(
        &directory.join("lock"),
        "that starts or stops the local cloud",
        progress,
    )
    .await?;
    if !state::file(directory).exists() {
        return Ok(false);
    }
    clear_away(directory, &|| progress("Stopping the local cloud")).await
}

/// Stops what lives of a cloud, and removes its state file; whether any did.
async fn clear_away(directory: &Path, progress: &dyn Fn()) -> anyhow::Result<bool> {
    let running = running(directory).await;
    if let Some(pid) = running {
        progress();
        process::stop(pid, directory).await?;
    }
    state::remove(directory)?;
    Ok(running.is_some())
}

/// The process of the cloud that the state file names, where it lives.
async fn running(directory: &Path) -> Option<u32> {
    let pid = State::process(directory)?;
    process::is_cloud(pid, directory).await.then_some(pid)
}

/// Looks whether one runs, and changes nothing.
pub async fn status(directory: &Path) -> anyhow::Result<Status> {
    let Some(state) = State::read(directory)? else {
        return Ok(if state::file(directory).exists() {
            Status::Stale
        } else {
            Status::Down
        });
    };
    if !process::is_cloud(state.pid, directory).await {
        return Ok(Status::Stale);
    }
    for url in [state.aws_url.clone(), state.snowflake_url.clone()] {
        let begin = Instant::now();
        loop {
            match answer(&url).await {
                Answer::Yes => break,
                Answer::No => return Ok(Status::Stale),
                Answer::Late if begin.elapsed() > BUSY_TIMEOUT => return Ok(Status::Busy(Box::new(state))),
                Answer::Late => {}
            }
        }
    }
    Ok(Status::Up(Box::new(state)))
}

fn of_another_version() -> anyhow::Error {
    anyhow!(
        "the local cloud that runs was started by another version of pipectl\n  hint: pipectl local down (its data is lost), then up again"
    )
}

fn fitting(state: State, options: &UpOptions) -> anyhow::Result<State> {
    if state.package != package::name() {
        return Err(of_another_version());
    }
    let word = |auth: bool| if auth { "with" } else { "without" };
    if let Some(auth) = options.auth.filter(|auth| *auth != state.auth) {
        bail!(
            "the local cloud runs {} IAM enforcement and is wanted {}\n  hint: pipectl local down (its data is lost), then up again",
            word(state.auth),
            word(auth)
        );
    }
    match options.region.as_ref().filter(|region| **region != state.region) {
        Some(region) => bail!(
            "the local cloud runs in {} and is wanted in {region}\n  hint: pipectl local down (its data is lost), then up again",
            state.region
        ),
        None => Ok(state),
    }
}

async fn start(options: &UpOptions, progress: &dyn Fn(&str)) -> anyhow::Result<State> {
    let directory = &options.directory;
    let python = environment::prepare(&options.cache, options.python.as_deref(), progress).await?;
    let package = package::unpack(&options.cache)?;
    for log in LOGS {
        // The tail of an error must be of this start.
        let _ = fs::remove_file(directory.join(log));
    }
    progress("Starting the local cloud");
    let mut command = process::command(&python);
    command
        .env("PYTHONPATH", package)
        .env("PYTHONNOUSERSITE", "1")
        .env("NO_PROXY", "127.0.0.1,localhost");
    command.args(["-m", "pipectl_local", "serve", "--dir"]).arg(directory);
    if options.auth == Some(true) {
        command.arg("--auth");
    }
    if let Some(region) = &options.region {
        command.args(["--region", region]);
    }
    let mut starting = process::start_detached(command, directory)?;
    match until_healthy(&mut starting, options).await {
        Ok(state) => {
            starting.let_run();
            Ok(state)
        }
        Err(error) => {
            let pid = starting.pid();
            drop(starting);
            // That of another cloud stays: it is found by it.
            if State::process(directory) == pid {
                state::remove(directory)?;
            }
            Err(error)
        }
    }
}

/// Waits until the cloud that was just started has written its state file and answers.
async fn until_healthy(starting: &mut Starting, options: &UpOptions) -> anyhow::Result<State> {
    let directory = options.directory.as_path();
    let begin = Instant::now();
    let pid = starting.pid();
    loop {
        if let Some(status) = starting.ended()? {
            // One whose start was cut off goes on starting by itself, and this one gave way to it.
            if status.code() == Some(ALREADY_RUNNING) && begin.elapsed() < START_TIMEOUT {
                if let Status::Up(state) = Box::pin(self::status(directory)).await? {
                    return fitting(*state, options);
                }
                tokio::time::sleep(LOOK_AGAIN).await;
                continue;
            }
            bail!(
                "the local cloud ended while it started ({status}){}",
                tail_of_logs(directory)
            );
        }
        if let Some(state) = State::read(directory)?.filter(|state| Some(state.pid) == pid)
            && matches!(answer(&state.aws_url).await, Answer::Yes)
            && matches!(answer(&state.snowflake_url).await, Answer::Yes)
        {
            return Ok(state);
        }
        if begin.elapsed() > START_TIMEOUT {
            bail!(
                "the local cloud did not answer within {} seconds{}",
                START_TIMEOUT.as_secs(),
                tail_of_logs(directory)
            );
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Whether somebody listens at a URL of the state file.
enum Answer {
    Yes,
    /// Its queue of connections is full.
    Late,
    No,
}

async fn answer(url: &str) -> Answer {
    let Some(address) = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/')) else {
        return Answer::No;
    };
    match tokio::time::timeout(ANSWER_TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Answer::Yes,
        Ok(Err(_)) => Answer::No,
        Err(_) => Answer::Late,
    }
}

fn tail_of_logs(directory: &Path) -> String {
    let mut text = String::new();
    for name in LOGS {
        let file = directory.join(name);
        let log = fs::read(&file).unwrap_or_default();
        let lines = environment::last_lines(&String::from_utf8_lossy(&log), SHOWN_LINES);
        if !lines.is_empty() {
            let _ = write!(text, "\n{}:\n{lines}", file.display());
        }
    }
    text
}

/// A folder that only its owner enters: it holds a private key and the logs.
fn make_private(directory: &Path) -> anyhow::Result<()> {
    let unusable = || format!("{} cannot be used for the local cloud", directory.display());
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(unusable)?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).with_context(unusable)
}

/// The Python of the local cloud's environment, which has an ordinary S3 client in it.
pub async fn python(options: &UpOptions) -> anyhow::Result<std::path::PathBuf> {
    environment::prepare(&options.cache, options.python.as_deref(), &|_| {}).await
}
