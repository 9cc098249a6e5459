//! The messages of a batch, a few at a time, each on its own.

use std::collections::HashMap;

use futures::StreamExt;
use tokio::time::timeout_at;

use crate::runtime::deadline::Deadline;
use crate::runtime::log::Line;
use crate::runtime::sqs::Message;

/// Messages at a time. Each may hold two parts of an upload in memory.
const PARALLEL: usize = 8;

/// Why a message must come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// No time was left to start it.
    Deferred,
    /// Its work failed, panicked, or took too long.
    Failed,
}

/// Does `work` for every message and says which of them must come again, by their ids.
///
/// Every message is its own task, so that a panic ends one message and is seen, not lost.
pub async fn run<W, F>(messages: Vec<Message>, deadline: Deadline, work: W) -> HashMap<String, Left>
where
    W: Fn(Message) -> F,
    F: Future<Output = bool> + Send + 'static,
{
    futures::stream::iter(messages)
        .map(|message| {
            let id = message.message_id.clone();
            // Lazily: a message that waits for its turn has not begun.
            let begin = || work(message);
            async { Some((one(&id, deadline, begin).await?, id)) }
        })
        .buffer_unordered(PARALLEL)
        .filter_map(std::future::ready)
        .map(|(left, id)| (id, left))
        .collect()
        .await
}

async fn one<F>(id: &str, deadline: Deadline, begin: impl FnOnce() -> F) -> Option<Left>
where
    F: Future<Output = bool> + Send + 'static,
{
    if !deadline.may_start() {
        Line::warn("deferred")
            .message(id)
            .detail("too little time is left; the message comes again")
            .write();
        return Some(Left::Deferred);
    }
    let mut task = tokio::spawn(begin());
    match timeout_at(deadline.cut_off, &mut task).await {
        Ok(Ok(done)) => (!done).then_some(Left::Failed),
        Ok(Err(error)) => {
            Line::error("panicked")
                .message(id)
                .detail(format!("{error}; the message comes again"))
                .write();
            Some(Left::Failed)
        }
        Err(_) => {
            task.abort();
            // Until the task is gone its uploads are not aborted.
            let _ = task.await;
            Line::error("timed out")
                .message(id)
                .detail("the function's time limit is near; the message comes again")
                .write();
            Some(Left::Failed)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    fn messages(names: &[&str]) -> Vec<Message> {
        names
            .iter()
            .map(|name| Message {
                message_id: (*name).to_owned(),
                receipt_handle: String::new(),
                body: String::new(),
                attributes: Default::default(),
            })
            .collect()
    }

    fn sorted(left: &HashMap<String, Left>) -> Vec<(&str, Left)> {
        let mut all: Vec<_> = left.iter().map(|(id, why)| (id.as_str(), *why)).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    #[tokio::test]
    async fn a_panic_fails_its_message_only() {
        let deadline = Deadline::within(Duration::from_secs(60));
        let left = run(messages(&["good", "panics", "bad"]), deadline, |message| async move {
            assert_ne!(message.message_id, "panics", "on purpose");
            message.message_id == "good"
        });
        assert_eq!(sorted(&left.await), [("bad", Left::Failed), ("panics", Left::Failed)]);
    }

    #[tokio::test]
    async fn what_cannot_start_or_end_in_time_comes_again() {
        let none = run(messages(&["a", "b"]), Deadline::within(Duration::ZERO), |_| async {
            true
        });
        assert_eq!(sorted(&none.await), [("a", Left::Deferred), ("b", Left::Deferred)]);
        let short = run(
            messages(&["slow", "quick"]),
            Deadline::within(Duration::from_millis(300)),
            |message| async move {
                if message.message_id == "slow" {
                    std::future::pending::<()>().await;
                }
                true
            },
        );
        assert_eq!(sorted(&short.await), [("slow", Left::Failed)]);
    }

    #[tokio::test]
    async fn only_a_few_run_at_a_time() {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let ids: Vec<String> = (0..40).map(|index| index.to_string()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        run(messages(&ids), Deadline::within(Duration::from_secs(60)), |_| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                true
            }
        })
        .await;
        assert_eq!(most.load(Ordering::SeqCst), PARALLEL);
    }
}
