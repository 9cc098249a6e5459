//! `pipectl backfill` of a table that comes from the binary log.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::Options;
use crate::aws::Aws;
use crate::backfill::anew::{Stage, ask, look};
use crate::command::context::{Failure, Loaded, connect_aws};
use crate::command::leased::{signalled, unless_interrupted};
use crate::command::{Format, Global};
use crate::model::names::Names;
use crate::model::{Reader, Source};
use crate::report::out::outln;
use crate::report::progress;

/// Between two looks at what the reader says.
const APART: Duration = Duration::from_millis(500);
/// A reader that runs looks for requests every few seconds, and writes what it came to as often.
const PATIENCE: Duration = Duration::from_secs(120);

/// Has the reader read a table anew, and waits until it has.
pub async fn run(global: &Global, options: &Options, loaded: &Loaded, title: &str) -> Result<ExitCode, Failure> {
    refuse(&loaded.model.source, options)?;
    let names = &loaded.model.names;
    let aws = unless_interrupted(async { Ok(connect_aws(loaded, &progress::say).await?.aws) }).await?;
    let at = unless_interrupted(async { Ok(ask(&aws, names, title).await?) }).await?;
    progress::say(&format!("Asked the reader of the binary log for {title}"));
    tokio::select! {
        () = signalled() => {
            let what = format!("interrupted; the reader goes on with {title}, and `pipectl status` tells of it");
            return Err(Failure::Stopped(what));
        }
        read = wait(&aws, names, title, at) => read?,
    }
    match global.format {
        Format::Json => outln!("{:#}", json!({ "table": title, "read_anew": true })),
        Format::Text | Format::Markdown => outln!(
            "{title}: read anew from the database, rows that are gone there too\nThe next loads bring it to the tables; `pipectl verify {title}` compares."
        ),
    }
    Ok(ExitCode::SUCCESS)
}

/// The reader reads a table as a whole, where it is pipectl's.
fn refuse(source: &Source, options: &Options) -> anyhow::Result<()> {
    let is_own = match source {
        Source::Mysql(source) => source.reader().is_some_and(Reader::is_own),
        Source::Files(_) => false,
    };
    if !is_own {
        bail!("the binary log is read by a program of yours\n  hint: have that write the rows of the table again");
    }
    let given = [
        ("--from", options.from.is_some()),
        ("--to", options.to.is_some()),
        ("--by", options.by.is_some()),
        ("--rate", options.rate.is_some()),
        ("--restart", options.restart),
        ("--status", options.status),
    ];
    if let Some((option, _)) = given.iter().find(|(_, given)| *given) {
        bail!(
            "{option} is of tables that are read by a watermark; this one comes from the binary log, whose reader reads it \
             as a whole\n  hint: leave {option} away; `pipectl status` tells how far the reader is"
        );
    }
    Ok(())
}

async fn wait(aws: &Aws, names: &Names, title: &str, at: u64) -> anyhow::Result<()> {
    let (mut told, mut since) = (Stage::Waiting, Instant::now());
    loop {
        let stage = look(aws, names, title, at).await?;
        if told != stage {
            since = Instant::now();
        }
        match &stage {
            Stage::Waiting if since.elapsed() > PATIENCE => bail!(
                "the reader of the binary log has not taken the request for {title} up within {} s\n  hint: the request stays, and \
                 the reader takes it up as soon as it runs: `pipectl status` tells what ails it",
                PATIENCE.as_secs()
            ),
            // A table of one chunk is never seen while it is read.
            Stage::Heard if since.elapsed() > PATIENCE => bail!(
                "the reader of the binary log heard of the request for {title} {} s ago and does not read it\n  hint: it waits for a \
                 table that is not there, or that its user may not read (GRANT SELECT): its log says which",
                PATIENCE.as_secs()
            ),
            Stage::PassedOver(reason) => bail!(
                "the reader of the binary log still passes {title} over: {reason}\n  hint: settle that, and run this command again"
            ),
            Stage::Read => return Ok(()),
            Stage::Reading if told != stage => progress::say(&format!("The reader reads all of {title}")),
            Stage::Waiting | Stage::Heard | Stage::Reading => {}
        }
        told = stage;
        sleep(APART).await;
    }
}
