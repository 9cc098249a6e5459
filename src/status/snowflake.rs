//! The Snowflake hops: pipes, streams, tasks, tables.

use serde_json::Value;

use super::Hop;
use crate::graph::Graph;
use crate::graph::object::{Kind, Object};
use crate::model::{Model, SnowflakeTarget};
use crate::snowflake::client::{Client, ResultSet, Statement};
use crate::snowflake::ident::{Name, literal};
use crate::snowflake::mark::{self, Handover};
use crate::snowflake::observe::{LiveObjects, objects};

const DEPLOY: &str = "run pipectl deploy";

/// The Snowflake hops in the order that data takes.
pub async fn hops(model: &Model, target: &SnowflakeTarget, graph: &Graph, client: &Client) -> anyhow::Result<Vec<Hop>> {
    let live = objects(client, &model.names, target).await?;
    let look = Look {
        model,
        target,
        client,
        live: &live,
    };
    let mut hops = Vec::new();
    for kind in [Kind::Pipe, Kind::Stream, Kind::Task, Kind::Table] {
        for (_, object) in graph.objects().filter(|(_, object)| object.kind == kind) {
            if live.contains_key(&(kind, object.name.clone())) {
                hops.push(look.hop(object).await?);
            } else {
                hops.push(Hop::ill(kind.label(), object.name.to_string(), "missing", DEPLOY));
            }
        }
    }
    Ok(hops)
}

/// What to do about a pipe that does not load. Snowflake keeps what a paused pipe is told of for 14 days, and resumes it
/// later than that only by force: <https://docs.snowflake.com/en/sql-reference/functions/system_pipe_force_resume>.
fn pipe_hint(name: &Name, state: &str, is_handed_over: bool) -> String {
    match state {
        _ if is_handed_over => "run pipectl deploy, which goes on with it".to_owned(),
        "paused" => format!(
            "somebody paused it; resume it with ALTER PIPE {name} SET PIPE_EXECUTION_PAUSED = FALSE, after more than 14 days with SELECT SYSTEM$PIPE_FORCE_RESUME({}, 'STALENESS_CHECK_OVERRIDE') and ALTER PIPE {name} REFRESH",
            literal(&name.to_string())
        ),
        _ => "check the trust of the read role with pipectl deploy".to_owned(),
    }
}

struct Look<'a> {
    model: &'a Model,
    target: &'a SnowflakeTarget,
    client: &'a Client,
    live: &'a LiveObjects,
}

impl Look<'_> {
    async fn hop(&self, object: &Object) -> anyhow::Result<Hop> {
        match object.kind {
            Kind::Pipe => self.pipe(&object.name).await,
            Kind::Stream => Ok(self.stream(&object.name)),
            Kind::Task => self.task(&object.name).await,
            _ => self.table(&object.name).await,
        }
    }

    fn property(&self, kind: Kind, name: &Name, property: &str) -> &str {
        self.live
            .get(&(kind, name.clone()))
            .map(|live| live.property(property))
            .unwrap_or_default()
    }

    async fn ask(&self, sql: String, role: &str) -> anyhow::Result<ResultSet> {
        let role = self.model.names.snowflake(role);
        let statement = Statement::quick(sql).role(role).warehouse(self.target.warehouse.last());
        Ok(self.client.execute(statement).await?)
    }

    async fn pipe(&self, name: &Name) -> anyhow::Result<Hop> {
        let answer = self
            .ask(
                format!("SELECT SYSTEM$PIPE_STATUS({})", literal(&name.to_string())),
                "LOADER",
            )
            .await?;
        let status: Value = serde_json::from_str(answer.scalar().unwrap_or_default()).unwrap_or_default();
        let state = status["executionState"].as_str().unwrap_or("unknown").to_lowercase();
        let pending = status["pendingFileCount"].as_u64().unwrap_or(0);
        let error = status["error"]
            .as_str()
            .or_else(|| status["fault"].as_str())
            .unwrap_or_default();
        let text = if error.is_empty() {
            format!("{state}, {pending} files pending")
        } else {
            format!("{state}: {error}")
        };
        let comment = self
            .live
            .get(&(Kind::Pipe, name.clone()))
            .map(|live| live.comment.as_str());
        let hash = comment.and_then(mark::read).map(|(_, hash)| hash);
        let is_handed_over = hash.and_then(Handover::read).is_some();
        let text = if is_handed_over {
            format!("{text}, its replacement was cut off")
        } else {
            text
        };
        let healthy = state == "running" && error.is_empty() && !is_handed_over;
        let hint = pipe_hint(name, &state, is_handed_over);
        Ok(Hop::judged(healthy, "pipe", name.to_string(), text, &hint))
    }

    fn stream(&self, name: &Name) -> Hop {
        let stale = self.property(Kind::Stream, name, "stale") == "true";
        let text = if stale { "stale" } else { "fresh" };
        Hop::judged(
            !stale,
            "stream",
            name.to_string(),
            text,
            "its table's retention was exceeded; drop it and run pipectl deploy, which reads all rows again",
        )
    }

    async fn task(&self, name: &Name) -> anyhow::Result<Hop> {
        let state = self.property(Kind::Task, name, "state").to_owned();
        let history = format!(
            "SELECT STATE, ERROR_MESSAGE FROM TABLE({}.INFORMATION_SCHEMA.TASK_HISTORY(TASK_NAME => {}, RESULT_LIMIT => 10)) WHERE STATE IN ('SUCCEEDED', 'FAILED') ORDER BY COMPLETED_TIME DESC LIMIT 1",
            self.target.database,
            literal(name.last()),
        );
        let answer = self.ask(history, "LOADER").await?;
        let last = answer.first();
        let ran = last
            .and_then(|row| row.get("STATE"))
            .unwrap_or("never ran")
            .to_lowercase();
        let error = last.and_then(|row| row.get("ERROR_MESSAGE")).unwrap_or_default();
        let text = if ran == "failed" {
            format!("{state}, last run failed: {error}")
        } else {
            format!("{state}, last run {ran}")
        };
        let next = if state == "started" {
            "correct the cause in the message; the next run tries again"
        } else {
            DEPLOY
        };
        Ok(Hop::judged(
            state == "started" && ran != "failed",
            "task",
            name.to_string(),
            text.replace("last run never ran", "never ran"),
            next,
        ))
    }

    async fn table(&self, name: &Name) -> anyhow::Result<Hop> {
        let rows = self.property(Kind::Table, name, "rows").to_owned();
        let problem = name.last().ends_with("_REJECTED") && rows != "0" && !rows.is_empty();
        let hint = format!(
            "SELECT FILE_NAME, FILE_ROW, REASON FROM {name}; correct and put the files again, then delete these rows"
        );
        Ok(Hop::judged(
            !problem,
            "table",
            name.to_string(),
            format!("{rows} rows"),
            &hint,
        ))
    }
}
