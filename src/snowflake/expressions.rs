//! Expressions of the star schema, compiled by Snowflake itself before anything is changed: functions that do not exist,
//! arguments of the wrong type, values that no cast makes what the column is.
//!
//! `EXPLAIN` compiles a statement and does not run it, so neither a warehouse nor any table must be there:
//! <https://docs.snowflake.com/en/sql-reference/sql/explain>. The columns of the tables are typed NULLs. All expressions
//! are one statement; only when that one is refused is each asked apart, to tell which it is.

use futures::{StreamExt, TryStreamExt, stream};

use super::client::{Client, SnowflakeError, Statement};
use crate::model::Table;
use crate::spec::star::{Dimension, Fact, StarColumn};
use crate::spec::types::Spec;
use crate::spec::{Fault, Path, code};

/// Expressions in one statement; more are asked by another one.
const AT_ONCE: usize = 400;
/// Statements that are asked at the same time.
const BESIDE: usize = 8;
/// What moments are cast to.
const MOMENT: &str = "TIMESTAMP_NTZ(9)";

/// An expression of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    /// Where it stands.
    path: Path,
    /// Name of the table whose columns it sees.
    table: String,
    /// The expression.
    sql: String,
    /// The type of its value; a condition without.
    data_type: Option<String>,
}

/// The expressions of the dimensions and facts that `is_changed` names, or whose table it names.
pub fn of_star(spec: &Spec, is_changed: impl Fn(&str, &str) -> bool) -> Vec<Expression> {
    let mut list = Vec::new();
    let at = Path::root().key("dimension");
    for (index, dimension) in spec.dimensions.iter().enumerate() {
        let from = dimension.from.as_deref().unwrap_or_default();
        if dimension.calendar.is_none() && is_changed(&dimension.name, from) {
            of_dimension(dimension, &at.index(index), from, &mut list);
        }
    }
    let at = Path::root().key("fact");
    for (index, fact) in spec.facts.iter().enumerate() {
        if is_changed(&fact.name, &fact.from) {
            of_fact(spec, fact, &at.index(index), &mut list);
        }
    }
    list
}

struct Site<'a> {
    table: &'a str,
    list: &'a mut Vec<Expression>,
}

impl Site<'_> {
    fn add(&mut self, path: Path, sql: &str, data_type: Option<&str>) {
        self.list.push(Expression {
            path,
            table: self.table.to_owned(),
            sql: sql.to_owned(),
            data_type: data_type.map(str::to_owned),
        });
    }

    fn optional(&mut self, path: Path, sql: Option<&String>, data_type: Option<&str>) {
        if let Some(sql) = sql {
            self.add(path, sql, data_type);
        }
    }

    /// A column without an expression is that of the same name, and must be of a type that becomes its own.
    fn columns(&mut self, at: &Path, columns: &[StarColumn]) {
        for (index, column) in columns.iter().enumerate() {
            let at = at.key("columns").index(index);
            let data_type = Some(column.data_type.as_str());
            match &column.sql {
                Some(sql) => self.add(at.key("sql"), sql, data_type),
                None => self.add(at.key("type"), &column.name, data_type),
            }
        }
    }
}

fn of_dimension(dimension: &Dimension, at: &Path, from: &str, list: &mut Vec<Expression>) {
    let mut site = Site { table: from, list };
    site.optional(at.key("where"), dimension.filter.as_ref(), None);
    site.optional(at.key("effective"), dimension.effective.as_ref(), Some(MOMENT));
    site.columns(at, &dimension.columns);
}

fn of_fact(spec: &Spec, fact: &Fact, at: &Path, list: &mut Vec<Expression>) {
    let mut site = Site {
        table: &fact.from,
        list,
    };
    site.optional(at.key("where"), fact.filter.as_ref(), None);
    site.columns(at, &fact.columns);
    for (index, lookup) in fact.dimensions.iter().enumerate() {
        let at = at.key("dimensions").index(index);
        site.optional(at.key("at"), lookup.at.as_ref(), Some(MOMENT));
        let mut dimensions = spec.dimensions.iter();
        let Some(dimension) = dimensions.find(|other| other.name.eq_ignore_ascii_case(&lookup.dimension)) else {
            continue;
        };
        let keys = dimension.columns.iter().filter(|column| column.key);
        let keys: Vec<&str> = match dimension.calendar {
            Some(_) => vec![MOMENT],
            None => keys.map(|column| column.data_type.as_str()).collect(),
        };
        for (place, (sql, data_type)) in lookup.sql.iter().zip(keys).enumerate() {
            site.add(at.key("sql").index(place), sql, Some(data_type));
        }
    }
}

