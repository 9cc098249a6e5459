//! Order of the steps: what starts when, and what a failure stops.

use aws_config::{BehaviorVersion, SdkConfig};

use super::*;
use crate::aws::Aws;
use crate::graph::object::Actor;
use crate::graph::stack::Upload;
use crate::graph::{Body, Graph};
use crate::model::names::Names;
use crate::plan::{Action, StepKind};

fn id(name: &str) -> NodeId {
    NodeId(name.to_owned())
}

fn step(name: &str, needs: &[&str]) -> Step {
    Step {
        id: id(name),
        kind: StepKind::Create,
        target: name.to_owned(),
        reason: String::new(),
        drift: false,
        changes: vec![],
        resources: vec![],
        loss: None,
        reversible: true,
        needs: needs.iter().map(|need| id(need)).collect(),
        always: false,
        actions: vec![],
    }
}

/// There is no Snowflake in these tests, so a statement fails.
fn failing(step: Step) -> Step {
    let actions = vec![Action::Sql {
        role: Actor::Owner,
        sql: "SELECT 1".into(),
    }];
    Step { actions, ..step }
}

fn plan(steps: Vec<Step>) -> Plan {
    Plan {
        pipeline: "p".to_owned(),
        environment: "e".to_owned(),
        drifted: vec![],
        steps,
    }
}

fn hands(graph: Graph) -> Arc<Hands> {
    let config = SdkConfig::builder().behavior_version(BehaviorVersion::latest()).build();
    Arc::new(Hands {
        aws: Aws::new(&config),
        snowflake: None,
        graph: Arc::new(graph),
        names: Names {
            pipeline: "p".to_owned(),
            environment: "e".to_owned(),
            account: String::new(),
            region: String::new(),
        },
        runtime: None,
        given_up: Default::default(),
    })
}

async fn outcomes(steps: Vec<Step>, stops: Stops) -> Vec<(String, Outcome)> {
    let (events, _heard) = unbounded_channel();
    let results = run(&plan(steps), hands(Graph::default()), events, stops).await;
    results.0.into_iter().map(|(id, outcome)| (id.0, outcome)).collect()
}

#[tokio::test]
async fn a_step_in_aws_waits_behind_no_statement() {
    let mut steps: Vec<Step> = (0..AT_ONCE)
        .map(|number| failing(step(&format!("{number}"), &[])))
        .collect();
    steps.push(step("aws", &[]));
    let (events, mut heard) = unbounded_channel();
    run(&plan(steps), hands(Graph::default()), events, Stops::default()).await;
    assert!(matches!(heard.recv().await, Some(Event::Started(first)) if first == id("aws")));
}

#[tokio::test]
async fn a_failure_stops_what_needs_it_and_nothing_else() {
    let steps = vec![
        failing(step("a", &["not planned"])),
        step("b", &["a"]),
        step("c", &["b", "d"]),
        step("d", &[]),
        Step {
            always: true,
            ..step("resume", &["c"])
        },
        step("e", &["d", "d"]),
    ];
    let found = outcomes(steps, Stops::default()).await;
    let why = |text: &str| Outcome::NotStarted(text.to_owned());
    assert!(matches!(found[0].1, Outcome::Failed(_)), "{found:?}");
    assert_eq!(found[1].1, why("it needs a"));
    assert_eq!(found[2].1, why("it needs b"));
    for done in [3, 4, 5] {
        assert_eq!(found[done].1, Outcome::Done, "{}", found[done].0);
    }
}

#[tokio::test]
async fn without_the_lease_only_what_was_stopped_starts() {
    let stops = Stops::default();
    stops.lost.cancel();
    let steps = vec![
        step("a", &[]),
        step("b", &["a"]),
        Step {
            always: true,
            ..step("resume", &["b"])
        },
    ];
    let found = outcomes(steps, stops).await;
    let lost = Outcome::NotStarted("the lease was lost".to_owned());
    assert_eq!(found[0].1, lost);
    assert!(matches!(found[1].1, Outcome::NotStarted(_)), "{found:?}");
    assert_eq!(found[2].1, Outcome::Done);
}

/// `bucket` needs two resources of the stack `topics`, and `other`.
fn partial() -> (Plan, Graph) {
    let body = || Body::Upload(Upload { bucket: String::new() });
    let mut graph = Graph::default();
    let topics = graph.add("topics", vec![], body());
    let other = graph.add("other", vec![], body());
    graph.add("bucket", vec![topics.clone(), other], body());
    graph.enough(topics, &["Policy", "Subscription"]);
    let steps = vec![
        step("topics", &[]),
        step("other", &[]),
        step("bucket", &["topics", "other"]),
    ];
    (plan(steps), graph)
}

fn waiting<'a>(plan: &'a Plan, graph: Graph) -> Run<'a> {
    let mut run = Run::new(
        plan,
        unbounded_channel().0,
        unbounded_channel().0,
        hands(graph),
        Stops::default(),
    );
    run.ready.clear();
    run
}

fn ready(run: &Run) -> Vec<String> {
    run.ready.iter().map(|step| step.id.0.clone()).collect()
}

#[tokio::test]
async fn a_step_starts_when_the_resources_that_it_needs_of_a_stack_are_made() {
    let (plan, graph) = partial();
    let mut run = waiting(&plan, graph);
    run.end(id("other"), Outcome::Done);
    run.made(&id("topics"), "Policy");
    run.made(&id("topics"), "Policy");
    run.made(&id("topics"), "Queue");
    assert_eq!(ready(&run), [""; 0]);
    run.made(&id("topics"), "Subscription");
    assert_eq!(ready(&run), ["bucket"]);
    run.end(id("topics"), Outcome::Done);
    assert_eq!(ready(&run), ["bucket"], "and only once");
}

#[tokio::test]
async fn a_resource_that_is_told_after_the_end_of_its_stack_counts_no_more() {
    let (plan, graph) = partial();
    let mut run = waiting(&plan, graph);
    run.end(id("topics"), Outcome::Done);
    run.made(&id("topics"), "Policy");
    run.made(&id("topics"), "Subscription");
    assert_eq!(ready(&run), [""; 0], "it still needs `other`");
    run.end(id("other"), Outcome::Done);
    assert_eq!(ready(&run), ["bucket"]);
}

#[tokio::test]
async fn a_step_that_waits_for_more_is_not_started_when_the_stack_fails_after_all() {
    let (plan, graph) = partial();
    let mut run = waiting(&plan, graph);
    run.made(&id("topics"), "Policy");
    run.made(&id("topics"), "Subscription");
    run.end(id("topics"), Outcome::Failed("no queue".to_owned()));
    run.end(id("other"), Outcome::Done);
    assert_eq!(ready(&run), [""; 0]);
    assert_eq!(
        run.outcomes[&id("bucket")],
        Outcome::NotStarted("it needs topics".to_owned())
    );
}

#[tokio::test]
async fn a_stack_that_tells_of_no_resource_is_waited_for() {
    let (plan, graph) = partial();
    let mut run = waiting(&plan, graph);
    run.end(id("topics"), Outcome::Done);
    run.end(id("other"), Outcome::Done);
    assert_eq!(ready(&run), ["bucket"]);
}
