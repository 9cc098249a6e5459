//! The AWS hops: stacks, queues, the handshake with Snowflake, files that could not be read.

use aws_sdk_iam::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::Value;

use super::Hop;
use crate::aws::failure::explain;
use crate::aws::status::{Next, is_success, next};
use crate::aws::{Aws, observe};
use crate::graph::Graph;
use crate::model::{Landing, Model, Source};

const DEPLOY: &str = "run pipectl deploy";

/// The AWS hops in the order that data takes.
pub async fn hops(model: &Model, graph: &Graph, aws: &Aws) -> anyhow::Result<Vec<Hop>> {
    let names = &model.names;
    let wanted = graph.stacks().map(|(_, stack)| stack.name.clone()).collect();
    let live = observe::stacks(aws, names, &wanted).await?;
    let mut hops: Vec<Hop> = graph
        .stacks()
        .map(|(_, stack)| match live.get(&stack.name) {
            None => Hop::ill("stack", &stack.name, "missing", DEPLOY),
            Some(found) => {
                let well = is_success(&found.status)
                    || matches!(
                        found.status.as_str(),
                        "UPDATE_ROLLBACK_COMPLETE" | "IMPORT_ROLLBACK_COMPLETE"
                    );
                let causes: String = found.causes.iter().map(|cause| format!("; {cause}")).collect();
                let hint = match next(&found.status) {
                    Next::Update => format!("{DEPLOY}, which updates it{causes}"),
                    Next::Stuck => format!("a deploy {}{causes}", Next::Stuck.words()),
                    other => format!("{DEPLOY}, which {}{causes}", other.words()),
                };
                Hop::judged(
                    well,
                    "stack",
                    &stack.name,
                    found.status.to_lowercase().replace('_', " "),
                    &hint,
                )
            }
        })
        .collect();
    match &model.source {
        Source::Files(_) => {
            hops.push(queue(aws, &names.resource("copy"), false).await?);
            hops.push(queue(aws, &names.resource("copy-dead-letters"), true).await?);
        }
        Source::Mysql(_) => {}
    }
    if model.alerts.mail.is_some() || model.alerts.webhook.is_some() {
        hops.push(queue(aws, &names.resource("alert"), false).await?);
        hops.push(queue(aws, &names.resource("alert-dead-letters"), true).await?);
    }
    if let Some(mail) = &model.alerts.mail {
        hops.push(super::sender::hop(aws, mail).await?);
    }
    if model.snowflake().is_some() {
        hops.push(handshake(aws, &names.resource("snowflake-read"), &names.external_id()).await?);
    }
    hops.push(rejected_files(aws, &model.landing.bucket, model.landing.error_prefix).await?);
    hops.extend(unloaded_folders(aws, &model.landing).await?);
    Ok(hops)
}

async fn queue(aws: &Aws, name: &str, dead_letters: bool) -> anyhow::Result<Hop> {
    let kind = if dead_letters { "dead letters" } else { "queue" };
    let url = match aws.sqs.get_queue_url().queue_name(name).send().await {
        Ok(answer) => answer.queue_url.unwrap_or_default(),
        Err(error)
            if error
                .code()
                .is_some_and(|code| code.contains("NonExistentQueue") || code.contains("QueueDoesNotExist")) =>
        {
            return Ok(Hop::ill(kind, name, "missing", DEPLOY));
        }
        Err(error) => return Err(explain(&format!("sqs:GetQueueUrl of {name}"), error)),
    };
    let asked = [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
    ];
    let answer = aws
        .sqs
        .get_queue_attributes()
        .queue_url(url)
        .set_attribute_names(Some(asked.to_vec()))
        .send()
        .await;
    let answer = answer.map_err(|error| explain(&format!("sqs:GetQueueAttributes of {name}"), error))?;
    let [waiting, working] = asked.map(|attribute| {
        let value = answer.attributes().and_then(|attributes| attributes.get(&attribute));
        value.and_then(|value| value.parse::<u64>().ok()).unwrap_or(0)
    });
    let state = format!("{waiting} waiting, {working} in work");
    let well = !dead_letters || waiting + working == 0;
    Ok(Hop::judged(
        well,
        kind,
        name,
        state,
        "read the function's log for the reason, mend it, then redrive the queue in the SQS console",
    ))
}

