//! Values as Python writes them: `repr()` of what a database driver gives. Nothing is evaluated.
//!
//! The grammar is that of literals (<https://docs.python.org/3/reference/lexical_analysis.html#literals>), of the
//! containers of literals, and of calls of the few constructors that `repr()` writes. JSON is read too, since it
//! differs in three words and one escape only.

use super::call::Arguments;
use crate::runtime::fault::Fault;

/// How deep values may nest: MySQL's JSON nests up to 100 levels, inside a row inside an event.
const DEPTH: usize = 110;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    None,
    Bool(bool),
    /// Digits as they were written, with their sign.
    Int(String),
    /// A finite number as it was written: Python's form is JSON's, too.
    Float(String),
    Text(String),
    Bytes(Vec<u8>),
    Decimal(String),
    /// The date, the time of the day, and the minutes east of Greenwich where they are known.
    DateTime(Date, Time, Option<i32>),
    Date(Date),
    Time(Time),
    /// A length of time, in microseconds.
    Delta(i64),
    Set(Vec<Literal>),
    /// A list or a tuple.
    List(Vec<Literal>),
    /// Members in the order in which they were written.
    Dict(Vec<(Literal, Literal)>),
    /// A zone: minutes east of Greenwich. Stands in a date only.
    Zone(i32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    pub year: u16,
    pub month: u8,
    pub day: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Time {
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    pub micros: u32,
}

impl Literal {
    /// The member of a dict.
    pub fn get(&self, name: &str) -> Option<&Literal> {
        let Self::Dict(members) = self else { return None };
        let found = members.iter().find(|(key, _)| key.text() == Some(name));
        found.map(|(_, value)| value)
    }

    /// A text's characters.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Reads a text that is one value, with nothing but blanks around it.
pub fn parse(text: &str) -> Result<Literal, Fault> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let value = parser.value()?;
    match parser.peek() {
        None => Ok(value),
        Some(_) => Err(parser.fault("something stands behind the value")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn fault(&self, reason: &'static str) -> Fault {
        Fault {
            reason,
            offset: self.at,
        }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// The next byte that is not blank.
    fn peek(&mut self) -> Option<u8> {
        let blanks = self.rest().iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.at += blanks;
        self.rest().first().copied()
    }

    /// Passes over a byte if it is the next.
    fn takes(&mut self, byte: u8) -> bool {
        let takes = self.peek() == Some(byte);
        self.at += usize::from(takes);
        takes
    }

    fn expect(&mut self, byte: u8, reason: &'static str) -> Result<(), Fault> {
        if self.takes(byte) {
            Ok(())
        } else {
            Err(self.fault(reason))
        }
    }

    fn value(&mut self) -> Result<Literal, Fault> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.fault("values nest too deep"));
        }
        let value = match self.peek() {
            Some(b'{') => self.braces(),
            Some(b'[') => {
                self.at += 1;
                self.list(b']').map(Literal::List)
            }
            Some(b'(') => {
                self.at += 1;
                self.list(b')').map(Literal::List)
            }
            Some(quote @ (b'\'' | b'"')) => self.string(quote),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(byte) if byte.is_ascii_alphabetic() => self.word(),
            Some(_) => Err(self.fault("expected a value")),
            None => Err(self.fault("the text ends where a value should stand")),
        }?;
        self.depth -= 1;
        Ok(value)
    }

    /// A dict or a set.
    fn braces(&mut self) -> Result<Literal, Fault> {
        self.at += 1;
        if self.takes(b'}') {
            return Ok(Literal::Dict(Vec::new()));
        }
        let first = self.value()?;
        if !self.takes(b':') {
            let mut members = vec![first];
            if self.takes(b',') {
                members.extend(self.list(b'}')?);
                return Ok(Literal::Set(members));
            }
            self.expect(b'}', "expected `:`, `,` or `}`")?;
            return Ok(Literal::Set(members));
        }
        let mut members = vec![(first, self.value()?)];
        while self.takes(b',') {
            if self.peek() == Some(b'}') {
                break;
            }
            let key = self.value()?;
            self.expect(b':', "expected `:` behind a key")?;
            members.push((key, self.value()?));
        }
        self.expect(b'}', "expected `,` or `}` in a dict")?;
        Ok(Literal::Dict(members))
    }

    /// Values up to `end`, which is passed over.
    fn list(&mut self, end: u8) -> Result<Vec<Literal>, Fault> {
        let mut values = Vec::new();
        while !self.takes(end) {
            values.push(self.value()?);
            if !self.takes(b',') {
                self.expect(end, "expected `,` or the end of a list")?;
                break;
            }
        }
        Ok(values)
    }

    fn number(&mut self) -> Result<Literal, Fault> {
        let bytes = self.rest();
        let is_part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        let length = bytes.iter().take_while(is_part).count();
        let text = self.text.get(self.at..self.at + length).unwrap_or_default();
        // Python's numbers are JSON's, but for `1.` and `-inf`, which `repr()` does not write or a table does not hold.
        if serde_json::from_str::<&serde_json::value::RawValue>(text).is_err() {
            return Err(self.fault("a number that JSON does not have"));
        }
        self.at += length;
        if text.contains(['.', 'e', 'E']) {
            return Ok(Literal::Float(text.to_owned()));
        }
        Ok(Literal::Int(text.to_owned()))
    }

    /// A constant, a prefixed string or a call.
    fn word(&mut self) -> Result<Literal, Fault> {
        let bytes = self.rest();
        let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
        let length = bytes.iter().take_while(is_part).count();
        let name = self.text.get(self.at..self.at + length).unwrap_or_default();
        match (name, bytes.get(length)) {
            ("b" | "B", Some(quote @ (b'\'' | b'"'))) => {
                self.at += length;
                return self.bytes(*quote);
            }
            ("u", Some(quote @ (b'\'' | b'"'))) => {
                self.at += length;
                return self.string(*quote);
            }
            _ => {}
        }
        let constant = match name {
            "None" | "null" => Literal::None,
            "True" | "true" => Literal::Bool(true),
            "False" | "false" => Literal::Bool(false),
            "datetime.timezone.utc" => Literal::Zone(0),
            "nan" | "inf" | "NaN" | "Infinity" => return Err(self.fault("a number that JSON does not have")),
            _ => return self.call(name),
        };
        self.at += length;
        Ok(constant)
    }

    /// One of the calls that are known.
    fn call(&mut self, name: &str) -> Result<Literal, Fault> {
        let start = self.at;
        let fault = |reason| Fault { reason, offset: start };
        let make: fn(Arguments) -> Option<Literal> = match name {
            "Decimal" | "decimal.Decimal" => Arguments::decimal,
            "datetime.datetime" => Arguments::date_time,
            "datetime.date" => Arguments::date,
            "datetime.time" => Arguments::time,
            "datetime.timedelta" => Arguments::delta,
            "datetime.timezone" => Arguments::zone,
            "set" | "frozenset" => Arguments::set,
            _ => return Err(fault("a name that is not known: nothing is evaluated")),
        };
        self.at += name.len();
        self.expect(b'(', "expected `(`")?;
        let mut arguments = Arguments::default();
        while !self.takes(b')') {
            match self.keyword() {
                Some(name) => arguments.named.push((name, self.value()?)),
                None => arguments.values.push(self.value()?),
            }
            if !self.takes(b',') {
                self.expect(b')', "expected `,` or `)`")?;
                break;
            }
        }
        make(arguments).ok_or_else(|| fault("a value that its type does not have"))
    }

    /// The name of an argument, with the equals sign behind it.
    fn keyword(&mut self) -> Option<String> {
        self.peek();
        let length = self.rest().iter().take_while(|byte| byte.is_ascii_lowercase()).count();
        let is_name = length > 0 && self.rest().get(length) == Some(&b'=');
        let name = self.text.get(self.at..self.at + length).filter(|_| is_name)?;
        self.at += length + 1;
        Some(name.to_owned())
    }

    fn string(&mut self, quote: u8) -> Result<Literal, Fault> {
        self.at += 1;
        let mut out = String::new();
        let mut high = None;
        loop {
            let plain = self.plain(quote)?;
            let is_escape = self.rest().first() == Some(&b'\\');
            if !plain.is_empty() || !is_escape {
                out.extend(high.take().map(|_| char::REPLACEMENT_CHARACTER));
                out.push_str(plain);
            }
            if !is_escape {
                self.at += 1;
                return Ok(Literal::Text(out));
            }
            let code = self.escape(true)?;
            // JSON writes characters past U+FFFF as two halves; a half alone is no character.
            match (high.take(), code) {
                (None, 0xD800..=0xDBFF) => high = Some(code),
                (Some(first), 0xDC00..=0xDFFF) => {
                    let whole = 0x10000 + ((first - 0xD800) << 10) + (code - 0xDC00);
                    out.push(char::from_u32(whole).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                (first, _) => {
                    out.extend(first.map(|_| char::REPLACEMENT_CHARACTER));
                    if matches!(code, 0xD800..=0xDBFF) {
                        high = Some(code);
                    } else {
                        out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                }
            }
        }
    }

    fn bytes(&mut self, quote: u8) -> Result<Literal, Fault> {
        self.at += 1;
        let mut out = Vec::new();
        loop {
            let plain = self.plain(quote)?;
            if !plain.is_ascii() {
                return Err(self.fault("bytes hold a character that needs an escape"));
            }
            out.extend_from_slice(plain.as_bytes());
            if self.rest().first() != Some(&b'\\') {
                self.at += 1;
                return Ok(Literal::Bytes(out));
            }
            let code = self.escape(false)?;
            out.push(u8::try_from(code).map_err(|_| self.fault("an escape is more than a byte"))?);
        }
    }

    /// What stands for itself up to the quote or a backslash, which is not passed over.
    fn plain(&mut self, quote: u8) -> Result<&'a str, Fault> {
        let bytes = self.rest();
        let length = memchr::memchr2(quote, b'\\', bytes).ok_or(Fault {
            reason: "the text ends inside a string",
            offset: self.text.len(),
        })?;
        let text = self.text.get(self.at..self.at + length).unwrap_or_default();
        self.at += length;
        Ok(text)
    }

    /// An escape's code; `\u` and `\U` in texts only.
    fn escape(&mut self, in_text: bool) -> Result<u32, Fault> {
        let bytes = self.rest();
        let (code, length) = match bytes.get(1) {
            Some(byte @ (b'\\' | b'\'' | b'"' | b'/')) => (u32::from(*byte), 2),
            Some(b'n') => (10, 2),
            Some(b'r') => (13, 2),
            Some(b't') => (9, 2),
            Some(b'a') => (7, 2),
            Some(b'b') => (8, 2),
            Some(b'f') => (12, 2),
            Some(b'v') => (11, 2),
            Some(b'x') => (self.code(bytes.get(2..4), 16)?, 4),
            Some(b'u') if in_text => (self.code(bytes.get(2..6), 16)?, 6),
            Some(b'U') if in_text => (self.code(bytes.get(2..10), 16)?, 10),
            Some(b'0'..=b'7') => {
                let digits = bytes
                    .iter()
                    .skip(1)
                    .take(3)
                    .take_while(|byte| matches!(byte, b'0'..=b'7'));
                let length = 1 + digits.count();
                (self.code(bytes.get(1..length), 8)?, length)
            }
            _ => return Err(self.fault("a string holds an unknown escape")),
        };
        self.at += length;
        Ok(code)
    }

    fn code(&self, digits: Option<&[u8]>, base: u32) -> Result<u32, Fault> {
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let text = digits.and_then(|digits| str::from_utf8(digits).ok());
        text.and_then(|text| u32::from_str_radix(text, base).ok())
            .ok_or_else(|| self.fault("an escape lacks a digit"))
    }
}
