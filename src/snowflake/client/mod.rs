//! The Snowflake SQL API, version 2.
//!
//! Source: <https://docs.snowflake.com/en/developer-guide/sql-api/reference>. There are no sessions: each request carries
//! its role and warehouse, and one `requestId` that stays the same however often it has to be sent.

pub mod account;
mod auth;
mod encoding;
mod error;
mod hint;
mod key;
mod result;
mod rows;
mod running;
mod secret;
mod statement;
mod transport;
mod workload;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use reqwest::Method;
use serde::Deserialize;
use uuid::Uuid;

pub use account::Account;
pub use auth::Auth;
pub use error::{About, Failure, SnowflakeError, shorten};
pub use key::{KeyError, PrivateKey};
pub use result::{Affected, Column, ResultSet, Row};
pub use rows::{Rows, Values};
pub use secret::Secret;
pub use statement::{Binding, Context, Statement, Transaction, Wait};
pub use transport::Retry;
pub use workload::{Provider, TokenService, TokenSource, Workload};

use running::{Running, Waiting};
use statement::Body;
use transport::{Call, Reply, Transport};

const FIRST_POLL: Duration = Duration::from_millis(20);
const SLOWEST_POLL: Duration = Duration::from_secs(1);
/// Partitions fetched at once.
const PARTITIONS_AT_ONCE: usize = 4;

/// Where the account is, and who asks.
#[derive(Debug, Clone)]
pub struct Config {
    /// The account.
    pub account: Account,
    /// The user; a JWT needs one, a token knows its own.
    pub user: Option<String>,
    /// The proof.
    pub auth: Auth,
    /// Another address than the account's own: the local cloud, or a private link.
    pub base_url: Option<String>,
    /// Role, warehouse, database and schema of statements that name none.
    pub context: Context,
    /// After this time Snowflake stops a statement that sets none itself.
    pub statement_timeout: Duration,
    /// Tries; without a value it depends on whether the server is on this machine.
    pub retry: Option<Retry>,
}

impl Config {
    /// An account and a proof; everything else as usual.
    pub fn new(account: Account, auth: Auth) -> Self {
        Self {
            account,
            user: None,
            auth,
            base_url: None,
            context: Context::default(),
            statement_timeout: Duration::from_secs(15 * 60),
            retry: None,
        }
    }

    /// Whether statements go to an address that does not itself say which account it is.
    pub fn is_elsewhere(&self) -> bool {
        let host = |url: &str| url.trim_start_matches("https://").trim_end_matches('/').to_lowercase();
        self.base_url
            .as_deref()
            .is_some_and(|url| host(url) != self.account.host())
    }
}

/// A client of one account. Clones share the connection, the token and the counter.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    transport: Transport,
    defaults: Context,
    statement_timeout: Duration,
    who: String,
    statements: AtomicU64,
    running: Running,
}

