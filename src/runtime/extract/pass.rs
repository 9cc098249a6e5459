//! One pass over a table, or as much of it as the time allows. The rules are those of `watermark`.

use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value as Json, json};
use tokio::time::{Instant, timeout_at};

use super::record::{Reading, Recorder, fnv};
use super::sink::{Aside, Position, Sink};
use super::state::States;
use super::statement::{Edge, Limit, Select, quoted};
use super::table::Table;
use super::watermark::{self, Kind, Overlap, Pass, State};
use super::{Extract, Job, about, first_value, named, snapshot, warn};
use crate::runtime::deadline::Deadline;
use crate::runtime::kinesis::BUSY;
use crate::runtime::log::Line;
use crate::runtime::mysql::{Connection, Value};

/// Rows between two looks at the clock.
const LOOK: u64 = 64;
/// NULL watermarks are counted up to this; their number matters less than that there are any.
const NULLS_MAX: u64 = 1000;
/// A row longer than this, in bytes, has its position taken at once, instead of being kept until it is needed.
const KEPT_MAX: usize = 64 << 10;

/// What a pass is about.
struct Target {
    table: Table,
    /// The watermark's columns.
    watermark: Vec<usize>,
    /// The watermark's columns and the key's.
    order: Vec<usize>,
    kind: Kind,
    overlap: Option<Overlap>,
}

impl Target {
    fn new(table: Table, job: &Job) -> anyhow::Result<Self> {
        let watermark = named(&table, &job.watermark)?;
        let title = table.title();
        let (first, rest) = watermark
            .split_first()
            .with_context(|| format!("the event for {title} names no watermark"))?;
        let refused = |reason| anyhow!("{title}: {reason}");
        let kind = Kind::of(&table.fields[*first]).map_err(refused)?;
        kind.check(&table.fields[*first], job.overlap).map_err(refused)?;
        for column in rest {
            let field = &table.fields[*column];
            Kind::of(field).map_err(refused)?;
            if field.nullable {
                bail!(
                    "{title}: `{}` orders rows of equal watermark and may be NULL; choose a column that is NOT NULL",
                    field.name
                );
            }
        }
        Ok(Self {
            order: table.order_by(&watermark),
            kind,
            overlap: job.overlap,
            watermark,
            table,
        })
    }

    /// A statement for the rows still to be read in this pass.
    fn select(&self, state: &State, upto: &Value) -> Result<(String, Vec<Value>), String> {
        let mut select = Select {
            to: Some(Limit::Including(upto.clone())),
            ..Select::all(&self.table, &self.order)
        };
        if let Some(pass) = &state.pass {
            let at: Vec<Value> = pass.at.iter().map(watermark::from_json).collect::<Result<_, _>>()?;
            // Without a key rows of equal watermark have no order, so all of them come again.
            let edge = if self.table.key.is_empty() {
                Edge::Included
            } else {
                Edge::Excluded
            };
            select.after = Some((at, edge));
        } else if !state.value.is_null() {
            let value = watermark::list_from_json(&state.value)?;
            select.from = value.first().map(|value| self.kind.start(value, self.overlap));
        }
        Ok(select.build())
    }
}

/// How a reading ended.
#[derive(PartialEq, Eq)]
enum End {
    /// There are no more rows.
    Reached,
    /// Time ran out.
    Stopped,
}

impl Extract {
    /// Sends the rows since the watermark and moves it; or goes on with a pass that did not end.
    pub(super) async fn extract(&self, job: &Job, deadline: Deadline) -> anyhow::Result<Json> {
        let states = self
            .states
            .as_ref()
            .context("the setting PIPECTL_WATERMARKS is missing")?;
        let (mut connection, table) = self.open(&job.schema, &job.table).await?;
        let target = Target::new(table, job)?;
        let name = states.name(&target.table.title());
        if !lock(&mut connection, &name).await? {
            let detail = "another invocation reads this table; this one leaves it to that";
            warn(&target.table, "busy", detail);
            return Ok(json!({"rows": 0, "finished": false, "busy": true}));
        }
        let mut state = states.read(&name).await?;
        let nulls = self.advise(&mut connection, &target, &state).await?;
        let reading = snapshot(&mut connection, state.clock + 1).await?;
        state.clock = reading.0;
        let upto = match &state.pass {
            Some(pass) => Some(watermark::from_json(&pass.upto).map_err(|reason| anyhow!("{name}: {reason}"))?),
            None => highest(&mut connection, &target).await?,
        };
        let (rows, finished) = match upto {
            Some(upto) => {
                let run = Run {
                    extract: self,
                    target: &target,
                    states,
                    name: &name,
                    reading,
                    deadline,
                };
                run.pass(&mut connection, &mut state, upto).await?
            }
            None => (0, true),
        };
        let mut answer = json!({"rows": rows, "finished": finished, "watermark": state.value});
        if nulls > 0 {
            answer["null_watermarks"] = json!(nulls);
        }
        Ok(answer)
    }

