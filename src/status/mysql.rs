//! The hops of a MySQL source: schedules, the function that reads, watermarks, stream and Firehose; or, by the binary log,
//! the reader, stream, the function that Firehose asks, and Firehose.
//!
//! What a source commits is seen at the next reading, so the lag of a row up to there is the schedule's at most; what can
//! be told is how old the watermark is, and (of tables) how long a row takes from its reading on.

use std::collections::BTreeMap;

use aws_sdk_scheduler::error::ProvideErrorMetadata;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde_json::{Value, json};

use super::metrics::{Answers, Asked, Questions, now};
use super::{DEPLOY, Hop, count, span};
use crate::aws::failure::explain;
use crate::aws::{Aws, parameters};
use crate::graph::alarm::{LATE_SECONDS, Metric};
use crate::graph::mysql::{extract, schedule, transform};
use crate::model::{Capture, Model, MysqlSource, MysqlTable};
use crate::runtime::alert::logs::last_errors;
use crate::runtime::extract::state::parameter_name;
use crate::runtime::extract::watermark::State;
use crate::spec::rate::Rate;
use crate::spec::schedule::Schedule;

/// What is asked about the source.
pub struct Source<'a> {
    model: &'a Model,
    source: &'a MysqlSource,
    calls: Asked,
    failures: Asked,
    attempts: Asked,
    refusals: Asked,
    records: Asked,
    age: Asked,
    delivered: Asked,
    success: Asked,
    freshness: Asked,
}

impl<'a> Source<'a> {
    /// Asks about the source.
    pub fn new(model: &'a Model, source: &'a MysqlSource, questions: &mut Questions) -> Self {
        let function = json!(model.names.resource(part(source)));
        let group = json!(schedule::group(&model.names));
        let stream = json!(source.stream);
        let delivery = json!(model.names.resource("delivery"));
        let mut ask = |metric| questions.ask(metric);
        Source {
            calls: ask(Metric::invocations(function.clone())),
            failures: ask(Metric::function_errors(function)),
            attempts: ask(Metric::schedule_attempts(group.clone())),
            refusals: ask(Metric::schedule_errors(group)),
            records: ask(Metric::stream_records(stream.clone())),
            age: ask(Metric::stream_age(stream)),
            delivered: ask(Metric::delivery("DeliveryToS3.Records", "Sum", delivery.clone())),
            success: ask(Metric::delivery("DeliveryToS3.Success", "Minimum", delivery.clone())),
            freshness: ask(Metric::delivery("DeliveryToS3.DataFreshness", "Maximum", delivery)),
            model,
            source,
        }
    }

    /// The hops in the order that data takes.
    pub async fn hops(&self, aws: &Aws, answers: &Answers) -> anyhow::Result<Vec<Hop>> {
        match &self.source.capture {
            Capture::Watermark { schedule } => {
                let (schedules, function, watermarks, delivery) = tokio::try_join!(
                    self.schedules(aws, answers, schedule),
                    self.function(aws, answers),
                    self.watermarks(aws),
                    self.delivery(aws, answers)
                )?;
                let mut hops = vec![schedules, function];
                hops.extend(watermarks);
                hops.extend([self.stream(answers), delivery]);
                Ok(hops)
            }
            Capture::Binlog(reader) => {
                let own = async {
                    match reader.is_own() {
                        true => super::reader::hop(self.model, aws).await.map(Some),
                        false => Ok(None),
                    }
                };
                let (own, function, delivery) =
                    tokio::try_join!(own, self.function(aws, answers), self.delivery(aws, answers))?;
                Ok(own
                    .into_iter()
                    .chain([self.stream(answers), function, delivery])
                    .collect())
            }
        }
    }

    async fn schedules(&self, aws: &Aws, answers: &Answers, rate: &Schedule) -> anyhow::Result<Hop> {
        let group = schedule::group(&self.model.names);
        let pages = aws.scheduler.list_schedules().group_name(&group).into_paginator();
        let found = pages.items().send().try_collect().await;
        let found = match found {
            Ok(found) => found,
            Err(error) if error.code() == Some("ResourceNotFoundException") => {
                return Ok(Hop::ill("schedule", group, "missing", DEPLOY));
            }
            Err(error) => return Err(explain(&format!("scheduler:ListSchedules of {group}"), error)),
        };
        let live: BTreeMap<&str, &str> = found
            .iter()
            .filter_map(|schedule| Some((schedule.name()?, schedule.state()?.as_str())))
            .collect();
        let state = |table: &MysqlTable| live.get(schedule::name(&table.name).as_str()).copied();
        let named = |wanted: Option<&str>| -> Vec<String> {
            let tables = self.source.tables.iter().filter(|table| state(table) == wanted);
            tables.map(|table| table.name.to_string()).collect()
        };
        let (off, missing) = (named(Some("DISABLED")), named(None));
        let rate = Rate::of(rate).map(|rate| rate.expression).unwrap_or_default();
        let refused = answers.is_in_last(self.refusals, self.attempts);
        let all = self.source.tables.len();
        let (text, next) = if !missing.is_empty() {
            (format!("missing for {}", missing.join(", ")), DEPLOY)
        } else if !off.is_empty() {
            let next = "somebody switched it off, which a deploy does not see; switch it on in the console of EventBridge Scheduler";
            (format!("off for {}", off.join(", ")), next)
        } else if refused {
            let next = "the role of the schedule may not call the function, or it is gone: run pipectl deploy";
            ("the function could not be called".to_owned(), next)
        } else {
            (format!("on for {}, {rate}", count(all as u64, "table")), "")
        };
        Ok(Hop::judged(next.is_empty(), "schedule", group, text, next).with(json!({
            "rate": rate, "tables": all, "off": off, "missing": missing,
            "refused_in_hour": answers.sum(self.refusals),
        })))
    }

