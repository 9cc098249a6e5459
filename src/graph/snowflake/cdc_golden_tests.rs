//! Golden SQL of changes: what makes the task of a table, and what is put beside the table.
//!
//! After a change that is meant: `INSTA_UPDATE=always cargo test --lib cdc_golden`, and read what git shows.

use crate::graph::build::build;
use crate::graph::object::Kind;
use crate::model::resolve;
use crate::spec;

const PIPELINE: &str = r#"
version = 1

[pipeline]
name = "people"

[aws]
account = "111122223333"
region = "eu-west-1"

[source]
type = "mysql"
capture = "binlog"
format = "python-dict"

[snowflake]
account = "MYORG-MYACCOUNT"

[[table]]
name = "persons"
from = "CDC_schema.Persons"
columns = [
    { name = "id", type = "NUMBER(10,0)", path = "@.PersonID", key = true },
    { name = "name", type = "VARCHAR(80)", path = "$.after.FullName", not_null = true },
    { name = "extra", type = "VARIANT" },
]

[[table]]
name = "orders"
from = "CDC_schema.Orders"
deletes = "flag"
history = true
columns = [
    { name = "shop", type = "VARCHAR(10)", key = true },
    { name = "number", type = "NUMBER(10,0)", key = true },
    { name = "total", type = "NUMBER(12,2)", not_null = true },
]

[[fact]]
name = "fact_person"
from = "persons"
columns = [{ name = "name", type = "VARCHAR(80)", key = true }]
"#;

/// What makes some objects of the pipeline.
fn made(which: &[(Kind, &str)]) -> String {
    let document = spec::parse(PIPELINE, "pipeline.toml", "dev").unwrap_or_else(|report| panic!("{report}"));
    let graph = build(&resolve(&document.spec, "dev").unwrap()).unwrap();
    let objects = graph.objects().map(|(_, object)| object);
    let wanted = objects.filter(|object| which.contains(&(object.kind, object.name.last())));
    let texts: Vec<_> = wanted
        .flat_map(|object| object.statements.create.iter().chain(&object.statements.backfill))
        .cloned()
        .collect();
    texts.join(";\n\n")
}

/// Deleted rows go, and the star schema is made of the table.
#[test]
fn rows_that_go() {
    insta::assert_snapshot!(made(&[(Kind::Task, "LOAD_PERSONS")]));
}

/// Deleted rows stay, and every change is kept.
#[test]
fn rows_that_stay() {
    insta::assert_snapshot!(made(&[(Kind::Task, "LOAD_ORDERS")]));
}

/// The typed tables, and what stands beside them.
#[test]
fn tables() {
    let names = ["PERSONS", "PERSONS_GONE", "ORDERS", "ORDERS_HISTORY", "TRUNCATED"];
    insta::assert_snapshot!(made(&names.map(|name| (Kind::Table, name))));
}

/// A fact whose grain is not the key of its table.
#[test]
fn fact_of_a_grain() {
    insta::assert_snapshot!(made(&[(Kind::Task, "FACT_FACT_PERSON")]));
}
