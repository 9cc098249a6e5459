//! Random records are judged, and go on, as another parser of JSON reads them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree as _;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Deserializer, Value, json};

use super::batch::{ANSWER, Format, answer};

/// What goes on of a text, and into which folder; `None` where it is refused.
type Outcome = Option<(String, String)>;

/// The members that decide, in the order in which pipectl's readers write them.
const MEMBERS: [&str; 8] = ["op", "schema", "table", "key", "seq", "ts", "before", "after"];

/// The outcome by the handler.
fn outcome(text: &str) -> Outcome {
    let event = json!({"records": [{"recordId": "1", "data": STANDARD.encode(text)}]}).to_string();
    let (answer, _) = answer(&event, &Format::Records, ANSWER).unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let record = &answer["records"][0];
    let data = STANDARD.decode(record["data"].as_str().unwrap()).unwrap();
    let folder = record["metadata"]["partitionKeys"]["table"].as_str();
    (record["result"] == "Ok").then(|| (String::from_utf8(data).unwrap(), folder.unwrap().to_owned()))
}

/// The outcome by serde_json and docs/binlog.md.
fn expected(text: &str) -> Outcome {
    let (mut lines, mut folders) = (String::new(), Vec::new());
    for record in Deserializer::from_str(text).into_iter::<&RawValue>() {
        let record = record.ok()?.get();
        folders.push(folder(&members(record)?)?);
        lines.extend([&record.replace(['\r', '\n'], " "), "\n"]);
    }
    folders.dedup();
    match folders.as_slice() {
        [folder] => Some((lines, format!("{}.{}", plain(folder.0)?, plain(folder.1)?))),
        _ => None,
    }
}

/// The schema and table of a good record, as they are written.
fn folder<'a>(members: &[(String, &'a str)]) -> Option<(&'a str, &'a str)> {
    let mut found = [None; 8];
    for (name, value) in members {
        let place = MEMBERS.iter().position(|member| member == name);
        if place.is_some_and(|place| found[place].replace(*value).is_some()) {
            return None;
        }
    }
    let [
        Some(op),
        Some(schema),
        Some(table),
        key,
        Some(seq),
        Some(ts),
        Some(before),
        Some(after),
    ] = found
    else {
        return None;
    };
    let is_object = |value: Option<&str>| value.is_some_and(|value| value.starts_with('{'));
    let is_row = |value| value == "null" || is_object(Some(value));
    let is_right = match op {
        r#""t""# => (key, before, after) == (Some("null"), "null", "null"),
        r#""i""# | r#""u""# => is_object(key) && is_row(before) && is_object(Some(after)),
        r#""d""# => is_object(key) && is_row(before) && after == "null",
        _ => false,
    };
    let is_name = |name| plain(name).is_some_and(|name| !name.is_empty() && !name.contains(char::is_control));
    let seq = seq.strip_prefix('"')?.strip_suffix('"')?;
    let is_seq = (1..=200).contains(&seq.len())
        && seq
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "-_.:".contains(letter));
    let fits = schema.len() + table.len() < 512 + 4;
    (is_right && is_name(schema) && is_name(table) && is_seq && fits && ts.starts_with('"')).then_some((schema, table))
}

/// The members of an object, doubled ones too.
fn members(object: &str) -> Option<Vec<(String, &str)>> {
    struct Members;

    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(String, &'de str)>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                members.push((name, value.get()));
            }
            Ok(members)
        }
    }

    Deserializer::from_str(object).deserialize_map(Members).ok()
}

/// What a JSON string says.
fn plain(text: &str) -> Option<String> {
    serde_json::from_str(text).ok()
}

/// A JSON string: mostly a good one.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        20 => "[a-zA-Z_0-9]{1,6}",
        4 => ".{0,6}".prop_map(|text| Value::from(text).to_string().trim_matches('"').to_owned()),
        1 => select(vec!["", "a\tb", "a\nb", "\u{7f}", "\u{85}", "é\u{1F600}", "a\\u0009b", "\\u0041\\/\\\\", "\\ud800", "\\x", "a\\"])
            .prop_map(str::to_owned),
        1 => (250..520_usize).prop_map(|length| "x".repeat(length)),
    ]
    .prop_map(|text| format!("\"{text}\""))
}

fn number() -> impl Strategy<Value = String> {
    let odd = [
        "0",
        "-0",
        "01",
        "1.",
        ".5",
        "1e999",
        "-1E-5",
        "123456789012345678901234567890.5",
        "+1",
        "-",
        "NaN",
    ];
    prop_oneof![20 => any::<i64>().prop_map(|number| number.to_string()), 1 => select(odd.to_vec()).prop_map(str::to_owned)]
}

/// Blanks, mostly none.
fn blank() -> impl Strategy<Value = String> {
    prop_oneof![60 => Just(""), 1 => select(vec![" ", "  ", "\n", "\r\n", "\t", "\u{b}"])].prop_map(str::to_owned)
}

