//! Every failure point: a proxy between pipectl and the local cloud fails or kills pipectl at its N-th call, for every N
//! of a first deploy, of updates and of a destroy. One plain rerun must then end in the state of an undisturbed run.
//!
//! A round is the life of a pipeline: a first deploy, an update, a pipe and then a stage made anew while files arrive, and
//! the destroy, each disturbed at a call of its own and run again; the destroy leaves an empty cloud for the next round.
//! What has no call left to try is left out, and half of the rounds are in a cloud that enforces IAM policies.
//!
//! Every N of every phase is tried once, with the [`USUAL`] kinds of failure in turn. `PIPECTL_FAILURE_POINTS=all` tries
//! every N with every kind, `few` only [`FEW`] calls of each phase, spread over all of them. Further words, with commas
//! between, narrow either: kinds (`kill-after`), phases (`first-deploy`, `update`, `replace-pipe`, `replace-stage`,
//! `destroy`) and a range of N (`40-70`).

mod cloud;
mod look;
#[path = "../shared/message.rs"]
mod message;
mod proxy;
#[path = "../shared/runtime.rs"]
mod runtime;

use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use cloud::{Cloud, Iam, Phase, Undisturbed};
use proxy::{KINDS, Kind};

/// Calls of each phase that are tried when only a few are asked for.
const FEW: usize = 20;
/// The kinds that are tried when not all are.
const USUAL: [Kind; 8] = [
    Kind::KillAfter,
    Kind::Refuse,
    Kind::DropAfter,
    Kind::KillBefore,
    Kind::Error,
    Kind::Stall,
    Kind::Throttle,
    Kind::DropBefore,
];
/// The clouds. Half of a life is waiting, for the clouds' clocks and before another try, so four keep two cores busy.
const CLOUDS: [Iam; 4] = [Iam::Off, Iam::Enforced, Iam::Off, Iam::Enforced];
/// A hang lasts until the client gives up, which takes 30 to 75 s: only a few are tried, and only with all.
const HANG_STRIDE: usize = 40;

