use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

const PKCS8: &str = include_str!("../client/samples/pkcs8.pem");
const PKCS8_AES: &str = include_str!("../client/samples/pkcs8-aes.pem");

/// A machine with its variables and its `~/.snowflake`.
struct Machine {
    home: tempfile::TempDir,
    variables: BTreeMap<&'static str, String>,
}

impl Machine {
    fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
            variables: BTreeMap::new(),
        }
    }

    fn with(mut self, variable: &'static str, value: &str) -> Self {
        self.variables.insert(variable, value.to_owned());
        self
    }

    fn file(self, name: &str, text: &str) -> Self {
        let path = self.home.path().join(".snowflake").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        self
    }

    async fn resolve(&self, settings: Settings<'_>) -> Result<Credentials, CredentialsError> {
        let env = |name: &str| self.variables.get(name).cloned();
        resolve(
            &settings,
            &Surroundings {
                env: &env,
                home: Some(self.home.path().to_owned()),
                aws: None,
            },
        )
        .await
    }

    async fn error(&self, settings: Settings<'_>) -> String {
        self.resolve(settings).await.unwrap_err().to_string()
    }
}

fn account(account: &str) -> Settings<'_> {
    Settings {
        account: Some(account),
        ..Settings::default()
    }
}

#[tokio::test]
async fn pipeline_comes_before_environment_before_connection() {
    let machine = Machine::new()
        .with("SNOWFLAKE_ACCOUNT", "org-env")
        .with("SNOWFLAKE_USER", "env_user")
        .with("KEY", PKCS8)
        .file(
            "connections.toml",
            "[default]\naccount='org-file'\nuser='file_user'\nrole='FILE_ROLE'\ntoken='t'\n",
        );
    let settings = Settings {
        private_key: Some("env:KEY"),
        ..account("org-file")
    };
    let found = machine.resolve(settings).await.unwrap();
    assert_eq!(found.config.account.as_str(), "org-file");
    assert_eq!(found.config.user.as_deref(), Some("env_user"));
    assert_eq!(found.config.context.role.as_deref(), Some("FILE_ROLE"));
    assert!(matches!(found.config.auth, Auth::KeyPair(_)));
    let said = found.explain();
    assert!(
        said.starts_with(
            "account from [snowflake] account, user from SNOWFLAKE_USER, role from connection \"default\" in "
        ),
        "{said}"
    );
    assert!(said.ends_with("credential from [snowflake] private_key"), "{said}");
}

#[tokio::test]
async fn environment_alone() {
    let machine = Machine::new().file("k.p8", PKCS8_AES);
    let path = machine.home.path().join(".snowflake/k.p8").display().to_string();
    let machine = machine
        .with("SNOWFLAKE_ACCOUNT", "org-acc")
        .with("SNOWFLAKE_USER", "u")
        .with("SNOWFLAKE_AUTHENTICATOR", "snowflake_jwt")
        .with("SNOWFLAKE_PRIVATE_KEY_PATH", &path);
    assert!(
        machine
            .error(Settings::default())
            .await
            .contains("private key from SNOWFLAKE_PRIVATE_KEY_PATH: the private key is encrypted")
    );
    let machine = machine.with("SNOWFLAKE_PRIVATE_KEY_PASSPHRASE", "open sesame");
    assert!(matches!(
        machine.resolve(Settings::default()).await.unwrap().config.auth,
        Auth::KeyPair(_)
    ));
}

#[tokio::test]
async fn named_and_default_connections() {
    let machine = Machine::new().file(
        "config.toml",
        "default_connection_name='dev'\n[connections.dev]\naccount='o-dev'\nauthenticator='oauth'\ntoken='x'\n\
         [connections.prod]\naccount='o-prod'\nhost='o-prod.privatelink.snowflakecomputing.com'\nauthenticator='PROGRAMMATIC_ACCESS_TOKEN'\ntoken='y'\n",
    );
    let found = machine.resolve(Settings::default()).await.unwrap();
    assert_eq!(
        (found.config.account.as_str(), found.config.auth.token_type()),
        ("o-dev", "OAUTH")
    );
    let found = machine
        .resolve(Settings {
            connection: Some("prod"),
            ..Settings::default()
        })
        .await
        .unwrap();
    assert_eq!(found.config.auth.token_type(), "PROGRAMMATIC_ACCESS_TOKEN");
    assert_eq!(
        found.config.base_url.as_deref(),
        Some("https://o-prod.privatelink.snowflakecomputing.com")
    );
    let error = machine
        .error(Settings {
            connection: Some("staging"),
            ..Settings::default()
        })
        .await;
    assert!(
        error.contains("\"staging\" does not exist") && error.contains("dev, prod"),
        "{error}"
    );
    // connections.toml takes the place of the tables in config.toml.
    let machine = machine.file("connections.toml", "[dev]\naccount='o-new'\ntoken='z'\n");
    assert_eq!(
        machine
            .resolve(Settings::default())
            .await
            .unwrap()
            .config
            .account
            .as_str(),
        "o-new"
    );
}

#[tokio::test]
async fn a_connection_is_not_used_for_another_account() {
    let machine = Machine::new().file(
        "connections.toml",
        "[default]\naccount='org-mine'\nuser='me'\ntoken='t'\nhost='mine.example.org'\n",
    );
    assert!(
        machine
            .error(account("org-other"))
            .await
            .contains("no Snowflake credential was found")
    );
    let named = Settings {
        connection: Some("default"),
        ..account("org-other")
    };
    assert!(
        machine
            .error(named)
            .await
            .contains("connection \"default\" is for org-mine")
    );
    assert!(machine.resolve(account("ORG.MINE")).await.is_ok());
}

