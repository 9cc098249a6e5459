//! The handler `transform`: what Firehose asks about every record on its way from the stream to S3.
//!
//! A record goes on as one line of JSON, into the folder of its table (`partitionKeys.table` is `<schema>.<table>`, as
//! the feeds of the warehouse name their folders). A record that is not what the loader takes is answered
//! `ProcessingFailed`: Firehose writes it to the error prefix, and the log says why, without a word of the data.
//! Nothing is kept between invocations.
//!
//! Firehose sends up to 3 MB of data at a time, and Lambda takes and gives 6 MB. A batch of short records in another
//! format can grow past that: what does not fit is refused by name, so a buffer of 1 MB, Firehose's default, is right
//! (<https://docs.aws.amazon.com/firehose/latest/dev/data-transformation.html>).
//!
//! Several records in one are taken when they are JSON texts of one table, one behind the other. Aggregates of the
//! Kinesis Producer Library are refused: pipectl's own readers write none.
//!
//! | setting | |
//! |---|---|
//! | `PIPECTL_FORMAT` | `records` (default), or `python-dict`: see `python_dict` |
//! | `PIPECTL_KEYS` | for `python-dict`: `{"schema.table": ["column", …]}`, the columns of each table's key |
//!
//! It needs no rights but to write its log.

mod batch;
mod record;
mod scan;

use std::time::Instant;

use anyhow::{Context as _, anyhow};

use super::TextHandler;
use super::log::Line;
use super::python_dict::Reader;
use super::settings::{SettingError, Settings};
use batch::{ANSWER, Format, Tally};

struct Transform {
    format: Format,
}

/// Makes the handler.
pub fn start(settings: &Settings) -> anyhow::Result<Box<dyn TextHandler>> {
    let format = match settings.optional("PIPECTL_FORMAT").unwrap_or("records") {
        "records" => Format::Records,
        "python-dict" => {
            let keys = serde_json::from_str(settings.required("PIPECTL_KEYS")?)
                .context("the setting PIPECTL_KEYS must be JSON: {\"schema.table\": [\"column\"]}")?;
            Format::PythonDict(Reader::new(keys))
        }
        other => Err(SettingError::Wrong {
            name: "PIPECTL_FORMAT".into(),
            found: other.into(),
            wanted: "`records` or `python-dict`",
        })?,
    };
    Ok(Box::new(Transform { format }))
}

impl TextHandler for Transform {
    fn answer(&self, event: &str) -> anyhow::Result<String> {
        let begin = Instant::now();
        let (answer, tally) = batch::answer(event, &self.format, ANSWER).map_err(|fault| {
            anyhow!(
                "the event is not a batch of Firehose: {}, at byte {}",
                fault.reason,
                fault.offset
            )
        })?;
        tally.log(answer.len() as u64, begin);
        Ok(answer)
    }
}

impl Tally {
    /// One line for the batch, and one for each reason for which records failed.
    fn log(&self, bytes: u64, begin: Instant) {
        for (reason, failed) in &self.failed {
            let detail = format!(
                "{} of the batch's records: {reason} (the first is {}, at byte {}); they are under the error prefix",
                failed.count, failed.first, failed.offset
            );
            Line::error("record refused").detail(detail).write();
        }
        let mut line = Line::info("transformed")
            .moved(Some(self.passed), bytes)
            .took(begin.elapsed());
        if self.dropped > 0 {
            line = line.detail(format!("{} records say nothing about rows: left out", self.dropped));
        }
        line.write();
    }
}

/// The answer to a batch of Firehose as the handler gives it for records: what the benches measure.
pub fn answer_records(event: &str) -> anyhow::Result<String> {
    let (answer, _) = batch::answer(event, &Format::Records, ANSWER).map_err(|fault| anyhow!("{}", fault.reason))?;
    Ok(answer)
}

/// Why the handler would refuse a record of pipectl's readers, and where in it; `None` where it would not.
pub fn refusal(record: &[u8]) -> Option<String> {
    let fault = batch::refusal(record).err()?;
    Some(format!("{}, at byte {}", fault.reason, fault.offset))
}

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;