/// What fails in each phase of a round, and at which call.
type Round = BTreeMap<Phase, (Kind, usize)>;

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
    let lives = std::thread::scope(|scope| {
        let live = |iam| {
            scope.spawn(move || {
                let mut cloud = Cloud::up(iam);
                let usual = cloud.undisturbed();
                (cloud, usual)
            })
        };
        CLOUDS.map(live).map(|thread| thread.join().unwrap())
    });
    let calls = lives[0].1.calls.clone();
    eprintln!("calls of undisturbed runs: {calls:?}");
    let rounds = Asked::of_environment().rounds(&calls);
    let total = rounds.len();
    let trial = Trial {
        rounds: Mutex::new(rounds),
        report: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for ((cloud, usual), iam) in lives.into_iter().zip(CLOUDS) {
            let trial = &trial;
            scope.spawn(move || trial.work(cloud, &usual, iam));
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
    rounds: Mutex<VecDeque<Round>>,
    report: Mutex<Report>,
}

impl Trial {
    /// Rounds in one cloud until none is left. What a fault leaves is no ground for the next round.
    fn work(&self, mut cloud: Cloud, usual: &Undisturbed, iam: Iam) {
        loop {
            let next = self.rounds.lock().unwrap().pop_front();
            let Some(round) = next else { return };
            if !self.round(&mut cloud, &round, usual, iam) {
                cloud = Cloud::up(iam);
            }
        }
    }

    /// One round; false when it met a fault.
    fn round(&self, cloud: &mut Cloud, round: &Round, usual: &Undisturbed, iam: Iam) -> bool {
        // Each update goes on from what the one before has left.
        let last = round.keys().filter(|phase| **phase != Phase::Destroy).max();
        for phase in Phase::ALL {
            let failure = round.get(&phase).copied();
            let is_needed = matches!(phase, Phase::FirstDeploy | Phase::Destroy) || Some(&phase) <= last;
            if !is_needed {
                continue;
            }
            let ended = cloud.phase(phase, failure, usual);
            let mut report = self.report.lock().unwrap();
            if let Some((kind, _)) = failure {
                let count = report.counts.entry((kind, phase)).or_default();
                match &ended {
                    Ok(true) => (count.tried, count.converged) = (count.tried + 1, count.converged + 1),
                    Ok(false) => count.not_reached += 1,
                    Err(_) => count.tried += 1,
                }
            }
            if let Err(fault) = ended {
                let met = failure.map(|(kind, at)| format!("{} at call {at}", kind.word()));
                let met = met.unwrap_or_else(|| "nothing".to_owned());
                let fault = format!("{met} of {} (IAM {iam:?}): {fault}", phase.word());
                eprintln!("{fault}");
                report.faults.push(fault);
                return false;
            }
        }
        let (tried, converged) = self.report.lock().unwrap().sums();
        let left = self.rounds.lock().unwrap().len();
        eprintln!("so far: points tried {tried}, points converged {converged}, rounds left {left}");
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
    few: bool,
    kinds: Vec<Kind>,
    phases: Vec<Phase>,
    range: RangeInclusive<usize>,
}

impl Asked {
    fn of_environment() -> Self {
        let text = std::env::var("PIPECTL_FAILURE_POINTS").unwrap_or_default();
        let (mut kinds, mut phases) = (Vec::new(), Vec::new());
        let (mut all, mut few, mut range) = (false, false, 1..=usize::MAX);
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let bounds = word.split_once('-').map(|(from, to)| (from.parse(), to.parse()));
            if let Some((Ok(from), Ok(to))) = bounds {
                range = from..=to;
            } else if let Some(kind) = KINDS.into_iter().find(|kind| kind.word() == word) {
                kinds.push(kind);
            } else if let Some(phase) = Phase::ALL.into_iter().find(|phase| phase.word() == word) {
                phases.push(phase);
            } else if word == "few" {
                few = true;
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
            few,
            kinds,
            phases,
            range,
        }
    }

    /// The points of each phase, a point of every phase in a round.
    fn rounds(&self, calls: &BTreeMap<Phase, usize>) -> VecDeque<Round> {
        let mut rounds = VecDeque::new();
        for phase in &self.phases {
            for (number, point) in self.points(*phase, calls[phase]).into_iter().enumerate() {
                if number == rounds.len() {
                    rounds.push_back(Round::new());
                }
                rounds[number].insert(*phase, point);
            }
        }
        rounds
    }

    fn points(&self, phase: Phase, calls: usize) -> Vec<(Kind, usize)> {
        let (first, last) = (*self.range.start().max(&1), *self.range.end().min(&calls));
        let is_tried = |kind: &&Kind, at: usize| **kind != Kind::Hang || at % HANG_STRIDE == HANG_STRIDE / 2;
        if self.all {
            let of_call = |at| {
                self.kinds
                    .iter()
                    .filter(move |kind| is_tried(kind, at))
                    .map(move |kind| (*kind, at))
            };
            return scattered((first..=last).flat_map(of_call).collect());
        }
        let span = (last + 1).saturating_sub(first);
        let count = if self.few { span.min(FEW) } else { span };
        let spread = |number: usize| {
            // The phases of a round meet different kinds.
            let kind = self.kinds[(number + phase as usize * 3) % self.kinds.len()];
            (kind, first + number * span / count)
        };
        (0..count).map(spread).collect()
    }
}

/// In an order of which every beginning is spread over the whole: a run that is stopped early has seen of everything.
fn scattered<T: Copy>(items: Vec<T>) -> Vec<T> {
    let has_common_divisor =
        |step: &usize| (2..=*step).any(|divisor| step.is_multiple_of(divisor) && items.len().is_multiple_of(divisor));
    let golden = items.len() * 618 / 1000;
    let step = (golden.max(1)..).find(|step| !has_common_divisor(step)).unwrap_or(1);
    (0..items.len())
        .map(|number| items[number * step % items.len()])
        .collect()
}
