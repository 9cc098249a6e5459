//! `[[dimension]]`, `[[fact]]`, `[[transform]]`: names, references, expressions.

use crate::spec::code;
use crate::spec::cursor::Cursor;
use crate::spec::diagnostic::Fault;
use crate::spec::expression;
use crate::spec::suggest;

use super::{name, sql_type};

/// Most dimensions, facts and transforms: all of them come before one task, and a task takes 100 predecessors.
/// <https://docs.snowflake.com/en/user-guide/tasks-graphs>
const MOST: usize = 100;

pub(super) fn check(root: &Cursor<'_>, faults: &mut Vec<Fault>) {
    let items = |key: &str| root.key(key).items().unwrap_or_default();
    let star = Star {
        tables: items("table"),
        dimensions: items("dimension"),
        facts: items("fact"),
        transforms: items("transform"),
    };
    star.names(faults);
    for dimension in &star.dimensions {
        star.dimension(dimension, faults);
    }
    for fact in &star.facts {
        star.fact(fact, faults);
    }
    for (position, transform) in star.transforms.iter().enumerate() {
        star.transform(position, transform, faults);
    }
}

struct Star<'a> {
    tables: Vec<Cursor<'a>>,
    dimensions: Vec<Cursor<'a>>,
    facts: Vec<Cursor<'a>>,
    transforms: Vec<Cursor<'a>>,
}

fn called<'a>(item: &Cursor<'a>) -> Option<&'a str> {
    item.key("name").text()
}

fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

fn find<'c, 'a>(items: &'c [Cursor<'a>], name: &str) -> Option<&'c Cursor<'a>> {
    items
        .iter()
        .find(|item| called(item).is_some_and(|other| same(other, name)))
}

impl<'a> Star<'a> {
    /// Tables, dimensions and facts are tables of one schema; each of them, and each transform, has a task.
    fn names(&self, faults: &mut Vec<Fault>) {
        let groups = [
            ("table", &self.tables),
            ("dimension", &self.dimensions),
            ("fact", &self.facts),
            ("transform", &self.transforms),
        ];
        let mut seen: Vec<(&str, &str)> = Vec::new();
        let mut count = 0;
        for (what, items) in groups {
            for item in items {
                let at = item.key("name");
                if what != "table" {
                    count += 1;
                    name::identifier(&at, "table", faults);
                    if count == MOST + 1 {
                        let message = format!("a star has at most {MOST} dimensions, facts and transforms");
                        faults.push(at.fault(code::RANGE, message).hint("make two pipelines of it"));
                    }
                }
                let Some(name) = at.text() else { continue };
                match seen.iter().find(|(_, other)| same(other, name)) {
                    // Two tables of one name are said where tables are checked.
                    Some(("table", _)) if what == "table" => {}
                    Some((other, _)) => {
                        let message = format!("there is already a {other} `{name}`");
                        faults.push(at.fault(code::DUPLICATE, message).hint("give it another name"));
                    }
                    None => seen.push((what, name)),
                }
            }
        }
    }

