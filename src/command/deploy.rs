//! `pipectl deploy`.

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::bail;
use clap::Args;
use tokio::sync::mpsc::unbounded_channel;

use super::context::{Clouds, Failure, Loaded, connect, load};
use super::diff::{Observed, confirm_expressions, observe, planned};
use super::leased::{Wait, leased, or_interrupted, unless_interrupted};
use super::{Format, Global};
use crate::apply::{Hands, Results, Stops};
use crate::aws::manifest;
use crate::aws::recover::GivenUp;
use crate::aws::runtime::Runtime;
use crate::plan::Plan;
use crate::plan::saved::SavedPlan;
use crate::report::out::{out, outln};
use crate::report::progress::{self, Progress};
use crate::report::render::Hashes;
use crate::report::style::Style;
use crate::report::{plan as report, result};

/// Options of `deploy`.
#[derive(Debug, Args)]
pub struct Options {
    /// Do not ask; changes that lose something still need their own consent
    #[arg(short, long)]
    yes: bool,
    /// Consent to what the change ID of the plan loses; may be given again
    #[arg(long, value_name = "ID")]
    allow_loss: Vec<String>,
    /// Carry out exactly the plan that `diff --out FILE` wrote; refused when anything moved since
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    #[command(flatten)]
    given_up: Abandon,
    /// Leave RESOURCE of STACK as it is where its rollback failed, and go on with the others; may be given again
    #[arg(long, value_name = "STACK/RESOURCE", value_parser = of_stack)]
    skip: Vec<String>,
    #[command(flatten)]
    wait: Wait,
}

/// Resources that a deletion leaves behind.
#[derive(Debug, Clone, Args)]
pub struct Abandon {
    /// Leave RESOURCE of STACK where it is when the deletion of that stack has failed; may be given again
    #[arg(long, value_name = "STACK/RESOURCE", value_parser = of_stack)]
    pub retain: Vec<String>,
}

/// The name of a resource of a stack, as a failure tells it.
fn of_stack(text: &str) -> Result<String, String> {
    let is_whole = text
        .split_once('/')
        .is_some_and(|(stack, resource)| !stack.is_empty() && !resource.is_empty());
    is_whole
        .then(|| text.to_owned())
        .ok_or_else(|| "write STACK/RESOURCE, as the failure named it".to_owned())
}

/// Plans, asks, applies, reports.
pub async fn run(global: &Global, options: &Options) -> Result<ExitCode, Failure> {
    let kept = options.plan.as_deref().map(SavedPlan::read).transpose()?;
    let loaded = load(global)?;
    let clouds = unless_interrupted(async { Ok(connect(&loaded, &progress::say).await?) }).await?;
    // Held from before the clouds are read: what is planned is what is there when it is carried out.
    let names = loaded.model.names.clone();
    leased(&names, &clouds, options.wait.time(), async |stops| {
        deploy(global, options, kept, loaded, &clouds, stops).await
    })
    .await
}

async fn deploy(
    global: &Global,
    options: &Options,
    kept: Option<SavedPlan>,
    mut loaded: Loaded,
    clouds: &Clouds,
    stops: Stops,
) -> Result<ExitCode, Failure> {
    let started = Instant::now();
    let style = Style::of_stdout(global.no_color);
    let Observed { world, runtime } = or_interrupted(&stops, observe(&loaded, clouds)).await?;
    or_interrupted(&stops, confirm_expressions(&loaded, clouds, &world)).await?;
    let plan = {
        let now = planned(&loaded, &world)?;
        if let Some(kept) = kept {
            kept.confirm(&now)?;
        }
        now.plan
    };
    drop(world);
    if global.format == Format::Text {
        out!("{}", report::text(&plan, &style));
    }
    if plan.is_empty() {
        // One that was killed after its last step wrote none.
        let definition = definition(&loaded)?;
        manifest::keep(&clouds.aws, &loaded.model.names, &definition).await?;
        if global.format == Format::Json {
            outln!("{:#}", result::json(&plan, None, &[]));
        }
        if global.verbose {
            progress::say(&clouds.calls());
        }
        return Ok(ExitCode::SUCCESS);
    }
    or_interrupted(&stops, consent(&plan, options)).await?;
    let definition = definition(&loaded)?;
    // The plan has those that it needs, and of a thousand tables they are most of what is held.
    if let Some(graph) = Arc::get_mut(&mut loaded.graph) {
        graph.forget_objects();
    }
    let extras = Extras {
        runtime,
        definition: Some(definition),
        given_up: GivenUp {
            skipped: options.skip.clone(),
            retained: options.given_up.retain.clone(),
        },
    };
    let results = carry_out(global, &plan, &loaded, clouds, extras, stops).await?;
    if let (true, Some(mail)) = (results.all_done(), &loaded.model.alerts.mail) {
        // The deploy is done; that nobody may look at the sender must not make it fail.
        match crate::status::sender::reminder(&clouds.aws, mail).await {
            Ok(reminder) => reminder.iter().for_each(|text| progress::say(text)),
            Err(error) => progress::say(&format!(
                "alarms: the sender {} could not be looked at: {error:#}",
                mail.identity
            )),
        }
    }
    let next = format!("{} deploy", invocation(global));
    finish(global, &plan, &results, started, &next, &style)
}