impl Expression {
    /// As the tasks use it. It begins a line of its own, so that places in messages are places in it.
    fn selected(&self) -> String {
        match &self.data_type {
            Some(data_type) => format!("CAST((\n{}\n) AS {data_type})", self.sql),
            None => format!("NOT COALESCE((\n{}\n), FALSE)", self.sql),
        }
    }

    /// Lines before it in the statement that asks for it alone.
    const LINES_BEFORE: usize = 1;
}

/// The statement that compiles expressions: a query for each table.
fn statement(expressions: &[Expression], tables: &[Table]) -> String {
    let mut queries: Vec<(&str, Vec<String>)> = Vec::new();
    for expression in expressions {
        let place = queries.iter().position(|(table, _)| *table == expression.table);
        let selected = expression.selected();
        match place.and_then(|place| queries.get_mut(place)) {
            Some((_, selection)) => selection.push(selected),
            None => queries.push((&expression.table, vec![selected])),
        }
    }
    let queries: Vec<String> = queries
        .into_iter()
        .enumerate()
        .map(|(place, (table, selection))| {
            let selection: Vec<String> = selection
                .into_iter()
                .enumerate()
                .map(|(column, selected)| format!("{selected} AS _{}", column + 1))
                .collect();
            format!(
                "(SELECT {} FROM (SELECT {}) AS _R) AS _Q{}",
                selection.join(", "),
                nulls(table, tables),
                place + 1
            )
        })
        .collect();
    format!("EXPLAIN USING TEXT SELECT 1 FROM {}", queries.join(", "))
}

/// The columns of a table, as NULLs of their types.
fn nulls(table: &str, tables: &[Table]) -> String {
    let found = tables.iter().find(|other| other.name.eq_ignore_ascii_case(table));
    let columns = found.into_iter().flat_map(|table| &table.columns);
    let nulls: Vec<String> = columns
        .map(|column| format!("CAST(NULL AS {}) AS {}", column.data_type, column.name))
        .collect();
    nulls.join(", ")
}

/// What Snowflake refuses, each where it stands in the file.
pub async fn faults(client: &Client, expressions: &[Expression], tables: &[Table]) -> anyhow::Result<Vec<Fault>> {
    let compile = async |some: &[Expression]| match client.execute(Statement::quick(statement(some, tables))).await {
        Ok(_) => Ok(None),
        Err(SnowflakeError::Statement(failure)) => Ok(Some(failure)),
        Err(error) => Err(anyhow::Error::from(error)),
    };
    let mut faults = Vec::new();
    for some in expressions.chunks(AT_ONCE) {
        let Some(refusal) = compile(some).await? else {
            continue;
        };
        let each = async |expression: &Expression| {
            let refusal = compile(std::slice::from_ref(expression)).await?;
            anyhow::Ok(refusal.map(|refusal| fault(expression, &refusal.message)))
        };
        let found: Vec<Option<Fault>> = stream::iter(some).map(each).buffered(BESIDE).try_collect().await?;
        let found: Vec<Fault> = found.into_iter().flatten().collect();
        if found.is_empty() {
            return Err(anyhow::Error::from(SnowflakeError::Statement(refusal)).context("checking the expressions"));
        }
        faults.extend(found);
    }
    Ok(faults)
}

fn fault(expression: &Expression, message: &str) -> Fault {
    let (text, place) = read(message);
    let what = match &expression.data_type {
        Some(data_type) => format!("Snowflake refuses this as {data_type}: {text}"),
        None => format!("Snowflake refuses this as a condition: {text}"),
    };
    let fault = Fault::new(code::EXPRESSION, expression.path.clone(), what)
        .hint("correct it; nothing was changed. `pipectl local sql \"SELECT …\"` tries an expression out");
    let at = place.and_then(|place| bytes(&expression.sql, place));
    match at.or_else(|| named(&expression.sql, &text)) {
        Some(at) => fault.within(at),
        None => fault,
    }
}

/// The message without its head, and the place (line from 1, column from 0) that it tells:
/// `SQL compilation error: error line 2 at position 7\ninvalid identifier 'X'`.
fn read(message: &str) -> (String, Option<(usize, usize)>) {
    let message = message.trim().trim_start_matches("SQL compilation error:").trim();
    let Some(rest) = message.strip_prefix("error line ") else {
        return (message.replace('\n', " "), None);
    };
    let (head, text) = rest.split_once('\n').unwrap_or((rest, rest));
    let place = head.split_once(" at position ").and_then(|(line, column)| {
        let line = line.trim().parse::<usize>().ok()?;
        Some((line.checked_sub(Expression::LINES_BEFORE)?, column.trim().parse().ok()?))
    });
    (text.replace('\n', " "), place)
}

