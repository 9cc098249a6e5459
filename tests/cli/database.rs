//! The database of a MySQL pipeline on the local cloud, as any client of MySQL has it.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::cloud::Cloud;
use crate::session::Session;

/// The pipeline's database, as any client reaches it: by `pipectl local env` and its secret.
pub struct Database {
    variables: Value,
    /// ARN of the secret with its password.
    pub secret: String,
    password: String,
}

impl Database {
    pub fn of(cloud: &Cloud) -> Self {
        Self::of_stack(cloud, "video-events-local-source")
    }

    /// That of another pipeline than the video events.
    pub fn of_stack(cloud: &Cloud, name: &str) -> Self {
        let stack = json!({ "StackName": name });
        let outputs = cloud.aws("cloudformation", "describe_stacks", stack)["Stacks"][0]["Outputs"].clone();
        let secret = outputs
            .as_array()
            .unwrap()
            .iter()
            .find(|output| output["OutputKey"] == "DatabaseSecret")
            .unwrap()["OutputValue"]
            .clone();
        let value = cloud.aws("secretsmanager", "get_secret_value", json!({ "SecretId": secret }));
        let login: Value = serde_json::from_str(value["SecretString"].as_str().unwrap()).unwrap();
        let told = crate::run::Run::of(
            crate::cloud::command_in(cloud.file().parent().unwrap()).args(["local", "env", "--format", "json"]),
        );
        Self {
            variables: told.exits(0).json(),
            secret: secret.as_str().unwrap().to_owned(),
            password: login["password"].as_str().unwrap().to_owned(),
        }
    }

    /// MariaDB's command-line client over verified TLS, printing rows without names and in UTC.
    pub fn client(&self) -> Command {
        let told = |name: &str| {
            self.variables[format!("PIPECTL_DATABASE_{name}")]
                .as_str()
                .unwrap()
                .to_owned()
        };
        let mut client = Command::new("mariadb");
        client
            .args([
                "--no-defaults",
                "-NB",
                "--raw",
                "--ssl-verify-server-cert",
                "--default-character-set=utf8mb4",
            ])
            .args(["--init-command=SET time_zone = '+00:00'", "--connect-timeout=5"])
            .args([format!("-h{}", told("HOST")), format!("-P{}", told("PORT"))])
            .args([format!("-u{}", told("USER")), format!("--ssl-ca={}", told("CA"))])
            .env("MYSQL_PWD", &self.password)
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        client
    }

    /// Runs statements; gives their rows, a line each.
    pub fn run(&self, statements: &str) -> String {
        let output = self.client().arg("-e").arg(statements).output().unwrap();
        assert!(
            output.status.success(),
            "{statements}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a script of any length; gives its rows, a line each.
    pub fn script(&self, text: &str) -> String {
        let mut client = self.client();
        let mut process = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = process.stdin.take().unwrap();
        let writer = std::thread::spawn({
            let text = text.to_owned();
            move || input.write_all(text.as_bytes())
        });
        let output = process.wait_with_output().unwrap();
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{why}\n{}",
            text.chars().take(2000).collect::<String>()
        );
        writer.join().unwrap().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// A session that stays open.
    pub fn session(&self) -> Session {
        Session::of(self.client())
    }
}
