//! `[snowflake]`: account, names, schedule.

use crate::spec::code;
use crate::spec::cursor::Cursor;
use crate::spec::diagnostic::Fault;
use crate::spec::schedule::Schedule;

use super::name;

pub(super) fn check(snowflake: &Cursor<'_>, faults: &mut Vec<Fault>) {
    let account = snowflake.key("account");
    if account.text().is_some_and(|text| !is_account(text)) {
        faults.push(
            account
                .fault(code::FORMAT, "this is not a Snowflake account identifier")
                .hint("such as `MYORG-MYACCOUNT`: what stands before `.snowflakecomputing.com`"),
        );
    }
    for key in ["connection", "user"] {
        let at = snowflake.key(key);
        if at.text().is_some_and(|text| text.trim().is_empty()) {
            faults.push(
                at.fault(code::FORMAT, format!("`{key}` is empty"))
                    .hint("name it, or leave the key out"),
            );
        }
    }
    for key in ["role", "database", "schema", "warehouse"] {
        name::identifier(&snowflake.key(key), key, faults);
    }
    let adopt = snowflake.key("adopt");
    if adopt.boolean() == Some(true) && !snowflake.key("database").is_present() {
        let message = "there is no database to adopt: without `database` the name is one that pipectl makes";
        faults.push(
            adopt
                .fault(code::ADOPT, message)
                .hint("add `database = \"…\"` with the name of the database that exists, or remove `adopt`"),
        );
    }
    let stage = snowflake.key("stage");
    name::identifier(&stage.key("name"), "stage", faults);
    name::identifier(&stage.key("schema"), "schema", faults);
    let schedule = snowflake.key("schedule");
    if let Some(Err(error)) = schedule.text().map(str::parse::<Schedule>) {
        faults.push(schedule.fault(code::SCHEDULE, error.message).hint(error.hint));
    }
}

/// `ORGANISATION-ACCOUNT`, or a locator with its region: `xy12345.eu-west-1`.
fn is_account(text: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    !text.to_lowercase().contains("snowflakecomputing")
        && text.len() <= 255
        && text.split('.').count() <= 3
        && text.split('.').all(is_part)
}

pub(super) fn require(snowflake: &Cursor<'_>, env: &str, faults: &mut Vec<Fault>) {
    if snowflake.key("account").is_present() || snowflake.key("connection").is_present() {
        return;
    }
    let message = format!("environment `{env}` needs `snowflake.account` or `snowflake.connection`");
    let hint = format!(
        "add `account = \"MYORG-MYACCOUNT\"` to `[snowflake]` or `[env.{env}.snowflake]`; only `local` needs none"
    );
    faults.push(snowflake.key("account").fault(code::REQUIRED, message).hint(hint));
}
