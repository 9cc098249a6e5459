//! A batch of Firehose, and the answer to it.
//!
//! The contract: <https://docs.aws.amazon.com/firehose/latest/dev/data-transformation-status-model.html>. Every record
//! of the batch is answered, once, under its own id; the metadata's `partitionKeys` say its folder:
//! <https://docs.aws.amazon.com/firehose/latest/dev/dynamic-partitioning-partitioning-keys.html>.

use std::collections::BTreeMap;

use base64_simd::STANDARD;

use super::record;
use super::scan::{Kind, Scan};
use crate::runtime::fault::Fault;
use crate::runtime::python_dict::{Origin, Reader};

/// Bytes of an answer, as Lambda limits it: <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>.
pub const ANSWER: usize = 6 * 1024 * 1024;

/// Bytes of a record that Firehose takes: <https://docs.aws.amazon.com/firehose/latest/dev/limits.html>.
const RECORD: usize = 1_024_000;

/// Bytes of an answer about a record, beside its id, its data and its folder.
const FRAME: usize = 128;

/// What a Kinesis Producer Library's aggregate starts with:
/// <https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>.
const AGGREGATE: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];

/// What the records of a stream are.
pub enum Format {
    /// Records as the rest of the pipeline takes them.
    Records,
    /// What other programs write about changes.
    PythonDict(Reader),
}

/// What became of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records that go on, also those that became several.
    pub passed: u64,
    /// Records that say nothing about a row.
    pub dropped: u64,
    /// Why records go to the error prefix, how many for each reason, and the first of them.
    pub failed: BTreeMap<&'static str, Failed>,
}

/// Records that fail for one reason.
#[derive(Debug, PartialEq, Eq)]
pub struct Failed {
    pub count: u64,
    /// The id that Firehose gave to the first of them.
    pub first: String,
    /// Where in it.
    pub offset: usize,
}

/// A record as Firehose sends it. All texts are as they stand in the event's JSON.
#[derive(Default)]
struct Incoming<'a> {
    id: &'a str,
    data: &'a str,
    /// Its place in the stream that Firehose reads; absent where something else sends.
    sequence: Option<&'a str>,
    /// Milliseconds since 1970.
    arrival: Option<&'a str>,
}

/// What becomes of a record.
enum Outcome {
    /// It goes on just as it came.
    Same,
    /// Its lines are in the buffer.
    Lines,
    Dropped,
}

/// Answers a batch.
pub struct Batch<'a> {
    format: &'a Format,
    most: usize,
    /// One record, decoded.
    input: Vec<u8>,
    /// What a reader of another format makes of it.
    converted: Vec<u8>,
    /// The lines that go on.
    lines: Vec<u8>,
    front: record::Front,
    /// The folder of the record at hand, as a JSON string without its quotes.
    folder: String,
    answer: String,
    tally: Tally,
}

/// The answer to an event, and what it says. An error means that the event is not a batch of Firehose.
pub fn answer(event: &str, format: &Format, most: usize) -> Result<(String, Tally), Fault> {
    let records = records(event, matches!(format, Format::PythonDict(_)))?;
    let mut batch = Batch {
        format,
        most,
        input: Vec::new(),
        converted: Vec::new(),
        lines: Vec::new(),
        front: record::Front::default(),
        folder: String::new(),
        answer: String::with_capacity((event.len() + 64).min(most)),
        tally: Tally::default(),
    };
    batch.answer.push_str("{\"records\":[");
    // Room is kept so that every record can at least be refused.
    let mut rest: usize = records.iter().map(|record| record.id.len() + FRAME).sum();
    for (index, record) in records.iter().enumerate() {
        if index > 0 {
            batch.answer.push(',');
        }
        rest -= record.id.len() + FRAME;
        batch.record(record, rest);
    }
    batch.answer.push_str("]}");
    Ok((batch.answer, batch.tally))
}

/// The records of an event. Whoever asks for them whole also gets their place in the stream.
fn records(event: &str, is_whole: bool) -> Result<Vec<Incoming<'_>>, Fault> {
    let mut found = None;
    let mut scan = Scan::new(event);
    scan.members(|scan, name| {
        if event.get(name) != Some("records") {
            return scan.value().map(drop);
        }
        let mut records = Vec::new();
        scan.elements(|scan| {
            let start = scan.at();
            let record = if is_whole { None } else { usual(event, scan) };
            let record = match record {
                Some(record) => record,
                None => {
                    scan.back(start);
                    incoming(event, scan)?
                }
            };
            records.push(record);
            Ok(())
        })?;
        found = Some(records);
        Ok(())
    })?;
    found.ok_or_else(|| scan.fault("the event has no `records`: it is not from Firehose"))
}

