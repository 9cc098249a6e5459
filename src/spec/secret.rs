//! Secrets: references to them are read, literals are found, and neither is ever shown.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use memchr::memmem;

use super::code;
use super::diagnostic::{Diagnostic, Fault};
use super::node::{Node, Value};
use super::path::Path;
use super::suggest;

const FORMS: &str = "`env:NAME`, `secretsmanager:NAME` or `ssm:NAME`";
/// Keys that take a reference to a secret.
const REFERENCES: [&str; 3] = ["private_key", "token", "webhook"];
/// Words that make a key the key of a secret.
const WORDS: [&str; 10] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "privatekey",
    "apikey",
    "accesskey",
    "credential",
    "token",
    "webhook",
];
const PEM: &str = "-----BEGIN ";

/// Where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SecretReference {
    /// In AWS Secrets Manager, under this name or ARN. Names of secrets that an AWS service manages have a `!`:
    /// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/service-linked-secrets.html>.
    SecretsManager(String),
    /// In AWS Systems Manager Parameter Store, under this name.
    Ssm(String),
    /// In this environment variable of the process that deploys.
    Env(String),
}

/// A text that is no reference to a secret. It does not repeat the text, which may be the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a reference to a secret; write {FORMS}")]
pub struct NotAReference;

impl FromStr for SecretReference {
    type Err = NotAReference;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, name) = text.split_once(':').ok_or(NotAReference)?;
        let made_of = |extra: &str| {
            !name.is_empty()
                && name.len() <= 512
                && name.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
        };
        match scheme {
            "secretsmanager" if made_of("/_+=.@-:!") => Ok(Self::SecretsManager(name.to_owned())),
            "ssm" if made_of("/_.-") => Ok(Self::Ssm(name.to_owned())),
            "env" if made_of("_") && !name.starts_with(|c: char| c.is_ascii_digit()) => Ok(Self::Env(name.to_owned())),
            _ => Err(NotAReference),
        }
    }
}

impl fmt::Display for SecretReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretsManager(name) => write!(f, "secretsmanager:{name}"),
            Self::Ssm(name) => write!(f, "ssm:{name}"),
            Self::Env(name) => write!(f, "env:{name}"),
        }
    }
}

/// Secrets that stand in a document, and the bytes that must not be shown.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) faults: Vec<Fault>,
    pub(crate) hidden: Vec<Range<usize>>,
    keys: Keys,
}

/// Keys and whether they name a secret. A file repeats a few keys for every table, and judging one is slow.
#[derive(Default)]
struct Keys(BTreeMap<String, bool>);

impl Keys {
    fn is_sensitive(&mut self, key: &str) -> bool {
        match self.0.get(key) {
            Some(known) => *known,
            None => *self.0.entry(key.to_owned()).or_insert_with(|| is_sensitive(key)),
        }
    }
}

/// Finds literal secrets by the key they stand under and by what they look like.
pub(crate) fn find(tree: &Node) -> Found {
    let mut found = Found::default();
    visit(tree, &Trail::default(), false, &mut found);
    found
}

/// The way from the root to a value, which becomes a path only where something is found.
#[derive(Default)]
struct Trail<'a> {
    above: Option<&'a Trail<'a>>,
    step: Option<Step<'a>>,
}

enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl<'a> Trail<'a> {
    fn then(&'a self, step: Step<'a>) -> Self {
        Trail {
            above: Some(self),
            step: Some(step),
        }
    }

    fn key(&self) -> Option<&str> {
        match self.step {
            Some(Step::Key(key)) => Some(key),
            _ => None,
        }
    }

    fn path(&self) -> Path {
        let above = self.above.map(Trail::path).unwrap_or_default();
        match self.step {
            Some(Step::Key(key)) => above.key(key),
            Some(Step::Index(index)) => above.index(index),
            None => above,
        }
    }

    /// Whether it is a tag's: what `[pipeline.tags]` holds.
    fn is_tag(&self) -> bool {
        let tags = self.above;
        let pipeline = tags.and_then(|tags| tags.above);
        let root = pipeline.and_then(|pipeline| pipeline.above);
        tags.and_then(Trail::key) == Some("tags")
            && pipeline.and_then(Trail::key) == Some("pipeline")
            && root.is_some_and(|root| root.above.is_none())
    }
}

