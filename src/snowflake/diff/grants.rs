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
    for missing in wanted.grants.without(granted) {
        changes.push(shown(missing, true));
        statements.push(missing.give());
    }
    // What a role has on the account or on objects of others was given by somebody who may know why.
    if wanted.kind != Kind::Role {
        for added in granted.without(&wanted.grants) {
            changes.push(shown(added, false));
            statements.push(added.take());
        }
    }
    (changes, statements)
}

/// A grant that is given or taken back, as a change.
pub fn shown(grant: &Grant, given: bool) -> PropertyChange {
    let granted = |is_there: bool| is_there.then(|| "granted".to_owned());
    PropertyChange::new(property(grant), granted(!given), granted(given))
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
