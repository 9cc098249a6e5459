//! Golden diffs: every kind of change, how it is shown, and what it loses. `snapshots/` has a file for each group.
//!
//! After a change that is meant: `INSTA_UPDATE=always cargo test --lib golden`, and read what git shows.

use std::fmt::Write;

use super::super::testing::{EXAMPLE, deployed, graph};
use super::*;
use crate::aws::observe::LiveStack;
use crate::snowflake::check::{Finding, Question};
use crate::snowflake::grant::{Grant, Grants, On};
use crate::snowflake::mark;
use crate::snowflake::observe::{LiveColumn, LiveObject};

#[path = "golden_tests/adoption.rs"]
mod adoption;
#[path = "golden_tests/stacks.rs"]
mod stacks;

/// Cases of one group, as text.
#[derive(Default)]
struct Golden {
    text: String,
    cases: usize,
}

impl Golden {
    /// The example is deployed, and the file changes.
    fn file(&mut self, name: &str, from: &str, to: &str) -> &mut Self {
        self.plan(name, EXAMPLE, &replaced(from, to))
    }

    /// The changed file is deployed, and the example comes back.
    fn back(&mut self, name: &str, from: &str, to: &str) -> &mut Self {
        self.plan(name, &replaced(from, to), EXAMPLE)
    }

    fn plan(&mut self, name: &str, before: &str, after: &str) -> &mut Self {
        let ((old, names), (new, _)) = (graph(before), graph(after));
        assert!(
            plan(&new, &deployed(&new, &names), &names).unwrap().is_empty(),
            "{name}: a second deploy changes nothing"
        );
        self.show(name, plan(&new, &deployed(&old, &names), &names))
    }

    /// The example is deployed, and somebody changes what is there.
    fn world(&mut self, name: &str, change: impl FnOnce(&mut World)) -> &mut Self {
        let (graph, names) = graph(EXAMPLE);
        let mut world = deployed(&graph, &names);
        change(&mut world);
        self.show(name, plan(&graph, &world, &names))
    }

    /// A file is deployed, and somebody changes what is there.
    fn of(&mut self, name: &str, file: &str, change: impl FnOnce(&mut World)) -> &mut Self {
        let (graph, names) = graph(file);
        let mut world = deployed(&graph, &names);
        change(&mut world);
        self.show(name, plan(&graph, &world, &names))
    }

    /// The file changes, and the rows of a table answer so.
    fn answered(&mut self, name: &str, from: &str, to: &str, question: Question, rows: u64) -> &mut Self {
        let ((old, names), (new, _)) = (graph(EXAMPLE), graph(&replaced(from, to)));
        let mut world = deployed(&old, &names);
        answer(&mut world, question, rows);
        self.show(name, plan(&new, &world, &names))
    }

    /// A property of the object is another one by hand.
    fn property(&mut self, kind: Kind, last: &str, property: &'static str, value: &str) -> &mut Self {
        let name = format!("{kind} {last}: {property} by hand");
        self.world(&name, |world| {
            let live = object(world, kind, last);
            assert!(live.properties.get(property).is_some(), "{name}");
            live.properties.insert(property, value.to_owned());
        })
    }

    fn show(&mut self, name: &str, plan: anyhow::Result<Plan>) -> &mut Self {
        self.cases += 1;
        let _ = writeln!(self.text, "# {name}");
        match plan {
            Ok(plan) if plan.is_empty() => self.text.push_str("no change\n"),
            Ok(plan) => plan.steps.iter().for_each(|step| self.step(step)),
            Err(error) => {
                let _ = writeln!(self.text, "refused: {error}");
            }
        }
        self.text.push('\n');
        self
    }

    fn step(&mut self, step: &Step) {
        let drift = if step.drift { " [drift]" } else { "" };
        let reversible = if step.reversible { "" } else { " [not reversible]" };
        let _ = writeln!(
            self.text,
            "{} {}: {}{drift}{reversible}",
            step.kind.sign(),
            step.target,
            step.reason
        );
        for change in &step.changes {
            let _ = writeln!(self.text, "    {change}");
        }
        for effect in &step.resources {
            let _ = writeln!(self.text, "    {effect}");
        }
        if let Some(loss) = &step.loss {
            let _ = writeln!(self.text, "    LOSES {loss}");
        }
    }

