//! A local cloud of its own for one test, the pipeline in it, and what a user does with both.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Condvar, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

use crate::client::{Client, Refused};
use crate::run::{Run, started};
use crate::runtime::runtime;
use crate::servers::{self, Kind};

pub const PIPECTL: &str = env!("CARGO_BIN_EXE_pipectl");
pub const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");
pub const RAW: &str = "chinook-invoices-local-raw-000000000000-us-east-1";
pub const CURATED: &str = "chinook-invoices-local-curated-000000000000-us-east-1";
pub const DATABASE: &str = "CHINOOK_INVOICES_LOCAL";
/// How long anything may take that does happen: generous, because the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(240);
/// Half of a cloud's life is waiting for its clocks, so two keep a core busy.
const CLOUDS_OF_A_CORE: usize = 2;

static CLOUDS: Mutex<usize> = Mutex::new(0);
static CLOUD_ENDED: Condvar = Condvar::new();

/// Whether policies count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Iam {
    Off,
    Enforced,
}

/// Makes one test of a scenario for IAM off and one for IAM enforced.
#[macro_export]
macro_rules! with_iam_off_and_enforced {
    ($scenario:ident) => {
        mod $scenario {
            #[test]
            fn with_iam_off() {
                super::$scenario($crate::cloud::Iam::Off);
            }

            #[test]
            fn with_iam_enforced() {
                super::$scenario($crate::cloud::Iam::Enforced);
            }
        }
    };
}

pub struct Cloud {
    folder: tempfile::TempDir,
    python: PathBuf,
    variables: Vec<(String, String)>,
    aws: Client,
    /// Folder of the program that its databases run.
    server: Option<tempfile::TempDir>,
    _place: Place,
}

impl Cloud {
    /// Starts an empty one; the folder holds a copy of the example's file that a test may edit.
    pub fn up(iam: Iam) -> Self {
        Self::up_for(iam, "files")
    }

    /// One for another example.
    pub fn up_for(iam: Iam, example: &str) -> Self {
        Self::up_with(iam, example, None)
    }

    /// One whose databases are this server.
    pub fn up_on(iam: Iam, example: &str, server: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut cloud = Self::up_with(iam, example, Some(&servers::program(server, folder.path())));
        cloud.server = Some(folder);
        cloud
    }

    fn up_with(iam: Iam, example: &str, mysqld: Option<&Path>) -> Self {
        let place = Place::take();
        let folder = tempfile::tempdir().unwrap();
        let file = Path::new(REPOSITORY)
            .join("examples")
            .join(example)
            .join("pipeline.toml");
        fs::copy(file, folder.path().join("pipeline.toml")).unwrap();
        let stopped_on_panic = Down(folder.path());
        let auth: &[&str] = if iam == Iam::Enforced { &["--auth"] } else { &[] };
        let mut up = command_in(folder.path());
        up.envs(mysqld.map(|program| ("PIPECTL_MYSQLD", program)));
        Run::of(up.args(["local", "up"]).args(auth)).exits(0);
        let told = Run::of(command_in(folder.path()).args(["local", "env", "--format", "json"]))
            .exits(0)
            .json();
        let mut variables: Vec<(String, String)> = told
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect();
        variables.push(("PATH".to_owned(), std::env::var("PATH").unwrap_or_default()));
        let python = PathBuf::from(told["PIPECTL_LOCAL_PYTHON"].as_str().unwrap());
        let aws = Client::start(&python, &variables);
        std::mem::forget(stopped_on_panic);
        Self {
            folder,
            python,
            variables,
            aws,
            server: None,
            _place: place,
        }
    }

    /// One with the example's pipeline in it.
    pub fn with_pipeline(iam: Iam) -> Self {
        let cloud = Self::up(iam);
        cloud.run("deploy --yes").exits(0);
        cloud
    }

