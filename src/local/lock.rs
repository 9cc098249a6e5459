//! One pipectl at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A held lock; dropping it, or dying, lets it go.
pub(super) struct Lock(#[expect(dead_code, reason = "held, not read")] File);

/// Takes the lock of a file, and says once when somebody else has it.
pub(super) async fn take(file: &Path, waiting_for: &str, progress: &dyn Fn(&str)) -> anyhow::Result<Lock> {
    let unusable = || format!("{} cannot be used as a lock", file.display());
    // The file stays: removing a lock file lets two processes hold "the" lock of two files of one name.
    let handle = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(file)
        .with_context(unusable)?;
    let mut said = false;
    loop {
        match handle.try_lock() {
            Ok(()) => return Ok(Lock(handle)),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error).with_context(unusable),
        }
        if !said {
            progress(&format!("Waiting for another pipectl {waiting_for}"));
            said = true;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
