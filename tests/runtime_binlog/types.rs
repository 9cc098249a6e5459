//! Every type: the text of each value in a record of the binlog is what the extractor makes of the same row.

use serde_json::Value;

use crate::servers::Kind;
use crate::service::{Service, caught_up, until, world};
use crate::world::event;

/// (type, values)
const BOTH: &[(&str, &[&str])] = &[
    ("TINYINT", &["-128", "127", "NULL"]),
    ("TINYINT UNSIGNED", &["255"]),
    ("SMALLINT", &["-32768"]),
    ("YEAR", &["2155", "1901", "0"]),
    ("SMALLINT UNSIGNED", &["65535"]),
    ("MEDIUMINT", &["-8388608", "8388607"]),
    ("MEDIUMINT UNSIGNED", &["16777215"]),
    ("INT", &["-2147483648"]),
    ("INT UNSIGNED", &["4294967295"]),
    ("BIGINT", &["-9223372036854775808", "9223372036854775807"]),
    ("BIGINT UNSIGNED", &["18446744073709551615"]),
    (
        "DECIMAL(65,30)",
        &[
            "-99999999999999999999999999999999999.999999999999999999999999999999",
            "0.1",
            "-0.000000000000000000000000000001",
        ],
    ),
    ("DECIMAL(10,2)", &["1.10", "-12345678.90", "0", "-0.01"]),
    ("DECIMAL(2,2)", &["0.5", "-0.99"]),
    ("DECIMAL(20,0)", &["-12345678901234567890", "1000000000"]),
    ("FLOAT", &["0.1", "16777216", "-3.4e38"]),
    ("DOUBLE", &["0.1", "-1.7976931348623157e308", "5e-324"]),
    ("BIT(1)", &["b'1'"]),
    ("BIT(13)", &["b'1000000000001'"]),
    (
        "BIT(64)",
        &["b'1111111111111111111111111111111111111111111111111111111111111110'"],
    ),
    ("DATE", &["'1000-01-01'", "'9999-12-31'", "'0000-00-00'"]),
    ("DATETIME", &["'2024-02-29 23:59:59'", "'0000-00-00'"]),
    ("DATETIME(1)", &["'2024-02-29 00:00:00.9'"]),
    ("DATETIME(3)", &["'2024-02-29 00:00:00.012'"]),
    ("DATETIME(6)", &["'2024-02-29 00:00:00.000001'"]),
    ("TIMESTAMP NULL", &["'2024-06-01 12:00:00'", "'0000-00-00'"]),
    ("TIMESTAMP(2) NULL", &["'2038-01-19 03:14:07.99'"]),
    ("TIMESTAMP(6) NULL", &["'2024-06-01 00:00:00.5'"]),
    ("TIME", &["'-838:59:59'", "'00:00:00'", "'838:59:59'"]),
    ("TIME(2)", &["'-00:00:00.01'", "'12:00:00.5'"]),
    ("TIME(4)", &["'-01:02:03.4567'"]),
    ("TIME(6)", &["'101:02:03.000004'", "'-00:00:01.999999'"]),
    ("CHAR(5)", &["'ab'", "'ab   '", "''"]),
    ("CHAR(200) CHARACTER SET utf8mb4", &["'é😀'"]),
    ("CHAR(5) CHARACTER SET latin1", &["'é€'"]),
    ("VARCHAR(50) CHARACTER SET utf8mb4", &["'a\"\\\\\\n\\té😀'"]),
    ("VARCHAR(400) CHARACTER SET cp1250", &["'žluť'"]),
    ("VARCHAR(50) CHARACTER SET cp850", &["'é░'"]),
    ("VARCHAR(50) CHARACTER SET sjis", &["'日本'"]),
    ("VARCHAR(50) CHARACTER SET gbk", &["'中文'"]),
    ("VARCHAR(50) CHARACTER SET utf16", &["'a😀'"]),
    ("VARCHAR(50) CHARACTER SET ucs2", &["'aé'"]),
    ("VARCHAR(50) CHARACTER SET utf32", &["'a😀'"]),
    ("VARCHAR(50) CHARACTER SET koi8r COLLATE koi8r_bin", &["'Привет'"]),
    ("TINYTEXT", &["'a'"]),
    ("LONGTEXT CHARACTER SET utf8mb4", &["''", "REPEAT('ü', 70000)"]),
    ("TEXT CHARACTER SET latin2", &["'ž'"]),
    ("BINARY(4)", &["x'01ff'", "x'00'"]),
    ("VARBINARY(10)", &["x'0001'", "x''"]),
    ("VARBINARY(300)", &["x'ff'"]),
    ("BLOB", &["x'deadbeef'"]),
    ("ENUM('a','b,c','é')", &["'b,c'", "'é'"]),
    ("SET('x','y','z')", &["'z,x'", "''", "'y'"]),
    ("ENUM('ž') CHARACTER SET latin2", &["'ž'"]),
    (
        "JSON",
        &[
            "'{\"bb\": [1, 2.50, null, true, \"x\\\\ny\\\\u0001\"], \"a\": {}}'",
            "'[]'",
            "'\"é\"'",
            "'1e100'",
        ],
    ),
    ("POINT", &["ST_GeomFromText('POINT(1 2)')", "NULL"]),
];
const MYSQL: &[(&str, &[&str])] = &[
    (
        "JSON",
        &[
            "JSON_OBJECT('d', CAST('1.10' AS DECIMAL(10,2)), 't', TIMESTAMP('2024-01-02 03:04:05.000600'), 'u', TIME('-01:02:03'), 'b', x'ff00', 'y', DATE('2024-01-02'))",
            "JSON_ARRAY(1.0, 1e15, 1e14, 1e-7, 1.5e-20, -0.0, 123456.789e3, 18446744073709551615, -9223372036854775808, 40000, 70000, -40000, 5000000000)",
            "CAST(CONCAT('[', REPEAT('\"abcdefghijklmnop\",', 5000), '1]') AS JSON)",
        ],
    ),
    ("VECTOR(2)", &["TO_VECTOR('[1,2.5]')"]),
];
const MARIADB: &[(&str, &[&str])] = &[
    (
        "UUID",
        &[
            "'123e4567-e89b-12d3-a456-426655440000'",
            "'ffffffff-ffff-7fff-8fff-ffffffffffff'",
            "'00000000-0000-0000-0000-000000000000'",
        ],
    ),
    ("INET6", &["'2001:db8::ff00:42:8329'"]),
    ("INET4", &["'192.168.0.0'"]),
];