    /// The table that `from` names, with the names of its columns.
    fn source(&self, at: &Cursor<'a>, faults: &mut Vec<Fault>) -> Option<Vec<&'a str>> {
        let name = at.text()?;
        let Some(table) = find(&self.tables, name) else {
            let known: Vec<&str> = self.tables.iter().filter_map(called).collect();
            let message = format!("there is no table `{name}`");
            faults.push(at.fault(code::UNKNOWN_VALUE, message).hint(suggest::hint(name, &known)));
            return None;
        };
        let columns = table.key("columns").items().unwrap_or_default();
        Some(columns.iter().filter_map(called).collect())
    }

    fn dimension(&self, dimension: &Cursor<'a>, faults: &mut Vec<Fault>) {
        let calendar = dimension.key("calendar");
        if calendar.is_present() {
            for key in ["from", "where", "effective", "columns", "scd"] {
                let at = dimension.key(key);
                if at.is_present() {
                    let message = format!("a dimension of time has no `{key}`: its columns are those of the calendar");
                    faults.push(at.fault(code::TABLE, message).on_key().hint("remove it, or `calendar`"));
                }
            }
            return;
        }
        let from = dimension.key("from");
        if !from.is_present() {
            let message = "a dimension is made from a table, or is a calendar";
            faults.push(
                from.fault(code::REQUIRED, message)
                    .hint("add `from = \"…\"`, or `calendar = \"day\"`"),
            );
        }
        let source = self.source(&from, faults);
        let columns = dimension.key("columns").items().unwrap_or_default();
        self.columns(&columns, source.as_deref(), faults);
        if !columns.iter().any(is_key) {
            let message = "nothing tells the members of this dimension apart";
            faults.push(
                dimension
                    .key("columns")
                    .fault(code::TABLE, message)
                    .hint("add `columns` with `key = true` on those that make a member unique"),
            );
        }
        self.own_columns(dimension, &columns, faults);
        let scd = dimension.key("scd");
        if scd.integer().is_some_and(|scd| !(1..=2).contains(&scd)) {
            let hint = "1 overwrites what changed, 2 keeps every version";
            faults.push(scd.fault(code::RANGE, "this type of dimension is not known").hint(hint));
        }
        let effective = dimension.key("effective");
        if effective.is_present() && scd.integer() != Some(2) {
            let message = "only versions begin at a moment, and this dimension has none";
            faults.push(
                effective
                    .fault(code::TABLE, message)
                    .on_key()
                    .hint("add `scd = 2`, or remove it"),
            );
        }
        for at in [dimension.key("where"), effective] {
            sql(&at, source.as_deref(), faults);
        }
    }

    /// Columns that the dimension has besides those it is told.
    fn own_columns(&self, dimension: &Cursor<'a>, columns: &[Cursor<'a>], faults: &mut Vec<Fault>) {
        let mut own: Vec<String> = called(dimension)
            .map(crate::model::star::surrogate)
            .into_iter()
            .collect();
        if dimension.key("scd").integer() == Some(2) {
            own.extend(["VALID_FROM", "VALID_TO", "IS_CURRENT"].map(str::to_owned));
        }
        for column in columns {
            let at = column.key("name");
            let Some(name) = at.text() else { continue };
            if own.iter().any(|other| same(other, name)) {
                let message = format!("`{name}` is a column that this dimension has without being told");
                faults.push(at.fault(code::RESERVED, message).hint("choose another name"));
            }
        }
    }

