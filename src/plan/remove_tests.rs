//! Removal of the example pipeline from worlds with and without data.

use super::*;
use crate::aws::observe::LiveStack;
use crate::graph::build::build;
use crate::graph::object::TaskPlace;
use crate::model::resolve;
use crate::snowflake::mark;
use crate::spec;

const EXAMPLE: &str = include_str!("../../examples/files/pipeline.toml");

fn example() -> (Graph, Names) {
    let document = spec::parse(EXAMPLE, "pipeline.toml", "local").unwrap_or_else(|report| panic!("{report}"));
    let model = resolve(&document.spec, "local").unwrap();
    (build(&model).unwrap(), model.names)
}

/// The deployed example, whose tables have `rows` rows and whose buckets `objects` objects.
fn found(graph: &Graph, names: &Names, rows: &str, objects: u64) -> Found {
    let live = |kind: Kind, task: Option<&TaskPlace>| {
        let mut properties = BTreeMap::new();
        if kind == Kind::Table {
            properties.insert("rows", rows.to_owned());
        }
        if task == Some(&TaskPlace::Root) {
            properties.insert("schedule", "1 MINUTE".to_owned());
        }
        LiveObject {
            comment: mark::comment("", &names.mark(), "00"),
            properties: properties.into_iter().collect(),
            ..LiveObject::default()
        }
    };
    let buckets = graph.stacks().flat_map(|(_, stack)| {
        let buckets = stack.data_buckets.iter().chain(&stack.own_buckets);
        buckets.map(|bucket| (stack.name.clone(), bucket.clone()))
    });
    Found {
        stacks: graph
            .stacks()
            .map(|(_, stack)| (stack.name.clone(), LiveStack::default()))
            .collect(),
        objects: graph
            .objects()
            .map(|(_, found)| ((found.kind, found.name.clone()), live(found.kind, found.task.as_ref())))
            .collect(),
        buckets: buckets.map(|bucket| (bucket, objects)).collect(),
        views: vec![],
        adopted: vec![],
        parameters: true,
    }
}

#[test]
fn data_stays_with_what_it_needs_and_is_told() {
    let (graph, names) = example();
    let (plan, kept) = plan(&graph, &found(&graph, &names, "7", 3), &names, false);
    let kept: Vec<&str> = kept.iter().map(|kept| kept.target.as_str()).collect();
    assert_eq!(
        kept,
        [
            "stack chinook-invoices-local-storage",
            "database CHINOOK_INVOICES_LOCAL",
            "role CHINOOK_INVOICES_LOCAL_LOADER",
            "role CHINOOK_INVOICES_LOCAL_OWNER",
            "role CHINOOK_INVOICES_LOCAL_READER",
        ]
    );
    let dropped = |start: &str| plan.steps.iter().any(|step| step.target.starts_with(start));
    assert!(dropped("pipe ") && dropped("task ") && dropped("stack chinook-invoices-local-ingest"));
    assert!(!dropped("table ") && !dropped("schema ") && !dropped("database ") && !dropped("role "));
}

#[test]
fn without_data_or_with_leave_to_delete_it_nothing_stays() {
    let (graph, names) = example();
    for (rows, objects, delete_data) in [("0", 0, false), ("7", 3, true)] {
        let (plan, kept) = plan(&graph, &found(&graph, &names, rows, objects), &names, delete_data);
        assert!(kept.is_empty());
        // Everything but the upload, and besides it the suspension and the parameters.
        assert_eq!(plan.steps.len(), graph.nodes().len() - 1 + 2);
    }
}

#[test]
fn a_bucket_goes_before_the_stack_that_proves_whose_it_is() {
    let (graph, names) = example();
    let mut found = found(&graph, &names, "0", 3);
    let (plan_with, _) = plan(&graph, &found, &names, true);
    let storage = plan_with.steps.iter().find(|step| step.id.0 == "aws:storage").unwrap();
    assert!(matches!(storage.actions.first(), Some(Action::DeleteBucket { .. })));
    assert!(matches!(storage.actions.last(), Some(Action::DeleteStack { .. })));
    found.stacks.remove("chinook-invoices-local-storage");
    let (plan_without, _) = plan(&graph, &found, &names, true);
    assert!(plan_without.steps.iter().all(|step| step.id.0 != "aws:storage"));
}

#[test]
fn each_wave_waits_for_the_one_before() {
    let (graph, names) = example();
    let (plan, _) = plan(&graph, &found(&graph, &names, "0", 0), &names, true);
    let position = |start: &str| plan.steps.iter().position(|step| step.id.0.starts_with(start)).unwrap();
    assert!(position("aws:storage") < position("aws:ingest"));
    assert!(position("aws:ingest") < position("snowflake:pipe"));
    assert!(position("snowflake:pipe") < position("snowflake:stage"));
    assert!(position("snowflake:database") < position("snowflake:role"));
    assert!(position("snowflake:storage-integration") < position("aws:delivery"));
    for step in plan.steps.iter().skip(1) {
        assert!(!step.needs.is_empty(), "{} waits for nothing", step.id);
    }
}

#[test]
fn a_database_with_a_table_or_view_of_somebody_else_stays_whatever_was_asked() {
    let (graph, names) = example();
    let mine = Name::from_shown(&["CHINOOK_INVOICES_LOCAL", "SHOP", "MINE"]);
    let mut with_table = found(&graph, &names, "0", 0);
    with_table
        .objects
        .insert((Kind::Table, mine.clone()), LiveObject::default());
    let mut with_view = found(&graph, &names, "0", 0);
    with_view.views.push(mine);
    for found in [with_table, with_view] {
        let (plan, kept) = plan(&graph, &found, &names, true);
        assert!(
            kept.iter()
                .any(|kept| kept.target.starts_with("database ") && kept.reason.contains("SHOP.MINE"))
        );
        for step in &plan.steps {
            let gone = ["schema ", "database ", "role "]
                .iter()
                .any(|kind| step.target.starts_with(kind));
            assert!(!gone && !step.target.contains("MINE"), "{}", step.target);
        }
        assert!(
            plan.steps.iter().any(|step| step.target.ends_with("SHOP.INVOICE")),
            "its own tables go"
        );
    }
}

/// A deploy into another schema that was cut off leaves two graphs. Both are suspended, and have ended, before a task goes.
#[test]
fn every_graph_is_suspended_before_its_tasks_go() {
    let (graph, names) = example();
    let mut found = found(&graph, &names, "0", 0);
    let root = graph.objects().find(|(_, object)| object.task == Some(TaskPlace::Root));
    let root = root.unwrap().1.name.clone();
    let old = root.parent().unwrap().parent().unwrap().child("OLD").child("LOAD");
    for name in [&root, &old] {
        let task = found.objects[&(Kind::Task, root.clone())].clone();
        found.objects.insert((Kind::Task, name.clone()), task);
    }
    let (plan, _) = plan(&graph, &found, &names, false);
    let place = |action: Action| plan.steps.iter().position(|step| step.actions.contains(&action));
    for name in [&root, &old] {
        let suspended = place(Action::SuspendGraph { root: name.clone() });
        let first_drop = plan.steps.iter().position(|step| step.kind == StepKind::Drop);
        assert!(suspended.is_some() && suspended < first_drop, "{name}");
    }
}
