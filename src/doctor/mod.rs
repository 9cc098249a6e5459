//! Whether a deploy can succeed, found out without changing anything: identities, rights, quotas, the runtime, the database.

pub mod aws;
pub mod database;
mod handlers;
pub mod policy;
mod reader;
pub mod snowflake;

use serde::Serialize;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is as it must be.
    Ok,
    /// Something lacks.
    Missing,
    /// It works, and may fail later.
    Risk,
    /// It could not be found out.
    NotChecked,
}

impl State {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Missing => "missing",
            State::Risk => "risk",
            State::NotChecked => "not checked",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// AWS, Snowflake, the database or this machine.
    pub side: &'static str,
    /// What was looked at.
    pub what: String,
    /// How it is.
    pub state: State,
    /// What was found, or why it was not.
    pub found: String,
    /// What to do; empty where nothing is.
    pub next: String,
}

impl Check {
    /// As it must be.
    pub fn found(side: &'static str, what: impl Into<String>, found: &str) -> Self {
        Check::ok(side, what, found)
    }

    fn ok(side: &'static str, what: impl Into<String>, found: impl Into<String>) -> Self {
        Check {
            side,
            what: what.into(),
            state: State::Ok,
            found: found.into(),
            next: String::new(),
        }
    }

    /// `why` may end in hints, which become the next step.
    pub fn missing(side: &'static str, what: impl Into<String>, why: &str) -> Self {
        let mut parts = why.split("\n  hint: ");
        let found = parts.next().unwrap_or_default().to_owned();
        Check {
            state: State::Missing,
            next: parts.collect::<Vec<_>>().join("; "),
            ..Check::ok(side, what, found)
        }
    }

    fn not_checked(side: &'static str, what: impl Into<String>, why: &str) -> Self {
        Check {
            state: State::NotChecked,
            ..Check::missing(side, what, why)
        }
    }
}
