//! The binary log end to end: every change of a real server of this machine arrives, deletes too, whatever happens to the reader.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cloud::{Cloud, Iam, wait};
use crate::database::Database;

const PATIENCE: Duration = Duration::from_secs(240);
const PIPELINE: &str = "people-cdc";
const BUCKET: &str = "people-cdc-local-curated-000000000000-us-east-1";
const PERSONS: &str = "SELECT PersonID, FullName, City FROM CDC_schema.Persons ORDER BY PersonID";

/// The tables that the example reads.
pub const TABLES: &str = "CREATE TABLE CDC_schema.Persons (PersonID INT PRIMARY KEY, FullName VARCHAR(255), City VARCHAR(255));
     CREATE TABLE CDC_schema.Orders (OrderID BIGINT PRIMARY KEY, PersonID INT, Price DECIMAL(12,2), OrderedAt DATETIME(6));
     CREATE TABLE CDC_schema.OrderItems (OrderID BIGINT, Line INT, Article VARCHAR(100), Properties JSON, PRIMARY KEY (OrderID, Line))";

/// With IAM enforced, so that the reader has the rights that it is given and no others.
#[test]
fn every_change_arrives_whatever_happens_to_the_reader() {
    let cloud = Cloud::up_for(Iam::Enforced, "mysql-cdc");
    cloud.run("deploy --yes").exits(0);
    cloud.run("diff").exits(0).prints("no change");
    // The tables come after the reader, which waits for them.
    let database = Database::of_stack(&cloud, &format!("{PIPELINE}-local-source"));
    database.run(TABLES);
    database.run(
        "INSERT INTO CDC_schema.Persons VALUES (0, 'Herman Zimmerman', 'Oklahoma City'), (1, 'Conan O''Brien', NULL), (2, 'Zoë \"Z\" Ünal', 'Köln')",
    );
    arrives(&cloud, &database);
    database.run(
        "UPDATE CDC_schema.Persons SET City = 'Boston' WHERE PersonID = 1; DELETE FROM CDC_schema.Persons WHERE PersonID = 0;
         UPDATE CDC_schema.Persons SET PersonID = 7 WHERE PersonID = 2; INSERT INTO CDC_schema.Persons VALUES (3, 'late', '')",
    );
    arrives(&cloud, &database);
    killed_reader_goes_on(&cloud, &database);
    given_up_records_come_back(&cloud, &database);
    doctor_looks_at_the_database(&cloud);
    status_shows_the_reader(&cloud);
    cloud.run("deploy --yes").exits(0).prints("no change");
    another_table_restarts_the_reader(&cloud, &database);
    a_table_passed_over_is_read_anew(&cloud, &database);
    assert_eq!(cloud.keys(BUCKET, "errors/"), Vec::<String>::new());
    let reader = process(&cloud).unwrap();
    cloud.run("destroy --yes --delete-data").exits(0);
    let left = cloud.aws("cloudformation", "describe_stacks", json!({}));
    assert_eq!(left["Stacks"], json!([]));
    assert_eq!(parameters(&cloud), Vec::<String>::new());
    assert!(!runs(&reader), "the reader still runs");
}

fn killed_reader_goes_on(cloud: &Cloud, database: &Database) {
    let reader = process(cloud).unwrap();
    assert!(
        Command::new("kill")
            .args(["-KILL", &reader])
            .status()
            .unwrap()
            .success()
    );
    database.run("INSERT INTO CDC_schema.Persons VALUES (4, 'while it was away', NULL); DELETE FROM CDC_schema.Persons WHERE PersonID = 7");
    arrives(cloud, database);
    assert_ne!(process(cloud).unwrap(), reader);
}