/// The command line that runs on the same file and environment.
pub fn invocation(global: &Global) -> String {
    format!("pipectl -f {} --env {}", global.file.display(), global.env)
}

/// Prints the result and gives the exit code.
pub fn finish(
    global: &Global,
    plan: &Plan,
    results: &Results,
    started: Instant,
    next: &str,
    style: &Style,
) -> Result<ExitCode, Failure> {
    match global.format {
        Format::Json => outln!("{:#}", result::json(plan, Some(results), &[])),
        Format::Text | Format::Markdown => out!("\n{}", result::text(results, started.elapsed(), next, style)),
    }
    Ok(if results.all_done() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

/// What a plan is carried out with, besides the clouds.
#[derive(Default)]
pub struct Extras {
    /// The runtime, where one was looked for.
    pub runtime: Option<Runtime>,
    /// Hash of what a deploy makes, for the manifest.
    pub definition: Option<String>,
    /// Resources that the user gave up on the way out of a failure.
    pub given_up: GivenUp,
}

/// Applies a plan with progress; Ctrl-C stops it at once and leaves a state from which the same command goes on.
pub async fn carry_out(
    global: &Global,
    plan: &Plan,
    loaded: &Loaded,
    clouds: &Clouds,
    extras: Extras,
    stops: Stops,
) -> anyhow::Result<Results> {
    let names = &loaded.model.names;
    let snowflake = clouds.snowflake.clone().zip(loaded.model.snowflake().cloned());
    let hands = Arc::new(Hands {
        aws: clouds.aws.clone(),
        snowflake,
        graph: loaded.graph.clone(),
        names: names.clone(),
        runtime: extras.runtime,
        given_up: extras.given_up,
    });
    let (events, heard) = unbounded_channel();
    let shown = tokio::spawn(Progress::of(plan, global.no_color, global.verbose).follow(heard));
    let results = crate::apply::run(plan, hands, events, stops).await;
    // The reporter ends with the last event.
    let _ = shown.await;
    if let (true, Some(definition)) = (results.all_done(), extras.definition) {
        manifest::write(&clouds.aws, names, &definition).await?;
    }
    if global.verbose {
        progress::say(&clouds.calls());
    }
    Ok(results)
}

/// Hash of all that a deploy makes, for the manifest.
fn definition(loaded: &Loaded) -> anyhow::Result<String> {
    Ok(Hashes::of(&loaded.graph)?.all())
}

async fn consent(plan: &Plan, options: &Options) -> anyhow::Result<()> {
    let losses: Vec<_> = plan.unconsented(&options.allow_loss).collect();
    let asks = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if !asks && !losses.is_empty() {
        let flags: Vec<String> = losses.iter().map(|step| format!("--allow-loss {}", step.id)).collect();
        let lost: Vec<String> = losses
            .iter()
            .map(|step| format!("  {} loses {}", step.target, step.loss.as_deref().unwrap_or_default()))
            .collect();
        bail!(
            "nothing was changed, because this needs consent:\n{}\n  hint: run again with {}",
            lost.join("\n"),
            flags.join(" ")
        );
    }
    for step in losses {
        ask(format!(
            "{} {} loses {}. Go on?",
            step.kind.word(),
            step.target,
            step.loss.as_deref().unwrap_or_default()
        ))
        .await?;
    }
    match options.yes {
        true => Ok(()),
        false => confirm(&format!("Carry out {} steps?", plan.steps.len())).await,
    }
}

/// Asks at a terminal; elsewhere says which flag stands for yes.
pub async fn confirm(question: &str) -> anyhow::Result<()> {
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        bail!("nothing was changed: there is no terminal to ask at\n  hint: run again with --yes");
    }
    ask(question.to_owned()).await
}

/// Waits for the answer on a thread of its own, so that Ctrl-C is heard meanwhile.
async fn ask(question: String) -> anyhow::Result<()> {
    let answer = tokio::task::spawn_blocking(move || {
        let mut err = std::io::stderr().lock();
        write!(err, "{question} [y/N] ")?;
        err.flush()?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        std::io::Result::Ok(answer)
    });
    match answer.await??.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => bail!("nothing was changed"),
    }
}
