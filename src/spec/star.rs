//! `[[dimension]]`, `[[fact]]` and `[[transform]]`: a star schema made of the typed tables.

use deserr::Deserr;
use schemars::JsonSchema;

/// What facts are looked at by: one row per member, with a surrogate key.
#[derive(Debug, Clone, PartialEq, Deserr, JsonSchema)]
#[deserr(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Dimension {
    /// Name of the dimension's table. Its surrogate key is called like it, without `dim_` and with `_key`.
    pub name: String,
    /// What a member is; it becomes the table's comment.
    #[deserr(default)]
    #[schemars(default)]
    pub description: Option<String>,
    /// The `[[table]]` whose rows make the members.
    #[deserr(default)]
    #[schemars(default)]
    pub from: Option<String>,
    /// Makes this a dimension of time, whose members are the days, hours or minutes that facts name: `day`, `hour` or
    /// `minute`. It has no `from` and no `columns`.
    #[deserr(default)]
    #[schemars(default)]
    pub calendar: Option<Calendar>,
    /// What becomes of a member that changes (type of slowly changing dimension): `1` overwrites it, `2` keeps every
    /// version with the time that it was valid.
    #[deserr(default = 1)]
    #[schemars(default = "overwrite", range(min = 1, max = 2))]
    pub scd: i64,
    /// SQL condition on a row of the table; other rows make no member.
    #[deserr(rename = "where", default)]
    #[schemars(rename = "where", default)]
    pub filter: Option<String>,
    /// SQL expression of the moment that a version begins (`scd = 2`). Without it: the time of the record.
    #[deserr(default)]
    #[schemars(default)]
    pub effective: Option<String>,
    /// The columns. Those with `key = true` tell members apart; the others are attributes.
    #[deserr(default)]
    #[schemars(default)]
    pub columns: Vec<StarColumn>,
}

fn overwrite() -> i64 {
    1
}

/// The grain of a dimension of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserr, JsonSchema)]
#[deserr(rename_all = lowercase)]
#[schemars(rename_all = "lowercase")]
pub enum Calendar {
    /// A member per day.
    Day,
    /// A member per hour.
    Hour,
    /// A member per minute.
    Minute,
}

/// A column made by an expression.
#[derive(Debug, Clone, PartialEq, Deserr, JsonSchema)]
#[deserr(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct StarColumn {
    /// Name of the column.
    pub name: String,
    /// SQL type, such as `NUMBER(10,2)` or `VARCHAR(80)`.
    #[deserr(rename = "type")]
    #[schemars(rename = "type")]
    pub data_type: String,
    /// SQL expression over the columns of the table that `from` names. Without it: the column of the same name.
    #[deserr(default)]
    #[schemars(default)]
    pub sql: Option<String>,
    /// Whether the column is part of what tells members, or facts, apart.
    #[deserr(default)]
    #[schemars(default)]
    pub key: bool,
    /// What the column means; it becomes the column's comment.
    #[deserr(default)]
    #[schemars(default)]
    pub description: Option<String>,
}

/// What is counted and summed: one row per event or item.
#[derive(Debug, Clone, PartialEq, Deserr, JsonSchema)]
#[deserr(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Fact {
    /// Name of the fact table.
    pub name: String,
    /// What a fact is; it becomes the table's comment.
    #[deserr(default)]
    #[schemars(default)]
    pub description: Option<String>,
    /// The `[[table]]` whose rows make the facts.
    pub from: String,
    /// SQL condition on a row of the table; other rows make no fact.
    #[deserr(rename = "where", default)]
    #[schemars(rename = "where", default)]
    pub filter: Option<String>,
    /// Measures and degenerate dimensions. Those with `key = true` are the grain; without any, a row of the table makes
    /// one fact.
    #[deserr(default)]
    #[schemars(default)]
    pub columns: Vec<StarColumn>,
    /// The dimensions of the fact.
    #[deserr(default)]
    #[schemars(default)]
    pub dimensions: Vec<Lookup>,
}

/// How a fact finds its member of a dimension.
#[derive(Debug, Clone, PartialEq, Deserr, JsonSchema)]
#[deserr(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Lookup {
    /// Name of the dimension.
    pub dimension: String,
    /// SQL expressions of the member's key, one per key column of the dimension and in their order; for a dimension of
    /// time, the moment. A fact whose key is null gets the unknown member, -1. Without it: the expressions of the
    /// dimension itself, if both are made from the same table.
    #[deserr(default)]
    #[schemars(default)]
    pub sql: Vec<String>,
    /// Name of the column with the member's surrogate key. Without it: the name that the key has in the dimension.
    #[deserr(default)]
    #[schemars(default)]
    pub column: Option<String>,
    /// SQL expression of the moment whose version is meant, for a dimension with `scd = 2`.
    #[deserr(default)]
    #[schemars(default)]
    pub at: Option<String>,
}

/// SQL of your own that runs after a load, in its task graph.
#[derive(Debug, Clone, PartialEq, Deserr, JsonSchema)]
#[deserr(deny_unknown_fields)]
#[schemars(deny_unknown_fields)]
pub struct Transform {
    /// Name of the transform.
    pub name: String,
    /// File with one statement or one `BEGIN … END` block, relative to this file.
    pub sql: String,
    /// Names of the tables, dimensions, facts and transforms that it comes after.
    pub after: Vec<String>,
}
