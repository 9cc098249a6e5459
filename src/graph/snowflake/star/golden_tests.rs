//! Golden SQL of the star: the statements of each kind of task, as Snowflake gets them.
//!
//! After a change that is meant: `INSTA_UPDATE=always cargo test --lib star::golden`, and read what git shows.

use crate::graph::build::build;
use crate::graph::object::Kind;
use crate::model::resolve;
use crate::spec;

const CHINOOK: &str = include_str!("../../../../examples/mysql-chinook/pipeline.toml");
const EVENTS: &str = include_str!("../../../../examples/mysql-star/pipeline.toml");

/// What makes a task of a pipeline.
fn task(text: &str, name: &str) -> String {
    let document = spec::parse(text, "pipeline.toml", "dev").unwrap_or_else(|report| panic!("{report}"));
    let graph = build(&resolve(&document.spec, "dev").unwrap()).unwrap();
    let mut tasks = graph.objects().filter(|(_, object)| object.kind == Kind::Task);
    let (_, task) = tasks
        .find(|(_, object)| object.name.last() == name)
        .unwrap_or_else(|| panic!("no task {name}"));
    task.statements.create.join(";\n\n")
}

/// The current state of a member only.
#[test]
fn dimension_of_type_1() {
    insta::assert_snapshot!(task(CHINOOK, "DIMENSION_DIM_TRACK"));
}

/// Every version, and the facts that belong to another one by now.
#[test]
fn dimension_of_type_2() {
    insta::assert_snapshot!(task(CHINOOK, "DIMENSION_DIM_CUSTOMER"));
}

/// A member for each day that a fact asks for.
#[test]
fn calendar() {
    insta::assert_snapshot!(task(CHINOOK, "DIMENSION_DIM_DAY"));
}

/// A fact of a table with a key, with a version as of a moment.
#[test]
fn fact_by_key() {
    insta::assert_snapshot!(task(CHINOOK, "FACT_FACT_INVOICE"));
}

/// A fact of a table without a key, of which a condition takes a part.
#[test]
fn fact_by_row() {
    insta::assert_snapshot!(task(EVENTS, "FACT_FACT_VIDEO_START"));
}

/// The end of a run.
#[test]
fn finish() {
    insta::assert_snapshot!(task(CHINOOK, "FINISH_STAR"));
}
