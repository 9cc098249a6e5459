//! The layout of a table's rows, from the table map and from what the database says about the table.

use super::charset::{Charset, Charsets};
use super::key;
use super::rows::{Field, Layout, Shape};
use super::table_map::{Column, TableMap, kind as logged};
use crate::runtime::extract::statement::path;
use crate::runtime::extract::table::Table;
use crate::runtime::mysql::{Connection, MysqlError, Value, kind};

const FACTS: &str = "SELECT COLUMN_NAME, LOWER(DATA_TYPE), COLUMN_TYPE, CHARACTER_SET_NAME \
    FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION";

/// What the database says about a column.
#[derive(Debug, Clone, Default)]
struct Fact {
    name: String,
    kind: String,
    declared: String,
    charset: Option<String>,
    checked_json: bool,
}

/// Why a table's rows cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The binlog does not name its columns, and the database has another number of them by now.
    #[error(
        "the binlog does not name its columns, and the table has {columns} of them by now; set binlog_row_metadata=FULL"
    )]
    Altered { columns: usize },
    /// The binlog does not name its columns, and the table is gone.
    #[error("the binlog does not name its columns, and the table is gone")]
    Gone,
    /// For this reason.
    #[error("{0}")]
    Never(String),
}

/// The layout, or why the table's rows cannot be read.
pub async fn describe(
    connection: &mut Connection,
    charsets: &mut Charsets,
    map: &TableMap,
) -> Result<Result<Layout, Unreadable>, MysqlError> {
    let table = Table::describe(connection, &map.schema, &map.table).await?;
    let place = [Value::from(map.schema.as_str()), Value::from(map.table.as_str())];
    let mut facts = Vec::new();
    for row in connection.table(FACTS, &place).await? {
        if let Ok([Some(name), Some(kind), Some(declared), charset]) = <[Option<String>; 4]>::try_from(row) {
            let field = table
                .iter()
                .flat_map(|table| &table.fields)
                .find(|field| field.name == name);
            facts.push(Fact {
                checked_json: field.is_some_and(|field| field.checked_json),
                name,
                kind,
                declared,
                charset,
            });
        }
    }
    let names = map
        .columns
        .iter()
        .filter_map(|column| charsets.name(column.collation?).map(str::to_owned));
    let names: Vec<String> = names
        .chain(facts.iter().filter_map(|fact| fact.charset.clone()))
        .collect();
    for name in names {
        charsets.learn(connection, &name).await?;
    }
    Ok(match layout(map, &facts, table.as_ref(), charsets) {
        Err(Unreadable::Gone) if is_hidden(connection, map).await? => Err(Unreadable::Never(
            "the binlog does not name its columns, and the user may not see the table; GRANT SELECT".to_owned(),
        )),
        layout => layout,
    })
}

