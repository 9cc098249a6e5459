//! Loading by procedures: one for each feed, which applies a file that has arrived to all tables of the feed, in one
//! transaction, and keeps in a ledger that it did.
//!
//! The ledger is asked first and written last. Two calls for one file at the same time work for nothing, but do no harm:
//! the second finds the other's row in the ledger and is rolled back. COPY is told to load whatever it loaded before, so
//! that nothing but the ledger decides.
//!
//! The ledger says, too, which definition of a procedure counts. A deploy says so before it fills a column that is new from
//! the records that are kept: what another definition applies after that, which does not know the column, is rolled back.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::bail;

use super::Context;
use super::access::{Access, insert};
use super::load::{Raw, TEXT, column, location, table_with};
use super::objects::{Blueprint, hash, values};
use crate::graph::object::{Actor, Kind, Object};
use crate::graph::{Graph, NodeId};
use crate::model::Feed;
use crate::model::names::APPLY;
use crate::snowflake::ident::{Ident, Name, literal};
use crate::snowflake::sql::raw;

/// The ledger, and which definitions of procedures count.
pub(super) struct Ledger {
    name: Name,
    pub node: NodeId,
    /// For each feed the hash of what its procedure does to its tables.
    versions: BTreeMap<String, String>,
}

impl Ledger {
    /// Adds its table. `statements` are those of each feed.
    pub fn insert(
        context: &Context,
        access: &Access,
        statements: BTreeMap<&str, Vec<&str>>,
        graph: &mut Graph,
    ) -> anyhow::Result<Self> {
        let (name, node) = ledger(context, access, graph)?;
        let versions = statements
            .into_iter()
            .map(|(feed, statements)| (feed.to_owned(), hash(&statements.join(";"))))
            .collect();
        Ok(Self { name, node, versions })
    }

    /// The statement that says that only this definition of the feed's procedure counts.
    pub fn counts(&self, context: &Context, feed: &str) -> anyhow::Result<Arc<str>> {
        let values = minijinja::context! {
            ledger => raw(&self.name), procedure => called(feed), version => self.version(feed),
        };
        Ok(context.templates.text("procedure_counts", values)?.into())
    }

    fn version(&self, feed: &str) -> &str {
        self.versions.get(feed).map_or("", String::as_str)
    }
}

/// The procedure of a feed.
fn called(feed: &str) -> String {
    format!("{APPLY}_{feed}")
}

/// What a procedure does for the tables of its feed.
#[derive(Default)]
pub(super) struct Applied {
    /// What must be there before.
    pub nodes: Vec<NodeId>,
    /// The statements, in order.
    pub statements: Vec<String>,
}

/// The records of the file that a procedure was called for, as what stands behind FROM.
pub(super) fn arrived(raw_table: &Name) -> String {
    format!("(SELECT * FROM {raw_table} WHERE FILE_NAME = :arrived)")
}

/// Adds a procedure for each feed, whose nodes it gives: they come after the stage.
pub(super) fn contribute(
    context: &Context,
    ledger: &Ledger,
    (raws, stage, format): (&BTreeMap<&str, Raw>, &NodeId, &Name),
    mut applied: BTreeMap<&str, Applied>,
    graph: &mut Graph,
) -> anyhow::Result<Vec<NodeId>> {
    let mut listening = Vec::new();
    for feed in &context.model.landing.feeds {
        let mut applied = applied.remove(feed.name.as_str()).unwrap_or_default();
        applied.nodes.extend([ledger.node.clone(), stage.clone()]);
        let raw_table = &raws[feed.name.as_str()].table;
        let procedure = procedure(context, feed, raw_table, ledger, format, &applied)?;
        listening.push(insert(procedure, &applied.nodes, graph));
    }
    Ok(listening)
}

/// Adds the table of the files that were applied.
fn ledger(context: &Context, access: &Access, graph: &mut Graph) -> anyhow::Result<(Name, NodeId)> {
    let name = context.target.raw_schema.child("APPLIED_FILES");
    let columns = vec![
        column("FILE_NAME", TEXT, true, "The file"),
        column(
            "ETAG",
            TEXT,
            true,
            "Hash of its content: a file that was written anew is another one",
        ),
        column("RECORDS", "NUMBER(38,0)", true, "Records in it"),
        column("APPLIED_AT", "TIMESTAMP_LTZ(9)", true, "When it was applied"),
    ];
    let key = ["FILE_NAME", "ETAG"].map(Ident::new);
    let key: Vec<&Ident> = key.iter().collect();
    let about = "Files that were applied, and which definition of a procedure counts";
    let ledger = table_with(context, &name, about, columns, &key, "UPDATE")?;
    let node = insert(ledger, std::slice::from_ref(&access.raw_schema), graph);
    Ok((name, node))
}

/// The procedure of a feed.
fn procedure(
    context: &Context,
    feed: &Feed,
    raw_table: &Name,
    ledger: &Ledger,
    format: &Name,
    applied: &Applied,
) -> anyhow::Result<Object> {
    let name = context.target.raw_schema.child(&called(&feed.name));
    // The path of a file stands in quotes in between.
    let columns = "RECORD, FILE_NAME, FILE_ROW, FILE_MODIFIED, LOADED_AT";
    let prefix = context.model.landing.prefix;
    let before_path = format!("COPY INTO {raw_table} ({columns}) FROM (SELECT $1, '{prefix}' || ");
    let before_files = format!(
        ", METADATA$FILE_ROW_NUMBER, METADATA$FILE_LAST_MODIFIED, METADATA$START_SCAN_TIME FROM {}) FILES = (",
        location(&context.target.stage, "")
    );
    let after_files = format!(
        ") FILE_FORMAT = (FORMAT_NAME = {}) ON_ERROR = ABORT_STATEMENT FORCE = TRUE",
        literal(&format.to_string())
    );
    let blueprint = Blueprint {
        kind: Kind::Procedure,
        template: "procedure_apply",
        name: name.clone(),
        actor: Actor::Loader,
        about: format!("Applies a file of {}", feed.prefix),
        values: values! {
            "ledger": raw(&ledger.name),
            "procedure": called(&feed.name),
            "version": ledger.version(&feed.name),
            "table": raw(raw_table),
            "prefix": prefix,
            "before_path": before_path,
            "before_files": before_files,
            "after_files": after_files,
            "statements": applied.statements.iter().map(raw).collect::<Vec<_>>(),
        },
    };
    let mut procedure = blueprint.build(context.templates, &context.model.names)?;
    // Nothing in a body that is quoted so can stand for the quote itself.
    if procedure
        .statements
        .create
        .iter()
        .any(|sql| sql.matches("$$").count() != 2)
    {
        bail!(
            "procedure {name} would have `$$` in its body, which ends it\n  hint: a column or a path of a [[table]] that reads {} has `$$` in its name; rename it",
            feed.prefix
        );
    }
    // Said first: where a deploy is cut off in between, files wait for the next one.
    procedure
        .statements
        .create
        .insert(0, ledger.counts(context, &feed.name)?);
    Ok(procedure)
}
