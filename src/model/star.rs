//! The star schema resolved: names, types and references settled. Expressions were checked before.

use crate::snowflake::ident::Ident;
use crate::snowflake::sql::canonical;
use crate::spec::expression::compact;
use crate::spec::sqltype::SqlType;
use crate::spec::star::{Calendar, Dimension as DimensionSpec, Fact as FactSpec, StarColumn as ColumnSpec};
use crate::spec::types::Spec;
use crate::spec::{Fault, Path, code};

use super::Table;

/// Dimensions, facts and what runs after them.
#[derive(Debug, Clone, Default)]
pub struct Star {
    /// What facts are looked at by.
    pub dimensions: Vec<Dimension>,
    /// What is counted and summed.
    pub facts: Vec<Fact>,
    /// SQL of the user's own.
    pub transforms: Vec<Transform>,
}

/// A dimension.
#[derive(Debug, Clone)]
pub struct Dimension {
    /// Its name.
    pub name: String,
    /// What a member is.
    pub description: Option<String>,
    /// The column of its surrogate key.
    pub surrogate: Ident,
    /// Where its members come from.
    pub members: Members,
}

/// Where members come from.
#[derive(Debug, Clone)]
pub enum Members {
    /// From the moments that facts name.
    Calendar(Calendar),
    /// From the rows of a table.
    Rows(Rows),
}

/// Members made from rows.
#[derive(Debug, Clone)]
pub struct Rows {
    /// Name of the table.
    pub from: String,
    /// Which rows make members.
    pub filter: Option<String>,
    /// What tells members apart.
    pub key: Vec<StarColumn>,
    /// What is known of a member.
    pub attributes: Vec<StarColumn>,
    /// Whether every version is kept, and if so the moment that one begins where it is not the record's.
    pub history: Option<History>,
}

/// How versions are told apart.
#[derive(Debug, Clone)]
pub struct History {
    /// The moment that a version begins; the record's time where absent.
    pub effective: Option<String>,
}

/// A column made by an expression.
#[derive(Debug, Clone)]
pub struct StarColumn {
    /// Its name.
    pub name: Ident,
    /// Its type.
    pub data_type: SqlType,
    /// Its expression.
    pub sql: String,
    /// What it means.
    pub description: Option<String>,
}

/// A fact.
#[derive(Debug, Clone)]
pub struct Fact {
    /// Its name.
    pub name: String,
    /// What a fact is.
    pub description: Option<String>,
    /// Name of the table whose rows make the facts.
    pub from: String,
    /// Which rows make facts.
    pub filter: Option<String>,
    /// What makes a fact one row.
    pub grain: Grain,
    /// Measures and degenerate dimensions, without the grain's.
    pub columns: Vec<StarColumn>,
    /// How its members are found.
    pub lookups: Vec<Lookup>,
}

/// What makes a fact one row.
#[derive(Debug, Clone)]
pub enum Grain {
    /// A row of the table, by the table's key.
    Row,
    /// What these expressions have the same values for.
    Columns(Vec<StarColumn>),
}

/// How a fact finds its member.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// Place of the dimension.
    pub dimension: usize,
    /// Expressions of the member's key.
    pub sql: Vec<String>,
    /// The fact's column with the surrogate key.
    pub column: Ident,
    /// The moment whose version is meant.
    pub at: Option<String>,
}

/// SQL of the user's own.
#[derive(Debug, Clone)]
pub struct Transform {
    /// Its name.
    pub name: String,
    /// The file, as written.
    pub file: String,
    /// The text of the file, once it was read.
    pub sql: String,
    /// What comes before it.
    pub after: Vec<String>,
}

