//! HTTP/1.1 messages as they are sent, for proxies that stand between pipectl and the local cloud.

use std::io::{self, BufRead, Read, Write};

/// Which message is read: an answer to HEAD has no body, whatever its length says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Request,
    Answer,
    Head,
}

/// A request or an answer, as it was sent.
pub struct Message {
    /// All of it.
    pub bytes: Vec<u8>,
    /// The first line and the headers.
    pub head: Vec<String>,
    body_at: usize,
    until_closed: bool,
}

impl Message {
    /// The next message, or `None` when the other side has closed.
    pub fn read(from: &mut impl BufRead, part: Part, to: &mut impl Write) -> io::Result<Option<Self>> {
        let mut message = Self {
            bytes: Vec::new(),
            head: Vec::new(),
            body_at: 0,
            until_closed: false,
        };
        loop {
            let line = message.line(from)?;
            if line.is_empty() {
                if message.head.is_empty() {
                    return Ok(None);
                }
                // The server says that it is listening; the answer itself follows.
                if part != Part::Request && message.head[0].contains(" 100 ") {
                    message.head.clear();
                    message.bytes.clear();
                    continue;
                }
                break;
            }
            message.head.push(line);
        }
        message.body_at = message.bytes.len();
        if part == Part::Request && message.header("expect").is_some() {
            to.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let chunked = message
            .header("transfer-encoding")
            .is_some_and(|value| value.contains("chunked"));
        let length = message
            .header("content-length")
            .and_then(|value| value.parse::<u64>().ok());
        let status = message.head[0].split(' ').nth(1).unwrap_or_default().to_owned();
        let is_empty = part == Part::Head || (part == Part::Answer && matches!(status.as_str(), "204" | "304"));
        match (chunked, length) {
            _ if is_empty => {}
            (true, _) => while message.chunk(from)? {},
            (false, Some(length)) => message.take(from, length)?,
            (false, None) if part == Part::Answer => {
                from.read_to_end(&mut message.bytes)?;
                message.until_closed = true;
            }
            (false, None) => {}
        }
        Ok(Some(message))
    }

    fn line(&mut self, from: &mut impl BufRead) -> io::Result<String> {
        let at = self.bytes.len();
        from.read_until(b'\n', &mut self.bytes)?;
        Ok(String::from_utf8_lossy(&self.bytes[at..]).trim_end().to_owned())
    }

    fn take(&mut self, from: &mut impl BufRead, length: u64) -> io::Result<()> {
        let read = from.take(length).read_to_end(&mut self.bytes)?;
        if read as u64 == length {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    /// One chunk; false when it was the last one.
    fn chunk(&mut self, from: &mut impl BufRead) -> io::Result<bool> {
        let size = self.line(from)?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        if size > 0 {
            self.take(from, size + 2)?;
            return Ok(true);
        }
        // Trailers, up to the empty line.
        while !self.line(from)?.is_empty() {}
        Ok(false)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut pairs = self.head.iter().skip(1).filter_map(|line| line.split_once(':'));
        pairs
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    pub fn method(&self) -> &str {
        self.head[0].split(' ').next().unwrap_or_default()
    }

    pub fn closes(&self) -> bool {
        self.until_closed
            || self
                .header("connection")
                .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// The body without its chunks.
    pub fn body(&self) -> Vec<u8> {
        let mut rest = &self.bytes[self.body_at..];
        let chunked = self
            .header("transfer-encoding")
            .is_some_and(|value| value.contains("chunked"));
        if !chunked {
            return rest.to_vec();
        }
        let mut body = Vec::new();
        while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
            let size = String::from_utf8_lossy(&rest[..end]).into_owned();
            let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16).unwrap_or(0);
            if size == 0 {
                break;
            }
            let from = end + 2;
            body.extend_from_slice(&rest[from..from + size]);
            rest = &rest[from + size + 2..];
        }
        body
    }
}
