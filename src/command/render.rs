//! `pipectl render`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::context::{Failure, load};
use super::{Format, Global};
use crate::report::out::outln;
use crate::report::render::{Sink, render};

/// Bytes that go to the disk at once.
const BUFFER: usize = 256 * 1024;

/// Options of `render`.
#[derive(Debug, Args)]
pub struct Options {
    /// Folder to write to
    #[arg(short, long, value_name = "DIR", default_value = "rendered")]
    output: PathBuf,
}

/// The files, each written as it is made.
struct Folder<'a> {
    folder: &'a Path,
    paths: Vec<String>,
    file: Option<BufWriter<File>>,
}

impl Folder<'_> {
    fn end(&mut self) -> anyhow::Result<()> {
        match self.file.take() {
            Some(mut file) => file.flush().with_context(|| self.writing()),
            None => Ok(()),
        }
    }

    fn writing(&self) -> String {
        let path = self.paths.last().map(|path| self.folder.join(path));
        format!("writing {}", path.as_deref().unwrap_or(self.folder).display())
    }
}

impl Sink for Folder<'_> {
    fn file(&mut self, path: &str) -> anyhow::Result<()> {
        self.end()?;
        self.paths.push(path.to_owned());
        let file = File::create(self.folder.join(path)).with_context(|| self.writing())?;
        self.file = Some(BufWriter::with_capacity(BUFFER, file));
        Ok(())
    }

    fn text(&mut self, text: &str) -> anyhow::Result<()> {
        let written = self
            .file
            .as_mut()
            .map_or(Ok(()), |file| file.write_all(text.as_bytes()));
        written.with_context(|| self.writing())
    }
}

/// Writes templates, SQL and graph; needs neither account nor network.
pub fn run(global: &Global, options: &Options) -> Result<ExitCode, Failure> {
    let loaded = load(global)?;
    for folder in ["cloudformation", "snowflake"] {
        let folder = options.output.join(folder);
        // What an earlier render left must not be taken for a part of this one.
        if folder.is_dir() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("emptying {}", folder.display()))?;
        }
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let mut folder = Folder {
        folder: &options.output,
        paths: Vec::new(),
        file: None,
    };
    render(&loaded.graph, &mut folder)?;
    folder.end()?;
    let names = folder.paths;
    match global.format {
        Format::Json => outln!("{:#}", json!({ "directory": options.output, "files": names })),
        Format::Text | Format::Markdown => outln!("wrote {} files to {}", names.len(), options.output.display()),
    }
    Ok(ExitCode::SUCCESS)
}