async fn same_text(kind: Kind, options: &[&str]) {
    let world = world(kind, options).await;
    let own = if kind == Kind::MySql { MYSQL } else { MARIADB };
    let version = world.server.sql("SELECT VERSION()");
    let major: u32 = version.split('.').next().unwrap().parse().unwrap();
    // MySQL has vectors since version 9. Before 8 it writes the floats of a document without `.0`, and so the extractor
    // does; the reader writes all alike.
    let all: Vec<_> = BOTH
        .iter()
        .chain(own)
        .filter(|(kind, values)| {
            let (is_vector, has_floats) = (
                kind.starts_with("VECTOR"),
                values.iter().any(|value| value.contains("1e14")),
            );
            !(is_vector && major < 9 || has_floats && major < 8)
        })
        .collect();
    let columns = all.iter().enumerate().map(|(at, (kind, _))| format!("c{at} {kind}"));
    let columns: Vec<String> = columns.collect();
    // A row has one value of each column; those that are not all used up repeat.
    let longest = all.iter().map(|(_, values)| values.len()).max().unwrap();
    let rows: Vec<String> = (0..longest)
        .map(|row| {
            let values: Vec<&str> = all.iter().map(|(_, values)| values[row % values.len()]).collect();
            format!("({}, {})", row + 1, values.join(", "))
        })
        .collect();
    world.server.sql(&format!(
        "CREATE TABLE shop.t (id INT PRIMARY KEY, {}) CHARACTER SET utf8mb4, ROW_FORMAT=DYNAMIC",
        columns.join(", ")
    ));
    let service = Service::start(&world, &["t"], &[]);
    service.wait("reading");
    world.server.sql(&format!(
        "SET sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+02:00'; INSERT INTO shop.t VALUES {}; UPDATE shop.t SET id = id + 100; DELETE FROM shop.t WHERE id = 101; INSERT INTO shop.t (id) VALUES (999)",
        rows.join(", ")
    ));
    caught_up(&world).await;
    let failed = service.log().into_iter().find(|line| line["level"] == "ERROR");
    assert!(failed.is_none(), "{failed:?}");
    let lines = world.lines().await;
    let truncations = lines.iter().filter(|line| line.contains("\"op\":\"t\"")).count();
    assert_eq!(truncations, 1);
    world.extract(&event("t", &["id"], Value::Null));
    let extracted = world.lines().await;
    let after = |line: &str, name: &str| {
        let start = line.find(&format!("\"{name}\":{{")).unwrap();
        // What follows the row differs: `zero` belongs to it.
        line[start + name.len() + 3..].trim_end().replace(",\"after\":null", "")
    };
    for id in 101..101 + longest as i64 {
        let moved = lines
            .iter()
            .find(|line| line.contains("\"op\":\"i\"") && line.contains(&format!("\"key\":{{\"id\":{id}}}")));
        let moved = moved.unwrap_or_else(|| panic!("no row {id}"));
        let Some(expected) = extracted
            .iter()
            .find(|line| line.contains(&format!("\"key\":{{\"id\":{id}}}")))
        else {
            assert_eq!(id, 101);
            let gone = lines
                .iter()
                .find(|line| line.contains("\"op\":\"d\"") && line.contains("\"key\":{\"id\":101}"));
            assert_eq!(after(gone.unwrap(), "before"), after(moved, "after"));
            continue;
        };
        let (found, expected) = (after(moved, "after"), after(expected, "after"));
        let (found_row, expected_row): (Value, Value) = (cut(&found), cut(&expected));
        for (at, (kind, _)) in all.iter().enumerate() {
            let name = format!("c{at}");
            assert_eq!(found_row[&name], expected_row[&name], "{kind} of row {id}");
        }
        assert_eq!(found, expected, "row {id}");
    }
}

