//! Starting and stopping, against a stand-in for the servers: a few lines of Python under the package's name.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Mutex;

use super::*;

fn quiet(_: &str) {}

/// A machine with folders of its own. Its "Python environment" is complete and leads to a script, so nothing is installed.
struct Machine {
    folder: tempfile::TempDir,
}

/// Listens on two ports, writes the state file, removes it on SIGTERM.
const SERVES: &str = r#"
import json, os, signal, socket, sys, time
directory = sys.argv[sys.argv.index("--dir") + 1]
assert not [name for name in os.environ if name.startswith(("AWS_", "SNOWFLAKE_"))]
assert os.getsid(0) == os.getpid()
listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
url = ["http://127.0.0.1:%d" % listener.getsockname()[1] for listener in listeners]
package = os.path.basename(os.environ["PYTHONPATH"])
state = {"version": 1, "package": package, "pid": os.getpid(), "aws_url": url[0], "snowflake_url": url[1], "account": "000000000000", "region": "us-east-1",
    "auth": "--auth" in sys.argv, "aws_access_key_id": "k", "aws_secret_access_key": "hunter2", "snowflake_account": "LOCAL",
    "snowflake_user": "PIPECTL", "snowflake_role": "ACCOUNTADMIN", "snowflake_private_key_path": directory + "/snowflake_key.p8"}
open(directory + "/starts", "a").write("x")
file = directory + "/cloud.json"
open(file + ".new", "w").write(json.dumps(state))
os.replace(file + ".new", file)
def stop(*_):
    os.remove(file)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop if "obeys" in EXTRA else signal.SIG_IGN)
while True:
    time.sleep(60)
"#;

impl Machine {
    /// With a `pipectl_local` that runs `script`.
    fn new(script: &str) -> Self {
        let machine = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let path = machine.folder.path().join("python-stand-in");
        let code = machine.folder.path().join("pipectl_local_stand_in.py");
        fs::write(&code, script).unwrap();
        // Answers what `environment` asks as the real Python does, and runs the stand-in for everything else.
        let text = format!(
            "#!/bin/sh\ncase \"$1\" in -I) exec python3 \"$@\";; esac\nexec python3 '{}' \"$@\"\n",
            code.display()
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        machine
    }

    fn serving() -> Self {
        Self::new(&format!("EXTRA = 'obeys'\n{SERVES}"))
    }

    async fn options(&self) -> UpOptions {
        let (directory, cache) = (self.folder.path().join("state"), self.folder.path().join("cache"));
        let python = environment::find_python(None).await.unwrap();
        let name = format!(
            "local-{}",
            package::short_hash(&[package::REQUIREMENTS.as_bytes(), python.identity.as_bytes()])
        );
        let environment = cache.join(name);
        fs::create_dir_all(environment.join("bin")).unwrap();
        fs::write(environment.join("pipectl-complete"), "").unwrap();
        let link = environment.join("bin/python");
        if !link.exists() {
            std::os::unix::fs::symlink(self.folder.path().join("python-stand-in"), link).unwrap();
        }
        UpOptions {
            directory,
            cache,
            auth: None,
            region: None,
            python: None,
        }
    }
}

#[tokio::test]
async fn up_twice_is_one_cloud_and_down_ends_it() {
    let machine = Machine::serving();
    let options = machine.options().await;
    let (first, second) = tokio::join!(up(&options, &quiet), up(&options, &quiet));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first, second);
    assert_eq!(fs::read_to_string(options.directory.join("starts")).unwrap(), "x");
    assert_eq!(
        status(&options.directory).await.unwrap(),
        Status::Up(Box::new(first.clone()))
    );
    assert_eq!(
        fs::metadata(&options.directory).unwrap().permissions().mode() & 0o777,
        0o700
    );
    assert!(!format!("{first:?}").contains("hunter2"));