    /// The file of the pipeline.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("pipeline.toml")
    }

    /// Replaces text of the file that must be there.
    pub fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.file()).unwrap();
        assert!(text.contains(from), "the file has no {from}");
        fs::write(self.file(), text.replace(from, to)).unwrap();
    }

    /// The command, on this cloud and its file.
    pub fn command(&self, words: &str) -> Command {
        let mut command = command_in(self.folder.path());
        command
            .args(words.split_whitespace())
            .args(["--env", "local", "-f"])
            .arg(self.file());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, words: &str) -> Run {
        Run::of(&mut self.command(words))
    }

    /// Starts it and does not wait.
    pub fn start(&self, words: &str) -> Child {
        started(self.command(words))
    }

    /// What `pipectl local env` prints.
    pub fn variables(&self) -> &[(String, String)] {
        &self.variables
    }

    /// A second AWS client, for a thread that looks while the first one works.
    pub fn another_client(&self) -> Client {
        Client::start(&self.python, &self.variables)
    }

    pub fn aws(&self, service: &str, operation: &str, arguments: Value) -> Value {
        let asked = format!("{service} {operation} {arguments}");
        self.try_aws(service, operation, arguments)
            .unwrap_or_else(|refused| panic!("{asked}: {}", refused.message))
    }

    pub fn try_aws(&self, service: &str, operation: &str, arguments: Value) -> Result<Value, Refused> {
        self.aws.call(service, operation, arguments)
    }

    /// A call with the credentials of an assumed role, over `https` or `http`.
    pub fn try_aws_as(
        &self,
        role: &Value,
        over: &str,
        service: &str,
        operation: &str,
        arguments: Value,
    ) -> Result<Value, Refused> {
        self.aws.call_as(role, over, service, operation, arguments)
    }

    pub fn put(&self, bucket: &str, key: &str, body: impl AsRef<[u8]>) {
        let body = base64::prelude::BASE64_STANDARD.encode(body);
        self.aws(
            "s3",
            "put_object",
            json!({ "Bucket": bucket, "Key": key, "BodyBase64": body }),
        );
    }

    /// Puts every file of the example into the raw bucket.
    pub fn put_the_example(&self) {
        let data = example().join("data");
        for folder in fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path()) {
            for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                let key = file.strip_prefix(&data).unwrap().to_str().unwrap().to_owned();
                self.put(RAW, &key, fs::read(file).unwrap());
            }
        }
    }

    /// Keys of a bucket's objects under a prefix.
    pub fn keys(&self, bucket: &str, prefix: &str) -> Vec<String> {
        let list = self.aws("s3", "list_objects_v2", json!({ "Bucket": bucket, "Prefix": prefix }));
        let keys = list["Contents"].as_array().cloned().unwrap_or_default();
        keys.iter()
            .map(|object| object["Key"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The rows of a query, each value as text.
    pub fn sql(&self, statement: &str) -> Vec<Vec<String>> {
        self.try_sql(statement).exits(0).rows()
    }

    pub fn try_sql(&self, statement: &str) -> Run {
        let statement = statement.replace("{db}", DATABASE);
        Run::of(
            command_in(self.folder.path())
                .args(["local", "sql", "--format", "json"])
                .arg(statement),
        )
    }

    /// The single value of a query.
    pub fn value(&self, statement: &str) -> String {
        self.sql(statement)[0][0].clone()
    }

    /// Waits until a query gives these rows.
    pub fn wait_for_rows(&self, statement: &str, expected: &[&[&str]]) {
        wait(&format!("{statement} to give {expected:?}"), PATIENCE, || {
            let rows = self.sql(statement);
            if rows == expected {
                Ok(())
            } else {
                Err(format!("{rows:?}"))
            }
        });
    }

    /// Waits until the first value of a query is this one.
    pub fn wait_for(&self, statement: &str, expected: &str) {
        wait(&format!("{statement} to give {expected}"), PATIENCE, || {
            let value = self.value(statement);
            if value == expected { Ok(()) } else { Err(value) }
        });
    }

    /// Whether a query gives this value before the time is over.
    pub fn comes_to(&self, statement: &str, expected: &str, within: Duration) -> bool {
        let started = Instant::now();
        loop {
            if self.value(statement) == expected {
                return true;
            }
            if started.elapsed() > within {
                return false;
            }
            sleep(Duration::from_millis(100));
        }
    }

    /// Database and schema of a table.
    pub fn schema_of(&self, table: &str) -> String {
        let shown = self.try_sql("SHOW TABLES IN ACCOUNT").exits(0);
        let document = shown.json();
        let position = |name: &str| {
            document["columns"]
                .as_array()
                .unwrap()
                .iter()
                .position(|column| column == name)
                .unwrap()
        };
        let row = shown
            .rows()
            .into_iter()
            .find(|row| row[position("name")] == table)
            .unwrap();
        format!("{}.{}", row[position("database_name")], row[position("schema_name")])
    }

    /// Waits until no message waits or is being worked on, and no file is pending in the pipe.
    pub fn wait_until_quiet(&self) {
        let queue = self.queue_url("chinook-invoices-local-copy");
        wait("the queue and the pipe to be empty", PATIENCE, || {
            self.is_empty(&queue)?;
            let pipe = self.value("select SYSTEM$PIPE_STATUS('{db}.SHOP_RAW.INVOICES_PIPE')");
            let pending = serde_json::from_str::<Value>(&pipe).unwrap()["pendingFileCount"].clone();
            if pending == 0 { Ok(()) } else { Err(pipe) }
        });
    }

    /// Whether no message waits in a queue or is being handled; if one does, how many.
    pub fn is_empty(&self, url: &str) -> Result<(), String> {
        let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        let asked = json!({ "QueueUrl": url, "AttributeNames": names });
        let counts = &self.aws("sqs", "get_queue_attributes", asked)["Attributes"];
        match names.iter().all(|name| counts[name] == "0") {
            true => Ok(()),
            false => Err(counts.to_string()),
        }
    }

    pub fn queue_url(&self, name: &str) -> String {
        self.aws("sqs", "get_queue_url", json!({ "QueueName": name }))["QueueUrl"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// What one property of DESC INTEGRATION says.
    pub fn integration(&self, name: &str, property: &str) -> String {
        let rows = self.sql(&format!("DESC INTEGRATION {{db}}_{name}"));
        rows.iter()
            .find(|row| row[0] == property)
            .unwrap_or_else(|| panic!("no {property} in {rows:?}"))[2]
            .clone()
    }

    /// What Chinook's SQL says must arrive; it knows neither pipectl nor the files.
    pub fn expected(&self) -> Value {
        let script = Path::new(REPOSITORY).join("scripts/expected.py");
        let output = Command::new(&self.python).arg(script).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        drop(Down(self.folder.path()));
    }
}

/// Takes the cloud of a folder down, also when a test panics.
struct Down<'a>(&'a Path);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the cloud's folder was {}; its logs end with:", self.0.display());
            for log in ["snowflake.log", "aws.log"] {
                let text = fs::read_to_string(self.0.join("cloud").join(log)).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                eprintln!("{log}:\n{}", lines[lines.len().saturating_sub(15)..].join("\n"));
            }
        }
        let _ = command_in(self.0).args(["local", "down"]).output();
    }
}

