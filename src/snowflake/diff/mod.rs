//! What differs between an object as it is and as it must be, and the statements that close the gap. No I/O.

mod columns;
mod grants;

use std::borrow::Cow;
use std::sync::Arc;

use super::adopt;
use super::check::Findings;
use super::ident::Name;
use super::mark::{self, Handover};
use super::observe::LiveObject;
use crate::graph::object::{Actor, Kind, Object};
use crate::plan::{MISSING, PropertyChange, StepKind};

pub use columns::check;
pub(super) use columns::{addition, described};
pub(super) use grants::shown as shown_grant;

/// What must be done to one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// How it is done.
    pub kind: StepKind,
    /// Why.
    pub reason: String,
    /// Whether it undoes what was changed by hand: the object's hash is the file's.
    pub drift: bool,
    /// What differs.
    pub changes: Vec<PropertyChange>,
    /// What is lost.
    pub loss: Option<String>,
    /// Whether the former definition can be brought back, whatever rows came meanwhile.
    pub reversible: bool,
    /// Who runs the statements.
    pub actor: Actor,
    /// The statements, in order.
    pub statements: Vec<Arc<str>>,
    /// Statements about grants, for who may grant on it; they come after the others.
    pub grants: Vec<String>,
    /// Whether a new pipe is there, and has yet to load what arrived while it was made.
    pub is_made: bool,
}

/// Why an object cannot be brought to its definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// It belongs to somebody else.
    #[error(
        "{kind} {name} exists and is not this pipeline's (its comment is {comment:?})\n  hint: choose another name in pipeline.toml, or rename the existing {kind}{way}"
    )]
    Foreign {
        /// What it is.
        kind: Kind,
        /// Its name.
        name: Name,
        /// Its comment.
        comment: String,
        /// How it could be taken over instead.
        way: &'static str,
    },
    /// It cannot be taken over, or was and the file does not say so any more.
    #[error("{kind} {name} {why}\n  hint: {hint}")]
    Adoption {
        /// What it is.
        kind: Kind,
        /// Its name.
        name: Name,
        /// What is against it.
        why: String,
        /// The way out.
        hint: String,
    },
    /// No value of a column's type is one of the type that it must have.
    #[error(
        "column {column} of table {table} is {old}, and no value of that type can become {new}\n  hint: give the column another name in pipeline.toml: the new one is filled from the records that were kept, and the old one is dropped with your consent"
    )]
    Type {
        /// The table.
        table: Name,
        /// The column.
        column: String,
        /// Its type.
        old: String,
        /// The type in the file.
        new: String,
    },
    /// Rows do not have what a column must have.
    #[error("{rows} rows of table {table} have {what}, such as {examples}\n  hint: {way_out}; nothing was changed")]
    Values {
        /// The table.
        table: Name,
        /// How many rows.
        rows: u64,
        /// What they have.
        what: String,
        /// Key and value of some of them.
        examples: String,
        /// What to do.
        way_out: String,
    },
    /// Rows repeat what would be their key.
    #[error(
        "{rows} rows of table {table} would repeat the key ({key}) of another row, or have none\n  hint: choose a key in pipeline.toml that tells every row from the others, or delete the rows that repeat it; nothing was changed"
    )]
    Repeats {
        /// The table.
        table: Name,
        /// The key's columns.
        key: String,
        /// How many rows.
        rows: u64,
    },
    /// A column that is not there yet cannot tell rows from each other.
    #[error(
        "column {column} is a key of table {table}, and the table does not have it yet\n  hint: deploy it first without `key = true`, so that it is filled; then make it a key"
    )]
    NewKey {
        /// The table.
        table: Name,
        /// The column.
        column: String,
    },
}

const CUT_OFF_REPLACEMENT: &str = "its replacement was cut off";

