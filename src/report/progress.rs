//! Progress on stderr: a line for each step with its last event and its time; plain lines without a terminal.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::sync::mpsc::UnboundedReceiver;

use super::style::Style;
use crate::apply::{Event, Outcome};
use crate::graph::NodeId;
use crate::plan::{Plan, StepKind};
use crate::report::out::errln;

/// Where progress goes.
pub struct Progress {
    bars: Option<MultiProgress>,
    style: Style,
    verbose: bool,
    steps: BTreeMap<NodeId, (StepKind, String)>,
    running: BTreeMap<NodeId, ProgressBar>,
}

impl Progress {
    /// Progress of `plan`: lines that move on a terminal, plain ones elsewhere.
    pub fn of(plan: &Plan, no_color: bool, verbose: bool) -> Self {
        let steps = plan
            .steps
            .iter()
            .map(|step| (step.id.clone(), (step.kind, step.target.clone())))
            .collect();
        let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
        Progress {
            bars,
            style: Style::of_stderr(no_color),
            verbose,
            steps,
            running: BTreeMap::new(),
        }
    }

    /// Shows events until there are no more.
    pub async fn follow(mut self, mut events: UnboundedReceiver<Event>) {
        while let Some(event) = events.recv().await {
            match event {
                Event::Started(id) => self.started(id),
                Event::Note(id, text) => self.note(&id, &text),
                Event::Ended(id, outcome, elapsed) => self.ended(&id, &outcome, elapsed),
            }
        }
    }

    fn step(&self, id: &NodeId) -> String {
        match self.steps.get(id) {
            // Such a target says itself what is done.
            Some((StepKind::Run, target)) => target.clone(),
            Some((kind, target)) => format!("{} {target}", kind.word()),
            None => id.to_string(),
        }
    }

    fn line(&self, text: String) {
        match &self.bars {
            // A terminal that went away is no reason to stop the work.
            Some(bars) => drop(bars.println(text)),
            None => errln!("{text}"),
        }
    }

    fn started(&mut self, id: NodeId) {
        let step = self.step(&id);
        match &self.bars {
            Some(bars) => {
                let bar = bars.add(ProgressBar::new_spinner());
                if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {elapsed:>4.dim} {wide_msg:.dim}") {
                    bar.set_style(style);
                }
                bar.set_prefix(step);
                bar.enable_steady_tick(Duration::from_millis(100));
                self.running.insert(id, bar);
            }
            None if self.verbose => self.line(format!("{step}: started")),
            None => {}
        }
    }

    fn note(&mut self, id: &NodeId, text: &str) {
        match self.running.get(id) {
            Some(bar) => bar.set_message(text.to_owned()),
            None if self.verbose => {
                self.line(format!("{}: {text}", self.step(id)));
            }
            None => {}
        }
    }

    fn ended(&mut self, id: &NodeId, outcome: &Outcome, elapsed: Duration) {
        if let Some(bar) = self.running.remove(id) {
            bar.finish_and_clear();
        }
        let step = self.step(id);
        let seconds = format!("{:.1} s", elapsed.as_secs_f64());
        let text = match outcome {
            Outcome::Done => format!("{} {step} {}", self.style.good("✓"), self.style.dim(&seconds)),
            Outcome::Failed(_) => format!("{} {step} {}", self.style.error("✗"), self.style.dim(&seconds)),
            Outcome::NotStarted(why) => format!("{} {step} {}", self.style.dim("·"), self.style.dim(why)),
        };
        self.line(text);
    }
}

/// A line on stderr about something that takes a while before a plan is known.
pub fn say(text: &str) {
    errln!("{text}");
}