/// One of the places that clouds may take.
struct Place;

impl Place {
    fn take() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut taken = CLOUDS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        while *taken >= cores * CLOUDS_OF_A_CORE {
            taken = CLOUD_ENDED.wait(taken).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        *taken += 1;
        Self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *CLOUDS.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) -= 1;
        CLOUD_ENDED.notify_one();
    }
}

/// The example that all tests deploy.
pub fn example() -> PathBuf {
    Path::new(REPOSITORY).join("examples/files")
}

/// pipectl with nothing of the user's environment but the way to the shared Python environment.
pub fn command_in(folder: &Path) -> Command {
    let mut command = pipectl();
    command
        .env("PIPECTL_LOCAL_DIR", folder.join("cloud"))
        .current_dir(folder);
    command
}

/// pipectl with an almost empty environment, and the runtime as a small program that is uploaded in no time.
pub fn pipectl() -> Command {
    let mut command = Command::new(PIPECTL);
    command.env_clear();
    for name in ["PATH", "HOME", "XDG_CACHE_HOME", "PIPECTL_PYTHON", "TMPDIR"] {
        command.envs(std::env::var_os(name).map(|value| (OsStr::new(name), value)));
    }
    command.env("PIPECTL_RUNTIME", runtime());
    command
}

/// Looks again and again until `look` is content.
pub fn wait(what: &str, patience: Duration, look: impl FnMut() -> Result<(), String>) {
    wait_looking_every(Duration::from_millis(100), what, patience, look);
}

/// The same with a longer pause, for what is much to look at.
pub fn wait_looking_every(
    pause: Duration,
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> Result<(), String>,
) {
    let started = Instant::now();
    while let Err(seen) = look() {
        assert!(
            started.elapsed() < patience,
            "waited {patience:?} for {what}; it is {seen}"
        );
        sleep(pause);
    }
}
