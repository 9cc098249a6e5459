//! Every failure point: a proxy between pipectl and the local cloud fails or kills pipectl at its N-th call, for every N
//! of a first deploy, an update and a destroy. One plain rerun must then end in the state of an undisturbed run.
//!
//! A round is a first deploy, a file that is loaded, another file that is under way while the update runs, the update,
//! and the destroy, each disturbed at call N and run again; the destroy leaves an empty cloud for the next round.
//! `make test` tries every [`STRIDE`]-th N with each of the [`USUAL`] kinds of failure, from another first N for each
//! kind, so that all together meet every third or fourth N. `PIPECTL_FAILURE_POINTS=all` tries every N with every kind.
//! Further words, with commas between, narrow either: kinds (`kill-after`), phases (`first-deploy`, `update`, `destroy`)
//! and a range of N (`40-70`).

mod cloud;
mod look;
#[path = "../shared/message.rs"]
mod message;
mod proxy;

use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use cloud::{Cloud, Phase, Undisturbed};
use proxy::{KINDS, Kind};

/// Of how many points one is tried with each kind of failure, when not all are.
const STRIDE: usize = 14;
/// The kinds that are tried when not all are: those that the client does not simply try again, or that happen most.
const USUAL: [Kind; 4] = [Kind::KillBefore, Kind::KillAfter, Kind::DropAfter, Kind::Refuse];
/// Clouds that a machine of two cores carries.
const CLOUDS: usize = 2;
/// A hang lasts until the client gives up, which takes 30 to 75 s: only a few are tried, and only with all.
const HANG_STRIDE: usize = 40;

/// How the points of one kind and phase ended.
#[derive(Default)]
struct Count {
    tried: usize,
    converged: usize,
    /// The disturbed run ended before its N-th call: the number of polls differs from run to run.
    not_reached: usize,
}

#[derive(Default)]
struct Report {
    counts: BTreeMap<(Kind, Phase), Count>,
    faults: Vec<String>,
}

#[test]
fn every_failure_point_converges() {
    let started = Instant::now();
    let mut first = Cloud::up();
    let usual = first.undisturbed();
    eprintln!("calls of undisturbed runs: {:?}", usual.calls);
    let asked = Asked::of_environment();
    let rounds = asked.rounds(&usual.calls);
    let total = rounds.len();
    let trial = Trial {
        asked,
        usual,
        rounds: Mutex::new(rounds),
        report: Mutex::default(),
    };
    std::thread::scope(|scope| {
        scope.spawn(|| trial.work(first));
        for _ in 1..CLOUDS {
            scope.spawn(|| trial.work(Cloud::up()));
        }
    });
    let report = trial.report.into_inner().unwrap();
    report.tell(total, started.elapsed());
    assert!(report.faults.is_empty(), "{}", report.faults.join("\n\n"));
    let (tried, converged) = report.sums();
    assert!(tried > 0 && tried == converged);
}

/// What the clouds' threads share.
struct Trial {
    asked: Asked,
    usual: Undisturbed,
    rounds: Mutex<VecDeque<(Kind, usize)>>,
    report: Mutex<Report>,
}

impl Trial {
    /// Rounds in one cloud until none is left. What a fault leaves is no ground for the next round.
    fn work(&self, mut cloud: Cloud) {
        loop {
            let next = self.rounds.lock().unwrap().pop_front();
            let Some((kind, at)) = next else { return };
            if !self.round(&mut cloud, kind, at) {
                cloud = Cloud::up();
            }
        }
    }