/// Whether the role's trust is what the handshake needs: one principal and the external id.
async fn handshake(aws: &Aws, role: &str, external_id: &str) -> anyhow::Result<Hop> {
    let answer = match aws.iam.get_role().role_name(role).send().await {
        Ok(answer) => answer,
        Err(error) if error.code().is_some_and(|code| code.starts_with("NoSuchEntity")) => {
            return Ok(Hop::ill("trust", role, "missing", DEPLOY));
        }
        Err(error) => return Err(explain(&format!("iam:GetRole of {role}"), error)),
    };
    let text = answer
        .role()
        .and_then(|role| role.assume_role_policy_document())
        .unwrap_or_default();
    let policy: Value = serde_json::from_str(&percent_decoded(text)).unwrap_or_default();
    let statement = &policy["Statement"][0];
    let principal = statement["Principal"]["AWS"].as_str().unwrap_or_default();
    let right_id = statement["Condition"]["StringEquals"]["sts:ExternalId"] == external_id;
    let well =
        principal.starts_with("arn:") && right_id && policy["Statement"].as_array().is_some_and(|all| all.len() == 1);
    Ok(Hop::judged(
        well,
        "trust",
        role,
        format!("trusts {principal}"),
        "somebody changed it; run pipectl deploy, or correct it by hand",
    ))
}

/// IAM gives policies URL-encoded: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_Role.html>.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = (*first == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn rejected_files(aws: &Aws, bucket: &str, prefix: &str) -> anyhow::Result<Hop> {
    let page = match aws.s3.list_objects_v2().bucket(bucket).prefix(prefix).send().await {
        Ok(page) => page,
        Err(error) if error.code() == Some("NoSuchBucket") => return Ok(Hop::ill("bucket", bucket, "missing", DEPLOY)),
        Err(error) => return Err(explain(&format!("s3:ListObjectsV2 of {bucket}"), error)),
    };
    let reasons = page
        .contents()
        .iter()
        .filter(|object| object.key().is_some_and(|key| key.ends_with(".reason.json")))
        .count();
    let more = if page.is_truncated() == Some(true) { "+" } else { "" };
    let name = format!("s3://{bucket}/{prefix}");
    let hint = format!("read the .reason.json files under {name}; put corrected files; delete these");
    Ok(Hop::judged(
        reasons == 0,
        "bad files",
        name,
        format!("{reasons}{more} files"),
        &hint,
    ))
}

/// Folders of records that no table names, so that nothing loads them: one list call, and one for each such folder.
async fn unloaded_folders(aws: &Aws, landing: &Landing) -> anyhow::Result<Vec<Hop>> {
    let list = |prefix: String, delimiter: Option<&str>| {
        let request = aws.s3.list_objects_v2().bucket(&landing.bucket).prefix(prefix);
        request.set_delimiter(delimiter.map(str::to_owned)).send()
    };
    let failed = |error| explain(&format!("s3:ListObjectsV2 of {}", landing.bucket), error);
    let page = match list(landing.prefix.to_owned(), Some("/")).await {
        Ok(page) => page,
        // Told by the hop of the bad files already.
        Err(error) if error.code() == Some("NoSuchBucket") => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let found = page.common_prefixes().iter().filter_map(|folder| folder.prefix());
    let mut hops = Vec::new();
    for folder in found.filter(|folder| !is_loaded(folder.trim_start_matches(landing.prefix), landing)) {
        let inside = list(folder.to_owned(), None).await.map_err(failed)?;
        let more = if inside.is_truncated() == Some(true) { "+" } else { "" };
        let state = format!("{}{more} files that nothing loads", inside.contents().len());
        let next = "make the folder the prefix of a [[table]] and run pipectl deploy, or delete the files";
        let name = format!("s3://{}/{folder}", landing.bucket);
        hops.push(Hop::ill("folder", name, state, next));
    }
    Ok(hops)
}

/// Whether a table reads the folder, something in it, or what it is in.
fn is_loaded(folder: &str, landing: &Landing) -> bool {
    let mut feeds = landing.feeds.iter();
    feeds.any(|feed| feed.prefix.starts_with(folder) || folder.starts_with(&feed.prefix))
}

#[cfg(test)]
mod tests {
    #[test]
    fn policies_are_decoded_and_broken_escapes_stay() {
        assert_eq!(super::percent_decoded("%7B%22a%22%7D %zz %4"), "{\"a\"} %zz %4");
    }
}
