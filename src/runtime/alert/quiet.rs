//! The quiet time between two mails.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::SdkConfig;

use super::super::parameter;
use super::super::settings::{SettingError, Settings};
use super::super::sqs::{Message, Queue};

/// When the last mail went, and how long it is quiet after one.
pub struct Quiet {
    ssm: aws_sdk_ssm::Client,
    queue: Queue,
    parameter: String,
    seconds: u64,
}

impl Quiet {
    /// As the settings say.
    pub fn new(config: &SdkConfig, settings: &Settings) -> Result<Self, SettingError> {
        Ok(Self {
            ssm: aws_sdk_ssm::Client::new(config),
            queue: Queue {
                client: aws_sdk_sqs::Client::new(config),
                url: settings.required("PIPECTL_QUEUE_URL")?.to_owned(),
            },
            parameter: settings.required("PIPECTL_LAST_MAIL")?.to_owned(),
            seconds: settings.number("PIPECTL_QUIET_SECONDS", 300)?,
        })
    }

    /// Seconds until the next mail may go, when it may not go now.
    pub async fn left(&self) -> anyhow::Result<Option<u64>> {
        let last = parameter::read(&self.ssm, &self.parameter).await?;
        Ok(left(last.as_deref(), now(), self.seconds))
    }

    /// Hides the messages until then.
    pub async fn put_off(&self, messages: &[&Message], seconds: u64) -> anyhow::Result<()> {
        let messages: Vec<_> = messages.iter().map(|message| (*message, seconds)).collect();
        self.queue.put_off(&messages).await
    }

    /// A mail was sent now.
    pub async fn begin(&self) -> anyhow::Result<()> {
        parameter::write(&self.ssm, &self.parameter, now().to_string()).await
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs()
}

/// A time that is none, or in the future, holds no mail up.
fn left(last: Option<&str>, now: u64, quiet: u64) -> Option<u64> {
    let since = now.checked_sub(last?.parse().ok()?)?;
    quiet.checked_sub(since).filter(|left| *left > 0)
}

#[cfg(test)]
mod tests {
    use super::left;

    #[test]
    fn it_is_quiet_for_so_long_after_a_mail() {
        assert_eq!(left(None, 1000, 300), None);
        assert_eq!(left(Some("1000"), 1000, 300), Some(300));
        assert_eq!(left(Some("1000"), 1299, 300), Some(1));
        assert_eq!(left(Some("1000"), 1300, 300), None);
        assert_eq!(left(Some("1000"), 9000, 300), None);
        assert_eq!(left(Some("2000"), 1000, 300), None);
        assert_eq!(left(Some("soon"), 1000, 300), None);
    }
}
