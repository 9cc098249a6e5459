//! `pipectl diff`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use futures::future::try_join_all;

use super::context::{Clouds, Failure, Loaded, connect, load};
use super::{Format, Global};
use crate::aws::changeset::foresee;
use crate::aws::{drift, import, observe, runtime};
use crate::graph::Body;
use crate::graph::object::{Kind, Object};
use crate::graph::snowflake::star;
use crate::plan::adopt;
use crate::plan::make::{World, checks, plan};
use crate::plan::saved::{Basis, SavedPlan};
use crate::plan::stacks::differing;
use crate::report::out::out;
use crate::report::render::Hashes;
use crate::report::style::Style;
use crate::report::{plan as report, progress};
use crate::snowflake::ident::Name;
use crate::snowflake::{self, expressions};

/// Exit code when there is something to change.
const CHANGES: u8 = 2;

/// Options of `diff`.
#[derive(Debug, Args)]
pub struct Options {
    /// Also write the plan to FILE, for `deploy --plan FILE`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Also have CloudFormation look for resources that were changed by hand; takes more calls and time
    #[arg(long)]
    drift: bool,
}

/// What is there, and the runtime that is to run.
pub struct Observed {
    /// What is there.
    pub world: World,
    /// The runtime, where the pipeline has one.
    pub runtime: Option<runtime::Runtime>,
}

/// Shows what a deploy would change.
pub async fn run(global: &Global, options: &Options) -> Result<ExitCode, Failure> {
    let loaded = load(global)?;
    let clouds = connect(&loaded, &progress::say).await?;
    let observed = observe(&loaded, &clouds).await?;
    confirm_expressions(&loaded, &clouds, &observed.world).await?;
    let read = Instant::now();
    let mut saved = planned(&loaded, &observed.world)?;
    let took = read.elapsed();
    if options.drift {
        saved.plan.drifted = drift::detect(&clouds.aws, &observed.world.stacks).await?;
    }
    if let Some(file) = &options.out {
        saved.write(file)?;
    }
    out!("{}", shown(global, &saved));
    if global.verbose {
        progress::say(&clouds.calls());
        progress::say(&format!("plan made in {} ms after the reads", took.as_millis()));
    }
    Ok(if saved.plan.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(CHANGES)
    })
}

/// The plan, and what it is made from.
pub fn planned(loaded: &Loaded, world: &World) -> anyhow::Result<SavedPlan> {
    let names = &loaded.model.names;
    let definition = Hashes::of(&loaded.graph)?.files();
    let basis = Basis::of(&loaded.graph, world, names, definition);
    Ok(SavedPlan::new(plan(&loaded.graph, world, names)?, basis))
}

fn shown(global: &Global, saved: &SavedPlan) -> String {
    match global.format {
        Format::Json => saved.json(),
        Format::Markdown => report::markdown(&saved.plan),
        Format::Text => report::text(&saved.plan, &Style::of_stdout(global.no_color)),
    }
}

/// Has Snowflake compile the expressions of dimensions and facts that are not yet there as the file says.
pub async fn confirm_expressions(loaded: &Loaded, clouds: &Clouds, world: &World) -> Result<(), Failure> {
    let (Some(positions), Some(client), Some(target)) =
        (&loaded.positions, &clouds.snowflake, loaded.model.snowflake())
    else {
        return Ok(());
    };
    let of_star = |object: &&Object| matches!(object.kind, Kind::Task | Kind::Table);
    let objects = loaded.graph.objects().map(|(_, object)| object).filter(of_star);
    let wanted: BTreeMap<(Kind, &Name), &str> = objects
        .map(|object| ((object.kind, &object.name), object.hash.as_str()))
        .collect();
    let is_there = |kind: Kind, name: Name| {
        let wanted = wanted.get(&(kind, &name)).copied();
        let live = world.objects.get(&(kind, name));
        let hash = live.and_then(|live| live.mark()).map(|(_, hash)| hash);
        hash.is_some() && hash == wanted
    };
    let is_changed = |name: &str, table: &str| {
        let mut tasks = [star::dimension_task(name), star::fact_task(name)].into_iter();
        let has_task = tasks.any(|task| is_there(Kind::Task, target.raw_schema.child(&task)));
        !has_task || !is_there(Kind::Table, target.schema.child(table))
    };
    let expressions = expressions::of_star(&loaded.spec, is_changed);
    if expressions.is_empty() {
        return Ok(());
    }
    let faults = expressions::faults(client, &expressions, &loaded.model.tables).await?;
    match positions.report(faults) {
        Some(report) => Err(report.into()),
        None => Ok(()),
    }
}

/// Reads both clouds at once.
pub async fn observe(loaded: &Loaded, clouds: &Clouds) -> anyhow::Result<Observed> {
    let names = &loaded.model.names;
    let wants_runtime = loaded
        .graph
        .nodes()
        .iter()
        .any(|node| matches!(node.body, Body::Upload(_)));
    let architecture = loaded.model.architecture;
    // Hashing the runtime takes as long as a few calls, so it runs beside them.
    let runtime = tokio::task::spawn_blocking(move || wants_runtime.then(|| runtime::find(architecture)).transpose());
    let wanted = loaded.graph.stacks().map(|(_, stack)| stack.name.clone()).collect();
    let objects = async {
        match (&clouds.snowflake, loaded.model.snowflake()) {
            (Some(client), Some(target)) => snowflake::observe::objects(client, names, target, &progress::say)
                .await
                .map_err(anyhow::Error::from),
            _ => Ok(Default::default()),
        }
    };
    let (stacks, objects) = tokio::try_join!(observe::stacks(&clouds.aws, names, &wanted), objects)?;
    let findings = match (&clouds.snowflake, loaded.model.snowflake()) {
        (Some(client), Some(target)) => {
            let checks = checks(&loaded.graph, &objects, names);
            snowflake::observe::findings(client, target, names, checks).await?
        }
        _ => BTreeMap::new(),
    };
    let open = adopt::open(&loaded.graph, &stacks);
    let read = open.iter().map(|bucket| async move {
        let live = import::observe(&clouds.aws, bucket).await?;
        anyhow::Ok(live.map(|live| ((*bucket).to_owned(), live)))
    });
    let buckets = try_join_all(read).await?.into_iter().flatten().collect();
    let runtime = runtime.await??;
    let runtime_key = runtime.as_ref().map(|runtime| runtime.key.clone()).unwrap_or_default();
    let mut world = World {
        stacks,
        objects,
        findings,
        buckets,
        runtime_key,
        foreseen: Default::default(),
    };
    // Only stacks that differ are asked about, so that no change costs no call.
    let differing = differing(&loaded.graph, &world, names);
    let foreseen = foresee(&clouds.aws, &differing, &world.runtime_key).await;
    world.foreseen = foreseen;
    Ok(Observed { world, runtime })
}
