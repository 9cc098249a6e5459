//! `verify` and `backfill` on a real server of this machine: what is planted by hand on either side is found, and rows that
//! are written again are repaired. One cloud for both; the backfills are in their own file.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::backfill;
use crate::cloud::{Cloud, Iam, wait};
use crate::database::Database;
use crate::run::Run;

const PATIENCE: Duration = Duration::from_secs(240);
pub const SCHEMA: &str = "VIDEO_EVENTS_LOCAL.VIDEO";
pub const ROWS: u32 = 5000;

/// Type in MySQL, a value, type in the warehouse, another value there; without the latter it is compared by NULLs only.
const TYPES: &[(&str, &str, &str, Option<&str>)] = &[
    ("BIGINT", "-9223372036854775808", "NUMBER(38,0)", Some("1")),
    ("BIGINT UNSIGNED", "18446744073709551615", "NUMBER(20,0)", Some("1")),
    ("INT", "42", "NUMBER(10,2)", Some("42.01")),
    ("INT", "42", "VARCHAR(20)", Some("'042'")),
    ("BOOLEAN", "1", "BOOLEAN", Some("FALSE")),
    (
        "BIT(64)",
        "b'1111111111111111111111111111111111111111111111111111111111111111'",
        "NUMBER(20,0)",
        Some("1"),
    ),
    ("YEAR", "2155", "NUMBER(4,0)", Some("2154")),
    ("DECIMAL(10,2)", "'-0.10'", "NUMBER(10,2)", Some("0.10")),
    ("DECIMAL(10,2)", "'1.10'", "NUMBER(12,4)", Some("1.1001")),
    (
        "DECIMAL(65,30)",
        "'-99999999999999999999999999999999999.999999999999999999999999999999'",
        "VARCHAR",
        Some("'1'"),
    ),
    ("DECIMAL(10,4)", "'1.2345'", "NUMBER(10,2)", None),
    ("FLOAT", "0.1", "FLOAT", Some("0.1000001")),
    ("DOUBLE", "0.1", "FLOAT", Some("0.10000000001")),
    ("DOUBLE", "1.005", "NUMBER(10,2)", None),
    ("DATE", "'2024-02-29'", "DATE", Some("'2024-02-28'")),
    ("DATE", "'2024-02-29'", "TIMESTAMP_NTZ", Some("'2024-02-29 00:00:01'")),
    ("DATE", "'0000-00-00'", "DATE", Some("'2024-02-28'")),
    (
        "DATETIME",
        "'2024-02-29 23:59:59'",
        "TIMESTAMP_NTZ",
        Some("'2024-02-29 23:59:59.000001'"),
    ),
    (
        "DATETIME(3)",
        "'2024-02-29 00:00:00.5'",
        "TIMESTAMP_NTZ(9)",
        Some("'2024-02-29 00:00:00.6'"),
    ),
    (
        "DATETIME(6)",
        "'2024-02-29 00:00:00.000001'",
        "TIMESTAMP_NTZ(6)",
        Some("'2024-02-29'"),
    ),
    ("DATETIME(6)", "'2024-02-29 00:00:00.000001'", "TIMESTAMP_NTZ(3)", None),
    (
        "DATETIME",
        "'2024-02-29 23:59:59'",
        "VARCHAR(30)",
        Some("'2024-02-29 23:59:59'"),
    ),
    (
        "TIMESTAMP NULL",
        "'2024-06-01 12:00:00'",
        "TIMESTAMP_NTZ",
        Some("'2024-06-01 12:00:01'"),
    ),
    (
        "TIMESTAMP(6) NULL",
        "'2024-06-01 12:00:00.25'",
        "TIMESTAMP_TZ(6)",
        Some("'2024-06-01 12:00:00.26 +00:00'"),
    ),
    ("TIME(6)", "'-838:59:59'", "VARCHAR", Some("'838:59:59.000000'")),
    ("TIME(3)", "'01:02:03.5'", "TIME(3)", Some("'01:02:03.501'")),
    ("CHAR(5)", "'ab'", "VARCHAR(5)", Some("'ab '")),
    ("VARCHAR(50)", "'a\"\\\\\\n\\té😀'", "VARCHAR(50)", Some("'a'")),
    ("VARCHAR(50) CHARACTER SET latin1", "'é€'", "VARCHAR(50)", Some("'e€'")),
    ("TEXT", "''", "VARCHAR", Some("NULL")),
    ("VARCHAR(20)", "'2024-02-29'", "DATE", None),
    ("BINARY(4)", "x'01ff'", "BINARY", Some("TO_BINARY('01ff', 'HEX')")),
    ("BLOB", "x'deadbeef'", "VARCHAR", Some("'3q2+7w='")),
    ("ENUM('a','b,c')", "'b,c'", "VARCHAR", Some("'a'")),
    ("SET('x','y','z')", "'z,x'", "VARCHAR", Some("'z,x'")),
    ("JSON", "'{\"b\": [1, 2.50], \"a\": null}'", "VARIANT", None),
    (
        "POINT",
        "ST_GeomFromText('POINT(1 2)')",
        "OBJECT",
        Some("OBJECT_CONSTRUCT('srid', 1, 'wkb', 'AQ==')"),
    ),
];

