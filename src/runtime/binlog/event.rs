//! Events as they come: header, checksum, and the few whose contents everything else hangs on
//! (<https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_replication_binlog_event.html>).

use crate::runtime::mysql::Bytes;

/// Bytes of a header.
pub const HEADER: usize = 19;
/// Bytes of a checksum.
pub const CHECKSUM: usize = 4;

/// Numbers of the events that mean something here. Those from 160 on are MariaDB's
/// (<https://mariadb.com/docs/server/reference/clientserver-protocol/replication-protocol/2-binlog-event-header>).
pub mod kind {
    pub const QUERY: u8 = 2;
    pub const ROTATE: u8 = 4;
    pub const FORMAT_DESCRIPTION: u8 = 15;
    pub const XID: u8 = 16;
    pub const TABLE_MAP: u8 = 19;
    pub const WRITE_ROWS_V1: u8 = 23;
    pub const UPDATE_ROWS_V1: u8 = 24;
    pub const DELETE_ROWS_V1: u8 = 25;
    pub const HEARTBEAT: u8 = 27;
    pub const WRITE_ROWS: u8 = 30;
    pub const UPDATE_ROWS: u8 = 31;
    pub const DELETE_ROWS: u8 = 32;
    pub const GTID: u8 = 33;
    pub const ANONYMOUS_GTID: u8 = 34;
    pub const XA_PREPARE: u8 = 38;
    pub const PARTIAL_UPDATE_ROWS: u8 = 39;
    pub const TRANSACTION_PAYLOAD: u8 = 40;
    pub const GTID_TAGGED: u8 = 42;
    pub const MARIADB_GTID: u8 = 162;
    pub const QUERY_COMPRESSED: u8 = 165;
    pub const WRITE_ROWS_COMPRESSED_V1: u8 = 166;
    pub const UPDATE_ROWS_COMPRESSED_V1: u8 = 167;
    pub const DELETE_ROWS_COMPRESSED_V1: u8 = 168;
    pub const WRITE_ROWS_COMPRESSED: u8 = 169;
    pub const UPDATE_ROWS_COMPRESSED: u8 = 170;
    pub const DELETE_ROWS_COMPRESSED: u8 = 171;
}

/// What every event begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Seconds since 1970.
    pub at: u32,
    pub kind: u8,
    pub server: u32,
    /// Bytes of the event, this header included.
    pub size: u32,
    /// The position behind the event, its lower 32 bits; 0 for one that is in no file.
    pub end: u32,
}

impl Header {
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = Bytes(bytes);
        let header = Self {
            at: rest.long()?,
            kind: rest.byte()?,
            server: rest.long()?,
            size: rest.long()?,
            end: rest.long()?,
        };
        rest.short()?;
        (header.size as usize >= HEADER).then_some(header)
    }

    /// What kind of rows the event holds.
    pub fn rows(&self) -> Option<RowsKind> {
        let (operation, version, compressed) = match self.kind {
            kind::WRITE_ROWS_V1 => (Operation::Insert, 1, false),
            kind::UPDATE_ROWS_V1 => (Operation::Update, 1, false),
            kind::DELETE_ROWS_V1 => (Operation::Delete, 1, false),
            kind::WRITE_ROWS => (Operation::Insert, 2, false),
            kind::UPDATE_ROWS => (Operation::Update, 2, false),
            kind::PARTIAL_UPDATE_ROWS => (Operation::PartialUpdate, 2, false),
            kind::DELETE_ROWS => (Operation::Delete, 2, false),
            kind::WRITE_ROWS_COMPRESSED_V1 => (Operation::Insert, 1, true),
            kind::UPDATE_ROWS_COMPRESSED_V1 => (Operation::Update, 1, true),
            kind::DELETE_ROWS_COMPRESSED_V1 => (Operation::Delete, 1, true),
            kind::WRITE_ROWS_COMPRESSED => (Operation::Insert, 2, true),
            kind::UPDATE_ROWS_COMPRESSED => (Operation::Update, 2, true),
            kind::DELETE_ROWS_COMPRESSED => (Operation::Delete, 2, true),
            _ => return None,
        };
        Some(RowsKind {
            operation,
            version,
            compressed,
        })
    }
}

/// What the rows of an event were done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Insert,
    Update,
    /// An update whose new images may hold changes of JSON documents instead of the documents.
    PartialUpdate,
    Delete,
}

/// A kind of rows event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsKind {
    pub operation: Operation,
    pub version: u8,
    pub compressed: bool,
}

/// The front of a rows event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsHeader {
    /// The number of the table map.
    pub table: u64,
    pub columns: usize,
    /// Whether every column is in every image, as with `binlog_row_image=FULL`.
    pub whole: bool,
    /// Bytes of this front.
    pub length: usize,
}

impl RowsHeader {
    pub fn read(body: &[u8], kind: RowsKind) -> Option<Self> {
        let table = super::table_map::number(body)?;
        let mut rest = Bytes(body.get(8..)?);
        if kind.version == 2 {
            let extra = rest.short()?;
            rest.take(usize::from(extra).checked_sub(2)?)?;
        }
        let columns = usize::try_from(rest.length()?).ok()?;
        let mut whole = true;
        let updates = matches!(kind.operation, Operation::Update | Operation::PartialUpdate);
        for _ in 0..1 + usize::from(updates) {
            let present = rest.take(columns.div_ceil(8))?;
            whole &= (0..columns).all(|column| present[column / 8] >> (column % 8) & 1 == 1);
        }
        Some(Self {
            table,
            columns,
            whole,
            length: body.len() - rest.0.len(),
        })
    }
}

/// ROTATE_EVENT: the file that follows, and the position in it.
pub fn rotation(body: &[u8]) -> Option<(String, u64)> {
    let mut rest = Bytes(body);
    let position = rest.number().map(u64::from_le_bytes)?;
    Some((String::from_utf8_lossy(rest.0).into_owned(), position))
}

/// Whether the events behind this FORMAT_DESCRIPTION_EVENT end in a checksum. Its own is always there.
pub fn has_checksums(body_with_checksum: &[u8]) -> Option<bool> {
    let place = body_with_checksum.len().checked_sub(CHECKSUM + 1)?;
    Some(body_with_checksum[place] == 1)
}

/// QUERY_EVENT: the default schema and the statement.
pub fn query(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = Bytes(body);
    rest.take(8)?;
    let schema = usize::from(rest.byte()?);
    rest.short()?;
    let status = usize::from(rest.short()?);
    rest.take(status)?;
    let schema = rest.take(schema)?;
    rest.byte()?;
    Some((schema, rest.0))
}

/// MariaDB's compressed parts begin with a byte that says how many bytes of length follow; then zlib's stream
/// (<https://mariadb.com/docs/server/server-management/server-monitoring-logs/binary-log/compressing-events-to-reduce-size-of-the-binary-log>).
pub fn compressed(bytes: &[u8]) -> Option<&[u8]> {
    let lengths = usize::from(bytes.first()? & 7);
    bytes.get(1 + lengths..)
}

/// TRANSACTION_PAYLOAD_EVENT: how it is compressed (0 zstd, 255 not at all) and where the payload begins.
pub fn payload(body: &[u8]) -> Option<(u64, usize)> {
    let mut rest = Bytes(body);
    let mut compression = 255;
    loop {
        let field = rest.length()?;
        if field == 0 {
            return Some((compression, body.len() - rest.0.len()));
        }
        let value = rest.counted()?;
        if field == 2 {
            compression = Bytes(value).length()?;
        }
    }
}