    fn text(&self) -> String {
        self.text.replace("CHINOOK_INVOICES_LOCAL", "DB")
    }
}

/// The rows of INVOICE answer.
fn answer(world: &mut World, question: Question, rows: u64) {
    let (_, table) = key(world, Kind::Table, "INVOICE");
    let examples = if rows > 0 {
        vec!["7: x".to_owned(), "9: y".to_owned()]
    } else {
        vec![]
    };
    let found = Finding { rows, examples };
    world.findings.insert(table, BTreeMap::from([(question, found)]));
}

fn replaced(from: &str, to: &str) -> String {
    assert!(EXAMPLE.contains(from), "the example has no {from}");
    EXAMPLE.replacen(from, to, 1)
}

/// The example without its second table.
fn without_the_lines() -> String {
    let start = EXAMPLE.rfind("[[table]]").unwrap();
    let end = EXAMPLE[start..].find("\n[env").map_or(EXAMPLE.len(), |at| start + at);
    format!("{}{}", &EXAMPLE[..start], &EXAMPLE[end..])
}

fn key(world: &World, kind: Kind, last: &str) -> (Kind, Name) {
    let found = world
        .objects
        .keys()
        .find(|(of, name)| *of == kind && name.last() == last);
    found.unwrap_or_else(|| panic!("no {kind} {last}")).clone()
}

fn object<'a>(world: &'a mut World, kind: Kind, last: &str) -> &'a mut LiveObject {
    let key = key(world, kind, last);
    world.objects.get_mut(&key).unwrap()
}

fn column<'a>(world: &'a mut World, table: &str, name: &str) -> &'a mut LiveColumn {
    let live = object(world, Kind::Table, table);
    live.columns.iter_mut().find(|column| column.name == name).unwrap()
}

fn grants<'a>(world: &'a mut World, kind: Kind, last: &str) -> &'a mut Grants {
    object(world, kind, last).grants.as_mut().unwrap()
}

fn stack<'a>(world: &'a mut World, part: &str) -> &'a mut LiveStack {
    world.stacks.get_mut(&format!("chinook-invoices-local-{part}")).unwrap()
}

/// One object of each kind.
const OBJECTS: [(Kind, &str); 14] = [
    (Kind::Role, "CHINOOK_INVOICES_LOCAL_LOADER"),
    (Kind::Warehouse, "CHINOOK_INVOICES_LOCAL_WH"),
    (Kind::StorageIntegration, "CHINOOK_INVOICES_LOCAL_S3"),
    (Kind::NotificationIntegration, "CHINOOK_INVOICES_LOCAL_ERRORS"),
    (Kind::Database, "CHINOOK_INVOICES_LOCAL"),
    (Kind::Schema, "SHOP"),
    (Kind::FileFormat, "JSON_LINES"),
    (Kind::Stage, "CURATED"),
    (Kind::Table, "RAW_INVOICES"),
    (Kind::Table, "INVOICE"),
    (Kind::Pipe, "INVOICES_PIPE"),
    (Kind::Stream, "INVOICE_STREAM"),
    (Kind::Task, "LOAD"),
    (Kind::Task, "LOAD_INVOICE"),
];

#[test]
fn objects_that_are_missing_or_not_whole_or_foreign() {
    let mut golden = Golden::default();
    for (kind, last) in OBJECTS {
        golden.world(&format!("{kind} {last} is missing"), |world| {
            let key = key(world, kind, last);
            world.objects.remove(&key);
        });
    }
    for (kind, last) in OBJECTS {
        golden.world(&format!("{kind} {last} is somebody else's"), |world| {
            object(world, kind, last).comment = "mine".to_owned();
        });
    }
    golden
        .world("the making of a role was cut off", |world| {
            let live = object(world, Kind::Role, "CHINOOK_INVOICES_LOCAL_LOADER");
            live.comment = mark::comment(mark::about(&live.comment), "chinook-invoices/local", mark::UNFINISHED);
        })
        .world("a table of somebody else stands in the database", |world| {
            let name = Name::account("CHINOOK_INVOICES_LOCAL").child("SHOP").child("THEIRS");
            world.objects.insert((Kind::Table, name), LiveObject::default());
        });
    insta::assert_snapshot!("objects_missing_or_foreign", golden.text());
}

