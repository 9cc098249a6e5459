//! The objects as they are: one SHOW for each kind, never one statement for each object.

use std::collections::BTreeMap;

use futures::future::try_join_all;

use super::client::{Client, ResultSet, Row, SnowflakeError, Statement};
use super::ident::{Name, literal};
use super::{mark, sql::canonical, types};
use crate::graph::object::Kind;
use crate::model::SnowflakeTarget;
use crate::model::names::Names;

/// An object as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LiveObject {
    /// Its COMMENT.
    pub comment: String,
    /// What SHOW tells of it, in canonical form, under the names that the graph uses.
    pub properties: BTreeMap<&'static str, String>,
    /// Columns of a table, in order.
    pub columns: Vec<LiveColumn>,
}

impl LiveObject {
    /// Whether it is `owner`'s, and was somebody else's before.
    pub fn is_adopted_by(&self, owner: &str) -> bool {
        mark::is_adopted(&self.comment) && self.mark().is_some_and(|(found, _)| found == owner)
    }

    /// Owner and hash, where the comment has the mark.
    pub fn mark(&self) -> Option<(&str, &str)> {
        mark::read(&self.comment)
    }

    /// A property that SHOW told.
    pub fn property(&self, name: &str) -> &str {
        self.properties.get(name).map(String::as_str).unwrap_or_default()
    }
}

/// A column as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveColumn {
    /// Its name, as Snowflake stores it.
    pub name: String,
    /// Its type in canonical spelling.
    pub data_type: String,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// Its comment.
    pub comment: String,
    /// Whether a row without a value for it gets one.
    pub has_default: bool,
}

/// The pipeline's objects.
pub type LiveObjects = BTreeMap<(Kind, Name), LiveObject>;

/// How one kind is shown.
struct Shown {
    kind: Kind,
    statement: String,
    /// Columns of the answer that make the name, in order.
    name: &'static [&'static str],
    /// Columns that become properties: (column, property).
    properties: &'static [(&'static str, &'static str)],
}

const IN_DATABASE: &[&str] = &["database_name", "schema_name", "name"];

fn of_account(names: &Names, target: &SnowflakeTarget) -> Vec<Shown> {
    let like = literal(&format!("{}_%", names.snowflake("")));
    let shown = |kind, statement: String, properties| Shown {
        kind,
        statement,
        name: &["name"],
        properties,
    };
    vec![
        shown(Kind::Role, format!("SHOW ROLES LIKE {like}"), &[]),
        shown(
            Kind::Warehouse,
            format!("SHOW WAREHOUSES LIKE {}", literal(target.warehouse.last())),
            &[
                ("size", "size"),
                ("auto_suspend", "auto_suspend"),
                ("auto_resume", "auto_resume"),
            ],
        ),
        // One answer for both kinds of integration; `category` tells them apart.
        shown(
            Kind::StorageIntegration,
            format!("SHOW INTEGRATIONS LIKE {like}"),
            &[("category", "category"), ("enabled", "enabled")],
        ),
        shown(
            Kind::Database,
            format!("SHOW DATABASES LIKE {}", literal(target.database.last())),
            &[("owner", "owner")],
        ),
    ]
}

fn of_database(target: &SnowflakeTarget) -> Vec<Shown> {
    let database = &target.database;
    let shown = |kind, what: &str, properties| Shown {
        kind,
        statement: format!("SHOW {what} IN DATABASE {database}"),
        name: IN_DATABASE,
        properties,
    };
    vec![
        Shown {
            kind: Kind::Schema,
            statement: format!("SHOW SCHEMAS IN DATABASE {database}"),
            name: &["database_name", "name"],
            properties: &[("options", "options"), ("owner", "owner")],
        },
        shown(
            Kind::FileFormat,
            "FILE FORMATS",
            &[("format_options", "format_options")],
        ),
        shown(
            Kind::Stage,
            "STAGES",
            &[
                ("url", "url"),
                ("storage_integration", "storage_integration"),
                ("owner", "owner"),
            ],
        ),
        shown(Kind::Table, "TABLES", &[("rows", "rows"), ("owner", "owner")]),
        shown(
            Kind::Pipe,
            "PIPES",
            &[
                ("definition", "definition"),
                ("notification_channel", "notification_channel"),
                ("error_integration", "error_integration"),
            ],
        ),
        shown(
            Kind::Stream,
            "STREAMS",
            &[("table_name", "table_name"), ("stale", "stale"), ("mode", "mode")],
        ),
        shown(
            Kind::Task,
            "TASKS",
            &[
                ("state", "state"),
                ("schedule", "schedule"),
                ("definition", "definition"),
                ("condition", "condition"),
                ("warehouse", "warehouse"),
                ("predecessors", "predecessors"),
                ("error_integration", "error_integration"),
            ],
        ),
    ]
}

/// Reads all objects that could be the pipeline's: at most twelve statements, whatever the number of objects.
pub async fn objects(client: &Client, names: &Names, target: &SnowflakeTarget) -> Result<LiveObjects, SnowflakeError> {
    let mut live = LiveObjects::new();
    read(client, of_account(names, target), &mut live).await?;
    let database = (Kind::Database, target.database.clone());
    if !live.contains_key(&database) {
        return Ok(live);
    }
    read(client, of_database(target), &mut live).await?;
    let columns = Statement::quick(format!("SHOW COLUMNS IN DATABASE {}", target.database));
    for row in client.execute(columns).await?.iter() {
        let table = (
            Kind::Table,
            shown_name(&row, &["database_name", "schema_name", "table_name"]),
        );
        if let Some(table) = live.get_mut(&table) {
            table.columns.push(column(&row));
        }
    }
    Ok(live)
}

