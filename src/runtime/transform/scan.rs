//! A pass over JSON text that checks its grammar (RFC 8259) and finds members, without building values.

use std::ops::Range;

use crate::runtime::fault::Fault;
use crate::runtime::letters::plain;

/// How deep values may nest. MySQL's JSON nests up to 100 levels
/// (<https://dev.mysql.com/doc/refman/8.4/en/json.html>), and a record adds three.
const DEPTH: u32 = 128;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Null,
    Object,
    /// A string, without its quotes and with its escapes as they are written.
    Text,
    Other,
}

/// A value's kind and place. The place of a text is what stands between its quotes.
#[derive(Debug, Clone)]
pub struct Found {
    pub kind: Kind,
    pub span: Range<usize>,
}

/// A place in a text.
pub struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    has_break: bool,
}

impl<'a> Scan<'a> {
    /// A pass over a text from its start.
    pub fn new(text: &'a str) -> Self {
        Self {
            text: text.as_bytes(),
            at: 0,
            has_break: false,
        }
    }

    /// How far the pass has come, in bytes.
    pub fn at(&self) -> usize {
        self.at
    }

    /// A fault at this place.
    pub fn fault(&self, reason: &'static str) -> Fault {
        Fault {
            reason,
            offset: self.at,
        }
    }

    /// Whether a line break stood between the tokens so far. In a string it is escaped.
    pub fn has_break(&self) -> bool {
        self.has_break
    }

    /// The next byte that is not blank; `None` at the end.
    #[inline(always)]
    pub fn peek(&mut self) -> Option<u8> {
        match self.text.get(self.at) {
            Some(byte) if *byte > b' ' => Some(*byte),
            // One space is what many writers put there.
            Some(b' ') if self.text.get(self.at + 1).is_some_and(|byte| *byte > b' ') => {
                self.at += 1;
                self.text.get(self.at).copied()
            }
            _ => self.blanks(),
        }
    }

    #[cold]
    fn blanks(&mut self) -> Option<u8> {
        loop {
            match self.text.get(self.at)? {
                b' ' | b'\t' => {}
                b'\n' | b'\r' => self.has_break = true,
                byte => return Some(*byte),
            }
            self.at += 1;
        }
    }

    /// Passes over a string of letters that need no escape, such as base64; what else it holds is the caller's affair.
    pub fn letters(&mut self) -> Result<Range<usize>, Fault> {
        self.expect(b'"', "expected a string")?;
        let start = self.at;
        let end = memchr::memchr(b'"', self.text.get(start..).unwrap_or_default());
        let end = start + end.ok_or_else(|| self.fault("the text ends inside a string"))?;
        self.at = end + 1;
        Ok(start..end)
    }

