//! The stacks as they are: one call for all of them, one for each template.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudformation::types::{Stack, TemplateStage};
use futures::future::try_join_all;
use serde_json::Value;

use super::events::last_failures;
use super::status::is_failure;
use super::{Aws, failure::explain};
use crate::model::names::Names;

/// A stack as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LiveStack {
    /// Its status.
    pub status: String,
    /// Its template as it was sent; null where it has none yet.
    pub template: Value,
    /// Its parameters.
    pub parameters: BTreeMap<String, String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Its outputs.
    pub outputs: BTreeMap<String, String>,
    /// Why its last operation failed, where its status says that one did.
    pub causes: Vec<String>,
}

impl LiveStack {
    /// Whether it carries the pipeline's tags. A stack whose first change set was not executed has no resources, and no
    /// tags either on AWS: only its name tells whose it is, and `stacks` gives it under a name of the pipeline.
    /// One that was made by an import has no tags until its first update; what was imported tells.
    pub fn is_of(&self, names: &Names) -> bool {
        let is_blank = self.status == "REVIEW_IN_PROGRESS" && self.tags.is_empty();
        let imported = |live: &Self| {
            let resources = live.template["Resources"].as_object();
            let mark = names.mark();
            resources.is_some_and(|all| all.values().any(|one| one["Metadata"]["pipectl"]["adopted"] == *mark))
        };
        is_blank
            || (self.tags.is_empty() && imported(self))
            || (self.tags.get("pipectl:pipeline") == Some(&names.pipeline)
                && self.tags.get("pipectl:environment") == Some(&names.environment))
    }
}

/// The pipeline's stacks by name.
pub type LiveStacks = BTreeMap<String, LiveStack>;

/// Reads the stacks in `wanted` and those that carry the pipeline's tags.
pub async fn stacks(aws: &Aws, names: &Names, wanted: &BTreeSet<String>) -> anyhow::Result<LiveStacks> {
    let mut found = Vec::new();
    let mut pages = aws.cloudformation.describe_stacks().into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| explain("cloudformation:DescribeStacks", error))?;
        found.extend(page.stacks.unwrap_or_default());
    }
    let ours = found.into_iter().filter(|stack| {
        let deleted = stack
            .stack_status()
            .is_some_and(|status| status.as_str() == "DELETE_COMPLETE");
        let named = stack.stack_name().is_some_and(|name| wanted.contains(name));
        !deleted
            && (named
                || LiveStack {
                    tags: tags(stack),
                    ..Default::default()
                }
                .is_of(names))
    });
    let read = ours.map(|stack| live(aws, stack));
    Ok(try_join_all(read).await?.into_iter().collect())
}

fn tags(stack: &Stack) -> BTreeMap<String, String> {
    let pair = |tag: &aws_sdk_cloudformation::types::Tag| Some((tag.key()?.to_owned(), tag.value()?.to_owned()));
    stack.tags().iter().filter_map(pair).collect()
}

fn outputs(stack: &Stack) -> BTreeMap<String, String> {
    let pair = |output: &aws_sdk_cloudformation::types::Output| {
        Some((output.output_key()?.to_owned(), output.output_value()?.to_owned()))
    };
    stack.outputs().iter().filter_map(pair).collect()
}

/// What a stack of this name gives.
pub async fn output(aws: &Aws, stack: &str, output: &str) -> anyhow::Result<String> {
    let answer = aws.cloudformation.describe_stacks().stack_name(stack).send().await;
    let answer = answer.map_err(|error| explain(&format!("cloudformation:DescribeStacks of {stack}"), error))?;
    let found = answer.stacks().first().and_then(|stack| outputs(stack).remove(output));
    found.ok_or_else(|| anyhow::anyhow!("stack {stack} has no output {output}\n  hint: run the same command again; it brings that stack to the file first"))
}

async fn live(aws: &Aws, stack: Stack) -> anyhow::Result<(String, LiveStack)> {
    let name = stack.stack_name().unwrap_or_default().to_owned();
    let status = stack
        .stack_status()
        .map(|status| status.as_str().to_owned())
        .unwrap_or_default();
    let parameters = stack
        .parameters()
        .iter()
        .filter_map(|parameter| {
            Some((
                parameter.parameter_key()?.to_owned(),
                parameter.parameter_value()?.to_owned(),
            ))
        })
        .collect();
    let causes = if is_failure(&status) {
        let causes = last_failures(aws, &name).await?;
        causes.iter().map(ToString::to_string).collect()
    } else {
        Vec::new()
    };
    let template = if status == "REVIEW_IN_PROGRESS" {
        Value::Null
    } else {
        template(aws, &name).await?
    };
    Ok((
        name,
        LiveStack {
            status,
            template,
            parameters,
            tags: tags(&stack),
            outputs: outputs(&stack),
            causes,
        },
    ))
}

/// The template of a stack as it was sent; null when it is not plain YAML.
pub async fn template(aws: &Aws, name: &str) -> anyhow::Result<Value> {
    let answer = aws
        .cloudformation
        .get_template()
        .stack_name(name)
        .template_stage(TemplateStage::Original)
        .send()
        .await
        .map_err(|error| explain(&format!("cloudformation:GetTemplate of {name}"), error))?;
    // A template that somebody wrote by hand may use YAML's short forms; it then differs as a whole.
    Ok(serde_yaml::from_str(answer.template_body().unwrap_or_default()).unwrap_or(Value::Null))
}
