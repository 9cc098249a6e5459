//! `pipectl redrive`.

mod records;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use super::context::{Failure, Loaded, connect_aws, load};
use super::deploy::confirm;
use super::leased::{on_signal, unless_interrupted};
use super::{Format, Global};
use crate::aws::Aws;
use crate::redrive::undelivered::{self, File, Place, Sent};
use crate::redrive::{Letter, Moved, Open, Route, letters, open, routes, shift};
use crate::report::out::outln;
use crate::report::progress;
use crate::report::style::Style;
use crate::status::{metrics::now, span};

/// Options of `redrive`.
#[derive(Debug, Args)]
pub struct Options {
    /// Queues of dead letters, or the delivery stream that gave records up, by name or by the part of it behind the
    /// pipeline's; all of them without any
    #[arg(value_name = "QUEUE")]
    queues: Vec<String>,
    /// Also send records again that would be refused again
    #[arg(long)]
    refused: bool,
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

/// What is meant.
struct Chosen {
    routes: Vec<Route>,
    place: Option<Place>,
}

/// What was given up.
struct GivenUp {
    queues: Vec<Found>,
    /// Files of records, where the pipeline has a stream and it is meant.
    records: Option<(Place, Vec<File>)>,
}

impl GivenUp {
    fn letters(&self) -> u64 {
        self.queues.iter().map(|found| found.open.depth).sum()
    }

    fn files(&self) -> usize {
        self.records.as_ref().map_or(0, |(_, files)| files.len())
    }

    fn question(&self) -> String {
        match (self.letters(), self.files()) {
            (letters, 0) => format!("Move {letters} messages back?"),
            (0, files) => format!("Send the records of {files} files again?"),
            (letters, files) => format!("Move {letters} messages back, and send the records of {files} files again?"),
        }
    }
}

/// What became of it.
#[derive(Default)]
struct Outcome {
    queues: Vec<(Open, Moved)>,
    records: Option<Sent>,
}

impl Outcome {
    fn is_whole(&self) -> bool {
        self.queues.iter().all(|(_, moved)| moved.is_whole()) && self.records.as_ref().is_none_or(Sent::is_whole)
    }
}

/// Shows dead letters and records that were given up, and brings them back to where they came from.
pub async fn run(global: &Global, options: &Options) -> Result<ExitCode, Failure> {
    let loaded = load(global)?;
    let chosen = chosen(&loaded, &options.queues)?;
    let (aws, found) = unless_interrupted(look(&loaded, &chosen, options.refused)).await?;
    let style = Style::of_stdout(global.no_color);
    if global.format == Format::Text {
        show(&loaded, &chosen, &found, &style);
    }
    let mut outcome = Outcome::default();
    if !options.dry_run && (found.letters() > 0 || found.files() > 0) {
        if !options.yes {
            unless_interrupted(async { Ok(confirm(&found.question()).await?) }).await?;
        }
        outcome = carry(&aws, &found, options.refused).await?;
    }
    if global.format == Format::Json {
        outln!("{:#}", document(&found, &outcome, options.dry_run));
    } else {
        outcome
            .queues
            .iter()
            .for_each(|(open, moved)| tell(open, moved, &style));
        if let (Some((place, _)), Some(sent)) = (&found.records, &outcome.records) {
            records::tell(place, sent, &style);
        }
    }
    Ok(ExitCode::from(u8::from(!outcome.is_whole())))
}

/// What the names mean; everything without any.
fn chosen(loaded: &Loaded, wanted: &[String]) -> anyhow::Result<Chosen> {
    let (all, place) = (routes(&loaded.graph), Place::of(&loaded.model));
    let mut chosen = Chosen {
        routes: Vec::new(),
        place: None,
    };
    if wanted.is_empty() {
        return Ok(Chosen { routes: all, place });
    }
    let prefix = format!("{}-", loaded.model.names.prefix());
    let is = |full: &str, name: &str| full == name || full.strip_prefix(&prefix) == Some(name);
    for name in wanted {
        let route = all
            .iter()
            .find(|route| is(&route.queue, name) || is(&route.source, name));
        if let Some(route) = route {
            chosen.routes.push(route.clone());
        } else if let Some(place) = place.as_ref().filter(|place| is(&place.delivery, name)) {
            chosen.place = Some(place.clone());
        } else {
            let known = all.iter().map(|route| route.queue.as_str());
            let known: Vec<&str> = known
                .chain(place.as_ref().map(|place| place.delivery.as_str()))
                .collect();
            let known = if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            };
            bail!(
                "the pipeline has nothing called `{name}` that gives up messages or records\n  hint: it has: {known}"
            );
        }
    }
    Ok(chosen)
}

