//! What CloudWatch measured in the last hour, in one call whatever is asked.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_cloudwatch::types::{Dimension, Metric as Measured, MetricDataQuery, MetricStat};
use aws_smithy_types::DateTime;

use crate::aws::Aws;
use crate::aws::failure::explain;
use crate::graph::alarm::Metric;

/// How far back is looked.
const HOUR: i64 = 3600;
/// What one value is of: the shortest that services report in.
const PERIOD: i32 = 60;

/// What is asked.
#[derive(Default)]
pub struct Questions(Vec<Metric>);

/// Names the answer to a question.
#[derive(Clone, Copy)]
pub struct Asked(usize);

impl Questions {
    /// Asks for a metric.
    pub fn ask(&mut self, metric: Metric) -> Asked {
        self.0.push(metric);
        Asked(self.0.len() - 1)
    }

    /// The answers; without questions there is no call. Up to 500 metrics are one call:
    /// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html>.
    pub async fn answers(self, aws: &Aws) -> anyhow::Result<Answers> {
        let now = now();
        let queries: Vec<MetricDataQuery> = self.0.into_iter().enumerate().map(query).collect();
        let mut answers = Answers {
            series: vec![BTreeMap::new(); queries.len()],
            now,
        };
        if queries.is_empty() {
            return Ok(answers);
        }
        let request = aws.cloudwatch.get_metric_data().set_metric_data_queries(Some(queries));
        let request = request
            .start_time(DateTime::from_secs(now - HOUR))
            .end_time(DateTime::from_secs(now));
        let answer = request
            .send()
            .await
            .map_err(|error| explain("cloudwatch:GetMetricData", error))?;
        for result in answer.metric_data_results() {
            let place = result.id().and_then(|id| id.strip_prefix('m')?.parse::<usize>().ok());
            if let Some(series) = place.and_then(|place| answers.series.get_mut(place)) {
                let times = result.timestamps().iter().map(DateTime::secs);
                series.extend(times.zip(result.values().iter().copied()));
            }
        }
        Ok(answers)
    }
}

fn query((place, metric): (usize, Metric)) -> MetricDataQuery {
    let dimension = metric.of.map(|(name, of)| {
        let value = of.as_str().unwrap_or_default();
        Dimension::builder().name(name).value(value).build()
    });
    let measured = Measured::builder()
        .namespace(metric.namespace)
        .metric_name(metric.name)
        .set_dimensions(dimension.map(|dimension| vec![dimension]))
        .build();
    let statistic = MetricStat::builder()
        .metric(measured)
        .period(PERIOD)
        .stat(metric.statistic);
    MetricDataQuery::builder()
        .id(format!("m{place}"))
        .metric_stat(statistic.build())
        .build()
}

/// What was measured in the last hour.
pub struct Answers {
    series: Vec<BTreeMap<i64, f64>>,
    now: i64,
}

impl Answers {
    fn series(&self, asked: Asked) -> impl DoubleEndedIterator<Item = (i64, f64)> {
        let series = self.series.get(asked.0).into_iter().flatten();
        series.map(|(time, value)| (*time, *value))
    }

    /// All of the hour together.
    pub fn sum(&self, asked: Asked) -> u64 {
        self.series(asked).map(|(_, value)| value).sum::<f64>().round() as u64
    }

    /// The latest value, where there is one.
    pub fn latest(&self, asked: Asked) -> Option<f64> {
        self.series(asked).next_back().map(|(_, value)| value)
    }

    /// When there was anything last.
    fn last_time(&self, asked: Asked) -> Option<i64> {
        self.series(asked)
            .rfind(|(_, value)| *value > 0.0)
            .map(|(time, _)| time)
    }

    /// Seconds since there was anything last, as exact as a minute.
    pub fn last_seconds_ago(&self, asked: Asked) -> Option<i64> {
        self.last_time(asked).map(|time| (self.now - time).max(0))
    }

    /// Whether there was `what` when there was anything of `of` last: a function that failed an hour ago and was called
    /// since has recovered.
    pub fn is_in_last(&self, what: Asked, of: Asked) -> bool {
        self.last_time(what)
            .is_some_and(|time| self.last_time(of) <= Some(time))
    }
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_and_went_on_has_recovered() {
        let (calls, failures, none) = (Asked(0), Asked(1), Asked(2));
        let answers = |failed_at: i64| Answers {
            series: vec![
                BTreeMap::from([(600, 2.0), (900, 1.0), (960, 0.0)]),
                BTreeMap::from([(600, 0.0), (failed_at, 1.0), (960, 0.0)]),
                BTreeMap::new(),
            ],
            now: 1000,
        };
        assert!(answers(900).is_in_last(failures, calls));
        assert!(!answers(600).is_in_last(failures, calls));
        assert!(!answers(600).is_in_last(none, calls));
        let answers = answers(600);
        assert_eq!((answers.sum(calls), answers.sum(none)), (3, 0));
        assert_eq!(answers.last_seconds_ago(calls), Some(100));
        assert_eq!((answers.latest(calls), answers.latest(none)), (Some(0.0), None));
    }
}
