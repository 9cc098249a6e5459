//! One object from its template: statements, hash and mark.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::Value;
use sha2::{Digest, Sha256};

use crate::graph::object::{Actor, Kind, Object, Statements};
use crate::graph::properties::Properties;
use crate::model::names::Names;
use crate::snowflake::grant::Grants;
use crate::snowflake::ident::{Name, literal};
use crate::snowflake::mark;
use crate::snowflake::sql::{Templates, raw};

use super::Context;

/// Shorthand for the values of a template.
macro_rules! values {
    ($($key:literal: $value:expr),* $(,)?) => {
        std::collections::BTreeMap::from([$(($key, minijinja::Value::from($value))),*])
    };
}
/// What an object is made of.
pub struct Blueprint<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its template.
    pub template: &'a str,
    /// Its full name.
    pub name: Name,
    /// Who makes it.
    pub actor: Actor,
    /// What it is for; stands before the mark in its COMMENT.
    pub about: String,
    /// Values of the template besides `name` and `comment`.
    pub values: BTreeMap<&'static str, Value>,
}

impl Blueprint<'_> {
    /// Fills the template. The hash covers what defines the object, without the mark that holds the hash.
    pub fn build(self, templates: &Templates, names: &Names) -> anyhow::Result<Object> {
        let mut values = self.values;
        values.insert("name", raw(&self.name));
        // Filled once: only the comment differs between the text that is hashed and the text that is run.
        let gap = templates.gap();
        values.insert("comment", raw(gap));
        let mut sections = templates.sections(self.template, Value::from(values))?;
        let about = literal(&self.about);
        let mut definition = Sha256::new();
        let parts = ["create", "grants"].iter().filter_map(|section| sections.get(*section));
        for (position, statement) in parts.flatten().enumerate() {
            if position > 0 {
                definition.update(";");
            }
            templates.parts(statement, &about, |part| definition.update(part));
        }
        let hash = hexadecimal(definition);
        let comment = |hash: &str| mark::comment(&self.about, &names.mark(), hash);
        // What is granted is no part of the object, so the hash is written after the grants: an object whose making was
        // cut off in between is not taken for a whole one.
        let granted = sections.get("grants").is_some_and(|grants| !grants.is_empty());
        let first = literal(&comment(if granted { mark::UNFINISHED } else { &hash }));
        for statement in sections.values_mut().flatten().filter(|sql| templates.has_gap(sql)) {
            *statement = templates.without_gaps(statement, &first);
        }
        if granted {
            let kind = match self.kind {
                // The word before it is optional, and sqlfluff knows only the form without.
                Kind::StorageIntegration | Kind::NotificationIntegration => "INTEGRATION".to_owned(),
                kind => kind.label().to_uppercase(),
            };
            let finish = format!("ALTER {kind} {} SET COMMENT = {}", self.name, literal(&comment(&hash)));
            sections.entry("grants".to_owned()).or_default().push(finish);
        }
        let undo = sections
            .keys()
            .filter_map(|section| section.strip_prefix("undo ").map(str::to_owned));
        let undo: Vec<String> = undo.collect();
        let mut take = |section: &str| shared(sections.remove(section).unwrap_or_default());
        let statements = Statements {
            undo: undo
                .into_iter()
                .map(|property| (property.clone(), take(&format!("undo {property}"))))
                .collect(),
            create: take("create"),
            replace: take("replace").pop(),
            alter: take("alter"),
            grants: take("grants"),
            drop: take("drop"),
            backfill: Vec::new(),
        };
        Ok(Object {
            kind: self.kind,
            name: self.name,
            actor: self.actor,
            about: self.about.trim().to_owned(),
            hash,
            settings: constants(self.kind),
            fixed: &[],
            statements,
            can_be_adopted: false,
            adoption: None,
            columns: Vec::new(),
            key: Vec::new(),
            leaving: None,
            grants: Grants::default(),
            task: None,
        })
    }
}

/// Statements as the graph keeps them: a plan holds the same, not copies.
pub(super) fn shared(statements: Vec<String>) -> Vec<Arc<str>> {
    statements.into_iter().map(Into::into).collect()
}

/// What the pipeline's roles need on an object that they do not own.
pub fn grants_on(context: &Context, kind: Kind, name: &Name) -> anyhow::Result<Vec<String>> {
    let values = values! {
        "name": raw(name),
        "parent": raw(name.parent().map(|parent| parent.to_string()).unwrap_or_default()),
        "owner": raw(&context.roles.owner),
        "loader": raw(&context.roles.loader),
        "reader": raw(&context.roles.reader),
    };
    let mut sections = context.templates.sections("adopt", values)?;
    Ok(sections.remove(kind.label()).unwrap_or_default())
}
/// Days that rows can be had back, as the templates set them: what every edition of Snowflake has.
/// <https://docs.snowflake.com/en/user-guide/data-time-travel#data-retention-period>
const RETENTION: &str = "1";

/// Properties that every object of a kind has, as its template sets them.
fn constants(kind: Kind) -> Properties {
    let pairs: &[(&'static str, &'static str)] = match kind {
        Kind::Warehouse => &[
            ("size", "XSMALL"),
            ("auto_suspend", "60"),
            ("auto_resume", "true"),
            ("type", "STANDARD"),
            ("min_cluster_count", "1"),
            ("max_cluster_count", "1"),
            ("enable_query_acceleration", "false"),
        ],
        Kind::Database | Kind::Table => &[("retention_time", RETENTION)],
        Kind::StorageIntegration | Kind::NotificationIntegration => &[("enabled", "true")],
        Kind::Schema => &[("options", "MANAGED ACCESS"), ("retention_time", RETENTION)],
        Kind::FileFormat => &[(
            "format_options",
            "TYPE = JSON COMPRESSION = AUTO STRIP_OUTER_ARRAY = TRUE",
        )],
        Kind::Stream => &[("mode", "APPEND_ONLY"), ("stale", "false")],
        _ => &[],
    };
    pairs.iter().copied().collect()
}

/// The first 16 hexadecimal digits of a text's SHA-256.
pub fn hash(text: &str) -> String {
    hexadecimal(Sha256::new_with_prefix(text))
}

/// The first 16 hexadecimal digits of a SHA-256 of what it was given so far.
pub fn hexadecimal(hash: Sha256) -> String {
    let digest = hash.finalize();
    let (first, _) = digest.split_first_chunk().unwrap_or((&[0; 8], &[]));
    format!("{:016x}", u64::from_be_bytes(*first))
}

pub(super) use values;