/// Whether a table that the database says nothing about may not be seen, rather than that it is gone:
/// <https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html#error_er_tableaccess_denied_error>.
async fn is_hidden(connection: &mut Connection, map: &TableMap) -> Result<bool, MysqlError> {
    let statement = format!("SELECT 1 FROM {} LIMIT 0", path(&map.schema, &map.table));
    match connection.table(&statement, &[]).await {
        Err(MysqlError::Statement { code: 1142, .. }) => Ok(true),
        // No such table, no such database.
        Ok(_) | Err(MysqlError::Statement { code: 1146 | 1049, .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn layout(map: &TableMap, facts: &[Fact], table: Option<&Table>, charsets: &Charsets) -> Result<Layout, Unreadable> {
    let mut fields = Vec::with_capacity(map.columns.len());
    for (index, column) in map.columns.iter().enumerate() {
        let fact = match &column.name {
            Some(name) => facts.iter().find(|fact| fact.name == *name),
            None if facts.len() == map.columns.len() => facts.get(index),
            None if facts.is_empty() => return Err(Unreadable::Gone),
            None => {
                return Err(Unreadable::Altered { columns: facts.len() });
            }
        };
        let empty = Fact::default();
        let fact = fact.unwrap_or(&empty);
        let name = column.name.as_ref().unwrap_or(&fact.name);
        let shape = shape(column, fact, charsets);
        let shape = shape.map_err(|reason| Unreadable::Never(format!("its column `{name}` {reason}")))?;
        fields.push(Field::new(name, shape));
    }
    let named = |name: &String| fields.iter().position(|field| field.name == *name);
    let key: Vec<usize> = if map.primary_key.is_empty() {
        let table = table.into_iter();
        let names = table.flat_map(|table| table.key.iter().map(|column| &table.fields[*column].name));
        names.filter_map(named).collect()
    } else {
        map.primary_key.clone()
    };
    if key.is_empty() || key.iter().any(|column| *column >= fields.len()) {
        return Err(Unreadable::Never(key::absent()));
    }
    Ok(Layout::new(&map.schema, &map.table, fields, key))
}

fn shape(column: &Column, fact: &Fact, charsets: &Charsets) -> Result<Shape, String> {
    let unsigned = column.unsigned.unwrap_or_else(|| fact.declared.contains("unsigned"));
    let integer = |bytes| Shape::Integer { bytes, unsigned };
    let [scale, precision] = column.detail.to_le_bytes();
    let digits = scale.min(6);
    Ok(match column.kind {
        kind::TINY => integer(1),
        kind::SHORT => integer(2),
        kind::INT24 => integer(3),
        kind::LONG => integer(4),
        kind::LONGLONG => integer(8),
        kind::FLOAT => Shape::Float,
        kind::DOUBLE => Shape::Double,
        kind::NEWDECIMAL => Shape::Decimal { precision, scale },
        // Whole bytes, and bits of one more.
        kind::BIT => Shape::Bit {
            bytes: precision + u8::from(scale > 0),
        },
        kind::YEAR => Shape::Year,
        kind::DATE => Shape::Date,
        kind::DATETIME => Shape::OldLocal,
        kind::TIMESTAMP => Shape::OldUtc,
        kind::TIME => Shape::OldTime,
        logged::DATETIME2 => Shape::Local(digits),
        logged::TIMESTAMP2 => Shape::Utc(digits),
        logged::TIME2 => Shape::Time(digits),
        kind::JSON => Shape::Json,
        kind::GEOMETRY => Shape::Geometry { prefix: scale },
        kind::VECTOR => Shape::Vector { prefix: scale },
        logged::ENUM => Shape::Enum {
            bytes: scale,
            members: members(column, fact, charsets)?,
        },
        logged::SET => Shape::Set {
            bytes: scale,
            members: members(column, fact, charsets)?
                .iter()
                .map(|member| member[1..member.len() - 1].to_vec())
                .collect(),
        },
        logged::STRING if fact.kind == "uuid" => Shape::Uuid,
        logged::STRING if fact.kind == "inet4" => Shape::Inet4,
        logged::STRING if fact.kind == "inet6" => Shape::Inet6,
        logged::VARCHAR | logged::VAR_STRING | logged::STRING => {
            let prefix = if column.detail > 255 { 2 } else { 1 };
            match charset(column, fact, charsets)? {
                Charset::Binary if column.kind == logged::STRING => Shape::Padded {
                    prefix,
                    length: usize::from(column.detail),
                },
                charset => Shape::Text { prefix, charset },
            }
        }
        logged::BLOB if fact.checked_json => Shape::CheckedJson { prefix: scale },
        logged::BLOB => Shape::Text {
            prefix: scale,
            charset: charset(column, fact, charsets)?,
        },
        other => {
            return Err(format!(
                "is of a type (number {other}) that pipectl does not read from the binlog"
            ));
        }
    })
}

fn charset(column: &Column, fact: &Fact, charsets: &Charsets) -> Result<Charset, String> {
    let name = match column.collation {
        Some(collation) => charsets
            .name(collation)
            .ok_or_else(|| format!("has the unknown collation {collation}"))?,
        None => fact.charset.as_deref().unwrap_or("binary"),
    };
    charsets
        .named(name)
        .ok_or_else(|| format!("has the character set {name}, which pipectl does not read"))
}

/// Members as JSON strings.
fn members(column: &Column, fact: &Fact, charsets: &Charsets) -> Result<Vec<Vec<u8>>, String> {
    let (charset, members) = match &column.members {
        Some(members) => (charset(column, fact, charsets)?, members.clone()),
        None => (Charset::Utf8, declared_members(&fact.declared)),
    };
    let write = |member: &Vec<u8>| {
        let mut out = Vec::new();
        match &charset {
            // ENUM and SET are text whatever their collation.
            Charset::Binary => Charset::Utf8.write(&mut out, member),
            charset => charset.write(&mut out, member),
        }
        out
    };
    Ok(members.iter().map(write).collect())
}

/// `enum('a','b''c')`
fn declared_members(declared: &str) -> Vec<Vec<u8>> {
    let mut members = Vec::new();
    let mut rest = declared;
    while let Some((_, behind)) = rest.split_once('\'') {
        let mut member = String::new();
        rest = behind;
        while let Some((text, behind)) = rest.split_once('\'') {
            member.push_str(text);
            rest = behind;
            match rest.strip_prefix('\'') {
                Some(behind) => {
                    member.push('\'');
                    rest = behind;
                }
                None => break,
            }
        }
        members.push(member.into_bytes());
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_from_a_declaration() {
        assert_eq!(
            declared_members("enum('a','b''c,','')"),
            [b"a".to_vec(), b"b'c,".to_vec(), Vec::new()]
        );
        assert!(declared_members("int").is_empty());
    }
}
