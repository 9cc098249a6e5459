//! Rendering of SQL from the templates in `snowflake/`.
//!
//! A plain string in a template becomes a string literal, whatever it holds; only what this program made as SQL
//! ([`raw`]) is inserted as it stands. So user text cannot reach SQL unescaped.

use std::collections::BTreeMap;

use anyhow::Context;
use memchr::memmem::{self, Finder};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Output, State, Value};

use super::ident::{Ident, literal};

macro_rules! templates {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../snowflake/", $name, ".sql")))),*]
    };
}

const TEMPLATES: &[(&str, &str)] = templates![
    "role",
    "user",
    "warehouse",
    "storage_integration",
    "notification_integration",
    "database",
    "schema",
    "file_format",
    "stage",
    "table",
    "pipe",
    "procedure_apply",
    "procedure_counts",
    "stream",
    "task_root",
    "task_branch",
    "task_load",
    "task_loads",
    "task_report",
    "rows",
    "reject",
    "merge",
    "cdc_images",
    "cdc_truncations",
    "cdc_truncated",
    "cdc_gone",
    "cdc_flagged",
    "cdc_forget",
    "cdc_merge",
    "cdc_floor",
    "cdc_history",
    "star_stage_truncated",
    "star_stage",
    "star_touched",
    "star_rows",
    "star_unknown",
    "star_dimension",
    "star_infer",
    "star_history",
    "star_history_infer",
    "star_members",
    "star_versions",
    "star_calendar",
    "star_fact",
    "star_fact_gone",
    "star_fact_deleted",
    "star_repoint",
    "star_table",
    "task_step",
    "task_transform",
    "task_watch",
    "adopt",
];

/// Marks text as SQL that this program made.
pub fn raw(sql: impl ToString) -> Value {
    Value::from_safe_string(sql.to_string())
}

/// All templates, ready to fill. Made once and passed along.
pub struct Templates {
    environment: Environment<'static>,
    gap: String,
    gaps: Finder<'static>,
}

impl Templates {
    /// Parses the templates.
    pub fn new() -> anyhow::Result<Self> {
        let mut environment = Environment::new();
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
        environment.set_formatter(format_value);
        environment.add_filter("indent", |text: Value, width: usize| {
            let line = format!("\n{:width$}", "");
            match text.as_str() {
                Some(text) => raw(text.replace('\n', &line)),
                None => raw(text.to_string().replace('\n', &line)),
            }
        });
        for (name, text) in TEMPLATES {
            environment.add_template(name, text)?;
        }
        let gap = format!("\u{1}{:032x}", fastrand::u128(..));
        let gaps = Finder::new(&gap).into_owned();
        Ok(Templates { environment, gap, gaps })
    }

    /// Text to put where something is put in later. It is another one in every run, so no text of the user has it.
    pub fn gap(&self) -> &str {
        &self.gap
    }

    /// A text with `value` in the place of every gap.
    pub fn without_gaps(&self, text: &str, value: &str) -> String {
        let mut whole = String::with_capacity((text.len() + value.len()).saturating_sub(self.gap.len()));
        self.parts(text, value, |part| whole.push_str(part));
        whole
    }

    /// Gives the parts of such a text to `take`, one after the other.
    pub fn parts(&self, text: &str, value: &str, mut take: impl FnMut(&str)) {
        let mut from = 0;
        for at in self.gaps.find_iter(text.as_bytes()) {
            take(&text[from..at]);
            take(value);
            from = at + self.gap.len();
        }
        take(&text[from..]);
    }

    /// Whether a text has a gap.
    pub fn has_gap(&self, text: &str) -> bool {
        self.gaps.find(text.as_bytes()).is_some()
    }

    /// Fills a template and gives its whole text.
    pub fn text(&self, name: &str, values: impl Into<Value>) -> anyhow::Result<String> {
        let template = self
            .environment
            .get_template(name)
            .with_context(|| format!("no SQL template `{name}`"))?;
        let text = template
            .render(values)
            .with_context(|| format!("filling the SQL template `{name}`"))?;
        Ok(text.trim_end().to_owned())
    }

    /// Fills a template and gives its statements by section (`-- create`, `-- alter`, …). Statements of a section are
    /// parted by empty lines.
    pub fn sections(&self, name: &str, values: impl Into<Value>) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
        let text = self.text(name, values)?;
        let mut sections: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut current = String::new();
        for paragraph in paragraphs(&text).map(|part| part.trim_matches('\n')) {
            let (header, statement) = match paragraph.strip_prefix("-- ") {
                Some(rest) => rest.split_once('\n').unwrap_or((rest, "")),
                None => ("", paragraph),
            };
            if !header.is_empty() {
                current = header.trim().to_owned();
                sections.entry(current.clone()).or_default();
            }
            if !statement.trim().is_empty() {
                sections.entry(current.clone()).or_default().push(statement.to_owned());
            }
        }
        Ok(sections)
    }
}

/// The parts of a text between empty lines.
fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    const EMPTY_LINE: &str = "\n\n";
    let ends = memmem::find_iter(text.as_bytes(), EMPTY_LINE).chain([text.len()]);
    ends.scan(0, |from, end| {
        let start = std::mem::replace(from, end + EMPTY_LINE.len());
        Some(&text[start..end])
    })
}

fn format_value(out: &mut Output, _: &mut State, value: &Value) -> Result<(), Error> {
    let write = |out: &mut Output, text: &str| {
        out.write_str(text)
            .map_err(|error| Error::new(ErrorKind::WriteFailure, error.to_string()))
    };
    match value.kind() {
        ValueKind::String if value.is_safe() => write(out, value.as_str().unwrap_or_default()),
        ValueKind::String => write(out, &literal(value.as_str().unwrap_or_default())),
        ValueKind::Number => write(out, &value.to_string()),
        other => Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("a {other} cannot become SQL"),
        )),
    }
}

