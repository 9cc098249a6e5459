//! AWS clients, with one HTTP client for all.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use super::settings::Settings;

/// Credentials, region and endpoint the way every AWS tool takes them.
///
/// The crates' default HTTPS clients are switched off to keep one TLS stack (ring), so the client is named here. It
/// also speaks plain HTTP, which the local cloud on loopback needs; the scheme comes from the endpoint.
pub async fn load() -> SdkConfig {
    let http = Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    // A download that waits while we upload is not stalled. Reads have their own time limit (`copy::convert`).
    let stalled = StalledStreamProtectionConfig::enabled().download_enabled(false).build();
    let mut loader = aws_config::from_env();
    // A function always has its role's credentials there; what else could have them need not be made ready.
    if std::env::var_os("AWS_LAMBDA_FUNCTION_NAME").is_some() {
        loader = loader
            .credentials_provider(EnvironmentVariableCredentialsProvider::new())
            .region(EnvironmentVariableRegionProvider::new());
    }
    loader
        .http_client(http)
        .retry_config(RetryConfig::standard().with_max_attempts(5))
        .timeout_config(TimeoutConfig::builder().connect_timeout(Duration::from_secs(5)).build())
        .stalled_stream_protection(stalled)
        .load()
        .await
}

/// What makes an S3 client. With an endpoint of its own (the local cloud) buckets are in the path, for want of DNS names.
pub fn s3(config: &SdkConfig, settings: &Settings) -> impl FnOnce() -> aws_sdk_s3::Client + Send + 'static {
    let own_endpoint = config.endpoint_url().is_some() || settings.optional("AWS_ENDPOINT_URL_S3").is_some();
    let config = config.clone();
    move || {
        let builder = aws_sdk_s3::config::Builder::from(&config).force_path_style(own_endpoint);
        aws_sdk_s3::Client::from_conf(builder.build())
    }
}
