//! Bytes of an event that comes in several parts or compressed: as much of it as a row needs at a time.

use std::io;
use std::ops::Range;

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{Decoder, Operation as _};

/// What one filling adds at least, in bytes.
const STEP: usize = 128 << 10;

/// How the bytes are packed.
#[derive(Default)]
enum Packing {
    #[default]
    None,
    Zlib(Box<Decompress>),
    Zstd(Box<Decoder<'static>>),
}

/// The bytes, unpacked.
#[derive(Default)]
pub struct Inflow {
    packing: Packing,
    buffer: Vec<u8>,
    at: usize,
    /// What of the part was offered and not yet taken.
    offered: Range<usize>,
    /// Whether no part follows.
    last: bool,
    /// Whether the packed stream is at its end.
    over: bool,
}

impl Inflow {
    pub fn zlib() -> Self {
        Self {
            packing: Packing::Zlib(Box::new(Decompress::new(true))),
            ..Self::default()
        }
    }

    pub fn zstd() -> io::Result<Self> {
        Ok(Self {
            packing: Packing::Zstd(Box::new(Decoder::new()?)),
            ..Self::default()
        })
    }

    /// Says which bytes of the current part belong here, and whether more parts follow.
    pub fn offer(&mut self, range: Range<usize>, last: bool) {
        self.offered = range;
        self.last = last;
    }

    /// What is unpacked and not consumed.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    pub fn consume(&mut self, count: usize) {
        self.at += count;
    }

    /// Whether `bytes` are the last.
    pub fn is_over(&self) -> bool {
        self.offered.is_empty() && self.last
    }

    /// Unpacks more from the part; false when there is no more in it. What is added grows with what is there, so that a
    /// large row is not tried too often.
    pub fn fill(&mut self, part: &[u8]) -> io::Result<bool> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let start = self.buffer.len();
        let room = STEP.max(start);
        let input = part.get(self.offered.clone()).unwrap_or_default();
        let (taken, written) = match &mut self.packing {
            Packing::None => {
                let count = input.len().min(room);
                self.buffer.extend_from_slice(&input[..count]);
                (count, count)
            }
            _ if self.over => (input.len(), 0),
            Packing::Zlib(stream) => {
                self.buffer.resize(start + room, 0);
                let (input_before, output_before) = (stream.total_in(), stream.total_out());
                let status = stream.decompress(input, &mut self.buffer[start..], FlushDecompress::None);
                self.over = status.map_err(io::Error::other)? == Status::StreamEnd;
                let taken = (stream.total_in() - input_before) as usize;
                (taken, (stream.total_out() - output_before) as usize)
            }
            Packing::Zstd(stream) => {
                self.buffer.resize(start + room, 0);
                let status = stream.run_on_buffers(input, &mut self.buffer[start..])?;
                (status.bytes_read, status.bytes_written)
            }
        };
        self.buffer.truncate(start + written);
        self.offered.start += taken;
        Ok(written > 0 || taken > 0 && !self.offered.is_empty())
    }
}
