//! What Python writes, read back; Python itself says what it wrote.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::literal::{Literal, parse};
use super::{Origin, Reader, encode};

const ORIGIN: Origin<'_> = Origin {
    sequence: Some("7"),
    arrival: Some("1600000000123"),
};

/// Reads JSON values a line from standard input, and writes the `repr` of each.
const REPR: &str = "
import json, sys
for line in sys.stdin:
    print(repr(json.loads(line)))
";

/// Values that JSON does not have, beside what the record should hold.
const TYPED: &str = r#"
import datetime as d, decimal, json
D, utc = decimal.Decimal, d.timezone.utc
east = d.timezone(d.timedelta(hours=5, minutes=30))
pairs = [
    (None, None), (True, True), (False, False), (-5, -5), (2**64 - 1, 2**64 - 1), (1.5, 1.5), (1e-7, 1e-7), (1e300, 1e300),
    ("O'Brien", "O'Brien"), ('say "hi"', 'say "hi"'), ("O'Brien \"x\"", "O'Brien \"x\""), ("back\\slash\\n", "back\\slash\\n"),
    ("\a\b\f\n\r\t\v\0\x7f\x80\u2028\ud7ff\U0001f600", "\a\b\f\n\r\t\v\0\x7f\x80\u2028\ud7ff\U0001f600"), ("", ""),
    (b"", ""), (b"\x00\xffab'\"\\\n", "AP9hYiciXAo="), (D("19.90"), "19.90"), (D("-0.5"), "-0.5"), (D("0E-10"), "0.0000000000"),
    (D("1E+3"), "1000"), (D("1.25E+1"), "12.5"), (D("-5E-7"), "-0.0000005"),
    (d.datetime(2023, 9, 26, 22, 31, 6), "2023-09-26T22:31:06"), (d.datetime(2023, 9, 26), "2023-09-26T00:00:00"),
    (d.datetime(1, 1, 1, 0, 0, 0, 5), "0001-01-01T00:00:00.000005"), (d.datetime(2024, 2, 29, 1, tzinfo=utc), "2024-02-29T01:00:00Z"),
    (d.datetime(2024, 2, 29, 1, tzinfo=east), "2024-02-29T01:00:00+05:30"), (d.date(9999, 12, 31), "9999-12-31"),
    (d.time(23, 59, 59), "23:59:59"), (d.time(0, 0), "00:00:00"), (d.timedelta(0), "00:00:00"),
    (d.timedelta(hours=-838, minutes=-59, seconds=-59), "-838:59:59"), (d.timedelta(hours=100, microseconds=1), "100:00:00.000001"),
    (d.timedelta(microseconds=-1), "-00:00:00.000001"), ({"b", "a"}, "a,b"), (set(), ""), ({"x"}, "x"), (frozenset({"x"}), "x"),
    ({}, {}), ([], []), ((), []), ((1,), [1]), ({"a": [1, {"b": None}], "c": (True, 2)}, {"a": [1, {"b": None}], "c": [True, 2]}),
    ({b"k": b"v", "d": D("1.10")}, {"k": "v", "d": 1.10}), ([d.date(2024, 1, 2)], ["2024-01-02"]),
]
for value, wanted in pairs:
    print(json.dumps([repr(value), wanted]))
"#;

