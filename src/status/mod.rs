//! The state of every hop, from the raw bucket to the last row. Changes nothing.

mod aws;
pub mod metrics;
mod mysql;
pub mod queue;
mod reader;
pub mod sender;
mod snowflake;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::aws::Aws;
use crate::graph::Graph;
use crate::model::Model;
use crate::snowflake::client::Client;

/// One hop.
#[derive(Debug, Clone, Serialize)]
pub struct Hop {
    /// What kind of thing it is.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its state in words.
    pub state: String,
    /// Whether it is as it should be.
    pub healthy: bool,
    /// What to do next, where it is not.
    pub next: String,
    /// What the state is made of, for programs. Times are seconds, counts are of the last hour where the name says so.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub detail: Map<String, Value>,
}

impl Hop {
    fn well(kind: &'static str, name: impl Into<String>, state: impl Into<String>) -> Self {
        Hop {
            kind,
            name: name.into(),
            state: state.into(),
            healthy: true,
            next: String::new(),
            detail: Map::new(),
        }
    }

    fn ill(kind: &'static str, name: impl Into<String>, state: impl Into<String>, next: impl Into<String>) -> Self {
        Hop {
            kind,
            name: name.into(),
            state: state.into(),
            healthy: false,
            next: next.into(),
            detail: Map::new(),
        }
    }

    /// Well when `healthy`, else with what to do next.
    fn judged(
        healthy: bool,
        kind: &'static str,
        name: impl Into<String>,
        state: impl Into<String>,
        next: &str,
    ) -> Self {
        if healthy {
            Hop::well(kind, name, state)
        } else {
            Hop::ill(kind, name, state, next)
        }
    }

    /// With what its state is made of.
    fn with(mut self, detail: Value) -> Self {
        if let Value::Object(detail) = detail {
            self.detail.extend(detail);
        }
        self
    }
}

/// What to do about something that is not there.
const DEPLOY: &str = "run pipectl deploy";

/// How long ago, or how long, in the largest unit that fits.
pub fn span(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// So many, and a word for them.
fn count(number: u64, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// Looks at every hop.
pub async fn hops(model: &Model, graph: &Graph, aws: &Aws, client: Option<&Client>) -> anyhow::Result<Vec<Hop>> {
    let mut hops = aws::hops(model, graph, aws).await?;
    if let (Some(client), Some(target)) = (client, model.snowflake()) {
        hops.extend(snowflake::hops(model, target, graph, client).await?);
    }
    Ok(hops)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_the_largest_unit_that_fits() {
        let told: Vec<String> = [-3, 0, 119, 120, 7199, 7200, 172_799, 172_800].map(span).to_vec();
        assert_eq!(
            told,
            ["0 s", "0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 days"]
        );
        assert_eq!(
            (count(1, "row"), count(0, "row")),
            ("1 row".to_owned(), "0 rows".to_owned())
        );
    }
}
