//! Every type, value by value. What is expected is written from MySQL's reference manual, chapter 13.

use serde_json::{Value, json};

use crate::servers::Kind;
use crate::world::{World, event};

/// (type, literal, expected JSON text)
const VALUES: &[(&str, &str, &str)] = &[
    ("TINYINT", "-128", "-128"),
    ("TINYINT UNSIGNED", "255", "255"),
    ("BOOLEAN", "TRUE", "1"),
    ("SMALLINT", "-32768", "-32768"),
    ("SMALLINT UNSIGNED", "65535", "65535"),
    ("MEDIUMINT", "-8388608", "-8388608"),
    ("MEDIUMINT UNSIGNED", "16777215", "16777215"),
    ("INT", "-2147483648", "-2147483648"),
    ("INT UNSIGNED", "4294967295", "4294967295"),
    ("BIGINT", "-9223372036854775808", "-9223372036854775808"),
    ("BIGINT UNSIGNED", "18446744073709551615", "18446744073709551615"),
    (
        "DECIMAL(65,30)",
        "'-99999999999999999999999999999999999.999999999999999999999999999999'",
        "\"-99999999999999999999999999999999999.999999999999999999999999999999\"",
    ),
    ("DECIMAL(10,2)", "'1.10'", "\"1.10\""),
    ("FLOAT", "0.1", "0.1"),
    ("FLOAT", "16777216", "16777216.0"),
    ("DOUBLE", "0.1", "0.1"),
    ("DOUBLE", "-1.7976931348623157e308", "-1.7976931348623157e+308"),
    ("BIT(1)", "b'1'", "1"),
    (
        "BIT(64)",
        "b'1111111111111111111111111111111111111111111111111111111111111111'",
        "18446744073709551615",
    ),
    ("DATE", "'1000-01-01'", "\"1000-01-01\""),
    ("DATE", "'9999-12-31'", "\"9999-12-31\""),
    ("DATETIME", "'2024-02-29 23:59:59'", "\"2024-02-29T23:59:59\""),
    ("DATETIME(3)", "'2024-02-29 00:00:00'", "\"2024-02-29T00:00:00.000\""),
    (
        "DATETIME(6)",
        "'2024-02-29 00:00:00.000001'",
        "\"2024-02-29T00:00:00.000001\"",
    ),
    // The session that inserts is at +02:00.
    ("TIMESTAMP NULL", "'2024-06-01 12:00:00'", "\"2024-06-01T10:00:00Z\""),
    (
        "TIMESTAMP(6) NULL",
        "'2024-06-01 00:00:00.5'",
        "\"2024-05-31T22:00:00.500000Z\"",
    ),
    ("TIME", "'-838:59:59'", "\"-838:59:59\""),
    ("TIME", "'00:00:00'", "\"00:00:00\""),
    ("TIME(6)", "'101:02:03.000004'", "\"101:02:03.000004\""),
    ("YEAR", "2155", "2155"),
    ("CHAR(5)", "'ab'", "\"ab\""),
    (
        "VARCHAR(50) CHARACTER SET utf8mb4",
        "'a\"\\\\\\n\\té😀'",
        "\"a\\\"\\\\\\n\\té😀\"",
    ),
    ("VARCHAR(50) CHARACTER SET latin1", "'é€'", "\"é€\""),
    ("LONGTEXT CHARACTER SET utf8mb4", "''", "\"\""),
    ("BINARY(4)", "x'01ff'", "\"Af8AAA==\""),
    ("VARBINARY(10)", "x'00'", "\"AA==\""),
    ("BLOB", "x'deadbeef'", "\"3q2+7w==\""),
    ("ENUM('a','b,c')", "'b,c'", "\"b,c\""),
    ("SET('x','y','z')", "'z,x'", "\"x,z\""),
    ("INT", "NULL", "null"),
    ("TEXT", "NULL", "null"),
];
/// Only where the server stores JSON as such are its digits normalised; both keep the value.
const ON_BOTH: &[(&str, &str, &str)] = &[
    (
        "JSON",
        "'{\"a\": [1, 2.50, null, \"x\\\\ny\"]}'",
        "{\"a\": [1, 2.50, null, \"x\\ny\"]}",
    ),
    (
        "POINT",
        "ST_GeomFromText('POINT(1 2)')",
        "{\"srid\":0,\"wkb\":\"AQEAAAAAAAAAAADwPwAAAAAAAABA\"}",
    ),
];

async fn round_trips(kind: Kind) {
    let world = World::new(kind).await;
    let values: Vec<_> = VALUES.iter().chain(ON_BOTH).collect();
    let columns: Vec<String> = values
        .iter()
        .enumerate()
        .map(|(at, value)| format!("c{at} {}", value.0))
        .collect();
    let literals: Vec<&str> = values.iter().map(|value| value.1).collect();
    world.server.sql(&format!(
        "CREATE TABLE shop.t (id INT PRIMARY KEY, {}) CHARACTER SET utf8mb4; SET time_zone = '+02:00'; INSERT INTO shop.t VALUES (1, {})",
        columns.join(", "),
        literals.join(", ")
    ));
    assert_eq!(world.extract(&event("t", &["id"], Value::Null))["rows"], 1);
    let records = world.records().await;
    let [record] = records.as_slice() else {
        panic!("{records:?}")
    };
    assert_eq!(record["op"], "u");
    assert_eq!((&record["schema"], &record["table"]), (&json!("shop"), &json!("t")));
    assert_eq!(record["key"], json!({"id": 1}));
    for (at, (kind, literal, expected)) in values.into_iter().enumerate() {
        let expected: Value = serde_json::from_str(expected).unwrap();
        let found = &record["after"][format!("c{at}")];
        // MySQL sorts and shortens JSON by itself.
        let same = if *kind == "JSON" {
            found["a"][3] == "x\ny" && found["a"][1] == 2.5
        } else {
            *found == expected
        };
        assert!(same, "{kind} {literal}: {found}, not {expected}");
    }
}

#[tokio::test]
async fn every_type_of_mysql() {
    round_trips(Kind::MySql).await;
}

#[tokio::test]
async fn every_type_of_mariadb() {
    round_trips(Kind::MariaDb).await;
}

#[tokio::test]
async fn zero_dates_become_null_and_are_told() {
    let world = World::new(Kind::MySql).await;
    world.server.sql(
        "SET sql_mode = 'ALLOW_INVALID_DATES'; CREATE TABLE shop.z (id INT PRIMARY KEY, d DATE, t DATETIME(3), e DATE, f DATE);
         INSERT INTO shop.z VALUES (1, '0000-00-00', '0000-00-00', '2023-02-31', '2024-05-00')",
    );
    world.extract(&event("z", &["id"], Value::Null));
    let record = &world.records().await[0];
    assert_eq!(
        record["after"],
        json!({"id": 1, "d": null, "t": null, "e": null, "f": null})
    );
    let zero = json!({"d": "0000-00-00", "t": "0000-00-00T00:00:00.000", "e": "2023-02-31", "f": "2024-05-00"});
    assert_eq!(record["zero"], zero);
}
