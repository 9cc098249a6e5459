//! Every action of a plan, and how it is done.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use futures::future::try_join_all;

use super::early::Early;
use crate::aws::apply::{Note, Prepared, Wanted};
use crate::aws::recover::GivenUp;
use crate::aws::runtime::Runtime;
use crate::aws::{self, Aws};
use crate::graph::Graph;
use crate::graph::object::Actor;
use crate::graph::stack::{Parameter, Stack};
use crate::model::SnowflakeTarget;
use crate::model::names::Names;
use crate::plan::Action;
use crate::snowflake::client::Client;
use crate::snowflake::ident::Name;

/// What actions are done with.
pub struct Hands {
    /// The AWS clients.
    pub aws: Aws,
    /// The Snowflake client and target, where there is one.
    pub snowflake: Option<(Client, SnowflakeTarget)>,
    /// The graph, for templates and parameters.
    pub graph: Arc<Graph>,
    /// The names.
    pub names: Names,
    /// The runtime, where one was found.
    pub runtime: Option<Runtime>,
    /// Resources that the user gave up on the way out of a failure.
    pub given_up: GivenUp,
}

impl Hands {
    /// Does one action.
    pub(super) async fn act(&self, action: &Action, early: &Early, note: Note<'_>) -> anyhow::Result<()> {
        match action {
            Action::Sql { role, sql } => self.sql(*role, sql).await.map(drop),
            Action::PausePipe { pipe, mark } => self.pause_pipe(pipe, mark, note).await.map(drop),
            Action::ReplacePipe { pipe, create, mark } => self.replace_pipe(pipe, create, mark, note).await,
            Action::RefreshPipe { pipe, create, mark } => self.refresh_pipe(pipe, create, mark).await,
            Action::CheckHandshake { integration, location } => self.check_handshake(integration, location).await,
            Action::SuspendGraph { root } => self.suspend_graph(root, note).await,
            Action::ResumeGraph { root } => self.resume_graph(root).await,
            Action::DeployStack { stack, adopted, losing } => match early.take(stack).await {
                Some(prepared) => aws::apply::execute(&self.aws, prepared, note).await,
                None => {
                    let stack = self.stack(stack)?.adopting(adopted.iter().map(String::as_str));
                    let bucket = self.names.bucket("artifacts");
                    aws::apply::deploy(&self.aws, &self.wanted(&stack, losing, &bucket).await?, note).await
                }
            },
            Action::ImportBucket {
                stack,
                logical_id,
                bucket,
            } => {
                let stack = self.stack(stack)?;
                aws::import::bucket(&self.aws, stack, logical_id, bucket, &self.given_up, note).await
            }
            Action::ReleaseBucket {
                stack,
                logical_id,
                bucket,
                topic,
            } => {
                aws::import::take_out(&self.aws, stack, logical_id, bucket, &self.given_up, note).await?;
                aws::import::silence(&self.aws, bucket, topic).await
            }
            Action::DeleteStack { stack } => aws::recover::delete(&self.aws, stack, &self.given_up, note).await,
            Action::DeleteBucket { bucket } => aws::buckets::delete(&self.aws, bucket, note).await,
            Action::Upload { bucket, .. } => {
                let runtime = self.runtime.as_ref().context("the runtime was not looked for")?;
                runtime.upload(&self.aws, bucket, note).await
            }
            Action::DeleteParameters => aws::manifest::delete(&self.aws, &self.names).await,
        }
    }

    fn stack(&self, name: &str) -> anyhow::Result<&Stack> {
        let found = self.graph.stacks().find(|(_, stack)| stack.name == name);
        found
            .map(|(_, stack)| stack)
            .with_context(|| format!("no stack {name} in the graph"))
    }

    /// Makes the change set of a stack before its turn.
    pub(super) async fn prepare_stack(&self, name: &str, losing: &[String]) -> anyhow::Result<Option<Prepared>> {
        let bucket = self.names.bucket("artifacts");
        aws::apply::prepare_early(&self.aws, &self.wanted(self.stack(name)?, losing, &bucket).await?).await
    }

    async fn wanted<'a>(
        &'a self,
        stack: &'a Stack,
        losing: &'a [String],
        artifact_bucket: &'a str,
    ) -> anyhow::Result<Wanted<'a>> {
        let values = stack.parameters.iter().map(|(key, parameter)| async move {
            let value = match parameter {
                Parameter::RuntimeKey => {
                    let runtime = self.runtime.as_ref().context("the runtime was not looked for")?;
                    runtime.key.clone()
                }
                Parameter::Integration { name, property } => self.integration_property(name, property).await?,
                Parameter::Output { stack, output } => aws::observe::output(&self.aws, stack, output).await?,
            };
            anyhow::Ok((key.clone(), value))
        });
        Ok(Wanted {
            stack,
            parameters: try_join_all(values).await?.into_iter().collect(),
            artifact_bucket,
            losing,
            given_up: &self.given_up,
        })
    }

    /// The name of the Snowflake role that `actor` stands for.
    pub(super) fn role(&self, actor: Actor) -> anyhow::Result<Name> {
        let (_, target) = self
            .snowflake
            .as_ref()
            .ok_or_else(|| anyhow!("the pipeline has no [snowflake]"))?;
        Ok(match actor {
            Actor::Deployer => target.deployer.clone(),
            Actor::Owner => Name::account(&self.names.snowflake("OWNER")),
            Actor::Loader => Name::account(&self.names.snowflake("LOADER")),
        })
    }
}
