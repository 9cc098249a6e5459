//! A saved plan comes back as it was, and is refused after any move.

use super::super::make::plan;
use super::super::testing::{EXAMPLE, deployed, graph};
use super::*;
use crate::report::render::Hashes;

fn saved(text: &str, change: impl FnOnce(&mut World)) -> SavedPlan {
    let (wanted, names) = graph(text);
    let (there, _) = graph(EXAMPLE);
    let mut world = deployed(&there, &names);
    change(&mut world);
    let definition = Hashes::of(&wanted).unwrap().files();
    let basis = Basis::of(&wanted, &world, &names, definition);
    SavedPlan::new(plan(&wanted, &world, &names).unwrap(), basis)
}

fn wider() -> String {
    EXAMPLE.replacen("VARCHAR(40)", "VARCHAR(50)", 1)
}

/// What is said when a plan of the wider column meets `now`.
fn refusal(now: &SavedPlan) -> String {
    saved(&wider(), |_| ()).confirm(now).unwrap_err().to_string()
}

fn live<'a>(world: &'a mut World, kind: Kind, last: &str) -> &'a mut LiveObject {
    let found = world
        .objects
        .iter_mut()
        .find(|((of, name), _)| *of == kind && name.last() == last);
    found.map(|(_, live)| live).unwrap()
}

#[test]
fn a_plan_reads_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.json");
    let made = saved(&wider(), |_| ());
    made.write(&file).unwrap();
    assert_eq!(SavedPlan::read(&file).unwrap(), made);
    made.confirm(&saved(&wider(), |_| ())).unwrap();
}

#[test]
fn a_file_that_is_no_plan_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.json");
    std::fs::write(&file, "{}").unwrap();
    let error = format!("{:#}", SavedPlan::read(&file).unwrap_err());
    assert!(error.contains("is no plan that this pipectl knows"), "{error}");
    let newer = saved(&wider(), |_| ())
        .json()
        .replacen("\"version\": 1", "\"version\": 2", 1);
    std::fs::write(&file, newer).unwrap();
    assert!(
        SavedPlan::read(&file)
            .unwrap_err()
            .to_string()
            .contains("has the form 2")
    );
}

#[test]
fn what_moved_is_named() {
    let name = "chinook-invoices-local-ingest";
    let refused = refusal(&saved(&wider(), |world| {
        live(world, Kind::Table, "INVOICE").comment.insert_str(0, "by hand ");
        world.stacks.remove(name);
    }));
    assert!(
        refused.contains("table CHINOOK_INVOICES_LOCAL.SHOP.INVOICE changed\n"),
        "{refused}"
    );
    assert!(refused.contains(&format!("stack {name} is gone\n")), "{refused}");
    let refused = refusal(&saved(&EXAMPLE.replacen("VARCHAR(40)", "VARCHAR(60)", 1), |_| ()));
    assert!(
        refused.contains("snowflake/05-tables.sql renders otherwise\n"),
        "{refused}"
    );
    let refused = refusal(&saved(&wider(), |world| world.runtime_key = "NEW".to_owned()));
    assert!(refused.contains("the runtime of the Lambda functions"), "{refused}");
}

#[test]
fn rows_that_arrive_move_nothing() {
    let full = saved(&wider(), |world| {
        live(world, Kind::Table, "INVOICE")
            .properties
            .insert("rows", "412".to_owned());
    });
    saved(&wider(), |_| ()).confirm(&full).unwrap();
}

#[test]
fn what_is_somebody_elses_moves_nothing() {
    let with_a_table_of_theirs = saved(&wider(), |world| {
        let name = Name::account("CHINOOK_INVOICES_LOCAL").child("SHOP").child("THEIRS");
        world.objects.insert((Kind::Table, name), LiveObject::default());
    });
    saved(&wider(), |_| ()).confirm(&with_a_table_of_theirs).unwrap();
}

#[test]
fn an_edited_plan_is_refused() {
    let now = saved(&wider(), |_| ());
    let mut edited = now.clone();
    edited.plan.steps.pop();
    assert!(edited.confirm(&now).unwrap_err().to_string().contains("it was edited"));
    let mut other = now.clone();
    other.plan.environment = "prod".to_owned();
    let refused = other.confirm(&now).unwrap_err().to_string();
    assert!(
        refused.contains("chinook-invoices/prod, and this is chinook-invoices/local"),
        "{refused}"
    );
}

#[test]
fn the_shipped_schema_is_current() {
    let shipped = include_str!("../../schema/plan.schema.json");
    assert!(
        shipped == json_schema(),
        "out of date: run `pipectl schema --plan > schema/plan.schema.json`"
    );
}