impl Client {
    /// A client; nothing is sent yet.
    pub fn new(config: Config) -> Result<Self, SnowflakeError> {
        let transport = Transport::new(&config)?;
        let user = config.user.as_deref().unwrap_or("the token's user");
        let inner = Inner {
            transport,
            who: format!("{user} of account {}", config.account.as_str()),
            defaults: config.context,
            statement_timeout: config.statement_timeout,
            statements: AtomicU64::new(0),
            running: Running::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs one statement and waits for all of its rows. Dropping the future cancels the statement.
    pub async fn execute(&self, statement: Statement) -> Result<ResultSet, SnowflakeError> {
        let context = statement.context.clone().or(&self.inner.defaults);
        let body = statement.body(&context, self.inner.statement_timeout);
        self.inner.statements.fetch_add(1, Ordering::Relaxed);
        let about = self.inner.about(&statement.sql, &context);
        let answer = self.inner.submit(&body, statement.wait, &about).await?;
        self.inner.complete(answer, &about).await
    }

    /// Runs statements in one transaction: all of them hold, or none. The results are those of the statements, without
    /// `BEGIN` and `COMMIT`.
    pub async fn execute_script(&self, transaction: Transaction) -> Result<Vec<ResultSet>, SnowflakeError> {
        if transaction.statements.is_empty() {
            return Ok(Vec::new());
        }
        let context = transaction.context.clone().or(&self.inner.defaults);
        let body = transaction.body(&context, self.inner.statement_timeout);
        self.inner.statements.fetch_add(1, Ordering::Relaxed);
        let about = self.inner.about(&transaction.statements.join("; "), &context);
        let answer = self.inner.submit(&body, Wait::Polled, &about).await?;
        let handles = answer.statement_handles.unwrap_or_default();
        let Some(own) = handles
            .get(1..handles.len().saturating_sub(1))
            .filter(|own| own.len() == transaction.statements.len())
        else {
            let problem = format!(
                "it has {} handles for {} statements",
                handles.len(),
                transaction.statements.len() + 2
            );
            return Err(SnowflakeError::Unreadable {
                problem,
                handle: handles.into_iter().next().unwrap_or_default(),
            });
        };
        let mut results = Vec::with_capacity(own.len());
        for handle in own {
            let answer = self.inner.wait(handle, &about).await?;
            results.push(self.inner.complete(answer, &about).await?);
        }
        Ok(results)
    }

    /// Refuses another account than the one that is named, by its name in the organisation or by its locator.
    pub async fn guard_account(&self, named: &Account) -> Result<(), SnowflakeError> {
        let asked =
            "SELECT CURRENT_ORGANIZATION_NAME() || '-' || CURRENT_ACCOUNT_NAME() AS NAME, CURRENT_ACCOUNT() AS LOCATOR";
        let answer = self.execute(Statement::quick(asked)).await?;
        let row = answer.iter().next();
        let found = |column| {
            row.as_ref()
                .and_then(|row| row.get(column))
                .unwrap_or_default()
                .to_owned()
        };
        let (name, locator) = (found("NAME"), found("LOCATOR"));
        if named.is_called(&name) || named.is_called(&locator) {
            return Ok(());
        }
        Err(SnowflakeError::Configuration(format!(
            "the Snowflake address is of account {name} ({locator}), the pipeline belongs to {}\n  hint: correct PIPECTL_SNOWFLAKE_URL, SNOWFLAKE_HOST or the host of the connection, or snowflake.account in pipeline.toml",
            named.as_str()
        )))
    }

    /// Statements sent so far, each counted once however often it was tried or polled. A transaction counts as one.
    pub fn statements_sent(&self) -> u64 {
        self.inner.statements.load(Ordering::Relaxed)
    }

    /// Cancels what is still running, for ctrl-c: the runtime is about to end and would take the cancelling with it.
    pub async fn cancel_running(&self) {
        let handles = self.inner.running.handles();
        futures::stream::iter(handles)
            .for_each_concurrent(PARTITIONS_AT_ONCE, |handle| async move {
                let _ = self.inner.cancel(&handle).await;
            })
            .await;
    }
}

/// The answer with HTTP 202.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pending {
    statement_handle: String,
}

/// The parts of an error answer that are used.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Refusal {
    code: String,
    message: String,
    sql_state: Option<String>,
    statement_handle: Option<String>,
}

impl Inner {
    async fn submit(
        self: &Arc<Self>,
        body: &Body,
        wait: Wait,
        about: &About,
    ) -> Result<result::Answer, SnowflakeError> {
        let body = serde_json::to_vec(body)
            .map_err(|error| SnowflakeError::Configuration(format!("the statement cannot be sent: {error}")))?;
        let mut query = vec![("requestId", Uuid::new_v4().to_string())];
        if wait == Wait::Polled {
            query.push(("async", "true".to_owned()));
        }
        let call = Call {
            method: Method::POST,
            path: Vec::new(),
            query,
            body: Some(body),
        };
        let reply = self.transport.send(&call).await?;
        if reply.status != 202 {
            return read_answer(&reply, about);
        }
        let pending: Pending = parse(&reply, "unknown")?;
        self.wait(&pending.statement_handle, about).await
    }