#[tokio::test]
async fn passwords_and_browsers_are_refused_with_a_way_out() {
    let file = |rest: &str| {
        Machine::new().file(
            "connections.toml",
            &format!("[default]\naccount='a-b'\nuser='u'\n{rest}"),
        )
    };
    let error = file("password='hunter2'\n").error(Settings::default()).await;
    assert!(
        error.contains("a password") && error.contains("key pair") && !error.contains("hunter2"),
        "{error}"
    );
    let error = file("authenticator='externalbrowser'\n")
        .error(Settings::default())
        .await;
    assert!(error.contains("externalbrowser"), "{error}");
    let error = Machine::new()
        .with("SNOWFLAKE_PASSWORD", "hunter2")
        .error(account("a-b"))
        .await;
    assert!(error.contains("SNOWFLAKE_PASSWORD signs in with a password"), "{error}");
}

#[tokio::test]
async fn files_that_others_may_read_are_refused() {
    let machine = Machine::new().file("connections.toml", "[default]\naccount='a-b'\ntoken='t'\n");
    let path = machine.home.path().join(".snowflake/connections.toml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let error = machine.error(Settings::default()).await;
    assert!(error.contains("mode 644") && error.contains("chmod 600"), "{error}");
}

#[tokio::test]
async fn broken_toml_names_the_line_and_hides_it() {
    let error = Machine::new()
        .file("connections.toml", "[default]\naccount='a'\ntoken = hunter2\n")
        .error(Settings::default())
        .await;
    assert!(
        error.contains("connections.toml:3: not TOML") && !error.contains("hunter2"),
        "{error}"
    );
}

#[tokio::test]
async fn references() {
    let machine = Machine::new().with("TOKEN", "t\n");
    let with = |token| Settings {
        token: Some(token),
        ..account("a-b")
    };
    let found = machine.resolve(with("env:TOKEN")).await.unwrap();
    assert!(matches!(found.config.auth, Auth::AccessToken(token) if token.expose() == "t"));
    for (token, part) in [
        ("env:OTHER", "OTHER is not set"),
        ("ssm:/a/b", "no AWS session"),
        ("secretsmanager:x", "no AWS session"),
        ("hunter2", "must be a reference"),
        ("pat:hunter2", "must be a reference"),
    ] {
        let error = machine.error(with(token)).await;
        assert!(error.contains(part) && !error.contains("hunter2"), "{token}: {error}");
    }
}

#[tokio::test]
async fn what_is_missing_is_said() {
    assert!(
        Machine::new()
            .error(Settings::default())
            .await
            .contains("no Snowflake account was found; set it as [snowflake] account")
    );
    assert!(
        Machine::new()
            .error(account("a-b"))
            .await
            .contains("SNOWFLAKE_PRIVATE_KEY_PATH")
    );
    let machine = Machine::new().with("SNOWFLAKE_PRIVATE_KEY_RAW", PKCS8);
    assert!(
        machine
            .error(account("a-b"))
            .await
            .contains("no Snowflake user was found")
    );
}

#[test]
fn the_local_cloud_brings_all() {
    let folder = tempfile::tempdir().unwrap();
    let private_key_path = folder.path().join("snowflake_key.p8");
    fs::write(&private_key_path, PKCS8).unwrap();
    let account = LocalAccount {
        url: "http://127.0.0.1:1",
        account: "LOCAL",
        user: "PIPECTL",
        role: "ACCOUNTADMIN",
        private_key_path: &private_key_path,
    };
    let found = local(&account).unwrap();
    assert_eq!(found.config.base_url.as_deref(), Some("http://127.0.0.1:1"));
    assert!(found.explain().contains("role from the local cloud"));
}

#[tokio::test]
async fn a_workload_brings_its_own_identity() {
    let base = || Machine::new().with("SNOWFLAKE_AUTHENTICATOR", "workload_identity");
    let error = base().error(account("a-b")).await;
    assert!(error.contains("id-token: write"), "{error}");
    let source = |found: Credentials| match found.config.auth {
        Auth::Workload(workload) => (workload.provider(), workload.source().clone()),
        other => panic!("{other:?}"),
    };
    let github = || {
        base()
            .with("ACTIONS_ID_TOKEN_REQUEST_URL", "https://tokens.example/?x=1")
            .with("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "hunter2")
    };
    let found = github().resolve(account("a-b")).await.unwrap();
    assert!(!format!("{found:?}").contains("hunter2"));
    // A user is not needed: the token names it.
    assert!(matches!(source(found), (Provider::Oidc, TokenSource::GitHub { .. })));
    // What is set by hand comes first.
    let found = github()
        .with("SNOWFLAKE_TOKEN", "t")
        .resolve(account("a-b"))
        .await
        .unwrap();
    assert!(matches!(source(found), (Provider::Oidc, TokenSource::Given(_))));
    let machine = github().with("SNOWFLAKE_WORKLOAD_IDENTITY_PROVIDER", "gcp");
    let error = machine.error(account("a-b")).await;
    assert!(
        error.contains("no Snowflake workload identity token"),
        "GitHub is not Google: {error}"
    );
    let machine = machine.with("SNOWFLAKE_TOKEN_FILE_PATH", "~/token");
    let found = machine.resolve(account("a-b")).await.unwrap();
    assert!(matches!(source(found), (Provider::Gcp, TokenSource::File(file)) if file.ends_with("token")));
    let error = base()
        .with("SNOWFLAKE_WORKLOAD_IDENTITY_PROVIDER", "okta")
        .error(account("a-b"))
        .await;
    assert!(error.contains("none of OIDC, AWS, AZURE and GCP"), "{error}");
}
