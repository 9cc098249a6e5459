//! The MySQL source end to end: rows of a real server of this machine arrive, and what arrived is what the source says.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cloud::{Cloud, Iam, wait};
use crate::database::Database;
use crate::with_iam_off_and_enforced;

const PATIENCE: Duration = Duration::from_secs(240);
const EVENTS: &str = "VIDEO_EVENTS_LOCAL.VIDEO.VIDEO_EVENT";
const RAW_EVENTS: &str = "VIDEO_EVENTS_LOCAL.VIDEO_RAW.RAW_VIDEO_VIDEO_INIT";
/// The source's own words for what the typed table must hold.
const EXPECTED_EVENTS: &str =
    "SELECT `DATETIME`, VIDEOTITLE, EVENTS, DATE_FORMAT(CREATE_TIME, '%Y-%m-%d %H:%i:%s') FROM video.video_init";
const FOUND_EVENTS: &str = "select HAPPENED_AT, TITLE, EVENTS, to_varchar(CREATED_AT, 'YYYY-MM-DD HH24:MI:SS') from VIDEO_EVENTS_LOCAL.VIDEO.VIDEO_EVENT";

with_iam_off_and_enforced!(what_is_in_the_database_arrives_once);

fn what_is_in_the_database_arrives_once(iam: Iam) {
    let cloud = Cloud::up_for(iam, "mysql-star");
    cloud.run("deploy --yes").exits(0);
    cloud.run("diff").exits(0).prints("no change");
    let database = Database::of(&cloud);
    // Names and types of the original system; nothing is its key.
    database.run(
        "CREATE TABLE video.video_init (`DATETIME` VARCHAR(30) NOT NULL, VIDEOTITLE VARCHAR(200), EVENTS VARCHAR(150),
         CREATE_TIME TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, KEY (CREATE_TIME))",
    );
    equal_rows_stay_as_many_as_they_are(&cloud, &database);
    rows_of_the_same_second_arrive(&cloud, &database);
    a_late_commit_arrives(&cloud, &database);
    a_later_reading_repeats_and_changes_nothing(&cloud, &database);
    cloud.run("deploy --yes").exits(0).prints("no change");
    another_overlap_and_another_table_converge(&cloud, &database);
    status_shows_the_path(&cloud, &database);
    destroy_keeps_the_database_until_told(&cloud, &database);
}

fn equal_rows_stay_as_many_as_they_are(cloud: &Cloud, database: &Database) {
    database.run(
        "INSERT INTO video.video_init (`DATETIME`, VIDEOTITLE, EVENTS) VALUES
         ('1/1/2026 0:01', 'iPhone|site|one', '206,127'), ('1/1/2026 0:01', 'iPhone|site|one', '206,127'),
         ('1/1/2026 0:02', 'Zürich 🎬 \"quoted\" | ''two''', '1206'), ('1/1/2026 0:03', NULL, NULL), ('1/1/2026 0:04', '', '{\"a\": [1]}')",
    );
    arrives(cloud, database, EXPECTED_EVENTS, FOUND_EVENTS);
    assert_eq!(cloud.value(&format!("select count(*) from {EVENTS}")), "5");
}

/// Rows that come after a reading, with the very second that the reading ended at.
fn rows_of_the_same_second_arrive(cloud: &Cloud, database: &Database) {
    let watermark = watermark(cloud, "video.video_init");
    let [second] = watermark.as_slice() else {
        panic!("not one column: {watermark:?}")
    };
    assert_eq!(
        database.run("SELECT MAX(CREATE_TIME) FROM video.video_init"),
        format!("{second}\n")
    );
    database.run(&format!(
        "INSERT INTO video.video_init VALUES ('1/1/2026 0:05', 'same second', '206', '{second}'),
         ('1/1/2026 0:05', 'same second', '206', '{second}'), ('1/1/2026 0:01', 'iPhone|site|one', '206,127', '{second}')",
    ));
    arrives(cloud, database, EXPECTED_EVENTS, FOUND_EVENTS);
}

/// A transaction that began before the watermark went past its rows, and committed after.
fn a_late_commit_arrives(cloud: &Cloud, database: &Database) {
    let mut late = database.session();
    late.run("START TRANSACTION");
    late.run("INSERT INTO video.video_init (`DATETIME`, VIDEOTITLE, EVENTS) VALUES ('1/1/2026 0:06', 'late', '206')");
    database.run(
        "INSERT INTO video.video_init VALUES ('1/1/2026 0:07', 'early', '206', CURRENT_TIMESTAMP + INTERVAL 20 SECOND)",
    );
    let before = database.run("SELECT MAX(CREATE_TIME) FROM video.video_init");
    arrives(cloud, database, EXPECTED_EVENTS, FOUND_EVENTS);
    wait("the watermark to pass the open transaction", PATIENCE, || {
        let now = watermark(cloud, "video.video_init");
        if now == [before.trim_end()] {
            Ok(())
        } else {
            Err(format!("{now:?}"))
        }
    });
    late.run("COMMIT");
    arrives(cloud, database, EXPECTED_EVENTS, FOUND_EVENTS);
}

