//! The state of every hop, from the raw bucket to the last row. Changes nothing.

mod aws;
pub mod sender;
mod snowflake;

use serde::Serialize;

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
}

impl Hop {
    fn well(kind: &'static str, name: impl Into<String>, state: impl Into<String>) -> Self {
        Hop {
            kind,
            name: name.into(),
            state: state.into(),
            healthy: true,
            next: String::new(),
        }
    }

    fn ill(kind: &'static str, name: impl Into<String>, state: impl Into<String>, next: impl Into<String>) -> Self {
        Hop {
            kind,
            name: name.into(),
            state: state.into(),
            healthy: false,
            next: next.into(),
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
}

/// Looks at every hop.
pub async fn hops(model: &Model, graph: &Graph, aws: &Aws, client: Option<&Client>) -> anyhow::Result<Vec<Hop>> {
    let mut hops = aws::hops(model, graph, aws).await?;
    if let (Some(client), Some(target)) = (client, model.snowflake()) {
        hops.extend(snowflake::hops(model, target, graph, client).await?);
    }
    Ok(hops)
}
