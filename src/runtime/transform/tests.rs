//! Batches as Firehose sends them, and what is answered.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::batch::{ANSWER, Format, Tally, answer};
use crate::runtime::python_dict::Reader;

fn record(id: u32) -> Value {
    json!({"op": "u", "schema": "shop", "table": "orders", "key": {"id": id}, "seq": format!("000001-{id:020}"), "gtid": null,
        "ts": "2026-11-21T09:00:00.000000Z", "before": null, "after": {"id": id, "note": "a\nb"}})
}

/// An event with these records, as Firehose sends it for a Kinesis stream:
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesisfirehose.html>.
fn event(records: &[Vec<u8>]) -> String {
    let records: Vec<Value> = records
        .iter()
        .enumerate()
        .map(|(index, data)| {
            json!({"recordId": format!("record{index}"), "approximateArrivalTimestamp": 1_600_000_000_123_u64,
                "data": STANDARD.encode(data), "kinesisRecordMetadata": {"sequenceNumber": format!("{}", 49_000 + index),
                "subsequenceNumber": 0, "partitionKey": "{\"", "shardId": "shardId-000000000000",
                "approximateArrivalTimestamp": 1_600_000_000_123_u64}})
        })
        .collect();
    json!({"invocationId": "i", "deliveryStreamArn": "arn:aws:firehose:eu-west-1:1:deliverystream/x", "region": "eu-west-1",
        "records": records})
    .to_string()
}

/// The answer's records, with their data decoded.
fn answered(event: &str, format: &Format, most: usize) -> (Vec<Value>, Vec<String>, Tally) {
    let (text, tally) = answer(event, format, most).unwrap();
    assert!(text.len() <= most);
    let answer: Value = serde_json::from_str(&text).unwrap();
    let records = answer["records"].as_array().unwrap().clone();
    let data = records
        .iter()
        .map(|record| STANDARD.decode(record["data"].as_str().unwrap()).unwrap());
    let data = data.map(|data| String::from_utf8_lossy(&data).into_owned()).collect();
    (records, data, tally)
}

fn transform(records: &[Vec<u8>]) -> (Vec<Value>, Vec<String>, Tally) {
    answered(&event(records), &Format::Records, ANSWER)
}

fn line(record: &Value) -> Vec<u8> {
    format!("{record}\n").into_bytes()
}

fn refusal(data: Vec<u8>) -> String {
    let (records, ..) = transform(std::slice::from_ref(&data));
    assert_eq!(records[0]["result"], "ProcessingFailed");
    assert_eq!(records[0]["data"], STANDARD.encode(&data));
    let (.., tally) = transform(&[data]);
    assert_eq!(tally.passed, 0);
    tally.failed.into_keys().collect()
}

#[test]
fn each_record_ends_in_one_line_break_and_knows_its_folder() {
    let bare = record(1).to_string();
    let given = [
        bare.clone().into_bytes(),
        line(&record(1)),
        format!(" {bare}\r\n\n").into_bytes(),
        format!("{:#}", record(1)).replace("\\n", "\\n").into_bytes(),
    ];
    let (records, data, tally) = transform(&given);
    assert_eq!(tally.passed, 4);
    for (index, (answered, data)) in records.iter().zip(&data).enumerate() {
        assert_eq!(answered["recordId"], format!("record{index}"));
        assert_eq!(answered["result"], "Ok");
        assert_eq!(answered["metadata"], json!({"partitionKeys": {"table": "shop.orders"}}));
        assert_eq!(data.matches('\n').count(), 1, "{data:?}");
        assert!(data.ends_with('\n'));
        assert_eq!(serde_json::from_str::<Value>(data).unwrap(), record(1));
    }
    assert_eq!(data[0], format!("{bare}\n"));
}

#[test]
fn several_records_in_one_go_on_when_they_are_of_one_table() {
    let (_, data, _) = transform(&[format!("{}{}\n{}", record(1), record(2), record(3)).into_bytes()]);
    assert_eq!(data[0], format!("{}\n{}\n{}\n", record(1), record(2), record(3)));
    let mut other = record(2);
    other["table"] = json!("customers");
    assert!(refusal(format!("{}\n{other}\n", record(1)).into_bytes()).contains("several tables"));
}

#[test]
fn a_bad_record_fails_alone_and_with_a_reason() {
    let (records, _, tally) = transform(&[line(&record(1)), b"not json".to_vec(), line(&record(2))]);
    let results: Vec<&str> = records
        .iter()
        .map(|record| record["result"].as_str().unwrap())
        .collect();
    assert_eq!(results, ["Ok", "ProcessingFailed", "Ok"]);
    assert_eq!(tally.passed, 2);
    let failed = &tally.failed["the record is not a JSON object"];
    assert_eq!((failed.count, failed.first.as_str(), failed.offset), (1, "record1", 0));

    assert!(refusal(vec![]).contains("not a JSON object"));
    assert!(refusal(b"\xFF\xFE".to_vec()).contains("UTF-8"));
    assert!(refusal(b"\xF3\x89\x9A\xC2rest".to_vec()).contains("Kinesis Producer Library"));
    assert!(refusal(b"{\"op\":\"u\"}".to_vec()).contains("`schema`"));
    // Each of these would make the whole answer no JSON, or be read by others as another record.
    let tab = record(1).to_string().replace("orders", "or\tders");
    assert!(refusal(tab.into_bytes()).contains("control character"));
    let twice = record(1).to_string().replacen('{', "{\"\\u006fp\":\"d\",", 1);
    assert!(refusal(twice.into_bytes()).contains("twice"));
    assert!(refusal(record(1).to_string().into_bytes()[..40].to_vec()).contains("ends inside"));
    let mut large = record(1);
    large["after"]["note"] = json!("x".repeat(1_024_000));
    assert!(refusal(line(&large)).contains("1,000 KiB"));

    let broken = event(&[vec![]]).replace("\"data\":\"\"", "\"data\":\"a?b=\"");
    let (text, tally) = answer(&broken, &Format::Records, ANSWER).unwrap();
    assert!(
        text.contains("ProcessingFailed") && tally.failed.contains_key("the data is not base64"),
        "{text}"
    );
}

