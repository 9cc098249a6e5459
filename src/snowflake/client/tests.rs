//! The client against a server that answers from a script, over real sockets.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// What the server does with one request.
enum Answer {
    Json(u16, Value),
    /// A body as it stands on the wire, packed.
    Packed(u16, Vec<u8>),
    HangUp,
}

/// One request as the server saw it.
#[derive(Debug, Clone)]
struct Seen {
    line: String,
    headers: String,
    body: Value,
}

impl Seen {
    fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.line.split(' ').nth(1)?.split_once('?')?;
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(&format!("{name}=")))
            .map(str::to_owned)
    }
}

struct Server {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    async fn answering(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, answers) = (Arc::clone(&seen), Arc::new(Mutex::new(VecDeque::from(answers))));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&log), Arc::clone(&answers)));
            }
        });
        Self { url, seen }
    }

    fn client(&self) -> Client {
        let key = PrivateKey::from_pem(&Secret::new(samples::PKCS8), None).unwrap();
        let mut config = Config::new(Account::parse("LOCAL").unwrap(), Auth::KeyPair(key));
        config.user = Some("PIPECTL".to_owned());
        config.base_url = Some(self.url.clone());
        config.context.role = Some("DEPLOYER".to_owned());
        Client::new(config).unwrap()
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, log: Arc<Mutex<Vec<Seen>>>, answers: Arc<Mutex<VecDeque<Answer>>>) {
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    let (headers, body) = loop {
        let read = stream.read(&mut chunk).await.unwrap();
        if read == 0 {
            return;
        }
        text.extend_from_slice(&chunk[..read]);
        let Ok(all) = String::from_utf8(text.clone()) else {
            return;
        };
        let Some((headers, body)) = all.split_once("\r\n\r\n") else {
            continue;
        };
        let headers = headers.to_ascii_lowercase();
        let length: usize = headers
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
            .unwrap_or(0);
        if body.len() >= length {
            break (headers, body.to_owned());
        }
    };
    let line = String::from_utf8(text).unwrap().lines().next().unwrap().to_owned();
    log.lock().unwrap().push(Seen {
        line,
        headers,
        body: serde_json::from_str(&body).unwrap_or(Value::Null),
    });
    let answer = answers.lock().unwrap().pop_front();
    let plain = |status, body: Value| (status, "content-type: application/json", body.to_string().into_bytes());
    let (status, header, body) = match answer {
        None => plain(500, json!({"message": "the script of the test has ended"})),
        Some(Answer::HangUp) => return,
        Some(Answer::Json(status, body)) => plain(status, body),
        Some(Answer::Packed(status, body)) => (status, "content-encoding: gzip", body),
    };
    let mut text = format!(
        "HTTP/1.1 {status} X\r\n{header}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    text.extend(body);
    let _ = stream.write_all(&text).await;
}

fn pending() -> Answer {
    Answer::Json(
        202,
        json!({"code": "333334", "statementHandle": "h-1", "message": "Asynchronous execution in progress."}),
    )
}

fn rows(rows: &[&str], partitions: usize, total: usize) -> Answer {
    let data: Vec<Vec<&str>> = rows.iter().map(|value| vec![*value]).collect();
    let partitions: Vec<Value> = (0..partitions).map(|_| json!({"rowCount": 1})).collect();
    Answer::Json(
        200,
        json!({"code": "090001", "statementHandle": "h-1", "data": data, "resultSetMetaData":
            {"numRows": total, "format": "jsonv2", "partitionInfo": partitions, "rowType": [{"name": "A", "type": "text"}]}}),
    )
}

#[tokio::test]
async fn submits_polls_and_counts_once() {
    let server = Server::answering(vec![pending(), pending(), rows(&["1"], 1, 1)]).await;
    let client = server.client();
    let result = client.execute(Statement::new("SELECT ?").bind(1)).await.unwrap();
    assert_eq!(result.scalar(), Some("1"));
    assert_eq!(client.statements_sent(), 1);
    let seen = server.seen();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[0].query("async").as_deref(), Some("true"));
    assert_eq!(seen[0].body["role"], "DEPLOYER");
    assert!(
        seen[0]
            .headers
            .contains("x-snowflake-authorization-token-type: keypair_jwt"),
        "{}",
        seen[0].headers
    );
    assert!(seen[0].headers.contains("user-agent: pipectl/"));
    assert!(
        seen[1].line.starts_with("GET /api/v2/statements/h-1 "),
        "{}",
        seen[1].line
    );
    assert!(client.inner.running.handles().is_empty());
}

