//! The AWS hops: stacks, queues, the handshake with Snowflake, files that could not be read.

use aws_sdk_iam::error::ProvideErrorMetadata;
use serde_json::{Value, json};

use super::metrics::Questions;
use super::{DEPLOY, Hop, mysql, queue};
use crate::aws::failure::explain;
use crate::aws::status::{Next, is_success, next};
use crate::aws::{Aws, observe};
use crate::graph::Graph;
use crate::model::{Landing, Model, Source};
use crate::redrive::undelivered::Place;

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
    let mut questions = Questions::default();
    let mut queues = Vec::new();
    let source = match &model.source {
        Source::Files(_) => {
            queues.extend(queue::pair(&names.resource("copy"), &mut questions));
            None
        }
        Source::Mysql(source) => Some(mysql::Source::new(model, source, &mut questions)),
    };
    if model.alerts.mail.is_some() || model.alerts.webhook.is_some() {
        queues.extend(queue::pair(&names.resource("alert"), &mut questions));
    }
    if model.snowflake().is_some_and(|target| target.apply.is_some()) {
        queues.extend(queue::pair(&names.resource("apply"), &mut questions));
    }
    let answers = questions.answers(aws).await?;
    if let Some(source) = &source {
        hops.extend(source.hops(aws, &answers).await?);
    }
    for queue in &queues {
        hops.push(queue.hop(aws, &answers).await?);
    }
    if let Some(mail) = &model.alerts.mail {
        hops.push(super::sender::hop(aws, mail).await?);
    }
    if model.snowflake().is_some() {
        hops.push(handshake(aws, &names.resource("snowflake-read"), &names.external_id()).await?);
    }
    hops.push(rejected_files(aws, model).await?);
    hops.extend(unloaded_folders(aws, &model.landing).await?);
    Ok(hops)
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

/// What could not become records. The functions write the reason beside each such file; what Firehose gave up can go
/// again.
async fn rejected_files(aws: &Aws, model: &Model) -> anyhow::Result<Hop> {
    let (bucket, prefix) = (&model.landing.bucket, model.landing.error_prefix);
    let page = match aws.s3.list_objects_v2().bucket(bucket).prefix(prefix).send().await {
        Ok(page) => page,
        Err(error) if error.code() == Some("NoSuchBucket") => return Ok(Hop::ill("bucket", bucket, "missing", DEPLOY)),
        Err(error) => return Err(explain(&format!("s3:ListObjectsV2 of {bucket}"), error)),
    };
    let keys = || page.contents().iter().filter_map(|object| object.key());
    let reasons = keys().filter(|key| key.ends_with(".reason.json")).count();
    let name = format!("s3://{bucket}/{prefix}");
    let (files, next) = match model.source {
        Source::Files(_) => {
            let next = format!("read the .reason.json files under {name}; put corrected files; delete these");
            (reasons, next)
        }
        Source::Mysql(_) => {
            let others = keys().filter(|key| !key.contains("/large/")).count();
            let is_given_up = Place::of(model).is_some_and(|place| keys().any(|key| place.has(key)));
            let next = match is_given_up {
                true => "mend the cause that `pipectl redrive --dry-run` shows, then run pipectl redrive".to_owned(),
                false => format!(
                    "read why in the files under {name}; mend it, have the rows read again, and delete these files"
                ),
            };
            (reasons + others, next)
        }
    };
    let more = if page.is_truncated() == Some(true) { "+" } else { "" };
    let state = format!("{files}{more} files");
    Ok(Hop::judged(files == 0, "bad files", name, state, &next).with(json!({ "files": files })))
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