impl Star {
    /// Reads the files of the transforms; `read` gives the text of one, or why there is none.
    pub fn read_transforms(&mut self, read: impl Fn(&str) -> Result<String, String>) -> Result<(), Vec<Fault>> {
        let mut problems = Vec::new();
        for (index, transform) in self.transforms.iter_mut().enumerate() {
            let at = Path::root().key("transform").index(index).key("sql");
            let fault = |message: String, hint: &str| Fault::new(code::EXPRESSION, at.clone(), message).hint(hint);
            match read(&transform.file).map(|text| statement(&text)) {
                Ok(Some(sql)) => transform.sql = sql,
                Ok(None) => problems.push(fault(
                    format!("`{}` is empty, or a text in it has an empty line", transform.file),
                    "write one statement or one `BEGIN … END` block, with `\\n` for line ends in texts",
                )),
                Err(error) => problems.push(fault(
                    format!("`{}` cannot be read: {error}", transform.file),
                    "the name is relative to pipeline.toml",
                )),
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

/// The statement of a file as the body of a task: without the semicolon after it, and without the empty lines that part
/// statements in what `render` writes. Nothing if it is empty, or if an empty line is part of a text.
fn statement(text: &str) -> Option<String> {
    let text = text.replace("\r\n", "\n");
    let text = text.trim().trim_end_matches(';').trim_end();
    let compacted = compact(text);
    let same = canonical(text) == canonical(&compacted);
    (!text.is_empty() && same).then_some(compacted)
}

/// Name of the surrogate key of a dimension: `dim_video` has `VIDEO_KEY`.
pub fn surrogate(dimension: &str) -> String {
    let name = dimension.to_uppercase();
    format!("{}_KEY", name.strip_prefix("DIM_").unwrap_or(&name))
}

/// Settles the star schema of a file.
pub fn resolve(spec: &Spec, tables: &[Table], problems: &mut Vec<Fault>) -> Star {
    let at = Path::root().key("dimension");
    let dimensions: Vec<Dimension> = spec
        .dimensions
        .iter()
        .enumerate()
        .filter_map(|(index, dimension)| self::dimension(dimension, tables, at.index(index), problems))
        .collect();
    let at = Path::root().key("fact");
    let facts = spec
        .facts
        .iter()
        .enumerate()
        .filter_map(|(index, fact)| self::fact(fact, tables, &dimensions, at.index(index), problems))
        .collect();
    let transforms = spec.transforms.iter().map(|transform| Transform {
        name: transform.name.clone(),
        file: transform.sql.clone(),
        sql: String::new(),
        after: transform.after.clone(),
    });
    Star {
        facts,
        transforms: transforms.collect(),
        dimensions,
    }
}

fn dimension(spec: &DimensionSpec, tables: &[Table], at: Path, problems: &mut Vec<Fault>) -> Option<Dimension> {
    let members = match (spec.calendar, &spec.from) {
        (Some(calendar), _) => Members::Calendar(calendar),
        (None, Some(from)) => {
            let table = source(from, tables, at.key("from"), problems)?;
            let (key, attributes) = split(&spec.columns, &at, problems);
            Members::Rows(Rows {
                from: table.name.clone(),
                filter: spec.filter.as_deref().map(compact),
                key,
                attributes,
                history: (spec.scd == 2).then(|| History {
                    effective: spec.effective.as_deref().map(compact),
                }),
            })
        }
        (None, None) => {
            let message = "a dimension is made from a table, or is a calendar";
            problems.push(Fault::new(code::REQUIRED, at.key("from"), message));
            return None;
        }
    };
    Some(Dimension {
        name: spec.name.clone(),
        description: spec.description.clone(),
        surrogate: Ident::new(&surrogate(&spec.name)),
        members,
    })
}

/// The table that `from` names.
fn source<'a>(from: &str, tables: &'a [Table], at: Path, problems: &mut Vec<Fault>) -> Option<&'a Table> {
    let found = tables.iter().find(|table| table.name.eq_ignore_ascii_case(from));
    if found.is_none() {
        problems.push(Fault::new(
            code::UNKNOWN_VALUE,
            at,
            format!("there is no table `{from}`"),
        ));
    }
    found
}

/// The key's columns and the others.
fn split(specs: &[ColumnSpec], at: &Path, problems: &mut Vec<Fault>) -> (Vec<StarColumn>, Vec<StarColumn>) {
    let (mut key, mut others) = (Vec::new(), Vec::new());
    for (index, spec) in specs.iter().enumerate() {
        let at = at.key("columns").index(index).key("type");
        match spec.data_type.parse() {
            Ok(data_type) => {
                let column = StarColumn {
                    name: Ident::new(&spec.name),
                    data_type,
                    sql: match &spec.sql {
                        Some(sql) => compact(sql),
                        None => Ident::new(&spec.name).to_string(),
                    },
                    description: spec.description.clone(),
                };
                if spec.key { &mut key } else { &mut others }.push(column);
            }
            Err(error) => {
                let error: crate::spec::sqltype::SqlTypeError = error;
                problems.push(Fault::new(code::SQL_TYPE, at, error.to_string()));
            }
        }
    }
    (key, others)
}

fn fact(
    spec: &FactSpec,
    tables: &[Table],
    dimensions: &[Dimension],
    at: Path,
    problems: &mut Vec<Fault>,
) -> Option<Fact> {
    let table = source(&spec.from, tables, at.key("from"), problems)?;
    let (key, columns) = split(&spec.columns, &at, problems);
    let grain = if key.is_empty() {
        Grain::Row
    } else {
        Grain::Columns(key)
    };
    if let Grain::Row = grain {
        let is_taken = |column: &&StarColumn| table.columns.iter().any(|own| own.key && own.name == column.name);
        for column in columns.iter().filter(is_taken) {
            let name = column.name.as_str().to_lowercase();
            let message = format!(
                "`{name}` is the key of `{}`, so the fact has it without being told",
                table.name
            );
            let hint = "remove it, or make it the grain with `key = true`";
            problems.push(Fault::new(code::DUPLICATE, at.key("columns"), message).hint(hint));
        }
    }
    let mut lookups = Vec::new();
    for (index, lookup) in spec.dimensions.iter().enumerate() {
        let named = |dimension: &Dimension| dimension.name.eq_ignore_ascii_case(&lookup.dimension);
        let Some(dimension) = dimensions.iter().position(named) else {
            let at = at.key("dimensions").index(index).key("dimension");
            let message = format!("there is no dimension `{}`", lookup.dimension);
            problems.push(Fault::new(code::UNKNOWN_VALUE, at, message));
            continue;
        };
        let own = dimensions.get(dimension).map(|dimension| &dimension.members);
        let sql = match own {
            Some(Members::Rows(rows)) if lookup.sql.is_empty() => rows.key.iter().map(|key| key.sql.clone()).collect(),
            _ => lookup.sql.iter().map(|sql| compact(sql)).collect(),
        };
        lookups.push(Lookup {
            dimension,
            sql,
            column: Ident::new(&lookup.column.clone().unwrap_or_else(|| surrogate(&lookup.dimension))),
            at: lookup.at.as_deref().map(compact),
        });
    }
    Some(Fact {
        name: spec.name.clone(),
        description: spec.description.clone(),
        from: table.name.clone(),
        filter: spec.filter.as_deref().map(compact),
        grain,
        columns,
        lookups,
    })
}
