//! Objects that exist and are somebody's, taken over as they are: what they lack is added, nothing else of them changes.
//! They keep their owners, so the deploying role does everything, and giving one back is no more than taking the mark
//! out of its comment. No I/O.

use super::cast::conversion;
use super::diff::{Difference, Obstacle, addition, described, shown_grant};
use super::grant::{Grant, On};
use super::ident::{Name, literal};
use super::mark;
use super::observe::{LiveColumn, LiveObject};
use crate::graph::object::{Actor, Adoption, ColumnDefinition, Kind, Object};
use crate::graph::snowflake::securable;
use crate::plan::{PropertyChange, StepKind};

/// The way out where an object could be taken over, to stand behind the other ways.
pub fn way(wanted: &Object) -> &'static str {
    match wanted.kind {
        _ if !wanted.can_be_adopted => "",
        Kind::Table => ", or take it over with `adopt = true` in its [[table]]",
        Kind::Database | Kind::Schema => ", or work in it with `adopt = true` in [snowflake]",
        Kind::Stage => ", or take it over with `stage = { name = \"…\", adopt = true }` in [snowflake]",
        _ => "",
    }
}

/// How `live` is taken over, or stays so; nothing when it is the pipeline's own, or foreign and not to be adopted.
pub fn applies<'a>(wanted: &'a Object, live: &LiveObject, owner: &str) -> Result<Option<&'a Adoption>, Obstacle> {
    let obstacle = |why: String, hint: &str| Obstacle::Adoption {
        kind: wanted.kind,
        name: wanted.name.clone(),
        why,
        hint: hint.to_owned(),
    };
    match (live.mark(), &wanted.adoption) {
        (Some((found, _)), Some(_)) if found != owner => Err(obstacle(
            format!("belongs to the pipeline {found} and cannot be adopted"),
            "destroy that pipeline first, or take the object out of it",
        )),
        (Some(_), None) if live.is_adopted_by(owner) => Err(obstacle(
            "was adopted, and the file does not say so any more".to_owned(),
            "put `adopt = true` back; to give it back, take it out of the file, or use `pipectl destroy`",
        )),
        (Some(_), Some(adoption)) => Ok(live.is_adopted_by(owner).then_some(adoption)),
        (None, adoption) => Ok(adoption.as_ref()),
        (Some(_), None) => Ok(None),
    }
}

/// Compares an object that is taken over, or was.
pub fn object(
    wanted: &Object,
    adoption: &Adoption,
    live: &LiveObject,
    owner: &str,
) -> Result<Option<Difference>, Obstacle> {
    let (mut changes, mut statements) = (Vec::new(), Vec::new());
    let is_new = live.mark().is_none();
    let hash = live.mark().map_or("", |(_, hash)| hash);
    let old = mark::about(&live.comment);
    // The other kinds' words are pipectl's own, and no better than those that are there.
    let about = match wanted.kind {
        Kind::Table if !wanted.about.is_empty() => wanted.about.as_str(),
        _ => old,
    };
    if about != old {
        changes.push(PropertyChange::new(
            "comment",
            Some(old.to_owned()),
            Some(about.to_owned()),
        ));
    }
    if wanted.kind == Kind::Stage {
        same_folder(wanted, live)?;
    }
    let left = columns(wanted, live, &mut changes, &mut statements)?;
    if !is_new {
        changes.extend(missing(adoption, wanted, live).map(|grant| shown_grant(&grant, true)));
    }
    let drift = hash == wanted.hash;
    if changes.is_empty() && drift {
        return Ok(None);
    }
    let adds = !statements.is_empty();
    let comment = |hash: &str| {
        let text = literal(&mark::adopted(about, owner, hash));
        format!(
            "ALTER {} {} SET COMMENT = {text}",
            wanted.kind.label().to_uppercase(),
            wanted.name
        )
    };
    // The hash comes last, so a take-over that is cut off is gone on with.
    statements.insert(0, comment(mark::UNFINISHED));
    statements.extend(adoption.grants.iter().map(ToString::to_string));
    if adds || hash == mark::UNFINISHED {
        statements.extend(wanted.statements.backfill.iter().map(ToString::to_string));
    }
    statements.push(comment(&wanted.hash));
    let reason = match hash {
        _ if is_new => taken(wanted, live, &left),
        mark::UNFINISHED => "its adoption was cut off".to_owned(),
        _ if drift => "it was changed by hand".to_owned(),
        _ => "the file changed".to_owned(),
    };
    if !is_new && changes.is_empty() {
        changes.push(PropertyChange::new(
            "definition",
            Some(hash.to_owned()),
            Some(wanted.hash.clone()),
        ));
    }
    Ok(Some(Difference {
        kind: if is_new { StepKind::Adopt } else { StepKind::Alter },
        reason,
        drift: drift && !is_new,
        changes,
        loss: None,
        // What is added to it stays when it is given back.
        reversible: !adds,
        actor: Actor::Deployer,
        statements: statements.into_iter().map(Into::into).collect(),
        grants: vec![],
        is_made: false,
    }))
}

/// What the pipeline's roles need on the object and do not have. What they have beyond it, its owner gave them.
fn missing(adoption: &Adoption, wanted: &Object, live: &LiveObject) -> impl Iterator<Item = Grant> {
    let needed = adoption
        .grants
        .iter()
        .filter_map(|sql| Grant::of_statement(sql))
        .flatten();
    let on = On::Object(securable(wanted.kind).into(), wanted.name.clone());
    let granted = live.grants.as_ref();
    needed.filter(move |grant| grant.on == on && granted.is_some_and(|granted| !granted.contains(grant)))
}

