//! Every action of a plan, and how it is done.

use std::collections::BTreeMap;

use anyhow::{Context, anyhow};
use futures::future::try_join_all;

use crate::aws::apply::Note;
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
    pub graph: Graph,
    /// The names.
    pub names: Names,
    /// The runtime, where one was found.
    pub runtime: Option<Runtime>,
    /// Resources that the user gave up on the way out of a failure.
    pub given_up: GivenUp,
}

impl Hands {
    /// Does one action.
    pub async fn act(&self, action: &Action, note: Note<'_>) -> anyhow::Result<()> {
        match action {
            Action::Sql { role, sql } => self.sql(*role, sql).await.map(drop),
            Action::PausePipe { pipe, mark } => self.pause_pipe(pipe, mark, note).await.map(drop),
            Action::ReplacePipe { pipe, create, mark } => self.replace_pipe(pipe, create, mark, note).await,
            Action::RefreshPipe { pipe, create, mark } => self.refresh_pipe(pipe, create, mark).await,
            Action::CheckHandshake { integration, location } => self.check_handshake(integration, location).await,
            Action::SuspendGraph { root } => self.suspend_graph(root, note).await,
            Action::ResumeGraph { root } => self.resume_graph(root).await,
            Action::DeployStack { stack, adopted, losing } => self.deploy_stack(stack, adopted, losing, note).await,
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

    async fn deploy_stack(
        &self,
        name: &str,
        adopted: &[String],
        losing: &[String],
        note: Note<'_>,
    ) -> anyhow::Result<()> {
        let stack = self.stack(name)?.adopting(adopted.iter().map(String::as_str));
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
        let parameters: BTreeMap<String, String> = try_join_all(values).await?.into_iter().collect();
        let wanted = aws::apply::Wanted {
            stack: &stack,
            parameters,
            artifact_bucket: &self.names.bucket("artifacts"),
            losing,
            given_up: &self.given_up,
        };
        aws::apply::deploy(&self.aws, wanted, note).await
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
