//! `pipectl unlock`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::context::{Failure, connect_aws, load};
use super::deploy::confirm;
use super::{Format, Global};
use crate::aws::lease;
use crate::report::out::outln;
use crate::report::progress;

/// Options of `unlock`.
#[derive(Debug, Args)]
pub struct Options {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Shows who holds the lease, and removes it.
pub async fn run(global: &Global, options: &Options) -> Result<ExitCode, Failure> {
    let loaded = load(global)?;
    let names = &loaded.model.names;
    let aws = connect_aws(&loaded, &progress::say).await?.aws;
    let Some(held) = lease::held(&aws, names).await? else {
        match global.format {
            Format::Json => outln!("{:#}", json!({ "held": null, "removed": false })),
            Format::Text | Format::Markdown => outln!("{}: nobody holds the lease", names.mark()),
        }
        return Ok(ExitCode::SUCCESS);
    };
    if global.format == Format::Text {
        outln!("{}: held by {}", names.mark(), held.said());
    }
    if !options.yes {
        confirm("Remove this lease? A run that is still at work starts no further step.").await?;
    }
    let removed = lease::remove(&aws, names, &held.holder).await?;
    match global.format {
        Format::Json => outln!("{:#}", json!({ "held": held.holder, "removed": removed })),
        Format::Text | Format::Markdown if removed => outln!("removed"),
        Format::Text | Format::Markdown => outln!("it was given back meanwhile; nothing was removed"),
    }
    Ok(ExitCode::SUCCESS)
}