    assert!(down(&options, &quiet).await.unwrap());
    assert_eq!(status(&options.directory).await.unwrap(), Status::Down);
    assert!(!process::is_cloud(first.pid, &options.directory).await);
    assert!(!down(&options, &quiet).await.unwrap());
}

#[tokio::test]
async fn a_busy_cloud_is_waited_for_and_keeps_its_data() {
    // A queue of one connection, which nobody takes for some seconds.
    let busy = SERVES
        .replace(r#"("127.0.0.1", 0)"#, r#"("127.0.0.1", 0), backlog=0"#)
        .replace(
            "while True:",
            "time.sleep(5)\nfor listener in listeners:\n    listener.accept()\nwhile True:",
        );
    let machine = Machine::new(&format!("EXTRA = 'obeys'\n{busy}"));
    let options = machine.options().await;
    let first = up(&options, &quiet).await.unwrap();
    assert_eq!(up(&options, &quiet).await.unwrap(), first);
    assert_eq!(fs::read_to_string(options.directory.join("starts")).unwrap(), "x");
    down(&options, &quiet).await.unwrap();
}

#[tokio::test]
async fn a_cloud_that_does_not_obey_is_killed() {
    let machine = Machine::new(&format!("EXTRA = 'stubborn'\n{SERVES}"));
    let options = machine.options().await;
    let state = up(&options, &quiet).await.unwrap();
    assert!(down(&options, &quiet).await.unwrap());
    for _ in 0..200 {
        if !process::is_cloud(state.pid, &options.directory).await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("it stayed");
}

#[tokio::test]
async fn another_way_of_enforcing_iam_is_refused() {
    let machine = Machine::serving();
    let mut options = machine.options().await;
    options.auth = Some(true);
    assert!(up(&options, &quiet).await.unwrap().auth);
    options.auth = None;
    assert!(up(&options, &quiet).await.unwrap().auth);
    options.auth = Some(false);
    let error = up(&options, &quiet).await.unwrap_err().to_string();
    assert!(
        error.contains("runs with IAM enforcement and is wanted without") && error.contains("pipectl local down"),
        "{error}"
    );
    down(&options, &quiet).await.unwrap();
}

/// It would do other things than this pipectl expects, and its data is not thrown away unasked.
#[tokio::test]
async fn a_cloud_of_another_version_is_refused_and_can_be_stopped() {
    for (from, to) in [
        ("\"package\": package", "\"package\": \"package-of-yesterday\""),
        ("\"package\": package, ", ""),
        ("\"version\": 1", "\"version\": 2"),
    ] {
        let other = Machine::serving();
        let script = other.folder.path().join("pipectl_local_stand_in.py");
        let options = other.options().await;
        let own = fs::read_to_string(&script).unwrap();
        let theirs = own.replace(from, to);
        assert_ne!(own, theirs);
        fs::write(&script, theirs).unwrap();
        // Their pipectl has started it.
        fs::create_dir_all(&options.directory).unwrap();
        let mut command = process::command(&other.folder.path().join("python-stand-in"));
        command.env("PYTHONPATH", options.cache.join(package::name()));
        command
            .args(["-m", "pipectl_local", "serve", "--dir"])
            .arg(&options.directory);
        process::start_detached(command, &options.directory).unwrap().let_run();
        while !options.directory.join("cloud.json").exists() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let error = up(&options, &quiet).await.unwrap_err().to_string();
        assert!(
            error.contains("another version of pipectl") && error.contains("pipectl local down"),
            "{to}: {error}"
        );
        let pid = State::process(&options.directory).expect("its state file stays");
        assert!(process::is_cloud(pid, &options.directory).await, "it still runs");
        down(&options, &quiet).await.unwrap();
        assert!(!process::is_cloud(pid, &options.directory).await);
        assert_eq!(status(&options.directory).await.unwrap(), Status::Down);
    }
}

#[tokio::test]
async fn a_killed_cloud_is_recognised_and_replaced() {
    let machine = Machine::serving();
    let options = machine.options().await;
    let first = up(&options, &quiet).await.unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(first.pid).unwrap()).unwrap();
    rustix::process::kill_process_group(pid, rustix::process::Signal::KILL).unwrap();
    while process::is_cloud(first.pid, &options.directory).await {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(status(&options.directory).await.unwrap(), Status::Stale);
    let second = up(&options, &quiet).await.unwrap();
    assert_ne!(first.pid, second.pid);
    down(&options, &quiet).await.unwrap();
}

#[tokio::test]
async fn a_state_file_with_a_strangers_pid_harms_nobody() {
    let machine = Machine::serving();
    let options = machine.options().await;
    let state = up(&options, &quiet).await.unwrap();
    let file = options.directory.join("cloud.json");
    let text = fs::read_to_string(&file).unwrap();
    down(&options, &quiet).await.unwrap();
    // This test's own process: it would not survive being taken for the cloud.
    fs::write(
        &file,
        text.replace(&state.pid.to_string(), &std::process::id().to_string()),
    )
    .unwrap();
    assert_eq!(status(&options.directory).await.unwrap(), Status::Stale);
    assert!(!down(&options, &quiet).await.unwrap());
    assert!(!file.exists());
    fs::write(&file, "{").unwrap();
    assert_eq!(status(&options.directory).await.unwrap(), Status::Stale);
    up(&options, &quiet).await.unwrap();
    down(&options, &quiet).await.unwrap();
}

#[tokio::test]
async fn a_start_that_fails_shows_the_logs() {
    let machine =
        Machine::new("import sys\nprint('Traceback: no such module: duckdb', file=sys.stderr)\nsys.exit(4)\n");
    let options = machine.options().await;
    let error = up(&options, &quiet).await.unwrap_err().to_string();
    assert!(
        error.contains("exit status: 4") && error.contains("no such module: duckdb") && error.contains("cloud.log"),
        "{error}"
    );
    assert_eq!(status(&options.directory).await.unwrap(), Status::Down);
}

#[tokio::test]
async fn a_start_that_is_given_up_leaves_no_process() {
    let machine = Machine::new(
        "import os, sys, time\nopen(sys.argv[sys.argv.index('--dir') + 1] + '/pid', 'w').write(str(os.getpid()))\ntime.sleep(600)\n",
    );
    let options = machine.options().await;
    let file = options.directory.join("pid");
    let written = async {
        while fs::read_to_string(&file).unwrap_or_default().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = up(&options, &quiet) => panic!("it cannot get healthy"),
        () = written => {}
    }
    let pid = fs::read_to_string(&file).unwrap();
    for _ in 0..200 {
        if fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default().is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("process {pid} stayed");
}

#[tokio::test]
async fn python_that_is_chosen_must_be_one() {
    let find = |path: &'static str| async move {
        environment::find_python(Some(Path::new(path)))
            .await
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        find("/nowhere/python3").await,
        "PIPECTL_PYTHON is /nowhere/python3, which does not run as a Python"
    );
    assert!(find("/bin/false").await.contains("does not run as a Python"));
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("python3");
    fs::write(
        &old,
        "#!/bin/sh\nprintf '3\\n9\\ncpython-39\\nlinux\\n/usr/bin/python3.9\\n'\n",
    )
    .unwrap();
    fs::set_permissions(&old, fs::Permissions::from_mode(0o755)).unwrap();
    let error = environment::find_python(Some(&old)).await.unwrap_err().to_string();
    assert!(
        error.contains("is Python 3.9; the local cloud needs 3.11 or newer"),
        "{error}"
    );
}

#[test]
fn errors_say_what_to_install() {
    let error = EnvironmentError::NoPython {
        seen: " (/usr/bin/python3 is 3.9)".into(),
    }
    .to_string();
    assert!(
        error.starts_with("the local cloud needs Python 3.11 or newer and none was found (/usr/bin/python3 is 3.9)"),
        "{error}"
    );
    assert!(error.contains("apt-get install python3 python3-venv"));
    let error = EnvironmentError::NoVenv {
        python: "/usr/bin/python3".into(),
    }
    .to_string();
    assert!(error.contains("apt-get install python3-venv"));
}

#[tokio::test]
async fn an_interrupted_environment_is_made_anew() {
    let machine = Machine::serving();
    let options = machine.options().await;
    let complete = fs::read_dir(&options.cache).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(complete.join("pipectl-complete")).unwrap();
    // A Python that answers and then cannot make anything: the half-made folder is gone, and the error is the tool's.
    let broken = machine.folder.path().join("broken");
    let real = environment::find_python(None).await.unwrap();
    let text = format!(
        "#!/bin/sh\ncase \"$1\" in -I) '{}' \"$@\" | sed '$d'; echo \"$0\";; *) echo 'disk full'; exit 1;; esac\n",
        real.path.display()
    );
    fs::write(&broken, text).unwrap();
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o755)).unwrap();
    let said = Mutex::new(Vec::new());
    let progress = |line: &str| said.lock().unwrap().push(line.to_owned());
    let error = environment::prepare(&options.cache, Some(&broken), &progress)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("failed:"), "{error}");
    assert!(!complete.join("pipectl-complete").exists());
    assert!(said.lock().unwrap()[0].starts_with("Making the Python environment"));
}

