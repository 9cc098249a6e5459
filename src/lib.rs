//! One `pipeline.toml` becomes a running data pipeline across AWS and Snowflake.

pub mod spec;
