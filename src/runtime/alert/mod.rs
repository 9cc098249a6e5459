//! The handler `alert`: what the alert topic says, to people: by mail (SES) and to a web hook.
//!
//! Alert topic → SQS → here. One batch becomes one mail, with what came about the same thing told once. Between two mails
//! there is a quiet time: what comes meanwhile goes back to the queue until it is over, so nothing is dropped and nobody
//! gets a mail a second. When the last mail went is all that is kept, in one parameter; should two invocations read it
//! at once, there are two mails.
//!
//! The rights it needs: `sqs:ChangeMessageVisibility` on its queue, besides those of the event source;
//! `logs:FilterLogEvents` on the log groups of the pipeline's parts; `ssm:GetParameter` and `ssm:PutParameter` on the
//! parameter; `ses:SendEmail` on the sender's identity; `secretsmanager:GetSecretValue` on the web hook's secret.

mod channel;
mod letter;
pub(crate) mod logs;
mod notice;
mod quiet;

use std::sync::Arc;

use anyhow::{Context as _, bail};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::time::timeout_at;

use super::deadline::Deadline;
use super::log::Line;
use super::settings::Settings;
use super::sqs::{Answer, Batch, Message};
use super::{Handler, aws};
use channel::Channels;
use letter::{About, Letter};
use logs::Logs;
use notice::Notice;
use quiet::Quiet;

/// The handler.
struct Alert {
    about: About,
    logs: Logs,
    quiet: Quiet,
    channels: Channels,
}

/// Makes the handler.
pub fn start(settings: Settings) -> BoxFuture<'static, anyhow::Result<Arc<dyn Handler>>> {
    async move {
        let config = aws::load().await;
        let about = About {
            pipeline: settings.required("PIPECTL_PIPELINE")?.to_owned(),
            environment: settings.required("PIPECTL_ENVIRONMENT")?.to_owned(),
        };
        let handler = Alert {
            logs: Logs::new(&config, &settings)?,
            quiet: Quiet::new(&config, &settings)?,
            channels: Channels::new(&config, &settings)?,
            about,
        };
        Ok(Arc::new(handler) as Arc<dyn Handler>)
    }
    .boxed()
}

impl Handler for Alert {
    fn handle(self: Arc<Self>, event: Value, deadline: Deadline) -> BoxFuture<'static, anyhow::Result<Value>> {
        async move {
            let batch: Batch = serde_json::from_value(event).context("the event is not a batch of SQS messages")?;
            let answer = timeout_at(deadline.end, self.tell(&batch.messages))
                .await
                .unwrap_or_else(|_| bail!("AWS or the web hook did not answer before the function's time limit"))?;
            Ok(serde_json::to_value(answer)?)
        }
        .boxed()
    }
}

impl Alert {
    /// Tells of the messages, or says that they must come again later.
    async fn tell(&self, messages: &[Message]) -> anyhow::Result<Answer> {
        let prefix = format!("{}-{}-", self.about.pipeline, self.about.environment);
        let read = |message: &Message| notice::read(&message.body, &prefix);
        let (telling, notices): (Vec<&Message>, Vec<Notice>) = messages
            .iter()
            .filter_map(|message| read(message).map(|notice| (message, notice)))
            .unzip();
        if notices.is_empty() {
            return Ok(Answer::default());
        }
        if let Some(left) = self.quiet.left().await? {
            self.quiet.put_off(&telling, left).await?;
            return Ok(telling.into_iter().map(|message| message.message_id.clone()).collect());
        }
        let notices = notice::grouped(notices);
        let letter = Letter::write(&self.about, &self.with_lines(notices).await);
        self.channels.send(&letter).await?;
        if let Err(error) = self.quiet.begin().await {
            // The mail is sent; to fail now would send it again.
            Line::error("last mail").detail(format!("{error:#}")).write();
        }
        Line::info("told").detail(letter.subject).write();
        Ok(Answer::default())
    }

    /// The notices with the last error lines of their parts. A log that cannot be read holds no mail up.
    async fn with_lines(&self, notices: Vec<Notice>) -> Vec<Notice> {
        let mut all = Vec::new();
        for mut notice in notices {
            // What went on and off between two mails is told now, so its reasons are too.
            let is_news = notice.is_bad() || notice.times > 1;
            if let (true, Some(group)) = (is_news, self.logs.group(&notice.hop)) {
                let lines = self.logs.last_errors(group).await;
                notice.lines.extend(lines.unwrap_or_else(|error| {
                    Line::warn("log").key(group).detail(format!("{error:#}")).write();
                    vec![format!("(the log {group} could not be read: {error:#})")]
                }));
            }
            all.push(notice);
        }
        all
    }
}
