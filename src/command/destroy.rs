//! `pipectl destroy`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;

use super::context::{Clouds, Failure, Loaded, connect, load};
use super::deploy::{Abandon, Extras, carry_out, confirm, finish, invocation};
use super::leased::{Wait, leased, or_interrupted, unless_interrupted};
use super::{Format, Global};
use crate::apply::Stops;
use crate::aws::recover::GivenUp;
use crate::aws::{buckets, import, manifest, observe};
use crate::graph::object::Kind;
use crate::plan::adopt::{self, Adopted};
use crate::plan::remove::{Found, plan};
use crate::report::out::{out, outln};
use crate::report::style::Style;
use crate::report::{plan as report, progress, result};
use crate::snowflake;

/// Options of `destroy`.
#[derive(Debug, Args)]
pub struct Options {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Delete buckets with objects and tables with rows too
    #[arg(long)]
    delete_data: bool,
    #[command(flatten)]
    given_up: Abandon,
    #[command(flatten)]
    wait: Wait,
}

/// Removes the pipeline.
pub async fn run(global: &Global, options: &Options) -> Result<ExitCode, Failure> {
    let loaded = load(global)?;
    let clouds = unless_interrupted(async { Ok(connect(&loaded, &progress::say).await?) }).await?;
    leased(&loaded.model.names, &clouds, options.wait.time(), async |stops| {
        destroy(global, options, &loaded, &clouds, stops).await
    })
    .await
}

async fn destroy(
    global: &Global,
    options: &Options,
    loaded: &Loaded,
    clouds: &Clouds,
    stops: Stops,
) -> Result<ExitCode, Failure> {
    let started = Instant::now();
    let style = Style::of_stdout(global.no_color);
    let found = or_interrupted(&stops, find(loaded, clouds)).await?;
    let (plan, kept) = plan(&loaded.graph, &found, &loaded.model.names, options.delete_data);
    if global.format == Format::Text {
        out!("{}{}", report::text(&plan, &style), report::kept(&kept, &style));
    }
    if plan.is_empty() {
        if global.format == Format::Json {
            outln!("{:#}", result::json(&plan, None, &kept));
        }
        if global.verbose {
            progress::say(&clouds.calls());
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !options.yes {
        let question = format!("Remove {}/{}?", plan.pipeline, plan.environment);
        or_interrupted(&stops, confirm(&question)).await?;
    }
    let extras = Extras {
        given_up: GivenUp {
            retained: options.given_up.retain.clone(),
            ..Default::default()
        },
        ..Default::default()
    };
    let results = carry_out(global, &plan, loaded, clouds, extras, stops).await?;
    if global.format == Format::Json {
        outln!("{:#}", result::json(&plan, Some(&results), &kept));
        return Ok(if results.all_done() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(1)
        });
    }
    let data = if options.delete_data { " --delete-data" } else { "" };
    let next = format!("{} destroy{data}", invocation(global));
    finish(global, &plan, &results, started, &next, &style)
}

async fn find(loaded: &Loaded, clouds: &Clouds) -> anyhow::Result<Found> {
    let names = &loaded.model.names;
    let wanted = loaded.graph.stacks().map(|(_, stack)| stack.name.clone()).collect();
    let mut views = Vec::new();
    let objects = match (&clouds.snowflake, loaded.model.snowflake()) {
        (Some(client), Some(target)) => {
            let objects = snowflake::observe::objects(client, names, target, &|_| ()).await?;
            if objects.contains_key(&(Kind::Database, target.database.clone())) {
                views = snowflake::observe::views(client, target).await?;
            }
            objects
        }
        _ => Default::default(),
    };
    let mut stacks = observe::stacks(&clouds.aws, names, &wanted).await?;
    stacks.retain(|_, stack| stack.is_of(names));
    let mut counts = BTreeMap::new();
    for (_, stack) in loaded
        .graph
        .stacks()
        .filter(|(_, stack)| stacks.contains_key(&stack.name))
    {
        // The file and the template may name a bucket that the stack never got, and that is somebody's.
        for bucket in buckets::of_stack(&clouds.aws, &stack.name).await? {
            let count = buckets::count(&clouds.aws, &bucket).await?;
            counts.extend(count.map(|count| ((stack.name.clone(), bucket), count)));
        }
    }
    let mut adopted: Vec<Adopted> = stacks
        .iter()
        .flat_map(|(name, live)| adopt::of_stack(name, live))
        .collect();
    // A destroy that was cut off may have taken a bucket out of its stack, and no more.
    for half in adopt::half_given_back(&loaded.graph, &stacks) {
        if import::listens(&clouds.aws, &half.bucket, &half.topic).await? {
            adopted.push(half);
        }
    }
    Ok(Found {
        adopted,
        stacks,
        views,
        objects,
        buckets: counts,
        parameters: manifest::read(&clouds.aws, names).await?.is_some(),
    })
}
