//! pipectl: one `pipeline.toml` becomes a running data pipeline across AWS and Snowflake.
//!
//! Data goes one way: [`spec`] (what the user wrote) → [`model`] (resolved) → [`graph`] (typed nodes and edges) →
//! observe (in [`aws`] and [`snowflake`]) → diff → [`plan`] → [`apply`] → [`report`]. Only `apply` changes anything.

pub mod apply;
pub mod aws;
pub mod backfill;
pub mod calendar;
pub mod command;
pub mod doctor;
pub mod graph;
pub mod local;
pub mod model;
pub mod pace;
pub mod plan;
pub mod redrive;
pub mod report;
pub mod runtime;
pub mod snowflake;
pub mod spec;
pub mod status;
pub mod verify;