    /// Says what makes readings slow or leaves rows out. Gives the number of NULL watermarks, up to a limit.
    async fn advise(&self, connection: &mut Connection, target: &Target, state: &State) -> anyhow::Result<u64> {
        let table = &target.table;
        let first = target.watermark[0];
        let field = &table.fields[first];
        let indexed = table.is_indexed(first);
        if !indexed {
            let columns: Vec<String> = target
                .order
                .iter()
                .map(|column| quoted(&table.fields[*column].name))
                .collect();
            warn(
                table,
                "no index",
                format!(
                    "no index begins with the watermark, so every reading goes through the whole table: CREATE INDEX pipectl_watermark ON {} ({})",
                    table.path(),
                    columns.join(", ")
                ),
            );
        }
        // Without an index the count is a reading of the whole table: only the first pass affords it.
        let begins = state.value.is_null() && state.pass.is_none();
        if !field.nullable || !(indexed || begins) {
            return Ok(0);
        }
        let name = quoted(&field.name);
        let text = format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM {} WHERE {name} IS NULL LIMIT {NULLS_MAX}) AS t",
            table.path()
        );
        let count = connection.single(&text, &[]).await.map_err(about(table))?;
        let count = count.and_then(|count| count.parse().ok()).unwrap_or_default();
        if count > 0 {
            let more = if count == NULLS_MAX { " or more" } else { "" };
            let detail =
                format!("{count}{more} rows have NULL in {name}: they have no watermark and are not extracted");
            warn(table, "null watermarks", detail);
        }
        Ok(count)
    }
}

/// One invocation's part of a pass.
struct Run<'a> {
    extract: &'a Extract,
    target: &'a Target,
    states: &'a States,
    name: &'a str,
    reading: Reading,
    deadline: Deadline,
}

