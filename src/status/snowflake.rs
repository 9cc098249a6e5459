//! The Snowflake hops: pipes, streams, tasks, tables. One statement for each of what pipes, loads, runs and tables say,
//! whatever their number.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use serde_json::{Value, json};

use super::{DEPLOY, Hop, count, span};
use crate::graph::Graph;
use crate::graph::object::{Kind, Object};
use crate::model::{Model, SnowflakeTarget, Source};
use crate::snowflake::client::{Client, ResultSet, Row, Statement};
use crate::snowflake::ident::{Name, literal};
use crate::snowflake::mark::{self, Handover};
use crate::snowflake::observe::{LiveObjects, objects};

/// Objects that one statement asks about; more are asked by another one beside it.
const AT_ONCE: usize = 100;
/// Runs that are looked at, the most that Snowflake gives:
/// <https://docs.snowflake.com/en/sql-reference/functions/task_history>.
const RUNS: u32 = 10_000;

/// The Snowflake hops in the order that data takes.
pub async fn hops(model: &Model, target: &SnowflakeTarget, graph: &Graph, client: &Client) -> anyhow::Result<Vec<Hop>> {
    let live = objects(client, &model.names, target, &|_| ()).await?;
    let look = Look {
        model,
        target,
        client,
        live: &live,
    };
    let there = |kind: Kind| -> Vec<&Object> {
        let objects = graph.objects().map(|(_, object)| object);
        let of_kind = objects.filter(|object| object.kind == kind);
        of_kind
            .filter(|object| live.contains_key(&(kind, object.name.clone())))
            .collect()
    };
    let (pipes, tasks, tables) = (there(Kind::Pipe), there(Kind::Task), there(Kind::Table));
    let (pipes, loads, runs, merged) = tokio::try_join!(
        look.pipes(&pipes),
        look.loads(),
        look.runs(&tasks),
        look.merged(&tables)
    )?;
    let seen = Seen {
        pipes,
        loads,
        runs,
        merged,
    };
    let mut hops = Vec::new();
    for kind in [Kind::Pipe, Kind::Stream, Kind::Task, Kind::Table] {
        for (_, object) in graph.objects().filter(|(_, object)| object.kind == kind) {
            hops.push(match live.contains_key(&(kind, object.name.clone())) {
                true => look.hop(object, &seen),
                false => Hop::ill(kind.label(), object.name.to_string(), "missing", DEPLOY),
            });
        }
    }
    Ok(hops)
}

/// What was asked, by the name of what it is about.
struct Seen {
    pipes: BTreeMap<String, Value>,
    loads: BTreeMap<String, Loads>,
    runs: BTreeMap<String, Run>,
    merged: BTreeMap<String, Merged>,
}

/// Files that came into a raw table in the last hour.
struct Loads {
    files: u64,
    rows: u64,
    failed: u64,
    error: Option<String>,
    last_seconds_ago: Option<i64>,
}

/// The last run of a task that was not skipped.
struct Run {
    state: String,
    error: Option<String>,
    seconds_ago: Option<i64>,
    graph_run: Option<String>,
}

/// Rows that came into a table in the last hour, and the newest of the last day.
struct Merged {
    rows: u64,
    newest_seconds_ago: Option<i64>,
    longest_way: Option<i64>,
    source_time: Option<String>,
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

fn number<T: std::str::FromStr>(row: &Row<'_>, column: &str) -> Option<T> {
    row.get(column)?.parse().ok()
}

fn text(row: &Row<'_>, column: &str) -> Option<String> {
    row.get(column).filter(|text| !text.is_empty()).map(str::to_owned)
}

impl Look<'_> {
    fn hop(&self, object: &Object, seen: &Seen) -> Hop {
        match object.kind {
            Kind::Pipe => self.pipe(&object.name, seen),
            Kind::Stream => self.stream(&object.name),
            Kind::Task => self.task(object, seen),
            _ => self.table(&object.name, seen),
        }
    }

    fn property(&self, kind: Kind, name: &Name, property: &str) -> &str {
        self.live
            .get(&(kind, name.clone()))
            .map(|live| live.property(property))
            .unwrap_or_default()
    }

