//! A local cloud with a proxy in front, and the phases of a pipeline's life in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::look::{Look, differences};
use crate::proxy::{Kind, Proxy, Told, kill};
use crate::runtime::runtime;

const PIPECTL: &str = env!("CARGO_BIN_EXE_pipectl");
const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");
const RAW: &str = "chinook-invoices-local-raw-000000000000-us-east-1";
const PIPE: &str = "snowflake:pipe:CHINOOK_INVOICES_LOCAL.SHOP_RAW.INVOICES_PIPE";
const STAGE: &str = "snowflake:stage:CHINOOK_INVOICES_LOCAL.SHOP_RAW.CURATED";
/// Whole records; `… without repetitions` counts those of them that are not there twice.
const RECORDS: &str = "CHINOOK_INVOICES_LOCAL.SHOP_RAW.RAW_INVOICES";
/// How long rows may take to arrive, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);
/// How long one run of pipectl may take: a client that was left hanging waits for 75 s.
const LONGEST_RUN: Duration = Duration::from_secs(240);

/// A part of a pipeline's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    FirstDeploy,
    Update,
    /// The pipe has another COPY statement, which only a new pipe changes; files arrive all the while.
    ReplacePipe,
    /// The stage has another folder, which takes a new stage and a new pipe; files arrive all the while.
    ReplaceStage,
    Destroy,
}

impl Phase {
    pub const ALL: [Self; 5] = [
        Self::FirstDeploy,
        Self::Update,
        Self::ReplacePipe,
        Self::ReplaceStage,
        Self::Destroy,
    ];

    /// Its name in `PIPECTL_FAILURE_POINTS`.
    pub fn word(self) -> &'static str {
        match self {
            Self::FirstDeploy => "first-deploy",
            Self::Update => "update",
            Self::ReplacePipe => "replace-pipe",
            Self::ReplaceStage => "replace-stage",
            Self::Destroy => "destroy",
        }
    }

    fn words(self) -> &'static [&'static str] {
        match self {
            Self::FirstDeploy | Self::Update => &["deploy", "--yes"],
            Self::ReplacePipe => &["deploy", "--yes", "--allow-loss", PIPE],
            Self::ReplaceStage => &["deploy", "--yes", "--allow-loss", STAGE, "--allow-loss", PIPE],
            Self::Destroy => &["destroy", "--yes", "--delete-data"],
        }
    }

    fn replaces(self) -> bool {
        matches!(self, Self::ReplacePipe | Self::ReplaceStage)
    }
}

/// What runs without a failure do: their number of calls, and the state that they leave.
pub struct Undisturbed {
    pub calls: BTreeMap<Phase, usize>,
    states: BTreeMap<Phase, Value>,
}

pub struct Cloud {
    /// Folder of pipectl's state file, which tells the proxy's addresses. The cloud itself runs in `cloud` below it, so
    /// that its process is one "of this folder" for pipectl.
    folder: tempfile::TempDir,
    proxy: Proxy,
    look: Look,
}

/// Whether policies count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Iam {
    Off,
    Enforced,
}

