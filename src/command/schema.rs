//! `pipectl schema`.

use std::process::ExitCode;

use super::context::Failure;

/// Prints the JSON Schema of pipeline.toml.
pub fn run() -> Result<ExitCode, Failure> {
    print!("{}", crate::spec::schema::json_schema());
    Ok(ExitCode::SUCCESS)
}
