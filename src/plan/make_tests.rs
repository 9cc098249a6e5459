//! Plans of the example pipeline against worlds that differ from it in one thing each.

use super::super::testing::{EXAMPLE, deployed, graph};
use super::*;
use crate::aws::observe::LiveStack;
use crate::snowflake::mark;

fn empty() -> World {
    World {
        buckets: Default::default(),
        stacks: LiveStacks::new(),
        objects: LiveObjects::new(),
        findings: BTreeMap::new(),
        runtime_key: "KEY".to_owned(),
        foreseen: Default::default(),
    }
}

/// What a plan does, a line a step.
fn lines(plan: &Plan) -> Vec<String> {
    let line = |step: &Step| {
        let changes: Vec<String> = step.changes.iter().map(|change| change.property.clone()).collect();
        let loss = step
            .loss
            .as_ref()
            .map(|loss| format!(" LOSES {loss}"))
            .unwrap_or_default();
        format!("{} {} {}{loss}", step.kind.word(), step.id, changes.join(","))
    };
    plan.steps
        .iter()
        .map(line)
        .map(|line| line.replace("CHINOOK_INVOICES_LOCAL.", ""))
        .collect()
}

/// The plan from the deployed example to `text`.
fn change(text: &str) -> Plan {
    let (old, names) = graph(EXAMPLE);
    let (new, _) = graph(text);
    plan(&new, &deployed(&old, &names), &names).unwrap()
}

#[test]
fn an_empty_world_gets_everything_and_each_step_after_what_it_needs() {
    let (graph, names) = graph(EXAMPLE);
    let plan = plan(&graph, &empty(), &names).unwrap();
    let mut done = BTreeSet::new();
    for step in &plan.steps {
        assert!(
            step.needs.iter().all(|need| done.contains(need)),
            "{} comes before {:?}",
            step.id,
            step.needs
        );
        done.insert(step.id.clone());
    }
    assert_eq!(
        plan.steps.iter().filter(|step| step.kind == StepKind::Create).count(),
        graph.nodes().len()
    );
    assert!(plan.steps.iter().all(|step| step.loss.is_none()));
}

#[test]
fn a_deployed_world_needs_nothing() {
    let (graph, names) = graph(EXAMPLE);
    assert!(plan(&graph, &deployed(&graph, &names), &names).unwrap().is_empty());
}

#[test]
fn a_column_added_changes_its_table_and_its_task_only() {
    let text = EXAMPLE.replacen(
        "name = \"total\"",
        "name = \"state\", type = \"VARCHAR(40)\" },\n    { name = \"total\"",
        1,
    );
    assert_eq!(
        lines(&change(&text)),
        [
            "run snowflake:graph:suspend ",
            "alter snowflake:table:SHOP.INVOICE column STATE",
            "alter snowflake:task:SHOP_RAW.LOAD_INVOICE definition",
            "run snowflake:graph:resume ",
        ]
    );
}

#[test]
fn a_column_dropped_is_a_loss_and_undoes_what_adding_it_did() {
    let text = EXAMPLE.replacen(
        "name = \"total\"",
        "name = \"state\", type = \"VARCHAR(40)\" },\n    { name = \"total\"",
        1,
    );
    let (with, names) = graph(&text);
    let (without, _) = graph(EXAMPLE);
    let plan = plan(&without, &deployed(&with, &names), &names).unwrap();
    assert_eq!(
        lines(&plan)[1],
        "alter snowflake:table:SHOP.INVOICE column STATE LOSES the values of STATE"
    );
    assert_eq!(plan.unconsented(&[]).count(), 1);
    assert_eq!(
        plan.unconsented(&["snowflake:table:CHINOOK_INVOICES_LOCAL.SHOP.INVOICE".to_owned()])
            .count(),
        0
    );
}

#[test]
fn a_wider_column_is_altered_in_place() {
    let wider = EXAMPLE.replacen("VARCHAR(40)", "VARCHAR(50)", 1);
    assert!(lines(&change(&wider))[1].starts_with("alter snowflake:table:SHOP.INVOICE column "));
}