impl Cloud {
    pub fn up(iam: Iam) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("cloud");
        let down = Down(folder.path().to_owned());
        let auth: &[&str] = if iam == Iam::Enforced { &["--auth"] } else { &[] };
        let ran = pipectl(&own).args(["local", "up"]).args(auth).output().unwrap();
        assert!(ran.status.success(), "{}", said(&ran));
        let told = pipectl(&own)
            .args(["local", "env", "--format", "json"])
            .output()
            .unwrap();
        let told: Value = serde_json::from_slice(&told.stdout).unwrap();
        let python = PathBuf::from(told["PIPECTL_LOCAL_PYTHON"].as_str().unwrap());
        let file = own.join("cloud.json");
        let mut state: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let proxy = Proxy::start(
            state["aws_url"].as_str().unwrap(),
            state["snowflake_url"].as_str().unwrap(),
        );
        state["aws_url"] = proxy.aws_url.clone().into();
        state["snowflake_url"] = proxy.snowflake_url.clone().into();
        fs::write(folder.path().join("cloud.json"), state.to_string()).unwrap();
        let look = Look::start(&python, &file);
        std::mem::forget(down);
        Self { folder, proxy, look }
    }

    /// A life without a failure: what the runs leave is what every other life must leave.
    pub fn undisturbed(&mut self) -> Undisturbed {
        let (mut calls, mut states) = (BTreeMap::new(), BTreeMap::new());
        let mut records = 0;
        for phase in Phase::ALL {
            self.prepare(phase).unwrap();
            let (ran, told) = self.run(phase, None).unwrap();
            assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
            calls.insert(phase, told.calls);
            self.put_between(phase).unwrap();
            self.put_after(phase).unwrap();
            if phase != Phase::Destroy {
                records = self.wait_for_rest(records);
            }
            states.insert(phase, self.look.snapshot().unwrap());
        }
        Undisturbed { calls, states }
    }

    /// One phase, disturbed or not, its rerun, and everything that must hold then. False when the disturbed run ended
    /// before the call that was to fail.
    pub fn phase(&mut self, phase: Phase, failure: Option<(Kind, usize)>, usual: &Undisturbed) -> Result<bool, String> {
        self.prepare(phase)?;
        let mut met = String::from("nothing failed");
        let mut is_done = false;
        if let Some((kind, _)) = failure {
            let (ran, told) = self.run(phase, failure)?;
            if let Some(call) = &told.failed {
                met = format!("{call}, and it said:\n{}", said(&ran));
            }
            match ran.status.code() {
                None if kind.kills() && told.failed.is_some() => {}
                Some(0) => is_done = true,
                Some(1) if told.failed.is_some() && !kind.kills() => {}
                code => return Err(format!("it ended with {code:?} after {met}")),
            }
        }
        self.put_between(phase)?;
        self.converges(phase, is_done, usual)
            .map_err(|fault| format!("{fault}\nit met {met}"))?;
        Ok(met != "nothing failed")
    }

    fn converges(&mut self, phase: Phase, is_done: bool, usual: &Undisturbed) -> Result<(), String> {
        let (again, _) = self.run(phase, None)?;
        if again.status.code() != Some(0) {
            return Err(format!("the rerun failed:\n{}", said(&again)));
        }
        if is_done && phase != Phase::Destroy && !String::from_utf8_lossy(&again.stdout).contains("no change") {
            return Err(format!("it exited 0 and was not done:\n{}", said(&again)));
        }
        if phase != Phase::Destroy {
            let diff = self.pipectl(&["diff"])?;
            if diff.status.code() != Some(0) {
                return Err(format!("diff after the rerun:\n{}", said(&diff)));
            }
        }
        let wanted = &usual.states[&phase];
        let found = self.look.snapshot()?;
        let mut lines = Vec::new();
        for part in ["aws", "snowflake"] {
            differences(part, &wanted[part], &found[part], &mut lines);
        }
        if !lines.is_empty() {
            return Err(format!(
                "the state differs from an undisturbed run's:\n{}",
                lines.join("\n")
            ));
        }
        let asleep = asleep(&found);
        if !asleep.is_empty() {
            return Err(format!("tasks are left suspended: {asleep:?}"));
        }
        self.put_after(phase)?;
        let started = Instant::now();
        loop {
            let rows = self.look.rows()?;
            let mut lines = Vec::new();
            differences(
                "rows",
                &comparable(phase, &wanted["rows"]),
                &comparable(phase, &rows),
                &mut lines,
            );
            if lines.is_empty() {
                return Ok(());
            }
            if started.elapsed() > PATIENCE {
                return Err(format!("rows are lost or doubled:\n{}", lines.join("\n")));
            }
            sleep(Duration::from_millis(100));
        }
    }

    /// The file of the phase, and the data that is under way while the update runs.
    fn prepare(&mut self, phase: Phase) -> Result<(), String> {
        let mut text = fs::read_to_string(example().join("pipeline.toml")).unwrap();
        if phase != Phase::FirstDeploy {
            for (from, to) in EDITS {
                assert!(text.contains(from), "the example has no {from}");
                text = text.replacen(from, to, 1);
            }
        }
        fs::write(self.folder.path().join("pipeline.toml"), text).unwrap();
        match phase {
            Phase::Update => self.put("2022.json.gz", "2022.json.gz"),
            Phase::ReplacePipe => self
                .look
                .drift("pipe")
                .and_then(|()| self.put("2023 été + extras.json", "2023.json")),
            Phase::ReplaceStage => self
                .look
                .drift("stage")
                .and_then(|()| self.put("2025.json", "2025.json")),
            Phase::FirstDeploy | Phase::Destroy => Ok(()),
        }
    }

    /// The data that arrives after the first run of the command, whatever became of it.
    fn put_between(&mut self, phase: Phase) -> Result<(), String> {
        match phase {
            Phase::ReplacePipe => self.put("2024.json", "2024.json"),
            Phase::ReplaceStage => self.put("2021.json", "2021 again.json"),
            Phase::FirstDeploy | Phase::Update | Phase::Destroy => Ok(()),
        }
    }

    /// The data that shows that a first deploy loads.
    fn put_after(&mut self, phase: Phase) -> Result<(), String> {
        match phase {
            Phase::FirstDeploy => self.put("2021.json", "2021.json"),
            _ => Ok(()),
        }
    }

    fn put(&mut self, name: &str, key: &str) -> Result<(), String> {
        let file = example().join("data/invoices").join(name);
        self.look.put(RAW, &format!("invoices/{key}"), &file)
    }

    /// Runs the command of a phase; a failure makes its N-th call fail.
    fn run(&self, phase: Phase, failure: Option<(Kind, usize)>) -> Result<(Output, Told), String> {
        self.proxy.arm(failure);
        let ran = self.pipectl(phase.words())?;
        Ok((ran, self.proxy.told()))
    }

    fn pipectl(&self, words: &[&str]) -> Result<Output, String> {
        let mut command = pipectl(self.folder.path());
        command.args(words).args(["--env", "local", "-f", "pipeline.toml"]);
        let child = command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let pid = child.id();
        self.proxy.runs(pid);
        let (send, ended) = std::sync::mpsc::channel();
        let waiting = std::thread::spawn(move || send.send(child.wait_with_output()));
        let output = ended.recv_timeout(LONGEST_RUN);
        if output.is_err() {
            kill(pid);
        }
        let _ = waiting.join();
        match output {
            Ok(output) => output.map_err(|error| error.to_string()),
            Err(_) => Err(format!("{words:?} did not end in {LONGEST_RUN:?}")),
        }
    }

    /// Waits until there are more records than before and nothing moves any more; their number.
    fn wait_for_rest(&mut self, before: u64) -> u64 {
        let started = Instant::now();
        let (mut last, mut since) = (Value::Null, Instant::now());
        loop {
            let rows = self.look.rows().unwrap();
            let records = rows[format!("{RECORDS} without repetitions")][0].as_str();
            let records = records.map_or(0, |count| count.parse().unwrap());
            if rows != last {
                (last, since) = (rows, Instant::now());
            } else if since.elapsed() > Duration::from_secs(3) && records > before {
                return records;
            }
            assert!(started.elapsed() < PATIENCE, "rows do not come to rest: {last:#}");
            sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        drop(Down(self.folder.path().to_owned()));
    }
}

