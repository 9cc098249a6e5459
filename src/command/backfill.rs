//! `pipectl backfill`.

mod anew;

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::context::{Failure, connect_aws, load};
use super::leased::{signalled, unless_interrupted};
use super::{Format, Global};
use crate::backfill::{Backfill, Place, Throttle, Wanted, range};
use crate::model::Origin;
use crate::report::bar::Bar;
use crate::report::out::outln;
use crate::report::progress;
use crate::verify;

/// Options of `backfill`.
#[derive(Debug, Args)]
pub struct Options {
    /// The table, by its name in the file or in the database
    table: String,
    /// Only rows whose key is not below this
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    from: Option<String>,
    /// Only rows whose key is below this
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    to: Option<String>,
    /// The column that --from and --to are of; an index should begin with it. Without it the primary key's first column
    #[arg(long, value_name = "COLUMN")]
    by: Option<String>,
    /// Rows of a file, which is also how often the place is kept
    #[arg(long, value_name = "ROWS", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    chunk_rows: u64,
    /// Write at most so many rows a second on average, to spare the database
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    /// Begin at the start, also where an earlier run is unfinished
    #[arg(long)]
    restart: bool,
    /// Only show how far the last run has come
    #[arg(long, conflicts_with_all = ["from", "to", "by", "rate", "restart"])]
    status: bool,
}

/// Writes chunk after chunk.
pub async fn run(global: &Global, options: &Options) -> Result<ExitCode, Failure> {
    let loaded = load(global)?;
    let tables = verify::tables(&loaded.model, std::slice::from_ref(&options.table))?;
    let Some(Origin::Mysql(origin)) = tables.first().map(|table| &table.origin) else {
        return Err(anyhow::anyhow!("{} is not read from a database", options.table).into());
    };
    let title = origin.name.to_string();
    if origin.watermark.is_none() {
        return anew::run(global, options, &loaded, &title).await;
    }
    let aws = unless_interrupted(async { Ok(connect_aws(&loaded, &progress::say).await?.aws) }).await?;
    let bar = Bar::new(&title);
    let say = |text: &str| bar.say(text);
    let backfill = Backfill::new(&loaded.model, &aws, origin, &say);
    if options.status {
        let kept = unless_interrupted(async { Ok(backfill.kept().await?) }).await?;
        return Ok(status(global, &title, kept.as_ref()));
    }
    let wanted = Wanted {
        by: options.by.clone(),
        from: options.from.clone(),
        to: options.to.clone(),
        chunk_rows: options.chunk_rows,
        rate: options.rate,
        restart: options.restart,
    };
    let mut place = unless_interrupted(async { Ok(backfill.begin(&wanted).await?) }).await?;
    let resumed = place.rows;
    if resumed > 0 {
        bar.say(&format!("{title}: going on behind {resumed} rows of an unfinished run"));
    }
    bar.start(place.total);
    bar.advance(place.rows);
    let ended = tokio::select! {
        () = signalled() => None,
        ended = write(&backfill, &mut place, &wanted, &bar) => Some(ended),
    };
    bar.end();
    match ended {
        Some(Ok(())) => {}
        Some(Err(error)) => {
            let done = format!(
                "{title} after {} rows, which stay; the same command goes on there",
                place.rows
            );
            return Err(error.context(done).into());
        }
        None => {
            let what = format!(
                "interrupted after {} rows of {title}, which stay; the same command goes on there",
                place.rows
            );
            return Err(Failure::Stopped(what));
        }
    }
    match global.format {
        Format::Json => outln!("{:#}", json!({ "table": title, "resumed": resumed, "run": place })),
        Format::Text | Format::Markdown => outln!(
            "{title}: {} rows in {} files ({})\nThe pipe and the next run of the tasks bring them to the tables; `pipectl verify {title}` compares.",
            place.rows,
            place.files,
            range(&place)
        ),
    }
    Ok(ExitCode::SUCCESS)
}

async fn write(backfill: &Backfill<'_>, place: &mut Place, wanted: &Wanted, bar: &Bar) -> anyhow::Result<()> {
    let mut throttle = Throttle::new(wanted.rate);
    while !place.finished {
        let rows = backfill.step(place, wanted.chunk_rows).await?;
        bar.advance(rows);
        if !place.finished {
            tokio::time::sleep(throttle.pause(rows)).await;
        }
    }
    Ok(())
}

fn status(global: &Global, title: &str, kept: Option<&Place>) -> ExitCode {
    match (global.format, kept) {
        (Format::Json, kept) => outln!("{:#}", json!({ "table": title, "run": kept })),
        (_, None) => outln!("{title}: no backfill has run"),
        (_, Some(place)) => {
            let state = if place.finished {
                "finished"
            } else {
                "unfinished; the same command goes on"
            };
            outln!(
                "{title}: {} of about {} rows in {} files ({}), {state}",
                place.rows,
                place.total,
                place.files,
                range(place)
            );
        }
    }
    ExitCode::SUCCESS
}
