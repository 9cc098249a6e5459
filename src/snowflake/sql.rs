//! Rendering of SQL from the templates in `snowflake/`.
//!
//! A plain string in a template becomes a string literal, whatever it holds; only what this program made as SQL
//! ([`raw`]) is inserted as it stands. So user text cannot reach SQL unescaped.

use std::collections::BTreeMap;

use anyhow::Context;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Output, State, Value};

use super::ident::literal;

macro_rules! templates {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../snowflake/", $name, ".sql")))),*]
    };
}

const TEMPLATES: &[(&str, &str)] = templates![
    "role",
    "warehouse",
    "storage_integration",
    "notification_integration",
    "database",
    "schema",
    "file_format",
    "stage",
    "table",
    "pipe",
    "stream",
    "task_root",
    "task_load",
    "task_report",
    "rows",
    "reject",
    "merge",
];

/// Marks text as SQL that this program made.
pub fn raw(sql: impl ToString) -> Value {
    Value::from_safe_string(sql.to_string())
}

/// All templates, ready to fill. Made once and passed along.
pub struct Templates(Environment<'static>);

impl Templates {
    /// Parses the templates.
    pub fn new() -> anyhow::Result<Self> {
        let mut environment = Environment::new();
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
        environment.set_formatter(format_value);
        environment.add_filter("indent", |text: Value, width: usize| {
            raw(text.to_string().replace('\n', &format!("\n{}", " ".repeat(width))))
        });
        for (name, text) in TEMPLATES {
            environment.add_template(name, text)?;
        }
        Ok(Templates(environment))
    }

    /// Fills a template and gives its whole text.
    pub fn text(&self, name: &str, values: impl Into<Value>) -> anyhow::Result<String> {
        let template = self
            .0
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
        for paragraph in text.split("\n\n").map(|part| part.trim_matches('\n')) {
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

/// A statement in the form it is compared in: no space where none is needed, keywords and plain names in upper case,
/// literals and quoted names untouched.
pub fn canonical(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut characters = sql.trim().trim_end_matches(';').chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\'' | '"' => {
                out.push(character);
                while let Some(inner) = characters.next() {
                    out.push(inner);
                    if inner == '\\' && character == '\'' {
                        out.extend(characters.next());
                    } else if inner == character {
                        break;
                    }
                }
            }
            space if space.is_whitespace() => {
                while characters.next_if(|next| next.is_whitespace()).is_some() {}
                out.push(' ');
            }
            other => out.extend(other.to_uppercase()),
        }
    }
    out.trim().to_owned()
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
    fn canonical_form_ignores_space_and_case_outside_literals() {
        assert_eq!(canonical("select  'a  b',\n \"c  D\" ;"), "SELECT 'a  b', \"c  D\"");
        assert_eq!(canonical(r"'it\'s'  x"), r"'it\'s' X");
    }
}