#[tokio::test]
async fn one_request_id_across_all_tries() {
    let busy = || Answer::Json(503, json!({}));
    let server = Server::answering(vec![
        busy(),
        Answer::HangUp,
        Answer::Json(429, json!({})),
        rows(&["1"], 1, 1),
    ])
    .await;
    server.client().execute(Statement::quick("SHOW ROLES")).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen.len(), 4);
    let first = seen[0].query("requestId").unwrap();
    assert!(
        seen.iter()
            .all(|request| request.query("requestId").as_ref() == Some(&first))
    );
    assert_eq!(seen[0].query("retry"), None);
    assert!(
        seen[1..]
            .iter()
            .all(|request| request.query("retry").as_deref() == Some("true"))
    );
}

#[tokio::test]
async fn gives_up_with_the_cause() {
    let busy = || Answer::Json(504, json!({}));
    let server = Server::answering(vec![busy(), busy(), busy(), busy(), busy()]).await;
    let error = server
        .client()
        .execute(Statement::quick("SHOW ROLES"))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, SnowflakeError::Unreachable { attempts: 4, cause, .. } if cause.contains("504")),
        "{error}"
    );
}

#[tokio::test]
async fn nobody_listens() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let server = Server {
        url,
        seen: Arc::default(),
    };
    let error = server
        .client()
        .execute(Statement::quick("SHOW ROLES"))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("127.0.0.1:") && error.contains("refused"), "{error}");
}

#[tokio::test]
async fn https_is_compiled_in() {
    // The server speaks no TLS: reaching it and failing there shows that the client does.
    let mut server = Server::answering(Vec::new()).await;
    server.url = server.url.replace("http://", "https://");
    let error = server
        .client()
        .execute(Statement::quick("SHOW ROLES"))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("no answer from Snowflake at 127.0.0.1:") && error.contains("tries"),
        "{error}"
    );
}

#[tokio::test]
async fn partitions_come_in_order() {
    let part = |value: &str| Answer::Json(200, json!({"data": [[value]]}));
    // Asked for at once, so the test looks at which request got which answer.
    let server = Server::answering(vec![rows(&["p0"], 3, 3), part("x"), part("x")]).await;
    let result = server
        .client()
        .execute(Statement::quick("SELECT A FROM T"))
        .await
        .unwrap();
    assert_eq!(result.rows.len(), 3);
    assert_eq!(result.scalar(), Some("p0"));
    let mut asked: Vec<_> = server
        .seen()
        .iter()
        .filter_map(|request| request.query("partition"))
        .collect();
    asked.sort();
    assert_eq!(asked, ["1", "2"]);
}