/// The statements of a step.
fn sql_of(plan: &Plan, id: &str) -> Vec<String> {
    let step = plan.steps.iter().find(|step| step.id.0.ends_with(id));
    let actions = step.unwrap_or_else(|| panic!("no step {id}")).actions.iter();
    let sql = |action: &Action| match action {
        Action::Sql { sql, .. } => sql.replace("CHINOOK_INVOICES_LOCAL.SHOP.", ""),
        other => panic!("{other:?}"),
    };
    actions.map(sql).collect()
}

#[test]
fn another_type_takes_a_column_beside_the_old_one() {
    let text = EXAMPLE.replacen(
        "\"total\", type = \"NUMBER(10,2)\"",
        "\"total\", type = \"VARCHAR(40)\"",
        1,
    );
    let plan = change(&text);
    let statements = sql_of(&plan, "SHOP.INVOICE");
    let comment = "'Takes the place of a column whose type changes; made by pipectl'";
    assert!(statements[0].contains("[pipectl chinook-invoices/local unfinished]"));
    assert_eq!(
        statements[1..6],
        [
            format!("ALTER TABLE INVOICE ADD COLUMN IF NOT EXISTS TOTAL__PIPECTL_NEW VARCHAR(40) COMMENT {comment}"),
            "UPDATE INVOICE SET TOTAL__PIPECTL_NEW = TO_VARCHAR(TOTAL) WHERE TOTAL IS NOT NULL".to_owned(),
            "ALTER TABLE INVOICE DROP COLUMN IF EXISTS TOTAL".to_owned(),
            "ALTER TABLE INVOICE RENAME COLUMN TOTAL__PIPECTL_NEW TO TOTAL".to_owned(),
            "ALTER TABLE INVOICE ALTER COLUMN TOTAL COMMENT 'Sum of the lines, in USD'".to_owned(),
        ]
    );
    let last = &statements[statements.len() - 2..];
    assert_eq!(last[0], "ALTER TABLE INVOICE ALTER COLUMN TOTAL SET NOT NULL");
    assert!(last[1].contains("SET DATA_RETENTION_TIME_IN_DAYS = 1 COMMENT = "));
}

#[test]
fn a_key_whose_type_changes_is_declared_again() {
    let text = EXAMPLE.replacen(
        "\"invoice_id\", type = \"NUMBER(10,0)\"",
        "\"invoice_id\", type = \"VARCHAR(20)\"",
        1,
    );
    let statements = sql_of(&change(&text), "SHOP.INVOICE");
    assert_eq!(statements[1], "ALTER TABLE INVOICE DROP PRIMARY KEY");
    assert_eq!(
        statements[statements.len() - 2],
        "ALTER TABLE INVOICE ADD PRIMARY KEY (INVOICE_ID) RELY"
    );
}

#[test]
fn rows_are_asked_only_when_columns_change_that_hold_values() {
    let (old, names) = graph(EXAMPLE);
    let mut world = deployed(&old, &names);
    assert_eq!(checks(&old, &world.objects, &names), vec![]);
    let (new, _) = graph(&EXAMPLE.replacen("VARCHAR(20)", "VARCHAR(15)", 1));
    let [(table, check)] = &checks(&new, &world.objects, &names)[..] else {
        panic!("not one table")
    };
    let misfit = "LAST_NAME IS NOT NULL AND LENGTH(LAST_NAME) > 15";
    let sql = check.sql(table);
    assert!(
        sql.starts_with(&format!("SELECT COUNT_IF({misfit}), MIN(IFF({misfit}, ")),
        "{sql}"
    );
    let live = world.objects.get_mut(&(Kind::Table, table.clone())).unwrap();
    live.properties.insert("rows", "0".to_owned());
    assert_eq!(
        checks(&new, &world.objects, &names),
        vec![],
        "an empty table has nothing to tell"
    );
}

#[test]
fn an_object_of_somebody_else_is_never_touched() {
    let (graph, names) = graph(EXAMPLE);
    let mut world = deployed(&graph, &names);
    for live in world.objects.values_mut() {
        live.comment = "[pipectl other/dev 00]".to_owned();
    }
    let error = plan(&graph, &world, &names).unwrap_err().to_string();
    assert_eq!(
        error.matches("is not this pipeline's").count(),
        graph.objects().count(),
        "all obstacles are told at once"
    );
}

