//! How far the service came, and what it is asked for: two SSM parameters.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::reader::Position;
use crate::runtime::log::Line;
use crate::runtime::parameter;

/// What the parameter says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Grows when positions of before mean nothing any more.
    pub generation: u32,
    /// Which server the position is of.
    pub server: String,
    pub file: String,
    pub position: u64,
    /// The transactions executed, to find the place in another server's binlog; absent where the server has no names
    /// for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gtid: Option<String>,
    /// When it was written, microseconds since 1970.
    pub at: u64,
    /// Tables whose snapshot is complete.
    #[serde(default)]
    pub tables: Vec<String>,
    /// Tables that are passed over, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stopped: BTreeMap<String, String>,
    /// Tables that were altered before all their changes were read, of a binlog that does not name their columns.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub altered: BTreeMap<String, Altered>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Snapshot>,
    /// The last request that was taken up: its `at`.
    #[serde(default)]
    pub asked: u64,
}

/// Tables that somebody wants read anew, whatever became of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// When it was asked, microseconds since 1970; a later request has a later one.
    pub at: u64,
    /// `schema.table`
    pub tables: Vec<String>,
}

/// What is known of a table whose changes before a place cannot be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Altered {
    /// The changes before it are passed over: a later snapshot has what came of them.
    pub before: Position,
    /// How many columns the table had there.
    pub columns: usize,
}

/// A snapshot that is not complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub table: String,
    /// `seq` of the position before its first chunk.
    pub seq: String,
    /// The key of the last row that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Vec<Json>>,
}

/// Where it is kept.
#[derive(Clone)]
pub struct Checkpoint {
    client: aws_sdk_ssm::Client,
    pub name: String,
    request: String,
}

impl Checkpoint {
    /// `prefix` ends in a slash.
    pub fn new(client: aws_sdk_ssm::Client, prefix: &str) -> Self {
        Self {
            client,
            name: format!("{prefix}position"),
            request: format!("{prefix}request"),
        }
    }

    /// What was written last; `None` before the first time.
    pub async fn read(&self) -> anyhow::Result<Option<State>> {
        let Some(text) = parameter::read(&self.client, &self.name).await? else {
            return Ok(None);
        };
        let state = serde_json::from_str(&text).with_context(|| {
            format!(
                "the parameter {} is not what pipectl wrote there; delete it to read every table anew",
                self.name
            )
        })?;
        Ok(Some(state))
    }

    /// What is asked for and was not taken up. What nobody can read is told, and asks for nothing.
    pub async fn request(&self, state: &State) -> anyhow::Result<Option<Request>> {
        let Some(text) = parameter::read(&self.client, &self.request).await? else {
            return Ok(None);
        };
        match serde_json::from_str::<Request>(&text) {
            Ok(request) => Ok((request.at > state.asked).then_some(request)),
            Err(error) => {
                let detail = format!("it is not what pipectl wrote there ({error}), and is passed over; delete it");
                Line::warn("request").key(&self.request).detail(detail).write();
                Ok(None)
            }
        }
    }

    pub async fn write(&self, state: &mut State) -> anyhow::Result<()> {
        state.at = now();
        parameter::write(&self.client, &self.name, serde_json::to_string(state)?).await
    }
}

/// A generation above all before it, also where the parameter was deleted meanwhile: the hours since 1970, which have six
/// digits until 2084. Were it counted from one, what is read anew would be older than the rows that are there.
pub fn generation(last: Option<u32>) -> u32 {
    let hours = u32::try_from(now() / 3_600_000_000).unwrap_or(u32::MAX);
    hours.max(last.map_or(0, |last| last + 1))
}

/// Microseconds since 1970.
pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_micros() as u64
}
