//! TABLE_MAP_EVENT: which columns the rows behind it have
//! (<https://dev.mysql.com/doc/dev/mysql-server/latest/classmysql_1_1binlog_1_1event_1_1Table__map__event.html>).

use crate::runtime::mysql::Bytes;

/// Column types that only the binlog knows, beside those of `mysql::kind`.
pub mod kind {
    pub const TIMESTAMP2: u8 = 0x11;
    pub const DATETIME2: u8 = 0x12;
    pub const TIME2: u8 = 0x13;
    pub const VARCHAR: u8 = 0x0f;
    pub const ENUM: u8 = 0xf7;
    pub const SET: u8 = 0xf8;
    pub const BLOB: u8 = 0xfc;
    pub const VAR_STRING: u8 = 0xfd;
    pub const STRING: u8 = 0xfe;
}

/// A column of the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The type, with ENUM and SET told apart from STRING.
    pub kind: u8,
    /// What the type's length, precision or digits are, as the type has it.
    pub detail: u16,
    /// `None` where the server does not say.
    pub name: Option<String>,
    pub unsigned: Option<bool>,
    /// The collation's number.
    pub collation: Option<u64>,
    /// Members of an ENUM or SET, in its character set.
    pub members: Option<Vec<Vec<u8>>>,
}

/// The event's contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableMap {
    pub schema: String,
    pub table: String,
    pub columns: Vec<Column>,
    /// Columns of the primary key in its order; empty where the server does not say or there is none.
    pub primary_key: Vec<usize>,
}

/// The number by which rows refer to the event, from its front.
pub fn number(body: &[u8]) -> Option<u64> {
    let [a, b, c, d, e, f] = Bytes(body).number()?;
    Some(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
}

/// Schema and table only, to decide whether the rest matters.
pub fn title(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = Bytes(body);
    rest.take(8)?;
    let schema = rest.counted()?;
    rest.byte()?;
    Some((schema, rest.counted()?))
}

impl TableMap {
    /// Reads the event's body; `None` when it is malformed.
    pub fn read(body: &[u8]) -> Option<Self> {
        let mut rest = Bytes(body);
        rest.take(8)?;
        let schema = String::from_utf8_lossy(rest.counted()?).into_owned();
        rest.byte()?;
        let table = String::from_utf8_lossy(rest.counted()?).into_owned();
        rest.byte()?;
        let count = usize::try_from(rest.length()?).ok()?;
        let kinds = rest.take(count)?;
        let mut details = Bytes(rest.counted()?);
        let mut columns = Vec::with_capacity(count);
        for kind in kinds {
            columns.push(column(*kind, &mut details)?);
        }
        rest.take(count.div_ceil(8))?;
        let mut map = Self {
            schema,
            table,
            columns,
            primary_key: Vec::new(),
        };
        while !rest.0.is_empty() {
            let field = rest.byte()?;
            map.take(field, Bytes(rest.counted()?))?;
        }
        Some(map)
    }

    /// One field of the optional metadata.
    fn take(&mut self, field: u8, mut rest: Bytes<'_>) -> Option<()> {
        match field {
            1 => {
                for (index, column) in self.matching(is_numeric).enumerate() {
                    let byte = rest.0.get(index / 8)?;
                    column.unsigned = Some(byte >> (7 - index % 8) & 1 == 1);
                }
            }
            2 => default_collation(self.matching(is_character), rest)?,
            3 => each_collation(self.matching(is_character), rest)?,
            4 => {
                for column in &mut self.columns {
                    column.name = Some(String::from_utf8_lossy(rest.counted()?).into_owned());
                }
            }
            5 => members(self.matching(|kind| kind == kind::SET), rest)?,
            6 => members(self.matching(|kind| kind == kind::ENUM), rest)?,
            8 => self.primary_key = key(rest, false)?,
            9 => self.primary_key = key(rest, true)?,
            10 => default_collation(self.matching(is_listed), rest)?,
            11 => each_collation(self.matching(is_listed), rest)?,
            _ => {}
        }
        Some(())
    }

    fn matching(&mut self, wanted: impl Fn(u8) -> bool) -> impl Iterator<Item = &mut Column> {
        self.columns.iter_mut().filter(move |column| wanted(column.kind))
    }
}

/// Columns that have a bit in the list of signs. YEAR has one too: both servers write it.
fn is_numeric(kind: u8) -> bool {
    use crate::runtime::mysql::kind::{DOUBLE, FLOAT, INT24, LONG, LONGLONG, NEWDECIMAL, SHORT, TINY, YEAR};
    matches!(
        kind,
        TINY | SHORT | INT24 | LONG | LONGLONG | NEWDECIMAL | FLOAT | DOUBLE | YEAR
    )
}

fn is_character(kind: u8) -> bool {
    matches!(kind, kind::STRING | kind::VAR_STRING | kind::VARCHAR | kind::BLOB)
}

fn is_listed(kind: u8) -> bool {
    matches!(kind, kind::ENUM | kind::SET)
}

fn default_collation<'a>(columns: impl Iterator<Item = &'a mut Column>, mut rest: Bytes<'_>) -> Option<()> {
    let default = rest.length()?;
    let mut columns: Vec<&mut Column> = columns.collect();
    for column in &mut columns {
        column.collation = Some(default);
    }
    while !rest.0.is_empty() {
        let index = usize::try_from(rest.length()?).ok()?;
        columns.get_mut(index)?.collation = Some(rest.length()?);
    }
    Some(())
}

