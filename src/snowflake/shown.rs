//! What SHOW tells of each kind of object, and the form in which it is compared.

use std::collections::BTreeMap;

use super::client::Row;
use super::ident::{Name, literal};
use super::sql::canonical;
use crate::graph::object::Kind;
use crate::model::SnowflakeTarget;
use crate::model::names::{APPLY, Names};

/// How one kind is shown.
pub(super) struct Shown {
    pub kind: Kind,
    /// The statement that shows all of it.
    pub statement: String,
    /// Columns of the answer that make the name, in order.
    pub name: &'static [&'static str],
    /// Columns that become properties: (column, property).
    pub properties: &'static [(&'static str, &'static str)],
}

/// Columns that make the name of what is in a schema.
pub(super) const IN_DATABASE: &[&str] = &["database_name", "schema_name", "name"];

/// What the account shows.
pub(super) fn of_account(names: &Names, target: &SnowflakeTarget) -> Vec<Shown> {
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

/// What the account and the database show of pipelines whose files are applied by procedures.
pub(super) fn of_procedures(names: &Names, target: &SnowflakeTarget, has_database: bool) -> Vec<Shown> {
    let user = literal(&names.snowflake(APPLY).replace('_', "\\_"));
    let users = Shown {
        kind: Kind::User,
        statement: format!("SHOW USERS LIKE {user}"),
        name: &["name"],
        properties: &[("default_role", "default_role"), ("disabled", "disabled")],
    };
    let procedures = Shown {
        kind: Kind::Procedure,
        // Without those that Snowflake brings.
        statement: format!("SHOW USER PROCEDURES IN DATABASE {}", target.database),
        name: &["catalog_name", "schema_name", "name"],
        properties: &[],
    };
    std::iter::once(users)
        .chain(has_database.then_some(procedures))
        .collect()
}

/// What the database shows.
pub(super) fn of_database(target: &SnowflakeTarget) -> Vec<Shown> {
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

/// Options of a file format that pipectl sets; SHOW tells all there are.
const FORMAT_OPTIONS: [&str; 3] = ["TYPE", "COMPRESSION", "STRIP_OUTER_ARRAY"];

/// What SHOW tells of a property, in the form it is compared in; nothing where it is in no form that is known.
pub(super) fn comparable(property: &str, shown: &str) -> Option<String> {
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

/// The name that some columns of a row make.
pub(super) fn name_in(row: &Row, columns: &[&str]) -> Name {
    let parts: Vec<&str> = columns
        .iter()
        .map(|column| row.get(column).unwrap_or_default())
        .collect();
    Name::from_shown(&parts)
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
