//! `backfill`: the rows of a table, or of a range of its key, into files that the pipeline loads.
//!
//! The function writes one chunk an invocation. After each the place is kept in a parameter of the pipeline, so that the same
//! command goes on after whatever ended it. A chunk's name comes from the run and from where it begins, so a chunk that is
//! written twice replaces itself; rows are merged by key. Tables that come from the binary log are read by its reader: see
//! [`anew`].

pub mod anew;

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::aws::Aws;
use crate::aws::function::Function;
use crate::graph::mysql::extract;
use crate::model::{Model, MysqlTable};
use crate::runtime::extract::describe::{Described, Form};
use crate::runtime::extract::state::parameter_name;
use crate::runtime::parameter;

/// What the user asks for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The column that the limits are of; the primary key's first without one.
    pub by: Option<String>,
    /// The lowest value.
    pub from: Option<String>,
    /// The first value that is not among them.
    pub to: Option<String>,
    /// Rows of a file.
    pub chunk_rows: u64,
    /// Most rows a second, on average.
    pub rate: Option<u64>,
    /// Whether an unfinished run is forgotten.
    pub restart: bool,
}

/// How far a run has come: what the parameter holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Name of the run, part of its files' names.
    pub run: String,
    /// What the limits are of.
    pub key: Vec<String>,
    /// The lowest value of it.
    pub from: Value,
    /// The first value of it that is not among them.
    pub to: Value,
    /// The row behind which the next chunk begins.
    pub after: Value,
    /// Rows so far.
    pub rows: u64,
    /// Files so far.
    pub files: u64,
    /// Rows of the range when the run began.
    pub total: u64,
    /// Whether it is done.
    pub finished: bool,
}

/// Backfills of one table.
pub struct Backfill<'a> {
    aws: &'a Aws,
    function: Function<'a>,
    origin: &'a MysqlTable,
    parameter: String,
    say: &'a (dyn Fn(&str) + Send + Sync),
}

impl<'a> Backfill<'a> {
    /// Of this table of the source.
    pub fn new(model: &Model, aws: &'a Aws, origin: &'a MysqlTable, say: &'a (dyn Fn(&str) + Send + Sync)) -> Self {
        Self {
            aws,
            function: Function::new(aws, extract::function(model)),
            origin,
            parameter: parameter_name(&model.names.backfill_parameters(), &origin.name.to_string()),
            say,
        }
    }

    /// The run that is kept; nothing when there was none.
    pub async fn kept(&self) -> anyhow::Result<Option<Place>> {
        let name = &self.parameter;
        let Some(text) = parameter::read(&self.aws.ssm, name).await? else {
            return Ok(None);
        };
        let place = serde_json::from_str(&text).with_context(|| {
            format!("the parameter {name} is not what pipectl wrote there\n  hint: delete it; a new run then begins at the start")
        })?;
        Ok(Some(place))
    }

    /// Where to begin: behind the last chunk of an unfinished run of the same range, or at the start of a new one.
    pub async fn begin(&self, wanted: &Wanted) -> anyhow::Result<Place> {
        let key: Vec<String> = wanted.by.iter().cloned().collect();
        let mut event = json!({ "do": "describe", "key": key });
        let described = self.invoke(&mut event).await?;
        let columns: Vec<Described> = serde_json::from_value(described["columns"].clone())?;
        let first = key.first().map(String::as_str).or(described["key"][0].as_str());
        let Some(first) = first else {
            bail!(
                "{} has no primary key, so its rows have no order to go by\n  hint: its readings find every row by the watermark; \
                 a table without a key is read from its beginning when its watermark parameter is deleted",
                self.origin.name
            );
        };
        let Some(form) = columns
            .iter()
            .find(|column| column.name == first)
            .map(|column| column.form)
        else {
            let known: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            bail!(
                "{} has no column `{first}`\n  hint: it has: {}",
                self.origin.name,
                known.join(", ")
            );
        };
        let (from, to) = (limit(wanted.from.as_deref(), form)?, limit(wanted.to.as_deref(), form)?);
        if let Some(kept) = self.kept().await?.filter(|kept| !kept.finished && !wanted.restart) {
            if (&kept.key, &kept.from, &kept.to) == (&key, &from, &to) {
                return Ok(kept);
            }
            bail!(
                "a backfill of {} of another range is unfinished: {}, {} rows done\n  hint: the same options go on with it; --restart forgets it",
                self.origin.name,
                range(&kept),
                kept.rows
            );
        }
        let mut event = json!({ "do": "describe", "count": true, "key": key, "from": from, "to": to });
        let counted = self.invoke(&mut event).await?;
        Ok(Place {
            run: counted["clock"].to_string(),
            key,
            from,
            to,
            after: Value::Null,
            rows: 0,
            files: 0,
            total: counted["rows"].as_u64().unwrap_or_default(),
            finished: false,
        })
    }

