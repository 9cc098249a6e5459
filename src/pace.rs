//! How often something is looked at that takes its time.

use std::sync::OnceLock;
use std::time::Duration;

/// Longest pause between two looks. Tools that look every 5 to 30 s waste most of a short deploy.
const SLOWEST: Duration = Duration::from_secs(1);

/// Pauses that grow: what is quick is seen soon, and what is slow is not asked for often.
#[derive(Debug)]
pub struct Pace {
    next: Duration,
    slowest: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let slowest = slowest();
        Pace {
            next: slowest / 10,
            slowest,
        }
    }
}

impl Pace {
    /// Waits until the next look.
    pub async fn pause(&mut self) {
        tokio::time::sleep(self.step()).await;
    }

    fn step(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 3 / 2).min(self.slowest);
        pause
    }
}

/// `PIPECTL_POLL_SECONDS` sets another one: a longer one for an account whose API is throttled, a shorter one for a cloud
/// that is simulated faster than time.
fn slowest() -> Duration {
    static SET: OnceLock<Duration> = OnceLock::new();
    *SET.get_or_init(|| read(std::env::var("PIPECTL_POLL_SECONDS").ok().as_deref()))
}

fn read(told: Option<&str>) -> Duration {
    let told = told.and_then(|seconds| seconds.parse().ok());
    let valid = told.filter(|seconds: &f64| (0.001..=60.0).contains(seconds));
    valid.map_or(SLOWEST, Duration::from_secs_f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_a_tenth_to_the_longest() {
        let slowest = Duration::from_secs(1);
        let mut pace = Pace {
            next: slowest / 10,
            slowest,
        };
        let steps: Vec<u128> = (0..8).map(|_| pace.step().as_millis()).collect();
        assert_eq!(steps, [100, 150, 225, 337, 506, 759, 1000, 1000]);
    }

    #[test]
    fn the_environment_sets_it_within_reason() {
        assert_eq!(read(Some("0.05")), Duration::from_millis(50));
        for wrong in [None, Some("0"), Some("-1"), Some("NaN"), Some("soon"), Some("1e9")] {
            assert_eq!(read(wrong), SLOWEST, "{wrong:?}");
        }
    }
}
