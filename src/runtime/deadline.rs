//! How long an invocation may still work.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// The moments an invocation respects before Lambda ends it.
///
/// Lambda kills a function that overruns, and then *every* message of the batch comes again, also those that were
/// done (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>). So no work starts near the
/// end, and work under way is given up in time to clean up and to answer.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    /// After this no record is started.
    pub last_start: Instant,
    /// At this a record under way is given up.
    pub cut_off: Instant,
    /// By this the answer must be given.
    pub end: Instant,
}

impl Deadline {
    /// The deadline that Lambda gave, in wall-clock time.
    pub fn at(end: SystemTime) -> Self {
        Self::within(end.duration_since(SystemTime::now()).unwrap_or_default())
    }

    /// The deadline of an invocation that has this much time left.
    ///
    /// Nothing starts in the last tenth or the last five seconds, whichever is longer, but a function with a very
    /// short limit still has half of its time to start in.
    pub fn within(left: Duration) -> Self {
        let now = Instant::now();
        let tenth = left / 10;
        let quiet = tenth.max(Duration::from_secs(5)).min(left / 2);
        let clean_up = tenth.min(Duration::from_secs(2));
        Self {
            last_start: now + (left - quiet),
            cut_off: now + (left - clean_up),
            end: now + (left - clean_up / 4),
        }
    }

    /// Whether a record may still be started.
    pub fn may_start(&self) -> bool {
        Instant::now() < self.last_start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn margins(left: u64) -> (u64, u64) {
        let now = Instant::now();
        let deadline = Deadline::within(Duration::from_secs(left));
        (
            (deadline.last_start - now).as_millis() as u64 / 100,
            (deadline.cut_off - now).as_millis() as u64 / 100,
        )
    }

    #[test]
    fn the_quiet_time_scales_with_the_limit() {
        assert_eq!(margins(900), (8100, 8980));
        assert_eq!(margins(30), (250, 280));
        assert_eq!(margins(4), (20, 36));
    }

    #[test]
    fn a_deadline_in_the_past_starts_nothing() {
        assert!(!Deadline::at(SystemTime::UNIX_EPOCH).may_start());
    }
}
