//! `pipectl init`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::json;

use super::context::Failure;
use super::{Format, Global};
use crate::report::out::outln;
use crate::spec::template::templates;

/// Options of `init`.
#[derive(Debug, Args)]
pub struct Options {
    /// Folder of the new pipeline
    #[arg(default_value = ".")]
    directory: PathBuf,
    /// What kind of pipeline
    #[arg(long, value_name = "NAME", default_value = "files")]
    template: String,
}

/// Writes a first pipeline.toml.
pub fn run(global: &Global, options: &Options) -> Result<ExitCode, Failure> {
    let known = templates();
    let template = known
        .iter()
        .find(|template| template.name == options.template)
        .ok_or_else(|| {
            let names: Vec<String> = known
                .iter()
                .map(|template| format!("{} ({})", template.name, template.about))
                .collect();
            anyhow!(
                "there is no template `{}`\n  hint: choose one of: {}",
                options.template,
                names.join(", ")
            )
        })?;
    let directory = &options.directory;
    std::fs::create_dir_all(directory).with_context(|| format!("making the folder {}", directory.display()))?;
    let file = directory.join("pipeline.toml");
    let mut options = std::fs::OpenOptions::new();
    // `create_new` is what never overwrites, even when two runs meet.
    let mut out = options.write(true).create_new(true).open(&file).with_context(|| {
        format!(
            "writing {}\n  hint: an existing file is never overwritten; name another folder",
            file.display()
        )
    })?;
    let text = template.for_pipeline(&pipeline_name(directory));
    out.write_all(text.as_bytes())
        .with_context(|| format!("writing {}", file.display()))?;
    match global.format {
        Format::Json => outln!("{:#}", json!({ "file": file })),
        Format::Text | Format::Markdown => {
            outln!("wrote {}", file.display());
            outln!("next: pipectl -f {} validate", file.display());
            outln!("then: pipectl -f {} deploy --env local --yes", file.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The folder's name made fit for a pipeline, or a plain one.
fn pipeline_name(directory: &std::path::Path) -> String {
    let folder = std::path::absolute(directory)
        .ok()
        .and_then(|path| Some(path.file_name()?.to_string_lossy().to_lowercase()));
    let words: Vec<String> = folder
        .unwrap_or_default()
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    let name: String = words.join("-").chars().take(20).collect();
    let name = name.trim_matches('-').to_owned();
    if name.starts_with(|c: char| c.is_ascii_lowercase()) {
        name
    } else {
        "my-pipeline".to_owned()
    }
}
