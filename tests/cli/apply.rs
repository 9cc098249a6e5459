//! `load = "procedure"`: files of changes become tables, whatever order they come in and however often they are told of.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cloud::{Cloud, Iam, wait};
use crate::kinesis::kill;

const PATIENCE: Duration = Duration::from_secs(120);
const CURATED: &str = "people-changes-local-curated-000000000000-us-east-1";
const QUEUE: &str = "people-changes-local-apply";
const USER: &str = "PEOPLE_CHANGES_LOCAL_APPLY";
const RAW: &str = "PEOPLE_CHANGES_LOCAL.PEOPLE_RAW";
const SEED: u64 = 20_261_121;

/// The user's own runner writes to the stream, so nothing but what comes after it is made.
const PIPELINE: &str = r#"
version = 1

[pipeline]
name = "people-changes"

[source]
type = "mysql"
capture = "binlog"
format = "python-dict"

[snowflake]
schema = "PEOPLE"
load = "procedure"

[[table]]
name = "persons"
from = "shop.Persons"
columns = [
    { name = "id", type = "NUMBER(10,0)", path = "@.Id", key = true },
    { name = "full_name", type = "VARCHAR(100)", path = "@.Name" },
]

[[table]]
name = "items"
from = "shop.Items"
deletes = "flag"
history = true
columns = [
    { name = "order_id", type = "NUMBER(10,0)", path = "@.Order", key = true },
    { name = "line", type = "NUMBER(10,0)", path = "@.Line", key = true },
    { name = "article", type = "VARCHAR(100)", path = "@.Article" },
]

[env.dev]
aws = { account = "111122223333", region = "eu-west-1" }
snowflake = { account = "ORG-DEV", connection = "dev", aws_issuer = "https://issuer.example" }
"#;

#[test]
fn files_of_changes_are_applied_once_each_in_any_order() {
    let cloud = Cloud::up_for(Iam::Enforced, "files");
    std::fs::write(cloud.file(), PIPELINE).unwrap();
    cloud.run("deploy --yes").exits(0);
    cloud.run("diff").exits(0).prints("no change");
    let mut work = Work::new();
    let files = work.files();
    random_order_twice_and_told_again(&cloud, &files, &work);
    statements_do_not_grow_with_rows(&cloud, &mut work);
    a_file_that_fails_leaves_nothing_and_comes_again(&cloud, &mut work);
    what_a_killed_function_held_comes_again_soon(&cloud, &mut work);
    a_procedure_that_was_changed_is_seen(&cloud);
    a_column_comes_while_a_call_runs(&cloud, &mut work);
    let told = cloud.run("status --format json").exits(0).stdout;
    for hop in [QUEUE.to_owned(), format!("{QUEUE}-dead-letters")] {
        assert!(told.contains(&format!("\"{hop}\"")), "{told}");
    }
    cloud.run("destroy --yes --delete-data").exits(0);
    for left in [
        "SHOW USERS LIKE 'PEOPLE%'",
        "SHOW ROLES LIKE 'PEOPLE%'",
        "SHOW DATABASES LIKE 'PEOPLE%'",
    ] {
        assert_eq!(cloud.sql(left), Vec::<Vec<String>>::new(), "{left}");
    }
}

/// Each table in the order in which its changes happened: what the tables must come to.
struct Work {
    random: fastrand::Rng,
    position: u64,
    persons: BTreeMap<u64, String>,
    items: BTreeMap<(u64, u64), String>,
    files: usize,
}

impl Work {
    fn new() -> Self {
        Self {
            random: fastrand::Rng::with_seed(SEED),
            position: 4,
            persons: BTreeMap::new(),
            items: BTreeMap::new(),
            files: 0,
        }
    }

    fn record(&mut self, op: &str, table: &str, key: Value, row: Value) -> String {
        self.position += self.random.u64(1..90);
        let seq = format!("000001-0000000007-{:020}-00000000", self.position);
        let (before, after) = match op {
            "d" => (row, Value::Null),
            _ => (Value::Null, row),
        };
        json!({
            "op": op, "schema": "shop", "table": table, "key": key, "seq": seq, "gtid": null,
            "ts": "2026-11-21T09:00:00.000000Z", "before": before, "after": after,
        })
        .to_string()
    }

    /// A change of a person, and the person as it is then.
    fn person(&mut self, id: u64) -> String {
        let row = |name: &str| json!({ "Id": id, "Name": name });
        if self.persons.contains_key(&id) && self.random.u8(0..3) == 0 {
            let name = self.persons.remove(&id).unwrap();
            return self.record("d", "Persons", json!({ "Id": id }), row(&name));
        }
        let name = format!("Zoë '{}' \\ {}", self.random.u16(..), id);
        let op = if self.persons.insert(id, name.clone()).is_some() {
            "u"
        } else {
            "i"
        };
        self.record(op, "Persons", json!({ "Id": id }), row(&name))
    }