    /// Columns with their expressions.
    fn columns(&self, columns: &[Cursor<'a>], source: Option<&[&str]>, faults: &mut Vec<Fault>) {
        let mut seen: Vec<&str> = Vec::new();
        for column in columns {
            let at = column.key("name");
            name::identifier(&at, "column", faults);
            if let Some(name) = at.text() {
                if name.starts_with('_') {
                    let message = "names that start with `_` are pipectl's in dimensions and facts";
                    faults.push(at.fault(code::RESERVED, message).hint("choose another name"));
                }
                if seen.iter().any(|other| same(other, name)) {
                    let message = format!("there is already a column `{name}`");
                    faults.push(at.fault(code::DUPLICATE, message).hint("give it another name"));
                }
                seen.push(name);
                let known = source.unwrap_or_default();
                if !column.key("sql").is_present() && source.is_some() && !known.iter().any(|other| same(other, name)) {
                    let message = format!("the table has no column `{name}`, so this one needs `sql`");
                    let hint = suggest::hint(name, known);
                    faults.push(at.fault(code::REQUIRED, message).hint(hint));
                }
            }
            data_type(&column.key("type"), is_key(column), faults);
            sql(&column.key("sql"), source, faults);
        }
    }

    fn fact(&self, fact: &Cursor<'a>, faults: &mut Vec<Fault>) {
        let source = self.source(&fact.key("from"), faults);
        let columns = fact.key("columns").items().unwrap_or_default();
        self.columns(&columns, source.as_deref(), faults);
        sql(&fact.key("where"), source.as_deref(), faults);
        let mut taken: Vec<String> = columns.iter().filter_map(called).map(str::to_uppercase).collect();
        for lookup in fact.key("dimensions").items().unwrap_or_default() {
            self.lookup(fact, &lookup, source.as_deref(), &mut taken, faults);
        }
    }

    fn lookup(
        &self,
        fact: &Cursor<'a>,
        lookup: &Cursor<'a>,
        source: Option<&[&str]>,
        taken: &mut Vec<String>,
        faults: &mut Vec<Fault>,
    ) {
        let expressions = lookup.key("sql").items().unwrap_or_default();
        for expression in &expressions {
            sql(expression, source, faults);
        }
        let moment = lookup.key("at");
        sql(&moment, source, faults);
        let at = lookup.key("dimension");
        let Some(name) = at.text() else { return };
        let Some(dimension) = find(&self.dimensions, name) else {
            let known: Vec<&str> = self.dimensions.iter().filter_map(called).collect();
            let message = format!("there is no dimension `{name}`");
            faults.push(at.fault(code::UNKNOWN_VALUE, message).hint(suggest::hint(name, &known)));
            return;
        };
        let calendar = dimension.key("calendar").is_present();
        let keys = dimension.key("columns").items().unwrap_or_default();
        let wanted = if calendar {
            1
        } else {
            keys.iter().filter(|column| is_key(column)).count()
        };
        let from = |item: &Cursor<'a>| item.key("from").text().map(str::to_uppercase);
        if !lookup.key("sql").is_present() && (calendar || from(fact) != from(dimension)) {
            let message = format!("`{name}` is not made from the fact's table, so its key needs `sql` here");
            let hint = "add `sql = [\"…\"]`, one expression for each key column of the dimension";
            faults.push(at.fault(code::REQUIRED, message).hint(hint));
        }
        if lookup.key("sql").items().is_some() && expressions.len() != wanted {
            let message = format!(
                "a member of `{name}` is found by {wanted} expressions, and here are {}",
                expressions.len()
            );
            let hint = "one for each key column of the dimension, in their order";
            faults.push(lookup.key("sql").fault(code::TABLE, message).hint(hint));
        }
        let versions = dimension.key("scd").integer() == Some(2);
        if versions && !moment.is_present() {
            let message = format!("`{name}` keeps versions, so a fact says of which moment it wants one");
            faults.push(
                at.fault(code::REQUIRED, message)
                    .hint("add `at = \"…\"`, the time of the fact"),
            );
        } else if !versions && moment.is_present() {
            let message = format!("`{name}` keeps no versions, so there is no moment to ask for");
            faults.push(
                moment
                    .fault(code::TABLE, message)
                    .on_key()
                    .hint("remove it, or add `scd = 2` to the dimension"),
            );
        }
        let column = lookup.key("column");
        name::identifier(&column, "column", faults);
        let shown = column
            .text()
            .map_or_else(|| crate::model::star::surrogate(name), str::to_owned);
        if taken.contains(&shown.to_uppercase()) {
            let place = if column.is_present() { column } else { at };
            let message = format!("the fact already has a column `{}`", shown.to_lowercase());
            faults.push(
                place
                    .fault(code::DUPLICATE, message)
                    .hint("add `column = \"…\"`, another name"),
            );
        }
        taken.push(shown.to_uppercase());
    }

    fn transform(&self, position: usize, transform: &Cursor<'a>, faults: &mut Vec<Fault>) {
        let after = transform.key("after");
        let names = after.items().unwrap_or_default();
        if after.items().is_some_and(|names| names.is_empty()) {
            let message = "a transform runs after something";
            faults.push(
                after
                    .fault(code::REQUIRED, message)
                    .hint("such as `after = [\"fact_sale\"]`"),
            );
        }
        for at in &names {
            let Some(name) = at.text() else { continue };
            let earlier = self.transforms.get(..position).unwrap_or_default();
            let before = [&self.tables[..], &self.dimensions[..], &self.facts[..], earlier];
            if before.iter().any(|items| find(items, name).is_some()) {
                continue;
            }
            let later = find(&self.transforms, name).is_some();
            let known: Vec<&str> = before.into_iter().flatten().filter_map(called).collect();
            let (message, hint) = if later {
                let message = format!("`{name}` stands behind this transform, so it cannot come before it");
                (message, "put it in front of this one".to_owned())
            } else {
                let message = format!("there is no table, dimension, fact or transform `{name}`");
                (message, suggest::hint(name, &known))
            };
            faults.push(at.fault(code::UNKNOWN_VALUE, message).hint(hint));
        }
    }
}

fn is_key(column: &Cursor<'_>) -> bool {
    column.key("key").boolean() == Some(true)
}

fn data_type(at: &Cursor<'_>, key: bool, faults: &mut Vec<Fault>) {
    if let Some(parsed) = sql_type(at, faults)
        && key
        && !parsed.is_comparable()
    {
        let message = format!("a key cannot be of type {parsed}");
        faults.push(at.fault(code::SQL_TYPE, message).hint("take a plain value out of it"));
    }
}

fn sql(at: &Cursor<'_>, source: Option<&[&str]>, faults: &mut Vec<Fault>) {
    let (Some(text), Some(columns)) = (at.text(), source) else {
        return;
    };
    for error in expression::check(text, columns) {
        faults.push(
            at.fault(code::EXPRESSION, error.message)
                .within(error.at)
                .hint(error.hint),
        );
    }
}