    /// Writes the next chunk and keeps the place. Gives the rows of it.
    pub async fn step(&self, place: &mut Place, chunk_rows: u64) -> anyhow::Result<u64> {
        let mut event = json!({
            "do": "backfill",
            "run": place.run,
            "key": place.key,
            "from": place.from,
            "to": place.to,
            "after": place.after,
            "chunk_rows": chunk_rows,
            "chunks": 1,
        });
        let answer = self.invoke(&mut event).await?;
        let rows = answer["rows"]
            .as_u64()
            .context("the function's answer has no number of rows")?;
        place.rows += rows;
        place.files += u64::from(rows > 0);
        place.after = answer["last"].clone();
        place.finished = answer["finished"] == json!(true);
        self.keep(place).await?;
        Ok(rows)
    }

    async fn keep(&self, place: &Place) -> anyhow::Result<()> {
        parameter::write(&self.aws.ssm, &self.parameter, serde_json::to_string(place)?).await
    }

    async fn invoke(&self, event: &mut Value) -> anyhow::Result<Value> {
        event["schema"] = json!(self.origin.name.schema);
        event["table"] = json!(self.origin.name.table);
        self.function.invoke(event, self.say).await
    }
}

/// What a run is of, in words.
pub fn range(place: &Place) -> String {
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let by = place.key.first().map(|key| format!(" of {key}")).unwrap_or_default();
    match (&place.from, &place.to) {
        (Value::Null, Value::Null) => format!("everything{by}"),
        (from, Value::Null) => format!("from {}{by}", shown(from)),
        (Value::Null, to) => format!("up to {}{by}", shown(to)),
        (from, to) => format!("from {} to {}{by}", shown(from), shown(to)),
    }
}

/// A limit as the function takes it: a number for a column of numbers, which MySQL otherwise compares without its index.
fn limit(told: Option<&str>, form: Form) -> anyhow::Result<Value> {
    let Some(told) = told else { return Ok(Value::Null) };
    if form != Form::Whole {
        return Ok(json!(told));
    }
    match (told.parse::<u64>(), told.parse::<i64>()) {
        (Ok(number), _) => Ok(json!(number)),
        (_, Ok(number)) => Ok(json!(number)),
        _ => bail!(
            "`{told}` is no whole number, and the column is of whole numbers\n  hint: --by names the column that --from and --to are of"
        ),
    }
}

/// Keeps the average under a rate.
pub struct Throttle {
    rate: Option<u64>,
    started: Instant,
    rows: u64,
}

impl Throttle {
    /// At most so many rows a second; any number without a rate.
    pub fn new(rate: Option<u64>) -> Self {
        Self {
            rate,
            started: Instant::now(),
            rows: 0,
        }
    }

    /// How long to wait after so many more rows.
    pub fn pause(&mut self, rows: u64) -> Duration {
        self.rows += rows;
        self.after(self.started.elapsed())
    }

    fn after(&self, elapsed: Duration) -> Duration {
        let wanted = self
            .rate
            .map(|rate| Duration::from_secs_f64(self.rows as f64 / rate as f64));
        wanted.unwrap_or_default().saturating_sub(elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_of_the_columns_kind() {
        assert_eq!(limit(Some("12"), Form::Whole).unwrap(), json!(12));
        assert_eq!(limit(Some("-1"), Form::Whole).unwrap(), json!(-1));
        assert_eq!(limit(Some("12"), Form::Text).unwrap(), json!("12"));
        assert_eq!(limit(None, Form::Whole).unwrap(), Value::Null);
        assert!(limit(Some("x"), Form::Whole).unwrap_err().to_string().contains("--by"));
    }

    #[test]
    fn a_rate_is_an_average() {
        let throttle = Throttle {
            rate: Some(100),
            started: Instant::now(),
            rows: 500,
        };
        assert_eq!(throttle.after(Duration::from_secs(2)), Duration::from_secs(3));
        assert_eq!(throttle.after(Duration::from_secs(6)), Duration::ZERO);
        assert_eq!(Throttle::new(None).pause(1_000_000), Duration::ZERO);
    }
}
