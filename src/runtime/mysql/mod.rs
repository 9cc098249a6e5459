//! A MySQL and MariaDB client for reading: it hands out rows as they come from the wire.
//!
//! The crate `mysql_async` parses every row into values of its own before one sees it (its `Protocol` makes a `Row`;
//! packets are private), which costs an allocation per text. Here a row is a slice of the receive buffer, and whoever
//! reads it decides what to make of it. The protocol is documented at
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html>.

mod auth;
mod connection;
mod endpoint;
mod error;
mod replication;
mod row;
mod tls;
mod value;
mod wire;

pub use connection::{Column, Connection};
pub use endpoint::{Database, Endpoint, Login};
pub use error::MysqlError;
pub use replication::{Part, Start};
pub use row::{Bytes, Cell, Cells, Duration, Moment};
pub use tls::Tls;
pub use value::Value;

/// Column types as result sets name them
/// (<https://dev.mysql.com/doc/dev/mysql-server/latest/field__types_8h.html>).
pub mod kind {
    pub const DECIMAL: u8 = 0x00;
    pub const TINY: u8 = 0x01;
    pub const SHORT: u8 = 0x02;
    pub const LONG: u8 = 0x03;
    pub const FLOAT: u8 = 0x04;
    pub const DOUBLE: u8 = 0x05;
    pub const NULL: u8 = 0x06;
    pub const TIMESTAMP: u8 = 0x07;
    pub const LONGLONG: u8 = 0x08;
    pub const INT24: u8 = 0x09;
    pub const DATE: u8 = 0x0a;
    pub const TIME: u8 = 0x0b;
    pub const DATETIME: u8 = 0x0c;
    pub const YEAR: u8 = 0x0d;
    pub const BIT: u8 = 0x10;
    pub const VECTOR: u8 = 0xf2;
    pub const JSON: u8 = 0xf5;
    pub const NEWDECIMAL: u8 = 0xf6;
    pub const GEOMETRY: u8 = 0xff;
}
