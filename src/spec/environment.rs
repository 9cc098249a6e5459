//! `[env.NAME]`: what one environment changes, laid over the rest of the file.

use std::collections::BTreeMap;

use super::code;
use super::diagnostic::Fault;
use super::node::{Entry, Node, Value};
use super::path::Path;
use super::suggest;

/// The environment that exists on every machine.
pub const LOCAL: &str = "local";
/// The environment that is meant when none is named.
pub const DEFAULT: &str = "dev";
/// Longest name of an environment: it is part of every name in the clouds.
const LONGEST: usize = 16;

/// Names of the environments that the document declares.
pub(crate) fn declared(document: &Node) -> Vec<String> {
    document
        .get("env")
        .and_then(Node::table)
        .map(|table| table.keys().cloned().collect())
        .unwrap_or_default()
}

/// Takes `[env]` out of the document and lays the chosen environment over it. The faults are of the document as it was.
pub(crate) fn apply(document: &mut Node, name: &str) -> Vec<Fault> {
    let mut faults: Vec<Fault> = name_fault(name, &declared(document)).into_iter().collect();
    let Some(section) = document.table_mut().and_then(|root| root.remove("env")) else {
        return faults;
    };
    let at = Path::root().key("env");
    let kind = section.node.kind_name();
    let Value::Table(mut environments) = section.node.value else {
        let message = format!("`env` must be a table of environments, found {kind}");
        let hint = format!("write `[env.{name}]` and below it the keys that differ");
        faults.push(Fault::new(code::WRONG_KIND, at, message).hint(hint));
        return faults;
    };
    let Some(chosen) = environments.0.remove(name) else {
        return faults;
    };
    if chosen.node.table().is_some() {
        lay_over(document, chosen.node, &Path::root());
    } else {
        let message = format!(
            "environment `{name}` must be a table, found {}",
            chosen.node.kind_name()
        );
        faults.push(Fault::new(code::WRONG_KIND, at.key(name), message).hint(format!("write `[env.{name}]`")));
    }
    faults
}

fn name_fault(name: &str, declared: &[String]) -> Option<Fault> {
    let at = Path::root().key("env").key(name);
    let first = name.chars().next().is_some_and(|c| c.is_ascii_lowercase());
    let rest = name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !first || !rest || name.len() > LONGEST || name.ends_with('-') || name.contains("--") {
        let message = format!("`{name}` cannot name an environment");
        let hint = format!(
            "lower-case letters, digits and single hyphens, starting with a letter, at most {LONGEST} characters"
        );
        return Some(Fault::new(code::ENVIRONMENT, at, message).on_key().hint(hint));
    }
    if name == LOCAL || name == DEFAULT || declared.iter().any(|other| other == name) {
        return None;
    }
    let known: Vec<&str> = declared.iter().map(String::as_str).chain([DEFAULT, LOCAL]).collect();
    let hint = match suggest::nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!(
            "declare it as `[env.{name}]`, or use one of {}",
            suggest::quoted(&known)
        ),
    };
    Some(
        Fault::new(
            code::ENVIRONMENT,
            at,
            format!("environment `{name}` is not declared in this file"),
        )
        .hint(hint),
    )
}

/// Tables merge, arrays of named tables merge by name, everything else is replaced.
fn lay_over(base: &mut Node, over: Node, path: &Path) {
    match (&mut base.value, over.value) {
        (Value::Table(below), Value::Table(above)) if !is_other_kind(&below.0, &above.0, path) => {
            for (key, entry) in above.0 {
                let path = path.key(&key);
                match below.0.get_mut(&key) {
                    Some(present) if is_container(&present.node) => {
                        let Entry { key, node } = entry;
                        if !is_container(&node) {
                            present.key = key;
                        }
                        lay_over(&mut present.node, node, &path);
                    }
                    _ => {
                        below.0.insert(key, entry);
                    }
                }
            }
        }
        (Value::Array(below), Value::Array(above)) if all_named(below) && all_named(&above) => {
            merge_by_name(below, above, path);
        }
        (value, replacement) => {
            *value = replacement;
            base.span = over.span;
        }
    }
}

/// A source of another type shares nothing with the one below it.
fn is_other_kind(below: &BTreeMap<String, Entry>, above: &BTreeMap<String, Entry>, path: &Path) -> bool {
    let kind =
        |table: &BTreeMap<String, Entry>| table.get("type").and_then(|entry| entry.node.text().map(str::to_owned));
    path.last_key() == Some("source")
        && path.segments().len() == 1
        && kind(above).is_some_and(|above| kind(below).is_some_and(|below| below != above))
}

fn is_container(node: &Node) -> bool {
    matches!(node.value, Value::Array(_) | Value::Table(_))
}

fn all_named(items: &[Node]) -> bool {
    !items.is_empty() && items.iter().all(|item| name_of(item).is_some())
}

fn name_of(item: &Node) -> Option<&str> {
    item.get("name").and_then(Node::text)
}

fn merge_by_name(below: &mut Vec<Node>, above: Vec<Node>, path: &Path) {
    // A name may be overridden once; a second entry of the same name stays an entry, so that it is found to be a duplicate.
    let mut taken = vec![false; below.len()];
    for item in above {
        let name = name_of(&item).map(str::to_lowercase);
        let found = taken
            .iter_mut()
            .zip(below.iter_mut())
            .enumerate()
            .find(|(_, (taken, present))| !**taken && name_of(present).map(str::to_lowercase) == name);
        match found {
            Some((index, (taken, present))) => {
                *taken = true;
                lay_over(present, item, &path.index(index));
            }
            None => below.push(item),
        }
    }
}