/// A record as Firehose writes it, without blanks and without its place in the stream. `None` for every other.
fn usual<'a>(event: &'a str, scan: &mut Scan<'a>) -> Option<Incoming<'a>> {
    let (mut id, mut data) = (None, None);
    if !scan.literal(b"{") {
        return None;
    }
    loop {
        if scan.literal(b"\"recordId\":\"") {
            id = Some(scan.unescaped()?);
        } else if scan.literal(b"\"data\":") {
            data = Some(scan.letters().ok()?);
        } else if scan.literal(b"\"approximateArrivalTimestamp\":") {
            scan.value().ok()?;
        } else if scan.literal(b"\"kinesisRecordMetadata\":") {
            scan.flat()?;
        } else {
            return None;
        }
        if scan.literal(b"}") {
            return Some(Incoming {
                id: event.get(id?)?,
                data: event.get(data?)?,
                ..Incoming::default()
            });
        }
        if !scan.literal(b",") {
            return None;
        }
    }
}

/// Any other record.
fn incoming<'a>(event: &'a str, scan: &mut Scan<'a>) -> Result<Incoming<'a>, Fault> {
    let mut record = Incoming::default();
    let (mut has_id, mut has_data) = (false, false);
    scan.members(|scan, name| {
        let name = event.get(name).unwrap_or_default();
        if name == "data" && scan.peek() == Some(b'"') {
            record.data = event.get(scan.letters()?).unwrap_or_default();
            has_data = true;
            return Ok(());
        }
        if name == "kinesisRecordMetadata" && scan.peek() == Some(b'{') {
            return scan.members(|scan, name| {
                let found = scan.value()?;
                if event.get(name) == Some("sequenceNumber") && found.kind == Kind::Text {
                    record.sequence = event.get(found.span);
                }
                Ok(())
            });
        }
        let found = scan.value()?;
        let text = event.get(found.span).unwrap_or_default();
        match (name, found.kind) {
            ("recordId", Kind::Text) => (record.id, has_id) = (text, true),
            ("approximateArrivalTimestamp", Kind::Other) => record.arrival = Some(text),
            _ => {}
        }
        Ok(())
    })?;
    if has_id && has_data {
        return Ok(record);
    }
    Err(scan.fault("a record of the event has no `recordId` or no `data`"))
}

impl Batch<'_> {
    /// Answers one record; `rest` bytes are kept for those behind it.
    fn record(&mut self, record: &Incoming<'_>, rest: usize) {
        match self.outcome(record) {
            Ok(Outcome::Dropped) => {
                self.tally.dropped += 1;
                self.refuse(record, "Dropped", rest);
            }
            Ok(outcome) => {
                let size = match &outcome {
                    Outcome::Same => record.data.len(),
                    _ => STANDARD.encoded_length(self.lines.len()),
                };
                if self.fits(record.id.len() + size + self.folder.len(), rest) {
                    self.tally.passed += 1;
                    self.pass(record, outcome);
                } else {
                    self.failed(record, rest, Fault {
                        reason: "the answer would be larger than Lambda allows: lower the transformation's buffer size",
                        offset: 0,
                    });
                }
            }
            Err(fault) => self.failed(record, rest, fault),
        }
    }

    /// What becomes of a record: its folder, and its lines.
    fn outcome(&mut self, record: &Incoming<'_>) -> Result<Outcome, Fault> {
        let whole = |reason| Fault { reason, offset: 0 };
        self.input.clear();
        self.lines.clear();
        self.folder.clear();
        let mut outcome = Outcome::Same;
        if STANDARD.decode_append(record.data.as_bytes(), &mut self.input).is_err() {
            self.input.clear();
            outcome = Outcome::Lines;
            // Some senders escape its slashes.
            STANDARD
                .decode_append(record.data.replace("\\/", "/").as_bytes(), &mut self.input)
                .map_err(|_| whole("the data is not base64"))?;
        }
        let text = decoded(&self.input)?;
        let (folder, lines, front) = (&mut self.folder, &mut self.lines, &mut self.front);
        match self.format {
            Format::Records => {
                if !check(text, folder, lines, front)? {
                    outcome = Outcome::Lines;
                } else if matches!(outcome, Outcome::Lines) {
                    lines.extend_from_slice(&self.input);
                }
            }
            Format::PythonDict(reader) => {
                self.converted.clear();
                let origin = Origin {
                    sequence: record.sequence,
                    arrival: record.arrival,
                };
                if !reader.convert(text, &origin, &mut self.converted)? {
                    return Ok(Outcome::Dropped);
                }
                if check(utf8(&self.converted)?, folder, lines, front)? {
                    std::mem::swap(lines, &mut self.converted);
                }
                outcome = Outcome::Lines;
            }
        }
        let size = match outcome {
            Outcome::Same => self.input.len(),
            _ => self.lines.len(),
        };
        fits_firehose(size)?;
        Ok(outcome)
    }

    fn pass(&mut self, record: &Incoming<'_>, outcome: Outcome) {
        let Self {
            answer, lines, folder, ..
        } = self;
        answer.extend(["{\"recordId\":\"", record.id, "\",\"result\":\"Ok\",\"data\":\""]);
        match outcome {
            Outcome::Same => answer.push_str(record.data),
            _ => STANDARD.encode_append(lines.as_slice(), answer),
        }
        answer.extend(["\",\"metadata\":{\"partitionKeys\":{\"table\":\"", folder, "\"}}}"]);
    }

    fn failed(&mut self, record: &Incoming<'_>, rest: usize, fault: Fault) {
        let failed = self.tally.failed.entry(fault.reason).or_insert_with(|| Failed {
            count: 0,
            first: record.id.to_owned(),
            offset: fault.offset,
        });
        failed.count += 1;
        self.refuse(record, "ProcessingFailed", rest);
    }

    /// A record that does not go on. It has its own data, where that fits: Firehose keeps what it sent itself, too.
    fn refuse(&mut self, record: &Incoming<'_>, result: &str, rest: usize) {
        let fits = self.fits(record.id.len() + record.data.len(), rest);
        let data = if fits { record.data } else { "" };
        self.answer.extend([
            "{\"recordId\":\"",
            record.id,
            "\",\"result\":\"",
            result,
            "\",\"data\":\"",
            data,
            "\"}",
        ]);
    }

    /// Whether an answer with this much of its own leaves room for the rest.
    fn fits(&self, size: usize, rest: usize) -> bool {
        self.answer.len() + size + FRAME + rest <= self.most
    }
}

