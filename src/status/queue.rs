//! Queues, and what was given up.

use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::json;

use super::metrics::{Answers, Asked, Questions};
use super::{DEPLOY, Hop, span};
use crate::aws::Aws;
use crate::aws::failure::explain;
use crate::graph::alarm::Metric;

/// A queue, and what is asked about it.
pub struct Queue {
    name: String,
    dead_letters: bool,
    age: Asked,
}

/// The queue called `name` and that of its dead letters.
pub fn pair(name: &str, questions: &mut Questions) -> [Queue; 2] {
    let mut queue = |name: String, dead_letters| Queue {
        age: questions.ask(Metric::queue_age(json!(name))),
        name,
        dead_letters,
    };
    [
        queue(name.to_owned(), false),
        queue(format!("{name}-dead-letters"), true),
    ]
}

/// The URL of a queue; nothing where there is none.
pub async fn url(aws: &Aws, name: &str) -> anyhow::Result<Option<String>> {
    match aws.sqs.get_queue_url().queue_name(name).send().await {
        Ok(answer) => Ok(answer.queue_url),
        Err(error)
            if error
                .code()
                .is_some_and(|code| code.contains("NonExistentQueue") || code.contains("QueueDoesNotExist")) =>
        {
            Ok(None)
        }
        Err(error) => Err(explain(&format!("sqs:GetQueueUrl of {name}"), error)),
    }
}

/// How many messages wait, and how many somebody works at.
pub async fn depth(aws: &Aws, name: &str, url: &str) -> anyhow::Result<[u64; 2]> {
    let asked = [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
    ];
    let request = aws.sqs.get_queue_attributes().queue_url(url);
    let answer = request.set_attribute_names(Some(asked.to_vec())).send().await;
    let answer = answer.map_err(|error| explain(&format!("sqs:GetQueueAttributes of {name}"), error))?;
    Ok(asked.map(|attribute| {
        let value = answer.attributes().and_then(|attributes| attributes.get(&attribute));
        value.and_then(|value| value.parse::<u64>().ok()).unwrap_or(0)
    }))
}

impl Queue {
    /// Its state.
    pub async fn hop(&self, aws: &Aws, answers: &Answers) -> anyhow::Result<Hop> {
        let kind = if self.dead_letters { "dead letters" } else { "queue" };
        let Some(url) = url(aws, &self.name).await? else {
            return Ok(Hop::ill(kind, &self.name, "missing", DEPLOY));
        };
        let [waiting, working] = depth(aws, &self.name, &url).await?;
        let held = waiting + working;
        let age = answers.latest(self.age).filter(|_| held > 0).map(|age| age as i64);
        let oldest = age
            .map(|age| format!(", the oldest for {}", span(age)))
            .unwrap_or_default();
        let state = format!("{waiting} waiting, {working} in work{oldest}");
        let well = !self.dead_letters || held == 0;
        let next = "mend the cause that `pipectl redrive --dry-run` shows, then run pipectl redrive";
        Ok(Hop::judged(well, kind, &self.name, state, next)
            .with(json!({ "waiting": waiting, "in_work": working, "oldest_seconds": age })))
    }
}
