//! What the alert topic says: alarms of CloudWatch, failed files and tasks of Snowflake, and whatever else.

use serde::Deserialize;

/// Error lines that are told of one thing.
pub const MOST_LINES: usize = 5;

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// An alarm is on.
    Alarm,
    /// It was on and is off again.
    Recovered,
    /// Something happened, and nobody says when it is over.
    Failed,
}

/// One thing to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// How it is.
    pub state: State,
    /// Which hop: an alarm's name without the pipeline's, a pipe, a task.
    pub hop: String,
    /// What it means.
    pub what: String,
    /// Since when, or when it happened last, in UTC.
    pub since: String,
    /// The service's own reason.
    pub reason: String,
    /// The last error lines.
    pub lines: Vec<String>,
    /// How often it was said.
    pub times: usize,
}

impl Notice {
    /// Whether somebody must do something.
    pub fn is_bad(&self) -> bool {
        self.state != State::Recovered
    }
}

/// What CloudWatch publishes when an alarm changes:
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html>.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Alarm {
    alarm_name: String,
    alarm_description: Option<String>,
    new_state_value: String,
    #[serde(default)]
    new_state_reason: String,
    #[serde(default)]
    old_state_value: String,
    #[serde(default)]
    state_change_time: String,
}

/// What Snowflake publishes: <https://docs.snowflake.com/en/user-guide/data-load-snowpipe-errors-sns> and
/// <https://docs.snowflake.com/en/user-guide/tasks-errors-payload>.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Snowflake {
    message_type: String,
    #[serde(default)]
    timestamp: String,
    pipe_name: Option<String>,
    task_name: Option<String>,
    stage_location: Option<String>,
    /// What our own tasks say.
    text: Option<String>,
    #[serde(default)]
    messages: Vec<Detail>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    file_name: Option<String>,
    first_error: Option<String>,
    query_id: Option<String>,
    error_code: Option<String>,
    error_message: Option<String>,
}

/// Reads one message; `None` when there is nothing to tell: an alarm that was not on and is not on.
pub fn read(body: &str, prefix: &str) -> Option<Notice> {
    if let Ok(alarm) = serde_json::from_str::<Alarm>(body) {
        return of_alarm(alarm, prefix);
    }
    if let Ok(message) = serde_json::from_str::<Snowflake>(body) {
        return Some(of_snowflake(message));
    }
    Some(Notice {
        state: State::Failed,
        hop: "the alert topic".to_owned(),
        what: "Somebody published this to the alert topic".to_owned(),
        since: String::new(),
        reason: String::new(),
        lines: vec![body.to_owned()],
        times: 1,
    })
}

fn of_alarm(alarm: Alarm, prefix: &str) -> Option<Notice> {
    let state = match (alarm.old_state_value.as_str(), alarm.new_state_value.as_str()) {
        (_, "ALARM") => State::Alarm,
        ("ALARM", _) => State::Recovered,
        _ => return None,
    };
    let hop = alarm.alarm_name.strip_prefix(prefix).unwrap_or(&alarm.alarm_name);
    Some(Notice {
        state,
        hop: hop.to_owned(),
        what: alarm.alarm_description.unwrap_or_default(),
        since: moment(&alarm.state_change_time),
        reason: alarm.new_state_reason,
        lines: Vec::new(),
        times: 1,
    })
}

fn of_snowflake(message: Snowflake) -> Notice {
    let state = match message.message_type.as_str() {
        "TASK_GRAPH_LATE" => State::Alarm,
        "TASK_GRAPH_RUNS" | "TASKS_RUN" => State::Recovered,
        _ => State::Failed,
    };
    let (hop, what) = match (message.pipe_name, message.task_name) {
        (None, Some(tasks)) if message.message_type == "TASKS_RUN" => {
            (format!("task {tasks}"), message.text.unwrap_or_default())
        }
        (None, Some(root)) if state != State::Failed => {
            (format!("task graph {root}"), message.text.unwrap_or_default())
        }
        (Some(pipe), _) => {
            let stage = message.stage_location.unwrap_or_default();
            let what = format!("Snowflake could not load files of {stage}");
            (format!("pipe {pipe}"), what.trim_end_matches(" of ").to_owned())
        }
        (None, Some(task)) => (format!("task {task}"), "A task of Snowflake failed".to_owned()),
        (None, None) => (
            "Snowflake".to_owned(),
            format!("Snowflake says {}", message.message_type),
        ),
    };
    Notice {
        state,
        hop,
        what,
        since: moment(&message.timestamp),
        reason: String::new(),
        lines: message.messages.iter().map(line).collect(),
        times: 1,
    }
}

