//! How a run ended: what was done, what failed, what was not started, and the next command.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::style::Style;
use crate::apply::{Outcome, Results};
use crate::plan::Plan;
use crate::plan::remove::Kept;

/// The result as text.
pub fn text(results: &Results, elapsed: Duration, next: &str, style: &Style) -> String {
    let mut out = String::new();
    let mut done = 0;
    let (mut failed, mut not_started) = (Vec::new(), Vec::new());
    for (id, outcome) in &results.0 {
        match outcome {
            Outcome::Done => done += 1,
            Outcome::Failed(why) => failed.push((id, why)),
            Outcome::NotStarted(why) => not_started.push((id, why)),
        }
    }
    for (id, why) in &failed {
        // Writing to a String does not fail, here and below.
        let _ = writeln!(out, "{} {id}\n  {}", style.error("failed"), why.replace('\n', "\n  "));
    }
    for (id, why) in &not_started {
        let _ = writeln!(
            out,
            "{} {id} {}",
            style.change("not started"),
            style.dim(&format!("({why})"))
        );
    }
    let seconds = elapsed.as_secs_f64();
    if failed.is_empty() && not_started.is_empty() {
        let _ = writeln!(out, "{} {done} steps in {seconds:.1} s", style.good("done:"));
    } else {
        let (failed, waiting) = (failed.len(), not_started.len());
        let _ = writeln!(
            out,
            "{done} done, {failed} failed, {waiting} not started in {seconds:.1} s\nnext: {next}"
        );
    }
    out
}

/// The result for programs.
pub fn json(plan: &Plan, results: Option<&Results>, kept: &[Kept]) -> Value {
    let steps = results.map(|results| {
        let step = |(id, outcome): &(crate::graph::NodeId, Outcome)| {
            let mut value = json!(outcome);
            if let Value::Object(fields) = &mut value {
                fields.insert("id".to_owned(), json!(id));
            }
            value
        };
        results.0.iter().map(step).collect::<Vec<_>>()
    });
    json!({ "plan": plan, "results": steps, "kept": kept, "ok": results.is_none_or(Results::all_done) })
}