/// What is taken over, in words.
fn taken(wanted: &Object, live: &LiveObject, left: &[&LiveColumn]) -> String {
    let owner = live.property("owner");
    let role = if owner.is_empty() {
        String::new()
    } else {
        format!(" {owner}")
    };
    match wanted.kind {
        Kind::Table => {
            let rows = match live.property("rows") {
                "" => "rows".to_owned(),
                "1" => "1 row".to_owned(),
                count => format!("{count} rows"),
            };
            let names: Vec<&str> = left.iter().map(|column| column.name.as_str()).collect();
            let others = match names.is_empty() {
                true => String::new(),
                false => format!("; the pipeline never writes {}", names.join(", ")),
            };
            let key: Vec<String> = wanted.key.iter().map(ToString::to_string).collect();
            format!(
                "it exists: it keeps its owner{role} and its {rows}, and one whose {} arrives again is updated{others}",
                key.join(", ")
            )
        }
        Kind::Stage => format!(
            "it exists: it keeps its owner{role}, its integration {} and its file format",
            live.property("storage_integration")
        ),
        _ => format!("it exists: it keeps its owner{role} and all that is in it"),
    }
}

/// A stage that leads elsewhere is of no use, and changing where it leads would stop the pipes that read it.
fn same_folder(wanted: &Object, live: &LiveObject) -> Result<(), Obstacle> {
    let folder = |object: Option<&str>| {
        object
            .map(|url| url.trim_end_matches('/').to_owned())
            .unwrap_or_default()
    };
    let (needed, found) = (folder(wanted.settings.get("url")), folder(live.properties.get("url")));
    if needed == found {
        return Ok(());
    }
    Err(Obstacle::Adoption {
        kind: wanted.kind,
        name: wanted.name.clone(),
        why: format!("reads {found}/, and the pipeline's files lie in {needed}/"),
        hint: "name another stage, or leave `stage` out: pipectl then makes one".to_owned(),
    })
}

/// Adds what is missing, and gives the columns that are left alone.
fn columns<'a>(
    wanted: &Object,
    live: &'a LiveObject,
    changes: &mut Vec<PropertyChange>,
    statements: &mut Vec<String>,
) -> Result<Vec<&'a LiveColumn>, Obstacle> {
    let table = &wanted.name;
    for column in &wanted.columns {
        let Some(found) = live.columns.iter().find(|found| found.name == column.name.as_str()) else {
            if wanted.key.contains(&column.name) {
                return Err(no_key(table, column, live));
            }
            // Rows that are there have no value for it.
            let nullable = ColumnDefinition {
                not_null: false,
                ..column.clone()
            };
            changes.push(PropertyChange::new(
                format!("column {}", column.name),
                None,
                Some(described(&nullable)),
            ));
            statements.push(addition(table, &nullable));
            continue;
        };
        fits(table, column, found)?;
        if let Some(text) = column.comment.as_ref().filter(|text| **text != found.comment) {
            changes.push(PropertyChange::new(
                format!("column {} comment", column.name),
                Some(found.comment.to_string()),
                Some(text.to_string()),
            ));
            statements.push(format!(
                "ALTER TABLE {table} ALTER COLUMN {} COMMENT {}",
                column.name,
                literal(text)
            ));
        }
    }
    let is_wanted = |found: &LiveColumn| wanted.columns.iter().any(|column| column.name.as_str() == found.name);
    let left: Vec<&LiveColumn> = live.columns.iter().filter(|found| !is_wanted(found)).collect();
    let blocking = left
        .iter()
        .find(|found| wanted.kind == Kind::Table && found.not_null && !found.has_default);
    if let Some(found) = blocking {
        return Err(table_obstacle(
            table,
            format!("refuses rows without {}, which no column of the file is", found.name),
            "add the column to `columns`, or give it a default (ALTER TABLE … ALTER COLUMN … DROP NOT NULL)".to_owned(),
        ));
    }
    Ok(left)
}

fn no_key(table: &Name, column: &ColumnDefinition, live: &LiveObject) -> Obstacle {
    let names: Vec<&str> = live.columns.iter().map(|found| found.name.as_str()).collect();
    table_obstacle(
        table,
        format!("has no column {}, and rows are merged by it", column.name),
        format!("name the key as the table does; it has {}", names.join(", ")),
    )
}

/// Whether every value of the file's type can be kept in the column as it is.
fn fits(table: &Name, column: &ColumnDefinition, found: &LiveColumn) -> Result<(), Obstacle> {
    if found.data_type != column.data_type && !is_wider(&found.data_type, &column.data_type) {
        let why = format!(
            "cannot be adopted: its column {} is {}, and the file says {}",
            column.name, found.data_type, column.data_type
        );
        let hint = format!("write `type = \"{}\"`, or leave the column out", found.data_type);
        return Err(table_obstacle(table, why, hint));
    }
    // A row's missing value is written as NULL, so a default does not help.
    if found.not_null && !column.not_null {
        let why = format!("refuses rows without {}, and the file lets it be missing", column.name);
        let hint = "add `not_null = true` to the column: records without it are then rejected, and kept";
        return Err(table_obstacle(table, why, hint.to_owned()));
    }
    Ok(())
}

/// Whether a column of the type `other` keeps every value of `of`.
fn is_wider(other: &str, of: &str) -> bool {
    let types = of.parse().ok().zip(other.parse().ok());
    let way = types.and_then(|(of, other)| conversion(of, other, ""));
    way.is_some_and(|way| way.in_place && way.fails.is_none() && way.changes.is_none())
}

fn table_obstacle(table: &Name, why: String, hint: String) -> Obstacle {
    Obstacle::Adoption {
        kind: Kind::Table,
        name: table.clone(),
        why,
        hint,
    }
}
