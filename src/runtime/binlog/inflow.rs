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
            packing => {
                self.buffer.resize(start + room, 0);
                // One step may give no more than a block.
                let (mut taken, mut written) = (0, 0);
                while written < room && !self.over {
                    let (input, output) = (&input[taken..], &mut self.buffer[start + written..]);
                    let (read, wrote, over) = step(packing, input, output)?;
                    self.over = over;
                    (taken, written) = (taken + read, written + wrote);
                    if read == 0 && wrote == 0 {
                        break;
                    }
                }
                (if self.over { input.len() } else { taken }, written)
            }
        };
        self.buffer.truncate(start + written);
        self.offered.start += taken;
        Ok(written > 0 || taken > 0 && !self.offered.is_empty())
    }
}

/// Unpacks once: bytes read, bytes written, and whether the packed stream is at its end.
fn step(packing: &mut Packing, input: &[u8], output: &mut [u8]) -> io::Result<(usize, usize, bool)> {
    match packing {
        Packing::None => Ok((0, 0, true)),
        Packing::Zlib(stream) => {
            let (read, written) = (stream.total_in(), stream.total_out());
            let status = stream.decompress(input, output, FlushDecompress::None);
            let over = status.map_err(io::Error::other)? == Status::StreamEnd;
            let (read, written) = (stream.total_in() - read, stream.total_out() - written);
            Ok((read as usize, written as usize, over))
        }
        Packing::Zstd(stream) => {
            let status = stream.run_on_buffers(input, output)?;
            Ok((status.bytes_read, status.bytes_written, false))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn unpacked(mut inflow: Inflow, packed: &[u8], piece: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let mut parts = packed.chunks(piece).peekable();
        while let Some(part) = parts.next() {
            inflow.offer(0..part.len(), parts.peek().is_none());
            while inflow.fill(part).unwrap() {
                let count = inflow.bytes().len().min(1000);
                out.extend_from_slice(&inflow.bytes()[..count]);
                inflow.consume(count);
            }
        }
        assert!(inflow.is_over());
        out.extend_from_slice(inflow.bytes());
        out
    }

    #[test]
    fn everything_comes_whatever_the_parts() {
        let plain: Vec<u8> = (0..400_000_u32).flat_map(|number| (number / 7).to_le_bytes()).collect();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(&plain).unwrap();
        let zlib = zlib.finish().unwrap();
        let zstd = zstd::bulk::compress(&plain, 3).unwrap();
        for piece in [1000, 1 << 16, 1 << 24] {
            assert!(unpacked(Inflow::default(), &plain, piece) == plain);
            assert!(unpacked(Inflow::zlib(), &zlib, piece) == plain);
            assert!(unpacked(Inflow::zstd().unwrap(), &zstd, piece) == plain);
        }
    }
}