#[test]
fn a_suspended_graph_is_resumed() {
    let (graph, names) = graph(EXAMPLE);
    let mut world = deployed(&graph, &names);
    for ((kind, name), live) in &mut world.objects {
        if *kind == Kind::Task && name.last() == "LOAD_INVOICE" {
            live.properties.insert("state", "suspended".to_owned());
        }
    }
    assert_eq!(
        lines(&plan(&graph, &world, &names).unwrap()),
        ["run snowflake:graph:resume "]
    );
}

#[test]
fn a_stage_changed_by_hand_is_replaced_with_its_pipe_and_says_what_is_lost() {
    let (graph, names) = graph(EXAMPLE);
    let mut world = deployed(&graph, &names);
    for ((kind, _), live) in &mut world.objects {
        if *kind == Kind::Stage {
            live.properties.insert("url", "s3://elsewhere/".to_owned());
        }
    }
    let plan = plan(&graph, &world, &names).unwrap();
    assert_eq!(
        lines(&plan),
        [
            "run snowflake:pipe:SHOP_RAW.INVOICES_PIPE:pause ",
            "replace snowflake:stage:SHOP_RAW.CURATED url LOSES its pipes, which stop loading",
            "replace snowflake:pipe:SHOP_RAW.INVOICES_PIPE  LOSES its load history: files of the last 14 days can load again",
        ]
    );
    let [pause, stage, pipe] = &plan.steps[..] else {
        panic!()
    };
    assert_eq!(stage.needs, std::slice::from_ref(&pause.id));
    assert_eq!(pipe.needs, std::slice::from_ref(&stage.id));
}

const PIPE: &str = "snowflake:pipe:SHOP_RAW.INVOICES_PIPE";
const LOSES: &str = "LOSES its load history: files of the last 14 days can load again";

/// The plan when the only pipe is in this world.
fn with_pipe(change: impl Fn(&mut World, &(Kind, Name), &str)) -> Plan {
    let (graph, names) = graph(EXAMPLE);
    let mut world = deployed(&graph, &names);
    let key = world
        .objects
        .keys()
        .find(|(kind, _)| *kind == Kind::Pipe)
        .unwrap()
        .clone();
    change(&mut world, &key, &names.mark());
    plan(&graph, &world, &names).unwrap()
}

#[test]
fn a_pipe_whose_replacement_was_cut_off_is_replaced_even_where_nothing_else_differs() {
    let plan = with_pipe(|world, pipe, owner| {
        let live = world.objects.get_mut(pipe).unwrap();
        live.comment = mark::comment("Loads invoices/", owner, "paused@2026-02-03T04:05:06Z");
    });
    assert_eq!(lines(&plan), [format!("replace {PIPE}  {LOSES}")]);
    assert!(matches!(&plan.steps[0].actions[..], [Action::ReplacePipe { .. }]));
}

#[test]
fn a_pipe_made_anew_that_has_not_loaded_what_came_meanwhile_loads_it_and_loses_nothing() {
    let plan = with_pipe(|world, pipe, owner| {
        let live = world.objects.get_mut(pipe).unwrap();
        live.comment = mark::comment("Loads invoices/", owner, "made@2026-02-03T04:05:06Z");
    });
    assert_eq!(lines(&plan), [format!("alter {PIPE} definition")]);
    let [.., last] = &plan.steps[0].actions[..] else {
        panic!()
    };
    assert!(matches!(last, Action::RefreshPipe { .. }));
    let writes_comment = |action: &Action| matches!(action, Action::Sql { sql, .. } if sql.contains("COMMENT"));
    assert!(
        !plan.steps[0].actions.iter().any(writes_comment),
        "it would look whole before it is"
    );
}

