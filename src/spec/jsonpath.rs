//! JSON paths: `$.a.b` from the record, `@.x` from the flattened item, `$.a["odd key"][0]`.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// Where a path starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Root {
    /// `$`: the record of the file.
    Record,
    /// `@`: the item of the array that the table flattens.
    Item,
}

/// One step into a JSON value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// Into an object.
    Field(String),
    /// Into an array, from 0.
    Index(u32),
}

/// A path from the record, or from an item of it, to a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JsonPath {
    /// Where it starts.
    pub root: Root,
    /// The steps from there.
    pub steps: Vec<Step>,
}

/// Why a text is not a path, and which bytes of it are to blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct JsonPathError {
    /// The bytes that are to blame; empty at the end of the text.
    pub at: Range<usize>,
    /// What is wrong with them.
    pub message: String,
    /// What would be right.
    pub hint: String,
}

impl FromStr for JsonPath {
    type Err = JsonPathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut reader = Reader { text, at: 0 };
        let root = reader.root()?;
        let mut steps = Vec::new();
        while let Some(c) = reader.peek() {
            steps.push(match c {
                '.' => reader.field()?,
                '[' => reader.bracket()?,
                _ => return Err(reader.unexpected("expected `.` or `[`", "steps are `.name`, `[\"odd name\"]` or `[0]`")),
            });
        }
        Ok(Self { root, steps })
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.root {
            Root::Record => "$",
            Root::Item => "@",
        })?;
        for step in &self.steps {
            match step {
                Step::Field(name) if is_plain(name) => write!(f, ".{name}")?,
                Step::Field(name) => {
                    let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
                    write!(f, "[\"{escaped}\"]")?;
                }
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

fn is_plain(name: &str) -> bool {
    name.chars().next().is_some_and(starts_name) && name.chars().all(continues_name)
}

fn starts_name(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn continues_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !accept(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    /// An error about the character that comes next.
    fn unexpected(&self, expected: &str, hint: &str) -> JsonPathError {
        let (end, message) = match self.peek() {
            Some(c) => (self.at + c.len_utf8(), format!("{expected}, found `{c}`")),
            None => (self.at, format!("{expected}, but the path ends")),
        };
        JsonPathError {
            at: self.at..end,
            message,
            hint: hint.to_owned(),
        }
    }

    fn root(&mut self) -> Result<Root, JsonPathError> {
        let root = match self.peek() {
            Some('$') => Root::Record,
            Some('@') => Root::Item,
            _ => {
                return Err(self.unexpected(
                    "a JSON path starts with `$` or `@`",
                    "`$.name` takes it from the record, `@.name` from the flattened item",
                ));
            }
        };
        self.take();
        Ok(root)
    }

    fn field(&mut self) -> Result<Step, JsonPathError> {
        self.take();
        if !self.peek().is_some_and(starts_name) {
            return Err(self.unexpected(
                "expected a name after `.`",
                "put a name with other characters in `[\"…\"]`",
            ));
        }
        let name = self.take_while(continues_name).to_owned();
        match self.peek() {
            None | Some('.' | '[') => Ok(Step::Field(name)),
            Some(_) => Err(self.unexpected(
                "this cannot stand in a name",
                "put a name with other characters in `[\"…\"]`",
            )),
        }
    }

    fn bracket(&mut self) -> Result<Step, JsonPathError> {
        self.take();
        let step = match self.peek() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote)?,
            Some(c) if c.is_ascii_digit() => self.index()?,
            Some('*') => {
                return Err(self.unexpected(
                    "a path leads to one value",
                    "for a row per item, name the array in `flatten`",
                ));
            }
            _ => {
                return Err(self.unexpected(
                    "expected a quoted name or an index after `[`",
                    "such as `[\"odd name\"]` or `[0]`",
                ));
            }
        };
        if self.peek() != Some(']') {
            return Err(self.unexpected("expected `]`", "close the bracket"));
        }
        self.take();
        Ok(step)
    }

    fn index(&mut self) -> Result<Step, JsonPathError> {
        let start = self.at;
        let digits = self.take_while(|c| c.is_ascii_digit());
        digits.parse().map(Step::Index).map_err(|_| JsonPathError {
            at: start..self.at,
            message: "this index is too large".to_owned(),
            hint: format!("at most {}", u32::MAX),
        })
    }

    fn quoted(&mut self, quote: char) -> Result<Step, JsonPathError> {
        let start = self.at;
        self.take();
        let mut name = String::new();
        loop {
            match self.take() {
                Some(c) if c == quote => return Ok(Step::Field(name)),
                Some('\\') => match self.peek() {
                    Some(c @ ('\\' | '"' | '\'')) => {
                        self.take();
                        name.push(c);
                    }
                    _ => {
                        return Err(self.unexpected(
                            "a backslash comes before a quote or a backslash",
                            "write `\\\\` for a backslash",
                        ));
                    }
                },
                Some(c) => name.push(c),
                None => {
                    return Err(JsonPathError {
                        at: start..self.at,
                        message: "this quote is not closed".to_owned(),
                        hint: format!("end the name with `{quote}]`"),
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            any::<String>().prop_map(Step::Field),
            any::<u32>().prop_map(Step::Index)
        ]
    }

    proptest! {
        #[test]
        fn a_path_survives_its_own_spelling(item: bool, steps in prop::collection::vec(step(), 0..6)) {
            let path = JsonPath { root: if item { Root::Item } else { Root::Record }, steps };
            prop_assert_eq!(path.to_string().parse::<JsonPath>(), Ok(path));
        }

        #[test]
        fn any_text_gives_a_path_or_a_place(text in "\\PC*|[$@][.\\[\\]a\"'0\\\\]*") {
            if let Err(error) = text.parse::<JsonPath>() {
                prop_assert!(error.at.start <= error.at.end && error.at.end <= text.len());
                prop_assert!(text.is_char_boundary(error.at.start) && text.is_char_boundary(error.at.end));
            }
        }
    }

    #[test]
    fn the_bad_character_is_named() {
        let error = |text: &str| {
            text.parse::<JsonPath>()
                .map_err(|error| (error.at.start, error.message))
        };
        assert_eq!(
            error("$.a..b"),
            Err((4, "expected a name after `.`, found `.`".to_owned()))
        );
        assert_eq!(
            error("$.a-b"),
            Err((3, "this cannot stand in a name, found `-`".to_owned()))
        );
        assert_eq!(
            error("a.b"),
            Err((0, "a JSON path starts with `$` or `@`, found `a`".to_owned()))
        );
        assert_eq!(
            error("$.a[*]"),
            Err((4, "a path leads to one value, found `*`".to_owned()))
        );
        assert_eq!(error("$.a[0"), Err((5, "expected `]`, but the path ends".to_owned())));
    }

    #[test]
    fn odd_names_and_indices_are_read() {
        let path = "$.a[\"odd \\\"key\"][3].b".parse::<JsonPath>();
        let steps = vec![
            Step::Field("a".into()),
            Step::Field("odd \"key".into()),
            Step::Index(3),
            Step::Field("b".into()),
        ];
        assert_eq!(
            path,
            Ok(JsonPath {
                root: Root::Record,
                steps
            })
        );
    }
}