    async fn ask(&self, sql: String) -> anyhow::Result<ResultSet> {
        let role = self.model.names.snowflake("LOADER");
        let statement = Statement::quick(sql).role(role).warehouse(self.target.warehouse.last());
        Ok(self.client.execute(statement).await?)
    }

    /// Answers of one statement for up to [`AT_ONCE`] questions, each a SELECT with the name of what it is about in T.
    async fn ask_of_each<T>(
        &self,
        questions: Vec<String>,
        read: impl Fn(&Row<'_>) -> T,
    ) -> anyhow::Result<BTreeMap<String, T>> {
        let asked = questions.chunks(AT_ONCE).map(|some| self.ask(some.join(" UNION ALL ")));
        let answers = try_join_all(asked).await?;
        let rows = answers.iter().flat_map(ResultSet::iter);
        Ok(rows
            .filter_map(|row| Some((row.get("T")?.to_owned(), read(&row))))
            .collect())
    }

    async fn pipes(&self, pipes: &[&Object]) -> anyhow::Result<BTreeMap<String, Value>> {
        let question = |pipe: &&Object| {
            let name = literal(&pipe.name.to_string());
            format!("SELECT {name} AS T, SYSTEM$PIPE_STATUS({name}) AS S")
        };
        let read = |row: &Row<'_>| serde_json::from_str(row.get("S").unwrap_or_default()).unwrap_or_default();
        self.ask_of_each(pipes.iter().map(question).collect(), read).await
    }

    /// A file that failed and was loaded after has recovered:
    /// <https://docs.snowflake.com/en/sql-reference/functions/copy_history>.
    async fn loads(&self) -> anyhow::Result<BTreeMap<String, Loads>> {
        let feeds = self.model.landing.feeds.iter().filter_map(|feed| {
            let table = self.target.raw_schema.child(&format!("RAW_{}", feed.name));
            let pipe = self.target.raw_schema.child(&format!("{}_PIPE", feed.name));
            self.live.contains_key(&(Kind::Table, table.clone())).then(|| {
                format!(
                    "SELECT {} AS T, SUM(OK) AS FILES, SUM(ROWS_LOADED) AS ROWS_LOADED, COUNT(*) - SUM(OK) AS FAILED, \
                     MAX(IFF(OK = 0, ERROR, NULL)) AS ERROR, DATEDIFF('SECOND', MAX(LAST), CURRENT_TIMESTAMP()) AS AGE \
                     FROM (SELECT MAX(IFF(STATUS = 'Loaded', 1, 0)) AS OK, SUM(ROW_COUNT) AS ROWS_LOADED, \
                     MAX(FIRST_ERROR_MESSAGE) AS ERROR, MAX(LAST_LOAD_TIME) AS LAST \
                     FROM TABLE({}.INFORMATION_SCHEMA.COPY_HISTORY(TABLE_NAME => {}, START_TIME => DATEADD('HOUR', -1, CURRENT_TIMESTAMP()))) \
                     GROUP BY FILE_NAME)",
                    literal(&pipe.to_string()),
                    self.target.database,
                    literal(&table.to_string()),
                )
            })
        });
        let read = |row: &Row<'_>| Loads {
            files: number(row, "FILES").unwrap_or(0),
            rows: number(row, "ROWS_LOADED").unwrap_or(0),
            failed: number(row, "FAILED").unwrap_or(0),
            error: text(row, "ERROR"),
            last_seconds_ago: number(row, "AGE"),
        };
        self.ask_of_each(feeds.collect(), read).await
    }

