//! Columns and primary key of a table: what is asked of its rows before, and the statements that change them.
//!
//! What Snowflake cannot change in place takes a column of the new type beside the old one, which is filled, dropped and
//! replaced by it. Each state in between is recognised: the table is marked unfinished, and the name of the column in the
//! making follows from the name of the column that it becomes.

use super::Obstacle;
use crate::graph::object::{ColumnDefinition, Leaving, Object};
use crate::plan::PropertyChange;
use crate::snowflake::cast::{Conversion, conversion};
use crate::snowflake::check::{Check, Findings, Question};
use crate::snowflake::ident::{Ident, Name, literal};
use crate::snowflake::mark;
use crate::snowflake::observe::{LiveColumn, LiveObject};

/// Comment of a column that takes the values of another one.
const IN_THE_MAKING: &str = "Takes the place of a column whose type changes; made by pipectl";

/// What must be done to a table's columns.
#[derive(Debug, Default)]
pub struct Columns {
    /// What differs.
    pub changes: Vec<PropertyChange>,
    /// The statements, in order.
    pub statements: Vec<String>,
    /// What is lost.
    pub losses: Vec<String>,
    /// What else must be known of it.
    pub note: Option<&'static str>,
}

/// A column of the file, and the one that holds its values now.
struct Place<'a> {
    column: &'a ColumnDefinition,
    found: Option<&'a LiveColumn>,
}

impl Place<'_> {
    /// The name that the values stand under now, as SQL.
    fn name(&self) -> String {
        let found = self.found.map(|found| Name::from_shown(&[found.name.as_str()]));
        found.map_or_else(|| self.column.name.to_string(), |name| name.to_string())
    }

    /// How its values become the type of the file; nothing where they have it, or where there are none.
    fn conversion(&self, table: &Name) -> Result<Option<Conversion>, Obstacle> {
        let Some(found) = self.found.filter(|found| found.data_type != self.column.data_type) else {
            return Ok(None);
        };
        let types = found.data_type.parse().ok().zip(self.column.data_type.parse().ok());
        let way = types.and_then(|(old, new)| conversion(old, new, &self.name()));
        way.map(Some).ok_or_else(|| Obstacle::Type {
            table: table.clone(),
            column: self.column.name.to_string(),
            old: found.data_type.to_string(),
            new: self.column.data_type.to_string(),
        })
    }
}

/// The name of the column that takes the place of `column`.
fn in_the_making(column: &Ident) -> Ident {
    // Names have at most 255 characters: https://docs.snowflake.com/en/sql-reference/identifiers-syntax
    let start: String = column.as_str().chars().take(240).collect();
    Ident::new(&format!("{start}__PIPECTL_NEW"))
}

/// The rows that go, where the table still has the column that they go with.
fn leaving<'a>(wanted: &'a Object, live: &LiveObject) -> Option<&'a Leaving> {
    let has = |rows: &&Leaving| live.columns.iter().any(|found| found.name == rows.column.as_str());
    wanted.leaving.as_deref().filter(has)
}

fn is_unfinished(live: &LiveObject) -> bool {
    live.mark().is_some_and(|(_, hash)| hash == mark::UNFINISHED)
}

fn places<'a>(wanted: &'a Object, live: &'a LiveObject) -> Vec<Place<'a>> {
    let named = |name: &Ident| live.columns.iter().find(|found| found.name == name.as_str());
    let unfinished = is_unfinished(live);
    let place = |column: &'a ColumnDefinition| {
        let cut_off =
            || named(&in_the_making(&column.name)).filter(|found| unfinished && *found.comment == *IN_THE_MAKING);
        let renamed = || column.was.as_ref().and_then(named);
        Place {
            column,
            found: named(&column.name).or_else(cut_off).or_else(renamed),
        }
    };
    wanted.columns.iter().map(place).collect()
}

