//! Snowflake identifiers and literals: the only ways that text becomes SQL.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One identifier, as Snowflake stores it: upper case unless it was quoted.
///
/// Displays quoted only when it must be: <https://docs.snowflake.com/en/sql-reference/identifiers-syntax>.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Ident(Arc<str>);

impl Ident {
    /// Folds `name` as Snowflake folds an unquoted identifier.
    pub fn new(name: &str) -> Self {
        let folded = name.to_uppercase();
        Ident(if plain(&folded) { folded.into() } else { name.into() })
    }

    /// The name as Snowflake stores and shows it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn plain(name: &str) -> bool {
    let starts_well = name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_');
    let continues = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'$';
    starts_well && name.bytes().all(continues)
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if plain(&self.0) {
            f.write_str(&self.0)
        } else {
            write!(f, "\"{}\"", self.0.replace('"', "\"\""))
        }
    }
}

/// A name of one to three identifiers: `ROLE`, `DATABASE.SCHEMA` or `DATABASE.SCHEMA.OBJECT`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Name(
    // Clones share the text: an object's name stands in each of its grants, in keys of maps and in the names below it.
    Arc<[Ident]>,
);

impl Name {
    /// An object of the account, such as a role.
    pub fn account(name: &str) -> Self {
        Name([Ident::new(name)].into())
    }

    /// The object `name` inside this one.
    pub fn child(&self, name: &str) -> Self {
        let above = self.0.iter().cloned();
        Name(above.chain([Ident::new(name)]).collect())
    }

    /// From the parts as Snowflake shows them.
    pub fn from_shown(parts: &[&str]) -> Self {
        Name(parts.iter().map(|part| Ident((*part).into())).collect())
    }

    /// From a name as Snowflake writes it in an answer, or as this program writes it in a statement: parts are parted by
    /// dots and quoted where they must be.
    pub fn from_text(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text.trim();
        loop {
            let (part, after) = match rest.strip_prefix('"') {
                Some(quoted) => {
                    let doubled = |at: usize| quoted[..at].chars().rev().take_while(|c| *c == '"').count() % 2 == 1;
                    let ends = |(at, _): &(usize, &str)| !quoted[at + 1..].starts_with('"') && !doubled(*at);
                    let (end, _) = quoted.match_indices('"').find(ends)?;
                    (quoted[..end].replace("\"\"", "\""), &quoted[end + 1..])
                }
                None => {
                    let end = rest.find('.').unwrap_or(rest.len());
                    (rest[..end].to_owned(), &rest[end..])
                }
            };
            if part.is_empty() {
                return None;
            }
            parts.push(Ident(part.into()));
            match after.strip_prefix('.') {
                Some(more) => rest = more,
                None => return after.is_empty().then(|| Name(parts.into())),
            }
        }
    }

    /// What it is inside of; nothing for an object of the account.
    pub fn parent(&self) -> Option<Self> {
        let (_, above) = self.0.split_last()?;
        (!above.is_empty()).then(|| Name(above.into()))
    }

    /// The last part, as Snowflake stores it.
    pub fn last(&self) -> &str {
        self.0.last().map(Ident::as_str).unwrap_or_default()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, part) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str(".")?;
            }
            part.fmt(f)?;
        }
        Ok(())
    }
}

/// `text` as a string literal. Backslash is an escape in Snowflake's literals, so it is doubled too:
/// <https://docs.snowflake.com/en/sql-reference/data-types-text#single-quoted-string-constants>.
pub fn literal(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for character in text.chars() {
        match character {
            '\'' => quoted.push_str("''"),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\0' => quoted.push_str("\\0"),
            other => quoted.push(other),
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_quoted_only_when_they_must_be() {
        assert_eq!(Ident::new("invoice_id").to_string(), "INVOICE_ID");
        assert_eq!(Ident::new("odd name").to_string(), "\"odd name\"");
        assert_eq!(Ident::new("a\"b").to_string(), "\"a\"\"b\"");
        assert_eq!(Name::account("d").child("s").child("1t").to_string(), "D.S.\"1t\"");
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for text in ["D", "D.S.T", "D.\"odd .name\".\"a\"\"b\"", "\"\"\"\"", "\"a\"\"\".B"] {
            assert_eq!(Name::from_text(text).unwrap().to_string(), text);
        }
        for text in ["", ".", "D.", "\"D", "\"D\"S"] {
            assert_eq!(Name::from_text(text), None, "{text}");
        }
        let table = Name::from_text("D.S.T").unwrap();
        assert_eq!(table.parent(), Name::from_text("D.S"));
        assert_eq!(Name::account("D").parent(), None);
    }

    #[test]
    fn literals_escape_what_ends_them() {
        assert_eq!(literal("it's \\ x\ny"), r"'it''s \\ x\ny'");
    }
}
