//! The Snowflake side: identifiers, SQL, client, and the verbs observe, diff and apply.

pub mod ident;
pub mod mark;
pub mod sql;