/// `file: error`, or `code error (query id)`.
fn line(detail: &Detail) -> String {
    let error = detail.first_error.as_deref().or(detail.error_message.as_deref());
    let mut text = String::new();
    if let Some(file) = &detail.file_name {
        text.push_str(file.trim_start_matches('/'));
        text.push_str(": ");
    }
    if let Some(code) = &detail.error_code {
        text.push_str(code);
        text.push(' ');
    }
    text.push_str(error.unwrap_or("no reason was given"));
    if let Some(query) = &detail.query_id {
        text.push_str(&format!(" (query {query})"));
    }
    text
}

/// `2026-11-21T09:00:00.123+0000` as `2026-11-21 09:00:00 UTC`; what looks otherwise stays.
fn moment(text: &str) -> String {
    let is_utc = text.ends_with('Z') || text.ends_with("+0000") || text.ends_with("+00:00");
    match (is_utc, text.get(..10), text.get(10..11), text.get(11..19)) {
        (true, Some(day), Some("T"), Some(time)) => format!("{day} {time} UTC"),
        _ => text.to_owned(),
    }
}

/// What came about the same hop as one notice: the latest state of an alarm, the latest errors of a pipe or task. What
/// is bad stands first.
pub fn grouped(notices: Vec<Notice>) -> Vec<Notice> {
    let mut groups: Vec<Notice> = Vec::new();
    for notice in notices {
        let same = |other: &&mut Notice| {
            other.hop == notice.hop && (other.state == State::Failed) == (notice.state == State::Failed)
        };
        match groups.iter_mut().find(same) {
            None => groups.push(notice),
            Some(group) => {
                let times = group.times + notice.times;
                let (older, newer) = match notice.since >= group.since {
                    true => (group.clone(), notice),
                    false => (notice, group.clone()),
                };
                let lines = older.lines.into_iter().chain(newer.lines);
                *group = Notice {
                    lines: last(lines.collect()),
                    times,
                    ..newer
                };
            }
        }
    }
    groups.sort_by_key(|notice| notice.state == State::Recovered);
    groups
}

