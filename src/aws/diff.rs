//! What differs between a stack as it is and as it must be, property by property. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::observe::LiveStack;
use crate::plan::PropertyChange;

/// A stack as it must be; a parameter that only the deploy can know is absent.
pub struct WantedStack<'a> {
    /// The template.
    pub template: &'a Value,
    /// The parameters that are known.
    pub parameters: BTreeMap<String, String>,
    /// The tags.
    pub tags: &'a BTreeMap<String, String>,
}

/// Every property that differs.
pub fn stack(live: &LiveStack, wanted: &WantedStack) -> Vec<PropertyChange> {
    let mut changes = Vec::new();
    value("", &live.template, wanted.template, &mut changes);
    for (key, new) in &wanted.parameters {
        let old = live.parameters.get(key);
        if old != Some(new) {
            changes.push(PropertyChange::new(
                format!("Parameters.{key}"),
                old.cloned(),
                Some(new.clone()),
            ));
        }
    }
    let keys: BTreeSet<&String> = live.tags.keys().chain(wanted.tags.keys()).collect();
    for key in keys {
        let (old, new) = (live.tags.get(key), wanted.tags.get(key));
        if old != new {
            changes.push(PropertyChange::new(format!("Tags.{key}"), old.cloned(), new.cloned()));
        }
    }
    // CloudFormation changes a description only together with something else:
    // https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-description-structure.html
    if changes.iter().all(|change| change.property == "Description") {
        changes.clear();
    }
    changes
}

/// Every value that differs between two documents.
pub fn values(old: &Value, new: &Value) -> Vec<PropertyChange> {
    let mut changes = Vec::new();
    value("", old, new, &mut changes);
    changes
}

fn value(path: &str, old: &Value, new: &Value, changes: &mut Vec<PropertyChange>) {
    let below = |key: &str| {
        if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        }
    };
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for key in keys {
                match (old.get(key), new.get(key)) {
                    (Some(old), Some(new)) => value(&below(key), old, new, changes),
                    (old, new) => changes.push(PropertyChange::new(below(key), old.map(shown), new.map(shown))),
                }
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (position, (old, new)) in before.iter().zip(after).enumerate() {
                value(&format!("{path}[{position}]"), old, new, changes);
            }
        }
        (old, new) if shown(old) == shown(new) => {}
        (old, new) => changes.push(PropertyChange::new(path.to_owned(), Some(shown(old)), Some(shown(new)))),
    }
}

/// A value as text. CloudFormation treats `5` and `"5"` alike, and so does this.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn differences(old: Value, new: Value) -> Vec<String> {
        let live = LiveStack {
            template: old,
            ..Default::default()
        };
        let tags = BTreeMap::new();
        let wanted = WantedStack {
            template: &new,
            parameters: BTreeMap::new(),
            tags: &tags,
        };
        stack(&live, &wanted).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_changed_property_is_named_with_its_path() {
        let old = json!({"Resources": {"Q": {"Properties": {"Timeout": 1, "Tags": [{"Key": "a"}]}}}});
        let new = json!({"Resources": {"Q": {"Properties": {"Timeout": 2, "Tags": [{"Key": "b"}]}}}});
        assert_eq!(
            differences(old, new),
            [
                "Resources.Q.Properties.Tags[0].Key: a → b",
                "Resources.Q.Properties.Timeout: 1 → 2"
            ]
        );
    }

    #[test]
    fn numbers_and_their_text_are_the_same() {
        assert!(differences(json!({"A": "5", "B": true}), json!({"A": 5, "B": "true"})).is_empty());
    }

    #[test]
    fn a_description_alone_is_no_change() {
        assert!(differences(json!({"Description": "a", "A": 1}), json!({"Description": "b", "A": 1})).is_empty());
        assert_eq!(
            differences(json!({"Description": "a", "A": 1}), json!({"Description": "b", "A": 2})),
            ["A: 1 → 2", "Description: a → b"]
        );
    }

    #[test]
    fn what_comes_and_goes_is_named() {
        assert_eq!(
            differences(json!({"A": 1}), json!({"B": 2})),
            ["A: 1 → (none)", "B: (none) → 2"]
        );
    }
}