    fn item(&mut self, key: (u64, u64)) -> String {
        let of_key = json!({ "Order": key.0, "Line": key.1 });
        let row = |article: &str| json!({ "Order": key.0, "Line": key.1, "Article": article });
        if self.items.contains_key(&key) && self.random.u8(0..3) == 0 {
            let article = self.items.remove(&key).unwrap();
            return self.record("d", "Items", of_key, row(&article));
        }
        let article = format!("article {}", self.random.u16(..));
        let op = if self.items.insert(key, article.clone()).is_some() {
            "u"
        } else {
            "i"
        };
        self.record(op, "Items", of_key, row(&article))
    }

    /// Files of changes, those of a file in any order; in the middle both tables are truncated.
    fn files(&mut self) -> Vec<(String, String)> {
        let mut files = Vec::new();
        for part in 0..8 {
            let mut persons = Vec::new();
            let mut items = Vec::new();
            for change in 0..25 {
                if (part, change) == (4, 12) {
                    self.persons.clear();
                    self.items.clear();
                    persons.push(self.record("t", "Persons", Value::Null, Value::Null));
                    items.push(self.record("t", "Items", Value::Null, Value::Null));
                }
                let id = self.random.u64(1..15);
                persons.push(self.person(id));
                let key = (self.random.u64(1..5), self.random.u64(1..4));
                items.push(self.item(key));
            }
            for (folder, mut lines) in [("shop.Persons", persons), ("shop.Items", items)] {
                self.random.shuffle(&mut lines);
                files.push(self.file(folder, &lines));
            }
        }
        self.random.shuffle(&mut files);
        files
    }

    /// Key and content of the next file.
    fn file(&mut self, folder: &str, lines: &[String]) -> (String, String) {
        self.files += 1;
        let key = format!("data/{folder}/2026/11/21/it's {:03} of ü.jsonl", self.files);
        (key, lines.join("\n") + "\n")
    }

    /// Compares the tables with what happened.
    fn is_in(&self, cloud: &Cloud) {
        let persons = cloud.sql("select ID, FULL_NAME from PEOPLE_CHANGES_LOCAL.PEOPLE.PERSONS order by ID");
        let expected: Vec<_> = self
            .persons
            .iter()
            .map(|(id, name)| vec![id.to_string(), name.clone()])
            .collect();
        assert_eq!(persons, expected, "seed {SEED}");
        let items = cloud.sql(
            "select ORDER_ID, LINE, ARTICLE from PEOPLE_CHANGES_LOCAL.PEOPLE.ITEMS where not _DELETED order by 1, 2",
        );
        let expected: Vec<_> = self
            .items
            .iter()
            .map(|((order, line), article)| vec![order.to_string(), line.to_string(), article.clone()])
            .collect();
        assert_eq!(items, expected, "seed {SEED}");
    }
}

fn applied(cloud: &Cloud, files: usize) {
    wait("the files to be applied", PATIENCE, || {
        let found = in_ledger(cloud);
        if found == files { Ok(()) } else { Err(found.to_string()) }
    });
}

/// Files in the ledger, which also holds the version of each procedure.
fn in_ledger(cloud: &Cloud) -> usize {
    let files = format!("select count(*) from {RAW}.APPLIED_FILES where FILE_NAME like 'data/%'");
    cloud.value(&files).parse().unwrap()
}

fn quiet(cloud: &Cloud) {
    let url = cloud.queue_url(QUEUE);
    wait("the queue to be empty", PATIENCE, || cloud.is_empty(&url));
}

