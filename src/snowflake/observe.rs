//! The objects as they are: one SHOW for each kind, never one statement for each object.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use futures::future::try_join_all;
use futures::{StreamExt, TryStreamExt, stream};

use super::check::{Check, Findings};
use super::client::{Client, ResultSet, Row, SnowflakeError, Statement};
use super::grant::{Grant, On};
use super::ident::{Name, literal};
use super::{mark, sql::canonical, types};
use crate::graph::object::Kind;
use crate::graph::snowflake::securable;
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
    /// Columns of a table's primary key, in order.
    pub key: Vec<String>,
    /// Whether Snowflake relies on the primary key.
    pub key_is_relied_on: bool,
    /// What the pipeline's roles may do with it; for a role also what it may do with the account and with what is not the
    /// pipeline's. Nothing where it was not told.
    pub grants: Option<BTreeSet<Grant>>,
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
        shown(
            Kind::Role,
            format!("SHOW ROLES LIKE {like}"),
            &[("is_inherited", "is_inherited")],
        ),
        shown(
            Kind::Warehouse,
            format!("SHOW WAREHOUSES LIKE {}", literal(target.warehouse.last())),
            &[
                ("size", "size"),
                ("auto_suspend", "auto_suspend"),
                ("auto_resume", "auto_resume"),
                ("type", "type"),
                ("min_cluster_count", "min_cluster_count"),
                ("max_cluster_count", "max_cluster_count"),
                ("enable_query_acceleration", "enable_query_acceleration"),
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
            &[("retention_time", "retention_time"), ("owner", "owner")],
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
            properties: &[
                ("options", "options"),
                ("retention_time", "retention_time"),
                ("owner", "owner"),
            ],
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
        shown(
            Kind::Table,
            "TABLES",
            &[
                ("rows", "rows"),
                ("retention_time", "retention_time"),
                ("owner", "owner"),
            ],
        ),
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
                ("task_relations", "task_relations"),
            ],
        ),
    ]
}

/// Rows that a SHOW gives at most; what comes after them is not told:
/// <https://docs.snowflake.com/en/sql-reference/sql/show-grants#usage-notes>.
const MOST_ROWS: usize = 10_000;

/// Reads all objects that could be the pipeline's: at most nineteen statements, whatever the number of objects.
pub async fn objects(client: &Client, names: &Names, target: &SnowflakeTarget) -> Result<LiveObjects, SnowflakeError> {
    let mut live = LiveObjects::new();
    read(client, of_account(names, target), &mut live).await?;
    let database = (Kind::Database, target.database.clone());
    let has_database = live.contains_key(&database);
    let kinds = if has_database { of_database(target) } else { vec![] };
    let ask = |sql: String| client.execute(Statement::quick(sql));
    let of_tables = async {
        match has_database {
            true => {
                let database = &target.database;
                let columns = ask(format!("SHOW COLUMNS IN DATABASE {database}"));
                let keys = ask(format!("SHOW PRIMARY KEYS IN DATABASE {database}"));
                futures::future::try_join(columns, keys).await.map(Some)
            }
            false => Ok(None),
        }
    };
    let roles: Vec<Name> = ["OWNER", "LOADER", "READER"]
        .iter()
        .map(|part| Name::account(&names.snowflake(part)))
        .filter(|role| live.contains_key(&(Kind::Role, role.clone())))
        .collect();
    // What is yet to be made is granted to nobody but who moves and who reads rows.
    let granted = roles.iter().map(|role| format!("SHOW GRANTS TO ROLE {role}"));
    let promised = roles
        .iter()
        .filter(|role| **role != Name::account(&names.snowflake("OWNER")))
        .map(|role| format!("SHOW FUTURE GRANTS TO ROLE {role}"));
    let grants = try_join_all(granted.chain(promised).map(ask));
    let mut found = LiveObjects::new();
    let (_, tables, grants) = futures::try_join!(read(client, kinds, &mut found), of_tables, grants)?;
    live.extend(found);
    if let Some((columns, keys)) = tables {
        describe_tables(&columns, &keys, &mut live);
    }
    insert_grants(&grants, &target.deployer, &mut live);
    describe_stages(client, names, &mut live).await?;
    Ok(live)
}

fn describe_tables(columns: &ResultSet, keys: &ResultSet, live: &mut LiveObjects) {
    let table = |row: &Row<'_>| {
        (
            Kind::Table,
            shown_name(row, &["database_name", "schema_name", "table_name"]),
        )
    };
    for row in columns.iter() {
        if let Some(table) = live.get_mut(&table(&row)) {
            table.columns.push(column(&row));
        }
    }
    let mut parts: Vec<(usize, Row<'_>)> = keys
        .iter()
        .map(|row| (row.get("key_sequence").and_then(|at| at.parse().ok()).unwrap_or(0), row))
        .collect();
    parts.sort_by_key(|(at, _)| *at);
    for (_, row) in parts {
        if let (Some(table), Some(name)) = (live.get_mut(&table(&row)), row.get("column_name")) {
            table.key.push(name.to_owned());
            table.key_is_relied_on = row.get("rely").is_none_or(|rely| rely.eq_ignore_ascii_case("true"));
        }
    }
}