/// Tasks that are not started.
fn asleep(found: &Value) -> Vec<&str> {
    let tasks = found["snowflake"]["SHOW TASKS IN DATABASE CHINOOK_INVOICES_LOCAL"].as_array();
    let asleep = tasks.into_iter().flatten().filter(|task| task["state"] != "started");
    asleep.filter_map(|task| task["name"].as_str()).collect()
}

/// Rows as they must be after a phase. A pipe made anew may load a file again, and only the tables merge it.
fn comparable(phase: Phase, rows: &Value) -> Value {
    let mut rows = rows.clone();
    if let (true, Some(rows)) = (phase.replaces(), rows.as_object_mut()) {
        rows.remove(RECORDS);
    }
    rows
}

/// Takes the cloud down, also when its start panics.
struct Down(PathBuf);

impl Drop for Down {
    fn drop(&mut self) {
        let _ = pipectl(&self.0.join("cloud")).args(["local", "down"]).output();
    }
}

/// A new column, a tag and a description that every stack carries, and a description that a table carries.
const EDITS: [(&str, &str); 4] = [
    ("cost-centre = \"4711\"", "cost-centre = \"4712\""),
    (
        "description = \"Invoices from JSON files into Snowflake\"",
        "description = \"Invoices of the music shop\"",
    ),
    (
        "description = \"One row per invoice\"",
        "description = \"One row for each invoice\"",
    ),
    (
        "    { name = \"billing_country\"",
        "    { name = \"billing_city\", type = \"VARCHAR(40)\", path = \"$.BillingCity\" },\n    { name = \"billing_country\"",
    ),
];

fn example() -> PathBuf {
    Path::new(REPOSITORY).join("examples/files")
}

/// pipectl with an almost empty environment, and the runtime as a small program that is uploaded in no time.
fn pipectl(directory: &Path) -> Command {
    let mut command = Command::new(PIPECTL);
    command.env_clear();
    for name in ["PATH", "HOME", "XDG_CACHE_HOME", "PIPECTL_PYTHON", "TMPDIR"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command
        .env("PIPECTL_LOCAL_DIR", directory)
        .env("PIPECTL_RUNTIME", runtime());
    command
}

fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let lines: Vec<&str> = out.lines().chain(err.lines()).collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}