    /// Passes over these bytes if they are what comes next, blanks included.
    #[inline(always)]
    pub fn literal(&mut self, word: &[u8]) -> bool {
        let is_next = self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word));
        if is_next {
            self.at += word.len();
        }
        is_next
    }

    /// Passes over a string whose opening quote was, and that holds no escape; `None` for another one.
    #[inline]
    pub fn unescaped(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        let end = start + memchr::memchr2(b'"', b'\\', self.text.get(start..)?)?;
        if self.text[end] == b'\\' {
            return None;
        }
        self.at = end + 1;
        Some(start..end)
    }

    /// Passes over an object without objects and escapes in it, and without a look at its grammar; `None` for another
    /// one.
    pub fn flat(&mut self) -> Option<()> {
        let object = self.text.get(self.at..)?.strip_prefix(b"{")?;
        let object = &object[..memchr::memchr(b'}', object)?];
        // The brace that was found stands in a string when the quotes before it do not pair up.
        let paired = memchr::memchr_iter(b'"', object).count().is_multiple_of(2);
        if !paired || memchr::memchr2(b'{', b'\\', object).is_some() {
            return None;
        }
        self.at += object.len() + 2;
        Some(())
    }

    /// Goes back to a place where it was.
    pub fn back(&mut self, at: usize) {
        self.at = at;
    }

    /// Reads the members of an object, one call each with its name. `each` must pass over the value.
    #[inline]
    pub fn members(&mut self, mut each: impl FnMut(&mut Self, Range<usize>) -> Result<(), Fault>) -> Result<(), Fault> {
        self.expect(b'{', "expected an object")?;
        if self.ends_with(b'}') {
            return Ok(());
        }
        loop {
            let name = self.name()?;
            each(self, name)?;
            match self.next() {
                Some(b',') => {}
                Some(b'}') => return Ok(()),
                _ => return Err(self.before("expected `,` or `}` in an object")),
            }
        }
    }

    /// Reads the elements of an array. `each` must pass over the element.
    pub fn elements(&mut self, mut each: impl FnMut(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        self.expect(b'[', "expected an array")?;
        if self.ends_with(b']') {
            return Ok(());
        }
        loop {
            each(self)?;
            match self.next() {
                Some(b',') => {}
                Some(b']') => return Ok(()),
                _ => return Err(self.before("expected `,` or `]` in an array")),
            }
        }
    }

    /// Passes over a value of any kind.
    #[inline]
    pub fn value(&mut self) -> Result<Found, Fault> {
        let first = self.peek();
        let start = self.at;
        let kind = match first {
            Some(b'"') => {
                let span = self.string()?;
                return Ok(Found { kind: Kind::Text, span });
            }
            Some(b'{') => {
                if !self.row() {
                    self.at = start;
                    self.nested()?;
                }
                Kind::Object
            }
            Some(b'n') => {
                self.word(b"null")?;
                Kind::Null
            }
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
                Kind::Other
            }
            _ => {
                self.nested()?;
                Kind::Other
            }
        };
        Ok(Found {
            kind,
            span: start..self.at,
        })
    }

    /// Passes over an object as rows mostly are: of texts, numbers and nulls, without blanks. False for every other, good
    /// or bad, which leaves the pass anywhere.
    #[inline]
    fn row(&mut self) -> bool {
        loop {
            // Behind the brace or the comma.
            self.at += 1;
            if self.text.get(self.at) != Some(&b'"') || self.string().is_err() || self.text.get(self.at) != Some(&b':')
            {
                return false;
            }
            self.at += 1;
            let is_fine = match self.text.get(self.at) {
                Some(b'"') => self.string().is_ok(),
                Some(b'-' | b'0'..=b'9') => self.number().is_ok(),
                Some(b'n') => self.word(b"null").is_ok(),
                _ => false,
            };
            if !is_fine {
                return false;
            }
            match self.text.get(self.at) {
                Some(b',') => {}
                Some(b'}') => {
                    self.at += 1;
                    return true;
                }
                _ => return false,
            }
        }
    }

    /// Passes over a value and everything in it, without recursion: one bit for each level that is open.
    fn nested(&mut self) -> Result<(), Fault> {
        let mut objects: u128 = 0;
        let mut depth = 0;
        loop {
            match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    self.at += 1;
                    if depth == DEPTH {
                        return Err(self.fault("values nest deeper than 128 levels"));
                    }
                    let is_object = open == b'{';
                    if !self.ends_with(if is_object { b'}' } else { b']' }) {
                        objects = objects << 1 | u128::from(is_object);
                        depth += 1;
                        if is_object {
                            self.name()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.word(b"true")?,
                Some(b'f') => self.word(b"false")?,
                Some(b'n') => self.word(b"null")?,
                _ => return Err(self.fault("expected a value")),
            }
            loop {
                if depth == 0 {
                    return Ok(());
                }
                let is_object = objects & 1 == 1;
                match self.next() {
                    Some(b',') => {
                        if is_object {
                            self.name()?;
                        }
                        break;
                    }
                    Some(b'}') if is_object => {}
                    Some(b']') if !is_object => {}
                    _ => return Err(self.before("expected `,` or the end of an object or array")),
                }
                objects >>= 1;
                depth -= 1;
            }
        }
    }

    /// A member's name, without its quotes, and the colon behind it.
    #[inline(always)]
    fn name(&mut self) -> Result<Range<usize>, Fault> {
        if self.peek() != Some(b'"') {
            return Err(self.fault("expected a name in double quotes"));
        }
        let name = self.string()?;
        self.expect(b':', "expected `:` after a name")?;
        Ok(name)
    }

    /// A string; the pass stands at its opening quote.
    #[inline(always)]
    fn string(&mut self) -> Result<Range<usize>, Fault> {
        self.at += 1;
        let start = self.at;
        loop {
            self.at += plain(self.text.get(self.at..).unwrap_or_default());
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(start..self.at - 1);
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(self.fault("a string holds a control character")),
                None => return Err(self.fault("the text ends inside a string")),
            }
        }
    }

    #[cold]
    fn escape(&mut self) -> Result<(), Fault> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let digits = self.text.get(self.at + 2..self.at + 6);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return Err(self.fault("`\\u` needs four hexadecimal digits"));
                }
                self.at += 6;
            }
            _ => return Err(self.fault("a string holds an unknown escape")),
        }
        Ok(())
    }

    #[inline]
    fn number(&mut self) -> Result<(), Fault> {
        if self.text.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        let start = self.at;
        self.digits()?;
        if self.text.get(start) == Some(&b'0') && self.at > start + 1 {
            return Err(self.fault("a number starts with a zero"));
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.text.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    #[inline]
    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.fault("a number lacks a digit"));
        }
        Ok(())
    }

    #[inline]
    fn word(&mut self, word: &[u8]) -> Result<(), Fault> {
        if !self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(self.fault("expected a value"));
        }
        self.at += word.len();
        Ok(())
    }

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8, reason: &'static str) -> Result<(), Fault> {
        match self.peek() {
            Some(found) if found == byte => {
                self.at += 1;
                Ok(())
            }
            _ => Err(self.fault(reason)),
        }
    }

    /// Whether the object or array that was just opened ends here; its end is passed over.
    #[inline]
    fn ends_with(&mut self, byte: u8) -> bool {
        let ends = self.peek() == Some(byte);
        self.at += usize::from(ends);
        ends
    }

    /// A fault at the byte that was just read, or at the end.
    #[cold]
    fn before(&self, reason: &'static str) -> Fault {
        Fault {
            reason,
            offset: self.at.saturating_sub(usize::from(self.at < self.text.len())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;
    use serde_json::value::RawValue;

    use super::*;

    /// Whether the pass takes the text as one value, as another parser does or does not.
    fn takes(text: &str) -> bool {
        let mut scan = Scan::new(text);
        scan.value().is_ok() && scan.peek().is_none()
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((".{0,9}", inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_is_taken(value in any_value()) {
            prop_assert!(takes(&value.to_string()));
            prop_assert!(takes(&serde_json::to_string_pretty(&value).unwrap()));
        }

        #[test]
        fn what_is_damaged_is_judged_as_by_serde(value in any_value(), at in any::<prop::sample::Index>(), byte in "[ -~\n]") {
            let mut text: Vec<char> = value.to_string().chars().collect();
            let at = at.index(text.len());
            text.splice(at..=at, byte.chars());
            let text: String = text.into_iter().collect();
            prop_assert_eq!(takes(&text), serde_json::from_str::<&RawValue>(&text).is_ok(), "{}", text);
        }

        #[test]
        fn any_text_is_judged_as_by_serde(text in r#"[\[\]{}:,"\\ /0-9.eE+\-truefalsn\n]{0,24}"#) {
            prop_assert_eq!(takes(&text), serde_json::from_str::<&RawValue>(&text).is_ok(), "{}", text);
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(takes(&nested(128)));
        // An empty value inside the deepest opens no level of its own.
        assert!(!takes(&format!("{}1{}", "[".repeat(129), "]".repeat(129))));
        assert!(!takes(&nested(1_000_000)));
    }

    #[test]
    fn a_fault_has_a_place() {
        let fault = Scan::new(r#"{"a":tru}"#).value().unwrap_err();
        assert_eq!(
            fault,
            Fault {
                reason: "expected a value",
                offset: 5
            }
        );
    }
}