    async fn runs(&self, tasks: &[&Object]) -> anyhow::Result<BTreeMap<String, Run>> {
        if tasks.is_empty() {
            return Ok(BTreeMap::new());
        }
        let sql = format!(
            "SELECT NAME AS T, STATE, ERROR_MESSAGE, GRAPH_RUN_GROUP_ID, \
             DATEDIFF('SECOND', COMPLETED_TIME, CURRENT_TIMESTAMP()) AS AGE \
             FROM TABLE({}.INFORMATION_SCHEMA.TASK_HISTORY(RESULT_LIMIT => {RUNS})) \
             WHERE STATE NOT IN ('SCHEDULED', 'EXECUTING', 'SKIPPED') AND SCHEMA_NAME = {} \
             QUALIFY ROW_NUMBER() OVER (PARTITION BY NAME ORDER BY COMPLETED_TIME DESC) = 1",
            self.target.database,
            literal(self.target.raw_schema.last()),
        );
        let read = |row: &Row<'_>| Run {
            state: row.get("STATE").unwrap_or_default().to_lowercase(),
            error: text(row, "ERROR_MESSAGE"),
            seconds_ago: number(row, "AGE"),
            graph_run: text(row, "GRAPH_RUN_GROUP_ID"),
        };
        self.ask_of_each(vec![sql], read).await
    }

    /// What came into tables. The way of a row begins with the clock of the source when it was read, which is the first
    /// part of `_SEQ` in a pipeline from MySQL.
    async fn merged(&self, tables: &[&Object]) -> anyhow::Result<BTreeMap<String, Merged>> {
        let from_mysql = matches!(self.model.source, Source::Mysql(_));
        let questions = tables.iter().filter_map(|table| {
            let live = self.live.get(&(Kind::Table, table.name.clone()))?;
            let has = |column: &str| live.columns.iter().any(|found| found.name == column);
            let time = ["_LOADED_AT", "LOADED_AT"].into_iter().find(|column| has(column))?;
            let recent = format!("{time} >= DATEADD('HOUR', -1, CURRENT_TIMESTAMP())");
            let way = match from_mysql && has("_SEQ") {
                true => format!(
                    "MAX(IFF({recent}, DATE_PART('EPOCH_SECOND', {time}) - FLOOR(TRY_TO_NUMBER(LEFT(_SEQ, 20)) / 1000000), NULL))"
                ),
                false => "NULL".to_owned(),
            };
            let source_time = match from_mysql && has("RECORD") {
                true => "MAX(RECORD:\"ts\"::VARCHAR)",
                false => "NULL",
            };
            Some(format!(
                "SELECT {} AS T, COUNT_IF({recent}) AS ROWS_MERGED, DATEDIFF('SECOND', MAX({time}), CURRENT_TIMESTAMP()) AS AGE, \
                 {way} AS WAY, {source_time} AS SOURCE_TIME \
                 FROM {} WHERE {time} >= DATEADD('DAY', -1, CURRENT_TIMESTAMP())",
                literal(&table.name.to_string()),
                table.name,
            ))
        });
        let read = |row: &Row<'_>| Merged {
            rows: number(row, "ROWS_MERGED").unwrap_or(0),
            newest_seconds_ago: number(row, "AGE"),
            longest_way: number::<f64>(row, "WAY").map(|seconds| seconds as i64),
            source_time: text(row, "SOURCE_TIME"),
        };
        self.ask_of_each(questions.collect(), read).await
    }

    fn pipe(&self, name: &Name, seen: &Seen) -> Hop {
        let unknown = Value::Null;
        let status = seen.pipes.get(&name.to_string()).unwrap_or(&unknown);
        let state = status["executionState"].as_str().unwrap_or("unknown").to_lowercase();
        let pending = status["pendingFileCount"].as_u64().unwrap_or(0);
        let fault = status["error"].as_str().or_else(|| status["fault"].as_str());
        let mut text = match fault {
            None => format!("{state}, {pending} files pending"),
            Some(fault) => format!("{state}: {fault}"),
        };
        let loads = seen.loads.get(&name.to_string());
        let failed = loads.map_or(0, |loads| loads.failed);
        if let Some(loads) = loads.filter(|loads| loads.files + loads.failed > 0) {
            text.push_str(&format!(
                "; {} with {} in the last hour",
                count(loads.files, "file"),
                count(loads.rows, "row")
            ));
            if loads.failed > 0 {
                let error = loads.error.as_deref().unwrap_or("no reason told");
                text.push_str(&format!(", {} not loaded: {error}", loads.failed));
            }
        }
        let comment = self
            .live
            .get(&(Kind::Pipe, name.clone()))
            .map(|live| live.comment.as_str());
        let hash = comment.and_then(mark::read).map(|(_, hash)| hash);
        let is_handed_over = hash.and_then(Handover::read).is_some();
        if is_handed_over {
            text.push_str(", its replacement was cut off");
        }
        let runs = state == "running" && fault.is_none() && !is_handed_over;
        let hint = match runs {
            true => format!(
                "correct what the message says, then load these files again with ALTER PIPE {name} REFRESH, which skips loaded ones; this is told for an hour"
            ),
            false => pipe_hint(name, &state, is_handed_over),
        };
        Hop::judged(runs && failed == 0, "pipe", name.to_string(), text, &hint).with(json!({
            "execution_state": state,
            "pending_files": pending,
            "files_in_hour": loads.map(|loads| loads.files),
            "rows_in_hour": loads.map(|loads| loads.rows),
            "failed_files_in_hour": failed,
            "last_load_seconds_ago": loads.and_then(|loads| loads.last_seconds_ago),
        }))
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
        .with(json!({ "stale": stale }))
    }

    fn task(&self, object: &Object, seen: &Seen) -> Hop {
        let name = &object.name;
        let state = self.property(Kind::Task, name, "state").to_owned();
        let run = seen.runs.get(name.last());
        let failed = run.is_some_and(|run| run.state != "succeeded");
        let text = match run {
            None => format!("{state}, never ran"),
            Some(run) => {
                let ago = run.seconds_ago.map(|seconds| format!(" {} ago", span(seconds)));
                let error = run.error.as_deref().filter(|_| failed);
                let error = error.map(|error| format!(": {error}")).unwrap_or_default();
                format!("{state}, last run {}{}{error}", run.state, ago.unwrap_or_default())
            }
        };
        let next = if state == "started" {
            "correct the cause in the message; the next run tries again"
        } else {
            DEPLOY
        };
        Hop::judged(state == "started" && !failed, "task", name.to_string(), text, next).with(json!({
            "state": state,
            "last_run": run.map(|run| json!({
                "state": run.state, "error": run.error, "seconds_ago": run.seconds_ago, "graph_run": run.graph_run,
            })),
        }))
    }

    /// What a table is in the pipeline.
    fn role(&self, name: &Name) -> &'static str {
        let is = |other: &str| {
            name.parent().as_ref() == Some(&self.target.schema) && *name == self.target.schema.child(other)
        };
        let star = &self.model.star;
        if name.parent().as_ref() == Some(&self.target.raw_schema) && name.last().starts_with("RAW_") {
            "raw table"
        } else if star.dimensions.iter().any(|dimension| is(&dimension.name)) {
            "dimension"
        } else if star.facts.iter().any(|fact| is(&fact.name)) {
            "fact"
        } else {
            "table"
        }
    }

    fn table(&self, name: &Name, seen: &Seen) -> Hop {
        let rows = self.property(Kind::Table, name, "rows").to_owned();
        let problem = name.last().ends_with("_REJECTED") && rows != "0" && !rows.is_empty();
        let hint = format!(
            "SELECT FILE_NAME, FILE_ROW, REASON FROM {name}; correct and put the files again, then delete these rows"
        );
        let role = self.role(name);
        let merged = seen.merged.get(&name.to_string());
        let mut text = count(rows.parse().unwrap_or(0), "row");
        if let Some(merged) = merged.filter(|merged| merged.rows > 0) {
            let word = if role == "raw table" { "loaded" } else { "merged" };
            text.push_str(&format!(", {} {word} in the last hour", merged.rows));
            text.extend(
                merged
                    .newest_seconds_ago
                    .map(|age| format!(", the last {} ago", span(age))),
            );
            text.extend(
                merged
                    .longest_way
                    .map(|way| format!(", at most {} after they were read", span(way))),
            );
        }
        Hop::judged(!problem, role, name.to_string(), text, &hint).with(json!({
            "rows": rows.parse::<u64>().ok(),
            "rows_in_hour": merged.map(|merged| merged.rows),
            "newest_seconds_ago": merged.and_then(|merged| merged.newest_seconds_ago),
            "longest_seconds_from_reading": merged.and_then(|merged| merged.longest_way),
            "newest_source_time": merged.and_then(|merged| merged.source_time.clone()),
        }))
    }
}