/// What doctor says of the database after the deploy; whatever is set wrongly there, tests/runtime_extract shows.
fn doctor_looks_at_the_database(cloud: &Cloud) {
    let look = |code: i32| {
        let told = cloud.run("doctor --format json").exits(code).json();
        let checks = told["checks"].as_array().unwrap().clone();
        let checks = checks.into_iter().filter(|check| check["side"] == "database");
        checks
            .map(|check| (check["what"].as_str().unwrap().to_owned(), check))
            .collect::<BTreeMap<String, Value>>()
    };
    let checks = look(0);
    for what in [
        "log_bin",
        "binlog_format",
        "binlog_row_image",
        "binlog retention",
        "REPLICATION CLIENT",
        "REPLICATION SLAVE",
    ] {
        assert_eq!(checks[what]["state"], "ok", "{checks:#?}");
    }
    assert_eq!(checks["CDC_schema.OrderItems"]["found"], "key (OrderID, Line)");
    // It need not be deployed for that.
    let plain = "{ name = \"price\", type = \"NUMBER(12,2)\", path = \"@.Price\" }";
    let keyed = plain.replace(" }", ", key = true }");
    cloud.edit(plain, &keyed);
    let told = &look(1)["CDC_schema.Orders"];
    cloud.edit(&keyed, plain);
    assert_eq!(told["state"], "missing");
    assert_eq!(
        told["found"],
        "pipeline.toml has the key (OrderID, Price), but the database tells its rows apart by (OrderID)"
    );
    assert_eq!(
        told["next"],
        "set `key = true` on just the columns of these, and run pipectl deploy"
    );
}

/// Firehose gives a delete up, and a record that nobody could read: the delete is brought back, the other one stays.
fn given_up_records_come_back(cloud: &Cloud, database: &Database) {
    const FUNCTION: &str = "people-cdc-local-transform";
    const DELIVERY: &str = "people-cdc-local-delivery";
    const FAILED: &str = "errors/processing-failed/";
    let set = |variables: &Value| {
        let settings = json!({ "FunctionName": FUNCTION, "Environment": { "Variables": variables } });
        cloud.aws("lambda", "update_function_configuration", settings);
    };
    let row = "select count(*) from PEOPLE_CDC_LOCAL.PEOPLE.PERSONS where PERSON_ID = 1";
    cloud.wait_for(row, "1");
    let asked = json!({ "FunctionName": FUNCTION });
    let variables = cloud.aws("lambda", "get_function_configuration", asked)["Environment"]["Variables"].clone();
    let mut broken = variables.clone();
    broken["PIPECTL_FORMAT"] = json!("none that it knows");
    set(&broken);
    let stray = json!({ "StreamName": "people-cdc-local-changes", "PartitionKey": "1", "Data": "no record" });
    cloud.aws("kinesis", "put_record", stray);
    database.run("DELETE FROM CDC_schema.Persons WHERE PersonID = 1");
    let records = || {
        let told = cloud.run("redrive --dry-run --format json").exits(0).json()["records"].clone();
        let files = told["files"].as_array().unwrap().clone();
        let count = files
            .iter()
            .map(|file| file["content"]["records"].as_u64().unwrap())
            .sum::<u64>();
        (files, count)
    };
    wait("both records to be given up", PATIENCE, || match records() {
        (_, 2) => Ok(()),
        (files, _) => Err(format!("{files:?}")),
    });
    set(&variables);
    cloud.run("status").exits(2).prints("pipectl redrive");
    wait("the alarm", PATIENCE, || {
        let asked = json!({ "AlarmNames": [format!("{DELIVERY}-processing")] });
        let alarm = cloud.aws("cloudwatch", "describe_alarms", asked)["MetricAlarms"][0].clone();
        match alarm["StateValue"] == "ALARM" && alarm["AlarmDescription"].as_str().unwrap().contains("pipectl redrive")
        {
            true => Ok(()),
            false => Err(alarm.to_string()),
        }
    });
    cloud
        .run("redrive delivery")
        .exits(1)
        .prints("Lambda.FunctionError")
        .complains("--yes");
    assert_eq!(records().1, 2);
    let told = cloud.run("redrive delivery --yes").exits(1);
    told.prints("1 records sent to people-cdc-local-changes again")
        .prints("the record is not a JSON object, at byte 0");
    cloud.wait_for(row, "0");
    arrives(cloud, database);
    // What would be refused again goes on demand only, and is refused again.
    let (left, _) = records();
    assert_eq!((left.len(), &left[0]["content"]["records"]), (1, &json!(1)));
    cloud.run("redrive --yes").exits(1).prints("0 records sent");
    cloud.run("redrive --yes --refused").exits(0).prints("1 files deleted");
    wait("it to be refused again", PATIENCE, || {
        match cloud.keys(BUCKET, FAILED).as_slice() {
            [key] if left[0]["key"] != *key => Ok(()),
            keys => Err(format!("{keys:?}")),
        }
    });
    let (files, _) = records();
    let why = json!({ "Lambda.ProcessingFailedStatus: ProcessingFailed status set for record": 1 });
    assert_eq!(files[0]["content"]["why"], why);
    cloud.aws(
        "s3",
        "delete_object",
        json!({ "Bucket": BUCKET, "Key": files[0]["key"] }),
    );
    cloud.run("redrive").exits(0).prints("gave no record up");
}

