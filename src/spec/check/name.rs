//! Names of Snowflake objects and of S3 buckets.

use crate::spec::code;
use crate::spec::cursor::Cursor;
use crate::spec::diagnostic::Fault;

/// Longest name of a Snowflake object.
const LONGEST_IDENTIFIER: usize = 255;

/// Words that Snowflake's grammar keeps for itself, so that no object or column has one as its name without quotes.
const RESERVED: [&str; 66] = [
    "ALL",
    "ALTER",
    "AND",
    "ANY",
    "AS",
    "BETWEEN",
    "BY",
    "CHECK",
    "COLUMN",
    "CONNECT",
    "CREATE",
    "CURRENT",
    "DELETE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "EXISTS",
    "FOLLOWING",
    "FOR",
    "FROM",
    "GRANT",
    "GROUP",
    "HAVING",
    "ILIKE",
    "IN",
    "INCREMENT",
    "INSERT",
    "INTERSECT",
    "INTO",
    "IS",
    "LIKE",
    "MINUS",
    "NOT",
    "NULL",
    "OF",
    "ON",
    "OR",
    "ORDER",
    "QUALIFY",
    "REGEXP",
    "REVOKE",
    "RLIKE",
    "ROW",
    "ROWS",
    "SAMPLE",
    "SELECT",
    "SET",
    "SOME",
    "START",
    "TABLE",
    "TABLESAMPLE",
    "THEN",
    "TO",
    "TRIGGER",
    "UNION",
    "UNIQUE",
    "UPDATE",
    "VALUES",
    "WHENEVER",
    "WHERE",
    "WITH",
    // Not strictly reserved, but Snowflake refuses them where tables are named in a FROM clause or created.
    "CONSTRAINT",
    "CURRENT_DATE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "CURRENT_USER",
];
/// Words that a column cannot have as its name, or cannot be asked for by in an expression.
const RESERVED_COLUMNS: [&str; 8] = [
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "CASE",
    "CAST",
    "FALSE",
    "TRUE",
    "TRY_CAST",
    "WHEN",
];
/// Words that a table cannot have as its name in a FROM clause.
const RESERVED_TABLES: [&str; 9] = [
    "CROSS", "FULL", "INNER", "JOIN", "LATERAL", "LEFT", "NATURAL", "RIGHT", "USING",
];
/// Words that cannot follow `SHOW … IN`, which is how pipectl looks into a database or schema.
const RESERVED_CONTAINERS: [&str; 8] = [
    "ACCOUNT",
    "CONNECTION",
    "DATABASE",
    "GSCLUSTER",
    "ISSUE",
    "ORGANIZATION",
    "SCHEMA",
    "VIEW",
];
/// Columns that pipectl adds to what arrives.
const TECHNICAL_COLUMNS: [&str; 5] = ["_FILE", "_FILE_ROW", "_FILE_MODIFIED", "_LOADED_AT", "_ITEM"];

/// Checks the name of a Snowflake object; `what` is what it names.
pub(super) fn identifier(at: &Cursor<'_>, what: &str, faults: &mut Vec<Fault>) {
    let Some(name) = at.text() else { return };
    let starts = |c: char| c.is_ascii_alphabetic() || c == '_';
    let continues = |c: char| starts(c) || c.is_ascii_digit() || c == '$';
    let bad = name
        .char_indices()
        .find(|(place, c)| if *place == 0 { !starts(*c) } else { !continues(*c) });
    if let Some((place, c)) = bad {
        let position = if place == 0 { "start with" } else { "contain" };
        let message = format!("the name of a {what} cannot {position} `{}`", c.escape_debug());
        faults.push(
            at.fault(code::NAME, message)
                .within(place..place + c.len_utf8())
                .hint(NAME_HINT),
        );
    } else if name.is_empty() {
        faults.push(
            at.fault(code::NAME, format!("the name of a {what} is empty"))
                .hint(NAME_HINT),
        );
    } else if name.len() > LONGEST_IDENTIFIER {
        let message = format!(
            "the name of a {what} has at most {LONGEST_IDENTIFIER} characters, this has {}",
            name.len()
        );
        faults.push(at.fault(code::NAME, message).hint("shorten it"));
    }
    let upper = name.to_ascii_uppercase();
    let specific: &[&str] = match what {
        "column" => &RESERVED_COLUMNS,
        "table" => &RESERVED_TABLES,
        "database" | "schema" => &RESERVED_CONTAINERS,
        _ => &[],
    };
    if RESERVED.contains(&upper.as_str()) || specific.contains(&upper.as_str()) {
        let message = format!("`{name}` is a word of SQL and cannot name a {what}");
        faults.push(at.fault(code::RESERVED, message).hint(format!("such as `{name}_`")));
    }
    if what == "column" && TECHNICAL_COLUMNS.contains(&upper.as_str()) {
        let message = format!("`{name}` is a column that pipectl adds itself");
        faults.push(at.fault(code::RESERVED, message).hint("choose another name"));
    }
}

const NAME_HINT: &str =
    "letters, digits, `_` and `$`, not starting with a digit or `$`, so that no query has to quote it";

/// Why S3 would refuse a bucket of this name.
pub(super) fn bucket_fault(name: &str) -> Option<String> {
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_inner = |c: char| is_end(c) || c == '-' || c == '.';
    let quads: Vec<&str> = name.split('.').collect();
    if !(3..=63).contains(&name.len()) {
        Some(format!("it has {} characters", name.len()))
    } else if let Some(c) = name.chars().find(|c| !is_inner(*c)) {
        Some(format!("it contains `{}`", c.escape_debug()))
    } else if !name.starts_with(is_end) || !name.ends_with(is_end) {
        Some("it starts or ends with a hyphen or dot".to_owned())
    } else if name.contains("..") {
        Some("it has two dots in a row".to_owned())
    } else if quads.len() == 4 && quads.iter().all(|quad| quad.bytes().all(|b| b.is_ascii_digit())) {
        Some("it looks like an IP address".to_owned())
    } else {
        kept_by_aws(name)
    }
}

fn kept_by_aws(name: &str) -> Option<String> {
    let prefix = ["xn--", "sthree-", "amzn-s3-demo-"]
        .into_iter()
        .find(|prefix| name.starts_with(prefix));
    let suffixes = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];
    let kept = prefix.or_else(|| suffixes.into_iter().find(|suffix| name.ends_with(suffix)))?;
    Some(format!("AWS keeps `{kept}` for itself"))
}
