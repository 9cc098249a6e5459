//! The process group of the local cloud.

use std::fs::File;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

const LOOK_AGAIN: Duration = Duration::from_millis(25);
const PATIENCE: Duration = if cfg!(test) {
    Duration::from_millis(500)
} else {
    Duration::from_secs(10)
};
/// Variables that must not reach the local cloud: it has no use for real credentials, and its parts read some of them.
const WITHHELD: [&str; 6] = [
    "AWS_",
    "SNOWFLAKE_",
    "PYTHON",
    "MINISTACK_",
    "HTTP_PROXY",
    "HTTPS_PROXY",
];

/// A command in this environment, without what the local cloud must not see.
pub(super) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let upper = name.to_string_lossy().to_ascii_uppercase();
        if WITHHELD.iter().any(|prefix| upper.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
}

/// Starts `command` in a session of its own, so that neither ctrl-c nor a closed terminal reaches it.
pub(super) fn start_detached(mut command: Command, directory: &Path) -> anyhow::Result<Starting> {
    let log = directory.join("cloud.log");
    let output = File::create(&log).with_context(|| format!("{} cannot be written", log.display()))?;
    command
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; setsid is one and allocates nothing.
    unsafe {
        command.pre_exec(|| rustix::process::setsid().map(|_| ()).map_err(Into::into));
    }
    let child = command.spawn().context("the local cloud cannot be started")?;
    Ok(Starting { child, healthy: false })
}

/// A cloud that is starting. Dropped before it is healthy (an error, ctrl-c), its process group is killed: a cloud that
/// nobody could use would otherwise stay.
pub(super) struct Starting {
    child: Child,
    healthy: bool,
}

impl Starting {
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// How it ended, when it has ended.
    pub(super) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    pub(super) fn let_run(mut self) {
        self.healthy = true;
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if self.healthy {
            return;
        }
        if let Some(group) = self
            .child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(Pid::from_raw)
        {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Whether `pid` is the local cloud of `directory`. A number alone proves nothing: it may be somebody else's by now.
pub(super) async fn is_cloud(pid: u32, directory: &Path) -> bool {
    let Some(line) = command_line(pid).await else {
        return false;
    };
    line.contains("pipectl_local") && line.contains(&*directory.to_string_lossy())
}

async fn command_line(pid: u32) -> Option<String> {
    if cfg!(target_os = "linux") {
        // Empty for a process that has ended and was not collected yet.
        let raw = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        return Some(String::from_utf8_lossy(&raw).replace('\0', " "));
    }
    let output = Command::new("ps")
        .args(["-ww", "-o", "command=", "-p", &pid.to_string()])
        .output()
        .await
        .ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Ends a process group: asks, waits, and then does not ask.
pub(super) async fn stop(pid: u32, directory: &Path) -> anyhow::Result<()> {
    let Some(group) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Ok(());
    };
    let start = Instant::now();
    let _ = kill_process_group(group, Signal::TERM);
    while is_cloud(pid, directory).await {
        if start.elapsed() > PATIENCE {
            kill_process_group(group, Signal::KILL)
                .with_context(|| format!("the local cloud (process group {pid}) cannot be stopped"))?;
            break;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    // The leader is gone. What it may have left in its group goes as well; usually nothing is there.
    let _ = kill_process_group(group, Signal::KILL);
    Ok(())
}
