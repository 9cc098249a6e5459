//! The objects as they are: one SHOW for each kind, never one statement for each object.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context;
use futures::future::try_join_all;
use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt, stream};

use super::check::{Check, Findings};
use super::client::{Client, ResultSet, Row, SnowflakeError, Statement};
use super::grant::{Grant, Grants, On};
use super::ident::{Name, literal};
use super::shown::{IN_DATABASE, Shown, comparable, name_in, of_account, of_database, of_procedures};
use super::{mark, sql::canonical, types};
use crate::graph::object::Kind;
use crate::graph::properties::Properties;
use crate::graph::snowflake::securable;
use crate::model::names::{APPLY, Names};
use crate::model::{Load, SnowflakeTarget};

/// An object as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LiveObject {
    /// Its COMMENT.
    pub comment: String,
    /// What SHOW tells of it, in canonical form, under the names that the graph uses.
    pub properties: Properties,
    /// Columns of a table, in order.
    pub columns: Vec<LiveColumn>,
    /// Columns of a table's primary key, in order.
    pub key: Vec<String>,
    /// Whether Snowflake relies on the primary key.
    pub key_is_relied_on: bool,
    /// What the pipeline's roles may do with it; for a role also what it may do with the account and with what is not the
    /// pipeline's. Nothing where it was not told.
    pub grants: Option<Grants>,
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
        self.properties.get(name).unwrap_or_default()
    }
}

/// A column as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveColumn {
    /// Its name, as Snowflake stores it.
    pub name: String,
    /// Its type in canonical spelling.
    pub data_type: Arc<str>,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// Its comment.
    pub comment: Arc<str>,
    /// Whether a row without a value for it gets one.
    pub has_default: bool,
}

/// The pipeline's objects.
pub type LiveObjects = BTreeMap<(Kind, Name), LiveObject>;