fn random_order_twice_and_told_again(cloud: &Cloud, files: &[(String, String)], work: &Work) {
    for (place, (key, body)) in files.iter().enumerate() {
        cloud.put(CURATED, key, body);
        // The same content once more under another name, as a Firehose that tries again writes it.
        if place % 4 == 0 {
            cloud.put(CURATED, &format!("{key}.again"), body);
        }
    }
    let count = files.len() + files.len().div_ceil(4);
    applied(cloud, count);
    quiet(cloud);
    work.is_in(cloud);
    let rows = || {
        cloud.sql(&format!(
        "select (select count(*) from {RAW}.APPLIED_FILES), (select count(*) from {RAW}.RAW_SHOP_PERSONS), (select sum(RECORDS) from {RAW}.APPLIED_FILES),
         (select count(*) from PEOPLE_CHANGES_LOCAL.PEOPLE.ITEMS_HISTORY)"
    ))
    };
    let before = rows();
    let history: usize = files
        .iter()
        .filter(|(key, _)| key.contains("Items"))
        .map(|(_, body)| body.lines().count())
        .sum();
    assert_eq!(before[0][3], history.to_string());
    // S3 and SNS tell of a file again when they are not sure; so does whoever puts dead letters back.
    let etag = |key: &str| cloud.aws("s3", "head_object", json!({ "Bucket": CURATED, "Key": key }))["ETag"].clone();
    let dead = cloud.queue_url(&format!("{QUEUE}-dead-letters"));
    for (key, _) in files.iter().rev().take(6) {
        let object = json!({ "key": key.replace(' ', "+"), "eTag": etag(key).as_str().unwrap().trim_matches('"') });
        let body = json!({ "Records": [{ "eventName": "ObjectCreated:Put", "s3": { "bucket": { "name": CURATED }, "object": object } }] });
        cloud.aws(
            "sqs",
            "send_message",
            json!({ "QueueUrl": dead, "MessageBody": body.to_string() }),
        );
    }
    cloud.run("redrive --yes").exits(0).prints("6 moved");
    quiet(cloud);
    assert_eq!(rows(), before);
    work.is_in(cloud);
}

/// Statements that were run for a file of so many changes.
fn statements(cloud: &Cloud, work: &mut Work, changes: u64) -> usize {
    let count = || {
        let history = "TABLE(PEOPLE_CHANGES_LOCAL.INFORMATION_SCHEMA.QUERY_HISTORY(RESULT_LIMIT => 10000))";
        let asked = format!("select count(*) from {history} where USER_NAME = '{USER}'");
        cloud.value(&asked).parse::<usize>().unwrap()
    };
    let (before, files) = (count(), in_ledger(cloud));
    let lines: Vec<String> = (0..changes).map(|change| work.person(1000 + change)).collect();
    let (key, body) = work.file("shop.Persons", &lines);
    cloud.put(CURATED, &key, body);
    applied(cloud, files + 1);
    quiet(cloud);
    count() - before
}

fn statements_do_not_grow_with_rows(cloud: &Cloud, work: &mut Work) {
    let few = statements(cloud, work, 10);
    let many = statements(cloud, work, 10_000);
    assert_eq!(few, many);
    assert!(few > 3, "{few} statements are not a load");
    work.is_in(cloud);
}

fn a_file_that_fails_leaves_nothing_and_comes_again(cloud: &Cloud, work: &mut Work) {
    let ledger = in_ledger(cloud);
    let raw_rows = || cloud.value(&format!("select count(*) from {RAW}.RAW_SHOP_PERSONS"));
    let before = raw_rows();
    // The file is loaded by then, and other tables are written.
    cloud
        .try_sql(&format!("alter table {RAW}.PERSONS_GONE rename to {RAW}.ELSEWHERE"))
        .exits(0);
    let lines = [work.person(7), work.person(8), work.person(7)];
    let (key, body) = work.file("shop.Persons", &lines);
    cloud.put(CURATED, &key, body);
    let group = "/aws/lambda/people-changes-local-apply";
    wait("the log to say what failed", PATIENCE, || {
        let asked = json!({ "logGroupName": group, "filterPattern": "{ $.level = \"ERROR\" }" });
        let told = cloud.aws("logs", "filter_log_events", asked)["events"].to_string();
        let says = [key.as_str(), "APPLY_SHOP_PERSONS", "PERSONS_GONE"]
            .iter()
            .all(|word| told.contains(word));
        if says { Ok(()) } else { Err(told) }
    });
    assert_eq!(raw_rows(), before, "what was loaded is rolled back");
    cloud
        .try_sql(&format!("alter table {RAW}.ELSEWHERE rename to {RAW}.PERSONS_GONE"))
        .exits(0);
    applied(cloud, ledger + 1);
    quiet(cloud);
    work.is_in(cloud);
}

/// The queue itself hides a message for half an hour, and the wait here is shorter.
fn what_a_killed_function_held_comes_again_soon(cloud: &Cloud, work: &mut Work) {
    let files = in_ledger(cloud);
    let asked = json!({ "FunctionName": QUEUE });
    let variables = cloud.aws("lambda", "get_function_configuration", asked)["Environment"]["Variables"].clone();
    let set = |variables: &Value| {
        let settings = json!({ "FunctionName": QUEUE, "Environment": { "Variables": variables } });
        cloud.aws("lambda", "update_function_configuration", settings);
    };
    // Nobody answers there, so the function works until it is killed.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    silent.set_nonblocking(true).unwrap();
    let mut waiting = variables.clone();
    waiting["PIPECTL_SNOWFLAKE_URL"] = json!(format!("http://{}", silent.local_addr().unwrap()));
    set(&waiting);
    let line = work.person(9);
    let (key, body) = work.file("shop.Persons", &[line]);
    cloud.put(CURATED, &key, body);
    let mut asked = None;
    wait("the function to ask", PATIENCE, || {
        asked = Some(silent.accept().map_err(|error| error.to_string())?);
        Ok(())
    });
    assert!(kill(&format!("AWS_LAMBDA_FUNCTION_NAME={QUEUE}")) > 0);
    set(&variables);
    drop((asked, silent));
    applied(cloud, files + 1);
    quiet(cloud);
    work.is_in(cloud);
}

