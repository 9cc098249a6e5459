//! Once a minute: that the service lives, how far it is behind the server, and how long the server still keeps what the
//! service has not read.
//!
//! The line, on which alarms rest, has the action `heartbeat` and these numbers where they are known:
//! - `lag_seconds`: 0 when everything logged is acknowledged, else how long ago the last acknowledged transaction was
//!   committed;
//! - `behind_bytes`: bytes of binlog that are not acknowledged;
//! - `retention_left_seconds`: how long until the server may purge what is next; absent where it keeps all, 0 where what
//!   is next is gone.

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::reader::Position;
use super::server::{self, File};
use crate::runtime::log::{Lag, Line};
use crate::runtime::mysql::{Connection, Database};

/// How far everything is acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reached {
    position: Position,
    /// Seconds since 1970.
    at: u64,
}

/// What the heartbeat tells of.
#[derive(Default)]
pub struct Progress(Mutex<Option<Reached>>);

impl Progress {
    /// Everything up to this position is acknowledged, which is as of these seconds since 1970.
    pub fn reached(&self, position: Position, at: u64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = match known.as_ref() {
            Some(known) if known.position == position => known.at.min(at),
            _ => at,
        };
        *known = Some(Reached { position, at });
    }

    /// Nothing is known, as of another server.
    pub fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn get(&self) -> Option<Reached> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Writes a line now and then again and again, also while the stream or the database keeps the service waiting.
pub async fn keep(database: &Database, name: &str, progress: &Progress, every: Duration) -> Infallible {
    let mut connection = None;
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let line = Line::info("heartbeat").key(name);
        let Some(reached) = progress.get() else {
            line.write();
            continue;
        };
        match measured(&mut connection, database, &reached).await {
            Ok(lag) => line.lag(lag).write(),
            Err(error) => {
                connection = None;
                // That the database does not answer is told by the session that reads from it.
                line.detail(format!("how far behind is not known: {error:#}")).write();
            }
        }
    }
}

async fn measured(known: &mut Option<Connection>, database: &Database, reached: &Reached) -> anyhow::Result<Lag> {
    let connection = match known {
        Some(connection) => connection,
        None => known.insert(database.connect().await?),
    };
    let end = server::position(connection).await?;
    let files = server::files(connection).await?;
    let clock = server::clock(connection).await?;
    let kept = server::retention(connection).await;
    Ok(lag(reached, &end, &files, clock, kept))
}

fn lag(reached: &Reached, end: &Position, files: &[File], clock: u64, kept: Option<u64>) -> Lag {
    let behind = behind(&reached.position, end, files);
    let seconds = if behind == Some(0) {
        0
    } else {
        clock.saturating_sub(reached.at)
    };
    let left = match behind {
        None => Some(0),
        Some(_) => kept.map(|kept| kept.saturating_sub(seconds)),
    };
    Lag {
        lag_seconds: seconds,
        behind_bytes: behind,
        retention_left_seconds: left,
    }
}

/// Bytes between two positions; `None` when the file of the first is gone.
fn behind(from: &Position, end: &Position, files: &[File]) -> Option<u64> {
    if from.file == end.file {
        return Some(end.offset.saturating_sub(from.offset));
    }
    let first = files.iter().position(|file| file.name == from.file)?;
    let between = files[first..].iter().take_while(|file| file.name != end.file);
    let whole: u64 = between.map(|file| file.bytes).sum();
    Some((whole + end.offset).saturating_sub(from.offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(file: &str, offset: u64) -> Position {
        Position {
            file: file.to_owned(),
            offset,
        }
    }

    fn files() -> Vec<File> {
        let file = |(name, bytes): (&str, u64)| File {
            name: name.to_owned(),
            bytes,
        };
        [("b.000002", 1000), ("b.000003", 500), ("b.000004", 90)]
            .map(file)
            .to_vec()
    }

    fn of(at: &Position, kept: Option<u64>) -> Lag {
        let reached = Reached {
            position: at.clone(),
            at: 100,
        };
        lag(&reached, &position("b.000004", 80), &files(), 160, kept)
    }

    #[test]
    fn nothing_is_behind_at_the_end() {
        let expected = Lag {
            lag_seconds: 0,
            behind_bytes: Some(0),
            retention_left_seconds: Some(3600),
        };
        assert_eq!(of(&position("b.000004", 80), Some(3600)), expected);
    }

    #[test]
    fn files_between_count() {
        let expected = Lag {
            lag_seconds: 60,
            behind_bytes: Some(900 + 500 + 80),
            retention_left_seconds: Some(3540),
        };
        assert_eq!(of(&position("b.000002", 100), Some(3600)), expected);
        assert_eq!(of(&position("b.000002", 100), None).retention_left_seconds, None);
    }

    #[test]
    fn what_is_purged_has_no_time_left() {
        let expected = Lag {
            lag_seconds: 60,
            behind_bytes: None,
            retention_left_seconds: Some(0),
        };
        assert_eq!(of(&position("b.000001", 100), None), expected);
    }

    #[test]
    fn the_same_position_does_not_get_younger() {
        let progress = Progress::default();
        progress.reached(position("b.000001", 4), 50);
        progress.reached(position("b.000001", 4), 70);
        assert_eq!(progress.get().unwrap().at, 50);
        progress.reached(position("b.000001", 9), 70);
        assert_eq!(progress.get().unwrap().at, 70);
    }
}