fn visit(node: &Node, trail: &Trail<'_>, sensitive: bool, found: &mut Found) {
    match &node.value {
        Value::Table(table) => {
            for (key, entry) in &table.0 {
                let trail = trail.then(Step::Key(key));
                let sensitive = !trail.is_tag() && (sensitive || found.keys.is_sensitive(key));
                visit(&entry.node, &trail, sensitive, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                visit(item, &trail.then(Step::Index(index)), sensitive, found);
            }
        }
        Value::String(text) => visit_text(node, text, trail, sensitive, found),
        // Numbers are passwords too; `true` and dates are not.
        Value::Integer(_) | Value::HugeInteger | Value::Float(_) if sensitive => {
            found.hidden.push(node.span.clone());
            found.faults.push(literal(trail.path()));
        }
        _ => {}
    }
}

fn visit_text(node: &Node, text: &str, trail: &Trail<'_>, sensitive: bool, found: &mut Found) {
    let looks_secret = !patterns(text).is_empty();
    if (!sensitive || text.parse::<SecretReference>().is_ok()) && !looks_secret {
        return;
    }
    found.hidden.push(node.span.clone());
    let attempted = ["env:", "ssm:", "secretsmanager:"]
        .iter()
        .any(|scheme| text.starts_with(scheme));
    found.faults.push(if attempted && !looks_secret {
        Fault::new(
            code::SECRET_REFERENCE,
            trail.path(),
            "this reference to a secret cannot be followed",
        )
        .hint(format!("write {FORMS}"))
    } else {
        literal(trail.path())
    });
}

fn literal(path: Path) -> Fault {
    let names_reference = path.last_key().is_some_and(|key| REFERENCES.contains(&key));
    let fault = Fault::new(code::LITERAL_SECRET, path, "a secret stands in the file");
    if names_reference {
        fault.hint(format!("keep it elsewhere and write {FORMS}"))
    } else {
        fault.hint("remove it from the file and from its history, and make a new one")
    }
}

/// Whether a key names a secret, also when it is misspelt.
fn is_sensitive(key: &str) -> bool {
    let plain: String = key
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    if plain.ends_with("path") || plain.ends_with("file") {
        return false;
    }
    plain == "pwd" || WORDS.iter().any(|word| plain.contains(word)) || suggest::nearest(&plain, WORDS).is_some()
}

/// Secrets that the text shows by their form alone, also in comments and in a file that cannot be parsed.
pub(crate) fn in_text(text: &str) -> Vec<Range<usize>> {
    let mut hidden = patterns(text);
    let mut keys = Keys::default();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if let Some(value) = sensitive_value(line, &mut keys) {
            hidden.push(start + value.start..start + value.end);
        }
        start += line.len();
    }
    hidden
}

/// The rest of a line after `key =` where the key names a secret and the rest is no reference.
fn sensitive_value(line: &str, keys: &mut Keys) -> Option<Range<usize>> {
    let mut from = 0;
    while let Some(equals) = line.get(from..)?.find('=').map(|at| at + from) {
        let before = line.get(..equals)?.trim_end().trim_end_matches(['"', '\'']);
        let key = before
            .rsplit(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
            .next()
            .unwrap_or_default();
        let rest = line.get(equals + 1..)?;
        if keys.is_sensitive(key) && !starts_with_reference(rest) {
            let value = rest.trim_start();
            let start = line.len() - value.len();
            let end = line.trim_end().len();
            return (start < end).then_some(start..end);
        }
        from = equals + 1;
    }
    None
}

fn starts_with_reference(rest: &str) -> bool {
    let rest = rest.trim_start();
    let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        return false;
    };
    let inner = rest.get(1..).unwrap_or_default();
    inner
        .split_once(quote)
        .is_some_and(|(value, _)| value.parse::<SecretReference>().is_ok())
}

/// AWS access key ids, PEM private keys and signed web tokens, wherever they stand.
fn patterns(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    // The shortest of them has 20 characters, and most texts of a file are shorter.
    if text.len() < 20 {
        return found;
    }
    for prefix in ["AKIA", "ASIA"] {
        found.extend(memmem::find_iter(text.as_bytes(), prefix).filter_map(|at| access_key(text, at)));
    }
    for at in memmem::find_iter(text.as_bytes(), PEM) {
        let rest = text.get(at..).unwrap_or_default();
        let header = rest.lines().next().unwrap_or_default();
        if header.contains("PRIVATE KEY") {
            let end = rest.find("-----END").map_or(rest.len(), |end| end + "-----END".len());
            found.push(at..at + end);
        }
    }
    found.extend(memmem::find_iter(text.as_bytes(), "eyJ").filter_map(|at| web_token(text, at)));
    found
}

fn access_key(text: &str, at: usize) -> Option<Range<usize>> {
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
    let inside = text.get(..at)?.ends_with(is_part);
    let rest = text.get(at..)?;
    let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    (!inside && end == 20).then_some(at..at + end)
}

fn web_token(text: &str, at: usize) -> Option<Range<usize>> {
    let rest = text.get(at..)?;
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    let token = rest.get(..end)?;
    let parts: Vec<&str> = token.split('.').collect();
    (parts.len() == 3 && parts.iter().all(|part| part.len() >= 8)).then_some(at..at + end)
}

/// Secrets that stand outside every value, such as in a comment.
pub(crate) fn outside_values(text: &str, hidden: &[Range<usize>]) -> Vec<Diagnostic> {
    patterns(text)
        .into_iter()
        .filter(|span| {
            !hidden
                .iter()
                .any(|known| known.start <= span.start && span.end <= known.end)
        })
        .map(|span| Diagnostic {
            code: code::LITERAL_SECRET,
            path: Path::root(),
            span,
            message: "a secret stands in the file".to_owned(),
            hint: Some("remove it from the file and from its history, and make a new one".to_owned()),
        })
        .collect()
}
