//! `pipectl schema`.

use std::process::ExitCode;

use super::context::Failure;
use crate::report::out::out;

/// Prints the JSON Schema of pipeline.toml.
pub fn run() -> Result<ExitCode, Failure> {
    out!("{}", crate::spec::schema::json_schema());
    Ok(ExitCode::SUCCESS)
}
