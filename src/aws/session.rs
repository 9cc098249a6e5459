//! The one place that configures AWS.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_sdk_sts::config::{Credentials, HttpClient, RuntimeComponents, SharedCredentialsProvider, SharedHttpClient};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::retry::{RetryConfig, RetrySpec};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(120);
/// CloudFormation throttles per account: ten tries wait for a minute on average, so a busy account slows a deploy down and
/// does not end it.
const ATTEMPTS: u32 = 10;

/// Which AWS is meant.
#[derive(Debug, Clone, Default)]
pub struct AwsTarget {
    /// Region; without one the chain of every AWS tool decides (`AWS_REGION`, the profile).
    pub region: Option<String>,
    /// Profile; without one `AWS_PROFILE`, then `default`.
    pub profile: Option<String>,
    /// The local cloud instead of AWS.
    pub local: Option<LocalAws>,
    /// Counts the requests of every session made for this target.
    pub calls: CallCounter,
}

/// The AWS part of the local cloud.
#[derive(Clone)]
pub struct LocalAws {
    /// Address, on this machine.
    pub url: String,
    /// Access key.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
}

impl std::fmt::Debug for LocalAws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalAws")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// Number of HTTP requests sent to AWS, retries and sign-in included. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct CallCounter(Arc<AtomicU64>);

impl CallCounter {
    /// Requests so far.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The configuration that every AWS client of pipectl is made from.
pub async fn session(target: &AwsTarget) -> SdkConfig {
    match &target.local {
        Some(local) => local_session(target, local),
        None => chain(target).load().await,
    }
}

/// Nothing of the user's environment or profiles counts here: `--env local` must not find a way to a real account.
fn local_session(target: &AwsTarget, local: &LocalAws) -> SdkConfig {
    let credentials = Credentials::new(
        &local.access_key_id,
        &local.secret_access_key,
        None,
        None,
        "pipectl local cloud",
    );
    let plain = aws_smithy_http_client::Builder::new().build_http();
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(&local.url)
        .region(Region::new(
            target.region.clone().unwrap_or_else(|| "us-east-1".to_owned()),
        ))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(counted(plain, &target.calls))
        .retry_config(retries())
        .timeout_config(timeouts())
        .sleep_impl(aws_smithy_async::rt::sleep::SharedAsyncSleep::new(
            aws_smithy_async::rt::sleep::TokioSleep::new(),
        ))
        .time_source(aws_smithy_async::time::SystemTimeSource::new())
        .build()
}

/// The chain of every AWS tool: environment, profiles with SSO and assumed roles, web identity, containers, instances
/// (<https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html>). SSO and STS send requests of their
/// own, so the loader itself gets the HTTP client.
fn chain(target: &AwsTarget) -> ConfigLoader {
    let ring = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
    let https = aws_smithy_http_client::Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = aws_smithy_http_client::Connector::builder()
            .tls_provider(ring.clone())
            .proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.build()
    });
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(counted(https, &target.calls))
        .retry_config(retries())
        .timeout_config(timeouts());
    if let Some(region) = &target.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = &target.profile {
        loader = loader.profile_name(profile);
    }
    loader
}

/// The standard mode: the adaptive one slows every call of a service after a single throttled one, most of all
/// at the start of a run: 20 s for what takes two. What is not throttling is tried again sooner, as all SDKs
/// are about to do: <https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html>.
fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(ATTEMPTS)
        .with_retry_spec(RetrySpec::v2_1())
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build()
}

fn counted(client: SharedHttpClient, calls: &CallCounter) -> SharedHttpClient {
    SharedHttpClient::new(Counted {
        inner: client,
        calls: calls.clone(),
    })
}

/// Counts at the HTTP client, because a configuration shared by all services can carry a client but no interceptor.
#[derive(Debug)]
struct Counted<T> {
    inner: T,
    calls: CallCounter,
}

impl HttpClient for Counted<SharedHttpClient> {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Counted {
            inner,
            calls: self.calls.clone(),
        })
    }
}

