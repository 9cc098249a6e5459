//! Alarms: what each part of a pipeline is watched for. All of them speak to the alert topic.
//!
//! An alarm is called `PART-WHAT`, where PART is also what [`log_groups`] knows the log of.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::NodeId;
use super::landing::Shared;
use super::mysql::reader;
use crate::model::{Capture, Model, Source};
use crate::spec::schedule::Schedule;

/// Seconds after which what waits is late: a failed file comes again only after the visibility time-out.
pub const LATE_SECONDS: u32 = 900;
/// Longest period that an alarm looks at as one, in seconds, and longest time that it looks at in periods below an hour:
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html>.
const LONGEST_PERIOD: u32 = 86_400;
/// Longest time that an alarm looks at, in seconds: same page.
const LONGEST_LOOK: u32 = 604_800;

/// A metric, and what of it is looked at.
#[derive(Debug, Clone)]
pub struct Metric {
    /// The service's namespace, or the pipeline's own.
    pub namespace: String,
    /// The metric's name.
    pub name: &'static str,
    /// What of its values counts, such as `Sum`.
    pub statistic: &'static str,
    /// Dimension and value; in a template the value may be a reference.
    pub of: Option<(&'static str, Value)>,
}

impl Metric {
    fn of_service(namespace: &str, name: &'static str, statistic: &'static str, of: (&'static str, Value)) -> Self {
        Metric {
            namespace: namespace.to_owned(),
            name,
            statistic,
            of: Some(of),
        }
    }

    /// Invocations of a function that failed or took too long:
    /// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html>.
    pub fn function_errors(function: Value) -> Self {
        Self::of_service("AWS/Lambda", "Errors", "Sum", ("FunctionName", function))
    }

    /// Messages of a queue:
    /// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html>.
    pub fn queue_depth(queue: Value) -> Self {
        let name = "ApproximateNumberOfMessagesVisible";
        Self::of_service("AWS/SQS", name, "Maximum", ("QueueName", queue))
    }

    /// Seconds that a queue's oldest message waits.
    pub fn queue_age(queue: Value) -> Self {
        let name = "ApproximateAgeOfOldestMessage";
        Self::of_service("AWS/SQS", name, "Maximum", ("QueueName", queue))
    }

    /// Invocations of a function.
    pub fn invocations(function: Value) -> Self {
        Self::of_service("AWS/Lambda", "Invocations", "Sum", ("FunctionName", function))
    }

    /// Milliseconds that the readers of a stream are behind:
    /// <https://docs.aws.amazon.com/streams/latest/dev/monitoring-with-cloudwatch.html>.
    pub fn stream_age(stream: Value) -> Self {
        let name = "GetRecords.IteratorAgeMilliseconds";
        Self::of_service("AWS/Kinesis", name, "Maximum", ("StreamName", stream))
    }

    /// Records that were put on a stream.
    pub fn stream_records(stream: Value) -> Self {
        Self::of_service("AWS/Kinesis", "IncomingRecords", "Sum", ("StreamName", stream))
    }

    /// A metric of a delivery stream:
    /// <https://docs.aws.amazon.com/firehose/latest/dev/monitoring-with-cloudwatch-metrics.html>.
    pub fn delivery(name: &'static str, statistic: &'static str, stream: Value) -> Self {
        Self::of_service("AWS/Firehose", name, statistic, ("DeliveryStreamName", stream))
    }

    /// Calls of a group of schedules that their target answered with an error:
    /// <https://docs.aws.amazon.com/scheduler/latest/UserGuide/monitoring-cloudwatch.html>.
    pub fn schedule_errors(group: Value) -> Self {
        Self::of_service("AWS/Scheduler", "TargetErrorCount", "Sum", ("ScheduleGroup", group))
    }

    /// Calls that a group of schedules tried.
    pub fn schedule_attempts(group: Value) -> Self {
        let name = "InvocationAttemptCount";
        Self::of_service("AWS/Scheduler", name, "Sum", ("ScheduleGroup", group))
    }

    /// Error lines that a [`filter`] counts.
    pub fn error_lines(model: &Model, name: &'static str) -> Self {
        Metric {
            namespace: namespace(model),
            name,
            statistic: "Sum",
            of: None,
        }
    }

    /// The highest of the values that a [`gauge`] reads.
    pub fn most_of_lines(model: &Model, name: &'static str) -> Self {
        Metric {
            statistic: "Maximum",
            ..Self::error_lines(model, name)
        }
    }
}

/// When an alarm goes off.
#[derive(Clone, Copy)]
pub enum When {
    /// The metric is above this in a minute.
    Above(u32),
    /// The metric is above zero in any minute of so many seconds, so that what fails now and then, and is well or not
    /// there between, is one alarm. From a day on CloudWatch looks at hours, once an hour.
    Within(u32),
    /// The metric is below this in a minute in which there is one.
    Below(u32),
    /// The metric was nothing, or not there, for so many seconds.
    Absent(u32),
}

/// An alarm for a template: its logical id, the part of its name, what it means, and when it goes off.
pub fn alarm(model: &Model, id: &str, part: &str, text: String, metric: Metric, when: When) -> Value {
    let names = &model.names;
    let (comparison, threshold, missing) = match when {
        When::Above(threshold) => ("GreaterThanThreshold", threshold, "notBreaching"),
        When::Within(_) => ("GreaterThanThreshold", 0, "notBreaching"),
        When::Below(threshold) => ("LessThanThreshold", threshold, "notBreaching"),
        When::Absent(_) => ("LessThanThreshold", 1, "breaching"),
    };
    let (period, evaluations) = match when {
        When::Absent(seconds) if seconds <= LONGEST_PERIOD => (seconds, 1),
        When::Absent(seconds) => (3600, seconds / 3600),
        When::Within(seconds) if seconds <= LONGEST_PERIOD => (60, seconds.div_ceil(60)),
        When::Within(seconds) => (3600, seconds.min(LONGEST_LOOK).div_ceil(3600)),
        When::Above(_) | When::Below(_) => (60, 1),
    };
    // One of them is enough: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
    let needed = matches!(when, When::Within(_)).then_some(1);
    json!({
        "logical_id": id,
        "name": names.resource(part),
        "text": format!("{text}. Next: pipectl status --env {}", names.environment),
        "namespace": metric.namespace,
        "metric": metric.name,
        "statistic": metric.statistic,
        "dimension": metric.of.as_ref().map(|(dimension, _)| dimension),
        "of": metric.of.as_ref().map(|(_, of)| of),
        "period": period,
        "evaluations": evaluations,
        "needed": needed,
        "comparison": comparison,
        "threshold": threshold,
        "missing": missing,
        "after": null,
    })
}

/// An alarm on what each run of a schedule may do wrong: it ends after two runs that did not, not between two that did.
pub fn of_runs(schedule: &Schedule) -> When {
    When::Within(schedule.shortest_gap().saturating_mul(2))
}

/// The alarm for data that do not come any more, where the user wants one.
pub fn absence(model: &Model, id: &str, part: &str, what: &str, metric: Metric) -> Option<Value> {
    let seconds = model.alerts.absent_after?;
    let text = format!("{what} for {}", duration(seconds));
    Some(alarm(model, id, part, text, metric, When::Absent(seconds)))
}

/// What a stack with an alarm for absence comes after: such an alarm goes off as soon as it is made.
pub fn hearing(model: &Model, shared: &Shared) -> Option<NodeId> {
    model.alerts.absent_after.map(|_| shared.hearing.clone())
}

fn duration(seconds: u32) -> String {
    let (amount, unit) = match seconds {
        _ if seconds.is_multiple_of(86_400) => (seconds / 86_400, "day"),
        _ if seconds.is_multiple_of(3600) => (seconds / 3600, "hour"),
        _ => (seconds / 60, "minute"),
    };
    format!("{amount} {unit}{}", if amount == 1 { "" } else { "s" })
}

fn namespace(model: &Model) -> String {
    format!("pipectl/{}", model.names.mark())
}

/// Counts the error lines of a log group of the same template, under the name of the filter.
pub fn filter(model: &Model, id: &str, logs: &str) -> Value {
    let mut filter = gauge(model, id, logs, "{ $.level = \"ERROR\" }", "1");
    filter["default"] = json!(0);
    filter
}

/// Takes a value out of the lines of a log group of the same template that fit `pattern`, under the name of the filter:
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntaxForMetricFilters.html>.
pub fn gauge(model: &Model, id: &str, logs: &str, pattern: &str, value: &str) -> Value {
    json!({
        "logical_id": id,
        "logs": logs,
        "pattern": pattern,
        "value": value,
        "default": null,
        "namespace": namespace(model),
    })
}

/// The alarm, made only after a resource of its template: one for absence goes off as soon as it is made.
pub fn only_after(mut alarm: Value, logical_id: &str) -> Value {
    alarm["after"] = json!(logical_id);
    alarm
}

/// What the snippet `watch.yaml` makes filters and alarms of.
pub fn watch(alert_topic: &str, filters: Vec<Value>, alarms: Vec<Value>) -> Value {
    json!({ "topic": alert_topic, "filters": filters, "alarms": alarms })
}

/// The log group of each part, by what the names of its alarms start with.
pub fn log_groups(model: &Model) -> BTreeMap<&'static str, String> {
    let function = |part: &str| format!("/aws/lambda/{}", model.names.resource(part));
    let mut groups = BTreeMap::from([("alert", function("alert"))]);
    if model.snowflake().is_some_and(|target| target.apply.is_some()) {
        groups.insert("apply", function("apply"));
    }
    match &model.source {
        Source::Files(_) => {
            groups.insert("copy", function("copy"));
        }
        Source::Mysql(source) => {
            let delivery = model.names.resource("delivery");
            match &source.capture {
                Capture::Watermark { .. } => {
                    groups.insert("extract", function("extract"));
                    groups.insert("schedule", function("extract"));
                }
                Capture::Binlog(reader) => {
                    groups.insert("transform", function("transform"));
                    if reader.is_own() {
                        groups.insert(reader::PART, reader::log_group(model));
                    }
                }
            }
            groups.insert("delivery", format!("/aws/kinesisfirehose/{delivery}"));
        }
    }
    groups
}