#[test]
fn a_pipe_that_was_dropped_by_hand_loads_what_it_missed() {
    let gone = |rows: &'static str| {
        with_pipe(move |world, pipe, _| {
            world.objects.remove(pipe);
            for ((kind, _), live) in &mut world.objects {
                if *kind == Kind::Table {
                    live.properties.insert("rows", rows.to_owned());
                }
            }
        })
    };
    let (filled, empty) = (gone("3"), gone("0"));
    assert!(matches!(&filled.steps[0].actions[..], [Action::ReplacePipe { .. }]));
    assert!(
        matches!(&empty.steps[0].actions[..], [Action::Sql { .. }]),
        "nothing was loaded before"
    );
}

#[test]
fn a_stage_that_is_missing_takes_its_pipe_along() {
    let plan = with_pipe(|world, _, _| world.objects.retain(|(kind, _), _| *kind != Kind::Stage));
    let lines = lines(&plan);
    assert_eq!(
        lines,
        [
            format!("run {PIPE}:pause "),
            "create snowflake:stage:SHOP_RAW.CURATED ".to_owned(),
            format!("replace {PIPE}  {LOSES}"),
        ]
    );
}

#[test]
fn a_table_that_left_the_file_is_dropped_last_and_with_consent_only() {
    let start = EXAMPLE.rfind("[[table]]").unwrap();
    let end = EXAMPLE[start..].find("\n[").map_or(EXAMPLE.len(), |at| start + at);
    let plan = change(&format!("{}{}", &EXAMPLE[..start], &EXAMPLE[end..]));
    let lines = lines(&plan);
    assert!(
        lines.contains(&"drop snowflake:table:SHOP.INVOICE_LINE  LOSES its rows".to_owned()),
        "{lines:#?}"
    );
    let position = |start: &str| lines.iter().position(|line| line.starts_with(start)).unwrap();
    assert!(position("run snowflake:graph:suspend") < position("drop snowflake:task:SHOP_RAW.LOAD_INVOICE_LINE"));
    let resume = plan.steps.iter().find(|step| step.id.0 == RESUME).unwrap();
    assert!(
        resume.needs.iter().any(|need| need.0.ends_with("LOAD_INVOICE_LINE")),
        "{:?}",
        resume.needs
    );
}

#[test]
fn each_status_of_a_stack_leads_on() {
    let (graph, names) = graph(EXAMPLE);
    let of = |status: &str| {
        let mut world = deployed(&graph, &names);
        world.stacks.get_mut("chinook-invoices-local-ingest").unwrap().status = status.to_owned();
        lines(&plan(&graph, &world, &names).unwrap())
    };
    assert_eq!(of("ROLLBACK_COMPLETE"), ["create aws:ingest "]);
    assert_eq!(of("REVIEW_IN_PROGRESS"), ["create aws:ingest "]);
    assert_eq!(of("UPDATE_ROLLBACK_FAILED"), ["alter aws:ingest "]);
    let [deletion] = of("DELETE_FAILED").try_into().unwrap();
    assert!(deletion.starts_with("create aws:ingest  LOSES "), "{deletion}");
    assert!(deletion.contains("the messages of CopyQueue"), "{deletion}");
    assert!(of("UPDATE_ROLLBACK_COMPLETE").is_empty());
}

#[test]
fn a_new_runtime_is_uploaded_before_the_stack_that_runs_it() {
    let (graph, names) = graph(EXAMPLE);
    let world = World {
        runtime_key: "NEW".to_owned(),
        ..deployed(&graph, &names)
    };
    let plan = plan(&graph, &world, &names).unwrap();
    assert_eq!(
        lines(&plan),
        ["alter aws:runtime content", "alter aws:ingest Parameters.RuntimeKey"]
    );
    assert_eq!(plan.steps[1].needs, [plan.steps[0].id.clone()]);
}

#[test]
fn a_stack_of_somebody_else_is_never_touched() {
    let (graph, names) = graph(EXAMPLE);
    let mut world = deployed(&graph, &names);
    world
        .stacks
        .get_mut("chinook-invoices-local-ingest")
        .unwrap()
        .tags
        .clear();
    let error = plan(&graph, &world, &names).unwrap_err().to_string();
    assert!(
        error.starts_with("stack chinook-invoices-local-ingest exists and is not this pipeline's"),
        "{error}"
    );
}

