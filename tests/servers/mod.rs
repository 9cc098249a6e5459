//! Real database servers for tests: MariaDB from Debian and a real MySQL (`scripts/mysql.sh` installs both). Each runs
//! in a temporary folder on a free port of 127.0.0.1, speaks TLS, and is gone when the test ends.

#![allow(dead_code)] // each test binary uses a part of it

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::session::Session;

/// The user that the tests' programs log in as, who may only read.
pub const USER: &str = "reader";
pub const PASSWORD: &str = "not 'a\\ real é password";

/// A running server.
pub struct Server {
    process: Child,
    pub port: u16,
    home: tempfile::TempDir,
}

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    MariaDb,
    MySql,
}

impl Server {
    /// Starts a server with an empty database `shop`.
    pub fn start(kind: Kind) -> Self {
        Self::start_with(kind, &[])
    }

    /// The same with more options of the server's.
    pub fn start_with(kind: Kind, options: &[&str]) -> Self {
        let home = tempfile::Builder::new().prefix("db").tempdir().unwrap();
        write_certificates(home.path());
        let data = home.path().join("data");
        let (mut install, mut run) = match kind {
            Kind::MariaDb => mariadb(&data),
            Kind::MySql => mysql(&data),
        };
        let log = std::fs::File::create(home.path().join("log")).unwrap();
        let out = || Stdio::from(log.try_clone().unwrap());
        let installed = install.stdout(out()).stderr(out()).status();
        let written = home.path().join("log");
        let told = || std::fs::read_to_string(&written).unwrap();
        assert!(
            installed.expect("scripts/mysql.sh installs the servers").success(),
            "{}",
            told()
        );
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let socket = home.path().join("s");
        let process = run
            .arg(format!("--port={port}"))
            .arg(format!("--socket={}", socket.display()))
            .args([
                "--bind-address=127.0.0.1",
                "--innodb-buffer-pool-size=64M",
                "--max-allowed-packet=64M",
            ])
            .args(options.iter().filter(|option| kind == Kind::MariaDb || knows(option)))
            .arg(format!("--pid-file={}", home.path().join("pid").display()))
            .arg(format!("--ssl-ca={}", home.path().join("ca.pem").display()))
            .arg(format!("--ssl-cert={}", home.path().join("server.pem").display()))
            .arg(format!("--ssl-key={}", home.path().join("server-key.pem").display()))
            .stdin(Stdio::null())
            .stdout(out())
            .stderr(out())
            .spawn()
            .unwrap();
        let server = Self { process, port, home };
        for _ in 0..600 {
            if server
                .client()
                .args(["--execute", "SELECT 1"])
                .output()
                .unwrap()
                .status
                .success()
            {
                server.sql("CREATE DATABASE shop");
                server.password(PASSWORD, true);
                return server;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the server does not answer: {}", told());
    }

    /// Makes the user, or gives it another password.
    pub fn password(&self, password: &str, anew: bool) {
        let password = password.replace('\\', "\\\\").replace('\'', "''");
        let verb = if anew { "CREATE" } else { "ALTER" };
        self.sql(&format!(
            "{verb} USER '{USER}'@'%' IDENTIFIED BY '{password}'; GRANT SELECT ON *.* TO '{USER}'@'%'"
        ));
    }

    /// The certificates that vouch for the server (PEM).
    pub fn roots(&self) -> PathBuf {
        self.home.path().join("ca.pem")
    }

    /// The command-line client as root, without a database.
    pub fn client(&self) -> Command {
        let mut client = Command::new("mariadb");
        client.args([
            "--no-defaults",
            "-uroot",
            "-NB",
            "--default-character-set=utf8mb4",
            "--skip-ssl",
        ]);
        client.arg(format!("--socket={}", self.home.path().join("s").display()));
        client
    }

    /// Runs statements and gives what they print, tab-separated.
    pub fn sql(&self, statements: &str) -> String {
        let mut session = self
            .client()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        session.stdin.take().unwrap().write_all(statements.as_bytes()).unwrap();
        let output = session.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{statements}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// A session that stays open, for transactions that commit late.
    pub fn session(&self) -> Session {
        Session::of(self.client())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn mariadb(data: &Path) -> (Command, Command) {
    let datadir = format!("--datadir={}", data.display());
    let mut install = Command::new("mariadb-install-db");
    install.args([
        "--no-defaults",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        &datadir,
    ]);
    let mut run = Command::new("/usr/sbin/mariadbd");
    run.args(["--no-defaults", "--user=root", &datadir]);
    install.arg("--user=root");
    // Two that make their files at once would share names in one folder.
    install.env("TMPDIR", data.parent().expect("a folder of its own"));
    (install, run)
}

fn mysql(data: &Path) -> (Command, Command) {
    let command = || match std::env::var("PIPECTL_TEST_MYSQLD") {
        Ok(own) => Command::new(own),
        Err(_) => unpacked(),
    };
    let (mut install, mut run) = (command(), command());
    for command in [&mut install, &mut run] {
        if std::env::var("PIPECTL_TEST_MYSQLD").is_err() {
            let share = cache().join("usr/share/mysql");
            command
                .arg("--no-defaults")
                .arg(format!("--lc-messages-dir={}", share.display()));
            command.arg(format!("--character-sets-dir={}", share.join("charsets").display()));
        } else {
            command.arg("--no-defaults");
        }
        command.args(["--user=root", &format!("--datadir={}", data.display())]);
    }
    install.arg("--initialize-insecure");
    // The folder that Debian builds in is not there.
    run.args(["--loose-mysqlx=OFF", "--secure-file-priv=NULL"]);
    // What later ones do by themselves.
    run.args([
        "--character-set-server=utf8mb4",
        "--server-id=1",
        "--log-bin=binlog",
        "--binlog-format=ROW",
    ]);
    (install, run)
}

/// A program that starts the server with any options, for whoever starts servers by itself.
pub fn program(kind: Kind, folder: &Path) -> PathBuf {
    if kind == Kind::MariaDb {
        return "/usr/sbin/mariadbd".into();
    }
    if let Ok(own) = std::env::var("PIPECTL_TEST_MYSQLD") {
        return own.into();
    }
    let quoted = |text: &std::ffi::OsStr| format!("'{}'", text.to_str().unwrap().replace('\'', r"'\''"));
    let command = unpacked();
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(quoted)
        .collect();
    let share = cache().join("usr/share/mysql");
    let files = [
        format!("--lc-messages-dir={}", share.display()),
        format!("--character-sets-dir={}", share.join("charsets").display()),
        "--secure-file-priv=NULL".to_owned(),
    ];
    // `--no-defaults` must stay the first option.
    let files: Vec<String> = files.iter().map(|option| quoted(option.as_ref())).collect();
    let script = format!("#!/bin/sh\nexec {} \"$@\" {}\n", words.join(" "), files.join(" "));
    let path = folder.join("mysqld");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    path
}

/// MySQL under its own loader and libraries, which are newer than the system's.
fn unpacked() -> Command {
    let libraries = std::fs::read_dir(cache().join("usr/lib"))
        .expect("scripts/mysql.sh unpacks MySQL")
        .map(|entry| entry.unwrap().path())
        .find(|path| path.join("libc.so.6").exists())
        .unwrap();
    let loaders = std::fs::read_dir(&libraries)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let loader = loaders
        .into_iter()
        .find(|path| path.file_name().unwrap().to_string_lossy().starts_with("ld-linux"))
        .unwrap();
    let mut command = Command::new(loader);
    command
        .arg("--library-path")
        .arg(&libraries)
        .arg(cache().join("usr/sbin/mysqld"));
    command
}

/// The version of MySQL that is asked for instead of the newest one (`scripts/older-mysql.sh`).
pub fn older() -> Option<String> {
    std::env::var("PIPECTL_TEST_MYSQL").ok()
}

/// Whether the MySQL of the tests has an option. 5.7 logs neither compressed transactions nor parts of documents.
fn knows(option: &str) -> bool {
    let is_new = ["--binlog-transaction-compression", "--binlog-row-value-options"]
        .iter()
        .any(|new| option.starts_with(new));
    !(is_new && older().as_deref() == Some("5.7"))
}

fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var("HOME").unwrap()).join(".cache");
    let folder = older().map_or_else(|| "mysql".to_owned(), |version| format!("mysql-{version}"));
    std::env::var("XDG_CACHE_HOME")
        .map_or_else(|_| home(), PathBuf::from)
        .join("pipectl")
        .join(folder)
}

fn write_certificates(folder: &Path) {
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    write("ca.pem", authority.self_signed(&authority_key).unwrap().pem());
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    write("server.pem", server.signed_by(&key, &issuer).unwrap().pem());
    write("server-key.pem", key.serialize_pem());
}
