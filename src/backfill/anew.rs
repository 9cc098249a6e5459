//! Tables of the binary log: its reader is asked to read one anew, and watched.
//!
//! The request is a parameter, and so is what the reader says of it; no connection leads to the reader.

use anyhow::Context as _;

use crate::aws::Aws;
use crate::model::names::Names;
use crate::runtime::binlog::{Request, State, now};
use crate::runtime::parameter;

/// How far the reader came with a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// It did not hear of the request.
    Waiting,
    /// It heard of it, and reads no table yet.
    Heard,
    /// It reads the table, or another one before it.
    Reading,
    /// The table is read.
    Read,
    /// It passes the table over, and why.
    PassedOver(String),
}

/// Asks the reader for a table, and says by which number it will tell that it heard. A request that it did not take up
/// yet goes on as part of this one.
pub async fn ask(aws: &Aws, names: &Names, title: &str) -> anyhow::Result<u64> {
    let name = names.binlog_request_parameter();
    let state = state(aws, names).await?;
    let before = parameter::read(&aws.ssm, &name).await?;
    let before = before.and_then(|text| serde_json::from_str::<Request>(&text).ok());
    let request = joined(before, state.map_or(0, |state| state.asked), title, now());
    let at = request.at;
    parameter::write(&aws.ssm, &name, serde_json::to_string(&request)?).await?;
    Ok(at)
}

/// How far the reader came with a table that was asked for.
pub async fn look(aws: &Aws, names: &Names, title: &str, at: u64) -> anyhow::Result<Stage> {
    Ok(state(aws, names)
        .await?
        .map_or(Stage::Waiting, |state| stage(&state, title, at)))
}

async fn state(aws: &Aws, names: &Names) -> anyhow::Result<Option<State>> {
    let name = names.binlog_position_parameter();
    let text = parameter::read(&aws.ssm, &name).await?;
    text.map(|text| serde_json::from_str(&text))
        .transpose()
        .with_context(|| format!("the parameter {name} is not what the reader of the binary log wrote there"))
}

fn joined(before: Option<Request>, asked: u64, title: &str, now: u64) -> Request {
    let pending = before.as_ref().filter(|before| before.at > asked);
    let mut tables = pending.map_or_else(Vec::new, |pending| pending.tables.clone());
    if !tables.iter().any(|table| table == title) {
        tables.push(title.to_owned());
    }
    // Also where the clock of who asked before is ahead.
    let last = before.map_or(0, |before| before.at).max(asked);
    Request {
        at: now.max(last + 1),
        tables,
    }
}

fn stage(state: &State, title: &str, at: u64) -> Stage {
    if state.asked < at {
        return Stage::Waiting;
    }
    match state.stopped.get(title) {
        Some(reason) => Stage::PassedOver(reason.clone()),
        None if state.tables.iter().any(|table| table == title) => Stage::Read,
        None if state.snapshot.is_some() => Stage::Reading,
        None => Stage::Heard,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_that_waits_is_not_lost_and_one_taken_up_is_not_repeated() {
        let before = |at| {
            Some(Request {
                at,
                tables: vec!["s.a".to_owned()],
            })
        };
        let tables = |request: Request| (request.at, request.tables.join(" "));
        assert_eq!(tables(joined(None, 0, "s.b", 100)), (100, "s.b".to_owned()));
        assert_eq!(tables(joined(before(50), 40, "s.b", 100)), (100, "s.a s.b".to_owned()));
        assert_eq!(tables(joined(before(50), 40, "s.a", 100)), (100, "s.a".to_owned()));
        assert_eq!(tables(joined(before(50), 50, "s.b", 100)), (100, "s.b".to_owned()));
        assert_eq!(tables(joined(before(500), 40, "s.b", 100)), (501, "s.a s.b".to_owned()));
        assert_eq!(tables(joined(None, 700, "s.b", 100)), (701, "s.b".to_owned()));
    }

    #[test]
    fn what_the_reader_says_is_of_the_request_only_when_it_took_it_up() {
        let state = |asked: u64, tables: &[&str], stopped: &[(&str, &str)]| -> State {
            serde_json::from_value(json!({
                "generation": 1, "server": "s", "file": "b.000001", "position": 4, "at": 0, "asked": asked, "tables": tables,
                "stopped": stopped.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
            }))
            .unwrap()
        };
        assert_eq!(stage(&state(9, &["s.t"], &[]), "s.t", 10), Stage::Waiting);
        assert_eq!(stage(&state(10, &["s.t"], &[]), "s.t", 10), Stage::Read);
        let mut heard = state(11, &["s.u"], &[]);
        assert_eq!(stage(&heard, "s.t", 10), Stage::Heard);
        heard.snapshot = Some(serde_json::from_value(json!({ "table": "s.t", "seq": "1" })).unwrap());
        assert_eq!(stage(&heard, "s.t", 10), Stage::Reading);
        let stopped = state(10, &[], &[("s.t", "no key")]);
        assert_eq!(stage(&stopped, "s.t", 10), Stage::PassedOver("no key".to_owned()));
    }
}
