//! Packets over a byte stream, received into one buffer and handed out as slices of it
//! (<https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html>).

use std::io;
use std::ops::Range;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What a connection reads from and writes to.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Bytes of a packet's header: three of length, one of sequence.
const HEADER: usize = 4;
/// A packet of this length goes on in the next one.
const FULL: usize = 0xff_ffff;
/// What one read asks for.
const BUFFER: usize = 128 << 10;
/// The largest payload that is taken, in bytes. Beyond it the function's memory would decide.
pub const PAYLOAD_MAX: usize = 64 << 20;

/// A stream of packets.
pub struct Wire {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    /// What was received and not yet handed out.
    unread: Range<usize>,
    /// The packet handed out last.
    packet: Range<usize>,
    /// A payload of several packets, put together.
    joined: Vec<u8>,
    is_joined: bool,
    sequence: u8,
}

impl Wire {
    pub fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            buffer: vec![0; BUFFER],
            unread: 0..0,
            packet: 0..0,
            joined: Vec::new(),
            is_joined: false,
            sequence: 0,
        }
    }

    /// The stream below, to put TLS on it. Nothing may have been received that was not handed out.
    pub fn into_stream(self) -> (Box<dyn Stream>, u8) {
        (self.stream, self.sequence)
    }

    /// Goes on with the numbering of the stream this one lies on.
    pub fn numbered_from(mut self, sequence: u8) -> Self {
        self.sequence = sequence;
        self
    }

    /// Receives the next payload; `payload` then shows it.
    #[inline]
    pub async fn receive(&mut self) -> io::Result<()> {
        self.packet = self.one().await?;
        self.is_joined = self.packet.len() == FULL;
        if self.is_joined {
            self.joined.clear();
            loop {
                self.joined.extend_from_slice(&self.buffer[self.packet.clone()]);
                if self.packet.len() < FULL {
                    break;
                }
                if self.joined.len() > PAYLOAD_MAX {
                    return Err(io::Error::new(io::ErrorKind::OutOfMemory, "the row is too large"));
                }
                self.packet = self.one().await?;
            }
        }
        Ok(())
    }

    /// Receives the next packet only; true when the payload goes on in another one. Nothing is lost when this is given up
    /// while it waits.
    #[inline]
    pub async fn receive_part(&mut self) -> io::Result<bool> {
        self.packet = self.one().await?;
        self.is_joined = false;
        Ok(self.packet.len() == FULL)
    }

    /// Whether a whole packet was received that was not handed out.
    pub fn has_packet(&self) -> bool {
        match self.buffer[self.unread.clone()].split_first_chunk::<HEADER>() {
            Some(([a, b, c, _], rest)) => rest.len() >= u32::from_le_bytes([*a, *b, *c, 0]) as usize,
            None => false,
        }
    }

    /// The payload received last.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        if self.is_joined {
            &self.joined
        } else {
            &self.buffer[self.packet.clone()]
        }
    }

    #[inline]
    async fn one(&mut self) -> io::Result<Range<usize>> {
        loop {
            let unread = &self.buffer[self.unread.clone()];
            if let Some(([a, b, c, sequence], rest)) = unread.split_first_chunk::<HEADER>() {
                let length = u32::from_le_bytes([*a, *b, *c, 0]) as usize;
                if rest.len() >= length {
                    self.sequence = sequence.wrapping_add(1);
                    let start = self.unread.start + HEADER;
                    self.unread.start = start + length;
                    return Ok(start..start + length);
                }
                self.make_room(HEADER + length);
            } else {
                self.make_room(HEADER);
            }
            let read = self.stream.read(&mut self.buffer[self.unread.end..]).await?;
            if read == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the server closed the connection",
                ));
            }
            self.unread.end += read;
        }
    }

    /// Makes the buffer hold `needed` bytes from the first unread one on, with room to receive into.
    fn make_room(&mut self, needed: usize) {
        if self.unread.start + needed.max(HEADER + 1) > self.buffer.len() || self.unread.end == self.buffer.len() {
            self.buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        }
        if self.buffer.len() < needed {
            self.buffer.resize(needed, 0);
        }
    }

    /// Sends a command, which begins a new numbering.
    pub async fn command(&mut self, payload: &[u8]) -> io::Result<()> {
        self.sequence = 0;
        self.send(payload).await
    }

    /// Sends a payload as the next packets of the exchange.
    pub async fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut out = Vec::with_capacity(payload.len() + HEADER);
        let mut rest = payload;
        loop {
            let (now, later) = rest.split_at(rest.len().min(FULL));
            let [a, b, c, ..] = (now.len() as u32).to_le_bytes();
            out.extend_from_slice(&[a, b, c, self.sequence]);
            out.extend_from_slice(now);
            self.sequence = self.sequence.wrapping_add(1);
            rest = later;
            if now.len() < FULL {
                break;
            }
        }
        self.stream.write_all(&out).await?;
        self.stream.flush().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn round_trip(lengths: &[usize], piece: usize) {
        let (ours, theirs) = tokio::io::duplex(piece);
        let payloads: Vec<Vec<u8>> = lengths.iter().map(|length| vec![*length as u8; *length]).collect();
        let sent = payloads.clone();
        let sender = tokio::spawn(async move {
            let mut wire = Wire::new(Box::new(theirs));
            for payload in &sent {
                wire.command(payload).await.unwrap();
            }
        });
        let mut wire = Wire::new(Box::new(ours));
        for payload in &payloads {
            wire.receive().await.unwrap();
            assert!(wire.payload() == payload.as_slice(), "{} bytes", payload.len());
        }
        sender.await.unwrap();
        assert!(wire.receive().await.is_err());
    }

    #[tokio::test]
    async fn payloads_arrive_whatever_the_pieces() {
        let around = BUFFER - HEADER;
        round_trip(&[0, 1, 5, around - 1, around, around + 1, 3, 2 * BUFFER, 0, 7], 1 << 10).await;
        round_trip(&[3, 4, 5, 100], 1).await;
    }

    #[tokio::test]
    async fn a_payload_of_several_packets_is_one() {
        round_trip(&[FULL - 1, FULL, 9, FULL + 1, 2 * FULL, 1], 1 << 20).await;
    }
}
