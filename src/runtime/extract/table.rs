//! What the database says about a table.

use crate::runtime::mysql::{Connection, MysqlError, Value};

use super::statement::{path, quoted};

/// A table to read.
#[derive(Debug)]
pub struct Table {
    pub schema: String,
    pub name: String,
    /// Every column, invisible ones too, in the table's order.
    pub fields: Vec<Field>,
    /// The primary key, or else the first unique key without NULL, by column; empty when there is none.
    pub key: Vec<usize>,
    /// Columns that an index begins with.
    leading: Vec<String>,
}

/// A column.
#[derive(Debug, Clone)]
pub struct Field {
    pub name: String,
    /// The type's name in lower case, as `information_schema` has it.
    pub kind: String,
    pub nullable: bool,
    /// Text that a check constraint says is JSON, which is what MariaDB makes of that type.
    pub checked_json: bool,
}

const FIELDS: &str = "SELECT COLUMN_NAME, LOWER(DATA_TYPE), IS_NULLABLE FROM information_schema.COLUMNS \
    WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION";
/// Indexes by column. One on an expression or on the beginning of a text identifies nothing.
const INDEXES: &str = "SELECT INDEX_NAME, COLUMN_NAME, NON_UNIQUE, IF(SUB_PART IS NULL AND COLUMN_NAME IS NOT NULL \
    AND NULLABLE <> 'YES', 1, 0) FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? \
    ORDER BY INDEX_NAME <> 'PRIMARY', INDEX_NAME, SEQ_IN_INDEX";
const JSON_CHECKS: &str = "SELECT CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS \
    WHERE CONSTRAINT_SCHEMA = ? AND TABLE_NAME = ?";

impl Table {
    /// Asks for the table. `None` when there is none, or the user may not read it: MySQL does not tell which.
    pub async fn describe(connection: &mut Connection, schema: &str, name: &str) -> Result<Option<Self>, MysqlError> {
        let place = [Value::from(schema), Value::from(name)];
        let mut fields: Vec<Field> = connection
            .table(FIELDS, &place)
            .await?
            .into_iter()
            .filter_map(|row| {
                let [name, kind, nullable] = row.try_into().ok()?;
                Some(Field {
                    name: name?,
                    kind: kind?,
                    nullable: nullable? == "YES",
                    checked_json: false,
                })
            })
            .collect();
        if fields.is_empty() {
            return Ok(None);
        }
        if connection.is_mariadb() {
            let checks = connection.table(JSON_CHECKS, &place).await?;
            let checks: Vec<String> = checks.into_iter().flatten().flatten().collect();
            for field in &mut fields {
                let clause = format!("json_valid({})", quoted(&field.name));
                field.checked_json = field.kind.ends_with("text") && checks.contains(&clause);
            }
        }
        let indexes = connection.table(INDEXES, &place).await?;
        Ok(Some(Self::new(schema, name, fields, &indexes)))
    }

    fn new(schema: &str, name: &str, fields: Vec<Field>, indexes: &[Vec<Option<String>>]) -> Self {
        let mut leading = Vec::new();
        let mut unique: Vec<(&str, Vec<usize>, bool)> = Vec::new();
        for row in indexes {
            let [Some(index), column, Some(non_unique), Some(whole)] = row.as_slice() else {
                continue;
            };
            let position = fields.iter().position(|field| Some(&field.name) == column.as_ref());
            let usable = whole == "1" && non_unique == "0" && position.is_some();
            match unique.last_mut() {
                Some((same, columns, fits)) if same == index => {
                    columns.extend(position);
                    *fits &= usable;
                }
                _ => {
                    leading.extend(column.clone());
                    unique.push((index, position.into_iter().collect(), usable));
                }
            }
        }
        let key = unique.into_iter().find(|(_, _, fits)| *fits);
        Self {
            schema: schema.to_owned(),
            name: name.to_owned(),
            key: key.map(|(_, columns, _)| columns).unwrap_or_default(),
            fields,
            leading,
        }
    }

    /// The names of the key's columns.
    pub fn key_names(&self) -> impl Iterator<Item = &str> {
        self.key.iter().map(|column| self.fields[*column].name.as_str())
    }

