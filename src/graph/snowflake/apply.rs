//! Loading by procedures: one for each feed, which applies a file that has arrived to all tables of the feed, in one
//! transaction, and keeps in a ledger that it did.
//!
//! The ledger is asked first and written last. Two calls for one file at the same time work for nothing, but do no harm:
//! the second finds the other's row in the ledger and is rolled back. COPY is told to load whatever it loaded before, so
//! that nothing but the ledger decides.

use std::collections::BTreeMap;

use anyhow::bail;

use super::Context;
use super::access::{Access, insert};
use super::load::{Raw, TEXT, column, location, table};
use super::objects::{Blueprint, values};
use crate::graph::object::{Actor, Kind, Object};
use crate::graph::{Graph, NodeId};
use crate::model::Feed;
use crate::model::names::APPLY;
use crate::snowflake::ident::{Ident, Name, literal};
use crate::snowflake::sql::raw;

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

/// Adds the ledger and a procedure for each feed, whose nodes it gives: they come after the stage.
pub(super) fn contribute(
    context: &Context,
    access: &Access,
    (raws, stage, format): (&BTreeMap<&str, Raw>, &NodeId, &Name),
    mut applied: BTreeMap<&str, Applied>,
    graph: &mut Graph,
) -> anyhow::Result<Vec<NodeId>> {
    let (ledger, ledger_node) = ledger(context, access, graph)?;
    let mut listening = Vec::new();
    for feed in &context.model.landing.feeds {
        let mut applied = applied.remove(feed.name.as_str()).unwrap_or_default();
        applied.nodes.extend([ledger_node.clone(), stage.clone()]);
        let raw_table = &raws[feed.name.as_str()].table;
        let procedure = procedure(context, feed, raw_table, &ledger, format, &applied)?;
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
    let ledger = table(context, &name, "Files that were applied", columns, &key)?;
    let node = insert(ledger, std::slice::from_ref(&access.raw_schema), graph);
    Ok((name, node))
}

/// The procedure of a feed.
fn procedure(
    context: &Context,
    feed: &Feed,
    raw_table: &Name,
    ledger: &Name,
    format: &Name,
    applied: &Applied,
) -> anyhow::Result<Object> {
    let name = context.target.raw_schema.child(&format!("{APPLY}_{}", feed.name));
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
            "ledger": raw(ledger),
            "table": raw(raw_table),
            "prefix": prefix,
            "before_path": before_path,
            "before_files": before_files,
            "after_files": after_files,
            "statements": applied.statements.iter().map(raw).collect::<Vec<_>>(),
        },
    };
    let procedure = blueprint.build(context.templates, &context.model.names)?;
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
    Ok(procedure)
}
