//! The AWS side: rights by simulation, and the quotas that a deploy meets.

use std::collections::BTreeSet;

use aws_sdk_iam::types::{ContextEntry, ContextKeyTypeEnum, PolicyEvaluationDecisionType};

use super::Check;
use super::policy::Need;
use crate::aws::Aws;
use crate::aws::failure::explain;
use crate::graph::Graph;

/// One check for each statement of the policy.
pub async fn rights(aws: &Aws, identity: &str, needs: &[Need], unknown: &BTreeSet<String>) -> Vec<Check> {
    let mut checks = Vec::new();
    for kind in unknown {
        let why = format!("what CloudFormation calls for {kind} is not known here");
        checks.push(Check::not_checked("AWS", format!("rights for {kind}"), &why));
    }
    let principal = match principal(aws, identity).await {
        Ok(principal) => principal,
        Err(why) => {
            checks.push(Check::not_checked("AWS", "rights", &why));
            return checks;
        }
    };
    for need in needs {
        let what = format!("rights: {}", need.sid);
        checks.push(match denied(aws, &principal, need).await {
            Ok(denied) if denied.is_empty() => Check::ok(
                "AWS",
                what,
                format!("{} actions on {} resources", need.actions.len(), need.resources.len()),
            ),
            Ok(denied) => {
                let listed = denied.into_iter().collect::<Vec<_>>().join(", ");
                let hint = "allow it: `pipectl doctor --print-policy` prints the whole policy";
                Check::missing("AWS", what, &format!("{principal} may not {listed}\n  hint: {hint}"))
            }
            // Whoever may not simulate may well be allowed to deploy; the next answer would be the same.
            Err(error) => {
                checks.push(Check::not_checked("AWS", what, &error.to_string()));
                return checks;
            }
        });
    }
    checks
}

/// The user or role behind an identity; why there is none that can be simulated.
async fn principal(aws: &Aws, identity: &str) -> Result<String, String> {
    let resource = identity.splitn(6, ':').nth(5).unwrap_or_default();
    match resource.split('/').collect::<Vec<_>>()[..] {
        ["root"] => Err("the account's root may do everything, and cannot be simulated".to_owned()),
        ["user", ..] => Ok(identity.to_owned()),
        // The session does not tell the role's path; most have none.
        ["assumed-role", role, ..] => match aws.iam.get_role().role_name(role).send().await {
            Ok(answer) => Ok(answer.role().map(|role| role.arn().to_owned()).unwrap_or_default()),
            Err(_) => {
                let role = identity
                    .replacen(":sts:", ":iam:", 1)
                    .replace(":assumed-role/", ":role/");
                Ok(role
                    .rsplit_once('/')
                    .map_or(role.clone(), |(role, _session)| role.to_owned()))
            }
        },
        _ => Err(format!("{identity} is no user and no role, and cannot be simulated")),
    }
}

/// The actions that `principal` may not do on one of the resources.
async fn denied(aws: &Aws, principal: &str, need: &Need) -> anyhow::Result<BTreeSet<String>> {
    let context = need.condition.as_ref().map(|(_, key, values)| {
        // Any of the values will do; a request has one.
        let value = values.first().cloned().into_iter().collect();
        let entry = ContextEntry::builder()
            .context_key_name(*key)
            .set_context_key_values(Some(value));
        entry.context_key_type(ContextKeyTypeEnum::String).build()
    });
    let request = aws
        .iam
        .simulate_principal_policy()
        .policy_source_arn(principal)
        .set_action_names(Some(need.actions.iter().map(|action| (*action).to_owned()).collect()))
        .set_resource_arns(Some(need.resources.iter().cloned().collect()))
        .set_context_entries(context.map(|entry| vec![entry]));
    let mut denied = BTreeSet::new();
    let mut pages = request.into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| explain("iam:SimulatePrincipalPolicy", error))?;
        for result in page.evaluation_results() {
            let allowed = *result.eval_decision() == PolicyEvaluationDecisionType::Allowed
                && result
                    .resource_specific_results()
                    .iter()
                    .all(|result| *result.eval_resource_decision() == PolicyEvaluationDecisionType::Allowed);
            if !allowed {
                denied.insert(result.eval_action_name().to_owned());
            }
        }
    }
    Ok(denied)
}

/// Whether the account has room for the stacks; what else could be full is named.
pub async fn quotas(aws: &Aws, graph: &Graph) -> Vec<Check> {
    let stacks = match room_for_stacks(aws, graph).await {
        Ok((found, new, limit)) if found + new > limit => {
            let why = format!(
                "{found} of {limit} exist, {new} more are needed\n  hint: ask for a higher quota (Service Quotas, CloudFormation, Stack count)"
            );
            Check::missing("AWS", "quota of stacks", &why)
        }
        Ok((found, new, limit)) => Check::ok(
            "AWS",
            "quota of stacks",
            format!("{found} of {limit} exist, {new} more are needed"),
        ),
        Err(error) => Check::not_checked("AWS", "quota of stacks", &error.to_string()),
    };
    let others = "roles and buckets of the account, concurrent functions: rarely full, and a full one fails its stack with its own message";
    vec![stacks, Check::not_checked("AWS", "other quotas", others)]
}

async fn room_for_stacks(aws: &Aws, graph: &Graph) -> anyhow::Result<(usize, usize, usize)> {
    let limits = aws.cloudformation.describe_account_limits().send().await;
    let limits = limits.map_err(|error| explain("cloudformation:DescribeAccountLimits", error))?;
    let limit = limits
        .account_limits()
        .iter()
        .find(|limit| limit.name() == Some("StackLimit"));
    let limit = limit
        .and_then(|limit| limit.value())
        .and_then(|value| usize::try_from(value).ok());
    let limit = limit.ok_or_else(|| anyhow::anyhow!("AWS tells no StackLimit"))?;
    let mut names = BTreeSet::new();
    let mut pages = aws.cloudformation.describe_stacks().into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| explain("cloudformation:DescribeStacks", error))?;
        names.extend(
            page.stacks()
                .iter()
                .filter_map(|stack| stack.stack_name())
                .map(str::to_owned),
        );
    }
    let new = graph.stacks().filter(|(_, stack)| !names.contains(&stack.name)).count();
    Ok((names.len(), new, limit))
}