/// What Python prints.
fn python(program: &str, input: &str) -> Vec<String> {
    let python = std::env::var("PIPECTL_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let mut child = Command::new(python)
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .env("PYTHONUTF8", "1")
        .spawn()
        .expect("python3 starts");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

fn column(text: &str) -> Value {
    let value = parse(text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
    let mut out = Vec::new();
    encode::column(&mut out, &value).unwrap();
    serde_json::from_slice(&out).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn reader() -> Reader {
    let keys = [("s.t", vec!["id"]), ("s.pair", vec!["a", "b"])];
    let keys = keys.map(|(table, columns)| (table.to_owned(), columns.into_iter().map(str::to_owned).collect()));
    Reader::new(BTreeMap::from(keys))
}

/// The records of a change, or why there are none.
fn converted(text: &str) -> Result<Vec<Value>, &'static str> {
    let mut out = Vec::new();
    reader()
        .convert(text, &ORIGIN, &mut out)
        .map_err(|fault| fault.reason)?;
    let lines = String::from_utf8(out).unwrap();
    assert!(lines.is_empty() || lines.ends_with('\n'));
    Ok(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn event(kind: &str, row: &str) -> String {
    format!("{{'schema': 's', 'table': 't', 'type': '{kind}', 'row': {row}}}")
}

#[test]
fn every_type_is_read_as_python_writes_it() {
    for line in python(TYPED, "") {
        let (text, wanted): (String, Value) = serde_json::from_str(&line).unwrap();
        assert_eq!(column(&text), wanted, "{text}");
    }
}

/// JSON values of any shape, with integers and texts that a database can hold.
fn any_value() -> impl Strategy<Value = Value> {
    let number = any::<f64>().prop_filter("JSON has no other", |number| number.is_finite());
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        number.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        r#"['"\\nx0u{}\[\],: ]{0,12}"#.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 30, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    // One Python for many values: starting it is what costs.
    #![proptest_config(ProptestConfig::with_cases(4))]
    #[test]
    fn what_python_writes_is_read_back(values in prop::collection::vec(any_value(), 150)) {
        let input: String = values.iter().map(|value| format!("{value}\n")).collect();
        let written = python(REPR, &input);
        prop_assert_eq!(written.len(), values.len());
        for (text, value) in written.iter().zip(&values) {
            // Compared as texts: serde_json rounds some numbers by an ulp when it reads them.
            prop_assert_eq!(column(text), serde_json::from_str::<Value>(&value.to_string()).unwrap(), "{}", text);
        }
    }
}

proptest! {
    #[test]
    fn json_is_read_too(value in any_value()) {
        prop_assert_eq!(column(&value.to_string()), serde_json::from_str::<Value>(&value.to_string()).unwrap());
    }

    #[test]
    fn any_text_is_no_panic(text in any::<String>()) {
        let _ = converted(&text);
    }

    #[test]
    fn any_text_of_the_grammar_is_no_panic(
        text in r#"([{}\[\](),:'"\\bux0-9.eE+\- ]|None|set\(|Decimal\('|datetime\.(datetime|date|time|timedelta|timezone)\(|days=|tzinfo=){0,30}"#
    ) {
        let _ = converted(&text);
        let _ = converted(&event("WriteRowsEvent", &format!("{{'values': {{'id': {text}}}}}")));
    }
}

#[test]
fn nothing_is_evaluated_and_nothing_is_guessed() {
    for (text, reason) in [
        ("__import__('os').system('x')", "expected a value"),
        ("os.system('x')", "not known"),
        ("datetime.datetime.now()", "not known"),
        ("<object object at 0x7f>", "expected a value"),
        ("1 + 1", "behind the value"),
        ("'a' 'b'", "behind the value"),
        ("'\\N{BULLET}'", "unknown escape"),
        ("'a", "ends inside a string"),
        ("b'é'", "needs an escape"),
        ("b'\\u0041'", "unknown escape"),
        ("nan", "JSON does not have"),
        ("-inf", "JSON does not have"),
        ("0x10", "behind the value"),
        ("01", "JSON does not have"),
        ("Decimal('NaN')", "its type does not have"),
        ("Decimal('1E+999999999')", "its type does not have"),
        ("datetime.date(2023, 2, 29)", "its type does not have"),
        ("datetime.datetime(2023, 1, 1, 24)", "its type does not have"),
        ("datetime.timedelta(days=99999999999999)", "its type does not have"),
        ("{'a': 1", "expected `,` or `}`"),
        ("{'a' 1}", "expected `:`, `,` or `}`"),
        ("", "ends where a value"),
    ] {
        let fault = parse(text).map(|value| format!("{value:?}")).unwrap_err();
        assert!(fault.reason.contains(reason), "{text}: {fault:?}");
        assert!(fault.offset <= text.len());
    }
    assert!(parse(&"[".repeat(1_000_000)).unwrap_err().reason.contains("too deep"));
}

#[test]
fn a_lone_half_of_a_character_is_marked() {
    // Python 3 can hold one, UTF-8 cannot.
    for text in ["'\\ud83d'", "'\\ude00'"] {
        assert_eq!(parse(text), Ok(Literal::Text("\u{FFFD}".into())));
    }
    assert_eq!(
        parse("'\\ud83dx\\ud83d\\ude00'"),
        Ok(Literal::Text("\u{FFFD}x\u{1F600}".into()))
    );
}

#[test]
fn each_kind_of_event_becomes_its_records() {
    let brief = |text: &str| -> Vec<Value> {
        let records = converted(text).unwrap();
        records
            .into_iter()
            .map(|r| json!([r["op"], r["key"], r["before"], r["after"]]))
            .collect()
    };
    let (one, two) = (json!({"id": 1, "n": null}), json!({"id": 2, "n": null}));
    assert_eq!(
        brief(&event("WriteRowsEvent", "{'values': {'id': 1, 'n': None}}")),
        [json!(["i", {"id": 1}, null, one])]
    );
    assert_eq!(
        brief(&event("DeleteRowsEvent", "{'values': {'id': 1, 'n': None}}")),
        [json!(["d", {"id": 1}, one, null])]
    );
    let update = |id| {
        event(
            "UpdateRowsEvent",
            &format!("{{'before_values': {{'id': 1, 'n': None}}, 'after_values': {{'id': {id}, 'n': None}}}}"),
        )
    };
    assert_eq!(brief(&update(1)), [json!(["u", {"id": 1}, one, one])]);
    assert_eq!(
        brief(&update(2)),
        [json!(["d", {"id": 1}, one, null]), json!(["i", {"id": 2}, null, two])]
    );
}

#[test]
fn the_records_of_one_change_are_in_order() {
    let records = converted(&event(
        "UpdateRowsEvent",
        "{'before_values': {'id': 1}, 'after_values': {'id': 2}}",
    ))
    .unwrap();
    let seq: Vec<&str> = records.iter().map(|record| record["seq"].as_str().unwrap()).collect();
    assert!(seq[0] < seq[1]);
    let later = Origin {
        sequence: Some("10"),
        ..ORIGIN
    };
    let mut out = Vec::new();
    reader()
        .convert(&event("WriteRowsEvent", "{'values': {'id': 1}}"), &later, &mut out)
        .unwrap();
    let later: Value = serde_json::from_slice(&out).unwrap();
    assert!(seq[1] < later["seq"].as_str().unwrap());
    assert!(later["seq"].as_str().unwrap() < "000001-");
}

#[test]
fn why_a_value_is_none_is_respected() {
    let row = |source: &str| {
        event(
            "WriteRowsEvent",
            &format!("{{'values': {{'id': 1, 'c': None}}, 'none_sources': {{'c': '{source}'}}}}"),
        )
    };
    assert_eq!(converted(&row("null")).unwrap()[0]["after"]["c"], json!(null));
    assert_eq!(converted(&row("empty set")).unwrap()[0]["after"]["c"], json!(""));
    let zero = &converted(&row("out of datetime2 range")).unwrap()[0];
    assert_eq!(
        (&zero["after"]["c"], &zero["zero"]),
        (&json!(null), &json!({"c": "out of datetime2 range"}))
    );
    assert!(
        converted(&row("cols bitmap"))
            .unwrap_err()
            .contains("binlog_row_image=FULL")
    );
    assert!(
        converted(&row("same with before values"))
            .unwrap_err()
            .contains("PARTIAL_JSON")
    );
}

#[test]
fn what_cannot_be_used_says_why() {
    for (text, reason) in [
        (
            event("WriteRowsEvent", "{'values': {'UNKNOWN_COL0': 1}}"),
            "binlog_row_metadata=FULL",
        ),
        (event("WriteRowsEvent", "{'values': {'n': 1}}"), "not in the row"),
        (event("WriteRowsEvent", "{'values': {'id': None}}"), "is null"),
        (event("WriteRowsEvent", "{}"), "without `values`"),
        (event("UpdateRowsEvent", "{'values': {'id': 1}}"), "`before_values`"),
        (event("RotateEvent", "{'values': {'id': 1}}"), "none of"),
        (
            event("WriteRowsEvent", "{'values': {'id': 1}}").replace("'t'", "'other'"),
            "key of its table",
        ),
        ("{'x': 1}".into(), "neither"),
        ("'text'".into(), "neither"),
    ] {
        let found = converted(&text).unwrap_err();
        assert!(found.contains(reason), "{text}: {found}");
    }
    let nowhere = Origin {
        sequence: None,
        arrival: None,
    };
    let fault = reader().convert(
        &event("WriteRowsEvent", "{'values': {'id': 1}}"),
        &nowhere,
        &mut Vec::new(),
    );
    assert!(fault.unwrap_err().reason.contains("Kinesis stream"));
}

#[test]
fn messages_of_dms_are_read() {
    let message = |operation: &str, more: &str| {
        format!(
            r#"{{"data": {{"a": 1, "b": "x", "n": null}},{more} "metadata": {{"timestamp": "2023-09-26T22:31:06.123456Z",
            "record-type": "data", "operation": "{operation}", "partition-key-type": "primary-key", "schema-name": "s",
            "table-name": "pair", "transaction-id": 42}}}}"#
        )
    };
    let row = json!({"a": 1, "b": "x", "n": null});
    for (operation, more, op, before, after) in [
        ("load", "", "i", json!(null), row.clone()),
        ("insert", "", "i", json!(null), row.clone()),
        ("update", "", "u", json!(null), row.clone()),
        (
            "update",
            r#""before-image": {"a": 1, "b": "x"},"#,
            "u",
            json!({"a": 1, "b": "x"}),
            row.clone(),
        ),
        ("delete", "", "d", row.clone(), json!(null)),
    ] {
        let records = converted(&message(operation, more)).unwrap();
        assert_eq!(records.len(), 1);
        let record = &records[0];
        assert_eq!(
            (&record["op"], &record["before"], &record["after"]),
            (&json!(op), &before, &after)
        );
        assert_eq!(record["key"], json!({"a": 1, "b": "x"}));
        assert_eq!(record["ts"], "2023-09-26T22:31:06.123456Z");
    }
    let moved = converted(&message("update", r#""before-image": {"a": 0, "b": "x"},"#)).unwrap();
    assert_eq!((&moved[0]["op"], &moved[1]["op"]), (&json!("d"), &json!("i")));
    let control = |operation| {
        message("x", "")
            .replace(r#""operation": "x""#, operation)
            .replace(r#""data", "#, r#""control", "#)
    };
    assert_eq!(
        converted(&control(r#""operation": "truncate-table""#)).unwrap()[0]["op"],
        "t"
    );
    assert!(
        converted(&control(r#""operation": "create-table""#))
            .unwrap()
            .is_empty()
    );
    assert!(
        converted(&message("refresh", ""))
            .unwrap_err()
            .contains("unknown `operation`")
    );
}