/// Why a record, as it is on the stream, would be refused; of the format [`Format::Records`].
pub fn refusal(record: &[u8]) -> Result<(), Fault> {
    let (mut folder, mut lines) = (String::new(), Vec::new());
    let is_line = check(decoded(record)?, &mut folder, &mut lines, &mut record::Front::default())?;
    fits_firehose(if is_line { record.len() } else { lines.len() })
}

/// The text of what was on the stream.
fn decoded(record: &[u8]) -> Result<&str, Fault> {
    if record.starts_with(&AGGREGATE) {
        return Err(Fault {
            reason: "several records in one by the Kinesis Producer Library: switch its aggregation off",
            offset: 0,
        });
    }
    utf8(record)
}

fn fits_firehose(size: usize) -> Result<(), Fault> {
    if size <= RECORD {
        return Ok(());
    }
    Err(Fault {
        reason: "the record is larger than the 1,000 KiB that Firehose takes",
        offset: 0,
    })
}

/// Checks the records of a text, all of one table, and writes each on a line of its own unless the text is just that
/// already: then the answer is true and nothing is written.
fn check(text: &str, folder: &mut String, lines: &mut Vec<u8>, front: &mut record::Front) -> Result<bool, Fault> {
    let mut scan = Scan::new(text);
    let first = record::read(text, &mut scan, front)?;
    folder.extend([first.schema, ".", first.table]);
    if first.span.start == 0 && !scan.has_break() && text.get(first.span.end..) == Some("\n") {
        return Ok(true);
    }
    line(text.get(first.span).unwrap_or_default(), scan.has_break(), lines);
    while scan.peek().is_some() {
        let next = record::read(text, &mut scan, front)?;
        if (next.schema, next.table) != (first.schema, first.table) {
            return Err(Fault {
                reason: "records of several tables in one: send each on its own",
                offset: next.span.start,
            });
        }
        line(text.get(next.span).unwrap_or_default(), scan.has_break(), lines);
    }
    Ok(false)
}

/// Adds a record as one line. Its line breaks, if any, stand between tokens: in a string they are escaped.
fn line(record: &str, has_break: bool, lines: &mut Vec<u8>) {
    let start = lines.len();
    lines.extend_from_slice(record.as_bytes());
    if has_break {
        let breaks = lines
            .iter_mut()
            .skip(start)
            .filter(|byte| matches!(byte, b'\n' | b'\r'));
        breaks.for_each(|byte| *byte = b' ');
    }
    lines.push(b'\n');
}

fn utf8(bytes: &[u8]) -> Result<&str, Fault> {
    str::from_utf8(bytes).map_err(|error| Fault {
        reason: "the record is not UTF-8",
        offset: error.valid_up_to(),
    })
}