/// Compares one object. `owner` is the pipeline's mark, `findings` what the rows of a table answered to [`check`].
pub fn object(
    wanted: &Object,
    live: Option<&LiveObject>,
    owner: &str,
    findings: &Findings,
) -> Result<Option<Difference>, Obstacle> {
    let Some(live) = live else {
        return Ok(Some(creation(wanted)));
    };
    if let Some(adoption) = adopt::applies(wanted, live, owner)? {
        return adopt::object(wanted, adoption, live, owner);
    }
    let Some((_, hash)) = live.mark().filter(|(found, _)| *found == owner) else {
        return Err(Obstacle::Foreign {
            kind: wanted.kind,
            name: wanted.name.clone(),
            comment: live.comment.clone(),
            way: adopt::way(wanted),
        });
    };
    let drift = hash == wanted.hash;
    let handover = Handover::read(hash);
    let mut changes = properties(wanted, live);
    if let Some(Handover::Paused(_)) = handover {
        return Ok(Some(replacement(wanted, CUT_OFF_REPLACEMENT, changes)));
    }
    let about = mark::about(&live.comment);
    if about != wanted.about && hash != mark::UNFINISHED {
        let change = PropertyChange::new("comment", Some(about.to_owned()), Some(wanted.about.clone()));
        changes.push(change);
    }
    if changes
        .iter()
        .any(|change| wanted.fixed.contains(&change.property.as_str()))
    {
        let fixed: Vec<&str> = changes
            .iter()
            .map(|change| change.property.as_str())
            .filter(|name| wanted.fixed.contains(name))
            .collect();
        let by_hand = match drift {
            true if fixed == ["stale"] => "it went stale, and ",
            true => "it was changed by hand, and ",
            false => "",
        };
        let reason = format!(
            "{by_hand}Snowflake cannot change {} of a {} in place",
            fixed.join(" and "),
            wanted.kind
        );
        return Ok(Some(Difference {
            drift,
            ..replacement(wanted, &reason, changes)
        }));
    }
    let columns = columns::columns(wanted, live, owner, findings)?;
    let undone = changes
        .iter()
        .filter_map(|change| wanted.statements.undo.get(&change.property));
    let mut statements: Vec<Arc<str>> = undone.flatten().cloned().collect();
    statements.extend(columns.statements.into_iter().map(Into::into));
    changes.extend(columns.changes);
    let (regranted, grants) = grants::grants(wanted, live);
    changes.extend(regranted);
    if changes.is_empty() && drift {
        return Ok(None);
    }
    let only_grants = drift && changes.iter().all(grants::is_of_grant);
    if changes.is_empty() {
        changes.push(PropertyChange::new(
            "definition",
            Some(hash.to_owned()),
            Some(wanted.hash.clone()),
        ));
    }
    // CREATE OR ALTER brings a task to its definition, and CREATE OR REPLACE a procedure, which holds nothing; other kinds
    // have statements of their own for it.
    let alter = match wanted.kind {
        Kind::Task | Kind::Procedure => &wanted.statements.create,
        _ => &wanted.statements.alter,
    };
    if !only_grants {
        statements.extend(alter.iter().cloned());
        statements.extend(wanted.statements.grants.iter().cloned());
    }
    let mut reason = match hash {
        _ if handover.is_some() => CUT_OFF_REPLACEMENT,
        mark::UNFINISHED => "its making was cut off",
        _ if drift => "it was changed by hand",
        _ => "the file changed",
    }
    .to_owned();
    reason.extend(columns.note.map(|note| format!("; {note}")));
    let loss = (!columns.losses.is_empty()).then(|| columns.losses.join(", and "));
    let reversible = changes.iter().all(goes_back);
    Ok(Some(Difference {
        kind: StepKind::Alter,
        reason,
        drift,
        changes,
        reversible: reversible && loss.is_none(),
        loss,
        actor: wanted.actor,
        statements,
        grants,
        is_made: handover.is_some(),
    }))
}

/// Whether a change can be undone in place: a column that was widened, or takes NULL now, may hold what does not fit then.
fn goes_back(change: &PropertyChange) -> bool {
    let loosens = change.property.ends_with(" nullability") && change.after.as_deref() == Some("NULL");
    !loosens && !change.property.ends_with(" type")
}

fn creation(wanted: &Object) -> Difference {
    let statements = wanted
        .statements
        .create
        .iter()
        .chain(&wanted.statements.grants)
        .cloned()
        .collect();
    let nothing = wanted
        .adoption
        .as_ref()
        .map_or("", |_| ", so there is nothing to adopt");
    Difference {
        kind: StepKind::Create,
        reason: format!("{MISSING}{nothing}"),
        drift: false,
        changes: vec![],
        loss: None,
        reversible: true,
        actor: wanted.actor,
        statements,
        grants: vec![],
        is_made: false,
    }
}

/// An object made anew.
pub fn replacement(wanted: &Object, reason: &str, changes: Vec<PropertyChange>) -> Difference {
    let all = &wanted.statements;
    let anew: Vec<&Arc<str>> = match &all.replace {
        Some(replace) => vec![replace],
        None => all.drop.iter().chain(&all.create).collect(),
    };
    let statements = anew.into_iter().chain(&all.grants).cloned().collect();
    let loss = wanted.kind.loss().map(str::to_owned);
    Difference {
        kind: StepKind::Replace,
        reason: reason.to_owned(),
        drift: false,
        changes,
        reversible: loss.is_none(),
        loss,
        actor: wanted.actor,
        statements,
        grants: vec![],
        is_made: false,
    }
}

fn properties(wanted: &Object, live: &LiveObject) -> Vec<PropertyChange> {
    let differs = |(name, new): (&'static str, Cow<'_, str>)| {
        let old = live.properties.get(name)?;
        (old != new).then(|| PropertyChange::new(name, Some(old.to_owned()), Some(new.into_owned())))
    };
    wanted.properties().into_iter().filter_map(differs).collect()
}
