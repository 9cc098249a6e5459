//! `[aws]`: account, region, retention.

use crate::spec::code;
use crate::spec::cursor::Cursor;
use crate::spec::diagnostic::Fault;
use crate::spec::suggest;

/// Days that CloudWatch Logs can keep events for.
const RETENTION_DAYS: [i64; 22] = [
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
];

/// Regions for "did you mean"; one that is not here is accepted when it is shaped like one.
const REGIONS: [&str; 18] = [
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "ca-central-1",
    "sa-east-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-south-1",
];

pub(super) fn check(aws: &Cursor<'_>, faults: &mut Vec<Fault>) {
    let account = aws.key("account");
    if let Some(text) = account.text()
        && !(text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()))
    {
        let message = "an AWS account is 12 digits";
        faults.push(
            account
                .fault(code::FORMAT, message)
                .hint("such as `111122223333`, without hyphens"),
        );
    }
    let region = aws.key("region");
    if let Some(text) = region.text()
        && !is_region(text)
    {
        let hint = match suggest::nearest(text, REGIONS) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "such as `eu-west-1`".to_owned(),
        };
        faults.push(region.fault(code::FORMAT, "this is not an AWS region").hint(hint));
    }
    retention(&aws.key("log_retention_days"), faults);
}

fn retention(at: &Cursor<'_>, faults: &mut Vec<Fault>) {
    let Some(days) = at.integer().filter(|days| !RETENTION_DAYS.contains(days)) else {
        return;
    };
    let near = RETENTION_DAYS
        .iter()
        .min_by_key(|known| days.abs_diff(**known))
        .copied()
        .unwrap_or(30);
    let known = RETENTION_DAYS.map(|days| days.to_string()).join(", ");
    let message = format!("CloudWatch cannot keep logs for {days} days");
    faults.push(
        at.fault(code::RANGE, message)
            .hint(format!("nearest is {near}; it can for {known}")),
    );
}

/// `eu-west-1`, `us-gov-east-1`: words, then a number.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [country, middle @ .., number] = parts.as_slice() else {
        return false;
    };
    let is_word = |word: &str| word.len() >= 2 && word.bytes().all(|b| b.is_ascii_lowercase());
    country.len() == 2
        && is_word(country)
        && (1..=2).contains(&middle.len())
        && middle.iter().all(|word| is_word(word))
        && number.len() == 1
        && number.bytes().all(|b| b.is_ascii_digit())
}

pub(super) fn require(aws: &Cursor<'_>, env: &str, faults: &mut Vec<Fault>) {
    for (key, example) in [("account", "111122223333"), ("region", "eu-west-1")] {
        let at = aws.key(key);
        if !at.is_present() {
            let message = format!("environment `{env}` needs `aws.{key}`");
            let hint = format!("add `{key} = \"{example}\"` to `[aws]` or `[env.{env}.aws]`; only `local` needs none");
            faults.push(at.fault(code::REQUIRED, message).hint(hint));
        }
    }
}
