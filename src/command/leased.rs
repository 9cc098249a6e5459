//! Work that only one run may do at a time: under the lease, stopped by Ctrl-C, and the lease given back however it ends.

use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use super::context::{Clouds, Failure};
use crate::apply::Stops;
use crate::aws::lease::Lease;
use crate::model::names::Names;
use crate::report::progress;

/// How long another run is waited for.
#[derive(Debug, Args)]
pub struct Wait {
    /// Wait so long for another run that is changing the pipeline; 0 does not wait
    #[arg(long = "wait", value_name = "SECONDS", default_value_t = 0)]
    seconds: u32,
}

impl Wait {
    /// The time.
    pub fn time(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }
}

/// Takes the lease, waiting as long as `wait` says, does the work, and gives the lease back.
pub async fn leased<T>(
    names: &Names,
    clouds: &Clouds,
    wait: Duration,
    work: impl AsyncFnOnce(Stops) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let taken = Lease::take(&clouds.aws, names, &clouds.identity, wait, &progress::say);
    let lease = unless_interrupted(async { Ok(taken.await?) }).await?;
    let stops = Stops {
        lost: lease.lost(),
        ..Stops::default()
    };
    let interrupted = stops.interrupted.clone();
    let watcher = on_signal(move || interrupted.cancel());
    let answer = work(stops.clone()).await;
    watcher.abort();
    if stops.lost.is_cancelled() {
        progress::say(&format!(
            "The lease of {} was lost: somebody removed it (`pipectl unlock`), or AWS did not answer in time. What was \
             running came to its end; nothing new was started.",
            names.mark()
        ));
    }
    if let Err(error) = lease.release().await {
        // The work counts; a lease that stays ends by itself.
        progress::say(&format!(
            "The lease could not be given back and ends by itself: {error:#}"
        ));
    }
    answer
}

/// Does what changes nothing yet, under the lease: Ctrl-C ends it at once.
pub async fn or_interrupted<T, E: Into<Failure>>(
    stops: &Stops,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    tokio::select! {
        () = stops.interrupted.cancelled() => Err(Failure::Interrupted),
        answer = work => answer.map_err(Into::into),
    }
}

/// Does what changes nothing, without a lease: Ctrl-C ends it at once.
pub async fn unless_interrupted<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::select! {
        () = signalled() => Err(Failure::Interrupted),
        answer = work => answer,
    }
}

/// Does this when [`signalled`] ends, unless it is aborted before.
pub fn on_signal(act: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let signalled = signalled();
    tokio::spawn(async move {
        signalled.await;
        act();
    })
}

/// Ends on Ctrl-C or when the process is told to terminate. From the call on neither ends the process by itself.
pub fn signalled() -> impl Future<Output = ()> + Send + 'static {
    let [interrupt, terminate] = [SignalKind::interrupt(), SignalKind::terminate()].map(|kind| signal(kind).ok());
    async move {
        tokio::select! {
            () = heard(interrupt) => {}
            () = heard(terminate) => {}
        }
    }
}

/// Ends when the signal comes; never where it cannot be listened to.
async fn heard(signal: Option<Signal>) {
    match signal {
        Some(mut signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
