//! The service `binlog`: every change of some tables into a stream, as the server logs it.
//!
//! It reads each table once (`snapshot`), then the binlog from where it was before that (`service`). What it has seen
//! acknowledged it notes in a parameter (`checkpoint`), and goes on from there when it starts again; one process at a
//! time does so (`lease`). Records name their place in the binlog (`seq`), so that it does not matter how often or in
//! what order they arrive.
//!
//! The rights it needs: `secretsmanager:GetSecretValue` on the secret; `ssm:GetParameter`, `ssm:PutParameter` and
//! `ssm:DeleteParameter` below the prefix; `kinesis:PutRecords` on the stream; `s3:PutObject` on the curated bucket's
//! data and error prefixes; in the database SELECT on the tables, REPLICATION SLAVE and REPLICATION CLIENT.

pub mod audit;
mod charset;
mod checkpoint;
mod event;
mod gtid;
mod heartbeat;
mod inflow;
mod json;
mod key;
mod layout;
mod lease;
mod lines;
mod query;
mod reader;
mod rows;
mod sending;
mod server;
mod service;
mod snapshot;
mod table_map;
mod temporal;
mod values;

pub use checkpoint::{Request, State, now};
pub use lines::{LocalBinlog, write_changes};
pub use service::main;
