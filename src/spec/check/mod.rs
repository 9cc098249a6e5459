//! What the types cannot say: names, limits, and what must fit together. Every check runs, whatever others found.
//!
//! The checks walk the tree, not the types, so that they also run on a file that cannot be read into types.

mod alerts;
mod aws;
mod cdc;
mod mysql;
mod name;
mod snowflake;
mod source;
mod star;
mod table;

use super::code;
use super::cursor::Cursor;
use super::diagnostic::Fault;
use super::environment::LOCAL;
use super::node::Node;
use super::sqltype::SqlType;

/// Longest name of a pipeline: with environment, account and region it still fits into 63 characters of a bucket.
const LONGEST_NAME: usize = 30;
/// Tags that AWS allows on a resource are 50; pipectl keeps five for its own.
const MOST_TAGS: usize = 45;

/// What a file must name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demands {
    /// Everything that the environment needs.
    All,
    /// Nothing; what is there must look right.
    Shape,
}

/// Runs every check on the document of one environment.
pub(crate) fn run(tree: &Node, env: &str, demands: Demands, faults: &mut Vec<Fault>) {
    let root = Cursor::root(tree);
    version(&root, faults);
    pipeline(&root.key("pipeline"), faults);
    aws::check(&root.key("aws"), faults);
    snowflake::check(&root.key("snowflake"), faults);
    source::check(&root.key("source"), faults);
    alerts::check(&root.key("alerts"), faults);
    table::check(&root, faults);
    cdc::check(&root, faults);
    star::check(&root, faults);
    if demands == Demands::All && env != LOCAL {
        aws::require(&root.key("aws"), env, faults);
        snowflake::require(&root.key("snowflake"), env, faults);
        mysql::require(&root.key("source"), env, faults);
    }
}

/// The data type that a text names; a text that names none becomes a fault at the part that is to blame.
fn sql_type(at: &Cursor<'_>, faults: &mut Vec<Fault>) -> Option<SqlType> {
    let error = match at.text()?.parse::<SqlType>() {
        Ok(parsed) => return Some(parsed),
        Err(error) => error,
    };
    let fault = at.fault(code::SQL_TYPE, error.message).hint(error.hint);
    faults.push(if error.at.is_empty() {
        fault
    } else {
        fault.within(error.at)
    });
    None
}

fn version(root: &Cursor<'_>, faults: &mut Vec<Fault>) {
    let at = root.key("version");
    if at.integer().is_some_and(|version| version != 1) {
        faults.push(
            at.fault(code::RANGE, "this version of the format is not known")
                .hint("write `version = 1`"),
        );
    }
}

fn pipeline(pipeline: &Cursor<'_>, faults: &mut Vec<Fault>) {
    let at = pipeline.key("name");
    if let Some(name) = at.text()
        && let Some(message) = pipeline_name_fault(name)
    {
        let hint = format!(
            "lower-case letters, digits and single hyphens, starting with a letter, at most {LONGEST_NAME} characters"
        );
        faults.push(at.fault(code::NAME, message).hint(hint));
    }
    tags(&pipeline.key("tags"), faults);
}

fn pipeline_name_fault(name: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if let Some(c) = name.chars().find(|c| !allowed(*c)) {
        Some(format!("a pipeline's name cannot contain `{c}`"))
    } else if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        Some("a pipeline's name starts with a letter".to_owned())
    } else if name.contains("--") || name.ends_with('-') {
        Some("a hyphen in a pipeline's name stands between letters or digits".to_owned())
    } else if name.len() > LONGEST_NAME {
        Some(format!(
            "this name has {} characters; names in AWS made from it would be too long",
            name.len()
        ))
    } else {
        None
    }
}

fn tags(tags: &Cursor<'_>, faults: &mut Vec<Fault>) {
    let entries = tags.entries();
    if entries.len() > MOST_TAGS {
        faults.push(
            tags.fault(code::TAG, format!("{} tags are too many", entries.len()))
                .hint(format!("at most {MOST_TAGS}; AWS allows 50 and pipectl adds its own")),
        );
    }
    let allowed = |c: char| c.is_alphanumeric() || c == ' ' || "+-=._:/@".contains(c);
    for (key, value) in entries {
        if key.is_empty() || key.chars().count() > 128 {
            faults.push(
                value
                    .fault(code::TAG, "the key of a tag has 1 to 128 characters")
                    .on_key()
                    .hint("shorten it"),
            );
        }
        if ["aws:", "pipectl:"]
            .iter()
            .any(|prefix| key.to_lowercase().starts_with(prefix))
        {
            let message = format!("`{key}` has a prefix that is not yours to use");
            faults.push(
                value
                    .fault(code::TAG, message)
                    .on_key()
                    .hint("`aws:` is kept by AWS, `pipectl:` by pipectl"),
            );
        }
        let text = value.text().unwrap_or_default();
        if text.chars().count() > 256 {
            faults.push(
                value
                    .fault(code::TAG, "the value of a tag has at most 256 characters")
                    .hint("shorten it"),
            );
        }
        if let Some(c) = key.chars().chain(text.chars()).find(|c| !allowed(*c)) {
            let message = format!("`{}` cannot stand in a tag", c.escape_debug());
            faults.push(
                value
                    .fault(code::TAG, message)
                    .hint("letters, digits, spaces and `+ - = . _ : / @`"),
            );
        }
    }
}