fn status_shows_the_reader(cloud: &Cloud) {
    wait("a heartbeat of the reader", PATIENCE, || {
        let told = cloud.run("status --format json").json();
        let hop = told["hops"]
            .as_array()
            .unwrap()
            .iter()
            .find(|hop| hop["kind"] == "reader");
        let hop = hop.unwrap_or_else(|| panic!("no reader: {told:#}")).clone();
        let detail = &hop["detail"];
        match detail["heartbeat_seconds_ago"].is_u64() && detail["lag_bytes"] == 0 {
            true => {
                assert_eq!(
                    (&hop["healthy"], &detail["passed_over"]),
                    (&json!(true), &json!({})),
                    "{hop:#}"
                );
                assert!(detail["file"].is_string() && detail["position"].is_u64(), "{hop:#}");
                Ok(())
            }
            false => Err(hop.to_string()),
        }
    });
}

/// Other settings start the reader anew, and what it has read it does not read again.
fn another_table_restarts_the_reader(cloud: &Cloud, database: &Database) {
    database.run(
        "CREATE TABLE CDC_schema.City (Name VARCHAR(50) PRIMARY KEY); INSERT INTO CDC_schema.City VALUES ('Köln')",
    );
    let before = process(cloud).unwrap();
    let table = r#"[[table]]
name = "city"
from = "CDC_schema.City"
columns = [{ name = "name", type = "VARCHAR(50)", path = "@.Name", key = true }]

[env.dev]"#;
    cloud.edit("[env.dev]", table);
    cloud.run("diff").exits(2).prints("people-cdc-local-reader");
    cloud.run("deploy --yes").exits(0);
    wait("the new table to arrive", PATIENCE, || {
        let found = records(cloud, "CITY");
        let expected = json!({ "Name": "Köln" });
        match found
            .iter()
            .any(|record| record["op"] == "i" && record["after"] == expected)
        {
            true => Ok(()),
            false => Err(format!("{found:?}")),
        }
    });
    assert_ne!(process(cloud).unwrap(), before);
    database.run("INSERT INTO CDC_schema.Persons VALUES (5, 'after the restart', 'x')");
    arrives(cloud, database);
}