async fn look(loaded: &Loaded, chosen: &Chosen, refused: bool) -> Result<(Aws, GivenUp), Failure> {
    let aws = connect_aws(loaded, &progress::say).await?.aws;
    let mut queues = Vec::new();
    for route in &chosen.routes {
        if let Some(open) = open(&aws, route).await? {
            let letters = letters(&aws, &open).await?;
            queues.push(Found { open, letters });
        }
    }
    let records = match &chosen.place {
        Some(place) => Some((place.clone(), undelivered::files(&aws, place, refused).await?)),
        None => None,
    };
    Ok((aws, GivenUp { queues, records }))
}

fn show(loaded: &Loaded, chosen: &Chosen, found: &GivenUp, style: &Style) {
    let mark = loaded.model.names.mark();
    if chosen.routes.is_empty() && chosen.place.is_none() {
        outln!("{mark} has no queues of dead letters: a reading that fails is made up for by the next one");
    } else if found.queues.is_empty() && !chosen.routes.is_empty() {
        outln!("{mark}: the queues are not there; run pipectl deploy");
    }
    if let Some((place, files)) = &found.records {
        records::show(place, files, style);
    }
    for Found { open, letters } in &found.queues {
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

/// Moves the letters of each queue, and sends the records of each file. Ctrl-C ends it after the batch or file that is
/// under way.
async fn carry(aws: &Aws, found: &GivenUp, refused: bool) -> anyhow::Result<Outcome> {
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = on_signal({
        let stop = stop.clone();
        move || stop.store(true, Ordering::Relaxed)
    });
    let is_over = || stop.load(Ordering::Relaxed);
    let mut outcome = Outcome::default();
    for Found { open, .. } in found.queues.iter().filter(|found| found.open.depth > 0) {
        let queue = &open.route.queue;
        let said = |moved: u64| {
            if moved.is_multiple_of(1000) {
                progress::say(&format!("{queue}: {moved} of {} moved", open.depth));
            }
        };
        let moved = shift(aws, open, is_over, said).await?;
        outcome.queues.push((open.clone(), moved));
        if is_over() {
            break;
        }
    }
    if let Some((place, files)) = found
        .records
        .as_ref()
        .filter(|(_, files)| !files.is_empty() && !is_over())
    {
        let said = |sent: &Sent| progress::say(&format!("{}: {} records sent", place.delivery, sent.records));
        outcome.records = Some(undelivered::send(aws, place, files, refused, is_over, said).await?);
    }
    if is_over() {
        progress::say("interrupted; what is not moved is still where it was, and the same command goes on");
    }
    watcher.abort();
    Ok(outcome)
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

fn document(found: &GivenUp, outcome: &Outcome, dry_run: bool) -> Value {
    let queues: Vec<Value> = found
        .queues
        .iter()
        .map(|Found { open, letters }| {
            let mut outcomes = outcome.queues.iter();
            let moved = outcomes
                .find(|(other, _)| other.route == open.route)
                .map(|(_, moved)| moved);
            json!({
                "queue": open.route.queue, "source": open.route.source,
                "messages": open.depth, "shown": letters, "outcome": moved,
            })
        })
        .collect();
    let records = found.records.as_ref().map(|(place, files)| {
        let mut records = json!(place);
        records["files"] = json!(files);
        records["outcome"] = json!(outcome.records);
        records
    });
    json!({ "dry_run": dry_run, "queues": queues, "records": records })
}