#[tokio::test]
async fn a_refusal_keeps_what_snowflake_said() {
    let refusal = json!({"code": "003001", "sqlState": "42501", "statementHandle": "h-9", "message": "SQL access control error:\nInsufficient privileges to operate on account 'X'"});
    let server = Server::answering(vec![pending(), Answer::Json(422, refusal)]).await;
    let error = server
        .client()
        .execute(Statement::new("CREATE ROLE R"))
        .await
        .unwrap_err();
    assert!(error.is_insufficient_privileges());
    let failure = error.failure().unwrap();
    assert_eq!(
        (failure.sql_state.as_deref(), failure.handle.as_deref()),
        (Some("42501"), Some("h-9"))
    );
    let shown = error.to_string();
    assert!(
        shown.contains("CREATE ROLE R") && shown.contains("role DEPLOYER lacks the privilege"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_refused_jwt_says_what_to_check() {
    let server = Server::answering(vec![Answer::Json(
        401,
        json!({"code": "390144", "message": "JWT token is invalid."}),
    )])
    .await;
    let error = server.client().execute(Statement::new("SELECT 1")).await.unwrap_err();
    assert!(matches!(error, SnowflakeError::SignIn(_)));
    let shown = error.to_string();
    assert!(
        shown.contains(samples::FINGERPRINT) && shown.contains("PIPECTL of account LOCAL"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_page_instead_of_json_is_shown() {
    let server = Server::answering(vec![Answer::Json(404, json!("<h1>Not here</h1>"))]).await;
    let error = server
        .client()
        .execute(Statement::new("SELECT 1"))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("HTTP 404") && error.contains("Not here"), "{error}");
}

fn packed(text: &str) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text.as_bytes()).unwrap();
    packer.finish().unwrap()
}

#[tokio::test]
async fn a_packed_answer_is_read_and_a_broken_one_is_told() {
    let Answer::Json(_, answer) = rows(&["1"], 1, 1) else {
        unreachable!()
    };
    let whole = packed(&answer.to_string());
    let cut = whole[..whole.len() / 2].to_vec();
    let page = packed("<html>too many users</html>");
    let server = Server::answering(vec![
        Answer::Packed(200, whole),
        Answer::Packed(200, cut),
        Answer::Packed(400, page),
    ])
    .await;
    let client = server.client();
    let ask = || client.execute(Statement::quick("SELECT 1"));
    assert_eq!(ask().await.unwrap().scalar(), Some("1"));
    let error = ask().await.unwrap_err();
    assert!(matches!(error, SnowflakeError::Unreadable { .. }), "{error}");
    assert!(ask().await.unwrap_err().to_string().contains("too many users"));
    assert!(server.seen()[0].headers.contains("accept-encoding: gzip"));
}

#[tokio::test]
async fn giving_up_cancels() {
    let endless = (0..200).map(|_| pending()).collect();
    let server = Server::answering(endless).await;
    let client = server.client();
    let patience = Duration::from_millis(200);
    assert!(
        tokio::time::timeout(patience, client.execute(Statement::new("CALL SLOW()")))
            .await
            .is_err()
    );
    for _ in 0..100 {
        if server
            .seen()
            .iter()
            .any(|request| request.line.starts_with("POST /api/v2/statements/h-1/cancel "))
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nothing was cancelled: {:?}", server.seen());
}

#[tokio::test]
async fn ctrl_c_cancels_what_runs() {
    let server = Server::answering((0..200).map(|_| pending()).collect()).await;
    let client = server.client();
    let other = client.clone();
    let task = tokio::spawn(async move { other.execute(Statement::new("CALL SLOW()")).await });
    while client.inner.running.handles().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    client.cancel_running().await;
    assert!(server.seen().iter().any(|request| request.line.contains("/h-1/cancel")));
    assert!(client.inner.running.handles().is_empty());
    task.abort();
}

#[tokio::test]
async fn a_transaction_gives_the_results_between_begin_and_commit() {
    let handles = Answer::Json(
        200,
        json!({"statementHandle": "all", "statementHandles": ["b", "s1", "s2", "c"], "data": [["Multiple statements executed successfully."]],
            "resultSetMetaData": {"numRows": 1, "rowType": [{"name": "multiple statement execution", "type": "text"}]}}),
    );
    let server = Server::answering(vec![handles, rows(&["one"], 1, 1), rows(&["two"], 1, 1)]).await;
    let transaction = Transaction {
        statements: vec!["DELETE FROM A".into(), "INSERT INTO A SELECT 1".into()],
        context: Context::default(),
    };
    let results = server.client().execute_script(transaction).await.unwrap();
    assert_eq!(
        results
            .iter()
            .map(|result| result.scalar().unwrap())
            .collect::<Vec<_>>(),
        ["one", "two"]
    );
    let seen = server.seen();
    assert!(seen[1].line.contains("/s1 ") && seen[2].line.contains("/s2 "));
}

#[test]
fn nothing_of_a_secret_in_debug() {
    let mut config = Config::new(Account::parse("a-b").unwrap(), Auth::OAuth(Secret::new("hunter2")));
    assert!(!format!("{config:?}").contains("hunter2"));
    config.auth = Auth::KeyPair(PrivateKey::from_pem(&Secret::new(samples::PKCS8), None).unwrap());
    assert!(!format!("{config:?}").contains("BEGIN"));
}

#[tokio::test]
async fn another_account_is_refused_before_anything_is_read() {
    let answer = json!({
        "resultSetMetaData": {
            "numRows": 1,
            "format": "jsonv2",
            "rowType": [
                { "name": "NAME", "type": "text", "nullable": true },
                { "name": "LOCATOR", "type": "text", "nullable": true },
            ],
            "partitionInfo": [{ "rowCount": 1, "uncompressedSize": 20 }],
        },
        "data": [["MYORG-PROD", "XY12345"]],
        "code": "090001", "statementHandle": "1", "message": "done", "sqlState": "00000",
    });
    for (named, right) in [("myorg-prod", true), ("xy12345.eu-west-1", true), ("myorg-dev", false)] {
        let server = Server::answering(vec![Answer::Json(200, answer.clone())]).await;
        let guarded = server.client().guard_account(&Account::parse(named).unwrap()).await;
        assert_eq!(guarded.is_ok(), right, "{named}");
        if let Err(error) = guarded {
            assert!(
                error
                    .to_string()
                    .contains("is of account MYORG-PROD (XY12345), the pipeline belongs to myorg-dev")
            );
        }
        assert_eq!(server.seen().len(), 1);
    }
}

/// A token whose only true part is its end.
fn github_token(name: &str, lives: Duration) -> Answer {
    let end = std::time::SystemTime::now() + lives;
    let seconds = end.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = base64::Engine::encode(
        &base64::prelude::BASE64_URL_SAFE_NO_PAD,
        json!({ "exp": seconds }).to_string(),
    );
    Answer::Json(200, json!({ "value": format!("{name}.{claims}.signature") }))
}

#[tokio::test]
async fn on_github_a_token_is_fetched_and_fetched_again_before_it_ends() {
    let busy = || Answer::Json(503, json!({}));
    let long = Duration::from_secs(300);
    // The first one ends too soon to be used twice.
    let tokens = vec![
        busy(),
        github_token("one", Duration::from_secs(30)),
        github_token("two", long),
    ];
    let github = Server::answering(tokens).await;
    let snowflake = Server::answering((0..3).map(|_| rows(&["1"], 1, 1)).collect()).await;
    let source = TokenSource::GitHub {
        url: format!("{}/token?api-version=2.0", github.url),
        request_token: Secret::new("request"),
    };
    let auth = Auth::Workload(Workload::new(Provider::Oidc, source));
    let mut config = Config::new(Account::parse("LOCAL").unwrap(), auth);
    config.base_url = Some(snowflake.url.clone());
    let client = Client::new(config).unwrap();
    for _ in 0..3 {
        client.execute(Statement::new("SELECT 1")).await.unwrap();
    }
    let asked = github.seen();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(
        asked[0]
            .line
            .starts_with("GET /token?api-version=2.0&audience=snowflakecomputing.com "),
        "{asked:?}"
    );
    assert!(asked[0].headers.contains("authorization: bearer request"), "{asked:?}");
    let seen = snowflake.seen();
    for (request, token) in seen.iter().zip(["one", "two", "two"]) {
        let headers = &request.headers;
        assert!(
            headers.contains(&format!("authorization: bearer wif.oidc.{token}.")),
            "{headers}"
        );
        assert!(
            headers.contains("x-snowflake-authorization-token-type: workload_identity_federation"),
            "{headers}"
        );
    }
}

#[tokio::test]
async fn a_token_file_is_read_each_time_and_its_loss_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let snowflake = Server::answering((0..2).map(|_| rows(&["1"], 1, 1)).collect()).await;
    let auth = Auth::Workload(Workload::new(Provider::Gcp, TokenSource::File(file.clone())));
    let mut config = Config::new(Account::parse("LOCAL").unwrap(), auth);
    config.base_url = Some(snowflake.url.clone());
    let client = Client::new(config).unwrap();
    for token in ["one", "two"] {
        std::fs::write(&file, format!("{token}\n")).unwrap();
        client.execute(Statement::new("SELECT 1")).await.unwrap();
        let headers = snowflake.seen().last().unwrap().headers.clone();
        assert!(
            headers.contains(&format!("authorization: bearer wif.gcp.{token}\r")),
            "{headers}"
        );
    }
    std::fs::remove_file(&file).unwrap();
    let error = client
        .execute(Statement::new("SELECT 1"))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("no workload identity token"), "{error}");
    assert_eq!(snowflake.seen().len(), 2);
}
