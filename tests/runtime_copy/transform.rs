//! The handler `transform` under the Runtime API. What it answers is tested beside its code; here is the way there and back.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::function::Function;

const LIMIT: Duration = Duration::from_secs(60);
const SECRET: &str = "what nobody but its owner may read";

fn batch(records: &[String]) -> Value {
    let numbered = records.iter().enumerate();
    let records: Vec<Value> = numbered
        .map(|(index, data)| json!({"recordId": format!("r{index}"), "approximateArrivalTimestamp": 1, "data": STANDARD.encode(data)}))
        .collect();
    json!({"invocationId": "i", "deliveryStreamArn": "d", "region": "eu-west-1", "records": records})
}

fn record(id: usize) -> String {
    json!({"op": "i", "schema": "shop", "table": "orders", "key": {"id": id}, "seq": "1", "ts": "2026-11-21T09:00:00Z",
        "before": null, "after": {"id": id, "note": "x".repeat(400)}})
    .to_string()
}

#[test]
fn a_function_answers_each_batch_and_keeps_nothing() {
    let function = Function::of("transform", &[]);
    // 3 MB, the most that Firehose sends.
    for size in [5000, 3, 2] {
        let records: Vec<String> = (0..size).map(record).collect();
        let answer = function.invoke(LIMIT, &batch(&records)).unwrap();
        let answered = answer["records"].as_array().unwrap();
        assert_eq!(answered.len(), size);
        let last = &answered[size - 1];
        assert_eq!(
            (&last["recordId"], &last["result"]),
            (&json!(format!("r{}", size - 1)), &json!("Ok"))
        );
        let data = STANDARD.decode(last["data"].as_str().unwrap()).unwrap();
        assert_eq!(data, format!("{}\n", record(size - 1)).into_bytes());
    }
    assert_eq!(function.actions(), ["transformed"; 3]);

    let bad = record(1).replace("\"op\":\"i\"", &format!("\"op\":\"{SECRET}\""));
    let answer = function.invoke(LIMIT, &batch(&[bad])).unwrap();
    assert_eq!(answer["records"][0]["result"], "ProcessingFailed");
    let log = function.log();
    assert_eq!(
        (&log[0]["level"], &log[0]["action"]),
        (&json!("ERROR"), &json!("record refused"))
    );
    assert!(
        log[0]["detail"].as_str().unwrap().contains("`op` is none of"),
        "{log:?}"
    );
    assert!(!format!("{log:?}").contains(SECRET));

    let error = function
        .invoke(LIMIT, &json!({"detail": SECRET}))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("not a batch of Firehose") && !error.contains(SECRET),
        "{error}"
    );
}
