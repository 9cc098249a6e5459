//! Values bound to the parameters of a statement.

use super::kind;

/// A value for a `?` of a statement. Dates and times go as text, which the server converts to the column's own type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// A signed whole number.
    Signed(i64),
    /// An unsigned whole number.
    Unsigned(u64),
    /// Text in UTF-8.
    Text(String),
    /// Bytes as they are.
    Bytes(Vec<u8>),
}

impl Value {
    /// The type that the statement declares for it, and whether that is unsigned.
    pub(super) fn declared(&self) -> [u8; 2] {
        match self {
            Self::Signed(_) => [kind::LONGLONG, 0],
            Self::Unsigned(_) => [kind::LONGLONG, 0x80],
            Self::Text(_) => [0xfd, 0],
            // MYSQL_TYPE_BLOB: the server takes it as it is, without a character set.
            Self::Bytes(_) => [0xfc, 0],
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Signed(number) => out.extend_from_slice(&number.to_le_bytes()),
            Self::Unsigned(number) => out.extend_from_slice(&number.to_le_bytes()),
            Self::Text(text) => write_bytes(out, text.as_bytes()),
            Self::Bytes(bytes) => write_bytes(out, bytes),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Unsigned(number)
    }
}

/// Bytes behind their length.
pub(super) fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_length(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn write_length(out: &mut Vec<u8>, length: u64) {
    let bytes = length.to_le_bytes();
    match length {
        0..=250 => out.push(bytes[0]),
        251..=0xffff => {
            out.push(0xfc);
            out.extend_from_slice(&bytes[..2]);
        }
        0x1_0000..=0xff_ffff => {
            out.push(0xfd);
            out.extend_from_slice(&bytes[..3]);
        }
        _ => {
            out.push(0xfe);
            out.extend_from_slice(&bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::mysql::row::Bytes;

    #[test]
    fn lengths_read_back() {
        for length in [0, 250, 251, 0xffff, 0x1_0000, 0xff_ffff, 0x100_0000] {
            let mut out = Vec::new();
            write_length(&mut out, length);
            assert_eq!(Bytes(&out).length(), Some(length), "{length}");
        }
    }
}
