//! The database whose binary log is read: its settings, the rights of the user, the tables and their keys.
//!
//! Only the function `extract` reaches it, with the address, the network and the user that the reader has too.

use serde_json::{Value, json};

use super::{Check, State};
use crate::aws::Aws;
use crate::aws::function::{Absent, Function};
use crate::graph::mysql::{extract, reader};
use crate::model::{Model, Source};
use crate::report::progress;
use crate::runtime::binlog::audit::{Finding, Verdict};

const SIDE: &str = "database";

/// What the function finds out; nothing where no binary log is read by pipectl.
pub async fn checks(aws: &Aws, model: &Model) -> Vec<Check> {
    let Source::Mysql(source) = &model.source else {
        return Vec::new();
    };
    if source.database.is_none() || source.reader().is_none_or(|reader| !reader.is_own()) {
        return Vec::new();
    }
    let event = json!({ "do": "audit", "tables": reader::tables(model, source) });
    let function = Function::new(aws, extract::function(model));
    match function.invoke(&event, &progress::say).await {
        Ok(answer) => read(answer),
        Err(error) if error.is::<Absent>() => {
            let why = "the function `extract` reaches it, and is not deployed yet\n  \
                       hint: run pipectl doctor again after the deploy";
            vec![Check::not_checked(SIDE, "binary log", why)]
        }
        Err(error) => vec![Check::missing(SIDE, "binary log", &format!("{error:#}"))],
    }
}

fn read(mut answer: Value) -> Vec<Check> {
    match serde_json::from_value::<Vec<Finding>>(answer["findings"].take()) {
        Ok(findings) => findings.into_iter().map(check).collect(),
        Err(_) => {
            let why = "the deployed function is of another version than this program\n  hint: run pipectl deploy";
            vec![Check::not_checked(SIDE, "binary log", why)]
        }
    }
}

fn check(finding: Finding) -> Check {
    let found = Check::ok(SIDE, finding.what, finding.found);
    Check {
        state: match finding.verdict {
            Verdict::Ok => State::Ok,
            Verdict::Risk => State::Risk,
            Verdict::Wrong => State::Missing,
        },
        next: finding.next,
        ..found
    }
}