    /// One round; false when it met a fault.
    fn round(&self, cloud: &mut Cloud, kind: Kind, at: usize) -> bool {
        for phase in Phase::ALL {
            let is_tried = self.asked.phases.contains(&phase) && at <= self.usual.calls[&phase];
            if !is_tried && phase == Phase::Update {
                continue;
            }
            let ended = cloud.phase(phase, is_tried.then_some((kind, at)), &self.usual);
            let mut report = self.report.lock().unwrap();
            if is_tried {
                let count = report.counts.entry((kind, phase)).or_default();
                match &ended {
                    Ok(true) => (count.tried, count.converged) = (count.tried + 1, count.converged + 1),
                    Ok(false) => count.not_reached += 1,
                    Err(_) => count.tried += 1,
                }
            }
            if let Err(fault) = ended {
                let fault = format!("{} at call {at} of {}: {fault}", kind.word(), phase.word());
                eprintln!("{fault}");
                report.faults.push(fault);
                return false;
            }
        }
        true
    }
}

impl Report {
    fn sums(&self) -> (usize, usize) {
        let sum = |of: fn(&Count) -> usize| self.counts.values().map(of).sum();
        (sum(|count| count.tried), sum(|count| count.converged))
    }

    /// Written to stderr itself, so that it shows when all is well, too.
    fn tell(&self, rounds: usize, took: Duration) {
        let mut text = format!("\n{rounds} rounds in {:.0} s\n", took.as_secs_f64());
        let mut line = |kind: &str, phase: &str, tried: &str, converged: &str, not_reached: &str| {
            text += &format!("{kind:<12} {phase:<12} {tried:>6} {converged:>10} {not_reached:>12}\n");
        };
        line("failure", "phase", "tried", "converged", "not reached");
        for ((kind, phase), count) in &self.counts {
            let numbers = [count.tried, count.converged, count.not_reached].map(|number| number.to_string());
            line(kind.word(), phase.word(), &numbers[0], &numbers[1], &numbers[2]);
        }
        let (tried, converged) = self.sums();
        text += &format!("points tried {tried}, points converged {converged}\n");
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}

/// Which points are tried.
struct Asked {
    all: bool,
    kinds: Vec<Kind>,
    phases: Vec<Phase>,
    range: RangeInclusive<usize>,
}

impl Asked {
    fn of_environment() -> Self {
        let text = std::env::var("PIPECTL_FAILURE_POINTS").unwrap_or_default();
        let (mut kinds, mut phases) = (Vec::new(), Vec::new());
        let (mut all, mut range) = (false, 1..=usize::MAX);
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let bounds = word.split_once('-').map(|(from, to)| (from.parse(), to.parse()));
            if let Some((Ok(from), Ok(to))) = bounds {
                range = from..=to;
            } else if let Some(kind) = KINDS.into_iter().find(|kind| kind.word() == word) {
                kinds.push(kind);
            } else if let Some(phase) = Phase::ALL.into_iter().find(|phase| phase.word() == word) {
                phases.push(phase);
            } else {
                assert_eq!(word, "all", "PIPECTL_FAILURE_POINTS knows no {word}");
                all = true;
            }
        }
        if kinds.is_empty() {
            kinds = if all { KINDS.to_vec() } else { USUAL.to_vec() };
        }
        if phases.is_empty() {
            phases = Phase::ALL.to_vec();
        }
        Self {
            all,
            kinds,
            phases,
            range,
        }
    }

    /// What fails, and at which call of each phase.
    fn rounds(&self, calls: &BTreeMap<Phase, usize>) -> VecDeque<(Kind, usize)> {
        let last = self.phases.iter().map(|phase| calls[phase]).max().unwrap_or(0);
        let mut rounds = Vec::new();
        for (position, kind) in self.kinds.iter().enumerate() {
            let (from, step) = match (kind, self.all) {
                (Kind::Hang, _) => (HANG_STRIDE / 2, HANG_STRIDE),
                (_, true) => (1, 1),
                (_, false) => (1 + position * STRIDE / self.kinds.len(), STRIDE),
            };
            let points = (from..=last).step_by(step).filter(|at| self.range.contains(at));
            rounds.extend(points.map(|at| (at, *kind)));
        }
        // Early points first, whatever the kind: what is broken shows soon.
        rounds.sort();
        rounds.into_iter().map(|(at, kind)| (kind, at)).collect()
    }
}