/// What must be asked of the rows before the columns change; nothing where nothing hangs on them.
pub fn check(wanted: &Object, live: &LiveObject) -> Check {
    let mut check = Check::default();
    if live.property("rows") == "0" {
        return check;
    }
    let places = places(wanted, live);
    let example = |value: &str| {
        let shown = format!("LEFT(TO_VARCHAR({value}), 60)");
        let key = places.iter().filter(|place| wanted.key.contains(&place.column.name));
        let key: Vec<String> = key
            .filter(|place| place.found.is_some())
            .map(|place| format!("TO_VARCHAR({}) || ': ' || ", place.name()))
            .collect();
        format!("{}{shown}", key.concat())
    };
    let mut converted = false;
    for place in &places {
        let column = place.column.name.to_string();
        let name = place.name();
        // One that has no way is told by the plan.
        if let Ok(Some(way)) = place.conversion(&wanted.name) {
            converted |= wanted.key.contains(&place.column.name);
            if let Some(fails) = &way.fails {
                let condition = format!("{name} IS NOT NULL AND {fails}");
                check.rows(Question::Misfits(column.clone()), &condition, &example(&name));
            }
            if let Some(change) = &way.changes {
                let condition = format!("{name} IS NOT NULL AND {}", change.when);
                check.rows(Question::Changes(column.clone()), &condition, &example(&name));
            }
        }
        let is_new = place.column.not_null && place.found.is_some_and(|found| !found.not_null);
        // What a deploy that was cut off has not filled yet is empty.
        if is_new && !is_unfinished(live) {
            let stays = leaving(wanted, live).map(|rows| format!(" AND NOT ({})", rows.condition));
            check.rows(
                Question::Empty(column),
                &format!("{name} IS NULL{}", stays.unwrap_or_default()),
                &example("'no value'"),
            );
        }
    }
    let compared = |key: &Ident| {
        let place = places
            .iter()
            .find(|place| place.column.name == *key && place.found.is_some())?;
        let way = place.conversion(&wanted.name).ok()?;
        Some(way.map_or_else(|| place.name(), |way| way.compared))
    };
    let key: Option<Vec<String>> = wanted.key.iter().map(compared).collect();
    if let Some(key) = key.filter(|key| !key.is_empty() && (converted || is_other_key(wanted, live, &places))) {
        check.repeats(&key);
    }
    check
}

