//! A plan for people and for pull requests. For programs it is serialised as it is.

use std::fmt::Write;

use super::style::Style;
use crate::plan::remove::Kept;
use crate::plan::{DriftedResource, MISSING, Plan, Step, StepKind};

/// The plan as text.
pub fn text(plan: &Plan, style: &Style) -> String {
    let title = format!("{}/{}", plan.pipeline, plan.environment);
    if plan.is_empty() {
        return format!("{title}: no change\n");
    }
    let mut out = format!("{} {}\n\n", style.bold(&title), summary(plan));
    let (by_hand, intended): (Vec<&Step>, Vec<&Step>) = plan.steps.iter().partition(|step| step.drift);
    steps(&mut out, &intended, style);
    if !by_hand.is_empty() {
        let space = if intended.is_empty() { "" } else { "\n" };
        // Writing to a String does not fail, here and below.
        let _ = writeln!(out, "{space}{}", style.bold(BY_HAND));
        steps(&mut out, &by_hand, style);
    }
    if !plan.drifted.is_empty() {
        let space = if plan.steps.is_empty() { "" } else { "\n" };
        let _ = writeln!(out, "{space}{}", style.bold(DRIFTED));
    }
    for resource in &plan.drifted {
        let _ = writeln!(out, "  {} {}", style.change("!"), drifted(resource));
        for change in &resource.changes {
            let _ = writeln!(out, "      {change}");
        }
    }
    out
}

/// Above the steps that undo what was changed by hand.
const BY_HAND: &str = "changed by hand since the last deploy; a deploy sets it back:";
/// Above the resources of stacks that were changed by hand.
const DRIFTED: &str = "changed by hand in stacks; set it back by hand, or with a change set of the mode REVERT_DRIFT:";

fn drifted(resource: &DriftedResource) -> String {
    let deleted = if resource.deleted { " was deleted" } else { "" };
    let DriftedResource {
        stack, resource, kind, ..
    } = resource;
    format!("{resource} ({kind}) of stack {stack}{deleted}")
}

fn steps(out: &mut String, steps: &[&Step], style: &Style) {
    for step in steps {
        let _ = writeln!(out, "  {} {}", sign(step, style), step.target);
        // That it does not exist is what the sign says.
        let is_plain = step.kind == StepKind::Create && step.reason == MISSING && step.changes.is_empty();
        if !step.reason.is_empty() && !is_plain {
            let _ = writeln!(out, "      {}", style.dim(&step.reason));
        }
        for change in &step.changes {
            let _ = writeln!(out, "      {change}");
        }
        for effect in &step.resources {
            let _ = writeln!(out, "      {}", style.change(&effect.to_string()));
        }
        if let Some(loss) = &step.loss {
            let _ = writeln!(
                out,
                "      {} {loss} {}",
                style.error("loses"),
                style.dim(&format!("(--allow-loss {})", step.id))
            );
        }
    }
}

fn sign(step: &Step, style: &Style) -> String {
    match step.kind {
        _ if step.loss.is_some() => style.error(step.kind.sign()),
        StepKind::Create | StepKind::Adopt => style.good(step.kind.sign()),
        StepKind::Alter | StepKind::Replace => style.change(step.kind.sign()),
        StepKind::Drop => style.error(step.kind.sign()),
        StepKind::Run => style.dim(step.kind.sign()),
    }
}

fn summary(plan: &Plan) -> String {
    let count = |kind: StepKind| plan.steps.iter().filter(|step| step.kind == kind).count();
    let kinds = [
        StepKind::Create,
        StepKind::Adopt,
        StepKind::Alter,
        StepKind::Replace,
        StepKind::Drop,
        StepKind::Run,
    ];
    let parts: Vec<String> = kinds
        .iter()
        .filter(|kind| count(**kind) > 0)
        .map(|kind| format!("{} to {}", count(*kind), kind.word()))
        .collect();
    match parts.is_empty() {
        true => "no change".to_owned(),
        false => parts.join(", "),
    }
}

/// What a destroy leaves, as text.
pub fn kept(kept: &[Kept], style: &Style) -> String {
    let mut out = String::new();
    for item in kept {
        let _ = writeln!(
            out,
            "  {} {}\n      {}",
            style.good("="),
            item.target,
            style.dim(&item.reason)
        );
    }
    if !kept.is_empty() {
        let _ = writeln!(
            out,
            "\nkept, for these reasons; what holds the pipeline's own data goes with `pipectl destroy --delete-data`"
        );
    }
    out
}

/// Longest Markdown. GitHub takes 65,536 characters in a comment; the rest is for what a caller puts around it.
const LONGEST: usize = 65_000;
/// Kept free for the end of a folded part and the notes about what was left out.
const NOTES: usize = 1_000;

