//! One run at a time changes a pipeline: it holds a lease, a parameter in Systems Manager beside the manifest.
//!
//! A holder renews its lease as long as it runs. One that was killed does not: its lease ends after a few minutes, and at
//! once for a run on the same machine, which sees that the process is gone. A run that loses its lease (`pipectl unlock`,
//! or it could not renew) starts no further step.

mod log;
mod process;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Aws;
use crate::model::names::Names;
pub use log::Held;
use log::Log;
use process::{Process, host};

/// How long a lease lasts that is not renewed.
const LASTS: Duration = Duration::from_secs(300);
/// Renewals while it lasts: a few may fail before it ends.
const RENEWALS: u32 = 5;
/// Longest pause between two looks at somebody else's lease.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The run, unique.
    pub id: String,
    /// ARN of who runs it.
    pub holder: String,
    /// The machine.
    pub host: String,
    /// The process there.
    #[serde(flatten)]
    process: Process,
    /// When it took the lease, by its own clock.
    pub since: String,
    /// When the lease ends unless it is renewed, by its own clock; AWS's clock decides.
    expires: String,
    /// How many seconds it lasts after each renewal.
    seconds: u64,
}

impl Holder {
    fn this(identity: &str) -> Self {
        Holder {
            id: uuid::Uuid::new_v4().to_string(),
            holder: identity.to_owned(),
            host: host(),
            process: Process::this(),
            since: written(now()),
            expires: String::new(),
            seconds: lasts().as_secs(),
        }
    }

    /// The same from now on.
    fn renewed(&self) -> Self {
        let expires = now().secs() + i64::try_from(self.seconds).unwrap_or(0);
        Holder {
            expires: written(DateTime::from_secs(expires)),
            ..self.clone()
        }
    }
}

/// `PIPECTL_LEASE_SECONDS` is for tests, which cannot wait for minutes.
fn lasts() -> Duration {
    let told = std::env::var("PIPECTL_LEASE_SECONDS").ok();
    let told = told
        .and_then(|seconds| seconds.parse().ok())
        .filter(|seconds| *seconds > 0);
    told.map_or(LASTS, Duration::from_secs)
}

fn now() -> DateTime {
    DateTime::from_secs(DateTime::from(std::time::SystemTime::now()).secs())
}

/// As in `2026-11-21T05:44:50Z`.
fn written(time: DateTime) -> String {
    time.fmt(Format::DateTime).unwrap_or_default()
}

impl Held {
    /// Whether anybody may take it over.
    fn has_ended(&self) -> bool {
        self.age >= Duration::from_secs(self.holder.seconds) || self.holder.process.has_ended()
    }

    /// Who holds it, where, since when and until when.
    pub fn said(&self) -> String {
        let Holder {
            holder,
            host,
            since,
            process,
            ..
        } = &self.holder;
        format!(
            "{holder} on {host} (process {}) since {since}, until {} unless it renews",
            process.pid,
            written(self.until)
        )
    }
}

/// The lease as somebody holds it; `None` when it is free.
pub async fn held(aws: &Aws, names: &Names) -> anyhow::Result<Option<Held>> {
    Ok(log::read(aws, &names.lease_parameter()).await?.held)
}

/// Removes the lease of `holder`, also of one that is still at work. `false` when it is another's by now.
pub async fn remove(aws: &Aws, names: &Names, holder: &Holder) -> anyhow::Result<bool> {
    let same = held(aws, names).await?.is_some_and(|held| held.holder.id == holder.id);
    if same {
        log::delete(aws, &names.lease_parameter()).await?;
    }
    Ok(same)
}

/// A lease that is held, and renewed in the background.
pub struct Lease {
    aws: Aws,
    name: String,
    keeper: JoinHandle<()>,
    kept: Arc<Kept>,
}

/// What the keeper and the run share.
struct Kept {
    holder: Holder,
    lost: CancellationToken,
}