/// Names of the live key's columns, as they are called in the file.
fn live_key(live: &LiveObject, places: &[Place<'_>]) -> Vec<String> {
    let called = |name: &String| {
        let place = places
            .iter()
            .find(|place| place.found.is_some_and(|found| found.name == *name));
        place.map_or_else(|| name.clone(), |place| place.column.name.as_str().to_owned())
    };
    live.key.iter().map(called).collect()
}

fn is_other_key(wanted: &Object, live: &LiveObject, places: &[Place<'_>]) -> bool {
    let key: Vec<&str> = wanted.key.iter().map(Ident::as_str).collect();
    live_key(live, places) != key
}

/// Compares the columns of a table. `findings` is what its rows answered to [`check`].
pub fn columns(wanted: &Object, live: &LiveObject, owner: &str, findings: &Findings) -> Result<Columns, Obstacle> {
    if wanted.columns.is_empty() {
        return Ok(Columns::default());
    }
    let mut work = Work {
        wanted,
        live,
        findings,
        out: Columns::default(),
        after: Vec::new(),
        added: false,
        rebuilt: Vec::new(),
    };
    let places = places(wanted, live);
    for place in &places {
        work.column(place)?;
    }
    work.gone(&places);
    work.key(&places)?;
    Ok(work.finish(owner))
}

struct Work<'a> {
    wanted: &'a Object,
    live: &'a LiveObject,
    findings: &'a Findings,
    out: Columns,
    /// What can only be done when every row has its values.
    after: Vec<String>,
    added: bool,
    rebuilt: Vec<&'a Ident>,
}

impl<'a> Work<'a> {
    fn statement(&mut self, rest: impl std::fmt::Display) {
        self.out
            .statements
            .push(format!("ALTER TABLE {} {rest}", self.wanted.name));
    }

    fn change(&mut self, property: String, before: Option<&str>, after: Option<&str>) {
        let change = PropertyChange::new(property, before.map(str::to_owned), after.map(str::to_owned));
        self.out.changes.push(change);
    }

    fn refuse_values(&self, question: Question, what: String, way_out: String) -> Result<(), Obstacle> {
        match self.findings.get(&question) {
            Some(found) if found.rows > 0 => Err(Obstacle::Values {
                table: self.wanted.name.clone(),
                rows: found.rows,
                what,
                examples: found.examples.join("; "),
                way_out,
            }),
            _ => Ok(()),
        }
    }

    fn column(&mut self, place: &Place<'a>) -> Result<(), Obstacle> {
        let column = place.column;
        let name = &column.name;
        let Some(found) = place.found else {
            self.added = true;
            self.change(format!("column {name}"), None, Some(&described(column)));
            self.out.statements.push(addition(&self.wanted.name, column));
            if column.not_null {
                self.not_null(column);
            }
            return Ok(());
        };
        if found.name != name.as_str() {
            self.change(format!("column {name} name"), Some(&found.name), Some(name.as_str()));
            self.statement(format!("RENAME COLUMN {} TO {name}", place.name()));
        }
        let mut now = found.clone();
        if let Some(way) = place.conversion(&self.wanted.name)? {
            self.change_type(place, found, &way)?;
            if !way.in_place {
                now.not_null = false;
                now.comment = IN_THE_MAKING.into();
            }
        }
        self.nullability(column, found, &now)?;
        self.comment(column, found, &now);
        Ok(())
    }

    fn change_type(&mut self, place: &Place<'a>, found: &LiveColumn, way: &Conversion) -> Result<(), Obstacle> {
        let column = place.column;
        let name = &column.name;
        let (old, new) = (&found.data_type, &column.data_type);
        let way_out = format!("correct those rows, or write {old} in pipeline.toml");
        let what = format!("a value in {name} that is no {new}");
        self.refuse_values(Question::Misfits(name.to_string()), what, way_out)?;
        self.change(format!("column {name} type"), Some(old), Some(new));
        if let Some(change) = &way.changes {
            match self.findings.get(&Question::Changes(name.to_string())) {
                Some(found) if found.rows == 0 => {}
                Some(found) => {
                    let text = format!("{} of {name} in {} rows", change.loses, found.rows);
                    self.out.losses.push(text);
                }
                // Without rows nothing was asked.
                None if self.live.property("rows") == "0" => {}
                None => self.out.losses.push(format!("{} of {name}", change.loses)),
            }
        }
        if way.in_place {
            self.statement(format!("ALTER COLUMN {name} SET DATA TYPE {new}"));
            return Ok(());
        }
        let other = in_the_making(name);
        let is_other_type = |found: &&LiveColumn| found.name == other.as_str() && found.data_type != *new;
        if place.found.is_some_and(|found| found.name != other.as_str())
            && self.live.columns.iter().any(|found| is_other_type(&found))
        {
            self.statement(format!("DROP COLUMN IF EXISTS {other}"));
        }
        // By now it has its name of the file.
        let named = conversion_named(found, column).unwrap_or_else(|| way.clone());
        self.statement(format!(
            "ADD COLUMN IF NOT EXISTS {other} {new} COMMENT {}",
            literal(IN_THE_MAKING)
        ));
        self.out.statements.push(format!(
            "UPDATE {} SET {other} = {} WHERE {name} IS NOT NULL",
            self.wanted.name, named.value
        ));
        self.statement(format!("DROP COLUMN IF EXISTS {name}"));
        self.statement(format!("RENAME COLUMN {other} TO {name}"));
        self.rebuilt.push(name);
        Ok(())
    }

    fn nullability(&mut self, column: &ColumnDefinition, found: &LiveColumn, now: &LiveColumn) -> Result<(), Obstacle> {
        let name = &column.name;
        if found.not_null != column.not_null {
            let words = |not_null: bool| Some(if not_null { "NOT NULL" } else { "NULL" });
            self.change(
                format!("column {name} nullability"),
                words(found.not_null),
                words(column.not_null),
            );
        }
        match (now.not_null, column.not_null) {
            (false, true) => {
                let way_out = format!("give those rows a value, or let {name} be empty in pipeline.toml");
                let what = format!("no value in {name}");
                self.refuse_values(Question::Empty(name.to_string()), what, way_out)?;
                // NULL is refused when every row has its value.
                self.not_null(column);
            }
            (true, false) => self.statement(format!("ALTER COLUMN {name} DROP NOT NULL")),
            _ => {}
        }
        Ok(())
    }

    fn not_null(&mut self, column: &ColumnDefinition) {
        self.after.push(format!(
            "ALTER TABLE {} ALTER COLUMN {} SET NOT NULL",
            self.wanted.name, column.name
        ));
    }

    fn comment(&mut self, column: &ColumnDefinition, found: &LiveColumn, now: &LiveColumn) {
        let name = &column.name;
        let comment = column.comment.as_deref().unwrap_or_default();
        if *found.comment != *comment && *found.comment != *IN_THE_MAKING {
            self.change(format!("column {name} comment"), Some(&found.comment), Some(comment));
        }
        if *now.comment != *comment {
            self.statement(format!("ALTER COLUMN {name} COMMENT {}", literal(comment)));
        }
    }

    /// Columns that the file does not name are dropped.
    fn gone(&mut self, places: &[Place<'_>]) {
        let kept = |column: &&LiveColumn| {
            let holds = |place: &Place<'_>| place.found.is_some_and(|found| found.name == column.name);
            let in_use = |name: &&Ident| in_the_making(name).as_str() == column.name;
            !places.iter().any(holds) && !self.rebuilt.iter().any(in_use)
        };
        let gone: Vec<LiveColumn> = self.live.columns.iter().filter(kept).cloned().collect();
        if let Some(rows) = leaving(self.wanted, self.live) {
            self.out.statements.extend(rows.statements.iter().cloned());
            if self.live.property("rows") != "0" {
                self.out.losses.push(rows.loss.to_owned());
            }
        }
        let mut lost = Vec::new();
        for column in &gone {
            let name = Name::from_shown(&[column.name.as_str()]);
            self.change(format!("column {name}"), Some(&column.data_type), None);
            self.statement(format!("DROP COLUMN {name}"));
            // The column that it was filled from is still there.
            if *column.comment != *IN_THE_MAKING {
                lost.push(column.name.as_str());
            }
        }
        if !lost.is_empty() {
            self.out.losses.push(format!("the values of {}", lost.join(", ")));
        }
    }

    /// A key is declared, not enforced, and Snowflake trusts one that is RELY: so its rows are asked first.
    /// <https://docs.snowflake.com/en/sql-reference/constraints-properties>
    fn key(&mut self, places: &[Place<'_>]) -> Result<(), Obstacle> {
        let other = is_other_key(self.wanted, self.live, places);
        let of_key = |name: &&Ident| self.wanted.key.contains(name);
        let rebuilt = self.rebuilt.iter().any(of_key);
        let unreliable = !self.live.key.is_empty() && !self.live.key_is_relied_on;
        if !(other || rebuilt || (unreliable && !self.wanted.key.is_empty())) {
            return Ok(());
        }
        let missing = places
            .iter()
            .find(|place| place.found.is_none() && self.wanted.key.contains(&place.column.name));
        if let Some(place) = missing.filter(|_| self.live.property("rows") != "0") {
            return Err(Obstacle::NewKey {
                table: self.wanted.name.clone(),
                column: place.column.name.to_string(),
            });
        }
        let list = |names: &[&str]| {
            let names: Vec<String> = names
                .iter()
                .map(|name| Name::from_shown(&[*name]).to_string())
                .collect();
            names.join(", ")
        };
        let wanted: Vec<&str> = self.wanted.key.iter().map(Ident::as_str).collect();
        let live = live_key(self.live, places);
        let live: Vec<&str> = live.iter().map(String::as_str).collect();
        let repeated = self.findings.get(&Question::Repeats).filter(|found| found.rows > 0);
        if let Some(found) = repeated {
            return Err(Obstacle::Repeats {
                table: self.wanted.name.clone(),
                key: list(&wanted),
                rows: found.rows,
            });
        }
        if other || unreliable {
            let shown = |names: &[&str], relied: bool| {
                (!names.is_empty()).then(|| format!("{}{}", list(names), if relied { " RELY" } else { " NORELY" }))
            };
            let before = shown(&live, self.live.key_is_relied_on);
            self.change(
                "primary key".to_owned(),
                before.as_deref(),
                shown(&wanted, true).as_deref(),
            );
        }
        if other && !is_unfinished(self.live) && !live.is_empty() {
            self.out.note = Some("records that the old key took for one come back from those that were kept");
        }
        if !live.is_empty() {
            let drop = format!("ALTER TABLE {} DROP PRIMARY KEY", self.wanted.name);
            self.out.statements.insert(0, drop);
        }
        if !wanted.is_empty() {
            self.after.push(format!(
                "ALTER TABLE {} ADD PRIMARY KEY ({}) RELY",
                self.wanted.name,
                list(&wanted)
            ));
        }
        Ok(())
    }

    fn finish(mut self, owner: &str) -> Columns {
        let rekeyed = self.out.changes.iter().any(|change| change.property == "primary key");
        let refill = self.added || rekeyed || !self.rebuilt.is_empty();
        let backfill = &self.wanted.statements.backfill;
        // A column that is there does not tell whether it was filled. So the table is marked first, and the comment with
        // the new hash comes last: a deploy that is cut off in between fills the column when it is run again.
        if !self.rebuilt.is_empty() || (refill && !backfill.is_empty()) {
            let mark = literal(&mark::comment(&self.wanted.about, owner, mark::UNFINISHED));
            let sql = format!("ALTER TABLE {} SET COMMENT = {mark}", self.wanted.name);
            self.out.statements.insert(0, sql);
        }
        if refill || is_unfinished(self.live) {
            self.out.statements.extend(backfill.iter().map(ToString::to_string));
        }
        self.out.statements.append(&mut self.after);
        self.out
    }
}

/// A column in words.
pub fn described(column: &ColumnDefinition) -> String {
    format!("{}{}", column.data_type, if column.not_null { " NOT NULL" } else { "" })
}

/// The statement that adds a column. It takes NULL until it is filled.
pub fn addition(table: &Name, column: &ColumnDefinition) -> String {
    let comment = column.comment.as_deref();
    let comment = comment
        .map(|text| format!(" COMMENT {}", literal(text)))
        .unwrap_or_default();
    format!(
        "ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {} {}{comment}",
        column.name, column.data_type
    )
}

/// The conversion of a column that was renamed to its name of the file.
fn conversion_named(found: &LiveColumn, column: &ColumnDefinition) -> Option<Conversion> {
    let types = found.data_type.parse().ok().zip(column.data_type.parse().ok());
    types.and_then(|(old, new)| conversion(old, new, &column.name.to_string()))
}