impl Run<'_> {
    /// Reads and sends, keeps how far it came whatever happens, and says how many rows and whether the pass ended.
    async fn pass(&self, connection: &mut Connection, state: &mut State, upto: Value) -> anyhow::Result<(u64, bool)> {
        let started = Instant::now();
        let stream = self
            .extract
            .stream
            .as_ref()
            .context("the setting PIPECTL_STREAM is missing")?;
        let (text, values) = self
            .target
            .select(state, &upto)
            .map_err(|reason| anyhow!("the parameter {}: {reason}", self.name))?;
        let mut sink = Sink::new(stream, self.deadline.cut_off);
        let work = self.send_rows(connection, &text, &values, &mut sink);
        let end = match timeout_at(self.deadline.cut_off, work).await {
            Ok(result) => result.with_context(|| format!("extracting {}", self.target.table.title())),
            Err(_) => Ok(End::Stopped),
        };
        let rows = sink.rows;
        let finished = matches!(end, Ok(End::Reached));
        let moved = self.keep(state, &mut sink, upto, finished).await?;
        let line = Line::info(if finished { "extracted" } else { "extracted in part" });
        line.key(&self.target.table.title())
            .moved(Some(rows), 0)
            .took(started.elapsed())
            .detail(format!("watermark {}", state.value))
            .write();
        end?;
        if !finished && !moved {
            let why = match sink.refusal.reason() {
                Some(reason) => format!("Kinesis refused records: {reason}; {BUSY}"),
                None if self.target.table.key.is_empty() => {
                    "give it more time, or the table a primary key: without one, rows of equal watermark are read as a whole"
                        .to_owned()
                }
                None => "give it more time".to_owned(),
            };
            let title = self.target.table.title();
            bail!("no row of {title} was acknowledged within the function's time limit; {why}");
        }
        Ok((rows, finished))
    }

    async fn send_rows(
        &self,
        connection: &mut Connection,
        text: &str,
        values: &[Value],
        sink: &mut Sink,
    ) -> anyhow::Result<End> {
        let extract = self.extract;
        let aside = Aside {
            store: &extract.store,
            bucket: &extract.bucket,
            data: &extract.data,
            errors: &extract.errors,
            loadable_max: extract.loadable_max,
        };
        let target = self.target;
        let title = target.table.title();
        let mut rows = connection.query(text, values).await?;
        let mut recorder = Recorder::new(&target.table, &rows.columns, &target.watermark, self.reading);
        let (mut last, mut unsent, mut beside) = (Last::default(), false, 0);
        let end = loop {
            let Some(packet) = rows.next().await? else {
                break End::Reached;
            };
            recorder.record(packet)?;
            last.keep(packet, &recorder, &target.order)?;
            unsent = true;
            let full = if recorder.line.len() + recorder.spread.len() > extract.record_max {
                aside.put(&title, &recorder.seq(), &recorder.line).await?;
                beside += 1;
                false
            } else {
                sink.push(&recorder.spread, &recorder.line)
            };
            if full {
                sink.send(last.position(&recorder, &target.order)?, beside).await?;
                (unsent, beside) = (false, 0);
            }
            if recorder.number().is_multiple_of(LOOK) && !self.deadline.may_start() {
                break End::Stopped;
            }
        };
        if unsent {
            sink.send(last.position(&recorder, &target.order)?, beside).await?;
        }
        sink.finish().await?;
        Ok(end)
    }

    /// Writes the state if it changed. True when this invocation came further.
    async fn keep(&self, state: &mut State, sink: &mut Sink, upto: Value, finished: bool) -> anyhow::Result<bool> {
        let before = state.pass.as_ref().map(|pass| pass.at.clone());
        let acknowledged = sink.acknowledged.take();
        let at = acknowledged.map(|position| position.iter().map(watermark::to_json).collect::<Vec<_>>());
        let moved = at.is_some() && at != before;
        let Some(at) = at.or(before) else {
            return Ok(false); // no row: nothing changes
        };
        let rows = state.pass.as_ref().map_or(0, |pass| pass.rows) + sink.rows;
        if finished {
            let count = self.target.watermark.len();
            state.value = watermark::shown(&at[..count]);
            state.key = self.key_of(&at);
            state.pass = None;
        } else {
            let upto = watermark::to_json(&upto);
            state.pass = Some(Pass { upto, at, rows });
        }
        self.states.write(self.name, state).await?;
        Ok(moved)
    }

    /// The key's columns of a position, by name.
    fn key_of(&self, at: &[Json]) -> Json {
        let table = &self.target.table;
        let pairs = self.target.order.iter().zip(at);
        pairs
            .filter(|(column, _)| table.key.contains(column))
            .map(|(column, value)| (table.fields[*column].name.clone(), value.clone()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

/// The row read last. Its position is needed once a batch, so the row is kept as it came until then.
#[derive(Default)]
struct Last {
    packet: Vec<u8>,
    position: Option<Position>,
}

impl Last {
    #[inline]
    fn keep(&mut self, packet: &[u8], recorder: &Recorder, order: &[usize]) -> anyhow::Result<()> {
        if packet.len() > KEPT_MAX {
            self.position = Some(position(packet, recorder, order)?);
        } else {
            self.position = None;
            self.packet.clear();
            self.packet.extend_from_slice(packet);
        }
        Ok(())
    }

    fn position(&mut self, recorder: &Recorder, order: &[usize]) -> anyhow::Result<Position> {
        match self.position.take() {
            Some(position) => Ok(position),
            None => position(&self.packet, recorder, order),
        }
    }
}

fn position(packet: &[u8], recorder: &Recorder, order: &[usize]) -> anyhow::Result<Position> {
    let values = recorder.plan.values(packet, order)?;
    let values: Option<Position> = values.into_iter().collect();
    values.context("a row's watermark or key is NULL, which the statement rules out")
}

/// Takes the table for this session; the server gives it back when the connection ends, also when we are killed. Two
/// pipelines, or two environments of one, do not exclude each other. It waits 3 s, so that a killed one is noticed first.
async fn lock(connection: &mut Connection, name: &str) -> anyhow::Result<bool> {
    // A lock's name has at most 64 characters.
    let name = format!("pipectl-extract-{:016x}", fnv(name.as_bytes()));
    let taken = connection
        .single("SELECT GET_LOCK(?, 3)", &[name.as_str().into()])
        .await?;
    Ok(taken.as_deref() == Some("1"))
}

/// The highest watermark there is; with an index the server has it at hand.
async fn highest(connection: &mut Connection, target: &Target) -> anyhow::Result<Option<Value>> {
    let column = quoted(&target.table.fields[target.watermark[0]].name);
    let text = format!("SELECT MAX({column}) FROM {}", target.table.path());
    first_value(connection, &text, &[]).await
}