#[test]
fn a_batch_says_nothing_of_the_batch_before() {
    // The original kept its output in a variable of the module, so a warm function answered old records, too.
    for size in [3, 2] {
        let given: Vec<Vec<u8>> = (0..size).map(|id| line(&record(id))).collect();
        assert_eq!(transform(&given).0.len(), size as usize);
    }
    assert_eq!(transform(&[]).0.len(), 0);
}

#[test]
fn an_answer_never_grows_past_lambda_s_limit() {
    let given: Vec<Vec<u8>> = (0..100).map(|id| record(id).to_string().into_bytes()).collect();
    let event = event(&given);
    for most in [16_000, 20_000, 30_000] {
        let (records, _, tally) = answered(&event, &Format::Records, most);
        let failed: u64 = tally.failed.values().map(|failed| failed.count).sum();
        assert_eq!((records.len(), tally.passed + failed), (100, 100));
        assert!(tally.passed > 0 && failed > 0, "{tally:?}");
        let fitting = records.iter().filter(|record| record["result"] == "Ok").count();
        assert_eq!(fitting as u64, tally.passed);
    }
}

#[test]
fn names_reach_the_folder_as_they_are() {
    let mut odd = record(1);
    odd["schema"] = json!("Straße \"q\"");
    let (records, ..) = transform(&[line(&odd)]);
    assert_eq!(records[0]["metadata"]["partitionKeys"]["table"], "Straße \"q\".orders");
}

#[test]
fn an_event_of_something_else_is_an_error() {
    for event in [
        "{}",
        "[]",
        r#"{"records":{}}"#,
        r#"{"records":[{"data":""}]}"#,
        r#"{"records":[{"recordId":"1"}]}"#,
    ] {
        assert!(answer(event, &Format::Records, ANSWER).is_err(), "{event}");
    }
}

#[test]
fn slashes_may_be_escaped_in_the_event() {
    let mut slashes = record(1);
    slashes["after"]["note"] = json!("???>>>~~~???");
    let event = event(&[line(&slashes)]);
    assert!(event.contains('/'));
    let data = answered(&event.replace('/', "\\/"), &Format::Records, ANSWER).1;
    assert_eq!(data[0].as_bytes(), line(&slashes));
}

#[test]
fn the_original_s_records_become_records() {
    let keys = [("CDC_schema.Persons".to_owned(), vec!["PersonID".to_owned()])];
    let format = Format::PythonDict(Reader::new(keys.into()));
    let insert = "{'schema': 'CDC_schema', 'table': 'Persons', 'type': 'WriteRowsEvent', 'row': {'values': {'PersonID': 0, 'FullName': \"O'Brien\", 'City': None}}}";
    let moved = "{'schema': 'CDC_schema', 'table': 'Persons', 'type': 'UpdateRowsEvent', 'row': {'before_values': {'PersonID': 0}, 'after_values': {'PersonID': 9}}}";
    let control = r#"{"control": {}, "metadata": {"record-type": "control", "operation": "create-table"}}"#;
    let given = [insert, moved, control].map(|text| text.as_bytes().to_vec());
    let (records, data, tally) = answered(&event(&given), &format, ANSWER);
    let results: Vec<&str> = records
        .iter()
        .map(|record| record["result"].as_str().unwrap())
        .collect();
    assert_eq!(results, ["Ok", "Ok", "Dropped"]);
    assert_eq!((tally.passed, tally.dropped), (2, 1));
    assert_eq!(records[1]["metadata"]["partitionKeys"]["table"], "CDC_schema.Persons");
    let first: Value = serde_json::from_str(&data[0]).unwrap();
    assert_eq!(
        first,
        json!({"op": "i", "schema": "CDC_schema", "table": "Persons", "key": {"PersonID": 0},
            "seq": format!("000000-{:0>64}-1", 49_000), "gtid": null, "ts": "2020-09-13T12:26:40.123000Z", "before": null,
            "after": {"PersonID": 0, "FullName": "O'Brien", "City": null}})
    );
    let ops: Vec<Value> = data[1]
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["op"].clone())
        .collect();
    assert_eq!(ops, ["d", "i"]);
}

proptest! {
    #[test]
    fn any_data_is_answered_once(records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20)) {
        let (answers, _, tally) = transform(&records);
        prop_assert_eq!(answers.len(), records.len());
        prop_assert_eq!(tally.passed, 0);
    }

    #[test]
    fn any_event_is_no_panic(event in r#"[{}\[\]":,records\\datI0-9 ]{0,60}"#) {
        let _ = answer(&event, &Format::Records, ANSWER);
    }
}