/// What a SHOW tells; nothing where that would be more than the 10,000 rows that Snowflake shows.
async fn show(client: &Client, statement: String) -> Result<Option<ResultSet>, SnowflakeError> {
    match client.execute(Statement::quick(statement)).await {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_too_long_to_show() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads all objects that could be the pipeline's: at most nineteen statements, whatever the number of objects, five more
/// where procedures apply files, and one more for a database of over 10,000 columns. `say` hears what could not be read.
pub async fn objects(
    client: &Client,
    names: &Names,
    target: &SnowflakeTarget,
    say: &(dyn Fn(&str) + Send + Sync),
) -> Result<LiveObjects, SnowflakeError> {
    let mut live = LiveObjects::new();
    read(client, of_account(names, target), &mut live).await?;
    let database = (Kind::Database, target.database.clone());
    let has_database = live.contains_key(&database);
    let mut kinds = if has_database { of_database(target) } else { vec![] };
    // The role is made before what it may call, and goes after it.
    let role = (Kind::Role, Name::account(&names.snowflake(APPLY)));
    let applies = target.load == Load::Procedure || live.contains_key(&role);
    if applies {
        kinds.extend(of_procedures(names, target, has_database));
    }
    let of_tables = async {
        if !has_database {
            return Ok(None);
        }
        let columns = columns(client, names, target);
        let keys = format!("SHOW PRIMARY KEYS IN DATABASE {}", target.database);
        let keys = client.execute(Statement::quick(keys));
        futures::future::try_join(columns, keys).await.map(Some)
    };
    let roles: Vec<Name> = ["OWNER", "LOADER", "READER", APPLY]
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
    let grants = try_join_all(granted.chain(promised).map(|sql| show(client, sql)));
    let mut found = LiveObjects::new();
    let (_, tables, grants) = futures::try_join!(read(client, kinds, &mut found), of_tables, grants)?;
    live.extend(found);
    if let Some((columns, keys)) = tables {
        columns.insert_into(&mut live);
        drop(columns);
        insert_keys(&keys, &mut live);
    }
    match grants.into_iter().collect::<Option<Vec<_>>>() {
        Some(grants) => insert_grants(&grants, &target.deployer, &mut live),
        None => say(&format!(
            "The grants of {} are not compared: its roles have more than the 10,000 that SHOW GRANTS gives.",
            names.mark()
        )),
    }
    describe_stages(client, names, &mut live).await?;
    if applies {
        define_procedures(client, names, target, &mut live, say).await?;
    }
    Ok(live)
}

/// SHOW does not tell what a procedure does, and a view tells it to its owner:
/// <https://docs.snowflake.com/en/sql-reference/info-schema/procedures>.
async fn define_procedures(
    client: &Client,
    names: &Names,
    target: &SnowflakeTarget,
    live: &mut LiveObjects,
    say: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), SnowflakeError> {
    if !live.keys().any(|(kind, _)| *kind == Kind::Procedure) {
        return Ok(());
    }
    let sql = format!(
        "SELECT PROCEDURE_CATALOG, PROCEDURE_SCHEMA, PROCEDURE_NAME, PROCEDURE_DEFINITION FROM {}.INFORMATION_SCHEMA.PROCEDURES \
         WHERE PROCEDURE_SCHEMA = {}",
        target.database,
        literal(target.raw_schema.last())
    );
    let statement = Statement::new(sql)
        .role(names.snowflake("LOADER"))
        .warehouse(target.warehouse.last());
    let told = match client.execute(statement).await {
        Ok(told) => told,
        // The deploy makes the role or the warehouse anew; hashes tell what else is to do.
        Err(error) if error.failure().is_some() => {
            say(&format!("What the procedures do is not compared: {error}"));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    for row in told.iter() {
        let name = name_in(&row, &["PROCEDURE_CATALOG", "PROCEDURE_SCHEMA", "PROCEDURE_NAME"]);
        if let (Some(found), Some(text)) = (live.get_mut(&(Kind::Procedure, name)), row.get("PROCEDURE_DEFINITION")) {
            found.properties.insert("definition", canonical(text));
        }
    }
    Ok(())
}

/// What tells the columns of the database.
enum Columns {
    /// SHOW COLUMNS.
    Shown(ResultSet),
    /// INFORMATION_SCHEMA.COLUMNS.
    Viewed(ResultSet),
}

impl Columns {
    /// Gives every table the columns that it has.
    fn insert_into(&self, live: &mut LiveObjects) {
        let (answer, table, column): (_, _, fn(&Row) -> LiveColumn) = match self {
            Columns::Shown(answer) => (answer, ["database_name", "schema_name", "table_name"], column),
            Columns::Viewed(answer) => (answer, ["TABLE_CATALOG", "TABLE_SCHEMA", "TABLE_NAME"], viewed_column),
        };
        // Types and comments repeat from table to table.
        let mut texts: BTreeSet<Arc<str>> = BTreeSet::new();
        let mut shared = |text: &mut Arc<str>| match texts.get(text) {
            Some(same) => *text = same.clone(),
            None => drop(texts.insert(text.clone())),
        };
        for row in answer.iter() {
            if let Some(found) = live.get_mut(&(Kind::Table, name_in(&row, &table))) {
                let mut column = column(&row);
                shared(&mut column.data_type);
                shared(&mut column.comment);
                found.columns.push(column);
            }
        }
        live.values_mut().for_each(|found| found.columns.shrink_to_fit());
    }
}

/// The columns of the database. Those that are too many to show a view tells, which needs a warehouse and gives all of
/// them, in partitions; SHOW COLUMNS has no pages.
async fn columns(client: &Client, names: &Names, target: &SnowflakeTarget) -> Result<Columns, SnowflakeError> {
    let shown = format!("SHOW COLUMNS IN DATABASE {}", target.database);
    if let Some(shown) = show(client, shown).await? {
        return Ok(Columns::Shown(shown));
    }
    // Its owner sees every table of the pipeline and may use the warehouse.
    let owner = names.snowflake("OWNER");
    let statement = Statement::new(every_column(target))
        .role(owner.as_str())
        .warehouse(target.warehouse.last());
    Ok(Columns::Viewed(client.execute(statement).await?))
}

/// <https://docs.snowflake.com/en/sql-reference/info-schema/columns>
fn every_column(target: &SnowflakeTarget) -> String {
    let schemas: BTreeSet<&str> = [target.schema.last(), target.raw_schema.last()].into();
    let schemas: Vec<String> = schemas.into_iter().map(literal).collect();
    format!(
        "SELECT TABLE_CATALOG, TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, IS_NULLABLE, DATA_TYPE, CHARACTER_MAXIMUM_LENGTH, \
         NUMERIC_PRECISION, NUMERIC_SCALE, DATETIME_PRECISION, COLUMN_DEFAULT, IS_IDENTITY, COMMENT FROM {}.INFORMATION_SCHEMA.COLUMNS \
         WHERE TABLE_SCHEMA IN ({}) ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION",
        target.database,
        schemas.join(", ")
    )
}

fn viewed_column(row: &Row) -> LiveColumn {
    let text = |name: &str| row.get(name).unwrap_or_default();
    LiveColumn {
        name: text("COLUMN_NAME").to_owned(),
        data_type: types::viewed(text("DATA_TYPE"), |fact| row.get(fact)).into(),
        not_null: text("IS_NULLABLE") == "NO",
        comment: text("COMMENT").into(),
        has_default: !text("COLUMN_DEFAULT").is_empty() || text("IS_IDENTITY") == "YES",
    }
}

/// Gives every table the columns of its primary key.
fn insert_keys(keys: &ResultSet, live: &mut LiveObjects) {
    let table = |row: &Row<'_>| {
        (
            Kind::Table,
            name_in(row, &["database_name", "schema_name", "table_name"]),
        )
    };
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
    let by_kind: BTreeMap<(&str, Name), Kind> = live
        .iter()
        .filter(|(_, found)| found.mark().is_some())
        .map(|((kind, name), _)| ((securable(*kind), name.clone()), *kind))
        .collect();
    // With the name that the object has already.
    let find = |kind: &str, name: &Name| {
        let ((_, name), kind) = by_kind.get_key_value(&(kind, name.clone()))?;
        Some((*kind, name.clone()))
    };
    let mut on: BTreeMap<(Kind, Name), Vec<Grant>> = BTreeMap::new();
    // Whose roles the deploying role has, it tells itself.
    for ((kind, name), found) in live.iter() {
        if *kind == Kind::Role && found.property("is_inherited") == "y" {
            let member = Grant {
                privilege: "USAGE".into(),
                on: On::Object("ROLE".into(), name.clone()),
                role: deployer.clone(),
            };
            on.entry((*kind, name.clone())).or_default().push(member);
        }
    }
    for mut grant in answers
        .iter()
        .flat_map(ResultSet::iter)
        .filter_map(|row| Grant::of_row(&row))
    {
        let home = match &grant.on {
            On::Object(kind, name) => find(kind, name),
            On::Future(_, schema) => find("SCHEMA", schema),
            On::Account => None,
        };
        // A role owns what it made; only the database changes hands.
        if grant.privilege == "OWNERSHIP" && home.as_ref().is_none_or(|(kind, _)| *kind != Kind::Database) {
            continue;
        }
        if let Some((_, role)) = find("ROLE", &grant.role) {
            grant.role = role;
        }
        if let (On::Object(_, name) | On::Future(_, name), Some((_, shared))) = (&mut grant.on, &home) {
            *name = shared.clone();
        }
        let home = home.unwrap_or_else(|| (Kind::Role, grant.role.clone()));
        on.entry(home).or_default().push(grant);
    }
    for (key, found) in live {
        found.grants = Some(on.remove(key).into_iter().flatten().collect());
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
    Ok(made.map(|row| name_in(&row, IN_DATABASE)).collect())
}

/// Each answer is taken in as it comes, so that not all of them are held at once.
async fn read(client: &Client, kinds: Vec<Shown>, live: &mut LiveObjects) -> Result<(), SnowflakeError> {
    let mut answers = kinds
        .iter()
        .map(async |shown| (shown, client.execute(Statement::quick(shown.statement.clone())).await))
        .collect::<FuturesUnordered<_>>();
    while let Some((shown, answer)) = answers.next().await {
        insert(shown, &answer?, live);
    }
    Ok(())
}

fn insert(shown: &Shown, answer: &ResultSet, live: &mut LiveObjects) {
    for row in answer.iter() {
        let mut properties = Properties::default();
        for (column, property) in shown.properties {
            let value = comparable(property, row.get(column).unwrap_or_default());
            if let Some(value) = value {
                properties.insert(property, value);
            }
        }
        let kind = match (shown.kind, row.get("category")) {
            (Kind::StorageIntegration, Some("NOTIFICATION")) => Kind::NotificationIntegration,
            (kind, _) => kind,
        };
        // A procedure's is its `description`.
        let comment = row.get("comment").or_else(|| row.get("description"));
        let comment = comment.unwrap_or_default().to_owned();
        live.insert(
            (kind, name_in(&row, shown.name)),
            LiveObject {
                comment,
                properties,
                ..LiveObject::default()
            },
        );
    }
}

fn column(row: &Row) -> LiveColumn {
    let data_type = types::shown(row.get("data_type").unwrap_or_default()).into();
    LiveColumn {
        name: row.get("column_name").unwrap_or_default().to_owned(),
        not_null: row
            .get("null?")
            .is_some_and(|null| matches!(null, "false" | "NOT_NULL")),
        comment: row.get("comment").unwrap_or_default().into(),
        has_default: ["default", "autoincrement"]
            .iter()
            .any(|column| row.get(column).is_some_and(|text| !text.is_empty() && text != "null")),
        data_type,
    }
}
