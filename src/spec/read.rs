//! From the tree to the types: every unknown key, missing key and wrong kind in one run.

use std::ops::ControlFlow;

use deserr::{DeserializeError, ErrorKind, IntoValue, MergeWithError, ValueKind, ValuePointerRef};

use super::code;
use super::diagnostic::Fault;
use super::node::{Node, Value};
use super::path::{Path, Segment};
use super::source::Source;
use super::suggest;
use super::types::Spec;

/// The document as its type, or what keeps it from being one.
pub(crate) fn spec(tree: &Node) -> Result<Spec, Vec<Fault>> {
    deserr::deserialize::<Spec, Node, Problems>(tree.clone()).map_err(|problems| {
        let all = problems.0;
        let causes = all
            .iter()
            .filter(|problem| !all.iter().any(|other| other.explains(problem)));
        causes.map(|problem| problem.fault(tree)).collect()
    })
}

/// All that deserr found; it goes on after each.
struct Problems(Vec<Problem>);

struct Problem {
    path: Path,
    kind: Kind,
}

enum Kind {
    Unknown { known: Vec<String> },
    Missing,
    Wrong { accepted: Vec<ValueKind> },
    Word { word: String, known: Vec<String> },
    Other(String),
}

impl MergeWithError<Problems> for Problems {
    fn merge(found: Option<Self>, mut other: Problems, _: ValuePointerRef) -> ControlFlow<Self, Self> {
        let mut all = found.map(|problems| problems.0).unwrap_or_default();
        all.append(&mut other.0);
        ControlFlow::Continue(Problems(all))
    }
}

impl DeserializeError for Problems {
    fn error<V: IntoValue>(
        found: Option<Self>,
        error: ErrorKind<V>,
        location: ValuePointerRef,
    ) -> ControlFlow<Self, Self> {
        let path = path_of(location);
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let problem = match error {
            ErrorKind::IncorrectValueKind { accepted, .. } => Problem {
                path,
                kind: Kind::Wrong {
                    accepted: accepted.to_vec(),
                },
            },
            ErrorKind::MissingField { field } => Problem {
                path: path.key(field),
                kind: Kind::Missing,
            },
            ErrorKind::UnknownKey { key, accepted } => Problem {
                path: path.key(key),
                kind: Kind::Unknown { known: owned(accepted) },
            },
            ErrorKind::UnknownValue { value, accepted } => Problem {
                path,
                kind: Kind::Word {
                    word: value.to_owned(),
                    known: owned(accepted),
                },
            },
            ErrorKind::BadSequenceLen { expected, .. } => Problem {
                path,
                kind: Kind::Other(format!("expected {expected} items")),
            },
            ErrorKind::Unexpected { msg } => Problem {
                path,
                kind: Kind::Other(msg),
            },
        };
        Self::merge(found, Problems(vec![problem]), location)
    }
}

fn path_of(location: ValuePointerRef<'_>) -> Path {
    let mut segments = Vec::new();
    let mut here = location;
    loop {
        match here {
            ValuePointerRef::Origin => break,
            ValuePointerRef::Key { key, prev } => {
                segments.push(Segment::Key(key.to_owned()));
                here = *prev;
            }
            ValuePointerRef::Index { index, prev } => {
                segments.push(Segment::Index(index));
                here = *prev;
            }
        }
    }
    segments.into_iter().rev().collect()
}

impl Problem {
    /// Whether this is a misspelt key and `other` only misses that key.
    fn explains(&self, other: &Problem) -> bool {
        let (Kind::Unknown { known }, Kind::Missing) = (&self.kind, &other.kind) else {
            return false;
        };
        let meant = suggest::nearest(self.path.last_key().unwrap_or_default(), words(known));
        self.path.parent() == other.path.parent() && meant.is_some() && meant == other.path.last_key()
    }

