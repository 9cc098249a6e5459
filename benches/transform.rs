//! Answers one batch of Firehose again and again: the handler `transform` without Lambda.
//!
//! `cargo bench --bench transform -- RUNS < EVENT` prints the shortest and the median time in microseconds.

use std::hint::black_box;
use std::io::{Read as _, stdin};
use std::time::Instant;

use anyhow::Context as _;

fn main() -> anyhow::Result<()> {
    // cargo adds `--bench`.
    let mut arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    let runs: usize = arguments
        .next()
        .context("usage: transform RUNS")?
        .parse()
        .context("RUNS")?;
    let mut event = String::new();
    stdin().read_to_string(&mut event).context("the event")?;
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs.max(1) {
        let begin = Instant::now();
        black_box(pipectl::runtime::answer_records(black_box(&event))?);
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    println!("{} {}", times[0].as_micros(), times[times.len() / 2].as_micros());
    Ok(())
}
