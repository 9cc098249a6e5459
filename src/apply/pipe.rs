//! Replacing a pipe, so that no file is lost wherever it is cut off.
//!
//! Most of a pipe cannot be altered, and one made anew knows neither what the old one has loaded nor what it was told of:
//! <https://docs.snowflake.com/en/user-guide/data-load-snowpipe-manage#recreating-pipes>. So:
//!
//! 1. One statement pauses the old pipe and writes the moment into its COMMENT ([`Handover::Paused`]).
//! 2. It loads what it was told of before.
//! 3. `CREATE OR REPLACE`, which is one transaction, makes the new pipe; its COMMENT has the moment ([`Handover::Made`]).
//! 4. `REFRESH` loads what was staged since that moment, and the COMMENT gets the hash of the definition.
//!
//! What `REFRESH` loads twice is merged by its key.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::Hands;
use crate::aws::apply::Note;
use crate::graph::object::Actor;
use crate::plan::Mark;
use crate::snowflake::ident::{Name, literal};
use crate::snowflake::mark::{self, Handover};

/// How long a paused pipe may take to load what it was told of. What is left then is loaded by the new one.
const DRAIN: Duration = Duration::from_secs(600);
/// How much earlier than the pause a file may be dated that the pipe was not told of yet: an object has the time at which
/// its upload began (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html>), and a function uploads
/// for 15 minutes at most (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
const MARGIN_MINUTES: u32 = 15;
/// Days that `REFRESH` reaches back: <https://docs.snowflake.com/en/sql-reference/sql/alter-pipe>.
const REACH_DAYS: u32 = 7;
/// Form of a moment, but for the `Z` of UTC; moments in it sort as texts, and `REFRESH` takes them.
const FORM: &str = r#"'YYYY-MM-DD"T"HH24:MI:SS'"#;
/// What is older is beyond the reach of `REFRESH`.
fn reach() -> String {
    format!("DATEADD('DAY', -{REACH_DAYS}, SYSDATE())")
}

impl Hands {
    /// Pauses a pipe and waits until it has loaded what it was told of; the moment from which its successor has to load.
    /// One that is being replaced already keeps its moment.
    pub(super) async fn pause_pipe(&self, pipe: &Name, mark: &Mark, note: Note<'_>) -> anyhow::Result<String> {
        let Some(comment) = self.pipe_comment(pipe).await? else {
            return self.moment(&reach()).await;
        };
        let status = self.pipe_status(pipe).await?;
        let handover = mark::read(&comment).and_then(|(_, hash)| Handover::read(hash));
        let since = match handover {
            Some(handover) => handover.since().to_owned(),
            None => {
                let oldest = status.get("oldestFileTimestamp").and_then(Value::as_str);
                self.moment(&not_loaded_since(oldest)).await?
            }
        };
        let comment = literal(&mark.handing_over(Handover::Paused(&since)));
        let pause = format!("ALTER PIPE {pipe} SET PIPE_EXECUTION_PAUSED = TRUE COMMENT = {comment}");
        self.sql(Actor::Loader, &pause).await?;
        self.drain_pipe(pipe, note).await?;
        Ok(since)
    }

    /// Puts a new pipe in the place of one, and loads what arrived meanwhile.
    pub(super) async fn replace_pipe(
        &self,
        pipe: &Name,
        create: &str,
        mark: &Mark,
        note: Note<'_>,
    ) -> anyhow::Result<()> {
        let since = self.pause_pipe(pipe, mark, note).await?;
        let (done, made) = (mark.comment(), mark.handing_over(Handover::Made(&since)));
        let create_unfinished = create.replacen(&literal(&done), &literal(&made), 1);
        ensure!(
            create_unfinished != create,
            "the statement that makes {pipe} has no mark"
        );
        self.sql(Actor::Loader, &create_unfinished).await?;
        self.finish_pipe(pipe, create, mark, &since).await
    }

    /// Loads what arrived while a pipe was replaced; does nothing where that was done.
    pub(super) async fn refresh_pipe(&self, pipe: &Name, create: &str, mark: &Mark) -> anyhow::Result<()> {
        let comment = self.pipe_comment(pipe).await?.unwrap_or_default();
        match mark::read(&comment).and_then(|(_, hash)| Handover::read(hash)) {
            Some(handover) => self.finish_pipe(pipe, create, mark, handover.since()).await,
            None => Ok(()),
        }
    }