#[test]
fn folders_as_the_environment_says() {
    let options = |pairs: &[(&str, &str)]| {
        let variables: HashMap<String, String> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        UpOptions::from(&move |name| variables.get(name).cloned(), Some(Path::new("/home/u")))
    };
    let usual = options(&[]).unwrap();
    assert_eq!(usual.directory, Path::new("/home/u/.local/state/pipectl/local"));
    assert_eq!(usual.cache, Path::new("/home/u/.cache/pipectl"));
    let set = options(&[
        ("PIPECTL_LOCAL_DIR", "/d"),
        ("XDG_CACHE_HOME", "/c"),
        ("XDG_STATE_HOME", "relative"),
        ("PIPECTL_LOCAL_AUTH", "TRUE"),
    ])
    .unwrap();
    assert_eq!(
        (set.directory.as_path(), set.cache.as_path(), set.auth),
        (Path::new("/d"), Path::new("/c/pipectl"), Some(true))
    );
    assert!(
        options(&[("PIPECTL_LOCAL_AUTH", "maybe")])
            .unwrap_err()
            .to_string()
            .contains("maybe")
    );
}

#[tokio::test]
async fn exports_for_other_tools() {
    let machine = Machine::serving();
    let options = machine.options().await;
    let state = up(&options, &quiet).await.unwrap();
    let exports: HashMap<String, String> = state.exports().into_iter().collect();
    assert_eq!(exports["AWS_ENDPOINT_URL"], state.aws_url);
    assert_eq!(exports["AWS_REGION"], exports["AWS_DEFAULT_REGION"]);
    assert_eq!(exports.len(), 10);
    down(&options, &quiet).await.unwrap();
}

/// Installs the real packages from the registry: about a minute, so it runs only when asked for.
#[tokio::test]
#[ignore = "needs the network"]
async fn the_real_environment_imports_its_packages() {
    let cache = tempfile::tempdir().unwrap();
    let python = environment::prepare(cache.path(), None, &|line| eprintln!("{line}"))
        .await
        .unwrap();
    let import = std::process::Command::new(&python)
        .args(["-c", "import ministack, fakesnow, duckdb"])
        .status()
        .unwrap();
    assert!(import.success());
    let again = std::time::Instant::now();
    assert_eq!(
        environment::prepare(cache.path(), None, &|line| panic!("{line}"))
            .await
            .unwrap(),
        python
    );
    eprintln!("found again in {:?}", again.elapsed());
}