/// Each reading sends what the overlap covers again; the typed table stays as it is.
fn a_later_reading_repeats_and_changes_nothing(cloud: &Cloud, database: &Database) {
    let raw = || {
        cloud
            .value(&format!("select count(*) from {RAW_EVENTS}"))
            .parse::<u32>()
            .unwrap()
    };
    let before = raw();
    wait("another reading to arrive", PATIENCE, || {
        let now = raw();
        if now > before { Ok(()) } else { Err(now.to_string()) }
    });
    cloud.run("local run-tasks").exits(0);
    arrives(cloud, database, EXPECTED_EVENTS, FOUND_EVENTS);
    let twice = cloud.sql(&format!("select _ROW from {EVENTS} group by 1 having count(*) > 1"));
    assert_eq!(twice, Vec::<Vec<String>>::new());
}

fn another_overlap_and_another_table_converge(cloud: &Cloud, database: &Database) {
    database.run(
        "CREATE TABLE video.site (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name VARCHAR(40), price DECIMAL(10,2),
         updated_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6), KEY (updated_at, id));
         INSERT INTO video.site (name, price) VALUES ('a', 1.10), ('b', 0.00), ('c', NULL)",
    );
    cloud.edit("overlap = \"2 minutes\"", "overlap = \"5 minutes\"");
    cloud.edit(
        "[env.dev]",
        r#"[[table]]
name = "site"
from = "video.site"
watermark = ["updated_at", "id"]
overlap = "1 minute"
columns = [
    { name = "id", type = "NUMBER(20,0)", key = true },
    { name = "name", type = "VARCHAR(40)" },
    { name = "price", type = "NUMBER(10,2)" },
]

[env.dev]"#,
    );
    cloud.run("diff").exits(2).prints("stack video-events-local-schedule");
    cloud.run("deploy --yes").exits(0);
    cloud.run("diff").exits(0).prints("no change");
    let overlap = |table: &str| {
        let asked = json!({ "GroupName": "video-events-local-extract", "Name": table });
        let input = cloud.aws("scheduler", "get_schedule", asked)["Target"]["Input"].clone();
        serde_json::from_str::<Value>(input.as_str().unwrap()).unwrap()["overlap"].clone()
    };
    assert_eq!(overlap("video.video_init"), json!({ "seconds": 300 }));
    assert_eq!(overlap("video.site"), json!({ "seconds": 60 }));
    let expected = "SELECT id, name, price FROM video.site";
    let found = "select ID, NAME, PRICE from VIDEO_EVENTS_LOCAL.VIDEO.SITE";
    arrives(cloud, database, expected, found);
    database.run("UPDATE video.site SET price = 2.50 WHERE name = 'a'; INSERT INTO video.site (name) VALUES ('d')");
    database.run("UPDATE video.site SET price = 3.75, name = 'A' WHERE id = 1");
    arrives(cloud, database, expected, found);
    arrives(cloud, database, EXPECTED_EVENTS, FOUND_EVENTS);
}

