//! Snowflake objects as the graph holds them: what is compared, and the statements that make, change and remove them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::graph::properties::Properties;
use crate::model::names::Names;
use crate::plan::Mark;
use crate::snowflake::grant::Grants;
use crate::snowflake::ident::{Ident, Name};
use crate::snowflake::sql::canonical;

/// Kinds of Snowflake objects that pipectl makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A role.
    Role,
    /// A user: the one that a function of the pipeline signs in as.
    User,
    /// A virtual warehouse.
    Warehouse,
    /// The right to read a bucket through a role.
    StorageIntegration,
    /// The right to publish errors to a topic through a role.
    NotificationIntegration,
    /// A database.
    Database,
    /// A schema.
    Schema,
    /// How files are read.
    FileFormat,
    /// Where files are read.
    Stage,
    /// A table.
    Table,
    /// What loads files as they arrive.
    Pipe,
    /// The rows that arrived since the last read.
    Stream,
    /// What applies a file that has arrived.
    Procedure,
    /// Work on a schedule or after another task.
    Task,
}

impl Kind {
    /// The kind in the words of SQL and of people.
    pub fn label(self) -> &'static str {
        match self {
            Kind::Role => "role",
            Kind::User => "user",
            Kind::Warehouse => "warehouse",
            Kind::StorageIntegration => "storage integration",
            Kind::NotificationIntegration => "notification integration",
            Kind::Database => "database",
            Kind::Schema => "schema",
            Kind::FileFormat => "file format",
            Kind::Stage => "stage",
            Kind::Table => "table",
            Kind::Pipe => "pipe",
            Kind::Stream => "stream",
            Kind::Procedure => "procedure",
            Kind::Task => "task",
        }
    }

    /// The types of its arguments, which are part of a procedure's name in statements; all that pipectl makes have the
    /// same.
    pub fn arguments(self) -> &'static str {
        match self {
            Kind::Procedure => "(VARCHAR, VARCHAR)",
            _ => "",
        }
    }

    /// What is lost when an object of this kind is dropped or replaced; nothing for those that hold nothing.
    pub fn loss(self) -> Option<&'static str> {
        match self {
            Kind::Database | Kind::Schema => Some("every table in it"),
            Kind::Table => Some("its rows"),
            Kind::Stage => Some("its pipes, which stop loading"),
            Kind::Pipe => Some("its load history: files of the last 14 days can load again"),
            Kind::Stream => Some("its offset: rows not yet read are skipped"),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// Which of the pipeline's roles runs an object's statements, and so owns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Actor {
    /// The role that the user deploys with.
    Deployer,
    /// The role that owns structure.
    Owner,
    /// The role that owns what moves rows: pipes and tasks.
    Loader,
}

/// One Snowflake object.
#[derive(Debug, Clone)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Its full name.
    pub name: Name,
    /// Who makes it.
    pub actor: Actor,
    /// What it is for; stands before the mark in its COMMENT.
    pub about: String,
    /// Hash of all statements that define it; kept in the object's COMMENT.
    pub hash: String,
    /// What SHOW tells of it, in canonical form, but for what [`Object::properties`] reads out of its statement.
    pub settings: Properties,
    /// Properties that Snowflake cannot change in place.
    pub fixed: &'static [&'static str],
    /// The statements.
    pub statements: Statements,
    /// Whether the file could say to take over one that exists.
    pub can_be_adopted: bool,
    /// How it is taken over, where the file says so.
    pub adoption: Option<Adoption>,
    /// Columns of a table, in order.
    pub columns: Vec<ColumnDefinition>,
    /// Columns of a table's primary key, in order.
    pub key: Vec<Ident>,
    /// Rows that go with a column that the table has no more.
    pub leaving: Option<Box<Leaving>>,
    /// Every grant on it that the pipeline makes, whichever object states it; those that it has from future grants, too.
    pub grants: Grants,
    /// Its place in a task graph.
    pub task: Option<TaskPlace>,
}

impl Object {
    /// What its COMMENT says.
    pub fn mark(&self, names: &Names) -> Mark {
        Mark {
            about: self.about.clone(),
            owner: names.mark(),
            hash: self.hash.clone(),
        }
    }

    /// What SHOW tells of it, in canonical form; compared property by property. What follows from the statement that
    /// makes it is read when it is asked for: of a thousand tables it is megabytes, and rendering needs none of it.
    pub fn properties(&self) -> BTreeMap<&'static str, Cow<'_, str>> {
        let settings = self.settings.iter();
        let mut all: BTreeMap<_, _> = settings.map(|(name, value)| (name, Cow::from(value))).collect();
        let mut makes = self.statements.create.iter().rev();
        let create = makes
            .find(|sql| sql.starts_with("CREATE "))
            .and_then(|sql| sql.split_once("\nAS\n"));
        let (head, body) = create.unwrap_or_default();
        if self.kind == Kind::Pipe {
            all.insert("definition", canonical(body).into());
        }
        if self.kind == Kind::Procedure {
            all.insert("definition", canonical(body.trim_matches('$')).into());
        }
        if self.kind == Kind::Task {
            let condition = head.split_once("\n  WHEN ").map(|(_, condition)| condition);
            let after = head.split_once("\n  AFTER ").and_then(|(_, rest)| rest.lines().next());
            all.insert("definition", canonical(body).into());
            all.insert("condition", canonical(condition.unwrap_or_default()).into());
            all.insert("predecessors", canonical(after.unwrap_or_default()).into());
        }
        all
    }
}

/// The statements of an object. All may be run again without harm.
#[derive(Debug, Clone, Default)]
pub struct Statements {
    /// Makes it when it is not there.
    pub create: Vec<Arc<str>>,
    /// Makes a new one in the place of one that is there, for kinds that Snowflake replaces in one transaction.
    pub replace: Option<Arc<str>>,
    /// Brings an existing one to its definition.
    pub alter: Vec<Arc<str>>,
    /// Grants that belong to it.
    pub grants: Vec<Arc<str>>,
    /// Removes it.
    pub drop: Vec<Arc<str>>,
    /// Fills columns that were added to a table from the records that were kept.
    pub backfill: Vec<Arc<str>>,
    /// Sets a property back that `alter` leaves alone, because not every account has it; by property.
    pub undo: BTreeMap<String, Vec<Arc<str>>>,
}

/// How an object that exists and is somebody's is taken over. It keeps its owner, so the deploying role does it all.
#[derive(Debug, Clone, Default)]
pub struct Adoption {
    /// What the pipeline's roles need on it.
    pub grants: Vec<Arc<str>>,
}

/// A column as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDefinition {
    /// Its name.
    pub name: Ident,
    /// Its type in Snowflake's canonical spelling.
    pub data_type: Arc<str>,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// The name it had before.
    pub was: Option<Ident>,
    /// Its comment.
    pub comment: Option<Arc<str>>,
}

/// Rows that go with a column: before a table loses the column, it loses them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// The column.
    pub column: Ident,
    /// The condition on the rows.
    pub condition: &'static str,
    /// The statements that take them away.
    pub statements: Vec<String>,
    /// What they are, in words.
    pub loss: &'static str,
}

/// A task's place in its graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskPlace {
    /// It starts the graph.
    Root,
    /// It runs in the graph of this root.
    Member {
        /// The root task.
        root: Name,
    },
}