#[test]
fn source_and_warehouse_are_compared_and_rows_written_again() {
    let cloud = Cloud::up_for(Iam::Enforced, "mysql-star");
    cloud.edit("[env.dev]\n", &format!("{}\n[env.dev]\n", tables()));
    cloud
        .run("verify")
        .exits(1)
        .complains("the function video-events-local-extract is not there");
    cloud.run("deploy --yes").exits(0);
    let database = Database::of(&cloud);
    fill(&database);
    arrive(&cloud, "SITE", ROWS);
    arrive(&cloud, "KINDS", 3);
    arrive(&cloud, "WORD", 3);
    arrive(&cloud, "VIDEO_EVENT", 3);
    // All tables at once, as they come from the pipeline.
    let report = verify(&cloud, "--wait 60", 0);
    assert_eq!(report["equal"], true);
    every_type_is_compared(&cloud, &report);
    planted_rows_are_listed(&cloud, &database);
    rows_without_an_order_are_listed(&cloud, &database);
    backfill::repairs_a_range(&cloud);
    backfill::goes_on_after_a_kill(&cloud);
    rows_not_read_yet_are_no_differences(&cloud, &database);
    what_is_wrong_is_said(&cloud, &database);
}

fn tables() -> String {
    let columns: Vec<String> = TYPES
        .iter()
        .enumerate()
        .map(|(at, (_, _, kind, _))| format!("{{ name = \"c{at}\", type = \"{kind}\" }}"))
        .collect();
    let table = |name: &str, watermark: &str, columns: &str| {
        format!(
            "[[table]]\nname = \"{name}\"\nfrom = \"video.{name}\"\nwatermark = {watermark}\noverlap = \"1 minute\"\ncolumns = [{columns}]\n"
        )
    };
    let id = "{ name = \"id\", type = \"NUMBER(20,0)\", key = true }";
    table(
        "site",
        "[\"updated_at\", \"id\"]",
        &format!(
            "{id}, {{ name = \"name\", type = \"VARCHAR(40)\" }}, {{ name = \"price\", type = \"NUMBER(10,2)\" }}"
        ),
    ) + &table("kinds", "\"updated_at\"", &format!("{id}, {}", columns.join(", ")))
        + &table(
            "word",
            "\"updated_at\"",
            "{ name = \"word\", type = \"VARCHAR(40)\", key = true }, { name = \"n\", type = \"NUMBER(10,0)\" }",
        )
}

