pub mod apply;
pub mod aws;
pub mod graph;
pub mod model;
pub mod plan;
pub mod runtime;
pub mod snowflake;
pub mod spec;