#[test]
fn drift_by_hand() {
    let mut golden = Golden::default();
    golden
        .property(Kind::Warehouse, "CHINOOK_INVOICES_LOCAL_WH", "size", "LARGE")
        .property(Kind::Warehouse, "CHINOOK_INVOICES_LOCAL_WH", "auto_suspend", "3600")
        .property(
            Kind::StorageIntegration,
            "CHINOOK_INVOICES_LOCAL_S3",
            "enabled",
            "false",
        )
        .property(
            Kind::NotificationIntegration,
            "CHINOOK_INVOICES_LOCAL_ERRORS",
            "enabled",
            "false",
        )
        .property(Kind::Warehouse, "CHINOOK_INVOICES_LOCAL_WH", "max_cluster_count", "3")
        .property(
            Kind::Warehouse,
            "CHINOOK_INVOICES_LOCAL_WH",
            "enable_query_acceleration",
            "true",
        )
        .property(Kind::Database, "CHINOOK_INVOICES_LOCAL", "retention_time", "7")
        .property(Kind::Schema, "SHOP", "retention_time", "7")
        .property(Kind::Table, "INVOICE", "retention_time", "0")
        .property(Kind::Stage, "CURATED", "file_format", "")
        .property(Kind::Schema, "SHOP", "options", "")
        .property(
            Kind::FileFormat,
            "JSON_LINES",
            "format_options",
            "TYPE = JSON COMPRESSION = GZIP",
        )
        .property(Kind::Stage, "CURATED", "url", "s3://elsewhere/")
        .property(Kind::Stage, "CURATED", "storage_integration", "THEIRS")
        .property(Kind::Pipe, "INVOICES_PIPE", "definition", "COPY INTO X FROM @Y")
        .property(Kind::Pipe, "INVOICES_PIPE", "error_integration", "")
        .property(Kind::Stream, "INVOICE_STREAM", "table_name", "DB.SHOP.OTHER")
        .property(Kind::Stream, "INVOICE_STREAM", "mode", "DEFAULT")
        .property(Kind::Stream, "INVOICE_STREAM", "stale", "true")
        .property(Kind::Task, "LOAD", "schedule", "7 minutes")
        .property(Kind::Task, "LOAD", "condition", "1=1")
        .property(Kind::Task, "LOAD", "error_integration", "")
        .property(Kind::Task, "LOAD_INVOICE", "definition", "SELECT 2")
        .property(
            Kind::Task,
            "LOAD_INVOICE",
            "predecessors",
            "DB.SHOP_RAW.LOAD_INVOICE_LINE",
        )
        .property(Kind::Task, "LOAD_INVOICE", "warehouse", "THEIRS")
        .property(Kind::Task, "LOAD_INVOICE", "state", "suspended")
        .world("the comment of a table", |world| {
            let live = object(world, Kind::Table, "INVOICE");
            live.comment = live.comment.replace("One row per invoice", "by hand");
        })
        .world("the comment of a column", |world| {
            column(world, "INVOICE", "TOTAL").comment = "by hand".into();
        })
        .world("a column takes NULL", |world| {
            column(world, "INVOICE", "TOTAL").not_null = false
        })
        .world("a column is narrower", |world| {
            column(world, "INVOICE", "COUNTRY").data_type = "VARCHAR(10)".into();
        })
        .world("a column is wider", |world| {
            column(world, "INVOICE", "COUNTRY").data_type = "VARCHAR(400)".into();
        })
        .world("a column is wider, and rows need it", |world| {
            column(world, "INVOICE", "COUNTRY").data_type = "VARCHAR(400)".into();
            answer(world, Question::Misfits("COUNTRY".to_owned()), 3);
        })
        .world("a number has more digits", |world| {
            column(world, "INVOICE", "TOTAL").data_type = "NUMBER(12,2)".into();
        })
        .world("a column takes NULL, and rows have none", |world| {
            column(world, "INVOICE", "TOTAL").not_null = false;
            answer(world, Question::Empty("TOTAL".to_owned()), 2);
        })
        .world("the type change of a column was cut off", |world| {
            let live = object(world, Kind::Table, "INVOICE");
            live.comment = mark::comment(mark::about(&live.comment), "chinook-invoices/local", mark::UNFINISHED);
            let made = column(world, "INVOICE", "TOTAL");
            made.name = "TOTAL__PIPECTL_NEW".to_owned();
            made.comment = "Takes the place of a column whose type changes; made by pipectl".into();
            made.not_null = false;
        })
        .world("the primary key was dropped", |world| {
            object(world, Kind::Table, "INVOICE").key.clear();
        })
        .world("the primary key is not relied on", |world| {
            object(world, Kind::Table, "INVOICE").key_is_relied_on = false;
        })
        .world("a grant on a table was revoked", |world| {
            grants(world, Kind::Table, "INVOICE").retain(|grant| grant.role.last() != "CHINOOK_INVOICES_LOCAL_READER");
        })
        .world("a grant on a table was added", |world| {
            let grants = grants(world, Kind::Table, "INVOICE");
            let mut grant = grants.iter().next().unwrap().clone();
            grant.privilege = "DELETE".into();
            grants.insert(grant);
        })
        .world("a grant of the future was revoked", |world| {
            grants(world, Kind::Schema, "SHOP").retain(|grant| !matches!(grant.on, On::Future(..)));
        })
        .world("a role was taken from the deploying role", |world| {
            grants(world, Kind::Role, "CHINOOK_INVOICES_LOCAL_READER").retain(|_| false);
        })
        .world("a role was granted more on the account", |world| {
            grants(world, Kind::Role, "CHINOOK_INVOICES_LOCAL_LOADER").insert(Grant {
                privilege: "CREATE DATABASE".into(),
                on: On::Account,
                role: Name::account("CHINOOK_INVOICES_LOCAL_LOADER"),
            });
        })
        .world("grants were not told", |world| {
            world.objects.values_mut().for_each(|live| live.grants = None);
        })
        .world("a column is missing", |world| {
            let live = object(world, Kind::Table, "INVOICE");
            live.columns.retain(|column| column.name != "COUNTRY");
        })
        .world("a column was added", |world| {
            let mut added = column(world, "INVOICE", "COUNTRY").clone();
            added.name = "NOTE".to_owned();
            object(world, Kind::Table, "INVOICE").columns.push(added);
        })
        .world("the columns stand in another order", |world| {
            object(world, Kind::Table, "INVOICE").columns.reverse();
        });
    insta::assert_snapshot!("drift_by_hand", golden.text());
}

