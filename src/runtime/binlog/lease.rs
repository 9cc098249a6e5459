//! One process at a time reads a pipeline's binlog: it holds a lease, a parameter that it renews.
//!
//! SSM numbers the versions of a parameter, so a writer sees from the number whether another one wrote in between
//! (<https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html>).

use std::time::Duration;

use anyhow::{anyhow, bail};
use aws_sdk_ssm::Client;
use aws_sdk_ssm::error::DisplayErrorContext;
use aws_sdk_ssm::types::ParameterType;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::checkpoint::now;
use crate::runtime::log::Line;

/// How long a lease lasts that is not renewed.
const LASTS: Duration = Duration::from_secs(60);
const RENEWED: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Who holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    id: String,
    host: String,
    process: u32,
    /// Microseconds since 1970.
    until: u64,
}

impl Holder {
    fn renewed(&self) -> Self {
        Self {
            until: now() + LASTS.as_micros() as u64,
            ..self.clone()
        }
    }

    /// Whether it is over, or of a process of this machine that is gone.
    fn is_free(&self, host: &str) -> bool {
        let gone = || self.host == host && !std::path::Path::new(&format!("/proc/{}", self.process)).exists();
        self.until < now() || gone()
    }
}

/// A lease that is held.
pub struct Lease {
    client: Client,
    name: String,
    holder: Holder,
    version: i64,
}

impl Lease {
    /// Waits until nobody else holds the lease, and takes it.
    pub async fn take(client: &Client, prefix: &str) -> anyhow::Result<Self> {
        let name = format!("{prefix}lease");
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let holder = Holder {
            id: uuid::Uuid::new_v4().to_string(),
            host,
            process: std::process::id(),
            until: 0,
        };
        let mut said = false;
        loop {
            let (held, version) = read(client, &name).await?;
            if held.as_ref().is_none_or(|held| held.is_free(&holder.host)) {
                let written = write(client, &name, &holder.renewed(), version.is_some()).await?;
                if written == Some(version.unwrap_or_default() + 1) {
                    return Ok(Self {
                        client: client.clone(),
                        name,
                        holder,
                        version: version.unwrap_or_default() + 1,
                    });
                }
            } else if let (false, Some(held)) = (said, held) {
                said = true;
                let detail = format!(
                    "process {} on {} reads the binlog; this one waits",
                    held.process, held.host
                );
                Line::warn("waiting").key(&name).detail(detail).write();
            }
            sleep(LOOK_AGAIN.mul_f64(0.5 + fastrand::f64())).await;
        }
    }

    /// Renews the lease for as long as that works. Gives the reason when it does not.
    pub async fn keep(&mut self) -> anyhow::Error {
        let mut renewed = now();
        loop {
            sleep(RENEWED).await;
            match write(&self.client, &self.name, &self.holder.renewed(), true).await {
                Ok(Some(version)) if version == self.version + 1 => {
                    self.version = version;
                    renewed = now();
                }
                Ok(_) => return anyhow!("another process took the lease {}", self.name),
                Err(error) if now() - renewed > (LASTS - RENEWED).as_micros() as u64 => {
                    return error.context("the lease could not be renewed in time");
                }
                Err(error) => Line::warn("lease").detail(format!("{error:#}")).write(),
            }
        }
    }

    /// Gives it back.
    pub async fn release(self) {
        let _ = self.client.delete_parameter().name(&self.name).send().await;
    }
}

async fn read(client: &Client, name: &str) -> anyhow::Result<(Option<Holder>, Option<i64>)> {
    match client.get_parameter().name(name).send().await {
        Ok(answer) => {
            let parameter = answer.parameter;
            let holder = parameter.as_ref().and_then(|parameter| parameter.value());
            let holder = holder.and_then(|text| serde_json::from_str(text).ok());
            Ok((holder, parameter.map(|parameter| parameter.version)))
        }
        Err(error)
            if error
                .as_service_error()
                .is_some_and(|error| error.is_parameter_not_found()) =>
        {
            Ok((None, None))
        }
        Err(error) => bail!("reading {name}: {}", DisplayErrorContext(&error)),
    }
}

/// Writes the lease and gives its version; `None` when another process made it first.
async fn write(client: &Client, name: &str, holder: &Holder, overwrite: bool) -> anyhow::Result<Option<i64>> {
    let request = client.put_parameter().name(name).overwrite(overwrite);
    let request = request
        .r#type(ParameterType::String)
        .value(serde_json::to_string(holder)?);
    match request.send().await {
        Ok(answer) => Ok(Some(answer.version)),
        Err(error)
            if error
                .as_service_error()
                .is_some_and(|error| error.is_parameter_already_exists()) =>
        {
            Ok(None)
        }
        Err(error) => bail!("writing {name}: {}", DisplayErrorContext(&error)),
    }
}