/// An object with values of any kind.
fn object() -> impl Strategy<Value = String> {
    let words = prop_oneof![20 => select(vec!["null", "true", "false"]), 1 => Just("nul")].prop_map(str::to_owned);
    let leaf = prop_oneof![text(), number(), words];
    let value = leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|values| format!("[{}]", values.join(","))),
            prop::collection::vec((blank(), inner), 0..3).prop_map(|values| {
                let values = values.iter().enumerate();
                let members: Vec<String> = values
                    .map(|(at, (blank, value))| format!("\"{at}\":{blank}{value}"))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    });
    let member = ("[a-z]{0,3}", blank(), value, blank());
    prop::collection::vec(member, 0..4).prop_map(|members| {
        let members = members.iter();
        let members: Vec<String> = members
            .map(|(name, before, value, behind)| format!("\"{name}\":{before}{value}{behind}"))
            .collect();
        format!("{{{}}}", members.join(","))
    })
}

/// A value for a row or a key.
fn row() -> impl Strategy<Value = String> {
    prop_oneof![20 => object(), 1 => Just("null".to_owned()), 1 => text(), 1 => number()]
}

/// How the members of a record depart from what readers write.
#[derive(Debug, Clone)]
enum Change {
    None,
    Swap(Index, Index),
    Twice(Index, Index),
    Without(Index),
    More(Index, String, String),
}

fn change() -> impl Strategy<Value = Change> {
    let names = select(vec!["op", "\\u006fp", "ts", "zero", "more", "befor\\u0065", "seq"]).prop_map(str::to_owned);
    prop_oneof![
        12 => Just(Change::None),
        1 => any::<(Index, Index)>().prop_map(|(one, other)| Change::Swap(one, other)),
        1 => any::<(Index, Index)>().prop_map(|(from, to)| Change::Twice(from, to)),
        1 => any::<Index>().prop_map(Change::Without),
        1 => (any::<Index>(), names, row()).prop_map(|(at, name, value)| Change::More(at, name, value)),
    ]
}

/// A record, mostly as readers write it.
fn record() -> impl Strategy<Value = String> {
    let op = select(vec![
        "i", "i", "i", "u", "u", "u", "u", "d", "d", "d", "t", "t", "x", "iu",
    ])
    .prop_map(|op| format!("\"{op}\""));
    let name = || prop_oneof![3 => Just("\"shop\"".to_owned()), 1 => text()];
    let seq = prop_oneof![20 => "\"[0-9]{6}-[0-9]{4}\"", 1 => text(), 1 => number()];
    let gtid = prop::option::of(prop_oneof![Just("null".to_owned()), text()]);
    let zero = prop::option::of(select(vec!["[\"a\"]", "[\"a\"]", "[\"a\"]", "null", "["]).prop_map(str::to_owned));
    let values = (op, name(), name(), row(), seq, gtid, text(), row(), row(), zero);
    (values, change(), prop::collection::vec((blank(), blank(), blank()), 12)).prop_map(|(values, change, blanks)| {
        let (op, schema, table, mut key, seq, gtid, ts, mut before, mut after, zero) = values;
        // Else hardly any would be good.
        if op == "\"t\"" {
            for value in [&mut key, &mut before, &mut after] {
                *value = "null".to_owned();
            }
        } else if op == "\"d\"" {
            after = "null".to_owned();
        }
        let members = [
            ("op", Some(op)),
            ("schema", Some(schema)),
            ("table", Some(table)),
            ("key", Some(key)),
            ("seq", Some(seq)),
            ("gtid", gtid),
            ("ts", Some(ts)),
            ("before", Some(before)),
            ("after", Some(after)),
            ("zero", zero),
        ];
        let members = members
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let mut members: Vec<(String, String)> = members.collect();
        let count = members.len();
        match change {
            Change::None => {}
            Change::Swap(one, other) => members.swap(one.index(count), other.index(count)),
            Change::Twice(from, to) => members.insert(to.index(count), members[from.index(count)].clone()),
            Change::Without(at) => drop(members.remove(at.index(count))),
            Change::More(at, name, value) => members.insert(at.index(count), (name, value)),
        }
        let members = members.iter().zip(&blanks);
        let members: Vec<String> = members
            .map(|((name, value), (first, second, third))| format!("{first}\"{name}\"{second}:{third}{value}"))
            .collect();
        format!("{{{}}}", members.join(","))
    })
}

/// What was put on the stream as one record: one, mostly, or some, perhaps damaged.
fn given() -> impl Strategy<Value = String> {
    let records = prop::collection::vec(
        (record(), select(vec!["\n", "\n", "\n", "\n", "", " ", "\r\n", ","])),
        1..3,
    );
    (records, any::<Index>(), 0..12_u8, "[ -~\n]").prop_map(|(records, at, damage, letter)| {
        let records: Vec<String> = records.into_iter().map(|(record, behind)| record + behind).collect();
        let mut letters: Vec<char> = records.concat().chars().collect();
        let at = at.index(letters.len());
        match damage {
            0 => letters.truncate(at),
            1 => drop(letters.splice(at..=at, letter.chars())),
            _ => {}
        }
        letters.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn records_are_judged_and_go_on_as_another_parser_reads_them(text in given()) {
        prop_assert_eq!(outcome(&text), expected(&text));
    }
}

/// That the cases above are no refusals only.
#[test]
fn many_random_records_are_good() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let texts = (0..500).map(|_| given().new_tree(&mut runner).unwrap().current());
    let good = texts.filter(|text| expected(text).is_some()).count();
    assert!((50..450).contains(&good), "{good} of 500");
}
