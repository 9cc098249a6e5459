//! `[alerts]`: addresses, the web hook's reference, and the time without data.

use crate::spec::code;
use crate::spec::cursor::Cursor;
use crate::spec::diagnostic::Fault;
use crate::spec::mysql::Overlap;
use crate::spec::secret::SecretReference;

/// Recipients that SES takes for one mail: <https://docs.aws.amazon.com/ses/latest/dg/quotas.html>.
const MOST_RECIPIENTS: usize = 50;
const DAY: u64 = 86_400;

pub(super) fn check(alerts: &Cursor<'_>, faults: &mut Vec<Fault>) {
    address(&alerts.key("email"), faults);
    mail(&alerts.key("mail"), faults);
    webhook(&alerts.key("webhook"), faults);
    absent_after(&alerts.key("absent_after"), faults);
}

fn address(at: &Cursor<'_>, faults: &mut Vec<Fault>) {
    if at.text().is_some_and(|address| !is_address(address)) {
        faults.push(
            at.fault(code::FORMAT, "this is not an e-mail address")
                .hint("such as `data-alarms@example.com`"),
        );
    }
}

fn mail(mail: &Cursor<'_>, faults: &mut Vec<Fault>) {
    let from = mail.key("from");
    address(&from, faults);
    let to = mail.key("to");
    let recipients = to.items().unwrap_or_default();
    for recipient in &recipients {
        address(recipient, faults);
    }
    if to.is_present() && !(1..=MOST_RECIPIENTS).contains(&recipients.len()) {
        let message = format!("a mail has 1 to {MOST_RECIPIENTS} recipients, not {}", recipients.len());
        faults.push(
            to.fault(code::RANGE, message)
                .hint("a mailing list takes the place of many"),
        );
    }
    let identity = mail.key("identity");
    if let (Some(identified), Some(from)) = (identity.text(), from.text()) {
        let domain = from.rsplit_once('@').map_or("", |(_, domain)| domain);
        // SES takes a verified domain for its subdomains too:
        // https://docs.aws.amazon.com/ses/latest/dg/creating-identities.html
        let covers = identified == from || domain == identified || domain.ends_with(&format!(".{identified}"));
        if identified.is_empty() || !covers {
            faults.push(
                identity
                    .fault(
                        code::FORMAT,
                        format!("this identity does not cover the sender `{from}`"),
                    )
                    .hint("name the sender's address or its domain as SES has verified it"),
            );
        }
    }
}

/// A text that is no reference at all is found with the other secrets, and hidden.
fn webhook(at: &Cursor<'_>, faults: &mut Vec<Fault>) {
    if let Some(Ok(SecretReference::Ssm(_) | SecretReference::Env(_))) = at.text().map(str::parse) {
        let message = "the function that posts alarms finds the address in Secrets Manager only";
        faults.push(
            at.fault(code::SECRET_REFERENCE, message)
                .hint("write `secretsmanager:NAME`"),
        );
    }
}

fn absent_after(at: &Cursor<'_>, faults: &mut Vec<Fault>) {
    let Some(text) = at.text() else { return };
    let fits = match text.parse() {
        // An alarm's period is whole minutes; beyond a day it counts whole hours.
        Ok(Overlap::Seconds(seconds)) => match seconds {
            300..=DAY => seconds.is_multiple_of(60),
            _ => (DAY..=7 * DAY).contains(&seconds) && seconds.is_multiple_of(3600),
        },
        _ => false,
    };
    if !fits {
        faults.push(
            at.fault(code::RANGE, format!("`{text}` is not a time that an alarm can wait"))
                .hint("whole minutes from `5 minutes`, beyond a day whole hours, up to `7 days`"),
        );
    }
}

fn is_address(address: &str) -> bool {
    let Some((local, domain)) = address.rsplit_once('@') else {
        return false;
    };
    let is_local = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+/=?^_`{|}~.-".contains(c);
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    address.len() <= 254
        && (1..=64).contains(&local.len())
        && local.chars().all(is_local)
        && domain.contains('.')
        && domain.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    const EXAMPLE: &str = include_str!("../../../examples/files/pipeline.toml");

    fn faults(alerts: &str) -> String {
        let text = EXAMPLE.replacen("[source]", &format!("[alerts]\n{alerts}\n\n[source]"), 1);
        match crate::spec::parse(&text, "pipeline.toml", "local") {
            Ok(_) => String::new(),
            Err(report) => report.to_string(),
        }
    }

    #[test]
    fn what_is_right_passes() {
        for right in [
            "mail = { from = \"a@example.com\", to = [\"b@example.org\"] }",
            "mail = { from = \"a@mail.example.com\", to = [\"b@example.org\"], identity = \"example.com\" }",
            "webhook = \"secretsmanager:team/hook\"",
            "absent_after = \"5 minutes\"",
            "absent_after = \"1 day\"",
            "absent_after = \"7 days\"",
        ] {
            assert_eq!(faults(right), "", "{right}");
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (wrong, told) in [
            (
                "mail = { from = \"a\", to = [\"b@example.org\"] }",
                "not an e-mail address",
            ),
            (
                "mail = { from = \"a@example.com\", to = [\"b\"] }",
                "not an e-mail address",
            ),
            ("mail = { from = \"a@example.com\", to = [] }", "1 to 50 recipients"),
            (
                "mail = { from = \"a@example.com\", to = [\"b@example.org\"], identity = \"ample.com\" }",
                "does not cover",
            ),
            ("webhook = \"env:HOOK\"", "Secrets Manager only"),
            ("absent_after = \"1 minute\"", "not a time that an alarm can wait"),
            ("absent_after = \"301 seconds\"", "not a time that an alarm can wait"),
            ("absent_after = \"8 days\"", "not a time that an alarm can wait"),
            ("absent_after = \"soon\"", "not a time that an alarm can wait"),
        ] {
            let faults = faults(wrong);
            assert!(faults.contains(told), "{wrong}: {faults}");
        }
    }

    #[test]
    fn an_address_of_a_web_hook_is_a_secret_and_not_shown() {
        let faults = faults("webhook = \"https://hooks.example.com/services/T0/B0/abcdef\"");
        assert!(faults.contains("a secret stands in the file"), "{faults}");
        assert!(!faults.contains("abcdef"), "{faults}");
    }
}