    async fn finish_pipe(&self, pipe: &Name, create: &str, mark: &Mark, since: &str) -> anyhow::Result<()> {
        let reach = self.moment(&reach()).await?;
        // Without a moment REFRESH takes all that it reaches.
        let after = if since > reach.as_str() {
            format!(" MODIFIED_AFTER = {}", literal(since))
        } else {
            String::new()
        };
        self.sql(Actor::Loader, &format!("ALTER PIPE {pipe} REFRESH{after}"))
            .await?;
        let comment = literal(&mark.comment());
        self.sql(Actor::Loader, &format!("ALTER PIPE {pipe} SET COMMENT = {comment}"))
            .await?;
        if since < reach.as_str() {
            let copy = create.split_once("\nAS\n").map_or(create, |(_, copy)| copy);
            bail!(
                "pipe {pipe} is made anew and loads, but not the files that were staged between {since} and {reach}: its replacement was cut off then, and REFRESH reaches {REACH_DAYS} days back\n  hint: load them once by hand; rows that come twice are merged by their key:\n{copy}"
            );
        }
        Ok(())
    }

    /// The COMMENT of a pipe; nothing where there is no such pipe.
    async fn pipe_comment(&self, pipe: &Name) -> anyhow::Result<Option<String>> {
        let (_, target) = self.snowflake.as_ref().context("the pipeline has no [snowflake]")?;
        let show = format!(
            "SHOW PIPES LIKE {} IN SCHEMA {}",
            literal(pipe.last()),
            target.raw_schema
        );
        let shown = self.sql(Actor::Loader, &show).await?;
        // `_` stands for any character in LIKE.
        let found = shown.iter().find(|row| row.get("name") == Some(pipe.last()));
        Ok(found.map(|row| row.get("comment").unwrap_or_default().to_owned()))
    }

    async fn pipe_status(&self, pipe: &Name) -> anyhow::Result<Value> {
        let ask = format!("SELECT SYSTEM$PIPE_STATUS({})", literal(&pipe.to_string()));
        let status = self.ask(Actor::Loader, ask).await?;
        serde_json::from_str(&status).context("reading SYSTEM$PIPE_STATUS")
    }

    /// A moment by Snowflake's clock; `expression` is a `TIMESTAMP_NTZ` in UTC.
    async fn moment(&self, expression: &str) -> anyhow::Result<String> {
        let moment = self
            .ask(Actor::Loader, format!("SELECT TO_CHAR({expression}, {FORM})"))
            .await?;
        Ok(format!("{moment}Z"))
    }

    /// A paused pipe loads what it was told of before, and `pendingFileCount` goes down to 0; one that is stopped, such as
    /// by the loss of its stage, loads nothing: <https://docs.snowflake.com/en/sql-reference/functions/system_pipe_status>.
    async fn drain_pipe(&self, pipe: &Name, note: Note<'_>) -> anyhow::Result<()> {
        let started = Instant::now();
        while started.elapsed() < DRAIN {
            let status = self.pipe_status(pipe).await?;
            let state = status.get("executionState").and_then(Value::as_str).unwrap_or_default();
            let pending = status.get("pendingFileCount").and_then(Value::as_u64).unwrap_or(0);
            if pending == 0 || state.starts_with("STOPPED") {
                return Ok(());
            }
            note(format!("waits for {pending} files"));
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Ok(())
    }
}

/// SQL for the moment since when the pipe may not have loaded all: now, or when its oldest pending file was queued.
fn not_loaded_since(oldest_pending: Option<&str>) -> String {
    let since = match oldest_pending {
        Some(oldest) => format!("LEAST(SYSDATE(), {}::TIMESTAMP_NTZ)", literal(oldest)),
        None => "SYSDATE()".to_owned(),
    };
    format!("DATEADD('MINUTE', -{MARGIN_MINUTES}, {since})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_waits_for_long_is_not_older_than_the_moment() {
        assert_eq!(not_loaded_since(None), "DATEADD('MINUTE', -15, SYSDATE())");
        assert_eq!(
            not_loaded_since(Some("2026-02-03T04:05:06.789Z")),
            "DATEADD('MINUTE', -15, LEAST(SYSDATE(), '2026-02-03T04:05:06.789Z'::TIMESTAMP_NTZ))"
        );
    }
}