/// The first JSON document of a text.
fn cut(text: &str) -> Value {
    serde_json::Deserializer::from_str(text)
        .into_iter::<Value>()
        .next()
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn every_type_of_mysql() {
    same_text(Kind::MySql, &[]).await;
}

#[tokio::test]
async fn every_type_of_mysql_in_compressed_transactions() {
    same_text(
        Kind::MySql,
        &[
            "--binlog-transaction-compression=ON",
            "--binlog-row-value-options=PARTIAL_JSON",
        ],
    )
    .await;
}

#[tokio::test]
async fn every_type_of_mariadb() {
    same_text(Kind::MariaDb, &[]).await;
}

#[tokio::test]
async fn every_type_of_mariadb_compressed_and_without_names() {
    same_text(
        Kind::MariaDb,
        &[
            "--log-bin-compress=ON",
            "--log-bin-compress-min-len=10",
            "--binlog-row-metadata=NO_LOG",
        ],
    )
    .await;
}

/// What is left of a document when parts of it changed: the server logs the changes only.
#[tokio::test]
async fn parts_of_documents() {
    let world = world(Kind::MySql, &["--binlog-row-value-options=PARTIAL_JSON"]).await;
    world
        .server
        .sql("CREATE TABLE shop.j (id INT PRIMARY KEY, a JSON, n INT, b JSON)");
    let service = Service::start(&world, &["j"], &[]);
    service.wait("reading");
    let document = "{\"list\": [1, {\"x y\": \"aaaaaaaaaaaaaaaaaaaa\"}, 3], \"k\": 1, \"long\": \"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\"}";
    world.server.sql(&format!(
        "INSERT INTO shop.j VALUES (1, '{document}', 1, '{document}');
         UPDATE shop.j SET a = JSON_SET(a, '$.list[1].\"x y\"', 'q'), n = 2;
         UPDATE shop.j SET a = JSON_REMOVE(a, '$.list[0]'), b = JSON_REPLACE(b, '$.k', 2.5);
         UPDATE shop.j SET b = JSON_REMOVE(JSON_REPLACE(b, '$.long', CAST('1.10' AS DECIMAL(5,2))), '$.k');
         UPDATE shop.j SET a = '[1]', n = 3;
         INSERT INTO shop.j (id) VALUES (999)"
    ));
    let mut records = Vec::new();
    until(&world, &mut records, "j", 999).await;
    let updates: Vec<&Value> = records.iter().filter(|record| record["op"] == "u").collect();
    assert_eq!(updates.len(), 4);
    for pair in updates.windows(2) {
        assert_eq!(pair[0]["after"], pair[1]["before"]);
    }
    world.extract(&event("j", &["id"], Value::Null));
    let extracted = world.records().await;
    let last = extracted.iter().find(|record| record["key"]["id"] == 1).unwrap();
    assert_eq!(updates[3]["after"].to_string(), last["after"].to_string());
}