/// The function that a message names without its place.
fn named(sql: &str, message: &str) -> Option<std::ops::Range<usize>> {
    let name = message.strip_prefix("Unknown function ")?.split_whitespace().next()?;
    // Snowflake's names are ASCII, so folding moves no byte.
    let start = sql.to_ascii_uppercase().find(&name.to_ascii_uppercase())?;
    Some(start..start + name.len())
}

/// The word at a place in an expression.
fn bytes(sql: &str, (line, column): (usize, usize)) -> Option<std::ops::Range<usize>> {
    let before: usize = sql.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    let rest = sql.get(before..)?;
    let line = rest.lines().next()?;
    let (start, _) = line.char_indices().nth(column)?;
    let word = line.get(start..)?;
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    let length = word.find(|character| !is_word(character)).filter(|length| *length > 0);
    let end = length.unwrap_or_else(|| word.chars().next().map_or(0, char::len_utf8));
    let end = if word.chars().all(is_word) { word.len() } else { end };
    Some(before + start..before + start + end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::resolve;

    const FILE: &str = r#"
[pipeline]
name = "p"
[source]
type = "files"
[snowflake]
[[table]]
name = "event"
prefix = "e/"
columns = [{ name = "id", type = "NUMBER(10,0)", path = "$.id", key = true }, { name = "title", type = "VARCHAR(9)", path = "$.t" }]
[[dimension]]
name = "dim_day"
calendar = "day"
[[dimension]]
name = "dim_title"
from = "event"
where = "title <> ''"
columns = [{ name = "title", type = "VARCHAR(9)", key = true }]
[[fact]]
name = "fact_event"
from = "event"
columns = [{ name = "twice", type = "NUMBER(10,0)", sql = "id * 2" }]
dimensions = [{ dimension = "dim_day", sql = ["CURRENT_DATE"] }, { dimension = "dim_title" }]
"#;

    #[test]
    fn one_statement_asks_for_all_that_changed() {
        let document = crate::spec::parse(FILE, "p.toml", "local").unwrap_or_else(|_| panic!("it reads"));
        let model = resolve(&document.spec, "local").unwrap();
        let all = of_star(&document.spec, |_, _| true);
        let shown: Vec<String> = all.iter().map(|one| one.path.to_string()).collect();
        let expected = [
            "dimension[1].where",
            "dimension[1].columns[0].type",
            "fact[0].columns[0].sql",
            "fact[0].dimensions[0].sql[0]",
        ];
        assert_eq!(shown, expected);
        insta::assert_snapshot!(statement(&all, &model.tables), @r"
        EXPLAIN USING TEXT SELECT 1 FROM (SELECT NOT COALESCE((
        title <> ''
        ), FALSE) AS _1, CAST((
        title
        ) AS VARCHAR(9)) AS _2, CAST((
        id * 2
        ) AS NUMBER(10,0)) AS _3, CAST((
        CURRENT_DATE
        ) AS TIMESTAMP_NTZ(9)) AS _4 FROM (SELECT CAST(NULL AS NUMBER(10,0)) AS ID, CAST(NULL AS VARCHAR(9)) AS TITLE) AS _R) AS _Q1
        ");
        assert_eq!(of_star(&document.spec, |name, _| name == "dim_title").len(), 2);
        assert_eq!(of_star(&document.spec, |_, _| false), []);
    }

    #[test]
    fn places_in_messages_are_places_in_the_expression() {
        let sql = "UPPER(\n  nope(title))";
        let (text, place) = read("SQL compilation error: error line 3 at position 2\ninvalid identifier 'NOPE'");
        assert_eq!(text, "invalid identifier 'NOPE'");
        assert_eq!(&sql[bytes(sql, place.unwrap()).unwrap()], "nope");
        assert_eq!(
            read("SQL compilation error:\nUnknown function NOPE"),
            ("Unknown function NOPE".into(), None)
        );
        assert_eq!(named("TRIM(nope(x))", "Unknown function NOPE"), Some(5..9));
        // Behind the expression: the cast around it.
        let (_, place) = read("SQL compilation error: error line 9 at position 2\ninvalid type");
        assert_eq!(bytes(sql, place.unwrap()), None);
        assert_eq!(bytes("a", (1, 0)), Some(0..1));
    }
}
