//! The lease's parameter as a log with compare-and-swap.
//!
//! Parameter Store has one atomic test: PutParameter without Overwrite creates or fails. Overwriting tests nothing, but
//! it numbers the versions and keeps the last hundred (<https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-versions.html>).
//! So each entry names the version it was written after, and counts only when that is the version right before it. Of two
//! that take over the same dead lease, the second finds another number than it expected: it has lost, and its entry is
//! void for every reader.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_ssm::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_ssm::operation::get_parameter::{GetParameterError, GetParameterOutput};
use aws_sdk_ssm::types::ParameterType;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::date_time::Format;
use serde::{Deserialize, Serialize};

use super::Holder;
use crate::aws::Aws;
use crate::aws::failure::explain;

/// What stands in one version of the parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Who holds the lease from this version on.
    #[serde(flatten)]
    pub holder: Holder,
    /// What it was written after; nothing for the entry that created the parameter.
    after: Option<Place>,
}

/// A version, and whose entry stands in it: numbers start again when the parameter is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    version: i64,
    id: String,
}

/// The log as it is.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// The last entry that counts, where there is one.
    pub held: Option<Held>,
    /// The last version, after which the next entry is written; nothing where there is no parameter.
    pub last: Option<Place>,
}

/// The entry that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Who holds the lease.
    pub holder: Holder,
    /// How long ago it was written, both times told by AWS.
    pub age: Duration,
    /// When it ends, told by AWS.
    pub until: DateTime,
}

/// Versions that Parameter Store keeps.
const MOST_VOID: usize = 100;

/// Reads the log.
pub async fn read(aws: &Aws, name: &str) -> anyhow::Result<Log> {
    let Some(last) = version(aws, name, None).await? else {
        return Ok(Log::default());
    };
    let place = last.place();
    let mut entry = last;
    for _ in 0..MOST_VOID {
        let before = match entry.version {
            ..=1 => None,
            number => version(aws, name, Some(number - 1)).await?,
        };
        let counts = match &entry.entry.after {
            None => entry.version == 1,
            Some(after) => before.as_ref().is_some_and(|before| before.place() == *after),
        };
        match before {
            _ if counts => {
                return Ok(Log {
                    held: Some(entry.held()),
                    last: Some(place),
                });
            }
            Some(before) => entry = before,
            None => break,
        }
    }
    Ok(Log {
        held: None,
        last: Some(place),
    })
}

/// Creates the parameter; `false` when there is one.
pub async fn create(aws: &Aws, name: &str, holder: &Holder) -> anyhow::Result<bool> {
    let entry = Entry {
        holder: holder.clone(),
        after: None,
    };
    let put = aws
        .ssm
        .put_parameter()
        .name(name)
        .value(serde_json::to_string(&entry)?)
        .r#type(ParameterType::String)
        .overwrite(false);
    match put.send().await {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some("ParameterAlreadyExists") => Ok(false),
        Err(error) => Err(explain("ssm:PutParameter of the lease", error)),
    }
}

/// Writes an entry after `last`; `false` when another one was there first.
pub async fn append(aws: &Aws, name: &str, holder: &Holder, last: &Place) -> anyhow::Result<bool> {
    let entry = Entry {
        holder: holder.clone(),
        after: Some(last.clone()),
    };
    let put = aws
        .ssm
        .put_parameter()
        .name(name)
        .value(serde_json::to_string(&entry)?)
        .r#type(ParameterType::String)
        .overwrite(true);
    let answer = put
        .send()
        .await
        .map_err(|error| explain("ssm:PutParameter of the lease", error))?;
    if answer.version() == last.version + 1 {
        return Ok(true);
    }
    // A request whose answer was lost is sent again, and finds its own entry.
    let found = read(aws, name).await?.held;
    Ok(found.is_some_and(|held| held.holder.id == holder.id))
}

/// Deletes the parameter.
pub async fn delete(aws: &Aws, name: &str) -> anyhow::Result<()> {
    match aws.ssm.delete_parameter().name(name).send().await {
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some("ParameterNotFound") => Ok(()),
        Err(error) => Err(explain("ssm:DeleteParameter of the lease", error)),
    }
}

/// One version as it was read.
struct Version {
    version: i64,
    entry: Entry,
    written: DateTime,
    age: Duration,
}

impl Version {
    fn place(&self) -> Place {
        Place {
            version: self.version,
            id: self.entry.holder.id.clone(),
        }
    }

    fn held(self) -> Held {
        let until = DateTime::from_secs(self.written.secs() + i64::try_from(self.entry.holder.seconds).unwrap_or(0));
        Held {
            holder: self.entry.holder,
            age: self.age,
            until,
        }
    }
}

async fn version(aws: &Aws, name: &str, number: Option<i64>) -> anyhow::Result<Option<Version>> {
    let clock = AwsClock::default();
    let selected = number.map_or_else(|| name.to_owned(), |number| format!("{name}:{number}"));
    let request = aws.ssm.get_parameter().name(selected).customize();
    let answer = request.interceptor(clock.clone()).send().await;
    if is_missing(&answer) {
        return Ok(None);
    }
    let answer = answer.map_err(|error| explain("ssm:GetParameter of the lease", error))?;
    let Some(parameter) = answer.parameter() else {
        return Ok(None);
    };
    let entry = serde_json::from_str(parameter.value().unwrap_or_default()).map_err(|_| {
        anyhow::anyhow!("{name} holds no lease of pipectl\n  hint: delete that parameter if nobody else needs it")
    })?;
    let written = parameter.last_modified_date().copied().unwrap_or_else(now);
    let age = clock.told().unwrap_or_else(now).as_secs_f64() - written.as_secs_f64();
    Ok(Some(Version {
        version: parameter.version(),
        entry,
        written,
        age: Duration::from_secs_f64(age.max(0.0)),
    }))
}

fn is_missing(answer: &Result<GetParameterOutput, SdkError<GetParameterError>>) -> bool {
    let code = answer.as_ref().err().and_then(ProvideErrorMetadata::code);
    matches!(code, Some("ParameterNotFound" | "ParameterVersionNotFound"))
}

fn now() -> DateTime {
    std::time::SystemTime::now().into()
}

/// The time in the Date header of the answer, so that no clock but that of AWS decides whether a lease has ended.
#[derive(Debug, Clone, Default)]
struct AwsClock(Arc<Mutex<Option<DateTime>>>);

impl AwsClock {
    fn told(&self) -> Option<DateTime> {
        *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[dyn_dispatch_hint]
impl Intercept for AwsClock {
    fn name(&self) -> &'static str {
        "AwsClock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let told = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
        *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = told;
        Ok(())
    }
}
