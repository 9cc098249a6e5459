//! Statements that Snowflake is running for us, and stopping them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::Inner;

/// Handles of the statements that are not finished.
#[derive(Default)]
pub(super) struct Running(Mutex<HashSet<String>>);

impl Running {
    pub(super) fn handles(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }

    pub(super) fn remove(&self, handle: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(handle);
    }

    fn insert(&self, handle: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(handle.to_owned());
    }
}

/// Lives as long as somebody waits for the statement. Dropped before its end, it has the statement cancelled: a caller
/// that gave up (timeout, another failure, ctrl-c) does not want it to go on unseen.
pub(super) struct Waiting {
    client: Arc<Inner>,
    handle: String,
    finished: bool,
}

impl Waiting {
    pub(super) fn new(client: &Arc<Inner>, handle: &str) -> Self {
        client.running.insert(handle);
        Self {
            client: Arc::clone(client),
            handle: handle.to_owned(),
            finished: false,
        }
    }

    pub(super) fn finish(mut self) {
        self.finished = true;
        self.client.running.remove(&self.handle);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        // The runtime may be shutting down; then `Client::cancel_running` was the chance to do this.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (client, handle) = (Arc::clone(&self.client), std::mem::take(&mut self.handle));
            runtime.spawn(async move {
                let _ = client.cancel(&handle).await;
            });
        }
    }
}