    async fn function(&self, aws: &Aws, answers: &Answers) -> anyhow::Result<Hop> {
        let name = self.model.names.resource(part(self.source));
        let (calls, failures) = (answers.sum(self.calls), answers.sum(self.failures));
        let last = answers.last_seconds_ago(self.calls);
        let fails = answers.is_in_last(self.failures, self.calls);
        let error = match fails {
            true => self.last_error(aws, &format!("/aws/lambda/{name}")).await,
            false => None,
        };
        let mut text = match last {
            Some(last) => format!("{} in the last hour, the last {} ago", count(calls, "call"), span(last)),
            None => "not called in the last hour".to_owned(),
        };
        if failures > 0 {
            text.push_str(&format!(", {failures} failed"));
        }
        text.extend(error.iter().map(|error| format!("; {error}")));
        let next = match &self.source.capture {
            Capture::Watermark { .. } => "mend the cause; the next call goes on from the watermark, so nothing is lost",
            Capture::Binlog(_) => {
                "mend the cause; Firehose calls a few times and then gives the records up, and pipectl redrive brings them back"
            }
        };
        Ok(Hop::judged(!fails, "function", name, text, next).with(json!({
            "calls_in_hour": calls, "failed_in_hour": failures, "last_call_seconds_ago": last, "last_error": error,
        })))
    }

    /// What a log said last; nobody fails to see the rest because the log may not be read.
    async fn last_error(&self, aws: &Aws, group: &str) -> Option<String> {
        match last_errors(&aws.logs, group).await {
            Ok(mut lines) => lines.pop(),
            Err(error) => Some(format!("its log cannot be read: {error:#}")),
        }
    }

    async fn watermarks(&self, aws: &Aws) -> anyhow::Result<Vec<Hop>> {
        let prefix = self.model.names.watermark_parameters();
        let found = parameters::below(aws, &prefix).await?;
        let kept: BTreeMap<&str, (&str, i64)> = found
            .iter()
            .filter_map(|kept| Some((kept.name()?, (kept.value()?, kept.last_modified_date()?.secs()))))
            .collect();
        let tables = self.source.tables.iter();
        Ok(tables
            .map(|table| {
                let name = parameter_name(&prefix, &table.name.to_string());
                watermark(table, &name, kept.get(name.as_str()).copied(), now())
            })
            .collect())
    }

    fn stream(&self, answers: &Answers) -> Hop {
        let records = answers.sum(self.records);
        let age = answers.latest(self.age).map(|milliseconds| milliseconds as i64 / 1000);
        let late = age.is_some_and(|age| age > i64::from(LATE_SECONDS));
        let waiting = age.map(|age| format!(", the oldest unread for {}", span(age)));
        let text = format!(
            "{} in the last hour{}",
            count(records, "record"),
            waiting.unwrap_or_default()
        );
        let next = "Firehose does not read it: look at the hop below, and at its role";
        Hop::judged(!late, "stream", &self.source.stream, text, next)
            .with(json!({ "records_in_hour": records, "iterator_age_seconds": age }))
    }

    async fn delivery(&self, aws: &Aws, answers: &Answers) -> anyhow::Result<Hop> {
        let name = self.model.names.resource("delivery");
        let records = answers.sum(self.delivered);
        let last = answers.last_seconds_ago(self.delivered);
        let freshness = answers.latest(self.freshness).map(|seconds| seconds as i64);
        let allowed = i64::from(LATE_SECONDS) + self.source.buffer_seconds;
        let late = freshness.is_some_and(|freshness| freshness > allowed);
        let fails = answers.latest(self.success).is_some_and(|success| success < 1.0);
        let error = match fails || late {
            true => self.last_error(aws, &format!("/aws/kinesisfirehose/{name}")).await,
            false => None,
        };
        let mut text = format!("{} delivered in the last hour", count(records, "record"));
        text.extend(last.map(|last| format!(", the last {} ago", span(last))));
        text.extend(freshness.map(|freshness| format!(", {} on the way", span(freshness))));
        text.extend(error.iter().map(|error| format!("; {error}")));
        let next = "records wait on the stream for two days: mend the cause until then; after that have the tables read anew (docs/mysql.md)";
        Ok(Hop::judged(!(fails || late), "delivery", name, text, next).with(json!({
            "records_in_hour": records, "last_delivery_seconds_ago": last, "freshness_seconds": freshness,
            "failing": fails, "last_error": error,
        })))
    }
}