/// Rows with old watermarks, so that no reading's overlap covers what is planted, and one of now for each table.
fn fill(database: &Database) {
    let watermark = "updated_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)";
    let columns: Vec<String> = TYPES
        .iter()
        .enumerate()
        .map(|(at, kind)| format!("c{at} {}", kind.0))
        .collect();
    let (values, nulls): (Vec<&str>, Vec<&str>) = TYPES.iter().map(|kind| (kind.1, "NULL")).unzip();
    database.run(&format!(
        "SET sql_mode = '';
         CREATE TABLE video.kinds (id INT PRIMARY KEY, {watermark}, {}) CHARACTER SET utf8mb4;
         INSERT INTO video.kinds VALUES (1, '2026-01-01', {}), (2, '2026-01-01', {});
         INSERT INTO video.kinds (id) VALUES (3);
         CREATE TABLE video.site (id BIGINT UNSIGNED PRIMARY KEY, name VARCHAR(40), price DECIMAL(10,2), {watermark}, KEY (updated_at, id));
         INSERT INTO video.site SELECT seq, CONCAT('site ', seq), seq / 100, CURRENT_TIMESTAMP(6) - INTERVAL ({ROWS} - seq) SECOND FROM video.seq_1_to_{ROWS};
         CREATE TABLE video.word (word VARCHAR(40) CHARACTER SET utf8mb4 PRIMARY KEY, n INT, {watermark});
         INSERT INTO video.word VALUES ('Zürich', 1, '2026-01-01'), ('_under', 2, '2026-01-01'), ('apple', 3, CURRENT_TIMESTAMP(6));
         CREATE TABLE video.video_init (`DATETIME` VARCHAR(30) NOT NULL, VIDEOTITLE VARCHAR(200), EVENTS VARCHAR(150),
         CREATE_TIME TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, KEY (CREATE_TIME));
         INSERT INTO video.video_init VALUES ('1', 'twice', NULL, '2026-01-01'), ('1', 'twice', NULL, '2026-01-01'), ('2', NULL, NULL, CURRENT_TIMESTAMP)",
        columns.join(", "),
        values.join(", "),
        nulls.join(", ")
    ));
}

fn arrive(cloud: &Cloud, table: &str, rows: u32) {
    wait(&format!("{rows} rows of {table}"), PATIENCE, || {
        let found = cloud.value(&format!("select count(*) from {SCHEMA}.{table}"));
        if found == rows.to_string() {
            return Ok(());
        }
        let rejected = cloud.sql(&format!("select REASON from {SCHEMA}_RAW.{table}_REJECTED limit 3"));
        Err(format!("{found}; rejected: {rejected:?}"))
    });
}

pub fn verify(cloud: &Cloud, words: &str, code: i32) -> Value {
    Run::of(cloud.command(&format!("verify {words}")).args(["--format", "json"]))
        .exits(code)
        .json()
}

/// The rows that are listed of the only table: what kind, the first column of the key, columns.
fn listed(report: &Value) -> BTreeSet<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let keys = report["tables"][0]["keys"].as_array().unwrap();
    keys.iter()
        .map(|row| (text(&row["kind"]), text(&row["key"][0][1]), row["columns"].to_string()))
        .collect()
}

fn set(rows: &[(&str, &str, &str)]) -> BTreeSet<(String, String, String)> {
    rows.iter()
        .map(|(kind, key, columns)| ((*kind).to_owned(), (*key).to_owned(), (*columns).to_owned()))
        .collect()
}

fn every_type_is_compared(cloud: &Cloud, report: &Value) {
    let kinds = report["tables"]
        .as_array()
        .unwrap()
        .iter()
        .find(|table| table["source"] == "video.kinds")
        .unwrap();
    let partly: Vec<&str> = kinds["partly"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["column"].as_str().unwrap())
        .collect();
    let named = |wanted: fn(&Option<&str>) -> bool| -> Vec<String> {
        let columns = TYPES.iter().enumerate().filter(|(_, kind)| wanted(&kind.3));
        columns.map(|(at, _)| format!("C{at}")).collect()
    };
    assert_eq!(partly, named(|other| other.is_none()));
    let planted: Vec<String> = TYPES
        .iter()
        .enumerate()
        .filter_map(|(at, kind)| Some(format!("C{at} = {}", kind.3?)))
        .collect();
    cloud.sql(&format!(
        "update {SCHEMA}.KINDS set {} where ID = 1",
        planted.join(", ")
    ));
    let report = verify(cloud, "kinds --wait 0", 2);
    let columns: Vec<String> = serde_json::from_value(report["tables"][0]["keys"][0]["columns"].clone()).unwrap();
    assert_eq!(columns, named(|other| other.is_some()), "{report:#}");
    assert_eq!(report["tables"][0]["different"], 1);
    // Where a text cannot be compared, what is NULL is.
    let json = format!("C{}", TYPES.iter().position(|kind| kind.0 == "JSON").unwrap());
    cloud.sql(&format!(
        "update {SCHEMA}.KINDS set {json} = parse_json('1') where ID = 2"
    ));
    let report = verify(cloud, "kinds --wait 0", 2);
    assert_eq!(report["tables"][0]["keys"][1]["columns"], json!([json]));
}