    /// Polls a statement until it has ended.
    async fn wait(self: &Arc<Self>, handle: &str, about: &About) -> Result<result::Answer, SnowflakeError> {
        let waiting = Waiting::new(self, handle);
        let mut pause = FIRST_POLL;
        loop {
            let reply = self
                .transport
                .send(&Call {
                    method: Method::GET,
                    path: vec![handle],
                    query: Vec::new(),
                    body: None,
                })
                .await?;
            if reply.status != 202 {
                waiting.finish();
                return read_answer(&reply, about);
            }
            tokio::time::sleep(pause.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
            pause = pause.mul_f64(1.5).min(SLOWEST_POLL);
        }
    }

    /// Fetches the partitions after the first and puts them in order.
    async fn complete(&self, answer: result::Answer, about: &About) -> Result<ResultSet, SnowflakeError> {
        let handle = answer.handle().to_owned();
        let partitions = futures::stream::iter(answer.further_partitions())
            .map(|number| self.partition(&handle, number, about))
            .buffered(PARTITIONS_AT_ONCE)
            .try_collect()
            .await?;
        answer.finish(partitions)
    }

    async fn partition(&self, handle: &str, number: usize, about: &About) -> Result<result::Partition, SnowflakeError> {
        let query = vec![("partition", number.to_string())];
        let reply = self
            .transport
            .send(&Call {
                method: Method::GET,
                path: vec![handle],
                query,
                body: None,
            })
            .await?;
        if reply.status == 200 {
            parse(&reply, handle)
        } else {
            Err(refused(&reply, about))
        }
    }

    async fn cancel(&self, handle: &str) -> Result<(), SnowflakeError> {
        let call = Call {
            method: Method::POST,
            path: vec![handle, "cancel"],
            query: Vec::new(),
            body: None,
        };
        let outcome = self.transport.send(&call).await;
        self.running.remove(handle);
        outcome.map(|_| ())
    }

    fn about(&self, sql: &str, context: &Context) -> About {
        let fingerprint = match self.transport.auth() {
            Auth::KeyPair(key) => Some(key.fingerprint().to_owned()),
            Auth::AccessToken(_) | Auth::OAuth(_) | Auth::Workload(_) => None,
        };
        About {
            statement: shorten(sql),
            role: context.role.clone(),
            warehouse: context.warehouse.clone(),
            who: self.who.clone(),
            fingerprint,
        }
    }
}

fn read_answer(reply: &Reply, about: &About) -> Result<result::Answer, SnowflakeError> {
    if reply.status == 200 {
        parse(reply, "unknown")
    } else {
        Err(refused(reply, about))
    }
}

fn refused(reply: &Reply, about: &About) -> SnowflakeError {
    // A proxy may answer with a page instead of JSON; its first words are better than nothing.
    let refusal: Refusal = reply.json().unwrap_or_else(|_| Refusal {
        message: shorten(&reply.text()),
        ..Refusal::default()
    });
    let failure = Box::new(Failure {
        status: reply.status,
        code: refusal.code,
        sql_state: refusal.sql_state.filter(|state| !state.is_empty()),
        message: refusal.message,
        handle: refusal.statement_handle.filter(|handle| !handle.is_empty()),
        about: about.clone(),
    });
    match reply.status {
        422 | 408 => SnowflakeError::Statement(failure),
        401 | 403 => SnowflakeError::SignIn(failure),
        _ => SnowflakeError::Unexpected(failure),
    }
}

fn parse<T: serde::de::DeserializeOwned>(reply: &Reply, handle: &str) -> Result<T, SnowflakeError> {
    reply.json().map_err(|error| SnowflakeError::Unreadable {
        problem: error.to_string(),
        handle: handle.to_owned(),
    })
}