impl Lease {
    /// Takes the lease for `identity`; waits for another holder as long as `wait`.
    pub async fn take(
        aws: &Aws,
        names: &Names,
        identity: &str,
        wait: Duration,
        say: &(dyn Fn(&str) + Send + Sync),
    ) -> anyhow::Result<Lease> {
        let name = names.lease_parameter();
        let holder = Holder::this(identity);
        let started = Instant::now();
        let mut said = String::new();
        loop {
            match attempt(aws, &name, &holder).await? {
                Attempt::Taken => break,
                Attempt::Lost => {}
                Attempt::Held(held) if started.elapsed() >= wait => {
                    let hint = if wait.is_zero() {
                        "wait for it with `--wait SECONDS`; if that run is dead, `pipectl unlock` removes its lease"
                    } else {
                        "if that run is dead, `pipectl unlock` removes its lease"
                    };
                    bail!(
                        "another run is changing {}: {}\n  hint: {hint}",
                        names.mark(),
                        held.said()
                    );
                }
                Attempt::Held(held) => {
                    if said != held.holder.id {
                        say(&format!("Waiting for another run: {}", held.said()));
                        said = held.holder.id;
                    }
                    let left = wait.saturating_sub(started.elapsed());
                    tokio::time::sleep(LOOK_AGAIN.min(lasts() / RENEWALS).min(left)).await;
                }
            }
        }
        let kept = Arc::new(Kept {
            holder,
            lost: CancellationToken::new(),
        });
        let keeper = tokio::spawn(keep(aws.clone(), name.clone(), kept.clone()));
        Ok(Lease {
            aws: aws.clone(),
            name,
            keeper,
            kept,
        })
    }

    /// Is cancelled when the lease is lost.
    pub fn lost(&self) -> CancellationToken {
        self.kept.lost.clone()
    }

    /// Gives the lease back, unless it was lost.
    pub async fn release(self) -> anyhow::Result<()> {
        self.keeper.abort();
        // A renewal that is cut off may still arrive; the one here comes after it, or finds its entry.
        let _ = self.keeper.await;
        if self.kept.lost.is_cancelled() {
            return Ok(());
        }
        let Log {
            held: Some(held),
            last: Some(last),
        } = log::read(&self.aws, &self.name).await?
        else {
            return Ok(());
        };
        let holder = &self.kept.holder;
        if held.holder.id != holder.id {
            return Ok(());
        }
        // Nobody takes it over before it is deleted: it is young, or made so.
        let is_young = held.age < lasts() / 2;
        if is_young || log::append(&self.aws, &self.name, &holder.renewed(), &last).await? {
            log::delete(&self.aws, &self.name).await?;
        }
        Ok(())
    }
}

/// What came of one attempt to take the lease.
enum Attempt {
    /// It is ours.
    Taken,
    /// Another one was faster; who holds it is to be seen.
    Lost,
    /// Somebody holds it.
    Held(Box<Held>),
}

async fn attempt(aws: &Aws, name: &str, holder: &Holder) -> anyhow::Result<Attempt> {
    let holder = holder.renewed();
    if log::create(aws, name, &holder).await? {
        return Ok(Attempt::Taken);
    }
    let Log { held, last: Some(last) } = log::read(aws, name).await? else {
        return Ok(Attempt::Lost);
    };
    match held {
        // The answer to our own request was lost, and it was sent again.
        Some(held) if held.holder.id == holder.id => Ok(Attempt::Taken),
        Some(held) if !held.has_ended() => Ok(Attempt::Held(Box::new(held))),
        _ if log::append(aws, name, &holder, &last).await? => Ok(Attempt::Taken),
        _ => Ok(Attempt::Lost),
    }
}

/// Renews the lease until it is lost.
async fn keep(aws: Aws, name: String, kept: Arc<Kept>) {
    let lasts = Duration::from_secs(kept.holder.seconds);
    // From before the request that wrote it, so that it ends here before it ends for the others.
    let mut written = Instant::now();
    loop {
        tokio::time::sleep(lasts / RENEWALS).await;
        let started = Instant::now();
        // What AWS does not answer now it may answer the next time; but not after the lease has ended.
        let left = lasts.saturating_sub(written.elapsed());
        match tokio::time::timeout(left, renew(&aws, &name, &kept)).await {
            Ok(Ok(true)) => written = started,
            Ok(Ok(false)) => break,
            Ok(Err(_)) if written.elapsed() < lasts => {}
            Ok(Err(_)) | Err(_) => break,
        }
    }
    kept.lost.cancel();
}

/// Writes that the lease is held from now on; `false` when it is another's, or nobody's.
async fn renew(aws: &Aws, name: &str, kept: &Kept) -> anyhow::Result<bool> {
    let log = log::read(aws, name).await?;
    let is_ours = log.held.is_some_and(|held| held.holder.id == kept.holder.id);
    match log.last.filter(|_| is_ours) {
        Some(last) => log::append(aws, name, &kept.holder.renewed(), &last).await,
        None => Ok(false),
    }
}
