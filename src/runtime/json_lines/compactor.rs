//! The machine that checks JSON and drops the whitespace between its tokens.

use super::grammar::{Frame, Number, Role, State, Tail, plain};
use super::{DEPTH_LIMIT, Invalid, Position};

const MARK: &[u8] = b"\xEF\xBB\xBF";

/// Reads text in chunks of any size and collects JSON lines in `out`.
#[derive(Debug)]
pub struct Compactor {
    /// Lines that nobody has taken yet.
    pub out: Vec<u8>,
    /// How many records have ended.
    pub rows: u64,
    limit: u64,
    state: State,
    frames: Vec<Frame>,
    /// Bytes of the current record that were written.
    record: u64,
    /// Where the current record starts.
    record_start: Position,
    here: Position,
}

impl Compactor {
    /// A machine whose records may be this long.
    pub fn new(limit: u64) -> Self {
        let start = Position {
            line: 1,
            column: 1,
            offset: 0,
        };
        Self {
            out: Vec::new(),
            rows: 0,
            limit,
            state: State::Mark(0),
            frames: Vec::new(),
            record: 0,
            record_start: start,
            here: start,
        }
    }

    /// Reads the next bytes.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), Invalid> {
        let mut rest = chunk;
        while let Some(&byte) = rest.first() {
            let run = if matches!(self.state, State::Text(_)) {
                plain(rest)
            } else {
                0
            };
            let (bytes, tail) = rest.split_at(run);
            if run > 0 {
                self.emit(bytes)?;
                self.here.column += run as u64;
                self.here.offset += run as u64;
                rest = tail;
            } else if self.step(byte)? {
                self.advance(byte);
                rest = rest.get(1..).unwrap_or_default();
            }
        }
        Ok(())
    }

    /// Checks that the text may end here.
    pub fn finish(&mut self) -> Result<(), Invalid> {
        match (self.state, self.frames.last()) {
            (State::Mark(0) | State::Value { .. }, None) => Ok(()),
            (State::Mark(0), Some(_)) | (State::Mark(_), _) => self.fail("the file ends inside a byte order mark"),
            (State::Text(_) | State::Escape(_) | State::Hex(..) | State::Utf8(..), _) => {
                self.fail("the file ends inside a string")
            }
            (_, Some(Frame::Object)) => self.fail("the file ends inside an object"),
            (_, _) => self.fail("the file ends inside an array"),
        }
    }

    fn advance(&mut self, byte: u8) {
        self.here.offset += 1;
        if byte == b'\n' {
            self.here.line += 1;
            self.here.column = 1;
        } else if byte & 0xC0 != 0x80 {
            self.here.column += 1;
        }
    }

    /// Takes one byte. `false` means that the byte ended a number and must be looked at again.
    fn step(&mut self, byte: u8) -> Result<bool, Invalid> {
        let blank = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        match self.state {
            State::Mark(seen) => return self.mark(seen, byte),
            State::Value { .. } | State::Key { .. } | State::Colon | State::After if blank => {}
            State::Value { first } => self.value(first, byte)?,
            State::Key { first } => self.key(first, byte)?,
            State::Colon if byte == b':' => self.write(byte, State::Value { first: false })?,
            State::Colon => return self.fail(format!("expected `:` after a key, found {}", shown(byte))),
            State::After => self.after(byte)?,
            State::Text(role) => self.text(role, byte)?,
            State::Escape(role) => self.escape(role, byte)?,
            State::Hex(role, left) => self.hex(role, left, byte)?,
            State::Utf8(role, tail) => match tail.next(byte) {
                Some(next) => self.write(byte, next.map_or(State::Text(role), |tail| State::Utf8(role, tail)))?,
                None => return self.fail("a string holds bytes that are not UTF-8"),
            },
            State::Number(number) => return self.number(number, byte),
            State::Literal(rest) => self.literal(rest, byte)?,
        }
        Ok(true)
    }

    fn mark(&mut self, seen: usize, byte: u8) -> Result<bool, Invalid> {
        if MARK.get(seen) == Some(&byte) {
            let whole = seen + 1 == MARK.len();
            self.state = if whole {
                State::Value { first: false }
            } else {
                State::Mark(seen + 1)
            };
            return Ok(true);
        }
        match (seen, byte) {
            (0, 0xFE | 0xFF) => self.fail("the file is UTF-16, but JSON must be UTF-8"),
            (0, _) => {
                self.state = State::Value { first: false };
                Ok(false)
            }
            _ => self.fail("the file starts with a broken byte order mark"),
        }
    }

    fn value(&mut self, first: bool, byte: u8) -> Result<(), Invalid> {
        let nested = matches!(self.frames.last(), Some(Frame::Array | Frame::Object));
        match byte {
            b'{' => self.open(Frame::Object, byte),
            b'[' if self.frames.is_empty() => {
                self.frames.push(Frame::Batch);
                self.state = State::Value { first: true };
                Ok(())
            }
            b'[' => self.open(Frame::Array, byte),
            b']' if first => self.close(byte),
            b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n' if !nested => self.fail(format!(
                "a record must be an object or an array, found {}",
                scalar(byte)
            )),
            b'"' => self.write(byte, State::Text(Role::Value)),
            b'-' => self.write(byte, State::Number(Number::Minus)),
            b'0' => self.write(byte, State::Number(Number::Zero)),
            b'1'..=b'9' => self.write(byte, State::Number(Number::Whole)),
            b't' => self.write(byte, State::Literal(b"rue")),
            b'f' => self.write(byte, State::Literal(b"alse")),
            b'n' => self.write(byte, State::Literal(b"ull")),
            _ => self.fail(format!("expected a value, found {}", shown(byte))),
        }
    }

    fn key(&mut self, first: bool, byte: u8) -> Result<(), Invalid> {
        match byte {
            b'"' => self.write(byte, State::Text(Role::Key)),
            b'}' if first => self.close(byte),
            _ => self.fail(format!("expected a key in double quotes, found {}", shown(byte))),
        }
    }

    fn after(&mut self, byte: u8) -> Result<(), Invalid> {
        match (self.frames.last(), byte) {
            (Some(Frame::Batch), b',') => self.state = State::Value { first: false },
            (Some(Frame::Array), b',') => self.write(byte, State::Value { first: false })?,
            (Some(Frame::Object), b',') => self.write(byte, State::Key { first: false })?,
            (Some(Frame::Batch | Frame::Array), b']') | (Some(Frame::Object), b'}') => self.close(byte)?,
            (Some(Frame::Object), _) => return self.fail(format!("expected `,` or `}}`, found {}", shown(byte))),
            _ => return self.fail(format!("expected `,` or `]`, found {}", shown(byte))),
        }
        Ok(())
    }

    fn text(&mut self, role: Role, byte: u8) -> Result<(), Invalid> {
        match byte {
            b'"' if role == Role::Key => self.write(byte, State::Colon),
            b'"' => self.write(byte, State::After),
            b'\\' => self.write(byte, State::Escape(role)),
            0x00..=0x1F => self.fail(format!(
                "a string holds an unescaped control character, {}",
                shown(byte)
            )),
            _ => match Tail::after(byte) {
                Some(tail) => self.write(byte, State::Utf8(role, tail)),
                None => self.fail("a string holds bytes that are not UTF-8"),
            },
        }
    }

    fn escape(&mut self, role: Role, byte: u8) -> Result<(), Invalid> {
        match byte {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.write(byte, State::Text(role)),
            b'u' => self.write(byte, State::Hex(role, 4)),
            _ => self.fail(format!(
                "a string holds an unknown escape, a backslash before {}",
                shown(byte)
            )),
        }
    }

    fn hex(&mut self, role: Role, left: u8, byte: u8) -> Result<(), Invalid> {
        match (byte.is_ascii_hexdigit(), left) {
            (true, 1) => self.write(byte, State::Text(role)),
            (true, _) => self.write(byte, State::Hex(role, left - 1)),
            (false, _) => self.fail(format!(
                "expected a hexadecimal digit after `\\u`, found {}",
                shown(byte)
            )),
        }
    }

    fn number(&mut self, number: Number, byte: u8) -> Result<bool, Invalid> {
        if let Some(next) = number.next(byte) {
            self.write(byte, State::Number(next))?;
            return Ok(true);
        }
        if number.is_complete() {
            self.state = State::After;
            return Ok(false);
        }
        self.fail(format!("a number may not go on with {}", shown(byte)))
    }

    fn literal(&mut self, rest: &'static [u8], byte: u8) -> Result<(), Invalid> {
        match rest.split_first() {
            Some((wanted, [])) if *wanted == byte => self.write(byte, State::After),
            Some((wanted, rest)) if *wanted == byte => self.write(byte, State::Literal(rest)),
            _ => self.fail(format!("expected `true`, `false` or `null`, found {}", shown(byte))),
        }
    }

    fn open(&mut self, frame: Frame, byte: u8) -> Result<(), Invalid> {
        if self.frames.len() >= DEPTH_LIMIT {
            return self.fail(format!("the record nests deeper than {DEPTH_LIMIT} levels"));
        }
        if matches!(self.frames.last(), None | Some(Frame::Batch)) {
            self.record = 0;
            self.record_start = self.here;
        }
        self.frames.push(frame);
        let inside = if frame == Frame::Object {
            State::Key { first: true }
        } else {
            State::Value { first: true }
        };
        self.write(byte, inside)
    }

    /// Ends what is open; the caller has checked that `byte` is its end.
    fn close(&mut self, byte: u8) -> Result<(), Invalid> {
        if self.frames.pop() != Some(Frame::Batch) {
            self.write(byte, State::After)?;
            if matches!(self.frames.last(), None | Some(Frame::Batch)) {
                self.out.push(b'\n');
                self.rows += 1;
            }
        }
        let outside = self.frames.is_empty();
        self.state = if outside {
            State::Value { first: false }
        } else {
            State::After
        };
        Ok(())
    }

    fn write(&mut self, byte: u8, next: State) -> Result<(), Invalid> {
        self.state = next;
        self.emit(&[byte])
    }

    fn emit(&mut self, bytes: &[u8]) -> Result<(), Invalid> {
        self.record += bytes.len() as u64;
        if self.record > self.limit {
            let reason = format!(
                "a record is longer than {} bytes, the most that Snowflake can load",
                self.limit
            );
            // Told by its start: that is the same however the bytes arrive, and it is where people look.
            return Err(Invalid {
                reason,
                position: Some(self.record_start),
            });
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn fail<T>(&self, reason: impl Into<String>) -> Result<T, Invalid> {
        Err(Invalid {
            reason: reason.into(),
            position: Some(self.here),
        })
    }
}

fn shown(byte: u8) -> String {
    if byte.is_ascii_graphic() {
        format!("`{}`", char::from(byte))
    } else {
        format!("the byte 0x{byte:02X}")
    }
}

fn scalar(byte: u8) -> &'static str {
    match byte {
        b'"' => "a string",
        b't' | b'f' => "a boolean",
        b'n' => "null",
        _ => "a number",
    }
}
