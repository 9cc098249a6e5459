//! `pipectl render`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::context::{Failure, load};
use super::{Format, Global};
use crate::report::out::outln;
use crate::report::render::files;

/// Options of `render`.
#[derive(Debug, Args)]
pub struct Options {
    /// Folder to write to
    #[arg(short, long, value_name = "DIR", default_value = "rendered")]
    output: PathBuf,
}

/// Writes templates, SQL and graph; needs neither account nor network.
pub fn run(global: &Global, options: &Options) -> Result<ExitCode, Failure> {
    let loaded = load(global)?;
    let rendered = files(&loaded.graph)?;
    for folder in ["cloudformation", "snowflake"] {
        let folder = options.output.join(folder);
        // What an earlier render left must not be taken for a part of this one.
        if folder.is_dir() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("emptying {}", folder.display()))?;
        }
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    }
    for (path, text) in &rendered {
        let path = options.output.join(path);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    let names: Vec<&String> = rendered.keys().collect();
    match global.format {
        Format::Json => outln!("{:#}", json!({ "directory": options.output, "files": names })),
        Format::Text | Format::Markdown => outln!("wrote {} files to {}", names.len(), options.output.display()),
    }
    Ok(ExitCode::SUCCESS)
}