impl HttpConnector for Counted<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.calls.0.fetch_add(1, Ordering::Relaxed);
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_sts::config::StalledStreamProtectionConfig;
    use aws_smithy_async::rt::sleep::{AsyncSleep, Sleep};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    const IDENTITY: &str = "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>000000000000</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";
    const THROTTLED: &str = "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code></Error></ErrorResponse>";

    /// Throttles so many requests, then answers every one with one caller identity.
    async fn sts(mut throttled: usize) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 8192];
                let _ = stream.read(&mut request).await;
                let (status, body) = match throttled {
                    0 => ("200 OK", IDENTITY),
                    _ => ("400 Bad Request", THROTTLED),
                };
                throttled = throttled.saturating_sub(1);
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        url
    }

    #[tokio::test]
    async fn local_session_calls_the_endpoint_and_counts() {
        let local = LocalAws {
            url: sts(0).await,
            access_key_id: "000000000000".into(),
            secret_access_key: "hunter2".into(),
        };
        let target = AwsTarget {
            local: Some(local),
            region: Some("eu-west-1".into()),
            ..AwsTarget::default()
        };
        assert!(!format!("{target:?}").contains("hunter2"));
        let config = session(&target).await;
        assert_eq!(config.region().unwrap().as_ref(), "eu-west-1");
        let client = aws_sdk_sts::Client::new(&config);
        for expected in 1..=2 {
            assert_eq!(
                client.get_caller_identity().send().await.unwrap().account(),
                Some("000000000000")
            );
            assert_eq!(target.calls.count(), expected);
        }
    }

    /// Counts the pauses instead of making them.
    #[derive(Debug, Default, Clone)]
    struct Pauses(Arc<AtomicU64>);

    impl AsyncSleep for Pauses {
        fn sleep(&self, _: Duration) -> Sleep {
            self.0.fetch_add(1, Ordering::Relaxed);
            Sleep::new(std::future::ready(()))
        }
    }

    #[tokio::test]
    async fn a_throttled_call_does_not_slow_the_next_ones_down() {
        let target = AwsTarget {
            region: Some("eu-west-1".into()),
            ..AwsTarget::default()
        };
        let pauses = Pauses::default();
        let config = aws_sdk_sts::config::Builder::from(&session(&target).await)
            .endpoint_url(sts(1).await)
            .credentials_provider(Credentials::new("k", "s", None, None, "test"))
            .timeout_config(TimeoutConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .sleep_impl(pauses.clone());
        let client = aws_sdk_sts::Client::from_conf(config.build());
        for _ in 0..20 {
            client.get_caller_identity().send().await.unwrap();
        }
        assert_eq!(target.calls.count(), 21);
        // The time limit of each connection, and one pause before the second try.
        assert_eq!(pauses.0.load(Ordering::Relaxed), 21 + 1);
    }

    #[tokio::test]
    async fn the_chain_has_region_retries_timeouts_and_client() {
        let config = session(&AwsTarget {
            region: Some("eu-central-1".into()),
            ..AwsTarget::default()
        })
        .await;
        assert_eq!(config.region().unwrap().as_ref(), "eu-central-1");
        assert_eq!(
            config.timeout_config().unwrap().connect_timeout(),
            Some(CONNECT_TIMEOUT)
        );
        assert_eq!(config.retry_config().unwrap().max_attempts(), ATTEMPTS);
        assert!(config.http_client().is_some() && config.credentials_provider().is_some());
    }

    #[tokio::test]
    async fn https_is_compiled_in() {
        // The server speaks no TLS: reaching it and failing there shows that the client does.
        let url = sts(0).await.replace("http://", "https://");
        let config = session(&AwsTarget {
            region: Some("eu-west-1".into()),
            ..AwsTarget::default()
        })
        .await;
        let credentials = Credentials::new("k", "s", None, None, "test");
        let config = aws_sdk_sts::config::Builder::from(&config)
            .endpoint_url(url)
            .credentials_provider(credentials)
            .retry_config(RetryConfig::disabled());
        let error = aws_sdk_sts::Client::from_conf(config.build())
            .get_caller_identity()
            .send()
            .await
            .unwrap_err();
        let shown = aws_sdk_sts::error::DisplayErrorContext(&error).to_string();
        assert!(
            shown.contains("InvalidContentType") || shown.contains("corrupt message"),
            "{shown}"
        );
    }

    /// For checking by hand which ways of signing in are compiled in: set the environment and look.
    #[tokio::test]
    #[ignore = "depends on the environment"]
    async fn credentials_of_the_environment() {
        use aws_sdk_sts::config::ProvideCredentials as _;

        let target = AwsTarget {
            region: Some("eu-west-1".into()),
            ..AwsTarget::default()
        };
        let config = session(&target).await;
        match config.credentials_provider().unwrap().provide_credentials().await {
            Ok(found) => println!("found {} with {} requests", found.access_key_id(), target.calls.count()),
            Err(error) => panic!("{}", aws_sdk_sts::error::DisplayErrorContext(&error)),
        }
    }
}
