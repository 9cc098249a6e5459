//! The Snowflake actions: statements, the handshake, suspending and resuming a task graph.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::Hands;
use crate::aws::apply::Note;
use crate::graph::object::Actor;
use crate::pace::Pace;
use crate::snowflake::client::{Client, ResultSet, SnowflakeError, Statement};
use crate::snowflake::ident::{Name, literal};

/// How long a task graph may take to come to rest.
const REST: Duration = Duration::from_secs(600);
/// How long AWS may take until a fresh role or policy is seen everywhere:
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_general.html#troubleshoot_general_eventual-consistency>.
const PROPAGATION: Duration = Duration::from_secs(60);

impl Hands {
    fn client(&self) -> anyhow::Result<&Client> {
        self.snowflake
            .as_ref()
            .map(|(client, _)| client)
            .context("the pipeline has no [snowflake]")
    }

    /// Runs one statement as `actor`.
    pub(super) async fn sql(&self, actor: Actor, sql: &str) -> anyhow::Result<ResultSet> {
        // What defines ends within a second or two, and being answered at once saves the looks; what computes can take
        // long, and must be cancelled when the run is.
        let mut statement = if needs_warehouse(sql) {
            let warehouse = self.snowflake.as_ref().map(|(_, target)| &target.warehouse);
            warehouse.map_or_else(
                || Statement::new(sql),
                |name| Statement::new(sql).warehouse(name.last()),
            )
        } else {
            Statement::quick(sql)
        };
        statement = statement.role(self.role(actor)?.last());
        let (started, mut pace) = (Instant::now(), Pace::default());
        loop {
            match self.client()?.execute(statement.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) if is_propagating(sql, &error) && started.elapsed() < PROPAGATION => {
                    pace.pause().await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The single value of a query.
    pub(super) async fn ask(&self, actor: Actor, sql: String) -> anyhow::Result<String> {
        let answer = self.sql(actor, &sql).await?;
        Ok(answer.scalar().unwrap_or_default().to_owned())
    }

    /// What DESC INTEGRATION tells of one property.
    pub(super) async fn integration_property(&self, name: &Name, property: &str) -> anyhow::Result<String> {
        let answer = self.sql(Actor::Deployer, &format!("DESC INTEGRATION {name}")).await?;
        let row = answer.iter().find(|row| {
            row.get("property")
                .is_some_and(|found| found.eq_ignore_ascii_case(property))
        });
        let value = row.and_then(|row| row.get("property_value")).map(str::to_owned);
        value.with_context(|| format!("DESC INTEGRATION {name} does not tell {property}"))
    }

    /// Has Snowflake list the bucket through the role. What AWS does not know everywhere yet is tried again.
    pub(super) async fn check_handshake(&self, integration: &Name, location: &str) -> anyhow::Result<()> {
        let check = format!(
            "SELECT SYSTEM$VALIDATE_STORAGE_INTEGRATION({}, {}, 'pipectl-check', 'list')",
            literal(&integration.to_string()),
            literal(location)
        );
        let (started, mut pace) = (Instant::now(), Pace::default());
        loop {
            let answer = self.ask(Actor::Deployer, check.clone()).await?;
            let answer: serde_json::Value =
                serde_json::from_str(&answer).context("reading SYSTEM$VALIDATE_STORAGE_INTEGRATION")?;
            if answer.get("status").and_then(serde_json::Value::as_str) == Some("success") {
                return Ok(());
            }
            if started.elapsed() > PROPAGATION {
                bail!(
                    "Snowflake cannot list {location} through {integration}: {answer}\n  hint: see the trust of the read role with `pipectl status`, then run the same command again"
                );
            }
            pace.pause().await;
        }
    }

    /// Suspends the root, so that no run starts, and waits for the one that is running.
    pub(super) async fn suspend_graph(&self, root: &Name, note: Note<'_>) -> anyhow::Result<()> {
        self.sql(Actor::Loader, &format!("ALTER TASK {root} SUSPEND")).await?;
        let schema = root.parent().context("the root task has no schema")?;
        let database = schema.parent().context("the root task's schema has no database")?;
        let running = format!(
            "SELECT COUNT(*) FROM TABLE({database}.INFORMATION_SCHEMA.TASK_HISTORY(SCHEDULED_TIME_RANGE_START => DATEADD('HOUR', -2, CURRENT_TIMESTAMP()))) WHERE STATE = 'EXECUTING' AND SCHEMA_NAME = {}",
            literal(schema.last()),
        );
        let started = Instant::now();
        loop {
            let count = self.ask(Actor::Loader, running.clone()).await?;
            if count == "0" {
                return Ok(());
            }
            if started.elapsed() > REST {
                bail!(
                    "task graph {root} is still running after {} s\n  hint: wait for it, then run the same command again",
                    REST.as_secs()
                );
            }
            note("waits for the running graph".to_owned());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Resumes children first and the root last, then checks that every task is started. A child cannot be resumed
    /// below a started root, so the root is suspended first:
    /// <https://docs.snowflake.com/en/sql-reference/functions/system_task_dependents_enable>.
    pub(super) async fn resume_graph(&self, root: &Name) -> anyhow::Result<()> {
        self.sql(Actor::Loader, &format!("ALTER TASK {root} SUSPEND")).await?;
        self.ask(
            Actor::Loader,
            format!("SELECT SYSTEM$TASK_DEPENDENTS_ENABLE({})", literal(&root.to_string())),
        )
        .await?;
        let (_, target) = self.snowflake.as_ref().context("the pipeline has no [snowflake]")?;
        let mut asleep = self.asleep(&target.raw_schema).await?;
        // A task that stands beside the graph is nobody's dependent.
        for (name, _) in asleep.iter().filter(|(_, is_scheduled)| *is_scheduled) {
            let task = target.raw_schema.child(name);
            self.sql(Actor::Loader, &format!("ALTER TASK {task} RESUME")).await?;
        }
        if asleep.iter().any(|(_, is_scheduled)| *is_scheduled) {
            asleep = self.asleep(&target.raw_schema).await?;
        }
        let asleep: Vec<String> = asleep.into_iter().map(|(name, _)| name).collect();
        if !asleep.is_empty() {
            bail!(
                "these tasks are not started after resuming {root}: {}\n  hint: run the same command again",
                asleep.join(", ")
            );
        }
        Ok(())
    }

    /// The tasks of a schema that are not started, each with whether it has a schedule of its own.
    async fn asleep(&self, schema: &Name) -> anyhow::Result<Vec<(String, bool)>> {
        let tasks = self
            .sql(Actor::Loader, &format!("SHOW TASKS IN SCHEMA {schema}"))
            .await?;
        let asleep = tasks.iter().filter(|task| task.get("state") != Some("started"));
        let described = asleep.filter_map(|task| {
            let is_scheduled = task.get("schedule").is_some_and(|schedule| !schedule.is_empty());
            Some((task.get("name")?.to_owned(), is_scheduled))
        });
        Ok(described.collect())
    }
}

/// DML and table functions compute; DDL and SHOW do not.
fn needs_warehouse(sql: &str) -> bool {
    sql.starts_with("MERGE") || sql.starts_with("UPDATE") || sql.contains("TABLE(")
}

/// A pipe subscribes to the topic as it is made, and the topic's policy may not be seen everywhere yet.
fn is_propagating(sql: &str, error: &SnowflakeError) -> bool {
    let text = error.to_string();
    (sql.starts_with("CREATE PIPE") || sql.starts_with("CREATE OR REPLACE PIPE"))
        && (text.contains("not authorized to perform") || text.contains("Subscribe") || text.contains("assum"))
}
