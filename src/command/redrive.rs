//! `pipectl redrive`.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use super::context::{Failure, Loaded, connect_aws, load};
use super::deploy::confirm;
use super::leased::{signalled, unless_interrupted};
use super::{Format, Global};
use crate::aws::Aws;
use crate::redrive::{Letter, Moved, Open, Route, letters, open, routes, shift};
use crate::report::out::outln;
use crate::report::progress;
use crate::report::style::Style;
use crate::status::{metrics::now, span};

/// Options of `redrive`.
#[derive(Debug, Args)]
pub struct Options {
    /// Queues of dead letters, by name, or by the part of it that `status` shows; all of them without any
    queues: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Only show what would be moved
    #[arg(long)]
    dry_run: bool,
}

/// Dead letters of one queue, as they were found.
struct Found {
    open: Open,
    letters: Vec<Letter>,
}

/// Shows dead letters, and moves them back to where they came from.
pub async fn run(global: &Global, options: &Options) -> Result<ExitCode, Failure> {
    let loaded = load(global)?;
    let routes = chosen(&loaded, &options.queues)?;
    let (aws, found) = unless_interrupted(look(&loaded, &routes)).await?;
    let style = Style::of_stdout(global.no_color);
    if global.format == Format::Text {
        show(&loaded, &routes, &found, &style);
    }
    let full: Vec<&Found> = found.iter().filter(|found| found.open.depth > 0).collect();
    let total: u64 = full.iter().map(|found| found.open.depth).sum();
    let mut outcomes = Vec::new();
    if !options.dry_run && !full.is_empty() {
        if !options.yes {
            let question = format!("Move {total} messages back?");
            unless_interrupted(async { Ok(confirm(&question).await?) }).await?;
        }
        outcomes = carry(&aws, &full).await?;
    }
    if global.format == Format::Json {
        outln!("{:#}", document(&found, &outcomes, options.dry_run));
    } else {
        outcomes.iter().for_each(|(open, moved)| tell(open, moved, &style));
    }
    let well = outcomes.iter().all(|(_, moved)| moved.is_whole());
    Ok(ExitCode::from(u8::from(!well)))
}

/// The routes that are meant.
fn chosen(loaded: &Loaded, wanted: &[String]) -> anyhow::Result<Vec<Route>> {
    let all = routes(&loaded.graph);
    if wanted.is_empty() {
        return Ok(all);
    }
    let prefix = format!("{}-", loaded.model.names.prefix());
    let is = |route: &Route, name: &str| {
        let short = |full: &str| full.strip_prefix(&prefix).unwrap_or(full).to_owned();
        [&route.queue, &route.source]
            .into_iter()
            .any(|queue| queue == name || short(queue) == name)
    };
    let find = |name: &String| {
        all.iter().find(|route| is(route, name)).cloned().with_context(|| {
            let known: Vec<&str> = all.iter().map(|route| route.queue.as_str()).collect();
            let known = if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            };
            format!("the pipeline has no queue of dead letters `{name}`\n  hint: it has: {known}")
        })
    };
    wanted.iter().map(find).collect()
}

async fn look(loaded: &Loaded, routes: &[Route]) -> Result<(Aws, Vec<Found>), Failure> {
    let aws = connect_aws(loaded, &progress::say).await?.aws;
    let mut found = Vec::new();
    for route in routes {
        if let Some(open) = open(&aws, route).await? {
            let letters = letters(&aws, &open).await?;
            found.push(Found { open, letters });
        }
    }
    Ok((aws, found))
}

fn show(loaded: &Loaded, routes: &[Route], found: &[Found], style: &Style) {
    let mark = loaded.model.names.mark();
    if routes.is_empty() {
        outln!("{mark} has no queues of dead letters: a reading that fails is made up for by the next one");
    } else if found.is_empty() {
        outln!("{mark}: the queues are not there; run pipectl deploy");
    }
    for Found { open, letters } in found {
        let Route { queue, source, .. } = &open.route;
        if open.depth == 0 {
            outln!("{queue}: {}", style.good("empty"));
            continue;
        }
        let count = style.error(&format!("{} messages", open.depth));
        outln!("{queue}: {count}, which go back to {source}");
        for letter in letters {
            let since = letter.sent_at.map(|sent| format!("{} ago", span(now() - sent)));
            outln!("  {}  {}", since.unwrap_or_default(), letter.body);
            if let Some(why) = &letter.why {
                outln!("    {}", style.error(why));
            }
        }
        let others = open.depth.saturating_sub(letters.len() as u64);
        if others > 0 {
            outln!("  {}", style.dim(&format!("and {others} more")));
        }
    }
}

/// Moves the letters of each queue. Ctrl-C ends it after the batch that is under way.
async fn carry(aws: &Aws, full: &[&Found]) -> anyhow::Result<Vec<(Open, Moved)>> {
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = tokio::spawn({
        let stop = stop.clone();
        async move {
            signalled().await;
            stop.store(true, Ordering::Relaxed);
        }
    });
    let mut outcomes = Vec::new();
    for found in full {
        let queue = &found.open.route.queue;
        let said = |moved: u64| {
            if moved.is_multiple_of(1000) {
                progress::say(&format!("{queue}: {moved} of {} moved", found.open.depth));
            }
        };
        let moved = shift(aws, &found.open, || stop.load(Ordering::Relaxed), said).await?;
        outcomes.push((found.open.clone(), moved));
        if stop.load(Ordering::Relaxed) {
            progress::say("interrupted; what is not moved is still in its queue, and the same command goes on");
            break;
        }
    }
    watcher.abort();
    Ok(outcomes)
}

fn tell(open: &Open, moved: &Moved, style: &Style) {
    let Route { queue, source, .. } = &open.route;
    outln!("{queue}: {} moved to {source}", style.good(&moved.moved.to_string()));
    let reasons: Vec<&str> = moved.reasons.iter().map(String::as_str).collect();
    for (number, what) in [
        (moved.refused, "refused, still here"),
        (moved.twice, "sent, but still here too, which changes nothing"),
        (moved.came_back, "came back: their cause is not mended"),
    ] {
        if number > 0 {
            outln!("  {} {what} {}", style.error(&number.to_string()), reasons.join("; "));
        }
    }
}

fn document(found: &[Found], outcomes: &[(Open, Moved)], dry_run: bool) -> Value {
    let queues: Vec<Value> = found
        .iter()
        .map(|Found { open, letters }| {
            let outcome = outcomes
                .iter()
                .find(|(other, _)| other.route == open.route)
                .map(|(_, moved)| moved);
            json!({
                "queue": open.route.queue, "source": open.route.source,
                "messages": open.depth, "shown": letters, "outcome": outcome,
            })
        })
        .collect();
    json!({ "dry_run": dry_run, "queues": queues })
}