    fn fault(&self, tree: &Node) -> Fault {
        let path = self.path.clone();
        match &self.kind {
            Kind::Unknown { known } => unknown_key(path, &words(known)),
            Kind::Missing => missing_key(path),
            Kind::Wrong { accepted } => wrong_kind(path, accepted, tree),
            Kind::Word { word, known } => {
                let known = words(known);
                let message = format!("`{word}` is not known here");
                let hint = match suggest::nearest(word, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("one of {}", suggest::quoted(&known)),
                };
                Fault::new(code::UNKNOWN_VALUE, path, message).hint(hint)
            }
            Kind::Other(message) => Fault::new(code::RANGE, path, message.clone()),
        }
    }
}

fn words(owned: &[String]) -> Vec<&str> {
    owned.iter().map(String::as_str).collect()
}

fn unknown_key(path: Path, known: &[&str]) -> Fault {
    let key = path.last_key().unwrap_or_default().to_owned();
    let hint = suggest::hint(&key, known);
    Fault::new(code::UNKNOWN_KEY, path, format!("unknown key `{key}`"))
        .hint(hint)
        .on_key()
}

fn missing_key(path: Path) -> Fault {
    let key = path.last_key().unwrap_or_default().to_owned();
    let parent = path.parent();
    let message = if parent.segments().is_empty() {
        format!("the file has no `{key}`")
    } else {
        format!("`{parent}` has no `{key}`")
    };
    let hint = match key.as_str() {
        "pipeline" => "add `[pipeline]` with `name = \"…\"`".to_owned(),
        "source" => "add `[source]` with `type = \"files\"`".to_owned(),
        "columns" => "add `columns = [{ name = \"id\", type = \"NUMBER\", key = true }]`".to_owned(),
        "type" if parent == Path::root().key("source") => {
            format!("add `type = {:?}`", Source::KINDS.first().unwrap_or(&"…"))
        }
        _ => format!("add `{key} = \"…\"`"),
    };
    Fault::new(code::MISSING_KEY, path, message).hint(hint)
}

fn wrong_kind(path: Path, accepted: &[ValueKind], tree: &Node) -> Fault {
    let node = tree.at(&path);
    if matches!(node.map(|node| &node.value), Some(Value::HugeInteger)) && accepted.contains(&ValueKind::Integer) {
        return Fault::new(code::NUMBER_TOO_LARGE, path, "this number is too large")
            .hint(format!("at most {}", i64::MAX));
    }
    let expected = accepted.first().map_or("another value", |kind| expected_name(*kind));
    let found = node.map_or("nothing", Node::kind_name);
    let hint = kind_hint(path.last_key().unwrap_or_default(), accepted.first().copied(), node);
    let mut fault = Fault::new(code::WRONG_KIND, path, format!("expected {expected}, found {found}"));
    fault.hint = hint;
    fault
}

fn kind_hint(key: &str, expected: Option<ValueKind>, found: Option<&Node>) -> Option<String> {
    match (expected?, found.map(|node| &node.value)) {
        (ValueKind::String, Some(Value::Array(_) | Value::Table(_))) => None,
        (ValueKind::String, Some(_)) => Some("put it in quotes".to_owned()),
        (ValueKind::Integer, Some(Value::String(text))) if text.parse::<i64>().is_ok() => {
            Some("leave out the quotes".to_owned())
        }
        (ValueKind::Boolean, _) => Some("write `true` or `false`, without quotes".to_owned()),
        (ValueKind::Sequence, Some(Value::Table(_))) if !key.is_empty() => {
            Some(format!("write `[[{key}]]`, or put it in `[…]`"))
        }
        (ValueKind::Map, _) if !key.is_empty() => Some(format!("write `[{key}]`, and its keys below it")),
        _ => None,
    }
}

fn expected_name(kind: ValueKind) -> &'static str {
    match kind {
        ValueKind::String => "a string",
        ValueKind::Integer | ValueKind::NegativeInteger => "an integer",
        ValueKind::Float => "a number",
        ValueKind::Boolean => "a boolean",
        ValueKind::Sequence => "an array",
        ValueKind::Map => "a table",
        ValueKind::Null => "nothing",
    }
}