/// The last lines, each once.
pub fn last(lines: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for line in lines.into_iter().rev() {
        if kept.len() < MOST_LINES && !kept.contains(&line) {
            kept.push(line);
        }
    }
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn alarm(old: &str, new: &str, time: &str) -> String {
        // https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html
        json!({
            "AlarmName": "shop-prod-copy-errors", "AlarmDescription": "The function failed. Next: pipectl status --env prod",
            "AWSAccountId": "111122223333", "AlarmConfigurationUpdatedTimestamp": "2026-11-20T09:00:00.000+0000",
            "NewStateValue": new, "NewStateReason": "Threshold Crossed: 1 datapoint [1.0] was greater than the threshold (0.0).",
            "StateChangeTime": time, "Region": "EU (Ireland)", "OldStateValue": old,
            "OKActions": [], "AlarmActions": [], "InsufficientDataActions": [],
            "Trigger": { "MetricName": "Errors", "Namespace": "AWS/Lambda", "StatisticType": "Statistic", "Statistic": "SUM",
                "Dimensions": [{ "value": "shop-prod-copy", "name": "FunctionName" }], "Period": 60, "EvaluationPeriods": 1,
                "ComparisonOperator": "GreaterThanThreshold", "Threshold": 0.0, "TreatMissingData": "notBreaching" },
        })
        .to_string()
    }

    #[test]
    fn an_alarm_says_hop_meaning_and_time() {
        let notice = read(&alarm("OK", "ALARM", "2026-11-21T09:00:01.234+0000"), "shop-prod-").unwrap();
        assert_eq!(notice.state, State::Alarm);
        assert_eq!(notice.hop, "copy-errors");
        assert_eq!(notice.since, "2026-11-21 09:00:01 UTC");
        assert_eq!(notice.what, "The function failed. Next: pipectl status --env prod");
        assert!(notice.reason.starts_with("Threshold Crossed"));
    }

    #[test]
    fn only_an_alarm_that_was_on_recovers() {
        let time = "2026-11-21T09:00:01.234+0000";
        assert_eq!(read(&alarm("ALARM", "OK", time), "").unwrap().state, State::Recovered);
        assert_eq!(
            read(&alarm("ALARM", "INSUFFICIENT_DATA", time), "").unwrap().state,
            State::Recovered
        );
        assert_eq!(read(&alarm("INSUFFICIENT_DATA", "OK", time), ""), None);
        assert_eq!(read(&alarm("OK", "INSUFFICIENT_DATA", time), ""), None);
        assert_eq!(
            read(&alarm("INSUFFICIENT_DATA", "ALARM", time), "").unwrap().state,
            State::Alarm
        );
    }

    #[test]
    fn a_failed_task_says_code_error_and_query() {
        // The sample of https://docs.snowflake.com/en/user-guide/tasks-errors-payload
        let body = r#"{"version":"1.0","messageId":"3ff1eff0-7ad7-493c-9552-c0307087e0c6","messageType":"USER_TASK_FAILED","timestamp":"2021-11-11T19:46:39.648Z","accountName":"AWS_UTEN_DPO_ACC","taskName":"AWS_UTEN_DPO_DB.AWS_UTEN_SC.UTEN_AWS_TK1","taskId":"01a03962-2b57-889e-0000-000000000001","rootTaskName":"AWS_UTEN_DPO_DB.AWS_UTEN_SC.UTEN_AWS_TK1","rootTaskId":"01a03962-2b57-889e-0000-000000000001","messages":[{"runId":"2021-11-11T19:46:23.826Z","scheduledTime":"2021-11-11T19:46:23.826Z","queryStartTime":"2021-11-11T19:46:24.879Z","completedTime":"null","queryId":"01a03962-0300-0002-0000-0000000034d8","errorCode":"000630","errorMessage":"Statement reached its statement or warehouse timeout of 10 second(s) and was canceled."}]}"#;
        let notice = read(body, "").unwrap();
        assert_eq!(notice.state, State::Failed);
        assert_eq!(notice.hop, "task AWS_UTEN_DPO_DB.AWS_UTEN_SC.UTEN_AWS_TK1");
        assert_eq!(notice.since, "2021-11-11 19:46:39 UTC");
        assert_eq!(
            notice.lines,
            [
                "000630 Statement reached its statement or warehouse timeout of 10 second(s) and was canceled. (query 01a03962-0300-0002-0000-0000000034d8)"
            ]
        );
    }

    #[test]
    fn a_failed_file_says_which_and_why() {
        // The form of https://docs.snowflake.com/en/user-guide/data-load-snowpipe-errors-sns
        let body = json!({ "version": "1.0", "messageId": "a62e34bc-6141-4e95-92d8-f04fe43b43f5", "messageType": "INGEST_FAILED_FILE",
            "timestamp": "2021-10-22T19:15:29.471Z", "accountName": "MYACCOUNT", "pipeName": "MYDB.MYSCHEMA.MYPIPE",
            "tableName": "MYDB.MYSCHEMA.MYTABLE", "stageLocation": "s3://mybucket/mypath",
            "messages": [{ "fileName": "/file1.csv_0_0_0.csv.gz", "firstError": "Numeric value 'abc' is not recognized" }] });
        let notice = read(&body.to_string(), "").unwrap();
        assert_eq!(notice.hop, "pipe MYDB.MYSCHEMA.MYPIPE");
        assert_eq!(notice.what, "Snowflake could not load files of s3://mybucket/mypath");
        assert_eq!(
            notice.lines,
            ["file1.csv_0_0_0.csv.gz: Numeric value 'abc' is not recognized"]
        );
    }

    #[test]
    fn a_graph_that_is_late_is_an_alarm_and_its_next_run_the_end_of_it() {
        // As snowflake/task_watch.sql and task_report.sql write them.
        let said = |kind: &str, time: &str, text: &str| {
            let body = json!({ "messageType": kind, "taskName": "D.S.LOAD", "timestamp": time, "text": text });
            read(&body.to_string(), "").unwrap()
        };
        let late = said("TASK_GRAPH_LATE", "2026-11-21 09:00:00 UTC", "Rows have waited");
        let again = said("TASK_GRAPH_RUNS", "2026-11-21 09:15:00 UTC", "Loads run again");
        assert_eq!((late.state, late.what.as_str()), (State::Alarm, "Rows have waited"));
        assert_eq!(
            (late.hop.as_str(), late.since.as_str()),
            ("task graph D.S.LOAD", "2026-11-21 09:00:00 UTC")
        );
        let told = grouped(vec![again, late]);
        assert_eq!((told.len(), told[0].state, told[0].times), (1, State::Recovered, 2));
    }

    #[test]
    fn a_task_that_is_well_again_is_told_beside_its_failure() {
        // As snowflake/task_report.sql writes it.
        let body = json!({ "messageType": "TASKS_RUN", "taskName": "D.S.LOAD_A, D.S.LOAD_B",
            "timestamp": "2026-11-21 09:15:00 UTC", "text": "What failed before runs again" });
        let again = read(&body.to_string(), "").unwrap();
        assert_eq!(
            (again.state, again.hop.as_str()),
            (State::Recovered, "task D.S.LOAD_A, D.S.LOAD_B")
        );
        assert_eq!(again.what, "What failed before runs again");
        let failed = json!({ "messageType": "USER_TASK_FAILED", "taskName": "D.S.LOAD_A", "timestamp": "2026-11-21T09:14:00.000Z" });
        let failed = read(&failed.to_string(), "").unwrap();
        let told = grouped(vec![again, failed]);
        assert_eq!(
            told.iter().map(|notice| notice.state).collect::<Vec<_>>(),
            [State::Failed, State::Recovered]
        );
    }

    #[test]
    fn whatever_else_is_told_as_it_is() {
        for body in ["somebody's words", "", "{\"a\":1}", "[1]"] {
            let notice = read(body, "").unwrap();
            assert_eq!((notice.state, notice.lines), (State::Failed, vec![body.to_owned()]));
        }
    }

    #[test]
    fn an_alarm_counts_by_its_latest_state_whatever_the_order() {
        let on = read(&alarm("OK", "ALARM", "2026-11-21T09:00:01.000+0000"), "").unwrap();
        let off = read(&alarm("ALARM", "OK", "2026-11-21T09:05:01.000+0000"), "").unwrap();
        for order in [vec![on.clone(), off.clone()], vec![off, on]] {
            let groups = grouped(order);
            assert_eq!(groups.len(), 1);
            assert_eq!((groups[0].state, groups[0].times), (State::Recovered, 2));
        }
    }

    #[test]
    fn a_flood_becomes_one_notice_with_the_last_errors() {
        let failed = |number: usize| {
            let detail: Value = json!({ "fileName": format!("{number}.json"), "firstError": "no" });
            let body = json!({ "messageType": "INGEST_FAILED_FILE", "timestamp": format!("2026-11-21T09:{number:02}:00.000Z"), "pipeName": "P", "messages": [detail] });
            read(&body.to_string(), "").unwrap()
        };
        let groups = grouped((0..50).map(failed).collect());
        assert_eq!((groups.len(), groups[0].times), (1, 50));
        assert_eq!(groups[0].lines.len(), MOST_LINES);
        assert_eq!(groups[0].lines[MOST_LINES - 1], "49.json: no");
        assert_eq!(groups[0].since, "2026-11-21 09:49:00 UTC");
    }
}