fn status_shows_the_path(cloud: &Cloud, database: &Database) {
    let rows: u64 = cloud.value(&format!("select count(*) from {EVENTS}")).parse().unwrap();
    let told = cloud.run("status --format json").exits(0).json();
    let hop = |kind: &str, name: &str| {
        let hops = told["hops"].as_array().unwrap();
        let found = hops.iter().find(|hop| hop["kind"] == kind && hop["name"] == name);
        found.unwrap_or_else(|| panic!("no {kind} {name}: {told:#}"))["detail"].clone()
    };
    for stack in ["source", "stream", "extract", "schedule"] {
        hop("stack", &format!("video-events-local-{stack}"));
    }
    assert_eq!(hop("table", EVENTS)["rows"], rows);
    assert_eq!(hop("schedule", "video-events-local-extract")["tables"], 2);
    // No watermark is younger than its table's newest row.
    let newest = database.run("SELECT MAX(CREATE_TIME) FROM video.video_init");
    assert_eq!(hop("watermark", "video.video_init")["value"], json!(newest.trim_end()));
    assert!(
        hop("function", "video-events-local-extract")["calls_in_hour"]
            .as_u64()
            .unwrap()
            > 0
    );
    // What a reading repeats is delivered and loaded again, so there are more of these than rows.
    for (kind, name) in [
        ("stream", "video-events-local-changes"),
        ("delivery", "video-events-local-delivery"),
    ] {
        assert!(hop(kind, name)["records_in_hour"].as_u64().unwrap() >= rows, "{told:#}");
    }
    let pipe = hop("pipe", "VIDEO_EVENTS_LOCAL.VIDEO_RAW.VIDEO_VIDEO_INIT_PIPE");
    let raw = hop("raw table", RAW_EVENTS);
    assert!(
        pipe["rows_in_hour"].as_u64().unwrap() >= rows && raw["rows_in_hour"].as_u64().unwrap() >= rows,
        "{told:#}"
    );
    let task = hop("task", "VIDEO_EVENTS_LOCAL.VIDEO_RAW.LOAD_VIDEO_EVENT");
    assert_eq!(task["last_run"]["state"], "succeeded");
    assert!(
        hop("fact", "VIDEO_EVENTS_LOCAL.VIDEO.FACT_VIDEO_START")["rows_in_hour"].is_u64(),
        "{told:#}"
    );
    let widest = cloud
        .run("status")
        .exits(0)
        .stdout
        .lines()
        .map(|line| line.chars().count())
        .max();
    assert!(widest.unwrap() <= 140, "{widest:?}");
}

fn destroy_keeps_the_database_until_told(cloud: &Cloud, database: &Database) {
    let kept = database.run(EXPECTED_EVENTS);
    cloud
        .run("destroy --yes")
        .exits(0)
        .prints("stack video-events-local-source")
        .prints("it holds the database video-events-local-mysql");
    assert_eq!(database.run(EXPECTED_EVENTS), kept);
    assert_eq!(
        stacks(cloud),
        ["video-events-local-source", "video-events-local-storage"]
    );
    // What was read and had not arrived went with the stream. A new deploy reads from the beginning, and what is there
    // already stays as it is.
    let kept = json!({ "Path": "/pipectl/video-events/local", "Recursive": true });
    let kept = cloud.aws("ssm", "get_parameters_by_path", kept);
    assert_eq!(kept["Parameters"], json!([]));
    cloud.run("deploy --yes").exits(0);
    cloud.run("diff").exits(0);
    database.run("INSERT INTO video.video_init (`DATETIME`, VIDEOTITLE) VALUES ('1/1/2026 0:09', 'after the return')");
    arrives(cloud, database, EXPECTED_EVENTS, FOUND_EVENTS);

    cloud.run("destroy --yes --delete-data").exits(0);
    assert_eq!(stacks(cloud), Vec::<String>::new());
    let instances = cloud.aws("rds", "describe_db_instances", json!({}));
    assert_eq!(instances["DBInstances"], json!([]));
    let output = database.client().args(["--execute", "SELECT 1"]).output().unwrap();
    assert!(!output.status.success(), "the server still answers");
}

/// Waits until the rows of a query in the warehouse are those of a query in the source, each as often.
fn arrives(cloud: &Cloud, database: &Database, expected: &str, found: &str) {
    let mut expected: Vec<Vec<String>> = database.run(expected).lines().map(fields).collect();
    expected.sort();
    wait(&format!("{found} to give {expected:?}"), PATIENCE, || {
        let mut rows = cloud.sql(found);
        rows.sort();
        if rows == expected {
            Ok(())
        } else {
            Err(format!("{rows:?}"))
        }
    });
}

fn fields(line: &str) -> Vec<String> {
    line.split('\t').map(str::to_owned).collect()
}

/// The value up to which a table was read.
fn watermark(cloud: &Cloud, table: &str) -> Vec<String> {
    let name = format!("/pipectl/video-events/local/watermark/{table}");
    let answer = cloud.aws("ssm", "get_parameter", json!({ "Name": name }));
    let state: Value = serde_json::from_str(answer["Parameter"]["Value"].as_str().unwrap()).unwrap();
    let values = match &state["value"] {
        Value::Array(values) => values.clone(),
        value => vec![value.clone()],
    };
    values.iter().map(|value| value.as_str().unwrap().to_owned()).collect()
}

fn stacks(cloud: &Cloud) -> Vec<String> {
    let answer = cloud.aws("cloudformation", "describe_stacks", json!({}));
    let list = answer["Stacks"].as_array().unwrap();
    let mut names: Vec<String> = list
        .iter()
        .map(|stack| stack["StackName"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}
