//! The hop of the reader of a binary log: where it is, how far behind, and what of the log it could still lose.
//!
//! The reader says it itself, once a minute in its log; where it goes on from is in its parameter.

use aws_sdk_ssm::error::ProvideErrorMetadata;
use serde::Deserialize;
use serde_json::json;

use super::metrics::now;
use super::{DEPLOY, Hop, span};
use crate::aws::Aws;
use crate::aws::failure::explain;
use crate::graph::alarm::LATE_SECONDS;
use crate::graph::mysql::reader::{PART, log_group};
use crate::model::Model;
use crate::runtime::alert::logs::last_errors;
use crate::runtime::binlog::State;
use crate::runtime::parameter;

/// How far back a heartbeat is looked for.
const LOOK_BACK_SECONDS: i64 = 3600;
/// A reader that was silent for longer is not there: its heart beats once a minute.
const SILENT_SECONDS: i64 = 300;
/// What the pattern of CloudWatch Logs finds heartbeats by.
const HEARTBEATS: &str = "{ $.action = \"heartbeat\" }";

/// What the reader says of itself.
#[derive(Debug, Clone, Default, Deserialize)]
struct Beat {
    lag_bytes: u64,
    lag_seconds: i64,
    kept_seconds: Option<i64>,
    kept_bytes: u64,
}

/// The hop.
pub async fn hop(model: &Model, aws: &Aws) -> anyhow::Result<Hop> {
    let parameter = model.names.binlog_position_parameter();
    let group = log_group(model);
    let (kept, beat) = tokio::try_join!(parameter::read(&aws.ssm, &parameter), last_beat(aws, &group))?;
    let name = model.names.resource(PART);
    let Some(beat) = beat else {
        return Ok(Hop::ill("reader", name, "missing", DEPLOY));
    };
    let state = kept.as_deref().map(serde_json::from_str::<State>);
    let hop = match state {
        Some(Err(_)) => {
            let next = format!("delete the parameter {parameter} to have every table read anew");
            Hop::ill("reader", &name, "its parameter is not readable", &next)
        }
        Some(Ok(state)) => judged(&name, &group, Some(&state), beat.as_ref()),
        None => judged(&name, &group, None, beat.as_ref()),
    };
    if hop.healthy {
        return Ok(hop);
    }
    // Nobody fails to see the rest because the log may not be read.
    let error = match last_errors(&aws.logs, &group).await {
        Ok(mut lines) => lines.pop(),
        Err(error) => Some(format!("its log cannot be read: {error:#}")),
    };
    let mut hop = hop;
    hop.state.extend(error.iter().map(|error| format!("; {error}")));
    Ok(hop)
}

/// The last heartbeat of an hour, and how long ago it was; the outer `None` without a log group.
async fn last_beat(aws: &Aws, group: &str) -> anyhow::Result<Option<Option<(Beat, i64)>>> {
    let since = (now() - LOOK_BACK_SECONDS) * 1000;
    let request = aws.logs.filter_log_events().log_group_name(group).start_time(since);
    let pages = request.filter_pattern(HEARTBEATS).into_paginator().send();
    let pages: Vec<_> = match pages.try_collect().await {
        Ok(pages) => pages,
        Err(error) if error.code() == Some("ResourceNotFoundException") => return Ok(None),
        Err(error) => return Err(explain(&format!("logs:FilterLogEvents of {group}"), error)),
    };
    let events = pages.iter().flat_map(|page| page.events());
    let last = events.max_by_key(|event| event.timestamp());
    Ok(Some(last.and_then(|event| {
        let beat = serde_json::from_str(event.message()?).ok()?;
        Some((beat, (now() - event.timestamp()? / 1000).max(0)))
    })))
}

