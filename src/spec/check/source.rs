//! `[source]`: one function per kind of source.

use crate::spec::code;
use crate::spec::cursor::Cursor;
use crate::spec::diagnostic::Fault;

use super::{mysql, name};

const MOST_ATTEMPTS: i64 = 1000;

pub(super) fn check(source: &Cursor<'_>, faults: &mut Vec<Fault>) {
    match source.key("type").text() {
        Some("files") => files(source, faults),
        Some("mysql") => mysql::check(source, faults),
        _ => {}
    }
}

fn files(source: &Cursor<'_>, faults: &mut Vec<Fault>) {
    let attempts = source.key("max_attempts");
    if attempts
        .integer()
        .is_some_and(|number| !(1..=MOST_ATTEMPTS).contains(&number))
    {
        faults.push(
            attempts
                .fault(code::RANGE, "this number of attempts is out of its limits")
                .hint(format!("1 to {MOST_ATTEMPTS}")),
        );
    }
    let bucket = source.key("bucket");
    let adopt = source.key("adopt");
    if adopt.boolean() == Some(true) && !bucket.is_present() {
        let message = "there is no bucket to adopt: without `bucket` the name is one that pipectl makes";
        faults.push(
            adopt
                .fault(code::ADOPT, message)
                .hint("add `bucket = \"…\"` with the name of the bucket that exists, or remove `adopt`"),
        );
    }
    if let Some(reason) = bucket.text().and_then(name::bucket_fault) {
        faults.push(
            bucket
                .fault(code::NAME, format!("this cannot name a bucket: {reason}"))
                .hint(
                    "3 to 63 lower-case letters, digits, hyphens and dots, starting and ending with a letter or digit",
                ),
        );
    }
}