/// The plan as Markdown that fits a pull-request comment: losses first, details folded. What does not fit is counted.
pub fn markdown(plan: &Plan) -> String {
    let mut out = format!("### pipectl: {}/{}\n\n", cell(&plan.pipeline), cell(&plan.environment));
    if plan.is_empty() {
        out.push_str("No change.\n");
        return out;
    }
    let losses: Vec<&Step> = plan.steps.iter().filter(|step| step.loss.is_some()).collect();
    let lost = match losses.len() {
        0 => String::new(),
        count => format!("; **{count} of these lose something**"),
    };
    let _ = writeln!(out, "{}{lost}\n", summary(plan));
    if !losses.is_empty() {
        out.push_str("| loses | what | consent |\n|---|---|---|\n");
        let row = |step: &&Step| {
            let loss = step.loss.as_deref().unwrap_or_default();
            format!(
                "| {} | {} | `--allow-loss {}` |",
                cell(loss),
                cell(&step.target),
                step.id
            )
        };
        rows(&mut out, losses.iter().map(row));
        out.push('\n');
    }
    let (by_hand, intended): (Vec<&Step>, Vec<&Step>) = plan.steps.iter().partition(|step| step.drift);
    folded(&mut out, "Steps", &intended);
    folded(
        &mut out,
        "Changed by hand since the last deploy; a deploy sets it back",
        &by_hand,
    );
    if !plan.drifted.is_empty() {
        out.push_str("| changed by hand in stacks | changes |\n|---|---|\n");
        let row = |resource: &DriftedResource| {
            let changes: Vec<String> = resource
                .changes
                .iter()
                .map(|change| cell(&change.to_string()))
                .collect();
            format!("| {} | {} |", cell(&drifted(resource)), changes.join("<br>"))
        };
        rows(&mut out, plan.drifted.iter().map(row));
    }
    out
}

/// As many rows as fit, then how many do not.
fn rows(out: &mut String, rows: impl Iterator<Item = String>) {
    let mut left_out = 0_usize;
    for row in rows {
        // Bytes, of which there are never fewer than characters. After the first row that is left out all are, so that
        // what is shown is a beginning and no selection.
        if left_out > 0 || out.len() + row.len() + NOTES > LONGEST {
            left_out += 1;
        } else {
            let _ = writeln!(out, "{row}");
        }
    }
    if left_out > 0 {
        let _ = writeln!(
            out,
            "\n**{left_out} more do not fit here**: run `pipectl diff`, or read the kept plan."
        );
    }
}

fn folded(out: &mut String, title: &str, steps: &[&Step]) {
    if steps.is_empty() {
        return;
    }
    let _ = write!(
        out,
        "<details><summary>{title}</summary>\n\n| | what | why | changes |\n|---|---|---|---|\n"
    );
    let row = |step: &&Step| {
        let effects = step.resources.iter().map(ToString::to_string);
        let changes = step.changes.iter().map(ToString::to_string).chain(effects);
        let changes: Vec<String> = changes.map(|text| cell(&text)).collect();
        format!(
            "| {} | {} | {} | {} |",
            step.kind.word(),
            cell(&step.target),
            cell(&step.reason),
            changes.join("<br>")
        )
    };
    rows(out, steps.iter().map(row));
    out.push_str("\n</details>\n");
}

/// Text that can stand in a cell of a table: nothing in it ends the cell, the row or the folded part.
fn cell(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('|', "\\|")
        .replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::make::{World, plan};
    use crate::plan::testing::{EXAMPLE, deployed, graph};

    fn nothing() -> World {
        World {
            stacks: Default::default(),
            objects: Default::default(),
            findings: Default::default(),
            buckets: Default::default(),
            foreseen: Default::default(),
            runtime_key: "KEY".to_owned(),
        }
    }

    #[test]
    fn a_huge_plan_still_fits_a_comment() {
        let (graph, names) = graph(EXAMPLE);
        let mut huge = plan(&graph, &nothing(), &names).unwrap();
        let before = markdown(&huge);
        assert!(!before.contains("more do not fit"), "{before}");
        let step = huge.steps[0].clone();
        for number in 0..4_000 {
            let mut more = step.clone();
            more.target = format!("table {number} <b>|</b>");
            more.loss = (number % 2 == 0).then(|| "its rows".to_owned());
            more.drift = number % 3 == 0;
            huge.steps.push(more);
        }
        let text = markdown(&huge);
        // GitHub's limit for a comment.
        assert!(text.chars().count() <= 65_536, "{}", text.chars().count());
        assert!(text.contains("**2000 of these lose something**"), "{}", &text[..400]);
        assert!(text.contains("more do not fit here"));
        assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
    }

    #[test]
    fn losses_come_first() {
        let (graph, names) = graph(EXAMPLE);
        let less = EXAMPLE.replace(
            "    { name = \"city\", type = \"VARCHAR(40)\", path = \"$.Customer.City\" },\n",
            "",
        );
        let (wanted, _) = crate::plan::testing::graph(&less);
        let text = markdown(&plan(&wanted, &deployed(&graph, &names), &names).unwrap());
        let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("no {part} in {text}"));
        assert!(place("**1 of these lose something**") < place("| loses |"), "{text}");
        assert!(place("`--allow-loss ") < place("<details>"), "{text}");
    }
}
