//! What moves records: format, stage, raw tables, pipes and streams; typed tables are in [`super::typed`].

use std::collections::BTreeMap;

use minijinja::Value;

use super::Context;
use super::access::{Access, add, adoptable, insert};
use super::apply::{self, Applied, Ledger};
use super::cdc;
use super::each::each;
use super::objects::{Blueprint, grants_on, values};
use super::star::{self, Stage};
use super::tasks::tasks;
use super::typed::{Typed, rejected_columns};
use crate::graph::object::{Actor, ColumnDefinition, Kind, Object};
use crate::graph::{Graph, NodeId};
use crate::model::Feed;
use crate::snowflake::ident::{Ident, Name, literal};
use crate::snowflake::sql::raw;

/// Text without a limit of its own, as Snowflake shows it.
pub(super) const TEXT: &str = "VARCHAR(16777216)";

/// Nodes and names of one feed.
pub(super) struct Raw {
    pub table: Name,
    pub node: NodeId,
}

/// Adds the loading part; the nodes returned must listen before the source is switched on.
pub(super) fn contribute(
    context: &Context,
    access: &Access,
    delivery: NodeId,
    graph: &mut Graph,
) -> anyhow::Result<Vec<NodeId>> {
    let schema = &context.target.raw_schema;
    let format = schema.child("JSON_LINES");
    let format_node = file_format(context, &format, &access.raw_schema, graph)?;
    let stage = context.target.stage.clone();
    let mut stage_needs = vec![format_node, access.raw_schema.clone(), access.schema.clone()];
    stage_needs.extend(access.integrations.iter().cloned());
    let stage_node = stage_object(context, &stage, &format, &stage_needs, graph)?;

    let feeds = &context.model.landing.feeds;
    // Of the same text in all tables.
    let (columns, of_rejected) = (raw_columns(), rejected_columns());
    let mut raws: BTreeMap<&str, Raw> = BTreeMap::new();
    for (feed, object) in feeds
        .iter()
        .zip(each(feeds, |feed| raw_table(context, feed, &columns))?)
    {
        let table = object.name.clone();
        let node = insert(object, std::slice::from_ref(&access.raw_schema), graph);
        raws.insert(&feed.name, Raw { table, node });
    }
    let (tables, feeding) = (&context.model.tables, star::feeding(&context.model.star));
    let truncated = match tables.iter().any(|table| table.cdc.is_some()) {
        true => Some(insert(
            cdc::truncated(context)?,
            std::slice::from_ref(&access.raw_schema),
            graph,
        )),
        false => None,
    };
    let typed = each(tables, |table| {
        Typed::new(context, table, &raws, &feeding, &of_rejected)
    })?;
    let typed = tables.iter().zip(typed).map(|(table, typed)| {
        let truncated = truncated.as_ref().filter(|_| table.cdc.is_some());
        (table, typed, truncated)
    });
    if context.target.apply.is_some() {
        let typed: Vec<_> = typed.collect();
        let mut all: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (table, typed, _) in &typed {
            let of_feed = all.entry(&table.feed).or_default();
            of_feed.extend(typed.statements.iter().flatten().map(String::as_str));
        }
        let ledger = Ledger::insert(context, access, all, graph)?;
        let mut applied: BTreeMap<&str, Applied> = BTreeMap::new();
        for (table, mut typed, truncated) in typed {
            typed.fills_after(&ledger.counts(context, &table.feed)?);
            let before = truncated.into_iter().chain([&ledger.node]);
            let of_feed = applied.entry(&table.feed).or_default();
            let (nodes, statements) = typed.insert_applied(access, before, graph);
            of_feed.nodes.extend(nodes);
            of_feed.statements.extend(statements);
        }
        return apply::contribute(context, &ledger, (&raws, &stage_node, &format), applied, graph);
    }
    let mut loads = Vec::new();
    let mut stages: BTreeMap<String, Stage> = BTreeMap::new();
    let mut streams: BTreeMap<&str, Vec<NodeId>> = BTreeMap::new();
    for (table, typed, truncated) in typed {
        let (load, stage) = typed.insert(context, table, access, truncated, graph)?;
        stages.extend(stage.map(|stage| (table.name.clone(), stage)));
        streams.entry(&table.feed).or_default().push(load.stream_node.clone());
        loads.push(load);
    }
    let mut listening = Vec::new();
    let pipes = each(feeds, |feed| {
        pipe(context, feed, &raws[feed.name.as_str()], &stage, &format)
    })?;
    for (feed, pipe) in feeds.iter().zip(pipes) {
        let raw = raws[feed.name.as_str()].node.clone();
        let mut needs = vec![delivery.clone(), stage_node.clone(), raw];
        // A pipe that loads before its streams exist would make rows that no stream shows.
        needs.extend(streams.remove(feed.name.as_str()).unwrap_or_default());
        listening.push(insert(pipe, &needs, graph));
    }
    let steps = star::contribute(context, &stages, access, graph)?;
    listening.extend(tasks(context, &loads, &steps, access, graph)?);
    Ok(listening)
}

