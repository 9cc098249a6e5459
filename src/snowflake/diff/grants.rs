//! Grants on an object: what is missing is given again, and what the pipeline's own roles have beyond it is taken back.
//! What other roles were granted is not looked at.

use crate::graph::object::{Kind, Object};
use crate::plan::PropertyChange;
use crate::snowflake::grant::{Grant, On};
use crate::snowflake::observe::LiveObject;

/// Compares the grants of an object; the statements are for who owns the schema that it is in, or else the object.
pub fn grants(wanted: &Object, live: &LiveObject) -> (Vec<PropertyChange>, Vec<String>) {
    let Some(granted) = &live.grants else {
        return Default::default();
    };
    let (mut changes, mut statements) = (Vec::new(), Vec::new());
    let shown = || Some("granted".to_owned());
    for missing in wanted.grants.difference(granted) {
        changes.push(PropertyChange::new(property(missing), None, shown()));
        statements.push(missing.give());
    }
    // What a role has on the account or on objects of others was given by somebody who may know why.
    if wanted.kind != Kind::Role {
        for added in granted.difference(&wanted.grants) {
            changes.push(PropertyChange::new(property(added), shown(), None));
            statements.push(added.take());
        }
    }
    (changes, statements)
}

/// Whether a change is one of grants.
pub fn is_of_grant(change: &PropertyChange) -> bool {
    change.property.starts_with("grant ")
}

fn property(grant: &Grant) -> String {
    let on = match &grant.on {
        On::Object(..) => String::new(),
        On::Account => " on the account".to_owned(),
        On::Future(kind, _) => format!(" on future {}s", kind.to_lowercase()),
    };
    format!("grant {}{on} to {}", grant.privilege, grant.role)
}
