//! A local S3 and IAM for one test: ministack on a free port, gone when the test ends.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Credentials;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};

pub const RAW: &str = "raw-bucket";
pub const CURATED: &str = "curated-bucket";
/// ministack's account root: an access key that is the account's number.
pub const ROOT: (&str, &str) = ("000000000000", "test");

pub struct Cloud {
    process: Child,
    pub endpoint: String,
    pub s3: Client,
    _home: tempfile::TempDir,
}

impl Cloud {
    /// Starts the cloud with two versioned, empty buckets.
    pub async fn start(auth: bool) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let home = tempfile::tempdir().unwrap();
        let python = std::env::var("PIPECTL_TEST_PYTHON")
            .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/.venv/bin/python").into());
        let log = std::fs::File::create(home.path().join("log")).unwrap();
        let process = Command::new(python)
            .args(["-m", "ministack"])
            .current_dir(home.path())
            .envs([
                ("BIND_HOST", "127.0.0.1"),
                ("MINISTACK_HOST", "127.0.0.1"),
                ("DOCKER_HOST", "unix:///nonexistent"),
            ])
            .envs([("GATEWAY_PORT", port.to_string()), ("AUTH", auth.to_string())])
            .env("TMPDIR", home.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect(
                "scripts/setup.sh makes .venv with ministack; PIPECTL_TEST_PYTHON names another Python that has it",
            );
        let endpoint = format!("http://127.0.0.1:{port}");
        let s3 = Client::new(&config(&endpoint).await);
        let s3 = Client::from_conf(s3.config().to_builder().force_path_style(true).build());
        let cloud = Self {
            process,
            endpoint,
            s3,
            _home: home,
        };
        cloud.wait().await;
        for bucket in [RAW, CURATED] {
            cloud.s3.create_bucket().bucket(bucket).send().await.unwrap();
            let enabled = VersioningConfiguration::builder()
                .status(BucketVersioningStatus::Enabled)
                .build();
            cloud
                .s3
                .put_bucket_versioning()
                .bucket(bucket)
                .versioning_configuration(enabled)
                .send()
                .await
                .unwrap();
        }
        cloud
    }

    async fn wait(&self) {
        for _ in 0..300 {
            if self.s3.list_buckets().send().await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("ministack does not answer");
    }

    pub async fn put(&self, key: &str, bytes: impl Into<Vec<u8>>) {
        self.s3
            .put_object()
            .bucket(RAW)
            .key(key)
            .body(ByteStream::from(bytes.into()))
            .send()
            .await
            .unwrap();
    }

    pub async fn get(&self, bucket: &str, key: &str) -> Vec<u8> {
        let found = self.s3.get_object().bucket(bucket).key(key).send().await;
        found
            .unwrap_or_else(|error| panic!("{key}: {error:?}"))
            .body
            .collect()
            .await
            .unwrap()
            .to_vec()
    }

    /// Every version of every object in the curated bucket: key and etag, so that writing the same again shows.
    pub async fn curated(&self) -> Vec<(String, String)> {
        let found = self.s3.list_object_versions().bucket(CURATED).send().await.unwrap();
        assert!(found.delete_markers().is_empty());
        let mut all: Vec<_> = found
            .versions()
            .iter()
            .map(|version| (version.key().unwrap().to_owned(), version.e_tag().unwrap().to_owned()))
            .collect();
        all.sort();
        all
    }

    pub async fn keys(&self) -> Vec<String> {
        self.curated().await.into_iter().map(|(key, _)| key).collect()
    }

    /// Uploads that were begun and neither completed nor aborted.
    pub async fn dangling(&self) -> usize {
        self.s3
            .list_multipart_uploads()
            .bucket(CURATED)
            .send()
            .await
            .unwrap()
            .uploads()
            .len()
    }
}

/// The account root's way into the cloud at `endpoint`.
pub async fn config(endpoint: &str) -> aws_config::SdkConfig {
    use aws_smithy_http_client::{
        Builder,
        tls::{Provider, rustls_provider::CryptoMode},
    };
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(
            Builder::new()
                .tls_provider(Provider::Rustls(CryptoMode::Ring))
                .build_https(),
        )
        .credentials_provider(Credentials::new(ROOT.0, ROOT.1, None, None, "test"))
        .region(Region::from_static("us-east-1"))
        .endpoint_url(endpoint)
        .load()
        .await
}

impl Drop for Cloud {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