fn file_format(context: &Context, name: &Name, schema: &NodeId, graph: &mut Graph) -> anyhow::Result<NodeId> {
    let blueprint = Blueprint {
        kind: Kind::FileFormat,
        template: "file_format",
        name: name.clone(),
        actor: Actor::Owner,
        about: "One JSON document a line".to_owned(),
        values: values! {},
    };
    add(context, blueprint, std::slice::from_ref(schema), graph)
}

fn stage_object(
    context: &Context,
    name: &Name,
    format: &Name,
    needs: &[NodeId],
    graph: &mut Graph,
) -> anyhow::Result<NodeId> {
    let landing = &context.model.landing;
    let url = format!("s3://{}/{}", landing.bucket, landing.prefix);
    // Elsewhere the pipeline's roles have no privileges of their own.
    let is_elsewhere = name.parent().as_ref() != Some(&context.target.raw_schema);
    let blueprint = Blueprint {
        kind: Kind::Stage,
        template: "stage",
        name: name.clone(),
        actor: if is_elsewhere { Actor::Deployer } else { Actor::Owner },
        about: "Curated files".to_owned(),
        values: values! {
            "url": url.clone(),
            "integration": raw(&context.storage_integration),
            "format": format.to_string(),
            "grants": grants(context, Kind::Stage, name, is_elsewhere)?,
        },
    };
    let mut stage = blueprint.build(context.templates, &context.model.names)?;
    stage.settings.insert("url", url);
    stage.settings.insert("file_format", format.to_string());
    stage
        .settings
        .insert("storage_integration", context.storage_integration.last().to_owned());
    // Changing either in place leaves its pipes pointing at the old one:
    // https://docs.snowflake.com/en/user-guide/data-load-snowpipe-manage#changing-the-stage-definition
    stage.fixed = &["url", "storage_integration"];
    adoptable(context, &mut stage, context.target.adopt_stage)?;
    Ok(insert(stage, needs, graph))
}

/// The grants on an object, where it needs some of its own.
fn grants(context: &Context, kind: Kind, name: &Name, needed: bool) -> anyhow::Result<Vec<Value>> {
    let all = if needed {
        grants_on(context, kind, name)?
    } else {
        Vec::new()
    };
    Ok(all.iter().map(raw).collect())
}

/// A table with these columns. `key` names the columns of the primary key.
pub(super) fn table(
    context: &Context,
    name: &Name,
    about: &str,
    columns: Vec<ColumnDefinition>,
    key: &[&Ident],
) -> anyhow::Result<Object> {
    table_with(context, name, about, columns, key, "")
}

/// A table on which the role that moves rows has these privileges besides those that the schema promises.
pub(super) fn table_with(
    context: &Context,
    name: &Name,
    about: &str,
    columns: Vec<ColumnDefinition>,
    key: &[&Ident],
    privileges: &str,
) -> anyhow::Result<Object> {
    let last = columns.len().saturating_sub(1);
    let keyed = !key.is_empty();
    let shown: Vec<Value> = columns
        .iter()
        .enumerate()
        .map(|(position, column)| {
            let comment = column
                .comment
                .as_deref()
                .map(|text| format!(" COMMENT {}", literal(text)));
            minijinja::context! {
                name => raw(&column.name),
                type => raw(&column.data_type),
                not_null => raw(if column.not_null { " NOT NULL" } else { "" }),
                comment => raw(comment.unwrap_or_default()),
                comma => raw(if position < last || keyed { "," } else { "" }),
            }
        })
        .collect();
    let listed: Vec<String> = key.iter().map(ToString::to_string).collect();
    // A schema that is somebody's has no future grants of the pipeline, nor does its OWNER make tables there.
    let is_elsewhere = context.target.adopt && name.parent().as_ref() == Some(&context.target.schema);
    let mut grants = grants(context, Kind::Table, name, is_elsewhere)?;
    grants.extend(more_on(context, name, privileges).map(raw));
    let blueprint = Blueprint {
        kind: Kind::Table,
        template: "table",
        name: name.clone(),
        actor: if is_elsewhere { Actor::Deployer } else { Actor::Owner },
        about: about.to_owned(),
        values: values! {
            "columns": shown,
            "key": raw(listed.join(", ")),
            "grants": grants,
        },
    };
    let mut object = blueprint.build(context.templates, &context.model.names)?;
    object.columns = columns;
    object.key = key.iter().map(|name| (*name).clone()).collect();
    Ok(object)
}

