//! Text of a row event, which is in its column's character set, as UTF-8.
//!
//! What a byte of a single-byte set means is asked from the server, so it is the same as in a query. For the few
//! multi-byte sets of East Asia, which no query returns whole, the WHATWG tables serve.

use std::collections::HashMap;
use std::sync::Arc;

use encoding_rs::Encoding;

use crate::runtime::extract::encode::{base64, text};
use crate::runtime::mysql::{Connection, MysqlError, Value};

/// The collation of columns without a character set.
pub const BINARY: u64 = 63;

/// How bytes of a column become text.
#[derive(Debug, Clone)]
pub enum Charset {
    /// UTF-8 of up to three or four bytes, or ASCII.
    Utf8,
    /// None at all: base64.
    Binary,
    /// One byte is one character.
    Table(Arc<[char; 256]>),
    /// UTF-16 and UCS-2; the number says whether the low byte comes first.
    Utf16 {
        little: bool,
    },
    Utf32,
    Other(&'static Encoding),
}

impl Charset {
    /// Writes the bytes as a JSON string.
    pub fn write(&self, out: &mut Vec<u8>, bytes: &[u8]) {
        match self {
            Self::Utf8 => text(out, bytes),
            Self::Binary => base64(out, bytes),
            Self::Other(encoding) => text(out, encoding.decode_without_bom_handling(bytes).0.as_bytes()),
            Self::Table(_) if bytes.is_ascii() => text(out, bytes),
            Self::Table(table) => {
                let decoded: String = bytes.iter().map(|byte| table[usize::from(*byte)]).collect();
                text(out, decoded.as_bytes());
            }
            Self::Utf16 { little } => {
                let units = bytes.chunks_exact(2).map(|pair| match little {
                    true => u16::from_le_bytes([pair[0], pair[1]]),
                    false => u16::from_be_bytes([pair[0], pair[1]]),
                });
                let decoded: String = char::decode_utf16(units)
                    .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
                    .collect();
                text(out, decoded.as_bytes());
            }
            Self::Utf32 => {
                let decoded: String = bytes
                    .chunks_exact(4)
                    .map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
                    .map(|point| char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER))
                    .collect();
                text(out, decoded.as_bytes());
            }
        }
    }

    /// A character set that is known without asking.
    fn known(name: &str) -> Option<Self> {
        Some(match name {
            "utf8mb4" | "utf8mb3" | "utf8" | "ascii" => Self::Utf8,
            "binary" => Self::Binary,
            "utf16" | "ucs2" => Self::Utf16 { little: false },
            "utf16le" => Self::Utf16 { little: true },
            "utf32" => Self::Utf32,
            "gbk" | "gb2312" => Self::Other(encoding_rs::GBK),
            "gb18030" => Self::Other(encoding_rs::GB18030),
            "big5" => Self::Other(encoding_rs::BIG5),
            "sjis" | "cp932" => Self::Other(encoding_rs::SHIFT_JIS),
            "ujis" | "eucjpms" => Self::Other(encoding_rs::EUC_JP),
            "euckr" => Self::Other(encoding_rs::EUC_KR),
            _ => return None,
        })
    }
}

/// The character sets of a server, by name and by the number of a collation.
#[derive(Debug, Default)]
pub struct Charsets {
    names: HashMap<u64, String>,
    known: HashMap<String, Charset>,
}

impl Charsets {
    /// Asks the server for its collations.
    pub async fn ask(connection: &mut Connection) -> Result<Self, MysqlError> {
        // MariaDB names the numbers of collations that several character sets share in a table of its own.
        let statement = if connection.is_mariadb() {
            "SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY WHERE ID IS NOT NULL"
        } else {
            "SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATIONS"
        };
        let rows = match connection.table(statement, &[]).await {
            // MariaDB before 10.10 has the numbers where MySQL has them.
            Err(MysqlError::Statement { code: 1054, .. }) => {
                let statement = "SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATIONS";
                connection.table(statement, &[]).await?
            }
            other => other?,
        };
        let mut names = HashMap::new();
        for row in rows {
            if let [Some(id), Some(name)] = row.as_slice()
                && let Ok(id) = id.parse()
            {
                names.insert(id, name.clone());
            }
        }
        Ok(Self {
            names,
            known: HashMap::new(),
        })
    }

    /// The name of a collation's character set.
    pub fn name(&self, collation: u64) -> Option<&str> {
        match collation {
            BINARY => Some("binary"),
            _ => self.names.get(&collation).map(String::as_str),
        }
    }

    /// A character set by its name, when `learn` was asked before for one of a single byte.
    pub fn named(&self, name: &str) -> Option<Charset> {
        Charset::known(name).or_else(|| self.known.get(name).cloned())
    }

    /// Asks the server what the bytes of a single-byte character set mean.
    pub async fn learn(&mut self, connection: &mut Connection, name: &str) -> Result<(), MysqlError> {
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if self.named(name).is_some() || !plain {
            return Ok(());
        }
        let all: String = (0..256).map(|byte| format!("{byte:02x}")).collect();
        let statement = format!("SELECT CONVERT(_{name} x'{all}' USING utf8mb4)");
        let text = connection
            .single(&statement, &[] as &[Value])
            .await?
            .unwrap_or_default();
        let characters: Vec<char> = text.chars().collect();
        if let Ok(table) = <[char; 256]>::try_from(characters) {
            self.known.insert(name.to_owned(), Charset::Table(Arc::new(table)));
        }
        Ok(())
    }
}
