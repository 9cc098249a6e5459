//! The bytes of an object through the converter into an upload.

use std::sync::Arc;

use crate::runtime::json_lines::{Converter, Invalid};
use crate::runtime::store::{Body, Place, Store, StoreError, Upload};

/// Bytes of a part. Larger than S3's minimum of 5 MiB, small enough that two of each message fit in memory; 10,000 of
/// them hold 78 GiB, more than a function can convert in its 15 minutes.
const PART: usize = 8 * 1024 * 1024;

/// The content type of JSON lines.
pub const JSON_LINES: &str = "application/x-ndjson";

/// What became of an object.
pub enum Outcome {
    /// Its records are written.
    Written { rows: u64, bytes: u64 },
    /// It has no records, and nothing is written.
    Empty,
    /// It is not JSON, and nothing is written.
    Invalid(Invalid),
}

/// Writes the records of `body` to `target`, all of them or nothing.
pub async fn convert(store: &Arc<Store>, body: Body, target: &Place) -> Result<Outcome, StoreError> {
    let mut run = Run {
        converter: Converter::default(),
        upload: Upload::new(store, target, JSON_LINES),
        bytes: 0,
    };
    match run.read(body).await? {
        Ok(()) => {}
        // Dropping the upload aborts it.
        Err(invalid) => return Ok(Outcome::Invalid(invalid)),
    }
    let rows = match run.converter.finish() {
        Ok(0) => return Ok(Outcome::Empty),
        Ok(rows) => rows,
        Err(invalid) => return Ok(Outcome::Invalid(invalid)),
    };
    let last = run.converter.take();
    let bytes = run.bytes + last.len() as u64;
    run.upload.finish(last).await?;
    Ok(Outcome::Written { rows, bytes })
}

struct Run {
    converter: Converter,
    upload: Upload,
    bytes: u64,
}

impl Run {
    /// Reads to the end, sending parts as they fill.
    async fn read(&mut self, mut body: Body) -> Result<Result<(), Invalid>, StoreError> {
        while let Some(chunk) = body.next().await? {
            for piece in Converter::pieces(chunk.as_ref()) {
                if let Err(invalid) = self.converter.push(piece) {
                    return Ok(Err(invalid));
                }
                while self.converter.ready() >= PART {
                    if self.upload.is_full() {
                        return Ok(Err(Invalid::whole(
                            "the file has more than 78 GiB of JSON lines: split it",
                        )));
                    }
                    // Exactly a part, so that a replay makes the same parts and so the same entity tag.
                    let part = self.converter.take_part(PART);
                    self.bytes += part.len() as u64;
                    self.upload.part(part).await?;
                }
            }
        }
        Ok(Ok(()))
    }
}