    /// `schema.table`, as it is called in parameters and keys.
    pub fn title(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// The table in a statement.
    pub fn path(&self) -> String {
        path(&self.schema, &self.name)
    }

    /// A column by its name, which MySQL compares without regard to case.
    pub fn column(&self, name: &str) -> Option<usize> {
        let exact = self.fields.iter().position(|field| field.name == name);
        exact.or_else(|| {
            let lower = name.to_lowercase();
            self.fields.iter().position(|field| field.name.to_lowercase() == lower)
        })
    }

    /// A column as rows are sorted and compared by it. ENUM and SET sort by number but compare with a text as text.
    pub fn sorted(&self, column: usize) -> String {
        let field = &self.fields[column];
        let name = quoted(&field.name);
        match field.kind.as_str() {
            "enum" | "set" => format!("CAST({name} AS CHAR)"),
            _ => name,
        }
    }

    /// Whether an index begins with this column.
    pub fn is_indexed(&self, column: usize) -> bool {
        self.leading.contains(&self.fields[column].name)
    }

    /// These columns, then those of the key that are not among them: an order in which every row has one place.
    pub fn order_by(&self, first: &[usize]) -> Vec<usize> {
        let rest = self.key.iter().filter(|column| !first.contains(column));
        first.iter().chain(rest).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::statement::{Edge, Limit, Select};
    use super::*;

    fn table(indexes: &[[&str; 4]]) -> Table {
        let field = |name: &str, kind: &str| Field {
            name: name.to_owned(),
            kind: kind.to_owned(),
            nullable: name == "at",
            checked_json: false,
        };
        let fields = vec![field("id", "int"), field("at", "datetime"), field("o`dd", "enum")];
        let rows: Vec<Vec<Option<String>>> = indexes
            .iter()
            .map(|row| row.iter().map(|text| Some((*text).to_owned())).collect())
            .collect();
        Table::new("s", "t", fields, &rows)
    }

    #[test]
    fn the_key_is_unique_and_whole() {
        let all = table(&[
            ["PRIMARY", "o`dd", "0", "1"],
            ["PRIMARY", "id", "0", "1"],
            ["by_at", "at", "1", "0"],
        ]);
        assert_eq!(all.key, [2, 0]);
        assert!(all.is_indexed(1) && all.is_indexed(2) && !all.is_indexed(0));
        assert_eq!(all.order_by(&[1, 0]), [1, 0, 2]);
        let prefix = table(&[
            ["a", "o`dd", "0", "0"],
            ["b", "id", "0", "1"],
            ["b", "at", "0", "0"],
            ["c", "id", "0", "1"],
        ]);
        assert_eq!(prefix.key, [0]);
        assert_eq!(table(&[["by_at", "at", "1", "1"]]).key, [0; 0]);
    }

    #[test]
    fn statements_are_quoted_and_bound() {
        let table = table(&[["PRIMARY", "id", "0", "1"]]);
        let order = [1, 0];
        let first = Select::all(&table, &order);
        assert_eq!(
            first.build().0,
            "SELECT `id`, `at`, `o``dd` FROM `s`.`t` WHERE `at` IS NOT NULL ORDER BY `at`, `id`"
        );
        let (text, values) = Select {
            to: Some(Limit::Including("z".into())),
            after: Some((vec!["a".into(), 7.into()], Edge::Excluded)),
            rows: Some(9),
            ..Select::all(&table, &order)
        }
        .build();
        assert_eq!(
            text,
            "SELECT `id`, `at`, `o``dd` FROM `s`.`t` WHERE `at` <= ? AND `at` >= ? AND (`at` > ? OR `id` > ?) \
             ORDER BY `at`, `id` LIMIT 9"
        );
        assert_eq!(values, ["z".into(), "a".into(), "a".into(), Value::from(7)]);
        let (text, _) = Select {
            columns: &[0],
            from: Some("a".into()),
            last: Some(vec!["b".into()]),
            ..Select::all(&table, &[2])
        }
        .build();
        assert_eq!(
            text,
            "SELECT `id` FROM `s`.`t` WHERE CAST(`o``dd` AS CHAR) >= ? AND CAST(`o``dd` AS CHAR) <= ? \
             ORDER BY CAST(`o``dd` AS CHAR)"
        );
    }
}
