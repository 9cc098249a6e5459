//! Once a minute a line of the log says how far the service is behind: metrics and `pipectl status` are made of it.
//!
//! How far is told from outside: the end of the server's binlog against what was acknowledged. A service that stands still
//! though there is more to read ends, so that whoever runs it starts it again.

use std::collections::VecDeque;
use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::checkpoint::{Checkpoint, State};
use super::reader::{Ordered, place};
use super::server::{self, File};
use crate::runtime::log::Line;
use crate::runtime::mysql::{Connection, Database};

const EVERY: Duration = Duration::from_secs(60);
/// How long the service may stand still with something to read. Longer than any pause between two tries.
const PATIENCE: Duration = Duration::from_secs(900);
/// Ends of the binlog that are kept: those of a day.
const MOST_ENDS: usize = 24 * 60;

/// The line, whose fields the log metric filters name.
#[derive(Debug, Serialize)]
struct Beat {
    level: &'static str,
    action: &'static str,
    file: String,
    position: u64,
    /// Bytes of the binlog behind the position.
    lag_bytes: u64,
    /// Seconds since something is in the binlog that is not acknowledged, to a minute.
    lag_seconds: u64,
    /// Seconds that the server keeps a binlog; absent where it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_seconds: Option<u64>,
    /// Bytes of the binlog before the position that the server still has.
    kept_bytes: u64,
    /// Tables that are passed over.
    passed_over: usize,
    /// The table whose snapshot is being taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<String>,
}

/// Watches the service from beside it.
pub struct Heart<'a> {
    pub database: &'a Database,
    pub checkpoint: &'a Checkpoint,
}

impl Heart<'_> {
    /// Beats until the service stands still; then it says so.
    pub async fn beat(&self) -> anyhow::Error {
        let mut ends = Ends::default();
        let mut moved = (String::new(), Instant::now());
        // A moment for the checkpoint of a first start.
        let mut pause = EVERY / 12;
        loop {
            sleep(pause).await;
            pause = EVERY;
            match self.once(&mut ends, &mut moved).await {
                Ok(()) => {}
                Err(error) if error.is::<Still>() => return error,
                Err(error) => Line::warn("no heartbeat").detail(format!("{error:#}")).write(),
            }
        }
    }

    async fn once(&self, ends: &mut Ends, moved: &mut (String, Instant)) -> anyhow::Result<()> {
        let Some(state) = self.checkpoint.read().await? else {
            bail!("there is no checkpoint yet");
        };
        let mut connection = self.database.connect().await?;
        let files = server::files(&mut connection).await?;
        let beat = beat(&mut connection, &state, &files, ends).await?;
        let far = progress(&state);
        if far != moved.0 || beat.lag_bytes == 0 {
            *moved = (far, Instant::now());
        } else if moved.1.elapsed() > PATIENCE {
            bail!(Still(PATIENCE.as_secs() / 60));
        }
        if let Ok(mut text) = serde_json::to_vec(&beat) {
            text.push(b'\n');
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(&text).and_then(|()| out.flush());
        }
        Ok(())
    }
}

/// The service stands still.
#[derive(Debug, thiserror::Error)]
#[error(
    "nothing was acknowledged for {0} minutes though there is more in the binlog; the process ends to be started anew"
)]
struct Still(u64);

async fn beat(connection: &mut Connection, state: &State, files: &[File], ends: &mut Ends) -> anyhow::Result<Beat> {
    let kept_seconds = server::retention(connection).await?.seconds();
    let (kept_bytes, lag_bytes) = around(files, state);
    let now = Instant::now();
    let end = files.last().map(|file| place(&file.name, file.bytes));
    ends.add(now, end.unwrap_or_default());
    let lag_seconds = match lag_bytes {
        0 => 0,
        _ => ends.behind(now, place(&state.file, state.position)),
    };
    Ok(Beat {
        level: "INFO",
        action: "heartbeat",
        file: state.file.clone(),
        position: state.position,
        lag_bytes,
        lag_seconds,
        kept_seconds,
        kept_bytes,
        passed_over: state.stopped.len(),
        snapshot: state.snapshot.as_ref().map(|snapshot| snapshot.table.clone()),
    })
}

/// What changes whenever the service comes further.
fn progress(state: &State) -> String {
    let State {
        file,
        position,
        tables,
        snapshot,
        ..
    } = state;
    format!("{file} {position} {tables:?} {snapshot:?}")
}

/// Bytes before and behind the position. A file that is gone lies before everything.
fn around(files: &[File], state: &State) -> (u64, u64) {
    let all: u64 = files.iter().map(|file| file.bytes).sum();
    let at = files.iter().position(|file| file.name == state.file);
    let before = at.map_or(0, |at| {
        let whole: u64 = files[..at].iter().map(|file| file.bytes).sum();
        whole + state.position.min(files[at].bytes)
    });
    (before, all - before)
}

/// Where the binlog ended at which time.
#[derive(Default)]
struct Ends(VecDeque<(Instant, Ordered)>);

impl Ends {
    fn add(&mut self, at: Instant, end: Ordered) {
        if self.0.back().is_none_or(|(_, last)| *last != end) {
            self.0.push_back((at, end));
        }
        while self.0.len() > MOST_ENDS {
            self.0.pop_front();
        }
    }

    /// Seconds since the binlog first ended behind the position. What lies before it is forgotten.
    fn behind(&mut self, now: Instant, position: Ordered) -> u64 {
        while self.0.front().is_some_and(|(_, end)| *end <= position) {
            self.0.pop_front();
        }
        self.0.front().map_or(0, |(at, _)| (now - *at).as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<File> {
        let file = |name: &str, bytes| File {
            name: name.into(),
            bytes,
        };
        vec![file("b.000001", 1000), file("b.000002", 500), file("b.000003", 200)]
    }

    fn state(file: &str, position: u64) -> State {
        serde_json::from_value(serde_json::json!({
            "generation": 1, "server": "s", "file": file, "position": position, "at": 0,
        }))
        .unwrap()
    }

    #[test]
    fn bytes_lie_before_and_behind() {
        assert_eq!(around(&files(), &state("b.000002", 100)), (1100, 600));
        assert_eq!(around(&files(), &state("b.000003", 200)), (1700, 0));
        assert_eq!(around(&files(), &state("b.000000", 7)), (0, 1700), "purged");
    }

    #[test]
    fn the_lag_is_as_old_as_the_first_end_behind() {
        let (mut ends, start) = (Ends::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        for (seconds, file, bytes) in [(0, "b.999999", 10), (60, "b.999999", 20), (120, "b.1000000", 5)] {
            ends.add(after(seconds), place(file, bytes));
        }
        assert_eq!(ends.behind(after(180), place("b.999999", 5)), 180);
        assert_eq!(ends.behind(after(180), place("b.999999", 10)), 120);
        assert_eq!(ends.behind(after(180), place("b.1000000", 4)), 60);
        assert_eq!(ends.behind(after(180), place("b.1000000", 5)), 0);
    }
}