/// Puts each grant to the object that it is on; one on the account or on what is not the pipeline's to the role that has it.
fn insert_grants(answers: &[ResultSet], deployer: &Name, live: &mut LiveObjects) {
    if answers.iter().any(|answer| answer.rows.len() >= MOST_ROWS) {
        return;
    }
    let by_kind: BTreeMap<(String, Name), (Kind, Name)> = live
        .iter()
        .filter(|(_, found)| found.mark().is_some())
        .map(|((kind, name), _)| ((securable(*kind).to_owned(), name.clone()), (*kind, name.clone())))
        .collect();
    for found in live.values_mut() {
        found.grants = Some(BTreeSet::new());
    }
    // Whose roles the deploying role has, it tells itself.
    for ((kind, name), found) in live.iter_mut() {
        if *kind == Kind::Role && found.property("is_inherited") == "y" {
            let member = Grant {
                privilege: "USAGE".to_owned(),
                on: On::Object("ROLE".to_owned(), name.clone()),
                role: deployer.clone(),
            };
            found.grants.get_or_insert_default().insert(member);
        }
    }
    for grant in answers
        .iter()
        .flat_map(ResultSet::iter)
        .filter_map(|row| Grant::of_row(&row))
    {
        let home = match &grant.on {
            On::Object(kind, name) => by_kind.get(&(kind.clone(), name.clone())).cloned(),
            On::Future(_, schema) => by_kind.get(&("SCHEMA".to_owned(), schema.clone())).cloned(),
            On::Account => None,
        };
        // A role owns what it made; only the database changes hands.
        if grant.privilege == "OWNERSHIP" && home.as_ref().is_none_or(|(kind, _)| *kind != Kind::Database) {
            continue;
        }
        let home = home.unwrap_or_else(|| (Kind::Role, grant.role.clone()));
        if let Some(grants) = live.get_mut(&home).and_then(|found| found.grants.as_mut()) {
            grants.insert(grant);
        }
    }
}

/// SHOW STAGES does not tell the file format, so the pipeline's stage is described:
/// <https://docs.snowflake.com/en/sql-reference/sql/desc-stage>.
async fn describe_stages(client: &Client, names: &Names, live: &mut LiveObjects) -> Result<(), SnowflakeError> {
    let owner = names.mark();
    let is_ours = |found: &LiveObject| found.mark().is_some_and(|(by, _)| by == owner);
    for ((kind, name), stage) in live.iter_mut() {
        if *kind != Kind::Stage || !is_ours(stage) {
            continue;
        }
        let told = client.execute(Statement::quick(format!("DESC STAGE {name}"))).await?;
        let of_format = told
            .iter()
            .filter(|row| row.get("parent_property") == Some("STAGE_FILE_FORMAT"));
        let rows: Vec<Row<'_>> = of_format.collect();
        let named = rows.iter().find(|row| row.get("property") == Some("FORMAT_NAME"));
        if !rows.is_empty() {
            let format = named.and_then(|row| row.get("property_value")).unwrap_or_default();
            stage.properties.insert("file_format", canonical(format));
        }
    }
    Ok(())
}

/// Asks the rows of tables whose columns are to change: one statement for each such table.
pub async fn findings(
    client: &Client,
    target: &SnowflakeTarget,
    names: &Names,
    checks: Vec<(Name, Check)>,
) -> anyhow::Result<BTreeMap<Name, Findings>> {
    let owner = names.snowflake("OWNER");
    let ask = async |(table, check): (Name, Check)| {
        let statement = Statement::new(check.sql(&table))
            .role(owner.as_str())
            .warehouse(target.warehouse.last());
        let answer = client.execute(statement).await;
        let answer = answer.with_context(|| format!("asking the rows of {table} whether its columns can change"))?;
        anyhow::Ok((table, check.findings(&answer)))
    };
    let answers = stream::iter(checks).map(ask).buffered(AT_ONCE).try_collect::<Vec<_>>();
    Ok(answers.await?.into_iter().collect())
}

/// Tables that are asked at the same time.
const AT_ONCE: usize = 8;

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
                ..LiveObject::default()
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
        // Accounts without the feature do not tell it.
        "min_cluster_count" | "max_cluster_count" | "type" if shown.is_empty() => None,
        "enable_query_acceleration" => (!shown.is_empty()).then(|| shown.to_lowercase()),
        // `X-Small` is what was written as XSMALL.
        "size" => Some(shown.to_uppercase().replace('-', "")),
        "stale" | "enabled" | "auto_resume" | "is_inherited" => Some(shown.to_lowercase()),
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