/// The views in the target's database, but for Snowflake's own.
pub async fn views(client: &Client, target: &SnowflakeTarget) -> Result<Vec<Name>, SnowflakeError> {
    let shown = client
        .execute(Statement::quick(format!("SHOW VIEWS IN DATABASE {}", target.database)))
        .await?;
    let made = shown
        .iter()
        .filter(|row| row.get("schema_name") != Some("INFORMATION_SCHEMA"));
    Ok(made.map(|row| shown_name(&row, IN_DATABASE)).collect())
}

async fn read(client: &Client, kinds: Vec<Shown>, live: &mut LiveObjects) -> Result<(), SnowflakeError> {
    let answers = try_join_all(
        kinds
            .iter()
            .map(|shown| client.execute(Statement::quick(shown.statement.clone()))),
    )
    .await?;
    for (shown, answer) in kinds.iter().zip(&answers) {
        insert(shown, answer, live);
    }
    Ok(())
}

fn insert(shown: &Shown, answer: &ResultSet, live: &mut LiveObjects) {
    for row in answer.iter() {
        let mut properties = BTreeMap::new();
        for (column, property) in shown.properties {
            let value = comparable(property, row.get(column).unwrap_or_default());
            properties.extend(value.map(|value| (*property, value)));
        }
        let kind = match (shown.kind, row.get("category")) {
            (Kind::StorageIntegration, Some("NOTIFICATION")) => Kind::NotificationIntegration,
            (kind, _) => kind,
        };
        let comment = row.get("comment").unwrap_or_default().to_owned();
        live.insert(
            (kind, shown_name(&row, shown.name)),
            LiveObject {
                comment,
                properties,
                columns: Vec::new(),
            },
        );
    }
}

/// Options of a file format that pipectl sets; SHOW tells all there are.
const FORMAT_OPTIONS: [&str; 3] = ["TYPE", "COMPRESSION", "STRIP_OUTER_ARRAY"];

/// What SHOW tells of a property, in the form it is compared in; nothing where it is in no form that is known.
fn comparable(property: &str, shown: &str) -> Option<String> {
    match property {
        "definition" | "condition" => Some(canonical(shown)),
        // `X-Small` is what was written as XSMALL.
        "size" => Some(shown.to_uppercase().replace('-', "")),
        "stale" | "enabled" | "auto_resume" => Some(shown.to_lowercase()),
        "options" => Some(
            if shown.contains("MANAGED ACCESS") {
                "MANAGED ACCESS"
            } else {
                ""
            }
            .to_owned(),
        ),
        "error_integration" => Some(if shown == "null" { "" } else { shown }.to_owned()),
        "predecessors" if shown.is_empty() => Some(String::new()),
        "predecessors" => {
            let mut names: Vec<String> = serde_json::from_str(shown).ok()?;
            names.sort_unstable();
            Some(canonical(&names.join(", ")))
        }
        "format_options" => {
            let all: BTreeMap<String, serde_json::Value> = serde_json::from_str(shown).ok()?;
            let option = |name: &&str| {
                let value = all.get(*name)?;
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                Some(format!("{name} = {}", text.to_uppercase()))
            };
            Some(FORMAT_OPTIONS.iter().filter_map(option).collect::<Vec<_>>().join(" "))
        }
        _ => Some(shown.to_owned()),
    }
}

fn shown_name(row: &Row, columns: &[&str]) -> Name {
    let parts: Vec<&str> = columns
        .iter()
        .map(|column| row.get(column).unwrap_or_default())
        .collect();
    Name::from_shown(&parts)
}

fn column(row: &Row) -> LiveColumn {
    let data_type = types::shown(row.get("data_type").unwrap_or_default());
    LiveColumn {
        name: row.get("column_name").unwrap_or_default().to_owned(),
        not_null: row
            .get("null?")
            .is_some_and(|null| matches!(null, "false" | "NOT_NULL")),
        comment: row.get("comment").unwrap_or_default().to_owned(),
        has_default: ["default", "autoincrement"]
            .iter()
            .any(|column| row.get(column).is_some_and(|text| !text.is_empty() && text != "null")),
        data_type,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_compared_in_one_form() {
        let form = |property, shown| comparable(property, shown).unwrap_or_else(|| "unknown".to_owned());
        assert_eq!(form("size", "X-Small"), "XSMALL");
        assert_eq!(form("error_integration", "null"), "");
        assert_eq!(
            form("predecessors", r#"[ "D.S.B", "\"D\".\"S\".\"A\"" ]"#),
            "D.S.A,D.S.B"
        );
        assert_eq!(form("predecessors", "[]"), "");
        assert_eq!(form("predecessors", "?"), "unknown");
        assert_eq!(
            form(
                "format_options",
                r#"{"TYPE":"json","STRIP_OUTER_ARRAY":true,"DATE_FORMAT":"AUTO","COMPRESSION":"AUTO"}"#
            ),
            "TYPE = JSON COMPRESSION = AUTO STRIP_OUTER_ARRAY = TRUE"
        );
    }
}