fn planted_rows_are_listed(cloud: &Cloud, database: &Database) {
    cloud.sql(&format!("delete from {SCHEMA}.SITE where ID in (7, 4500)"));
    cloud.sql(&format!(
        "update {SCHEMA}.SITE set NAME = 'other', PRICE = 0 where ID = 4321"
    ));
    cloud.sql(&format!(
        "insert into {SCHEMA}.SITE (ID, NAME, _SEQ, _FILE, _FILE_ROW, _FILE_MODIFIED, _LOADED_AT) select 99999, 'extra', _SEQ, _FILE, 0, _FILE_MODIFIED, _LOADED_AT from {SCHEMA}.SITE where ID = 1"
    ));
    // The watermark stays as it was, so no reading sees these.
    database.run("UPDATE video.site SET price = NULL WHERE id = 10; DELETE FROM video.site WHERE id = 2500");
    let report = verify(cloud, "site --wait 0", 2);
    let expected = [
        ("missing", "7", "[]"),
        ("missing", "4500", "[]"),
        ("different", "4321", "[\"NAME\",\"PRICE\"]"),
        ("different", "10", "[\"PRICE\"]"),
        ("extra", "2500", "[]"),
        ("extra", "99999", "[]"),
    ];
    assert_eq!(listed(&report), set(&expected), "{report:#}");
    let shown = cloud.run("verify video.site --wait 0 --limit 2").exits(2);
    shown
        .prints("2 missing in the warehouse")
        .prints("2 only in the warehouse: deleted in the source, which a watermark does not see")
        .prints("2 of 6 rows; --limit lists more")
        .prints("next: pipectl backfill video.site");
}

/// Keys of text sort by a collation in one place and by code point in the other; a table without a key has no order.
fn rows_without_an_order_are_listed(cloud: &Cloud, database: &Database) {
    cloud.sql(&format!("update {SCHEMA}.WORD set N = 9 where WORD = 'Zürich'"));
    database.run("DELETE FROM video.word WHERE word = '_under'");
    let report = verify(cloud, "word --wait 0", 2);
    let expected = [("different", "Zürich", "[\"N\"]"), ("extra", "_under", "[]")];
    assert_eq!(listed(&report), set(&expected), "{report:#}");
    cloud.sql(&format!("delete from {SCHEMA}.VIDEO_EVENT where _ROW like '%-2'"));
    let report = verify(cloud, "video_event --wait 0", 2);
    let row = cloud.value(&format!(
        "select SPLIT_PART(_ROW, '-', 1) from {SCHEMA}.VIDEO_EVENT where TITLE = 'twice'"
    ));
    assert_eq!(listed(&report), set(&[("missing", row.as_str(), "[]")]), "{report:#}");
}

fn rows_not_read_yet_are_no_differences(cloud: &Cloud, database: &Database) {
    let schedule = json!({ "GroupName": "video-events-local-extract", "Name": "video.site" });
    cloud.aws("scheduler", "delete_schedule", schedule);
    wait("what is read to arrive", PATIENCE, || {
        let ended = cloud.run("verify site --wait 0 --ignore-extra");
        if ended.code == Some(0) {
            Ok(())
        } else {
            Err(ended.stdout)
        }
    });
    database.run(
        "INSERT INTO video.site VALUES (6000, 'new', 1, CURRENT_TIMESTAMP(6)); UPDATE video.site SET name = 'changed', updated_at = CURRENT_TIMESTAMP(6) WHERE id = 20",
    );
    let report = verify(cloud, "site --wait 0 --ignore-extra", 0);
    assert_eq!(
        (&report["tables"][0]["unread"], &report["tables"][0]["missing"]),
        (&json!(2), &json!(0))
    );
    // Within the watermark and without a schedule: it never comes, and is waited for as long as is said.
    database.run(
        "INSERT INTO video.site SELECT 6001, 'late', 1, updated_at - INTERVAL 1 SECOND FROM video.site WHERE id = 5000",
    );
    cloud
        .run("verify site --wait 3 --ignore-extra")
        .exits(2)
        .complains("may be on the way; looking again for up to")
        .prints("missing  id=6001");
}

fn what_is_wrong_is_said(cloud: &Cloud, database: &Database) {
    cloud
        .run("verify nothing")
        .exits(1)
        .complains("there are: video_event, site, kinds, word");
    database.run("DROP TABLE video.word");
    cloud
        .run("verify word")
        .exits(1)
        .complains("the function video-events-local-extract failed")
        .complains("the table video.word does not exist");
}