#[test]
fn tables_pipes_and_tasks_of_the_file() {
    let country = "{ name = \"country\", type = \"VARCHAR(40)\", path = \"$.Customer.Country\" },";
    let mut golden = Golden::default();
    golden
        .back("a column is added", country, "")
        .file("a column is dropped", country, "")
        .file(
            "a column is renamed",
            country,
            "{ name = \"land\", was = \"country\", type = \"VARCHAR(40)\", path = \"$.Customer.Country\" },",
        )
        .file(
            "a column is renamed and widened",
            country,
            "{ name = \"land\", was = \"country\", type = \"VARCHAR(80)\", path = \"$.Customer.Country\" },",
        )
        .file(
            "a column has another name, without `was`",
            country,
            "{ name = \"land\", type = \"VARCHAR(40)\", path = \"$.Customer.Country\" },",
        )
        .file(
            "a column that was renamed keeps its `was`",
            country,
            "{ name = \"country\", was = \"land\", type = \"VARCHAR(40)\", path = \"$.Customer.Country\" },",
        )
        .file(
            "a text column is wider",
            "type = \"VARCHAR(20)\"",
            "type = \"VARCHAR(25)\"",
        )
        .file(
            "a text column is narrower",
            "type = \"VARCHAR(20)\"",
            "type = \"VARCHAR(15)\"",
        )
        .file(
            "a number has more digits",
            "\"total\", type = \"NUMBER(10,2)\"",
            "\"total\", type = \"NUMBER(12,2)\"",
        )
        .file(
            "a number has more decimals",
            "\"total\", type = \"NUMBER(10,2)\"",
            "\"total\", type = \"NUMBER(10,3)\"",
        )
        .file(
            "a column has another type",
            "\"total\", type = \"NUMBER(10,2)\"",
            "\"total\", type = \"VARCHAR(40)\"",
        )
        .answered(
            "values of a column do not fit its type",
            "type = \"VARCHAR(20)\"",
            "type = \"VARCHAR(15)\"",
            Question::Misfits("LAST_NAME".to_owned()),
            4,
        )
        .answered(
            "values of a column are rounded",
            "\"total\", type = \"NUMBER(10,2)\"",
            "\"total\", type = \"NUMBER(12,1)\"",
            Question::Changes("TOTAL".to_owned()),
            5,
        )
        .answered(
            "no value of a column is rounded",
            "\"total\", type = \"NUMBER(10,2)\"",
            "\"total\", type = \"NUMBER(12,1)\"",
            Question::Changes("TOTAL".to_owned()),
            0,
        )
        .file(
            "a column has a type that its values cannot become",
            "\"invoice_date\", type = \"TIMESTAMP_NTZ\"",
            "\"invoice_date\", type = \"NUMBER(10,0)\"",
        )
        .file(
            "the key has another type",
            "\"invoice_id\", type = \"NUMBER(10,0)\"",
            "\"invoice_id\", type = \"VARCHAR(20)\"",
        )
        .answered(
            "another key that rows repeat",
            "path = \"$.InvoiceDate\", not_null = true",
            "path = \"$.InvoiceDate\", key = true",
            Question::Repeats,
            6,
        )
        .file(
            "a key that is yet to be filled",
            "    { name = \"invoice_date\"",
            "    { name = \"number\", type = \"NUMBER(10,0)\", path = \"$.Number\", key = true },\n    { name = \"invoice_date\"",
        )
        .file(
            "a column must not be null",
            "path = \"$.Customer.Country\"",
            "path = \"$.Customer.Country\", not_null = true",
        )
        .back(
            "a column may be null",
            "path = \"$.Customer.Country\"",
            "path = \"$.Customer.Country\", not_null = true",
        )
        .file("a column has another path", "$.Customer.Country", "$.Country")
        .file("a column has another comment", "Sum of the lines, in USD", "Sum")
        .file("a table has another comment", "One row per invoice\"", "An invoice\"")
        .file(
            "another column is a key",
            "path = \"$.InvoiceDate\", not_null = true",
            "path = \"$.InvoiceDate\", key = true",
        )
        .plan("a table is added", &without_the_lines(), EXAMPLE)
        .plan("a table is dropped", EXAMPLE, &without_the_lines())
        .file("a table has another name", "name = \"invoice_line\"", "name = \"line\"")
        .file("a table flattens another array", "$.Lines", "$.Items")
        .plan(
            "the files come in another folder",
            EXAMPLE,
            &EXAMPLE.replace("invoices/", "bills/"),
        )
        .file(
            "the schedule changes",
            "schedule = \"1 minute\"",
            "schedule = \"5 minutes\"",
        )
        .file(
            "the schedule is a cron expression",
            "schedule = \"1 minute\"",
            "schedule = \"USING CRON 0 6 * * * UTC\"",
        )
        .file("another schema", "schema = \"SHOP\"", "schema = \"STORE\"");
    insta::assert_snapshot!("tables_pipes_and_tasks", golden.text());
}