/// What was changed while a table was passed over comes when somebody asks for it, deletes too.
fn a_table_passed_over_is_read_anew(cloud: &Cloud, database: &Database) {
    database.run(
        "ALTER TABLE CDC_schema.Persons RENAME COLUMN City TO Town; DELETE FROM CDC_schema.Persons WHERE PersonID = 4;
         INSERT INTO CDC_schema.Persons VALUES (6, 'nobody sees it', 'y'); ALTER TABLE CDC_schema.Persons RENAME COLUMN Town TO City",
    );
    wait("the table to be passed over", PATIENCE, || {
        let told = cloud.run("status").stdout;
        let is_told =
            told.contains("CDC_schema.Persons (a column is renamed") && told.contains("`pipectl backfill TABLE`");
        is_told.then_some(()).ok_or(told)
    });
    cloud
        .run("backfill persons --from 1")
        .exits(1)
        .complains("--from is of tables that are read by a watermark");
    let told = cloud.run("backfill persons").exits(0);
    assert!(told.stdout.starts_with("CDC_schema.Persons: read anew"), "{told:?}");
    arrives(cloud, database);
    let told = cloud.run("status").stdout;
    assert!(!told.contains("passed over: "), "{told}");
    database.run("UPDATE CDC_schema.Persons SET City = 'z' WHERE PersonID = 6");
    arrives(cloud, database);
}

/// Waits until the records, the highest `seq` of each key taken, are the rows of the database.
fn arrives(cloud: &Cloud, database: &Database) {
    let expected: Vec<String> = database.run(PERSONS).lines().map(str::to_owned).collect();
    wait(&format!("the records to come to {expected:?}"), PATIENCE, || {
        let found = rows(&records(cloud, "PERSONS"));
        if found == expected {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    });
    let keys = cloud.keys(BUCKET, "data/");
    assert!(
        keys.iter().any(|key| key.starts_with("data/CDC_schema.Persons/")),
        "{keys:?}"
    );
}

/// The records of a table as they were loaded.
fn records(cloud: &Cloud, table: &str) -> Vec<Value> {
    let rows = cloud.sql(&format!(
        "select RECORD from PEOPLE_CDC_LOCAL.PEOPLE_RAW.RAW_CDC_SCHEMA_{table}"
    ));
    rows.iter().map(|row| serde_json::from_str(&row[0]).unwrap()).collect()
}

/// What records come to, as the contract of `seq` has it: <docs/binlog.md>.
fn rows(records: &[Value]) -> Vec<String> {
    let text = |record: &Value, key: &str| record[key].as_str().unwrap_or_default().to_owned();
    let emptied = records
        .iter()
        .filter(|record| record["op"] == "t")
        .map(|record| text(record, "seq"))
        .max();
    let mut last: BTreeMap<i64, &Value> = BTreeMap::new();
    for record in records.iter().filter(|record| record["op"] != "t") {
        let key = record["key"]["PersonID"].as_i64().unwrap();
        let kept = last.entry(key).or_insert(record);
        if text(record, "seq") > text(kept, "seq") {
            *kept = record;
        }
    }
    let is_there = |record: &&&Value| record["op"] != "d" && Some(text(record, "seq")) >= emptied;
    let cell = |row: &Value, name: &str| match &row[name] {
        Value::String(text) => text.clone(),
        Value::Null => "NULL".to_owned(),
        other => other.to_string(),
    };
    last.values()
        .filter(is_there)
        .map(|record| {
            ["PersonID", "FullName", "City"]
                .map(|name| cell(&record["after"], name))
                .join("\t")
        })
        .collect()
}

/// The process that reads: who holds the lease.
fn process(cloud: &Cloud) -> Option<String> {
    let name = json!({ "Name": format!("/pipectl/{PIPELINE}/local/binlog/lease") });
    let answer = cloud.try_aws("ssm", "get_parameter", name).ok()?;
    let holder: Value = serde_json::from_str(answer["Parameter"]["Value"].as_str()?).ok()?;
    Some(holder["process"].to_string())
}

fn parameters(cloud: &Cloud) -> Vec<String> {
    let asked = json!({ "Path": format!("/pipectl/{PIPELINE}/local"), "Recursive": true });
    let found = cloud.aws("ssm", "get_parameters_by_path", asked)["Parameters"].clone();
    let names = found
        .as_array()
        .unwrap()
        .iter()
        .map(|parameter| parameter["Name"].to_string());
    names.collect()
}

fn runs(process: &str) -> bool {
    Command::new("kill")
        .args(["-0", process])
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap()
        .success()
}
