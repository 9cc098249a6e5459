//! The states of the JSON grammar, and the small tables that lead from one to the next.

/// What is open around the current place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// A top-level array, whose elements are the records.
    Batch,
    /// An array inside a record.
    Array,
    /// An object.
    Object,
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The first byte of the text, or this many bytes into its byte order mark.
    Mark(usize),
    /// A value; `first` directly after `[`, where the array may also end.
    Value { first: bool },
    /// A key; `first` directly after `{`, where the object may also end.
    Key { first: bool },
    /// The colon after a key.
    Colon,
    /// A comma, or the end of what is open.
    After,
    /// Inside a string.
    Text(Role),
    /// After a backslash.
    Escape(Role),
    /// After `\u`, with this many hexadecimal digits to come.
    Hex(Role, u8),
    /// Inside a character of several bytes.
    Utf8(Role, Tail),
    /// Inside a number.
    Number(Number),
    /// Inside `true`, `false` or `null`: what is still to come.
    Literal(&'static [u8]),
}

/// What a string is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The name of a member.
    Key,
    /// A value.
    Value,
}

/// Where in a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// After the minus sign.
    Minus,
    /// After a leading zero, which no digit may follow.
    Zero,
    /// In the whole part.
    Whole,
    /// After the point.
    Point,
    /// In the fraction.
    Fraction,
    /// After `e`.
    Exponent,
    /// After the exponent's sign.
    Sign,
    /// In the exponent's digits.
    Power,
}

impl Number {
    /// The state after `byte`, if it belongs to the number.
    pub fn next(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Minus, b'0') => Some(Self::Zero),
            (Self::Minus, b'1'..=b'9') | (Self::Whole, b'0'..=b'9') => Some(Self::Whole),
            (Self::Zero | Self::Whole, b'.') => Some(Self::Point),
            (Self::Point | Self::Fraction, b'0'..=b'9') => Some(Self::Fraction),
            (Self::Zero | Self::Whole | Self::Fraction, b'e' | b'E') => Some(Self::Exponent),
            (Self::Exponent, b'+' | b'-') => Some(Self::Sign),
            (Self::Exponent | Self::Sign | Self::Power, b'0'..=b'9') => Some(Self::Power),
            _ => None,
        }
    }

    /// Whether the number may end here.
    pub fn is_complete(self) -> bool {
        matches!(self, Self::Zero | Self::Whole | Self::Fraction | Self::Power)
    }
}

/// The bytes still to come of a character in UTF-8, and what the next of them may be (Unicode, table 3-7: this is what
/// rules out overlong forms, surrogates and code points past the last).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    left: u8,
    low: u8,
    high: u8,
}

impl Tail {
    /// What must follow a character's first byte.
    pub fn after(lead: u8) -> Option<Self> {
        let (left, low, high) = match lead {
            0xC2..=0xDF => (1, 0x80, 0xBF),
            0xE0 => (2, 0xA0, 0xBF),
            0xED => (2, 0x80, 0x9F),
            0xE1..=0xEF => (2, 0x80, 0xBF),
            0xF0 => (3, 0x90, 0xBF),
            0xF1..=0xF3 => (3, 0x80, 0xBF),
            0xF4 => (3, 0x80, 0x8F),
            _ => return None,
        };
        Some(Self { left, low, high })
    }

    /// What must follow `byte`: nothing more (`Some(None)`), or `None` if it may not stand here.
    pub fn next(self, byte: u8) -> Option<Option<Self>> {
        let fits = (self.low..=self.high).contains(&byte);
        fits.then(|| {
            (self.left > 1).then_some(Self {
                left: self.left - 1,
                low: 0x80,
                high: 0xBF,
            })
        })
    }
}

/// How many bytes at the start of `chunk` stand for themselves inside a string.
pub fn plain(chunk: &[u8]) -> usize {
    chunk
        .iter()
        .position(|byte| !matches!(byte, 0x20..=0x7F) || matches!(byte, b'"' | b'\\'))
        .unwrap_or(chunk.len())
}
