//! `pipectl schema`.

use std::process::ExitCode;

use clap::Args;

use super::context::Failure;
use crate::plan::saved;
use crate::report::out::out;

/// Options of `schema`.
#[derive(Debug, Args)]
pub struct Options {
    /// The schema of a plan, as `diff --out` and `diff --format json` write it
    #[arg(long)]
    plan: bool,
}

/// Prints the JSON Schema of pipeline.toml, or of a plan.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    let schema = if options.plan {
        saved::json_schema()
    } else {
        crate::spec::schema::json_schema()
    };
    out!("{schema}");
    Ok(ExitCode::SUCCESS)
}