/// SHOW does not tell what a procedure does.
fn a_procedure_that_was_changed_is_seen(cloud: &Cloud) {
    let name = format!("{RAW}.APPLY_SHOP_PERSONS");
    let shown = cloud.sql(
        "select COMMENT from PEOPLE_CHANGES_LOCAL.INFORMATION_SCHEMA.PROCEDURES where PROCEDURE_NAME = 'APPLY_SHOP_PERSONS'",
    );
    let comment = shown[0][0].replace('\'', "''");
    let changed = format!(
        "create or replace procedure {name}(ARRIVED_FILE VARCHAR, ARRIVED_ETAG VARCHAR) copy grants returns NUMBER language SQL comment = '{comment}' as $$ BEGIN RETURN 1; END $$"
    );
    cloud.try_sql(&changed).exits(0);
    cloud.try_sql(&format!("grant ownership on procedure {name}(VARCHAR, VARCHAR) to role PEOPLE_CHANGES_LOCAL_LOADER copy current grants")).exits(0);
    cloud.run("diff").exits(2).prints("definition");
    cloud.run("deploy --yes").exits(0);
    cloud.run("diff").exits(0).prints("no change");
}

/// A call that began before the deploy of a column and ends after it would leave the column empty: it is rolled back, and
/// the file is applied by the new definition. The late call is played by a copy of the procedure of before.
fn a_column_comes_while_a_call_runs(cloud: &Cloud, work: &mut Work) {
    let described = cloud.sql(&format!("DESC PROCEDURE {RAW}.APPLY_SHOP_PERSONS(VARCHAR, VARCHAR)"));
    let body = &described.iter().find(|row| row[0] == "body").unwrap()[1];
    cloud.sql(&format!(
        "CREATE PROCEDURE {RAW}.LATE(ARRIVED_FILE VARCHAR, ARRIVED_ETAG VARCHAR) RETURNS NUMBER LANGUAGE SQL EXECUTE AS CALLER AS $${body}$$"
    ));
    cloud.edit(
        "path = \"@.Name\" },",
        "path = \"@.Name\" },\n    { name = \"city\", type = \"VARCHAR(50)\", path = \"@.City\" },",
    );
    cloud.run("deploy --yes").exits(0);
    let mappings = cloud.aws("lambda", "list_event_source_mappings", json!({ "FunctionName": QUEUE }));
    let mapping = &mappings["EventSourceMappings"][0]["UUID"];
    let listens = |enabled: bool| {
        cloud.aws(
            "lambda",
            "update_event_source_mapping",
            json!({ "UUID": mapping, "Enabled": enabled }),
        );
    };
    listens(false);
    let line = work.person(4242).replace("\"Name\":", "\"City\":\"Köln\",\"Name\":");
    let (key, body) = work.file("shop.Persons", &[line]);
    cloud.put(CURATED, &key, body);
    let etag = cloud.aws("s3", "head_object", json!({ "Bucket": CURATED, "Key": key }))["ETag"].clone();
    let (path, etag) = (
        key.strip_prefix("data/").unwrap().replace('\'', "''"),
        etag.as_str().unwrap().trim_matches('"').to_owned(),
    );
    let kept = || {
        cloud.value(&format!(
            "select count(*) from {RAW}.RAW_SHOP_PERSONS where FILE_NAME = 'data/{path}'"
        ))
    };
    cloud
        .try_sql(&format!("CALL {RAW}.LATE('{path}', '{etag}')"))
        .exits(1)
        .prints("the procedure was replaced while it ran");
    assert_eq!(kept(), "0");
    listens(true);
    let city = "select max(CITY) from PEOPLE_CHANGES_LOCAL.PEOPLE.PERSONS where ID = 4242";
    wait("the person to have a city", PATIENCE, || match cloud.value(city) {
        found if found == "Köln" => Ok(()),
        found => Err(found),
    });
    work.is_in(cloud);
    cloud.sql(&format!("DROP PROCEDURE {RAW}.LATE(VARCHAR, VARCHAR)"));
}