/// The grant of more privileges on a table to the role that moves rows.
pub(super) fn more_on(context: &Context, name: &Name, privileges: &str) -> Option<String> {
    let loader = &context.roles.loader;
    (!privileges.is_empty()).then(|| format!("GRANT {privileges} ON TABLE {name} TO ROLE {loader}"))
}

pub(super) fn column(name: &str, data_type: &str, not_null: bool, comment: &str) -> ColumnDefinition {
    ColumnDefinition {
        name: Ident::new(name),
        data_type: data_type.into(),
        not_null,
        was: None,
        comment: Some(comment.into()),
    }
}

/// Columns of every raw table.
fn raw_columns() -> Vec<ColumnDefinition> {
    vec![
        column("RECORD", "VARIANT", true, "The whole record"),
        column("FILE_NAME", TEXT, true, "File that it came from"),
        column("FILE_ROW", "NUMBER(38,0)", true, "Its place in that file"),
        column("FILE_MODIFIED", "TIMESTAMP_NTZ(9)", true, "When that file was written"),
        column("LOADED_AT", "TIMESTAMP_LTZ(9)", true, "When it was loaded"),
    ]
}

fn raw_table(context: &Context, feed: &Feed, columns: &[ColumnDefinition]) -> anyhow::Result<Object> {
    let name = context.target.raw_schema.child(&format!("RAW_{}", feed.name));
    let about = format!("Records of {}", feed.prefix);
    table(context, &name, &about, columns.to_vec(), &[])
}

/// A stream of the rows that are added to a table.
pub(super) fn stream(
    context: &Context,
    name: &Name,
    table: &Name,
    about: &str,
    node: &NodeId,
    graph: &mut Graph,
) -> anyhow::Result<NodeId> {
    let stream = stream_object(context, name, table, about)?;
    Ok(insert(stream, std::slice::from_ref(node), graph))
}

pub(super) fn stream_object(context: &Context, name: &Name, table: &Name, about: &str) -> anyhow::Result<Object> {
    let blueprint = Blueprint {
        kind: Kind::Stream,
        template: "stream",
        name: name.clone(),
        actor: Actor::Owner,
        about: about.to_owned(),
        values: values! { "table": raw(table) },
    };
    let mut stream = blueprint.build(context.templates, &context.model.names)?;
    stream.settings.insert("table_name", table.to_string());
    // A stale stream can no longer be read, and neither its table nor its mode can be changed:
    // https://docs.snowflake.com/en/sql-reference/sql/alter-stream
    stream.fixed = &["table_name", "mode", "stale"];
    Ok(stream)
}

fn pipe(context: &Context, feed: &Feed, source: &Raw, stage: &Name, format: &Name) -> anyhow::Result<Object> {
    let names = &context.model.names;
    let blueprint = Blueprint {
        kind: Kind::Pipe,
        template: "pipe",
        name: context.target.raw_schema.child(&format!("{}_PIPE", feed.name)),
        actor: Actor::Loader,
        about: format!("Loads {}", feed.prefix),
        values: values! {
            "topic_arn": names.arn("sns", &context.model.landing.topic),
            "error_integration": raw(&context.error_integration),
            "table": raw(&source.table),
            "location": raw(location(stage, &feed.prefix)),
            "format": format.to_string(),
        },
    };
    let mut pipe = blueprint.build(context.templates, names)?;
    pipe.settings
        .insert("error_integration", context.error_integration.last().to_owned());
    // A pipe's COPY statement can only be changed by making the pipe anew:
    // https://docs.snowflake.com/en/sql-reference/sql/alter-pipe
    pipe.fixed = &["definition"];
    Ok(pipe)
}

/// A stage with a path, quoted as one literal where the path needs it.
pub(super) fn location(stage: &Name, prefix: &str) -> String {
    let path = format!("@{stage}/{prefix}");
    let plain = prefix
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '.' | '='));
    if plain { path } else { literal(&path) }
}
