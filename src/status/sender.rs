//! Whether SES sends for the sender of alarms.

use aws_sdk_sesv2::error::ProvideErrorMetadata;

use super::Hop;
use crate::aws::Aws;
use crate::aws::failure::explain;
use crate::model::Mail;

const KIND: &str = "mail sender";

/// The sender's identity: verified, or what must be done for it.
pub async fn hop(aws: &Aws, mail: &Mail) -> anyhow::Result<Hop> {
    let name = &mail.identity;
    let answer = match aws.ses.get_email_identity().email_identity(name).send().await {
        Ok(answer) => answer,
        Err(error) if error.code() == Some("NotFoundException") => {
            let next = match mail.own_identity {
                true => "run pipectl deploy",
                false => "correct alerts.mail.identity, or leave it out so that pipectl makes it",
            };
            return Ok(Hop::ill(KIND, name, "missing", next));
        }
        Err(error) => return Err(explain(&format!("ses:GetEmailIdentity of {name}"), error)),
    };
    let (state, next) = judged(mail, answer.verified_for_sending_status());
    Ok(Hop::judged(next.is_empty(), KIND, name, state, &next))
}

/// State, and what to do next; nothing when SES sends for it.
fn judged(mail: &Mail, is_verified: bool) -> (&'static str, String) {
    let identity = &mail.identity;
    let next = match (is_verified, identity.contains('@')) {
        (true, _) => return ("verified", String::new()),
        (false, true) => format!("follow the link that AWS mailed to {identity}; until then no alarm is mailed"),
        (false, false) => {
            format!("add the DNS records that the SES console shows for {identity}; until then no alarm is mailed")
        }
    };
    ("not verified", next)
}

/// What to tell after a deploy, while nothing can be mailed.
pub async fn reminder(aws: &Aws, mail: &Mail) -> anyhow::Result<Option<String>> {
    let hop = hop(aws, mail).await?;
    Ok((!hop.healthy).then(|| format!("alarms: the sender {} is {}: {}", hop.name, hop.state, hop.next)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_verified_has_a_next_step() {
        let mail = |identity: &str| Mail {
            from: "alarms@example.com".into(),
            to: vec!["ops@example.com".into()],
            identity: identity.into(),
            own_identity: identity.contains('@'),
        };
        assert_eq!(judged(&mail("example.com"), true), ("verified", String::new()));
        let (state, next) = judged(&mail("alarms@example.com"), false);
        assert_eq!(state, "not verified");
        assert!(
            next.contains("the link that AWS mailed to alarms@example.com"),
            "{next}"
        );
        let (_, next) = judged(&mail("example.com"), false);
        assert!(next.contains("DNS records"), "{next}");
    }
}