/// The function that records go through.
fn part(source: &MysqlSource) -> &'static str {
    match &source.capture {
        Capture::Watermark { .. } => extract::PART,
        Capture::Binlog(_) => transform::PART,
    }
}

/// How far a table was read: `kept` is what its parameter holds, and when that was written.
fn watermark(table: &MysqlTable, name: &str, kept: Option<(&str, i64)>, now: i64) -> Hop {
    let hop = |state: String| Hop::well("watermark", table.name.to_string(), state);
    let Some((text, written)) = kept else {
        return hop("never read; the first reading takes the whole table".to_owned())
            .with(json!({ "parameter": name, "value": null }));
    };
    let Ok(state) = serde_json::from_str::<State>(text) else {
        let next = format!("write {{\"value\":…}} into the parameter {name}, or delete it to read the table anew");
        return Hop::ill("watermark", table.name.to_string(), "not readable", next);
    };
    let age = moment(&state.value).map(|moment| now - moment).filter(|age| *age >= 0);
    let written = (now - written).max(0);
    let mut shown = match &state.value {
        Value::Null => "first reading".to_owned(),
        value => format!("read to {}", shown(value)),
    };
    shown.extend(age.map(|age| format!(", {} old", span(age))));
    if let Some(pass) = &state.pass {
        let rows = count(pass.rows, "row");
        shown.push_str(&format!(
            ", a reading goes on at {}: {rows} so far",
            shown_all(&pass.at)
        ));
    }
    shown.push_str(&format!("; kept {} ago", span(written)));
    hop(shown).with(json!({
        "parameter": name,
        "value": state.value,
        "age_seconds": age,
        "kept_seconds_ago": written,
        "pass": state.pass,
    }))
}

/// A watermark as people read it.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(values) => shown_all(values),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn shown_all(values: &[Value]) -> String {
    values.iter().map(shown).collect::<Vec<_>>().join(", ")
}

/// The moment that a watermark tells, in seconds since 1970, as if it were UTC: TIMESTAMP columns are read so, DATETIME
/// columns have no time zone.
fn moment(value: &Value) -> Option<i64> {
    let first = match value {
        Value::Array(values) => values.first()?,
        value => value,
    };
    let text = first.as_str()?;
    let text = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        _ => format!("{}Z", text.replacen(' ', "T", 1)),
    };
    DateTime::from_str(&text, Format::DateTime)
        .ok()
        .map(|moment| moment.secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::mysql::TableName;

    fn told(kept: Option<&str>) -> Hop {
        let table = MysqlTable {
            name: TableName {
                schema: "shop".into(),
                table: "sale".into(),
            },
            watermark: None,
        };
        // 2026-11-21 09:00:00 UTC.
        watermark(
            &table,
            "/p/shop.sale",
            kept.map(|kept| (kept, 1_795_251_600 - 30)),
            1_795_251_600,
        )
    }

    #[test]
    fn a_watermark_tells_its_age_and_an_unfinished_pass() {
        let of = |kept| told(Some(kept)).state;
        assert_eq!(
            of(r#"{"value":"2026-11-21 08:59:00.5","clock":1}"#),
            "read to 2026-11-21 08:59:00.5, 60 s old; kept 30 s ago"
        );
        assert_eq!(
            of(r#"{"value":["2026-11-21 08:00:00",7]}"#),
            "read to 2026-11-21 08:00:00, 7, 60 min old; kept 30 s ago"
        );
        assert_eq!(of(r#"{"value":42}"#), "read to 42; kept 30 s ago");
        // The time zone of a DATETIME is not known: one that lies ahead has no age.
        assert_eq!(
            of(r#"{"value":"2026-11-21 10:00:00"}"#),
            "read to 2026-11-21 10:00:00; kept 30 s ago"
        );
        assert_eq!(
            of(r#"{"clock":1,"pass":{"upto":9,"at":[5],"rows":1000}}"#),
            "first reading, a reading goes on at 5: 1000 rows so far; kept 30 s ago"
        );
    }

    #[test]
    fn a_table_that_was_never_read_is_told_and_a_broken_parameter_is_ill() {
        assert!(told(None).healthy && told(None).state.starts_with("never read"));
        let broken = told(Some("yesterday"));
        assert!(!broken.healthy && broken.next.contains("/p/shop.sale"), "{broken:?}");
    }
}
