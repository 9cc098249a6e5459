//! What differs between an object as it is and as it must be, and the statements that close the gap. No I/O.

use super::ident::{Ident, Name, literal};
use super::mark::{self, Handover};
use super::observe::{LiveColumn, LiveObject};
use super::types;
use crate::graph::object::{ColumnDefinition, Kind, Object};
use crate::plan::{MISSING, PropertyChange, StepKind};

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
    /// The statements, in order.
    pub statements: Vec<String>,
    /// Whether a new pipe is there, and has yet to load what arrived while it was made.
    pub is_made: bool,
}

/// Why an object cannot be brought to its definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// It belongs to somebody else.
    #[error(
        "{kind} {name} exists and is not this pipeline's (its comment is {comment:?})\n  hint: choose another name in pipeline.toml, or rename the existing {kind}"
    )]
    Foreign {
        /// What it is.
        kind: Kind,
        /// Its name.
        name: Name,
        /// Its comment.
        comment: String,
    },
    /// A column's type cannot change in place.
    #[error(
        "column {column} of table {table} is {old} and cannot become {new} in place\n  hint: add a column of the new type under another name; it is filled from the records that were kept"
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
}

const CUT_OFF_REPLACEMENT: &str = "its replacement was cut off";

/// Compares one object. `owner` is the pipeline's mark.
pub fn object(wanted: &Object, live: Option<&LiveObject>, owner: &str) -> Result<Option<Difference>, Obstacle> {
    let Some(live) = live else {
        return Ok(Some(creation(wanted)));
    };
    let Some((_, hash)) = live.mark().filter(|(found, _)| *found == owner) else {
        return Err(Obstacle::Foreign {
            kind: wanted.kind,
            name: wanted.name.clone(),
            comment: live.comment.clone(),
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
    let (columns, mut statements, loss) = columns(wanted, live, owner, hash == mark::UNFINISHED)?;
    changes.extend(columns);
    if changes.is_empty() && drift {
        return Ok(None);
    }
    if changes.is_empty() {
        changes.push(PropertyChange::new(
            "definition",
            Some(hash.to_owned()),
            Some(wanted.hash.clone()),
        ));
    }
    // CREATE OR ALTER brings a task to its definition; other kinds have statements of their own for it.
    let alter = if wanted.kind == Kind::Task {
        &wanted.statements.create
    } else {
        &wanted.statements.alter
    };
    statements.extend(alter.iter().cloned());
    statements.extend(wanted.statements.grants.iter().cloned());
    let reason = match hash {
        _ if handover.is_some() => CUT_OFF_REPLACEMENT,
        mark::UNFINISHED => "its making was cut off",
        _ if drift => "it was changed by hand",
        _ => "the file changed",
    };
    let reversible = changes.iter().all(goes_back);
    Ok(Some(Difference {
        kind: StepKind::Alter,
        reason: reason.to_owned(),
        drift,
        changes,
        reversible: reversible && loss.is_none(),
        loss,
        statements,
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
    Difference {
        kind: StepKind::Create,
        reason: MISSING.to_owned(),
        drift: false,
        changes: vec![],
        loss: None,
        reversible: true,
        statements,
        is_made: false,
    }
}

/// An object made anew.
pub fn replacement(wanted: &Object, reason: &str, changes: Vec<PropertyChange>) -> Difference {
    let all = &wanted.statements;
    let anew: Vec<&String> = match &all.replace {
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
        statements,
        is_made: false,
    }
}

fn properties(wanted: &Object, live: &LiveObject) -> Vec<PropertyChange> {
    let differs = |(name, new): (&&'static str, &String)| {
        let old = live.properties.get(name)?;
        (old != new).then(|| PropertyChange::new(*name, Some(old.clone()), Some(new.clone())))
    };
    wanted.properties.iter().filter_map(differs).collect()
}

type Columns = (Vec<PropertyChange>, Vec<String>, Option<String>);

fn columns(wanted: &Object, live: &LiveObject, owner: &str, is_unfinished: bool) -> Result<Columns, Obstacle> {
    let table = &wanted.name;
    let (mut changes, mut statements, mut after) = (Vec::new(), Vec::new(), Vec::new());
    let mut added = false;
    let mut renames = Vec::new();
    for column in &wanted.columns {
        let named = |name: &Ident| live.columns.iter().find(|found| found.name == name.as_str());
        let renamed = column.was.as_ref().and_then(|was| Some((was, named(was)?)));
        match (named(&column.name), renamed) {
            (None, Some((was, found))) => {
                changes.push(PropertyChange::new(
                    format!("column {} name", column.name),
                    Some(was.to_string()),
                    Some(column.name.to_string()),
                ));
                statements.push(format!("ALTER TABLE {table} RENAME COLUMN {was} TO {}", column.name));
                renames.push(found.name.as_str());
                alteration(table, column, found, &mut changes, &mut statements, &mut after)?;
            }
            (None, None) => {
                added = true;
                changes.push(PropertyChange::new(
                    format!("column {}", column.name),
                    None,
                    Some(described(column)),
                ));
                statements.push(addition(table, column));
                if column.not_null {
                    after.push(format!("ALTER TABLE {table} ALTER COLUMN {} SET NOT NULL", column.name));
                }
            }
            (Some(found), _) => alteration(table, column, found, &mut changes, &mut statements, &mut after)?,
        }
    }
    let gone: Vec<&LiveColumn> = if wanted.columns.is_empty() {
        Vec::new()
    } else {
        let kept = |found: &&LiveColumn| {
            !renames.contains(&found.name.as_str())
                && !wanted.columns.iter().any(|column| column.name.as_str() == found.name)
        };
        live.columns.iter().filter(kept).collect()
    };
    for column in &gone {
        let name = Name::from_shown(&[column.name.as_str()]);
        changes.push(PropertyChange::new(
            format!("column {name}"),
            Some(column.data_type.clone()),
            None,
        ));
        statements.push(format!("ALTER TABLE {table} DROP COLUMN {name}"));
    }
    // A column that is there does not tell whether it was filled. So the table is marked first, and the comment with the
    // new hash comes last: a deploy that is cut off in between fills the column when it is run again.
    if added && !wanted.statements.backfill.is_empty() {
        let mark = literal(&mark::comment(&wanted.about, owner, mark::UNFINISHED));
        statements.insert(0, format!("ALTER TABLE {table} SET COMMENT = {mark}"));
    }
    if added || is_unfinished {
        statements.extend(wanted.statements.backfill.iter().cloned());
    }
    statements.extend(after);
    let names: Vec<&str> = gone.iter().map(|column| column.name.as_str()).collect();
    let loss = (!gone.is_empty()).then(|| format!("the values of {}", names.join(", ")));
    Ok((changes, statements, loss))
}

fn described(column: &ColumnDefinition) -> String {
    format!("{}{}", column.data_type, if column.not_null { " NOT NULL" } else { "" })
}

fn addition(table: &Name, column: &ColumnDefinition) -> String {
    let comment = column
        .comment
        .as_deref()
        .map(|text| format!(" COMMENT {}", literal(text)))
        .unwrap_or_default();
    format!(
        "ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {} {}{comment}",
        column.name, column.data_type
    )
}

fn alteration(
    table: &Name,
    column: &ColumnDefinition,
    live: &LiveColumn,
    changes: &mut Vec<PropertyChange>,
    statements: &mut Vec<String>,
    after: &mut Vec<String>,
) -> Result<(), Obstacle> {
    let name: &Ident = &column.name;
    let mut change = |property: &str, old: &str, new: &str| {
        changes.push(PropertyChange::new(
            format!("column {name} {property}"),
            Some(old.to_owned()),
            Some(new.to_owned()),
        ));
    };
    if live.data_type != column.data_type {
        if !types::widens(&live.data_type, &column.data_type) {
            return Err(Obstacle::Type {
                table: table.clone(),
                column: name.to_string(),
                old: live.data_type.clone(),
                new: column.data_type.clone(),
            });
        }
        let sql = format!(
            "ALTER TABLE {table} ALTER COLUMN {name} SET DATA TYPE {}",
            column.data_type
        );
        change("type", &live.data_type, &column.data_type);
        statements.push(sql);
    }
    if live.not_null != column.not_null {
        let words = |not_null: bool| if not_null { "NOT NULL" } else { "NULL" };
        let verb = if column.not_null { "SET" } else { "DROP" };
        let sql = format!("ALTER TABLE {table} ALTER COLUMN {name} {verb} NOT NULL");
        change("nullability", words(live.not_null), words(column.not_null));
        // NULL is refused when every row has its value.
        if column.not_null { &mut *after } else { &mut *statements }.push(sql);
    }
    let comment = column.comment.as_deref().unwrap_or_default();
    if live.comment != comment {
        let sql = format!("ALTER TABLE {table} ALTER COLUMN {name} COMMENT {}", literal(comment));
        change("comment", &live.comment, comment);
        statements.push(sql);
    }
    Ok(())
}
