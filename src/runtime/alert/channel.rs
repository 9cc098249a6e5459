//! The ways to people: mail and web hook.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use aws_config::SdkConfig;
use aws_sdk_sesv2::error::DisplayErrorContext;
use aws_sdk_sesv2::types::{Body, Content, Destination, EmailContent, Message};

use super::super::log::Line;
use super::super::settings::Settings;
use super::letter::Letter;

/// How long a web hook may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Every way that the settings name.
pub struct Channels {
    mail: Option<Mail>,
    hook: Option<Hook>,
}

struct Mail {
    client: aws_sdk_sesv2::Client,
    from: String,
    to: Vec<String>,
}

struct Hook {
    secrets: aws_sdk_secretsmanager::Client,
    secret: String,
    http: reqwest::Client,
}

impl Channels {
    /// As the settings say; there is at least one.
    pub fn new(config: &SdkConfig, settings: &Settings) -> anyhow::Result<Self> {
        let mail = match settings.optional("PIPECTL_MAIL_FROM") {
            None => None,
            Some(from) => Some(Mail {
                client: aws_sdk_sesv2::Client::new(config),
                from: from.to_owned(),
                to: settings
                    .required("PIPECTL_MAIL_TO")?
                    .split(',')
                    .map(str::to_owned)
                    .collect(),
            }),
        };
        let hook = match settings.optional("PIPECTL_WEBHOOK_SECRET") {
            None => None,
            Some(secret) => Some(Hook {
                secrets: aws_sdk_secretsmanager::Client::new(config),
                secret: secret.to_owned(),
                http: http()?,
            }),
        };
        ensure!(
            mail.is_some() || hook.is_some(),
            "neither PIPECTL_MAIL_FROM nor PIPECTL_WEBHOOK_SECRET is set, so there is nobody to tell"
        );
        Ok(Self { mail, hook })
    }

    /// Sends on every way. One that works is enough: what was told once is not told again for the sake of the other,
    /// whose failure is an error line in the log. An alarm for it would go the same way, and never end.
    pub async fn send(&self, letter: &Letter) -> anyhow::Result<()> {
        let mut failures = Vec::new();
        let mut sent = false;
        if let Some(mail) = &self.mail {
            match mail.send(letter).await {
                Ok(()) => sent = true,
                Err(error) => failures.push(error),
            }
        }
        if let Some(hook) = &self.hook {
            match hook.post(letter).await {
                Ok(()) => sent = true,
                Err(error) => failures.push(error),
            }
        }
        let all: Vec<String> = failures.iter().map(|error| format!("{error:#}")).collect();
        match (sent, all.is_empty()) {
            (_, true) => Ok(()),
            (true, false) => {
                Line::error("channel").detail(all.join("; ")).write();
                Ok(())
            }
            (false, false) => bail!("nobody could be told: {}", all.join("; ")),
        }
    }
}

impl Mail {
    async fn send(&self, letter: &Letter) -> anyhow::Result<()> {
        let utf8 = |text: &str| Content::builder().data(text).charset("UTF-8").build();
        let body = Body::builder()
            .text(utf8(&letter.text)?)
            .html(utf8(&letter.html)?)
            .build();
        let message = Message::builder().subject(utf8(&letter.subject)?).body(body).build();
        self.client
            .send_email()
            .from_email_address(&self.from)
            .destination(Destination::builder().set_to_addresses(Some(self.to.clone())).build())
            .content(EmailContent::builder().simple(message).build())
            .send()
            .await
            .map_err(|error| {
                anyhow!(
                    "ses:SendEmail from {}: {}; check that the sender is verified (pipectl status), and the recipients too while the account is in the sandbox of SES",
                    self.from,
                    DisplayErrorContext(&error)
                )
            })?;
        Ok(())
    }
}

impl Hook {
    /// Posts to the address that the secret holds. No error repeats it: whoever knows it may post there.
    async fn post(&self, letter: &Letter) -> anyhow::Result<()> {
        let answer = self.secrets.get_secret_value().secret_id(&self.secret).send().await;
        let answer =
            answer.map_err(|error| anyhow!("reading the secret {}: {}", self.secret, DisplayErrorContext(&error)))?;
        let address = answer.secret_string().unwrap_or_default().trim();
        let url = reqwest::Url::parse(address).ok().filter(is_private);
        let url =
            url.with_context(|| format!("the secret {} is not an address that starts with https://", self.secret))?;
        let answer = self.http.post(url).json(&letter.json).send().await;
        let answer = answer.map_err(|error| anyhow!("the web hook: {}", error.without_url()))?;
        let status = answer.status();
        ensure!(status.is_success(), "the web hook answered {status}");
        Ok(())
    }
}

/// Whether nobody on the way can read what is posted.
fn is_private(url: &reqwest::Url) -> bool {
    let is_loopback = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback)
}

fn http() -> anyhow::Result<reqwest::Client> {
    // One is enough; a second is refused.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .context("the HTTP client of the web hook")
}

#[cfg(test)]
mod tests {
    use super::is_private;

    #[test]
    fn addresses_are_https_or_this_machine() {
        let private = |text: &str| is_private(&reqwest::Url::parse(text).unwrap());
        assert!(private("https://hooks.example.com/x"));
        assert!(private("http://127.0.0.1:8080/x"));
        assert!(private("http://[::1]:8080/x"));
        assert!(!private("http://hooks.example.com/x"));
        assert!(!private("http://127.0.0.1.example.com/x"));
        assert!(!private("ftp://127.0.0.1/x"));
    }
}