/// What is said of a reader with this parameter and this last heartbeat.
fn judged(name: &str, group: &str, state: Option<&State>, beat: Option<&(Beat, i64)>) -> Hop {
    let mut text = match state {
        Some(state) => format!("at {} {}", state.file, state.position),
        None => "has not begun to read".to_owned(),
    };
    let snapshot = state.and_then(|state| state.snapshot.as_ref());
    text.extend(snapshot.map(|snapshot| format!(", reading all of {}", snapshot.table)));
    let kept = beat.and_then(|(beat, _)| beat.kept_seconds);
    let left = beat.and_then(|(beat, _)| Some(kept? - beat.lag_seconds));
    if let Some((beat, ago)) = beat {
        text.push_str(&match beat.lag_bytes {
            0 => ", nothing behind".to_owned(),
            bytes => format!(", {} ({}) behind", span(beat.lag_seconds), size(bytes)),
        });
        text.extend(kept.map(|kept| format!("; the server keeps its log for {}", span(kept))));
        text.push_str(&format!("; heard of {} ago", span(*ago)));
    } else {
        text.push_str(", not heard of in the last hour");
    }
    let stopped: Vec<String> = state
        .into_iter()
        .flat_map(|state| &state.stopped)
        .map(|(table, reason)| format!("{table} ({reason})"))
        .collect();
    let silent = beat.is_none_or(|(_, ago)| *ago > SILENT_SECONDS);
    let late = beat.is_some_and(|(beat, _)| beat.lag_seconds > i64::from(LATE_SECONDS));
    let short = kept.zip(left).is_some_and(|(kept, left)| kept == 0 || left < kept / 4);
    let next = if silent {
        format!(
            "read the log group {group}, and mend what it says; without a word there, look at the server or container that should run it"
        )
    } else if !stopped.is_empty() {
        text.push_str(&format!("; passed over: {}", stopped.join(", ")));
        "settle what is said of each table, then `pipectl backfill TABLE` has it read anew".to_owned()
    } else if short {
        "what is purged before it is read takes a new snapshot of every table: have the server keep its log for longer, on RDS by \
         CALL mysql.rds_set_configuration('binlog retention hours', 168)"
            .to_owned()
    } else if late {
        format!("it is behind: look at its log {group}, and at the stream below")
    } else {
        String::new()
    };
    Hop::judged(next.is_empty(), "reader", name, text, &next).with(json!({
        "file": state.map(|state| &state.file),
        "position": state.map(|state| state.position),
        "generation": state.map(|state| state.generation),
        "snapshot": snapshot.map(|snapshot| &snapshot.table),
        "passed_over": state.map(|state| &state.stopped),
        "lag_seconds": beat.map(|(beat, _)| beat.lag_seconds),
        "lag_bytes": beat.map(|(beat, _)| beat.lag_bytes),
        "kept_seconds": kept,
        "kept_left_seconds": left,
        "kept_bytes": beat.map(|(beat, _)| beat.kept_bytes),
        "heartbeat_seconds_ago": beat.map(|(_, ago)| ago),
    }))
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(stopped: &[(&str, &str)], beat: Option<(u64, i64, Option<i64>, i64)>) -> Hop {
        let state: State = serde_json::from_value(json!({
            "generation": 1, "server": "s", "file": "binlog.000003", "position": 157, "at": 0,
            "stopped": stopped.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
        }))
        .unwrap();
        let beat = beat.map(|(lag_bytes, lag_seconds, kept_seconds, ago)| {
            let beat = Beat {
                lag_bytes,
                lag_seconds,
                kept_seconds,
                kept_bytes: 0,
            };
            (beat, ago)
        });
        judged("p-dev-reader", "/log", Some(&state), beat.as_ref())
    }

    #[test]
    fn a_reader_that_keeps_up_is_well() {
        let hop = told(&[], Some((0, 0, Some(604_800), 20)));
        assert!(hop.healthy, "{hop:?}");
        assert_eq!(
            hop.state,
            "at binlog.000003 157, nothing behind; the server keeps its log for 7 days; heard of 20 s ago"
        );
        assert!(
            told(&[], Some((2_000, 30, None, 20)))
                .state
                .contains(", 30 s (2.0 kB) behind")
        );
    }

    #[test]
    fn silence_lag_short_logs_and_tables_passed_over_are_ill() {
        let ill = |stopped: &[(&str, &str)], beat| {
            let hop = told(stopped, beat);
            assert!(!hop.healthy, "{hop:?}");
            format!("{} | {}", hop.state, hop.next)
        };
        assert!(ill(&[], None).contains("not heard of in the last hour"));
        assert!(ill(&[], Some((0, 0, None, 301))).contains("/log"));
        assert!(ill(&[], Some((10, 901, None, 1))).contains("it is behind"));
        assert!(ill(&[], Some((10, 800, Some(1000), 1))).contains("purged"));
        assert!(ill(&[], Some((0, 0, Some(0), 1))).contains("CALL mysql.rds_set_configuration"));
        assert!(ill(&[("s.t", "no key")], Some((0, 0, None, 1))).contains("s.t (no key)"));
    }
}