/// A statement in the form it is compared in: no comment, no space where none is needed, keywords and plain names in
/// upper case, names without quotes where they need none, literals untouched.
pub fn canonical(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut rest = sql.trim().trim_end_matches(';');
    while let Some(first) = rest.chars().next() {
        let (token, length) = token(rest, first);
        let joins = |side: Option<char>| side.is_some_and(|side| !side.is_whitespace() && !is_punctuation(side));
        match token {
            Token::Space => {
                let next = rest[length..].chars().next();
                if joins(out.chars().last()) && joins(next) && !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            Token::Literal => out.push_str(&rest[..length]),
            Token::Name(name) => out.push_str(&name),
            // Most of a statement is plain words; what is not ASCII may grow in upper case.
            Token::Word => {
                out.push_str(&rest[..length]);
                let from = out.len() - length;
                out[from..].make_ascii_uppercase();
            }
            Token::Other => {
                if is_punctuation(first) && out.ends_with(' ') {
                    out.pop();
                }
                out.extend(first.to_uppercase());
            }
        }
        rest = &rest[length..];
    }
    out.trim().to_owned()
}

enum Token {
    Space,
    Literal,
    Name(String),
    Word,
    Other,
}

/// The token that `text` starts with, and its length. A comment is space.
fn token(text: &str, first: char) -> (Token, usize) {
    let until = |end: &str, from: usize| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
    match first {
        '\'' => {
            let mut characters = text.char_indices().skip(1);
            while let Some((at, inner)) = characters.next() {
                if inner == '\\' {
                    characters.next();
                } else if inner == first {
                    return (Token::Literal, at + 1);
                }
            }
            (Token::Literal, text.len())
        }
        '"' => {
            let end = until("\"", 1);
            let inside = text[1..end].trim_end_matches('"');
            let name = Ident::new(inside);
            let plain = name.as_str() == inside && !text[end..].starts_with('"');
            let shown = if plain {
                name.to_string()
            } else {
                text[..end].to_owned()
            };
            (Token::Name(shown), end)
        }
        '-' if text.starts_with("--") => (Token::Space, until("\n", 2)),
        '/' if text.starts_with("/*") => (Token::Space, until("*/", 2)),
        '$' if text.starts_with("$$") => (Token::Literal, until("$$", 2)),
        space if space.is_whitespace() => {
            let end = text.find(|next: char| !next.is_whitespace()).unwrap_or(text.len());
            (Token::Space, end)
        }
        word if word.is_ascii_alphanumeric() || word == '_' => {
            let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
            (Token::Word, text.bytes().take_while(|byte| inner(byte)).count())
        }
        other => (Token::Other, other.len_utf8()),
    }
}

/// Characters that no space is needed beside.
fn is_punctuation(character: char) -> bool {
    matches!(
        character,
        '(' | ')' | ',' | ';' | '=' | '<' | '>' | '+' | '*' | '/' | '|' | ':' | '[' | ']'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_becomes_a_literal_and_nothing_else() {
        let templates = Templates::new().unwrap();
        let values = minijinja::context! { name => raw("R"), comment => "it's; DROP ROLE X", deployer => raw("D"), executes_tasks => false, warehouse => () };
        let sections = templates.sections("role", values).unwrap();
        assert_eq!(
            sections["create"],
            ["CREATE ROLE IF NOT EXISTS R COMMENT = 'it''s; DROP ROLE X'"]
        );
        assert_eq!(sections["grants"], ["GRANT ROLE R TO ROLE D"]);
    }

    #[test]
    fn gaps_are_filled_wherever_they_are() {
        let templates = Templates::new().unwrap();
        let gap = templates.gap();
        assert_eq!(templates.without_gaps("no gap", "x"), "no gap");
        assert_eq!(templates.without_gaps(&format!("{gap}é{gap}{gap}"), "ü"), "üéüü");
        assert!(templates.has_gap(&format!("a{gap}")) && !templates.has_gap(&gap[1..]));
    }

    #[test]
    fn paragraphs_are_parted_by_empty_lines() {
        for text in ["", "a", "a\n\nb", "\n\na\nb\n\n\n\nc\n\n", "é\n\n\nb"] {
            assert!(paragraphs(text).eq(text.split("\n\n")), "{text:?}");
        }
    }

    #[test]
    fn canonical_form_ignores_space_and_case_outside_literals() {
        assert_eq!(canonical("select  'a  b',\n \"c  D\" ;"), "SELECT 'a  b',\"c  D\"");
        assert_eq!(canonical(r"'it\'s'  x"), r"'it\'s' X");
    }

    #[test]
    fn canonical_form_ignores_comments_quotes_and_optional_space() {
        let written = "SELECT a, -- the first\n  b FROM d.s.t WHERE x = 'it''s -- no comment' /* end */";
        let rewritten = "select A , B from \"D\".\"S\".\"T\" where X='it''s -- no comment'";
        assert_eq!(canonical(written), canonical(rewritten));
        assert_ne!(canonical("SELECT \"a\""), canonical("SELECT a"), "quotes keep the case");
        assert_ne!(canonical("SELECT a b"), canonical("SELECT ab"));
        assert_ne!(canonical("SELECT 'a b'"), canonical("SELECT 'a  b'"));
        assert_eq!(canonical("\"a\"\"b\""), "\"a\"\"b\"");
    }
}