fn each_collation<'a>(columns: impl Iterator<Item = &'a mut Column>, mut rest: Bytes<'_>) -> Option<()> {
    for column in columns {
        column.collation = Some(rest.length()?);
    }
    Some(())
}

fn members<'a>(columns: impl Iterator<Item = &'a mut Column>, mut rest: Bytes<'_>) -> Option<()> {
    for column in columns {
        let count = rest.length()?;
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(rest.counted()?.to_vec());
        }
        column.members = Some(all);
    }
    Some(())
}

fn key(mut rest: Bytes<'_>, with_prefix: bool) -> Option<Vec<usize>> {
    let mut key = Vec::new();
    while !rest.0.is_empty() {
        key.push(usize::try_from(rest.length()?).ok()?);
        if with_prefix {
            rest.length()?;
        }
    }
    Some(key)
}

/// A column and its detail. What STRING packs into its two bytes is told at
/// <https://dev.mysql.com/doc/dev/mysql-server/latest/classmysql_1_1binlog_1_1event_1_1Table__map__event.html>.
fn column(kind: u8, details: &mut Bytes<'_>) -> Option<Column> {
    use crate::runtime::mysql::kind as shared;
    let mut real = kind;
    let detail = match kind {
        kind::STRING => {
            let [first, second] = details.number()?;
            match first {
                kind::ENUM | kind::SET => {
                    real = first;
                    u16::from(second)
                }
                // Two bits of a length above 255 are hidden in the type.
                _ if first & 0x30 != 0x30 => {
                    real = first | 0x30;
                    u16::from(second) | u16::from((first & 0x30) ^ 0x30) << 4
                }
                _ => {
                    real = first;
                    u16::from(second)
                }
            }
        }
        shared::NEWDECIMAL => details.number().map(u16::from_be_bytes)?,
        kind::VARCHAR | kind::VAR_STRING | shared::BIT => details.short()?,
        shared::FLOAT
        | shared::DOUBLE
        | kind::TIMESTAMP2
        | kind::DATETIME2
        | kind::TIME2
        | kind::BLOB
        | shared::GEOMETRY
        | shared::JSON
        | shared::VECTOR => u16::from(details.byte()?),
        _ => 0,
    };
    Some(Column {
        kind: real,
        detail,
        name: None,
        unsigned: None,
        collation: None,
        members: None,
    })
}