#[test]
fn a_description_changes_stacks_only_along_with_something_else() {
    let stacks = |text: &str| {
        let (old, names) = graph(EXAMPLE);
        let (new, _) = graph(text);
        let plan = plan(&new, &deployed(&old, &names), &names).unwrap();
        let stacks = plan.steps.iter().filter(|step| step.id.0.starts_with("aws:"));
        stacks.map(|step| step.changes.len()).collect::<Vec<_>>()
    };
    let described = EXAMPLE.replace("Invoices from JSON files into Snowflake", "Invoices of the music shop");
    assert!(stacks(&described).is_empty());
    assert_eq!(stacks(&described.replace("4711", "4712")), [2; 5]);
}

/// The statements on the table of invoices.
fn statements(plan: &Plan) -> Vec<String> {
    let step = plan.steps.iter().find(|step| step.id.0.ends_with(".SHOP.INVOICE"));
    let sql = |action: &Action| match action {
        Action::Sql { sql, .. } => sql.to_string(),
        other => panic!("no statement: {other:?}"),
    };
    step.unwrap().actions.iter().map(sql).collect()
}

#[test]
fn a_column_is_filled_by_the_next_deploy_when_that_was_cut_off() {
    let text = EXAMPLE.replacen(
        "name = \"total\"",
        "name = \"state\", type = \"VARCHAR(40)\" },\n    { name = \"total\"",
        1,
    );
    let whole = statements(&change(&text));
    assert!(whole[0].ends_with("unfinished]'"), "{whole:?}");
    assert!(whole[1].contains("ADD COLUMN"), "{whole:?}");
    assert!(whole[2].starts_with("MERGE"), "{whole:?}");

    let (new, names) = graph(&text);
    let mut world = deployed(&new, &names);
    for (_, table) in world.objects.iter_mut().filter(|((kind, _), _)| *kind == Kind::Table) {
        table.comment = mark::comment("", &names.mark(), mark::UNFINISHED);
    }
    assert_eq!(statements(&plan(&new, &world, &names).unwrap()), whole[2..]);
}

#[test]
fn a_stack_that_was_cut_off_before_its_first_change_set_ran_is_created() {
    let (graph, names) = graph(EXAMPLE);
    let mut world = deployed(&graph, &names);
    let stack = world.stacks.get_mut("chinook-invoices-local-alerts").unwrap();
    *stack = LiveStack {
        status: "REVIEW_IN_PROGRESS".to_owned(),
        ..Default::default()
    };
    assert_eq!(lines(&plan(&graph, &world, &names).unwrap()), ["create aws:alerts "]);
    world.stacks.get_mut("chinook-invoices-local-alerts").unwrap().tags = [("team".to_owned(), "x".to_owned())].into();
    assert!(plan(&graph, &world, &names).is_err());
}

/// A dimension goes together with the fact that looks at it: whoever comes after a task goes before it, so that no task
/// becomes a root of its own.
#[test]
fn leftover_tasks_go_before_those_that_they_come_after() {
    let (graph, names) = graph(EXAMPLE);
    let mut world = deployed(&graph, &names);
    let root = graph
        .objects()
        .find(|(_, object)| object.task == Some(TaskPlace::Root))
        .unwrap()
        .1
        .name
        .clone();
    let schema = root.parent().unwrap();
    let comment = mark::comment("", &names.mark(), "old");
    for (task, after) in [
        ("DIMENSION_A", root.to_string()),
        ("FACT_B", schema.child("DIMENSION_A").to_string()),
    ] {
        let live = LiveObject {
            comment: comment.clone(),
            properties: [("predecessors", after), ("state", "started".to_owned())]
                .into_iter()
                .collect(),
            ..Default::default()
        };
        world.objects.insert((Kind::Task, schema.child(task)), live);
    }
    let plan = plan(&graph, &world, &names).unwrap();
    let drop = |task: &str| NodeId::of_object(Kind::Task, &schema.child(task));
    let dimension = plan.steps.iter().find(|step| step.id == drop("DIMENSION_A")).unwrap();
    assert!(dimension.needs.contains(&drop("FACT_B")), "{:?}", dimension.needs);
    assert!(plan.steps.iter().any(|step| step.id == drop("FACT_B")));
}
