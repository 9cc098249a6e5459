//! `pipectl validate`.

use std::process::ExitCode;

use serde_json::json;

use super::context::{Failure, load, read};
use super::{Format, Global};
use crate::report::out::outln;
use crate::spec;

/// Checks the file for every environment it declares.
pub fn run(global: &Global) -> Result<ExitCode, Failure> {
    let text = read(&global.file)?;
    spec::check_every_env(&text, &global.file.display().to_string(), &global.env)?;
    let loaded = load(global)?;
    match global.format {
        Format::Json => outln!("{:#}", json!({ "errors": [] })),
        Format::Text | Format::Markdown => outln!(
            "{} is valid: pipeline {}, {} tables, {} stacks, {} Snowflake objects",
            global.file.display(),
            loaded.model.names.pipeline,
            loaded.model.tables.len(),
            loaded.graph.stacks().count(),
            loaded.graph.objects().count(),
        ),
    }
    Ok(ExitCode::SUCCESS)
}
