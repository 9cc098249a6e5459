//! The way in: gzip is told by its first bytes, because names and content types lie.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;

use super::compactor::Compactor;
use super::{Invalid, RECORD_LIMIT};

/// The first bytes of every gzip file (RFC 1952, 2.3.1).
pub const GZIP: [u8; 2] = [0x1F, 0x8B];

/// Deflate expands at most 1032 times, so a slice of this size adds at most 4 MiB to the output.
const SLICE: usize = 4 * 1024;

/// Turns the bytes of an object into JSON lines as they arrive.
pub struct Converter {
    input: Input,
}

enum Input {
    /// The first byte is a gzip file's first; the second decides.
    Held(Compactor),
    Fresh(Compactor),
    Plain(Compactor),
    Gzip(Box<MultiGzDecoder<Sink>>),
    /// A failed conversion reads no more.
    Failed,
}

/// Lets the decompressor feed the compactor, and keeps the compactor's verdict, which `io::Error` would blur.
struct Sink {
    compactor: Compactor,
    verdict: Option<Invalid>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.compactor.push(bytes).map_err(|invalid| {
            self.verdict = Some(invalid);
            io::Error::other("invalid JSON")
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Default for Converter {
    fn default() -> Self {
        Self::with_record_limit(RECORD_LIMIT)
    }
}

impl Converter {
    /// A converter whose records may have at most this many bytes.
    pub fn with_record_limit(limit: u64) -> Self {
        Self {
            input: Input::Fresh(Compactor::new(limit)),
        }
    }

    /// Reads the next bytes. After an error the object is done for.
    ///
    /// Push the [`Converter::pieces`] of a chunk, not the chunk, and look at [`Converter::ready`] between them: a small
    /// chunk of gzip can hold a thousand times as much text.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), Invalid> {
        let mut rest = chunk;
        while let Some((&first, tail)) = rest.split_first() {
            match std::mem::replace(&mut self.input, Input::Failed) {
                Input::Fresh(compactor) if first == GZIP[0] => {
                    self.input = Input::Held(compactor);
                    rest = tail;
                }
                Input::Fresh(compactor) => self.input = Input::Plain(compactor),
                Input::Held(compactor) => self.input = second(compactor, first)?,
                input => return self.feed(input, rest),
            }
        }
        Ok(())
    }

    fn feed(&mut self, mut input: Input, bytes: &[u8]) -> Result<(), Invalid> {
        match &mut input {
            Input::Plain(compactor) => compactor.push(bytes)?,
            Input::Gzip(decoder) => decoder.write_all(bytes).map_err(|error| verdict(decoder, &error))?,
            Input::Fresh(_) | Input::Held(_) | Input::Failed => {
                return Err(Invalid::whole("the conversion has already failed"));
            }
        }
        self.input = input;
        Ok(())
    }

    /// Says that there are no more bytes, and gives the number of records.
    pub fn finish(&mut self) -> Result<u64, Invalid> {
        match &mut self.input {
            Input::Held(compactor) => {
                compactor.push(&GZIP[..1])?;
                compactor.finish()?;
            }
            Input::Fresh(compactor) | Input::Plain(compactor) => compactor.finish()?,
            Input::Gzip(decoder) => {
                // The decoder says "checksum" of both, so both are named.
                decoder.try_finish().map_err(|_| {
                    decoder
                        .get_mut()
                        .verdict
                        .take()
                        .unwrap_or_else(|| Invalid::whole("the gzip data is truncated, or its checksum is wrong"))
                })?;
                decoder.get_mut().compactor.finish()?;
            }
            Input::Failed => return Err(Invalid::whole("the conversion has already failed")),
        }
        Ok(self.compactor().map_or(0, |compactor| compactor.rows))
    }

    /// How many bytes of output wait.
    pub fn ready(&mut self) -> usize {
        self.compactor().map_or(0, |compactor| compactor.out.len())
    }

    /// Takes the output that waits.
    pub fn take(&mut self) -> Vec<u8> {
        self.compactor()
            .map(|compactor| std::mem::take(&mut compactor.out))
            .unwrap_or_default()
    }

    /// Takes the first `size` bytes of the output that waits, or all of it if there is less.
    pub fn take_part(&mut self, size: usize) -> Vec<u8> {
        let Some(compactor) = self.compactor() else {
            return Vec::new();
        };
        let rest = compactor.out.split_off(size.min(compactor.out.len()));
        std::mem::replace(&mut compactor.out, rest)
    }

    /// Cuts a chunk into pieces that are safe to push one by one, taking the output between them.
    pub fn pieces(chunk: &[u8]) -> impl Iterator<Item = &[u8]> {
        chunk.chunks(SLICE)
    }

    fn compactor(&mut self) -> Option<&mut Compactor> {
        match &mut self.input {
            Input::Held(compactor) | Input::Fresh(compactor) | Input::Plain(compactor) => Some(compactor),
            Input::Gzip(decoder) => Some(&mut decoder.get_mut().compactor),
            Input::Failed => None,
        }
    }
}

/// Decides by the second byte, after a first that is gzip's.
fn second(mut compactor: Compactor, byte: u8) -> Result<Input, Invalid> {
    if byte != GZIP[1] {
        compactor.push(&GZIP[..1])?;
        return Ok(Input::Plain(compactor));
    }
    let mut decoder = MultiGzDecoder::new(Sink {
        compactor,
        verdict: None,
    });
    // The second byte is pushed by the caller; the first was held back.
    decoder
        .write_all(&GZIP[..1])
        .map_err(|error| verdict(&mut decoder, &error))?;
    Ok(Input::Gzip(Box::new(decoder)))
}

fn verdict(decoder: &mut MultiGzDecoder<Sink>, error: &io::Error) -> Invalid {
    decoder
        .get_mut()
        .verdict
        .take()
        .unwrap_or_else(|| Invalid::whole(format!("the gzip data is corrupt: {error}")))
}
